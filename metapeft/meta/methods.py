"""The methods of meta-training: each says where an episode starts, what its inner steps move, and what it learns by.

All run in one outer loop (`outer_loop`) on one tree of meta-parameters:

    {"base": Adapter, "generator": …, "log_rates": {"adapter": …, "head": …}, "head": Meta, "classes": …}

of which a method has the branches that it learns. A gradient is a pure function of these, an episode and a number of
steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from metapeft.adapters.hypernetwork import Hypernetwork
from metapeft.adapters.lora import LoraConfig, random_adapter
from metapeft.backbones.backbone import Adapter
from metapeft.errors import AdaptationError, did_you_mean
from metapeft.heads.head import accuracy, cross_entropy, unit
from metapeft.meta.detector import Detector
from metapeft.meta.inner_loop import Examples, Learner
from metapeft.meta.judge import transitions_for
from metapeft.meta.learner import Tree, learned_rates, positive, rates_for, unroll
from metapeft.meta.states import Beside, WithFrozen
from metapeft.mlx import mx, utils


class Item(NamedTuple):
    """One episode, ready for a gradient.

    Attributes:
        support: examples with hidden states.
        query: examples with hidden states.
        ways: number of classes.
        embedding: of the task, float32 ``(dims,)``, made from the support set alone; empty where no method reads it.
        classes: original class ids ``(ways,)`` int32: which rows of the multi-task head are this episode's.
        task_id: the task.
        unrelated: hidden states of texts of another task, for the penalty; None for none.
        names: hidden states of the classes' names, further examples of their class; None where the head has none.
    """

    support: Examples
    query: Examples
    ways: int
    embedding: mx.array
    classes: mx.array
    task_id: str
    unrelated: Beside | None = None
    names: Beside | None = None


class Setup(NamedTuple):
    """What stays the same through meta-training.

    Attributes:
        learner: the frozen backbone, the head, scale and depth.
        hypernetwork: its shape; None for methods without one.
        label_smoothing: of the query loss.
        keep: weight of the penalty that holds similarities of unrelated texts near the frozen ones.
        every_step: read the query loss after every inner step and average, in place of after the last one.
        order: 1 or 2.
        transitions: between words of training sentences, see `judge.transitions_of`; None where examples are the units.
        detector: of mentions, see `meta.detector`; None where there is none.
    """

    learner: Learner
    hypernetwork: Hypernetwork | None = None
    label_smoothing: float = 0.0
    keep: float = 0.0
    every_step: bool = False
    order: int = 1
    transitions: np.ndarray | None = None
    detector: Detector | None = None


class Reading(NamedTuple):
    """What an episode said; scalars as `mx.array`.

    Attributes:
        loss: what was differentiated.
        support_loss: before the first step.
        query_loss: after the last step.
        query_accuracy: after the last step.
        last_support_loss: before the last step (`support_loss` where fewer than two are taken).
    """

    loss: mx.array
    support_loss: mx.array
    query_loss: mx.array
    query_accuracy: mx.array
    last_support_loss: mx.array


def transitions_of_item(setup: Setup, item: Item) -> np.ndarray | None:
    """Transitions by which an episode's sentences are decoded, see `judge.transitions_for`; None for whole examples."""
    if item.support.sentences is None:
        return None
    return transitions_for(setup.transitions, item.support.sentences)


Gradient = Callable[[Setup, Tree, Item, int], tuple[Reading, Tree]]


class Method(NamedTuple):
    """A method of meta-training.

    Attributes:
        name: as the user types it.
        learns: branches of the meta-parameters.
        gradient: ``(setup, meta, item, steps) -> (reading, gradient in the form of meta)``.
        steps: whether its episodes take inner steps.
        about: one line, with the source.
    """

    name: str
    learns: tuple[str, ...]
    gradient: Gradient
    steps: bool
    about: str


def start(setup: Setup, meta: Tree, embedding: mx.array) -> tuple[Adapter, Tree]:
    """Where the inner steps of a task start: its adapter and the logarithms of its learning rates."""
    if "generator" in meta:
        assert setup.hypernetwork is not None
        adapter = setup.hypernetwork.adapter(meta["generator"], meta["base"], embedding)
        return adapter, setup.hypernetwork.log_rates(meta["generator"], meta["log_rates"], embedding)
    return meta["base"], meta["log_rates"]


