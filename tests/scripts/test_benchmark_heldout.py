"""scripts/benchmark_heldout.py: rivals on the same episodes, and what a split trains on."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import benchmark_heldout
import pytest

from metapeft import build, cli
from metapeft.evaluation.join import together
from metapeft.evaluation.splits import Split, read_split
from metapeft.tasks.suite import Suite
from tests.evaluation.made_cells import result_of_one_cell as result


def test_synthetic_tasks_are_trained_on_only_when_asked(tmp_path: Path) -> None:
    assert build.main(["recipe=quickstart", f"out={tmp_path}", "quiet=true"]) == 0
    split = Split(name="s", description="", track="family", test=["sentiment"], validation=["topic"])
    suite = Suite(tmp_path)
    families = {task.id: task.family for task in suite.tasks if task.kind == "classification"}
    training, validation, test = benchmark_heldout.training_of(suite, split, True)
    assert {families[task] for task in test} == {"sentiment"}
    assert {families[task] for task in validation} == {"topic"}
    assert set(training) == set(families) - {*validation, *test}
    named = split.model_copy(update={"test": [test[-1], "sentiment"]})
    assert benchmark_heldout.training_of(suite, named, True)[2] == [test[-1], *test[:-1]]  # the split's order
    with pytest.raises(benchmark_heldout.MetapeftError, match="leaves no task"):
        benchmark_heldout.training_of(suite, split, False)


def rival_of(given: dict[str, Any], **accuracy: list[float]) -> dict[str, Any]:
    own = {"static, mix 1": [0.9] * 3, "auto": [0.8] * 3}
    cells = [cell | {"accuracy": cell["accuracy"] | own | accuracy} for cell in given["cells"]]
    return given | {"cells": cells, "checkpoint": "c", "training": ["a"]}


def test_a_rival_stands_beside_on_the_same_episodes_alone() -> None:
    given = result(0, [0.1, 0.2, 0.3], [0.15])
    both = benchmark_heldout.beside(given, rival_of(given), "multitask")
    (cell,) = both["cells"]
    assert cell["accuracy"] == given["cells"][0]["accuracy"] | {"multitask": [0.9] * 3, "multitask, auto": [0.8] * 3}
    assert both["rivals"] == {"multitask": {"checkpoint": "c", "training": ["a"]}}
    other = rival_of(given)
    other["cells"][0]["episodes_sha256"] = "others"
    for wrong in (other, other | {"cells": []}):
        with pytest.raises(benchmark_heldout.MetapeftError, match="t, 1 shots: single task was not read on the same"):
            benchmark_heldout.beside(both, wrong, "single task")
    rows = {(pair["first"], pair["second"]) for pair in together([both])["comparisons"]}
    assert ("auto", "multitask, auto") in rows


def test_the_splits_of_a_suite_are_of_one_kind_where_it_has_classes() -> None:
    def chosen(*kinds: str) -> set[str]:
        suite = SimpleNamespace(tasks=[SimpleNamespace(kind=kind) for kind in kinds])
        return {read_split(name).kind for name in benchmark_heldout.splits_of(suite)}

    assert chosen("tagging", "classification", "generation") == {"classification"}
    assert chosen("tagging", "generation") == {"tagging", "generation"}


@pytest.mark.parametrize("failing", [0, 1])
def test_jobs_share_the_splits_and_the_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    asked: list[benchmark_heldout.Config] = []

    def process(argv: list[str], env: dict[str, str], check: bool) -> SimpleNamespace:
        own = cli.parse(benchmark_heldout.Config, argv[2:], prog="benchmark_heldout")
        asked.append(own)
        assert int(env["MKL_NUM_THREADS"]) >= 1
        return SimpleNamespace(returncode=failing * (own.splits != ["b"]))

    monkeypatch.setattr(benchmark_heldout.subprocess, "run", process)
    config = benchmark_heldout.Config(
        suite="s",
        splits=["a", "b", "c"],
        jobs=2,
        baselines=True,
        allow_code_execution=True,
        out=str(tmp_path),
        shots=[5],
        seeds=[0, 3],
    )
    if failing:
        with pytest.raises(benchmark_heldout.MetapeftError, match="2 of 3 processes failed"):
            benchmark_heldout.run_shares(config)
    else:
        benchmark_heldout.run_shares(config)
    assert sorted(own.splits for own in asked) == [["a"], ["b"], ["c"]]
    assert all(own == config.model_copy(update={"jobs": 1, "splits": own.splits}) for own in asked)


def test_candidates_are_nearest_to_most_validation_tasks() -> None:
    near = [("validation", "b"), ("validation", "a"), ("validation", "a"), ("test", "c"), ("validation", "d")]
    tasks = [{"part": part, "nearest": {"task": name, "cosine": 0.5}} for part, name in near]
    tasks.append({"part": "training", "nearest": None})
    assert benchmark_heldout.nearest_to_validation({"task_map": {"tasks": tasks}}, 2) == ["a", "b"]


def test_rivals_are_trained_and_read_as_the_checkpoint_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is trained or evaluated; what was asked for is kept."""
    suite = tmp_path / "quickstart"
    assert build.main(["recipe=quickstart", f"out={suite}", "quiet=true"]) == 0
    split = tmp_path / "s.yaml"
    split.write_text("name: s\ndescription: d\ntrack: family\ntest: [sentiment]\nvalidation: [topic]\n")
    trained: dict[str, Any] = {}
    read: dict[str, Any] = {}
    given = result(0, [0.1, 0.2, 0.3], [0.15])

    def train(config: Any) -> None:
        out = Path(config.out)
        trained[out.name] = config
        out.mkdir(parents=True)
        start = 0.7 if out.name.endswith("single-b") else 0.6
        (out / "result.json").write_text(json.dumps({"history": [{"start": 0.9}, {"start": start}]}))

    def evaluate(config: Any) -> None:
        out = Path(config.out)
        read[out.parent.name] = config
        out.mkdir()
        tasks = [{"part": "validation", "nearest": {"task": name}} for name in "abcd"]
        made = rival_of(given, **{"hypernetwork, mix 1": [0.5] * 3}) | {"task_map": {"tasks": tasks}}
        (out / "result.json").write_text(json.dumps(made))

    monkeypatch.setattr(benchmark_heldout, "train", train)
    monkeypatch.setattr(benchmark_heldout, "evaluate", evaluate)
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(benchmark_heldout, "write", lambda folder, result, html: written.append(result) or [])
    config = benchmark_heldout.Config(
        suite=str(suite),
        splits=[str(split)],
        synthetic=True,
        out=str(tmp_path / "o"),
        rivals=["multitask", "single"],
        tasks=1,
    )
    benchmark_heldout.run(config)
    assert read["s-nano-0"].test == ["quick_sentiment_electronics"]  # the first of two
    shared: list[Any] = []
    monkeypatch.setattr(benchmark_heldout, "run_shares", shared.append)
    several = config.model_copy(update={"jobs": 2})
    assert (benchmark_heldout.run(several), shared, len(written)) == (0, [several], 1)  # nothing is read once more
    main, multitask, *singles = trained.values()
    assert [own.method for own in trained.values()] == ["hypernetwork", *["multitask"] * 4]
    assert multitask.training == main.training
    assert [own.training for own in singles] == [["a"], ["b"], ["c"]]
    budget = ("steps", "batch", "shots", "lora", "rows", "validation", "learning_rate", "seed")
    for own in (multitask, *singles):
        assert [getattr(own, name) for name in budget] == [getattr(main, name) for name in budget]
    assert list(read) == ["s-nano-0", "s-nano-0-multitask", "s-nano-0-single-b"]
    assert [sorted(own.apart) for own in read.values()] == [[], sorted(main.training), sorted(main.training)]
    for name in ("test", "shots", "rows", "episodes", "prior_episodes", "seed", "track"):
        assert len({str(getattr(own, name)) for own in read.values()}) == 1
    assert {"multitask", "single task", "single task, auto"} <= set(written[0]["cells"][0]["accuracy"])
