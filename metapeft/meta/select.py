"""Which start to trust: frozen, static or generated, how many steps, how much of it; decided on the support set.

A learned initialization can lose what the frozen network knows about tasks unlike those it was trained on. So every
candidate is cross-validated on the support set, and what a few examples cannot say is left to a prior: the gain over
the frozen prototype that meta-validation tasks as near to the training tasks as this one have had.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from metapeft.episodes.episode import Sentences
from metapeft.errors import AdaptationError
from metapeft.heads import logistic_head, tagger_and_logistic_head
from metapeft.heads.head import Head, Meta, Params, unit
from metapeft.heads.tagger import ITERATIONS, regression_share
from metapeft.meta.detector import detected, with_detector
from metapeft.meta.folds import fold_of, sentence_folds
from metapeft.meta.inner_loop import Examples
from metapeft.meta.judge import counts_of_all, f1_of
from metapeft.meta.learner import Tree
from metapeft.meta.methods import Item, Method, Setup, curve, start, transitions_of_item
from metapeft.meta.prior import Prior
from metapeft.meta.states import WithFrozen, beside
from metapeft.mlx import mx

LOGISTIC, LOGISTIC_OF_WORDS, BOTH = logistic_head(), logistic_head(ITERATIONS), tagger_and_logistic_head()
_NAMELESS = {"log_name_weight": mx.array(-math.inf)}  # for every head that reads names
LARGE = 2**14  # support times query units: beyond it a classifier costs more than to begin its operations
DETECTOR = 0.35  # its weight, chosen on validation tasks of one, two and five types: 0 to 1 were tried
MIXES = (0.25, 0.5, 1.0)  # weights of adapted features that are tried beside the one of training


class Candidate(NamedTuple):
    """One way to classify an episode.

    Attributes:
        start: ``frozen`` (the prototype classifier), ``static`` (the learned base) or ``hypernetwork``.
        steps: gradient steps.
        mix: weight of adapted beside frozen features.
        names: whether the classes' names are examples too.
        classifier: the head of training (``prototype``), a logistic regression in its place, or, of words, the logits
            of both, each with its share.
        detector: how much what training tasks say of mentions, whatever their type, weighs beside the support set.
    """

    start: str
    steps: int = 0
    mix: float = 0.0
    names: bool = False
    classifier: Literal["prototype", "logistic", "both"] = "prototype"
    detector: float = 0.0

    @property
    def name(self) -> str:
        parts = [self.start]
        if self.start != "frozen":
            parts += [f"{self.steps} steps"] * (self.steps > 0) + [f"mix {self.mix:g}"]
        parts += [self.classifier] * (self.classifier != "prototype")
        parts += [f"detector {self.detector:g}"] * (self.detector != 0)
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


class Validated(NamedTuple):
    """What candidates did on support examples left out.

    Attributes:
        scores: accuracy, or the F1 of the mentions in all sentences left out together, by candidate's name; NaN where
            there was nothing to leave out.
        examples: how many were left out in turn, examples or sentences.
    """

    scores: dict[str, float]
    examples: int


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
    candidates = [c for c in candidates if not (c.names and item.names is None)]
    still = [c for c in candidates if not c.steps]
    features = {c.start: _features(setup, meta, item, c.start, known) for c in still}
    logits = _logits(setup, meta, still, features, _frozen(item), item.support.labels[None], item.ways)
    out = {name: each[0] for name, each in logits.items()}
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
) -> Validated:
    """Cross-validate candidates on the support set: its examples, or in tagging its sentences.

    Every class keeps an example in each fold's training part: the only example of a class is never left out, and with
    one example in every class nothing is. A generated adapter is that of the whole support set in every fold: what is
    left out of a fold had its small part in the embedding.

    Args:
        setup: as in training.
        method: of the checkpoint.
        meta: meta-parameters.
        item: the episode, of which the support set, its embedding and the names are read.
        part: ``indices -> Examples`` of these support examples; asked where a candidate steps.
        candidates: what to read; one with names is left out where the item has none.
        folds: at most the number of examples of the largest class.
        known: features under some starts that are had already, by start; left as it is.
    """
    candidates = [c for c in candidates if not (c.names and item.names is None)]
    item, known = item._replace(query=item.support), dict(known or {})  # the query set is not looked at
    if item.support.sentences is not None:
        return _sentences_left_out(setup, meta, item, candidates, folds, known)
    labels = np.array(item.support.labels)
    counts = np.bincount(labels)
    folds = min(folds, int(counts.max()))
    only = counts[labels] == 1  # without them a class would not be known
    if folds < 2 or not candidates or only.all():
        return _nothing_left_out(candidates)
    fold = np.where(only, folds, fold_of(labels, folds))
    outs = [np.flatnonzero(fold == number) for number in range(folds)]
    order = np.concatenate(outs)
    said: dict[str, np.ndarray] = {}
    if still := [c for c in candidates if not c.steps]:
        logits = _logits_of_folds(setup, meta, item, still, fold, folds, known)
        said = {name: np.array(each)[fold[order], order].argmax(axis=1) for name, each in logits.items()}
    if stepping := [c for c in candidates if c.steps]:
        parts = []
        for out in outs:
            own_item = item._replace(support=part(np.setdiff1d(np.arange(len(labels)), out)), query=part(out))
            parts.append(read(setup, method, meta, own_item, stepping))
        for c in stepping:
            said[c.name] = np.concatenate([np.array(logits[c.name]).argmax(axis=1) for logits in parts])
    return Validated({c.name: float(np.mean(said[c.name] == labels[order])) for c in candidates}, len(order))


def _nothing_left_out(candidates: Sequence[Candidate]) -> Validated:
    return Validated({c.name: math.nan for c in candidates}, 0)


def choose(
    candidates: Sequence[Candidate], validated: Validated, prior: Prior, similarity: float, size: float
) -> Choice:
    """Choose among candidates by cross-validation on the support set and by the prior; the query set is not looked at.

    The first candidate wins a tie: put the frozen prototype there.

    Args:
        candidates: what to choose from; one that `validated` lacks cannot be read and is passed over.
        validated: see `cross_validate`; with no example left out in it the prior decides alone.
        prior: see `fit_prior`.
        similarity: cosine to the nearest training task.
        size: of the support set, see `size_of`.

    Raises:
        AdaptationError: no candidate can be read.
    """
    candidates = [c for c in candidates if c.name in validated.scores]
    if not candidates:
        raise AdaptationError("there is nothing to choose from")
    names = [c.name for c in candidates]
    seen, examples = np.array([validated.scores[name] for name in names]), validated.examples
    if not examples:
        seen = np.zeros(len(names))
    gains = np.array([prior.gain(name, similarity, size) for name in names])
    score = (examples * seen + prior.weight * (seen[0] + gains - gains[0])) / (examples + prior.weight)
    best = int(np.argmax(score))
    return Choice(
        candidates[best],
        dict(zip(names, score.tolist(), strict=True)),
        dict(zip(names, seen.tolist(), strict=True)) if examples else {},
    )


def nearness(library: np.ndarray, embedding: np.ndarray) -> float:
    """Cosine of an embedding ``(dims,)`` to the nearest in a library ``(m, dims)``, all of unit length."""
    return float(np.max(library @ embedding))


def learned_starts(method: Method) -> tuple[str, ...]:
    """The starts that a method learns, the base first."""
    return ("static", "hypernetwork") if "generator" in method.learns else ("static",)


def candidates_of(
    method: Method, steps: int, mix: float, *, names: bool = False, tagging: bool = False, detector: bool = False
) -> tuple[Candidate, ...]:
    """The candidates that a checkpoint offers, the frozen prototype first: every start, mix and number of steps.

    A logistic regression is offered on the frozen features and at two mixes: with more than a few examples, or many
    classes, it is better than prototypes, and it costs more to fit. A few sentences choose badly among many: of words
    each learned start is offered once, with both classifiers and the detector.

    Args:
        method: of the checkpoint.
        steps: gradient steps, tried beside none at the mix of training.
        mix: of training.
        names: with and without the classes' names.
        tagging: words are tagged; without steps.
        detector: there is one.
    """
    starts = learned_starts(method)
    if tagging:
        weight = DETECTOR if detector else 0.0
        return (FROZEN, *(Candidate(begin, 0, mix, classifier="both", detector=weight) for begin in starts))
    out = [FROZEN, FROZEN._replace(classifier="logistic")]
    for begin in starts:
        out += [Candidate(begin, 0, m) for m in sorted({*MIXES, mix})]
        out += [Candidate(begin, 0, m, classifier="logistic") for m in sorted({0.5, mix})]
        if method.steps and steps:
            out.append(Candidate(begin, steps, mix))
    return with_names(out) if names else tuple(out)


def with_names(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Candidates, and each of them with the classes' names."""
    return (*candidates, *(c._replace(names=True) for c in candidates))


