"""A meta-trained checkpoint on tasks it never saw, beside the frozen prototype, its own base and a random start.

    python scripts/heldout.py suite=runs/suites/all checkpoint=runs/train/NAME/best test=[topic]

For every test task and number of shots the same episodes for all methods (`sampler_of` by number):

- ``frozen``: cosine prototypes on frozen features
- ``static, mix m``: the learned base without the generated term; m is the weight of adapted beside frozen features
- ``hypernetwork, mix m``: with it
- ``shuffled, mix m``: as hypernetwork, with the embedding of a training episode drawn by chance
- ``random``: a random adapter, and a random linear head, after `random_steps` Adam steps, on the first episodes
- ``auto``: one of frozen, static and hypernetwork and a mix, chosen on the support set (`metapeft.meta.select`)
- ``… + names``: the names of the classes are examples of them too

The prior of ``auto`` is fitted on the checkpoint's validation tasks, before any test task is opened. A test task that
training or validation used is refused. Finished cells are kept in `OUT/cells`; a second run goes on from them.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, cli
from metapeft.adapters.lora import LoraConfig
from metapeft.episodes.episode import Episode
from metapeft.episodes.sampler import EpisodeSampler
from metapeft.errors import SuiteError
from metapeft.evaluation.intervals import bootstrap_interval, paired_p_value
from metapeft.heads import accuracy
from metapeft.meta import checkpoint as checkpoints
from metapeft.meta.inner_loop import Examples
from metapeft.meta.methods import Item, Setup, method_named
from metapeft.meta.outer_loop import item_of
from metapeft.meta.readings import random_curve
from metapeft.meta.run import learner_of, tasks_and_backbone
from metapeft.meta.select import Candidate, Features, Prior, candidates_of, choose, fit_prior, nearness, read
from metapeft.meta.states import PoolStates
from metapeft.meta.stream import limited, sampler_of, split_tasks
from metapeft.mlx import mx
from metapeft.tasks import sampling
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
    more: list[str] = Field(default=[], description="further suites, if validation tasks lie there")
    checkpoint: str = Field(description="folder of a checkpoint that `metapeft train` wrote")
    backbone: str = Field(default="nano", description="the one it was trained for")
    test: Annotated[list[str], Field(min_length=1)] = Field(description="tasks or families to test on")
    out: str | None = Field(default=None, description="folder of the result; default runs/heldout/<run>")
    shots: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = Field(
        default=[1, 5, 10], description="support examples a class"
    )
    ways: int = Field(default=5, ge=2, description="classes of an episode, or all of a task that has fewer")
    query: int = Field(default=5, ge=1, description="query examples a class; twice as many in two-way episodes")
    episodes: int = Field(default=600, ge=2, description="episodes a task and number of shots")
    steps: int = Field(default=0, ge=0, le=10, description="gradient steps that are tried beside none")
    random_steps: int = Field(default=5, ge=1, le=10, description="Adam steps of the random start")
    random_episodes: int = Field(default=100, ge=2, description="episodes of the random start, at most")
    rows: int = Field(default=2000, ge=16, description="rows of each pool that episodes are drawn from")
    prior_episodes: int = Field(default=30, ge=1, description="episodes a validation task for the prior of auto")
    folds: int = Field(default=5, ge=2, description="of the cross-validation of auto")
    seed: int = Field(default=0, ge=0, description="of the episodes")


class Bench:
    """A checkpoint, opened, with the tasks it may be tested on."""

    def __init__(self, config: Config):
        self.config = config
        tasks, self.backbone = tasks_and_backbone(Suite(config.suite), config.backbone, 0)
        for more in config.more:
            tasks += tasks_and_backbone(Suite(more), config.backbone, 0)[0]
        self.checkpoint = checkpoints.load(config.checkpoint, self.backbone)
        facts = self.checkpoint.facts
        self.facts = facts
        self.method = method_named(facts["method"])
        self.lora = LoraConfig(**facts["lora"])
        learner = learner_of(self.backbone, self.lora, facts["head"], facts["mix"])
        self.setup = Setup(learner, checkpoints.hypernetwork_of(facts, self.backbone))
        self.states = PoolStates(self.backbone, learner.depth, facts["max_tokens"])
        # the base is the same in every episode: its features are computed once a text
        self.based = PoolStates(
            self.backbone, learner.depth, facts["max_tokens"], adapter=self.meta["base"], scale=self.lora.scale
        )
        self.test, _ = split_tasks(tasks, config.test)
        self.validation = [task for task in tasks if task.config.task_id in facts["validation"]]
        seen = set(facts["training"]) | set(facts["validation"])
        met = [task.config.task_id for task in self.test if task.config.task_id in seen]
        if met:
            raise SuiteError(f"{config.checkpoint} was trained or validated on {', '.join(met)}: no test tasks for it")
        missing = sorted(set(facts["validation"]) - {task.config.task_id for task in self.validation})
        if missing:
            raise SuiteError(f"validation tasks {', '.join(missing)} are in none of the suites\n  name theirs in more=")
        self.candidates = candidates_of(self.method, config.steps, facts["mix"], names=True)
        self.plain = tuple(c for c in self.candidates if not c.names)

    @property
    def meta(self) -> Any:
        return self.checkpoint.state.meta

    def sampler(self, task: Task, shots: int, seed: int) -> EpisodeSampler:
        """Episodes of a task."""
        config = self.config
        ways = min(config.ways, task.config.num_classes)
        query = config.query * (2 if ways == 2 else 1)
        return sampler_of(task, ways, shots, query, self.facts["max_tokens"], seed)

    def opened(self, episode: Episode, task: Task) -> tuple[Item, dict[str, Features], float]:
        """An episode, its features with the learned base, and how near it is to training."""
        item = item_of(episode, task, self.states, self.checkpoint.embedder, names=True)
        side = "support" if task.one_pool else "query"
        parts = [("support", episode.support_rows), (side, episode.query_rows), ("names", episode.classes)]
        based = [
            None if name == "names" and task.names is None else mx.array(self.based.features(task, name, rows))
            for name, rows in parts
        ]
        near = 0.0
        if self.checkpoint.embedder is not None:
            near = nearness(self.checkpoint.library, np.array(item.embedding))
        return item, {"static": Features(*based)}, near

    def prior(self) -> Prior:
        """The prior of auto, from the checkpoint's validation tasks."""
        similarity: list[float] = []
        gains: dict[str, list[float]] = {c.name: [] for c in self.candidates[1:]}
        for task in (limited(task, self.config.rows) for task in self.validation):
            for shots in PRIOR_SHOTS:
                for episode in self.sampler(task, shots, PRIOR_SEED).episodes(0, self.config.prior_episodes):
                    item, known, near = self.opened(episode, task)
                    right = self.right(item, self.candidates, known)
                    similarity.append(near)
                    for name in gains:
                        gains[name].append(right.get(name, right["frozen"]) - right["frozen"])
        return fit_prior(np.array(similarity), {name: np.array(gain) for name, gain in gains.items()})

    def right(self, item: Item, candidates: tuple[Candidate, ...], known: dict[str, Features]) -> dict[str, float]:
        """Query accuracy of every candidate."""
        logits = read(self.setup, self.method, self.meta, item, candidates, known)
        return {name: float(accuracy(each, item.query.labels)) for name, each in logits.items()}

    def cell(self, task: Task, shots: int, prior: Prior) -> dict[str, Any]:
        """All methods on the episodes of one task: an accuracy an episode each."""
        config = self.config
        sampler = self.sampler(task, shots, TEST_SEED + config.seed)
        out: dict[str, list[float]] = {}
        chosen: dict[str, Counter[str]] = {"auto": Counter(), "auto + names": Counter()}
        similarity = []
        generated = tuple(c for c in self.candidates if c.start == "hypernetwork" and c.mix == self.facts["mix"])
        strangers = self.checkpoint.library
        for episode in sampler.episodes(0, config.episodes):
            item, known, near = self.opened(episode, task)
            right = self.right(item, self.candidates, known)
            if generated:
                drawn = sampling.fold(sampling.key_of("stranger", task.config.task_id), episode.index)
                embedding = mx.array(strangers[int(sampling.below(drawn, len(strangers))[0])])
                swapped = self.right(item._replace(embedding=embedding), generated, {})
                right |= {name.replace("hypernetwork", "shuffled"): value for name, value in swapped.items()}
            if episode.index < config.random_episodes:
                right["random"] = random_curve(self.setup.learner, self.lora, item, config.random_steps, episode.index)[
                    -1
                ]
            for name, offered in (("auto", self.plain), ("auto + names", self.candidates)):
                choice = choose(
                    self.setup,
                    self.method,
                    self.meta,
                    item,
                    self.part(task, episode),
                    offered,
                    prior,
                    near,
                    config.folds,
                    known,
                )
                chosen[name][choice.candidate.name] += 1
                right[name] = right[choice.candidate.name]
            similarity.append(near)
            for name, value in right.items():
                out.setdefault(name, []).append(value)
        return {
            "task": task.config.task_id,
            "family": task.config.task_family,
            "ways": sampler.n_way,
            "shots": sampler.k_shot,
            "query": sampler.query_size,
            "accuracy": out,
            "chosen": {name: dict(counts) for name, counts in chosen.items()},
            "similarity": float(np.mean(similarity)),
        }

    def part(self, task: Task, episode: Episode) -> Callable[[np.ndarray], Examples]:
        """Support examples by their number in the episode."""
        return lambda rows: self.states.examples(task, "support", episode.support_rows[rows], episode.support_y[rows])


