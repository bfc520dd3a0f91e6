"""Figures of one episode or of one curve of accuracy over gradient steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def macro_f1(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean over classes of F1, the harmonic mean of precision and recall.

    Classes are those that stand in `labels` or in `predicted`. A class that is in one of them only has F1 0, so it
    counts against whoever never finds it, or finds what is not there.

    Args:
        labels: true classes, integers ``(n,)``.
        predicted: predicted classes, integers ``(n,)``.

    Returns:
        From 0 to 1.

    Raises:
        ValueError: the shapes differ or there is nothing to count.

    References:
        Mean of F1 values, not F1 of means: Opitz & Burst, "Macro F1 and macro F1" (2019).
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.shape != predicted.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(f"labels and predictions must have one shape (n,), got {labels.shape} and {predicted.shape}")
    scores = []
    for each in np.unique(np.concatenate([labels, predicted])):
        truth, said = labels == each, predicted == each
        scores.append(2 * np.count_nonzero(truth & said) / (np.count_nonzero(truth) + np.count_nonzero(said)))
    return float(np.mean(scores))


def steps_to_share(steps: Sequence[int], accuracy: Sequence[float], share: float = 0.95) -> int:
    """The first step at which a curve has `share` of its final accuracy.

    A curve that starts there needs 0 steps, also one that falls. It is meant for the mean curve of many episodes: that
    of one episode goes up and down by chance.

    Args:
        steps: gradient steps, rising, ``(n,)``.
        accuracy: accuracy after so many steps, ``(n,)``.
        share: of the final accuracy.

    Raises:
        ValueError: see `_checked`.
    """
    at, values = _checked(steps, accuracy)
    # the last point reaches itself; without the rounding a share of 1 could miss it
    reached = values >= share * values[-1] - 1e-12
    return int(at[np.argmax(reached)])


def adaptation_speed(steps: Sequence[int], accuracy: Sequence[float]) -> float:
    """How early the gain of a curve comes: the mean over its steps of the share of the final gain that is there.

    The area under the curve between start and end, as a share of the rectangle that an immediate gain would fill
    (trapezoids between the given steps). 1: all of it after no time; 0.5: a straight line; above 1: the curve was
    higher than its end. It says nothing of how large the gain is.

    Args:
        steps: gradient steps, rising, ``(n,)``.
        accuracy: accuracy after so many steps, ``(n,)``.

    Returns:
        NaN where start and end are equal: there is no gain to share out.

    Raises:
        ValueError: see `_checked`; or there is one step only.
    """
    at, values = _checked(steps, accuracy)
    if len(at) < 2:
        raise ValueError("the speed of a curve needs at least two steps")
    gain = values[-1] - values[0]
    if gain == 0:
        return float("nan")
    return float(np.trapezoid((values - values[0]) / gain, at) / (at[-1] - at[0]))


def _checked(steps: Sequence[int], accuracy: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 arrays.

    Raises:
        ValueError: the lengths differ, there are no steps, they do not rise, or an accuracy is not finite.
    """
    at, values = np.asarray(steps, np.float64), np.asarray(accuracy, np.float64)
    if at.shape != values.shape or at.ndim != 1 or not len(at):
        raise ValueError(f"steps and accuracy must have one shape (n,), got {at.shape} and {values.shape}")
    if (np.diff(at) <= 0).any():
        raise ValueError(f"steps must rise, got {list(steps)}")
    if not np.isfinite(values).all():
        raise ValueError("an accuracy is not finite")
    return at, values
