"""Summaries made of a document's own sentences, and how much of a summary was copied from its document."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from metapeft.evaluation.text.rouge import grams, overlap, tokens

TITLES = frozenset(("mr", "mrs", "ms", "dr", "prof", "rev", "gen", "col", "lt", "sgt", "capt", "sen", "rep", "gov"))
BEFORE_NAMES = TITLES | {"st", "mt", "vs", "cf", "e.g", "i.e"}
MONTHS = frozenset(("jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"))
BEFORE_NUMBERS = MONTHS | {"al", "no", "nos", "vol", "fig", "figs", "eq", "eqs", "sec", "ch", "p", "pp", "approx"}
_END = re.compile(r"""[.!?…]+["'”’)\]]*(?=\s+["'“‘(\[]*[A-Z0-9])|\s*\n\s*""")
_OPENING = " \t\r\n\"'“‘(["
_LAST_WORD = re.compile(r"""[^\s"'“‘(\[]*$""")


def sentences(text: str) -> list[str]:
    """The sentences of an English text, by rules.

    One ends at a line break, and at a full stop, question or exclamation mark before white space and a capital letter
    or a digit; not after the full stop of a title ("Dr. Ito"), of an initial ("J. Smith"), of capitals with stops
    between ("U.S. Army") or of a word that stands before numbers ("No. 5", "Jan. 5"). So a sentence that does end in
    one of these runs on into the next, one that begins in lower case joins the one before, and a text in lower case or
    without white space after its stops is one sentence a line. Scripts with other marks are not split.

    Args:
        text: any.

    Returns:
        Without surrounding white space; none is empty.
    """
    found, start = [], 0
    for end in _END.finditer(text):
        mark = end.group()
        if mark == "." and _goes_on(text[start : end.start()], text[end.end() :].lstrip(_OPENING)[:1]):
            continue
        found.append(text[start : end.end()])
        start = end.end()
    return [whole for each in (*found, text[start:]) if (whole := each.strip())]


def _goes_on(before: str, after: str) -> bool:
    """Whether the full stop between this text and this character belongs to the last word of the text."""
    word = _LAST_WORD.search(before[-20:])
    last = word.group() if word else ""
    if last.lower() in (BEFORE_NUMBERS if after.isdigit() else BEFORE_NAMES):
        return True
    return re.fullmatch(r"([A-Z]\.)*[A-Z]", last) is not None


def lead(document: Sequence[str], count: int) -> list[str]:
    """The first sentences: for news, whose writers begin with what matters, a summary that is hard to beat.

    Args:
        document: its sentences, in order.
        count: how many, at least 1.

    Raises:
        ValueError: the count is below 1.
    """
    if count < 1:
        raise ValueError(f"a lead has at least one sentence, got {count}")
    return list(document[:count])


def oracle(document: Sequence[str], reference: str, most: int | None = None, stem: bool = True) -> list[str]:
    """Sentences chosen by looking at the reference: about the best that copying sentences can do.

    Begins with none and adds the sentence that raises ROUGE-1 F1 plus ROUGE-2 F1 most, the first of equals, while one
    raises it. Greedy: never below the best single sentence, but another choice can be better, a lead too. The figure
    is that of the chosen sentences joined by spaces.

    Args:
        document: its sentences, in order.
        reference: the summary to come near to.
        most: stop at so many sentences.
        stem: see `rouge`.

    Returns:
        In the order of the document; empty where no sentence has a word of the reference.

    References:
        Nallapati et al., "SummaRuNNer: a recurrent neural network based sequence model for extractive summarization of
        documents" (2017).
    """
    each = [tokens(sentence, stem) for sentence in document]
    truth = tokens(reference, stem)
    counts = [(n, grams(truth, n)) for n in (1, 2)]
    known = set(truth)
    left = [index for index, words in enumerate(each) if not known.isdisjoint(words)]  # others lower every figure
    chosen: list[int] = []
    best = 0.0
    while left and (most is None or len(chosen) < most):
        values = []
        for index in left:
            joined = [word for place in sorted([*chosen, index]) for word in each[place]]
            values.append(sum(overlap(truth_grams, grams(joined, n)).f1 for n, truth_grams in counts))
        if max(values) <= best:
            break
        best = max(values)
        chosen.append(left.pop(values.index(best)))
    return [document[index] for index in sorted(chosen)]


def coverage_and_density(document: str, summary: str) -> tuple[float, float]:
    """How much of a summary is copied, and in how long pieces.

    The summary is cut from left to right into the longest runs of words that stand in the document. Coverage is the
    share of its words in such runs, from 0 to 1; density is the mean over its words of the length of their run, from 0
    to the number of words. Words are compared in lower case, not by stems.

    Args:
        document: what was summarized.
        summary: what was written.

    Returns:
        Coverage and density; both NaN for a summary without words.

    References:
        Grusky et al., "Newsroom: a dataset of 1.3 million summaries with diverse extractive strategies" (2018).
    """
    source, said = tokens(document, stem=False), tokens(summary, stem=False)
    if not said:
        return float("nan"), float("nan")
    places = defaultdict(list)
    for place, word in enumerate(source):
        places[word].append(place)
    runs = []
    start = 0
    while start < len(said):
        longest = max((_run(source, place, said, start) for place in places.get(said[start], ())), default=0)
        runs.append(longest)
        start += max(longest, 1)
    return sum(runs) / len(said), sum(run * run for run in runs) / len(said)


def _run(source: Sequence[str], place: int, said: Sequence[str], start: int) -> int:
    """How many words are the same from these two places on."""
    most = min(len(source) - place, len(said) - start)
    return next((length for length in range(most) if source[place + length] != said[start + length]), most)


def novel_share(document: str, summary: str, n: int) -> float:
    """Share of a summary's n-grams, each as often as it stands there, that stand nowhere in the document.

    Args:
        document: what was summarized.
        summary: what was written.
        n: words in an n-gram; compared in lower case, not by stems.

    Returns:
        From 0 to 1; NaN for a summary of fewer than n words.

    References:
        See et al., "Get to the point: summarization with pointer-generator networks" (2017).
    """
    source, said = grams(tokens(document, stem=False), n), grams(tokens(summary, stem=False), n)
    if not said:
        return float("nan")
    return sum(count for gram, count in said.items() if gram not in source) / said.total()
