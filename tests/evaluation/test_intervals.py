"""metapeft.evaluation.intervals: what an interval promises."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.evaluation.intervals import bootstrap_interval


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_it_covers_the_true_mean_about_as_often_as_it_says() -> None:
    truth, trials, source = 0.7, 400, rng(1)
    draws = source.binomial(15, truth, (trials, 60)) / 15  # accuracies of 60 episodes of 15 query examples
    intervals = np.array([bootstrap_interval(values, source) for values in draws])
    covered = np.mean((intervals[:, 0] <= truth) & (truth <= intervals[:, 1]))
    assert 0.90 <= covered <= 0.98  # 0.95 less a little for 60 episodes, give or take three standard errors


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_it_agrees_with_the_normal_interval_for_many_values(level: float) -> None:
    quantile = {0.5: 0.6745, 0.8: 1.2816, 0.95: 1.9600}[level]
    values = rng(2).normal(3.0, 2.0, 2000)
    low, high = bootstrap_interval(values, rng(3), resamples=4000, level=level)
    half = quantile * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_a_higher_level_is_wider() -> None:
    values = rng().random(50)
    widths = [np.diff(bootstrap_interval(values, rng(), level=level))[0] for level in (0.5, 0.9, 0.99)]
    assert widths == sorted(widths)
    assert widths[0] > 0


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_equal_values_have_no_width(count: int) -> None:
    assert bootstrap_interval(np.full(count, 0.1), rng()).tolist() == [0.1, 0.1]


def test_further_axes_share_the_resamples() -> None:
    first = rng().random((40, 3))
    both = np.stack([first, first + 0.25], axis=2)  # (40, 3, 2)
    interval = bootstrap_interval(both, rng(5))
    assert interval.shape == (2, 3, 2)
    np.testing.assert_allclose(interval[..., 1] - interval[..., 0], 0.25)
    for column in range(3):
        alone = bootstrap_interval(first[:, column], rng(5))
        np.testing.assert_allclose(interval[:, column, 0], alone, rtol=1e-12)


def test_the_generator_decides() -> None:
    values = rng().random(30)
    np.testing.assert_array_equal(bootstrap_interval(values, rng(7)), bootstrap_interval(values, rng(7)))
    assert (bootstrap_interval(values, rng(7)) != bootstrap_interval(values, rng(8))).any()


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        ([], {}, "at least one value"),
        (0.5, {}, "at least one value"),
        ([0.5, np.nan], {}, "1 of 2 values are not finite"),
        ([0.5], {"resamples": 0}, "resamples"),
        ([0.5], {"level": 1.0}, "level"),
    ],
)
def test_what_has_no_interval_is_refused(values, settings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(np.array(values), rng(), **settings)
