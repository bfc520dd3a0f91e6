"""scripts/measure_embeddings.py: its halves, its rows, its picture, and suites it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import measure_embeddings
import numpy as np
import pytest

from metapeft import build
from metapeft.embeddings.embedder import DEFAULT_BLOCKS
from metapeft.tasks.suite import SuiteTask
from tests.embeddings.made import made

FAST = ["episodes=2", "shots=1", "ways=2", "shuffles=5", "dims=8", "max_tokens=16"]


def tasks_of(families: str) -> list[SuiteTask]:
    return [SuiteTask(f"{family}{i}", "classification", family, {}) for i, family in enumerate(families)]


def test_halves_share_no_task_and_every_family():
    one, two = measure_embeddings.deal(tasks_of("aabab"))
    assert [task.id for task in one] == ["a0", "a3", "b2"]
    assert [task.id for task in two] == ["a1", "b4"]


def test_a_suite_of_too_few_tasks_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    suite = tmp_path / "quickstart"
    assert build.main(["recipe=quickstart", "tasks=[quick_topic_news]", f"out={suite}", "quiet=true"]) == 0
    assert measure_embeddings.main([f"suite={suite}", f"out={tmp_path / 'out'}", "figure=false", *FAST]) == 2
    assert "0 of 2 halves have two families" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_rows_and_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The support sets are made up, so that no network runs; the suite only says which tasks there are."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    suite, out = tmp_path / "quickstart", tmp_path / "out"
    assert build.main(["recipe=quickstart", "tasks=[quick_topic_news]", f"out={suite}", "quiet=true"]) == 0
    tasks = tasks_of("aaaabbbb")

    def see(suite, task, backbone, config):
        centre = 5.0 * np.random.default_rng(ord(task.family)).normal(size=12)
        seeds = range(10 * int(task.id[1:]), 10 * int(task.id[1:]) + 2)
        return [measure_embeddings.Seen(made(seed, centre=centre), task.id, task.family) for seed in seeds]

    class FakeSuite(measure_embeddings.Suite):
        def __init__(self, path):
            super().__init__(path)
            self.tasks = tasks

    monkeypatch.setattr(measure_embeddings, "see", see)
    monkeypatch.setattr(measure_embeddings, "Suite", FakeSuite)
    assert measure_embeddings.main([f"suite={suite}", f"out={out}", *FAST]) == 0
    result = json.loads((out / "result.json").read_text())
    names = [*DEFAULT_BLOCKS, "all", measure_embeddings.HIDDEN]
    assert [(row["half"], row["embedding"]) for row in result["rows"]] == [(h, n) for h in (0, 1) for n in names]
    assert all(row["episodes"] == 8 for row in result["rows"])
    assert all(row["purity"] == 1.0 for row in result["rows"] if row["embedding"] == "prototypes")
    shown = capsys.readouterr().out
    assert "SYNTHETIC" in shown
    assert (out / "embeddings.png").stat().st_size > 5000
    picture = (out / "embeddings.svg").read_text()
    assert "SYNTHETIC, no real data: suite quickstart, backbone nano" in picture
    for row in result["rows"]:
        if row["embedding"] == "all":
            purity = f"{row['purity']:.2f}, shuffled {row['shuffled_purity']:.2f}"
            assert f"half {row['half'] + 1}: nearest-neighbour purity {purity}" in picture


def test_a_missing_library_is_said_before_anything_runs(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert measure_embeddings.main(["suite=nowhere"]) == 2
    assert "metapeft[eval]" in capsys.readouterr().err
    assert measure_embeddings.main(["suite=nowhere", "figure=false"]) == 2
    assert "nowhere" in capsys.readouterr().err
