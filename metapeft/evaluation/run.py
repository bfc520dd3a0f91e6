"""An evaluation: which tasks, cell by cell, and how it goes on after a kill."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metapeft import atomic
from metapeft.episodes.episode import Episode
from metapeft.episodes.tagging import By
from metapeft.errors import EpisodeError
from metapeft.evaluation.baselines import TRIED, scikit_learn, tuned
from metapeft.evaluation.bench import (
    TEST_SEED,
    Opened,
    Sizes,
    cell_of,
    open_checkpoint,
    prior_of,
    sampler,
    validation_episodes,
)
from metapeft.evaluation.generation.bench import rate_of_random, written_cell
from metapeft.evaluation.plots import matplotlib
from metapeft.evaluation.protocol import (
    Origin,
    Track,
    check_apart,
    episodes_sha256,
    near_duplicates,
    origin_of,
    prints_of,
    track_of,
    unseen,
)
from metapeft.evaluation.report import html as report_html
from metapeft.evaluation.report import markdown, summarized
from metapeft.evaluation.tables import Cell, columns, percent
from metapeft.evaluation.task_map import task_map
from metapeft.meta.checkpoint import read_facts
from metapeft.meta.methods import Item
from metapeft.meta.outer_loop import item_of
from metapeft.meta.prior import Prior
from metapeft.meta.run import tasks_of_suites
from metapeft.meta.stream import limited, split_tasks, too_long, with_rows
from metapeft.tasks.suite import POOLS, Suite
from metapeft.tasks.task import Task

if TYPE_CHECKING:
    from metapeft.evaluate import EvaluateConfig

WRITE_STEPS = 5  # inner steps of a start that writes, where steps= does not say
LEAST_NEW = 0.8  # of a test task's rows must be new, or it is no other corpus
_PARTS = ("training", "validation")


class Evaluation:
    """An evaluation, set up: everything is checked before the first episode.

    Args:
        config: what was asked for.

    Raises:
        MetapeftError: no suite, backbone, checkpoint or task, a validation task that is in no suite, or a test task
            that is not apart from training as `track` promises.
    """

    def __init__(self, config: EvaluateConfig):
        if config.baselines:
            scikit_learn()
        if config.html:
            matplotlib()
        self.config = config
        suites = [Suite(path) for path in (config.suite, *config.more)]
        self.suite = suites[0]
        kind = read_facts(config.checkpoint).get("kind", "classification")  # those of before November 2026 have none
        tasks, self.home, backbone = tasks_of_suites(suites, config.backbone, 0, kind)
        self.writes = kind == "generation"
        if config.samples and not (self.writes and config.allow_code_execution):
            raise EpisodeError("samples= is for programs that may run: it needs allow_code_execution=true")
        if config.sentences and kind != "tagging":
            raise EpisodeError("sentences= is for checkpoints that tag words; say how many examples a class: shots=")
        if twice := sorted({*config.shots} & {*config.sentences}):
            raise EpisodeError(f"{twice[0]} is in shots= and in sentences=: a table could not tell them apart")
        self.opened: Opened = open_checkpoint(config.checkpoint, backbone, config.steps, config.baselines)
        facts = self.opened.facts
        seen = {*facts["training"], *facts["validation"]}
        others = [task.config.task_id for task in tasks if task.config.task_id not in seen]
        self.test, _ = split_tasks(tasks, config.test or others)
        self.families = {task.config.task_id: task.config.task_family for task in tasks}
        if not self.test:
            raise EpisodeError(f"{config.suite}: no task is left that the checkpoint was not trained or validated on")
        self.validation = [task for task in tasks if task.config.task_id in facts["validation"]]
        missing = sorted(set(facts["validation"]) - {task.config.task_id for task in self.validation})
        if missing:
            raise EpisodeError(f"validation tasks {', '.join(missing)} are in none of the suites\n  name theirs: more=")
        self.dropped: dict[str, dict[str, int]] = {}
        self.cut: dict[str, tuple[int, int]] = {}
        self.unchecked = sorted(set(facts["training"]) - set(self.home))
        self.tracks = self._tracks(facts)
        self.settings = settings_of(config, facts) | {"suites": [suite.sha256 for suite in suites]}
        self.out = Path(config.out) if config.out else default_out(config)
        self.sizes = Sizes(**{name: getattr(config, name) for name in Sizes._fields if name != "tuned"})
        self.cell_of = self._written_cell if self.writes else self._labelled_cell
        self.prior: Prior | None = None
        self.tuned: list[dict[str, Any]] = []

    def go(self) -> int:
        """Evaluate; returns the exit code."""
        config, mix = self.config, self.opened.facts["mix"]
        print(f"checkpoint  {config.checkpoint} ({self.opened.facts['method']}, step {self.opened.facts['step']})")
        print(f"test        {len(self.test)} tasks x {len(config.shots)} shots x {config.episodes} episodes")
        if self._origin() == "synthetic":
            print("            SYNTHETIC: figures say nothing about real text")
        if self.unchecked:
            print(
                f"unchecked   {len(self.unchecked)} training tasks are in none of the suites (more=), so nothing was "
                f"compared with them: {', '.join(self.unchecked)}"
            )
        if config.baselines or self.writes:
            self._tune()
        cells: list[Cell] = []
        self.test = [limited(task, config.rows) for task in self.test]
        for task in self.test:
            name, longest = task.config.task_id, self.opened.facts["max_tokens"]
            self.cut[name] = cut, lost = too_long(task, longest)
            if cut:
                print(
                    f"{name}: {cut} rows are cut at {longest} tokens, as in training"
                    + f"; {lost} mentions begin beyond" * (task.kind == "tagging")
                )
            sizes: list[tuple[int, By]] = [(shots, "mentions") for shots in config.shots]
            for sentences in config.sentences:
                sizes.append((sentences, "sentences"))
            for shots, by in sizes:
                if by == "sentences" and shots > len(task.support):
                    print(f"{task.config.task_id}: has no {shots} support sentences, left out")
                    continue
                cell = self._cell(task, shots, by)
                if cell["shots"] != shots and any(
                    (c["task"], c["shots"]) == (cell["task"], cell["shots"]) for c in cells
                ):
                    continue  # the task cannot give so many shots, and what it can give is there
                cells.append(cell)
                said = ", ".join(f"{n} {percent(float(np.mean(cell['accuracy'][n])))}" for n in columns([cell], mix))
                print(f"{cell['task']}, {cell['ways']} ways, {cell['shots']} shots: {said}", flush=True)
        result = self._result(cells)
        written = write(self.out, result, config.html)
        for line in result["criteria"]:
            print(f"{line['verdict']:<13} {line['criterion']}: {line['method']}, {line['scope']}")
        print("report      " + ", ".join(map(str, written)))
        return 0

    def _tune(self) -> None:
        """Choose the baselines' hyperparameters on the validation tasks, or take what was chosen before."""
        path = self.out / "tuned.json"
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if kept.get("settings") != self.settings:
            print("tuning      baselines, on the validation tasks", flush=True)
            learner, lora = self.opened.setup.learner, self.opened.lora
            if self.writes:
                lines = [rate_of_random(self.opened, self.validation, self.sizes, self.config.prior_episodes)]
            else:
                lines = tuned(self._validation_items(), learner, lora, self.sizes.random_steps)
            kept = json.loads(json.dumps({"settings": self.settings, "tuned": lines}))
            atomic.write_text(path, atomic.canonical_json(kept))
        self.tuned = kept["tuned"]
        chosen = {each["method"]: each["chosen"] for each in self.tuned}
        self.sizes = self.sizes._replace(tuned={**self.sizes.tuned, **chosen})
        print("tuned       " + "; ".join(f"{e['method']}: {e['parameter']} {e['chosen']:g}" for e in self.tuned))

    def _validation_items(self) -> Iterator[tuple[Item, Episode]]:
        """The episodes of the prior, as baselines read them."""
        drawn = validation_episodes(self.opened, self.validation, self.sizes, self.config.prior_episodes)
        for task, _, episode in drawn:
            yield item_of(episode, task, self.opened.states, None), episode

    def _cell(self, task: Task, shots: int, by: By) -> Cell:
        """A finished cell, or the cell computed."""
        path = self.out / "cells" / f"{task.config.task_id}-{shots}{'-sentences' * (by == 'sentences')}.json"
        settings = self.settings | {"rows_left_out": self.dropped.get(task.config.task_id)}
        if path.exists():
            cell = json.loads(path.read_text(encoding="utf-8"))
            if cell.get("settings") == settings:
                return cell
        began, said = time.perf_counter(), 0.0

        def note(done: int) -> None:
            nonlocal said
            now = time.perf_counter()
            if now - said > 10:
                left = (now - began) / done * (self.config.episodes - done)
                print(f"  {task.config.task_id}, {shots} shots: episode {done}, {left:.0f} s left", flush=True)
                said = now

        drawn = sampler(self.opened, task, shots, self.sizes, TEST_SEED + self.sizes.seed, by)
        cell = self.cell_of(task, shots, by, note) | {
            "track": self.tracks[task.config.task_id],
            "episodes_sha256": episodes_sha256(drawn.episodes(0, self.sizes.episodes)),
            "settings": settings,
        }
        text = atomic.canonical_json(cell)
        atomic.write_text(path, text)
        return json.loads(text)  # as a second run reads it: the order of methods is that of the file

    def _labelled_cell(self, task: Task, shots: int, by: By, note: Callable[[int], None]) -> Cell:
        if self.prior is None:
            self.prior = prior_of(self.opened, self.validation, self.sizes, self.config.prior_episodes)
        return cell_of(self.opened, task, shots, self.sizes, self.prior, note, by)

    def _written_cell(self, task: Task, shots: int, by: By, note: Callable[[int], None]) -> Cell:
        config, home = self.config, self.home[task.config.task_id]
        return written_cell(
            self.opened,
            home,
            task,
            shots,
            self.sizes,
            steps=config.steps or WRITE_STEPS,
            allow_code_execution=config.allow_code_execution,
            samples=config.samples,
            note=note,
        )

    def _tracks(self, facts: dict[str, Any]) -> dict[str, Track]:
        """How far each test task is from training; refuses what breaks the promise."""
        track = self.config.track
        known: dict[str, Origin] = {}

        def origin(task_id: str) -> Origin:
            if task_id not in known:
                known[task_id] = origin_of(self.home[task_id], task_id)
            return known[task_id]

        known_tasks = {"training": sorted({*facts["training"], *self.config.apart}), "validation": facts["validation"]}
        training, validation = ([origin(name) for name in known_tasks[part] if name in self.home] for part in _PARTS)
        seen = [*training, *validation]
        out: dict[str, Track] = {}
        for task in self.test:
            own = origin(task.config.task_id)
            out[own.task_id] = track_of(own, seen) if track == "auto" else track
            if out[own.task_id] == "episode" and track == "auto":
                raise EpisodeError(
                    f"the checkpoint was trained or validated on '{own.task_id}'\n"
                    "  track=episode tests new episodes of known tasks; leave it out for anything else"
                )
        near = self._near([name for name, found in out.items() if found != "episode"], seen)
        apart = []
        for task in self.test:
            own = origin(task.config.task_id)
            if out[own.task_id] != "episode":
                task, own = self._without_seen_texts(task, own, seen, near[own.task_id])
            check_apart(training, validation, [own], out[own.task_id])
            apart.append(task)
        self.test = apart
        return out

    def _near(self, names: list[str], seen: list[Origin]) -> dict[str, np.ndarray]:
        """Of test tasks, the number in `seen` of a task that has a near duplicate of each row, support before query."""
        if self.test[0].kind == "points":  # equal or not
            return {task.config.task_id: np.full(len(task.support) + len(task.query), -1) for task in self.test}
        prints = [[prints_of(self.home[name], name) for name in side] for side in (names, [o.task_id for o in seen])]
        return dict(zip(names, near_duplicates(*prints), strict=True))

    def _without_seen_texts(self, task: Task, own: Origin, seen: list[Origin], near: np.ndarray) -> tuple[Task, Origin]:
        """The task without the rows that training or validation has too; short texts stand in several corpora.

        Args:
            task: to test on.
            own: where it comes from.
            seen: tasks of training and validation.
            near: as `_near` says of the task.
        """
        fresh = unseen(np.concatenate([self.home[own.task_id].row_hashes(own.task_id, side) for side in POOLS]), seen)
        kept = fresh & (near < 0)
        equal, close = np.count_nonzero(~fresh), near[fresh & (near >= 0)]
        self.dropped[own.task_id] = {"equal": int(equal), "near": len(close)}
        own = replace(own, near={seen[n].task_id: count for n, count in Counter(close.tolist()).items()})
        if np.count_nonzero(kept) < LEAST_NEW * len(kept):
            return task, own  # the same corpus under two names: `check_apart` says so
        if equal or len(close):
            print(
                f"{own.task_id}: {equal + len(close)} of {len(kept)} rows left out, training or validation has their "
                f"texts ({equal} equal, {len(close)} nearly)"
            )
        support, query = np.split(kept, [len(task.support)])
        texts = own.texts[unseen(own.texts, seen)]
        return with_rows(task, np.flatnonzero(support), np.flatnonzero(query)), replace(own, texts=texts, near={})

    def _origin(self) -> str:
        """Where the test tasks come from, in the words of a manifest; what else is in the suite does not matter."""
        kinds = {self.home[name].task(name).entry["source"]["kind"] for name in self.tracks}
        if "synthetic" in kinds:
            return "synthetic" if len(kinds) == 1 else "mixed"
        return "hub" if "hub" in kinds else "files"

    def _result(self, cells: list[Cell]) -> dict[str, Any]:
        facts, config = self.opened.facts, self.config
        kept = [{key: value for key, value in cell.items() if key != "settings"} for cell in cells]
        return summarized(
            {
                "verb": "evaluate",
                "suite": self.suite.manifest["name"],
                "suite_sha256": self.suite.sha256,
                "origin": self._origin(),
                "backbone": config.backbone,
                "checkpoint": config.checkpoint,
                "method": facts["method"],
                "training": facts["training"],
                "validation": facts["validation"],
                "mix": facts["mix"],
                "settings": self.settings,
                "tuned": self.tuned,
                "rows_left_out": self.dropped,
                "unchecked": self.unchecked,
                "cut": {name: list(counts) for name, counts in self.cut.items() if counts[0]},
                "cells": kept,
                "task_map": task_map(
                    self.opened, {"validation": self.validation, "test": self.test}, self.families, config.ways
                ),
            }
        )


