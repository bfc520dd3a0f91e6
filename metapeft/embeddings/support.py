"""What the embedding of a task may look at: the support set, and nothing else of the task."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metapeft.errors import MetapeftError


class EmbeddingError(MetapeftError):
    """A task embedding cannot be fitted or made as asked."""


class SupportSet(NamedTuple):
    """A support set as embeddings see it.

    Attributes:
        features: frozen features of the backbone, float32 ``(n, d)``.
        labels: int ``(n,)`` in ``[0, ways)``.
        ways: number of classes.
        x: tokens int32 ``(n, length)``, padded on the right, or points float32 ``(n, input_dim)``.
        lengths: tokens of each row ``(n,)``; None for points.
        domain: what the task is about.
        language: BCP 47 code of its texts.
        label_features: frozen features of the label names or of the task's description, float32 ``(m, d)``; None
            where there are none.
    """

    features: np.ndarray
    labels: np.ndarray
    ways: int
    x: np.ndarray
    lengths: np.ndarray | None
    domain: str = ""
    language: str = "en"
    label_features: np.ndarray | None = None


def check(support: SupportSet) -> None:
    """Refuse a support set that no embedding can be made of: NumPy would broadcast, or index from the end, silently.

    Raises:
        EmbeddingError: features are not ``(n, d)`` or not finite, `x`, `lengths` or labels are not one a row, a label
            is out of range, or a class has no example.
    """
    features, labels = np.asarray(support.features), np.asarray(support.labels)
    if features.ndim != 2 or not features.size:
        raise EmbeddingError(f"features of a support set must be (n, d) and not empty, got {features.shape}")
    rows = {"labels": labels.shape, "x": np.shape(support.x)[:1]}
    if support.lengths is not None:
        rows["lengths"] = np.shape(support.lengths)
    for name, shape in rows.items():
        if shape != features.shape[:1]:
            raise EmbeddingError(f"{name} must have one entry for each of {len(features)} features, got {shape}")
    if not np.isfinite(features).all():
        bad = np.count_nonzero(~np.isfinite(features).all(axis=1))
        raise EmbeddingError(f"frozen features of {bad} of {len(features)} support examples are not finite")
    present = np.unique(labels)
    if not np.array_equal(present, np.arange(support.ways)):
        raise EmbeddingError(
            f"support labels are {present.tolist()}; {support.ways} ways need an example of each of the classes "
            f"0 to {support.ways - 1}"
        )
