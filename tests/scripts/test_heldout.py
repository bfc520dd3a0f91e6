"""scripts/heldout.py: all methods on the same episodes, training tasks refused, and a second run that goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import heldout
import numpy as np
import pytest

from metapeft import build, train

FAST = ["backbone=mlp", "episodes=3", "query=3", "steps=1", "prior_episodes=2", "ways=2", "random_episodes=2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A suite, and a checkpoint that was not trained on circles and spirals."""
    folder = tmp_path_factory.mktemp("trained")
    suite = folder / "quickstart"
    assert build.main(["recipe=quickstart", f"out={suite}", "quiet=true"]) == 0
    settings = ["backbone=mlp", "exclude=[points_nonlinear]", "steps=2", "hypernetwork.episodes=12", "shots=[1,3]"]
    assert train.main([f"suite={suite}", f"out={folder / 'run'}", *settings, "validation_episodes=2"]) == 0
    return suite, folder / "run/last"


def call(trained: tuple[Path, Path], out: Path, *more: str) -> int:
    return heldout.main([f"suite={trained[0]}", f"checkpoint={trained[1]}", f"out={out}", *FAST, *more])


def test_every_method_reads_the_same_episodes(trained: tuple[Path, Path], tmp_path: Path) -> None:
    assert call(trained, tmp_path, "test=[points_nonlinear]", "shots=[1,3]") == 0
    rows: list[dict[str, Any]] = json.loads((tmp_path / "result.json").read_text())["rows"]
    methods = {row["method"] for row in rows}
    mixes = [f"mix {mix:g}" for mix in (0.25, 0.5, 1.0)]
    starts = [f"{start}, {mix}" for start in ("static", "hypernetwork") for mix in [*mixes, "1 steps, mix 0.5"]]
    shuffled = ["shuffled, mix 0.5", "shuffled, 1 steps, mix 0.5"]
    # points have no names of classes, so only the choice is offered with and without
    assert methods == {"frozen", "auto", "auto + names", "random", *starts, *shuffled}
    assert {(row["task"], row["shots"]) for row in rows} == {
        (task, shots) for task in ("quick_circles", "quick_spirals") for shots in (1, 3)
    }
    for path in (tmp_path / "cells").iterdir():
        cell = json.loads(path.read_text())
        assert {name: len(values) for name, values in cell["accuracy"].items()} == {
            name: 2 if name == "random" else 3 for name in methods
        }
        assert {sum(counts.values()) for counts in cell["chosen"].values()} == {3}
        assert cell["accuracy"]["auto + names"] == cell["accuracy"]["auto"]
        at_hand = [cell["accuracy"][name] for name in ("frozen", *starts)]
        for number, chosen in enumerate(cell["accuracy"]["auto"]):
            assert chosen in [values[number] for values in at_hand]
    assert "Chosen by auto" in (tmp_path / "table.md").read_text()


def test_a_second_run_takes_finished_cells_and_others_anew(trained: tuple[Path, Path], tmp_path: Path) -> None:
    assert call(trained, tmp_path, "test=[quick_circles]", "shots=[1]") == 0
    path = tmp_path / "cells/quick_circles-1.json"
    first = json.loads(path.read_text())
    path.write_text(json.dumps(first | {"seconds": -1.0}))
    assert call(trained, tmp_path, "test=[quick_circles]", "shots=[1]") == 0
    assert json.loads(path.read_text())["seconds"] == -1.0  # not run again
    assert call(trained, tmp_path, "test=[quick_circles]", "shots=[1]", "seed=1") == 0
    assert json.loads(path.read_text())["seconds"] > 0


def test_tasks_of_training_are_refused(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(trained, tmp_path, "test=[points_linear]") == 2
    assert "was trained or validated on quick_linear_0, quick_linear_1" in capsys.readouterr().err


def test_rows_pair_each_method_with_the_frozen_prototype() -> None:
    cell = {"task": "t", "family": "f", "ways": 2, "shots": 1, "similarity": 0.5, "chosen": {"auto": {"frozen": 20}}}
    right = np.linspace(0.2, 0.6, 20)
    cell["accuracy"] = {"frozen": right.tolist(), "auto": (right + 0.1).tolist()}
    frozen, auto = heldout.rows_of(cell, 0)
    assert frozen["p_against_frozen"] == 1
    assert auto["p_against_frozen"] < 0.001
    assert auto["mean"] == pytest.approx(0.5)
    assert auto["ci95"][0] < 0.5 < auto["ci95"][1]
