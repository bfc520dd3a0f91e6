"""Find recipes by name or path, read them, and put included ones together."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from metapeft import strict_yaml
from metapeft.errors import RecipeError, did_you_mean
from metapeft.recipes.schema import DomainShift, EpisodeDefaults, Recipe, Task

NOT_RECIPES = {"families", "curriculum"}  # other declarative files that live beside the recipes


def recipes_dir() -> Path:
    """The folder of the shipped recipes: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "_recipes"
    return shipped if shipped.is_dir() else package.parent / "recipes"


def recipe_names() -> list[str]:
    """Names of the shipped recipes, sorted."""
    return sorted(path.stem for path in recipes_dir().glob("*.yaml") if path.stem not in NOT_RECIPES)


def families() -> dict[str, str]:
    """Family name to its one-line description, from `recipes/families.yaml`."""
    return strict_yaml.load(recipes_dir() / "families.yaml")


@dataclass(frozen=True)
class PlannedTask:
    """A task with everything it inherits from its recipe settled."""

    task: Task
    family: str
    episodes: EpisodeDefaults


@dataclass(frozen=True)
class Plan:
    """What a recipe comes to: its tasks one by one, includes and expansions resolved.

    Attributes:
        recipe: the recipe as written.
        sha256: digest of everything that was read for it, included recipes too.
        tasks: in the order written; ids are unique.
        domain_shift: pairs of task ids.
        synthetic: True where this stands in for a recipe whose Hub could not be reached.
    """

    recipe: Recipe
    sha256: str
    tasks: list[PlannedTask]
    domain_shift: list[DomainShift]
    synthetic: bool = False

    @property
    def name(self) -> str:
        """The recipe's name; a synthetic counterpart says that it is one."""
        return f"{self.recipe.name}-synthetic" if self.synthetic else self.recipe.name


