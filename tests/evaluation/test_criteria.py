"""metapeft.evaluation.criteria: what counts as met, by cells whose means are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metapeft.evaluation import criteria
from tests.evaluation.made_cells import cell

GOOD = {
    "frozen": 0.80,
    "static, mix 0.5": 0.85,
    "hypernetwork, mix 0.5": 0.86,
    "shuffled, mix 0.5": 0.84,
    "random": 0.60,
    "auto": 0.85,
    "auto + names": 0.87,
    "frozen + names": 0.86,
}


def lines(cells: list[dict[str, Any]], criterion: str, method: str = "") -> dict[str, dict[str, Any]]:
    """Lines of a criterion by scope."""
    found = criteria.criteria(cells, 0.5)
    return {line["scope"]: line for line in found if line["criterion"] == criterion and method in line["method"]}


def test_all_met() -> None:
    cells = [cell("a", "f", 10, GOOD), cell("b", "g", 10, GOOD)]
    found = criteria.criteria(cells, 0.5)
    assert {line["verdict"] for line in found} == {"met"}
    assert [line["scope"] for line in found[:3]] == ["all", "f", "g"]
    assert {line["criterion"] for line in found} == set(criteria.TITLES)


def test_nothing_measured() -> None:
    found = criteria.criteria([cell("a", "f", 5, {"frozen": 0.8})], 0.5)
    assert {line["verdict"] for line in found} == {"not measured"}
    assert {line["value"] for line in found} == {None}
    assert {line["criterion"] for line in found} == set(criteria.TITLES)


def test_above_random_is_a_mean_over_the_tasks_of_a_family() -> None:
    cells = [
        cell("a", "f", 10, GOOD),  # +26 and +25
        cell("b", "f", 10, GOOD | {"random": 0.80}),  # +6 and +5
        cell("c", "g", 10, GOOD),
    ]
    found = lines(cells, "above_random", "hypernetwork")
    assert {scope: line["value"] for scope, line in found.items()} == pytest.approx(
        {"all": (0.26 + 0.06 + 0.26) / 3, "f": 0.16, "g": 0.26}
    )
    assert {scope: line["verdict"] for scope, line in found.items()} == {"all": "missed", "f": "missed", "g": "met"}
    assert found["f"]["note"] == "4.0 points short"
    assert lines(cells, "above_random", "auto")["f"]["value"] == pytest.approx(0.15)


def test_the_learned_start_is_named_once_for_all_families() -> None:
    static_wins = GOOD | {"static, mix 0.5": 0.9}
    cells = [cell("a", "f", 10, static_wins), cell("b", "g", 10, GOOD)]
    found = lines(cells, "above_random", "mix")
    assert {line["method"] for line in found.values()} == {"static, mix 0.5"}


def test_exactly_the_target_is_not_more_than_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = cell("a", "f", 10, GOOD)
    made["accuracy"] = {"frozen": [0.75] * 10, "auto": [0.75] * 10, "random": [0.5] * 10}
    assert lines([made], "above_random", "auto")["f"]["verdict"] == "met"
    monkeypatch.setattr(criteria, "ABOVE_RANDOM", 0.25)  # a number that floats have
    assert lines([made], "above_random", "auto")["f"]["verdict"] == "missed"


def test_enough_names_families_and_tasks_that_miss_it_and_by_how_much() -> None:
    cells = [
        cell("a", "f", 10, GOOD | {"auto": 0.90}),
        cell("b", "f", 10, GOOD | {"auto": 0.75}),
        cell("b", "f", 5, GOOD | {"auto": 0.10}),  # other shots do not count
        cell("c", "g", 10, GOOD | {"auto": 0.50}),
        cell("d", "h", 5, GOOD),
    ]
    found = {
        line["scope"]: line
        for line in criteria.criteria(cells, 0.5)
        if (line["criterion"], line["method"]) == ("enough", "auto")
    }
    assert {scope: line["verdict"] for scope, line in found.items()} == {
        "all": "missed",
        "f": "met",
        "g": "missed",
        "h": "not measured",
    }
    assert found["f"]["value"] == pytest.approx(0.825)
    assert found["f"]["note"] == "below it: b (by 5.0)"
    assert found["all"]["note"] == "families that miss it: g (by 30.0); not measured: h"
    assert found["all"]["value"] == pytest.approx((0.9 + 0.75 + 0.5) / 3)


def test_enough_is_not_met_where_a_family_was_not_measured() -> None:
    cells = [cell("a", "f", 10, GOOD), cell("b", "g", 5, GOOD)]
    found = lines(cells, "enough", "names")
    assert (found["all"]["verdict"], found["f"]["verdict"]) == ("not measured", "met")


def test_one_task_below_the_frozen_prototype_is_enough_to_miss() -> None:
    cells = [cell("a", "f", 10, GOOD), cell("b", "f", 1, GOOD | {"auto": 0.78}), cell("c", "g", 10, GOOD)]
    found = lines(cells, "never_below", "auto against frozen")
    assert {scope: line["verdict"] for scope, line in found.items()} == {"all": "missed", "f": "missed", "g": "met"}
    assert found["f"]["note"] == "worst: b at 1-shot; 1 of 2 below"
    assert found["all"]["value"] == pytest.approx(-0.02)


def test_below_within_its_interval_is_not_worse() -> None:
    difference = np.random.default_rng(0).normal(-0.002, 0.05, 40)
    made = cell("a", "f", 10, GOOD)
    made["accuracy"]["auto"] = (np.array(made["accuracy"]["frozen"]) + difference).tolist()
    line = lines([made], "never_below", "auto against frozen")["f"]
    assert line["value"] < 0 < line["ci95"][1]
    assert line["verdict"] == "met"


def test_of_many_tasks_some_are_below_by_chance() -> None:
    cells = [cell(f"t{i}", "f", 10, GOOD) for i in range(20)]
    assert lines(cells, "never_below", "auto against frozen")["f"]["note"].endswith("(0.5 by chance, were both alike)")


def test_the_hypernetwork_must_beat_its_own_base_and_a_strangers_embedding() -> None:
    cells = [cell("a", "f", 10, GOOD | {"shuffled, mix 0.5": 0.86})]
    assert lines(cells, "hypernetwork", "static")["f"]["verdict"] == "met"
    shuffled = lines(cells, "hypernetwork", "shuffled")["f"]
    assert (shuffled["verdict"], shuffled["p"]) == ("missed", 1)


def test_figures_and_targets_as_people_read_them() -> None:
    cells = [cell("a", "f", 10, GOOD), cell("b", "g", 5, {"frozen": 0.5})]
    assert criteria.figure(lines(cells, "above_random", "auto")["f"]) == "+25.0 [+25.0, +25.0]"
    enough = lines(cells, "enough", "names")
    assert criteria.figure(enough["f"]).startswith("87.0 % [8")
    assert criteria.figure(enough["g"]) == "–"
    assert {criteria.target(line) for line in criteria.criteria(cells, 0.5)} == {
        "> +20 points",
        "> 80 %",
        "none below",
        "> 0",
    }
