"""All classes of a benchmark at once: fixed few-shot training texts, a validation set to choose on, a test set.

    python scripts/full_way.py train=BANKING77/train_5 valid=BANKING77/valid \\
        backbone=sentence-transformers/all-MiniLM-L6-v2

A folder holds a text a line in `seq.in` and its label on the same line of `label`, as
https://github.com/jianguoz/Few-Shot-Intent-Detection has them. The rows are classifiers on features of

- ``frozen``: the backbone
- ``static``: the backbone with the learned base of a checkpoint of `metapeft train`
- ``tuned``: the backbone with LoRA trained on the training texts themselves, one run a seed: supervised contrastive
  loss (Khosla et al., "Supervised contrastive learning", 2020) as in SetFit (Tunstall et al., "Efficient few-shot
  learning without prompts", 2022), Adam, random words left out
- ``both``: frozen and tuned features side by side

and the classifiers are prototypes (`heads.cosine_head`), ridge regression (`heads.ridge_head`) and logistic regression
(scikit-learn), each with and without the classes' names as further examples.
``tuned`` knows the names, or not, from its training on. Choose on `valid`; with `test` nothing is chosen.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, cli
from metapeft.adapters.lora import LoraConfig, first_layer, random_adapter
from metapeft.adapting.starts import NONE, open_start
from metapeft.backbones.backbone import Adapter, Backbone
from metapeft.backbones.load import load_backbone
from metapeft.backbones.tokens import tokenizer_of
from metapeft.errors import MetapeftError, SourceError
from metapeft.evaluation.baselines import MOST_ITERATIONS, scikit_learn
from metapeft.heads import Head, cosine_head, ridge_head
from metapeft.heads.head import unit
from metapeft.meta.inner_loop import Learner
from metapeft.meta.learner import adam, rates_for
from metapeft.mlx import mx, optim
from metapeft.tasks.padding import pad_rows
from metapeft.tokenization.tokenizer import LoadedTokenizer, encode_texts, label_words, load_tokenizer

MAX_TOKENS = 64
BLOCK = 64  # texts that run together when features are read
CLIP = 1.0  # largest norm of a gradient
WARMUP = 10  # steps over which the learning rate rises; it falls in a straight line to 0 over all of them
# Inverse strength of the penalty of the logistic regression. On frozen features of all-MiniLM-L6-v2 with names, after
# BANKING77/train_5, accuracy on BANKING77/valid is 76.4 at 1, 81.4 at 10, 81.6 at 30, 81.7 at 100.
C = 10.0
HEADS = ("prototype", "ridge", "logistic")


class Config(BaseModel):
    """What the script takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    train: str = Field(description="folder of the training texts, all that anything is fitted on")
    valid: str | None = Field(default=None, description="folder of the texts that settings are chosen on")
    test: str | None = Field(default=None, description="folder of the test texts; give it once, at the end")
    backbone: str = Field(default="nano", description="nano, a folder or a Hub id")
    checkpoint: str | None = Field(
        default=None, description="a checkpoint not trained on these texts, for rows 'static'"
    )
    seeds: Annotated[list[int], Field(min_length=1)] = Field(default=[0], description="of the rows 'tuned', a run each")
    steps: int = Field(default=50, ge=0, description="gradient steps on the training texts; 0 leaves 'tuned' out")
    rate: float = Field(default=1e-3, gt=0, description="learning rate of Adam at its highest")
    rank: int = Field(default=16, ge=1, description="LoRA rank")
    num_layers: int = Field(default=6, ge=1, description="how many of the last blocks carry an adapter")
    keys: list[str] | None = Field(default=None, description="linear maps that carry one; default query and value")
    classes: int = Field(default=16, ge=2, description="classes of a batch")
    each: int = Field(default=4, ge=2, description="examples of a class in a batch, its name among them")
    temperature: float = Field(default=20.0, gt=0, description="cosines are multiplied by it in the loss")
    drop: float = Field(default=0.1, ge=0, lt=1, description="share of the tokens that is left out at each step")
    names: bool = Field(default=True, description="whether 'tuned' knows the classes' names")
    out: str | None = Field(default=None, description="folder of result.json; default none is written")


class Texts(NamedTuple):
    """Texts as a backbone takes them, and their classes.

    Attributes:
        x: token ids, int32 ``(n, length)``, padded on the right.
        lengths: tokens of each row, int32 ``(n,)``.
        y: class ids, int32 ``(n,)``.
    """

    x: np.ndarray
    lengths: np.ndarray
    y: np.ndarray


