"""The prior of choosing: slopes, sizes, and what it is worth beside cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from metapeft.episodes.episode import Sentences
from metapeft.errors import AdaptationError
from metapeft.meta.inner_loop import Examples
from metapeft.meta.prior import WEIGHTS, Prior, Record, fit_prior, size_of
from metapeft.mlx import mx


def record(
    task: str, similarity: float, gain: float, examples: int = 0, validated: float = 0.0, shots: int = 5
) -> Record:
    return Record(task, similarity, shots, float(shots), examples, {"a": gain}, {"a": validated} if examples else {})


def test_the_prior_recovers_a_slope_and_mistrusts_a_narrow_one() -> None:
    similarity = np.linspace(-1, 1, 201)
    prior = fit_prior([record("t", near, 0.02 + 0.1 * near) for near in similarity], ridge=1e-3)
    assert prior.gain("a", 0.5, 5.0) == pytest.approx(0.07, abs=1e-3)
    assert prior.gain("unheard of", 0.5, 5.0) == 0
    narrow = fit_prior([record("t", 0.5 + 0.01 * near, 0.02 + 5.0 * 0.01 * near) for near in similarity], ridge=0.1)
    assert abs(narrow.sizes[0][1]["a"][1]) < 0.1  # not 5
    with pytest.raises(AdaptationError, match="needs episodes"):
        fit_prior([])


def test_between_two_sizes_gains_change_with_the_logarithm() -> None:
    few = [record("t", 0.5, -0.1, shots=1)]
    many = [record("t", 0.5, 0.2, 25, 0.1), record("t", 0.5, 0.4, 25, 0.1)]
    prior = fit_prior([*few, *(each._replace(size=size) for each, size in zip(many, (7.0, 9.0), strict=True))])
    assert [size for size, _ in prior.sizes] == [1.0, 8.0]
    said = [prior.gain("a", 0.5, size) for size in (0.5, 1.0, 8**0.5, 8.0, 50.0)]
    np.testing.assert_allclose(said, [-0.1, -0.1, 0.1, 0.3, 0.3], atol=1e-9)
    # a candidate that a size has no record of
    only = fit_prior([*few, many[0]._replace(gains={"b": 0.2}, validated={"b": 0.1})])
    assert (only.gain("a", 0.5, 50.0), only.gain("b", 0.5, 1.0)) == pytest.approx((-0.1, 0.2))


def test_the_size_is_examples_a_class_or_mentions_a_type() -> None:
    hidden: Any = None
    assert size_of(Examples(hidden, mx.array([0, 1, 0, 1, 2, 2])), 3) == 2
    tags = np.array([0, 1, 2, 0, 1, 3, 4, 4, 3, 0], np.int32)  # two of one type, two of the other
    words = Examples(hidden, mx.array((tags + 1) // 2), Sentences(np.array([4, 6]), tags))
    assert size_of(words, 3) == 2
    assert size_of(words, 5) == 1  # of two more types there is none


@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_weight_is_what_cross_validation_is_worth(weight: float) -> None:
    """Gains are drawn about 0.1 with a spread, cross-validation adds noise whose variance is `weight / n` of it."""
    rng = np.random.default_rng(0)
    truth = 0.1 + 0.05 * rng.standard_normal(1000)
    noisy = truth + 0.05 * (weight / 25) ** 0.5 * rng.standard_normal(1000)
    records = [
        record(f"t{i % 2}", 0.5, gain, 25, seen) for i, (gain, seen) in enumerate(zip(truth, noisy, strict=True))
    ]
    found = WEIGHTS.index(fit_prior(records).weight)
    assert abs(found - WEIGHTS.index(weight)) <= 1


def test_a_prior_that_other_tasks_do_not_bear_out_weighs_little() -> None:
    """Each task's gain is its own; cross-validation sees it with a little noise."""
    rng = np.random.default_rng(0)

    def records(gains: Sequence[float]) -> list[Record]:
        return [
            record(f"t{i}", 0.5, gain, 25, gain + 0.05 * rng.standard_normal())
            for i, gain in enumerate(gains)
            for _ in range(20)
        ]

    assert fit_prior(records([-0.3, 0.3])).weight == min(WEIGHTS)
    # a slope through both tasks would know each: it must not be asked about a task that it was fitted on
    far = [each._replace(similarity=float(each.task == "t1")) for each in records([-0.3, 0.3])]
    assert fit_prior(far).gain("a", 1.0, 5.0) > 0.2
    assert fit_prior(far).weight == min(WEIGHTS)
    assert fit_prior(records([0.1, 0.1])).weight == max(WEIGHTS)
    assert fit_prior(records([0.1])).weight == Prior(0.0, ()).weight  # one task cannot say
