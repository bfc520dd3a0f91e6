"""The public edge between numpy and MLX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import mlx.core as mx


def to_mlx(array: np.ndarray) -> mx.array:
    """Copy a numpy array into an `mx.array` of the same shape and dtype (MLX is imported here, not with the module)."""
    from metapeft.mlx import mx

    return mx.array(array)
