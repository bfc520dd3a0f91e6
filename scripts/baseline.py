"""The seed's Experiment 3: a random LoRA adapter and a random linear head on every task of a suite.

    python scripts/baseline.py suite=runs/suites/quickstart backbone=nano

For every task and number of shots, a fixed set of episodes. Each episode draws its adapter (A random, B zero) and its
head anew, takes Adam steps on its support set, and is read on its query set after 0, 1, 2, 3, 5 and 10 steps. Beside it
stands the frozen prototype: a cosine head on the frozen features, no step.

Text backbones run the classification tasks, `backbone=mlp` (a random network of the task's dimension) runs the points
tasks; other tasks are listed with the reason. The learning rate was tuned on nothing: one value for adapter and head.

`OUT` gets `result.json` (one row a task, method and step), `table.md`, and `accuracy.svg` and `accuracy.png` (both
methods by task, after the last step; they need the extra `plots`); `rows.jsonl` grows a line as a task ends, and a
second run goes on from it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

# pyrefly: ignore[missing-import]
import figures
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, cli
from metapeft.adapters.lora import LoraConfig
from metapeft.backbones.backbone import Backbone
from metapeft.backbones.load import load_backbone
from metapeft.backbones.mlp import make_mlp
from metapeft.backbones.tokens import check_tokenizer
from metapeft.building.card import SYNTHETIC_BANNER
from metapeft.episodes import EpisodeSampler
from metapeft.errors import EpisodeError, SuiteError
from metapeft.evaluation.intervals import bootstrap_interval
from metapeft.evaluation.plots import Point
from metapeft.heads import accuracy, cosine_head
from metapeft.meta.methods import Item
from metapeft.meta.outer_loop import item_of
from metapeft.meta.readings import random_curve
from metapeft.meta.run import learner_of
from metapeft.meta.states import PoolStates
from metapeft.meta.stream import limited, sampler_of
from metapeft.tasks.suite import Suite, SuiteTask
from metapeft.tasks.task import Task

DESCRIPTION = "Random LoRA and a random linear head on every task of a suite, beside the frozen prototype."
EXAMPLES = [
    "python scripts/baseline.py suite=runs/suites/quickstart",
    "python scripts/baseline.py suite=runs/suites/quickstart backbone=mlp",
    "python scripts/baseline.py suite=runs/suites/intent backbone=sentence-transformers/all-MiniLM-L6-v2 shots=[1,5]",
]
MLP = "mlp"
RANDOM, FROZEN = "random_lora_random_head", "frozen_prototype"
READ_AFTER = (0, 1, 2, 3, 5, 10)


class Config(BaseModel):
    """What the script takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    suite: str = Field(description="folder that `metapeft build` wrote")
    backbone: str = Field(default="nano", description="nano, a folder or a Hub id; mlp for the points tasks")
    out: str | None = Field(default=None, description="folder of the result; default runs/baseline/<suite>-<backbone>")
    shots: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = Field(
        default=[5], description="support examples a class"
    )
    ways: int = Field(default=5, ge=2, description="classes of an episode, or all of a task that has fewer")
    query: int = Field(default=15, ge=1, description="query examples a class, or what the task can give")
    steps: int = Field(default=10, ge=0, description="gradient steps")
    episodes: int = Field(default=100, ge=1, description="episodes of each task")
    learning_rate: float = Field(default=0.01, ge=0, description="of adapter and head alike; tuned on nothing")
    rank: int = Field(default=8, ge=1, description="LoRA rank")
    num_layers: int = Field(default=2, ge=1, description="how many of the last blocks carry an adapter")
    rows: int = Field(default=2000, ge=16, description="rows of each pool that episodes are drawn from")
    max_tokens: int = Field(default=64, ge=4, description="longer texts are cut here")
    seed: int = Field(default=0, ge=0, description="of episodes and intervals")
    figure: bool = Field(default=True, description="draw accuracy.svg and accuracy.png too")


@dataclass(frozen=True)
class Skipped:
    """A task that gives no row, and why."""

    task: str
    kind: str
    reason: str


