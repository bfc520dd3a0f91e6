"""More than one machine: episodes are shared by rank, meta-gradients averaged.

mlx.launch -n 2 --backend ring -- python -m metapeft.train suite=DIR
"""

from __future__ import annotations

from typing import Any

from metapeft.mlx import mx, nn, utils


def group() -> tuple[int, int]:
    """This process's rank and how many there are; (0, 1) where nothing was launched."""
    world = mx.distributed.init()
    return world.rank(), world.size()


def average(tree: Any) -> Any:
    """Mean of a tree over the ranks."""
    leaves: Any = utils.tree_flatten(tree)
    # As a list: MLX takes a tree apart by names with dots between, and paths of adapted maps have dots of their own.
    means = iter(nn.utils.average_gradients([leaf for _, leaf in leaves]))
    return utils.tree_map(lambda _: next(means), tree)


def agree(value: float) -> float:
    """Rank 0's number, for every rank: decisions such as stopping must be the same everywhere."""
    rank, size = group()
    if size == 1:
        return value
    total = mx.distributed.all_sum(mx.array(value if rank == 0 else 0.0, mx.float32))
    return float(total)
