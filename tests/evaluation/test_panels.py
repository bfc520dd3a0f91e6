"""metapeft.evaluation.panels: which numbers reach which figure."""

from __future__ import annotations

import re
from typing import Any

import pytest

from metapeft.evaluation import panels, plots, tables
from metapeft.evaluation.plots import Point
from tests.evaluation.made_cells import cell

MEANS = {"frozen": 0.6, "static, mix 0.5": 0.7, "hypernetwork, mix 0.5": 0.72, "shuffled, mix 0.5": 0.71}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[Any, ...]]]:
    """Figures are not drawn; what they were asked to show is kept by kind."""
    calls: dict[str, list[tuple[Any, ...]]] = {}
    for kind in ("lines", "legend", "differences", "stacked", "dots", "dot_legend", "places"):

        def keep(*given: Any, kind: str = kind) -> str:
            calls.setdefault(kind, []).append(given)
            return ""

        monkeypatch.setattr(plots, kind, keep)
    return calls


def test_a_family_is_the_mean_of_its_tasks_at_the_shots_it_has(drawn) -> None:
    cells = [
        cell("a", "f", 1, MEANS),
        cell("b", "f", 1, MEANS | {"frozen": 0.8}),
        cell("a", "f", 5, MEANS),
        cell("c", "g", 5, {"frozen": 0.9, "auto + names": 0.95}),
    ]
    panels.by_shots(cells, 0.5)
    (f, _, ticks, series, *_), (g, *_, other, _, _) = drawn["lines"]
    assert (f, g, ticks) == ("f", "g", [1, 5])
    assert list(series) == ["frozen", "static", "hypernetwork"]  # shuffled has its own panel
    assert {shots: point.mean for shots, point in series["frozen"].items()} == pytest.approx({1: 70, 5: 60})
    assert {name: list(points) for name, points in other.items()} == {"frozen": [5], "auto + names": [5]}
    assert drawn["legend"][0][1] == ["frozen", "static", "hypernetwork", "auto + names"]


def test_a_scale_holds_every_interval() -> None:
    assert panels._limits({"a": {1: Point(52, 50.5, 53)}, "b": {1: Point(70, 69, 74.5)}}) == (45, 80)
    low, high = panels._limits({"a": {1: Point(50, 0, 100)}})
    assert low < 0
    assert high > 100


def test_curves_of_a_family_may_have_other_steps(drawn) -> None:
    losses = {key: {"random": [[1.0, 0.5]]} for key in ("support_loss", "query_loss")}
    cells = [
        cell("a", "f", 1, MEANS, curves={"random": [[0.2, 0.4]]}, curve_steps=[0, 1], **losses),
        cell("b", "f", 1, MEANS, curves={"random": [[0.4, 0.8]]}, curve_steps=[0, 5], **losses),
    ]
    panels.by_steps(cells, 0.5)
    (_, _, ticks, series, *_) = drawn["lines"][0]
    assert ticks == [0, 1, 5]
    assert {step: point.mean for step, point in series["random"].items()} == pytest.approx({0: 30, 1: 40, 5: 80})


def test_the_hypernetwork_meets_both_rivals_in_every_family(drawn) -> None:
    cells = [cell("a", "f", 1, MEANS), cell("b", "g", 1, MEANS | {"static, mix 0.5": 0.62})]
    panels.doing_anything(cells, 0.5, [])
    static, shuffled = ({name: point.mean for name, point in rows} for _, rows in drawn["differences"])
    assert static == pytest.approx({"all families": 6, "f": 2, "g": 10})
    assert shuffled == pytest.approx({"all families": 1, "f": 1, "g": 1})


def test_one_family_is_not_shown_twice(drawn) -> None:
    panels.doing_anything([cell("a", "f", 1, MEANS)], 0.5, [])
    assert [name for name, _ in drawn["differences"][0][1]] == ["f"]


def test_mixes_and_steps_of_a_start_are_one_share(drawn) -> None:
    counts = {"static, mix 0.25": 10, "static, mix 0.5": 20, "static, 3 steps, mix 0.5": 30, "frozen": 40}
    names = {"hypernetwork, mix 1 + names": 30, "static, mix 1": 10}
    panels.where_chosen([cell("a", "f", 1, MEANS, chosen={"auto": counts, "auto + names": names})])
    (_, auto), (_, named) = drawn["stacked"]
    assert auto["f"] == pytest.approx({"frozen": 0.4, "static": 0.6})
    assert list(auto["f"]) == ["frozen", "static"]  # in one order for all families
    assert named["f"] == pytest.approx({"static": 0.25, "hypernetwork + names": 0.75})


def test_the_best_of_a_task_is_that_of_the_table_and_named(drawn) -> None:
    cells = [
        cell("a", "f", 1, MEANS | {"random": 0.5, "auto": 0.65, "static, mix 0.25": 0.9, "shuffled, mix 0.5": 0.8}),
        cell("b", "g", 5, {"frozen": 0.9, "auto": 0.85}),
    ]
    panels.every_task(cells, tables.rows_of(cells), 0.5)
    (first, (a,)), (_, (b,)) = drawn["dots"]
    assert first == "Every task, 1 shot"
    assert (a.task, a.family, a.chance, a.best) == ("a", "f", pytest.approx(100 / 3), "hypernetwork")
    means = {name: point.mean for name, point in a.points.items()}
    assert means == pytest.approx({"frozen": 60, "random": 50, "auto": 65, "best": 72})
    assert (b.best, list(b.points)) == ("frozen", ["frozen", "auto", "best"])
    assert list(drawn["dot_legend"][0][1]) == ["frozen", "random", "auto", "best"]


def found(place: list[float] | None) -> dict[str, Any]:
    names = ("purity", "shuffled_purity", "p_purity", "silhouette", "shuffled_silhouette", "p_silhouette")
    clustering = {"scope": "all tasks", **dict.fromkeys(names, -0.125), "episodes": 12}
    tasks = [
        {"task": "a", "family": "f", "part": "training", "place": place, "nearest": None},
        {"task": "b", "family": "g", "part": "test", "place": place, "nearest": {"task": "a", "cosine": 0.5}},
    ]
    return {"tasks": tasks, "perplexity": 3.0, "clustering": [clustering]}


def test_a_map_has_every_task_and_figures_beside_it(drawn) -> None:
    made = "".join(panels.embeddings(found([1.0, 2.0]), {"correlation": 0.5, "p": 0.0312, "cells": 7}))
    assert [(m.family, m.part, m.place) for m in drawn["places"][0][1]] == [
        ("f", "training", [1.0, 2.0]),
        ("g", "test", [1.0, 2.0]),
    ]
    assert "perplexity 3;" in made
    assert made.count("−0.12") == 6
    assert re.findall('<th scope="row">([^<]*)', made) == ["all tasks", "b"]
    assert panels.embeddings(None, None) == []


def test_where_there_is_no_map_the_page_says_so(drawn) -> None:
    made = "".join(panels.embeddings(found(None) | {"clustering": []}, None))
    assert "places" not in drawn
    assert "metapeft[eval]" in made
    assert "cannot be said" in made


def test_comparisons_without_the_hypernetwork_are_not_of_its_panel(drawn) -> None:
    pair = {"first": "hypernetwork, mix 0.5", "second": "frozen", "difference": 0.12, "ci95": [0.1, 0.14], "p": 0.01}
    made = "".join(panels.doing_anything([cell("a", "f", 1, MEANS)], 0.5, [pair, pair | {"first": "auto"}]))
    assert re.findall('<th scope="row">([^<]*)', made) == ["hypernetwork against frozen"]
    assert "[+10.0, +14.0]" in made
