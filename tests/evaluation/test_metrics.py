"""metapeft.evaluation.metrics: counted by hand, and what holds for every curve and every labelling."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.evaluation.metrics import adaptation_speed, macro_f1, steps_to_share

STEADY = settings(deadline=None, derandomize=True)
PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30)
CURVES = st.lists(st.floats(0, 1), min_size=2, max_size=12)


@pytest.mark.parametrize(
    ("labels", "predicted", "expected"),
    [
        ([0, 0, 1, 1], [0, 0, 1, 1], 1.0),
        ([0, 0, 1, 1], [0, 1, 1, 1], (2 / 3 + 4 / 5) / 2),  # class 0: 1 of 2 found, all right; class 1: 2 of 3 right
        ([0, 0, 0, 1], [0, 0, 0, 0], (6 / 7 + 0) / 2),  # class 1 is never found
        ([0, 0], [0, 2], (2 / 3 + 0) / 2),  # class 2 is found where it is not
        ([1, 1], [0, 0], 0.0),
    ],
)
def test_macro_f1_by_hand(labels, predicted, expected: float) -> None:
    assert macro_f1(np.array(labels), np.array(predicted)) == pytest.approx(expected)


@STEADY
@given(PAIRS, st.permutations(range(5)), st.randoms(use_true_random=False))
def test_macro_f1_knows_neither_names_nor_order(pairs, renamed, random) -> None:
    labels, predicted = np.array(pairs).T
    value = macro_f1(labels, predicted)
    assert 0 <= value <= 1
    assert (value == 1) == (labels == predicted).all()
    assert macro_f1(predicted, labels) == pytest.approx(value)
    order = list(range(len(pairs)))
    random.shuffle(order)
    new = np.array(renamed)
    assert macro_f1(new[labels][order], new[predicted][order]) == pytest.approx(value)


@pytest.mark.parametrize(("labels", "predicted"), [([], []), ([0], [0, 1]), ([[0]], [[0]])])
def test_macro_f1_of_nothing(labels, predicted) -> None:
    with pytest.raises(ValueError, match="one shape"):
        macro_f1(np.array(labels), np.array(predicted))


@pytest.mark.parametrize(
    ("accuracy", "share", "expected"),
    [
        ([0.2, 0.5, 0.75, 0.8], 0.95, 5),  # 0.76 is asked for
        ([0.2, 0.5, 0.77, 0.8], 0.95, 2),
        ([0.2, 0.5, 0.75, 0.8], 0.5, 1),
        ([0.8, 0.8, 0.8, 0.8], 0.95, 0),
        ([0.9, 0.7, 0.6, 0.5], 0.95, 0),
        ([0.0, 0.1, 0.2, 0.3], 1.0, 5),
        ([0.0, 0.0, 0.0, 0.0], 0.95, 0),
    ],
)
def test_steps_to_a_share_by_hand(accuracy, share: float, expected: int) -> None:
    assert steps_to_share([0, 1, 2, 5], accuracy, share) == expected


@STEADY
@given(CURVES, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_is_never_reached_earlier(curve, one: float, other: float) -> None:
    steps = list(range(0, 3 * len(curve), 3))
    early, late = (steps_to_share(steps, curve, share) for share in sorted((one, other)))
    assert early <= late <= steps[-1]
    assert curve[steps.index(early)] >= min(one, other) * curve[-1] - 1e-9


@pytest.mark.parametrize(
    ("steps", "accuracy", "expected"),
    [
        ([0, 10], [0.2, 0.8], 0.5),
        ([0, 1, 10], [0.2, 0.8, 0.8], 0.95),  # half of the first step's gain, all of the other nine
        ([0, 5, 10], [0.2, 0.2, 0.8], 0.25),
        ([0, 5, 10], [0.2, 1.0, 0.6], (1 + 1.5) / 2),  # overshoots: 2 gains at step 5, 1 at the end
        ([0, 5, 10], [0.8, 0.4, 0.4], 0.75),  # a loss that comes early is early too
    ],
)
def test_speed_by_hand(steps, accuracy, expected: float) -> None:
    assert adaptation_speed(steps, accuracy) == pytest.approx(expected)


def test_no_gain_has_no_speed() -> None:
    assert math.isnan(adaptation_speed([0, 1, 2], [0.5, 0.7, 0.5]))


@STEADY
@given(st.lists(st.integers(0, 100), min_size=2, max_size=12), st.integers(1, 5), st.integers(1, 3))
def test_speed_of_a_rising_curve_ignores_units(counts, stretch: int, height: int) -> None:
    curve = np.sort(np.array(counts)) / 100
    steps = np.arange(len(curve))
    if curve[0] == curve[-1]:
        assert math.isnan(adaptation_speed(steps.tolist(), curve.tolist()))
        return
    speed = adaptation_speed(steps.tolist(), curve.tolist())
    assert 0 < speed < 1
    other = adaptation_speed((steps * stretch).tolist(), (curve * height + 0.1).tolist())
    assert other == pytest.approx(speed)


@pytest.mark.parametrize("figure", [steps_to_share, adaptation_speed])
@pytest.mark.parametrize(
    ("steps", "accuracy", "message"),
    [
        ([], [], "one shape"),
        ([0, 1], [0.5], "one shape"),
        ([0, 2, 2], [0.1, 0.2, 0.3], "must rise"),
        ([0, 1], [0.5, math.nan], "not finite"),
    ],
)
def test_what_is_no_curve(figure, steps, accuracy, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figure(steps, accuracy)


def test_one_point_has_no_speed() -> None:
    assert steps_to_share([3], [0.5]) == 3
    with pytest.raises(ValueError, match="at least two"):
        adaptation_speed([3], [0.5])
