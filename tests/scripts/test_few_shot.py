"""scripts/few_shot.py: one table with every baseline, of one task."""

from __future__ import annotations

import json
from pathlib import Path

import few_shot
import pytest

from metapeft import build, train

pytest.importorskip("sklearn")

COLUMNS = [
    *("task", "ways", "shots", "frozen", "static, mix 0.5", "hypernetwork, mix 0.5", "shuffled, mix 0.5", "random"),
    *("auto", "auto + names", "head only", "nearest neighbour", "fine-tune, 10 steps", "fine-tune, 50 steps"),
    *("mean adapter, mix 0.5", "auto − frozen"),
]


def test_one_task_gives_one_table(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_points = ["recipe=quickstart", "tasks=[quick_linear_0,quick_linear_1,quick_circles,quick_spirals]"]
    assert build.main([*build_points, "out=suite", "quiet=true"]) == 0
    settings = ["backbone=mlp", "training=[quick_linear_0,quick_spirals]", "steps=2", "hypernetwork.episodes=8"]
    assert train.main(["suite=suite", "out=run", *settings, "shots=[1]", "validation_episodes=2"]) == 0
    capsys.readouterr()
    order = ["suite=suite", "task=quick_circles", "checkpoint=run/last", "backbone=mlp", "shots=[1,3]"]
    assert few_shot.main([*order, "episodes=3", "prior_episodes=2"]) == 0
    shown = capsys.readouterr().out
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown.splitlines() if line[:1] == "|"]
    assert lines[0] == COLUMNS
    assert [line[:3] for line in lines[2:4]] == [["quick_circles", "2", "1"], ["quick_circles", "2", "3"]]
    assert all(cell for line in lines[2:4] for cell in line)
    result = json.loads(Path("runs/few_shot/quick_circles/result.json").read_text())
    assert {len(values) for cell in result["cells"] for values in cell["accuracy"].values()} == {3}
    assert {cell["task"] for cell in result["cells"]} == {"quick_circles"}
    assert "fine-tune, 50 steps" in Path("runs/few_shot/quick_circles/report.md").read_text()
