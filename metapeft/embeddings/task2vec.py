"""Task2Vec: which directions of the features a classifier of this task depends on."""

from __future__ import annotations

import hashlib

import numpy as np

from metapeft.embeddings.prototypes import class_moments
from metapeft.embeddings.support import SupportSet
from metapeft.tasks.sampling import fold, key_of

TEMPERATURE = 10.0  # of the cosine head, at its start
FLOOR = 1e-3  # of the mean of a profile: below that a coordinate is as good as unused, and its logarithm is noise


def task2vec(support: SupportSet, samples: int = 0, seed: int = 0) -> np.ndarray:
    """Diagonal Fisher information of a softmax head on the frozen features, and the head's own gradient there.

    The head is the cosine prototype classifier of the support set (`heads.cosine_head`). Its Fisher information is the
    mean over examples, and over labels drawn from the model, of the squared gradient of the log-likelihood in the
    weights, summed over classes, so that their order is nothing.

    Achille et al. draw the labels. For a softmax the mean over them has a closed form: the squared gradient in weight
    ``(c, j)`` is ``(1[y = c] - p_c)² f_j²``, whose expectation is ``p_c (1 - p_c) f_j²``. That is the default: drawing
    labels tends to it (a test shows so), and it has no noise.

    Args:
        support: the support set.
        samples: labels to draw for each example; 0 for the exact expectation. The draws are hashes of the examples'
            features and of their classes' members, so they do not hang on any order either.
        seed: another seed, other draws.

    Returns:
        ``(2 d + 2,)`` float64: logarithms of the Fisher diagonal and of the mean absolute gradient of the support loss
        in the weights, each relative to its mean; and the logarithms of these two means.

    References:
        Achille et al., "Task2Vec: task embedding for meta-learning" (2019).
    """
    f = np.asarray(support.features, np.float64)
    f = f / np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-12)
    means, _ = class_moments(f, support.labels, support.ways)
    weights = TEMPERATURE * means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    logits = f @ weights.T
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    own = np.asarray(support.labels)[:, None] == np.arange(support.ways)
    if samples:
        hits = _drawn(support, own, p, samples, seed)
        variance = np.mean((hits - p) ** 2, axis=0).sum(axis=1)
    else:
        variance = (p * (1.0 - p)).sum(axis=1)
    fisher = variance @ (f * f) / len(f)
    gradient = np.abs((own - p).T @ f / len(f)).mean(axis=0)
    averages = np.maximum([fisher.mean(), gradient.mean()], 1e-12)
    return np.concatenate([
        *(np.log(v / average + FLOOR) for v, average in zip((fisher, gradient), averages, strict=True)),
        np.log(averages),
    ])  # fmt: skip


def _drawn(support: SupportSet, own: np.ndarray, p: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Labels drawn from `p` ``(n, ways)``, one-hot, bool ``(samples, n, ways)``.

    By the Gumbel-max trick (Gumbel, 1954): every class of an example has noise of its own, so that the order of the
    classes does not matter, as it would to an inverse distribution function.
    """
    rows = np.ascontiguousarray(support.features, np.float32)
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows]
    examples = np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)
    members = (own * examples[:, None]).sum(axis=0, dtype=np.uint64)  # the sum wraps around, and has no order
    state = fold(key_of("task2vec", seed) ^ fold(examples, 0)[:, None], members)
    words = fold(state, np.arange(samples)[:, None, None])
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    scores = np.log(np.maximum(p, 1e-300)) - np.log(-np.log(uniform))
    return scores.argmax(axis=2)[..., None] == np.arange(p.shape[1])
