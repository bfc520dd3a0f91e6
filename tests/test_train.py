"""metapeft.train: what it writes, resuming bit for bit after a kill, two ranks, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from metapeft import build, train
from metapeft.meta.checkpoint import read_facts
from metapeft.meta.tracking import read_metrics
from metapeft.mlx import mx

POINTS = ["backbone=mlp", "shots=[1,3]", "query=4", "validation_episodes=3", "hypernetwork.episodes=20"]
TEXTS = ["ways=[2,2]", "shots=[1]", "query=2", "validation_episodes=1", "hypernetwork.episodes=12", "inner_steps=1"]

_FOUND = shutil.which("mlx.launch", path=str(Path(sys.executable).parent))
_PORT = str(20_000 + os.getpid() % 20_000)  # tests of another process may run ranks too
LAUNCH = (
    [_FOUND, "-n", "2", "--backend", "ring", "-p", _PORT, "--", sys.executable, "-m", "metapeft.train"]
    if _FOUND
    else []
)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "quickstart"
    assert build.main(["recipe=quickstart", f"out={out}", "quiet=true"]) == 0
    return out


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """Every array of a checkpoint."""
    return {
        f"{name}|{key}": np.array(value)
        for name in ("meta", "moments")
        for key, value in mx.load(str(folder / f"{name}.safetensors")).items()
    }


def assert_same_arrays(first: Path, second: Path) -> None:
    a, b = arrays(first), arrays(second)
    assert set(a) == set(b)
    for name, value in a.items():
        assert np.array_equal(value, b[name]), name


def test_a_run_writes_what_it_did(suite: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [f"suite={suite}", *POINTS, "steps=6", "validate_every=3", "report_to=none"]
    assert train.main(arguments) == 0
    out = in_tmp / "runs/train/quickstart-hypernetwork-mlp"
    shown = capsys.readouterr().out
    assert "SYNTHETIC" in shown
    assert "[6/6] meta-loss" in shown
    assert "frozen prototype" in shown
    lines = read_metrics(out / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert {
        *("meta_loss", "support_loss", "query_loss", "adaptation_speed", "gradient_norm"),
        *("tasks", "families", "tasks_per_second"),
    } <= set(lines[0])
    assert "validation_score" in lines[2]
    assert "validation_score" not in lines[0]
    result = json.loads((out / "result.json").read_text())
    assert [entry["step"] for entry in result["history"]] == [0, 3, 6]
    assert result["best"]["score"] == max(entry["score"] for entry in result["history"])
    facts = read_facts(out / "last")
    assert facts["step"] == 6
    assert not set(facts["training"]) & set(facts["validation"])
    written = {"meta.safetensors", "moments.safetensors", "checkpoint.json", "prior.json"}
    assert set(os.listdir(out / "last")) == written
    prior = json.loads((out / "last/prior.json").read_text())
    for _, lines in prior["sizes"]:
        assert "static, mix 0.5" in lines


@pytest.mark.parametrize("method", ["maml", "meta_sgd", "anil", "reptile", "protonet", "multitask"])
def test_every_method_trains_on_points(suite: Path, tmp_path: Path, method: str) -> None:
    out = tmp_path / method
    arguments = [f"suite={suite}", f"out={out}", *POINTS, f"method={method}", "steps=2", "batch=2"]
    assert train.main(arguments) == 0
    assert read_facts(out / "last")["method"] == method
    facts = json.loads((out / "last/checkpoint.json").read_text())
    assert facts["embedder"] is None


def test_the_curriculum_and_second_order_run(suite: Path, tmp_path: Path) -> None:
    curriculum = tmp_path / "mine.yaml"
    curriculum.write_text("stages:\n  - {name: one, steps: 1, shots: [1, 1]}\n  - {name: two, shots: [3, 3]}\n")
    out = tmp_path / "run"
    more = ["order=2", f"curriculum={curriculum}", "hypernetwork.task_rates=true", "keep=0.5", "every_step=true"]
    assert train.main([f"suite={suite}", f"out={out}", *POINTS, "steps=2", *more]) == 0


def test_patience_stops_early(suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    more = ["steps=40", "patience=2", "validate_every=1", "learning_rate=1e-12", "inner_steps=0"]
    assert train.main([f"suite={suite}", f"out={out}", *POINTS, *more]) == 0
    # nothing is learned at that rate, so no validation is above the first
    assert read_facts(out / "last")["step"] == 2


@pytest.mark.parametrize(("kind", "steps"), [pytest.param(POINTS, 24, id="points"), pytest.param(TEXTS, 8, id="nano")])
def test_a_killed_run_goes_on_bit_for_bit(suite: Path, tmp_path: Path, kind: list[str], steps: int) -> None:
    common = [f"suite={suite}", *kind, f"steps={steps}", "batch=2", "save_every=3", "validate_every=4", "keep=0.5"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train.main([*common, f"out={whole}"]) == 0
    command = [sys.executable, "-m", "metapeft.train", *common, f"out={killed}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while len(read_metrics(killed / "metrics.jsonl")) < 4:
            assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    step = read_facts(killed / "last")["step"]
    assert 0 < step < steps, "the run was not killed in the middle"
    assert train.main([*common, f"out={killed}"]) == 0
    assert_same_arrays(whole / "last", killed / "last")
    ends = [json.loads((out / "result.json").read_text())["history"] for out in (whole, killed)]
    assert ends[0] == ends[1]
    timeless = [
        [{k: v for k, v in line.items() if "second" not in k} for line in read_metrics(out / "metrics.jsonl")]
        for out in (whole, killed)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.skipif(not LAUNCH, reason="mlx.launch is not installed")
def test_two_ranks_give_what_one_does(suite: Path, tmp_path: Path) -> None:
    common = [f"suite={suite}", *POINTS, "steps=4", "batch=4", "validate_every=2"]
    assert train.main([*common, f"out={tmp_path / 'one'}"]) == 0
    done = subprocess.run([*LAUNCH, *common, f"out={tmp_path / 'two'}"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = arrays(tmp_path / "one/last"), arrays(tmp_path / "two/last")
    assert set(one) == set(two)
    for name, value in one.items():
        np.testing.assert_allclose(value, two[name], atol=1e-5, err_msg=name)


@pytest.mark.skipif(not LAUNCH or sys.platform != "linux", reason="needs mlx.launch and /proc")
def test_a_rank_that_dies_ends_the_run_and_leaves_a_checkpoint(suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "two"
    common = [f"suite={suite}", f"out={out}", *POINTS, "steps=4000", "batch=2", "save_every=1"]
    with subprocess.Popen([*LAUNCH, *common], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        deadline = time.monotonic() + 120
        while len(read_metrics(out / "metrics.jsonl")) < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        victim = next(
            int(folder.name)
            for folder in Path("/proc").glob("[0-9]*")
            if (told := _told(folder)) and f"out={out}" in told and "MLX_RANK=1" in told
        )
        os.kill(victim, signal.SIGKILL)
        shown, _ = process.communicate(timeout=60)
    assert "rank 1 exited" in shown
    facts = read_facts(out / "last")
    assert 0 < facts["step"] < 4000
    assert arrays(out / "last")


def _told(folder: Path) -> str:
    """Command line and environment of a process; nothing where it has gone."""
    try:
        return ((folder / "cmdline").read_bytes() + b"\0" + (folder / "environ").read_bytes()).decode(errors="replace")
    except OSError:
        return ""


def test_another_run_in_the_way_is_named(suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = [f"suite={suite}", f"out={tmp_path / 'run'}", *POINTS, "steps=2", "method=protonet"]
    assert train.main(common) == 0
    assert train.main([*common, "mix=0.25"]) == 2
    shown = capsys.readouterr().err
    assert "holds a run with other settings (mix)" in shown
    assert "resume=false" in shown
    assert train.main([*common, "mix=0.25", "resume=false"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["method=mamml"], "no method 'mamml'. Did you mean 'maml'"),
        (["exclude=[nothing]"], "'nothing' is neither a task nor a family here"),
        (["exclude=[points_linear,points_nonlinear]"], "tasks are left to train and validate on"),
        (["report_to=wandb"], "pip install wandb"),
        (["batch=0"], "batch=0"),
        (["ways=[1,5]"], "it takes two classes to tell them apart"),
        (["ways=[5,2]"], "ways=[5, 2]"),
        (["hypernetwork.blocks=[handcraftet]"], "Did you mean 'handcrafted'"),
        (["lora.keys=[linar]"], "Did you mean 'linear'"),
    ],
)
def test_mistakes(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert train.main([f"suite={suite}", f"out={tmp_path / 'run'}", *POINTS, "steps=1", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_suite_that_is_not_there(capsys: pytest.CaptureFixture[str], in_tmp: Path) -> None:
    assert train.main(["suite=nowhere"]) == 2
    assert "no suite here" in capsys.readouterr().err


def test_dry_run_shows_and_writes_nothing(suite: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([f"suite={suite}", *POINTS, "dry_run=true"]) == 0
    assert "generator" in capsys.readouterr().out
    assert not list(in_tmp.iterdir())


def test_names_of_classes_take_part(suite: Path, tmp_path: Path) -> None:
    arguments = [f"suite={suite}", *TEXTS, "steps=2", "seed=1"]
    for names in ("never", "always"):
        assert train.main([*arguments, f"names={names}", f"out={tmp_path / names}"]) == 0
    never, always = (arrays(tmp_path / names / "last") for names in ("never", "always"))
    weight = "meta|meta|head|log_name_weight"
    assert never[weight] == 0
    assert always[weight] != 0  # how much a name is worth was learned


def test_training_tasks_are_named_and_come_from_several_suites(suite: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    recipe = tmp_path / "other.yaml"
    recipe.write_text(
        (Path(__file__).parent.parent / "recipes/quickstart.yaml").read_text().replace("quick_", "other_")
    )
    assert build.main([f"recipe={recipe}", f"out={other}", "quiet=true"]) == 0
    arguments = [f"suite={suite}", f"more=[{other}]", *POINTS, "steps=1", f"out={tmp_path / 'run'}"]
    assert train.main([*arguments, "training=[other_linear_0]", "validation=[quick_circles]"]) == 0
    facts = read_facts(tmp_path / "run/last")
    assert facts["training"] == ["other_linear_0"]
    assert facts["validation"] == ["quick_circles"]
    assert len(facts["settings"]["more_sha256"]) == 1


def test_two_suites_with_one_task_are_refused(suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([f"suite={suite}", f"more=[{suite}]", *POINTS, f"out={tmp_path}"]) == 2
    assert "two suites have a task 'quick_" in capsys.readouterr().err


def test_the_text_block_reads_the_names_of_the_classes(suite: Path, tmp_path: Path) -> None:
    blocks = "hypernetwork.blocks=[prototypes,text]"  # without names nothing could be fitted: `text` refuses that
    assert train.main([f"suite={suite}", *TEXTS, "steps=1", blocks, f"out={tmp_path}", "prior_episodes=0"]) == 0
    assert read_facts(tmp_path / "last")["embedder"]["blocks"] == ["prototypes", "text"]


def test_the_only_task_of_a_family_is_no_validation_task_unless_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "quickstart"
    assert build.main(["recipe=quickstart", f"out={suite}", "quiet=true"]) == 0
    assert train.main([f"suite={suite}", "dry_run=true"]) == 0
    assert "\nvalidation  quick_sentiment_" in capsys.readouterr().out
    assert train.main([f"suite={suite}", "dry_run=true", "validation=[intent]"]) == 0
    assert "\nvalidation  quick_intent_banking\n" in capsys.readouterr().out
