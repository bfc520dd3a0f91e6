"""The outer loop: gradients of a batch of episodes, averaged, clipped, and one Adam step on the meta-parameters.

A step is a pure function of the state and the step's number: episodes, inner steps and rates are found by number. So
a run that was killed goes on from its last checkpoint to the same numbers, and ranks need nothing but their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from metapeft.embeddings.embedder import Embedder
from metapeft.embeddings.support import SupportSet
from metapeft.episodes.episode import Episode
from metapeft.errors import AdaptationError
from metapeft.meta.learner import Tree, adam
from metapeft.meta.methods import Item, Method, Reading, Setup
from metapeft.meta.states import PoolStates
from metapeft.meta.stream import EpisodeStream
from metapeft.mlx import mx, optim, utils
from metapeft.tasks import sampling
from metapeft.tasks.task import Task

Names = Literal["never", "half", "always"]
QUICK = ("log_rates", "head", "gain")
_STEPS = 64  # which random word says how many inner steps an episode takes; the sampler's own words are below 9


@dataclass(frozen=True)
class Outer:
    """Settings of the outer loop.

    Attributes:
        steps: outer steps of the whole run; schedules end there.
        batch: episodes an outer step, over all ranks.
        learning_rate: of Adam, at its highest.
        quick: how many times as fast the branches of `QUICK` move: scales and logarithms, few numbers that must go far.
        warmup: share of the steps over which the rate rises.
        clip: largest norm of the averaged gradient.
        inner_steps: most inner steps of an episode; their number is uniform from 0 to this.
        seed: of the number of inner steps.
    """

    steps: int = 300
    batch: int = 4
    learning_rate: float = 1e-3
    quick: float = 10.0
    warmup: float = 0.05
    clip: float = 1.0
    inner_steps: int = 5
    seed: int = 0


class State(NamedTuple):
    """Everything that an outer step changes.

    Attributes:
        step: outer steps taken.
        meta: meta-parameters.
        moments: Adam's state.
    """

    step: int
    meta: Tree
    moments: Any


class Report(NamedTuple):
    """Means over the episodes of an outer step (of this rank), and what the step did.

    Attributes:
        meta_loss: what was differentiated.
        support_loss: before the first inner step.
        query_loss: after the last inner step.
        query_accuracy: after the last inner step.
        adaptation_speed: fall of the support loss an inner step, over episodes with two steps or more.
        gradient_norm: of the averaged meta-gradient, before clipping.
        tasks: different tasks in the batch.
        families: different families in the batch.
    """

    meta_loss: float
    support_loss: float
    query_loss: float
    query_accuracy: float
    adaptation_speed: float
    gradient_norm: float
    tasks: int
    families: int


def begin(meta: Tree) -> State:
    """The state before the first step.

    Branches are put in the order of their names, which is how a checkpoint gives them back: the norm of a gradient
    depends on the order of its sum, in the last bit.
    """
    meta = _sorted(meta)
    return State(0, meta, adam().init(meta))


def rate_at(outer: Outer, step: int) -> float:
    """Learning rate of a step: a straight rise, then half a cosine down to a tenth."""
    rise = max(1, round(outer.warmup * outer.steps))
    if step < rise:
        return outer.learning_rate * (step + 1) / rise
    share = min(1.0, (step - rise) / max(1, outer.steps - rise))
    return outer.learning_rate * (0.55 + 0.45 * math.cos(math.pi * share))


def inner_steps_of(outer: Outer, method: Method, index: int) -> int:
    """How many inner steps episode `index` takes, uniform from 0 to the most; 0 for methods without any."""
    if not method.steps:
        return 0
    word = sampling.fold(sampling.fold(sampling.key_of("inner steps", outer.seed), index), _STEPS)
    least = 1 if method.name == "reptile" else 0  # Reptile without a step learns nothing
    return least + int(sampling.below(word, outer.inner_steps + 1 - least)[0])


def support_set(task: Task, episode: Episode, frozen: np.ndarray, names: np.ndarray | None = None) -> SupportSet:
    """What an embedding may look at: the support set and the names of its classes, and nothing else of the task.

    Args:
        task: whose domain and language are read.
        episode: its support side.
        frozen: features of the support set's units ``(u, d)``.
        names: features of the classes' names ``(ways, d)``; None where they have none.
    """
    classes, sentences = episode.units("support")
    return SupportSet(
        frozen,
        classes,
        episode.ways,
        episode.support_x,
        episode.support_lengths,
        domain=task.config.domain,
        language=task.language,
        label_features=names,
        sentences=sentences,
    )


def items_at(
    stream: EpisodeStream,
    states: PoolStates,
    embedder: Embedder | None,
    outer: Outer,
    step: int,
    rank: int = 0,
    world: int = 1,
    *,
    unrelated: bool = False,
    names: Names = "never",
) -> list[tuple[int, Item, str]]:
    """The episodes that a rank takes at a step: number, item and family."""
    if outer.batch % world:
        raise AdaptationError(f"batch={outer.batch} cannot be shared evenly by {world} ranks")
    out = []
    for index in range(step * outer.batch + rank, (step + 1) * outer.batch, world):
        episode, task = stream.episode(index, step)
        item = item_of(episode, task, states, embedder, names=_with_names(names, outer, index))
        if unrelated:
            # the next episode's support set, whoever takes it: what a rank computes may not hang on how many there are
            place = (index + 1) % outer.batch + step * outer.batch
            other, other_task = stream.episode(place, step)
            if other.task_id != episode.task_id:
                rows = other.support_rows[:16]
                item = item._replace(unrelated=states.examples(other_task, "support", rows, np.zeros(len(rows))).hidden)
        out.append((index, item, episode.family))
    return out


def _with_names(names: Names, outer: Outer, index: int) -> bool:
    """Whether the head of episode `index` knows the classes' names."""
    if names == "half":
        return int(sampling.below(sampling.fold(sampling.key_of("names", outer.seed), index), 2)[0]) == 1
    return names == "always"


