"""ModernBERT: an encoder with rotary positions, a norm before each half of a block, and local attention in most blocks.

Warner et al., "Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder" (2024). Rotary positions: Su et al.
2021; gated linear units: Shazeer 2020. Paths are Hugging Face's own parameter names, without the ``model.`` in front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from metapeft.backbones.backbone import Adapter
from metapeft.backbones.bert import ACTIVATIONS, MASKED, layer_norm
from metapeft.backbones.elementwise import softmax
from metapeft.backbones.encoder import Encoder, adapted, part_of
from metapeft.backbones.packing import Places, each_alike
from metapeft.mlx import mx

PARTS = ("attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo")
KINDS = ("full_attention", "sliding_attention")


@dataclass(frozen=True)
class ModernBertConfig:
    """The sizes that matter.

    Attributes:
        windows: how far each block's tokens see to either side; None: to the ends of the text.
        thetas: base of each block's rotary positions.
        norm_bias, attention_bias, mlp_bias: whether those maps have a bias; published models have none.
    """

    vocab_size: int
    hidden_size: int
    num_heads: int
    intermediate_size: int
    max_positions: int
    windows: tuple[int | None, ...]
    thetas: tuple[float, ...]
    activation: str
    norm_eps: float
    norm_bias: bool
    attention_bias: bool
    mlp_bias: bool

    @classmethod
    def from_hugging_face(cls, config: Mapping[str, Any]) -> ModernBertConfig:
        """Read a ``config.json`` as transformers 5 writes it (`rope_parameters`, `layer_types`) or an older one.

        Raises:
            KeyError: a size is missing.
            ValueError: positions or a kind of attention that are not known.
        """
        every = config.get("global_attn_every_n_layers", 3)
        kinds = config.get("layer_types") or [KINDS[i % every > 0] for i in range(config["num_hidden_layers"])]
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown:
            raise ValueError(f"unknown attention '{unknown[0]}' in layer_types. Known: {', '.join(KINDS)}")
        thetas = {kind: _theta(config, kind) for kind in KINDS}
        window = config.get("local_attention", 128) // 2  # the whole window is written down
        return cls(
            vocab_size=config["vocab_size"],
            hidden_size=config["hidden_size"],
            num_heads=config["num_attention_heads"],
            intermediate_size=config["intermediate_size"],
            max_positions=config.get("max_position_embeddings", 8192),
            windows=tuple(window if kind == "sliding_attention" else None for kind in kinds),
            thetas=tuple(thetas[kind] for kind in kinds),
            activation=config.get("hidden_activation", "gelu"),
            norm_eps=config.get("norm_eps", 1e-5),
            norm_bias=config.get("norm_bias", False),
            attention_bias=config.get("attention_bias", False),
            mlp_bias=config.get("mlp_bias", False),
        )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Path and shape of every weight the encoder uses."""
        d = self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {"embeddings.tok_embeddings.weight": (self.vocab_size, d)}
        norms = ["embeddings.norm", "final_norm"]
        for i in range(len(self.windows)):
            norms += [f"layers.{i}.mlp_norm"] + [f"layers.{i}.attn_norm"] * (
                i > 0
            )  # the embeddings have just been normed
            for part, (d_in, d_out) in self.maps().items():
                shapes[f"layers.{i}.{part}.weight"] = (d_out, d_in)
                if self.attention_bias if part.startswith("attn") else self.mlp_bias:
                    shapes[f"layers.{i}.{part}.bias"] = (d_out,)
        for norm in norms:
            shapes[f"{norm}.weight"] = (d,)
            if self.norm_bias:
                shapes[f"{norm}.bias"] = (d,)
        return shapes

    def maps(self) -> dict[str, tuple[int, int]]:
        """``(d_in, d_out)`` of the linear maps of a block."""
        d, wide = self.hidden_size, self.intermediate_size
        return dict(zip(PARTS, ((d, 3 * d), (d, d), (d, 2 * wide), (wide, d)), strict=True))


def _theta(config: Mapping[str, Any], kind: str) -> float:
    own = (config.get("rope_parameters") or {}).get(kind) or {}
    scaling = config.get("rope_scaling") or own
    rope_type = scaling.get("rope_type", "default")
    if rope_type != "default":
        raise ValueError(f"rotary positions of type '{rope_type}' are not supported, only 'default'")
    old = config.get("global_rope_theta", 160000.0)
    if kind == "sliding_attention":
        old = config.get("local_rope_theta", 10000.0) or old  # null: as in the blocks that see everything
    return float(own.get("rope_theta", old))


