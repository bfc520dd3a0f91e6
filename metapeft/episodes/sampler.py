"""Episodes from a task distribution, by number."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from metapeft.episodes import kinds
from metapeft.episodes.episode import Episode, assemble
from metapeft.errors import EpisodeError, did_you_mean
from metapeft.tasks import drawing, sampling
from metapeft.tasks.distribution import TaskDistribution
from metapeft.tasks.drawing import Draws, Sides

Ways = int | tuple[int, int] | None


class EpisodeSampler:
    """Rebuild any episode from its number.

    `episode(index)` depends on the distribution's fingerprint, on `seed` and on these settings, and on nothing else:
    any process can rebuild any episode, and resuming or sharding needs no state. Tasks are equally likely. Samplers
    that differ only in shots, query size or kind meet the same tasks in the same order (domain shift: pairs).

    Args:
        task_distribution: the tasks.
        k_shot: support examples a class; without classes (tagging, generation), of the whole support set.
        query_size: query examples of the whole episode, spread over its classes as evenly as possible.
        n_way: classes of an episode: None for all of the task, a number, or (least, most) for a number that is uniform
            between them (a task with fewer classes than `most` gives at most those it has).
        seed: another seed, other episodes.
        kind: ``standard``: `k_shot` a class. ``variable-shot``: shots uniform in `shot_range`, the same for all
            classes of an episode. ``imbalanced``: uneven shots, ``ways * k_shot`` in all, at least one a class.
            ``domain-shift``: support set from one task of a pair, query set from the other.
        shot_range: (least, most) for ``variable-shot``.
        pairs: (support task id, query task id) for ``domain-shift``.
        max_tokens: longer texts are cut here.

    Raises:
        EpisodeError: a setting is wrong, or a task cannot give an episode of every size the settings allow.
    """

    def __init__(
        self,
        task_distribution: TaskDistribution,
        k_shot: int = 5,
        query_size: int = 50,
        *,
        n_way: Ways = None,
        seed: int = 0,
        kind: str = "standard",
        shot_range: tuple[int, int] = (1, 20),
        pairs: Iterable[tuple[str, str]] = (),
        max_tokens: int | None = None,
    ):
        self.k_shot, self.query_size = k_shot, query_size
        self.n_way = n_way if n_way is None or isinstance(n_way, int) else (n_way[0], n_way[1])
        self.seed, self.kind, self.shot_range, self.max_tokens = seed, kind, shot_range, max_tokens
        pairs = list(pairs)
        self._check_settings(pairs)
        self._key = sampling.key_of(task_distribution.fingerprint, seed)
        self._cursor = 0
        if kind == "domain-shift":
            find = task_distribution.task
            self._sides = [kinds.domain_shift(find(support), find(query)) for support, query in pairs]
        else:
            self._sides = [drawing.sides_of(task) for task in task_distribution.tasks]
        for sides in self._sides:
            low, high = self._ways_of(sides)
            for ways in range(low, high + 1):  # now, not at step four thousand
                drawing.check_enough(sides, ways, self._shots[1], query_size)

    def episode(self, index: int) -> Episode:
        """The episode with this number (numpy arrays)."""
        return self.episodes(index, 1)[0]

    def episodes(self, first: int, count: int) -> list[Episode]:
        """Episodes ``first .. first + count - 1``: each equal to the one `episode` gives."""
        index = _numbers(first, count)
        state = sampling.fold(self._key, index)
        choice = sampling.below(sampling.fold(state, sampling.TASK), len(self._sides))
        out: dict[int, Episode] = {}
        for place in np.unique(choice):
            mine = choice == place
            draws = self._draw(self._sides[place], index[mine])
            made = assemble(self._sides[place], draws, state[mine], self.kind, self.max_tokens)
            out.update((episode.index, episode) for episode in made)
        return [out[int(i)] for i in index]

    def indices(self, first: int, count: int, task_id: str | None = None) -> Draws:
        """Row ids of episodes ``first .. first + count - 1``, were all of them of one task; no data is read.

        Args:
            first: number of the first episode.
            count: how many.
            task_id: the task (``"a->b"`` for a pair); may be left out where there is only one.

        Returns:
            Row ids class by class. An episode that `episode` draws from this task has the same rows, in random order.

        Raises:
            EpisodeError: there is no such task.
        """
        by_name = {sides.name: sides for sides in self._sides}
        if task_id is None and len(by_name) == 1:
            task_id = self._sides[0].name
        if task_id not in by_name:
            hint = did_you_mean(str(task_id), by_name)
            raise EpisodeError(f"the sampler has no task '{task_id}'.{hint} It has: {', '.join(by_name)}")
        return self._draw(by_name[task_id], _numbers(first, count))

    def sample_batch(self, batch_size: int) -> list[Episode]:
        """The next `batch_size` episodes, as `mx.array`s. The sampler keeps a cursor and nothing else."""
        batch = self.episodes(self._cursor, batch_size)
        self._cursor += batch_size
        return [episode.to_mlx() for episode in batch]

    @property
    def _shots(self) -> tuple[int, int]:
        low, high = self.shot_range if self.kind == "variable-shot" else (self.k_shot, self.k_shot)
        return low, high

    def _ways_of(self, sides: Sides) -> tuple[int, int]:
        if self.n_way is None or not sides.has_classes:
            return sides.classes, sides.classes
        low, high = (self.n_way, self.n_way) if isinstance(self.n_way, int) else self.n_way
        return low, max(low, min(high, sides.classes))  # low stays: too few classes is an error that names the task

    def _draw(self, sides: Sides, index: np.ndarray) -> Draws:
        return drawing.in_blocks(lambda block: self._draw_block(sides, block), index)

    def _draw_block(self, sides: Sides, index: np.ndarray) -> Draws:
        state = sampling.fold(self._key, index)
        ways = kinds.uniform_ways(state, *self._ways_of(sides))
        shots = kinds.uniform_shots(state, *self._shots)
        classes = drawing.pick_classes(sides, state, ways, shots, self.query_size)
        queries = sampling.spread(self.query_size, ways)
        if self.kind == "imbalanced":
            counts = kinds.imbalanced_counts(state, ways, shots, drawing.rows_to_spare(sides, classes, queries))
        else:
            counts = kinds.equal_counts(ways, shots)
        return drawing.draw(sides, index, state, classes, counts, queries)

    def _check_settings(self, pairs: list[tuple[str, str]]) -> None:
        if self.kind not in kinds.KINDS:
            hint = did_you_mean(self.kind, kinds.KINDS)
            raise EpisodeError(f"no episode kind '{self.kind}'.{hint} Known: {', '.join(kinds.KINDS)}")
        for name in ("k_shot", "query_size"):
            if getattr(self, name) < 1:
                raise EpisodeError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise EpisodeError(f"max_tokens must be at least 1, got {self.max_tokens}")
        low, high = self.n_way if isinstance(self.n_way, tuple) else (self.n_way or 2,) * 2
        if not 2 <= low <= high or self.n_way == 0:
            raise EpisodeError(f"n_way must be a number of at least 2 or (least, most), got {self.n_way}")
        low, high = self.shot_range
        if not 1 <= low <= high:
            raise EpisodeError(f"shot_range must be (least, most) with least at least 1, got {self.shot_range}")
        if bool(pairs) != (self.kind == "domain-shift"):
            raise EpisodeError("pairs of task ids and kind='domain-shift' need each other")


def _numbers(first: int, count: int) -> np.ndarray:
    if first < 0 or count < 1:
        raise EpisodeError(f"episodes are numbered from 0 and at least one is drawn, got first={first}, count={count}")
    return np.arange(first, first + count, dtype=np.int64)
