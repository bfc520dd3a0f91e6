"""Which part of a support set is left out when: folds of examples, and of sentences."""

from __future__ import annotations

import numpy as np


def fold_of(labels: np.ndarray, folds: int) -> np.ndarray:
    """A fold for each example ``(n,)``: the examples of a class go round the folds in turn."""
    out = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        out[own] = np.arange(len(own)) % folds
    return out


def sentence_folds(has: np.ndarray, folds: int, order: np.ndarray) -> np.ndarray:
    """A fold for each sentence, so that what is left of any fold has every type.

    Sentences of a type go round the folds, rare types first. Where all sentences of a type lie in one fold, the first
    of them is never left out.

    Args:
        has: which types each sentence has, bool ``(n, types)``.
        folds: how many.
        order: the sentences in the order in which they are dealt, ``(n,)``.

    Returns:
        int64 ``(n,)``, `folds` for a sentence that is never left out.
    """
    fold, sizes = np.full(len(has), -1), np.zeros(folds, np.int64)
    kinds = np.argsort(has.sum(axis=0), kind="stable")
    for own in [*(order[has[order, kind]] for kind in kinds), order]:
        here = np.bincount(fold[own][fold[own] >= 0], minlength=folds)
        for row in own[fold[own] < 0]:
            fold[row] = np.lexsort((sizes, here))[0]
            here[fold[row]] += 1
            sizes[fold[row]] += 1
    for kind in kinds:
        own = order[has[order, kind]]
        if len(own) and (fold[own] == fold[own[0]]).all():
            fold[own[0]] = folds
    return fold if len(has) > 1 else np.full(len(has), folds)
