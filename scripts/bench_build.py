"""Speed and memory of building suites: prints figures, asserts nothing.

    HF_ENDPOINT=http://127.0.0.1:8765 python scripts/bench_build.py        # a mirror; without HF_ENDPOINT the real Hub
    python scripts/bench_build.py recipes=[emotion,judgement] rows=5000    # some recipes, fewer rows

Every figure stands beside a reference that the same run measured, so that runs on two machines can be compared. Builds
run in child processes, each recipe with an empty HF_HOME of its own: its rows are fetched again and nothing of yours
is touched. Where the Hub does not answer the synthetic counterparts are built instead, and the output says so. The
defaults take a few minutes; leave the machine alone meanwhile.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from metapeft import cli

# Nothing large is imported at the top: on Linux a child's peak memory starts at what its parent had when it began.

MAX_TOKENS = 128
HUB = "https://huggingface.co"
FLOOR = "import datasets"  # the reference of a whole build: what a process pays before it reads a row
GROWTH = """
schema: 1
name: growth
version: 1-A
description: Random words, to see how the time of a build grows with its rows.
family: topic
episodes: {ways: all, shots: 5, query: 20, max_tokens: 64}
tasks:
  - id: growth
    kind: classification
    domain: random words
    source: {kind: files, name: words, about: random words, splits: {support: [train.csv]}}
    fields: {text: text, label: label}
    labels: [even, odd]
    limit: {support: 10000000, query: 10000000}
"""


class BenchConfig(BaseModel):
    """Options of the benchmark."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    recipes: list[str] = Field(default=[], description="recipes to build; default every shipped one")
    work: str | None = Field(default=None, description="folder to build in, kept; default a temporary one")
    rows: int = Field(default=20_000, ge=100, description="texts to tokenize and to sign, and rows of the first growth")
    repeats: int = Field(default=5, ge=1, description="repeats of each comparison, taking turns; medians are shown")


def bench(config: BenchConfig) -> int:
    """Run every part; returns 1 when a build failed."""
    with contextlib.ExitStack() as stack:
        if config.work is None:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="metapeft-bench-")))
        else:
            work = Path(config.work).resolve()
            work.mkdir(parents=True, exist_ok=True)
        failed = recipes(config, work)
        texts, words, tags = synthetic_texts(work, config.rows)
        tokenization(texts, words, tags, config.repeats)
        signatures(texts, config.repeats)
        growth(work, config.rows, config.repeats)
    return 1 if failed else 0


# --- whole recipes, in child processes ----------------------------------------------------------


@dataclass(frozen=True)
class Child:
    """What a child process took, and the last line it said to stderr."""

    code: int
    seconds: float
    peak: float  # MiB
    said: str


def child(arguments: Sequence[str], home: Path) -> Child:
    """Run this Python with the arguments and an HF_HOME, and wait for it."""
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=log, text=True
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        said = log.read().strip().splitlines()
    unit = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss
    return Child(process.returncode, seconds, usage.ru_maxrss / unit, said[-1] if said else "")


def build_child(recipe: str, data: str, work: Path) -> Child:
    out = work / "suites" / recipe
    return child(["-m", "metapeft.build", f"recipe={recipe}", f"out={out}", f"data={data}"], work / "hf" / recipe)


