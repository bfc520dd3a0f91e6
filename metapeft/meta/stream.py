"""Which episode comes when: families alike, tasks alike within a family, sizes by chance; all by its number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from metapeft.episodes.curriculum import Curriculum
from metapeft.episodes.episode import Episode
from metapeft.episodes.sampler import EpisodeSampler
from metapeft.episodes.tagging import TaggingSampler, eligible_types, mention_counts
from metapeft.errors import EpisodeError
from metapeft.tasks import sampling
from metapeft.tasks.distribution import TaskDistribution
from metapeft.tasks.drawing import eligible_classes, sides_of
from metapeft.tasks.pool import Pool, Ragged
from metapeft.tasks.task import Task


@dataclass(frozen=True)
class Sizes:
    """Sizes of meta-training episodes.

    Attributes:
        ways: (least, most) classes, uniform; a task with fewer gives all it has.
        shots: support examples a class, one of these, all equally likely.
        query: query examples a class, or what the task can give.
    """

    ways: tuple[int, int] = (2, 8)
    shots: tuple[int, ...] = (1, 2, 5, 10)
    query: int = 8


class EpisodeStream:
    """Episodes by number, from tasks weighted so that a large family does not drown the rest.

    Args:
        tasks: of any kind.
        sizes: of the episodes.
        seed: another seed, other episodes.
        curriculum: admits tasks and shots by step; None: all tasks and the shots of `sizes`.
        max_tokens: longer texts are cut here.

    Raises:
        EpisodeError: no task, or one that cannot give an episode of two classes with one support and one query
            example each (without classes: of one support and one query example).
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        sizes: Sizes = Sizes(),  # noqa: B008  frozen
        *,
        seed: int = 0,
        curriculum: Curriculum | None = None,
        max_tokens: int | None = None,
    ):
        self.tasks, self.sizes, self.curriculum, self.max_tokens = list(tasks), sizes, curriculum, max_tokens
        if not self.tasks:
            raise EpisodeError("there is no task to draw episodes from")
        for task in self.tasks:
            sampler_of(task, 2, min(sizes.shots), sizes.query, max_tokens)
        self._seed, self._key = seed, sampling.key_of("stream", seed)

    def episode(self, index: int, step: int | None = None) -> tuple[Episode, Task]:
        """The episode with this number, and its task.

        Args:
            index: its number.
            step: outer step, for the curriculum; None: past its end.
        """
        state = sampling.fold(self._key, index)

        def pick(stream: int, count: int) -> int:
            return int(sampling.below(sampling.fold(state, stream), count)[0])

        tasks, shots = self.tasks, list(self.sizes.shots)
        if self.curriculum is not None:
            stage = self.curriculum.at(2**31 if step is None else step)
            tasks, low, high = stage.select(tasks), *stage.shots
            shots = [s for s in shots if low <= s <= high] or [low]
            if not tasks:
                raise EpisodeError(f"curriculum stage '{stage.name}' admits none of the {len(self.tasks)} tasks")
        families = list(dict.fromkeys(task.config.task_family for task in tasks))
        family = families[pick(sampling.TASK, len(families))]
        own = [task for task in tasks if task.config.task_family == family]
        task = own[pick(sampling.SUPPORT, len(own))]
        k = shots[pick(sampling.SHOTS, len(shots))]
        low, high = self.sizes.ways
        ways = low + pick(sampling.WAYS, high - low + 1)
        return sampler_of(task, ways, k, self.sizes.query, self.max_tokens, self._seed).episode(index), task


@lru_cache(maxsize=4096)
def sampler_of(
    task: Task, ways: int, shots: int, query: int, max_tokens: int | None = None, seed: int = 0
) -> EpisodeSampler | TaggingSampler:
    """The sampler of the largest episodes up to these sizes that a task can give.

    Classes come first, then shots, then query examples.

    Args:
        task: with classes or tags.
        ways: classes of an episode, or types of entities.
        shots: support examples of a class, or mentions of a type; without classes, of the episode.
        query: query examples a class, or sentences a type; without classes, of the episode.
        max_tokens: longer texts are cut here.
        seed: of the sampler.

    Raises:
        EpisodeError: it cannot give two classes with one support and one query example each.
    """
    if task.kind == "tagging":
        return _tagging_sampler(task, ways, shots, query, max_tokens, seed)
    sides = sides_of(task)
    only = TaskDistribution([task], suite_hash=_stable_hash(task))
    if not task.has_classes:
        k = min(shots, len(task.support) - task.one_pool)
        q = min(query, len(task.query) - k * task.one_pool)
        return EpisodeSampler(only, k, q, seed=seed, max_tokens=max_tokens)
    for w in range(min(ways, sides.classes), 1, -1):
        for k in range(shots, 0, -1):
            for q in range(query, 0, -1):
                if len(eligible_classes(sides, k, q)) >= w:
                    return EpisodeSampler(only, k, w * q, n_way=w, seed=seed, max_tokens=max_tokens)
    raise EpisodeError(
        f"task '{task.config.task_id}': no two of its {sides.classes} classes have a support and a query example each"
    )


