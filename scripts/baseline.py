"""The seed's Experiment 3: a random LoRA adapter and a random linear head on every task of a suite.

    python scripts/baseline.py suite=runs/suites/quickstart backbone=nano

For every task and number of shots, a fixed set of episodes (`EpisodeSampler` by number). Each episode draws its adapter
(A random, B zero) and its head anew, takes the gradient steps on its support set, and is read on its query set after
0, 1, 2, 3, 5 and 10 steps. Beside it stands the frozen prototype: a cosine head on the frozen features, no step.

Text backbones run the classification tasks, `backbone=mlp` (a random network of the task's dimension) runs the points
tasks; other tasks are listed with the reason. The learning rate was tuned on nothing: one value for adapter and head.

`OUT` gets `result.json`, `table.csv` (both with one row a task, method and step), `table.md`, and `accuracy.svg` and
`accuracy.png` (both methods by task, after the last step; they need the extra `plots`); `rows.jsonl` grows a line as a
task ends, and a second run goes on from it.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

# pyrefly: ignore[missing-import]
import figures
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, cli
from metapeft.adapters.lora import LoraConfig, first_layer, random_adapter
from metapeft.backbones.backbone import Adapter, Backbone
from metapeft.backbones.encoder import Encoder
from metapeft.backbones.load import load_backbone
from metapeft.backbones.mlp import make_mlp
from metapeft.backbones.tokens import check_tokenizer
from metapeft.building.card import SYNTHETIC_BANNER
from metapeft.episodes import EpisodeSampler
from metapeft.errors import EpisodeError, SuiteError
from metapeft.evaluation.intervals import bootstrap_interval
from metapeft.heads import Head, cosine_head, linear_head
from metapeft.meta.inner_loop import Examples, Trace, adapt, episode_hidden
from metapeft.meta.learner import adam, sgd
from metapeft.meta.prefix_cache import PrefixCache
from metapeft.mlx import mx
from metapeft.tasks.sampling import key_of
from metapeft.tasks.suite import Suite, SuiteTask

DESCRIPTION = "Random LoRA and a random linear head on every task of a suite, beside the frozen prototype."
EXAMPLES = [
    "python scripts/baseline.py suite=runs/suites/quickstart",
    "python scripts/baseline.py suite=runs/suites/quickstart backbone=mlp",
    "python scripts/baseline.py suite=runs/suites/intent backbone=sentence-transformers/all-MiniLM-L6-v2 shots=[1,5]",
]
MLP = "mlp"
RANDOM, FROZEN = "random_lora_random_head", "frozen_prototype"
READ_AFTER = (0, 1, 2, 3, 5, 10)
TIMED = 5  # episodes that are run once more, without reading the query set, for the seconds of an adaptation
CACHE_BYTES = 512 * 2**20
OPTIMIZERS = {"adam": adam, "sgd": sgd}


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
    optimizer: Literal["adam", "sgd"] = Field(default="adam", description="gradient rule of the inner loop")
    learning_rate: float = Field(default=0.01, ge=0, description="of adapter and head alike; tuned on nothing")
    rank: int = Field(default=8, ge=1, description="LoRA rank")
    num_layers: int = Field(default=2, ge=1, description="how many of the last blocks carry an adapter")
    seed: int = Field(default=0, ge=0, description="of episodes, adapters, heads and intervals")
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
    backbones = _backbones(config)
    kind = "points" if config.backbone == MLP else "classification"
    tasks = [task for task in suite.tasks if task.kind == kind]
    skipped = [Skipped(task.id, task.kind, _why_not(task)) for task in suite.tasks if task.kind != kind]
    if not tasks:
        raise SuiteError(
            f"{suite.path}: no task for backbone={config.backbone}; {skipped[0].task}: {skipped[0].reason}"
        )
    out = Path(config.out) if config.out else _default_out(suite, config.backbone)
    atomic.write_text(out / "config.json", atomic.canonical_json(config.model_dump()))
    done = Done(out / "rows.jsonl", suite, config)
    units = [(task, shots) for task in tasks for shots in config.shots]
    rows: list[dict[str, Any]] = []
    for number, (task, shots) in enumerate(units, 1):
        where = f"[{number}/{len(units)}] {task.id}, {shots} shots"
        backbone = backbones(suite, task)
        finished = done.rows(task.id, shots, backbone.digest)
        if finished is not None:
            print(f"{where}: done before")
        else:
            try:
                sampler = largest_sampler(suite, task, shots, config)
            except EpisodeError as error:
                skipped.append(Skipped(task.id, task.kind, f"{shots} shots: {error}"))
                print(f"{where}: skipped, {skipped[-1].reason}")
                continue
            began = time.perf_counter()
            finished = measure(backbone, task, sampler, config)
            done.add(task.id, shots, backbone.digest, finished)
            print(f"{where}: {_in_short(finished)}, {time.perf_counter() - began:.1f} s", flush=True)
        rows += finished
    write(out, suite, config, rows, skipped)
    if config.figure and rows:
        plot(out, suite, config, rows)
    return 0


def _backbones(config: Config) -> Callable[[Suite, SuiteTask], Backbone]:
    """The network of a task: one for all texts, one a dimension for points."""
    if config.backbone != MLP:
        one = load_backbone(config.backbone)
        return lambda suite, task: one
    return lambda suite, task: make_mlp(suite.load(task.id).config.input_dim, seed=config.seed)


def _why_not(task: SuiteTask) -> str:
    if task.kind == "points":
        return "points have no texts; backbone=mlp runs them"
    if task.kind == "classification":
        return "texts need a text backbone, such as backbone=nano"
    return f"{task.kind} has no single label an example"


def _default_out(suite: Suite, backbone: str) -> Path:
    return Path("runs/baseline") / f"{suite.path.resolve().name}-{Path(backbone).name}"


def _in_short(rows: Iterable[dict[str, Any]]) -> str:
    by_steps = {(row["method"], row["steps"]): row for row in rows}
    last = max(steps for _, steps in by_steps)
    first = by_steps[RANDOM, 0]
    return (
        f"{first['ways']} ways, prototype {100 * by_steps[FROZEN, 0]['mean']:.1f} %, "
        f"random {100 * first['mean']:.1f} %, after {last} steps {100 * by_steps[RANDOM, last]['mean']:.1f} %"
    )


# --- episodes


def largest_sampler(suite: Suite, task: SuiteTask, shots: int, config: Config) -> EpisodeSampler:
    """The sampler of the largest episodes that a task can give: first as many classes, then as many query examples.

    Raises:
        EpisodeError: it cannot give two classes of `shots` support and one query example.
    """
    only = suite.distribution(lambda other: other.id == task.id)
    most = min(config.ways, len(task.entry["labels"]))
    sizes = [(ways, query) for ways in range(most, 1, -1) for query in range(config.query, 0, -1)]
    refused = EpisodeError(f"task '{task.id}' has {most} classes; an episode needs two")
    for ways, query in sizes:
        try:
            return EpisodeSampler(only, shots, ways * query, n_way=ways, seed=config.seed)
        except EpisodeError as error:
            refused = error
    raise refused


def draw(backbone: Backbone, config: Config, index: int) -> tuple[Adapter, Head]:
    """The random adapter and the random head of an episode: by seed and number alone."""
    adapter_key, head_key = mx.random.split(mx.random.key(int(key_of("baseline", config.seed, index)[0])))
    lora = LoraConfig(config.rank, num_layers=config.num_layers)
    return random_adapter(backbone, lora, adapter_key), linear_head(head_key)


def measure(backbone: Backbone, task: SuiteTask, sampler: EpisodeSampler, config: Config) -> list[dict[str, Any]]:
    """Run the episodes of a task.

    Returns:
        One row a method and number of steps, in the fields of `_rows`.

    Raises:
        AdaptationError: a loss that is not a number; it names the episode.
    """
    depth = first_layer(backbone, draw(backbone, config, 0)[0])
    # The frozen layers see each text once. Rows recur in the same order in every run, so the cache changes no figure.
    cache = PrefixCache(backbone, depth, CACHE_BYTES) if isinstance(backbone, Encoder) and depth else None
    read = sorted({step for step in READ_AFTER if step < config.steps} | {config.steps})

    def adapted(support: Examples, query: Examples | None, index: int, steps: int) -> Trace:
        adapter, head = draw(backbone, config, index)
        rule, rate = OPTIMIZERS[config.optimizer](), config.learning_rate
        name = f"{task.id}, number {index}"
        after = read if query is not None else None
        adapted = adapt(
            backbone, adapter, head, support, steps, rate, query=query, read_after=after, optimizer=rule, name=name
        )
        return adapted.trace

    def prototype(support: Examples, query: Examples | None, index: int) -> Trace:
        untouched = draw(backbone, config, index)[0]  # B is zero: these are the frozen features
        return adapt(backbone, untouched, cosine_head(), support, 0, query=query).trace

    frozen, curves, kept = [], [], []
    for episode in sampler.episodes(0, config.episodes):
        support, query = episode_hidden(backbone, episode, depth, cache)
        frozen.append(prototype(support, query, episode.index).query_accuracy)
        curves.append(adapted(support, query, episode.index, config.steps).query_accuracy)
        if len(kept) < TIMED:
            kept.append((episode.index, support))
    traces = {(FROZEN, 0): [prototype(support, None, index) for index, support in kept]}
    traces |= {(RANDOM, step): [adapted(support, None, index, step) for index, support in kept] for step in read}
    accuracies = {(FROZEN, 0): np.array(frozen)[:, 0]}
    accuracies |= {(RANDOM, step): np.array(curves)[:, column] for column, step in enumerate(read)}
    return [_row(task, sampler, config, *key, accuracies[key], traces[key]) for key in accuracies]


def _row(
    task: SuiteTask,
    sampler: EpisodeSampler,
    config: Config,
    method: str,
    steps: int,
    accuracies: np.ndarray,
    traces: list[Trace],
) -> dict[str, Any]:
    """A row of the results.

    `adapt_seconds` is the median of `TIMED` episodes that were adapted without a look at the query set; the frozen
    layers, which run once an example whatever the method, are not in it. `ci95` is (lower, upper).
    """
    low, high = bootstrap_interval(accuracies, np.random.default_rng(config.seed))
    assert isinstance(sampler.n_way, int)
    return {
        "method": method,
        "task": task.id,
        "family": task.family,
        "track": "episode",
        "ways": sampler.n_way,
        "shots": sampler.k_shot,
        "steps": steps,
        "metric": "accuracy",
        "mean": float(accuracies.mean()),
        "ci95": [float(low), float(high)],
        "episodes": config.episodes,
        "adapt_seconds": statistics.median(trace.seconds for trace in traces),
        "gradient_steps": steps,
        "peak_memory_bytes": max(trace.peak_memory_bytes for trace in traces),
        "query": sampler.query_size // sampler.n_way,
        "origin": task.entry["source"]["kind"],
    }


# --- what is there already


class Done:
    """The tasks that are finished, a line each in a file that only grows.

    A task is found again where everything its figures depend on is the same: suite, backbone and settings.
    """

    def __init__(self, path: Path, suite: Suite, config: Config):
        self._path = path
        settings = config.model_dump(exclude={"suite", "backbone", "out", "shots", "figure"})
        self._settings = {"format": 1, "suite_sha256": suite.sha256} | settings
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
    """Write the result and its tables, and show the latter."""
    from rich.console import Console

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
    atomic.write_text(out / "result.json", atomic.canonical_json(result))
    atomic.write_text(out / "table.csv", _csv(rows))
    atomic.write_text(out / "table.md", _markdown(suite, config, rows, skipped))
    # a pipe or a file has no width of its own: leave every column whole there
    console = Console() if sys.stdout.isatty() else Console(width=220)
    if manifest["origin"] == "synthetic":
        console.print("[bold]SYNTHETIC: no real data. Figures measured here say nothing about real text.[/]")
    if rows:
        console.print(_rich("Accuracy, %, and half the width of its 95 % interval", _pivoted(rows)))
    if skipped:
        console.print(_rich("Left out", [asdict(item) for item in skipped]))
    console.print(f"{len(rows)} rows; tables and details in {out}", markup=False, soft_wrap=True)


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


def _rich(title: str, lines: list[dict[str, Any]]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for name in lines[0]:
        number = any(isinstance(line[name], int) or "±" in str(line[name]) for line in lines)
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for line in lines:
        table.add_row(*("" if value is None else str(value) for value in line.values()))
    return table


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    if rows:
        ends = [row | {"ci95_low": row["ci95"][0], "ci95_high": row["ci95"][1]} for row in rows]
        writer = csv.DictWriter(
            text, [name for name in ends[0] if name != "ci95"], extrasaction="ignore", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(ends)
    return text.getvalue()


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
        f"both drawn anew for each episode, after so many steps of {config.optimizer} at learning rate "
        f"{config.learning_rate:g}, which was tuned on nothing. `prototype` is a cosine prototype head on the frozen "
        f"features. `query` counts examples a class. Seed {config.seed}.\n"
    )
    parts.append(_markdown_table(_pivoted(rows)) if rows else "No task could be run.\n")
    if skipped:
        parts += ["## Left out\n", _markdown_table([asdict(item) for item in skipped])]
    return "\n".join(parts)


def _markdown_table(lines: list[dict[str, Any]]) -> str:
    cells = [list(lines[0]), ["---"] * len(lines[0])]
    cells += [["" if value is None else str(value).replace("|", "\\|") for value in line.values()] for line in lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells) + "\n"


def plot(out: Path, suite: Suite, config: Config, rows: list[dict[str, Any]]) -> None:
    """Draw the accuracy of both methods by task."""
    percent = {
        (row["method"], row["task"], row["shots"], row["steps"]): tuple(
            100 * value for value in (row["mean"], *row["ci95"])
        )
        for row in rows
    }
    dots = [
        figures.Dot(
            row["task"] + (" (synthetic)" if row["origin"] == "synthetic" else ""),
            row["family"],
            row["shots"],
            100 / row["ways"],
            percent[FROZEN, row["task"], row["shots"], 0],
            percent[RANDOM, row["task"], row["shots"], config.steps],
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
