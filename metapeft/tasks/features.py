"""Handcrafted features of a task: plain statistics, the same keys for every kind of task.

They look at the support pool only, and do not depend on the order of the examples or on the numbering of the classes
(up to rounding). Meta-features of this sort: Rivolli et al., "Meta-features for meta-learning" (2022).
"""

from __future__ import annotations

import math

import numpy as np

from metapeft.tasks.pool import Pool, Ragged
from metapeft.tasks.sampling import fold, key_of

HASHED = 64  # columns of the hashed bag of tokens that stands in for the coordinates of a text
DOMAIN_DIMS, LANGUAGE_DIMS = 8, 4
LOGARITHMIC = {"examples", "input_dim", "classes", "imbalance_ratio", "signal_to_noise", "vocabulary"} | {
    f"length_{statistic}" for statistic in ("mean", "std", "p50", "p95", "max")
}
NUMERIC = (
    "examples",
    "input_dim",
    "classes",
    "imbalance_entropy",
    "imbalance_ratio",
    "feature_mean",
    "feature_spread",
    "sparsity",
    "mean_abs_correlation",
    "top_eigenvalue_share",
    "signal_to_noise",
    "vocabulary",
    "type_token_ratio",
    "length_mean",
    "length_std",
    "length_p50",
    "length_p95",
    "length_max",
)
VECTOR_DIMS = len(NUMERIC) + DOMAIN_DIMS + LANGUAGE_DIMS


def task_features(pool: Pool, domain: str, language: str = "en") -> dict[str, float | str]:
    """Compute the features of a task.

    Args:
        pool: its support pool.
        domain: what it is about.
        language: BCP 47 code of its texts; points have none.

    Returns:
        `domain` and `language` (``"none"`` for points) as text, and every name of `NUMERIC` as a finite float. What a
        kind does not have is 0: points have no vocabulary and no lengths, texts no coordinates (`input_dim`), and
        only tasks with one label a row have a signal-to-noise ratio. `classes` and the imbalance count classes (or
        tags) that occur; a task with none counts as balanced.
    """
    text = isinstance(pool.x, Ragged)
    labels = pool.y if isinstance(pool.y, np.ndarray) else None
    matrix = hashed_tokens(pool.x) if isinstance(pool.x, Ragged) else np.asarray(pool.x, np.float64)
    numbers = {
        "examples": float(len(pool)),
        "input_dim": 0.0 if text else float(matrix.shape[1]),
        **_balance(pool),
        **_moments(matrix),
        "signal_to_noise": _signal_to_noise(matrix, labels),
        **(_text(pool.x) if isinstance(pool.x, Ragged) else {}),
    }
    return {
        "domain": domain,
        "language": language if text else "none",
        **{name: numbers.get(name, 0.0) for name in NUMERIC},
    }


def hashed_tokens(tokens: Ragged) -> np.ndarray:
    """Share of a row's tokens that falls in each of `HASHED` buckets, ``(n, HASHED)`` float64.

    The hashing trick: Weinberger et al., "Feature hashing for large scale multitask learning" (2009), without signs.
    """
    lengths = tokens.lengths().astype(np.int64)
    values = _values(tokens)
    row = np.repeat(np.arange(len(tokens)), lengths)
    bucket = (fold(key_of("hashed_tokens"), values) >> np.uint64(58)).astype(np.int64)
    counts = np.bincount(row * HASHED + bucket, minlength=len(tokens) * HASHED).reshape(-1, HASHED)
    return counts / np.maximum(lengths, 1)[:, None]


def feature_vector(features: dict[str, float | str]) -> np.ndarray:
    """The features as numbers in a fixed order, ``(VECTOR_DIMS,)`` float64.

    First `NUMERIC` (counts and ratios as ``log(1 + x)``), then domain and language, each word hashed to signs and
    averaged, so that names that share words tend to lie closer.
    """
    numbers = [float(features[name]) for name in NUMERIC]
    scaled = [math.log1p(x) if name in LOGARITHMIC else x for name, x in zip(NUMERIC, numbers, strict=True)]
    words = [_signs(str(features["domain"]), DOMAIN_DIMS), _signs(str(features["language"]), LANGUAGE_DIMS)]
    return np.concatenate([scaled, *words])


