import numpy as np
import pytest

from metapeft.errors import AdaptationError
from metapeft.meta.learner import adam, learned_rates, positive, rates_for, sgd, unroll
from metapeft.mlx import mx, utils
from tests.meta.tiny import leaves

SHAPES = {"adapter": {"block.query": {"lora_a": (4, 2), "lora_b": (2, 3)}}, "head": {"weight": (3, 4), "bias": (3,)}}


def tree(seed):
    """Normal numbers in the form of a small trainable tree, float32."""
    rng = np.random.default_rng(seed)
    return utils.tree_map(
        lambda shape: mx.array(rng.normal(size=shape).astype(np.float32)), SHAPES, is_leaf=lambda x: type(x) is tuple
    )


def flat(params):
    return np.concatenate([np.array(leaf, np.float64).ravel() for leaf in leaves(params)])


def steps_of(optimizer, rates):
    """The flattened tree after each of the steps, with a new random gradient at each."""
    params, out = tree(0), []
    state = optimizer.init(params)
    for step, rate in enumerate(rates):
        params, state = optimizer.update(params, tree(step + 1), rates_for(params, 1, rate)[0], state)
        out.append(flat(params))
    return out


def test_sgd_against_numpy():
    expected = flat(tree(0))
    for step, params in enumerate(steps_of(sgd(), [0.1, 0.3, 0.05])):
        expected = expected - [0.1, 0.3, 0.05][step] * flat(tree(step + 1))
        np.testing.assert_allclose(params, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"beta1": 0.5, "beta2": 0.9, "eps": 1e-5}], ids=["defaults", "others"])
def test_adam_against_numpy(settings):
    beta1, beta2, eps = ({"beta1": 0.9, "beta2": 0.999, "eps": 1e-8} | settings).values()
    rates = [0.1, 0.3, 0.05]
    expected = flat(tree(0))
    first = second = np.zeros_like(expected)
    for step, params in enumerate(steps_of(adam(**settings), rates)):
        gradient = flat(tree(step + 1))
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        mean, square = first / (1 - beta1 ** (step + 1)), second / (1 - beta2 ** (step + 1))
        expected = expected - rates[step] * mean / (np.sqrt(square) + eps)
        np.testing.assert_allclose(params, expected, rtol=1e-4, atol=1e-5)


def test_adam_has_a_derivative_where_the_gradient_is_zero():
    """As for lora_a while lora_b is zero: the square root of the second moment has none there."""

    def loss(start):
        inner = rates_for(start, 2, 0.1)
        params, _ = unroll(lambda p: mx.sum((1.0 + p["a"] * p["b"]) ** 2), start, inner, 2, adam())
        return mx.sum(params["a"]) + mx.sum(params["b"])

    start = {"a": mx.array([1.0, -2.0]), "b": mx.zeros(2)}
    value, gradient = mx.value_and_grad(loss)(start)
    # b moves by 0.1 against the sign of a in both steps; a stays in the first and follows in the second
    assert value.item() == pytest.approx(-1.0, abs=0.02)
    assert mx.all(mx.isfinite(gradient["a"])).item() and mx.all(mx.isfinite(gradient["b"])).item()


def test_optimizers_with_equal_settings_are_one_object():
    assert sgd() is sgd() and adam() is adam() and adam(0.8) is adam(0.8)
    assert adam(0.8) is not adam()


def test_one_rate_for_all():
    rates = rates_for(tree(0), 3, 0.25)
    assert len(rates) == 3
    for rate in rates:
        assert [leaf.item() for leaf in leaves(rate)] == [0.25] * 4
        assert rate.keys() == SHAPES.keys()
    assert rates_for(tree(0), 0, 0.25) == []


