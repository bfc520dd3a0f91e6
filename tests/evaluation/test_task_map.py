"""metapeft.evaluation.task_map: which tasks are on a map, where, and what is said of their families."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from metapeft.evaluation import task_map
from tests.evaluation.test_baselines import opened
from tests.tasks.made_tasks import text_task

FAMILIES = {"text": "f", "a": "f", "b": "g", "c": "g"}


def map_of(folder: Path, method: str = "hypernetwork"):
    read = opened(folder, method, wanted=False)
    parts = {"validation": [text_task("a")], "test": [text_task("b"), text_task("c")]}
    return task_map.task_map(read, parts, FAMILIES, 3)


def test_every_task_has_a_place_and_an_unseen_one_its_nearest(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    found = map_of(tmp_path)
    assert found is not None
    said = [(each["task"], each["family"], each["part"]) for each in found["tasks"]]
    assert said == [("text", "f", "training"), ("a", "f", "validation"), ("b", "g", "test"), ("c", "g", "test")]
    assert all(np.isfinite(each["place"]).all() for each in found["tasks"])
    assert found["tasks"][0]["nearest"] is None
    for each in found["tasks"][1:]:
        assert each["nearest"]["task"] == "text"
        assert -1 <= each["nearest"]["cosine"] <= 1
    scopes = {line["scope"]: line["episodes"] for line in found["clustering"]}
    # of the unseen, a is the only one of its family and does not count
    assert scopes == {"all tasks": 6 + 3 * task_map.EPISODES, "validation and test tasks": 2 * task_map.EPISODES}


def test_without_scikit_learn_all_but_the_places_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = map_of(tmp_path / "one")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    found = map_of(tmp_path / "two")
    assert whole is not None
    assert found is not None
    assert [each["place"] for each in found["tasks"]] == [None] * 4
    assert found["perplexity"] is None
    assert found["clustering"] == whole["clustering"]


def test_without_an_embedder_there_is_no_map(tmp_path: Path) -> None:
    assert map_of(tmp_path, "protonet") is None


def test_families_of_one_task_each_say_nothing(tmp_path: Path) -> None:
    read = opened(tmp_path, wanted=False)
    found = task_map.task_map(read, {"validation": [], "test": [text_task("b")]}, FAMILIES, 3)
    assert found is not None
    assert found["clustering"] == []
    assert [each["place"] for each in found["tasks"]] == [None, None]  # two tasks are no map


def test_a_training_task_of_no_suite_at_hand_is_left_out(tmp_path: Path) -> None:
    read = opened(tmp_path, wanted=False)
    found = task_map.task_map(read, {"validation": [], "test": [text_task("b")]}, {"b": "g"}, 3)
    assert found is not None
    assert [each["task"] for each in found["tasks"]] == ["b"]
    assert found["tasks"][0]["nearest"]["task"] == "text"


def test_far_clusters_stay_apart() -> None:
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    points = rng.normal(size=(12, 5)) + 50 * np.repeat(np.eye(5)[:2], 6, axis=0)
    places, perplexity = task_map.flat(points)
    assert places.shape == (12, 2)
    assert perplexity == pytest.approx(11 / 3)
    away = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(away, np.inf)
    assert (away.argmin(axis=1) // 6 == np.arange(12) // 6).all()
    assert np.isfinite(task_map.flat(np.eye(3))[0]).all()  # the fewest episodes that can be measured
