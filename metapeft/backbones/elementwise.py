"""GELU, SiLU and softmax without transcendental functions.

On the CPU MLX computes exp, tanh and erf one element at a time: 35 to 60 times the price of an addition. All
functions here use one form, ``(1 / p(t)) ** 16`` with a polynomial p: it needs additions, multiplications and one
division, decays to zero by itself, so it needs no clamp (a clamp must look for NaN, which costs more than all the
rest), and it cannot overflow. The coefficients are minimax fits by reweighted least squares; the errors stated are of
the whole function in float32. Elsewhere than on the CPU the plain functions of MLX are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metapeft.mlx import mx, nn

# erfc(a / sqrt 2) = p(a) ** -16 for a >= 0; the GELU made of it is within 7e-7 of the exact one.
ERFC = (1.0, 0.04986414, 0.0211572964, 0.00324931554, 5.97182297e-05, 4.13836824e-05, 6.33300851e-06)
# GELU'(x) = 1 - q(x) * erfc(x / sqrt 2) for x >= 0, within 4e-6; by symmetry below.
SLOPE = (0.5, -0.39890748, -0.31853744, -0.05427165, 0.01000709, -0.000849631091)
# exp(-t) = p(t) ** -16 for t >= 0, within 1e-6 of itself while t < 20, and below 1e-8 after that.
EXP = (1.0, 0.0625, 0.00195310963, 4.07081025e-05, 6.2769135e-07, 9.40566203e-09)


def on_cpu() -> bool:
    """Whether the default device is a CPU."""
    return mx.default_device().type == mx.cpu


def gelu(x: mx.array) -> mx.array:
    """x * Phi(x) with the normal distribution function Phi (Hendrycks & Gimpel 2016, the exact form, not tanh's)."""
    return _compiled_gelu(x) if on_cpu() else nn.gelu(x)


def softmax(scores: mx.array) -> mx.array:
    """Softmax over the last axis. Masked scores must be finite: -1e4 gives an exact zero."""
    if not on_cpu():
        return mx.softmax(scores, axis=-1)
    return _compiled_softmax(scores)


def silu(x: mx.array) -> mx.array:
    """x / (1 + exp(-x)) (Elfwing et al. 2017)."""
    return _compiled_silu(x) if on_cpu() else nn.silu(x)


@mx.custom_function
def _gelu(x: mx.array) -> mx.array:
    a = mx.abs(x)
    return 0.5 * x + a * (0.5 - 0.5 * _erfc(a))


@_gelu.vjp
def _gelu_vjp(x: mx.array, cotangent: mx.array, _: mx.array) -> mx.array:
    # Written out, because the derivative that MLX would build has four times as many steps.
    a = mx.abs(x)
    slope = _apart(_polynomial(SLOPE, a))
    return cotangent * (0.5 + mx.sign(x) * (0.5 - slope * _erfc(a)))


def _erfc(a: mx.array) -> mx.array:
    return _minus_16(_apart(_polynomial(ERFC, a)))


@mx.custom_function
def exp_of_minus(t: mx.array) -> mx.array:
    """exp(-t) for t >= 0."""
    return _minus_16(_polynomial(EXP, t))


@exp_of_minus.vjp
def _exp_of_minus_vjp(t: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
    return -cotangent * output


def _polynomial(coefficients: Sequence[float], x: mx.array) -> Any:
    """Estrin's scheme: a graph of little depth. MLX cuts a fused kernel at depth 11, and not where it is cheap."""
    terms: list[Any] = list(coefficients)
    while len(terms) > 1:
        pairs = [low + high * x for low, high in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]  # an odd one out waits for the next round
        x = x * x
    return terms[0]


def _apart(x: mx.array) -> mx.array:
    """The same array, behind a wall that kernel fusion does not cross; costs nothing."""
    return x.reshape(-1, 1).reshape(x.shape)


def _minus_16(x: mx.array) -> mx.array:
    """x ** -16 by a reciprocal and squarings: it ends at zero where x ** 16 would overflow."""
    x = 1.0 / x
    for _ in range(4):
        x = x * x
    return x


def _softmax(scores: mx.array) -> mx.array:
    weights: Any = exp_of_minus(mx.stop_gradient(mx.max(scores, axis=-1, keepdims=True)) - scores)
    return weights / mx.sum(weights, axis=-1, keepdims=True)


@mx.custom_function
def _sigmoid(x: mx.array) -> mx.array:
    small: Any = exp_of_minus(mx.abs(x))
    return mx.where(x >= 0, 1.0, small) / (1.0 + small)


@_sigmoid.vjp
def _sigmoid_vjp(x: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
    return cotangent * output * (1.0 - output)


def _silu(x: mx.array) -> mx.array:
    sigmoid: Any = _sigmoid(x)
    return x * sigmoid


# Eager code runs these as fused kernels; inside a transformation or another compiled function MLX inlines them.
_compiled_gelu: Any = mx.compile(_gelu)
_compiled_softmax: Any = mx.compile(_softmax)
_compiled_silu: Any = mx.compile(_silu)
