"""Make `pico`, the language model that ships: a small Llama, trained on this package's own synthetic texts.

    python scripts/make_pico.py out=runs/make_pico steps=2000

Three steps, each resumed where it stopped: tokens (`pico_texts.documents`, a byte-level BPE trained on them, documents
packed into rows), training, and writing the folder `OUT/pico` that ships as `metapeft/backbones/pico`. Two runs of one
command have the same data in the same order. A run can be made longer: give it more steps, and it goes on.

The forward pass is written out here, because that of mlx-lm calls exp: on the CPU that would be most of the time (see
`metapeft.backbones.elementwise`). A test compares the two.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pico_texts import documents
from pydantic import BaseModel, ConfigDict, Field

from metapeft.backbones.elementwise import exp_of_minus, silu, softmax
from metapeft.backbones.load import PICO
from metapeft.cli import guard, parse
from metapeft.mlx import mx, optim, utils

WIDTH, BLOCKS, HEADS, INNER, VOCABULARY = 192, 4, 4, 384, 2_048
EPS, THETA, POSITIONS = 1e-5, 100_000.0, 1_024
PAD, BOS, EOS = 0, 1, 2
CHAT = (
    "{{ bos_token }}{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
)
SPECIAL = ["<pad>", "<bos>", "<eos>"]
ROW = 192  # tokens of a packed row, and the longest document
SAVE = 50  # steps between two saves

Weights = dict[str, mx.array]


class Config(BaseModel):
    """What the script takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    out: Path = Field(Path("runs/make_pico"), description="where everything goes; a second run goes on from it")
    documents: int = Field(60_000, ge=100, description="how many texts")
    rows: int = Field(8, ge=1, description="packed rows of a step")
    steps: int = Field(2_000, ge=1, description="of training; the schedule is stretched to them")
    rate: float = Field(0.005, gt=0, description="highest learning rate of Muon")
    adam_rate: float = Field(1e-3, gt=0, description="highest learning rate of AdamW: token embeddings and norms")
    seed: int = 0


def main(argv: Sequence[str] | None = None) -> int:
    return guard(lambda: run(parse(Config, sys.argv[1:] if argv is None else argv, prog="make_pico")))


def run(config: Config) -> int:
    config.out.mkdir(parents=True, exist_ok=True)
    rows = rows_of(config)
    print(f"rows      {len(rows):,} of {ROW} tokens, {(rows != PAD).mean():.1%} filled", flush=True)
    weights = train(config, rows)
    write(config, weights)
    return 0


# --- tokens


def rows_of(config: Config) -> np.ndarray:
    """Packed documents, int16 ``(rows, ROW + 1)``, filled with `PAD`; each begins with `BOS` and ends with `EOS`."""
    path = config.out / "rows.npy"
    if not path.exists():
        texts = documents(config.documents, config.seed)
        tokenizer = tokenizer_from(texts)
        tokenizer.save(str(config.out / "tokenizer.json"))
        encoded = tokenizer.encode_batch_fast(texts)
        np.save(path, packed([[*one.ids, EOS] for one in encoded]))
    return np.load(path)


def tokenizer_from(texts: Sequence[str]) -> Any:
    """A byte-level BPE: any text comes back as it was. Digits stand alone, so that numbers can be copied."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", BOS)]
    )
    return tokenizer


def packed(documents: Sequence[Sequence[int]], open_rows: int = 32) -> np.ndarray:
    """Documents in rows, each where it leaves least room of the rows still open; cut only at a row's length."""
    done: list[list[int]] = []
    rows: list[list[int]] = []
    for document in documents:
        document = list(document[: ROW + 1])
        fits = [row for row in rows if len(row) + len(document) <= ROW + 1]
        if fits:
            max(fits, key=len).extend(document)
            continue
        rows.append(document)
        if len(rows) > open_rows:
            fullest = max(range(len(rows)), key=lambda at: len(rows[at]))
            done.append(rows.pop(fullest))
    out = np.full((len(done) + len(rows), ROW + 1), PAD, np.int16)
    for at, row in enumerate(done + rows):
        out[at, : len(row)] = row
    return out


# --- the model


def described() -> dict[str, Any]:
    """Its ``config.json``."""
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "num_hidden_layers": BLOCKS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": WIDTH // HEADS,
        "intermediate_size": INNER,
        "hidden_act": "silu",
        "rms_norm_eps": EPS,
        "rope_theta": THETA,
        "max_position_embeddings": POSITIONS,
        "tie_word_embeddings": True,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
    }


