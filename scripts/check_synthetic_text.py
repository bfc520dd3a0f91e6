"""How hard the synthetic classification texts are for a bag of words, and how fast they are made.

For each generator and domain: accuracy of TF-IDF (words and word pairs) with logistic regression on ten examples a
class, averaged over draws, tested on 500 query rows, at difficulty 0 and at difficulty 1. A hard task that a bag of
words solves would tell nothing about adaptation.

    python scripts/check_synthetic_text.py [draws]
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

from metapeft.sources.grammar import generate, labels
from metapeft.sources.grammar.emotion_lexicon import OPENINGS
from metapeft.sources.grammar.intent import DOMAINS
from metapeft.sources.grammar.judgement import LABELS
from metapeft.sources.grammar.sentiment_lexicon import ASPECTS
from metapeft.sources.grammar.topic import STYLES

TASKS: list[tuple[str, dict[str, Any]]] = [
    *(("sentiment", {"domain": domain, "classes": classes}) for classes in (2, 3) for domain in ASPECTS),
    *(("topic", {"style": style, "classes": classes}) for classes in (4, 10) for style in STYLES),
    *(("intent", {"domain": domain, "classes": 10}) for domain in DOMAINS),
    ("intent", {"domain": "all"}),
    *(("emotion", {"domain": domain, "classes": 6}) for domain in OPENINGS),
    *(("judgement", {"task": task}) for task in LABELS),
]


def accuracy(generator: str, params: dict[str, Any], draws: int, shots: int = 10, query: int = 500) -> float:
    """Mean accuracy of TF-IDF and logistic regression over `draws` support sets."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    count = shots * len(labels(generator, params))
    scores = []
    for seed in range(draws):
        support = generate(generator, params, count, seed, "support")
        test = generate(generator, params, query, seed, "query")
        features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        model = make_pipeline(features, LogisticRegression(C=10.0, max_iter=300))
        model.fit([row["text"] for row in support], [row["label"] for row in support])
        scores.append(float(model.score([row["text"] for row in test], [row["label"] for row in test])))
    return statistics.mean(scores)


def rows_per_second(generator: str, params: dict[str, Any], rows: int = 4000) -> float:
    start = time.perf_counter()
    generate(generator, params, rows, 0, "support")
    return rows / (time.perf_counter() - start)


def main() -> int:
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{'generator':10} {'task':32} {'classes':>7} {'easy':>6} {'hard':>6} {'rows/s':>8}")
    failures = 0
    for generator, params in TASKS:
        easy, hard = (accuracy(generator, {**params, "difficulty": value}, draws) for value in (0.0, 1.0))
        wrong = hard >= 0.9 or easy < hard + 0.03
        failures += wrong
        speed = rows_per_second(generator, {**params, "difficulty": 1.0})
        name, classes = str(next(iter(params.values()))), len(labels(generator, params))
        print(f"{generator:10} {name:32} {classes:7} {easy:6.1%} {hard:6.1%} {speed:8.0f}{'  <--' if wrong else ''}")
    print(f"{failures} of {len(TASKS)} out of bounds (hard under 90 %, easy at least 3 points above hard)")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