def read_folder(folder: str | Path) -> tuple[list[str], list[str]]:
    """Texts and labels of a split.

    Raises:
        SourceError: a file is missing, there is no text, or the two files have different numbers of lines.
    """
    try:
        read = [(Path(folder) / name).read_text(encoding="utf-8") for name in ("seq.in", "label")]
    except OSError as error:
        raise SourceError(f"{folder}: {error}; a split is a folder with the files seq.in and label") from None
    texts, labels = ([line.strip() for line in text.removesuffix("\n").split("\n")] for text in read)
    if not all(texts) or len(texts) != len(labels):
        raise SourceError(f"{folder}: {len(texts)} lines in seq.in and {len(labels)} in label, or an empty text")
    return texts, labels


def classes_of(labels: Sequence[str], known: Sequence[str], folder: str) -> np.ndarray:
    """Class ids int32 ``(n,)``: places in `known`.

    Raises:
        SourceError: a label that no training text has.
    """
    place = {name: index for index, name in enumerate(known)}
    if strange := sorted(set(labels) - set(place)):
        raise SourceError(f"{folder}: no training text has the label '{strange[0]}' ({len(strange)} such labels)")
    return np.array([place[label] for label in labels], np.int32)


def encode(tokenizer: LoadedTokenizer, texts: Sequence[str], y: np.ndarray) -> Texts:
    """Token ids of texts; what is longer than `MAX_TOKENS` is cut."""
    tokens = encode_texts(tokenizer, texts, MAX_TOKENS)
    x, lengths = pad_rows(tokens.x, np.arange(len(texts)), tokenizer.pad_id, MAX_TOKENS)
    return Texts(x, lengths, y)


def joined(one: Texts, two: Texts) -> Texts:
    """The texts of both, one after the other."""
    width = max(one.x.shape[1], two.x.shape[1])
    x = [np.pad(texts.x, ((0, 0), (0, width - texts.x.shape[1]))) for texts in (one, two)]
    return Texts(np.concatenate(x), np.concatenate([one.lengths, two.lengths]), np.concatenate([one.y, two.y]))


def features(learner: Learner, adapter: Adapter | None, texts: Texts) -> np.ndarray:
    """Features of unit length, float32 ``(n, d)``."""
    order = np.argsort(texts.lengths, kind="stable")  # texts of like length together: less to compute
    out = np.empty((len(order), learner.backbone.hidden_size), np.float32)
    for start in range(0, len(order), BLOCK):
        rows = order[start : start + BLOCK]
        hidden = learner.backbone.prefix(texts.x[rows], texts.lengths[rows], learner.depth)
        out[rows] = np.array(unit(learner.features_now(adapter, hidden)))
    return out


# --- classifiers on features


class Seen(NamedTuple):
    """Features under one adapter, of unit length: of training texts, of the texts asked for, of the classes' names."""

    train: np.ndarray
    asked: dict[str, np.ndarray]
    names: np.ndarray

    def beside(self, other: Seen) -> Seen:
        """Both side by side, of unit length again."""
        pair = lambda a, b: np.concatenate([a, b], axis=1) / np.float32(2**0.5)  # noqa: E731
        asked = {split: pair(self.asked[split], other.asked[split]) for split in self.asked}
        return Seen(pair(self.train, other.train), asked, pair(self.names, other.names))


def classify(seen: Seen, y: np.ndarray, head: str, named: bool) -> dict[str, np.ndarray]:
    """Class ids of the texts asked for, by split.

    Args:
        seen: features.
        y: class ids of the training texts, every class among them.
        head: one of `HEADS`.
        named: whether the classes' names are examples too.

    Raises:
        MetapeftError: scikit-learn is missing.
    """
    if head == "logistic":
        regression, _ = scikit_learn()
        x = np.concatenate([seen.train, seen.names]) if named else seen.train
        labels = np.concatenate([y, np.arange(len(seen.names))]) if named else y
        fitted = regression(C=C, max_iter=MOST_ITERATIONS).fit(x, labels)
        return {split: fitted.predict(asked) for split, asked in seen.asked.items()}
    made: Head = {"prototype": cosine_head, "ridge": ridge_head}[head]()
    names = mx.array(seen.names) if named else None
    params = made.init(mx.array(seen.train), mx.array(y), len(seen.names), None, names)
    logits = {split: made.logits(params, mx.array(asked)) for split, asked in seen.asked.items()}
    return {split: np.argmax(np.array(value), axis=1) for split, value in logits.items()}


