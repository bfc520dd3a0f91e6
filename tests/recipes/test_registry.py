"""metapeft.recipes.registry: finding recipes, their mistakes, and what a plan comes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from metapeft.errors import RecipeError
from metapeft.recipes import registry

TASK = """
  - id: {id}
    kind: classification
    domain: d
    source: {{kind: hub, path: {path}, splits: {{support: [train]}}}}
    fields: {{text: text, label: label}}
    labels: [a, b]
"""


def recipe_file(folder: Path, tasks: str, head: str = "family: sentiment", name: str = "mine") -> str:
    path = folder / f"{name}.yaml"
    path.write_text(
        f"schema: 1\nname: {name}\nversion: 1-A\ndescription: x\ncounterpart: synthetic_text\n{head}\ntasks:{tasks}"
    )
    return str(path)


def test_an_unknown_recipe_gets_the_nearest_name() -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'sentimant'. Did you mean 'sentiment'") as error:
        registry.plan("sentimant")
    assert "quickstart" in str(error.value)


@pytest.mark.parametrize("name", ["families", "curriculum"])
def test_other_files_beside_the_recipes_are_no_recipes(name: str) -> None:
    with pytest.raises(RecipeError, match="no recipe"):
        registry.plan(name)
    assert name not in registry.recipe_names()


def test_a_recipe_of_ones_own_is_read_by_path(tmp_path: Path) -> None:
    plan = registry.plan(recipe_file(tmp_path, TASK.format(id="one", path="org/one")))
    assert [(p.task.id, p.family) for p in plan.tasks] == [("one", "sentiment")]


def test_all_mistakes_are_said_at_once_with_task_and_field(tmp_path: Path) -> None:
    tasks = TASK.format(id="one", path="org/one").replace("labels:", "lables:") + TASK.format(id="two", path="nopath")
    with pytest.raises(RecipeError) as error:
        registry.plan(recipe_file(tmp_path, tasks))
    message = str(error.value)
    assert "tasks.'one'.lables: unknown key. Did you mean 'labels'" in message
    assert "tasks.'one'.labels: Field required" in message
    assert "tasks.'two'.source.path" in message


def test_a_duplicate_key_names_both_lines(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, TASK.format(id="one", path="org/one"), head="family: topic\nfamily: sentiment")
    with pytest.raises(RecipeError, match=r"mine.yaml.*'family'.*line 6.*line 7"):
        registry.plan(path)


def test_two_tasks_with_one_id_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="two tasks have the id 'one'"):
        registry.plan(recipe_file(tmp_path, TASK.format(id="one", path="org/a") + TASK.format(id="one", path="org/b")))


def test_an_unknown_family_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="family 'sentimant' is not in families.yaml. Did you mean 'sentiment'"):
        registry.plan(recipe_file(tmp_path, TASK.format(id="one", path="org/a"), head="family: sentimant"))


def test_one_source_in_two_families_needs_leave(tmp_path: Path) -> None:
    tasks = TASK.format(id="one", path="org/a") + TASK.format(id="two", path="org/a").replace(
        "domain: d", "domain: d\n    family: topic"
    )
    with pytest.raises(RecipeError, match="source org/a is used by task 'one' of family 'sentiment'"):
        registry.plan(recipe_file(tmp_path, tasks))
    allowed = "family: sentiment\nallow_shared_sources: [org/a]"
    assert len(registry.plan(recipe_file(tmp_path, tasks, head=allowed)).tasks) == 2


def test_domain_shift_needs_tasks_that_exist_and_share_labels(tmp_path: Path) -> None:
    one, two = TASK.format(id="one", path="org/a"), TASK.format(id="two", path="org/b")
    wrong = "family: sentiment\ndomain_shift: [{support: one, query: tow}]"
    with pytest.raises(RecipeError, match="names task 'tow', which it does not have. Did you mean 'two'"):
        registry.plan(recipe_file(tmp_path, one + two, head=wrong))
    right = wrong.replace("tow", "two")
    with pytest.raises(RecipeError, match="shares 1 labels"):
        registry.plan(recipe_file(tmp_path, one + two.replace("[a, b]", "[b, c]"), head=right))
    plan = registry.plan(recipe_file(tmp_path, one + two, head=right))
    assert [(pair.support, pair.query) for pair in plan.domain_shift] == [("one", "two")]
    assert registry.plan(recipe_file(tmp_path, one + two, head=right), only=["one"]).domain_shift == []


def test_only_keeps_the_named_tasks_and_knows_the_nearest(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, TASK.format(id="one", path="org/a") + TASK.format(id="two", path="org/b"))
    assert [p.task.id for p in registry.plan(path, only=["two"]).tasks] == ["two"]
    with pytest.raises(RecipeError, match="no task 'tow'. Did you mean 'two'"):
        registry.plan(path, only=["tow"])


def test_the_counterpart_has_the_same_families_and_no_hub(tmp_path: Path) -> None:
    plan = registry.plan(recipe_file(tmp_path, TASK.format(id="one", path="org/a")), synthetic=True)
    assert plan.synthetic
    assert plan.name == "mine-synthetic"
    assert plan.tasks
    assert {p.family for p in plan.tasks} == {"sentiment"}
    assert {p.task.source.kind for p in plan.tasks} == {"synthetic"}
    assert plan.domain_shift, "the counterpart brings its own domain-shift pairs"


def test_a_recipe_without_counterpart_says_so(tmp_path: Path) -> None:
    path = Path(recipe_file(tmp_path, TASK.format(id="one", path="org/a")))
    path.write_text(path.read_text().replace("counterpart: synthetic_text\n", ""))
    with pytest.raises(RecipeError, match="no embedded synthetic counterpart"):
        registry.plan(str(path), synthetic=True)


def test_a_synthetic_recipe_is_its_own_counterpart() -> None:
    plan = registry.plan("synthetic_points", synthetic=True)
    assert not plan.synthetic
    assert plan.name == "synthetic_points"


def test_all_puts_every_family_together() -> None:
    plan = registry.plan("all")
    assert {p.family for p in plan.tasks} == set(registry.families())
    ids = [p.task.id for p in plan.tasks]
    assert len(ids) == len(set(ids))


def test_the_digest_changes_with_the_recipe(tmp_path: Path) -> None:
    one = registry.plan(recipe_file(tmp_path, TASK.format(id="one", path="org/a"))).sha256
    same = registry.plan(recipe_file(tmp_path, TASK.format(id="one", path="org/a"))).sha256
    other = registry.plan(recipe_file(tmp_path, TASK.format(id="one", path="org/b"))).sha256
    assert one == same
    assert one != other
