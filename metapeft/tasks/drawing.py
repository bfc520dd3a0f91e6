"""Drawing the rows of episodes from tasks: index sampling that knows tasks and their errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metapeft.errors import EpisodeError
from metapeft.tasks import sampling
from metapeft.tasks.sampling import ClassRows
from metapeft.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Sides:
    """Where the two sets of an episode come from.

    Attributes:
        support_task: task that gives the support set.
        query_task: task that gives the query set; the same one but for domain shift.
        support: support rows by class.
        query: query rows by class; the classes of both stand in one order.
        class_ids: original ids of these classes (in `support_task`), ``(c,)``; empty where the task has no classes.
        one_pool: both sets are cut from one pool.
    """

    support_task: Task
    query_task: Task
    support: ClassRows
    query: ClassRows
    class_ids: np.ndarray
    one_pool: bool

    @property
    def name(self) -> str:
        """The task's id; of a domain-shift pair ``support->query``."""
        first, second = self.support_task.config.task_id, self.query_task.config.task_id
        return first if first == second else f"{first}->{second}"

    @property
    def has_classes(self) -> bool:
        """Whether there are classes to draw episodes by."""
        return len(self.class_ids) > 0

    @property
    def classes(self) -> int:
        """How many classes there are to choose from; 1 where the task has none (all rows are one class)."""
        return len(self.support.starts) - 1


def sides_of(task: Task) -> Sides:
    """Both sets from one task."""
    ids = np.arange(task.config.num_classes if task.has_classes else 0)
    return Sides(task, task, task.support_rows, task.query_rows, ids, task.one_pool)


@dataclass(frozen=True, eq=False)
class Draws:
    """Row ids of a batch of episodes of one task.

    Attributes:
        index: the episodes, ``(e,)`` int64.
        classes: original class ids ``(e, w)`` int64, padded by -1; a place is a label. ``(e, 0)`` without classes.
        support: support row ids ``(e, w, k)`` int64, padded by -1.
        query: query row ids ``(e, w, q)`` int64, padded by -1.
    """

    index: np.ndarray
    classes: np.ndarray
    support: np.ndarray
    query: np.ndarray


def eligible_classes(sides: Sides, shots: int, queries: int) -> np.ndarray:
    """Places of the classes with at least `shots` support rows and `queries` query rows, ``(c,)`` int64.

    With one pool a class needs both together.
    """
    if sides.one_pool:
        enough = sides.support.sizes >= shots + queries
    else:
        enough = (sides.support.sizes >= shots) & (sides.query.sizes >= queries)
    return np.flatnonzero(enough)


def check_enough(sides: Sides, ways: int, shots: int, query_size: int) -> np.ndarray:
    """The eligible classes of an episode, where there are enough of them.

    Args:
        sides: where the rows come from.
        ways: classes the episode needs.
        shots: support rows each of them needs.
        query_size: query rows of the whole episode; a class needs its share, rounded up.

    Raises:
        EpisodeError: fewer classes than `ways`; names the task, the need and what there is.
    """
    share = -(-query_size // ways)
    eligible = eligible_classes(sides, shots, share)
    if len(eligible) >= ways:
        return eligible
    pools = "in one pool" if sides.one_pool else "in its own pool"
    if not sides.has_classes:
        support, query = int(sides.support.sizes[0]), int(sides.query.sizes[0])
        raise EpisodeError(
            f"task '{sides.name}': an episode needs {shots} support and {share} query rows, each {pools}; "
            f"there are {support} and {query}. Ask for fewer shots or a smaller query set"
        )
    raise EpisodeError(
        f"task '{sides.name}': an episode needs {ways} classes with at least {shots} support and {share} query rows "
        f"each ({pools}); {len(eligible)} of its {sides.classes} classes have them. "
        "Ask for fewer ways, fewer shots or a smaller query set"
    )


def pick_classes(sides: Sides, state: np.ndarray, ways: np.ndarray, shots: np.ndarray, query_size: int) -> np.ndarray:
    """Choose the classes of each episode among those with enough rows for it.

    Support: for each episode, every ordered choice of distinct eligible classes, all equally likely.

    Args:
        sides: where the rows come from.
        state: episode states ``(e,)`` uint64.
        ways: classes of each episode ``(e,)``.
        shots: support rows each of its classes must have ``(e,)``.
        query_size: query rows of a whole episode.

    Returns:
        Places of the classes ``(e, max(ways))`` int64, padded by -1.

    Raises:
        EpisodeError: a task has too few such classes.
    """
    out = np.full((len(state), int(ways.max(initial=0))), -1, np.int64)
    needs = (ways << 32) | shots
    for need in np.unique(needs):  # few: one for fixed ways and shots
        mine = needs == need
        number, least = int(need) >> 32, int(need) & 0xFFFFFFFF
        eligible = check_enough(sides, number, least, query_size)
        out[mine, :number] = sampling.choose_classes(state[mine], eligible, ways[mine])
    return out


def rows_to_spare(sides: Sides, classes: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Support rows each chosen class can give, ``(e, w)``; with one pool, what its query rows leave over."""
    sizes = np.where(classes < 0, 0, sides.support.sizes[classes])
    return sizes - queries if sides.one_pool else sizes


def draw(
    sides: Sides, index: np.ndarray, state: np.ndarray, classes: np.ndarray, shots: np.ndarray, queries: np.ndarray
) -> Draws:
    """Choose the rows of each episode; support and query never share one.

    Args:
        sides: where the rows come from.
        index: the episodes ``(e,)``.
        state: their states ``(e,)`` uint64.
        classes: places of their classes ``(e, w)``, padded by -1.
        shots: support rows of each class ``(e, w)``.
        queries: query rows of each class ``(e, w)``.
    """
    own = sampling.fold(state, sampling.SUPPORT)
    if sides.one_pool:
        support, query = sampling.split_rows(own, sides.support, classes, shots, queries)
    else:
        support = sampling.choose_rows(own, sides.support, classes, shots)
        query = sampling.choose_rows(sampling.fold(state, sampling.QUERY), sides.query, classes, queries)
    ids = np.where(classes < 0, -1, sides.class_ids[classes]) if sides.has_classes else classes[:, :0]
    return Draws(index, ids, support, query)


def in_blocks(make: Callable[[np.ndarray], Draws], index: np.ndarray, block: int = 1024) -> Draws:
    """Draw many episodes a block at a time, which keeps the arrays in the cache; the result is that of one call."""
    parts = [make(index[at : at + block]) for at in range(0, max(len(index), 1), block)]
    return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: list[Draws]) -> Draws:
    def join(arrays: list[np.ndarray]) -> np.ndarray:
        shape = np.max([array.shape[1:] for array in arrays], axis=0)
        missing = [[(0, 0), *((0, n - m) for n, m in zip(shape, array.shape[1:], strict=True))] for array in arrays]
        widened = [np.pad(a, m, constant_values=-1) if np.any(m) else a for a, m in zip(arrays, missing, strict=True)]
        return np.concatenate(widened)

    index = np.concatenate([part.index for part in parts])
    return Draws(index, *(join([getattr(part, name) for part in parts]) for name in ("classes", "support", "query")))
