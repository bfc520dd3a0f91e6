import numpy as np
import pytest

from metapeft.heads import cosine_head, logistic_head
from metapeft.heads.head import unit
from metapeft.mlx import mx


def normal(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def float32(array):
    return mx.array(np.asarray(array, np.float32))


def clusters(ways, shots, d, spread=1.0):
    """Labels, examples around the centres of their classes, and queries; not of unit length."""
    centres = normal(ways, d)
    labels = np.repeat(np.arange(ways, dtype=np.int32), shots)
    near = centres[labels] + spread * normal(len(labels), d, seed=2)
    return labels, near, centres[np.arange(3 * ways) % ways] + spread * normal(3 * ways, d, seed=3), centres


def slope_of_objective(params, rows, targets, share, strength):
    """The gradient of what is minimized, float64 ``(d + 1, k)``: zero where it is least."""
    x = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    w = np.concatenate([np.array(params["weight"], np.float64).T, np.array(params["bias"], np.float64)[None]])
    logits = x @ w
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    return x.T @ (share[:, None] * (likely - targets)) + w / strength, w / strength


# fewer examples than dimensions, and more
@pytest.mark.parametrize(("ways", "shots", "d"), [(2, 1, 16), (5, 5, 64), (30, 3, 128), (4, 20, 12), (2, 40, 3)])
@pytest.mark.parametrize("named", [False, True])
def test_many_iterations_end_where_the_objective_is_flat(ways, shots, d, named):
    labels, x, _, centres = clusters(ways, shots, d)
    rows, targets, share = x, np.eye(ways)[labels], np.ones(len(x))
    meta = logistic_head().default_meta() | {"log_name_weight": mx.log(mx.array(3.0))}
    if named:
        rows, targets = np.concatenate([x, centres]), np.concatenate([targets, np.eye(ways)])
        share = np.concatenate([share, np.full(ways, 3.0)])
    params = logistic_head(400).init(float32(x), mx.array(labels), ways, meta, float32(centres) if named else None)
    slope, pull = slope_of_objective(params, rows, targets, share, 10.0)
    assert np.linalg.norm(slope) < 2e-3 * np.linalg.norm(pull)


def test_default_iterations_say_the_classes_of_the_solution():
    labels, x, query, _ = clusters(40, 3, 200, spread=2.0)
    said = []
    for head in (logistic_head(), logistic_head(1000)):
        params = head.init(float32(x), mx.array(labels), 40)
        said.append(np.array(head.logits(params, float32(query))).argmax(axis=1))
    assert np.mean(said[0] == said[1]) > 0.98
    assert len(np.unique(said[1])) > 20


def test_uneven_noise_is_weighed_where_prototypes_are_blind():
    """Classes differ in one coordinate; others are loud. Means of classes cannot tell which matter."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(2, dtype=np.int32), 200)
    x = 3.0 * rng.normal(size=(400, 10))
    x[:, 0] = 0.7 * (2 * labels - 1) + 0.1 * rng.normal(size=400)
    train, test = np.arange(400) % 2 == 0, np.arange(400) % 2 == 1
    right = {}
    for head in (cosine_head(), logistic_head(200)):
        meta = logistic_head().default_meta() | {"log_strength": mx.log(mx.array(1e3))}
        params = head.init(float32(x[train]), mx.array(labels[train]), 2, meta if head.name == "logistic" else None)
        said = np.array(head.logits(params, float32(x[test]))).argmax(axis=1)
        right[head.name] = np.mean(said == labels[test])
    assert right["logistic"] > right["cosine"] + 0.03


@pytest.mark.parametrize("d", [6, 20])
@pytest.mark.parametrize("names", [False, True])
def test_an_example_of_no_class_has_no_say(names, d):
    x, labels = float32(normal(9, d)), mx.array([0, 1, 2, -1, 0, 1, -1, 2, 0])
    called = float32(normal(3, d, seed=2)) if names else None
    head, known = logistic_head(100), mx.array([0, 1, 2, 4, 5, 7, 8])
    params = head.init(x, labels, 3, None, called)
    expected = head.init(x[known], labels[known], 3, None, called)
    for name, value in expected.items():
        np.testing.assert_allclose(np.array(params[name]), np.array(value), atol=1e-2)


def test_cosines_are_enough():
    labels, x, query, _ = clusters(6, 4, 40)
    x, query = unit(float32(x)), unit(float32(query))
    head, y = logistic_head(), mx.array(labels)
    assert head.by_cosines is not None
    by_cosines = np.array(head.by_cosines(query @ x.T, x @ x.T, y[None], 6)[0])
    np.testing.assert_allclose(by_cosines, np.array(head.logits(head.init(x, y, 6), query)), atol=1e-3)


def folds_of(count, ways, folds=3):
    left = np.arange(count) % folds == np.arange(folds)[:, None]
    return np.where(left, -1, np.arange(count) // folds % ways).astype(np.int32)


def test_many_at_once_are_each_as_alone():
    folds = folds_of(12, 4)
    x, query, head = float32(normal(12, 30)), float32(normal(5, 30, seed=2)), logistic_head()

    def classify(labels):
        return head.logits(head.init(x, labels, 4), query)

    together = mx.vmap(classify)(mx.array(folds))
    alone = [np.array(classify(mx.array(labels))) for labels in folds]
    np.testing.assert_allclose(np.array(together), np.stack(alone), atol=1e-3)


@pytest.mark.parametrize("d", [8, 60])
@pytest.mark.parametrize("names", [False, True])
def test_folds_share_an_inverse_and_end_where_each_ends_alone(d, names):
    """The bound on the curvature is that of all examples: what is left out of a fold must not be learned in it."""
    folds, head = folds_of(24, 4), logistic_head(200)
    x, called = float32(normal(24, d)), float32(normal(4, d, seed=2)) if names else None
    assert head.in_folds is not None
    together = head.in_folds(x, mx.array(folds), 4, None, called)
    for number, labels in enumerate(folds):
        kept = np.flatnonzero(labels >= 0)
        alone = head.init(x[mx.array(kept)], mx.array(labels[kept]), 4, None, called)
        for name, value in alone.items():
            np.testing.assert_allclose(np.array(together[name][number]), np.array(value), atol=5e-3)


def test_folds_by_cosines_end_where_each_ends_alone():
    folds, head = folds_of(24, 4), logistic_head(200)
    x, query = unit(float32(normal(24, 60))), unit(float32(normal(7, 60, seed=2)))
    assert head.by_cosines is not None
    together = np.array(head.by_cosines(query @ x.T, x @ x.T, mx.array(folds), 4))
    for logits, labels in zip(together, folds, strict=True):
        kept = np.flatnonzero(labels >= 0)
        alone = head.logits(head.init(x[mx.array(kept)], mx.array(labels[kept]), 4), query)
        np.testing.assert_allclose(logits, np.array(alone), atol=5e-3)


@pytest.mark.parametrize("iterations", [10, 30])
def test_folds_with_few_iterations_say_what_the_solution_says(iterations):
    labels, x, _, _ = clusters(20, 6, 200, spread=2.0)
    x, left = unit(float32(x)), np.arange(len(labels)) % 5 == np.arange(5)[:, None]
    folds = mx.array(np.where(left, -1, labels))
    said = []
    for head in (logistic_head(iterations), logistic_head(1000)):
        assert head.by_cosines is not None
        said.append(np.array(head.by_cosines(x @ x.T, x @ x.T, folds, 20)).argmax(axis=-1)[left])
    assert np.mean(said[0] == said[1]) > (0.97 if iterations == 30 else 0.9)
