"""scripts/join_results.py: folds as one report."""

from __future__ import annotations

import json
from pathlib import Path

import join_results
import pytest

from tests.evaluation.made_cells import result_of_one_cell


def folder(path: Path, task: str, frozen: list[float], **other: object) -> str:
    made = result_of_one_cell(0, frozen, [0.1])
    made["cells"][0]["task"] = task
    about = {
        "backbone": "b",
        "method": "protonet",
        "suite": "s",
        "suite_sha256": "0",
        "comparisons": [],
        "checkpoint": "c",
    }
    path.mkdir()
    (path / "result.json").write_text(
        json.dumps(made | about | {"training": [], "validation": [], "tuned": []} | other)
    )
    return str(path)


def test_folds_become_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    folders = [folder(tmp_path / name, name, [mean] * 3) for name, mean in (("one", 0.2), ("two", 0.4))]
    assert join_results.main([f"results=[{','.join(folders)}]", f"out={tmp_path / 'out'}"]) == 0
    assert "**mean of 2 tasks** |  | **1** | **30.0** | **10.0** | **40.0**" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"result.json", "report.md", "report.html"}


def test_what_cannot_be_joined_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = folder(tmp_path / "one", "t", [0.2]), folder(tmp_path / "two", "u", [0.2], method="maml")
    assert join_results.main([f"results=[{one},{tmp_path}]", f"out={tmp_path / 'out'}"]) == 2
    assert "has no result.json" in capsys.readouterr().err
    assert join_results.main([f"results=[{one},{other}]", f"out={tmp_path / 'out'}"]) == 2
    assert "results of different kinds: b maml, mix 1, b protonet, mix 1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
