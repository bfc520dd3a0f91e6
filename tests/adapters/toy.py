"""A small backbone for tests of adapters: four blocks of two linear maps, and a head."""

from __future__ import annotations

from typing import Any

from metapeft.backbones.backbone import Adapter
from metapeft.backbones.low_rank import low_rank
from metapeft.mlx import mx


class ToyBackbone:
    """Follows `Backbone`; the number of blocks and the seed of the weights can be chosen.

    Each block is ``h + down(tanh(up(h)))`` with ``up`` 6 → 8 and ``down`` 8 → 6, and ``head`` is 6 → 3.
    """

    def __init__(self, name: str = "toy", blocks: int = 4, seed: int = 0):
        self.name = name
        self.model_type = "toy"
        self.digest = f"digest-{blocks}-{seed}"
        self.layers = tuple(f"blocks.{index}" for index in range(blocks))
        self.adaptable = {
            f"{block}.mlp.{map_}": shape
            for block in self.layers
            for map_, shape in (("up", (6, 8)), ("down", (8, 6)))
        } | {"head": (6, 3)}  # fmt: skip
        self.default_keys = ("mlp.up",)
        self.hidden_size = 3
        keys = mx.random.split(mx.random.key(seed), len(self.adaptable))
        shapes = self.adaptable.items()
        self.weights = {path: mx.random.normal(shape, key=key) for (path, shape), key in zip(shapes, keys, strict=True)}

    def _map(self, path: str, x: mx.array, adapter: Adapter, scale: float) -> mx.array:
        y = x @ self.weights[path]
        return y + low_rank(x, adapter[path], scale) if path in adapter else y

    def _blocks(self, x: mx.array, blocks: tuple[str, ...], adapter: Adapter, scale: float) -> mx.array:
        for block in blocks:
            up = self._map(f"{block}.mlp.up", x, adapter, scale)
            x = x + self._map(f"{block}.mlp.down", mx.tanh(up), adapter, scale)
        return x

    def prefix(self, x: Any, lengths: Any = None, depth: int = 0) -> mx.array:
        return self._blocks(mx.array(x), self.layers[:depth], {}, 1.0)

    def suffix(self, hidden: mx.array, adapter: Adapter | None = None, scale: float = 1.0, depth: int = 0) -> mx.array:
        adapter = adapter or {}
        return self._map("head", self._blocks(hidden, self.layers[depth:], adapter, scale), adapter, scale)

    def pool(self, hidden: mx.array) -> mx.array:
        return hidden


def filled(backbone: ToyBackbone, config, seed: int) -> Adapter:
    """A random adapter whose B is not zero, so that it changes what the backbone says."""
    from metapeft.adapters.lora import random_adapter

    key = mx.random.key(seed)
    return {
        path: {**factors, "lora_b": mx.random.normal(factors["lora_b"].shape, key=mx.random.split(key, index + 1)[-1])}
        for index, (path, factors) in enumerate(random_adapter(backbone, config, key).items())
    }


def same(one: Adapter, other: Adapter) -> bool:
    """Whether two trees agree bit for bit, dtypes included."""
    return one.keys() == other.keys() and all(
        one[path].keys() == other[path].keys()
        and all(
            value.dtype == other[path][key].dtype and mx.array_equal(value, other[path][key]).item()
            for key, value in one[path].items()
        )
        for path in one
    )
