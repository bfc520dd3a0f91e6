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
from metapeft.errors import EpisodeError
from metapeft.evaluation import run
from metapeft.evaluation.protocol import check_apart, origin_of
from metapeft.evaluation.run import Evaluation

LEFT = (("support", 3), ("query", 8))
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
    mixes += ["mix 0.5, logistic", "1 steps, mix 0.5"]
    starts = [f"{start}, {mix}" for start in ("static", "hypernetwork") for mix in mixes]
    starts.append("frozen, logistic")
    shuffled = ["shuffled, mix 0.5", "shuffled, mix 0.5, logistic", "shuffled, 1 steps, mix 0.5"]
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
        for key in ("support_loss", "query_loss"):
            assert {name: np.shape(values) for name, values in cell[key].items()} == curves
        first, *_, last = cell["support_loss"]["random"][0]
        assert last < first  # what its steps descend
        # one step of two starts in four episodes; one and five of a random start in two; three curves of ten in one
        assert cell["gradient_steps"] == 4 * 2 + 2 * (1 + 5) + 3 * 10
        assert cell["peak_memory_bytes"] > 0
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
    strip = [
        [{**cell, "seconds": 0, "peak_memory_bytes": 0} for cell in result_of(out)["cells"]] for out in (whole, parts)
    ]
    assert strip[0] == strip[1]


def test_baselines_need_scikit_learn_before_the_first_episode(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    assert call(trained, tmp_path / "out", "baselines=true") == 2
    assert 'pip install "metapeft[eval]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_page_needs_matplotlib_before_the_first_episode(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    suite, checkpoint = trained
    fast = [option for option in FAST if option != "html=false"]
    assert evaluate.main([f"suite={suite}", f"checkpoint={checkpoint}", f"out={tmp_path / 'out'}", *fast]) == 2
    assert 'pip install "metapeft[plots]"' in capsys.readouterr().err
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
    assert "unchecked" not in capsys.readouterr().out
    together = [f"more=[{trained[0]}]", "test=[other_circles]", "shots=[1]"]
    assert call((tmp_path / "other", trained[1]), tmp_path / "out", *together) == 0


def test_rows_whose_text_was_seen_are_left_out(trained: tuple[Path, Path]) -> None:
    suite, checkpoint = trained
    given = {"suite": str(suite), "checkpoint": str(checkpoint), "backbone": "mlp", "test": ["quick_circles"]}
    made = Evaluation(evaluate.EvaluateConfig(**given))
    task, own = made.test[0], origin_of(made.suite, "quick_circles")
    hashes = {side: made.suite.row_hashes("quick_circles", side) for side in ("support", "query")}
    seen = replace(own, task_id="other", texts=np.sort(np.concatenate([hashes["support"][:7], hashes["query"][5:8]])))
    none = np.full(len(task.support) + len(task.query), -1)
    cut, left = made._without_seen_texts(task, own, [seen], none)
    assert len(task.support) - len(cut.support) == 7
    assert len(task.query) - len(cut.query) == 3
    np.testing.assert_array_equal(cut.support.x, task.support.x[7:])
    assert not np.isin(left.texts, seen.texts).any()
    assert made.dropped == {"quick_circles": {"equal": 10, "near": 0}}
    whole, same = made._without_seen_texts(task, own, [replace(own, task_id="other")], none)
    assert whole is task and same.texts is own.texts  # the same corpus under another name: refused, not emptied
    near = np.where(np.arange(len(none)) % 5 < 2, 0, -1)  # too many, with equal ones and without
    near[:7] = [0, 0, -1, -1, -1, -1, -1]
    for texts in (seen.texts, seen.texts[:0]):
        whole, same = made._without_seen_texts(task, own, [replace(seen, texts=texts)], near)
        assert whole is task
        assert same.near == {"other": made.dropped["quick_circles"]["near"]}
        with pytest.raises(EpisodeError, match="more rows with training task 'other'"):
            check_apart([replace(seen, texts=texts)], [], [same], "domain")
    assert made.dropped["quick_circles"] == {"equal": 0, "near": np.count_nonzero(near == 0)}


def test_near_duplicates_of_training_are_left_out(
    trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, checkpoint = trained
    given = {"suite": str(suite), "checkpoint": str(checkpoint), "backbone": "mlp", "test": ["quick_circles"]}
    made = Evaluation(evaluate.EvaluateConfig(**given))
    names = own, other = "quick_sentiment_books", "quick_sentiment_electronics"
    texts = {side: made.suite.row_texts(own, side) for side in ("support", "query")}
    seen = {"support": [texts["query"][8], "nothing like it"], "query": [f"{texts['support'][3]} !!"]}
    monkeypatch.setattr(made.suite, "row_texts", lambda task, side: (texts if task == own else seen)[side])
    made.home, made.test = dict.fromkeys(names, made.suite), [made.suite.load(own)]
    before = made.test[0]
    capsys.readouterr()
    assert made._tracks({"training": [other], "validation": []}) == {own: "domain"}
    support, query = (np.array([text == texts[side][row] for text in texts[side]]) for side, row in LEFT)
    assert made.dropped[own] == {"equal": query.sum(), "near": support.sum()}
    assert f"({query.sum()} equal, {support.sum()} nearly)" in capsys.readouterr().out
    cut = made.test[0]
    np.testing.assert_array_equal(cut.support.y, before.support.y[~support])
    np.testing.assert_array_equal(cut.query.y, before.query.y[~query])
    assert cut.query.x.row(8).tolist() == before.query.x.row(9).tolist()


def test_training_tasks_that_cannot_be_compared_are_named(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = json.loads((trained[1].parent / "last/checkpoint.json").read_text())
    absent = facts["training"][0]
    kept = [name for name in [*facts["training"], *facts["validation"], "quick_circles"] if name != absent]
    assert build.main(["recipe=quickstart", f"tasks=[{','.join(kept)}]", f"out={tmp_path / 's'}", "quiet=true"]) == 0
    capsys.readouterr()
    assert call((tmp_path / "s", trained[1]), tmp_path / "out", "shots=[1]") == 0
    said = capsys.readouterr().out
    assert "unchecked   1 training tasks are in none of the suites" in said
    assert f"so nothing was compared with them: {absent}\n" in said
    assert result_of(tmp_path / "out")["unchecked"] == [absent]
    assert absent in (tmp_path / "out/report.md").read_text().rpartition("none of the suites")[2]