def init_meta(
    setup: Setup, method: Method, lora: LoraConfig, steps: int, rates: dict[str, float], key: mx.array
) -> Tree:
    """Meta-parameters before the first outer step: B is zero and nothing is generated, so features are the frozen ones.

    Args:
        setup: the learner, and the hypernetwork where the method has one.
        method: says which branches there are.
        lora: which maps are adapted.
        steps: inner steps that have a learning rate of their own, at least 1.
        rates: initial learning rates, ``{"adapter": …, "head": …}``.
        key: from `mx.random.key`.
    """
    base_key, generator_key = mx.random.split(key)
    base = random_adapter(setup.learner.backbone, lora, base_key)
    params = {"adapter": base, "head": {name: mx.zeros(1) for name in setup.learner.head.params}}
    meta: Tree = {
        "base": base,
        "log_rates": learned_rates(params, max(steps, 1), rates),
        "head": setup.learner.head.default_meta(),
    }
    if "generator" in method.learns:
        assert setup.hypernetwork is not None
        meta["generator"] = setup.hypernetwork.init(generator_key)
    return meta


def curve(setup: Setup, method: Method, meta: Tree, item: Item, steps: int) -> tuple[list[mx.array], list[Tree]]:
    """Query logits after 0, 1, … `steps` inner steps from where the meta-parameters say, and what was classified with.

    Returns:
        Logits ``(m, ways)`` and trainable trees, ``steps + 1`` of each.
    """
    trees = path(setup, method, meta, item, steps)
    logits = [setup.learner.logits(tree, item.query.hidden) for tree in trees]
    mx.eval(logits)
    return logits, trees


def path(setup: Setup, method: Method, meta: Tree, item: Item, steps: int) -> list[Tree]:
    """The trainable trees after 0, 1, … `steps` inner steps on the support set; the query set is not read."""
    learner = setup.learner
    adapter, log_rates = start(setup, meta, item.embedding)
    params = learner.start(adapter, item.support, item.ways, meta.get("head"), item.names)
    rates = rates_for(params, steps, at_steps(positive(log_rates), steps))
    inner = _head_steps if method.gradient is head_only_gradient else _all_steps
    gradients, _ = inner(learner, params, item.support, rates)
    trees = [params]
    for gradient, rate in zip(gradients, rates, strict=True):
        trees.append(utils.tree_map(lambda p, g, r: p - r * g, trees[-1], gradient, rate))
    return trees


# --- gradients


def episode_gradient(setup: Setup, meta: Tree, item: Item, steps: int) -> tuple[Reading, Tree]:
    """Gradient of the query loss after inner steps on adapter and head (MAML, Finn et al. 2017; Proto-MAML head).

    First order takes the inner gradients as constants: they are computed step by step, and then one pass over support
    and query set has all gradients, those of the learning rates too. Memory does not grow with the number of steps.
    """
    if setup.order == 2 and steps:
        return _second_order(setup, meta, item, steps)
    return _first_order(setup, meta, item, steps, _all_steps)


def head_only_gradient(setup: Setup, meta: Tree, item: Item, steps: int) -> tuple[Reading, Tree]:
    """As `episode_gradient`, where inner steps move the head alone (ANIL, Raghu et al. 2020)."""
    return _first_order(setup, meta, item, steps, _head_steps)


def reptile_gradient(setup: Setup, meta: Tree, item: Item, steps: int) -> tuple[Reading, Tree]:
    """From where the steps lead back to where they start (Reptile, Nichol et al. 2018).

    The steps are taken on support and query set together: it has no query loss, and what is read of one is a report.
    """
    learner = setup.learner
    adapter, log_rates = start(setup, meta, item.embedding)
    params = learner.start(adapter, item.support, item.ways, meta.get("head"), item.names)
    first, losses = params, []
    rates = rates_for(params, steps, at_steps(positive(log_rates), steps))
    for taken in range(steps):
        loss, grads = _loss_and_gradient(learner)(params, (item.support, item.query)[taken % 2])
        params = utils.tree_map(lambda p, g, r: p - r * g, params, grads, rates[taken])
        mx.eval(params)
        losses.append(loss)
    moved = utils.tree_map(lambda a, b: a - b, first["adapter"], params["adapter"])
    grads = utils.tree_map(mx.zeros_like, meta) | {"base": moved}
    logits = learner.logits(params, item.query.hidden)
    query = cross_entropy(logits, item.query.labels)
    losses = losses or [learner.loss(first, item.support)]
    return Reading(query, losses[0], query, accuracy(logits, item.query.labels), losses[-1]), grads


