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
from metapeft.backbones.encoder import Encoder, adapted, part_of
from metapeft.backbones.packing import Places, each_alike
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


@dataclass(frozen=True, eq=False)
class Bert(Encoder):
    """A frozen encoder; see `Encoder` for its arguments, and `Backbone`."""

    config: BertConfig
    default_keys: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = NAMES[self.config.model_type]
        put = partial(object.__setattr__, self)
        put("default_keys", (names.query, names.value))
        put("_blocks", tuple(_block(self.config, self.weights, i) for i in range(self.config.num_layers)))

    @property
    def model_type(self) -> str:
        return self.config.model_type

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(NAMES[self.model_type].block.format(i) for i in range(self.config.num_layers))

    @property
    def adaptable(self) -> dict[str, tuple[int, int]]:
        names, d, wide = NAMES[self.model_type], self.hidden_size, self.config.intermediate_size
        inside = dict.fromkeys((names.query, names.key, names.value, names.mixed), (d, d))
        inside |= {names.up: (d, wide), names.down: (wide, d)}
        return {f"{block}.{part}": size for block in self.layers for part, size in inside.items()}

    def _longest(self) -> int:
        return self.config.max_positions - self.config.first_position

    def _embed(self, tokens: mx.array, places: Places) -> mx.array:
        length = places.rows.shape[1]
        w = self.weights
        states = w["embeddings.word_embeddings.weight"][tokens]
        positions = places.cells % length + self.config.first_position
        states = states + w["embeddings.position_embeddings.weight"][positions]
        if self.config.type_vocab_size:
            states = states + w["embeddings.token_type_embeddings.weight"][0]
        return layer_norm(
            states, w["embeddings.LayerNorm.weight"], w["embeddings.LayerNorm.bias"], self.config.norm_eps
        )


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
        return part_of(adapter, self.path, self.names[1:])

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
                [adapted(part, states, out, places, adapter, scale) for part, out in parts], axis=-1
            )
        mixed = each_alike(self._attend, projected, places)
        mixed = adapted(names.mixed, mixed, self._linear(names.mixed, mixed), places, adapter, scale)
        states = self._norm(names.mixed_norm, states + mixed)
        wide = adapted(names.up, states, self._linear(names.up, states), places, adapter, scale)
        wide = self.activation(wide)
        out = adapted(names.down, wide, self._linear(names.down, wide), places, adapter, scale)
        return self._norm(names.norm, states + out)

    def _attend(self, projected: mx.array, mask: mx.array) -> mx.array:
        """Attention within ``(m, length, 3 d)``."""
        m, length = mask.shape
        q, k, v = projected.reshape(m, length, 3, self.num_heads, -1).transpose(2, 0, 3, 1, 4)
        scores = (q * q.shape[-1] ** -0.5) @ k.swapaxes(-1, -2)
        scores = mx.where(mask[:, None, None], scores, MASKED)
        mixed = softmax(scores) @ v
        return mixed.transpose(0, 2, 1, 3).reshape(m, length, -1)

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
