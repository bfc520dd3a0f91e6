"""What the encoders share: the run through their blocks, on packed tokens, with adapters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from metapeft.backbones import streams
from metapeft.backbones.backbone import Adapter
from metapeft.backbones.low_rank import low_rank
from metapeft.backbones.packing import (
    Places,
    gather,
    mean_over_tokens,
    pack,
    places_of,
    read_by_unit,
    real_tokens,
    round_up,
    shares,
    spread,
    take_units,
)
from metapeft.mlx import mx

LEAST = 256  # tokens of a part that is worth a stream of its own


class Encoded(NamedTuple):
    """What lies between `prefix` and `suffix`.

    Attributes:
        states: hidden states, packed ``(tokens, d)``.
        projected: query, key and value of the next block, side by side ``(tokens, 3 d)``: frozen products of frozen
            states, so they belong below the adapters too; None above the last block.
        places: where the tokens stand.
    """

    states: mx.array
    projected: mx.array | None
    places: Places


@dataclass(frozen=True, eq=False)
class Encoder:
    """The part of a frozen encoder that its architecture does not change; see `Backbone`.

    An architecture makes its blocks (each with `project`, `run` and `own`), and says what the longest text is, how
    tokens are embedded, and what follows the last block. Hidden states are packed: no padding is computed.

    Args:
        config: its sizes.
        weights: the arrays that the config's `shapes` names, float32.
        name: as the user gave it.
        digest: sha256 of config and weights.
    """

    config: Any
    weights: Mapping[str, mx.array] = field(repr=False)
    name: str
    digest: str
    _blocks: tuple[Any, ...] = field(init=False, repr=False)

    @property
    def hidden_size(self) -> int:
        return self.config.hidden_size

    def prefix(self, x: Any, lengths: Any = None, depth: int = 0) -> Encoded:
        """Embed tokens int32 ``(n, length)`` of these lengths ``(n,)`` (None: all of `length`); run `depth` blocks.

        On the CPU a large batch runs in parts side by side, and is evaluated.

        Raises:
            BackboneError: a text is too long, or a token id is not in the vocabulary.
        """
        tokens, lengths = real_tokens(x, lengths, self.config.vocab_size, self._longest(), self.name)

        def run(share: slice) -> Encoded:
            own = lengths[share]
            return self.prefix_of_packed(mx.array(pack(tokens[share], own)), places_of(own), depth)

        cuts = shares(lengths, streams.width(), LEAST) if depth else [slice(None)]
        if len(cuts) == 1:
            return run(cuts[0])
        parts = streams.side_by_side([partial(run, share) for share in cuts])
        return _joined(parts, [int(lengths[share].sum()) for share in cuts], places_of(lengths))

    def prefix_of_packed(self, tokens: mx.array, places: Places, depth: int) -> Encoded:
        """As `prefix`, for tokens that are packed already, int32 ``(tokens,)``."""
        states = self._embed(tokens, places)
        for block in self._blocks[:depth]:
            states = block.run(states, block.project(states), places, {}, 1.0)
        return self.enter(states, places, depth)

    def enter(self, states: mx.array, places: Places, depth: int) -> Encoded:
        """States below block `depth`, with the frozen projections of that block."""
        inside = depth < len(self._blocks)
        return Encoded(states, self._blocks[depth].project(states) if inside else None, places)

    def suffix(self, hidden: Encoded, adapter: Adapter | None = None, scale: float = 1.0, depth: int = 0) -> Encoded:
        """Run blocks `depth` and up with adapters; `states` of the result are the final hidden states."""
        states, projected, places = hidden
        for block in self._blocks[depth:]:
            if projected is None:
                projected = block.project(states)
            states = block.run(states, projected, places, block.own(adapter or {}), scale)
            projected = None
        return Encoded(self._after_blocks(states), None, places)

    def features(self, hidden: Encoded, adapter: Adapter | None = None, scale: float = 1.0, depth: int = 0) -> mx.array:
        """`pool` of `suffix`, where nobody wants a gradient: on the CPU in parts side by side, and evaluated.

        Args:
            hidden: what `prefix` gave for `depth`.
            adapter: without a leading axis, or it runs in one part.
            scale: of the adapter.
            depth: of the lowest block that runs.

        Returns:
            float32 ``(n, d)``.
        """
        lengths = np.array(hidden.places.mask).sum(axis=1)
        cuts = shares(lengths, streams.width(), LEAST)
        if len(cuts) == 1 or any(factors["lora_a"].ndim > 2 for factors in (adapter or {}).values()):
            return self.pool(self.suffix(hidden, adapter, scale, depth))

        def run(share: slice) -> mx.array:
            return self.pool(self.suffix(_part(hidden, lengths, share), adapter, scale, depth))

        mx.eval(hidden, adapter)  # else the parts would wait for whoever makes them
        return mx.concatenate(streams.side_by_side([partial(run, share) for share in cuts]))

    def pool(self, hidden: Encoded) -> mx.array:
        """Mean over the tokens of each text, float32 ``(n, d)``; of texts that are read by unit, each unit's token."""
        if hidden.places.units is not None:
            return take_units(hidden.states, hidden.places.units).astype(mx.float32)
        return mean_over_tokens(hidden.states, hidden.places).astype(mx.float32)

    def tokens(self, hidden: Encoded) -> mx.array:
        """Hidden states in the rectangle ``(n, length, d)``; zero where there is no token."""
        return spread(hidden.states, hidden.places) * hidden.places.mask[..., None]

    def _longest(self) -> int:
        raise NotImplementedError

    def _embed(self, tokens: mx.array, places: Places) -> mx.array:
        raise NotImplementedError

    def _after_blocks(self, states: mx.array) -> mx.array:
        return states


