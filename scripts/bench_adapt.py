"""Speed and memory of adapting to an episode, beside PyTorch + PEFT and beside MLX on its own BLAS.

    python scripts/bench_adapt.py                       # nano, synthetic text: works anywhere
    python scripts/bench_adapt.py backbone=sentence-transformers/all-MiniLM-L6-v2 texts=banking77/train.parquet
    python scripts/bench_adapt.py quick=true            # two episodes, one round: does it run?

Every contender is a process of its own under the same Python, gets the same episodes as token ids, and they take
turns in every round, so that a machine whose speed drifts drifts for all; ratios are taken within a round. `torch`,
`transformers` and `peft` are used where they are installed. metapeft itself never needs them.

An episode is 5-way 5-shot with 15 queries a class: LoRA of rank 8 on query and value of the last two blocks, a cosine
head made from the support set and trained along, 5 first-order SGD steps, and the prediction of the query set. Nothing
is asserted but that metapeft and PEFT say the same; the speeds are for the reader. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

# pyrefly: ignore[missing-import]
from adapt_contenders import BLOCKS, QUERIES, RANK, SHOTS, STEPS, WAYS, Child, Job, Metapeft, Peft, Unavailable
from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, cli
from metapeft.episodes import Episode, EpisodeSampler
from metapeft.errors import EpisodeError, MetapeftError
from metapeft.tasks import Pool, Task, TaskConfig, TaskDistribution
from metapeft.tasks.suite import Suite
from metapeft.tokenization.tokenizer import LoadedTokenizer, encode_texts, load_tokenizer

MAX_TOKENS = 64
BATCH, LENGTH = 64, 32  # of the forward pass
PAUSE = 0.3  # seconds: OpenMP's threads spin for 0.2 after their last work, on the cores of whoever is next
MEMORY_STEPS = (1, 5, 20, 50)

OURS, CACHED, PEFT, STOCK = "metapeft", "metapeft, prefix cache warm", "PyTorch + PEFT", "metapeft, the wheel's BLAS"


class BenchConfig(BaseModel):
    """Options of the benchmark."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    backbone: str = Field(default="nano", description="nano, or folder or Hub id of an encoder of the BERT family")
    texts: str | None = Field(default=None, description="parquet file of labelled texts to make the episodes of")
    text_column: str = "text"
    label_column: str = "label"
    suite: str | None = Field(default=None, description="folder of a built suite to take episodes from")
    rounds: int = Field(default=5, ge=1, description="how often the contenders take turns")
    episodes: int = Field(default=10, ge=1, description="how many different episodes, each once a round")
    stock: bool = Field(default=True, description="run MLX without the BLAS module too: about a minute a round")
    quick: bool = Field(default=False, description="two episodes and one round: a look whether everything runs")
    out: str = Field(default="runs/bench/adapt", description="folder of result.json")


# --- episodes


def draw_episodes(config: BenchConfig, tokenizer: LoadedTokenizer, count: int) -> tuple[list[Episode], str]:
    """Episodes, and what they were made of."""
    if config.suite:
        suite = Suite(config.suite)
        if suite.manifest["tokenizer"]["sha256"] != tokenizer.sha256:
            raise MetapeftError(
                f"suite={config.suite}: its tokenizer is '{suite.manifest['tokenizer']['name']}', the backbone has "
                f"another\n  build it with tokenizer={config.backbone}, or give one of its parquet files as texts="
            )
        named = [suite.load(task.id) for task in suite.tasks if task.kind == "classification"]
        tasks = [task for task in named if _is_large_enough(task)]
        if not tasks:
            raise MetapeftError(f"suite={config.suite}: no task has {WAYS} classes with enough texts")
        what = f"{len(tasks)} tasks of {suite.path}"
    else:
        texts, labels, what = labelled_texts(config)
        tasks = [task_of(texts, labels, tokenizer)]
    return sampler_of(tasks).episodes(0, count), what