def run(config: Config) -> int:
    """Run the script.

    Raises:
        MetapeftError: no suite or backbone, token ids of another tokenizer, nothing in the suite that can be run, or
            matplotlib is missing.
    """
    if config.figure:
        figures.check_libraries("matplotlib")
    suite = Suite(config.suite)
    if config.backbone != MLP:
        check_tokenizer(suite, config.backbone)
    backbone_of = _backbones(config)
    kind = "points" if config.backbone == MLP else "classification"
    tasks = [task for task in suite.tasks if task.kind == kind]
    skipped = [Skipped(task.id, task.kind, _why_not(task)) for task in suite.tasks if task.kind != kind]
    if not tasks:
        raise SuiteError(
            f"{suite.path}: no task for backbone={config.backbone}; {skipped[0].task}: {skipped[0].reason}"
        )
    default = Path("runs/baseline") / f"{suite.path.resolve().name}-{Path(config.backbone).name}"
    out = Path(config.out) if config.out else default
    atomic.write_text(out / "config.json", atomic.canonical_json(config.model_dump()))
    done = Done(out / "rows.jsonl", suite, config)
    rows: list[dict[str, Any]] = []
    for number, entry in enumerate(tasks, 1):
        task = limited(suite.load(entry.id), config.rows)
        backbone = backbone_of(task)
        learner = learner_of(backbone, _lora(config), "cosine", 0.0)
        states = PoolStates(backbone, learner.depth, config.max_tokens)  # the frozen layers see each text once
        for shots in config.shots:
            where = f"[{number}/{len(tasks)}] {entry.id}, {shots} shots"
            finished = done.rows(entry.id, shots, backbone.digest)
            began = time.perf_counter()
            if finished is None:
                try:
                    sampler = sampler_of(task, config.ways, shots, config.query, config.max_tokens, config.seed)
                    assert isinstance(sampler, EpisodeSampler)  # of tasks with classes
                    if sampler.k_shot < shots:
                        raise EpisodeError(f"task '{entry.id}' can give {sampler.k_shot} shots and no more")
                except EpisodeError as error:
                    skipped.append(Skipped(entry.id, entry.kind, f"{shots} shots: {error}"))
                    print(f"{where}: skipped, {error}")
                    continue
                finished = measure(task, sampler, states, config, entry.entry["source"]["kind"])
                done.add(entry.id, shots, backbone.digest, finished)
            means = {(row["method"], row["steps"]): f"{100 * row['mean']:.1f} %" for row in finished}
            said = f"{finished[0]['ways']} ways, prototype {means[FROZEN, 0]}, random {means[RANDOM, 0]}, "
            said += f"after {config.steps} steps {means[RANDOM, config.steps]}"
            print(f"{where}: {said}, {time.perf_counter() - began:.1f} s", flush=True)
            rows += finished
    write(out, suite, config, rows, skipped)
    if config.figure and rows:
        plot(out, suite, config, rows)
    return 0


def _backbones(config: Config) -> Callable[[Task], Backbone]:
    """The network of a task: one for all texts, one a dimension for points."""
    if config.backbone != MLP:
        one = load_backbone(config.backbone)
        return lambda task: one
    return lambda task: make_mlp(task.config.input_dim, seed=config.seed)


def _lora(config: Config) -> LoraConfig:
    return LoraConfig(config.rank, num_layers=config.num_layers)


def _why_not(task: SuiteTask) -> str:
    if task.kind == "points":
        return "points have no texts; backbone=mlp runs them"
    if task.kind == "classification":
        return "texts need a text backbone, such as backbone=nano"
    return f"{task.kind} has no single label an example"


# --- episodes


def measure(
    task: Task, sampler: EpisodeSampler, states: PoolStates, config: Config, origin: str
) -> list[dict[str, Any]]:
    """Run the episodes of a task: one row a method and number of steps."""
    learner = learner_of(states.backbone, _lora(config), "cosine", 0.0)
    read = sorted({step for step in READ_AFTER if step < config.steps} | {config.steps})
    frozen, curves = [], []
    for episode in sampler.episodes(0, config.episodes):
        item = item_of(episode, task, states, None)
        frozen.append(prototype(item))
        curves.append(random_curve(learner, _lora(config), item, config.steps, episode.index, config.learning_rate))
    accuracies = {(FROZEN, 0): np.array(frozen)}
    accuracies |= {(RANDOM, step): np.array(curves)[:, step] for step in read}
    rows = []
    for (method, steps), values in accuracies.items():
        low, high = bootstrap_interval(values, np.random.default_rng(config.seed))
        assert isinstance(sampler.n_way, int)
        rows.append(
            {
                "method": method,
                "task": task.config.task_id,
                "family": task.config.task_family,
                "track": "episode",
                "ways": sampler.n_way,
                "shots": sampler.k_shot,
                "query": sampler.query_size // sampler.n_way,
                "steps": steps,
                "metric": "accuracy",
                "mean": float(values.mean()),
                "ci95": [float(low), float(high)],
                "episodes": config.episodes,
                "origin": origin,
            }
        )
    return rows


def prototype(item: Item) -> float:
    """Query accuracy of a cosine head on frozen features."""
    head = cosine_head()
    fitted = head.init(item.support.hidden.frozen, item.support.labels, item.ways, head.default_meta(), None)
    return float(accuracy(head.logits(fitted, item.query.hidden.frozen), item.query.labels))


# --- what is there already