def _tagging_sampler(
    task: Task, ways: int, shots: int, query: int, max_tokens: int | None, seed: int
) -> TaggingSampler:
    counts = mention_counts(task.support, task.config.num_classes, max_tokens)
    asked = counts if task.one_pool else mention_counts(task.query, task.config.num_classes, max_tokens)
    for k in range(shots, 0, -1):
        w = min(ways, len(eligible_types(task, k, counts, asked)))
        spare = len(task.query) - (w * k if task.one_pool else 0)
        if w and (w == min(ways, task.config.num_classes) or k == 1):
            q = max(1, min(w * query, spare))
            return TaggingSampler(task, k, q, n_way=w, seed=seed, max_tokens=max_tokens)
    raise EpisodeError(f"task '{task.config.task_id}': no type has a mention in its support and its query pool each")


def _stable_hash(task: Task) -> str:
    """Stands for a task's data in its sampler's key: its description and the sizes of its pools, cheap to have."""
    config = task.config
    return f"{config.task_id} {config.task_family} {config.num_classes} {len(task.support)} {len(task.query)}"


def split_tasks(tasks: Sequence[Task], names: Iterable[str]) -> tuple[list[Task], list[Task]]:
    """Tasks whose id or family is named, and the rest.

    Raises:
        EpisodeError: a name is neither a task nor a family; it lists the families.
    """
    names = list(names)
    ids = {task.config.task_id for task in tasks}
    families = {task.config.task_family for task in tasks}
    unknown = [name for name in names if name not in ids | families]
    if unknown:
        raise EpisodeError(
            f"'{unknown[0]}' is neither a task nor a family here. Families: {', '.join(sorted(families))}"
        )
    named = [t for t in tasks if t.config.task_id in names or t.config.task_family in names]
    return named, [t for t in tasks if t not in named]


def limited(task: Task, rows: int) -> Task:
    """The task with at most about `rows` rows in each pool, as even over classes as they allow; the choice is hashed.

    Meta-training meets a task some hundred times: a bounded pool lets the frozen layers see each text once.
    """

    def chosen(pool: Pool, side: str) -> np.ndarray:
        if len(pool) <= rows:
            return np.arange(len(pool))
        order = np.argsort(sampling.fold(sampling.key_of("limited", side, 0), np.arange(len(pool))), kind="stable")
        if isinstance(pool.y, Ragged):
            return np.sort(order[:rows])
        place = np.empty(len(pool), np.int64)  # a row's place among the rows of its class
        for label in np.unique(pool.y):
            own = order[pool.y[order] == label]
            place[own] = np.arange(len(own))
        return np.sort(np.lexsort((np.argsort(order), place))[:rows])

    return with_rows(task, chosen(task.support, "support"), None if task.one_pool else chosen(task.query, "query"))


def too_long(task: Task, max_tokens: int | None) -> tuple[int, int]:
    """How many rows of words or of prompts and targets are cut at so many tokens, and how many mentions lie beyond."""
    if task.kind not in ("tagging", "generation") or max_tokens is None:
        return 0, 0
    pools = [task.support] if task.one_pool else [task.support, task.query]
    if task.kind == "generation":
        lengths = [np.maximum(pool.x.lengths(), pool.y.lengths()) for pool in pools]  # type: ignore[union-attr]
        return sum(int(np.count_nonzero(each > max_tokens)) for each in lengths), 0
    cut = sum(np.count_nonzero(pool.x.lengths() > max_tokens) for pool in pools if isinstance(pool.x, Ragged))
    types = task.config.num_classes
    lost = sum(mention_counts(pool, types).sum() - mention_counts(pool, types, max_tokens).sum() for pool in pools)
    return int(cut), int(lost)


def with_rows(task: Task, support: np.ndarray, query: np.ndarray | None) -> Task:
    """The task with these rows of its pools alone, ascending; `query` is None where it has one pool."""

    def cut(pool: Pool, kept: np.ndarray) -> Pool:
        if len(kept) == len(pool):
            return pool
        x, y = (_rows(part, kept) for part in (pool.x, pool.y))
        return Pool(pool.kind, x, y, kept if pool.rows is None else pool.rows[kept])

    first = cut(task.support, support)
    second = None if query is None else cut(task.query, query)
    config = replace(task.config, support_size=len(first), query_size=len(second if second is not None else first))
    return Task(config, first, second, task.labels, task.language, task.noise, task.pad_id, task.names)


def _rows(part: Ragged | np.ndarray, kept: np.ndarray) -> Ragged | np.ndarray:
    if not isinstance(part, Ragged):
        return part[kept]
    values = np.concatenate([np.zeros(0, np.int32), *(part.row(int(row)) for row in kept)])
    return Ragged(values, np.concatenate([[0], np.cumsum(part.lengths()[kept])]))
