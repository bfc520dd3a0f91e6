"""A text as words, with where each one stands: runs of letters and digits, and every other sign for itself."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple


class Words(NamedTuple):
    """A text and its words.

    Attributes:
        text: as it is.
        offsets: start and end of each word in it, in characters; ascending, without overlap.
    """

    text: str
    offsets: list[tuple[int, int]]

    @property
    def words(self) -> list[str]:
        """The words themselves."""
        return [self.text[start:end] for start, end in self.offsets]


def words_of(text: str) -> Words:
    """Cut a text into words.

    A run of letters, digits and the marks on them is a word; so is every other sign that is no white space. Offsets
    count code points, as Python does.
    """
    offsets, at = [], 0
    for sort, run in itertools.groupby(text, _sort):
        end = at + len(list(run))
        if sort == "word":
            offsets.append((at, end))
        elif sort == "sign":
            offsets += [(place, place + 1) for place in range(at, end)]
        at = end
    return Words(text, offsets)


def joined(words: Sequence[str]) -> Words:
    """Words that are cut already, as a text with a space between any two."""
    ends = list(itertools.accumulate(len(word) + 1 for word in words))
    offsets = [(end - 1 - len(word), end - 1) for end, word in zip(ends, words, strict=True)]
    return Words(" ".join(words), offsets)


@cache  # a character is looked up once
def _sort(character: str) -> str:
    if unicodedata.category(character)[0] in "LNM":
        return "word"
    return "space" if character.isspace() else "sign"
