"""What the embedding of a task may look at: the support set, and nothing else of the task."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metapeft.episodes.episode import Sentences
from metapeft.errors import MetapeftError


class EmbeddingError(MetapeftError):
    """A task embedding cannot be fitted or made as asked."""


class SupportSet(NamedTuple):
    """A support set as embeddings see it. Its units are its rows, or in tagging the words of its sentences.

    Attributes:
        features: frozen features of the units, float32 ``(u, d)``.
        labels: of the units, int ``(u,)`` in ``[0, ways)``; of words 0 is outside.
        ways: number of classes.
        x: tokens int32 ``(n, length)``, padded on the right, or points float32 ``(n, input_dim)``.
        lengths: tokens of each row ``(n,)``; None for points.
        domain: what the task is about.
        language: BCP 47 code of its texts.
        label_features: frozen features of the label names or of the task's description, float32 ``(m, d)``; None
            where there are none.
        sentences: what the words belong to; None where rows are the units.
    """

    features: np.ndarray
    labels: np.ndarray
    ways: int
    x: np.ndarray
    lengths: np.ndarray | None
    domain: str = ""
    language: str = "en"
    label_features: np.ndarray | None = None
    sentences: Sentences | None = None


def check(support: SupportSet) -> None:
    """Refuse a support set that no embedding can be made of: NumPy would broadcast, or index from the end, silently.

    Raises:
        EmbeddingError: features are not ``(u, d)`` or not finite, labels are not one a unit, `x` or `lengths` not one a
            row, a label is out of range, or a class has no example (of words outside there may be none).
    """
    features, labels = np.asarray(support.features), np.asarray(support.labels)
    if features.ndim != 2 or not features.size:
        raise EmbeddingError(f"features of a support set must be (n, d) and not empty, got {features.shape}")
    rows = features.shape[:1] if support.sentences is None else np.shape(support.sentences.lengths)
    shapes = {"labels": (labels.shape, features.shape[:1]), "x": (np.shape(support.x)[:1], rows)}
    if support.lengths is not None:
        shapes["lengths"] = (np.shape(support.lengths), rows)
    for name, (shape, wanted) in shapes.items():
        if shape != wanted:
            raise EmbeddingError(f"{name} must have one entry for each of {wanted[0]} features, got {shape}")
    if not np.isfinite(features).all():
        bad = np.count_nonzero(~np.isfinite(features).all(axis=1))
        raise EmbeddingError(f"frozen features of {bad} of {len(features)} support examples are not finite")
    present = np.unique(labels)
    if not np.array_equal(present, np.arange(support.sentences is not None and 0 not in present, support.ways)):
        raise EmbeddingError(
            f"support labels are {present.tolist()}; {support.ways} ways need an example of each of the classes "
            f"0 to {support.ways - 1}"
        )