def head_of(setup: Setup, candidate: Candidate) -> Head:
    """The head of a candidate."""
    own = setup.learner.head
    logistic = LOGISTIC_OF_WORDS if own.name == "tagger" else LOGISTIC
    return {"prototype": own, "logistic": logistic, "both": BOTH}[candidate.classifier]


def classifier_of(
    setup: Setup, meta: Tree, candidate: Candidate, support: mx.array, labels: mx.array, ways: int, names: Any
) -> Params:
    """The classifier of a candidate without a step.

    Args:
        setup: as in training.
        meta: meta-parameters.
        candidate: says whether the names have a say.
        support: features as `beside` gives them, ``(n, 2 d)``.
        labels: int32 ``(n,)``.
        ways: number of classes.
        names: features of the classes' names ``(ways, 2 d)``; not read for a candidate without names.
    """
    learned = _learned(setup, meta, candidate)
    params = head_of(setup, candidate).init(support, labels, ways, learned, names if candidate.names else None)
    if not candidate.detector:
        return params
    assert setup.detector is not None
    return with_detector(params, setup.detector, candidate.detector)


def _logits(
    setup: Setup,
    meta: Tree,
    candidates: Sequence[Candidate],
    features: dict[str, Features],
    frozen: Features,
    labels: mx.array,
    ways: int,
) -> Logits:
    """Query logits ``(folds, m, ways)`` of candidates without a step, by name.

    Candidates that differ in the detector share a classifier, and both classifiers together cost no third.

    Args:
        setup: as in training.
        meta: meta-parameters.
        candidates: what to read; none with names where `frozen` has none.
        features: under the candidates' starts.
        frozen: the frozen features.
        labels: of the support set in every fold, int32 ``(folds, n)``; what is no class there has no say.
        ways: number of classes.
    """
    parts: dict[Candidate, list[Candidate]] = {}
    for c in candidates:
        plain = c._replace(detector=0.0)
        two = [plain._replace(classifier="prototype"), plain._replace(classifier="logistic")]
        parts[c] = two if c.classifier == "both" else [plain]
    large = labels.shape[1] * len(frozen.query) > LARGE
    classify = _one_by_one if large else _in_batches
    every = list(dict.fromkeys(part for each in parts.values() for part in each))
    found = classify(setup, meta, every, features, frozen, labels, ways)
    out: Logits = {}
    share = regression_share(labels)[:, None, None]
    log_odds: dict[tuple[str, float], mx.array] = {}
    for c in candidates:
        own = [found[part.name] for part in parts[c]]
        logits = own[0] if len(own) == 1 else (1 - share) * own[0] + share * own[1]
        if c.detector:
            assert setup.detector is not None
            if (c.start, c.mix) not in log_odds:
                log_odds[c.start, c.mix] = setup.detector.log_odds(beside(frozen.query, features[c.start].query, c.mix))
            logits = detected(logits, log_odds[c.start, c.mix], c.detector)
        out[c.name] = logits
    return out


