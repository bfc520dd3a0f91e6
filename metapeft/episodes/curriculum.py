"""A curriculum: which tasks and how many shots at which step of meta-training.

Curriculum learning: Bengio et al., "Curriculum learning" (2009).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator

from metapeft import strict_yaml
from metapeft.episodes.episode import Episode
from metapeft.episodes.sampler import EpisodeSampler, Ways
from metapeft.errors import EpisodeError, RecipeError
from metapeft.recipes.schema import Name, Strict
from metapeft.tasks.distribution import TaskDistribution
from metapeft.tasks.task import Task

Share = Annotated[float, Field(ge=0, le=1)]


class Families(Strict):
    """Which task families take part."""

    include: list[str] = Field(default=[], description="these only; empty: all")
    exclude: list[str] = Field(default=[], description="but not these")

    @model_validator(mode="after")
    def _apart(self) -> Families:
        both = sorted(set(self.include) & set(self.exclude))
        if both:
            raise ValueError(f"families stand in include and in exclude: {', '.join(both)}")
        return self

    def admit(self, family: str) -> bool:
        """Whether tasks of this family may be drawn."""
        return (not self.include or family in self.include) and family not in self.exclude


class Stage(Strict):
    """One stage: its length, its tasks and its shots."""

    name: Name
    steps: int | None = Field(default=None, ge=1, description="how long it lasts; the last stage may go on for ever")
    families: Families = Families()
    held_out: bool = Field(default=False, description="no earlier stage may use the families it includes")
    difficulty: list[Share] = Field(default=[0.0, 1.0], min_length=2, max_length=2, description="[least, most]")
    noise: list[Share] = Field(default=[0.0, 1.0], min_length=2, max_length=2, description="[least, most]")
    shots: list[Annotated[int, Field(ge=1)]] = Field(min_length=2, max_length=2, description="[least, most] a class")

    @field_validator("difficulty", "noise", "shots")
    @classmethod
    def _ordered(cls, value: list[float]) -> list[float]:
        if value[0] > value[1]:
            raise ValueError(f"needs [least, most], got {value}")
        return value

    @model_validator(mode="after")
    def _names_what_it_holds_out(self) -> Stage:
        if self.held_out and not self.families.include:
            raise ValueError(f"stage '{self.name}' is held out, so families.include must name its families")
        return self

    def admits(self, task: Task) -> bool:
        """Whether the task's family, difficulty and noise are those of the stage (bounds included)."""
        return (
            self.families.admit(task.config.task_family)
            and self.difficulty[0] <= task.config.difficulty <= self.difficulty[1]
            and self.noise[0] <= task.noise <= self.noise[1]
        )

    def select(self, tasks: Iterable[Task]) -> list[Task]:
        """The tasks of the stage, in the order given."""
        return [task for task in tasks if self.admits(task)]


class Curriculum(Strict):
    """Stages, one after the other."""

    stages: list[Stage] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> Curriculum:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"two stages have one name: {', '.join(names)}")
        for stage in self.stages[:-1]:
            if stage.steps is None:
                raise ValueError(f"stage '{stage.name}' needs steps: only the last stage may go on for ever")
        for place, held in enumerate(self.stages):
            for earlier in self.stages[:place] if held.held_out else []:
                seen = [family for family in held.families.include if earlier.families.admit(family)]
                if seen:
                    raise ValueError(
                        f"stage '{earlier.name}' admits families that stage '{held.name}' holds out: "
                        f"{', '.join(seen)}. Name them in its families.exclude"
                    )
        return self

    def at(self, step: int) -> Stage:
        """The stage of a step, counted from 0; after the end, the last stage."""
        if step < 0:
            raise EpisodeError(f"steps are counted from 0, got {step}")
        for stage in self.stages:
            if stage.steps is None or step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]


def read_curriculum(path: Path | None = None) -> Curriculum:
    """Read a curriculum from a YAML file; without a path, the shipped one (`recipes/curriculum.yaml`).

    Raises:
        RecipeError: the file cannot be read or breaks the schema; all mistakes at once.
    """
    if path is None:
        from metapeft.recipes.registry import recipes_dir

        path = recipes_dir() / "curriculum.yaml"
    try:
        return Curriculum.model_validate(strict_yaml.load(path))
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, problem['loc'])) or 'curriculum'}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False)
        ]
        raise RecipeError("\n".join([f"{path}: the curriculum has mistakes", *lines])) from None


class CurriculumSampler:
    """Episodes that follow a curriculum; as pure as `EpisodeSampler`: step and index say everything.

    Stages are checked at once, but a held-out stage when it is reached: a suite to train on need not have its families.

    Args:
        task_distribution: all tasks; each stage takes its own.
        curriculum: the stages.
        query_size: query examples of an episode.
        n_way: as in `EpisodeSampler`.
        seed: as in `EpisodeSampler`.
        max_tokens: as in `EpisodeSampler`.

    Raises:
        EpisodeError: a stage has no task, or a task cannot give the stage's episodes.
    """

    def __init__(
        self,
        task_distribution: TaskDistribution,
        curriculum: Curriculum,
        query_size: int = 50,
        *,
        n_way: Ways = None,
        seed: int = 0,
        max_tokens: int | None = None,
    ):
        self.curriculum = curriculum
        self._distribution = task_distribution
        self._settings: dict[str, Any] = {"n_way": n_way, "seed": seed, "max_tokens": max_tokens}
        self._query_size = query_size
        self._samplers = {stage.name: self._make(stage) for stage in curriculum.stages if not stage.held_out}

    def sampler(self, step: int) -> EpisodeSampler:
        """The sampler of the stage that a step belongs to."""
        stage = self.curriculum.at(step)
        if stage.name not in self._samplers:
            self._samplers[stage.name] = self._make(stage)
        return self._samplers[stage.name]

    def episode(self, step: int, index: int) -> Episode:
        """Episode `index` of the stage that `step` belongs to."""
        return self.sampler(step).episode(index)

    def _make(self, stage: Stage) -> EpisodeSampler:
        if not stage.select(self._distribution.tasks):
            raise EpisodeError(
                f"curriculum stage '{stage.name}' admits none of the {len(self._distribution)} tasks: "
                f"families: {stage.families.include or 'all'}, without: {stage.families.exclude}, "
                f"difficulty {stage.difficulty}, noise {stage.noise}"
            )
        return EpisodeSampler(
            self._distribution.filter(stage.admits),
            query_size=self._query_size,
            kind="variable-shot",
            shot_range=(stage.shots[0], stage.shots[1]),
            **self._settings,
        )
