"""Tag ids of sequences: 0 is O, ``2 i + 1`` begins a mention of type i and ``2 i + 2`` goes on with it (BIO).

Ramshaw & Marcus, "Text chunking using transformation-based learning" (1995).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metapeft.tasks.pool import IGNORE, Pool, Ragged

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


def word_tags(pool: Pool, max_tokens: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The tags of the words of a pool's sentences.

    Args:
        pool: of kind ``tagging``.
        max_tokens: words that begin beyond so many tokens are left out.

    Returns:
        The tags of all words, end to end, int32 ``(words,)``, and the words of each sentence, int64 ``(n,)``.
    """
    assert isinstance(pool.y, Ragged)
    lengths, start = pool.y.lengths(), int(pool.y.offsets[0])
    tags = np.asarray(pool.y.values[start : int(pool.y.offsets[-1])])
    row = np.repeat(np.arange(len(lengths)), lengths)
    kept = tags != IGNORE
    if max_tokens is not None:
        kept &= np.arange(len(tags)) - np.repeat(pool.y.offsets[:-1] - start, lengths) < max_tokens
    return tags[kept], np.bincount(row[kept], minlength=len(lengths))


def sentence_starts(lengths: np.ndarray) -> np.ndarray:
    """Whether each word is the first of its sentence, bool ``(words,)``, of sentences of these lengths ``(n,)``."""
    ends = np.concatenate([[0], np.cumsum(lengths)])
    first = np.zeros(int(ends[-1]) + 1, bool)
    first[ends] = True  # a sentence may be empty
    return first[:-1]


def sentence_of(words: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The sentence of each of these words (their places, end to end), int64, of sentences of these lengths."""
    return np.searchsorted(np.cumsum(lengths), words, side="right")


def mentions(classes: np.ndarray, lengths: np.ndarray, starts: np.ndarray | None = None) -> Mentions:
    """Mentions of sentences: words of one class side by side.

    Args:
        classes: of each word, all sentences end to end, ``(words,)``; see `class_of`.
        lengths: words of each sentence ``(n,)``.
        starts: where a mention begins although the word before has its class, bool ``(words,)``; None: nowhere.
    """
    classes = np.asarray(classes, np.int64)
    previous = np.concatenate([[OUTSIDE], classes[:-1]])
    new = (classes != previous) | sentence_starts(lengths)
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
