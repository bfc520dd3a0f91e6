"""How the sentences of a tagging task are tagged: how many words are in mentions, and how long mentions are."""

from __future__ import annotations

import numpy as np

from metapeft.embeddings.support import SupportSet
from metapeft.tasks.tags import mentions_of_tags, sentence_of

LENGTHS = (1, 2, 3)
SIZE = 8 + len(LENGTHS)


def mentions(support: SupportSet) -> np.ndarray:
    """Label density and mention lengths, ``(SIZE,)`` float64; zeros for a task whose rows are not tagged.

    1 for a tagging task; the share of words in mentions; mentions a sentence and a type, as ``log(1 + x)``; mean and
    deviation of their lengths in words; the share of sentences without a mention; words a sentence, as ``log(1 + x)``;
    and the shares of mentions of one, two and three words.
    """
    if support.sentences is None:
        return np.zeros(SIZE)
    lengths, tags = support.sentences
    found = mentions_of_tags(tags, lengths)
    size = (found.end - found.start).astype(np.float64)
    owner = sentence_of(found.start, lengths)
    some = len(size) > 0
    return np.array([
        1.0,
        size.sum() / max(len(tags), 1),
        np.log1p(len(size) / len(lengths)),
        np.log1p(len(size) / max(support.ways - 1, 1)),
        size.mean() if some else 0.0,
        size.std() if some else 0.0,
        1.0 - len(np.unique(owner)) / len(lengths),
        np.log1p(len(tags) / len(lengths)),
        *(float(np.mean(size == n)) if some else 0.0 for n in LENGTHS),
    ])  # fmt: skip