def _joined(parts: Sequence[Encoded], counts: Sequence[int], places: Places) -> Encoded:
    """Parts of a batch, of which so many rows are tokens, as one."""

    def rows(arrays: Sequence[mx.array]) -> mx.array:
        filler = mx.zeros((places.cells.shape[0] - sum(counts), arrays[0].shape[1]), arrays[0].dtype)
        return mx.concatenate([*(array[:count] for array, count in zip(arrays, counts, strict=True)), filler])

    projected = [part.projected for part in parts if part.projected is not None]
    return Encoded(rows([part.states for part in parts]), rows(projected) if projected else None, places)


def _part(hidden: Encoded, lengths: np.ndarray, share: slice) -> Encoded:
    """The share of the texts of a batch, which have these lengths ``(n,)``, as a batch of its own."""
    start, count = int(lengths[: share.start].sum()), int(lengths[share].sum())

    def rows(array: mx.array) -> mx.array:
        return mx.pad(array[start : start + count], [(0, round_up(count) - count), (0, 0)])

    projected = None if hidden.projected is None else rows(hidden.projected)
    places = places_of(lengths[share])
    if hidden.places.units is not None:
        places = read_by_unit(places, np.array(hidden.places.units.mask)[start : start + count, 0] > 0)
    return Encoded(rows(hidden.states), projected, places)


def part_of(adapter: Adapter, block: str, parts: Sequence[str]) -> dict[str, dict[str, mx.array]]:
    """A block's part of an adapter, by what it adapts."""
    found = ((part, adapter.get(f"{block}.{part}")) for part in parts)
    return {part: factors for part, factors in found if factors is not None}


def adapted(
    part: str, x: mx.array, out: mx.array, places: Places, adapter: Mapping[str, Any], scale: float
) -> mx.array:
    """What a linear map gave, `out`, with the low-rank term of its adapter where it has one; all packed."""
    factors = adapter.get(part)
    if factors is None:
        return out
    if factors["lora_a"].ndim == 2:
        return out + low_rank(x, factors, scale)
    return out + gather(low_rank(spread(x, places), factors, scale), places)  # examples must stand apart
