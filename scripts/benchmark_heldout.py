"""Held-out domains and families: meta-train without them, test on them, for every split and seed; one table.

    python scripts/benchmark_heldout.py suite=runs/suites/all jobs=2  # nano, one seed: a first look
    python scripts/benchmark_heldout.py suite=runs/suites/all backbone=sentence-transformers/all-MiniLM-L6-v2 \
        'splits=[domains]' 'seeds=[0,1,2]' episodes=200 control_episodes=25 test_rows=2000

A split (`recipes/splits`) names what is tested on, what is validated on and what is kept out of training beside these.
Settings of training are `train=`, a YAML file of options of `metapeft.train`, or those below; they were chosen on
validation tasks. Runs and finished cells are found again: a killed benchmark goes on where it was. With several seeds
the episodes differ too, and a task's figures are over all of them.

`rivals=[multitask,single]` trains two more adapters with the same settings, and reads them on the same episodes:

- ``multitask``: one adapter for all training tasks, a linear head for each
- ``single task``: one adapter for one training task. Candidates are the training tasks nearest to the validation tasks
  in the task embedding, `candidates` of them; the one whose adapter does best on the validation tasks is taken

Both are read as the learned base is (``static``), and with a choice of their own on the support set (``…, auto``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, cli, strict_yaml
from metapeft.errors import MetapeftError
from metapeft.evaluate import EvaluateConfig, evaluate
from metapeft.evaluation.join import together
from metapeft.evaluation.run import write
from metapeft.evaluation.splits import Split, parts_of, read_split, split_names
from metapeft.tasks.suite import Suite
from metapeft.train import TrainConfig, train

DESCRIPTION = "Held-out domains and families: train without them, test on them."
EXAMPLES = ["python scripts/benchmark_heldout.py suite=runs/suites/all splits=[families_topic] episodes=60"]
TRAIN: dict[str, Any] = {
    "shots": [1, 5, 10],
    "query": 6,
    "max_tokens": 48,
    "inner_steps": 0,
    "learning_rate": 0.002,
    "mix": 1.0,
    "names": "half",
    "validate_every": 1000,
    "validation_episodes": 4,
    "prior_episodes": 0,  # evaluate fits it itself
    "hypernetwork": {"episodes": 150},
    "lora": {
        "rank": 8,
        "num_layers": 3,
        "keys": ["attention.self.query", "attention.self.value", "intermediate.dense", "output.dense"],
    },
}
# Words: most of the features stay frozen, types have no names that are read, and sentences are longer than a title.
TAGGING: dict[str, Any] = {
    "shots": [1, 2, 5],
    "query": 5,
    "max_tokens": 96,
    "mix": 0.35,
    "names": "never",
    "validation_episodes": 2,
    "hypernetwork": {},
}

# Texts: steps are worth their price, the support set is long, and every map of a block of a llama carries an adapter.
WRITING: dict[str, Any] = {
    "shots": [5, 10],
    "query": 10,
    "max_tokens": 512,
    "inner_steps": 3,
    "learning_rate": 0.003,
    "names": "never",
    "validation_episodes": 2,
    "hypernetwork": {"episodes": 60},
    "lora": {
        "rank": 8,
        "num_layers": 4,
        "keys": [f"self_attn.{name}_proj" for name in "qkvo"] + [f"mlp.{name}_proj" for name in ("gate", "up", "down")],
    },
}
OF_KIND = {"tagging": TAGGING, "generation": WRITING}

VALIDATION_OF_SINGLES = 20  # episodes a validation task that choose among single tasks


class Config(BaseModel):
    """What the script takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    suite: str = Field(description="folder that `metapeft build recipe=all` wrote")
    backbone: str = Field(default="nano", description="nano, a folder or a Hub id")
    splits: list[str] = Field(
        default=[],
        description="names or YAML files; default: all that ship for texts with classes, if the suite has any",
    )
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(
        default=[0], description="of training and of the episodes"
    )
    synthetic: bool = Field(default=False, description="train on synthetic tasks too")
    tasks: int = Field(default=6, ge=1, description="of the tasks that a split tests on, the first so many")
    steps: int = Field(default=100, ge=1, description="outer steps of training")
    rows: int = Field(default=300, ge=16, description="rows of each pool that training draws from")
    train: str | None = Field(default=None, description="YAML file of further options of metapeft.train")
    shots: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = Field(
        default=[1, 5, 10], description="support examples a class, or mentions a type"
    )
    sentences: list[Annotated[int, Field(ge=1)]] = Field(
        default=[], description="tagging: support sets of so many sentences too"
    )
    test_rows: int = Field(default=400, ge=16, description="rows of each pool that test episodes are drawn from")
    episodes: int = Field(default=40, ge=2, description="episodes a task, number of shots and seed")
    control_episodes: int = Field(default=5, ge=2, description="of them with the controls too, see metapeft.evaluate")
    prior_episodes: int = Field(default=12, ge=1, description="episodes a validation task for the prior of auto")
    baselines: bool = Field(default=False, description="those of metapeft.evaluate too")
    allow_code_execution: bool = Field(
        default=False, description="run the programs and queries that are written, confined (docs/execution.md)"
    )
    rivals: list[Literal["multitask", "single"]] = Field(default=[], description="adapters without meta-learning")
    jobs: int = Field(default=1, ge=1, description="splits that run at the same time, each on its share of the cores")
    candidates: int = Field(default=3, ge=1, description="training tasks that the single one is chosen among")
    out: str = Field(default="runs/heldout", description="folder of runs and results")


