"""Accuracy step by step: of what was learned, and of a start at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from metapeft.adapters.lora import LoraConfig, random_adapter
from metapeft.heads import accuracy, linear_head
from metapeft.meta.inner_loop import Learner
from metapeft.meta.learner import adam, rates_for
from metapeft.meta.methods import Item, Method, Setup, curve
from metapeft.meta.states import WithFrozen
from metapeft.mlx import mx
from metapeft.tasks.sampling import key_of

FROZEN, RANDOM = "frozen prototype", "random start, Adam 0.01"


def accuracies(setup: Setup, method: Method, meta: Any, item: Item, steps: int) -> list[float]:
    """Query accuracy of an episode after 0, 1, … `steps` inner steps from where the meta-parameters say."""
    logits, _ = curve(setup, method, meta, item, steps)
    return [float(accuracy(each, item.query.labels)) for each in logits]


def random_curve(
    learner: Learner, lora: LoraConfig, item: Item, steps: int, number: int, rate: float = 0.01
) -> list[float]:
    """Query accuracy of a random adapter and a random linear head after 0, 1, … `steps` steps of Adam.

    What one does without meta-learning.

    Args:
        learner: says backbone, scale and depth.
        lora: which maps are adapted.
        item: the episode.
        steps: how many.
        number: of the episode; it says how adapter and head are drawn.
        rate: learning rate of both.
    """
    network = learner.backbone
    assert isinstance(network, WithFrozen)
    key = mx.random.key(int(key_of("random start", number)[0] >> np.uint64(1)))
    plain = learner._replace(backbone=network.backbone, head=linear_head(key))
    support, query = (s._replace(hidden=s.hidden.hidden) for s in (item.support, item.query))
    params = plain.start(random_adapter(network.backbone, lora, key), support, item.ways)
    state = adam().init(params)
    out = [float(accuracy(plain.logits(params, query.hidden), query.labels))]
    for rates in rates_for(params, steps, rate):
        params, state = adam().update(params, mx.grad(plain.loss)(params, support), rates, state)
        mx.eval(params, state)
        out.append(float(accuracy(plain.logits(params, query.hidden), query.labels)))
    return out
