"""The inner loop: adapt a frozen backbone to one episode, in a few gradient steps.

    support, query = episode_hidden(backbone, episode, depth)
    adapted = adapt(backbone, adapter, cosine_head(), support, steps=5, learning_rates=0.5, query=query)
    logits = adapted.predict(query.hidden)

The layers below the first adapted one run once an example (`episode_hidden`); the steps run the layers above.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from metapeft.adapters.lora import first_layer
from metapeft.backbones.backbone import Adapter, Backbone
from metapeft.backbones.encoder import Encoder
from metapeft.episodes.episode import Episode, Sentences
from metapeft.errors import AdaptationError
from metapeft.heads.head import Head, Meta, Params, accuracy, check_known, check_labels, cross_entropy
from metapeft.meta.learner import Optimizer, Tree, rates_for, sgd, unroll
from metapeft.meta.prefix_cache import PrefixCache
from metapeft.mlx import mx, utils


class Examples(NamedTuple):
    """Labelled examples, run up to the first adapted layer.

    Attributes:
        hidden: what `Backbone.prefix` gave.
        labels: int32, one a unit: ``(n,)``, or in tagging of the words ``(words,)``, 0 outside.
        sentences: what the words belong to; None where each example is a unit.
    """

    hidden: Any
    labels: mx.array
    sentences: Sentences | None = None


class Learner(NamedTuple):
    """What stays the same through an episode: a frozen backbone and how an adapter and a head act on it.

    Attributes:
        backbone: frozen.
        head: how classifiers are made and read.
        scale: of the adapters.
        depth: blocks below the first adapted one.
    """

    backbone: Backbone
    head: Head
    scale: float
    depth: int

    def features(self, adapter: Adapter | None, hidden: Any) -> mx.array:
        """Features ``(n, d)`` with an adapter."""
        return self.backbone.pool(self.backbone.suffix(hidden, adapter, self.scale, self.depth))

    def features_now(self, adapter: Adapter | None, hidden: Any) -> mx.array:
        """As `features`, where nobody wants a gradient: encoders use all cores then. Not in a transformation."""
        if isinstance(self.backbone, Encoder):
            return self.backbone.features(hidden, adapter, self.scale, self.depth)
        return self.features(adapter, hidden)

    def logits(self, params: Tree, hidden: Any) -> mx.array:
        """Logits ``(n, ways)`` of a trainable tree ``{"adapter": …, "head": …}``."""
        return self.head.logits(params["head"], self.features(params["adapter"], hidden))

    def logits_now(self, params: Tree, hidden: Any) -> mx.array:
        """As `logits`, by `features_now`."""
        return self.head.logits(params["head"], self.features_now(params["adapter"], hidden))

    def loss(self, params: Tree, examples: Examples) -> mx.array:
        """Mean cross-entropy."""
        return cross_entropy(self.logits(params, examples.hidden), examples.labels)

    def start(
        self,
        adapter: Adapter,
        support: Examples,
        ways: int,
        meta: Meta | None = None,
        label_hidden: Any = None,
        now: bool = False,
    ) -> Tree:
        """The trainable tree before the first step: the adapter, and the head made from the support set with it.

        `now` takes the features by `features_now`.
        """
        features = self.features_now if now else self.features
        names = None if label_hidden is None else features(adapter, label_hidden)
        head = self.head.init(features(adapter, support.hidden), support.labels, ways, meta, names)
        return {"adapter": adapter, "head": head}


@dataclass(frozen=True)
class Trace:
    """What happened in an inner loop.

    Attributes:
        support_loss: before each step; with a query set, also after the last one.
        query_loss: after 0, 1, … steps, or after those of `read_after` in their order; empty without a query set.
        query_accuracy: as `query_loss`.
        gradient_steps: how many were taken.
        seconds: wall-clock time, tracing included.
        peak_memory_bytes: the most MLX held at once since the loop began.
    """

    support_loss: tuple[float, ...]
    query_loss: tuple[float, ...]
    query_accuracy: tuple[float, ...]
    gradient_steps: int
    seconds: float
    peak_memory_bytes: int

    @property
    def adaptation_speed(self) -> float:
        """Decrease of the support loss a step, over the steps whose loss was read; 0 where fewer than two were."""
        drops = len(self.support_loss) - 1
        return (self.support_loss[0] - self.support_loss[-1]) / drops if drops > 0 else 0.0


@dataclass(frozen=True, eq=False)
class Adapted:
    """A backbone adapted to an episode.

    Attributes:
        adapter: after the last step.
        head: the classifier after the last step.
        trace: how it went.
        learner: what they act on.
    """

    adapter: Adapter
    head: Params
    trace: Trace
    learner: Learner

    def predict(self, hidden: Any) -> mx.array:
        """Logits ``(m, ways)`` of examples that were run through `Backbone.prefix` to the learner's depth."""
        return self.learner.logits_now({"adapter": self.adapter, "head": self.head}, hidden)


