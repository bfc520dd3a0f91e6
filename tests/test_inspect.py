"""metapeft.inspect and the checks behind it: a sound suite passes, and every kind of fault is caught."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metapeft import build, inspect
from metapeft.episodes import checks
from metapeft.episodes.episode import Episode
from metapeft.episodes.sampler import EpisodeSampler
from metapeft.tasks.suite import Suite


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "quickstart"
    assert build.main(["recipe=quickstart", f"out={out}", "quiet=true"]) == 0
    return out


def test_a_sound_suite_passes_and_writes_its_result(
    quickstart: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect.main([f"suite={quickstart}", "episodes=40"]) == 0
    shown = capsys.readouterr().out
    assert "every check holds" in shown
    assert "SYNTHETIC" in shown
    result = json.loads((in_tmp / "runs/inspect/quickstart/result.json").read_text())
    assert result["passed"]
    kinds = {report["kind"]: report for report in result["episodes"]}
    assert set(kinds) == {"standard", "variable-shot", "imbalanced", "domain-shift"}
    for report in kinds.values():
        assert report["episodes"] >= 40
        assert report["checks"] == dict.fromkeys(checks.CHECKS, True)
    assert {row["task"] for row in result["tasks"]} == {task.id for task in Suite(quickstart).tasks}
    assert sum(row["support"] for row in result["families"]) == sum(row["support"] for row in result["tasks"])


def test_a_damaged_suite_fails(quickstart: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = Path(shutil.copytree(quickstart, in_tmp / "suite"))
    with (copy / "README.md").open("a") as file:
        file.write("more")
    assert inspect.main([f"suite={copy}", "episodes=9", "out=o"]) == 1
    assert "damaged: README.md" in capsys.readouterr().out
    assert json.loads((in_tmp / "o/result.json").read_text())["passed"] is False


def test_a_text_in_both_pools_is_found(quickstart: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(quickstart, tmp_path / "suite"))
    suite = Suite(copy)
    task = next(task.id for task in suite.tasks if task.kind == "classification")
    for side in ("support", "query"):
        path = copy / task / f"{side}.parquet"
        table = pq.read_table(path)
        same = pa.array(["One Text" if side == "support" else "one  text"] * len(table))
        pq.write_table(table.set_column(table.column_names.index("text"), "text", same), path)
    report = checks.check_kind(suite, "standard", 40, 0)
    assert task in report.faults["disjoint"][0]
    assert set(report.faults) == {"disjoint"}


Spoil = Callable[[Episode], Episode]
SPOILS: list[tuple[str, str, Spoil]] = [
    ("standard", "sizes", lambda e: replace(e, query_rows=e.query_rows[:-1], query_y=e.query_y[:-1])),
    ("standard", "sizes", lambda e: replace(e, support_x=e.support_x[:-1])),
    ("standard", "balance", lambda e: replace(e, support_y=np.zeros_like(e.support_y))),
    ("imbalanced", "balance", lambda e: replace(e, support_y=np.zeros_like(e.support_y))),
    ("standard", "balance", lambda e: replace(e, query_y=np.where(e.query_y == 0, 1, e.query_y))),
    ("standard", "labels", lambda e: replace(e, support_y=e.support_y[::-1].copy(), query_y=e.query_y)),
    ("standard", "labels", lambda e: replace(e, classes=e.classes[::-1].copy())),
    ("standard", "disjoint", lambda e: replace(e, support_rows=np.r_[e.support_rows[1:], e.support_rows[1]])),
]


@pytest.mark.parametrize(("kind", "check", "spoil"), SPOILS)
def test_every_check_can_fail(
    quickstart: Path, kind: str, check: str, spoil: Spoil, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = EpisodeSampler.episodes
    monkeypatch.setattr(
        EpisodeSampler, "episodes", lambda self, first, count: list(map(spoil, good(self, first, count)))
    )
    assert check in checks.check_kind(Suite(quickstart), kind, 30, 0).faults


def test_an_episode_that_depends_on_its_batch_is_found(quickstart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = EpisodeSampler.episodes
    monkeypatch.setattr(EpisodeSampler, "episodes", lambda self, first, count: good(self, first + (count == 1), count))
    assert "deterministic" in checks.check_kind(Suite(quickstart), "standard", 30, 0).faults


def test_another_process_with_other_episodes_is_found(quickstart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = checks.check_kind

    def other(*arguments: Any) -> checks.KindReport:
        return replace(good(*arguments), digest="0")

    monkeypatch.setattr(checks, "check_kind", other)
    for report in checks.run_checks(Suite(quickstart), 9):
        assert report.faults["deterministic"] == ["another process samples other episodes"]


def test_no_suite_is_a_users_mistake(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect.main(["suite=nowhere"]) == 2
    assert "no suite here" in capsys.readouterr().err
    assert inspect.main([]) == 2
    assert "suite" in capsys.readouterr().err
