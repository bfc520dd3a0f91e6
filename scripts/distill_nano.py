"""Make `nano`, the embedded backbone: a small BERT that imitates all-MiniLM-L6-v2.

    python scripts/distill_nano.py teacher=sentence-transformers/all-MiniLM-L6-v2 out=runs/distill_nano

Four steps, each resumed where it stopped: texts (public datasets, training splits, no labels; no intent dataset is
read), targets (the teacher's hidden states, projected onto their principal components), training, and writing the
folder `OUT/nano` that ships as `metapeft/backbones/nano`. `scripts/measure_nano.py` measures it.

The student has the teacher's vocabulary. Its token embeddings start as the principal components of the vectors that
the teacher gives each token alone; its blocks start near the identity. It learns, for every text, the direction of
the teacher's sentence vector, the cosines between the sentence vectors of a batch, and the hidden state of every token.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from metapeft.backbones.bert import Bert, BertConfig
from metapeft.backbones.load import load_bert
from metapeft.backbones.packing import Places, mean_over_tokens, places_of
from metapeft.cli import guard, parse
from metapeft.heads.head import unit
from metapeft.mlx import mx
from metapeft.tokenization.tokenizer import LoadedTokenizer, load_tokenizer

WIDTH, BLOCKS, HEADS, INNER = 256, 2, 4, 512
BUDGET = 4096  # places (texts x length) of a training step
CHUNK = 2_000  # texts whose targets are computed between two saves

# (dataset, config, text column, most rows): training splits only. Intent datasets are not here, so that a family which
# `nano` is judged on stays unseen; of the others the text is read and the label is not.
SOURCES = [
    ("SetFit/20_newsgroups", None, "text", 7_000),
    ("SetFit/SentEval-CR", None, "text", 4_000),
    ("SetFit/TREC-QC", None, "text", 6_000),
    ("cardiffnlp/tweet_eval", "emoji", "text", 8_000),
    ("cardiffnlp/tweet_eval", "emotion", "text", 4_000),
    ("cardiffnlp/tweet_eval", "hate", "text", 4_000),
    ("cardiffnlp/tweet_eval", "irony", "text", 3_000),
    ("cardiffnlp/tweet_eval", "sentiment", "text", 12_000),
    ("cornell-movie-review-data/rotten_tomatoes", None, "text", 9_000),
    ("fancyzhx/ag_news", None, "text", 12_000),
    ("fancyzhx/dbpedia_14", None, "content", 8_000),
    ("gfissore/arxiv-abstracts-2021", None, "abstract", 4_000),
    ("ghbacct/financial-phrasebank-all-agree-classification", None, "text", 2_000),
    ("osanseviero/twitter-airline-sentiment", None, "text", 12_000),
    ("stanfordnlp/imdb", None, "text", 4_000),
    ("stanfordnlp/sst2", None, "sentence", 12_000),
    ("Yelp/yelp_review_full", None, "text", 4_000),
    ("gopalkalpande/bbc-news-summary", None, "Summaries", 2_500),
    ("knkarthick/samsum", None, "dialogue", 8_000),
    ("knkarthick/dialogsum", None, "dialogue", 8_000),
    ("xlangai/spider", None, "question", 7_000),
]


class Config(BaseModel):
    """What the script takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: str = Field("sentence-transformers/all-MiniLM-L6-v2", description="Hub id or folder of the teacher")
    out: Path = Field(Path("runs/distill_nano"), description="where everything goes; a second run goes on from it")
    extra: Path | None = Field(None, description="a parquet file with a column 'text': more public-domain text")
    texts: int = Field(300_000, ge=1_000, description="how many texts")
    minutes: float = Field(60.0, gt=0, description="time for training; the schedule is stretched to it")
    rate: float = Field(2e-3, gt=0, description="highest learning rate (Adam)")
    seed: int = 0


def main(argv: Sequence[str] | None = None) -> int:
    return guard(lambda: run(parse(Config, sys.argv[1:] if argv is None else argv, prog="distill_nano")))


