"""An episode: a support set and a query set as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from metapeft.mlx_arrays import to_mlx
from metapeft.tasks.drawing import Draws, Sides
from metapeft.tasks.padding import gather_x, gather_y
from metapeft.tasks.pool import IGNORE
from metapeft.tasks.sampling import QUERY_ORDER, SUPPORT_ORDER, fold, in_hashed_order
from metapeft.tasks.tags import OUTSIDE, class_of

ARRAYS = ("support_x", "support_y", "query_x", "query_y", "support_lengths", "query_lengths")


class Sentences(NamedTuple):
    """What the words of one side of a tagging episode belong to.

    Attributes:
        lengths: words of each sentence, int64 ``(n,)``.
        tags: of all words, end to end, int32 ``(words,)``; see `tasks.tags`.
    """

    lengths: np.ndarray
    tags: np.ndarray


@dataclass(frozen=True, eq=False)
class Episode:
    """One episode of a task. It unpacks into ``support_x, support_y, query_x, query_y``.

    Attributes:
        support_x: points float32 ``(n, input_dim)``, or tokens int32 ``(n, length)``, padded on the right.
        support_y: labels int32 ``(n,)``; or tags ``(n, length)``, or target tokens ``(n, target_length)``, int32
            padded by `IGNORE`.
        query_x: as `support_x`; its length may differ.
        query_y: as `support_y`.
        support_lengths: tokens of each row before padding, int32 ``(n,)``; None for points.
        query_lengths: as `support_lengths`.
        index: its number; with the sampler's settings it says everything about the episode.
        task_id: the task; ``"a->b"`` where the support set is from a and the query set from b.
        family: the task family (of the query set's task).
        kind: how its sizes were chosen: see `kinds.KINDS`.
        classes: original class ids ``(ways,)`` int64, a class's place is its label here; empty without classes.
        support_rows: row ids in the support pool, int64 ``(n,)``.
        query_rows: row ids in the query pool, int64 ``(n,)``.

    `to_mlx` turns the first six from numpy arrays into `mx.array`s.
    """

    support_x: Any
    support_y: Any
    query_x: Any
    query_y: Any
    support_lengths: Any
    query_lengths: Any
    index: int
    task_id: str
    family: str
    kind: str
    classes: np.ndarray
    support_rows: np.ndarray
    query_rows: np.ndarray

    def __iter__(self) -> Iterator[Any]:
        return iter((self.support_x, self.support_y, self.query_x, self.query_y))

    @property
    def ways(self) -> int:
        """Classes that its units are told apart by: those of `classes`, and in tagging what is outside of all.

        Without classes (generation) all rows are alike: 1.
        """
        return len(self.classes) + (np.ndim(self.support_y) == 2)

    def units(self, side: str) -> tuple[np.ndarray, Sentences | None]:
        """The classes of a side's units, int32 ``(u,)``: of its examples, or of the words of its sentences.

        Args:
            side: ``support`` or ``query``.

        Returns:
            The classes, and for words what their sentences say; None for examples. In tagging class 0 is outside, and
            a mention of a type that the episode lacks counts as outside here, not in the tags of the sentences. In
            generation all are of class 0.
        """
        y = np.asarray(getattr(self, f"{side}_y"))
        if y.ndim == 1:
            return y, None
        if not len(self.classes):
            return np.zeros(len(y), np.int32), None
        tags = y[y != IGNORE]
        classes = class_of(tags)
        sentences = Sentences(np.count_nonzero(y != IGNORE, axis=1), tags)
        return np.where(classes < self.ways, classes, OUTSIDE).astype(np.int32), sentences

    def to_mlx(self) -> Episode:
        """The same episode with `mx.array`s."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        return replace(self, **{name: None if a is None else to_mlx(a) for name, a in arrays.items()})


def assemble(sides: Sides, draws: Draws, state: np.ndarray, kind: str, max_tokens: int | None = None) -> list[Episode]:
    """Turn drawn row ids into episodes; examples stand in random order, whatever their class.

    Args:
        sides: where the rows come from.
        draws: row ids of ``e`` episodes.
        state: their states ``(e,)`` uint64.
        kind: what to call the way they were drawn.
        max_tokens: longer texts are cut here.
    """
    ordered = {
        "support": in_hashed_order(fold(state, SUPPORT_ORDER), draws.support),
        "query": in_hashed_order(fold(state, QUERY_ORDER), draws.query),
    }
    tasks = {"support": sides.support_task, "query": sides.query_task}
    episodes = []
    for i in range(len(draws.index)):
        fields: dict[str, Any] = {}
        for side, (rows, labels) in ordered.items():
            own, task = rows[i] >= 0, tasks[side]
            pool = task.support if side == "support" else task.query
            chosen = rows[i][own]
            fields[f"{side}_x"], fields[f"{side}_lengths"] = gather_x(pool, chosen, task.pad_id, max_tokens)
            fields[f"{side}_y"] = gather_y(pool, chosen, labels[i][own], max_tokens)
            fields[f"{side}_rows"] = chosen
        episodes.append(
            Episode(
                **fields,
                index=int(draws.index[i]),
                task_id=sides.name,
                family=sides.query_task.config.task_family,
                kind=kind,
                classes=draws.classes[i][draws.classes[i] >= 0],
            )
        )
    return episodes
