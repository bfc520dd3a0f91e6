"""metapeft.backbones.elementwise: within the stated errors of the exact functions, and finite everywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metapeft.backbones import elementwise
from metapeft.backbones.elementwise import exp_of_minus, gelu, silu, softmax
from metapeft.mlx import mx, nn

X = np.concatenate([np.linspace(-12, 12, 20001), np.linspace(-1e-3, 1e-3, 201)]).astype(np.float32)
EXTREME = np.array([-1e7, -1e4, -50, -0.0, 0.0, 50, 1e4, 1e7], np.float32)


def exact_gelu(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return x * 0.5 * np.array([math.erfc(-value / math.sqrt(2)) for value in x])


def exact_slope(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    phi = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return 0.5 * np.array([math.erfc(-value / math.sqrt(2)) for value in x]) + x * phi


def slope(x: mx.array) -> mx.array:
    return mx.grad(lambda x: gelu(x).sum())(x)


def test_gelu_is_within_the_stated_error() -> None:
    assert np.abs(np.array(gelu(mx.array(X))) - exact_gelu(X)).max() < 7e-7


def test_the_derivative_of_gelu_is_within_the_stated_error() -> None:
    assert np.abs(np.array(slope(mx.array(X))) - exact_slope(X)).max() < 4e-6


def test_the_second_derivative_of_gelu() -> None:
    """At all points but 0 itself, where the derivatives of sign and abs are 0."""
    points = X[X != 0]
    second = np.array(mx.grad(lambda x: slope(x).sum())(mx.array(points))).astype(np.float64)
    x = points.astype(np.float64)
    exact = (2 - x**2) * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    assert np.abs(second - exact).max() < 1e-4
    step = 2.0**-6
    ends = [np.array(slope(mx.array(points + sign * step))) for sign in (1, -1)]
    differences = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(second, differences, rtol=0, atol=2e-3)


def test_gelu_is_finite_far_out() -> None:
    x = mx.array(EXTREME)
    np.testing.assert_allclose(gelu(x), np.maximum(EXTREME, 0), rtol=1e-6)
    np.testing.assert_allclose(slope(x), [0, 0, 0, 0.5, 0.5, 1, 1, 1], rtol=0, atol=1e-6)
    assert mx.isfinite(mx.grad(lambda x: slope(x).sum())(x)).all()


def test_silu_and_its_derivatives() -> None:
    x = X.astype(np.float64)
    sigmoid = 1 / (1 + np.exp(-x))
    assert np.abs(np.array(silu(mx.array(X))) - x * sigmoid).max() < 2e-6
    first = mx.grad(lambda x: silu(x).sum())
    assert np.abs(np.array(first(mx.array(X))) - sigmoid * (1 + x * (1 - sigmoid))).max() < 4e-6
    second = np.array(mx.grad(lambda x: first(x).sum())(mx.array(X)))
    assert np.abs(second - sigmoid * (1 - sigmoid) * (2 + x * (1 - 2 * sigmoid))).max() < 2e-5
    far = mx.array(EXTREME)
    np.testing.assert_allclose(silu(far), np.maximum(EXTREME, 0), rtol=1e-6, atol=1e-6)
    assert mx.isfinite(first(far)).all()


def test_exp_of_minus() -> None:
    t = np.linspace(0, 20, 4001).astype(np.float32)
    np.testing.assert_allclose(exp_of_minus(mx.array(t)), np.exp(-t.astype(np.float64)), rtol=0, atol=3e-6)


@pytest.mark.parametrize("spread", [1, 10, 100])
def test_softmax_is_within_a_millionth(spread: float) -> None:
    scores = np.random.default_rng(0).normal(0, spread, (200, 33)).astype(np.float32)
    exact = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    exact /= exact.sum(axis=-1, keepdims=True)
    got = np.array(softmax(mx.array(scores)))
    assert np.abs(got - exact).max() < 1e-6
    np.testing.assert_allclose(got.sum(axis=-1), 1, rtol=1e-6)


def test_a_masked_score_gives_an_exact_zero() -> None:
    scores = mx.array([[-1e4, 0.5, -1e4, 30.0], [-1e4] * 4, [-1e4, -1e4, -1e4, -200.0], [1e4, 0, 0, -1e4]])
    got = np.array(softmax(scores))
    assert (got[0, [0, 2]] == 0).all()
    np.testing.assert_allclose(got[1], 0.25)
    np.testing.assert_allclose(got[2:], [[0, 0, 0, 1], [1, 0, 0, 0]], atol=0)
    weights = mx.array(np.random.default_rng(1).normal(size=scores.shape).astype(np.float32))
    first = mx.grad(lambda s: (softmax(s) * weights).sum())
    assert mx.isfinite(first(scores)).all()
    assert mx.isfinite(mx.grad(lambda s: first(s).square().sum())(scores)).all()


def test_first_and_second_derivatives_of_softmax_are_those_of_mlx() -> None:
    rng = np.random.default_rng(2)
    scores, weights = (mx.array(rng.normal(size=(6, 9)).astype(np.float32)) for _ in range(2))
    found = []
    for function in (softmax, lambda s: mx.softmax(s, axis=-1)):
        first = mx.grad(lambda s, function=function: ((function(s) * weights).sum(axis=-1) ** 2).sum())
        second = mx.grad(lambda s, first=first: first(s).square().sum())
        found.append((first(scores), second(scores)))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


def test_they_can_be_compiled() -> None:
    """Inside a compiled function too, where kernels are fused, and for a batch of rows of any shape."""
    x = mx.array(np.random.default_rng(3).normal(size=(3, 5, 7)).astype(np.float32))

    def both(x: mx.array) -> mx.array:
        return (softmax(gelu(x)) * x).sum()

    value, gradient = mx.compile(mx.value_and_grad(both))(x)
    wanted, wanted_gradient = mx.value_and_grad(both)(x)
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    np.testing.assert_allclose(gradient, wanted_gradient, rtol=1e-4, atol=1e-5)


def test_elsewhere_than_on_the_cpu_mlx_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elementwise, "on_cpu", lambda: False)
    x = mx.array(X.reshape(2, -1))
    np.testing.assert_array_equal(gelu(x), nn.gelu(x))
    np.testing.assert_array_equal(silu(x), nn.silu(x))
    np.testing.assert_array_equal(softmax(x), mx.softmax(x, axis=-1))
