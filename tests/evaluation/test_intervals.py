"""metapeft.evaluation.intervals: what an interval promises."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.evaluation.intervals import bootstrap_interval, paired_p_value, share_interval


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


@pytest.mark.parametrize(
    ("share", "size", "expected"),
    [
        # Wilson's interval is where (share - p)² = z² p (1 - p) / n; the figures of 8 of 10 are in many books
        (0.8, 10, (0.4902, 0.9433)),
        (1.0, 10, (0.7225, 1.0)),
        (0.0, 10, (0.0, 0.2775)),
        (0.5, 1, (0.0546, 0.9454)),
    ],
)
def test_the_interval_of_a_share(share: float, size: int, expected: tuple[float, float]) -> None:
    ends = share_interval(share, size)
    assert ends == pytest.approx(expected, abs=1e-4)
    for end in ends:
        assert (share - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / size, abs=1e-9)


@pytest.mark.parametrize(("share", "size"), [(0.5, 0), (1.1, 4), (-0.1, 4), (float("nan"), 4)])
def test_a_share_of_nothing(share: float, size: int) -> None:
    with pytest.raises(ValueError, match="a share in"):
        share_interval(share, size)


def test_a_sign_flip_test_of_few_pairs_is_counted_by_hand() -> None:
    first, second = np.array([3.0, 2.0, 4.0, 5.0]), np.array([1.0, 1.0, 1.0, 1.0])
    # all 16 flips of (2, 1, 3, 4): only the two with every sign alike have a sum as far from zero
    p = paired_p_value(first, second, np.random.default_rng(0), flips=20_000)
    assert p == pytest.approx(2 / 16, abs=0.01)
    assert p == pytest.approx(paired_p_value(second, first, np.random.default_rng(0), flips=20_000))


def test_no_difference_is_no_evidence_and_a_large_one_is() -> None:
    values = np.arange(40.0)
    assert paired_p_value(values, values, np.random.default_rng(0)) == 1
    assert paired_p_value(values + 1, values, np.random.default_rng(0), flips=999) == pytest.approx(1 / 1000)


@pytest.mark.parametrize(
    ("first", "second"), [([1.0], [1.0, 2.0]), ([], []), ([[1.0]], [[1.0]]), ([np.nan, 1.0], [0.0, 1.0])]
)
def test_pairs_that_are_none(first, second) -> None:
    with pytest.raises(ValueError, match="paired values"):
        paired_p_value(np.array(first), np.array(second), np.random.default_rng(0))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values, other = rng(1).random((2, 101))
    whole = bootstrap_interval(values, rng(2)), paired_p_value(values, other, rng(3), flips=1001)
    monkeypatch.setattr("metapeft.evaluation.intervals.BLOCK", 5000)
    blocks = bootstrap_interval(values, rng(2)), paired_p_value(values, other, rng(3), flips=1001)
    np.testing.assert_array_equal(whole[0], blocks[0])
    assert 0.05 < whole[1] == blocks[1] < 1
