"""A meta-trained checkpoint on tasks it never saw, beside the frozen prototype, its own base and a random start.

    python scripts/heldout.py suite=runs/suites/all checkpoint=runs/train/NAME/best test=[topic]

For every test task and number of shots the same episodes for all methods (`sampler_of` by number):

- ``frozen``: cosine prototypes on frozen features
- ``static``: the learned base without the generated term, 0 and `steps` steps
- ``hypernetwork``: with it
- ``shuffled``: as hypernetwork, with the embedding of an episode of another test task
- ``random``: a random adapter, and a random linear head, after `steps` Adam steps
- ``auto``: one of frozen, static and hypernetwork, chosen on the support set (`metapeft.meta.select`)

The prior of ``auto`` is fitted on the checkpoint's validation tasks, before any test task is opened. A test task that
training or validation used is refused. Finished cells are kept in `OUT/cells`; a second run goes on from them.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, cli
from metapeft.adapters.lora import LoraConfig
from metapeft.errors import SuiteError
from metapeft.evaluation.intervals import bootstrap_interval, paired_p_value
from metapeft.heads import accuracy
from metapeft.meta import checkpoint as checkpoints
from metapeft.meta.methods import Item, Setup, method_named
from metapeft.meta.outer_loop import item_of, support_set
from metapeft.meta.readings import random_curve
from metapeft.meta.run import learner_of, tasks_and_backbone
from metapeft.meta.select import Labelled, Prior, candidates_of, choose, fit_prior, nearness, read
from metapeft.meta.states import PoolStates
from metapeft.meta.stream import limited, sampler_of, split_tasks
from metapeft.mlx import mx
from metapeft.tasks.suite import Suite
from metapeft.tasks.task import Task

DESCRIPTION = "A meta-trained checkpoint on tasks it never saw: accuracy, intervals, paired tests."
EXAMPLES = ["python scripts/heldout.py suite=runs/suites/all checkpoint=runs/train/NAME/best test=[topic] shots=[1,5]"]
PRIOR_SEED, TEST_SEED = 30_000, 50_000  # apart from the seeds of training and validation episodes
PRIOR_SHOTS = (1, 5)


class Config(BaseModel):
    """What the script takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    suite: str = Field(description="folder that `metapeft build` wrote")
    checkpoint: str = Field(description="folder of a checkpoint that `metapeft train` wrote")
    backbone: str = Field(default="nano", description="the one it was trained for")
    test: Annotated[list[str], Field(min_length=1)] = Field(description="tasks or families to test on")
    out: str | None = Field(default=None, description="folder of the result; default runs/heldout/<run>")
    shots: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = Field(
        default=[1, 5, 10], description="support examples a class"
    )
    ways: int = Field(default=5, ge=2, description="classes of an episode, or all of a task that has fewer")
    query: int = Field(default=15, ge=1, description="query examples a class")
    episodes: int = Field(default=600, ge=2, description="episodes a task and number of shots")
    steps: int = Field(default=5, ge=0, le=10, description="gradient steps")
    rows: int = Field(default=2000, ge=16, description="rows of each pool that episodes are drawn from")
    prior_episodes: int = Field(default=20, ge=1, description="episodes a validation task for the prior of auto")
    folds: int = Field(default=3, ge=2, description="of the cross-validation of auto")
    seed: int = Field(default=0, ge=0, description="of the episodes")


