"""Measure a small encoder against its teacher: frozen prototype accuracy and speed.

    python scripts/measure_nano.py student=nano teacher=sentence-transformers/all-MiniLM-L6-v2

Accuracy: 5-way 5-shot with 15 query examples a class (a class with fewer gives what it has), 600 episodes over all
classes, on CLINC150 (without the out-of-scope class), BANKING77 and HWU64. Support examples are from the training
split, queries from the test split; every encoder sees the same episodes. A text's vector is the mean over its tokens,
brought to length 1; a prototype is the mean of five such vectors, and the query goes to the nearest by angle, as
`heads.cosine_head` does.

A static baseline stands beside them: the mean of the teacher's word embeddings, without special tokens, on their first
128 principal components. It says how much of the accuracy is in the words alone.

Speed: student and teacher take turns, so that both meet the machine's slow moments; the ratio is the median over turns.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, cli
from metapeft.backbones.bert import Bert
from metapeft.backbones.load import folder_of, load_bert
from metapeft.backbones.tokens import tokenizer_of
from metapeft.evaluation.intervals import bootstrap_interval
from metapeft.mlx import mx
from metapeft.tasks.padding import pad_rows
from metapeft.tasks.pool import Ragged
from metapeft.tokenization.tokenizer import encode_texts, load_tokenizer

DESCRIPTION = "Frozen prototype accuracy on three intent datasets, and speed, of a student and its teacher."
EXAMPLES = ["python scripts/measure_nano.py", "python scripts/measure_nano.py student=runs/distill_nano/nano"]
# name: (repository, what else `load_dataset` takes, label column, label that is left out)
DATASETS: dict[str, tuple[str, dict[str, Any], str, str | None]] = {
    "CLINC150": ("clinc/clinc_oos", {"name": "plus"}, "intent", "oos"),
    "BANKING77": ("PolyAI/banking77", {"revision": "refs/convert/parquet", "data_dir": "default"}, "label", None),
    "HWU64": ("krishnamrithCam/fastfit_hwu_64", {}, "label", None),
}
WAYS, SHOTS, QUERY = 5, 5, 15
MAX_TOKENS = 128
BATCH, LENGTH = 64, 32  # of the batches whose speed is read
BUDGET = 4096  # tokens of a batch of real texts
COMPONENTS = 128


class Config(BaseModel):
    """What the script takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    student: str = Field(default="nano", description="nano, a folder or a Hub id; an encoder of the BERT family")
    teacher: str = Field(default="sentence-transformers/all-MiniLM-L6-v2", description="folder or Hub id, likewise")
    out: str | None = Field(default=None, description="folder of the result; default runs/measure_nano/<student>")
    episodes: int = Field(default=600, ge=1, description="episodes of each dataset")
    turns: int = Field(default=9, ge=1, description="turns of the speed measurement")
    seed: int = Field(default=0, ge=0, description="of episodes, intervals and random tokens")


class Split(NamedTuple):
    """Texts and their labels as integers ``(n,)``."""

    texts: list[str]
    labels: np.ndarray


class Encoder(NamedTuple):
    """An encoder and its texts.

    Attributes:
        bert: frozen.
        tokens: texts to token ids.
    """

    bert: Bert
    tokens: Callable[[Sequence[str]], Ragged]


def run(config: Config) -> int:
    """Run the script.

    Raises:
        MetapeftError: an encoder is missing.
    """
    encoders = {"student": open_encoder(config.student), "teacher": open_encoder(config.teacher)}
    words = components_of(encoders["teacher"].bert)
    accuracy: dict[str, dict[str, Any]] = {"student": {}, "teacher": {}, "bag of words": {}}
    real_texts: list[str] = []
    for name in DATASETS:
        support, query = (load_split(name, split) for split in ("train", "test"))
        real_texts += query.texts
        episodes = draw_episodes(support.labels, query.labels, config.episodes, np.random.default_rng(config.seed))
        vectors = {
            who: [embed(encoder, split.texts) for split in (support, query)] for who, encoder in encoders.items()
        }
        bag = encoders["teacher"].tokens
        vectors["bag of words"] = [bag_of_words(bag(split.texts), words) for split in (support, query)]
        for who, (of_support, of_query) in vectors.items():
            scores = [episode_accuracy(of_support, of_query, *episode) for episode in episodes]
            low, high = bootstrap_interval(np.array(scores), np.random.default_rng(config.seed))
            accuracy[who][name] = {"mean": float(np.mean(scores)), "ci95": [float(low), float(high)]}
            print(f"{name:10} {who:13} {_percent(accuracy[who][name])}", flush=True)
    speed = measure_speed(encoders, real_texts, config)
    result = {
        "script": "measure_nano",
        "config": config.model_dump(exclude={"out"}),
        "episodes": {"ways": WAYS, "shots": SHOTS, "query": QUERY, "count": config.episodes},
        "accuracy": accuracy,
        "speed": speed,
        "encoders": {who: facts_of(encoder.bert) for who, encoder in encoders.items()},
    }
    out = Path(config.out) if config.out else Path("runs/measure_nano") / Path(config.student).name
    card = card_block(result)
    atomic.write_text(out / "result.json", atomic.canonical_json(result))
    atomic.write_text(out / "card.md", card)
    show(result)
    print(f"\nfor the model card ({out / 'card.md'}):\n\n{card}")
    return 0


