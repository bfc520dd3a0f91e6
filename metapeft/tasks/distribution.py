"""Tasks to sample from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from metapeft.errors import EpisodeError, did_you_mean
from metapeft.mlx_arrays import to_mlx
from metapeft.tasks import drawing, sampling
from metapeft.tasks.config import TaskConfig, TaskError
from metapeft.tasks.features import VECTOR_DIMS, feature_vector
from metapeft.tasks.padding import gather_x, gather_y
from metapeft.tasks.pool import Ragged
from metapeft.tasks.task import Task

if TYPE_CHECKING:
    import mlx.core as mx

EMBEDDING_DIMS = 128
FARTHEST = 5.0  # standardized features are cut here: a task far outside must not hide its other features


class TaskDistribution:
    """A uniform distribution over tasks.

    Args:
        task_configs: tasks, or descriptions of tasks that make their own points.
        seed: which sequence `sample_task` and `sample_episode` follow.
        suite_hash: digest of the suite the tasks come from; it stands for their data in `fingerprint`.

    Raises:
        TaskError: there are no tasks, or two have one id.
    """

    def __init__(self, task_configs: Iterable[TaskConfig | Task], *, seed: int = 0, suite_hash: str | None = None):
        self.tasks = [task if isinstance(task, Task) else Task(task) for task in task_configs]
        self.seed = seed
        self.suite_hash = suite_hash
        self._by_id = {task.config.task_id: task for task in self.tasks}
        self._sampled_tasks, self._sampled_episodes = 0, 0
        if not self.tasks:
            raise TaskError("a task distribution needs at least one task")
        if len(self._by_id) < len(self.tasks):
            ids = [task.config.task_id for task in self.tasks]
            twice = next(task_id for task_id in ids if ids.count(task_id) > 1)
            raise TaskError(f"two tasks of a distribution have the id '{twice}'")

    def __len__(self) -> int:
        return len(self.tasks)

    def task(self, task_id: str) -> Task:
        """The task with this id.

        Raises:
            TaskError: there is none; the message has the nearest id.
        """
        if task_id not in self._by_id:
            raise TaskError(f"the distribution has no task '{task_id}'.{did_you_mean(task_id, self._by_id)}")
        return self._by_id[task_id]

    def filter(self, predicate: Callable[[Task], bool]) -> TaskDistribution:
        """The tasks for which `predicate` is true.

        Raises:
            TaskError: it is true for none.
        """
        kept = [task for task in self.tasks if predicate(task)]
        if not kept:
            raise TaskError(f"none of the {len(self.tasks)} tasks is left after filtering")
        return TaskDistribution(kept, seed=self.seed, suite_hash=self.suite_hash)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the tasks and their order: by suite and id where they come from a suite, else by their data."""
        digest = hashlib.sha256()
        for task in self.tasks:
            if self.suite_hash is not None:
                digest.update(f"{self.suite_hash}\0{task.config.task_id}\0".encode())
            else:
                _hash_task(digest, task)
        return digest.hexdigest()

    def sample_task(self) -> Task:
        """A task at random, all equally likely; the sequence is the same in every process."""
        state = sampling.fold(sampling.key_of("sample_task", self.seed), self._sampled_tasks)
        self._sampled_tasks += 1
        return self.tasks[int(sampling.below(state, len(self.tasks))[0])]

    def sample_episode(self, support_size: int, query_size: int) -> tuple[mx.array, mx.array, mx.array, mx.array]:
        """Sample a task, and from it a support set and a query set that share no row.

        All classes of the task take part, or `support_size` of them at random where it has more. Label ids are
        shuffled. The sequence of episodes is the same in every process.

        Args:
            support_size: examples of the whole support set, spread over its classes as evenly as possible.
            query_size: examples of the whole query set, spread likewise.

        Returns:
            support_x, support_y, query_x, query_y: points float32 ``(n, input_dim)`` or tokens int32
            ``(n, length)``; labels int32 ``(n,)``, or tags or target tokens int32 ``(n, length)``.

        Raises:
            EpisodeError: a size is not positive, or the task has too few rows.
        """
        if support_size < 1 or query_size < 1:
            raise EpisodeError(f"sizes must be at least 1, got support_size={support_size}, query_size={query_size}")
        state = sampling.fold(sampling.key_of(self.fingerprint, self.seed), self._sampled_episodes)
        index = np.array([self._sampled_episodes])
        self._sampled_episodes += 1
        task = self.tasks[int(sampling.below(sampling.fold(state, sampling.TASK), len(self.tasks))[0])]
        sides = drawing.sides_of(task)
        ways = np.array([min(sides.classes, support_size)])
        shots = sampling.spread(support_size, ways)
        classes = drawing.pick_classes(sides, state, ways, shots.max(axis=1), query_size)
        draws = drawing.draw(sides, index, state, classes, shots, sampling.spread(query_size, ways))
        out = []
        for pool, chosen, stream in (
            (task.support, draws.support, sampling.SUPPORT_ORDER),
            (task.query, draws.query, sampling.QUERY_ORDER),
        ):
            rows, labels = (a[0] for a in sampling.in_hashed_order(sampling.fold(state, stream), chosen))
            rows, labels = rows[rows >= 0], labels[rows >= 0]
            out += [to_mlx(gather_x(pool, rows, task.pad_id)[0]), to_mlx(gather_y(pool, rows, labels))]
        return out[0], out[1], out[2], out[3]

    def get_task_embedding(self, task: Task) -> mx.array:
        """Handcrafted features standardized over this distribution, ``(128,)`` float32 of unit norm, padded by zeros.

        One coordinate is constant before scaling, so that a task at the mean has a direction too.
        """
        mean, spread = self._feature_scale
        z = (feature_vector(task.compute_task_features()) - mean) / spread
        out = np.zeros(EMBEDDING_DIMS)
        out[:VECTOR_DIMS] = np.clip(z, -FARTHEST, FARTHEST)
        out[VECTOR_DIMS] = 1.0
        return to_mlx((out / np.linalg.norm(out)).astype(np.float32))

    @cached_property
    def _feature_scale(self) -> tuple[np.ndarray, np.ndarray]:
        vectors = np.stack([feature_vector(task.compute_task_features()) for task in self.tasks])
        spread = vectors.std(axis=0)
        return vectors.mean(axis=0), np.where(spread > 1e-6, spread, 1.0)  # what never varies only shifts


def _hash_task(digest: hashlib._Hash, task: Task) -> None:
    about = (task.config, task.kind, task.labels, task.language, task.pad_id, task.one_pool, task.pattern)
    digest.update(repr(about).encode())
    if task.pattern is not None:
        return  # the pattern says all about the points
    for pool in (task.support,) if task.one_pool else (task.support, task.query):
        for part in (pool.x, pool.y):
            arrays = (part.values, part.offsets) if isinstance(part, Ragged) else (part,)
            for array in arrays:
                digest.update(f"{array.dtype.str}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