def run(config: Config) -> int:
    config.out.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(config.teacher)
    teacher = load_bert(config.teacher)
    offsets, ids = texts_of(config, tokenizer)
    print(f"texts     {len(offsets) - 1:,}, {len(ids):,} tokens", flush=True)
    components, table = components_of(config, teacher, offsets, ids)
    targets = targets_of(config, teacher, offsets, ids, components)
    weights = train(config, teacher, offsets, ids, targets, table)
    write(config, teacher, tokenizer, weights)
    return 0


# --- texts


def texts_of(config: Config, tokenizer: LoadedTokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Offsets int64 ``(n + 1,)`` and token ids int32 of all texts, shortest first within blocks drawn at random."""
    path = config.out / "texts.npz"
    if not path.exists():
        rng = np.random.default_rng(config.seed)
        sentences = sorted(set(_sentences(config)))
        rng.shuffle(sentences)
        whole = sentences[: int(config.texts * 0.72)]
        # Spans of a few words look like queries and utterances, which public corpora have few of.
        spans = [_span(text, rng) for text in sentences[: int(config.texts * 0.28)]]
        texts = list(dict.fromkeys(whole + spans))
        rows = [np.array(e.ids[:64], np.int32) for e in tokenizer.backend.encode_batch(texts)]
        np.savez(path, offsets=np.cumsum([0, *map(len, rows)]), ids=np.concatenate(rows))
    loaded = np.load(path)
    return loaded["offsets"], loaded["ids"]


def _sentences(config: Config) -> Iterator[str]:
    import datasets

    datasets.disable_progress_bars()
    for name, subset, column, most in SOURCES:
        if "train" not in datasets.get_dataset_split_names(name, subset):
            print(f"  {name} {subset or ''}: no training split here, left out", flush=True)
            continue
        rows = datasets.load_dataset(name, subset, split="train")
        texts = rows.select(range(min(most, len(rows))))[column][:]
        found = [sentence for text in texts for sentence in _cut(str(text))]
        print(f"  {name} {subset or ''}: {len(found):,} sentences", flush=True)
        yield from found
    if config.extra is not None:
        import pyarrow.parquet as pq

        texts = pq.read_table(config.extra, columns=["text"])["text"].to_pylist()
        yield from (sentence for text in texts[::3] for sentence in _cut(text)[::2])


def _cut(text: str) -> list[str]:
    """Sentences of 2 to 60 words; a speaker's name in front of a turn is dropped."""
    lines = [re.sub(r"^#?\w[\w ]{0,20}#?:\s+", "", line) for line in text.splitlines()]
    parts = [part for line in lines for part in re.split(r"(?<=[.!?])\s+", line)]
    return [part.strip() for part in parts if 2 <= len(part.split()) <= 60]


def _span(text: str, rng: np.random.Generator) -> str:
    words = text.split()
    length = int(rng.integers(1, 13))
    start = int(rng.integers(0, max(1, len(words) - length + 1)))
    return " ".join(words[start : start + length])


# --- the teacher


def _hidden(teacher: Bert, rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Last hidden states ``(sum of lengths, d)`` and sentence vectors ``(n, d)`` of token id rows."""
    lengths = np.array([len(row) for row in rows])
    places = places_of(lengths)
    encoded = teacher.suffix(teacher.prefix_of_packed(mx.array(_filled(rows, places)), places, 0))
    pooled = teacher.pool(encoded)
    return np.array(encoded.states)[: lengths.sum()], np.array(pooled)


def _filled(rows: Sequence[np.ndarray], places: Places) -> np.ndarray:
    """Rows end to end, filled with zeros to the round number of `places`."""
    joined = np.concatenate(rows)
    return np.concatenate([joined, np.zeros((places.cells.shape[0] - len(joined), *joined.shape[1:]), joined.dtype)])


def _rows(offsets: np.ndarray, values: np.ndarray, which: Iterable[int]) -> list[np.ndarray]:
    return [values[offsets[i] : offsets[i + 1]] for i in which]


def components_of(config: Config, teacher: Bert, offsets: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal components ``(d, WIDTH)`` of sentence vectors, and each token's vector in them ``(vocabulary, WIDTH)``.

    The components are of the second moment, not of the covariance: cosines are about the origin.
    """
    path = config.out / "components.npz"
    if not path.exists():
        sample = np.random.default_rng(config.seed).permutation(len(offsets) - 1)[:6_000]
        vectors = []
        for part in np.array_split(sample[np.argsort(np.diff(offsets)[sample])], 60):
            pooled = _hidden(teacher, _rows(offsets, ids, part))[1]
            vectors.append(pooled / np.linalg.norm(pooled, axis=1, keepdims=True))
        moment = np.concatenate(vectors).T @ np.concatenate(vectors)
        values, vectors_ = np.linalg.eigh(moment)
        components = vectors_[:, ::-1][:, :WIDTH].astype(np.float32)
        print(f"components hold {values[::-1][:WIDTH].sum() / values.sum():.4f} of the second moment", flush=True)
        start, end = int(ids[0]), int(ids[offsets[1] - 1])
        table = np.zeros((teacher.config.vocab_size, WIDTH), np.float32)
        for first in range(0, len(table), 512):
            which = range(first, min(first + 512, len(table)))
            states = _hidden(teacher, [np.array([start, i, end], np.int32) for i in which])[1]
            table[which.start : which.stop] = states @ components
        np.savez(path, components=components, table=table)
    loaded = np.load(path)
    return loaded["components"], loaded["table"]


def targets_of(
    config: Config, teacher: Bert, offsets: np.ndarray, ids: np.ndarray, components: np.ndarray
) -> np.ndarray:
    """The teacher's hidden state of every token in its components, float16 ``(tokens, WIDTH)``, on disk."""
    path, done_path = config.out / "targets.f16", config.out / "targets.json"
    done = json.loads(done_path.read_text())["texts"] if done_path.exists() else 0
    targets = np.memmap(path, np.float16, "r+" if path.exists() else "w+", shape=(len(ids), WIDTH))
    count, began, at = len(offsets) - 1, time.perf_counter(), done
    lengths = np.diff(offsets)
    while at < count:
        block = np.arange(at, min(at + CHUNK, count))
        block = block[np.argsort(lengths[block], kind="stable")]
        for part in _within(block, lengths, 4096):
            states = (_hidden(teacher, _rows(offsets, ids, part))[0] @ components).astype(np.float16)
            ends = np.cumsum(lengths[part])
            for i, end in zip(part, ends, strict=True):
                targets[offsets[i] : offsets[i + 1]] = states[end - lengths[i] : end]
        at = int(block.max()) + 1
        targets.flush()
        done_path.write_text(json.dumps({"texts": at}))
        if at // CHUNK % 10 == 0 or at == count:
            speed = (offsets[at] - offsets[done]) / (time.perf_counter() - began)
            print(f"  targets {at:,}/{count:,}, {speed:,.0f} tokens/s", flush=True)
    return targets


def _within(block: np.ndarray, lengths: np.ndarray, budget: int) -> list[np.ndarray]:
    """Cut texts in order of length into parts of at most `budget` tokens."""
    return np.split(block, np.flatnonzero(np.diff(np.cumsum(lengths[block]) // budget)) + 1)


# --- the student


def student_config(teacher: BertConfig) -> dict[str, Any]:
    """Its ``config.json``."""
    return {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": teacher.vocab_size,
        "hidden_size": WIDTH,
        "num_hidden_layers": BLOCKS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "max_position_embeddings": teacher.max_positions,
        "type_vocab_size": 1,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }


def first_weights(config: BertConfig, table: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Near the identity: what leaves a half block starts at a tenth of the usual size."""
    rng = np.random.default_rng(seed)
    weights = {}
    for path, shape in config.shapes().items():
        if path.endswith("bias") or "token_type" in path:
            weights[path] = np.zeros(shape, np.float32)
        elif "LayerNorm" in path:
            weights[path] = np.ones(shape, np.float32)
        else:
            size = 0.02 if "position" in path else shape[1] ** -0.5 * (0.1 if "output.dense" in path else 1.0)
            weights[path] = rng.normal(0, size, shape).astype(np.float32)
    spread = np.sqrt((table**2).mean())
    weights["embeddings.word_embeddings.weight"] = (table / spread).astype(np.float32)
    return weights


def train(
    config: Config, teacher: Bert, offsets: np.ndarray, ids: np.ndarray, targets: np.ndarray, table: np.ndarray
) -> dict[str, np.ndarray]:
    """Adam; the token embeddings by a sparse Adam, because a step meets few of them."""
    path = config.out / "student.npz"
    shape = BertConfig.from_hugging_face(student_config(teacher.config))
    state = dict(np.load(path)) if path.exists() else None
    words = "embeddings.word_embeddings.weight"
    if state is None:
        weights = first_weights(shape, table, config.seed)
        state = {f"w/{k}": v for k, v in weights.items()} | {"step": np.array(0), "spent": np.array(0.0)}
        state |= {f"{m}/{k}": np.zeros_like(v) for k, v in weights.items() for m in "mv"}
    embedding, m_words, v_words = (state[f"{p}/{words}"] for p in "wmv")
    rest = {p: {k: mx.array(state[f"{p}/{k}"]) for k in shape.shapes() if k != words} for p in "wmv"}
    step, spent = int(state["step"]), float(state["spent"])
    lengths = np.diff(offsets)
    rng = np.random.default_rng([config.seed, step])
    update = mx.compile(_make_update(shape))
    began, saved, batches, losses = time.perf_counter() - spent, time.perf_counter(), [], []
    while (spent := time.perf_counter() - began) < config.minutes * 60:
        if not batches:
            batches = _batches(lengths, rng)
        which = batches.pop()
        places = places_of(lengths[which])
        tokens = _filled(_rows(offsets, ids, which), places)
        goal = _filled(_rows(offsets, targets, which), places).astype(np.float32)
        step += 1
        rate = config.rate * min(step / 300, 1) * max(1 - spent / (config.minutes * 60), 0.01)
        correction = np.sqrt(1 - 0.99**step) / (1 - 0.9**step)
        loss, grad_words, *trees = update(
            mx.array(embedding[tokens]), *(rest[p] for p in "wmv"), places, mx.array(goal), mx.array(rate * correction)
        )
        mx.eval(loss, grad_words, trees)
        rest = dict(zip("wmv", trees, strict=True))
        _sparse_adam(embedding, m_words, v_words, tokens, np.array(grad_words), rate * correction)
        losses.append(np.array(loss))
        if step % 200 == 0:
            mean = np.mean(losses[-200:], axis=0)
            parts = ", ".join(f"{name} {v:.4f}" for name, v in zip(("sentence", "pairs", "tokens"), mean, strict=True))
            print(f"  step {step:,}, {spent / 60:.1f} min: {parts}", flush=True)
        if time.perf_counter() - saved > 120:
            _save(path, rest, (embedding, m_words, v_words), step, spent)
            saved = time.perf_counter()
    _save(path, rest, (embedding, m_words, v_words), step, spent)
    return {words: embedding} | {k: np.array(v) for k, v in rest["w"].items()}


def _batches(lengths: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """One pass: texts of like length together, in random order."""
    order = rng.permutation(len(lengths))
    order = order[np.argsort(-(-lengths[order] // 16), kind="stable")]
    batches = []
    for rows in (16, 32, 64):
        own = order[(lengths[order] <= rows) & (lengths[order] > (rows // 2 if rows > 16 else 0))]
        n = BUDGET // rows
        batches += [own[i : i + n] for i in range(0, len(own) - n + 1, n)]
    rng.shuffle(batches)
    return batches


def _make_update(shape: BertConfig) -> Any:
    words = "embeddings.word_embeddings.weight"

    def loss_of(vectors: mx.array, weights: dict[str, mx.array], places: Places, goal: mx.array) -> Any:
        # The rows of the table that the batch needs stand in for the table: row i is token i's.
        student = Bert(shape, weights | {words: vectors}, "nano", "")
        states = student.suffix(student.prefix_of_packed(mx.arange(vectors.shape[0]), places, 0)).states
        ours, theirs = (unit(mean_over_tokens(s, places)) for s in (states, goal))
        sentence = mx.mean(1 - mx.sum(ours * theirs, axis=1))
        pairs = mx.mean((ours @ ours.T - theirs @ theirs.T) ** 2)
        token = mx.sum((unit(states) - unit(goal)) ** 2 * places.real) / mx.sum(places.real)
        return sentence + 10 * pairs + 0.3 * token, mx.stack([sentence, pairs, token])

    def update(vectors: Any, weights: Any, m: Any, v: Any, places: Places, goal: Any, rate: Any) -> Any:
        def both(vectors: mx.array, weights: dict[str, mx.array]) -> Any:
            return loss_of(vectors, weights, places, goal)

        (_, parts), (grad_vectors, grads) = mx.value_and_grad(both, argnums=(0, 1))(vectors, weights)
        m = {k: 0.9 * m[k] + 0.1 * g for k, g in grads.items()}
        v = {k: 0.99 * v[k] + 0.01 * g * g for k, g in grads.items()}
        weights = {k: w - rate * m[k] / (mx.sqrt(v[k]) + 1e-8) for k, w in weights.items()}
        return parts, grad_vectors, weights, m, v

    return update


def _sparse_adam(
    table: np.ndarray, m: np.ndarray, v: np.ndarray, tokens: np.ndarray, grads: np.ndarray, rate: float
) -> None:
    """Adam on the rows that occur in `tokens`, in place."""
    order = np.argsort(tokens, kind="stable")
    rows, starts = np.unique(tokens[order], return_index=True)
    grad = np.add.reduceat(grads[order], starts)
    m[rows] = 0.9 * m[rows] + 0.1 * grad
    v[rows] = 0.99 * v[rows] + 0.01 * grad * grad
    table[rows] -= rate * m[rows] / (np.sqrt(v[rows]) + 1e-8)


def _save(path: Path, rest: Any, words: Any, step: int, spent: float) -> None:
    state = {f"{p}/{k}": np.array(v) for p in "wmv" for k, v in rest[p].items()}
    state |= {f"{p}/embeddings.word_embeddings.weight": v for p, v in zip("wmv", words, strict=True)}
    temporary = path.with_name("student.tmp.npz")
    np.savez(temporary, **state, step=np.array(step), spent=np.array(spent))  # pyrefly: ignore
    temporary.replace(path)


def write(config: Config, teacher: Bert, tokenizer: LoadedTokenizer, weights: dict[str, np.ndarray]) -> None:
    """The folder that ships: 6-bit token embeddings, float16 for the rest."""
    folder = config.out / "nano"
    folder.mkdir(exist_ok=True)
    words = "embeddings.word_embeddings"
    settings = {"group_size": 64, "bits": 6}
    packed, scales, biases = mx.quantize(mx.array(weights.pop(f"{words}.weight")), **settings)
    arrays = {k: mx.array(v).astype(mx.float16) for k, v in weights.items()}
    arrays |= {f"{words}.weight": packed, f"{words}.scales": scales.astype(mx.float16)}
    arrays |= {f"{words}.biases": biases.astype(mx.float16)}
    mx.save_safetensors(str(folder / "model.safetensors"), arrays, {"format": "mlx"})
    described = student_config(teacher.config) | {"quantization": settings}
    (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n")
    (folder / "tokenizer.json").write_text(tokenizer.backend.to_str())
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"wrote     {folder}, {size / 1e6:.2f} MB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
