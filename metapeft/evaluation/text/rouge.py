"""ROUGE: how much of a reference is in a text, and the reverse.

Figures are those of the package `rouge-score` 0.1.2 (google-research), with which most papers since 2019 report;
`scripts/check_rouge.py` compares the two. They are not those of the older Perl script ROUGE-1.5.5.

References:
    Lin, "ROUGE: a package for automatic evaluation of summaries" (2004).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from metapeft.evaluation.text import porter

Grams = Counter[tuple[str, ...]]
_TOKEN = re.compile("[a-z0-9]+")


class Score(NamedTuple):
    """Each from 0 to 1. F1 is the harmonic mean of the two, 0 where both are 0."""

    precision: float
    recall: float
    f1: float


def rouge(reference: str, output: str, stem: bool = True) -> dict[str, Score]:
    """ROUGE-1, -2, -L and -Lsum of a text against one reference.

    ``rougeL`` takes each text as one sequence. ``rougeLsum`` takes each line as a sentence, so it needs texts with
    their sentences on lines of their own; on one line each the two are equal.

    Args:
        reference: what should have been written.
        output: what was written.
        stem: words longer than three letters are compared by their stems, as in most papers.

    Returns:
        Scores by the names of `rouge-score`: ``rouge1``, ``rouge2``, ``rougeL``, ``rougeLsum``. Without a token in the
        reference or in the output every figure is 0, also where both are empty.
    """
    truth, said = tokens(reference, stem), tokens(output, stem)
    lines = [[tokens(line, stem) for line in text.split("\n")] for text in (reference, output)]
    return {
        "rouge1": overlap(grams(truth, 1), grams(said, 1)),
        "rouge2": overlap(grams(truth, 2), grams(said, 2)),
        "rougeL": score(lcs_length(truth, said), len(truth), len(said)),
        "rougeLsum": score(_summary_hits(*lines), len(truth), len(said)),
    }


def tokens(text: str, stem: bool = True) -> list[str]:
    """Runs of ASCII letters and digits in lower case; other letters divide tokens and are lost.

    Args:
        text: any.
        stem: whether tokens longer than three letters are stemmed.
    """
    found = _TOKEN.findall(text.lower())
    return [porter.stem(token) if len(token) > 3 else token for token in found] if stem else found


def grams(sequence: Sequence[str], n: int) -> Grams:
    """How often each n consecutive tokens stand in a sequence."""
    return Counter(zip(*(sequence[start:] for start in range(n)), strict=False))


def overlap(reference: Grams, output: Grams) -> Score:
    """The score of n-grams; one that stands more often in one text counts as often as in the other."""
    return score((reference & output).total(), reference.total(), output.total())


def score(hits: int, reference: int, output: int) -> Score:
    """From the number of hits and the sizes of both sides, which may be 0."""
    precision, recall = hits / max(output, 1), hits / max(reference, 1)
    return Score(precision, recall, 2 * precision * recall / (precision + recall) if hits else 0.0)


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of a longest common subsequence.

    A row of the usual table is one integer: where its bit is 0 the row rises by one. So 1,000 tokens take as many
    operations on integers of 1,000 bits.

    References:
        Hyyrö, "Bit-parallel LCS-length computation revisited" (2004).
    """
    return len(first) - _rises(first, second)[-1].bit_count()


def lcs_places(reference: Sequence[str], output: Sequence[str]) -> set[int]:
    """Where in the reference a longest common subsequence stands; of several the one that `rouge-score` finds."""
    rows = _rises(reference, output)
    found = set()
    i, j = len(reference), len(output)
    while i and j:
        if reference[i - 1] == output[j - 1]:
            i, j = i - 1, j - 1
            found.add(i)
        elif rows[j] >> (i - 1) & 1:
            i -= 1
        else:
            j -= 1
    return found


def _rises(first: Sequence[str], second: Sequence[str]) -> list[int]:
    """Rows of the table of common subsequences, for 0, 1, … tokens of `second`.

    Bit i is 0 where i + 1 tokens of `first` have more in common than i.
    """
    places: dict[str, int] = {}
    for place, token in enumerate(first):
        places[token] = places.get(token, 0) | 1 << place
    row = every = (1 << len(first)) - 1
    rows = [row]
    for token in second:
        hits = row & places.get(token, 0)
        row = (row + hits | row - hits) & every
        rows.append(row)
    return rows


def _summary_hits(reference: Sequence[Sequence[str]], output: Sequence[Sequence[str]]) -> int:
    """Tokens of the reference in the union of common subsequences with each sentence; none counts twice."""
    left = Counter(token for sentence in output for token in sentence)
    hits = 0
    for sentence in reference:
        union = set().union(*(lcs_places(sentence, other) for other in output))
        for place in union:
            if left[sentence[place]]:
                left[sentence[place]] -= 1
                hits += 1
    return hits
