"""Which start suits labelled texts, and how accurate what is chosen so will be.

The estimate is cross-validation around the choice: in every fold a start is chosen on the other examples alone, with
their own task embedding, and then reads the examples left out. So what is said of the accuracy was never looked at by
the choice, and the luck of choosing among many candidates is not counted as skill.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from metapeft.adapting.starts import Start
from metapeft.backbones.backbone import Adapter
from metapeft.embeddings.support import SupportSet
from metapeft.evaluation.intervals import share_interval
from metapeft.heads.head import unit
from metapeft.meta.folds import fold_of
from metapeft.meta.inner_loop import Examples
from metapeft.meta.methods import Item, start
from metapeft.meta.prior import size_of
from metapeft.meta.select import FROZEN, Choice, Features, choose, cross_validate, nearness, read
from metapeft.meta.states import Beside, PoolStates, WithFrozen
from metapeft.mlx import mx
from metapeft.tasks.config import TaskConfig
from metapeft.tasks.padding import pad_rows
from metapeft.tasks.pool import Pool
from metapeft.tasks.suite import names_pool
from metapeft.tasks.task import Task
from metapeft.tokenization.tokenizer import encode_labels, encode_texts


class Seen(NamedTuple):
    """Labelled texts as the frozen layers see them.

    Attributes:
        support: the examples, with hidden states and frozen features.
        labels: class ids, int32 ``(n,)``, on the host.
        frozen: frozen features, float32 ``(n, d)`` of unit length, on the host.
        x: tokens, int32 ``(n, length)``, padded on the right.
        lengths: tokens of each row ``(n,)``.
        names: of the classes, with hidden states and frozen features; None where they say nothing.
        ways: number of classes.
        cut: texts that were longer than the most tokens.
    """

    support: Examples
    labels: np.ndarray
    frozen: np.ndarray
    x: np.ndarray
    lengths: np.ndarray
    names: Beside | None
    ways: int
    cut: int


class Fit(NamedTuple):
    """What was chosen on some examples.

    Attributes:
        choice: the winner and the scores.
        embedding: of the task, float32 ``(dims,)``; empty where nothing is generated.
        similarity: cosine to the nearest training episode; 0 where there is none.
        size: of what was chosen on, see `size_of`.
        known: features of all examples and names by start; `query` is not used.
    """

    choice: Choice
    embedding: np.ndarray
    similarity: float
    size: float
    known: dict[str, Features]


class Estimate(NamedTuple):
    """Accuracy on examples left out, each left out once a repetition.

    Attributes:
        accuracy: mean over examples and repetitions.
        ci95: interval for it, by how few examples there are.
        frozen: accuracy of the frozen prototype, in the same folds.
        majority: accuracy of always saying the most frequent class.
        examples: how many were left out in turn: those of classes with two examples or more.
        repeats: repetitions, each with other folds.
        chosen: how often each candidate was chosen in the folds, by name.
    """

    accuracy: float
    ci95: tuple[float, float]
    frozen: float
    majority: float
    examples: int
    repeats: int
    chosen: dict[str, int]


def look(begin: Start, texts: Sequence[str], labels: np.ndarray, names: Sequence[str]) -> Seen:
    """Run the frozen layers on labelled texts, once.

    Args:
        begin: the network and its tokenizer.
        texts: `n` of them.
        labels: class ids ``(n,)``, every class among them.
        names: of the classes.
    """
    labels = np.asarray(labels, np.int32)
    tokens = encode_texts(begin.tokenizer, texts, begin.max_tokens)
    words = encode_labels(begin.tokenizer, names)
    config = TaskConfig("yours", "yours", len(names), begin.max_tokens, len(texts), len(texts), "yours", 0.5)
    pool = Pool("classification", tokens.x, labels)
    task = Task(config, pool, labels=list(names), pad_id=begin.tokenizer.pad_id, names=names_pool(words))
    learner = begin.setup.learner
    network = learner.backbone
    assert isinstance(network, WithFrozen)
    states = PoolStates(network.backbone, learner.depth, begin.max_tokens)
    rows = np.arange(len(texts))
    support = states.examples(task, "support", rows, labels)
    x, lengths = pad_rows(tokens.x, rows, begin.tokenizer.pad_id, begin.max_tokens)
    called = states.names(task, np.arange(len(names)))
    return Seen(support, labels, np.array(support.hidden.frozen), x, lengths, called, len(names), tokens.cut)


def fit(begin: Start, seen: Seen, rows: np.ndarray, folds: int, still: dict[str, Features]) -> Fit:
    """Choose a start on some of the examples: nothing else of the others is looked at than to run adapters on them.

    Args:
        begin: what can be chosen.
        seen: all examples.
        rows: those to choose on ``(k,)``, of every class one at least.
        folds: of the cross-validation inside.
        still: features under starts that are the same for all tasks; what is missing is added.
    """

    def support() -> SupportSet:
        return SupportSet(seen.frozen[rows], seen.labels[rows], seen.ways, seen.x[rows], seen.lengths[rows])

    hidden = seen.support.hidden, seen.names
    return fit_on(begin, support, hidden, rows, lambda embedding: _item(seen, rows, rows, embedding), folds, still)


def fit_on(
    begin: Start,
    support: Callable[[], SupportSet],
    hidden: tuple[Beside, Beside | None],
    at: np.ndarray,
    item_of: Callable[[np.ndarray], Item],
    folds: int,
    still: dict[str, Features],
) -> Fit:
    """Choose a start on some units, texts or words, by cross-validation and by the prior.

    Args:
        begin: what can be chosen.
        support: what the embedding of the task may see; asked where there is one.
        hidden: of all units, and of the classes' names.
        at: places of the units to choose on ``(k,)``.
        item_of: ``embedding -> item`` of these units.
        folds: of the cross-validation.
        still: features under starts that are the same for all tasks; what is missing is added.
    """
    embedding, similarity = np.zeros(0, np.float32), 0.0
    if begin.embedder is not None:
        embedding = begin.embedder.embed(support())
        similarity = nearness(begin.library, embedding)
    known = dict(still)
    for name in dict.fromkeys(c.start for c in begin.candidates):
        if name not in known:
            known[name] = features_with(begin, *hidden, adapter_of(begin, name, embedding))
            if name != "hypernetwork":
                still[name] = known[name]
    item = item_of(embedding)

    def part(rows: np.ndarray) -> Examples:
        raise AssertionError("no candidate steps here")

    own = parted(known, at, at)
    validated = cross_validate(begin.setup, begin.method, begin.meta, item, part, begin.candidates, folds, own)
    size = size_of(item.support, item.ways)
    choice = choose(begin.candidates, validated, begin.prior, similarity, size)
    return Fit(choice, embedding, similarity, size, known)


def estimate(begin: Start, seen: Seen, folds: int, repeats: int, seed: int, still: dict[str, Features]) -> Estimate:
    """Cross-validate the choice itself; see the top of this file.

    Args:
        begin: what can be chosen.
        seen: all examples, of one class two at least.
        folds: of the outer and of the inner cross-validation.
        repeats: repetitions of the outer one.
        seed: of its folds.
        still: see `fit`.
    """
    counts = np.bincount(seen.labels, minlength=seen.ways)
    tested = counts[seen.labels] > 1  # without its only example a class would not be known
    folds = min(folds, int(counts.max()))
    right, frozen = np.zeros(len(tested)), np.zeros(len(tested))
    chosen: Counter[str] = Counter()
    rng = np.random.default_rng(seed)
    for _ in range(repeats):
        order = rng.permutation(len(tested))
        fold = np.empty(len(tested), np.int64)
        fold[order] = fold_of(seen.labels[order], folds)
        fold[~tested] = folds
        for number in range(folds):
            kept, out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            found = fit(begin, seen, kept, folds, still)
            best = found.choice.candidate
            item, known = _item(seen, kept, out, found.embedding), parted(found.known, kept, out)
            logits = read(begin.setup, begin.method, begin.meta, item, (FROZEN, best), known)
            for total, name in ((right, best.name), (frozen, FROZEN.name)):
                total[out] += np.argmax(np.array(logits[name]), axis=1) == seen.labels[out]
            chosen[best.name] += 1
    share, size = float(right[tested].mean()) / repeats, int(np.count_nonzero(tested))
    return Estimate(
        share,
        share_interval(share, size),
        float(frozen[tested].mean()) / repeats,
        float(counts[counts > 1].max() / size),
        size,
        repeats,
        dict(chosen.most_common()),
    )


def why(found: Fit, begin: Start, frozen_alone: str, own: str, rival: str) -> str:
    """One or two sentences on a choice.

    Args:
        found: the choice.
        begin: what it was made from.
        frozen_alone: what is offered where there is the frozen network alone.
        own: what the winner did on what was left out, with a place for a figure in %.
        rival: the same of the frozen prototype.
    """
    name, validated = found.choice.candidate.name, found.choice.validated
    offered = f"{len(found.choice.scores)} starts and mixes"
    if all(candidate.start == FROZEN.start for candidate in begin.candidates):
        offered = frozen_alone
    if validated:
        said = f"{name} {own.format(100 * validated[name])}"
        if found.choice.candidate != FROZEN:
            said += f", {rival.format(100 * validated[FROZEN.name])}"
    else:
        said = "There was nothing to cross-validate"
    if any(name in lines for _, lines in begin.prior.sizes):
        gain = 100 * begin.prior.gain(name, found.similarity, found.size)
        said += f"; on tasks as near to training as this one a gain of {gain:+.1f} points was expected of it"
    elif begin.meta and not begin.prior.sizes:
        said += "; the checkpoint has no record of gains on earlier tasks"
    return f"Offered: {offered}. {said}."


def adapter_of(begin: Start, name: str, embedding: np.ndarray) -> Adapter | None:
    """The adapter of a start, by the name that candidates have; None for the frozen network."""
    if name == FROZEN.start:
        return None
    if name == "static":
        return begin.meta["base"]
    return start(begin.setup, begin.meta, mx.array(embedding))[0]


def features_with(begin: Start, support: Beside, names: Beside | None, adapter: Adapter | None) -> Features:
    """Features of all units and of names with an adapter; `query` is empty."""
    frozen = Features(support.frozen, mx.zeros(0), None if names is None else names.frozen)
    if adapter is None:
        return frozen
    network = begin.setup.learner.backbone
    assert isinstance(network, WithFrozen)
    plain = begin.setup.learner._replace(backbone=network.backbone)
    called = None if names is None else unit(plain.features_now(adapter, names.hidden))
    features = frozen._replace(support=unit(plain.features_now(adapter, support.hidden)), names=called)
    mx.eval(features)
    return features


def parted(known: dict[str, Features], kept: np.ndarray, out: np.ndarray) -> dict[str, Features]:
    """Features with some units for support set and others for query set."""
    support, query = mx.array(kept), mx.array(out)
    return {name: Features(f.support[support], f.support[query], f.names) for name, f in known.items()}


def _item(seen: Seen, kept: np.ndarray, out: np.ndarray, embedding: np.ndarray) -> Item:
    support, query = _examples(seen, kept), _examples(seen, out)
    classes = mx.arange(seen.ways)
    return Item(support, query, seen.ways, mx.array(embedding), classes, "yours", names=seen.names)


def _examples(seen: Seen, rows: np.ndarray) -> Examples:
    """Examples without hidden states: candidates without a step read features alone."""
    hidden: Any = None
    return Examples(Beside(hidden, mx.array(seen.frozen[rows])), mx.array(seen.labels[rows]))