def _in_batches(
    setup: Setup,
    meta: Tree,
    candidates: Sequence[Candidate],
    features: dict[str, Features],
    frozen: Features,
    labels: mx.array,
    ways: int,
) -> Logits:
    """As `_logits`, of candidates by one classifier, without a detector.

    An episode has many small classifiers, and to begin an operation costs MLX more than what they compute. So those of
    one head are one batch, in all folds; where the names have no say, they weigh nothing.
    """
    out: Logits = {}
    named = any(c.names for c in candidates)
    for classifier in dict.fromkeys(c.classifier for c in candidates):
        own = [c for c in candidates if c.classifier == classifier]
        head = head_of(setup, own[0])

        def classify(learned: Meta, rows: list[mx.array], labels: mx.array, head: Head = head) -> mx.array:
            support, query, *names = rows
            return head.logits(head.init(support, labels, ways, learned, *names), query)

        learned = [_learned(setup, meta, c) | ({} if c.names or not named else _NAMELESS) for c in own]
        rows = [
            mx.stack([beside(getattr(frozen, side), getattr(features[c.start], side), c.mix) for c in own])
            for side in (Features._fields if named else Features._fields[:2])
        ]
        stacked = {name: mx.stack([each[name] for each in learned]) for name in learned[0]}
        in_folds = mx.vmap(classify, in_axes=(None, None, 0))
        found = mx.vmap(in_folds, in_axes=(0, 0, None))(stacked, rows, labels)
        out |= dict(zip([c.name for c in own], found, strict=True))
    return out