def test_rates_by_branch_leaf_and_step():
    given = {
        "adapter": {"block.query": {"lora_a": np.array([0.1, 0.2]), "lora_b": [0.5, 0.0]}},
        "head": {"weight": mx.array([3.0, 4.0]), "bias": mx.array(7.0)},
    }
    first, second = rates_for(tree(0), 2, given)
    np.testing.assert_allclose([leaf.item() for leaf in leaves(first)], [0.1, 0.5, 3.0, 7.0], rtol=1e-6)
    np.testing.assert_allclose([leaf.item() for leaf in leaves(second)], [0.2, 0.0, 4.0, 7.0], rtol=1e-6)
    by_branch = rates_for(tree(0), 1, {"adapter": 0.5, "head": 2.0})[0]
    assert [leaf.item() for leaf in leaves(by_branch)] == [0.5, 0.5, 2.0, 2.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"adapter": 0.1}, r"learning_rates: missing \['head'\]; expected \['adapter', 'head'\]"),
        ({"adapter": 0.1, "head": 0.1, "tail": 1}, r"learning_rates: unknown \['tail'\]"),
        ({"adapter": {"block.key": 0.1}, "head": 0.1}, r"learning_rates.adapter: unknown \['block.key'\]"),
        ({"adapter": 0.1, "head": {"weight": {"x": 1.0}, "bias": 0.1}}, r"head.weight: is a tree"),
        ({"adapter": 0.1, "head": mx.array([0.1, 0.2])}, r"head\.\w+: shape \(2,\), expected \(\) or \(3,\)"),
        ({"adapter": 0.1, "head": mx.ones((3, 1))}, r"head\.\w+: shape \(3, 1\)"),
        (-0.1, "learning_rates: -0.1 is not a learning rate; it must be finite and at least 0"),
        ({"adapter": 0.1, "head": float("nan")}, "learning_rates.head: nan is not a learning rate"),
        ({"adapter": [0.1, -0.1, 0.1], "head": 0.1}, r"learning_rates.adapter: \[0.1, -0.1, 0.1\] is not"),
    ],
    ids=["missing", "unknown", "deep", "tree", "length", "dimensions", "negative", "nan", "one negative"],
)
def test_wrong_rates(given, message):
    with pytest.raises(AdaptationError, match=message):
        rates_for(tree(0), 3, given)


def test_learned_rates_are_logarithms():
    learned = learned_rates(tree(0), 3, {"adapter": [0.1, 0.2, 0.3], "head": 2.0})
    assert all(leaf.shape == (3,) for leaf in leaves(learned))
    np.testing.assert_allclose(learned["head"]["bias"], np.log([2.0, 2.0, 2.0]), rtol=1e-6)
    rates = rates_for(tree(0), 3, positive(learned))
    adapter, head = ([rate[branch] for rate in rates] for branch in ("adapter", "head"))
    np.testing.assert_allclose([leaves(rate)[0].item() for rate in adapter], [0.1, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_allclose([leaves(rate)[0].item() for rate in head], [2.0, 2.0, 2.0], rtol=1e-6)


def test_rates_that_cannot_be_learned_are_refused():
    with pytest.raises(AdaptationError, match="learned rates need 1 step or more, got 0"):
        learned_rates(tree(0), 0, 0.1)
    with pytest.raises(AdaptationError, match=r"initial rate of head.weight is not above 0"):
        learned_rates(tree(0), 2, {"adapter": 0.1, "head": {"weight": [0.1, 0.0], "bias": 0.1}})


# --- unrolled steps: a loss whose second derivatives are easy to write down


def quartic(params):
    return mx.sum(params["x"] ** 4)


def test_unrolled_sgd_by_hand():
    x, rates = np.array([0.5, -1.0, 0.25]), np.array([0.1, 0.05])
    params, losses = unroll(quartic, {"x": mx.array(x)}, rates_for({"x": mx.zeros(3)}, 2, {"x": rates}))
    after_one = x - rates[0] * 4 * x**3
    np.testing.assert_allclose(params["x"], after_one - rates[1] * 4 * after_one**3, rtol=1e-5)
    np.testing.assert_allclose([loss.item() for loss in losses], [np.sum(x**4), np.sum(after_one**4)], rtol=1e-5)


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_in_start_and_rates_by_hand(order):
    x, rates = np.array([0.5, -1.0, 0.25]), np.array([0.1, 0.05])

    def outer(x, rates):
        start = {"x": x}
        params, _ = unroll(quartic, start, rates_for(start, 2, {"x": rates}), order)
        return mx.sum(params["x"])

    found = mx.grad(outer, argnums=(0, 1))(mx.array(x), mx.array(rates))
    middle = x - rates[0] * 4 * x**3
    # d(x - r g(x)) is 1 - r g'(x), and the first order takes g as a constant
    through = [1 - rate * 12 * at**2 if order == 2 else np.ones(3) for rate, at in zip(rates, (x, middle), strict=True)]
    np.testing.assert_allclose(found[0], through[0] * through[1], rtol=1e-5)
    expected = [np.sum(-4 * x**3 * through[1]), np.sum(-4 * middle**3)]
    np.testing.assert_allclose(found[1], expected, rtol=1e-5)


def test_no_steps_change_nothing():
    start = tree(0)
    params, losses = unroll(lambda p: mx.sum(p["head"]["bias"]), start, [])
    assert losses == [] and params is start


@pytest.mark.parametrize("order", [0, 3])
def test_other_orders_are_refused(order):
    with pytest.raises(AdaptationError, match=f"order must be 1 .* or 2 .*, got {order}"):
        unroll(quartic, {"x": mx.ones(1)}, [], order)
