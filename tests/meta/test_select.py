"""Choosing a start: ties, what cross-validation and the prior can and cannot say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from metapeft.episodes.episode import Sentences
from metapeft.errors import AdaptationError
from metapeft.heads import Head, cosine_head, euclidean_head, logistic_head, tagger_head
from metapeft.heads.head import unit
from metapeft.meta import select
from metapeft.meta.detector import Detector
from metapeft.meta.folds import fold_of
from metapeft.meta.inner_loop import Examples
from metapeft.meta.judge import best_paths, f1_of, sentence_counts, transitions_for
from metapeft.meta.methods import Item, method_named
from metapeft.meta.prior import Prior
from metapeft.meta.select import (
    FROZEN,
    Candidate,
    Features,
    Validated,
    candidates_of,
    choose,
    classifier_of,
    cross_validate,
    head_of,
    read,
)
from metapeft.meta.states import Beside, beside
from metapeft.mlx import mx
from tests.meta.test_methods import made

STATIC = Candidate("static", 0, 0.5)
NO_PRIOR = Prior(0.0, ())


def test_candidates_are_what_a_method_offers() -> None:
    names = [c.name for c in candidates_of(method_named("hypernetwork"), 3, 0.5)]
    mixes = ["mix 0.25", "mix 0.5", "mix 1", "mix 0.5, logistic", "3 steps, mix 0.5"]
    assert names == [
        "frozen",
        "frozen, logistic",
        *(f"{start}, {mix}" for start in ("static", "hypernetwork") for mix in mixes),
    ]
    static = ["frozen", "frozen, logistic", *(f"static, mix {mix}" for mix in ("0.25", "0.3", "0.5", "1"))]
    static += ["static, mix 0.3, logistic", "static, mix 0.5, logistic"]
    assert [c.name for c in candidates_of(method_named("protonet"), 3, 0.3)] == static
    for method, starts in (("hypernetwork", ["static", "hypernetwork"]), ("protonet", ["static"])):
        for told, rest in ((True, ", detector 0.35"), (False, "")):
            words = candidates_of(method_named(method), 0, 0.4, tagging=True, detector=told)
            assert [c.name for c in words] == ["frozen", *(f"{start}, mix 0.4, both{rest}" for start in starts)]
    both = candidates_of(method_named("protonet"), 3, 0.5, names=True)
    assert [c.name for c in both if c.names] == [f"{c.name} + names" for c in both if not c.names]


def support_of(setup, per_class: int, ways: int = 2, names: bool = False) -> tuple[Item, Callable[..., Examples]]:
    """Examples of an mlp on two far apart clusters: every sound classifier is right on all of them."""
    labels = np.repeat(np.arange(ways), per_class).astype(np.int32)
    rng = np.random.default_rng(0)
    points = (3.0 * (2 * labels[:, None] - 1) + 0.1 * rng.normal(size=(len(labels), 2))).astype(np.float32)
    network, depth = setup.learner.backbone, setup.learner.depth

    def part(indices: np.ndarray) -> Examples:
        hidden: Beside = network.prefix(points[indices], None, depth)
        return Examples(hidden, mx.array(labels[indices]))

    support = part(np.arange(len(labels)))
    called = network.prefix(points[::per_class], None, depth) if names else None
    return Item(support, support, ways, mx.zeros(0), mx.arange(ways), "task", names=called), part


def no_part(rows: np.ndarray) -> Examples:
    """For candidates that take no step."""
    raise AssertionError(f"asked for {rows}")


def chosen(candidates, per_class: int, prior: Prior = NO_PRIOR):
    method, setup, meta, _ = made("protonet")
    item, part = support_of(setup, per_class)
    return choose(candidates, cross_validate(setup, method, meta, item, part, candidates), prior, 0.0, per_class)


def test_the_first_candidate_wins_a_tie() -> None:
    choice = chosen((FROZEN, STATIC), 4)
    assert choice.validated == {"frozen": 1.0, "static, mix 0.5": 1.0}
    assert choice.candidate is FROZEN


def test_one_shot_leaves_it_to_the_prior() -> None:
    for gain, winner in ((0.1, "static"), (-0.1, "frozen")):
        choice = chosen((FROZEN, STATIC), 1, Prior(0.0, ((1.0, {STATIC.name: (gain, 0.0)}),)))
        assert choice.validated == {}
        assert choice.candidate.start == winner


def test_examples_outvote_a_prior_when_there_are_many() -> None:
    right = Validated({"frozen": 1.0, STATIC.name: 0.0}, 40)
    choice = choose((FROZEN, STATIC), right, Prior(0.0, ((1.0, {STATIC.name: (0.5, 0.0)}),)), 0.0, 1.0)
    assert choice.validated == {"frozen": 1.0, "static, mix 0.5": 0.0}
    assert choice.candidate is FROZEN


@pytest.mark.parametrize("large", [2**14, 0], ids=["in one batch", "large ones"])
@pytest.mark.parametrize(
    ("head", "named"),
    [
        (cosine_head(), True),
        (cosine_head(), False),
        (euclidean_head(), True),
        (euclidean_head(), False),
        (tagger_head(), False),
    ],
    ids=lambda each: getattr(each, "name", "named" if each else "nameless"),
)
def test_one_batch_says_what_classifiers_one_by_one_say(
    monkeypatch: pytest.MonkeyPatch, head: Head, named: bool, large: int
) -> None:
    monkeypatch.setattr(select, "LARGE", large)
    method, setup, meta, _ = made("hypernetwork")
    setup = setup._replace(learner=setup.learner._replace(head=head))
    meta = meta | {"head": {name: value + 0.3 for name, value in head.default_meta().items()}}
    keys = iter(mx.random.split(mx.random.key(0), 9))
    labels, ways = np.array([0, 1, 2, 0, 1, 0, 0, 1, 0, 0, 1], np.int32), 3  # an only one, and folds of several sizes

    def drawn(n: int) -> mx.array:
        return unit(mx.random.normal((n, 8), key=next(keys)))

    starts = ("frozen", "static", "hypernetwork")
    known = {begin: Features(drawn(len(labels)), drawn(4), drawn(ways)) for begin in starts}
    frozen = known["frozen"]
    support, query = (Examples(Beside(None, side), mx.array(labels[: len(side)])) for side in frozen[:2])
    names = Beside(None, frozen.names) if named else None
    item = Item(support, query, ways, mx.zeros(0), mx.arange(ways), "task", names=names)
    candidates = candidates_of(method, 0, 0.3, names=named, tagging=head.name == "tagger")
    if head.name == "tagger":
        candidates += (Candidate("static", 0, 0.3),)

    def plain(c: Candidate, kept: np.ndarray, side: str, asked: np.ndarray) -> np.ndarray:
        seen, told, called = (
            beside(getattr(frozen, name), getattr(known[c.start], name), c.mix) for name in ("support", side, "names")
        )
        rows = mx.array(kept)
        params = classifier_of(setup, meta, c, seen[rows], support.labels[rows], ways, called)
        return np.array(head_of(setup, c).logits(params, told[mx.array(asked)]))

    everything = np.arange(len(labels))
    logits = read(setup, method, meta, item, candidates, known)
    right = cross_validate(setup, method, meta, item, support_of(setup, 1)[1], candidates, 3, known)
    assert list(logits) == list(right.scores) == [c.name for c in candidates]
    assert right.examples == len(labels) - 1
    fold = np.where(labels == 2, 3, fold_of(labels, 3))
    for c in candidates:
        close = (
            1e-5 if c.classifier == "prototype" else 1e-3
        )  # descent ends before its last digits, in either of two ways
        np.testing.assert_allclose(
            np.array(logits[c.name]), plain(c, everything, "query", np.arange(4)), rtol=close, atol=close
        )
        expected = []
        for number in range(3):
            out = np.flatnonzero(fold == number)
            said = plain(c, np.flatnonzero(fold != number), "support", out).argmax(axis=1)
            expected += (said == labels[out]).tolist()
        assert right.scores[c.name] == pytest.approx(np.mean(expected)), c.name
    assert len(set(right.scores.values())) > 1


def test_sentences_are_left_out_whole_and_an_only_one_of_a_type_stays() -> None:
    method, setup, meta, _ = made("protonet")
    detector = Detector(mx.random.normal((16,), key=mx.random.key(5)), mx.array(0.5))
    setup = setup._replace(learner=setup.learner._replace(head=tagger_head()), detector=detector)
    lengths = np.array([3, 1, 4, 2, 3])
    tags = np.array([1, 2, 0, 0, 0, 3, 0, 1, 1, 0, 0, 3, 0], np.int32)
    tags[12] = 5  # the last sentence alone has the third type
    labels, owner = (tags + 1) // 2, np.repeat(np.arange(5), lengths)
    keys = mx.random.split(mx.random.key(3), 2)
    about = mx.array(2.0 * np.eye(8, dtype=np.float32)[labels])  # a word says something of its class
    frozen, moved = (unit(about + mx.random.normal((13, 8), key=key)) for key in keys)
    words = Examples(Beside(None, frozen), mx.array(labels), Sentences(lengths, tags))
    item = Item(words, words, 4, mx.zeros(0), mx.arange(4), "task")
    known = {"frozen": Features(frozen, frozen, None), "static": Features(moved, moved, None)}
    candidates = (*candidates_of(method, 0, 0.5, tagging=True, detector=True), Candidate("static", 0, 0.5))
    right = cross_validate(setup, method, meta, item, lambda rows: words, candidates, 2, known)
    for c in candidates:
        mixed, expected = beside(frozen, known[c.start].support, c.mix), []
        for out in ((0, 1), (2, 3)):  # the fifth stays
            kept, left = np.flatnonzero(~np.isin(owner, out)), np.flatnonzero(np.isin(owner, out))
            params = classifier_of(setup, meta, c, mixed[mx.array(kept)], mx.array(labels[kept]), 4, None)
            truth = Sentences(lengths[list(out)], tags[left])
            logits = np.array(head_of(setup, c).logits(params, mixed[mx.array(left)]))
            said = best_paths(logits, truth.lengths, transitions_for(None, words.sentences))
            expected += sentence_counts(said, truth).tolist()
        f1 = f1_of(np.sum(expected, axis=0))
        assert right.scores[c.name] == pytest.approx(f1), c.name
    assert right.examples == 4
    assert len(set(right.scores.values())) > 1


def test_nothing_to_choose_from_is_an_error() -> None:
    with pytest.raises(AdaptationError, match="nothing to choose"):
        chosen((FROZEN._replace(names=True),), 2)


def test_steps_are_validated_on_examples_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    method, setup, meta, _ = made("hypernetwork")
    item, part = support_of(setup, 4)
    meta = {name: branch for name, branch in meta.items() if name != "generator"}
    asked: list[list[int]] = []

    def watched(indices: np.ndarray) -> Examples:
        asked.append(indices.tolist())
        return part(indices)

    stepping = Candidate("static", 1, 0.5)
    right = cross_validate(setup, method, meta, item, watched, (FROZEN, stepping), folds=2)
    assert set(right.scores) == {"frozen", "static, 1 steps, mix 0.5"}
    for kept, out in zip(asked[::2], asked[1::2], strict=True):
        assert sorted(kept + out) == list(range(8))


def test_cross_validation_is_that_of_prototypes_without_the_fold() -> None:
    method, setup, meta, _ = made("protonet")
    item, part = support_of(setup, 5)
    right = cross_validate(setup, method, meta, item, part, (FROZEN, STATIC), folds=5)
    frozen, labels = np.array(item.support.hidden.frozen), np.array(item.support.labels)
    fold, expected = fold_of(labels, 5), []
    for number in range(5):
        kept = fold != number
        means = np.stack([frozen[kept & (labels == label)].mean(0) for label in range(2)])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        expected += (np.argmax(frozen[~kept] @ means.T, axis=1) == labels[~kept]).tolist()
    assert right.scores["frozen"] == pytest.approx(np.mean(expected))


def test_known_features_are_not_computed_again() -> None:
    method, setup, meta, item = made("protonet")
    known = {}
    first = read(setup, method, meta, item, (FROZEN, STATIC), known)
    broken = item._replace(support=item.support._replace(hidden=item.support.hidden._replace(hidden=None)))
    again = read(setup, method, meta, broken, (FROZEN, STATIC), known)
    assert all(np.array_equal(np.array(first[name]), np.array(again[name])) for name in first)


@pytest.mark.parametrize("name", ["protonet", "hypernetwork"])
def test_the_query_set_is_not_looked_at_to_choose(name: str) -> None:
    method, setup, meta, item = made(name)
    candidates = [c for c in candidates_of(method, 0, 0.5, names=True) if not c.steps]
    blind = item._replace(query=item.query._replace(hidden=None))
    right, again = (cross_validate(setup, method, meta, each, no_part, candidates) for each in (item, blind))
    assert right == again
    assert right.examples


def test_a_name_is_an_example_and_is_left_out_where_there_is_none() -> None:
    method, setup, meta, _ = made("protonet")
    named = STATIC._replace(names=True)
    item, part = support_of(setup, 1, names=True)
    with_names = read(setup, method, meta, item, (STATIC, named))
    assert set(with_names) == {"static, mix 0.5", "static, mix 0.5 + names"}
    # here the names are the examples themselves: the prototypes are the same
    assert np.allclose(np.array(with_names[STATIC.name]), np.array(with_names[named.name]), atol=1e-5)
    assert set(read(setup, method, meta, item._replace(names=None), (STATIC, named))) == {STATIC.name}
    # and the names of the wrong classes turn each prototype towards the other class
    swapped = item._replace(names=part(np.array([1, 0])).hidden)
    turned = read(setup, method, meta, swapped, (STATIC, named))
    assert np.array_equal(np.array(turned[STATIC.name]), np.array(with_names[STATIC.name]))
    assert not np.allclose(np.array(turned[named.name]), np.array(with_names[named.name]), atol=1e-2)


def test_frozen_is_the_prototype_classifier_whatever_was_learned() -> None:
    method, setup, meta, item = made("hypernetwork")
    first = read(setup, method, meta, item, (FROZEN,))["frozen"]
    other = made("hypernetwork")[2] | {
        "base": {path: {k: 5 * v for k, v in f.items()} for path, f in meta["base"].items()}
    }
    second = read(setup, method, other | {"head": meta["head"]}, item, (FROZEN,))["frozen"]
    assert np.allclose(np.array(first), np.array(second), atol=1e-6)


def test_static_is_the_base_without_the_generated_term() -> None:
    method, setup, meta, item = made("hypernetwork")
    generated = Candidate("hypernetwork", 0, 0.5)
    logits = read(setup, method, meta, item, (STATIC, generated))
    elsewhere: Item = item._replace(embedding=-item.embedding)
    moved = read(setup, method, meta, elsewhere, (STATIC, generated))
    assert np.array_equal(np.array(logits[STATIC.name]), np.array(moved[STATIC.name]))
    assert np.abs(np.array(logits[generated.name]) - np.array(moved[generated.name])).max() > 1e-5


def test_the_only_example_of_a_class_is_never_left_out() -> None:
    method, setup, meta, _ = made("protonet")
    item, part = support_of(setup, 4, ways=2)
    rows = np.array([0, 1, 2, 3, 4])  # four examples of one class, one of the other
    few = item._replace(support=part(rows))
    right = cross_validate(setup, method, meta, few, lambda picked: part(rows[picked]), (FROZEN, STATIC))
    assert right == ({"frozen": 1.0, "static, mix 0.5": 1.0}, 4)  # of the four; NaN prototypes are never right
    stepping = Candidate("static", 1, 0.5)
    kept: list[list[int]] = []
    cross_validate(
        setup, method, meta, few, lambda picked: kept.append(picked.tolist()) or part(rows[picked]), (FROZEN, stepping)
    )
    assert all(4 in picked for picked in kept[::2])
    assert sorted(sum(kept[1::2], [])) == [0, 1, 2, 3]


@pytest.mark.parametrize("names", [False, True])
def test_logistic_is_the_regression_on_the_same_features(names: bool) -> None:
    method, setup, meta, _ = made("protonet")
    item, _ = support_of(setup, 3, names=True)
    candidate = STATIC._replace(classifier="logistic", names=names)
    known: dict = {}
    beside_it = FROZEN._replace(classifier="logistic")  # so that it is one of a batch
    logits = read(setup, method, meta, item, (FROZEN, beside_it, candidate), known)
    own = known["static"]
    support, query = (
        beside(getattr(item, side).hidden.frozen, getattr(own, side), 0.5) for side in ("support", "query")
    )
    assert item.names is not None
    called = beside(item.names.frozen, own.names, 0.5) if names else None
    learned = logistic_head().default_meta() | {"log_name_weight": meta["head"]["log_name_weight"]}
    params = logistic_head().init(support, item.support.labels, item.ways, learned, called)
    expected = np.array(logistic_head().logits(params, query))
    np.testing.assert_allclose(np.array(logits[candidate.name]), expected, atol=1e-3)