def training_of(suite: Suite, split: Split, synthetic: bool) -> tuple[list[str], list[str], list[str]]:
    """Tasks of a suite to train on, to validate on and, in the split's order, to test on.

    They are of the split's kind, real ones unless asked.

    Raises:
        EpisodeError: nothing is left for one of them.
    """
    families = {
        task.id: task.family
        for task in suite.tasks
        if task.kind == split.kind and (synthetic or task.entry["source"]["kind"] != "synthetic")
    }
    parts = parts_of(split, families)
    named = {name: place for place, name in enumerate(split.test)}
    test = sorted(parts.test, key=lambda task: named.get(task, named.get(families[task], 0)))  # as the split has them
    return parts.training, parts.validation, test


def run(config: Config) -> int:
    """Run the script."""
    suite = Suite(config.suite)  # an error here is one, not one of every process
    if config.jobs > 1:
        run_shares(config)  # each split's process puts its seeds together
        return 0
    options: dict[str, Any] = {"steps": config.steps, "rows": config.rows}
    if config.backbone == "nano":
        options["lora"] = TRAIN["lora"] | {"num_layers": 2}  # it has no more
    options |= _options(Path(config.train)) if config.train else {}
    for name in config.splits or splits_of(suite):
        split = read_split(name)
        training, validation, test = training_of(suite, split, config.synthetic)
        test = test[: config.tasks]
        results = []
        for seed in config.seeds:
            out = Path(config.out) / f"{split.name}-{config.backbone.rstrip('/').rpartition('/')[2]}-{seed}"
            print(f"\n{split.name}, seed {seed}: {len(training)} tasks to train on, {len(test)} to test on", flush=True)
            given = {"suite": config.suite, "backbone": config.backbone, "seed": seed}
            own_options = TRAIN | OF_KIND.get(split.kind, {})
            settings = given | own_options | options | {"kind": split.kind, "validation": validation}
            reading = given | {
                "test": test,
                "track": split.track,
                "shots": config.shots,
                "sentences": config.sentences if split.kind == "tagging" else [],
                "rows": config.test_rows,
                "episodes": config.episodes,
                "prior_episodes": config.prior_episodes,
                "html": False,
                "allow_code_execution": config.allow_code_execution,
            }
            trained(out, settings | {"training": training})
            result = read(out, reading | {"control_episodes": config.control_episodes, "baselines": config.baselines})
            reading |= {"control_episodes": 2, "apart": training}  # 2: the fewest; what they read is not looked at
            settings |= {"method": "multitask"}
            if "multitask" in config.rivals:
                own = out.with_name(f"{out.name}-multitask")
                trained(own, settings | {"training": training})
                result = beside(result, read(own, reading), "multitask")
            if "single" in config.rivals:
                own = best_single(out, settings, nearest_to_validation(result, config.candidates))
                result = beside(result, read(own, reading), "single task")
            results.append(result)
        folder = Path(config.out) / f"{split.name}-{config.backbone.rstrip('/').rpartition('/')[2]}"
        written = write(folder, together(results), html=True)
        print(f"{split.name}, {len(config.seeds)} seeds: " + ", ".join(map(str, written)), flush=True)
    return 0


