"""A task: its description and its rows."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from metapeft.mlx_arrays import to_mlx
from metapeft.tasks import sampling
from metapeft.tasks.config import TaskConfig, TaskError
from metapeft.tasks.features import task_features
from metapeft.tasks.padding import gather_x, gather_y
from metapeft.tasks.patterns import Pattern, pattern_of
from metapeft.tasks.pool import Kind, Pool, Ragged
from metapeft.tasks.sampling import ClassRows

if TYPE_CHECKING:
    import mlx.core as mx

MADE_ROWS = 1024  # a generator never runs out: its pools are at least so large, whatever the config says
WITH_CLASSES = ("classification", "points")


class Task:
    """A task with a support pool and a query pool.

    Args:
        config: its description.
        support: rows of support sets. Without it the task makes its own points: see `patterns.pattern_of`.
        query: rows of query sets. Without it both sets are cut from `support`, and still never share a row.
        labels: label names; a name's place is the class id. Default: the ids as text.
        language: BCP 47 code of the texts.
        noise: how noisy the rows are said to be, 0 to 1. Default: what the pattern says, else 0.
        pad_id: token that pads texts.
        names: the classes' names as texts, row i of class i; None where they say nothing.
        pattern: how to make points, in place of what the config names.

    Raises:
        TaskError: the pools do not fit the config or each other, or the config names no known pattern.
        RecipeError: the pattern cannot have the config's dimensions or classes.
    """

    def __init__(
        self,
        config: TaskConfig,
        support: Pool | None = None,
        query: Pool | None = None,
        labels: list[str] | None = None,
        language: str = "en",
        noise: float | None = None,
        pad_id: int = 0,
        names: Pool | None = None,
        pattern: Pattern | None = None,
    ):
        if support is None and query is not None:
            raise TaskError(f"task '{config.task_id}': a query pool needs a support pool beside it")
        if support is not None and pattern is not None:
            raise TaskError(f"task '{config.task_id}': give pools or a pattern, not both")
        self.config = config
        self.pattern = pattern if support is not None or pattern is not None else pattern_of(config)
        self.kind: Kind = support.kind if support is not None else "points"
        self.labels = list(labels) if labels else [str(i) for i in range(config.num_classes)]
        self.language = language
        self.noise = float(noise if noise is not None else self.pattern.params.get("noise", 0.0) if self.pattern else 0)
        self.pad_id = pad_id
        self.names = names
        self.one_pool = support is not None and query is None
        self._given = (support, query)
        self._epoch, self._used, self._made = 0, 0, 0
        if self.has_classes and (config.num_classes < 2 or len(self.labels) != config.num_classes):
            raise TaskError(
                f"task '{config.task_id}': {len(self.labels)} label names for num_classes={config.num_classes}; "
                "at least two classes and a name for each are needed"
            )
        if self.pattern is not None and (made := self.pattern.classes()) != config.num_classes:
            raise TaskError(
                f"task '{config.task_id}': pattern {self.pattern.generator} has {made} classes, num_classes says "
                f"{config.num_classes}"
            )
        for side, pool in (("support", support), ("query", query), ("names", names)):
            if pool is not None:
                _check_pool(self, side, pool)
        if names is not None and len(names) != config.num_classes:
            raise TaskError(f"task '{config.task_id}': {len(names)} names for num_classes={config.num_classes}")

    def __repr__(self) -> str:
        return f"Task({self.config!r})"

    @property
    def has_classes(self) -> bool:
        """Whether every row has one label (classification, points)."""
        return self.kind in WITH_CLASSES

    @property
    def classes_of_units(self) -> int:
        """Classes that what it labels is told apart by: rows, or words, of which some are outside of every mention."""
        return self.config.num_classes + (self.kind == "tagging")

    @cached_property
    def support(self) -> Pool:
        """The pool of support sets."""
        given = self._given[0]
        return given if given is not None else self._make("support", self.config.support_size)

    @cached_property
    def query(self) -> Pool:
        """The pool of query sets; the support pool itself where `one_pool` is true."""
        if self.one_pool:
            return self.support
        given = self._given[1]
        return given if given is not None else self._make("query", self.config.query_size)

    @cached_property
    def support_rows(self) -> ClassRows:
        """The support pool's rows by class; all in one class where the task has none."""
        return self._by_class(self.support)

    @cached_property
    def query_rows(self) -> ClassRows:
        """The query pool's rows by class; all in one class where the task has none."""
        return self._by_class(self.query)

    def sample_data(self, num_samples: int) -> tuple[mx.array, mx.array]:
        """Give the next rows of the task: fresh ones at every call, the same sequence in every process.

        Points are made anew. Rows of a pool come from the support pool in random order without replacement; when too
        few are left for a call, a new order begins.

        Returns:
            x, points ``(n, input_dim)`` float32 or tokens ``(n, length)`` int32; and y, class ids ``(n,)`` int32, or
            tags or target tokens ``(n, length)`` int32.

        Raises:
            TaskError: `num_samples` is not positive, or is more than the pool has.
        """
        if num_samples < 1:
            raise TaskError(f"task '{self.config.task_id}': num_samples must be at least 1, got {num_samples}")
        if self.pattern is not None:
            self._made = max(self._made + 1, num_samples)  # another number of rows: other points of the same task
            x, y = self.pattern.points(self._made, "support")
            return to_mlx(x[:num_samples]), to_mlx(y[:num_samples])
        pool = self.support
        if num_samples > len(pool):
            raise TaskError(
                f"task '{self.config.task_id}': {num_samples} samples asked for, its support pool has {len(pool)} rows"
            )
        if self._used + num_samples > len(pool):
            self._epoch, self._used = self._epoch + 1, 0
        rows = self._order()[self._used : self._used + num_samples]
        self._used += num_samples
        labels = rows if isinstance(pool.y, Ragged) else pool.y[rows]
        return to_mlx(gather_x(pool, rows, self.pad_id)[0]), to_mlx(gather_y(pool, rows, labels))

    def compute_task_features(self) -> dict[str, float | str]:
        """Handcrafted features of the support pool: see `features.task_features`."""
        return dict(self._features)

    @cached_property
    def _features(self) -> dict[str, float | str]:
        return task_features(self.support, self.config.domain, self.language)

    def _order(self) -> np.ndarray:
        """The support pool's rows in this epoch's order: sorted by a hash of the row."""
        key = sampling.fold(sampling.key_of("sample_data", self.config.task_id), self._epoch)
        return np.argsort(sampling.fold(key, np.arange(len(self.support))), kind="stable")

    def _make(self, side: Literal["support", "query"], least: int) -> Pool:
        assert self.pattern is not None
        return Pool("points", *self.pattern.points(max(least, MADE_ROWS), side))

    def _by_class(self, pool: Pool) -> ClassRows:
        if isinstance(pool.y, Ragged):
            return sampling.rows_in_one_class(len(pool))
        return sampling.rows_by_class(pool.y, self.config.num_classes)