def hub_answers() -> bool:
    """Whether anybody answers where the Hub's libraries will ask; an error of the Hub's own is an answer."""
    url = os.environ.get("HF_ENDPOINT", HUB) + "/api/datasets/stanfordnlp/sst2"
    try:
        urllib.request.urlopen(url, timeout=10).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def recipes(config: BenchConfig, work: Path) -> int:
    """Build every recipe cold, then once more with nothing changed; returns how many failed."""
    from metapeft.recipes import registry

    data = "hub" if hub_answers() else "synthetic"
    where = os.environ.get("HF_ENDPOINT", HUB)
    print(f"1, 2. recipes: cold, and again with nothing changed (data={data}, {where})")
    if data == "synthetic":
        print(f"      NOBODY ANSWERS AT {where}: SYNTHETIC data is built in place of every recipe's own")
    child(["-c", FLOOR], work / "hf")  # its files come into the page cache
    floor = child(["-c", FLOOR], work / "hf")
    print(f"      reference: `{FLOOR}` takes {floor.seconds:.2f} s and {floor.peak:,.0f} MiB")
    heads = f"{'recipe':18}{'rows':>9}{'cold s':>8}{'x ref':>7}{'rows/s':>8}{'MiB':>7}{'x ref':>7}"
    print(f"      {heads}{'again s':>9}{'x ref':>7}{'x cold':>8}")
    totals = [0.0, 0.0]
    failed = 0
    for name in config.recipes or registry.recipe_names():
        shutil.rmtree(work / "suites" / name, ignore_errors=True)
        shutil.rmtree(work / "hf" / name, ignore_errors=True)
        cold = build_child(name, data, work)
        again = build_child(name, data, work) if cold.code == 0 else cold
        shutil.rmtree(work / "hf" / name, ignore_errors=True)
        if cold.code or again.code:
            failed += 1
            print(f"      {name:18} FAILED: {cold.said or again.said}", flush=True)
            continue
        rows = sum(json.loads((work / "suites" / name / "result.json").read_text(encoding="utf-8"))["rows"].values())
        totals = [totals[0] + cold.seconds, totals[1] + again.seconds]
        cells = [
            f"{name:18}{rows:9,}{cold.seconds:8.1f}{cold.seconds / floor.seconds:7.1f}",
            f"{rows / cold.seconds:8,.0f}{cold.peak:7,.0f}{cold.peak / floor.peak:7.1f}",
            f"{again.seconds:9.2f}{again.seconds / floor.seconds:7.1f}{again.seconds / cold.seconds:8.3f}",
        ]
        print("      " + "".join(cells), flush=True)
    ratio = f", ratio {totals[1] / totals[0]:.3f}" if totals[0] else ""
    print(f"      total: cold {totals[0]:.1f} s, again {totals[1]:.1f} s{ratio}\n")
    return failed


# --- parts of a build, in this process ----------------------------------------------------------


def synthetic_texts(work: Path, count: int) -> tuple[list[str], list[list[str]], list[list[int]]]:
    """Texts and tagged sentences of the synthetic recipe; texts evenly from all tasks, at most `count` of each."""
    import numpy as np
    import pyarrow.parquet as pq

    from metapeft.building.pipeline import tag_ids

    suite = work / "suites" / "synthetic_text"
    if not (suite / "manifest.json").is_file():
        build_child("synthetic_text", "synthetic", work)
    texts: list[str] = []
    words: list[list[str]] = []
    tags: list[list[int]] = []
    for task in json.loads((suite / "manifest.json").read_text(encoding="utf-8"))["tasks"]:
        table = pq.read_table(suite / task["id"] / "support.parquet")
        texts += table["text"].to_pylist()
        if task["kind"] == "tagging":
            ids = tag_ids(task["labels"])
            words += table["tokens"].to_pylist()
            tags += [[ids[tag] for tag in row] for row in table["tags"].to_pylist()]
    even = np.linspace(0, len(texts) - 1, min(count, len(texts))).astype(int)
    return [texts[place] for place in even], words[:count], tags[:count]


def turns(repeats: int, ours: Callable[[], object], reference: Callable[[], object]) -> tuple[float, float, float]:
    """Median seconds of both, and the median over the turns of reference seconds / ours: how many times as fast."""
    seconds: list[tuple[float, float]] = []
    for turn in range(repeats + 1):
        pair = []
        for work in (ours, reference):
            start = time.perf_counter()
            work()
            pair.append(time.perf_counter() - start)
        if turn:  # the first warms up
            seconds.append((pair[0], pair[1]))
    return (
        statistics.median(a for a, _ in seconds),
        statistics.median(b for _, b in seconds),
        statistics.median(b / a for a, b in seconds),
    )