def first_weights(seed: int) -> Weights:
    """Normal weights; what leaves a half block starts at zero, so that the model starts as its token embeddings."""
    rng = np.random.default_rng(seed)
    shapes = {
        "self_attn.q_proj": (WIDTH, WIDTH),
        "self_attn.k_proj": (WIDTH, WIDTH),
        "self_attn.v_proj": (WIDTH, WIDTH),
    }
    shapes |= {"self_attn.o_proj": (WIDTH, WIDTH), "mlp.gate_proj": (INNER, WIDTH), "mlp.up_proj": (INNER, WIDTH)}
    shapes |= {"mlp.down_proj": (WIDTH, INNER)}
    out = {"model.embed_tokens.weight": rng.normal(0, 0.05, (VOCABULARY, WIDTH)), "model.norm.weight": np.ones(WIDTH)}
    for block in range(BLOCKS):
        for name, shape in shapes.items():
            size = 0.0 if name.endswith(("o_proj", "down_proj")) else shape[1] ** -0.5
            out[f"model.layers.{block}.{name}.weight"] = rng.normal(0, size, shape) if size else np.zeros(shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            out[f"model.layers.{block}.{name}.weight"] = np.ones(WIDTH)
    _put_induction_heads(out, rng)
    return {path: mx.array(value.astype(np.float32)) for path, value in out.items()}


def _put_induction_heads(out: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    """Let block 0 look at the token before, and block 1 at what followed the same token earlier, and say that again.

    A model comes to copy when it has found these heads (Olsson et al. 2022), and a run as short as this may end before
    that. They are a start: training is free to change them. One head writes of what token the one
    before was; two heads look for it, each by half of that, and each copies a part of what it sees.
    """
    size, pairs = WIDTH // HEADS, WIDTH // HEADS // 2
    turns = THETA ** (-np.arange(pairs) / pairs)  # radians a place; entry f turns with entry f + pairs
    fast = np.arange(pairs // 4)  # by these, places are told apart
    slow = np.r_[pairs // 2 : pairs, pairs + pairs // 2 : size]  # these compare tokens, wherever they stand
    out["model.embed_tokens.weight"][:, 0] = 0.25  # known of every token, so that a head can look by place alone
    basis = np.zeros((WIDTH - 1, WIDTH))
    basis[:, 1:] = np.linalg.qr(rng.normal(size=(WIDTH - 1, WIDTH - 1)))[0]  # orthonormal rows, none along that entry
    read, written = basis[:size], basis[-size:]
    query, key, value, output = (out[f"model.layers.0.self_attn.{name}_proj.weight"] for name in "qkvo")
    query[:size], key[:size] = 0, 0
    query[fast, 0] = 1.5
    key[fast, 0], key[fast + pairs, 0] = 1.5 * np.cos(turns[fast]), 1.5 * np.sin(turns[fast])
    value[:size], output[:, :size] = read, 0.08 * written.T
    query, key, value, output = (out[f"model.layers.1.self_attn.{name}_proj.weight"] for name in "qkvo")
    for head in range(2):
        own, half = head * size + np.arange(size), head * pairs + np.arange(pairs)
        query[own], key[own] = 0, 0
        query[own[slow]], key[own[slow]] = 3 * read[half], 3 * written[half]
        value[own], output[:, own] = basis[own], 0.3 * basis[own].T


def logits_of(weights: Mapping[str, mx.array], tokens: mx.array) -> mx.array:
    """What mlx-lm's Llama gives: ``(n, length, VOCABULARY)`` for token ids ``(n, length)``."""
    n, length = tokens.shape
    hidden_from = mx.triu(mx.full((length, length), -1e4), k=1)  # of the future

    def heads(x: mx.array) -> mx.array:
        return x.reshape(n, length, HEADS, -1).transpose(0, 2, 1, 3)

    def turned(x: mx.array) -> mx.array:
        return mx.fast.rope(heads(x), WIDTH // HEADS, traditional=False, base=THETA, scale=1.0, offset=0)

    x = weights["model.embed_tokens.weight"][tokens]
    for block in range(BLOCKS):
        own = {name: weights[f"model.layers.{block}.{name}.weight"] for name in _NAMES}
        y = mx.fast.rms_norm(x, own["input_layernorm"], EPS)
        q, k, v = (y @ own[f"self_attn.{name}_proj"].T for name in "qkv")
        scores = (turned(q) * (WIDTH // HEADS) ** -0.5) @ turned(k).swapaxes(-1, -2) + hidden_from
        mixed = (softmax(scores) @ heads(v)).transpose(0, 2, 1, 3).reshape(n, length, WIDTH)
        x = x + mixed @ own["self_attn.o_proj"].T
        y = mx.fast.rms_norm(x, own["post_attention_layernorm"], EPS)
        x = x + (silu(y @ own["mlp.gate_proj"].T) * (y @ own["mlp.up_proj"].T)) @ own["mlp.down_proj"].T
    return mx.fast.rms_norm(x, weights["model.norm.weight"], EPS) @ weights["model.embed_tokens.weight"].T


_NAMES = (
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
    "input_layernorm",
    "post_attention_layernorm",
)


def loss_of(weights: Mapping[str, mx.array], rows: mx.array) -> mx.array:
    """Mean of minus the log probability of each next token, over the tokens that are not padding."""
    logits, goal = logits_of(weights, rows[:, :-1]), rows[:, 1:]
    top = mx.stop_gradient(mx.max(logits, axis=-1, keepdims=True))
    odds: Any = exp_of_minus(top - logits)
    every = top[..., 0] + mx.log(mx.sum(odds, axis=-1))
    own = mx.take_along_axis(logits, goal[..., None], axis=-1)[..., 0]
    real = goal != PAD
    return mx.sum((every - own) * real) / mx.sum(real)


# --- training


def train(config: Config, rows: np.ndarray) -> Weights:
    """Muon (Jordan et al. 2024) for the matrices of the blocks: it needs fewer tokens than AdamW, which has the rest.

    The learning rates rise over the first 2 % of the steps and fall to zero over the last 60 %.
    """
    path = config.out / "state.safetensors"
    weights = first_weights(config.seed)
    matrices = [name for name, value in weights.items() if value.ndim == 2 and "embed" not in name]
    groups = (matrices, [name for name in weights if name not in matrices])
    muon = optim.Muon(config.rate, momentum=0.95, weight_decay=0.0)
    adam = optim.AdamW(config.adam_rate, betas=[0.9, 0.98], weight_decay=0.0)
    for optimizer, names in zip((muon, adam), groups, strict=True):
        optimizer.init({_key(name): weights[name] for name in names})
    step = 0
    if path.exists():
        loaded: Any = mx.load(str(path), return_metadata=True)
        saved, facts = loaded
        weights = {name.removeprefix("w/"): value for name, value in saved.items() if name.startswith("w/")}
        for optimizer, own in ((muon, "muon/"), (adam, "adam/")):
            tree = [(name.removeprefix(own), value) for name, value in saved.items() if name.startswith(own)]
            optimizer.state = utils.tree_unflatten(tree)
        step = int(facts["step"])

    def one(weights: Weights, batch: mx.array) -> tuple[mx.array, Weights]:
        loss, grads = mx.value_and_grad(loss_of)(weights, batch)
        grads, _ = optim.clip_grad_norm(grads, 1.0)
        out = {}
        for optimizer, names in zip((muon, adam), groups, strict=True):
            given = ({_key(name): tree[name] for name in names} for tree in (grads, weights))
            found = optimizer.apply_gradients(*given)
            out |= {name: found[_key(name)] for name in names}
        return loss, out

    states = [muon.state, adam.state]
    update = mx.compile(one, inputs=states, outputs=states)
    per_pass = len(rows) // config.rows
    order, order_of = np.zeros(0, int), -1
    began, losses, tokens = time.perf_counter(), [], 0
    while step < config.steps:
        if step // per_pass != order_of:
            order_of = step // per_pass
            order = np.random.default_rng([config.seed, order_of]).permutation(len(rows))
        at = step % per_pass * config.rows
        batch = rows[order[at : at + config.rows]].astype(np.int32)
        done = step / config.steps
        share = min((step + 1) / (0.02 * config.steps), 1.0, (1 - done) / 0.6)
        for optimizer, rate in ((muon, config.rate), (adam, config.adam_rate)):
            optimizer.learning_rate = mx.array(rate * share)
        loss, weights = update(weights, mx.array(batch))
        mx.eval(loss, weights, states)
        step += 1
        losses.append(loss.item())
        tokens += int((batch != PAD).sum())
        if step % SAVE == 0 or step == config.steps:
            speed = tokens / (time.perf_counter() - began)
            print(f"  step {step:,}, loss {np.mean(losses):.4f}, {speed:,.0f} tokens/s", flush=True)
            _save(path, weights, (muon, adam), step)
            began, losses, tokens = time.perf_counter(), [], 0
    return weights


def _key(name: str) -> str:
    """A name without dots: mlx's optimizers would read those as a tree."""
    return name.replace(".", "/")


def _save(path: Path, weights: Weights, optimizers: tuple[Any, Any], step: int) -> None:
    arrays: dict[str, mx.array] = {f"w/{name}": value for name, value in weights.items()}
    for optimizer, own in zip(optimizers, ("muon/", "adam/"), strict=True):
        flat: Any = utils.tree_flatten(optimizer.state)
        arrays |= {f"{own}{name}": value for name, value in flat}
    temporary = path.with_name("state.tmp.safetensors")
    mx.save_safetensors(str(temporary), arrays, {"step": str(step)})
    temporary.replace(path)


def write(config: Config, weights: Weights) -> None:
    """The folder that ships, but for its card; float16."""
    folder = config.out / PICO.name
    folder.mkdir(exist_ok=True)
    halves = {name: value.astype(mx.float16) for name, value in weights.items()}
    mx.save_safetensors(str(folder / "model.safetensors"), halves, {"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(described(), indent=2) + "\n")
    shutil.copy(config.out / "tokenizer.json", folder / "tokenizer.json")
    names = dict(zip(("pad_token", "bos_token", "eos_token"), SPECIAL, strict=True))
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": POSITIONS, **names}
    told["clean_up_tokenization_spaces"] = False
    told["chat_template"] = CHAT  # mlx-lm asks for one: what it renders is a prompt and its target, as learned here
    (folder / "tokenizer_config.json").write_text(json.dumps(told, indent=2) + "\n")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"wrote     {folder}, {size / 1e6:.2f} MB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