def episode_hidden(
    backbone: Backbone, episode: Episode, depth: int, cache: PrefixCache | None = None
) -> tuple[Examples, Examples]:
    """Run the frozen layers of an episode, support and query set, once an example.

    Args:
        backbone: frozen.
        episode: of points or texts with one label an example; numpy or MLX.
        depth: blocks below the first adapted one: `adapters.lora.first_layer`.
        cache: examples met in earlier episodes are taken from it, new ones are put there.

    Returns:
        Support and query examples.
    """
    sides = []
    for side in ("support", "query"):
        x, y = getattr(episode, f"{side}_x"), getattr(episode, f"{side}_y")
        lengths = getattr(episode, f"{side}_lengths")
        if cache is None:
            hidden = backbone.prefix(x, lengths, depth)
        else:
            ends = episode.task_id.split("->")  # a domain-shift episode names two tasks
            task = ends[0] if side == "support" else ends[-1]
            keys = [(task, side, int(row)) for row in getattr(episode, f"{side}_rows")]
            hidden = cache.prefix(keys, x, lengths)
        sides.append(Examples(hidden, mx.array(y)))
    return sides[0], sides[1]


def adapt(
    backbone: Backbone,
    adapter: Adapter,
    head: Head,
    support: Examples,
    steps: int = 5,
    learning_rates: float | Mapping[str, Any] = 0.1,
    *,
    ways: int | None = None,
    scale: float = 1.0,
    query: Examples | None = None,
    read_after: Collection[int] | None = None,
    optimizer: Optimizer | None = None,
    meta: Meta | None = None,
    label_hidden: Any = None,
    name: str = "",
) -> Adapted:
    """Adapt to a support set, step by step; memory does not grow with the number of steps.

    The gradient of a step never looks further than that step, so first and second order are the same here: the order
    is a matter of what an outer loop differentiates (`adapted_loss`).

    Args:
        backbone: frozen.
        adapter: where the adapter starts; without a leading axis.
        head: makes the first classifier from the support set.
        support: examples that were run to `first_layer(backbone, adapter)`.
        steps: gradient steps, 0 or more. 0 predicts with the adapter and the head as they start.
        learning_rates: see `learner.rates_for`.
        ways: number of classes; None for the highest support label + 1.
        scale: of the adapter.
        query: when given, its loss and accuracy are read. Steps never see it.
        read_after: after which of the steps 0 to `steps` the query set is read; None for all of them.
        optimizer: None for SGD.
        meta: the head's meta-learned scalars; None for their defaults.
        label_hidden: the classes' names, run as the support set was: an extra prototype each (0-shot needs them).
        name: the episode, for errors.

    Returns:
        Adapter, head and trace. The same arguments give the same numbers on one machine.

    Raises:
        AdaptationError: steps below 0, `read_after` names a step that is not taken, wrong learning rates, or a loss or
            parameter that is not finite (it names the episode).
        EpisodeError: a class without an example or a name, or a query label that is none of the classes.
    """
    if steps < 0:
        raise AdaptationError(f"steps must be 0 or more, got {steps}")
    reads = frozenset(range(steps + 1) if read_after is None else read_after)
    if beyond := sorted(reads - set(range(steps + 1))):
        raise AdaptationError(f"read_after: {beyond} are none of the steps 0 to {steps}")
    if ways is None:
        ways = int(np.max(np.array(support.labels))) + 1
    check_labels(support.labels, ways, named=label_hidden is not None)
    if query is not None:
        check_known(query.labels, ways, "query")
    learner = Learner(backbone, head, scale, first_layer(backbone, adapter))
    optimizer = optimizer or sgd()
    began = time.perf_counter()
    mx.reset_peak_memory()
    params = learner.start(adapter, support, ways, meta, label_hidden, now=True)
    rates = rates_for(params, steps, learning_rates)
    state = optimizer.init(params)
    # A step reads the head and never makes one: heads that differ only in how they start share a compiled step.
    reader = head._replace(name="", default_meta=dict, init=_no_start)
    step = _compiled_step(learner._replace(head=reader), optimizer)
    support_loss: list[mx.array] = []
    query_curve: list[tuple[mx.array, mx.array]] = []
    for taken in range(steps + 1):
        if query is not None and taken in reads:
            logits = learner.logits_now(params, query.hidden)
            query_curve.append((cross_entropy(logits, query.labels), accuracy(logits, query.labels)))
            mx.eval(query_curve[-1])
        if taken == steps:
            break
        params, state, loss = step(params, state, rates[taken], support)
        mx.eval(params, state, loss)
        support_loss.append(loss)
        _check_loss(loss, taken, name)
    if query is not None:
        support_loss.append(learner.loss(params, support))
    mx.eval(params, support_loss)
    trace = Trace(
        tuple(float(loss) for loss in support_loss),
        tuple(float(loss) for loss, _ in query_curve),
        tuple(float(share) for _, share in query_curve),
        steps,
        time.perf_counter() - began,
        mx.get_peak_memory(),
    )
    if query is not None:
        _check_loss(support_loss[-1], steps, name)
    _check_params(params, steps, name)
    return Adapted(params["adapter"], params["head"], trace, learner)


