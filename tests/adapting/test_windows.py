"""metapeft.adapting.windows: every word that can be seen is read once, in order, with its tag."""

from __future__ import annotations

import numpy as np

from metapeft.adapting.windows import lay
from metapeft.tasks.pool import IGNORE
from metapeft.tokenization.tokenizer import load_tokenizer

TOKENIZER = load_tokenizer()


def test_a_long_sentence_is_read_in_windows_and_nothing_is_cut() -> None:
    words = [["one", "two"], [f"number{i % 7}" for i in range(500)], ["three"]]
    tags = [["B-x", "I-x"], ["B-y", *["I-y"] * 2, *["O"] * 497], ["O"]]
    laid = lay(TOKENIZER, words, tags, ["x", "y"], 16)
    assert laid.lengths.tolist() == [2, 500, 1]
    assert laid.window_lengths.sum() == 503
    assert laid.pool.x.lengths().max() <= 16
    assert laid.cut == 0
    assert laid.owner.tolist() == sorted(laid.owner)
    assert [laid.window_lengths[laid.owner == i].sum() for i in range(3)] == [2, 500, 1]
    assert laid.tags.tolist() == [1, 2, 3, 4, 4, *[0] * 497, 0]


def test_words_without_a_token_are_passed_over_and_entities_begin_behind_them() -> None:
    # the tokenizer drops a zero-width space
    laid = lay(
        TOKENIZER, [["\u200b", "a", "b"], ["\u200b"], ["c", ""]], [["B-x", "I-x", "O"], ["O"], ["O", "O"]], ["x"], 16
    )
    assert [own.tolist() for own in laid.kept] == [[1, 2], [], [0]]
    assert laid.tags.tolist() == [1, 0, 0]
    assert laid.owner.tolist() == [0, 2]


def test_of_a_word_that_fills_a_window_the_end_is_not_read_and_that_is_counted() -> None:
    laid = lay(TOKENIZER, [["a", "xq" * 40, "b"]], [["O"] * 3], ["x"], 16)
    assert laid.lengths.tolist() == [3]
    assert laid.cut == 1
    assert (laid.pool.y.values != IGNORE).sum() == 3


def test_nothing_gives_nothing() -> None:
    laid = lay(TOKENIZER, [], [], ["x"], 16)
    assert len(laid.pool) == len(laid.tags) == len(laid.lengths) == 0
    assert laid.window_lengths.dtype == np.int64
