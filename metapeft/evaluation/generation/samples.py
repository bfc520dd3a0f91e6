"""Several outputs of one row, as they come from sampling."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from metapeft.execution.pass_at_k import pass_at_k


def pass_at_k_by_problem(passed: np.ndarray, problems: Sequence[Hashable], k: int) -> np.ndarray:
    """pass@k of each problem; their mean is that of the task.

    Args:
        passed: 1 where a sample passed, else 0, ``(n,)``: `scoring.score` of references repeated as often as they were
            sampled.
        problems: which problem each sample is of, ``(n,)``, in any order.
        k: how many tries.

    Returns:
        float64 ``(problems,)``, in the order in which problems first appear.

    Raises:
        ValueError: the lengths differ, a figure is neither 0 nor 1, or a problem has fewer than k samples.
    """
    if len(passed) != len(problems) or not np.isin(passed, (0, 1)).all():
        raise ValueError(f"pass@k needs a 0 or a 1 a sample: got {len(passed)} figures of {len(problems)} samples")
    tries: dict[Hashable, list[bool]] = {}
    for problem, good in zip(problems, passed, strict=True):
        tries.setdefault(problem, []).append(bool(good))
    return np.array([pass_at_k(len(each), sum(each), k) for each in tries.values()], float)
