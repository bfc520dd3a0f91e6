"""Tag ids of sequences: 0 is O, ``2 i + 1`` begins a mention of type i and ``2 i + 2`` goes on with it (BIO).

Ramshaw & Marcus, "Text chunking using transformation-based learning" (1995).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

OUTSIDE = 0


class Mentions(NamedTuple):
    """Mentions in words that stand end to end.

    Attributes:
        start: first word of each, int64 ``(m,)``, ascending.
        end: the word after its last, int64 ``(m,)``.
        kind: its class: 1 for type 0, 2 for type 1 and so on, int64 ``(m,)``.
    """

    start: np.ndarray
    end: np.ndarray
    kind: np.ndarray


def class_of(tags: np.ndarray) -> np.ndarray:
    """The class of each tag: 0 outside, ``i + 1`` in a mention of type i, whether it begins there or goes on."""
    return (tags + 1) // 2


def begins(tags: np.ndarray) -> np.ndarray:
    """Whether each tag begins a mention, bool."""
    return tags % 2 == 1


def mentions(classes: np.ndarray, lengths: np.ndarray, starts: np.ndarray | None = None) -> Mentions:
    """Mentions of sentences: words of one class side by side.

    Args:
        classes: of each word, all sentences end to end, ``(words,)``; see `class_of`.
        lengths: words of each sentence ``(n,)``.
        starts: where a mention begins although the word before has its class, bool ``(words,)``; None: nowhere.
    """
    classes = np.asarray(classes, np.int64)
    previous = np.concatenate([[OUTSIDE], classes[:-1]])
    first = np.zeros(len(classes) + 1, bool)
    first[np.concatenate([[0], np.cumsum(lengths)])] = True  # a sentence may be empty
    new = (classes != previous) | first[:-1]
    if starts is not None:
        new |= starts
    begin = np.flatnonzero(new & (classes != OUTSIDE))
    edges = np.flatnonzero(np.concatenate([new, [True]]))
    return Mentions(begin, edges[np.searchsorted(edges, begin, side="right")], classes[begin])


def mentions_of_tags(tags: np.ndarray, lengths: np.ndarray) -> Mentions:
    """Mentions of sentences that are tagged; a tag that goes on after nothing of its type begins a mention.

    Args:
        tags: of each word, all sentences end to end, ``(words,)``.
        lengths: words of each sentence ``(n,)``.
    """
    return mentions(class_of(tags), lengths, begins(tags))


def renumbered(tags: np.ndarray, types: np.ndarray, count: int) -> np.ndarray:
    """Tags whose types are numbered by their place in `types`; those of other types are O.

    Args:
        tags: any shape; negative ones stay.
        types: type ids ``(k,)``.
        count: how many types the task has.
    """
    places = np.full(count + 1, OUTSIDE, np.int64)
    places[np.asarray(types, np.int64) + 1] = np.arange(1, len(types) + 1)
    own = places[np.maximum(class_of(tags), 0)]
    return np.where(tags < 0, tags, np.where(own > 0, 2 * own - begins(tags), OUTSIDE)).astype(tags.dtype)
