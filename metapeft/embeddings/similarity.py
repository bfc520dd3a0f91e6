"""What embeddings are good for: the nearest known tasks, whether families cluster, whether likeness predicts gain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metapeft.embeddings.support import EmbeddingError


def nearest(embedding: np.ndarray, library: np.ndarray, names: Sequence[str], k: int) -> list[tuple[str, float]]:
    """The tasks of a library that are most like a new one.

    Args:
        embedding: of the new task, ``(d,)``.
        library: embeddings of known episodes, ``(m, d)``.
        names: whose each is, `m` of them. Where a task has several, its best counts.
        k: how many tasks; fewer come back where the library has fewer.

    Returns:
        Names and cosines, the most alike first, equal ones by name.

    Raises:
        EmbeddingError: the library has another width, or not as many names.
    """
    embedding, library = np.asarray(embedding, np.float64), np.asarray(library, np.float64)
    if library.ndim != 2 or embedding.shape != library.shape[1:] or len(names) != len(library):
        raise EmbeddingError(
            f"an embedding {embedding.shape}, a library {library.shape} and {len(names)} names do not fit together"
        )
    best: dict[str, float] = {}
    for name, cosine in zip(names, (_unit(library) @ _unit(embedding[None])[0]).tolist(), strict=True):
        best[name] = max(cosine, best.get(name, -np.inf))
    return sorted(best.items(), key=lambda item: (-item[1], item[0]))[: max(0, k)]


def cluster_quality(
    embeddings: np.ndarray,
    families: Sequence[str],
    rng: np.random.Generator,
    tasks: Sequence[str] | None = None,
    shuffles: int = 100,
) -> dict[str, float]:
    """Whether embeddings of one family lie together.

    Episodes of one task say nothing about families, they are alike anyway: with `tasks` given, no episode is compared
    with another of its own task. The control deals the families out anew among the tasks, each as often as before.

    Args:
        embeddings: of episodes, ``(m, d)``.
        families: of each, `m` of them.
        rng: draws the shuffled families.
        tasks: of each; None where every episode is a task of its own.
        shuffles: how many controls.

    Returns:
        `silhouette`: mean over episodes of ``(b - a) / max(a, b)``, where a is the mean cosine distance to the own
        family and b to the nearest other one (Rousseeuw, "Silhouettes", 1987). `purity`: share of episodes whose
        nearest neighbour is of their family. Of both `shuffled_…`, the mean over the controls, and `p_…`, the share of
        controls that do as well, the real one counted among them. `episodes`: how many were counted. Those whose
        family has no other task are not: they cannot be right.

    Raises:
        EmbeddingError: lengths differ, a task is in two families, or fewer than two families or no family with two
            tasks are there.
    """
    x = _unit(np.asarray(embeddings, np.float64))
    tasks = [str(i) for i in range(len(x))] if tasks is None else list(tasks)
    if not len(x) == len(families) == len(tasks):
        raise EmbeddingError(f"{len(x)} embeddings, {len(families)} families and {len(tasks)} tasks: not one each")
    task_names, task_of = np.unique(tasks, return_inverse=True)
    family_names, family_of = np.unique(list(families), return_inverse=True)
    family_of_task = np.zeros(len(task_names), np.int64)
    family_of_task[task_of] = family_of
    if (family_of_task[task_of] != family_of).any():
        twice = task_names[task_of[np.argmax(family_of_task[task_of] != family_of)]]
        raise EmbeddingError(f"task '{twice}' is in two families")
    if len(family_names) < 2 or np.bincount(family_of_task, minlength=1).max() < 2:
        raise EmbeddingError("whether families cluster shows from two families on, one of them with two tasks")
    distances = np.maximum(1.0 - x @ x.T, 0.0)
    apart = task_of[:, None] != task_of
    silhouette, purity, counted = _clustering(distances, apart, family_of)
    controls = np.array([
        _clustering(distances, apart, rng.permutation(family_of_task)[task_of])[:2] for _ in range(shuffles)
    ]).reshape(shuffles, 2)  # fmt: skip
    as_good = (controls >= np.array([silhouette, purity]) - 1e-12).sum(axis=0)
    p = (1 + as_good) / (1 + shuffles)
    means = controls.mean(axis=0) if shuffles else np.full(2, np.nan)
    return {
        "silhouette": silhouette,
        "purity": purity,
        "shuffled_silhouette": float(means[0]),
        "shuffled_purity": float(means[1]),
        "p_silhouette": float(p[0]),
        "p_purity": float(p[1]),
        "episodes": counted,
    }


def rank_correlation(
    a: np.ndarray, b: np.ndarray, rng: np.random.Generator, permutations: int = 9999
) -> tuple[float, float]:
    """Spearman's rank correlation, and how likely one as strong is by chance.

    Args:
        a: numbers ``(n,)``.
        b: numbers ``(n,)``.
        rng: draws the permutations.
        permutations: how many.

    Returns:
        rho, with average ranks for equal values; and the two-sided p of the permutation test, the identity counted
        among the permutations.

    Raises:
        EmbeddingError: lengths differ, fewer than three pairs, a number is not finite, or all of one side are equal.

    References:
        Spearman, "The proof and measurement of association between two things" (1904); the test: Phipson & Smyth,
        "Permutation p-values should never be zero" (2010).
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 3:
        raise EmbeddingError(f"a rank correlation needs three or more pairs, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise EmbeddingError("a rank correlation needs finite numbers")
    ranks = [_ranks(a), _ranks(b)]
    x, y = (rank - rank.mean() for rank in ranks)
    scale = np.linalg.norm(x) * np.linalg.norm(y)
    if scale == 0:
        raise EmbeddingError("a rank correlation needs values that differ on both sides")
    rho = float(np.clip(x @ y / scale, -1.0, 1.0))
    shuffled = rng.permuted(np.tile(y, (permutations, 1)), axis=1) @ x / scale
    p = (1 + np.count_nonzero(np.abs(shuffled) >= abs(rho) - 1e-12)) / (1 + permutations)
    return rho, float(p)


def _clustering(distances: np.ndarray, apart: np.ndarray, family: np.ndarray) -> tuple[float, float, int]:
    """Silhouette, purity and episodes that count; only pairs that are `apart` are looked at."""
    member = (family[:, None] == np.arange(family.max() + 1)).astype(np.float64)
    counts = apart @ member
    with np.errstate(invalid="ignore"):
        means = np.where(counts > 0, (distances * apart) @ member / np.maximum(counts, 1.0), np.inf)
    rows = np.arange(len(family))
    inside = means[rows, family]
    means[rows, family] = np.inf
    outside = means.min(axis=1)
    counted = np.isfinite(inside) & np.isfinite(outside)
    a, b = inside[counted], outside[counted]
    scores = (b - a) / np.maximum(np.maximum(a, b), 1e-12)
    neighbour = np.where(apart, distances, np.inf).argmin(axis=1)
    return float(scores.mean()), float((family[neighbour] == family)[counted].mean()), int(counted.sum())


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, equal values sharing the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[place]


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
