"""How sure a mean over episodes is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK = 2**22  # numbers drawn at once: the episodes of a whole benchmark, resampled 10,000 times, are gigabytes


def bootstrap_interval(
    values: np.ndarray, rng: np.random.Generator, resamples: int = 1000, level: float = 0.95
) -> np.ndarray:
    """Percentile bootstrap interval of the mean.

    Episodes are drawn with replacement, as many as there are; the interval holds the middle `level` of the means of
    these resamples. It covers a little less than `level` where episodes are few: count on 30 or more.

    Args:
        values: one row an episode, ``(n, ...)``. Further axes (methods, steps) share each resample: they stay paired.
        rng: draws the resamples; the same state gives the same interval.
        resamples: how many.
        level: between 0 and 1.

    Returns:
        Lower and upper end, float64 ``(2, ...)``. Equal for one value, and for equal values.

    Raises:
        ValueError: there are no values, one is not a number, or a setting is out of range.

    References:
        Efron, "Bootstrap methods: another look at the jackknife" (1979); the percentile interval: Efron,
        "Nonparametric standard errors and confidence intervals" (1981).
    """
    values = np.asarray(values, np.float64)
    if values.ndim == 0 or len(values) == 0:
        raise ValueError("an interval needs at least one value")
    if not np.isfinite(values).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(values))} of {values.size} values are not finite")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"resamples must be at least 1 and level between 0 and 1, got {resamples} and {level}")
    # Deviations are averaged, not values: equal values then give their own value, not one a rounding away from it.
    deviations = values - values[0]
    means = values[0] + np.concatenate(
        [
            deviations[rng.integers(len(values), size=(rows, len(values)))].mean(axis=1)
            for rows in _blocks(resamples, values.size)
        ]
    )
    outside = (1 - level) / 2
    return np.quantile(means, [outside, 1 - outside], axis=0)


def share_interval(share: float, size: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share: unlike a bootstrap, not empty where all of a few answers are right.

    Args:
        share: of right answers, in ``[0, 1]``.
        size: how many answers it is the mean of.
        z: how many standard deviations wide on each side; the default holds 95 %.

    Returns:
        Lower and upper end, in ``[0, 1]``, the share between them.

    Raises:
        ValueError: there is no answer, or the share is out of range.

    References:
        Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    if size < 1 or not 0 <= share <= 1:
        raise ValueError(f"a share in [0, 1] of one answer or more, got {share} of {size}")
    centre = (share + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * (share * (1 - share) / size + z * z / (4 * size * size)) ** 0.5
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def paired_p_value(first: np.ndarray, second: np.ndarray, rng: np.random.Generator, flips: int = 10_000) -> float:
    """Two-sided p-value of a paired sign-flip test: would a difference so large come by chance?

    Under the hypothesis that the two methods are alike, the sign of each episode's difference is by chance. Signs are
    flipped at random; the p-value is the share of flips, the observed one included, with a mean as far from zero.

    Args:
        first: a figure an episode, ``(n,)``.
        second: the other method's, on the same episodes, ``(n,)``.
        rng: draws the flips.
        flips: how many.

    Returns:
        At least ``1 / (flips + 1)``, at most 1.

    Raises:
        ValueError: the shapes differ, there are no values, or one is not finite.

    References:
        Fisher, "The design of experiments" (1935); the observed value counts: Phipson & Smyth (2010).
    """
    if np.shape(first) != np.shape(second) or np.ndim(first) != 1 or not len(first):
        raise ValueError(f"paired values must have one shape (n,), got {np.shape(first)} and {np.shape(second)}")
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    if not np.isfinite(difference).all():
        raise ValueError("paired values must be finite")
    rounding = 1e-12 * np.abs(difference).sum()
    as_far = 0
    for rows in _blocks(flips, len(difference)):
        signs = rng.integers(0, 2, size=(rows, len(difference)), dtype=np.int8) * 2 - 1
        as_far += np.count_nonzero(np.abs(signs @ difference) >= abs(difference.sum()) - rounding)
    return (as_far + 1) / (flips + 1)


def _blocks(rows: int, width: int) -> Iterator[int]:
    """Row counts that sum to `rows`, each but the last a multiple of 4 and about `BLOCK` numbers of `width` columns.

    With a multiple of 4 the generator gives int8s as if there were no blocks: it makes four of them at a time.
    """
    most = max(BLOCK // max(width, 1) // 4, 1) * 4
    for first in range(0, rows, most):
        yield min(most, rows - first)
