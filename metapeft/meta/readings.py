"""Accuracy and losses step by step: of what was learned, and of a start at random."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np

from metapeft.adapters.lora import LoraConfig, random_adapter
from metapeft.heads import cross_entropy, linear_head
from metapeft.meta.inner_loop import Examples, Learner
from metapeft.meta.judge import figure
from metapeft.meta.learner import Tree, adam, rates_for
from metapeft.meta.methods import Item, Method, Setup, curve, transitions_of_item
from metapeft.meta.states import Unmixed, WithFrozen
from metapeft.mlx import mx
from metapeft.tasks.sampling import key_of

FROZEN, RANDOM = "frozen prototype", "random start, Adam 0.01"


class Curve(NamedTuple):
    """What was read after 0, 1, … inner steps, one number each.

    Attributes:
        accuracy: the figure of the query set, 0 to 1: see `judge.figure`.
        support_loss: mean cross-entropy on the support set, in nats.
        query_loss: the same on the query set.
    """

    accuracy: list[float]
    support_loss: list[float]
    query_loss: list[float]


def learned_reading(setup: Setup, method: Method, meta: Any, item: Item, steps: int) -> Curve:
    """As `accuracies`, with the losses: that of the support set is another run through the network a step."""
    logits, trees = curve(setup, method, meta, item, steps)
    transitions = transitions_of_item(setup, item)
    return Curve(
        [figure(each, item.query, transitions) for each in logits],
        [float(setup.learner.loss(tree, item.support)) for tree in trees],
        [float(cross_entropy(each, item.query.labels)) for each in logits],
    )


def accuracies(setup: Setup, method: Method, meta: Any, item: Item, steps: int) -> list[float]:
    """The figure of an episode after 0, 1, … `steps` inner steps from where the meta-parameters say."""
    logits, _ = curve(setup, method, meta, item, steps)
    transitions = transitions_of_item(setup, item)
    return [figure(each, item.query, transitions) for each in logits]


def random_curve(
    learner: Learner, lora: LoraConfig, item: Item, steps: int, number: int, rate: float = 0.01
) -> list[float]:
    """The figure of a random adapter and a random linear head after 0, 1, … `steps` steps of Adam.

    What one does without meta-learning; every word of a sentence is classified for itself.

    Args:
        learner: says backbone, scale and depth.
        lora: which maps are adapted.
        item: the episode.
        steps: how many.
        number: of the episode; it says how adapter and head are drawn.
        rate: learning rate of both.
    """
    return [
        figure(plain.logits(params, query.hidden), query)
        for plain, params, _, query in random_steps(learner, lora, item, steps, number, rate)
    ]


def random_after(
    learner: Learner, lora: LoraConfig, item: Item, steps: Collection[int], number: int, rate: float = 0.01
) -> dict[int, float]:
    """As `random_curve`, read after these steps alone: to read costs more than to step where the query set is large."""
    return {
        taken: figure(plain.logits(params, query.hidden), query)
        for taken, (plain, params, _, query) in enumerate(random_steps(learner, lora, item, max(steps), number, rate))
        if taken in steps
    }


def random_reading(
    learner: Learner, lora: LoraConfig, item: Item, steps: int, number: int, rate: float = 0.01
) -> Curve:
    """As `random_curve`, with the losses."""
    out = Curve([], [], [])
    for plain, params, support, query in random_steps(learner, lora, item, steps, number, rate):
        logits = plain.logits(params, query.hidden)
        out.accuracy.append(figure(logits, query))
        out.support_loss.append(float(plain.loss(params, support)))
        out.query_loss.append(float(cross_entropy(logits, query.labels)))
    return out


def random_steps(
    learner: Learner, lora: LoraConfig, item: Item, steps: int, number: int, rate: float
) -> Iterator[tuple[Learner, Tree, Examples, Examples]]:
    """The learner of a random start, its parameters after 0, 1, … `steps` steps, and the examples as it reads them."""
    network = learner.backbone
    assert isinstance(network, WithFrozen | Unmixed)
    key = mx.random.key(int(key_of("random start", number)[0] >> np.uint64(1)))
    # a language model keeps its head: a random one of the whole vocabulary is nobody's start
    head = linear_head(key) if learner.head.params else learner.head
    plain = learner._replace(backbone=network.backbone, head=head)
    support, query = (s._replace(hidden=s.hidden.hidden) for s in (item.support, item.query))
    params = plain.start(random_adapter(network.backbone, lora, key), support, item.ways)
    state = adam().init(params)
    yield plain, params, support, query
    for rates in rates_for(params, steps, rate):
        params, state = adam().update(params, mx.grad(plain.loss)(params, support), rates, state)
        mx.eval(params, state)
        yield plain, params, support, query
