"""Sweep of the recipes that ship: what every one of them promises, read from the YAML alone."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import pytest

from metapeft.recipes import registry
from metapeft.recipes.schema import EpisodeDefaults, FilesSource, HubSource, Recipe, Task

NAMES = registry.recipe_names()
REAL = ["code", "emotion", "intent", "judgement", "ner", "sentiment", "summarization", "topic"]
SHOTS = {
    "sentiment": [5, 20],
    "topic": [10, 50],
    "intent": [10, 50],
    "emotion": [5, 20],
    "judgement": [5, 20],
    "ner": [50, 200],
    "summarization": [5, 20],
    "code": [5, 20],
}


read = cache(registry.read_recipe)


def tasks_of(name: str) -> list[Task]:
    return read(name).tasks


def all_tasks() -> list[tuple[Recipe, Task]]:
    return [(recipe, task) for recipe in map(read, NAMES) for task in recipe.tasks]


def real_tasks() -> list[tuple[Recipe, Task]]:
    return [(recipe, task) for recipe, task in all_tasks() if task.source.kind != "synthetic"]


def episodes_of(recipe: Recipe, task: Task) -> EpisodeDefaults:
    return task.episodes or recipe.episodes


# --- every recipe -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_recipe_is_valid_and_goes_by_the_name_of_its_file(name):
    assert read(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_recipe_plans_without_a_mistake(name):
    """Families are known, domain-shift pairs share labels, no source serves two families, ids are unique."""
    assert registry.plan(name).tasks


@pytest.mark.parametrize("name", [*REAL, "all"])
def test_editors_find_the_schema(name):
    first = (registry.recipes_dir() / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=recipe.schema.json"


@pytest.mark.parametrize("name", NAMES)
def test_no_recipe_knows_a_folder_of_this_machine(name):
    text = (registry.recipes_dir() / f"{name}.yaml").read_text(encoding="utf-8")
    for place in ("/work", "shared/", "../", "datasets/local", "/tmp", "/home"):
        assert place not in text


def test_task_ids_are_unique_among_all_recipes():
    owners = defaultdict(list)
    for recipe, task in all_tasks():
        for variant in task.variants():
            owners[variant.id].append(recipe.name)
    assert {task_id: names for task_id, names in owners.items() if len(names) > 1} == {}


def test_families_are_known():
    assert {task.family or recipe.family for recipe, task in all_tasks()} <= set(registry.families())


def test_included_recipes_exist():
    included = [part for name in NAMES for part in read(name).include]
    assert set(included) <= set(NAMES)
    assert set(REAL) <= set(read("all").include)


def test_domain_shift_tasks_are_in_the_recipe_and_share_labels():
    for recipe in map(read, NAMES):
        by_id = {variant.id: variant for task in recipe.tasks for variant in task.variants()}
        for pair in recipe.domain_shift:
            support, query = by_id[pair.support], by_id[pair.query]
            assert len(set(support.labels) & set(query.labels)) >= 2, pair


def test_no_source_is_in_two_families():
    families, allowed = defaultdict(set), set()
    for recipe, task in real_tasks():
        families[task.source.identity].add(task.family or recipe.family)
        allowed |= set(recipe.allow_shared_sources)
    assert {source for source, of in families.items() if len(of) > 1} <= allowed


# --- recipes of real text -----------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL)
def test_real_recipe_has_its_family_and_a_counterpart_of_it(name):
    recipe = read(name)
    assert recipe.family == name
    assert recipe.counterpart == "synthetic_text"
    assert {planned.family for planned in registry.plan(name, synthetic=True).tasks} == {name}


@pytest.mark.parametrize("name", REAL)
def test_default_shots_of_a_family(name):
    assert read(name).episodes.shots == SHOTS[name]


def test_real_tasks_say_licence_and_citation():
    for _, task in real_tasks():
        assert task.license, task.id
        assert task.citation, task.id


def test_files_sources_say_what_they_want_and_where_it_is():
    for _, task in real_tasks():
        if isinstance(task.source, FilesSource):
            assert "column" in task.source.about, task.id
            assert task.homepage, task.id


def test_one_files_source_says_one_thing():
    about = defaultdict(set)
    for _, task in real_tasks():
        if isinstance(task.source, FilesSource):
            about[task.source.name].add(task.source.about)
    assert all(len(texts) == 1 for texts in about.values())


def test_converted_branch_is_read_one_configuration_at_a_time():
    """`refs/convert/parquet` has a folder for each configuration; without data_dir all of them would be mixed."""
    for _, task in real_tasks():
        if isinstance(task.source, HubSource) and task.source.revision == "refs/convert/parquet":
            assert task.source.data_dir, task.id
            assert not task.source.config, task.id


def test_expected_rows_are_of_splits_that_are_read():
    for _, task in real_tasks():
        assert set(task.expect) <= {*task.source.splits.support, *task.source.splits.query}, task.id


def test_integer_tags_are_named_in_full():
    for _, task in real_tasks():
        if task.kind == "tagging" and task.tag_names:
            types = {task.label_map.get(tag[2:], tag[2:]) for tag in task.tag_names if tag != "O"} - set(
                task.drop_labels
            )
            assert types == set(task.labels), task.id
            assert "O" in task.tag_names, task.id
            assert len(set(task.tag_names)) == len(task.tag_names), task.id


def test_no_task_asks_for_more_ways_than_it_has_labels():
    for recipe, task in real_tasks():
        ways = episodes_of(recipe, task).ways
        if task.kind == "classification" and ways != "all":
            assert (ways if isinstance(ways, int) else ways[1]) <= len(task.labels), task.id


def test_sentiment_covers_domains_and_two_and_three_classes():
    tasks = tasks_of("sentiment")
    assert len({task.domain for task in tasks}) >= 7
    assert {len(task.labels) for task in tasks} == {2, 3}
    assert {tuple(task.labels) for task in tasks} == {("negative", "positive"), ("negative", "neutral", "positive")}


def test_sentiment_shifts_between_the_domains_that_matter():
    recipe = read("sentiment")
    domain = {task.id: task.domain for task in recipe.tasks}
    shifts = {(domain[pair.support], domain[pair.query]) for pair in recipe.domain_shift}
    assert shifts >= {("electronics", "books"), ("movies", "restaurants"), ("airlines", "product feedback")}


def test_topic_has_four_to_twenty_classes():
    assert all(4 <= len(task.labels) <= 20 for task in tasks_of("topic"))


def test_intent_has_ten_to_a_hundred_and_fifty_classes_but_for_snips():
    sizes = {task.id: len(task.labels) for task in tasks_of("intent")}
    assert sizes.pop("snips") == 7
    assert all(10 <= size <= 150 for size in sizes.values())


def test_clinc_domains_do_not_overlap():
    labels = [label for task in tasks_of("intent") if task.id.startswith("clinc_") for label in task.labels]
    assert len(labels) == len(set(labels)) == 150


def test_generation_styles_are_covered():
    styles = {name: {task.style for task in tasks_of(name)} for name in ("summarization", "code")}
    assert styles["summarization"] == {"abstractive", "extractive", "bullets"}
    assert styles["code"] == {"completion", "bugfix", "documentation", "query"}