class Bench:
    """A checkpoint, opened, with the tasks it may be tested on."""

    def __init__(self, config: Config):
        self.config = config
        suite = Suite(config.suite)
        tasks, self.backbone = tasks_and_backbone(suite, config.backbone, 0)
        self.checkpoint = checkpoints.load(config.checkpoint, self.backbone)
        facts = self.checkpoint.facts
        self.facts = facts
        self.method = method_named(facts["method"])
        lora = LoraConfig(**facts["lora"])
        learner = learner_of(self.backbone, lora, facts["head"], facts["mix"])
        self.setup = Setup(learner, checkpoints.hypernetwork_of(facts, self.backbone))
        self.lora = lora
        self.states = PoolStates(self.backbone, learner.depth, facts["max_tokens"])
        self.test, _ = split_tasks(tasks, config.test)
        self.validation = [task for task in tasks if task.config.task_id in facts["validation"]]
        seen = set(facts["training"]) | set(facts["validation"])
        met = [task.config.task_id for task in self.test if task.config.task_id in seen]
        if met:
            raise SuiteError(f"{config.checkpoint} was trained or validated on {', '.join(met)}: no test tasks for it")
        self.candidates = candidates_of(self.method, config.steps, facts["mix"])

    @property
    def meta(self) -> Any:
        return self.checkpoint.state.meta

    def labelled(self, task: Task, episode: Any) -> Labelled:
        """An episode's support set, to be had in parts."""

        def part(indices: np.ndarray) -> Any:
            labels = episode.support_y[indices]
            return self.states.examples(task, "support", episode.support_rows[indices], labels)

        def looked_at(indices: np.ndarray) -> Any:
            frozen = self.states.frozen(task, "support", episode.support_rows[indices])
            whole = support_set(task, episode, frozen)
            lengths = None if whole.lengths is None else whole.lengths[indices]
            return whole._replace(labels=whole.labels[indices], x=whole.x[indices], lengths=lengths)

        return Labelled(part, looked_at, episode.support_y, len(episode.classes))

    def prior(self) -> Prior:
        """The prior of auto, from the checkpoint's validation tasks."""
        similarity: list[float] = []
        gains: dict[str, list[float]] = {c.name: [] for c in self.candidates if c.start != "frozen"}
        for task in (limited(task, self.config.rows) for task in self.validation):
            for shots in PRIOR_SHOTS:
                sampler = sampler_of(
                    task, self.config.ways, shots, self.config.query, self.facts["max_tokens"], PRIOR_SEED
                )
                for episode in sampler.episodes(0, self.config.prior_episodes):
                    item = item_of(episode, task, self.states, self.checkpoint.embedder)
                    right = self._right(item)
                    near = 0.0
                    if self.checkpoint.embedder is not None:
                        near = nearness(self.checkpoint.library, np.array(item.embedding))
                    similarity.append(near)
                    for name in gains:
                        gains[name].append(right[name] - right["frozen"])
        return fit_prior(np.array(similarity), {name: np.array(gain) for name, gain in gains.items()})

    def _right(self, item: Item) -> dict[str, float]:
        logits = read(self.setup, self.method, self.meta, item, self.candidates)
        return {name: float(accuracy(each, item.query.labels)) for name, each in logits.items()}

    def cell(self, task: Task, others: list[Task], shots: int, prior: Prior) -> dict[str, Any]:
        """All methods on the episodes of one task: an accuracy an episode each."""
        config = self.config
        sampler = sampler_of(task, config.ways, shots, config.query, self.facts["max_tokens"], TEST_SEED + config.seed)
        out: dict[str, list[float]] = {}
        chosen: Counter[str] = Counter()
        similarity = []
        for episode in sampler.episodes(0, config.episodes):
            item = item_of(episode, task, self.states, self.checkpoint.embedder)
            right = self._right(item)
            if self.checkpoint.embedder is not None and others:
                other = others[episode.index % len(others)]
                stranger = sampler_of(
                    other, config.ways, shots, config.query, self.facts["max_tokens"], TEST_SEED + config.seed
                ).episode(episode.index)
                frozen = self.states.frozen(other, "support", stranger.support_rows)
                embedding = mx.array(self.checkpoint.embedder.embed(support_set(other, stranger, frozen)))
                mine = tuple(c for c in self.candidates if c.start == "hypernetwork")
                swapped = read(self.setup, self.method, self.meta, item._replace(embedding=embedding), mine)
                for name, logits in swapped.items():
                    right[name.replace("hypernetwork", "shuffled")] = float(accuracy(logits, item.query.labels))
            right[f"random {config.steps} steps"] = random_curve(
                self.setup.learner, self.lora, item, config.steps, episode.index
            )[-1]
            choice = choose(
                self.setup,
                self.method,
                self.meta,
                self.checkpoint.embedder,
                self.checkpoint.library,
                self.labelled(task, episode),
                self.candidates,
                prior,
                config.folds,
            )
            chosen[choice.candidate.name] += 1
            similarity.append(choice.similarity)
            right["auto"] = right[choice.candidate.name]
            for name, value in right.items():
                out.setdefault(name, []).append(value)
        return {
            "task": task.config.task_id,
            "family": task.config.task_family,
            "ways": sampler.n_way,
            "shots": sampler.k_shot,
            "query": sampler.query_size,
            "accuracy": out,
            "chosen": dict(chosen),
            "similarity": float(np.mean(similarity)),
        }