def labelled_texts(config: BenchConfig) -> tuple[list[str], list[Any], str]:
    """Different texts, their labels, and where they are from."""
    if config.texts is None:
        from metapeft.sources import grammar

        rows = grammar.generate("intent", {"domain": "all", "difficulty": 0.5}, 3_000, 0, "support")
        return [row["text"] for row in rows], [row["label"] for row in rows], "SYNTHETIC intents (metapeft's grammar)"
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [config.text_column, config.label_column]
    try:
        table = pq.read_table(config.texts, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise MetapeftError(f"texts={config.texts}: cannot be read: {error}") from error
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise MetapeftError(f"texts={config.texts}: no column '{missing[0]}'; say text_column= and label_column=")
    first = dict(zip(*(table[name].to_pylist() for name in columns), strict=True))  # a text once
    return list(first), list(first.values()), f"{len(first):,} texts of {config.texts}"


def task_of(texts: list[str], labels: list[Any], tokenizer: LoadedTokenizer) -> Task:
    names, codes = np.unique(np.array(labels), return_inverse=True)
    pool = Pool("classification", encode_texts(tokenizer, texts, MAX_TOKENS).x, codes.astype(np.int32))
    config = TaskConfig("bench", "bench", len(names), 0, len(texts), len(texts), "bench", 0.5)
    return Task(config, support=pool, pad_id=tokenizer.pad_id)


def sampler_of(tasks: list[Task]) -> EpisodeSampler:
    return EpisodeSampler(TaskDistribution(tasks), SHOTS, WAYS * QUERIES, n_way=WAYS, max_tokens=MAX_TOKENS)


def _is_large_enough(task: Task) -> bool:
    try:
        sampler_of([task])
    except EpisodeError:
        return False
    return True


# --- what the arithmetic alone would take


def multiply_adds(raw: dict[str, Any], episode: Episode) -> dict[str, float]:
    """Multiply-adds of the products that each part of an episode cannot do without: real tokens, no padding.

    A step is the blocks above the prefix forwards, and backwards as far as the lowest adapter: the frozen maps pass
    the gradient on (as much again), attention takes twice as much, the projections below the lowest adapter nothing.
    """
    from metapeft.backbones.bert import BertConfig

    config = BertConfig.from_hugging_face(raw)
    d, wide, below = config.hidden_size, config.intermediate_size, config.num_layers - BLOCKS

    def parts(lengths: np.ndarray) -> tuple[float, float, float]:
        """Of the prefix, of a forward and of a backward pass above it."""
        tokens, pairs = float(lengths.sum()), float((lengths.astype(np.int64) ** 2).sum())
        projections, attention, rest = 3 * d * d * tokens, 2 * d * pairs, (d * d + 2 * d * wide) * tokens
        low_rank = 2 * BLOCKS * tokens * 2 * d * RANK
        forward = BLOCKS * (projections + attention + rest) - projections + low_rank
        backward = (BLOCKS - 1) * projections + BLOCKS * (2 * attention + rest) + 2 * low_rank
        return below * (projections + attention + rest) + projections, forward, backward

    support, query = parts(episode.support_lengths), parts(episode.query_lengths)
    return {
        "prefix, support": support[0],
        "prefix, query": query[0],
        "head from support": support[1],
        "steps": STEPS * (support[1] + support[2]),
        "query": query[1],
    }


# --- the benchmark


def bench(config: BenchConfig) -> int:
    """Run everything, print it, write it; returns 1 where metapeft and PEFT do not agree."""
    from metapeft.backbones.load import folder_of, read_config

    if config.quick:
        config = config.model_copy(update={"rounds": 1, "episodes": 2})
    machine = about_machine()
    print("\n".join(f"{name:10}{value}" for name, value in machine.items()))
    folder = folder_of(config.backbone)
    tokenizer = load_tokenizer(str(folder) if (folder / "tokenizer.json").is_file() else "default")
    raw = read_config(config.backbone, folder)
    episodes, what = draw_episodes(config, tokenizer, config.episodes)
    sides = [side for episode in episodes for side in (episode.support_lengths, episode.query_lengths)]
    lengths = np.concatenate(sides)
    padded = sum(len(side) * int(side.max()) for side in sides) / lengths.sum()
    print(f"{'backbone':10}{config.backbone} ({folder})")
    print(f"{'episodes':10}{config.episodes} of {what}")
    print(f"{'tokens':10}{lengths.mean():.1f} a text, longest {lengths.max()}", end="")
    print(f"; padded to the longest of their batch {padded:.1f} times as many")
    tokens = np.random.default_rng(0).integers(raw["vocab_size"] // 2, raw["vocab_size"], (BATCH, LENGTH), np.int32)
    results: dict[str, Any] = {"machine": machine, "settings": config.model_dump(), "texts": what}
    results["tokens"] = {"mean": float(lengths.mean()), "longest": int(lengths.max()), "padded": float(padded)}
    with tempfile.TemporaryDirectory(prefix="metapeft-bench-") as scratch:
        job = Job(folder, episodes, tokens, Path(scratch))
        results["first"] = first_episode(job)
        children = contenders(config, job)
        results["contenders"] = {name: child.about for name, child in children.items()}
        results["agreement"] = agreement(children, episodes)
        seconds = take_turns(config, children)
        results["rounds"] = {f"{what}: {who}": runs for (what, who), runs in seconds.items()}
        results["summary"] = report(seconds, config.rounds)
        results["profile"] = profile(children[OURS], raw, episodes, seconds)
        results["memory"] = memory(children)
        for child in children.values():
            child.end()
    path = Path(config.out) / "result.json"
    atomic.write_text(path, atomic.canonical_json(results))
    print(f"\nwritten to {path}")
    return 0 if results["agreement"].get("agree", True) else 1


def about_machine() -> dict[str, Any]:
    """The processor, how much of it there is for us, and whether somebody else is using it."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        named = (line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line)
        model = next(named, model)
    load = os.getloadavg()
    busy = "  <- somebody else is using it: look at ratios only" if load[0] > 0.5 else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "machine": f"{model}, {cores} cores, {platform.system()} {platform.machine()}",
        "load": f"{load[0]:.2f} in the last minute, {load[1]:.2f} in five{busy}",
        "python": platform.python_version(),
    }


def first_episode(job: Job) -> dict[str, float]:
    """What the first episode of a process costs more than the next one, before and after MLX has its kernels."""
    extra: dict[str, float] = {}
    print("\nfirst episode of a process, above the time of the next one with the same shapes")
    for name in ("no kernel compiled yet", "kernels on disk"):
        child = Child(Metapeft, job)
        first, again = child.ask("episodes", [0, 0])
        child.end()
        extra[name] = first - again
        print(f"  {name:28}{extra[name]:9.2f} s")
    print(f"  {len(list(job.scratch.rglob('*.so')))} kernels, compiled by g++ into TMPDIR/mlx")
    return extra


def contenders(config: BenchConfig, job: Job) -> dict[str, Child]:
    """Start everybody who can take part, and let them meet every shape once."""
    print("\ncontenders")
    children = {OURS: Child(Metapeft, job)}
    job = replace(job, adapter=children[OURS].ask("start"))
    try:
        children[PEFT] = Child(Peft, job)
    except Unavailable as reason:
        print(f"  {PEFT}: left out: {reason}")
    if config.stock:
        children[STOCK] = Child(Metapeft, replace(job, stock=True))
    for name, child in children.items():
        print(f"  {name}: {child.about}", flush=True)
    every, ours = range(config.episodes), children[OURS]
    met, again = ours.ask("episodes", every), ours.ask("episodes", every)
    print(f"  new shapes cost {1e3 * (np.mean(met) - np.mean(again)):.0f} ms an episode (mean of {len(met)})")
    ours.ask("episodes", every, STEPS, True)  # fills the cache
    ours.ask("episodes", every, 0)
    ours.ask("forward", 2)
    if PEFT in children:
        children[PEFT].ask("episodes", every, 1)
        children[PEFT].ask("forward", 2)
    if STOCK in children:
        children[STOCK].ask("episodes", [0], 1)
    return children


def agreement(children: dict[str, Child], episodes: list[Episode]) -> dict[str, Any]:
    """Whether metapeft and PEFT predict the same and have the same losses on the way."""
    if PEFT not in children:
        return {}
    equal, right, apart, curves = [], {OURS: [], PEFT: []}, 0.0, []
    for index, episode in enumerate(episodes):
        (ours, our_losses), (theirs, their_losses) = (children[name].ask("outcome", index) for name in (OURS, PEFT))
        equal += list(ours == theirs)
        right[OURS] += list(ours == episode.query_y)
        right[PEFT] += list(theirs == episode.query_y)
        apart = max(apart, float(np.max(np.abs(np.array(our_losses) / np.array(their_losses) - 1))))
        curves.append(our_losses)
    agree = bool(np.mean(equal) >= 0.99 and apart <= 1e-3)
    accuracy = {name: float(np.mean(hits)) for name, hits in right.items()}
    curve = np.mean(curves, axis=0)
    print(f"\nagreement  {'yes' if agree else 'NO: the comparison is void'}")
    print(f"  predictions equal: {np.mean(equal):.2%} of {len(equal)} (wanted: 99 %)")
    print(f"  support losses apart by at most {apart:.1e} of themselves (wanted: 1e-3); mean {curve[0]:.4f}", end="")
    print(f" -> {curve[-1]:.4f} in {STEPS} steps")
    print(f"  accuracy: metapeft {accuracy[OURS]:.2%}, PEFT {accuracy[PEFT]:.2%}")
    return {"agree": agree, "equal": float(np.mean(equal)), "loss_apart": apart, "accuracy": accuracy}


FORWARD, FIVE, ZERO = f"forward {BATCH} x {LENGTH}", f"{STEPS} steps", "0 steps"
Seconds = dict[tuple[str, str], list[list[float]]]  # (what, who) -> one list a round


def take_turns(config: BenchConfig, children: dict[str, Child]) -> Seconds:
    """Seconds of every repeat, by what is measured and who; the contenders of a figure run one after another."""
    every, repeats = list(range(config.episodes)), 1 if config.quick else 5
    turns: list[Any] = [  # what, who, whose process, what it is asked
        (FORWARD, OURS, OURS, "forward", repeats),
        (FORWARD, PEFT, PEFT, "forward", repeats),
        (FORWARD, STOCK, STOCK, "forward", 1),
        (FIVE, OURS, OURS, "episodes", every),
        (FIVE, PEFT, PEFT, "episodes", every),
        (FIVE, CACHED, OURS, "episodes", every, STEPS, True),
        (FIVE, STOCK, STOCK, "episodes", every[:1]),
        (ZERO, OURS, OURS, "episodes", every, 0),
        (ZERO, PEFT, PEFT, "episodes", every, 0),
        (ZERO, CACHED, OURS, "episodes", every, 0, True),
    ]
    seconds: Seconds = {}
    for place in range(config.rounds):
        print(f"round {place + 1} of {config.rounds}", file=sys.stderr, flush=True)
        for what, who, child, method, *arguments in turns if place % 2 == 0 else reversed(turns):
            if child in children:
                time.sleep(PAUSE)
                seconds.setdefault((what, who), []).append(children[child].ask(method, *arguments))
    return seconds


def report(seconds: Seconds, rounds: int) -> dict[str, Any]:
    """Print medians over the rounds, and ratios within rounds; returns both."""
    summary: dict[str, Any] = {}
    print(f"\nmedian (least .. most) of {rounds} rounds")
    for (what, who), runs in seconds.items():
        taken = [statistics.mean(run) for run in runs]
        middle = statistics.median(taken)
        summary[f"{what}: {who}"] = {"seconds": middle, "least": min(taken), "most": max(taken)}
        rate = "" if what == FORWARD else f"{1 / middle:9.2f} tasks/s"
        print(f"  {what:16}{who:30}{spread(taken, 1e3)} ms{rate}")
    # who is measured, against whom, and the target of (against / measured)
    comparisons = [
        ("forward, of PyTorch's time", (FORWARD, PEFT), (FORWARD, OURS), "at most", 1.1),
        ("5 steps, times PEFT's tasks/s", (FIVE, OURS), (FIVE, PEFT), "at least", 2.0),
        ("5 steps with the cache warm, times PEFT's", (FIVE, CACHED), (FIVE, PEFT), "", 0.0),
        ("5 steps, times those on the wheel's BLAS", (FIVE, OURS), (FIVE, STOCK), "at least", 30.0),
        ("forward, times that on the wheel's BLAS", (FORWARD, OURS), (FORWARD, STOCK), "", 0.0),
        ("0 steps, times PEFT's 5-step loop", (ZERO, OURS), (FIVE, PEFT), "at least", 8.0),
        ("0 steps with the cache warm, times that loop", (ZERO, CACHED), (FIVE, PEFT), "", 0.0),
        ("0 steps, times PEFT's 0 steps", (ZERO, OURS), (ZERO, PEFT), "", 0.0),
    ]
    print("\nratios within a round (the targets are meant for all-MiniLM-L6-v2 on a CPU)")
    for name, ours, theirs, sense, target in comparisons:
        if ours not in seconds or theirs not in seconds:
            continue
        # Episodes that both ran: the wheel's BLAS has time for one.
        pairs = [
            (mine[: len(other)], other[: len(mine)]) for mine, other in zip(seconds[ours], seconds[theirs], strict=True)
        ]
        ratios = [statistics.mean(other) / statistics.mean(mine) for mine, other in pairs]
        middle = statistics.median(ratios)
        summary[name] = {"ratio": middle, "least": min(ratios), "most": max(ratios), "target": target or None}
        is_met = middle <= target if sense == "at most" else middle >= target
        verdict = f"  {sense} {target:g}: {'met' if is_met else 'MISSED'}" if sense else ""
        print(f"  {name:46}{spread(ratios)}{verdict}".rstrip())
    return summary


def spread(values: Sequence[float], unit: float = 1.0) -> str:
    digits = 1 if unit > 1 else 2
    low, middle, high = (f"{unit * v:.{digits}f}" for v in (min(values), statistics.median(values), max(values)))
    return f"{middle:>9} ({low} .. {high})".ljust(32)


def profile(ours: Child, raw: dict[str, Any], episodes: list[Episode], seconds: Seconds) -> dict[str, Any]:
    """Print the time of each part of an episode beside what its products alone would take."""
    rate = ours.ask("products")
    taken = [ours.ask("parts", index) for index in range(len(episodes))]
    rate = max(rate, ours.ask("products"))
    needed = [multiply_adds(raw, episode) for episode in episodes]
    parts: dict[str, Any] = {}
    print(
        f"\nparts of an episode, mean of {len(episodes)}; floor: their products at {2e-9 * rate:.0f} GFLOP/s, measured"
    )
    for name in needed[0]:
        middle = statistics.mean(times[name] for times in taken)
        floor = statistics.mean(work[name] for work in needed) / rate
        parts[name] = {"seconds": middle, "floor": floor}
        print(f"  {name:20}{1e3 * middle:8.1f} ms   floor {1e3 * floor:7.1f} ms   {middle / floor:5.1f} x")
    whole, floor = (sum(part[key] for part in parts.values()) for key in ("seconds", "floor"))
    measured = statistics.median(statistics.mean(run) for run in seconds[FIVE, OURS])
    print(f"  {'sum':20}{1e3 * whole:8.1f} ms   floor {1e3 * floor:7.1f} ms   {whole / floor:5.1f} x", end="")
    print(f"   (in one go, above: {1e3 * measured:.1f} ms)")
    return {"gflops": 2e-9 * rate, "parts": parts}


def memory(children: dict[str, Child]) -> dict[str, Any]:
    """Print the peak memory of more and more steps."""
    peaks = {steps: children[OURS].ask("memory", steps) for steps in MEMORY_STEPS}
    print("\nmemory")
    for steps, (held, resident) in peaks.items():
        print(f"  {steps:3} steps   MLX held {held / 2**20:8.2f} MiB   the process had {resident / 2**20:8.1f} MiB")
    growth = peaks[MEMORY_STEPS[-1]][0] / peaks[MEMORY_STEPS[0]][0]
    print(f"  {MEMORY_STEPS[-1]} steps hold {growth:.2f} times what 1 holds: {'flat' if growth < 1.05 else 'NOT FLAT'}")
    others = {name: child.ask("peak") for name, child in children.items()}
    print("".join(f"  most that '{name}' ever had: {peak / 2**20:,.0f} MiB\n" for name, peak in others.items()), end="")
    return {"steps": {str(steps): held for steps, (held, _) in peaks.items()}, "processes": others, "growth": growth}


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return cli.run(
        bench,
        BenchConfig,
        argv,
        prog="bench_adapt.py",
        description="Speed and memory of adapting to an episode, beside PyTorch + PEFT and beside MLX's own BLAS.",
        examples=[
            "python scripts/bench_adapt.py quick=true",
            "python scripts/bench_adapt.py backbone=FOLDER texts=FILE",
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
