"""What the task says of itself: its label names or description, as the backbone reads them."""

from __future__ import annotations

import numpy as np

from metapeft.embeddings.support import SupportSet


def text(support: SupportSet) -> np.ndarray:
    """Mean of the unit features of the texts, to unit length, ``(d,)`` float64; zeros where the task says nothing."""
    if support.label_features is None:
        return np.zeros(np.shape(support.features)[1])
    x = np.asarray(support.label_features, np.float64)
    mean = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)).mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)