def _one_by_one(
    setup: Setup,
    meta: Tree,
    candidates: Sequence[Candidate],
    features: dict[str, Features],
    frozen: Features,
    labels: mx.array,
    ways: int,
) -> Logits:
    """As `_in_batches`; each is evaluated before the next, or all of them would stand in memory."""
    out: Logits = {}
    cosines: dict[tuple[str, str], mx.array] = {}

    def between(begin: str, own: Features, side: str) -> mx.array:
        if side == "query" and own.query is own.support:
            side = "support"
        if (begin, side) not in cosines:
            cosines[begin, side] = getattr(own, side) @ own.support.T
        return cosines[begin, side]

    for c in candidates:
        own, head, regression = features[c.start], head_of(setup, c), c.classifier == "logistic"
        count, width = own.support.shape
        long = regression and count > 1.5 * width * (1 + (0 < c.mix < 1))  # it has fewer weights than examples
        if head.by_cosines is not None and not (c.names or long):
            near, among = (
                (1 - c.mix) * between(FROZEN.start, frozen, side) + c.mix * between(c.start, own, side)
                for side in ("query", "support")
            )
            out[c.name] = head.by_cosines(near, among, labels, ways)
        else:
            join = _halves_that_weigh if regression else beside  # other heads may count the coordinates
            support, query = join(frozen.support, own.support, c.mix), join(frozen.query, own.query, c.mix)
            names = None
            if frozen.names is not None and own.names is not None:
                names = join(frozen.names, own.names, c.mix)
            learned, called = _learned(setup, meta, c), names if c.names else None
            if head.in_folds is not None:
                params = head.in_folds(support, labels, ways, learned, called)
                out[c.name] = mx.vmap(head.logits, in_axes=(0, None))(params, query)
            else:
                made = [head.init(support, kept, ways, learned, called) for kept in labels]
                out[c.name] = mx.stack([head.logits(params, query) for params in made])
        mx.eval(out[c.name])
    return out