@dataclass(frozen=True, eq=False)
class ModernBert(Encoder):
    """A frozen encoder; see `Encoder` for its arguments, and `Backbone`."""

    config: ModernBertConfig
    model_type: str = field(init=False, default="modernbert")
    default_keys: tuple[str, ...] = field(init=False, default=("attn.Wqkv",))

    def __post_init__(self) -> None:
        blocks = tuple(_block(self.config, self.weights, i) for i in range(len(self.config.windows)))
        object.__setattr__(self, "_blocks", blocks)

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(block.path for block in self._blocks)

    @property
    def adaptable(self) -> dict[str, tuple[int, int]]:
        return {f"{block}.{part}": size for block in self.layers for part, size in self.config.maps().items()}

    def _longest(self) -> int:
        return self.config.max_positions

    def _embed(self, tokens: mx.array, places: Places) -> mx.array:
        states = self.weights["embeddings.tok_embeddings.weight"][tokens]
        return _norm(self.weights, "embeddings.norm", states, self.config.norm_eps)

    def _after_blocks(self, states: mx.array) -> mx.array:
        return _norm(self.weights, "final_norm", states, self.config.norm_eps)


@dataclass(frozen=True, eq=False)
class _Block:
    """One block, its arrays by what they do."""

    path: str
    num_heads: int
    window: int | None
    theta: float
    norm_eps: float
    activation: Callable[[mx.array], mx.array]
    weights: Mapping[str, mx.array]

    def own(self, adapter: Adapter) -> dict[str, dict[str, mx.array]]:
        """The block's part of an adapter, by what it adapts."""
        return part_of(adapter, self.path, PARTS)

    def project(self, states: mx.array) -> mx.array:
        return self._linear("attn.Wqkv", self._norm("attn_norm", states))

    def run(
        self, states: mx.array, projected: mx.array, places: Places, adapter: Mapping[str, Any], scale: float
    ) -> mx.array:
        def added(part: str, x: mx.array, out: mx.array) -> mx.array:
            return adapted(part, x, out, places, adapter, scale)

        projected = added("attn.Wqkv", self._norm("attn_norm", states), projected)
        mixed = each_alike(self._attend, projected, places)
        states = states + added("attn.Wo", mixed, self._linear("attn.Wo", mixed))
        normed = self._norm("mlp_norm", states)
        value, gate = mx.split(added("mlp.Wi", normed, self._linear("mlp.Wi", normed)), 2, axis=-1)
        wide = self.activation(value) * gate
        return states + added("mlp.Wo", wide, self._linear("mlp.Wo", wide))

    def _attend(self, projected: mx.array, mask: mx.array) -> mx.array:
        """Attention within ``(m, length, 3 d)``."""
        m, length = mask.shape
        q, k, v = projected.reshape(m, length, 3, self.num_heads, -1).transpose(2, 0, 3, 1, 4)
        size = q.shape[-1]
        q, k = (
            mx.fast.rope(part, size, traditional=False, base=self.theta, scale=1.0, offset=0)
            for part in (q * size**-0.5, k)
        )
        seen = mask[:, None, None]
        if self.window is not None and length > self.window + 1:
            at = mx.arange(length)
            seen = seen & (mx.abs(at[:, None] - at) <= self.window)
        mixed = softmax(mx.where(seen, q @ k.swapaxes(-1, -2), MASKED)) @ v
        return mixed.transpose(0, 2, 1, 3).reshape(m, length, -1)

    def _linear(self, part: str, x: mx.array) -> mx.array:
        weight, bias = self.weights[f"{part}.weight"], self.weights.get(f"{part}.bias")
        return x @ weight.T if bias is None else mx.addmm(bias, x, weight.T)

    def _norm(self, part: str, x: mx.array) -> mx.array:
        return _norm(self.weights, part, x, self.norm_eps) if f"{part}.weight" in self.weights else x


def _block(config: ModernBertConfig, weights: Mapping[str, mx.array], index: int) -> _Block:
    path = f"layers.{index}"
    own = {key.removeprefix(f"{path}."): value for key, value in weights.items() if key.startswith(f"{path}.")}
    return _Block(
        path,
        config.num_heads,
        config.windows[index],
        config.thetas[index],
        config.norm_eps,
        ACTIVATIONS[config.activation],
        own,
    )


def _norm(weights: Mapping[str, mx.array], path: str, x: mx.array, eps: float) -> mx.array:
    weight = weights[f"{path}.weight"]
    return layer_norm(x, weight, weights.get(f"{path}.bias", mx.zeros_like(weight)), eps)
