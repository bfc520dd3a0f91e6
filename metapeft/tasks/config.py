"""What a task says of itself, before any data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from metapeft.errors import MetapeftError


class TaskError(MetapeftError):
    """A task's description is wrong, or its data does not fit it."""


@dataclass(frozen=True)
class TaskConfig:
    """The description of a task.

    Attributes:
        task_id: unique in its distribution.
        task_family: tasks of one kind of problem; for points, the pattern that makes them.
        num_classes: classes of the task; entity tags for tagging; 0 for generation.
        input_dim: coordinates of a point; 0 for text.
        support_size: rows of the support pool; for points, at least so many are made.
        query_size: rows of the query pool; for points, at least so many are made.
        domain: what the texts are about or where they come from.
        difficulty: 0 easy, 1 hard.

    Raises:
        TaskError: a field has the wrong type or is out of range; all mistakes are named at once.
    """

    task_id: str
    task_family: str
    num_classes: int
    input_dim: int
    support_size: int
    query_size: int
    domain: str
    difficulty: float

    def __post_init__(self) -> None:
        wrong = [
            f"{name} must be a non-empty string, got {value!r}"
            for name in ("task_id", "task_family", "domain")
            if not (isinstance(value := getattr(self, name), str) and value)
        ]
        for name, least in (("num_classes", 0), ("input_dim", 0), ("support_size", 1), ("query_size", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                wrong.append(f"{name} must be an integer of at least {least}, got {value!r}")
        value = self.difficulty
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not (number and 0 <= value <= 1):
            wrong.append(f"difficulty must be a number from 0 to 1, got {value!r}")
        if wrong:
            raise TaskError(f"task {self.task_id!r}: {'; '.join(wrong)}")