def _halves_that_weigh(frozen: mx.array, adapted: mx.array, mix: float) -> mx.array:
    """As `beside`, without a half of zeros."""
    if mix in (0.0, 1.0):
        return adapted if mix else frozen
    return beside(frozen, adapted, mix)


def _sentences_left_out(
    setup: Setup, meta: Tree, item: Item, candidates: Sequence[Candidate], folds: int, known: dict[str, Features]
) -> Validated:
    """See `cross_validate`; a candidate that steps is an error.

    Raises:
        AdaptationError: a candidate steps.
    """
    if any(c.steps for c in candidates):
        raise AdaptationError("words are tagged without gradient steps: a word outside is its own nearest one")
    assert item.support.sentences is not None
    lengths, tags = item.support.sentences
    owner = np.repeat(np.arange(len(lengths)), lengths)
    has = np.zeros((len(lengths), item.ways), bool)
    has[owner, np.array(item.support.labels)] = True
    fold = sentence_folds(has[:, 1:], folds, np.arange(len(lengths)))
    outs = [own for own in (np.flatnonzero(fold == number) for number in range(folds)) if len(own)]
    if not outs or not candidates:
        return _nothing_left_out(candidates)
    logits = _logits_of_folds(setup, meta, item, candidates, fold[owner], folds, known)
    order = np.concatenate(outs)
    words = np.concatenate([np.flatnonzero(owner == sentence) for sentence in order])
    truth = Sentences(lengths[order], tags[words])
    left = mx.array(fold[owner][words]), mx.array(words)
    counts = counts_of_all([each[left] for each in logits.values()], truth, transitions_of_item(setup, item))
    # all together, as episodes are read: the mean of the sentences' own F1 would count those without a mention most
    f1 = f1_of(counts.sum(axis=1)).tolist()
    return Validated(dict(zip(logits, f1, strict=True)), len(order))


def _logits_of_folds(
    setup: Setup,
    meta: Tree,
    item: Item,
    candidates: Sequence[Candidate],
    fold: np.ndarray,
    folds: int,
    known: dict[str, Features],
) -> Logits:
    """Logits of all support units ``(folds, n, ways)``, in each fold from those that are of another.

    Args:
        setup, meta, item, candidates, known: as in `cross_validate`; no candidate steps, the item is its own query set.
        fold: of each unit ``(n,)``; what has the number `folds` is never left out.
        folds: how many.
    """
    labels = np.array(item.support.labels)
    features = {c.start: _features(setup, meta, item, c.start, known) for c in candidates}
    features = {begin: own._replace(query=own.support) for begin, own in features.items()}
    kept = np.where(fold == np.arange(folds)[:, None], -1, labels).astype(np.int32)  # left out: of no class
    logits = _logits(setup, meta, candidates, features, _frozen(item), mx.array(kept), item.ways)
    mx.eval(logits)
    return logits


def _learned(setup: Setup, meta: Tree, candidate: Candidate) -> Meta:
    """The scalars of a candidate's head: the frozen prototype has nothing that was learned."""
    learned = head_of(setup, candidate).default_meta()
    if candidate.start != "frozen":  # a regression has only the weight of names from training
        learned |= {name: value for name, value in meta.get("head", {}).items() if name in learned}
    return learned


def _features(setup: Setup, meta: Tree, item: Item, begin: str, known: dict[str, Features]) -> Features:
    if begin not in known:
        if begin == "frozen":
            known[begin] = _frozen(item)
        else:
            network = setup.learner.backbone
            assert isinstance(network, WithFrozen)
            plain = setup.learner._replace(backbone=network.backbone)
            adapter, _ = start(setup, _of_start(meta, begin), item.embedding)
            support = unit(plain.features_now(adapter, item.support.hidden.hidden))
            same = item.query is item.support
            known[begin] = Features(
                support,
                support if same else unit(plain.features_now(adapter, item.query.hidden.hidden)),
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
