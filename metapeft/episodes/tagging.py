"""Episodes of sequence labelling: support sets by mentions of each entity type, or by sentences."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from metapeft.episodes.episode import Episode
from metapeft.errors import EpisodeError
from metapeft.tasks import sampling
from metapeft.tasks.padding import gather_x, gather_y
from metapeft.tasks.pool import Pool
from metapeft.tasks.tags import mentions_of_tags, renumbered, sentence_of, word_tags
from metapeft.tasks.task import Task

By = Literal["mentions", "sentences"]


class TaggingSampler:
    """Rebuild any tagging episode from its number: a pure function of the task, `seed` and these settings.

    By mentions: types are drawn, then sentences until every type has `k_shot` mentions, and none more than twice as
    many where the sentences allow it: N-way K~2K (Ding et al., "Few-NERD", 2021). Mentions of other types are O, as
    they are where a type is new. (Few-NERD leaves such sentences out: a task with many types and a hundred sentences
    would have no episode.)

    By sentences: `k_shot` sentences as they come, with all their types. A type that the support set lacks keeps its
    mentions in the query set, under a number past those of the episode's types: nobody can find them, and they count.

    Query sentences come as they are, those without a mention too; by mentions the first ones have each type once.

    Args:
        task: of kind ``tagging``.
        k_shot: mentions of a type, or sentences of the support set.
        query_size: sentences of the query set.
        n_way: types of an episode by mentions; None for all that can be drawn.
        seed: another seed, other episodes.
        by: see above.
        max_tokens: longer sentences are cut here, with the mentions that lie beyond.

    Attributes:
        ways: types of an episode by mentions; the task's types by sentences.
        eligible: types with enough mentions, by mentions; int64.

    Raises:
        EpisodeError: a setting is below 1, the task is of another kind, or it cannot give such an episode.
    """

    def __init__(
        self,
        task: Task,
        k_shot: int,
        query_size: int,
        *,
        n_way: int | None = None,
        seed: int = 0,
        by: By = "mentions",
        max_tokens: int | None = None,
    ):
        name = task.config.task_id
        if task.kind != "tagging":
            raise EpisodeError(f"task '{name}' is of kind {task.kind}: its rows have no mentions")
        for setting, value in (("k_shot", k_shot), ("query_size", query_size), ("n_way", n_way or 1)):
            if value < 1:
                raise EpisodeError(f"{setting} must be at least 1, got {value}")
        self.task, self.k_shot, self.query_size, self.by, self.max_tokens = task, k_shot, query_size, by, max_tokens
        self._key = sampling.key_of("tagging", name, by, seed, len(task.support), len(task.query))
        self._support = mention_counts(task.support, task.config.num_classes, max_tokens)
        self._query = (
            self._support if task.one_pool else mention_counts(task.query, task.config.num_classes, max_tokens)
        )
        spare = len(task.query) - (k_shot if task.one_pool else 0)
        needed = mentions_needed(task, k_shot)
        self.eligible = eligible_types(task, k_shot, self._support, self._query)
        self.ways = task.config.num_classes if by == "sentences" else n_way or max(len(self.eligible), 1)
        if by == "mentions" and len(self.eligible) < self.ways:
            raise EpisodeError(
                f"task '{name}': an episode needs {self.ways} types with {needed} mentions in the support pool and one "
                f"in the query pool; {len(self.eligible)} of its {task.config.num_classes} have them\n"
                "  ask for fewer ways or fewer shots"
            )
        if by == "sentences" and len(task.support) < k_shot:
            raise EpisodeError(f"task '{name}': {k_shot} support sentences asked for, there are {len(task.support)}")
        if spare < query_size:
            raise EpisodeError(f"task '{name}': {query_size} query sentences asked for, there are {max(spare, 0)}")

    @property
    def n_way(self) -> int:
        """Types of an episode, as `EpisodeSampler` calls it."""
        return self.ways

    def episode(self, index: int) -> Episode:
        """The episode with this number (numpy arrays)."""
        if index < 0:
            raise EpisodeError(f"episodes are numbered from 0, got {index}")
        state = sampling.fold(self._key, index)
        count = self.task.config.num_classes
        if self.by == "sentences":
            support = self._order(state, sampling.SUPPORT, len(self.task.support))[: self.k_shot]
            there = np.flatnonzero(self._support[support].sum(axis=0))
            types = there[np.argsort(sampling.fold(sampling.fold(state, sampling.CLASSES), there))]
            numbered = np.concatenate([types, np.setdiff1d(np.arange(count), types)])
            wanted = types[:0]
        else:
            ways = np.array([self.ways])
            types = numbered = wanted = sampling.choose_classes(state, self.eligible, ways)[0]
            support = self._by_mentions(state, types)
        query = self._query_rows(state, wanted, support if self.task.one_pool else support[:0])
        fields: dict[str, Any] = {}
        for side, rows, pool in (("support", support, self.task.support), ("query", query, self.task.query)):
            fields[f"{side}_x"], fields[f"{side}_lengths"] = gather_x(pool, rows, self.task.pad_id, self.max_tokens)
            tags = gather_y(pool, rows, rows, self.max_tokens)
            fields[f"{side}_y"] = renumbered(tags, numbered, count)
            fields[f"{side}_rows"] = rows
        config = self.task.config
        return Episode(
            **fields, index=index, task_id=config.task_id, family=config.task_family, kind=self.by, classes=types
        )

    def episodes(self, first: int, count: int) -> list[Episode]:
        """Episodes ``first .. first + count - 1``."""
        return [self.episode(index) for index in range(first, first + count)]

    def _by_mentions(self, state: np.ndarray, types: np.ndarray) -> np.ndarray:
        """Sentences until every type has its mentions (Few-NERD, algorithm 1)."""
        own = self._support[:, types]
        order = self._order(state, sampling.SUPPORT, len(own))
        order = order[own[order].any(axis=1)]
        have, chosen = np.zeros(len(types), np.int64), []
        for most in (2 * self.k_shot, np.inf):  # a sentence full of one type may be the only one with another
            for row in order:
                lacking = have < self.k_shot
                if not lacking.any():
                    break
                if own[row][lacking].any() and (have + own[row] <= most).all() and row not in chosen:
                    chosen.append(int(row))
                    have += own[row]
        return np.array(chosen, np.int64)

    def _query_rows(self, state: np.ndarray, types: np.ndarray, taken: np.ndarray) -> np.ndarray:
        order = self._order(state, sampling.QUERY, len(self.task.query))
        order = order[~np.isin(order, taken)]
        first = [order[np.argmax(self._query[order, kind] > 0)] for kind in types if self._query[order, kind].any()]
        rows = np.concatenate([np.array(first, np.int64), order])
        return rows[np.sort(np.unique(rows, return_index=True)[1])][: self.query_size]

    @staticmethod
    def _order(state: np.ndarray, stream: int, count: int) -> np.ndarray:
        return np.argsort(sampling.fold(sampling.fold(state, stream), np.arange(count)), kind="stable")


def mentions_needed(task: Task, k_shot: int) -> int:
    """Mentions of a type that the support pool must have for episodes with `k_shot` of them.

    With one pool a type needs them for both sides, and those of the support set can be twice `k_shot`.
    """
    return 3 * k_shot if task.one_pool else k_shot


def eligible_types(task: Task, k_shot: int, support: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Types that episodes by mentions can be drawn from, int64.

    Args:
        task: of kind ``tagging``.
        k_shot: mentions of a type.
        support: of its support pool, see `mention_counts`.
        query: of its query pool.
    """
    return np.flatnonzero((support.sum(axis=0) >= mentions_needed(task, k_shot)) & query.any(axis=0))


def mention_counts(pool: Pool, types: int, max_tokens: int | None = None) -> np.ndarray:
    """Mentions of each type that begin in the first `max_tokens` tokens of each row, int64 ``(rows, types)``."""
    tags, lengths = word_tags(pool, max_tokens)
    found = mentions_of_tags(tags, lengths)
    counts = np.zeros((len(lengths), types), np.int64)
    np.add.at(counts, (sentence_of(found.start, lengths), found.kind - 1), 1)
    return counts