def multitask_gradient(setup: Setup, meta: Tree, item: Item, steps: int) -> tuple[Reading, Tree]:
    """One adapter for all tasks beside a linear head for each, learned by plain descent: no episode is adapted to.

    Multi-task learning (Caruana 1997). The loss is over the episode's classes, on support and query examples alike.
    """
    learner = setup.learner
    name = item.task_id
    own = {name: meta["classes"][name]} if "classes" in meta else {}

    def loss(meta: Tree) -> tuple[mx.array, tuple[mx.array, mx.array, mx.array]]:
        head = {}  # a language model's is the same for all tasks
        if name in own:
            head = {"weight": meta["classes"][name][item.classes], "bias": mx.zeros(item.ways)}
        params = {"adapter": meta["base"], "head": head}
        first = learner.logits(params, item.support.hidden)
        second = learner.logits(params, item.query.hidden)
        a = cross_entropy(first, item.support.labels, setup.label_smoothing)
        b = cross_entropy(second, item.query.labels, setup.label_smoothing)
        total = 0.5 * (a + b) + _penalty(setup, meta["base"], item)
        return total, (a, b, accuracy(second, item.query.labels))

    learned = {"base": meta["base"], "classes": own}
    (total, (a, b, right)), grads = mx.value_and_grad(loss)(learned)
    whole = utils.tree_map(mx.zeros_like, meta)
    if own:
        whole["classes"] |= grads["classes"]
    return Reading(total, a, b, right, a), {**whole, "base": grads["base"]}


def _first_order(
    setup: Setup, meta: Tree, item: Item, steps: int, inner: Callable[..., tuple[list[Tree], list[mx.array]]]
) -> tuple[Reading, Tree]:
    learner = setup.learner
    adapter, log_rates = start(setup, meta, item.embedding)
    gradients: list[Tree] = []
    losses: list[mx.array] = []
    if steps:
        params = learner.start(adapter, item.support, item.ways, meta.get("head"), item.names)
        rates = rates_for(params, steps, at_steps(positive(log_rates), steps))
        gradients, losses = inner(learner, params, item.support, rates)
        mx.eval(gradients, losses)
    (total, (support_loss, query_loss, right)), grads = _outer(setup, meta, item, gradients)
    losses = losses or [support_loss]
    return Reading(total, losses[0], query_loss, right, losses[-1]), grads


def _outer(setup: Setup, meta: Tree, item: Item, gradients: list[Tree]) -> Any:
    """Value and gradient in the meta-parameters, of the query loss from inner gradients that are constants."""
    learner = setup.learner

    def loss(meta: Tree) -> tuple[mx.array, tuple[mx.array, mx.array, mx.array]]:
        adapter, log_rates = start(setup, meta, item.embedding)
        features = learner.features(adapter, item.support.hidden)  # as `Learner.start`; the support loss reads them too
        names = None if item.names is None else learner.features(adapter, item.names)
        head = learner.head.init(features, item.support.labels, item.ways, meta.get("head"), names)
        params = {"adapter": adapter, "head": head}
        support_loss = mx.array(0.0)
        if not gradients:
            support_loss = mx.stop_gradient(cross_entropy(learner.head.logits(head, features), item.support.labels))
        rates = rates_for(params, len(gradients), at_steps(positive(log_rates), len(gradients)))
        losses = []
        logits = learner.logits(params, item.query.hidden)
        losses.append(cross_entropy(logits, item.query.labels, setup.label_smoothing))
        for gradient, rate in zip(gradients, rates, strict=True):
            params = utils.tree_map(lambda p, g, r: p - r * g, params, gradient, rate)
            if setup.every_step or gradient is gradients[-1]:
                logits = learner.logits(params, item.query.hidden)
                losses.append(cross_entropy(logits, item.query.labels, setup.label_smoothing))
        query_loss = mx.mean(mx.stack(losses)) if setup.every_step else losses[-1]
        total = query_loss + _penalty(setup, adapter, item)
        return total, (support_loss, losses[-1], accuracy(logits, item.query.labels))

    return mx.value_and_grad(loss)(meta)


def _second_order(setup: Setup, meta: Tree, item: Item, steps: int) -> tuple[Reading, Tree]:
    learner = setup.learner

    def loss(meta: Tree) -> tuple[mx.array, tuple[mx.array, mx.array, mx.array, mx.array]]:
        adapter, log_rates = start(setup, meta, item.embedding)
        params = learner.start(adapter, item.support, item.ways, meta.get("head"), item.names)
        rates = rates_for(params, steps, at_steps(positive(log_rates), steps))
        losses, read = [], []
        for rate in rates:
            if setup.every_step:
                read.append(learner.logits(params, item.query.hidden))
            params, before = unroll(lambda p: learner.loss(p, item.support), params, [rate], 2)
            losses += before
        read.append(learner.logits(params, item.query.hidden))
        queries = [cross_entropy(logits, item.query.labels, setup.label_smoothing) for logits in read]
        total = mx.mean(mx.stack(queries)) + _penalty(setup, adapter, item)
        return total, (losses[0], queries[-1], accuracy(read[-1], item.query.labels), losses[-1])

    (total, (first, query, right, last)), grads = mx.value_and_grad(loss)(meta)
    return Reading(total, first, query, right, last), grads


