"""scripts/benchmark_heldout.py: seeds put together episode by episode, and what a split trains on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import benchmark_heldout
import pytest

from metapeft import build
from metapeft.evaluation.splits import Split
from metapeft.tasks.suite import Suite


def result(seed: int, frozen: list[float], random: list[float]) -> dict[str, Any]:
    cell = {
        "task": "t",
        "family": "f",
        "track": "domain",
        "ways": 2,
        "shots": 1,
        "query": 4,
        "similarity": 0.5,
        "gradient_steps": 10 + seed,
        "seconds": 1.0,
        "peak_memory_bytes": 100 - seed,
        "accuracy": {"frozen": frozen, "auto": [value + 0.1 for value in frozen], "random": random},
        "macro_f1": {"frozen": frozen},
        "curves": {},
        "support_loss": {},
        "query_loss": {},
        "curve_steps": [0],
        "chosen": {"auto": {"frozen": len(frozen)}},
    }
    return {"cells": [cell], "settings": {"seed": seed}, "mix": 1.0, "suite": "s", "origin": "hub"}


def test_seeds_are_put_together_so_that_equal_places_are_equal_episodes() -> None:
    both = benchmark_heldout.together([result(0, [0.1, 0.2, 0.3], [0.15]), result(1, [0.5, 0.6], [0.55])])
    (cell,) = both["cells"]
    assert cell["accuracy"]["random"] == [0.15, 0.55]
    assert cell["accuracy"]["frozen"] == [0.1, 0.5, 0.2, 0.3, 0.6]  # those with a random start first
    assert cell["accuracy"]["auto"] == pytest.approx([0.2, 0.6, 0.3, 0.4, 0.7])
    assert cell["chosen"] == {"auto": {"frozen": 5}}
    assert (cell["gradient_steps"], cell["seconds"], cell["peak_memory_bytes"]) == (21, 2.0, 100)
    assert both["settings"]["seed"] == [0, 1]
    rows = {row["method"]: row for row in both["rows"]}
    assert rows["frozen"]["mean"] == pytest.approx(0.34)
    assert rows["random"]["episodes"] == 2


def test_synthetic_tasks_are_trained_on_only_when_asked(tmp_path: Path) -> None:
    assert build.main(["recipe=quickstart", f"out={tmp_path}", "quiet=true"]) == 0
    split = Split(name="s", description="", track="family", test=["sentiment"], validation=["topic"])
    suite = Suite(tmp_path)
    families = {task.id: task.family for task in suite.tasks if task.kind == "classification"}
    training, validation, test = benchmark_heldout.training_of(suite, split, True)
    assert {families[task] for task in test} == {"sentiment"}
    assert {families[task] for task in validation} == {"topic"}
    assert set(training) == set(families) - {*validation, *test}
    with pytest.raises(benchmark_heldout.MetapeftError, match="leaves no task"):
        benchmark_heldout.training_of(suite, split, False)
