"""How predictions are judged: accuracy where examples are classified, entity F1 where words are tagged.

What tags a sentence is a path through the classes of its words, and they follow each other unevenly: outside is
followed by outside, a type by itself. That is learned on training tasks in terms that hold for any types (Yang &
Katiyar, StructShot, 2020; Hou et al., "Few-shot slot tagging with collapsed dependency transfer", 2020): from outside
or from a type, to outside, to the same type, to another. What counts is how much likelier a class is after another than
it is anywhere: how often it is, the logits know already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from metapeft.episodes.episode import Sentences
from metapeft.heads.head import accuracy
from metapeft.meta.inner_loop import Examples
from metapeft.mlx import mx
from metapeft.tasks.pool import Pool
from metapeft.tasks.tags import (
    OUTSIDE,
    Mentions,
    class_of,
    mentions,
    mentions_of_tags,
    sentence_of,
    sentence_starts,
    word_tags,
)

FROM_START, FROM_OUTSIDE, FROM_TYPE, ANYWHERE = range(4)
TO_OUTSIDE, TO_SAME, TO_OTHER = range(3)
WORTH = 20.0


class Counts(NamedTuple):
    """Mentions: found and right in start, end and type; found; and there to be found."""

    right: int
    found: int
    gold: int

    @property
    def precision(self) -> float:
        """Share of what was found that is right; 0 where nothing was."""
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Share of what is there that was found; 0 where nothing is."""
        return self.right / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 1 where nothing is there and nothing was found."""
        return float(f1_of(np.array(self)))


def f1_of(counts: np.ndarray) -> np.ndarray:
    """F1 of counts ``(…, 3)`` in the order of `Counts`, float64 ``(…)``; 1 where nothing is there nor was found."""
    right, found, gold = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    return np.where(found + gold > 0, 2 * right / np.maximum(found + gold, 1), 1.0)


def figure(logits: mx.array, truth: Examples, transitions: np.ndarray | None = None) -> float:
    """The figure of an episode, 0 to 1: accuracy, or strict entity F1 over all its sentences.

    Args:
        logits: of the units ``(u, ways)``.
        truth: their classes; the sentences of words.
        transitions: see `transitions_of`, for words; None: every word for itself.
    """
    if truth.sentences is None:
        return float(accuracy(logits, truth.labels))
    (counts,) = counts_of_all([logits], truth.sentences, transitions)
    return float(f1_of(counts.sum(axis=0)))


def counts_of_all(
    logits: Sequence[mx.array], sentences: Sentences, transitions: np.ndarray | None = None
) -> np.ndarray:
    """Mentions of each sentence by several logits, decoded in one go: int64 ``(k, n, 3)`` in the order of `Counts`.

    Args:
        logits: of the words ``(words, ways)``, `k` of them.
        sentences: `n` of them, and what is there.
        transitions: see `figure`.
    """
    values = np.array(mx.stack(list(logits)), np.float32)
    k, n = len(values), len(sentences.lengths)
    if transitions is None:
        classes = values.argmax(axis=2).ravel()
    else:
        classes = best_paths(values.reshape(-1, values.shape[2]), np.tile(sentences.lengths, k), transitions)
    every = Sentences(np.tile(sentences.lengths, k), np.tile(sentences.tags, k))
    return sentence_counts(classes, every).reshape(k, n, 3)


def sentence_counts(classes: np.ndarray, sentences: Sentences, kind: int | None = None) -> np.ndarray:
    """Compare predicted classes of words with the tags of their sentences; a mention counts whole or not at all.

    Args:
        classes: ``(words,)``.
        sentences: `n` of them, and what is there.
        kind: count this class alone; None for all.

    Returns:
        int64 ``(n, 3)`` in the order of `Counts`.
    """
    said, gold = mentions(classes, sentences.lengths), mentions_of_tags(sentences.tags, sentences.lengths)
    if kind is not None:
        said, gold = (Mentions(*(part[m.kind == kind] for part in m)) for m in (said, gold))
    there = np.full((len(sentences.tags) + 1, 2), -1, np.int64)  # end and class of the mention that begins at a word
    there[gold.start] = np.stack([gold.end, gold.kind], axis=1)
    same = (there[said.start] == np.stack([said.end, said.kind], axis=1)).all(axis=1)
    owners = (sentence_of(words, sentences.lengths) for words in (said.start[same], said.start, gold.start))
    return np.stack([np.bincount(own, minlength=len(sentences.lengths)) for own in owners], axis=1)


def counted(classes: np.ndarray, sentences: Sentences, kind: int | None = None) -> Counts:
    """As `sentence_counts`, of all sentences together."""
    return Counts(*sentence_counts(classes, sentences, kind).sum(axis=0).tolist())


def predicted(logits: mx.array, sentences: Sentences, transitions: np.ndarray | None = None) -> np.ndarray:
    """The class of each word, int64 ``(words,)``."""
    values = np.array(logits, np.float32)
    return values.argmax(axis=1) if transitions is None else best_paths(values, sentences.lengths, transitions)


def transitions_of(pools: Iterable[Pool], smoothing: float = 1.0) -> np.ndarray:
    """How often what follows what in the sentences of pools, shares, float64 ``(4, 3)``.

    Rows: from the start of a sentence, from a word outside, from a word of a type, and anywhere. Columns: to outside,
    to the same type, to another (from the start, from outside and anywhere every type is another). Rows sum to 1.

    Args:
        pools: of kind ``tagging``.
        smoothing: added to each count.
    """
    counts = np.zeros((4, 3))
    for pool in pools:
        tags, lengths = word_tags(pool)
        counts += _transition_counts(Sentences(lengths, tags))
    return _smoothed(counts, smoothing)


def transitions_for(transitions: np.ndarray | None, support: Sentences) -> np.ndarray:
    """Transitions of training tasks and those of a support set together: how dense mentions are and how long.

    A row of the former counts as `WORTH` words: the support set of a few sentences has its say, and the more the larger
    it is. (Mentions of music are two words long and half of all words; those of tweets are short and far between.)

    Args:
        transitions: shares ``(4, 3)``, see `transitions_of`; None where nothing was trained: the support set alone.
        support: sentences of the support set.
    """
    counts = _transition_counts(support)
    if transitions is None:
        return _smoothed(counts, 1.0)
    counts += WORTH * transitions
    return counts / counts.sum(axis=1, keepdims=True)


def _smoothed(counts: np.ndarray, smoothing: float) -> np.ndarray:
    """Shares of counts ``(4, 3)``, `smoothing` added to those of what can be."""
    counts = counts + smoothing
    counts[:FROM_TYPE, TO_SAME] = counts[ANYWHERE, TO_SAME] = 0.0
    return counts / counts.sum(axis=1, keepdims=True)


def _transition_counts(sentences: Sentences) -> np.ndarray:
    """Counts in the form of `transitions_of`, float64 ``(4, 3)``."""
    classes = class_of(sentences.tags)
    before = np.concatenate([[OUTSIDE], classes[:-1]])
    origin = np.where(
        sentence_starts(sentences.lengths), FROM_START, np.where(before == OUTSIDE, FROM_OUTSIDE, FROM_TYPE)
    )
    same = (origin == FROM_TYPE) & (classes == before)
    end = np.where(classes == OUTSIDE, TO_OUTSIDE, np.where(same, TO_SAME, TO_OTHER))
    counts = np.zeros((4, 3))
    np.add.at(counts, (origin, end), 1)
    inside = np.count_nonzero(classes != OUTSIDE)
    counts[ANYWHERE] = len(classes) - inside, 0, inside
    return counts


def best_paths(logits: np.ndarray, lengths: np.ndarray, transitions: np.ndarray) -> np.ndarray:
    """The likeliest classes of the words of sentences, each sentence as a whole (Viterbi 1967).

    What is weighed is how much likelier it is to be outside, or in a mention, after what was there than anywhere; which
    of the types it is, the logits say alone. A path of classes has no tag that goes on after nothing: the BIO tags made
    of it are always valid.

    Args:
        logits: float ``(words, ways)``, all sentences end to end; class 0 is outside.
        lengths: words of each sentence ``(n,)``.
        transitions: shares ``(4, 3)``, see `transitions_of`.

    Returns:
        int64 ``(words,)``.
    """
    lengths = np.asarray(lengths, np.int64)
    ways, longest = logits.shape[1], int(lengths.max(initial=0))
    top = logits.max(axis=1, keepdims=True)
    emission = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    step = np.empty((ways + 1, ways))  # the last row is from the start
    first, outside, kind, anywhere = transitions
    step[0, 0], step[0, 1:] = outside[TO_OUTSIDE], outside[TO_OTHER]
    step[1:, 0], step[1:, 1:] = kind[TO_OUTSIDE], kind[TO_OTHER]
    np.fill_diagonal(step[1:, 1:], kind[TO_SAME])
    step[-1, 0], step[-1, 1:] = first[TO_OUTSIDE], first[TO_OTHER]
    step = np.log(step) - np.log(np.concatenate([anywhere[:1], np.full(ways - 1, anywhere[TO_OTHER])]))
    inside = np.arange(longest) < lengths[:, None]
    grid = np.zeros((len(lengths), longest, ways))
    grid[inside] = emission
    back = np.zeros((len(lengths), longest, ways), np.int64)
    score = step[-1] + grid[:, 0] if longest else np.zeros((len(lengths), ways))
    stay = np.arange(ways)
    for t in range(1, longest):
        options = score[:, :, None] + step[:-1]
        back[:, t] = np.where(inside[:, t, None], options.argmax(axis=1), stay)
        score = np.where(inside[:, t, None], options.max(axis=1) + grid[:, t], score)
    path = np.zeros((len(lengths), longest), np.int64)
    state = score.argmax(axis=1)
    for t in range(longest - 1, -1, -1):
        path[:, t] = state
        state = back[np.arange(len(lengths)), t, state]
    return path[inside]