def tokenization(texts: list[str], words: list[list[str]], tags: list[list[int]], repeats: int) -> None:
    """Token ids as a suite wants them, over the tokenizer's own batches, whose ids stay inside it."""
    from metapeft.tokenization.tokenizer import encode_texts, encode_words, load_tokenizer

    tokenizer = load_tokenizer()
    backend = tokenizer.backend

    def own_texts() -> None:
        backend.enable_truncation(MAX_TOKENS)
        backend.encode_batch_fast(texts)

    def own_words() -> None:
        backend.enable_truncation(MAX_TOKENS)
        backend.encode_batch(words, is_pretokenized=True)

    print(f"3. tokenization, at most {MAX_TOKENS} tokens")
    comparisons: list[tuple[str, int, Callable[[], object], str, Callable[[], object]]] = [
        ("encode_texts", len(texts), lambda: encode_texts(tokenizer, texts, MAX_TOKENS), "batch_fast", own_texts),
        ("encode_words", len(words), lambda: encode_words(tokenizer, words, tags, MAX_TOKENS), "batch", own_words),
    ]
    for name, count, ours, other, own in comparisons:
        a, b, ratio = turns(repeats, ours, own)
        reference = f"encode_{other} alone {count / b:,.0f}"
        print(f"      {name}: {count / a:,.0f} texts/s on {count:,} texts; {reference}; ratio {ratio:.2f}")
    print()


def signatures(texts: list[str], repeats: int) -> None:
    """Fingerprints for the leak audit, over one `datasketch.MinHash` a text on the same shingles."""
    from datasketch import MinHash

    from metapeft.building.leakage import LONGEST, PERMUTATIONS, SHINGLE, fingerprints
    from metapeft.sources.examples import normalized

    def shingles() -> Iterator[list[bytes]]:
        for text in texts:
            data = normalized(text)[:LONGEST].encode().ljust(SHINGLE, b"\0")
            yield [data[place : place + SHINGLE] for place in range(len(data) - SHINGLE + 1)]

    a, b, ratio = turns(
        min(repeats, 3), lambda: fingerprints(texts), lambda: MinHash.bulk(shingles(), num_perm=PERMUTATIONS)
    )
    count = len(texts)
    print("4. signatures for the leak audit")
    reference = f"datasketch.MinHash, one a text, {count / b:,.0f}"
    print(f"      fingerprints: {count / a:,.0f} texts/s on {count:,} texts; {reference}; ratio {ratio:.1f}\n")


def growth(work: Path, rows: int, repeats: int) -> None:
    """Build times at n, 2n and 4n rows: a doubling should double them."""
    import numpy as np

    from metapeft.build import BuildConfig, build

    folder = work / "growth"
    folder.mkdir(exist_ok=True)
    recipe = folder / "growth.yaml"
    recipe.write_text(GROWTH, encoding="utf-8")
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = ["".join(rng.choice(letters, size)) for size in rng.integers(3, 10, 5_000)]
    sizes = [rows, 2 * rows, 4 * rows]
    for size in sizes:
        corpus = folder / str(size)
        corpus.mkdir(exist_ok=True)
        texts = rng.choice(vocabulary, (size, 15))
        lines = [f"{' '.join(words)},{('even', 'odd')[place % 2]}" for place, words in enumerate(texts)]
        (corpus / "train.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")

    def seconds(size: int) -> float:
        options: dict[str, Any] = {"recipe": str(recipe), "files": {"words": str(folder / str(size))}}
        config = BuildConfig(**options, out=str(folder / f"suite-{size}"), quiet=True, force=True)
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            build(config)
        return time.perf_counter() - start

    seconds(sizes[0])  # imports
    runs = [[seconds(size) for size in sizes] for _ in range(min(repeats, 3))]
    taken = [statistics.median(column) for column in zip(*runs, strict=True)]
    print("5. growth of a build with its rows (2.0 a doubling is linear)")
    for place, (size, took) in enumerate(zip(sizes, taken, strict=True)):
        ratio = f", {took / taken[place - 1]:.2f} times the one before" if place else ""
        print(f"      {size:9,} rows: {took:6.2f} s, {size / took:8,.0f} rows/s{ratio}")


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return cli.run(
        bench,
        BenchConfig,
        argv,
        prog="bench_build.py",
        description="Speed and memory of building suites, each figure beside a reference of the same run.",
        examples=["python scripts/bench_build.py", "python scripts/bench_build.py recipes=[emotion] rows=5000"],
    )


if __name__ == "__main__":
    sys.exit(main())
