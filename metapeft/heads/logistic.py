"""Logistic regression as a head: the linear map that makes the labels likeliest, by accelerated gradient descent.

Böhning, "Multinomial logistic regression algorithm" (1992): one matrix bounds the curvature everywhere, so it is
inverted once and every step of descent is multiplied by it. Nesterov's momentum, started anew where it leads uphill
(O'Donoghue & Candès, "Adaptive restart for accelerated gradient schemes", 2015).
"""

from __future__ import annotations

import math

from metapeft.heads.head import Head, Meta, Params, one_hot, unit_logits, weighted
from metapeft.mlx import mx


def logistic_head(iterations: int = 30) -> Head:
    """Multinomial logistic regression on features of length 1.

    It minimizes ``sum_i s_i * -log softmax(x_i W + b)[y_i] + (|W|² + |b|²) / (2 C)``, where ``s_i`` is 1 for examples
    and 0 for those whose label is none of the classes. The classes' names enter as further examples, their ``s_i`` the
    name weight. Where classes are many, it tells them apart better than prototypes and than `ridge_head`.

    To choose, not to train with: derivatives would be those of the iterations. Meta: strength C, 10 (chosen on the
    validation texts of BANKING77, see ``scripts/full_way.py``), and name weight, 1.

    Args:
        iterations: of descent. With 30 the classes said are those of scikit-learn's solution for 99.0 to 99.5 % of the
            queries, for 2 to 70 classes of 1 to 10 examples; with 10 for 92 % where there are 70 (measured on features
            of `nano`).
    """

    def in_folds(
        features: mx.array,
        labels: mx.array,
        ways: int,
        meta: Meta | None = None,
        label_features: mx.array | None = None,
    ) -> Params:
        meta = _logistic_meta() if meta is None else meta
        x, y, share = weighted(features, labels, ways, meta["log_name_weight"], label_features)
        strength = mx.exp(meta["log_strength"])
        n, d = x.shape
        if n <= d:  # W is a sum of the examples, and their weights are fewer numbers
            weights = _by_products(x @ x.T, y, share, strength, iterations)
            return {"weight": mx.swapaxes(weights, 1, 2) @ x, "bias": mx.sum(weights, axis=1)}
        padded = mx.concatenate([x, mx.ones((n, 1))], axis=1)
        bound = 0.5 * padded.T @ (mx.max(share, axis=0) * padded) + mx.eye(d + 1) / strength
        slope = _descend(padded, padded.T, bound, y, share, strength, iterations)
        return {"weight": mx.swapaxes(slope[:, :-1], 1, 2), "bias": slope[:, -1]}

    def init(
        features: mx.array,
        labels: mx.array,
        ways: int,
        meta: Meta | None = None,
        label_features: mx.array | None = None,
    ) -> Params:
        params = in_folds(features, labels[None], ways, meta, label_features)
        return {name: value[0] for name, value in params.items()}

    def by_cosines(near: mx.array, among: mx.array, labels: mx.array, ways: int) -> mx.array:
        y = one_hot(labels, ways)
        strength = mx.exp(_logistic_meta()["log_strength"])
        weights = _by_products(among, y, mx.sum(y, axis=-1, keepdims=True), strength, iterations)
        return _times(near + 1.0, weights)

    return Head("logistic", _logistic_meta, init, unit_logits, by_cosines, in_folds)


def _by_products(among: mx.array, y: mx.array, share: mx.array, strength: mx.array, iterations: int) -> mx.array:
    """What each example weighs in each class, ``(folds, n, k)``, from the products of features within them."""
    products = among + 1.0  # the intercept: a coordinate that is 1 everywhere
    bound = 0.5 * mx.max(share, axis=0) * products + mx.eye(among.shape[0]) / strength
    return _descend(products, None, bound, y, share, strength, iterations)


def _descend(
    forward: mx.array,
    back: mx.array | None,
    bound: mx.array,
    y: mx.array,
    share: mx.array,
    strength: mx.array,
    iterations: int,
) -> mx.array:
    """Minimize in the coordinates that `forward` ``(n, m)`` takes to logits, in all folds at the same time.

    What bounds the curvature with all examples bounds it without some of them: so there is one inverse for all folds.

    Args:
        forward: coordinates to logits.
        back: ``(m, n)``, differences of probabilities and labels to coordinates; None where they are the coordinates.
        bound: of the curvature with the examples of every fold, ``(m, m)``.
        y: labels, one row for each example ``(folds, n, k)``.
        share: weight of each ``(folds, n, 1)``.
        strength: inverse weight of the penalty.
        iterations: how many.

    Returns:
        ``(folds, m, k)``.
    """
    inverse = mx.linalg.inv(bound, stream=mx.cpu)  # no GPU has it; it is small
    folds, _, k = y.shape
    at = ahead = mx.zeros((folds, forward.shape[1], k))
    pace = mx.ones((folds, 1, 1))
    for _ in range(iterations):
        apart = share * (mx.softmax(_times(forward, ahead), axis=-1) - y)
        slope = (apart if back is None else _times(back, apart)) + ahead / strength
        after = ahead - _times(inverse, slope)
        uphill = mx.sum((ahead - after) * (after - at), axis=(1, 2), keepdims=True) > 0
        pace = mx.where(uphill, 1.0, pace)
        following = 0.5 * (1.0 + mx.sqrt(1.0 + 4.0 * pace * pace))
        ahead = after + (pace - 1.0) / following * (after - at)
        at, pace = after, following
    return at


def _times(matrix: mx.array, columns: mx.array) -> mx.array:
    """A matrix ``(a, b)`` times ``(folds, b, k)``, as one wide product: ``(folds, a, k)``."""
    folds, b, k = columns.shape
    wide = mx.swapaxes(columns, 0, 1).reshape(b, folds * k)
    return mx.swapaxes((matrix @ wide).reshape(-1, folds, k), 0, 1)


def _logistic_meta() -> Meta:
    return {"log_strength": mx.array(math.log(10.0)), "log_name_weight": mx.array(0.0)}
