"""metrics.jsonl: whole lines, and none of steps that are taken again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metapeft.errors import MetapeftError
from metapeft.meta.tracking import Metrics, Tracker, read_metrics, tracker


def test_lines_are_written_and_sent(tmp_path: Path) -> None:
    sent = []
    metrics = Metrics(tmp_path / "metrics.jsonl", 0, lambda step, numbers: sent.append((step, numbers)))
    metrics.write(1, {"loss": 0.5})
    metrics.write(2, {"loss": 0.25})
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]
    assert sent == [(1, {"loss": 0.5}), (2, {"loss": 0.25})]


def test_a_run_that_goes_on_forgets_what_it_takes_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    assert [line["step"] for line in read_metrics(path)] == [1, 2, 3]
    Metrics(path, 2, lambda *_: None).write(3, {"loss": 1.0})
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 3, "loss": 1.0}\n'


def test_no_file_no_lines(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "none") == []


def test_a_tracker_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MetapeftError, match="report_to=tensorboard: .*\n  pip install tensorboardX"):
        tracker("tensorboard", "p", {}, tmp_path)
    tracker("none", "p", {}, tmp_path)(1, {})


SINK = """
calls = []


def init(**options):
    calls.append(options)


def log(numbers, step):
    calls.append((step, numbers))
"""


@pytest.mark.parametrize(("name", "own"), [("wandb", True), ("trackio", False)])
def test_numbers_go_to_a_tracker_of_wandbs_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: Tracker, own: bool
) -> None:
    (tmp_path / f"{name}.py").write_text(SINK, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    log = tracker(name, "p", {"steps": 3}, tmp_path / "run")
    log(1, {"meta_loss": 0.5})
    begun, said = sys.modules[name].calls
    assert begun == {"project": "p", "config": {"steps": 3}} | ({"dir": str(tmp_path / "run")} if own else {})
    assert said == (1, {"meta_loss": 0.5})
    monkeypatch.delitem(sys.modules, name)
