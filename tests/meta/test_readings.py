"""metapeft.meta.readings: losses beside accuracies are of the same steps."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.adapters.lora import LoraConfig
from metapeft.backbones.mlp import make_mlp
from metapeft.meta.methods import Setup, init_meta, method_named
from metapeft.meta.outer_loop import item_of
from metapeft.meta.readings import accuracies, learned_reading, random_after, random_curve, random_reading
from metapeft.meta.run import learner_of
from metapeft.meta.states import PoolStates
from metapeft.meta.stream import sampler_of
from metapeft.mlx import mx
from metapeft.tasks.generators import NonLinearTaskGenerator


def test_losses_are_of_the_same_steps_as_the_accuracies() -> None:
    network, lora, method = make_mlp(2, 8, 3), LoraConfig(rank=2), method_named("maml")
    learner = learner_of(network, lora, "cosine", 0.5)
    setup = Setup(learner)
    meta = init_meta(setup, method, lora, 1, {"adapter": 0.5, "head": 0.5}, mx.random.key(0))
    task = NonLinearTaskGenerator("spirals").generate_task(noise_level=0.1)
    item = item_of(sampler_of(task, 2, 6, 8).episodes(0, 1)[0], task, PoolStates(network, learner.depth), None)
    learned = learned_reading(setup, method, meta, item, 4)
    random = random_reading(learner, lora, item, 4, 0)
    assert learned.accuracy == accuracies(setup, method, meta, item, 4)
    assert random.accuracy == random_curve(learner, lora, item, 4, 0)
    assert random_after(learner, lora, item, {1, 4}, 0) == {1: random.accuracy[1], 4: random.accuracy[4]}
    for read in (learned, random):
        assert [len(values) for values in read] == [5, 5, 5]
        assert read.support_loss[-1] < read.support_loss[0]  # what the steps descend
    params = learner.start(meta["base"], item.support, item.ways, meta["head"])
    for examples, values in ((item.support, learned.support_loss), (item.query, learned.query_loss)):
        logits = np.array(learner.logits(params, examples.hidden), np.float64)
        right = logits[np.arange(len(logits)), np.array(examples.labels)]
        assert values[0] == pytest.approx(np.mean(np.log(np.exp(logits).sum(axis=1)) - right), rel=1e-4)
