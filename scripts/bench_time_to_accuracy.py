"""How long until as accurate as PyTorch + PEFT at its best number of steps.

    python scripts/bench_time_to_accuracy.py backbone=sentence-transformers/all-MiniLM-L6-v2 \\
        checkpoint=runs/train/NAME/best texts=banking77/train.parquet

PEFT starts as it does by default (LoRA with B at zero, a new linear head), takes Adam steps on the support set, and
is read after each number of steps in `steps`. The learning rate and the number of steps are those with the highest
mean accuracy over all episodes: the benchmark chooses them for PEFT with a look at the query sets, and not for us.
Ours takes no gradient step: it reads the same episodes under one start (`metapeft.meta.select`), with nothing kept
from an earlier episode.

Two times are taken: from token ids until the classifier is there, and until it has read the query set too. The first
is what there is to be fast at; the second has the same reading of the same texts on both sides.

Both are processes of their own that take turns in every round, as in `bench_adapt.py`; ratios are taken within a
round. A start whose mean accuracy is below PEFT's best gets no ratio. It needs torch, transformers and peft, which
metapeft itself never does.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

# pyrefly: ignore[missing-import]
from adapt_contenders import BLOCKS, RANK, SCALE, WAYS, Child, Job, Peft, Unavailable

# pyrefly: ignore[missing-import]
from bench_adapt import PAUSE, BenchConfig, about_machine, draw_episodes, spread
from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, cli
from metapeft.errors import MetapeftError
from metapeft.tokenization.tokenizer import load_tokenizer

TARGET = 10.0  # times faster
AUTO = "auto"
FOLDS = 5  # of the cross-validation, as `metapeft adapt` has them


class Config(BaseModel):
    """What the script takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    backbone: str = Field(description="folder or Hub id of an encoder of the BERT family that transformers can open")
    checkpoint: str = Field(default="none", description="folder of a checkpoint; none for the frozen network alone")
    texts: str | None = Field(default=None, description="parquet file of labelled texts to make the episodes of")
    text_column: str = "text"
    label_column: str = "label"
    suite: str | None = Field(default=None, description="folder of a built suite to take episodes from")
    episodes: int = Field(default=10, ge=1, description="how many different episodes, each once a round")
    rounds: int = Field(default=3, ge=1, description="how often the two take turns")
    steps: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = Field(
        default=[1, 2, 5, 10, 20, 50, 100], description="after how many of its steps PEFT is read"
    )
    rates: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = Field(
        default=[1e-3, 3e-3, 1e-2], description="learning rates of Adam; the best of them is PEFT's"
    )
    out: str = Field(default="runs/bench/time_to_accuracy", description="folder of result.json")


class Reading(NamedTuple):
    """An episode read once.

    Attributes:
        adapting: seconds from token ids until the classifier is there.
        seconds: until it has read the query set too.
        accuracy: on the query set.
    """

    adapting: float
    seconds: float
    accuracy: float


TIMES = {"adapting": "until the classifier is there", "seconds": "until it has read the query set"}


# --- what is measured, and what it comes to: plain numbers


class Best(NamedTuple):
    """PEFT at its best: a learning rate, a number of steps, and the mean accuracy there."""

    rate: float
    steps: int
    accuracy: float


def best_of(accuracy: Mapping[tuple[float, int], float]) -> Best:
    """The highest accuracy of ``{(rate, steps): mean accuracy}``; of equals the fewest steps, then the lowest rate."""
    rate, steps = max(accuracy, key=lambda key: (accuracy[key], -key[1], -key[0]))
    return Best(rate, steps, accuracy[rate, steps])


def ratios_of(theirs: Sequence[float], ours: Sequence[float], accuracy: float, wanted: float) -> list[float] | None:
    """How many times faster ours is, one number a round; None where ours is not as accurate as wanted.

    Args:
        theirs: mean seconds an episode of each round, at their best number of steps.
        ours: as `theirs`.
        accuracy: ours, mean over the episodes.
        wanted: theirs.
    """
    if accuracy < wanted:
        return None
    return [other / mine for other, mine in zip(theirs, ours, strict=True)]


# --- who is measured


class FineTune(Peft):
    """PyTorch + PEFT from its standard initialization: B at zero, a new linear head, Adam."""

    def curve(self, index: int, rate: float, steps: Sequence[int]) -> list[Reading]:
        """An episode after each of these numbers of steps, rising. What earlier readings took is not counted."""
        torch, episode = self.torch, self.job.episodes[index]
        began = time.perf_counter()
        support, query, labels = self._begun(index)
        torch.manual_seed(index)
        head = torch.nn.Linear(self.plain.config.hidden_size, WAYS)
        optimizer = torch.optim.Adam([*(parameter for parameter, _ in self.adapter), *head.parameters()], lr=rate)
        readings, stepping, taken = [], time.perf_counter() - began, 0
        for wanted in steps:
            began = time.perf_counter()
            for _ in range(wanted - taken):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(head(self._pooled(self.model, *support)), labels).backward()
                optimizer.step()
            taken, stepping = wanted, stepping + time.perf_counter() - began
            began = time.perf_counter()
            with torch.no_grad():
                said = head(self._pooled(self.model, *query)).argmax(1).numpy()
            reading = time.perf_counter() - began
            readings.append(Reading(stepping, stepping + reading, float(np.mean(said == episode.query_y))))
        return readings


