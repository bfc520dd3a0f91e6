"""metapeft.meta.folds: whatever is left out, every class stays."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.meta.folds import fold_of, sentence_folds


def test_folds_take_turns_in_every_class() -> None:
    labels = np.array([0, 1, 0, 1, 0, 1, 1, 1])
    fold = fold_of(labels, 3)
    for label in (0, 1):
        counts = np.bincount(fold[labels == label], minlength=3)
        assert counts.max() - counts.min() <= 1


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.data(), st.integers(1, 12), st.integers(1, 4), st.integers(2, 5))
def test_whatever_is_left_out_every_type_stays(data, rows, types, folds) -> None:
    has = np.array(data.draw(st.lists(st.booleans(), min_size=rows * types, max_size=rows * types))).reshape(
        rows, types
    )
    order = np.array(data.draw(st.permutations(range(rows))))
    fold = sentence_folds(has, folds, order)
    assert fold.shape == (rows,)
    assert ((fold >= 0) & (fold <= folds)).all()
    for number in range(folds):
        assert (has[fold != number].any(axis=0) == has.any(axis=0)).all()
    # no more is kept back than one sentence a type
    assert np.count_nonzero(fold == folds) <= max(types, rows == 1)
    sizes = np.bincount(fold, minlength=folds + 1)[:folds]
    assert (sizes.max() <= -(-rows // folds) + types) and (fold == sentence_folds(has, folds, order)).all()


def test_types_in_every_sentence_share_the_folds_evenly() -> None:
    fold = sentence_folds(np.ones((10, 2), bool), 5, np.arange(10)[::-1])
    assert np.bincount(fold).tolist() == [2] * 5
    assert sentence_folds(np.ones((1, 1), bool), 5, np.arange(1)).tolist() == [5]
