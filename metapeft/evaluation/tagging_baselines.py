"""What one does without meta-learning where words are tagged, on the episodes that a checkpoint is read on.

- ``nearest neighbour``: the class of the support word with the highest cosine, on frozen features (NNShot)
- ``structured nearest neighbour``: the same, each sentence as a whole (StructShot). Both: Yang & Katiyar, "Simple and
  effective few-shot named entity recognition with structured nearest neighbor learning" (2020)
- ``gazetteer``: the support set's mentions, found again word by word, the longest first

A random start after Adam steps, few and many, is that of `baselines`: every word is classified for itself.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from metapeft.episodes.episode import Episode
from metapeft.heads.tagger import TEMPERATURE
from metapeft.meta.judge import counted, figure
from metapeft.meta.methods import Item
from metapeft.mlx import mx
from metapeft.tasks.pool import IGNORE
from metapeft.tasks.tags import OUTSIDE, mentions_of_tags

Word = tuple[int, ...]


def without_steps(item: Item, episode: Episode, transitions: np.ndarray | None) -> dict[str, float]:
    """Entity F1 of the baselines that take no step, by name.

    Args:
        item: the episode with frozen features.
        episode: the same with token ids, as numpy arrays.
        transitions: of the checkpoint, for the structured one.
    """
    assert item.query.sentences is not None
    logits = nearest_logits(item)
    return {
        "nearest neighbour": figure(logits, item.query),
        "structured nearest neighbour": figure(logits, item.query, transitions),
        "gazetteer": counted(gazetteer(episode), item.query.sentences).f1,
    }


def nearest_logits(item: Item) -> mx.array:
    """`TEMPERATURE` times the highest cosine of each query word to a support word of each class, ``(words, ways)``."""
    labels = np.array(item.support.labels)
    near = np.array(item.query.hidden.frozen) @ np.array(item.support.hidden.frozen).T
    logits = np.full((len(near), item.ways), -TEMPERATURE, np.float32)  # a class that no word has is never the nearest
    for kind in np.unique(labels):
        logits[:, kind] = TEMPERATURE * near[:, labels == kind].max(axis=1)
    return mx.array(logits)


def gazetteer(episode: Episode) -> np.ndarray:
    """The class of each query word, by the mentions of the support set, int64 ``(words,)``.

    From left to right the longest mention that stands there; a mention of several types has its most frequent one, the
    lowest number of equals.

    Args:
        episode: of tagging, as numpy arrays.
    """
    known: dict[tuple[Word, ...], Counter[int]] = {}
    words = [word for sentence in _words(episode, "support") for word in sentence]
    _, sentences = episode.units("support")
    assert sentences is not None
    for start, end, kind in zip(*mentions_of_tags(sentences.tags, sentences.lengths), strict=True):
        known.setdefault(tuple(words[start:end]), Counter())[int(kind)] += 1
    longest = max(map(len, known), default=0)
    out: list[int] = []
    for sentence in _words(episode, "query"):
        at = 0
        while at < len(sentence):
            sizes = range(min(longest, len(sentence) - at), 0, -1)
            size = next((n for n in sizes if tuple(sentence[at : at + n]) in known), 0)
            if size:
                counts = known[tuple(sentence[at : at + size])]
                out += [min(counts, key=lambda kind: (-counts[kind], kind))] * size
            else:
                out.append(OUTSIDE)
            at += max(size, 1)
    return np.array(out, np.int64)


def _words(episode: Episode, side: str) -> list[list[Word]]:
    """The words of each sentence, as their token ids."""
    out = []
    x, y = np.asarray(getattr(episode, f"{side}_x")), np.asarray(getattr(episode, f"{side}_y"))
    for tokens, tags, length in zip(x, y, np.asarray(getattr(episode, f"{side}_lengths")), strict=True):
        firsts = np.flatnonzero(tags[:length] != IGNORE)
        ends = np.concatenate([firsts[1:], [length - 1]]) if len(firsts) else firsts  # the last token is special
        out.append([tuple(tokens[a : max(b, a + 1)].tolist()) for a, b in zip(firsts, ends, strict=True)])
    return out