class Ours:
    """The starts of a checkpoint, each without a gradient step."""

    def __init__(self, checkpoint: str, backbone: str, job: Job):
        os.environ["TMPDIR"] = str(job.scratch)
        from metapeft.adapting.starts import open_start
        from metapeft.meta.select import FROZEN

        self.job, self.begin = job, open_start(checkpoint, backbone)
        plain = [c for c in self.begin.candidates if c.classifier == "prototype" and not c.names]
        plain = [c for c in plain if c != FROZEN and c.mix == self._mix()]
        self.candidates = {c.name: c for c in (FROZEN, FROZEN._replace(classifier="logistic"), *plain)}
        self.about = f"{self.begin.facts['checkpoint']}: {', '.join([*self.candidates, AUTO])}"

    def names(self) -> list[str]:
        """What can be read."""
        return [*self.candidates, AUTO]

    def start(self) -> dict[str, dict[str, np.ndarray]]:
        """Where PEFT starts: A uniform in ±1/sqrt(d_in) as PEFT draws it, B zero."""
        from metapeft.adapters.lora import LoraConfig, random_adapter
        from metapeft.mlx import mx

        network: Any = self.begin.setup.learner.backbone
        drawn = random_adapter(network.backbone, LoraConfig(RANK, SCALE, BLOCKS), mx.random.key(0))
        return {path: {name: np.array(factor) for name, factor in part.items()} for path, part in drawn.items()}

    def read(self, index: int, name: str) -> Reading:
        """An episode under one start, from token ids."""
        from metapeft.mlx import mx

        began, episode = time.perf_counter(), self.job.episodes[index]
        classifier = self._adapt(index, name)
        mx.eval(classifier.weight, classifier.bias)
        adapting = time.perf_counter() - began
        said = classifier.logits(episode.query_x, episode.query_lengths).argmax(axis=1)
        return Reading(adapting, time.perf_counter() - began, float(np.mean(said == episode.query_y)))

    def _mix(self) -> float:
        network: Any = self.begin.setup.learner.backbone
        return network.mix

    def _adapt(self, index: int, name: str) -> Any:
        """What `metapeft adapt` does, without texts and without an estimate of the accuracy: a `Classifier`."""
        from metapeft.adapting.adapted import classifier_from
        from metapeft.adapting.choosing import Fit, Seen, adapter_of, features_with, fit
        from metapeft.embeddings.support import SupportSet
        from metapeft.meta.inner_loop import Examples
        from metapeft.meta.select import FROZEN, Choice
        from metapeft.mlx import mx

        begin, episode = self.begin, self.job.episodes[index]
        learner, labels = begin.setup.learner, np.asarray(episode.support_y)
        x, lengths = episode.support_x, episode.support_lengths
        hidden = learner.backbone.prefix(x, lengths, learner.depth)
        frozen = np.array(hidden.frozen)
        seen = Seen(Examples(hidden, mx.array(labels)), labels, frozen, x, lengths, None, WAYS, 0)
        if name == AUTO:
            found = fit(begin, seen, np.arange(len(labels)), FOLDS, {})
        else:
            chosen, embedding = self.candidates[name], np.zeros(0, np.float32)
            if chosen.start == "hypernetwork":
                assert begin.embedder is not None
                embedding = begin.embedder.embed(SupportSet(frozen, labels, WAYS, x, lengths))
            known = {
                start: features_with(begin, hidden, None, adapter_of(begin, start, embedding))
                for start in dict.fromkeys((FROZEN.start, chosen.start))
            }
            found = Fit(Choice(chosen, {}, {}), embedding, 0.0, len(labels) / WAYS, known)
        return classifier_from(begin, seen, found, [str(way) for way in range(WAYS)])


# --- the benchmark


