"""pass@k: the chance that at least one of k programs passes (Chen et al. 2021, arXiv:2107.03374, section 2.1)."""

from __future__ import annotations

import math


def pass_at_k(n: int, c: int, k: int) -> float:
    """The unbiased estimate in [0, 1] from `n` samples of one problem, `c` of which passed.

    It is ``1 - C(n - c, k) / C(n, k)``, as a product, so that no large number appears.

    Raises ValueError unless ``0 <= c <= n`` and ``1 <= k <= n``.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, not n={n}, c={c}, k={k}")
    if n - c < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))
