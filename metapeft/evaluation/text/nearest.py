"""The baseline that learns nothing: the answer of the most similar support example."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(r"[^\W\d_]+|\d+")


def nearest_targets(support: Sequence[str], targets: Sequence[str], query: Sequence[str]) -> list[str]:
    """For each query text the target of the support text with the highest cosine of TF-IDF, the first of equals.

    Words are runs of letters or of digits, in lower case; names as code has them are divided (`readFile`,
    `read_file`: read, file). A word weighs its count times log((1 + n) / (1 + texts with it)) + 1, from the n support
    texts alone. A query without a word of the support set gets the first target. Prompts of one template share its
    words: give the texts without it.

    Args:
        support: texts, ``(n,)``.
        targets: of the support texts, ``(n,)``.
        query: texts, ``(m,)``.

    Returns:
        ``(m,)``.

    Raises:
        ValueError: there is no support text, or not a target for each.
    """
    if not support or len(support) != len(targets):
        raise ValueError(f"one target a support text, and at least one: got {len(support)} and {len(targets)}")
    near = similarities(support, query)
    return [targets[int(values.argmax())] for values in near]


def similarities(support: Sequence[str], query: Sequence[str]) -> np.ndarray:
    """How near each support text is to each query text: what `nearest_targets` goes by.

    Args:
        support: texts, ``(n,)``, at least one.
        query: texts, ``(m,)``.

    Returns:
        float64 ``(m, n)``, each row times the length of its query's vector: within a row, order and ties
        are those of cosines.
    """
    counts = [Counter(_words(text)) for text in support]
    texts_with = Counter(word for count in counts for word in count)
    columns = {word: index for index, word in enumerate(texts_with)}
    weights = {word: math.log((1 + len(support)) / (1 + own)) + 1 for word, own in texts_with.items()}

    def vector(count: Counter[str]) -> np.ndarray:
        values = np.zeros(len(columns))
        for word in count.keys() & columns.keys():
            values[columns[word]] = count[word] * weights[word]
        return values

    table = np.stack([vector(count) for count in counts])
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    # rounded: texts that are equal but for their length must tie
    return np.array([np.round(table @ vector(Counter(_words(text))), 9) for text in query]).reshape(-1, len(support))


def _words(text: str) -> list[str]:
    return _WORD.findall(_CAMEL.sub(" ", text).lower())
