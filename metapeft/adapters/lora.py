"""LoRA adapters as plain trees: which maps carry one, a random one, and whether a given one fits.

An adapter is ``{path: {"lora_a": (d_in, r), "lora_b": (r, d_out)}}``, float; each tensor may have a leading task axis.
Reference: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from metapeft.backbones.backbone import Adapter, Backbone, relative
from metapeft.errors import AdapterError, did_you_mean
from metapeft.mlx import mx

FACTORS = ("lora_a", "lora_b")
_SHOWN = 5  # problems that one message lists; an adapter for another network has one for every path


@dataclass(frozen=True)
class LoraConfig:
    """Which maps carry an adapter, and of what size; fields named as in mlx-lm.

    Attributes:
        rank: r, at least 1.
        scale: multiplies ``x @ lora_a @ lora_b`` as it is; it is not divided by the rank.
        num_layers: blocks to adapt, counted from the last; at least 1. (In mlx-lm 0 means all of them, silently.)
        keys: maps to adapt: paths relative to a block (``attention.self.query``) or from the root (``lm_head``); None
            for the backbone's `default_keys`.

    Raises:
        AdapterError: a value out of range.
    """

    rank: int = 8
    scale: float = 1.0
    num_layers: int = 2
    keys: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise AdapterError(f"rank: {self.rank} is too small; an adapter needs a rank of at least 1")
        if self.num_layers < 1:
            raise AdapterError(
                f"num_layers: {self.num_layers} adapts nothing; say how many of the last blocks, at least 1"
            )
        if not math.isfinite(self.scale):
            raise AdapterError(f"scale: {self.scale} is not a finite number")
        if self.keys is not None and (isinstance(self.keys, str) or not self.keys):
            raise AdapterError(f"keys: {self.keys!r} is not a list of at least one path; leave it out for the defaults")


def targets(backbone: Backbone, config: LoraConfig) -> dict[str, tuple[int, int]]:
    """Find the maps that a configuration adapts: ``{path: (d_in, d_out)}``, lowest first.

    Raises:
        AdapterError: more blocks asked for than there are, or a key that names no map of those blocks.
    """
    if config.num_layers > len(backbone.layers):
        raise AdapterError(f"num_layers: {config.num_layers}, but '{backbone.name}' has {len(backbone.layers)} blocks")
    blocks = backbone.layers[-config.num_layers :]
    wanted: set[str] = set()
    for key in backbone.default_keys if config.keys is None else config.keys:
        found = {path for path in (key, *(f"{block}.{key}" for block in blocks)) if path in backbone.adaptable}
        if not found:
            known = {
                relative(path, backbone.layers) for path in backbone.adaptable if _is_in_reach(path, backbone, blocks)
            }
            raise AdapterError(
                f"keys: '{key}' names no linear map of the last {config.num_layers} blocks of '{backbone.name}'."
                f"{did_you_mean(key, known)}\n  known: {', '.join(sorted(known))}"
            )
        wanted |= found
    return {path: shape for path, shape in backbone.adaptable.items() if path in wanted}


def random_adapter(backbone: Backbone, config: LoraConfig, key: mx.array) -> Adapter:
    """Draw an adapter that changes nothing yet: A from U(-1/sqrt(d_in), 1/sqrt(d_in)), B zero, as mlx-lm starts.

    Args:
        backbone: what it is for.
        config: which maps, which rank.
        key: from `mx.random.key`. The draw for a path depends on the key, the path and its shape alone, so adapting
            one more map leaves the others as they were.

    Returns:
        float32 factors, lowest path first.

    Raises:
        AdapterError: see `targets`.
    """
    adapter = {}
    for path, (d_in, d_out) in targets(backbone, config).items():
        bound = 1 / math.sqrt(d_in)
        adapter[path] = {
            "lora_a": mx.random.uniform(-bound, bound, (d_in, config.rank), key=_fold(key, path)),
            "lora_b": mx.zeros((config.rank, d_out)),
        }
    return adapter


def check_adapter(backbone: Backbone, adapter: Adapter) -> None:
    """Make sure that an adapter fits a backbone.

    Raises:
        AdapterError: names each path in the tree that is unknown, lacks a factor or has one too many, or whose shapes
            or dtypes are wrong: ranks of the two factors differ, or leading axes differ between paths.
    """
    if not adapter:
        raise AdapterError("the adapter is empty: pass None to leave the backbone as it is")
    problems = list(_problems(backbone, adapter))
    if problems:
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        lines = "".join(f"\n  {line}" for line in problems[:_SHOWN] + more)
        raise AdapterError(f"the adapter does not fit the backbone '{backbone.name}' ({backbone.model_type}):{lines}")


def first_layer(backbone: Backbone, adapter: Adapter) -> int:
    """Index of the lowest adapted block: the depth up to which the frozen prefix can run once for all adapters.

    A map outside the blocks (``lm_head``) lies above them all and counts as ``len(backbone.layers)``.
    """
    adapted = (
        depth for depth, block in enumerate(backbone.layers) if any(path.startswith(f"{block}.") for path in adapter)
    )
    return next(adapted, len(backbone.layers))


def stack(adapters: Sequence[Adapter]) -> Adapter:
    """Put adapters of one form into one tree with a leading axis: ``(d_in, r)`` becomes ``(t, d_in, r)``.

    Raises:
        AdapterError: no adapters, paths or shapes that differ, or a leading axis that is there already.
    """
    if not adapters:
        raise AdapterError("no adapters to stack")
    first = form(adapters[0])
    for index, adapter in enumerate(adapters):
        differing = first.items() ^ form(adapter).items()
        if differing:
            path, factor, *_ = min(differing)[0]
            raise AdapterError(f"adapter {index} cannot be stacked on adapter 0: they differ at {path}.{factor}")
    deep = [".".join(name) for name, (shape, _) in first.items() if len(shape) != 2]
    if deep:
        raise AdapterError(f"{deep[0]}: has a leading axis already; stack single adapters")
    return {
        path: {factor: mx.stack([adapter[path][factor] for adapter in adapters]) for factor in FACTORS}
        for path in adapters[0]
    }


def form(adapter: Adapter) -> dict[tuple[str, str], tuple[tuple[int, ...], str]]:
    """What must agree for adapters to be stacked: ``{(path, factor): (shape, dtype)}``."""
    return {
        (path, name): (factor.shape, str(factor.dtype))
        for path, factors in adapter.items()
        for name, factor in factors.items()
    }


def rescaled(adapter: Adapter, scale: float, to: float) -> Adapter:
    """The adapter that does at scale `to` (not 0) what the given one does at `scale`; the same one where they agree."""
    if scale == to:
        return adapter
    ratio = scale / to
    return {path: {**factors, "lora_b": factors["lora_b"] * ratio} for path, factors in adapter.items()}


def count_parameters(adapter: Adapter) -> int:
    """Numbers in all factors of the tree, a leading axis included."""
    return sum(factor.size for factors in adapter.values() for factor in factors.values())


def _problems(backbone: Backbone, adapter: Adapter) -> Iterator[str]:
    leading: dict[str, tuple[int, ...]] = {}
    for path, factors in adapter.items():
        if path not in backbone.adaptable:
            yield f"{path}: no such linear map.{did_you_mean(path, backbone.adaptable)}"
            continue
        if set(factors) != set(FACTORS):
            yield f"{path}: has {sorted(factors)}, expected ['lora_a', 'lora_b']"
            continue
        a, b = factors["lora_a"], factors["lora_b"]
        d_in, d_out = backbone.adaptable[path]
        yield from (
            f"{path}.{name}: dtype {factor.dtype}, expected a float"
            for name, factor in factors.items()
            if not mx.issubdtype(factor.dtype, mx.floating)
        )
        if a.ndim not in (2, 3) or a.shape[-2] != d_in:
            yield f"{path}.lora_a: shape {a.shape}, expected ({d_in}, r) or (tasks, {d_in}, r)"
        elif b.ndim not in (2, 3) or b.shape[-1] != d_out:
            yield f"{path}.lora_b: shape {b.shape}, expected (r, {d_out}) or (tasks, r, {d_out})"
        elif a.shape[-1] != b.shape[-2]:
            yield f"{path}: lora_a has rank {a.shape[-1]} and lora_b {b.shape[-2]}"
        elif a.shape[:-2] != b.shape[:-2]:
            yield f"{path}: lora_a has leading axis {a.shape[:-2]} and lora_b {b.shape[:-2]}"
        else:
            leading[path] = a.shape[:-2]
    first, axis = next(iter(leading.items()), ("", ()))
    yield from (
        f"{path}: leading axis {other}, but {first} has {axis}" for path, other in leading.items() if other != axis
    )


def _is_in_reach(path: str, backbone: Backbone, blocks: Sequence[str]) -> bool:
    """Whether a path lies in one of the blocks, or outside all blocks of the backbone."""
    return any(path.startswith(f"{block}.") for block in blocks) or relative(path, backbone.layers) == path


def _fold(key: mx.array, name: str) -> mx.array:
    """A key of its own for every name: MLX's generator hashes its key, so flipping bits by the name is enough."""
    return key ^ mx.array(np.frombuffer(hashlib.sha256(name.encode()).digest()[:8], "<u4"))
