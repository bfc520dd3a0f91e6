"""Prompts that show support examples before the query: what a model does without training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from metapeft.evaluation.generation.rows import PROGRAMS, Reference, Style
from metapeft.evaluation.text.nearest import similarities

GAP = "\n\n"
"""Between an example and the next prompt; what `stop.trim` takes for an end."""


class Prompt(NamedTuple):
    """A prompt with examples."""

    text: str
    shown: tuple[int, ...]
    """Places of the support examples in it, in their order there: the nearest last."""
    cut: int
    """Characters of the query's own text that had to go."""


def joint(prompt: str, style: Style) -> str:
    """What stands between a prompt and its target where both are written out.

    Nothing after white space; a line break before a program, and before bullets; else a space (``Summary: …``).
    """
    if prompt[-1:].isspace():
        return ""
    return "\n" if style in PROGRAMS or style == "bullets" else " "


def example(row: Reference, style: Style) -> str:
    """A support row written out in its task's own format."""
    return row.prompt + joint(row.prompt, style) + row.target


def prompts_with_examples(
    support: Sequence[Reference],
    query: Sequence[Reference],
    *,
    style: Style,
    budget: int,
    count: Callable[[str], int],
    most: int | None = None,
) -> list[Prompt]:
    """For each query row a prompt with as many support examples as fit, the nearest last.

    Examples are taken from the nearest on (cosine of TF-IDF of their texts, the first of equals). One that would not
    fit is left out whole, and the next is tried: no example is ever cut. The query's prompt comes last, as the suite
    has it, without white space or a line break after it. Only where that prompt alone does not fit is its text cut, at
    the end and between words, so that what the template puts before and after stays; there are no examples then.

    Args:
        support: rows of the task; none is a prompt without examples.
        query: rows of the same task.
        style: of the task.
        budget: tokens that a prompt may have; leave room for the answer.
        count: how many tokens a text has, special tokens included.
        most: stop at so many examples.

    Returns:
        One a query row; `count` of each is at most `budget`.

    Raises:
        ValueError: what the template puts around a text does not fit.
    """
    written = [example(row, style) for row in support]
    if support:
        near = similarities([row.text for row in support], [row.text for row in query])
    else:
        near = np.zeros((len(query), 0))
    found = []
    for row, values in zip(query, near, strict=True):
        last = row.prompt
        if count(last) > budget:
            found.append(_without_examples(row, budget, count))
            continue
        shown: list[int] = []
        text = last
        for place in np.argsort(-values, kind="stable").tolist():
            if most is not None and len(shown) >= most:
                break
            longer = written[place] + GAP + text
            if count(longer) <= budget:
                text, shown = longer, [place, *shown]
        found.append(Prompt(text, tuple(shown), 0))
    return found


def _without_examples(row: Reference, budget: int, count: Callable[[str], int]) -> Prompt:
    """The longest beginning of the text that fits, by bisection over its words."""
    place = row.prompt.rfind(row.text)
    head, tail = row.prompt[:place], row.prompt[place + len(row.text) :]
    ends = [0, *(index for index, sign in enumerate(row.text) if sign.isspace() and index)]
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high) // 2
        if count(head + row.text[: ends[middle]] + tail) <= budget:
            low = middle + 1
        else:
            high = middle
    if low == 0:
        raise ValueError(f"a budget of {budget} tokens is too small for the prompt's own words {head + tail!r}")
    kept = ends[low - 1]
    return Prompt(head + row.text[:kept] + tail, (), len(row.text) - kept)
