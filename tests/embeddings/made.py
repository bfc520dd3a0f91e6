"""Support sets in memory, for tests of embeddings."""

from __future__ import annotations

import numpy as np

from metapeft.embeddings.support import SupportSet


def made(
    seed: int = 0,
    ways: int = 3,
    shots: int | tuple[int, ...] = 4,
    width: int = 12,
    centre: np.ndarray | float = 0.0,
    points: bool = False,
    **other,
) -> SupportSet:
    """Random features around `centre`, texts (or points) beside them; examples in random order."""
    rng = np.random.default_rng(seed)
    counts = (shots,) * ways if isinstance(shots, int) else shots
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)
    features = centre + rng.normal(size=(len(counts), width))[labels] + 0.7 * rng.normal(size=(len(labels), width))
    lengths = rng.integers(2, 9, len(labels)).astype(np.int32)
    x = np.where(np.arange(8) < lengths[:, None], rng.integers(1, 50, (len(labels), 8)), 0).astype(np.int32)
    if points:
        lengths, x = None, rng.normal(size=(len(labels), 5)).astype(np.float32)
    return SupportSet(features.astype(np.float32), labels, len(counts), x, lengths, **other)


def reordered(support: SupportSet, seed: int) -> SupportSet:
    """The same support set with its examples in another order and its classes numbered anew."""
    rng = np.random.default_rng(seed)
    order, names = rng.permutation(len(support.labels)), rng.permutation(support.ways).astype(np.int32)
    lengths = None if support.lengths is None else support.lengths[order]
    said = None if support.label_features is None else rng.permutation(support.label_features)
    return support._replace(
        features=support.features[order],
        labels=names[support.labels][order],
        x=support.x[order],
        lengths=lengths,
        label_features=said,
    )
