"""Which start to trust: frozen, static or generated, how many steps, how much of it; decided on the support set.

A learned initialization can lose what the frozen network knows about tasks unlike those it was trained on. So every
candidate is cross-validated on the support set, and what a few examples cannot say is left to a prior: the gain over
the frozen prototype that meta-validation tasks as near to the training tasks as this one have had.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from metapeft.errors import AdaptationError
from metapeft.heads import ridge_head
from metapeft.heads.head import Head, Params, unit
from metapeft.meta.inner_loop import Examples
from metapeft.meta.learner import Tree
from metapeft.meta.methods import Item, Method, Setup, curve, start
from metapeft.meta.states import WithFrozen, beside
from metapeft.mlx import mx

RIDGE = ridge_head()
MIXES = (0.25, 0.5, 1.0)  # weights of adapted features that are tried beside the one of training


class Candidate(NamedTuple):
    """One way to classify an episode.

    Attributes:
        start: ``frozen`` (the prototype classifier), ``static`` (the learned base) or ``hypernetwork``.
        steps: gradient steps.
        mix: weight of adapted beside frozen features.
        names: whether the classes' names are examples too.
        ridge: whether the classifier is a ridge regression (`heads.ridge`), in place of the head of training.
    """

    start: str
    steps: int = 0
    mix: float = 0.0
    names: bool = False
    ridge: bool = False

    @property
    def name(self) -> str:
        parts = [self.start]
        if self.start != "frozen":
            parts += [f"{self.steps} steps"] * (self.steps > 0) + [f"mix {self.mix:g}"]
        parts += ["ridge"] * self.ridge
        return ", ".join(parts) + " + names" * self.names


FROZEN = Candidate("frozen")


class Choice(NamedTuple):
    """What was chosen, and why.

    Attributes:
        candidate: the winner.
        scores: of every candidate by name: expected accuracy, cross-validation and prior together.
        validated: accuracy in cross-validation by name; empty where there was nothing to cross-validate.
    """

    candidate: Candidate
    scores: dict[str, float]
    validated: dict[str, float]


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


class Features(NamedTuple):
    """Unit features of an episode under one start, ``(n, d)`` each; `names` is None where there are none."""

    support: mx.array
    query: mx.array
    names: mx.array | None


Logits = dict[str, mx.array]


def read(
    setup: Setup,
    method: Method,
    meta: Tree,
    item: Item,
    candidates: Sequence[Candidate],
    known: dict[str, Features] | None = None,
) -> Logits:
    """Query logits ``(m, ways)`` of every candidate, by name.

    Candidates without a step share their start's features, whatever their mix and names: more of them cost next to
    nothing. A candidate with names is left out where the item has none.

    Args:
        setup: as in training.
        method: of the checkpoint.
        meta: meta-parameters.
        item: the episode.
        candidates: what to read.
        known: features under some starts that are had already, by start; what is computed here is added.
    """
    known = {} if known is None else known
    out: Logits = {}
    candidates = [c for c in candidates if not (c.names and item.names is None)]
    for candidate in (c for c in candidates if not c.steps):
        features = _features(setup, meta, item, candidate.start, known)
        frozen, mix = _frozen(item), candidate.mix
        s = beside(frozen.support, features.support, mix)
        q = beside(frozen.query, features.query, mix)
        n = None if frozen.names is None or features.names is None else beside(frozen.names, features.names, mix)
        params = classifier_of(setup, meta, candidate, s, item.support.labels, item.ways, n)
        out[candidate.name] = head_of(setup, candidate).logits(params, q)
    stepping = [c for c in candidates if c.steps]
    for key in dict.fromkeys((c.start, c.mix, c.names) for c in stepping):
        own = [c for c in stepping if (c.start, c.mix, c.names) == key]
        own_setup, own_meta = _as(setup, meta, own[0])
        own_item = item if own[0].names else item._replace(names=None)
        logits, _ = curve(own_setup, method, own_meta, own_item, max(c.steps for c in own))
        out |= {c.name: logits[c.steps] for c in own}
    mx.eval(out)
    return out


def cross_validate(
    setup: Setup,
    method: Method,
    meta: Tree,
    item: Item,
    part: Callable[[np.ndarray], Examples],
    candidates: Sequence[Candidate],
    folds: int = 5,
    known: dict[str, Features] | None = None,
) -> dict[str, np.ndarray]:
    """Cross-validate candidates on the support set.

    Every class keeps an example in each fold's training part: the only example of a class is never left out, and with
    one example in every class nothing is. A generated adapter is that of the whole support set in every fold: what is
    left out of a fold had its small part in the embedding.

    Args:
        setup: as in training.
        method: of the checkpoint.
        meta: meta-parameters.
        item: the episode, of which the support set, its embedding and the names are read.
        part: ``indices -> Examples`` of these support examples.
        candidates: what to read; one with names is left out where the item has none.
        folds: at most the number of examples of the largest class.
        known: see `read`.

    Returns:
        By candidate's name whether it is right on each example left out, float64 0 or 1, ``(examples,)``, the same
        examples in the same order for all.
    """
    candidates = [c for c in candidates if not (c.names and item.names is None)]
    labels = np.array(item.support.labels)
    counts = np.bincount(labels, minlength=item.ways)
    folds = min(folds, int(counts.max()))
    if folds < 2 or not candidates:
        return {c.name: np.zeros(0) for c in candidates}
    known = {} if known is None else known
    for begin in dict.fromkeys(c.start for c in candidates if not c.steps):
        _features(setup, meta, item, begin, known)
    only = counts[labels] == 1  # of their class: without them it would not be known
    fold = np.where(only, folds, fold_of(labels, folds))
    stepping = any(c.steps for c in candidates)
    right = []
    for number in range(folds):
        kept, out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        own = {
            begin: Features(f.support[mx.array(kept)], f.support[mx.array(out)], f.names) for begin, f in known.items()
        }
        if stepping:
            support, query = part(kept), part(out)
        else:  # hidden states are not read
            support, query = (_features_only(item.support, rows) for rows in (kept, out))
        logits = read(setup, method, meta, item._replace(support=support, query=query), candidates, own)
        said = np.stack([np.argmax(np.array(logits[c.name]), axis=1) for c in candidates])
        right.append(said == labels[out])
    rights = np.concatenate(right, axis=1).astype(np.float64)
    return {c.name: row for c, row in zip(candidates, rights, strict=True)}


def choose(candidates: Sequence[Candidate], right: dict[str, np.ndarray], prior: Prior, similarity: float) -> Choice:
    """Choose among candidates by cross-validation on the support set and by the prior; the query set is not looked at.

    The first candidate wins a tie: put the frozen prototype there.

    Args:
        candidates: what to choose from; one that `right` lacks cannot be read and is passed over.
        right: see `cross_validate`; with no example left out in it the prior decides alone.
        prior: see `fit_prior`.
        similarity: cosine to the nearest training task.

    Raises:
        AdaptationError: no candidate can be read.
    """
    candidates = [c for c in candidates if c.name in right]
    if not candidates:
        raise AdaptationError("there is nothing to choose from")
    names = [c.name for c in candidates]
    rights = np.stack([right[name] for name in names])
    seen = rights.shape[1]
    base = rights[0].mean() if seen else 0.0
    zero = prior.gain(names[0], similarity)
    expected = np.array([base + prior.gain(name, similarity) - zero for name in names])
    score = (rights.sum(axis=1) + prior.weight * expected) / (seen + prior.weight)
    best = int(np.argmax(score))
    validated = dict(zip(names, rights.mean(axis=1).tolist(), strict=True)) if seen else {}
    return Choice(candidates[best], dict(zip(names, score.tolist(), strict=True)), validated)


def nearness(library: np.ndarray, embedding: np.ndarray) -> float:
    """Cosine of an embedding ``(dims,)`` to the nearest in a library ``(m, dims)``, all of unit length."""
    return float(np.max(library @ embedding))


def candidates_of(method: Method, steps: int, mix: float, *, names: bool = False) -> tuple[Candidate, ...]:
    """The candidates that a checkpoint offers, the frozen prototype first: every start, mix and number of steps.

    A ridge regression is offered on the frozen features and at two mixes: with more than a few examples it is better
    than prototypes, and it costs more to fit.

    Args:
        method: of the checkpoint.
        steps: gradient steps, tried beside none at the mix of training.
        mix: of training.
        names: with and without the classes' names.
    """
    starts = ("static", "hypernetwork") if "generator" in method.learns else ("static",)
    out = [FROZEN, FROZEN._replace(ridge=True)]
    for begin in starts:
        out += [Candidate(begin, 0, m) for m in sorted({*MIXES, mix})]
        out += [Candidate(begin, 0, m, ridge=True) for m in sorted({0.5, mix})]
        if method.steps and steps:
            out.append(Candidate(begin, steps, mix))
    return (*out, *(c._replace(names=True) for c in out)) if names else tuple(out)


def head_of(setup: Setup, candidate: Candidate) -> Head:
    """The head of a candidate: that of training, or a ridge regression."""
    return RIDGE if candidate.ridge else setup.learner.head


def classifier_of(
    setup: Setup, meta: Tree, candidate: Candidate, support: mx.array, labels: mx.array, ways: int, names: Any
) -> Params:
    """The classifier of a candidate without a step: the frozen prototype has nothing that was learned.

    Args:
        setup: as in training.
        meta: meta-parameters.
        candidate: says whether the names have a say.
        support: features as `beside` gives them, ``(n, 2 d)``.
        labels: int32 ``(n,)``.
        ways: number of classes.
        names: features of the classes' names ``(ways, 2 d)``; not read for a candidate without names.
    """
    head = head_of(setup, candidate)
    learned = head.default_meta()
    if candidate.start != "frozen":  # a ridge has only the weight of names from training
        learned |= {name: value for name, value in meta.get("head", {}).items() if name in learned}
    return head.init(support, labels, ways, learned, names if candidate.names else None)


def fold_of(labels: np.ndarray, folds: int) -> np.ndarray:
    """A fold for each example ``(n,)``: the examples of a class go round the folds in turn."""
    out = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        out[own] = np.arange(len(own)) % folds
    return out


def _features_only(examples: Examples, rows: np.ndarray) -> Examples:
    picked = mx.array(rows)
    return Examples(
        examples.hidden._replace(hidden=None, frozen=examples.hidden.frozen[picked]), examples.labels[picked]
    )


def _features(setup: Setup, meta: Tree, item: Item, begin: str, known: dict[str, Features]) -> Features:
    if begin not in known:
        if begin == "frozen":
            known[begin] = _frozen(item)
        else:
            network = setup.learner.backbone
            assert isinstance(network, WithFrozen)
            plain = setup.learner._replace(backbone=network.backbone)
            adapter, _ = start(setup, _of_start(meta, begin), item.embedding)
            known[begin] = Features(
                unit(plain.features_now(adapter, item.support.hidden.hidden)),
                unit(plain.features_now(adapter, item.query.hidden.hidden)),
                None if item.names is None else unit(plain.features_now(adapter, item.names.hidden)),
            )
        mx.eval(known[begin])
    return known[begin]


def _frozen(item: Item) -> Features:
    names = None if item.names is None else item.names.frozen
    return Features(item.support.hidden.frozen, item.query.hidden.frozen, names)


def _of_start(meta: Tree, begin: str) -> Tree:
    """Meta-parameters of a start: without the generator for all but the hypernetwork."""
    return meta if begin == "hypernetwork" else {name: branch for name, branch in meta.items() if name != "generator"}


def _as(setup: Setup, meta: Tree, candidate: Candidate) -> tuple[Setup, Tree]:
    """Setup and meta-parameters under which a candidate's curve is read."""
    network = setup.learner.backbone
    assert isinstance(network, WithFrozen)
    learner = setup.learner._replace(backbone=WithFrozen(network.backbone, candidate.mix))
    return setup._replace(learner=learner), _of_start(meta, candidate.start)
