"""The recipe's models: templates, expansion, and the mistakes they refuse."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from metapeft.recipes.schema import (
    EpisodeDefaults,
    Filters,
    HubSource,
    Recipe,
    Splits,
    SyntheticSource,
    Task,
    template_places,
)

STEADY = settings(deadline=None, derandomize=True)  # the same examples each time; a busy machine is no failure
TASK: TypeAdapter[Any] = TypeAdapter(Task)
SYNTHETIC = {"kind": "synthetic", "generator": "linear", "size": {"support": 5, "query": 5}}
HUB = {"kind": "hub", "path": "org/name", "splits": {"support": ["train"], "query": ["test"]}}


def points(**changes: Any) -> dict[str, Any]:
    return {"id": "p", "kind": "points", "domain": "plane", "source": SYNTHETIC, **changes}


def labelled(**changes: Any) -> dict[str, Any]:
    base = {"id": "c", "kind": "classification", "domain": "d", "source": HUB, "labels": ["a", "b"]}
    return {**base, "fields": {"text": "text", "label": "label"}, **changes}


def recipe(**changes: Any) -> dict[str, Any]:
    base = {"schema": 1, "name": "r", "version": "1-A", "description": "d", "family": "f", "tasks": [points()]}
    return {**base, **changes}


def refuses(data: dict[str, Any], said: str, model: type[BaseModel] | None = None) -> None:
    with pytest.raises(ValidationError, match=said):
        model.model_validate(data) if model else TASK.validate_python(data)


# --- templates ------------------------------------------------------------------------------------


def test_template_places() -> None:
    assert template_places("{title}. {answers.text.0} {{kept}}") == ["title", "answers.text.0"]
    assert template_places("no place") == []


@pytest.mark.parametrize("template", ["{}", "{a!r}", "{a:>5}", "{a", "a}", "{a!}"])
def test_templates_without_codes(template: str) -> None:
    with pytest.raises(ValueError, match="template|place"):
        template_places(template)


@STEADY
@given(st.lists(st.from_regex(r"[a-z_]+(\.[a-z0-9]+)*", fullmatch=True)), st.text(alphabet="ab {}", max_size=5))
def test_template_places_finds_every_place_in_order(names: list[str], between: str) -> None:
    safe = between.replace("{", "{{").replace("}", "}}")
    assert template_places(safe.join(["", *(f"{{{name}}}" for name in names), ""])) == names


def test_a_prompt_has_the_one_place_text() -> None:
    task = {
        "id": "g", "kind": "generation", "domain": "d", "source": HUB, "style": "abstractive",
        "fields": {"text": "a", "target": "b"}, "prompt": "{text}\nSummary:",
    }  # fmt: skip
    assert TASK.validate_python(task).prompt == "{text}\nSummary:"
    for prompt in ("no place", "{text} {text}", "{document}"):
        refuses({**task, "prompt": prompt}, "one place")


# --- expansion ------------------------------------------------------------------------------------


def test_variants_are_the_product_in_the_order_written() -> None:
    task = TASK.validate_python(
        points(
            id="p_{noise}_{draw}",
            domain="noise {noise}",
            source={**SYNTHETIC, "params": {"input_dim": 10}},
            expand={"noise": [0.0, 0.1], "draw": [0, 1, 2]},
        )
    )
    variants = task.variants()
    assert [variant.id for variant in variants] == [
        f"p_{noise}_{draw}" for noise, draw in itertools.product([0.0, 0.1], [0, 1, 2])
    ]
    last = variants[-1]
    assert last.domain == "noise 0.1"
    assert last.source.params == {"input_dim": 10, "noise": 0.1, "draw": 2}
    assert last.expand == {}
    assert type(last) is type(task)
    assert task.source.params == {"input_dim": 10}, "the task itself is unchanged"
    assert TASK.validate_python(last.model_dump()) == last, "a variant is a valid task"


def test_variants_without_expand_are_the_task() -> None:
    task = TASK.validate_python(points())
    assert task.variants() == [task]


def test_expanded_difficulty_is_the_tasks_too() -> None:
    task = TASK.validate_python(points(id="p_{difficulty}", expand={"difficulty": [0, 0.7]}))
    assert [variant.difficulty for variant in task.variants()] == [0.0, 0.7]
    for bad in (1.5, -0.1, "hard", True):
        refuses(points(id="p_{difficulty}", expand={"difficulty": [bad]}), "from 0 to 1")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "p_{draw}"}, "not in expand"),
        ({"domain": "{draw}"}, "not in expand"),
        ({"id": "p_{drow}", "expand": {"draw": [0]}}, r"\{drow\}, which is not in expand"),
        ({"id": "p_{draw.real}", "expand": {"draw": [0]}}, "not in expand"),
        ({"id": "p", "expand": {"draw": [0, 1]}}, "twice"),
        ({"id": "p_{draw}", "expand": {"draw": [1, 1]}}, "twice"),
        ({"id": "p_{draw}", "expand": {"draw": []}}, "at least 1 item"),
        ({"id": "p_{x}", "expand": {"x": ["New York"]}}, "New York"),
        ({"id": "{x}", "expand": {"x": [".."]}}, r"expands to '\.\.'"),
        ({"id": "p_{x}", "expand": {"x": ["a/../../b"]}}, "expands to"),
        ({"id": "p_{x}", "expand": {"x": ["a" * 80]}}, "at most 80"),
        ({"id": "p_{n}", "expand": {"n": [1]}, "source": {**SYNTHETIC, "params": {"n": 2}}}, "both in expand and in"),
    ],
)
def test_expansions_that_cannot_be(changes: dict[str, Any], said: str) -> None:
    refuses(points(**changes), said)


def test_only_synthetic_sources_expand() -> None:
    refuses(labelled(id="c_{x}", expand={"x": [1]}), "synthetic sources")


# --- sources, labels, filters ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["name", "../..", "a/b/c", "org/", ".a/b", "a/-b"])
def test_hub_paths(path: str) -> None:
    refuses({**HUB, "path": path}, "path", HubSource)


def test_identity_tells_configurations_apart() -> None:
    assert HubSource.model_validate(HUB).identity == "org/name"
    assert HubSource.model_validate({**HUB, "config": "c"}).identity == "org/name/c"
    assert HubSource.model_validate({**HUB, "data_dir": "d"}).identity == "org/name/d"


def test_a_split_is_in_one_pool_only() -> None:
    refuses({"support": ["train", "extra"], "query": ["train"]}, "train fills both pools", Splits)
    assert Splits.model_validate({"support": ["train"]}).query == []


def test_a_synthetic_source_says_the_size_of_both_pools() -> None:
    for size in ({"support": 5}, {"query": 5}, {}, {"support": 0, "query": 5}, {"support": 5, "query": 5, "test": 1}):
        refuses({**SYNTHETIC, "size": size}, "size", SyntheticSource)


def test_a_pool_without_a_limit_keeps_the_default() -> None:
    assert TASK.validate_python(labelled(limit={"query": 7})).limit == {"support": 10_000, "query": 7}
    assert TASK.validate_python(labelled()).limit == {"support": 10_000, "query": 2_500}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": ["a", "a"]}, "stands twice"),
        ({"labels": ["a"]}, "at least 2"),
        ({"labels": ["no", False]}, "string"),
        ({"label_map": {0: "a", 1: "z"}}, "not in labels: z"),
        ({"label_map": {0: "a", 1: "b"}, "drop_labels": [1]}, "both mapped to a label and dropped: 1"),
        ({"id": "Upper"}, "id"),
        ({"difficulty": 1.1}, "less than or equal to 1"),
        ({"colour": 1}, "Extra inputs"),
        ({"kind": "classify"}, "classification"),
    ],
)
def test_labelled_tasks_refuse(changes: dict[str, Any], said: str) -> None:
    refuses(labelled(**changes), said)


def test_points_come_from_a_generator() -> None:
    refuses(points(source=HUB), "come from a generator")
    refuses(points(labels=["x", "x"]), "stands twice")


def test_filters_that_no_text_passes() -> None:
    refuses({"min_chars": 10, "max_chars": 9}, "no text has", Filters)
    assert Filters.model_validate({"min_chars": 9, "max_chars": 9}).max_chars == 9


@pytest.mark.parametrize(
    "bad", [{"ways": [5, 2]}, {"shots": [0, 5]}, {"shots": 0}, {"ways": "some"}, {"shots": [1, 2, 3]}]
)
def test_episode_bounds(bad: dict[str, Any]) -> None:
    refuses(bad, "least|ways|shots", EpisodeDefaults)


def test_least_shots() -> None:
    assert EpisodeDefaults(shots=[2, 9]).least_shots == 2
    assert EpisodeDefaults(shots=4).least_shots == 4


# --- the recipe -----------------------------------------------------------------------------------


def test_a_recipe() -> None:
    found = Recipe.model_validate(recipe())
    assert found.tasks[0].id == "p"
    assert found.schema_version == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tasks": []}, "either tasks or include"),
        ({"include": ["other"]}, "either tasks or include"),
        ({"family": None}, "has no family"),
        ({"schema": 2}, "schema"),
        ({"version": "1"}, "version"),
        ({"taks": []}, "taks"),
    ],
)
def test_recipes_refuse(changes: dict[str, Any], said: str) -> None:
    refuses(recipe(**changes), said, Recipe)


def test_nothing_changes_later() -> None:
    found = Recipe.model_validate(recipe())
    with pytest.raises(ValidationError, match="frozen"):
        found.name = "other"  # type: ignore[misc]
