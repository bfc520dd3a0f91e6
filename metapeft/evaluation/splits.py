"""Splits: which tasks are tested on, validated on, and kept out of training (`recipes/splits/*.yaml`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metapeft import strict_yaml
from metapeft.errors import EpisodeError, RecipeError, did_you_mean
from metapeft.evaluation.protocol import Track
from metapeft.recipes.registry import recipes_dir


class Split(BaseModel):
    """A split as written. What it does not name is trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    description: str
    kind: Literal["classification", "tagging", "generation"] = Field(
        default="classification", description="kind of its tasks"
    )
    track: Track = Field(description="what the test promises: see `protocol.check_apart`")
    test: Annotated[list[str], Field(min_length=1)] = Field(description="tasks or families to test on")
    validation: Annotated[list[str], Field(min_length=1)] = Field(description="tasks or families to validate on")
    exclude: list[str] = Field(default=[], description="tasks or families that are kept out of training beside these")


class Parts(NamedTuple):
    """Task ids of a suite, by what a split does with them.

    Attributes:
        training: to train on.
        validation: to validate on.
        test: to test on.
        missing: names of the split that the suite has neither as a task nor as a family.
    """

    training: list[str]
    validation: list[str]
    test: list[str]
    missing: list[str]


def split_names() -> list[str]:
    """Names of the shipped splits, sorted."""
    return sorted(path.stem for path in (recipes_dir() / "splits").glob("*.yaml"))


def read_split(name: str) -> Split:
    """Read a split by shipped name or by the path of a YAML file.

    Raises:
        RecipeError: no such split (with the nearest name), or it is not what a split says (all mistakes at once).
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) or "/" in name else recipes_dir() / f"splits/{name}.yaml"
    if not path.is_file():
        known = split_names()
        raise RecipeError(f"no split '{name}'.{did_you_mean(name, known)} Known: {', '.join(known)}")
    try:
        return Split.model_validate(strict_yaml.load(path))
    except ValidationError as error:
        mistakes = [f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors()]
        raise RecipeError(f"{path}: {'; '.join(mistakes)}") from None


def parts_of(split: Split, families: Mapping[str, str]) -> Parts:
    """What a split does with the tasks of a suite.

    A task that is named for test or validation by its id is there, also where its family is named for something else.

    Args:
        split: the split.
        families: task id to family, of the tasks that can be used.

    Raises:
        EpisodeError: nothing is left to test on, to validate on or to train on, or a task is named for both test and
            validation.
    """
    known = {*families, *families.values()}
    missing = [name for name in (*split.test, *split.validation, *split.exclude) if name not in known]

    def role(task: str) -> str:
        for named in (task, families[task]):  # its own name first
            roles = [part for part in ("test", "validation", "exclude") if named in getattr(split, part)]
            if {"test", "validation"} <= set(roles):
                raise EpisodeError(f"split '{split.name}' names '{named}' for test and for validation")
            if roles:
                return roles[0]
        return "training"

    parts: dict[str, list[str]] = {"training": [], "validation": [], "test": [], "exclude": []}
    for task in families:
        parts[role(task)].append(task)
    for part in ("test", "validation", "training"):
        if not parts[part]:
            raise EpisodeError(f"split '{split.name}' leaves no task for {part} of {len(families)} in the suite")
    return Parts(parts["training"], parts["validation"], parts["test"], missing)