def adapted_loss(
    learner: Learner,
    adapter: Adapter,
    support: Examples,
    query: Examples,
    ways: int,
    rates: list[Tree],
    order: int = 1,
    *,
    optimizer: Optimizer | None = None,
    meta: Meta | None = None,
) -> mx.array:
    """Query loss after the inner steps: what an outer loop differentiates in the adapter, the rates and `meta`.

    Args:
        learner: backbone, head, scale, depth.
        adapter: the initialization.
        support: what the steps see.
        query: what the loss is read on.
        ways: number of classes.
        rates: one tree of learning rates a step, see `learner.rates_for`; empty for no step.
        order: 1 or 2, see `learner.unroll`.
        optimizer: None for SGD.
        meta: the head's meta-learned scalars.

    Raises:
        AdaptationError: another order.
    """
    params = learner.start(adapter, support, ways, meta)
    params, _ = unroll(lambda p: learner.loss(p, support), params, rates, order, optimizer)
    return learner.loss(params, query)


def _no_start(*_: Any, **__: Any) -> Params:
    raise AssertionError("a step makes no head")


@lru_cache(maxsize=16)
def _compiled_step(learner: Learner, optimizer: Optimizer) -> Callable[..., tuple[Tree, Any, mx.array]]:
    """One gradient step as a compiled function; everything that changes is an argument of it."""

    def step(params: Tree, state: Any, rates: Tree, support: Examples) -> tuple[Tree, Any, mx.array]:
        loss, grads = mx.value_and_grad(learner.loss)(params, support)
        params, state = optimizer.update(params, grads, rates, state)
        return params, state, loss

    return mx.compile(step)


def _check_loss(loss: mx.array, taken: int, name: str) -> None:
    if not math.isfinite(float(loss)):
        raise _not_a_number(f"the support loss is {float(loss)}", taken, name)


def _check_params(params: Tree, taken: int, name: str) -> None:
    """The last step can leave the numbers too, or the start without any, and no support loss is read after it."""
    leaves: Any = utils.tree_flatten(params)
    finite = [(path, mx.all(mx.isfinite(leaf))) for path, leaf in leaves]
    mx.eval(finite)
    broken = [path for path, sound in finite if not sound.item()]
    if broken:
        raise _not_a_number(f"{broken[0]} is not finite", taken, name)


def _not_a_number(what: str, taken: int, name: str) -> AdaptationError:
    where = f"episode {name}: " if name else ""
    return AdaptationError(
        f"{where}{what} after {taken} gradient steps\n  lower the learning rates, or look at the episode's texts"
    )
