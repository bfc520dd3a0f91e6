"""Task2Vec: which directions of the features a classifier of this task depends on."""

from __future__ import annotations

import numpy as np

from metapeft.embeddings.prototypes import class_moments
from metapeft.embeddings.support import SupportSet

TEMPERATURE = 10.0  # of the cosine head, at its start


def task2vec(support: SupportSet, samples: int = 0, rng: np.random.Generator | None = None) -> np.ndarray:
    """Diagonal Fisher information of a softmax head on the features, and the head's own gradient there.

    The head is the cosine prototype classifier of the support set. Its Fisher information is the mean over examples
    and over labels drawn from the model of the squared gradient of the log-likelihood in the weights (Achille et al.,
    "Task2Vec: task embedding for meta-learning", 2019), summed over classes, so that their order is nothing.

    The mean over labels has a closed form for a softmax: the squared gradient in weight (c, j) is
    ``(1[y = c] - p_c)² f_j²``, whose expectation is ``p_c (1 - p_c) f_j²``. That is the default; it is what drawing
    labels tends to, without the noise.

    Args:
        support: the support set.
        samples: labels to draw for each example; 0 for the exact expectation.
        rng: draws them.

    Returns:
        ``(2 d + 2,)`` float64: the Fisher diagonal brought to unit length; the mean absolute gradient of the support
        loss in the weights, to unit length; and the logarithms of both lengths.
    """
    f = np.asarray(support.features, np.float64)
    f = f / np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-12)
    means, _ = class_moments(f, support.labels, support.ways)
    weights = TEMPERATURE * means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    logits = f @ weights.T
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    if samples:
        assert rng is not None
        drawn = (rng.random((samples, len(f), 1)) > np.cumsum(p, axis=1)[None]).sum(axis=2)
        hits = drawn[..., None] == np.arange(support.ways)
        variance = np.mean((hits - p) ** 2, axis=0).sum(axis=1)
    else:
        variance = (p * (1.0 - p)).sum(axis=1)
    fisher = variance @ (f * f) / len(f)
    error = (np.asarray(support.labels)[:, None] == np.arange(support.ways)) - p
    gradient = np.abs(error.T @ f / len(f)).mean(axis=0)
    lengths = np.linalg.norm(fisher), np.linalg.norm(gradient)
    parts = [v / max(length, 1e-12) for v, length in zip((fisher, gradient), lengths, strict=True)]
    return np.concatenate([*parts, np.log(np.maximum(lengths, 1e-12))])
