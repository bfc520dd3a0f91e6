"""Which generator of points a task's family or domain names, and with which parameters."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from metapeft.errors import did_you_mean
from metapeft.tasks.config import TaskConfig, TaskError
from metapeft.tasks.sampling import key_of

GENERATORS = {
    "linear": "linear",
    "rotation": "linear",
    "translation": "linear",
    "scaling": "linear",
    "xor": "xor",
    "circles": "circles",
    "spirals": "spirals",
    "checkerboard": "checkerboard",
    "high_dimensional": "high_dimensional",
}


@dataclass(frozen=True)
class Pattern:
    """A generator of `metapeft.sources.points`, its parameters, and the seed of one task's points."""

    generator: str
    params: dict[str, Any]
    seed: int

    def points(self, rows: int, pool: Literal["support", "query"]) -> tuple[np.ndarray, np.ndarray]:
        """`rows` points ``(rows, input_dim)`` float32 and labels ``(rows,)`` int32.

        Another pool has other points of the same task, and so has another number of rows.
        """
        from metapeft.sources import points  # pydantic, which takes as long to import as all of tasks

        return points.generate(self.generator, self.params, rows, self.seed, pool)

    def classes(self) -> int:
        """How many classes the points have; raises RecipeError for bad parameters."""
        from metapeft.sources import points

        return points.classes(self.generator, self.params)


def seed_of(task_id: str) -> int:
    """A stable seed for a task's points, from its id alone, below 2**32."""
    return int(key_of("points", task_id)[0] >> np.uint64(32))


def generator_named(name: str, known: Collection[str]) -> str:
    """The generator that a pattern's name stands for, among those that are allowed here.

    Raises:
        TaskError: the name is unknown; the message has the nearest and all known names.
    """
    if _plain(name) not in known:
        raise TaskError(f"no pattern '{name}'.{did_you_mean(_plain(name), known)} Known: {', '.join(known)}")
    return GENERATORS[_plain(name)]


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_").removeprefix("points_")


def pattern_of(config: TaskConfig) -> Pattern:
    """The pattern that a task without pools is made from.

    The family names it, or else the domain. Noise grows with difficulty. The task's id seeds it, so boundary,
    rotation and directions differ from task to task.

    Raises:
        TaskError: neither names a pattern.
    """
    named = [GENERATORS[name] for name in map(_plain, (config.task_family, config.domain)) if name in GENERATORS]
    if not named:
        raise TaskError(
            f"task '{config.task_id}' has no pools, and neither its family '{config.task_family}' nor its domain "
            f"'{config.domain}' names a pattern of points.{did_you_mean(_plain(config.task_family), GENERATORS)} "
            f"Known: {', '.join(GENERATORS)}. Or give it data: Task(config, support=Pool(...), query=Pool(...))"
        )
    params: dict[str, Any] = {"input_dim": config.input_dim, "noise": 0.3 * float(config.difficulty)}
    if named[0] != "xor":  # whose classes are always two
        params["classes"] = config.num_classes
    return Pattern(named[0], params, seed_of(config.task_id))
