"""The README is true: its table counts what the recipes hold. Its tour is tested in `test_tour`."""

from __future__ import annotations

import re
from pathlib import Path

from metapeft.recipes import registry

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_table_counts_the_tasks() -> None:
    rows = re.findall(r"^\| (`[a-z_`, ]+) \| ([^|]+) \|", README, re.MULTILINE)
    said: dict[str, list[int]] = {}
    for names, counts in rows:
        numbers = [int(number) for number in re.findall(r"\d+", counts)]
        recipes = re.findall(r"`(\w+)`", names)
        for place, recipe in enumerate(recipes):
            said[recipe] = numbers if len(recipes) == 1 else [numbers[place]]
    assert set(said) == set(registry.recipe_names())
    for recipe, numbers in said.items():
        kinds = [planned.task.source.kind for planned in registry.plan(recipe).tasks]
        files = kinds.count("files")
        assert numbers == [len(kinds) - files] + ([files] if files else []), recipe