def read_recipe(name: str) -> Recipe:
    """Read one recipe by shipped name or by the path of a YAML file.

    Raises:
        RecipeError: no such recipe (with the nearest name), or the file breaks the schema (all mistakes at once).
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) or "/" in name else recipes_dir() / f"{name}.yaml"
    if not path.is_file() or path.stem in NOT_RECIPES:
        known = recipe_names()
        raise RecipeError(
            f"no recipe '{name}'.{did_you_mean(name, known)}\n  known recipes: {', '.join(known)}\n"
            "  or give the path of a recipe file: recipe=my_recipe.yaml"
        )
    content = strict_yaml.load(path)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{path}: the recipe has mistakes\n{_mistakes(error, content)}") from None


def _mistakes(error: ValidationError, content: Any) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        where = [str(part) for part in problem["loc"] if not _is_union_tag(part)]
        if len(where) >= 2 and where[0] == "tasks":
            where[1] = f"'{_task_id(content, int(where[1]))}'"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"unknown key.{did_you_mean(where[-1], _known_keys(problem['loc']))}"
        value = problem.get("input")
        shown = f" (got {value!r})" if isinstance(value, (str, int, float, bool)) else ""
        lines.append(f"  {'.'.join(where) or 'recipe'}: {message}{shown}")
    return "\n".join(dict.fromkeys(lines))


UNION_TAGS = {"classification", "tagging", "generation", "points", "hub", "files", "synthetic", "Column", "Template"}


def _is_union_tag(part: Any) -> bool:
    return part in UNION_TAGS or str(part).startswith(("function-", "list["))


def _task_id(content: Any, index: int) -> str:
    task = content["tasks"][index]
    return str(task.get("id", index)) if isinstance(task, dict) else str(index)


def _known_keys(loc: tuple[Any, ...]) -> set[str]:
    """Every key any model of the schema knows: enough for a suggestion, wherever the typo stands."""
    schema = Recipe.model_json_schema()
    keys = set(schema["properties"])
    for model in schema["$defs"].values():
        keys |= set(model.get("properties", {}))
    return keys - {str(loc[-1])}


def plan(name: str, *, only: list[str] | None = None, synthetic: bool = False) -> Plan:
    """Read a recipe and settle its tasks.

    Args:
        name: shipped name or path.
        only: keep these task ids.
        synthetic: plan the recipe's embedded counterpart instead; a synthetic recipe is its own.

    Raises:
        RecipeError: unknown recipe or task id, a mistake in the file, two tasks with one id, one source in two
            families without leave, a domain-shift pair whose labels do not meet, or no counterpart to plan.
    """
    recipe = read_recipe(name)
    read = [recipe]
    parts = [recipe]
    if recipe.include:
        parts = [read_recipe(part) for part in recipe.include]
        read += parts
    synthetic = synthetic and any(task.source.kind != "synthetic" for part in parts for task in part.tasks)
    if synthetic:
        parts = [_counterpart(part) for part in parts]
        read += parts
    tasks = [
        PlannedTask(variant, family, task.episodes or part.episodes)
        for part in parts
        for task in part.tasks
        for variant in task.variants()
        if (family := task.family or part.family)
    ]
    if synthetic:  # included recipes share one counterpart
        tasks = list({planned.task.id: planned for planned in tasks}.values())
    _check_ids(recipe, tasks)
    _check_families(recipe, tasks)
    _check_sources(recipe, parts, tasks)
    if only:
        known = [planned.task.id for planned in tasks]
        for wanted in only:
            if wanted not in known:
                raise RecipeError(
                    f"recipe '{recipe.name}' has no task '{wanted}'.{did_you_mean(wanted, known)}\n"
                    f"  its tasks: {', '.join(known)}"
                )
        tasks = [planned for planned in tasks if planned.task.id in only]
    pairs = list({(p.support, p.query): p for part in [recipe, *parts] for p in part.domain_shift}.values())
    _check_pairs(recipe, tasks, pairs, strict=not (only or synthetic))
    kept = {planned.task.id for planned in tasks}
    pairs = [pair for pair in pairs if {pair.support, pair.query} <= kept]
    digest = hashlib.sha256(json.dumps([part.model_dump(mode="json") for part in read], sort_keys=True).encode())
    return Plan(recipe, digest.hexdigest(), tasks, pairs, synthetic)


def _counterpart(recipe: Recipe) -> Recipe:
    """The recipe with its tasks replaced by the synthetic ones of the same family."""
    if all(task.source.kind == "synthetic" for task in recipe.tasks):
        return recipe
    if recipe.counterpart is None:
        raise RecipeError(f"recipe '{recipe.name}' has no embedded synthetic counterpart (its key `counterpart`)")
    other = read_recipe(recipe.counterpart)
    wanted = {task.family or recipe.family for task in recipe.tasks}
    tasks = [
        task.model_copy(update={"family": family, "episodes": task.episodes or other.episodes})
        for task in other.tasks
        if (family := task.family or other.family) in wanted
    ]
    if not tasks:
        raise RecipeError(f"recipe '{other.name}' has no task of the families {', '.join(sorted(map(str, wanted)))}")
    return recipe.model_copy(update={"tasks": tasks, "domain_shift": other.domain_shift})


def _check_ids(recipe: Recipe, tasks: list[PlannedTask]) -> None:
    seen: set[str] = set()
    for planned in tasks:
        if planned.task.id in seen:
            raise RecipeError(f"recipe '{recipe.name}': two tasks have the id '{planned.task.id}'")
        seen.add(planned.task.id)


def _check_families(recipe: Recipe, tasks: list[PlannedTask]) -> None:
    known = families()
    for planned in tasks:
        if planned.family not in known:
            raise RecipeError(
                f"recipe '{recipe.name}', task '{planned.task.id}': family '{planned.family}' is not in "
                f"families.yaml.{did_you_mean(planned.family, known)} Known: {', '.join(known)}"
            )


def _check_sources(recipe: Recipe, parts: list[Recipe], tasks: list[PlannedTask]) -> None:
    allowed = {name for part in [recipe, *parts] for name in part.allow_shared_sources}
    first: dict[str, PlannedTask] = {}
    for planned in tasks:
        if planned.task.source.kind == "synthetic":
            continue
        identity = planned.task.source.identity
        other = first.setdefault(identity, planned)
        if other.family != planned.family and identity not in allowed:
            raise RecipeError(
                f"recipe '{recipe.name}': source {identity} is used by task '{other.task.id}' of family "
                f"'{other.family}' and by task '{planned.task.id}' of family '{planned.family}'. A held-out family "
                "would have been seen. If that is meant, name the source in `allow_shared_sources`."
            )


def _check_pairs(recipe: Recipe, tasks: list[PlannedTask], pairs: list[DomainShift], *, strict: bool) -> None:
    by_id = {planned.task.id: planned.task for planned in tasks}
    for pair in pairs:
        for task_id in (pair.support, pair.query):
            if task_id not in by_id:
                if not strict:
                    break
                raise RecipeError(
                    f"recipe '{recipe.name}': domain_shift names task '{task_id}', which it does not have."
                    f"{did_you_mean(task_id, by_id)}"
                )
        else:
            support, query = by_id[pair.support], by_id[pair.query]
            shared = set(getattr(support, "labels", ())) & set(getattr(query, "labels", ()))
            if len(shared) < 2:
                raise RecipeError(
                    f"recipe '{recipe.name}': domain_shift {pair.support} -> {pair.query} shares "
                    f"{len(shared)} labels; at least two are needed"
                )
