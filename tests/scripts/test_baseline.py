"""scripts/baseline.py: its rows, what it skips, and that a second run goes on from the first."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import baseline
import numpy as np
import pytest
from tokenizers import Tokenizer, models

from metapeft import build
from metapeft.backbones.mlp import make_mlp
from metapeft.meta.stream import limited, sampler_of
from metapeft.tasks.suite import Suite
from tests.scripts import tiny_encoder

POINTS = ["quick_linear_0", "quick_circles"]
TEXTS = ["quick_topic_news"]
FAST = ["episodes=3", "query=2", "steps=2", "rank=2", "figure=false"]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "quickstart"
    assert build.main(["recipe=quickstart", f"tasks=[{','.join(POINTS + TEXTS)}]", f"out={out}", "quiet=true"]) == 0
    return out


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tiny_encoder.tiny_bert(tmp_path_factory.mktemp("models") / "tiny-bert"))


def result_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "result.json").read_text())


def test_points(suite: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert baseline.main([f"suite={suite}", "backbone=mlp", "shots=[1,3]", *FAST]) == 0
    shown = capsys.readouterr().out
    assert "[2/2] quick_circles, 3 shots: 2 ways" in shown
    assert "**Synthetic.**" in shown
    out = in_tmp / "runs/baseline/quickstart-mlp"
    result = result_of(out)
    assert result["origin"] == "synthetic"
    assert [(skip["task"], skip["kind"]) for skip in result["skipped"]] == [("quick_topic_news", "classification")]
    assert "backbone=nano" in result["skipped"][0]["reason"]
    methods = [(baseline.FROZEN, 0), (baseline.RANDOM, 0), (baseline.RANDOM, 1), (baseline.RANDOM, 2)]
    expected = [(task, shots, *method) for task in POINTS for shots in (1, 3) for method in methods]
    assert [(row["task"], row["shots"], row["method"], row["steps"]) for row in result["rows"]] == expected
    for row in result["rows"]:
        assert row["track"] == "episode"
        assert row["metric"] == "accuracy"
        assert (row["ways"], row["query"], row["episodes"]) == (2, 2, 3)
        low, high = row["ci95"]
        assert 0 <= low <= row["mean"] <= high <= 1
    page = (out / "table.md").read_text()
    assert "**Synthetic.**" in page
    assert page.count("| quick_circles | points_nonlinear | synthetic | 2 |") == 2
    assert "| quick_topic_news | classification |" in page


def test_the_prototype_is_a_nearest_mean_by_angle(suite: Path, in_tmp: Path) -> None:
    order = [f"suite={suite}", "backbone=mlp", "episodes=4", "steps=0", "out=o", "figure=false"]
    assert baseline.main(order) == 0
    row = result_of(in_tmp / "o")["rows"][0]
    sampler = sampler_of(limited(Suite(suite).load(POINTS[0]), 2000), 2, 5, 15, 64)
    network, accuracies = make_mlp(2, seed=0), []
    for episode in sampler.episodes(0, 4):
        support, query = (
            np.array(network.suffix(network.prefix(x)).states) for x in (episode.support_x, episode.query_x)
        )
        support, query = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (support, query))
        means = np.stack([support[episode.support_y == label].mean(axis=0) for label in (0, 1)])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        accuracies.append(((query @ means.T).argmax(axis=1) == episode.query_y).mean())
    assert (row["method"], row["task"]) == (baseline.FROZEN, POINTS[0])
    assert row["mean"] == pytest.approx(np.mean(accuracies))


def test_texts(suite: Path, tiny_bert: Path, in_tmp: Path) -> None:
    assert baseline.main([f"suite={suite}", f"backbone={tiny_bert}", *FAST]) == 0
    result = result_of(in_tmp / "runs/baseline/quickstart-tiny-bert")
    assert {row["task"] for row in result["rows"]} == set(TEXTS)
    assert {row["ways"] for row in result["rows"]} == {4}
    assert [skip["task"] for skip in result["skipped"]] == POINTS
    assert all("backbone=mlp" in skip["reason"] for skip in result["skipped"])


def test_steps_fit_the_support_set(suite: Path, in_tmp: Path) -> None:
    order = [f"suite={suite}", "backbone=mlp", "episodes=20", "steps=10", "shots=[10]", "out=o", "figure=false"]
    assert baseline.main(order) == 0
    rows = [row for row in result_of(in_tmp / "o")["rows"] if row["task"] == "quick_linear_0"]
    means = {row["steps"]: row["mean"] for row in rows if row["method"] == baseline.RANDOM}
    assert set(means) == {0, 1, 2, 3, 5, 10}
    assert means[0] == pytest.approx(0.5, abs=0.25)
    assert means[10] > 0.8


def test_the_figure_is_of_every_task_that_ran(suite: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    order = [f"suite={suite}", "backbone=mlp", "shots=[1,3]", "out=o", *FAST]
    assert baseline.main(order) == 0
    assert not (in_tmp / "o/accuracy.svg").exists()
    shown: list[baseline.figures.Dot] = []
    drawn = baseline.figures.accuracies
    monkeypatch.setattr(baseline.figures, "accuracies", lambda *args: shown.extend(args[2]) or drawn(*args))
    assert baseline.main([*order[:-1], "figure=true"]) == 0
    assert (in_tmp / "o/accuracy.png").stat().st_size > 5000
    picture = (in_tmp / "o/accuracy.svg").read_text()
    assert "SYNTHETIC, no real data: suite quickstart, backbone mlp" in picture
    assert "random LoRA and head, 2 steps" in picture
    assert all(f"{task} (synthetic)" in picture for task in POINTS)
    rows = {(row["task"], row["shots"], row["method"], row["steps"]): row for row in result_of(in_tmp / "o")["rows"]}
    assert [(dot.task.split()[0], dot.shots, dot.chance) for dot in shown] == [
        (task, shots, 50.0) for task in POINTS for shots in (1, 3)
    ]
    for dot in shown:
        for found, method in (("frozen", (baseline.FROZEN, 0)), ("random", (baseline.RANDOM, 2))):
            row = rows[dot.task.split()[0], dot.shots, *method]
            assert dot.points[found] == pytest.approx([100 * value for value in (row["mean"], *row["ci95"])])


def test_without_matplotlib_nothing_is_measured(
    suite: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert baseline.main([f"suite={suite}", "backbone=mlp", "out=o"]) == 2
    assert "metapeft[plots]" in capsys.readouterr().err
    assert not (in_tmp / "o").exists()


def test_a_second_run_measures_nothing(suite: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = [f"suite={suite}", "backbone=mlp", "out=o", *FAST]
    assert baseline.main(order) == 0
    before = {path.name: path.read_bytes() for path in (in_tmp / "o").iterdir()}
    monkeypatch.setattr(baseline, "measure", None)
    assert baseline.main(order) == 0
    assert {path.name: path.read_bytes() for path in (in_tmp / "o").iterdir()} == before


def test_a_killed_run_goes_on(suite: Path, in_tmp: Path) -> None:
    order = [f"suite={suite}", "backbone=mlp", "out=o", *FAST]
    assert baseline.main(order) == 0
    whole = result_of(in_tmp / "o")
    lines = (in_tmp / "o/rows.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 2
    (in_tmp / "o/rows.jsonl").write_text(lines[0] + lines[1][:50])
    (in_tmp / "o/result.json").unlink()
    assert baseline.main(order) == 0
    resumed = result_of(in_tmp / "o")
    assert resumed == whole
    assert (in_tmp / "o/rows.jsonl").read_text().startswith(lines[0])
    assert len((in_tmp / "o/rows.jsonl").read_text().splitlines()) == 2


def test_other_settings_are_measured_anew(suite: Path, in_tmp: Path) -> None:
    for other in ([], ["learning_rate=0.5"], ["seed=1"]):
        assert baseline.main([f"suite={suite}", "backbone=mlp", "out=o", *FAST, *other]) == 0
    records = [json.loads(line) for line in (in_tmp / "o/rows.jsonl").read_text().splitlines()]
    assert [record["key"]["learning_rate"] for record in records] == [0.01, 0.01, 0.5, 0.5, 0.01, 0.01]
    assert result_of(in_tmp / "o")["rows"] == [row for record in records[4:] for row in record["rows"]]


def test_token_ids_of_another_tokenizer_are_refused(
    suite: Path, tiny_bert: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Path(shutil.copytree(tiny_bert, in_tmp / "other-bert"))
    Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")).save(str(other / "tokenizer.json"))
    assert baseline.main([f"suite={suite}", f"backbone={other}", "out=o", "figure=false"]) == 2
    assert "python -m metapeft.build recipe=quickstart tokenizer=" in capsys.readouterr().err
    assert not (in_tmp / "o").exists()


def test_a_task_that_is_too_small_is_listed(suite: Path, in_tmp: Path) -> None:
    assert baseline.main([f"suite={suite}", "backbone=mlp", "shots=[5000]", "out=o", *FAST]) == 0
    result = result_of(in_tmp / "o")
    assert result["rows"] == []
    reasons = {skip["task"]: skip["reason"] for skip in result["skipped"]}
    assert re.match(r"5000 shots: task 'quick_circles' can give \d+ shots and no more", reasons["quick_circles"])
    assert "No task could be run" in (in_tmp / "o/table.md").read_text()


def test_a_suite_without_a_task_for_the_backbone(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "texts"
    assert build.main(["recipe=quickstart", "tasks=[quick_topic_news]", f"out={texts}", "quiet=true"]) == 0
    assert baseline.main([f"suite={texts}", "backbone=mlp", "figure=false"]) == 2
    assert "no task for backbone=mlp; quick_topic_news: texts need a text backbone" in capsys.readouterr().err