def run(config: Config) -> int:
    """Run the script."""
    bench = Bench(config)
    name = Path(config.checkpoint).resolve().parent.name
    out = Path(config.out) if config.out else Path("runs/heldout") / name
    settings = config.model_dump(exclude={"suite", "checkpoint", "out", "test", "shots"}) | {
        "checkpoint": bench.facts["settings"],
        "step": bench.facts["step"],
    }
    settings = json.loads(json.dumps(settings))
    atomic.write_text(out / "config.json", atomic.canonical_json(config.model_dump()))
    prior = bench.prior()
    print(f"prior of auto: gain at mean similarity {prior.centre:.2f}: {_rounded(prior.gains)}", flush=True)
    tasks = [limited(task, config.rows) for task in bench.test]
    cells = []
    for task in tasks:
        for shots in config.shots:
            path = out / "cells" / f"{task.config.task_id}-{shots}.json"
            cell = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            if cell.get("settings") != settings:
                began = time.perf_counter()
                others = [other for other in tasks if other is not task]
                cell = bench.cell(task, others, shots, prior) | {"settings": settings}
                cell["seconds"] = time.perf_counter() - began
                atomic.write_text(path, atomic.canonical_json(cell))
            cells.append(cell)
            means = ", ".join(f"{name} {100 * np.mean(a):.1f}" for name, a in cell["accuracy"].items())
            print(f"{task.config.task_id}, {cell['ways']} ways, {shots} shots: {means}", flush=True)
    result = {"script": "heldout", "origin": bench.facts["origin"], "settings": settings, "prior": prior._asdict()}
    rows = [row for cell in cells for row in rows_of(cell, config.seed)]
    atomic.write_text(out / "result.json", atomic.canonical_json(result | {"rows": rows}))
    text = markdown(cells, config)
    atomic.write_text(out / "table.md", text)
    print(text)
    return 0


def rows_of(cell: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """One row a method: mean, interval, the paired test against the frozen prototype."""
    rows = []
    frozen = np.array(cell["accuracy"]["frozen"])
    for name, values in cell["accuracy"].items():
        low, high = bootstrap_interval(np.array(values), np.random.default_rng(seed))
        rows.append(
            {key: cell[key] for key in ("task", "family", "ways", "shots", "similarity")}
            | {
                "method": name,
                "metric": "accuracy",
                "mean": float(np.mean(values)),
                "ci95": [float(low), float(high)],
                "episodes": len(values),
                "p_against_frozen": paired_p_value(np.array(values), frozen, np.random.default_rng(seed)),
                "chosen": cell["chosen"] if name == "auto" else None,
            }
        )
    return rows


def markdown(cells: list[dict[str, Any]], config: Config) -> str:
    """The table: a line a task and number of shots, a column a method; then means and paired tests."""
    names = list(dict.fromkeys(name for cell in cells for name in cell["accuracy"]))
    lines = ["| task | ways | shots | " + " | ".join(names) + " | auto chose |", "|" + "---|" * (len(names) + 4)]
    for cell in cells:
        figures = []
        for name in names:
            values = cell["accuracy"].get(name)
            if values is None:
                figures.append("")
                continue
            low, high = bootstrap_interval(np.array(values), np.random.default_rng(config.seed))
            figures.append(f"{100 * np.mean(values):.1f} ± {50 * (high - low):.1f}")
        chose = ", ".join(f"{name} {count}" for name, count in sorted(cell["chosen"].items(), key=lambda c: -c[1]))
        lines.append(f"| {cell['task']} | {cell['ways']} | {cell['shots']} | " + " | ".join(figures) + f" | {chose} |")
    for shots in dict.fromkeys(cell["shots"] for cell in cells):
        own = [cell for cell in cells if cell["shots"] == shots]
        means = [
            f"**{100 * np.mean([np.mean(c['accuracy'][name]) for c in own if name in c['accuracy']]):.1f}**"
            for name in names
        ]
        lines.append(f"| **mean of {len(own)} tasks** | | {shots} | " + " | ".join(means) + " | |")
    lines += ["", "Paired over all episodes (difference in points, sign-flip p):", ""]
    pairs = [(a, b) for a in names for b in names if (a, b) in compared(config.steps)]
    for a, b in pairs:
        both = [c for c in cells if a in c["accuracy"] and b in c["accuracy"]]
        if both:
            first = np.concatenate([c["accuracy"][a] for c in both])
            second = np.concatenate([c["accuracy"][b] for c in both])
            p = paired_p_value(first, second, np.random.default_rng(config.seed))
            lines.append(f"- {a} against {b}: {100 * np.mean(first - second):+.2f}, p = {p:.4f}")
    return "\n".join(lines) + "\n"


def compared(steps: int) -> set[tuple[str, str]]:
    pairs = {("auto", "frozen"), ("auto", f"random {steps} steps")}
    for count in {0, steps}:
        for rival in ("static", "shuffled"):
            pairs.add((f"hypernetwork {count} steps", f"{rival} {count} steps"))
        pairs.add((f"hypernetwork {count} steps", "frozen"))
    return pairs


def _rounded(gains: dict[str, tuple[float, float]]) -> str:
    return ", ".join(f"{name} {100 * g:+.1f} (slope {s:+.2f})" for name, (g, s) in gains.items()) or "none"


def main(argv: list[str] | None = None) -> int:
    """Entry point of the script."""
    return cli.run(run, Config, argv, prog="heldout", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
