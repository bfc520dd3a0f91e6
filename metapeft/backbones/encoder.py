"""What the encoders share: the run through their blocks, on packed tokens, with adapters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from metapeft.backbones.backbone import Adapter
from metapeft.backbones.low_rank import low_rank
from metapeft.backbones.packing import Places, gather, mean_over_tokens, pack, places_of, real_tokens, spread
from metapeft.mlx import mx


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

        Raises:
            BackboneError: a text is too long, or a token id is not in the vocabulary.
        """
        tokens, lengths = real_tokens(x, lengths, self.config.vocab_size, self._longest(), self.name)
        return self.prefix_of_packed(mx.array(pack(tokens, lengths)), places_of(lengths), depth)

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

    def pool(self, hidden: Encoded) -> mx.array:
        """Mean over the tokens of each text, float32 ``(n, d)``."""
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
