"""metapeft.evaluate: what it writes, a second run that goes on, what it refuses."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metapeft import build, evaluate, train
from metapeft.evaluation import run
from metapeft.evaluation.protocol import origin_of
from metapeft.evaluation.run import Evaluation

FAST = ["backbone=mlp", "episodes=4", "query=3", "prior_episodes=2", "ways=2", "control_episodes=2", "html=false"]


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
    return evaluate.main([f"suite={trained[0]}", f"checkpoint={trained[1]}", f"out={out}", *FAST, *more])


def result_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def test_every_method_reads_the_same_episodes(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(trained, tmp_path, "shots=[1,3]", "steps=1", "curve_episodes=1") == 0
    assert "SYNTHETIC" in capsys.readouterr().out
    result = result_of(tmp_path)
    mixes = [f"mix {mix:g}" for mix in (0.25, 0.5, 1.0)]
    mixes += ["mix 0.5, ridge", "1 steps, mix 0.5"]
    starts = [f"{start}, {mix}" for start in ("static", "hypernetwork") for mix in mixes]
    starts.append("frozen, ridge")
    shuffled = ["shuffled, mix 0.5", "shuffled, mix 0.5, ridge", "shuffled, 1 steps, mix 0.5"]
    # points have no names of classes, so only the choice is offered with and without
    methods = {"frozen", "auto", "auto + names", "random", *starts, *shuffled}
    assert {(cell["task"], cell["shots"]) for cell in result["cells"]} == {
        (task, shots) for task in ("quick_circles", "quick_spirals") for shots in (1, 3)
    }
    for cell in result["cells"]:
        assert {name: len(values) for name, values in cell["accuracy"].items()} == {
            name: 2 if name in {"random", *shuffled} else 4 for name in methods
        }
        assert set(cell["macro_f1"]) == {"frozen", *starts}
        assert {sum(counts.values()) for counts in cell["chosen"].values()} == {4}
        assert cell["accuracy"]["auto + names"] == cell["accuracy"]["auto"]
        at_hand = [cell["accuracy"][name] for name in ("frozen", *starts)]
        for number, chosen in enumerate(cell["accuracy"]["auto"]):
            assert chosen in [values[number] for values in at_hand]
        assert cell["track"] == "family"
        curves = {name: np.shape(values) for name, values in cell["curves"].items()}
        assert curves == dict.fromkeys(("static, mix 0.5", "hypernetwork, mix 0.5", "random"), (1, 6))
        assert cell["curves"]["static, mix 0.5"][0][0] == cell["accuracy"]["static, mix 0.5"][0]
    assert {row["method"] for row in result["rows"]} == methods
    assert {line["verdict"] for line in result["criteria"]} <= {"met", "missed", "not measured"}
    report = (tmp_path / "report.md").read_text()
    assert "quick_spirals" in report
    assert not (tmp_path / "report.html").exists()


def test_a_second_run_takes_finished_cells_and_others_anew(trained: tuple[Path, Path], tmp_path: Path) -> None:
    first = ["test=[quick_circles]", "shots=[1]"]
    assert call(trained, tmp_path, *first) == 0
    before = (tmp_path / "result.json").read_bytes()
    path = tmp_path / "cells/quick_circles-1.json"
    cell = json.loads(path.read_text())
    assert call(trained, tmp_path, *first) == 0
    assert (tmp_path / "result.json").read_bytes() == before
    path.write_text(json.dumps(cell | {"seconds": -1.0}))
    assert call(trained, tmp_path, *first) == 0
    assert result_of(tmp_path)["cells"][0]["seconds"] == -1.0  # not run again
    assert call(trained, tmp_path, *first, "seed=1") == 0
    assert result_of(tmp_path)["cells"][0]["seconds"] > 0
    assert result_of(tmp_path)["cells"][0]["episodes_sha256"] != cell["episodes_sha256"]


def test_a_killed_run_ends_with_the_same_cells(trained: tuple[Path, Path], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert call(trained, whole, "shots=[1]") == 0
    assert call(trained, parts, "shots=[1]", "test=[quick_spirals]") == 0
    assert call(trained, parts, "shots=[1]") == 0
    strip = [[{**cell, "seconds": 0} for cell in result_of(out)["cells"]] for out in (whole, parts)]
    assert strip[0] == strip[1]


def test_baselines_need_scikit_learn_before_the_first_episode(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    assert call(trained, tmp_path / "out", "baselines=true") == 2
    assert 'pip install "metapeft[eval]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_baselines_are_tuned_on_validation_tasks_once(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    met: list[str] = []
    given = run.tuned

    def watched(episodes: Any, *rest: Any) -> Any:
        episodes = list(episodes)
        met.extend(item.task_id for item, _ in episodes)
        return given(episodes, *rest)

    monkeypatch.setattr(run, "tuned", watched)
    order = ["test=[quick_circles]", "shots=[1]", "baselines=true"]
    assert call(trained, tmp_path, *order) == 0
    result = result_of(tmp_path)
    assert set(met) == set(result["validation"])
    assert len(met) == 2 * 2 * len(result["validation"])  # at 1 and at 5 shots
    lines = {line["method"]: line for line in result["tuned"]}
    assert set(lines) == {"head only", "random", "fine-tune, 10 steps", "fine-tune, 50 steps"}  # points have no texts
    for line in lines.values():
        tried = dict(line["tried"])
        assert tried[line["chosen"]] == max(tried.values())
    assert "tuned       head only: C" in capsys.readouterr().out
    assert "tuned on validation tasks" in (tmp_path / "report.md").read_text()
    met.clear()
    assert call(trained, tmp_path, *order) == 0
    assert not met
    assert result_of(tmp_path) == result


def test_known_tasks_need_the_episode_track(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(trained, tmp_path, "test=[quick_linear_0]", "shots=[1]") == 2
    assert "was trained or validated on 'quick_linear_0'" in capsys.readouterr().err
    assert call(trained, tmp_path, "test=[quick_linear_0]", "shots=[1]", "track=domain") == 2
    assert "'quick_linear_0' shares its id with" in capsys.readouterr().err
    assert call(trained, tmp_path, "test=[quick_linear_0]", "shots=[1]", "track=episode") == 0
    assert result_of(tmp_path)["cells"][0]["track"] == "episode"


def test_what_another_checkpoint_saw_is_kept_out_on_request(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ["test=[quick_circles]", "shots=[1]", "track=family"]
    assert call(trained, tmp_path, *order, "apart=[quick_spirals]") == 2
    assert "'quick_circles' shares the family points_nonlinear" in capsys.readouterr().err
    assert call(trained, tmp_path, *order) == 0


def test_validation_tasks_must_be_at_hand(trained: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    recipe = tmp_path / "other.yaml"
    recipe.write_text(
        (Path(__file__).parent.parent / "recipes/quickstart.yaml").read_text().replace("quick_", "other_")
    )
    assert build.main([f"recipe={recipe}", f"out={tmp_path / 'other'}", "quiet=true"]) == 0
    assert call((tmp_path / "other", trained[1]), tmp_path / "out", "test=[other_circles]", "shots=[1]") == 2
    assert "are in none of the suites" in capsys.readouterr().err
    together = [f"more=[{trained[0]}]", "test=[other_circles]", "shots=[1]"]
    assert call((tmp_path / "other", trained[1]), tmp_path / "out", *together) == 0


def test_rows_whose_text_was_seen_are_left_out(trained: tuple[Path, Path]) -> None:
    suite, checkpoint = trained
    given = {"suite": str(suite), "checkpoint": str(checkpoint), "backbone": "mlp", "test": ["quick_circles"]}
    made = Evaluation(evaluate.EvaluateConfig(**given))
    task, own = made.test[0], origin_of(made.suite, "quick_circles")
    hashes = {side: made.suite.row_hashes("quick_circles", side) for side in ("support", "query")}
    seen = replace(own, task_id="other", texts=np.sort(np.concatenate([hashes["support"][:7], hashes["query"][5:8]])))
    cut, left = made._without_seen_texts(task, own, [seen])
    assert len(task.support) - len(cut.support) == 7
    assert len(task.query) - len(cut.query) == 3
    np.testing.assert_array_equal(cut.support.x, task.support.x[7:])
    assert not np.isin(left.texts, seen.texts).any()
    assert made.dropped == {"quick_circles": 10}
    whole, same = made._without_seen_texts(task, own, [replace(own, task_id="other")])
    assert whole is task and same is own  # the same corpus under another name: refused, not emptied
