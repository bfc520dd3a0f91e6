import math

import numpy as np
import pytest

from metapeft.heads import ridge_head
from metapeft.heads.ridge import ridge_regression, solve
from metapeft.mlx import mx


def positive_definite(n, seed=0, ridge=0.1):
    x = np.random.default_rng(seed).normal(size=(n, 2 * n)) / math.sqrt(2 * n)
    return x @ x.T + ridge * np.eye(n)


def normal(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def float32(array):
    return mx.array(array.astype(np.float32))


def relative_error(actual, expected):
    return np.linalg.norm(np.array(actual) - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("n", [1, 5, 25, 60])
def test_solve_agrees_with_numpy(n):
    a, b = positive_definite(n), normal(n, 3)
    assert relative_error(solve(float32(a), float32(b), n), np.linalg.solve(a, b)) < 1e-4


def test_solve_stays_where_it_is_once_solved():
    a, b = positive_definite(6), normal(6, 3)
    b[:, 1] = 0
    b[:, 2] *= 1e-12
    for iterations in (6, 7, 20, 200):
        x = np.array(solve(float32(a), float32(b), iterations))
        assert (x[:, 1] == 0).all()
        for column in (0, 2):
            assert relative_error(x[:, column], np.linalg.solve(a, b[:, column])) < 1e-4


@pytest.mark.parametrize("iterations", [8, 100])
def test_first_and_second_derivative_of_solve(iterations):
    a, b, weight = positive_definite(8), normal(8, 2), normal(8, 2, seed=2)

    def loss(strength):
        moved = float32(a) + strength * strength * mx.eye(8)
        return mx.sum(float32(weight) * solve(moved, strength * float32(b), iterations) ** 2)

    def reference(strength):
        return (weight * np.linalg.solve(a + strength**2 * np.eye(8), strength * b) ** 2).sum()

    at, h = 0.7, 1e-4
    first = (reference(at + h) - reference(at - h)) / (2 * h)
    second = (reference(at + h) + reference(at - h) - 2 * reference(at)) / h**2
    slope, curvature = mx.grad(loss), mx.grad(mx.grad(loss))
    assert loss(mx.array(at)).item() == pytest.approx(reference(at), rel=1e-4)
    assert slope(mx.array(at)).item() == pytest.approx(first, rel=1e-4)
    assert curvature(mx.array(at)).item() == pytest.approx(second, rel=1e-4)


@pytest.mark.parametrize(("n", "d"), [(5, 40), (25, 384), (30, 30), (40, 2)])
def test_ridge_regression_agrees_with_numpy_whichever_side_is_longer(n, d):
    x, y = normal(n, d) / math.sqrt(d), normal(n, 3, seed=2)
    expected = np.linalg.solve(x.T @ x + 0.5 * np.eye(d), x.T @ y)
    assert relative_error(ridge_regression(float32(x), float32(y), 0.5, 50), expected) < 1e-4


@pytest.mark.parametrize(("n", "d"), [(12, 20), (40, 6)])
def test_duplicates_and_lost_rank_do_no_harm(n, d):
    x = np.repeat(normal(n // 4, d) / math.sqrt(d), 4, axis=0)
    x[:, 1] = x[:, 0]
    y = normal(n, 2, seed=2)

    def loss(x):
        return mx.sum(ridge_regression(x, float32(y), 0.1, 100) ** 2)

    expected = np.linalg.solve(x.T @ x + 0.1 * np.eye(d), x.T @ y)
    assert relative_error(ridge_regression(float32(x), float32(y), 0.1, 100), expected) < 1e-4
    adjoint = np.linalg.solve(x.T @ x + 0.1 * np.eye(d), 2 * expected)
    gradient = y @ adjoint.T - x @ (adjoint @ expected.T + expected @ adjoint.T)
    assert relative_error(mx.grad(loss)(float32(x)), gradient) < 1e-3


@pytest.mark.parametrize(("shots", "names"), [(5, False), (1, False), (1, True), (0, True)])
def test_default_iterations_fit_examples_names_and_intercept(shots, names):
    ways, d = 5, 384
    labels = np.repeat(np.arange(ways), shots)[: max(ways * shots - 2, 0)]  # not balanced
    centres = 0.5 * normal(ways, d)
    x, named = centres[labels] + normal(len(labels), d, seed=2), centres + normal(ways, d, seed=3)
    query = normal(9, d, seed=4)
    meta = {"log_ridge": math.log(0.3), "log_scale": math.log(2.0), "log_name_weight": math.log(4.0)}

    rows, targets, share = x, np.eye(ways)[labels], np.ones(len(x))
    if names:
        rows, targets = np.concatenate([x, named]), np.concatenate([targets, np.eye(ways)])
        share = np.concatenate([share, np.full(ways, 4.0)])
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    padded = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)  # the intercept: a column without a penalty
    penalty = np.diag([0.3] * d + [0.0])
    solution = np.linalg.solve(padded.T @ (share[:, None] * padded) + penalty, padded.T @ (share[:, None] * targets))
    unit_query = query / np.linalg.norm(query, axis=1, keepdims=True)
    expected = 2.0 * np.concatenate([unit_query, np.ones((9, 1))], axis=1) @ solution

    head = ridge_head()
    params = head.init(
        float32(x),
        mx.array(labels.astype(np.int32)),
        ways,
        {name: mx.array(value) for name, value in meta.items()},
        float32(named) if names else None,
    )
    assert relative_error(head.logits(params, float32(query)), expected) < 1e-4


def test_more_iterations_come_closer():
    x, y = normal(60, 80) / math.sqrt(80), normal(60, 2, seed=2)
    expected = x.T @ np.linalg.solve(x @ x.T + 0.1 * np.eye(60), y)
    errors = [relative_error(ridge_regression(float32(x), float32(y), 0.1, n), expected) for n in (2, 5, 10, 20)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3


@pytest.mark.parametrize("names", [False, True])
def test_an_example_of_no_class_has_no_say(names):
    x, labels = float32(normal(9, 20)), mx.array([0, 1, 2, -1, 0, 1, -1, 2, 0])
    called = float32(normal(3, 20, seed=2)) if names else None
    head, known = ridge_head(), mx.array([0, 1, 2, 4, 5, 7, 8])
    params = head.init(x, labels, 3, None, called)
    expected = head.init(x[known], labels[known], 3, None, called)
    for name, value in expected.items():
        np.testing.assert_allclose(np.array(params[name]), np.array(value), atol=1e-5)
