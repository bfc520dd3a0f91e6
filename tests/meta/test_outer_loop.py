"""One outer step: averages, clipping, schedule, sharding, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.errors import AdaptationError
from metapeft.meta.methods import method_named
from metapeft.meta.outer_loop import Outer, begin, inner_steps_of, items_at, outer_step, rate_at, with_classes
from metapeft.meta.states import PoolStates
from metapeft.meta.stream import EpisodeStream, Sizes
from metapeft.mlx import mx, utils
from metapeft.tasks import LinearTaskGenerator, NonLinearTaskGenerator
from tests.meta.test_methods import assert_alike, made

OUTER = Outer(steps=20, batch=4, learning_rate=0.01, inner_steps=2)


def problem(method: str = "maml"):
    chosen, setup, meta, _ = made(method)
    tasks = [
        LinearTaskGenerator(input_dim=2).generate_task(rotation=30.0, translation=[0.5, 0.0]),
        NonLinearTaskGenerator("spirals").generate_task(noise_level=0.1),
    ]
    stream = EpisodeStream(tasks, Sizes((2, 2), (1, 3), 4))
    states = PoolStates(setup.learner.backbone.backbone, setup.learner.depth)
    return chosen, setup, meta, stream, states


def test_the_rate_rises_then_falls() -> None:
    outer = Outer(steps=100, learning_rate=1.0, warmup=0.1)
    rates = [rate_at(outer, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == pytest.approx(1.0)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_inner_steps_are_by_number_and_cover_zero_to_the_most() -> None:
    outer = Outer(inner_steps=3)
    drawn = [inner_steps_of(outer, method_named("maml"), index) for index in range(400)]
    assert drawn == [inner_steps_of(outer, method_named("maml"), index) for index in range(400)]
    assert np.bincount(drawn).min() > 70
    assert len(np.bincount(drawn)) == 4
    assert {inner_steps_of(outer, method_named("protonet"), index) for index in range(20)} == {0}
    assert min(inner_steps_of(outer, method_named("reptile"), index) for index in range(50)) == 1


def test_ranks_share_the_episodes_of_a_step() -> None:
    _, _, _, stream, states = problem()
    alone = [index for index, _, _ in items_at(stream, states, None, OUTER, 3)]
    assert alone == [12, 13, 14, 15]
    shared = [[index for index, _, _ in items_at(stream, states, None, OUTER, 3, rank, 2)] for rank in range(2)]
    assert shared == [[12, 14], [13, 15]]
    with pytest.raises(AdaptationError, match="batch=4 cannot be shared evenly by 3 ranks"):
        items_at(stream, states, None, OUTER, 0, 0, 3)


def test_the_unrelated_texts_of_an_episode_do_not_depend_on_the_ranks() -> None:
    _, _, _, stream, states = problem()
    alone = {i: item.unrelated for i, item, _ in items_at(stream, states, None, OUTER, 1, unrelated=True)}
    shared = {
        i: item.unrelated
        for rank in range(2)
        for i, item, _ in items_at(stream, states, None, OUTER, 1, rank, 2, unrelated=True)
    }
    assert any(alone.values())
    for index, other in alone.items():
        assert (other is None) == (shared[index] is None)
        if other is not None:
            assert np.array_equal(np.array(other.frozen), np.array(shared[index].frozen))


def test_a_step_is_adam_on_the_clipped_mean() -> None:
    method, setup, meta, stream, states = problem()
    outer = Outer(steps=20, batch=4, learning_rate=0.01, inner_steps=0, clip=1e-3, warmup=0.0)
    items = items_at(stream, states, None, outer, 0)
    state, report = outer_step(begin(meta), method, setup, outer, items)
    assert report.gradient_norm > outer.clip
    # the first step of Adam has the size of its rate wherever there is a gradient that is not tiny
    moved = np.array(state.meta["base"]["layers.2.linear"]["lora_b"] - meta["base"]["layers.2.linear"]["lora_b"])
    assert np.abs(moved).max() == pytest.approx(0.01, rel=0.05)
    assert_alike(state.meta["log_rates"], meta["log_rates"], 0)  # maml does not learn them
    scalars = float(state.meta["head"]["log_temperature"] - meta["head"]["log_temperature"])
    assert abs(scalars) == pytest.approx(0.1, rel=0.05)  # quick


def test_scales_that_start_at_zero_move_quickly() -> None:
    method, setup, meta, stream, states = problem("hypernetwork")
    outer = Outer(steps=20, batch=4, learning_rate=0.01, inner_steps=0, warmup=0.0)
    items = [
        (i, item._replace(embedding=mx.ones(6)), family) for i, item, family in items_at(stream, states, None, outer, 0)
    ]
    after = outer_step(begin(meta), method, setup, outer, items)[0].meta["generator"]
    moved = utils.tree_map(lambda a, b: float(mx.max(mx.abs(a - b))), after, begin(meta).meta["generator"])
    assert moved["gain"]["layers.2.linear"]["b"] == pytest.approx(0.1, rel=0.05)
    assert moved["task"]["weight"] == pytest.approx(0.01, rel=0.05)


def test_two_halves_averaged_are_the_whole() -> None:
    method, setup, meta, stream, states = problem("hypernetwork")
    setup = setup._replace(hypernetwork=setup.hypernetwork)
    embedding = mx.random.normal((6,), key=mx.random.key(5))

    def items(rank: int, world: int):
        return [
            (i, item._replace(embedding=embedding), family)
            for i, item, family in items_at(stream, states, None, OUTER, 0, rank, world)
        ]

    whole, _ = outer_step(begin(meta), method, setup, OUTER, items(0, 1))
    sums = []
    for rank in range(2):
        outer_step(begin(meta), method, setup, OUTER, items(rank, 2), lambda tree: sums.append(tree) or tree)
    mean = utils.tree_map(lambda a, b: (a + b) / 2, *sums)
    halves, _ = outer_step(begin(meta), method, setup, OUTER, items(0, 2), lambda _: mean)
    assert_alike(whole.meta, halves.meta, 1e-5)


def test_a_loss_that_is_not_a_number_names_the_episode() -> None:
    method, setup, meta, stream, states = problem()
    meta = {**meta, "head": {**meta["head"], "log_temperature": mx.array(float("nan"))}}
    with pytest.raises(AdaptationError, match=r"outer step 0: the loss of episode 0 of task .* is nan"):
        outer_step(begin(meta), method, setup, OUTER, items_at(stream, states, None, OUTER, 0))


def test_training_helps() -> None:
    method, setup, _, stream, states = problem("protonet")
    chosen, setup, meta, _ = made("protonet")
    state = begin(meta)
    outer = Outer(steps=25, batch=4, learning_rate=0.02)
    losses = []
    for step in range(outer.steps):
        state, report = outer_step(state, chosen, setup, outer, items_at(stream, states, None, outer, step))
        losses.append(report.meta_loss)
    assert np.mean(losses[-6:]) < np.mean(losses[:6])


def test_a_linear_head_for_each_task_where_they_are_learned() -> None:
    *_, stream, _ = problem()
    meta = with_classes({"base": {}}, method_named("multitask"), stream.tasks, 7, mx.random.key(0))
    assert {name: head.shape for name, head in meta["classes"].items()} == {
        task.config.task_id: (2, 7) for task in stream.tasks
    }
    assert with_classes({"base": {}}, method_named("maml"), stream.tasks, 7, mx.random.key(0)) == {"base": {}}