def _all_steps(
    learner: Learner, params: Tree, support: Examples, rates: list[Tree]
) -> tuple[list[Tree], list[mx.array]]:
    """The gradients that the inner steps follow, and the loss before each."""
    gradients, losses = [], []
    for rate in rates:
        loss, grads = _loss_and_gradient(learner)(params, support)
        params = utils.tree_map(lambda p, g, r: p - r * g, params, grads, rate)
        mx.eval(params, grads)
        gradients.append(grads)
        losses.append(loss)
    return gradients, losses


def _head_steps(
    learner: Learner, params: Tree, support: Examples, rates: list[Tree]
) -> tuple[list[Tree], list[mx.array]]:
    """As `_all_steps`, for a head on features that stay: the adapter's gradients are zero."""
    features = learner.features(params["adapter"], support.hidden)
    still = utils.tree_map(mx.zeros_like, params["adapter"])
    head, gradients, losses = params["head"], [], []
    for rate in rates:
        loss, grads = mx.value_and_grad(lambda h: cross_entropy(learner.head.logits(h, features), support.labels))(head)
        head = utils.tree_map(lambda p, g, r: p - r * g, head, grads, rate["head"])
        gradients.append({"adapter": still, "head": grads})
        losses.append(loss)
    return gradients, losses


def _loss_and_gradient(learner: Learner) -> Callable[..., Any]:
    # Not compiled, here and in `_outer`: hardly two episodes have lengths alike, and to trace and compile anew for each
    # costs three times what the compiled function saves.
    return mx.value_and_grad(learner.loss)


def at_steps(rates: Tree, steps: int) -> Tree:
    """Rates of the first `steps` steps; steps beyond the last rate use the last one."""

    def fit(rate: mx.array) -> mx.array:
        known = rate.shape[0]
        return rate[:steps] if steps <= known else mx.concatenate([rate, mx.repeat(rate[-1:], steps - known)])

    return utils.tree_map(fit, rates)


def _penalty(setup: Setup, adapter: Adapter, item: Item) -> mx.array:
    """Mean squared difference of adapted and frozen cosines between texts of another task."""
    if not setup.keep or item.unrelated is None:
        return mx.array(0.0)
    learner, network = setup.learner, setup.learner.backbone
    assert isinstance(network, WithFrozen)
    backbone = network.backbone
    hidden, frozen = item.unrelated
    adapted = unit(backbone.pool(backbone.suffix(hidden, adapter, learner.scale, learner.depth)))
    return setup.keep * mx.mean(mx.square(adapted @ adapted.T - frozen @ frozen.T))


_EPISODE = ("base", "head")
METHODS = {
    method.name: method
    for method in (
        Method(
            "hypernetwork",
            ("base", "generator", "log_rates", "head"),
            episode_gradient,
            True,
            "a generated initialization for each task, after HyperTuning (Phang et al. 2023)",
        ),
        Method("maml", _EPISODE, episode_gradient, True, "one learned initialization, fixed rates (Finn et al. 2017)"),
        Method(
            "meta_sgd", (*_EPISODE, "log_rates"), episode_gradient, True, "initialization and rates (Li et al. 2017)"
        ),
        Method(
            "anil", (*_EPISODE, "log_rates"), head_only_gradient, True, "inner steps on the head (Raghu et al. 2020)"
        ),
        Method("reptile", ("base",), reptile_gradient, True, "towards the adapted parameters (Nichol et al. 2018)"),
        Method("protonet", _EPISODE, episode_gradient, False, "no inner step (Snell et al. 2017)"),
        Method(
            "multitask", ("base", "classes"), multitask_gradient, False, "one adapter, a head a task (Caruana 1997)"
        ),
    )
}


def method_named(name: str) -> Method:
    """The method of this name.

    Raises:
        AdaptationError: there is none; it lists them.
    """
    if name not in METHODS:
        raise AdaptationError(f"no method '{name}'.{did_you_mean(name, METHODS)} Known: {', '.join(METHODS)}")
    return METHODS[name]