def run(config: Config) -> int:
    """Run the script."""
    bench = Bench(config)
    name = Path(config.checkpoint).resolve().parent.name
    out = Path(config.out) if config.out else Path("runs/heldout") / name
    settings = config.model_dump(exclude={"suite", "more", "checkpoint", "out", "test", "shots"}) | {
        "checkpoint": bench.facts["settings"],
        "step": bench.facts["step"],
    }
    settings = json.loads(json.dumps(settings))
    atomic.write_text(out / "config.json", atomic.canonical_json(config.model_dump()))
    prior: Prior | None = None
    cells = []
    for task in (limited(task, config.rows) for task in bench.test):
        for shots in config.shots:
            path = out / "cells" / f"{task.config.task_id}-{shots}.json"
            cell = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            if cell.get("settings") != settings:
                began = time.perf_counter()
                if prior is None:
                    prior = bench.prior()
                    print(f"prior of auto, mean similarity {prior.centre:.2f}: {_rounded(prior.gains)}", flush=True)
                cell = bench.cell(task, shots, prior) | {"settings": settings, "prior": prior._asdict()}
                cell["seconds"] = time.perf_counter() - began
                atomic.write_text(path, atomic.canonical_json(cell))
            cells.append(cell)
            means = ", ".join(
                f"{name} {100 * np.mean(cell['accuracy'][name]):.1f}" for name in columns(cells, bench.facts["mix"])
            )
            print(f"{task.config.task_id}, {cell['ways']} ways, {shots} shots: {means}", flush=True)
    result = {"script": "heldout", "origin": bench.facts["origin"], "settings": settings}
    rows = [row for cell in cells for row in rows_of(cell, config.seed)]
    atomic.write_text(out / "result.json", atomic.canonical_json(result | {"rows": rows}))
    text = markdown(cells, bench.facts["mix"], config.seed)
    atomic.write_text(out / "table.md", text)
    print(text)
    return 0