def item_of(
    episode: Episode, task: Task, states: PoolStates, embedder: Embedder | None, *, names: bool = False
) -> Item:
    """An episode as a gradient takes it; with `names`, those of its classes too, where the task has them."""
    support, query = states.episode(episode, task)
    embedding = np.zeros(0, np.float32)
    if embedder is not None:
        named = names_for(embedder.blocks, task, episode, states)
        frozen = states.features(task, "support", episode.support_rows)
        embedding = embedder.embed(support_set(task, episode, frozen, named))
    return Item(
        support,
        query,
        episode.ways,
        mx.array(embedding),
        mx.array(rows_of_classes(episode)),
        episode.task_id,
        names=states.names(task, episode.classes) if names else None,
    )


def rows_of_classes(episode: Episode) -> np.ndarray:
    """Which rows of its task's own linear head an episode reads, int32 ``(ways,)``: in tagging the first is outside."""
    classes = episode.classes.astype(np.int32)
    return classes if episode.ways == len(classes) else np.concatenate([np.zeros(1, np.int32), classes + 1])


def names_for(blocks: Sequence[str], task: Task, episode: Episode, states: PoolStates) -> np.ndarray | None:
    """Features of the classes' names ``(ways, d)``, where an embedding of these blocks reads them and there are any."""
    if "text" not in blocks or task.names is None:
        return None
    return states.features(task, "names", episode.classes)


def outer_step(
    state: State,
    method: Method,
    setup: Setup,
    outer: Outer,
    items: Sequence[tuple[int, Item, str]],
    average: Any = None,
) -> tuple[State, Report]:
    """Take one step.

    Args:
        state: before it.
        method: how an episode's gradient is had.
        setup: what stays.
        outer: settings.
        items: this rank's episodes.
        average: averages a tree over the ranks; None for one rank.

    Returns:
        The state after it, and what happened.

    Raises:
        AdaptationError: a loss is not a number; it names the episode.
    """
    total: Tree | None = None
    readings: list[tuple[Reading, int]] = []
    for index, item, _ in items:
        steps = inner_steps_of(outer, method, index)
        reading, grads = method.gradient(setup, state.meta, item, steps)
        total = grads if total is None else utils.tree_map(mx.add, total, grads)
        mx.eval(total, reading)
        if not math.isfinite(float(reading.loss)):
            raise AdaptationError(
                f"outer step {state.step}: the loss of episode {index} of task '{item.task_id}' is "
                f"{float(reading.loss)} after {steps} inner steps\n  lower learning_rate or inner_rate"
            )
        readings.append((reading, steps))
    assert total is not None
    mean = utils.tree_map(lambda g: g / len(items), total)
    if average is not None:
        mean = average(mean)
    mean = {name: mean[name] if name in method.learns else utils.tree_map(mx.zeros_like, mean[name]) for name in mean}
    clipped, norm = optim.clip_grad_norm(mean, outer.clip)
    rate = rate_at(outer, state.step)
    rates = {name: _rates(branch, rate, outer.quick, name in QUICK) for name, branch in state.meta.items()}
    meta, moments = adam().update(state.meta, clipped, rates, state.moments)
    mx.eval(meta, moments, norm)
    falls = [(float(r.support_loss) - float(r.last_support_loss)) / (steps - 1) for r, steps in readings if steps > 1]
    means = np.mean([[float(r.loss), *map(float, r[1:4])] for r, _ in readings], axis=0)
    report = Report(
        float(means[0]),
        float(means[1]),
        float(means[2]),
        float(means[3]),
        float(np.mean(falls)) if falls else 0.0,
        float(norm),
        len({item.task_id for _, item, _ in items}),
        len({family for _, _, family in items}),
    )
    return State(state.step + 1, meta, moments), report


def _rates(branch: Any, rate: float, quick: float, is_quick: bool) -> Any:
    """A learning rate for each array of a branch of the meta-parameters."""
    if isinstance(branch, dict):
        return {key: _rates(node, rate, quick, is_quick or key in QUICK) for key, node in branch.items()}
    return mx.array(rate * quick if is_quick else rate)


def _sorted(tree: Any) -> Any:
    return {key: _sorted(tree[key]) for key in sorted(tree)} if isinstance(tree, dict) else tree


def with_classes(meta: Tree, method: Method, tasks: Sequence[Task], width: int, key: mx.array) -> Tree:
    """Meta-parameters with a linear head for each task, where the method learns them and the tasks have classes."""
    if "classes" not in method.learns or tasks[0].kind == "generation":
        return meta
    keys = mx.random.split(key, len(tasks))
    heads = {
        task.config.task_id: mx.random.normal((task.classes_of_units, width), key=k) / math.sqrt(width)
        for task, k in zip(tasks, keys, strict=True)
    }
    return {**meta, "classes": heads}
