"""Choosing a start: folds, ties, what cross-validation and the prior can and cannot say."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.errors import AdaptationError
from metapeft.meta.inner_loop import Examples
from metapeft.meta.methods import Item, method_named
from metapeft.meta.select import FROZEN, Candidate, Labelled, Prior, candidates_of, choose, fit_prior, fold_of, read
from metapeft.meta.states import Beside
from metapeft.mlx import mx
from tests.meta.test_methods import made

STATIC = Candidate("static", 0, 0.5)
NO_PRIOR = Prior(0.0, {})


def test_folds_take_turns_in_every_class() -> None:
    labels = np.array([0, 1, 0, 1, 0, 1, 1, 1])
    fold = fold_of(labels, 3)
    for label in (0, 1):
        counts = np.bincount(fold[labels == label], minlength=3)
        assert counts.max() - counts.min() <= 1


def test_candidates_are_what_a_method_offers() -> None:
    names = [c.name for c in candidates_of(method_named("hypernetwork"), 3, 0.5)]
    assert names == ["frozen", "static 0 steps", "static 3 steps", "hypernetwork 0 steps", "hypernetwork 3 steps"]
    assert [c.name for c in candidates_of(method_named("protonet"), 3, 0.5)] == ["frozen", "static 0 steps"]


def test_the_prior_recovers_a_slope_and_mistrusts_a_narrow_one() -> None:
    similarity = np.linspace(-1, 1, 201)
    prior = fit_prior(similarity, {"static 0 steps": 0.02 + 0.1 * similarity}, ridge=1e-3)
    assert prior.gain("static 0 steps", 0.5) == pytest.approx(0.07, abs=1e-3)
    assert prior.gain("unheard of", 0.5) == 0
    narrow = fit_prior(0.5 + 0.01 * similarity, {"static 0 steps": 0.02 + 5.0 * 0.01 * similarity}, ridge=0.1)
    assert abs(narrow.gains["static 0 steps"][1]) < 0.1  # not 5
    with pytest.raises(AdaptationError, match="needs episodes"):
        fit_prior(np.zeros(0), {})


def support_of(setup, per_class: int, ways: int = 2) -> Labelled:
    """Examples of an mlp on two far apart clusters: every sound classifier is right on all of them."""
    labels = np.repeat(np.arange(ways), per_class).astype(np.int32)
    rng = np.random.default_rng(0)
    points = (3.0 * (2 * labels[:, None] - 1) + 0.1 * rng.normal(size=(len(labels), 2))).astype(np.float32)
    network = setup.learner.backbone

    def examples(indices: np.ndarray) -> Examples:
        hidden: Beside = network.prefix(points[indices], None, setup.learner.depth)
        return Examples(hidden, mx.array(labels[indices]))

    def support_set(indices: np.ndarray):
        raise AssertionError("no embedder, nothing to embed")

    return Labelled(examples, support_set, labels, ways)


def test_the_frozen_prototype_wins_a_tie() -> None:
    method, setup, meta, _ = made("protonet")
    choice = choose(setup, method, meta, None, np.zeros((0, 0)), support_of(setup, 4), (STATIC,), NO_PRIOR)
    assert choice.validated == {"frozen": 1.0, "static 0 steps": 1.0}
    assert choice.candidate is FROZEN


def test_one_shot_leaves_it_to_the_prior() -> None:
    method, setup, meta, _ = made("protonet")
    for gain, winner in ((0.1, "static"), (-0.1, "frozen")):
        prior = Prior(0.0, {"static 0 steps": (gain, 0.0)})
        choice = choose(setup, method, meta, None, np.zeros((0, 0)), support_of(setup, 1), (STATIC,), prior)
        assert choice.validated == {}
        assert choice.candidate.start == winner


def test_examples_outvote_a_prior_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    method, setup, meta, _ = made("protonet")
    support = support_of(setup, 20)

    def wrong(setup, method, meta, item, candidates):
        right = (np.array(item.query.labels)[:, None] == np.arange(2)).astype(np.float32)
        return {c.name: mx.array(1 - right if c.start == "static" else right) for c in candidates}

    monkeypatch.setattr("metapeft.meta.select.read", wrong)
    prior = Prior(0.0, {"static 0 steps": (0.5, 0.0)})
    choice = choose(setup, method, meta, None, np.zeros((0, 0)), support, (STATIC,), prior)
    assert choice.validated == {"frozen": 1.0, "static 0 steps": 0.0}
    assert choice.candidate is FROZEN


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