def _signs(name: str, dims: int) -> np.ndarray:
    """Mean over the words of a name of a hashed vector of signs, ``(dims,)`` float64."""
    words = name.lower().replace("_", " ").replace("-", " ").split() or [""]
    bits = np.stack([(key_of("word", word) >> np.arange(dims, dtype=np.uint64)) & np.uint64(1) for word in words])
    return (2.0 * bits.astype(np.float64) - 1.0).mean(axis=0)


def _values(ragged: Ragged) -> np.ndarray:
    """All values that belong to a row (a memory-mapped column may hold more on either side)."""
    return ragged.values[int(ragged.offsets[0]) : int(ragged.offsets[-1])]


def _balance(pool: Pool) -> dict[str, float]:
    ids = np.empty(0, np.int64)
    if isinstance(pool.y, np.ndarray):
        ids = pool.y
    elif pool.kind == "tagging":
        ids = _values(pool.y)
        ids = ids[ids >= 0]
    counts = np.unique(ids, return_counts=True)[1]
    if len(counts) < 2:
        return {"classes": float(len(counts)), "imbalance_entropy": 1.0, "imbalance_ratio": 1.0}
    share = np.sort(counts) / counts.sum()
    entropy = float(-(share * np.log(share)).sum() / math.log(len(counts)))
    ratio = float(counts.max() / counts.min())
    return {"classes": float(len(counts)), "imbalance_entropy": entropy, "imbalance_ratio": ratio}


def _moments(matrix: np.ndarray) -> dict[str, float]:
    if matrix.size == 0:
        return {}
    spread = matrix.std(axis=0)
    moving = matrix[:, spread > 1e-12]
    columns = moving.shape[1]
    correlation, top = 0.0, 1.0
    if columns > 1:
        centred = moving - moving.mean(axis=0)
        covariance = centred.T @ centred / len(moving)
        scale = np.sqrt(np.diag(covariance))
        correlations = np.abs(covariance / np.outer(scale, scale))
        correlation = float((correlations.sum() - np.trace(correlations)) / (columns * (columns - 1)))
        # The larger eigenvalues of X'X and XX' are the same: a support set has fewer rows than columns.
        smaller = covariance if len(moving) >= columns else centred @ centred.T / len(moving)
        top = float(np.linalg.eigvalsh(smaller)[-1] / np.trace(smaller))
    return {
        "feature_mean": float(matrix.mean()),
        "feature_spread": float(spread.mean()),
        "sparsity": float((matrix == 0).mean()),
        "mean_abs_correlation": correlation,
        "top_eigenvalue_share": top,
    }


def _signal_to_noise(matrix: np.ndarray, labels: np.ndarray | None) -> float:
    """Variance between the class means over variance within the classes, summed over columns (Fisher, 1936)."""
    if labels is None or len(labels) == 0:
        return 0.0
    ids, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    member = np.zeros((len(ids), len(labels)))
    member[place, np.arange(len(labels))] = 1.0
    means = member @ matrix / counts[:, None]
    between = float((counts[:, None] * (means - matrix.mean(axis=0)) ** 2).sum())
    within = float(((matrix - means[place]) ** 2).sum())
    return min(between / within, 1e6) if within > 0 else (1e6 if between > 0 else 0.0)


def _text(tokens: Ragged) -> dict[str, float]:
    lengths, values = tokens.lengths(), _values(tokens)
    if len(lengths) == 0 or len(values) == 0:
        return {}
    vocabulary = len(np.unique(values))
    return {
        "vocabulary": float(vocabulary),
        "type_token_ratio": vocabulary / len(values),
        "length_mean": float(lengths.mean()),
        "length_std": float(lengths.std()),
        "length_p50": float(np.percentile(lengths, 50)),
        "length_p95": float(np.percentile(lengths, 95)),
        "length_max": float(lengths.max()),
    }
