"""Ridge regression as a head: the best linear map to the labels, by conjugate gradients.

Bertinetto et al., "Meta-learning with differentiable closed-form solvers" (2019), R2-D2.
"""

from __future__ import annotations

import math
from typing import Any

from metapeft.heads.head import Head, Meta, Params, unit_logits, weighted
from metapeft.mlx import mx


def ridge_head(iterations: int = 10) -> Head:
    """Ridge regression with an intercept from features of length 1 to one-hot labels; logits are scaled predictions.

    It minimizes ``sum_i s_i |x_i W + b - y_i|² + ridge * |W|²``, where ``s_i`` is 1 for examples and 0 for those whose
    label is none of the classes. The classes' names enter as further examples, their ``s_i`` the name weight; so 0-shot
    is the regression on names alone.
    Learned: ridge, from 1, scale, from 10, and name weight, from 1. R2-D2 also learns one bias for all classes; the
    softmax does not see it, so there is none here.

    Args:
        iterations: of conjugate gradients, at most. 10 bring logits and gradients within rounding of exact for 25
            examples (ridge 0.01 and up) and for 400 (ridge 1), within 1e-4 for 100 and 2e-2 for 400 at a ridge of 0.1
            (measured, on random clusters).
    """

    def init(
        features: mx.array,
        labels: mx.array,
        ways: int,
        meta: Meta | None = None,
        label_features: mx.array | None = None,
    ) -> Params:
        meta = _ridge_meta() if meta is None else meta
        x, y, share = weighted(features, labels, ways, meta["log_name_weight"], label_features)
        # Centring both sides is what an intercept without a penalty comes to.
        total, root = mx.sum(share), mx.sqrt(share)
        x_mean, y_mean = share.T @ x / total, share.T @ y / total
        slope = ridge_regression(root * (x - x_mean), root * (y - y_mean), mx.exp(meta["log_ridge"]), iterations)
        scale = mx.exp(meta["log_scale"])
        return {"weight": scale * slope.T, "bias": scale * (y_mean - x_mean @ slope)[0]}

    return Head("ridge", _ridge_meta, init, unit_logits)


def ridge_regression(x: mx.array, y: mx.array, ridge: mx.array | float, iterations: int) -> mx.array:
    """The ``W`` that minimizes ``|x W - y|² + ridge * |W|²``.

    Args:
        x: float32 ``(n, d)``.
        y: float32 ``(n, k)``.
        ridge: positive scalar.
        iterations: of conjugate gradients, at most; there are never more than unknowns.

    Returns:
        ``(d, k)``.
    """
    n, d = x.shape
    if n <= d:  # both systems have the same solution, this one is smaller
        return x.T @ solve(x @ x.T + ridge * mx.eye(n), y, min(iterations, n))
    return solve(x.T @ x + ridge * mx.eye(d), x.T @ y, min(iterations, d))


def solve(a: mx.array, b: mx.array, iterations: int) -> mx.array:
    """Solve ``a x = b`` by conjugate gradients (Hestenes & Stiefel, 1952), every column of `b` at the same time.

    Matrix products only, unlike `mx.linalg.solve`, which runs on no GPU and has no derivative. Derivatives in reverse
    (`mx.grad`, `mx.vjp`, to any order) are those of the exact solution, each another `solve`: to differentiate the
    iterations would divide by residuals that vanish. There is no forward derivative (`mx.jvp`).

    Args:
        a: symmetric positive definite float32 ``(n, n)``.
        b: float32 ``(n, k)``.
        iterations: n solve it but for rounding, and far fewer do where the eigenvalues of `a` lie close together.

    Returns:
        ``(n, k)``.
    """

    def forward(a: mx.array, b: mx.array) -> mx.array:
        return _conjugate_gradients(a, b, iterations)

    def vjp(primals: tuple[mx.array, mx.array], cotangent: mx.array, x: mx.array) -> tuple[mx.array, mx.array]:
        b_bar = solve(primals[0], cotangent, iterations)
        return -b_bar @ x.T, b_bar

    solver: Any = mx.custom_function(forward)
    solver.vjp(vjp)
    return solver(a, b)


def _conjugate_gradients(a: mx.array, b: mx.array, iterations: int) -> mx.array:
    tiny = 1e-37  # a column that is solved has residual 0, and must stay where it is
    x, residual, direction = mx.zeros_like(b), b, b
    square = mx.sum(residual * residual, axis=0)
    for _ in range(iterations):
        image = a @ direction
        step = square / mx.maximum(mx.sum(direction * image, axis=0), tiny)
        x = x + step * direction
        residual = residual - step * image
        last, square = square, mx.sum(residual * residual, axis=0)
        direction = residual + square / mx.maximum(last, tiny) * direction
    return x


def _ridge_meta() -> Meta:
    return {"log_ridge": mx.array(0.0), "log_scale": mx.array(math.log(10.0)), "log_name_weight": mx.array(0.0)}