class Done:
    """The tasks that are finished, a line each in a file that only grows.

    A task is found again where everything its figures depend on is the same: suite, backbone and settings.
    """

    def __init__(self, path: Path, suite: Suite, config: Config):
        self._path = path
        settings = config.model_dump(exclude={"suite", "backbone", "out", "shots", "figure"})
        self._settings = {"format": 2, "suite_sha256": suite.sha256} | settings
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):  # a killed run may leave half a line
            atomic.write_text(path, "".join(whole))
        self._records = [json.loads(line) for line in whole]

    def rows(self, task: str, shots: int, digest: str) -> list[dict[str, Any]] | None:
        """The rows of a finished task, or None."""
        key = self._key(task, shots, digest)
        return next((record["rows"] for record in self._records if record["key"] == key), None)

    def add(self, task: str, shots: int, digest: str, rows: list[dict[str, Any]]) -> None:
        """Write down that a task is finished."""
        line = json.dumps({"key": self._key(task, shots, digest), "rows": rows})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _key(self, task: str, shots: int, digest: str) -> dict[str, Any]:
        return self._settings | {"task": task, "shots": shots, "backbone_sha256": digest}


# --- tables


def write(out: Path, suite: Suite, config: Config, rows: list[dict[str, Any]], skipped: list[Skipped]) -> None:
    """Write the result and its table, and show the latter."""
    manifest = suite.manifest
    result = {
        "script": "baseline",
        "suite": manifest["name"],
        "suite_sha256": suite.sha256,
        "origin": manifest["origin"],
        "backbone": config.backbone,
        "settings": config.model_dump(exclude={"suite", "backbone", "out", "figure"}),
        "rows": rows,
        "skipped": [asdict(item) for item in skipped],
    }
    page = _markdown(suite, config, rows, skipped)
    atomic.write_text(out / "result.json", atomic.canonical_json(result))
    atomic.write_text(out / "table.md", page)
    print(f"\n{page}\n{len(rows)} rows; details in {out}")


def _markdown(suite: Suite, config: Config, rows: list[dict[str, Any]], skipped: list[Skipped]) -> str:
    manifest = suite.manifest
    parts = [f"# Random LoRA and a random head on `{manifest['name']}`\n"]
    if manifest["origin"] == "synthetic":
        parts.append(SYNTHETIC_BANNER + "\n")
    parts.append(
        f"Suite `{manifest['name']}` {manifest['version']}, origin {manifest['origin']}, manifest "
        f"`{suite.sha256[:12]}`. Backbone `{config.backbone}`.\n\n"
        f"Accuracy on the query sets, %, ± half the width of a 95 % bootstrap interval over episodes. The columns "
        f"`… steps` are a LoRA adapter of rank {config.rank} on the last {config.num_layers} blocks and a linear head, "
        f"both drawn anew for each episode, after so many steps of Adam at learning rate "
        f"{config.learning_rate:g}, which was tuned on nothing. `prototype` is a cosine prototype head on the frozen "
        f"features. `query` counts examples a class. Seed {config.seed}.\n"
    )
    parts.append(_markdown_table(_pivoted(rows)) if rows else "No task could be run.\n")
    if skipped:
        parts += ["## Left out\n", _markdown_table([asdict(item) for item in skipped])]
    return "\n".join(parts)


def _pivoted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line a task and number of shots, one column a method and number of steps."""
    lines: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        names = ("task", "family", "origin", "ways", "shots", "query", "episodes")
        line = lines.setdefault((row["task"], row["shots"]), {name: row[name] for name in names})
        column = "prototype" if row["method"] == FROZEN else f"{row['steps']} steps"
        low, high = row["ci95"]
        line[column] = f"{100 * row['mean']:.1f} ± {50 * (high - low):.1f}"
    return list(lines.values())


def _markdown_table(lines: list[dict[str, Any]]) -> str:
    cells = [list(lines[0]), ["---"] * len(lines[0])]
    cells += [[str(value).replace("|", "\\|") for value in line.values()] for line in lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells) + "\n"


def plot(out: Path, suite: Suite, config: Config, rows: list[dict[str, Any]]) -> None:
    """Draw the accuracy of both methods by task."""
    points = {
        (row["method"], row["task"], row["shots"], row["steps"]): Point(
            *(100 * value for value in (row["mean"], *row["ci95"]))
        )
        for row in rows
    }
    dots = [
        figures.Dot(
            row["task"] + (" (synthetic)" if row["origin"] == "synthetic" else ""),
            row["family"],
            row["shots"],
            100 / row["ways"],
            {
                "frozen": points[FROZEN, row["task"], row["shots"], 0],
                "random": points[RANDOM, row["task"], row["shots"], config.steps],
            },
        )
        for row in rows
        if row["method"] == FROZEN
    ]
    banner = figures.SYNTHETIC if suite.manifest["origin"] == "synthetic" else ""
    title = f"{banner}suite {suite.manifest['name']}, backbone {Path(config.backbone).name}"
    draw_dots, lines = figures.accuracies(title, config.steps, dots)
    figures.save(out, "accuracy", (4 + 2.5 * len(config.shots), 1.4 + 0.17 * lines), draw_dots)


def main(argv: list[str] | None = None) -> int:
    """Entry point of the script."""
    return cli.run(run, Config, argv, prog="baseline", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
