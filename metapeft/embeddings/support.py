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
        gradient: statistics of the support gradient at the initialization ``(g,)``; None where there are none.
    """

    features: np.ndarray
    labels: np.ndarray
    ways: int
    x: np.ndarray
    lengths: np.ndarray | None
    domain: str = ""
    language: str = "en"
    label_features: np.ndarray | None = None
    gradient: np.ndarray | None = None
