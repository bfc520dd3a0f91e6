"""The gradients of the methods against the same thing written out, and what each method leaves alone."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.adapters.hypernetwork import hypernetwork_for
from metapeft.adapters.lora import LoraConfig
from metapeft.backbones.mlp import make_mlp
from metapeft.errors import AdaptationError
from metapeft.heads import cosine_head, cross_entropy
from metapeft.meta.inner_loop import Learner, adapted_loss
from metapeft.meta.learner import positive, rates_for
from metapeft.meta.methods import METHODS, Item, Setup, at_steps, curve, init_meta, method_named
from metapeft.meta.outer_loop import item_of
from metapeft.meta.states import PoolStates, WithFrozen
from metapeft.meta.stream import EpisodeStream, Sizes
from metapeft.mlx import mx, utils
from metapeft.tasks import NonLinearTaskGenerator
from tests.meta.tiny import leaves

LORA = LoraConfig(rank=2, num_layers=2)
DIMS = 6


def made(method: str, **settings):
    """A setup, meta-parameters that have moved, and an episode of two spirals."""
    backbone = make_mlp(2, 8, 3)
    learner = Learner(WithFrozen(backbone, 0.5), cosine_head(), 2.0, 1)
    setup = Setup(learner, hypernetwork_for(backbone, LORA, DIMS, rate_steps=3), **settings)
    chosen = method_named(method)
    meta = init_meta(setup, chosen, LORA, 3, {"adapter": 0.3, "head": 0.2}, mx.random.key(0))
    if "classes" in chosen.learns:
        meta["classes"] = {"a": mx.random.normal((2, 16), key=mx.random.key(3)), "b": mx.zeros((2, 16))}
    keys = iter(mx.random.split(mx.random.key(1), 400))
    meta = utils.tree_map(lambda leaf: leaf + 0.1 * mx.random.normal(leaf.shape, key=next(keys)), meta)
    task = NonLinearTaskGenerator("spirals").generate_task(noise_level=0.1)
    stream = EpisodeStream([task], Sizes((2, 2), (3,), 4))
    item = item_of(*stream.episode(0), PoolStates(backbone, 1), None)
    embedding = mx.random.normal((DIMS,), key=mx.random.key(2))
    return chosen, setup, meta, item._replace(embedding=embedding, task_id="a")


def assert_alike(first, second, tolerance: float = 1e-5) -> None:
    a, b = utils.tree_flatten(first), dict(utils.tree_flatten(second))
    assert {name for name, _ in a} == set(b)
    for name, leaf in a:
        np.testing.assert_allclose(np.array(leaf), np.array(b[name]), atol=tolerance, rtol=1e-4, err_msg=name)


def written_out(setup: Setup, meta, item: Item, steps: int, order: int):
    """The meta-gradient by differentiating the whole unrolled loop."""

    def loss(meta):
        if "generator" in meta:
            adapter = setup.hypernetwork.adapter(meta["generator"], meta["base"], item.embedding)
            logs = setup.hypernetwork.log_rates(meta["generator"], meta["log_rates"], item.embedding)
        else:
            adapter, logs = meta["base"], meta["log_rates"]
        params = setup.learner.start(adapter, item.support, item.ways, meta["head"])
        rates = rates_for(params, steps, at_steps(positive(logs), steps))
        return adapted_loss(
            setup.learner, adapter, item.support, item.query, item.ways, rates, order, meta=meta["head"]
        )

    return mx.value_and_grad(loss)(meta)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("method", ["hypernetwork", "maml"])
def test_the_gradient_is_that_of_the_unrolled_loop(method: str, steps: int, order: int) -> None:
    chosen, setup, meta, item = made(method, order=order)
    reading, grads = chosen.gradient(setup, meta, item, steps)
    value, expected = written_out(setup, meta, item, steps, order)
    assert float(reading.loss) == pytest.approx(float(value), rel=1e-5)
    assert_alike(grads, expected)
    assert float(reading.query_loss) == pytest.approx(float(value), rel=1e-5)


def test_second_order_differs_from_first() -> None:
    chosen, setup, meta, item = made("maml")
    _, first = chosen.gradient(setup, meta, item, 3)
    _, second = chosen.gradient(setup._replace(order=2), meta, item, 3)
    assert max(float(mx.max(mx.abs(a - b))) for a, b in zip(leaves(first), leaves(second), strict=True)) > 1e-4


@pytest.mark.parametrize("order", [1, 2])
def test_every_step_averages_the_query_losses_along_the_way(order: int) -> None:
    chosen, setup, meta, item = made("hypernetwork", every_step=True, order=order)
    reading, _ = chosen.gradient(setup, meta, item, 3)
    logits, _ = curve(setup, chosen, meta, item, 3)
    expected = np.mean([float(cross_entropy(each, item.query.labels)) for each in logits])
    assert float(reading.loss) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_is_of_the_query_loss() -> None:
    chosen, setup, meta, item = made("protonet", label_smoothing=0.2)
    reading, _ = chosen.gradient(setup, meta, item, 0)
    logits, _ = curve(setup, chosen, meta, item, 0)
    assert float(reading.loss) == pytest.approx(float(cross_entropy(logits[0], item.query.labels, 0.2)), rel=1e-5)


def test_anil_moves_the_head_alone() -> None:
    chosen, setup, meta, item = made("anil")
    _, trees = curve(setup, chosen, meta, item, 2)
    assert_alike(trees[0]["adapter"], trees[2]["adapter"], 0)
    assert float(mx.max(mx.abs(trees[0]["head"]["weight"] - trees[2]["head"]["weight"]))) > 1e-4
    _, grads = chosen.gradient(setup, meta, item, 2)
    assert max(float(mx.max(mx.abs(leaf))) for leaf in leaves(grads["base"])) > 0


def test_reptile_points_back_from_where_its_steps_lead() -> None:
    chosen, setup, meta, item = made("reptile")
    _, grads = chosen.gradient(setup, meta, item, 1)
    learner = setup.learner
    params = learner.start(meta["base"], item.support, item.ways, meta["head"])
    inner = mx.grad(learner.loss)(params, item.support)["adapter"]
    rates = utils.tree_map(lambda log: mx.exp(log[0]), meta["log_rates"]["adapter"])
    assert_alike(grads["base"], utils.tree_map(lambda g, r: r * g, inner, rates))
    assert all(not float(mx.max(mx.abs(leaf))) for leaf in leaves(grads["head"]))


def test_multitask_learns_the_adapter_and_the_head_of_its_task() -> None:
    chosen, setup, meta, item = made("multitask")
    before, grads = chosen.gradient(setup, meta, item, 0)
    assert all(not float(mx.max(mx.abs(leaf))) for leaf in leaves(grads["classes"]["b"]))
    moved = utils.tree_map(lambda p, g: p - 0.1 * g, meta, grads)
    after, _ = chosen.gradient(setup, moved, item, 0)
    assert float(after.loss) < float(before.loss)


def test_the_penalty_is_zero_at_the_frozen_network_and_pulls_back_from_elsewhere() -> None:
    chosen, setup, meta, item = made("protonet", keep=3.0)
    item = item._replace(unrelated=item.query.hidden)
    plain = setup._replace(keep=0.0)
    still = init_meta(setup, chosen, LORA, 1, {"adapter": 0.1, "head": 0.1}, mx.random.key(0))  # B is zero

    def penalty(meta) -> float:
        with_it, without = (chosen.gradient(s, meta, item, 0)[0].loss for s in (setup, plain))
        return float(with_it) - float(without)

    assert penalty(still) == pytest.approx(0.0, abs=1e-6)
    assert penalty(meta) > 1e-5


def test_curves_do_not_look_at_query_labels() -> None:
    chosen, setup, meta, item = made("hypernetwork")
    swapped = item._replace(query=item.query._replace(labels=1 - item.query.labels))
    for a, b in zip(*(curve(setup, chosen, meta, each, 2)[0] for each in (item, swapped)), strict=True):
        assert np.array_equal(np.array(a), np.array(b))


def test_more_steps_than_rates_go_on_with_the_last_rate() -> None:
    rates = {"a": mx.array([1.0, 2.0])}
    assert at_steps(rates, 4)["a"].tolist() == [1.0, 2.0, 2.0, 2.0]
    assert at_steps(rates, 1)["a"].tolist() == [1.0]


def test_names() -> None:
    assert set(METHODS) == {"hypernetwork", "maml", "meta_sgd", "anil", "reptile", "protonet", "multitask"}
    with pytest.raises(AdaptationError, match="no method 'mamml'. Did you mean 'maml'"):
        method_named("mamml")
