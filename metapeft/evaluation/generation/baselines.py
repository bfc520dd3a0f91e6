"""What needs no model: outputs for query rows from support rows, the lower and upper marks beside a method's figures.

All but two see no target of the query. Extracts are joined by spaces, or line by line where summaries are bullets.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence

from metapeft.evaluation.generation.rows import SUMMARIES, Reference, Style
from metapeft.evaluation.text.extracts import lead, oracle, sentences
from metapeft.evaluation.text.nearest import nearest_targets

_STUCK = re.compile(r"""(?<=[a-z0-9][.!?])(?=["“”]?[A-Z])""")
Baseline = Callable[[Sequence[Reference], Sequence[Reference], Style], list[str]]
"""From support rows, query rows and the style of their task to an output a query row."""


def lead_3(support: Sequence[Reference], query: Sequence[Reference], style: Style) -> list[str]:
    """The first three sentences: the usual mark of news, chosen before anything is known of the task."""
    return [_joined(lead(sentences(row.text), 3), style) for row in query]


def lead_k(support: Sequence[Reference], query: Sequence[Reference], style: Style) -> list[str]:
    """As many first sentences as the targets of the support set have, by their median, a half rounded up.

    Some datasets put sentences together without a space; there a stop before a capital ends one too.

    Raises:
        ValueError: there is no support row.
    """
    if not support:
        raise ValueError("lead-k takes the number of sentences from support rows, and there are none")
    usual = statistics.median(len(sentences(_STUCK.sub(" ", row.target))) for row in support)
    return [_joined(lead(sentences(row.text), math.floor(usual + 0.5)), style) for row in query]


def oracle_extract(support: Sequence[Reference], query: Sequence[Reference], style: Style) -> list[str]:
    """Sentences chosen by looking at the target: about the best that copying sentences can do."""
    return [_joined(oracle(sentences(row.text), row.target), style) for row in query]


def nearest_example(support: Sequence[Reference], query: Sequence[Reference], style: Style) -> list[str]:
    """The target of the support row whose text is nearest (see `text.nearest`).

    Raises:
        ValueError: there is no support row.
    """
    return nearest_targets([row.text for row in support], [row.target for row in support], [row.text for row in query])


def copied(support: Sequence[Reference], query: Sequence[Reference], style: Style) -> list[str]:
    """The text as it stands. A program to mend is most of its answer, so overlap with the target says little there."""
    return [row.text for row in query]


def gold(support: Sequence[Reference], query: Sequence[Reference], style: Style) -> list[str]:
    """The target: the ceiling, which is below 1 where tests or databases judge a reference to be wrong."""
    return [row.target for row in query]


def baselines(style: Style) -> Mapping[str, Baseline]:
    """Those that make sense for a style, by the name that tables show."""
    found: dict[str, Baseline] = {"nearest example": nearest_example}
    if style in SUMMARIES:
        found |= {"lead-3": lead_3, "lead-k": lead_k, "oracle extract": oracle_extract}
    if style == "bugfix":
        found["copied input"] = copied
    return found | {"gold": gold}


def _joined(extract: Sequence[str], style: Style) -> str:
    return ("\n" if style == "bullets" else " ").join(extract)
