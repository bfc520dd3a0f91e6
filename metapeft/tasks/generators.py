"""Generators of point tasks: families of tasks that differ by a few parameters.

The points come from `metapeft.sources.points`, which says what each parameter does. The same arguments give the same
task and the same points; another seed gives another task of the kind. Wrong parameters raise RecipeError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metapeft.tasks.config import TaskConfig
from metapeft.tasks.patterns import Pattern, generator_named
from metapeft.tasks.task import MADE_ROWS, Task

NONLINEAR = ("xor", "circles", "spirals", "checkerboard")


class LinearTaskGenerator:
    """Two classes on the two sides of a hyperplane, in `input_dim` coordinates (at least 2)."""

    def __init__(self, input_dim: int = 2):
        self.input_dim = input_dim

    def generate_task(
        self,
        rotation: float = 0.0,
        translation: float | Sequence[float] = 0.0,
        scaling: float = 1.0,
        noise: float = 0.0,
        seed: int = 0,
    ) -> Task:
        """Make a task.

        Args:
            rotation: angle of the boundary's normal in degrees.
            translation: added to every coordinate, or to each its own.
            scaling: size of the whole cloud.
            noise: standard deviation of the noise on each coordinate; the cloud's radius is 1 before scaling.
            seed: which task; without effect in the plane but for the points themselves.
        """
        shift = float(translation) if isinstance(translation, (int, float)) else [float(x) for x in translation]
        params = {"rotation": float(rotation), "translation": shift, "scaling": float(scaling), "noise": float(noise)}
        return _task("linear", self.input_dim, params, seed)


class NonLinearTaskGenerator:
    """Two classes that no line parts: ``xor``, ``circles``, ``spirals`` or ``checkerboard``.

    Raises:
        TaskError: the pattern is unknown (with the nearest name).
    """

    def __init__(self, pattern_type: str, input_dim: int = 2):
        self.pattern_type = generator_named(pattern_type, NONLINEAR)
        self.input_dim = input_dim

    def generate_task(self, noise_level: float = 0.1, complexity: int | None = None, seed: int = 0) -> Task:
        """Make a task.

        Args:
            noise_level: standard deviation of the noise, in units of the pattern's scale (a cell, a gap between arms).
            complexity: rings, turns, cells or directions; None for the pattern's own.
            seed: which task: centre and directions differ.
        """
        params: dict[str, Any] = {"noise": float(noise_level)}
        if complexity is not None:
            params["complexity"] = complexity
        return _task(self.pattern_type, self.input_dim, params, seed)


class HighDimensionalTaskGenerator:
    """Two classes that `informative` of `input_dim` coordinates tell apart."""

    def __init__(self, input_dim: int = 100, informative: int = 5):
        self.input_dim = input_dim
        self.informative = informative

    def generate_task(self, noise: float = 0.1, seed: int = 0) -> Task:
        """Make a task.

        Args:
            noise: standard deviation of the noise on each coordinate.
            seed: which task: its informative coordinates differ.
        """
        return _task("high_dimensional", self.input_dim, {"informative": self.informative, "noise": float(noise)}, seed)


def _task(generator: str, input_dim: int, params: dict[str, Any], seed: int) -> Task:
    told = "-".join(f"{name}={value}" for name, value in params.items()).replace(" ", "")
    pattern = Pattern(generator, {"input_dim": input_dim, **params}, seed)
    classes = pattern.classes()  # first of all: it checks the parameters
    config = TaskConfig(
        task_id=f"{generator}-{input_dim}d-{told}-seed={seed}",
        task_family=generator,
        num_classes=classes,
        input_dim=input_dim,
        support_size=MADE_ROWS,
        query_size=MADE_ROWS,
        domain="points",
        difficulty=min(params["noise"], 1.0),
    )
    return Task(config, pattern=pattern)