# --- training on the training texts


def contrastive_loss(x: mx.array, y: mx.array, temperature: float) -> mx.array:
    """Supervised contrastive loss, a scalar: every text is to be nearest to those of its class.

    Args:
        x: features of unit length, float32 ``(n, d)``.
        y: class ids, int32 ``(n,)``; each of two texts at least.
        temperature: cosines are multiplied by it.

    References:
        Khosla et al., "Supervised contrastive learning" (2020), the loss with the sum outside the logarithm.
    """
    itself = mx.eye(len(y))
    same = (y[:, None] == y[None]) - itself
    similar = temperature * (x @ x.T)
    log_share = similar - mx.logsumexp(similar - 1e9 * itself, axis=1, keepdims=True)
    return -mx.mean(mx.sum(same * log_share, axis=1) / mx.sum(same, axis=1))


def batches(y: np.ndarray, classes: int, each: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Rows of one batch after another, `each` of some classes: all classes come once before any comes again.

    Args:
        y: class ids ``(n,)``, two of each class at least.
        classes: in a batch; all of them where there are fewer.
        each: rows of a class, or all that it has.
        rng: draws them.
    """
    rows = [np.flatnonzero(y == label) for label in np.unique(y)]
    classes = min(classes, len(rows))
    while True:
        order = rng.permutation(len(rows))
        for start in range(0, len(order) - classes + 1, classes):
            own = [rows[place] for place in order[start : start + classes]]
            yield np.concatenate([rng.choice(group, min(each, len(group)), replace=False) for group in own])


def thinned(
    x: np.ndarray, lengths: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Texts with a share of their tokens left out at random; the first and the last token stay, and one between.

    Args:
        x: token ids, int32 ``(n, length)``.
        lengths: tokens of each row ``(n,)``.
        share: how likely each token is left out.
        rng: draws.

    Returns:
        As `x` and `lengths`, copies.
    """
    x, lengths = x.copy(), lengths.copy()
    for row, length in enumerate(lengths):
        kept = rng.random(length) >= share
        kept[[0, -1]] = True
        if length > 2 and not kept[1:-1].any():
            kept[rng.integers(1, length - 1)] = True
        tokens = x[row, :length][kept]
        x[row, : len(tokens)], x[row, len(tokens) : length] = tokens, 0
        lengths[row] = len(tokens)
    return x, lengths


def tune(backbone: Backbone, texts: Texts, config: Config, seed: int) -> tuple[Learner, Adapter, list[float]]:
    """Train an adapter on labelled texts.

    Args:
        backbone: frozen.
        texts: two of each class at least; names of classes may be among them.
        config: steps, rate, adapter, batches.
        seed: of the adapter's start, the batches and the tokens left out.

    Returns:
        What the adapter acts on, the adapter, and the loss before each step.

    Raises:
        MetapeftError: a class has one text only, or a loss is not finite.
    """
    if np.bincount(texts.y).min() < 2:
        raise MetapeftError("a class has one text only: give names=true, or steps=0 to leave 'tuned' out")
    lora = LoraConfig(
        config.rank, 1.0, min(config.num_layers, len(backbone.layers)), config.keys and tuple(config.keys)
    )
    adapter = random_adapter(backbone, lora, mx.random.key(seed))
    learner = Learner(backbone, cosine_head(), lora.scale, first_layer(backbone, adapter))
    rng, optimizer = np.random.default_rng(seed), adam()

    def loss(adapter: Adapter, hidden: Any, y: mx.array) -> mx.array:
        return contrastive_loss(unit(learner.features(adapter, hidden)), y, config.temperature)

    def step(adapter: Adapter, state: Any, rates: Any, hidden: Any, y: mx.array) -> tuple[Adapter, Any, mx.array]:
        value, grads = mx.value_and_grad(loss)(adapter, hidden, y)
        grads, _ = optim.clip_grad_norm(grads, CLIP)
        adapter, state = optimizer.update(adapter, grads, rates, state)
        return adapter, state, value

    compiled = mx.compile(step)
    share = np.minimum(1.0, (np.arange(config.steps) + 1) / WARMUP) * (1 - np.arange(config.steps) / config.steps)
    rate: Any = mx.array((config.rate * share).astype(np.float32))
    rates = rates_for(adapter, config.steps, rate)
    state, losses = optimizer.init(adapter), []
    drawn = batches(texts.y, config.classes, config.each, rng)
    for rates_now, rows in zip(rates, drawn, strict=False):
        x, lengths = thinned(texts.x[rows], texts.lengths[rows], config.drop, rng)
        hidden = backbone.prefix(x, lengths, learner.depth)
        adapter, state, value = compiled(adapter, state, rates_now, hidden, mx.array(texts.y[rows]))
        mx.eval(adapter, state, value)
        losses.append(float(value))
        if not np.isfinite(losses[-1]):
            raise MetapeftError(f"the loss is {losses[-1]} after {len(losses) - 1} steps\n  lower rate")
    return learner, adapter, losses


# --- the table


def run(config: Config) -> int:
    """Run the script.

    Raises:
        MetapeftError: neither valid nor test, a split or backbone is not there, or scikit-learn is missing.
    """
    scikit_learn()
    given = {"valid": config.valid, "test": config.test}
    folders = {split: folder for split, folder in given.items() if folder is not None}
    if not folders:
        raise MetapeftError("give valid=FOLDER to choose on, or test=FOLDER to read the result")
    texts, labels = read_folder(config.train)
    known = sorted(set(labels))
    backbone = load_backbone(config.backbone)
    tokenizer = load_tokenizer(tokenizer_of(config.backbone))
    train = encode(tokenizer, texts, classes_of(labels, known, config.train))
    names = encode(tokenizer, [label_words(name) for name in known], np.arange(len(known), dtype=np.int32))
    asked: dict[str, Texts] = {}
    for split, folder in folders.items():
        own, own_labels = read_folder(folder)
        if repeated := len(set(own) & set(texts)):
            print(f"note: {repeated} texts of {folder} stand in {config.train} too")
        asked[split] = encode(tokenizer, own, classes_of(own_labels, known, folder))
    print(f"{len(texts)} training texts of {len(known)} classes")

    def look(learner: Learner, adapter: Adapter | None) -> Seen:
        read = {split: features(learner, adapter, own) for split, own in asked.items()}
        return Seen(features(learner, adapter, train), read, features(learner, adapter, names))

    rows: dict[str, dict[str, list[float]]] = {}

    def score(what: str, seen: Seen, named: bool) -> None:
        for head in HEADS:
            name = f"{what}, {head}" + " + names" * named
            for split, said in classify(seen, train.y, head, named).items():
                right = 100 * float(np.mean(said == asked[split].y))
                rows.setdefault(name, {}).setdefault(split, []).append(right)

    frozen = look(Learner(backbone, cosine_head(), 1.0, len(backbone.layers)), None)
    for named in (False, True):
        score("frozen", frozen, named)
    if config.checkpoint is not None and config.checkpoint != NONE:
        begin = open_start(config.checkpoint, config.backbone)
        static = look(begin.setup.learner._replace(backbone=backbone), begin.meta["base"])
        for named in (False, True):
            score("static", static, named)
    for seed in config.seeds if config.steps else []:
        began = time.perf_counter()
        learner, adapter, losses = tune(backbone, joined(train, names) if config.names else train, config, seed)
        taken = time.perf_counter() - began
        print(
            f"seed {seed}: {config.steps} steps in {taken:.0f} s, loss {losses[0]:.3f} -> {losses[-1]:.3f}", flush=True
        )
        tuned = look(learner, adapter)
        score("tuned", tuned, config.names)
        score("both", frozen.beside(tuned), config.names)
    print("\n" + "\n".join(table(rows, list(folders))))
    if config.out is not None:
        path = Path(config.out) / "result.json"
        atomic.write_text(path, atomic.canonical_json({"settings": config.model_dump(), "rows": rows}))
        print(f"\nwritten to {path}")
    return 0


def table(rows: dict[str, dict[str, list[float]]], splits: Sequence[str]) -> list[str]:
    """Markdown lines: accuracy in percent, and its standard deviation over seeds where there are several."""

    def cell(values: Sequence[float]) -> str:
        spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
        return f"{np.mean(values):.2f}{spread}"

    head = [f"| classifier | {' | '.join(splits)} |", "|---" * (1 + len(splits)) + "|"]
    body = [f"| {name} | {' | '.join(cell(found[split]) for split in splits)} |" for name, found in rows.items()]
    return head + body


def main(argv: list[str] | None = None) -> int:
    """Entry point of the script."""
    return cli.run(
        run,
        Config,
        argv,
        prog="full_way",
        description="All classes of a benchmark at once: accuracy after fixed few-shot training texts.",
        examples=["python scripts/full_way.py train=BANKING77/train_5 valid=BANKING77/valid backbone=FOLDER"],
    )


if __name__ == "__main__":
    sys.exit(main())
