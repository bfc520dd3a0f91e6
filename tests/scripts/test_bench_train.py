"""scripts/bench_train.py: the plain form says what ours says, and a quick run writes its figures."""

from __future__ import annotations

import json
from pathlib import Path

import bench_train
import numpy as np
import pytest

from metapeft import build
from metapeft.errors import MetapeftError
from metapeft.meta.methods import method_named
from metapeft.mlx import utils
from tests.scripts.tiny_encoder import tiny_bert


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("bench")
    made = ["recipe=quickstart", f"tasks=[{bench_train.TASK}]", f"out={out / 'suite'}", "quiet=true"]
    assert build.main(made) == 0
    return {"backbone": tiny_bert(out / "tiny"), "suite": str(out / "suite")}


def test_a_quick_run_writes_its_figures(order: dict[str, str], in_tmp: Path, capsys: pytest.CaptureFixture[str]):
    given = [f"{key}={value}" for key, value in order.items()]
    assert bench_train.main([*given, "quick=true", "steps=[0,2]"]) == 0
    result = json.loads((in_tmp / "runs/bench/train/result.json").read_text())
    assert result["agreement"]["agree"]
    for who in ("metapeft", "metapeft, hypernetwork", bench_train.PLAIN):
        for what in ("0 steps", "2 steps", bench_train.AS_TRAINED):
            assert len(result["rounds"][f"{what}: {who}"]) == 1
    assert result["summary"]["2 steps: metapeft"]["ratio"]["median"] > 0
    assert result["memory"]["steps"].keys() == {"1", "3"}
    shown = capsys.readouterr().out
    assert "SYNTHETIC" in shown
    assert "agreement  yes" in shown


def test_one_outer_step_of_the_plain_form_is_ours(order: dict[str, str], tmp_path: Path):
    problem = bench_train.problem_of(bench_train.Config(**order), tmp_path)
    plain = bench_train.Plain(problem.backbone, problem.meta, problem.outer)
    ours = bench_train.Ours(problem, problem.method, problem.setup, problem.meta)
    loss = ours.outer_step(0, 2)
    assert plain.outer_step([(problem.episode(i), 2) for i in range(bench_train.BATCH)]) == pytest.approx(
        loss, abs=1e-5
    )
    theirs = dict(utils.tree_flatten(plain.meta["base"]))
    for path, leaf in utils.tree_flatten(ours.state.meta["base"]):
        # Adam's first step has the size of its rate, whichever way: only the sign of what is nearly 0 may differ
        far = np.abs(np.array(leaf) - np.array(theirs[path])) > 1e-6
        assert far.mean() < 0.01, path


def test_the_number_of_steps_can_be_fixed():
    def gradient(setup, meta, item, steps):
        return steps

    method = method_named("meta_sgd")._replace(gradient=gradient)
    assert bench_train.fixed(method, 3).gradient(None, {}, None, 1) == 3
    assert bench_train.fixed(method, None).gradient(None, {}, None, 1) == 1


def test_another_activation_is_refused(order: dict[str, str], tmp_path: Path):
    other = order | {"backbone": tiny_bert(tmp_path / "tiny", hidden_act="relu")}
    problem = bench_train.problem_of(bench_train.Config(**other), tmp_path)
    with pytest.raises(MetapeftError, match="knows gelu only, not relu"):
        bench_train.Plain(problem.backbone, problem.meta, problem.outer)