def _check_pool(task: Task, side: str, pool: Pool) -> None:
    config = task.config
    where = f"task '{config.task_id}', {side} pool"
    if pool.kind != task.kind:
        raise TaskError(f"{where}: its kind is {pool.kind}, the support pool's is {task.kind}")
    if len(pool.x) != len(pool.y):
        raise TaskError(f"{where}: {len(pool.x)} inputs and {len(pool.y)} targets")
    if isinstance(pool.x, Ragged) == (pool.kind == "points"):
        raise TaskError(f"{where}: points are a matrix and texts are Ragged, got {type(pool.x).__name__}")
    if isinstance(pool.y, Ragged) == task.has_classes:
        raise TaskError(f"{where}: y of a {pool.kind} task is {'class ids' if task.has_classes else 'Ragged'}")
    if isinstance(pool.x, np.ndarray) and pool.x.shape[1:] != (config.input_dim,):
        raise TaskError(f"{where}: points of shape {pool.x.shape}, input_dim says (n, {config.input_dim})")
    if isinstance(pool.y, np.ndarray) and len(pool) and not (pool.y.min() >= 0 and pool.y.max() < config.num_classes):
        raise TaskError(
            f"{where}: class ids from {pool.y.min()} to {pool.y.max()}, num_classes={config.num_classes} allows "
            f"0 to {config.num_classes - 1}"
        )
    if pool.kind == "tagging" and isinstance(pool.x, Ragged) and isinstance(pool.y, Ragged):
        unlike = np.flatnonzero(pool.x.lengths() != pool.y.lengths())
        if len(unlike):
            raise TaskError(f"{where}, row {unlike[0]}: tagging needs one tag a token")