def settings_of(config: EvaluateConfig, facts: dict[str, Any]) -> dict[str, Any]:
    """What the figures of a cell depend on: all but which cells there are and where they go."""
    watching = {
        "suite",
        "more",
        "checkpoint",
        "out",
        "test",
        "shots",
        "sentences",
        "html",
        "track",
        "backbone",
        "apart",
    }
    settings = config.model_dump(exclude=watching) | {"checkpoint": facts["settings"], "step": facts["step"]}
    if not config.allow_code_execution:  # most results have nothing to run
        del settings["allow_code_execution"], settings["samples"]
    if config.baselines:
        settings["tried"] = TRIED
    if config.apart:
        settings["apart"] = sorted(config.apart)
    return json.loads(json.dumps(settings))


def default_out(config: EvaluateConfig) -> Path:
    """Where a result goes when nothing is said."""
    return Path("runs/evaluate") / Path(config.checkpoint).resolve().parent.name


def write(folder: Path, result: dict[str, Any], html: bool) -> list[Path]:
    """Write `result.json`, `report.md` and, if asked, `report.html`; returns their paths."""
    texts = {"result.json": atomic.canonical_json(result), "report.md": markdown(result)}
    if html:
        texts["report.html"] = report_html(result)
    for name, text in texts.items():
        atomic.write_text(folder / name, text)
    return [folder / name for name in texts]
