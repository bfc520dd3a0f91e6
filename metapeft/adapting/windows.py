"""Sentences of words as rows of tokens that a network can read: what is too long becomes windows of whole words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metapeft.sources.examples import repaired_bio
from metapeft.tasks.pool import IGNORE, Pool, Ragged
from metapeft.tokenization.tokenizer import LoadedTokenizer, encode_words, windows


class Laid(NamedTuple):
    """Sentences, laid out as windows; the words of all windows, end to end, are those of all sentences.

    Attributes:
        pool: a row for each window, with a tag on the first piece of each word.
        owner: the sentence of each window, ascending, int64 ``(m,)``.
        kept: which words of each sentence the tokenizer can see: others are in no row.
        cut: words so long that their end is not read.
    """

    pool: Pool
    owner: np.ndarray
    kept: list[np.ndarray]
    cut: int

    @property
    def lengths(self) -> np.ndarray:
        """Words of each sentence, int64 ``(n,)``."""
        return np.array([len(own) for own in self.kept], np.int64)

    @property
    def window_lengths(self) -> np.ndarray:
        """Words of each window, int64 ``(m,)``."""
        assert isinstance(self.pool.y, Ragged)
        words = np.concatenate([[0], np.cumsum(self.pool.y.values != IGNORE)])
        return np.diff(words[self.pool.y.offsets])

    @property
    def tags(self) -> np.ndarray:
        """Tag ids of all words, end to end, int32."""
        assert isinstance(self.pool.y, Ragged)
        return self.pool.y.values[self.pool.y.values != IGNORE]


def lay(
    tokenizer: LoadedTokenizer,
    words: Sequence[Sequence[str]],
    tags: Sequence[Sequence[str]],
    types: Sequence[str],
    max_tokens: int,
) -> Laid:
    """Lay out tagged sentences.

    Args:
        tokenizer: of the backbone.
        words: of each sentence.
        tags: BIO, as many; O for all where they are not known.
        types: of entities; a type's place is its number, see `tasks.tags`.
        max_tokens: of a window.
    """
    sees = _seen(tokenizer, words)
    kept = [np.array([i for i, word in enumerate(own) if word in sees], np.int64) for own in words]
    visible = [[own[i] for i in at] for own, at in zip(words, kept, strict=True)]
    # an entity whose first word is not seen begins at the next one
    bio = [repaired_bio([own[i] for i in at])[0] for own, at in zip(tags, kept, strict=True)]
    cuts = [cut if at.size else [] for cut, at in zip(windows(tokenizer, visible, bio, max_tokens), kept, strict=True)]
    ids = {"O": 0} | {
        f"{prefix}-{name}": 2 * i + 1 + (prefix == "I") for i, name in enumerate(types) for prefix in "BI"
    }
    rows = [own[part] for own, cut in zip(visible, cuts, strict=True) for part in cut]
    numbers = [[ids[tag] for tag in own[part]] for own, cut in zip(bio, cuts, strict=True) for part in cut]
    tokens = encode_words(tokenizer, rows, numbers, max_tokens)
    assert tokens.y is not None
    owner = np.repeat(np.arange(len(cuts)), [len(cut) for cut in cuts])
    return Laid(Pool("tagging", tokens.x, tokens.y), owner, kept, tokens.cut)


def _seen(tokenizer: LoadedTokenizer, words: Sequence[Sequence[str]]) -> set[str]:
    """The words that have a token: one of signs that the tokenizer drops, such as a zero-width space, has none."""
    distinct = sorted({word for own in words for word in own})
    tokenizer.backend.no_truncation()  # an earlier call's limit is not asked for here
    pieces = tokenizer.backend.encode_batch(
        [[word] for word in distinct], is_pretokenized=True, add_special_tokens=False
    )
    return {word for word, item in zip(distinct, pieces, strict=True) if len(item)}
