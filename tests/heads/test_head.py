import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.errors import EpisodeError
from metapeft.heads import (
    accuracy,
    check_labels,
    cosine_head,
    cross_entropy,
    euclidean_head,
    linear_head,
    logistic_head,
    ridge_head,
)
from metapeft.heads.head import unit
from metapeft.mlx import mx

STEADY = settings(deadline=None, derandomize=True, max_examples=10)
FROM_SUPPORT = {"cosine": cosine_head(), "euclidean": euclidean_head(), "ridge": ridge_head(iterations=40)}
CHOSEN = FROM_SUPPORT | {"logistic": logistic_head(iterations=200)}  # not trained with: no derivatives
HEADS = FROM_SUPPORT | {"linear": linear_head(), "random linear": linear_head(mx.random.key(1))}
EPISODES = st.tuples(st.integers(0, 99), st.integers(2, 5), st.integers(1, 4), st.booleans())


def episode(seed, ways, shots, named=True, d=6):
    """Support features and labels in random order, query features, label features; numpy float32 and int32."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.normal(size=(ways, d))
    labels = rng.permutation(np.repeat(np.arange(ways), shots))
    near = [(centres[of] + rng.normal(size=(len(of), d))).astype(np.float32) for of in (labels, np.arange(ways))]
    query = rng.normal(size=(7, d)).astype(np.float32)
    return near[0], labels.astype(np.int32), query, near[1] if named else None


def logits(head, support, labels, query, names, ways, meta=None):
    names = None if names is None else mx.array(names)
    params = head.init(mx.array(support), mx.array(labels), ways, meta, names)
    return np.array(head.logits(params, mx.array(query)))


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("named", [False, True])
def test_every_head_has_the_same_params(head, named):
    support, labels, query, names = episode(0, 3, 2, named)
    params = head.init(mx.array(support), mx.array(labels), 3, None, None if names is None else mx.array(names))
    assert {name: (value.shape, value.dtype) for name, value in params.items()} == {
        "weight": ((3, 6), mx.float32),
        "bias": ((3,), mx.float32),
    }
    assert head.logits(params, mx.array(query)).shape == (7, 3)
    assert all(value.shape == () and value.dtype == mx.float32 for value in head.default_meta().values())
    default = logits(head, support, labels, query, names, 3)
    np.testing.assert_array_equal(default, logits(head, support, labels, query, names, 3, head.default_meta()))


@pytest.mark.parametrize("name", CHOSEN)
@STEADY
@given(EPISODES)
def test_order_of_examples_does_not_matter(name, drawn):
    seed, ways, shots, named = drawn
    support, labels, query, names = episode(seed, ways, shots, named)
    order = np.random.default_rng(seed).permutation(len(labels))
    expected = logits(CHOSEN[name], support, labels, query, names, ways)
    shuffled = logits(CHOSEN[name], support[order], labels[order], query, names, ways)
    np.testing.assert_allclose(shuffled, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", CHOSEN)
@STEADY
@given(EPISODES)
def test_renumbered_classes_renumber_the_logits(name, drawn):
    seed, ways, shots, named = drawn
    support, labels, query, names = episode(seed, ways, shots, named)
    old = np.random.default_rng(seed).permutation(ways)  # of each new class
    new = np.argsort(old).astype(np.int32)
    expected = logits(CHOSEN[name], support, labels, query, names, ways)[:, old]
    renumbered = logits(CHOSEN[name], support, new[labels], query, names[old] if named else None, ways)
    np.testing.assert_allclose(renumbered, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("head", CHOSEN.values(), ids=CHOSEN)
@pytest.mark.parametrize(("shots", "named"), [(0, True), (1, False), (1, True), (5, False)])
def test_classes_are_told_apart(head, shots, named):
    support, labels, _, names = episode(1, 4, shots, named, d=64)
    query = episode(1, 4, 0, d=64)[3] if shots == 0 else support
    expected = np.arange(4) if shots == 0 else labels
    assert (logits(head, support, labels, query, names, 4).argmax(axis=1) == expected).all()


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_gradient_steps_lower_the_support_loss(head):
    support, labels, _, _ = episode(2, 3, 4)
    x, y = mx.array(support), mx.array(labels)
    params = head.init(x, y, 3)
    step = mx.value_and_grad(lambda params: cross_entropy(head.logits(params, x), y))
    before, gradient = step(params)
    after, _ = step({name: params[name] - 0.01 * gradient[name] for name in params})
    assert after.item() < before.item()


def query_loss_after_one_step(head, labels, query_labels, ways):
    def loss(meta, support, query, names):
        params = head.init(support, labels, ways, meta, names)
        gradient = mx.grad(lambda params: cross_entropy(head.logits(params, support), labels))(params)
        stepped = {name: params[name] - 0.1 * gradient[name] for name in params}
        return cross_entropy(head.logits(stepped, query), query_labels)

    return loss


def meta_problem(head, dtype):
    support, labels, query, names = episode(3, 3, 2)
    query_labels = mx.array(np.arange(len(query), dtype=np.int32) % 3)
    loss = query_loss_after_one_step(head, mx.array(labels), query_labels, 3)
    meta = {name: value.astype(dtype) for name, value in head.default_meta().items()}
    return loss, (meta, *(mx.array(array).astype(dtype) for array in (support, query, names)))


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_second_order_gradient_is_that_of_finite_differences(head):
    with mx.stream(mx.cpu):  # no GPU has float64; that of MLX is right to 1e-8 only, for its exp, hence the large step
        loss, inputs = meta_problem(head, mx.float64)
        gradients = mx.grad(loss, argnums=(0, 1, 2, 3))(*inputs)
        for place, gradient in enumerate(gradients):
            leaves = gradient if isinstance(gradient, dict) else {None: gradient}
            for name, leaf in leaves.items():
                value = inputs[place] if name is None else inputs[place][name]
                direction = mx.array(np.random.default_rng(place).normal(size=value.shape), mx.float64)

                def along(step, place=place, name=name, value=value, direction=direction):
                    moved = value + step * direction
                    moved = moved if name is None else inputs[place] | {name: moved}
                    return loss(*inputs[:place], moved, *inputs[place + 1 :]).item()

                numeric = (along(3e-3) - along(-3e-3)) / 6e-3
                assert mx.sum(leaf * direction).item() == pytest.approx(numeric, rel=1e-3, abs=2e-5)


@pytest.mark.parametrize("head", FROM_SUPPORT.values(), ids=FROM_SUPPORT)
def test_every_learned_scalar_gets_a_gradient(head):
    loss, inputs = meta_problem(head, mx.float32)
    gradient = mx.grad(loss)(*inputs)
    assert gradient.keys() == head.default_meta().keys()
    assert all(abs(value.item()) > 1e-4 for value in gradient.values())


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_compiled_is_the_same(head):
    loss, inputs = meta_problem(head, mx.float32)
    step = mx.value_and_grad(loss, argnums=(0, 1, 2, 3))
    plain, compiled = step(*inputs), mx.compile(step)(*inputs)
    assert compiled[0].item() == pytest.approx(plain[0].item(), rel=1e-4)
    for expected, actual in zip(plain[1][1:], compiled[1][1:], strict=True):
        np.testing.assert_allclose(np.array(actual), np.array(expected), rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("head", FROM_SUPPORT.values(), ids=FROM_SUPPORT)
def test_label_features_of_another_shape_are_refused(head):
    with pytest.raises(ValueError, match=r"label_features are \(1, 6\), expected \(3, 6\)"):
        head.init(mx.zeros((4, 6)), mx.zeros(4, mx.int32), 3, None, mx.zeros((1, 6)))


@pytest.mark.parametrize("array", [np.array, mx.array])
def test_labels_are_checked(array):
    check_labels(array([0, 2, 1, 1]), 3)
    check_labels(array([2]), 3, named=True)
    check_labels(array(np.empty(0, np.int32)), 3, named=True)
    with pytest.raises(EpisodeError, match=r"classes \[0, 3\] of 4 have no example in the support set"):
        check_labels(array([1, 2, 1]), 4)
    with pytest.raises(EpisodeError, match=r"support labels \[-100, 3\] are none of the 3 classes 0 to 2"):
        check_labels(array([0, 3, 1, -100, 2, 3]), 3, named=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy_by_hand(smoothing):
    values = np.array([[1.0, 2.0, -1.0], [0.0, 0.0, 0.0], [-300.0, 5.0, 300.0]])
    labels = np.array([1, 0, 1])
    log_probabilities = values - np.log(np.exp(values - 300).sum(axis=1, keepdims=True)) - 300
    targets = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
    loss = cross_entropy(mx.array(values, mx.float32), mx.array(labels), smoothing)
    assert loss.dtype == mx.float32
    assert loss.item() == pytest.approx(-(targets * log_probabilities).sum(axis=1).mean(), rel=1e-6)


def test_accuracy_by_hand():
    values = mx.array([[1.0, 2.0], [3.0, 1.0], [0.0, 4.0], [1.0, 0.5]])
    assert accuracy(values, mx.array([1, 0, 0, 0])).item() == 0.75
    assert (mx.grad(lambda x: accuracy(x, mx.array([1, 0, 0, 0])))(values) == 0).all().item()


def test_zero_features_have_finite_derivatives():
    first = mx.grad(lambda x: mx.sum(unit(x) * mx.array([1.0, 2.0])))
    second = mx.grad(lambda x: mx.sum(first(x) * mx.array([1.0, -1.0])))
    assert (unit(mx.zeros((1, 2))) == 0).all().item()
    assert mx.isfinite(first(mx.zeros((1, 2)))).all().item()
    assert mx.isfinite(second(mx.zeros((1, 2)))).all().item()
