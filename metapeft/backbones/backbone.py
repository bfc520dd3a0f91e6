"""What every frozen network offers: run the layers below the adapters once, the rest often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from metapeft.mlx import mx

Adapter = dict[str, dict[str, mx.array]]  # {path: {"lora_a": (..., d_in, r), "lora_b": (..., r, d_out)}}


class Backbone(Protocol):
    """A frozen network that takes low-rank adapters as arguments.

    Attributes:
        name: as the user gave it: a Hub id, a folder, or "nano".
        model_type: the architecture, in Hugging Face's words.
        digest: sha256 of architecture and weights; a saved adapter names the backbone it was made for by it.
        layers: path of each block, lowest first, such as ``encoder.layer.0``.
        adaptable: path of each linear map that can carry an adapter, and its ``(d_in, d_out)``, lowest first.
        default_keys: paths relative to a block that are adapted unless others are named (query and value).
        hidden_size: width of the features `pool` gives.
    """

    @property
    def name(self) -> str: ...
    @property
    def model_type(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def layers(self) -> tuple[str, ...]: ...
    @property
    def adaptable(self) -> Mapping[str, tuple[int, int]]: ...
    @property
    def default_keys(self) -> tuple[str, ...]: ...
    @property
    def hidden_size(self) -> int: ...

    def prefix(self, x: Any, lengths: Any = None, depth: int = 0) -> Any:
        """Run what lies below block `depth`.

        Args:
            x: tokens int32 ``(n, length)`` padded on the right, or points float32 ``(n, input_dim)``; numpy or MLX.
            lengths: tokens of each row before padding ``(n,)``; None for points.
            depth: how many blocks to run.

        Returns:
            What `suffix` takes: a tree of arrays (a `NamedTuple`), so that it can be an argument of `mx.compile`.
        """
        ...

    def suffix(self, hidden: Any, adapter: Adapter | None = None, scale: float = 1.0, depth: int = 0) -> Any:
        """Run blocks `depth` and up, with adapters, on what `prefix` gave for the same `depth`.

        Every adapted map gives ``x @ W.T + b + scale * (x @ lora_a @ lora_b)``. Adapters with a leading axis ``t``
        serve ``n / t`` consecutive examples each: ``t = n`` is one adapter an example.
        """
        ...

    def pool(self, hidden: Any) -> mx.array:
        """One feature vector an example, float32 ``(n, hidden_size)``; padding never enters it."""
        ...


def relative(path: str, blocks: Sequence[str]) -> str:
    """A path as seen from its block; unchanged outside the blocks."""
    return next((path.removeprefix(f"{block}.") for block in blocks if path.startswith(f"{block}.")), path)
