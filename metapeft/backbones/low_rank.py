"""The term that a low-rank adapter adds to a frozen linear map."""

from __future__ import annotations

from collections.abc import Mapping

from metapeft.errors import AdapterError
from metapeft.mlx import mx


def low_rank(x: mx.array, factors: Mapping[str, mx.array], scale: float) -> mx.array:
    """Compute ``scale * (x @ lora_a @ lora_b)``, for one adapter or for a batch of mixed tasks.

    Args:
        x: inputs of the map, ``(..., d_in)``; ``(n, ..., d_in)`` when the factors have a leading axis.
        factors: ``lora_a`` ``(d_in, r)`` and ``lora_b`` ``(r, d_out)``. With a leading axis, ``(t, d_in, r)`` and
            ``(t, r, d_out)``, each adapter serves ``n / t`` consecutive examples: ``t = n`` is one adapter an example.
        scale: multiplies the product as it is (mlx-lm's meaning); alpha / r of other libraries.

    Returns:
        ``(..., d_out)`` in the dtype of `x`: adding it never widens the hidden states of a half-precision network.

    Raises:
        AdapterError: the number of adapters does not divide the number of examples.

    References:
        Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021).
    """
    a, b = factors["lora_a"], factors["lora_b"]
    if a.ndim == 2:
        return (scale * (x @ a @ b)).astype(x.dtype)
    tasks, examples = a.shape[0], x.shape[0]
    if examples % tasks:
        raise AdapterError(
            f"{tasks} adapters cannot share {examples} examples evenly\n"
            "  give as many examples to each adapter, or one adapter an example"
        )
    rows = x.reshape(tasks, -1, x.shape[-1])
    return (scale * (rows @ a @ b)).astype(x.dtype).reshape(*x.shape[:-1], b.shape[-1])
