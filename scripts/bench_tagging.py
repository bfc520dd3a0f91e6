"""Tokens a second of tagging beside those of classification: a meta-gradient, and the reading of an episode.

    python scripts/bench_tagging.py                       # nano, synthetic sentences: works anywhere
    python scripts/bench_tagging.py backbone=sentence-transformers/all-MiniLM-L6-v2 suite=runs/suites/all

Both kinds take the same network, adapters and number of examples (sentences); each episode is timed once a round with
everything frozen cached, the kinds take turns, and ratios are of a round. Tokens are those of support and query set.
Reading is what `metapeft.evaluate` does of an episode: every start and mix, and the cross-validation of auto.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, build, cli
from metapeft.adapters.lora import LoraConfig
from metapeft.episodes.episode import Episode
from metapeft.episodes.tagging import TaggingSampler
from metapeft.meta.judge import transitions_of
from metapeft.meta.methods import Setup, init_meta, method_named
from metapeft.meta.outer_loop import item_of
from metapeft.meta.run import HEAD_OF, learner_of, tasks_and_backbone
from metapeft.meta.select import candidates_of, cross_validate, read
from metapeft.meta.states import PoolStates
from metapeft.meta.stream import limited, sampler_of
from metapeft.mlx import mx
from metapeft.tasks.suite import Suite
from metapeft.tasks.task import Task

MIX, ROWS = 0.5, 400
KINDS = ("classification", "tagging")


class Config(BaseModel):
    """Options of the benchmark."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    backbone: str = Field(default="nano", description="nano, a folder or a Hub id of an encoder")
    suite: str | None = Field(default=None, description="suite with tasks of both kinds; default: made sentences")
    tasks: list[str] = Field(default=[], description="one task of each kind; default: the first there are")
    examples: int = Field(default=25, ge=2, description="rows of the support set and of the query set, about")
    layers: int = Field(default=1, ge=1, description="of the last blocks that carry adapters")
    max_tokens: int = Field(default=96, ge=8, description="longer texts are cut here")
    episodes: int = Field(default=6, ge=1, description="a round")
    rounds: int = Field(default=5, ge=1, description="how often the kinds take turns")
    out: str = Field(default="runs/bench/tagging", description="folder of result.json")


def bench(config: Config) -> int:
    """Run the benchmark."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = config.suite or made(scratch, config.backbone)
        jobs = {kind: job_of(Suite(folder), kind, config) for kind in KINDS}
    rates: dict[str, dict[str, list[float]]] = {kind: {"gradient": [], "reading": []} for kind in KINDS}
    for number in range(config.rounds + 1):  # the first fills caches and compiles
        for kind, (episodes, gradient, reading) in jobs.items():
            for what, work in (("gradient", gradient), ("reading", reading)):
                seconds, tokens = 0.0, 0
                for place, episode in enumerate(episodes):
                    began = time.perf_counter()
                    work(place)
                    seconds += time.perf_counter() - began
                    tokens += int(episode.support_lengths.sum() + episode.query_lengths.sum())
                if number:
                    rates[kind][what].append(tokens / seconds)
    result: dict[str, Any] = {"backbone": config.backbone, "rates": rates}
    for what in ("gradient", "reading"):
        ours, theirs = (rates[kind][what] for kind in ("tagging", "classification"))
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        result[f"ratio of {what}"] = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
        said = f"{what:9} tagging {statistics.median(ours):9,.0f} tokens/s   "
        said += f"classification {statistics.median(theirs):9,.0f}   "
        print(f"{said}ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    atomic.write_text(Path(config.out) / "result.json", atomic.canonical_json(result))
    return 0


Work = Callable[[int], None]


def job_of(suite: Suite, kind: str, config: Config) -> tuple[list[Episode], Work, Work]:
    """Episodes of a task of this kind, and what is timed of each by its place: a gradient, and a reading."""
    tasks, backbone = tasks_and_backbone(suite, config.backbone, 0, kind)
    task = limited(next((t for t in tasks if t.config.task_id in config.tasks), tasks[0]), ROWS)
    lora = LoraConfig(rank=8, num_layers=config.layers)
    learner = learner_of(backbone, lora, HEAD_OF[kind], MIX)
    transitions = transitions_of([task.support]) if kind == "tagging" else None
    setup, method = Setup(learner, transitions=transitions), method_named("protonet")
    meta = init_meta(setup, method, lora, 1, {"adapter": 0.1, "head": 0.1}, mx.random.key(0))
    states = PoolStates(backbone, learner.depth, config.max_tokens)
    episodes = episodes_of(task, config)
    items = [item_of(episode, task, states, None) for episode in episodes]
    candidates = candidates_of(method, 0, MIX, tagging=kind == "tagging")

    def gradient(place: int) -> None:
        mx.eval(method.gradient(setup, meta, items[place], 0))

    def reading(place: int) -> None:
        known: dict[str, Any] = {}
        read(setup, method, meta, items[place], candidates, known)
        cross_validate(setup, method, meta, items[place], lambda rows: items[place].support, candidates, 5, known)

    return episodes, gradient, reading


def episodes_of(task: Task, config: Config) -> list[Episode]:
    """Episodes with so many rows in each set."""
    if task.kind == "tagging":
        drawn = TaggingSampler(task, config.examples, config.examples, by="sentences", max_tokens=config.max_tokens)
        return drawn.episodes(0, config.episodes)
    ways = min(5, task.config.num_classes)
    return sampler_of(task, ways, config.examples // ways, config.examples // ways, config.max_tokens).episodes(
        0, config.episodes
    )


def made(scratch: str, backbone: str) -> str:
    """A suite of made sentences of both kinds."""
    folder = f"{scratch}/suite"
    order = ["recipe=synthetic_text", "tasks=[syn_intent_banking,syn_tagging_news]", f"out={folder}", "quiet=true"]
    if build.main(order) != 0:
        raise SystemExit(2)
    return folder


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return cli.run(
        bench,
        Config,
        argv,
        prog="bench_tagging.py",
        description="Tokens a second of tagging beside those of classification.",
        examples=["python scripts/bench_tagging.py", "python scripts/bench_tagging.py suite=runs/suites/all layers=3"],
    )


if __name__ == "__main__":
    sys.exit(main())
