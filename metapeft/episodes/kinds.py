"""The kinds of episodes: how many support examples a class has, and which task each set comes from.

Plain functions. Each takes the states of its episodes, so it is as pure as the sampler.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metapeft.errors import EpisodeError
from metapeft.tasks.drawing import Sides, sides_of
from metapeft.tasks.sampling import IMBALANCE, SHOTS, WAYS, below, fold, sample_without_replacement
from metapeft.tasks.task import Task

KINDS = ("standard", "variable-shot", "imbalanced", "domain-shift")


def uniform_ways(state: np.ndarray, low: int, high: int) -> np.ndarray:
    """Classes of each episode ``(e,)`` int64, uniform in ``low .. high``."""
    return low + below(fold(state, WAYS), high - low + 1)


def uniform_shots(state: np.ndarray, low: int, high: int) -> np.ndarray:
    """Support examples a class of each episode ``(e,)`` int64, uniform in ``low .. high``."""
    return low + below(fold(state, SHOTS), high - low + 1)


def equal_counts(ways: np.ndarray, shots: np.ndarray) -> np.ndarray:
    """The same number of support examples for each class of an episode, ``(e, max(ways))`` int64."""
    return np.where(np.arange(int(ways.max(initial=0))) < ways[:, None], shots[:, None], 0)


def imbalanced_counts(state: np.ndarray, ways: np.ndarray, shots: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Uneven numbers of support examples with the total of an even episode.

    Support: every way to write ``ways * shots`` as an ordered sum of `ways` positive numbers, all equally likely
    (stars and bars). Where a class has fewer rows than its number, what is over goes to the first labels with room.

    Args:
        state: episode states ``(e,)`` uint64.
        ways: classes of each episode ``(e,)``.
        shots: mean number a class ``(e,)``, at least 1.
        room: rows each class can give ``(e, w)``, ``w = max(ways)``, at least `shots` for each class of the episode.

    Returns:
        ``(e, w)`` int64; a row's sum is ``ways * shots``, and each class of the episode has at least 1.
    """
    total = (ways * shots)[:, None]
    cuts = sample_without_replacement(fold(state, IMBALANCE), total[:, 0] - 1, ways - 1)
    cuts = np.sort(np.where(cuts < 0, total, cuts + 1), axis=1)
    counts = np.diff(np.concatenate([np.zeros_like(total), cuts, total], axis=1), axis=1)
    over = np.maximum(counts - room, 0).sum(axis=1)
    counts = np.minimum(counts, room)
    for column in range(counts.shape[1]):
        given = np.minimum(room[:, column] - counts[:, column], over)
        counts[:, column] += given
        over -= given
    return counts


def domain_shift(support_task: Task, query_task: Task) -> Sides:
    """Support set from one task, query set from another, with the classes aligned by label name.

    Classes are those whose names both tasks have, in the support task's order.

    Raises:
        EpisodeError: a task has no classes, they are of unlike kinds, or they share fewer than two label names.
    """
    where = f"domain shift {support_task.config.task_id} -> {query_task.config.task_id}"
    if not support_task.has_classes or support_task.kind != query_task.kind:
        had = f"{support_task.kind} and {query_task.kind}"
        raise EpisodeError(f"{where}: both must be classification or both points, got {had}")
    if support_task is query_task:
        raise EpisodeError(f"{where}: the two tasks must differ")
    shared = [name for name in support_task.labels if name in query_task.labels]
    if len(shared) < 2:
        raise EpisodeError(
            f"{where}: they share {len(shared)} label names, at least 2 are needed. "
            f"Labels: {', '.join(support_task.labels[:10])}; and {', '.join(query_task.labels[:10])}"
        )
    support_ids = np.array([support_task.labels.index(name) for name in shared])
    query_ids = np.array([query_task.labels.index(name) for name in shared])
    return replace(
        sides_of(support_task),
        query_task=query_task,
        support=support_task.support_rows.take(support_ids),
        query=query_task.query_rows.take(query_ids),
        class_ids=support_ids,
        one_pool=False,
    )