def columns(cells: list[dict[str, Any]], mix: float) -> list[str]:
    """What the table shows: every start at the mix of training, without and with names."""
    shown = ["frozen", *(f"{start}, mix {mix:g}" for start in ("static", "hypernetwork", "shuffled")), "random", "auto"]
    shown += [f"{name} + names" for name in shown if name != "random"]
    return [name for name in shown if any(name in cell["accuracy"] for cell in cells)]


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
                "p_against_frozen": paired_p_value(
                    np.array(values), frozen[: len(values)], np.random.default_rng(seed)
                ),
                "chosen": cell["chosen"].get(name),
            }
        )
    return rows


def markdown(cells: list[dict[str, Any]], mix: float, seed: int) -> str:
    """The table: a line a task and number of shots, a column a method; means, what was chosen, paired tests."""
    names = columns(cells, mix)
    lines = ["| task | ways | shots | " + " | ".join(names) + " |", "|" + "---|" * (len(names) + 3)]
    for cell in cells:
        figures = []
        for name in names:
            values = cell["accuracy"].get(name)
            if values is None:
                figures.append("")
                continue
            low, high = bootstrap_interval(np.array(values), np.random.default_rng(seed))
            figures.append(f"{100 * np.mean(values):.1f} ± {50 * (high - low):.1f}")
        lines.append(f"| {cell['task']} | {cell['ways']} | {cell['shots']} | " + " | ".join(figures) + " |")
    for shots in dict.fromkeys(cell["shots"] for cell in cells):
        own = [cell for cell in cells if cell["shots"] == shots]
        means = [
            f"**{100 * np.mean([np.mean(c['accuracy'][name]) for c in own if name in c['accuracy']]):.1f}**"
            for name in names
        ]
        lines.append(f"| **mean of {len(own)} tasks** | | {shots} | " + " | ".join(means) + " |")
    lines += ["", "Chosen by auto, share of episodes:", ""]
    for name in ("auto", "auto + names"):
        counts = sum((Counter(cell["chosen"][name]) for cell in cells), Counter())
        said = ", ".join(f"{chosen} {100 * n / counts.total():.0f} %" for chosen, n in counts.most_common())
        lines.append(f"- {name}: {said}")
    lines += ["", "Paired over all episodes (difference in points, sign-flip p):", ""]
    for a, b in compared(mix):
        both = [c for c in cells if a in c["accuracy"] and b in c["accuracy"]]
        if both:
            pairs = [(c["accuracy"][a], c["accuracy"][b]) for c in both]
            first, second = (np.concatenate([pair[i][: min(map(len, pair))] for pair in pairs]) for i in (0, 1))
            p = paired_p_value(first, second, np.random.default_rng(seed))
            lines.append(f"- {a} against {b}: {100 * np.mean(first - second):+.2f}, p = {p:.4f}")
    return "\n".join(lines) + "\n"


def compared(mix: float) -> list[tuple[str, str]]:
    """Pairs of methods that are tested against each other on the same episodes."""
    pairs = []
    for names in ("", " + names"):
        static, own, swapped = (f"{s}, mix {mix:g}{names}" for s in ("static", "hypernetwork", "shuffled"))
        auto, frozen = f"auto{names}", f"frozen{names}"
        pairs += [(static, frozen), (own, frozen), (own, static), (own, swapped), (auto, frozen), (auto, static)]
        pairs += [(auto, "random"), (own, "random")]
    return [*pairs, ("auto + names", "frozen")]


def _rounded(gains: dict[str, tuple[float, float]]) -> str:
    return ", ".join(f"{name} {100 * g:+.1f} (slope {s:+.2f})" for name, (g, s) in gains.items()) or "none"


def main(argv: list[str] | None = None) -> int:
    """Entry point of the script."""
    return cli.run(run, Config, argv, prog="heldout", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
