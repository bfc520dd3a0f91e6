"""BERT, RoBERTa and DistilBERT: encoders with absolute positions and a norm after each half of a block.

Devlin et al. 2019, Liu et al. 2019, Sanh et al. 2019. Paths are Hugging Face's own parameter names, without the
``bert.`` or ``roberta.`` in front, so an adapter's path says the same thing in every library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from metapeft.backbones.backbone import Adapter
from metapeft.backbones.elementwise import gelu, on_cpu, softmax
from metapeft.backbones.low_rank import low_rank
from metapeft.backbones.packing import (
    Places,
    each_alike,
    gather,
    mean_over_tokens,
    pack,
    places_of,
    real_tokens,
    spread,
)
from metapeft.mlx import mx, nn

MASKED = -1e4  # added to a masked score: softmax gives an exact zero, and nothing overflows
ACTIVATIONS: dict[str, Callable[[mx.array], mx.array]] = {
    "gelu": gelu,
    "gelu_new": nn.gelu_approx,
    "gelu_pytorch_tanh": nn.gelu_approx,
    "relu": nn.relu,
    "silu": nn.silu,
}


class Names(NamedTuple):
    """What a family calls the parts of a block, relative to the block."""

    block: str
    query: str
    key: str
    value: str
    mixed: str  # the map after attention
    mixed_norm: str
    up: str
    down: str
    norm: str


BERT = Names(
    "encoder.layer.{}",
    *("attention.self.query", "attention.self.key", "attention.self.value"),
    *("attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"),
)
DISTILBERT = Names(
    "transformer.layer.{}",
    *("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    *("attention.out_lin", "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"),
)
NAMES = {"bert": BERT, "roberta": BERT, "xlm-roberta": BERT, "distilbert": DISTILBERT}


@dataclass(frozen=True)
class BertConfig:
    """The sizes that matter, whatever the family calls them."""

    model_type: str
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int
    max_positions: int
    first_position: int  # RoBERTa counts from the padding id + 1
    type_vocab_size: int  # 0 in DistilBERT
    activation: str
    norm_eps: float

    @classmethod
    def from_hugging_face(cls, config: Mapping[str, Any]) -> BertConfig:
        """Read a ``config.json``.

        Raises:
            KeyError: a size is missing.
        """
        kind = config["model_type"]
        distil = kind == "distilbert"
        return cls(
            model_type=kind,
            vocab_size=config["vocab_size"],
            hidden_size=config["dim" if distil else "hidden_size"],
            num_layers=config["n_layers" if distil else "num_hidden_layers"],
            num_heads=config["n_heads" if distil else "num_attention_heads"],
            intermediate_size=config["hidden_dim" if distil else "intermediate_size"],
            max_positions=config["max_position_embeddings"],
            first_position=config.get("pad_token_id", 1) + 1 if NAMES[kind] is BERT and kind != "bert" else 0,
            type_vocab_size=0 if distil else config.get("type_vocab_size", 2),
            activation=config.get("activation" if distil else "hidden_act", "gelu"),
            norm_eps=1e-12 if distil else config.get("layer_norm_eps", 1e-12),
        )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Path and shape of every weight the encoder uses."""
        names, d, wide = NAMES[self.model_type], self.hidden_size, self.intermediate_size
        shapes: dict[str, tuple[int, ...]] = {
            "embeddings.word_embeddings.weight": (self.vocab_size, d),
            "embeddings.position_embeddings.weight": (self.max_positions, d),
            "embeddings.LayerNorm.weight": (d,),
            "embeddings.LayerNorm.bias": (d,),
        }
        if self.type_vocab_size:
            shapes["embeddings.token_type_embeddings.weight"] = (self.type_vocab_size, d)
        for i in range(self.num_layers):
            block = names.block.format(i)
            for part in (names.query, names.key, names.value, names.mixed):
                shapes |= {f"{block}.{part}.weight": (d, d), f"{block}.{part}.bias": (d,)}
            shapes |= {f"{block}.{names.up}.weight": (wide, d), f"{block}.{names.up}.bias": (wide,)}
            shapes |= {f"{block}.{names.down}.weight": (d, wide), f"{block}.{names.down}.bias": (d,)}
            for part in (names.mixed_norm, names.norm):
                shapes |= {f"{block}.{part}.weight": (d,), f"{block}.{part}.bias": (d,)}
        return shapes


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
class Bert:
    """A frozen encoder; see `Backbone`. Hidden states are packed: no padding is computed (see `packing`).

    Args:
        config: its sizes.
        weights: the arrays that `BertConfig.shapes` names, float32.
        name: as the user gave it.
        digest: sha256 of config and weights.
    """

    config: BertConfig
    weights: Mapping[str, mx.array] = field(repr=False)
    name: str
    digest: str
    default_keys: tuple[str, ...] = field(init=False)
    _blocks: tuple[_Block, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = NAMES[self.config.model_type]
        put = partial(object.__setattr__, self)
        put("default_keys", (names.query, names.value))
        put("_blocks", tuple(_block(self.config, self.weights, i) for i in range(self.config.num_layers)))

    @property
    def model_type(self) -> str:
        return self.config.model_type

    @property
    def hidden_size(self) -> int:
        return self.config.hidden_size

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(NAMES[self.model_type].block.format(i) for i in range(self.config.num_layers))

    @property
    def adaptable(self) -> dict[str, tuple[int, int]]:
        names, d, wide = NAMES[self.model_type], self.hidden_size, self.config.intermediate_size
        inside = dict.fromkeys((names.query, names.key, names.value, names.mixed), (d, d))
        inside |= {names.up: (d, wide), names.down: (wide, d)}
        return {f"{block}.{part}": size for block in self.layers for part, size in inside.items()}

    def prefix(self, x: Any, lengths: Any = None, depth: int = 0) -> Encoded:
        """Embed tokens int32 ``(n, length)`` of these lengths ``(n,)`` (None: all of `length`); run `depth` blocks.

        Raises:
            BackboneError: a text is too long, or a token id is not in the vocabulary.
        """
        most = self.config.max_positions - self.config.first_position
        tokens, lengths = real_tokens(x, lengths, self.config.vocab_size, most, self.name)
        return self.prefix_of_packed(mx.array(pack(tokens, lengths)), places_of(lengths), depth)

    def prefix_of_packed(self, tokens: mx.array, places: Places, depth: int) -> Encoded:
        """As `prefix`, for tokens that are packed already, int32 ``(tokens,)``."""
        length = places.rows.shape[1]
        w = self.weights
        states = w["embeddings.word_embeddings.weight"][tokens]
        positions = places.cells % length + self.config.first_position
        states = states + w["embeddings.position_embeddings.weight"][positions]
        if self.config.type_vocab_size:
            states = states + w["embeddings.token_type_embeddings.weight"][0]
        states = layer_norm(
            states, w["embeddings.LayerNorm.weight"], w["embeddings.LayerNorm.bias"], self.config.norm_eps
        )
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
        return Encoded(states, None, places)

    def pool(self, hidden: Encoded) -> mx.array:
        """Mean over the tokens of each text, float32 ``(n, d)``."""
        return mean_over_tokens(hidden.states, hidden.places).astype(mx.float32)

    def tokens(self, hidden: Encoded) -> mx.array:
        """Hidden states in the rectangle ``(n, length, d)``; zero where there is no token."""
        return spread(hidden.states, hidden.places) * hidden.places.mask[..., None]


@dataclass(frozen=True, eq=False)
class _Block:
    """One block, its arrays by what they do."""

    path: str
    names: Names
    num_heads: int
    norm_eps: float
    activation: Callable[[mx.array], mx.array]
    project_weight: mx.array  # query, key and value in one product
    project_bias: mx.array
    weights: Mapping[str, mx.array]

    def own(self, adapter: Adapter) -> dict[str, dict[str, mx.array]]:
        """The block's part of an adapter, by what it adapts."""
        parts = ((part, adapter.get(f"{self.path}.{part}")) for part in self.names[1:])
        return {part: factors for part, factors in parts if factors is not None}

    def project(self, states: mx.array) -> mx.array:
        return mx.addmm(self.project_bias, states, self.project_weight.T)

    def run(
        self, states: mx.array, projected: mx.array, places: Places, adapter: Mapping[str, Any], scale: float
    ) -> mx.array:
        names = self.names
        three = (names.query, names.key, names.value)
        if any(part in adapter for part in three):
            parts = zip(three, mx.split(projected, 3, axis=-1), strict=True)
            projected = mx.concatenate(
                [self._adapted(part, states, out, places, adapter, scale) for part, out in parts], axis=-1
            )
        mixed = each_alike(self._attend, projected, places)
        mixed = self._adapted(names.mixed, mixed, self._linear(names.mixed, mixed), places, adapter, scale)
        states = self._norm(names.mixed_norm, states + mixed)
        wide = self._adapted(names.up, states, self._linear(names.up, states), places, adapter, scale)
        wide = self.activation(wide)
        out = self._adapted(names.down, wide, self._linear(names.down, wide), places, adapter, scale)
        return self._norm(names.norm, states + out)

    def _attend(self, projected: mx.array, mask: mx.array) -> mx.array:
        """Attention within ``(m, length, 3 d)``."""
        m, length = mask.shape
        q, k, v = projected.reshape(m, length, 3, self.num_heads, -1).transpose(2, 0, 3, 1, 4)
        scores = (q * q.shape[-1] ** -0.5) @ k.swapaxes(-1, -2)
        scores = mx.where(mask[:, None, None], scores, MASKED)
        mixed = softmax(scores) @ v
        return mixed.transpose(0, 2, 1, 3).reshape(m, length, -1)

    def _adapted(
        self, part: str, x: mx.array, out: mx.array, places: Places, adapter: Mapping[str, Any], scale: float
    ) -> mx.array:
        factors = adapter.get(part)
        if factors is None:
            return out
        if factors["lora_a"].ndim == 2:
            return out + low_rank(x, factors, scale)
        return out + gather(low_rank(spread(x, places), factors, scale), places)  # examples must stand apart

    def _linear(self, part: str, x: mx.array) -> mx.array:
        return mx.addmm(self.weights[f"{part}.bias"], x, self.weights[f"{part}.weight"].T)

    def _norm(self, part: str, x: mx.array) -> mx.array:
        return layer_norm(x, self.weights[f"{part}.weight"], self.weights[f"{part}.bias"], self.norm_eps)


def _block(config: BertConfig, weights: Mapping[str, mx.array], index: int) -> _Block:
    names = NAMES[config.model_type]
    path = names.block.format(index)
    own = {key.removeprefix(f"{path}."): value for key, value in weights.items() if key.startswith(f"{path}.")}
    three = (names.query, names.key, names.value)
    return _Block(
        path,
        names,
        config.num_heads,
        config.norm_eps,
        ACTIVATIONS[config.activation],
        mx.concatenate([own[f"{part}.weight"] for part in three]),
        mx.concatenate([own[f"{part}.bias"] for part in three]),
        own,
    )


def layer_norm(x: mx.array, weight: mx.array, bias: mx.array, eps: float) -> mx.array:
    """Ba et al. 2016, over the last axis of ``(rows, d)``.

    On the CPU the sums and the spreading of a row's statistics are products with thin matrices: the BLAS does both
    faster than MLX's reductions and broadcasts, whose fused kernels are not vectorized.
    """
    if not on_cpu():
        return mx.fast.layer_norm(x, weight, bias, eps)
    mean_of = mx.full((x.shape[-1], 1), 1 / x.shape[-1])
    mean = x @ mean_of
    variance = mx.maximum((x * x) @ mean_of - mean * mean, 0)  # in a constant row rounding could make it negative
    inverse = mx.rsqrt(variance + eps)
    shift = mx.concatenate([-mean * inverse, mx.ones_like(mean)], axis=1) @ mx.stack([weight, bias])
    return x * (inverse @ weight[None]) + shift