def bench(config: Config) -> int:
    """Run everything, print it, write it.

    Raises:
        MetapeftError: torch, transformers or peft is missing, or there is no such backbone, checkpoint or texts.
    """
    from metapeft.backbones.load import folder_of

    machine = about_machine()
    print("\n".join(f"{name:10}{value}" for name, value in machine.items()))
    folder = folder_of(config.backbone)
    tokenizer = load_tokenizer(str(folder) if (folder / "tokenizer.json").is_file() else "default")
    drawing = config.model_dump(include={"backbone", "texts", "text_column", "label_column", "suite"})
    episodes, what = draw_episodes(BenchConfig(**drawing), tokenizer, config.episodes)
    print(f"{'episodes':10}{config.episodes} of {what}")
    with tempfile.TemporaryDirectory(prefix="metapeft-bench-") as scratch:
        job = Job(folder, episodes, np.zeros((0, 0), np.int32), Path(scratch))
        ours = Child(partial(Ours, config.checkpoint, config.backbone), job)
        try:
            peft = Child(FineTune, Job(folder, episodes, job.tokens, job.scratch, adapter=ours.ask("start")))
        except Unavailable as reason:
            ours.end()
            raise MetapeftError(f"there is nothing to compare with: {reason}") from None
        print(f"{'metapeft':10}{ours.about}\n{'PEFT':10}{peft.about}", flush=True)
        result = measure(config, ours, peft)
        ours.end()
        peft.end()
    path = Path(config.out) / "result.json"
    atomic.write_text(path, atomic.canonical_json({"machine": machine, "settings": config.model_dump(), **result}))
    print(f"\nwritten to {path}")
    return 0


def measure(config: Config, ours: Any, peft: Any) -> dict[str, Any]:
    """Let both read every episode, print it, and return it.

    Args:
        config: how often, which steps and rates.
        ours: answers ``ask("names")`` and ``ask("read", index, name)``.
        peft: answers ``ask("curve", index, rate, steps)``.
    """
    every, steps = range(config.episodes), sorted(set(config.steps))
    names = ours.ask("names")
    for index in every:  # let both meet every shape once
        peft.ask("curve", index, config.rates[0], steps[:1])
        for name in names:
            ours.ask("read", index, name)
    curves = {rate: [peft.ask("curve", index, rate, steps) for index in every] for rate in config.rates}
    means = {
        (rate, step): statistics.mean(readings[place].accuracy for readings in curves[rate])
        for rate in config.rates
        for place, step in enumerate(steps)
    }
    best = best_of(means)
    print(f"\nPEFT       accuracy after a number of steps, and milliseconds until then (mean of {config.episodes})")
    print(f"  {'steps':>8}" + "".join(f"{f'rate {rate:g}':>20}" for rate in config.rates))
    for place, step in enumerate(steps):
        cells = [
            f"{100 * means[rate, step]:.1f} % {1e3 * statistics.mean(r[place].seconds for r in curves[rate]):.0f} ms"
            for rate in config.rates
        ]
        print(f"  {step:>8}" + "".join(f"{cell:>20}" for cell in cells))
    print(f"  best: {100 * best.accuracy:.1f} % after {best.steps} steps at rate {best.rate:g}", flush=True)
    theirs: list[list[Reading]] = []
    mine: dict[str, list[list[Reading]]] = {name: [] for name in names}
    for _ in range(config.rounds):
        time.sleep(PAUSE)
        theirs.append([peft.ask("curve", index, best.rate, [best.steps])[0] for index in every])
        time.sleep(PAUSE)
        for name in names:
            mine[name].append([ours.ask("read", index, name) for index in every])
    right = {name: statistics.mean(reading.accuracy for reading in mine[name][-1]) for name in names}
    rows: dict[str, Any] = {name: {"accuracy": right[name]} for name in names}
    slow: dict[str, list[float]] = {}
    for time_of, what in TIMES.items():
        slow[time_of] = [_mean_of(time_of, each) for each in theirs]
        print(f"\n{what}, ms an episode: median (least .. most) of {config.rounds} rounds")
        print(f"  {'PEFT':34}{100 * best.accuracy:6.1f} %{spread(slow[time_of], 1e3)}")
        for name in names:
            taken = [_mean_of(time_of, each) for each in mine[name]]
            ratios = ratios_of(slow[time_of], taken, right[name], best.accuracy)
            rows[name][time_of] = {"mean_a_round": taken, "ratios": ratios}
            verdict = "never reaches it"
            if ratios is not None:
                verdict = f"{spread(ratios).strip()} times faster, at least {TARGET:g}: "
                verdict += "met" if statistics.median(ratios) >= TARGET else "MISSED"
            print(f"  {name:34}{100 * right[name]:6.1f} %{spread(taken, 1e3)}{verdict}")
    curve = [{"rate": rate, "steps": step, "accuracy": value} for (rate, step), value in means.items()]
    return {"curve": curve, "best": best._asdict(), "peft": slow, "ours": rows}


def _mean_of(time_of: str, readings: Sequence[Reading]) -> float:
    return statistics.mean(getattr(reading, time_of) for reading in readings)


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return cli.run(
        bench,
        Config,
        argv,
        prog="bench_time_to_accuracy.py",
        description="How long until as accurate as PyTorch + PEFT at its best number of steps.",
        examples=["python scripts/bench_time_to_accuracy.py checkpoint=DIR backbone=FOLDER texts=FILE"],
    )


if __name__ == "__main__":
    sys.exit(main())
