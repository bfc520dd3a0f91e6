"""`metapeft.evaluation.text.rouge` and the package `rouge-score` give the same figures: prints the largest differences.

    python scripts/check_rouge.py [suite=FOLDER] [pairs=2000]

Needs `rouge-score` and `nltk`, which metapeft itself never uses; without them it says so and ends with status 2. Words
made of Porter's endings are stemmed by both. Pairs of random texts are scored by both, with stems and without; with a
suite that was built so are summaries of its generation tasks: against the next summary, against the beginning of their
own document and, sentences on lines, against its second half. Ends with status 1 when a difference is above 1e-4.
"""

from __future__ import annotations

import importlib
import itertools
import random
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from metapeft.evaluation.text import porter
from metapeft.evaluation.text.rouge import rouge

TOLERANCE = 1e-4
NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
ENDINGS = [*porter.SECOND, *porter.THIRD, *porter.FOURTH, *porter.IRREGULAR]
ENDINGS += ["s", "sses", "ies", "ied", "ed", "eed", "ing", "y", "e", "ll", "ion", "logi", "logy", "ally", "fully"]
WORDS = ("The", "cat", "cats", "running", "Relational", "news", "3.5", "can't", "naïve", "relates", "dying", "a", "of")
MOST = 400  # words of a document: the reference implementation fills a table of Python integers


def main() -> int:
    options = dict(argument.split("=", 1) for argument in sys.argv[1:])
    try:
        scorer = importlib.import_module("rouge_score.rouge_scorer")
        stemmer = importlib.import_module("nltk.stem.porter").PorterStemmer()
    except ImportError as error:
        print(f"rouge-score is not installed: nothing checked ({error})\n  pip install rouge-score")
        return 2
    count = int(options.get("pairs", "2000"))
    words = made_words(random.Random(0), 100 * count)
    unequal = [word for word in words if stemmer.stem(word) != porter.stem(word)]
    print(f"{'stems':32} {len(words):7,} words, {len(unequal)} unequal {unequal[:5] or ''}")
    worst = compare("random texts", random_pairs(random.Random(1), count), scorer)
    for path in sorted(Path(options["suite"]).glob("*/query.parquet")) if "suite" in options else []:
        if "target" in pq.read_schema(path).names:
            worst = max(worst, compare(path.parent.name, real_pairs(path, count), scorer))
    print("equal" if worst <= TOLERANCE and not unequal else "NOT EQUAL")
    return 0 if worst <= TOLERANCE and not unequal else 1


def made_words(rng: random.Random, count: int) -> set[str]:
    """Words of a few letters and up to two endings."""
    beginnings = ("".join(rng.choices("aeioubcdlstxyzwh1", k=rng.randrange(6))) for _ in range(count))
    return {beginning + "".join(rng.choices(ENDINGS, k=rng.randrange(3))) for beginning in beginnings}


def random_pairs(rng: random.Random, count: int) -> Iterator[tuple[str, str]]:
    """Texts of few words, so that much is common and repeated, some empty, on one line or several."""
    for _ in range(count):
        first, second = (
            "".join(rng.choice(WORDS) + rng.choice((" ", " ", " ", ". ", "\n")) for _ in range(rng.randrange(40)))
            for _ in range(2)
        )
        yield first, second


def real_pairs(path: Path, count: int) -> Iterator[tuple[str, str]]:
    """Three pairs a row; the documents are cut."""
    rows = pq.read_table(path, columns=["text", "target"]).to_pylist()
    for row, other in itertools.islice(itertools.pairwise(rows), count):
        document = row["text"].split(" ")[:MOST]
        half = len(document) // 2
        yield row["target"], other["target"][: 8 * MOST]
        yield row["target"][: 8 * MOST], " ".join(document[:100])
        yield row["target"][: 8 * MOST].replace(". ", ".\n"), " ".join(document[half:]).replace(". ", ".\n")


def compare(name: str, pairs: Iterable[tuple[str, str]], scorer: Any) -> float:
    """Largest difference over all scores; prints it and how long each side took."""
    scorers = {stem: scorer.RougeScorer(list(NAMES), use_stemmer=stem) for stem in (True, False)}
    worst, count, took = 0.0, 0, [0.0, 0.0]
    for (reference, output), stem in itertools.product(pairs, scorers):
        times = [time.perf_counter()]
        theirs = scorers[stem].score(reference, output)
        times.append(time.perf_counter())
        ours = rouge(reference, output, stem)
        times.append(time.perf_counter())
        took = [took[0] + times[1] - times[0], took[1] + times[2] - times[1]]
        worst = max(worst, *(abs(a - b) for key in NAMES for a, b in zip(theirs[key], ours[key], strict=True)))
        count += 1
    print(f"{name:32} {count:7,} scores, largest difference {worst:.1e}; {took[0]:.1f} s theirs, {took[1]:.1f} s ours")
    return worst


if __name__ == "__main__":
    raise SystemExit(main())