# --- data and episodes


def load_split(name: str, split: str) -> Split:
    """A split of a dataset; labels are numbered by name, so that both splits agree."""
    import datasets

    datasets.disable_progress_bars()
    path, settings, column, left_out = DATASETS[name]
    rows = datasets.load_dataset(path, split=split, **settings)
    kind = rows.features[column]
    names = [kind.int2str(label) if hasattr(kind, "int2str") else label for label in rows[column]]
    kept = [(text, label) for text, label in zip(rows["text"], names, strict=True) if label != left_out]
    number = {label: i for i, label in enumerate(sorted({label for _, label in kept}))}
    return Split([text for text, _ in kept], np.array([number[label] for _, label in kept]))


def draw_episodes(
    support: np.ndarray, query: np.ndarray, count: int, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Row ids of episodes.

    Support: for each episode, every choice of `WAYS` distinct classes, and of distinct rows of each.

    Args:
        support: labels of the support split ``(n,)``; every class has at least `SHOTS` rows.
        query: labels of the query split ``(m,)``; a class with fewer than `QUERY` rows gives all it has.
        count: how many.
        rng: draws them.

    Returns:
        For each, support rows ``(WAYS, SHOTS)``, query rows ``(q,)`` and the places of their classes ``(q,)``.
    """
    pools = [[np.flatnonzero(labels == c) for c in range(support.max() + 1)] for labels in (support, query)]
    episodes = []
    for _ in range(count):
        classes = rng.choice(len(pools[0]), WAYS, replace=False)
        shots = np.stack([rng.choice(pools[0][c], SHOTS, replace=False) for c in classes])
        asked = [rng.choice(pools[1][c], min(QUERY, len(pools[1][c])), replace=False) for c in classes]
        episodes.append((shots, np.concatenate(asked), np.repeat(np.arange(WAYS), [len(rows) for rows in asked])))
    return episodes


def episode_accuracy(
    support: np.ndarray, query: np.ndarray, shots: np.ndarray, asked: np.ndarray, places: np.ndarray
) -> float:
    """Accuracy of cosine prototypes on vectors of length 1, ``(n, d)`` and ``(m, d)``; see `draw_episodes`."""
    prototypes = unit(support[shots].mean(axis=1))
    return float(((query[asked] @ prototypes.T).argmax(axis=1) == places).mean())


# --- encoders


def open_encoder(name: str) -> Encoder:
    """An encoder of the BERT family with its tokenizer."""
    tokenizer = load_tokenizer(tokenizer_of(name))
    return Encoder(load_bert(name), lambda texts: encode_texts(tokenizer, texts, MAX_TOKENS).x)


def embed(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
    """Vectors of length 1, float32 ``(n, d)``: the mean over tokens of the last hidden states."""
    tokens = encoder.tokens(texts)
    out = np.zeros((len(texts), encoder.bert.hidden_size), np.float32)
    for rows in batches_of(tokens):
        out[rows] = np.array(encode(encoder.bert, *pad_rows(tokens, rows, 0)))
    return unit(out)


def batches_of(tokens: Ragged) -> list[np.ndarray]:
    """Row ids by length, cut into batches of about `BUDGET` tokens."""
    lengths = tokens.lengths()
    order = np.argsort(lengths, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(np.cumsum(lengths[order]) // BUDGET)) + 1)


def encode(bert: Bert, tokens: np.ndarray, lengths: np.ndarray) -> mx.array:
    """Features of token ids int32 ``(n, length)`` of these lengths ``(n,)``."""
    return bert.features(bert.prefix(tokens, lengths))


def components_of(bert: Bert) -> np.ndarray:
    """Word embeddings about their mean, on their first `COMPONENTS` principal components."""
    table = np.array(bert.weights["embeddings.word_embeddings.weight"], np.float64)
    table -= table.mean(axis=0)
    _, directions = np.linalg.eigh(table.T @ table)
    return (table @ directions[:, ::-1][:, :COMPONENTS]).astype(np.float32)


def bag_of_words(tokens: Ragged, table: np.ndarray) -> np.ndarray:
    """Mean of each text's word vectors, without its first and last (special) token, brought to length 1."""
    rows = (tokens.row(i)[1:-1] for i in range(len(tokens)))
    return unit(np.stack([table[row].mean(axis=0) if len(row) else table[0] for row in rows]))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors ``(..., d)`` brought to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


# --- speed and size


def measure_speed(encoders: dict[str, Encoder], texts: list[str], config: Config) -> dict[str, Any]:
    """Texts a second of each encoder and the ratio, on full batches and on a sample of real texts."""
    rng = np.random.default_rng(config.seed)
    low = min(encoder.bert.config.vocab_size for encoder in encoders.values())
    batch = rng.integers(low // 2, low, (BATCH, LENGTH)).astype(np.int32)
    full = np.full(BATCH, LENGTH)
    sample = [texts[i] for i in rng.choice(len(texts), min(512, len(texts)), replace=False)]

    def on_batch(encoder: Encoder) -> None:
        mx.eval(encode(encoder.bert, batch, full))

    def on_texts(encoder: Encoder) -> None:  # tokenization is part of it
        embed(encoder, sample)

    return {
        f"batches of {BATCH} x {LENGTH} tokens": in_turns(encoders, on_batch, BATCH, config.turns),
        "real texts, tokenization included": in_turns(encoders, on_texts, len(sample), config.turns),
    }


def in_turns(encoders: dict[str, Encoder], work: Callable[[Encoder], None], count: int, turns: int) -> dict[str, float]:
    """Medians over turns: texts a second of student and teacher, and how many times as fast the student is."""
    seconds: dict[str, list[float]] = {who: [] for who in encoders}
    for turn in range(turns + 1):
        for who, encoder in encoders.items():
            began = time.perf_counter()
            work(encoder)
            if turn:  # the first turn compiles
                seconds[who].append(time.perf_counter() - began)
    rates = {who: count / statistics.median(times) for who, times in seconds.items()}
    pairs = zip(seconds["teacher"], seconds["student"], strict=True)
    return rates | {"ratio": statistics.median(slow / fast for slow, fast in pairs)}


def facts_of(bert: Bert) -> dict[str, Any]:
    """Sizes of an encoder."""
    files = folder_of(bert.name).glob("*.safetensors")
    return {
        "name": bert.name,
        "digest": bert.digest,
        "blocks": len(bert.layers),
        "hidden_size": bert.hidden_size,
        "parameters": sum(weight.size for weight in bert.weights.values()),
        "weights_bytes": sum(path.stat().st_size for path in files),
    }


# --- tables


def _percent(figure: dict[str, Any]) -> str:
    low, high = figure["ci95"]
    return f"{100 * figure['mean']:.1f} ± {50 * (high - low):.1f}"


def _lines(result: dict[str, Any]) -> list[list[str]]:
    """Header and lines of the table: what, student, teacher, words."""
    accuracy, sizes, speed = result["accuracy"], result["encoders"], result["speed"]
    lines = [["", "student", "teacher", "bag of words"]]
    for name in DATASETS:
        lines.append([f"{name}, %", *(_percent(accuracy[who][name]) for who in lines[0][1:])])
    for what, rates in speed.items():
        ratio = f"{rates['student']:,.0f} ({rates['ratio']:.2f} x)"
        lines.append([f"texts/s, {what}", ratio, f"{rates['teacher']:,.0f}", ""])
    both = [sizes[who] for who in ("student", "teacher")]
    lines.append(["blocks x width", *(f"{facts['blocks']} x {facts['hidden_size']}" for facts in both), ""])
    lines.append(["parameters, millions", *(f"{facts['parameters'] / 1e6:.1f}" for facts in both), ""])
    lines.append(["weights on disk, MB", *(f"{facts['weights_bytes'] / 1e6:.1f}" for facts in both), ""])
    return lines


def card_block(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    header, *lines = _lines(result)
    names = [result["encoders"][who]["name"].rstrip("/").rpartition("/")[2] for who in ("student", "teacher")]
    rows = [["", f"`{names[0]}`", f"`{names[1]}`", header[3]], ["---"] + ["---:"] * 3, *lines]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return (
        f"{table}\n\n"
        f"Frozen prototype accuracy: {WAYS}-way {SHOTS}-shot, {QUERY} queries a class (a class with fewer gives what "
        f"it has), {result['episodes']['count']} episodes over all classes, support from the training split and "
        "queries from the test split, ± half the width of a 95 % bootstrap interval. Mean over tokens, cosine "
        f"prototypes. Bag of words: mean of the teacher's word embeddings on {COMPONENTS} principal components. Speeds "
        "are of one machine, in turns; the ratio is what carries over.\n"
    )


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    header, *lines = _lines(result)
    table = Table(box=box.SIMPLE)
    for place, name in enumerate(header):
        table.add_column(name, justify="right" if place else "left")
    for line in lines:
        table.add_row(*line)
    (Console() if sys.stdout.isatty() else Console(width=120)).print(table)


def main(argv: list[str] | None = None) -> int:
    """Entry point of the script."""
    return cli.run(run, Config, argv, prog="measure_nano", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
