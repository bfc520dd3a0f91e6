"""metapeft.evaluation.splits: the splits that ship, and what a split does with a suite."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from metapeft.errors import EpisodeError, RecipeError
from metapeft.evaluation.splits import Split, parts_of, read_split, split_names
from metapeft.recipes import registry
from metapeft.recipes.schema import SyntheticSource

KINDS = {"classification": ("classification", "points"), "tagging": ("tagging",), "generation": ("generation",)}
FAMILIES = {"a": "f", "b": "f", "c": "g", "d": "h"}


@cache
def planned(recipe: str = "all", kind: str = "classification") -> dict[str, registry.PlannedTask]:
    return {p.task.id: p for p in registry.plan(recipe).tasks if p.task.kind in KINDS[kind]}


def split(**other) -> Split:
    return Split.model_validate(
        {"name": "s", "description": "", "track": "domain", "test": ["a"], "validation": ["c"]} | other
    )


@pytest.mark.parametrize("name", split_names())
def test_shipped_splits_know_their_tasks(name: str) -> None:
    shipped = read_split(name)
    assert shipped.name == name
    recipe = {"ner_domains": "tagging", "ner_types": "ner_types"}.get(name, "all")
    tasks = planned(recipe, shipped.kind)
    parts = parts_of(shipped, {task: each.family for task, each in tasks.items()})
    assert parts.missing == []
    # a test on real tasks; generation is tried on synthetic ones, for the backbone that ships was made from such texts
    assert {task.startswith("syn_") for task in parts.test} == {shipped.kind == "generation"}


@pytest.mark.parametrize("name", [name for name in split_names() if name.startswith("families_")])
def test_a_held_out_family_and_its_sources_are_seen_nowhere(name: str) -> None:
    parts = parts_of(read_split(name), {task: each.family for task, each in planned().items()})
    seen = [planned()[task] for task in (*parts.training, *parts.validation)]
    test = [planned()[task] for task in parts.test]
    assert {each.family for each in test} == {name.removeprefix("families_")}
    assert not {each.family for each in test} & {each.family for each in seen}
    assert not {each.task.source.identity for each in test} & {each.task.source.identity for each in seen}
    real = {task for task, each in planned().items() if each.family == test[0].family and not task.startswith("syn_")}
    assert set(parts.test) == real  # all of the family is tested


def test_what_generation_is_tested_on_is_told_nowhere_else() -> None:
    """Neither the tables nor the dialogues of the test, nor those of another task that draws from all tables."""
    parts = parts_of(
        read_split("generation_domains"),
        {task: each.family for task, each in planned("synthetic_text", "generation").items()},
    )

    def told(task: str) -> tuple[str, str]:
        source = planned("synthetic_text", "generation")[task].task.source
        assert isinstance(source, SyntheticSource)
        return source.generator, source.params.get("domain", "any")

    tested, validated, seen = ({told(task) for task in own} for own in (parts.test, parts.validation, parts.training))
    assert len(tested) == 4
    assert not tested & (validated | seen)
    assert ("sql", "any") not in validated | seen
    assert len([task for task in parts.training if task.startswith("syn_sql_")]) == 9


def test_what_is_not_named_is_trained_on() -> None:
    assert parts_of(split(), FAMILIES) == (["b", "d"], ["c"], ["a"], [])
    assert parts_of(split(test=["f"]), FAMILIES) == (["d"], ["c"], ["a", "b"], [])


def test_a_task_named_by_its_id_leaves_its_family() -> None:
    assert parts_of(split(exclude=["f"]), FAMILIES) == (["d"], ["c"], ["a"], [])
    assert parts_of(split(test=["f"], validation=["b"]), FAMILIES) == (["c", "d"], ["b"], ["a"], [])


def test_names_that_the_suite_lacks_are_said() -> None:
    assert parts_of(split(test=["a", "x"], exclude=["y"]), FAMILIES).missing == ["x", "y"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"test": ["x"]}, "no task for test of 4"),
        ({"validation": ["x"]}, "no task for validation"),
        ({"exclude": ["b", "h"]}, "no task for training"),
        ({"validation": ["a", "c"]}, "'a' for test and for validation"),
    ],
)
def test_splits_that_cannot_be_used(other: dict, message: str) -> None:
    with pytest.raises(EpisodeError, match=message):
        parts_of(split(**other), FAMILIES)


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'domains'"):
        read_split("domain")


def test_a_file_of_ones_own_with_all_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("{name: mine, description: d, track: domain, test: [a], validation: [b]}")
    assert read_split(str(path)).test == ["a"]
    path.write_text("{name: mine, track: none, test: [], validation: [b], wrong: 1}")
    with pytest.raises(RecipeError) as caught:
        read_split(str(path))
    assert all(field in str(caught.value) for field in ("mine.yaml", "description", "track", "test", "wrong"))