def run_shares(config: Config) -> None:
    """Run a process for each split, `jobs` at the same time; each has its share of the cores.

    Raises:
        MetapeftError: a process failed; the others have ended.
    """
    names = config.splits or splits_of(Suite(config.suite))
    given = config.model_dump(exclude_defaults=True) | {"jobs": 1}
    threads = str(max(1, (os.cpu_count() or 1) // config.jobs))
    limits = dict.fromkeys(("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)

    def code_of(number: int) -> int:
        options = Path(config.out) / f"job-{number}.yaml"
        atomic.write_text(options, json.dumps(given | {"splits": [names[number]]}))  # JSON is YAML
        return subprocess.run(
            [sys.executable, __file__, f"@{options}"], env=os.environ | limits, check=False
        ).returncode

    with ThreadPoolExecutor(config.jobs) as pool:
        codes = list(pool.map(code_of, range(len(names))))
    if any(codes):
        raise MetapeftError(f"{sum(map(bool, codes))} of {len(codes)} processes failed; see above")


def splits_of(suite: Suite) -> list[str]:
    """The splits that ship for texts with classes; of a suite without such tasks, for the kinds that it has.

    A backbone that reads texts well seldom writes them, so one run of all kinds would fail half-way.
    """
    kinds = {task.kind for task in suite.tasks}
    kinds = {"classification"} & kinds or kinds
    return [name for name in split_names() if read_split(name).kind in kinds]


def trained(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What `train` wrote, now or before."""
    if not (out / "result.json").exists():
        train(TrainConfig(out=str(out), **settings))
    return json.loads((out / "result.json").read_text(encoding="utf-8"))


def read(out: Path, reading: dict[str, Any]) -> dict[str, Any]:
    """What `evaluate` wrote of a run."""
    evaluate(EvaluateConfig(checkpoint=str(out / "last"), out=str(out / "evaluate"), **reading))
    return json.loads((out / "evaluate/result.json").read_text(encoding="utf-8"))


def nearest_to_validation(result: dict[str, Any], count: int) -> list[str]:
    """The training tasks that are nearest to most validation tasks; equal ones in the order in which they come."""
    tasks = result["task_map"]["tasks"]
    return [
        name for name, _ in Counter(t["nearest"]["task"] for t in tasks if t["part"] == "validation").most_common(count)
    ]


def best_single(out: Path, settings: dict[str, Any], names: list[str]) -> Path:
    """Train on each of these tasks alone; the run whose last checkpoint is best on the validation tasks."""
    scores = {}
    for name in names:
        own = out.with_name(f"{out.name}-single-{name}")
        result = trained(own, settings | {"training": [name], "validation_episodes": VALIDATION_OF_SINGLES})
        scores[own] = result["history"][-1]["start"]
        print(f"single task {name}: {100 * scores[own]:.1f} % on the validation tasks", flush=True)
    return max(scores, key=scores.__getitem__)


def beside(result: dict[str, Any], rival: dict[str, Any], name: str) -> dict[str, Any]:
    """A result with what another checkpoint's base and choice gave on the same episodes.

    Raises:
        MetapeftError: the other did not read the same episodes.
    """
    theirs = {(cell["task"], cell["shots"]): cell for cell in rival["cells"]}
    cells = []
    for cell in result["cells"]:
        other = theirs.get((cell["task"], cell["shots"]), {})
        if other.get("episodes_sha256") != cell["episodes_sha256"]:
            raise MetapeftError(f"{cell['task']}, {cell['shots']} shots: {name} was not read on the same episodes")
        own = {name: other["accuracy"][f"static, mix {rival['mix']:g}"], f"{name}, auto": other["accuracy"]["auto"]}
        cells.append(cell | {"accuracy": cell["accuracy"] | own})
    known = {name: {"checkpoint": rival["checkpoint"], "training": rival["training"]}}
    return result | {"cells": cells, "rivals": result.get("rivals", {}) | known}


def _options(path: Path) -> dict[str, Any]:
    loaded = strict_yaml.load(path)
    if not isinstance(loaded, dict):
        raise MetapeftError(f"{path}: needs options of metapeft.train, one a line")
    return loaded


def main(argv: list[str] | None = None) -> int:
    """Entry point of the script."""
    return cli.run(run, Config, argv, prog="benchmark_heldout", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
