"""Which start to trust: frozen, static or generated, how many steps, how much of it; decided on the support set.

A learned initialization can lose what the frozen network knows about tasks unlike those it was trained on. So every
candidate is cross-validated on the support set, and what a few examples cannot say is left to a prior: the gain over
the frozen prototype that meta-validation tasks as near to the training tasks as this one have had.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from metapeft.embeddings.embedder import Embedder
from metapeft.errors import AdaptationError
from metapeft.heads.head import accuracy
from metapeft.meta.inner_loop import Examples
from metapeft.meta.learner import Tree
from metapeft.meta.methods import Item, Method, Setup, curve
from metapeft.meta.states import WithFrozen
from metapeft.mlx import mx


class Candidate(NamedTuple):
    """One way to classify an episode.

    Attributes:
        start: ``frozen`` (the prototype classifier), ``static`` (the learned base) or ``hypernetwork``.
        steps: gradient steps.
        mix: weight of adapted beside frozen features.
    """

    start: str
    steps: int
    mix: float

    @property
    def name(self) -> str:
        return self.start if self.start == "frozen" else f"{self.start} {self.steps} steps"


FROZEN = Candidate("frozen", 0, 0.0)


class Labelled(NamedTuple):
    """Where a support set lies, so that parts of it can be asked for.

    Attributes:
        examples: ``indices -> Examples`` of these support examples.
        support_set: ``indices -> SupportSet`` of these support examples.
        labels: int ``(n,)``.
        ways: number of classes.
    """

    examples: Any
    support_set: Any
    labels: np.ndarray
    ways: int


class Choice(NamedTuple):
    """What was chosen, and why.

    Attributes:
        candidate: the winner.
        scores: of every candidate by name: expected accuracy, cross-validation and prior together.
        validated: accuracy in cross-validation by name; empty where there was nothing to cross-validate.
        similarity: cosine to the nearest training task.
    """

    candidate: Candidate
    scores: dict[str, float]
    validated: dict[str, float]
    similarity: float


class Prior(NamedTuple):
    """Expected gain over the frozen prototype: ``intercept + slope * (similarity - centre)``, by candidate's name.

    Attributes:
        centre: mean similarity of the meta-validation episodes.
        gains: ``{name: (intercept, slope)}``.
        weight: how many examples the prior is worth beside those of cross-validation.
    """

    centre: float
    gains: dict[str, tuple[float, float]]
    weight: float = 10.0

    def gain(self, name: str, similarity: float) -> float:
        """Expected gain of a candidate; none for one without a record."""
        intercept, slope = self.gains.get(name, (0.0, 0.0))
        return intercept + slope * (similarity - self.centre)


def fit_prior(similarity: np.ndarray, gains: dict[str, np.ndarray], ridge: float = 0.1) -> Prior:
    """Fit the prior on episodes of meta-validation tasks.

    Args:
        similarity: of each episode to its nearest training task, ``(n,)``.
        gains: accuracy above the frozen prototype's by candidate's name, each ``(n,)``.
        ridge: added to the variance of the similarity: few tasks give no steep slope.

    Raises:
        AdaptationError: there are no episodes.
    """
    if not len(similarity):
        raise AdaptationError("a prior needs episodes of meta-validation tasks")
    centre = float(np.mean(similarity))
    offset = np.asarray(similarity, np.float64) - centre
    fitted = {}
    for name, gain in gains.items():
        slope = float(np.mean(offset * gain) / (np.mean(offset**2) + ridge**2))
        fitted[name] = (float(np.mean(gain)), slope)
    return Prior(centre, fitted)


def choose(
    setup: Setup,
    method: Method,
    meta: Tree,
    embedder: Embedder | None,
    library: np.ndarray,
    support: Labelled,
    candidates: tuple[Candidate, ...],
    prior: Prior,
    folds: int = 3,
) -> Choice:
    """Choose among candidates by cross-validation on the support set and by the prior.

    Every class keeps an example in each fold's training part, so with one example a class the prior decides alone. The
    frozen prototype is always among the candidates, and wins a tie. The query set is not looked at.

    Args:
        setup: as in training.
        method: of the checkpoint.
        meta: meta-parameters.
        embedder: of the checkpoint; None for methods without embeddings.
        library: embeddings of training episodes ``(m, dims)``.
        support: the support set.
        candidates: what to choose from.
        prior: see `fit_prior`.
        folds: of cross-validation, at most the number of examples of the rarest class.
    """
    candidates = (FROZEN, *(c for c in candidates if c.start != "frozen"))
    similarity = 0.0
    if embedder is not None and len(library):
        everything = np.arange(len(support.labels))
        similarity = nearness(library, embedder.embed(support.support_set(everything)))
    correct, seen = _cross_validated(setup, method, meta, embedder, support, candidates, folds)
    base = correct[0] / seen if seen else 0.0
    scores = {}
    for candidate, right in zip(candidates, correct, strict=True):
        expected = base + prior.gain(candidate.name, similarity)  # nothing for the frozen one, which has no record
        scores[candidate.name] = (right + prior.weight * expected) / (seen + prior.weight)
    best = max(candidates, key=lambda c: scores[c.name])  # the first of equals: the frozen one
    validated = {c.name: right / seen for c, right in zip(candidates, correct, strict=True)} if seen else {}
    return Choice(best, scores, validated, similarity)


def read(
    setup: Setup, method: Method, meta: Tree, item: Item, candidates: tuple[Candidate, ...]
) -> dict[str, mx.array]:
    """Query logits ``(m, ways)`` of every candidate, by name."""
    out: dict[str, mx.array] = {}
    for key in dict.fromkeys((c.start, c.mix) for c in candidates):
        own = [c for c in candidates if (c.start, c.mix) == key]
        own_setup, own_meta = _as(setup, meta, own[0])
        logits, _ = curve(own_setup, method, own_meta, item, max(c.steps for c in own))
        out |= {c.name: logits[c.steps] for c in own}
    return out


def nearness(library: np.ndarray, embedding: np.ndarray) -> float:
    """Cosine of an embedding ``(dims,)`` to the nearest in a library ``(m, dims)``, all of unit length."""
    return float(np.max(library @ embedding))


def candidates_of(method: Method, steps: int, mix: float) -> tuple[Candidate, ...]:
    """The candidates that a checkpoint offers."""
    starts = ("static", "hypernetwork") if "generator" in method.learns else ("static",)
    counts = (0, steps) if method.steps and steps else (0,)
    return (FROZEN, *(Candidate(start, count, mix) for start in starts for count in counts))


def fold_of(labels: np.ndarray, folds: int) -> np.ndarray:
    """A fold for each example ``(n,)``: the examples of a class go round the folds in turn."""
    out = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        out[own] = np.arange(len(own)) % folds
    return out


def _cross_validated(
    setup: Setup,
    method: Method,
    meta: Tree,
    embedder: Embedder | None,
    support: Labelled,
    candidates: tuple[Candidate, ...],
    folds: int,
) -> tuple[list[float], int]:
    """Right answers of each candidate on examples left out, and how many there were."""
    labels = np.asarray(support.labels)
    fewest = int(np.bincount(labels, minlength=support.ways).min())
    folds = min(folds, fewest)
    if folds < 2:
        return [0.0] * len(candidates), 0
    fold = fold_of(labels, folds)
    correct = np.zeros(len(candidates))
    for number in range(folds):
        kept, out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        embedding = np.zeros(0, np.float32)
        if embedder is not None:
            embedding = embedder.embed(support.support_set(kept))
        left_out: Examples = support.examples(out)
        item = Item(
            support.examples(kept), left_out, support.ways, mx.array(embedding), mx.arange(support.ways), "support"
        )
        logits = read(setup, method, meta, item, candidates)
        correct += [float(accuracy(logits[c.name], left_out.labels)) * len(out) for c in candidates]
    return correct.tolist(), len(labels)


def _as(setup: Setup, meta: Tree, candidate: Candidate) -> tuple[Setup, Tree]:
    """Setup and meta-parameters under which a candidate's curve is read."""
    network = setup.learner.backbone
    assert isinstance(network, WithFrozen)
    learner = setup.learner._replace(backbone=WithFrozen(network.backbone, candidate.mix))
    if candidate.start != "hypernetwork":
        meta = {name: branch for name, branch in meta.items() if name != "generator"}
    return setup._replace(learner=learner), meta
