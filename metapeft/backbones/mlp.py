"""A small frozen network for points: linear maps, each followed by GELU."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metapeft.atomic import canonical_json, whole_folder, write_text
from metapeft.backbones.backbone import Adapter
from metapeft.backbones.elementwise import gelu
from metapeft.backbones.low_rank import low_rank
from metapeft.errors import BackboneError
from metapeft.mlx import mx

MODEL_TYPE = "metapeft_mlp"


class Activations(NamedTuple):
    """What lies between `prefix` and `suffix`.

    Attributes:
        states: points or hidden states ``(n, d)``.
    """

    states: mx.array


@dataclass(frozen=True)
class MlpConfig:
    """Blocks map `input_dim` to `hidden_size`, and `hidden_size` to itself from the second on."""

    input_dim: int
    hidden_size: int
    num_layers: int

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> MlpConfig:
        """Read a ``config.json``.

        Raises:
            KeyError: a size is missing.
            ValueError: a size is not a positive integer.
        """
        sizes = {key: config[key] for key in ("input_dim", "hidden_size", "num_layers")}
        for key, size in sizes.items():
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"{key} is {size!r}, expected an integer of at least 1")
        return cls(**sizes)

    def maps(self) -> dict[str, tuple[int, int]]:
        """Path and ``(d_in, d_out)`` of each linear map."""
        d_in = [self.input_dim] + [self.hidden_size] * (self.num_layers - 1)
        return {f"layers.{i}.linear": (size, self.hidden_size) for i, size in enumerate(d_in)}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Path and shape of every weight."""
        shapes: dict[str, tuple[int, ...]] = {}
        for path, (d_in, d_out) in self.maps().items():
            shapes |= {f"{path}.weight": (d_out, d_in), f"{path}.bias": (d_out,)}
        return shapes

    def to_json(self) -> dict[str, Any]:
        """What goes into ``config.json``."""
        return {"model_type": MODEL_TYPE, **vars(self)}


@dataclass(frozen=True, eq=False)
class Mlp:
    """A frozen network for points; see `Backbone`. Tasks of another `input_dim` need another one.

    The activation is GELU. The second derivative of ReLU is zero: second-order meta-gradients would see no curvature.

    Args:
        config: its sizes.
        weights: the arrays that `MlpConfig.shapes` names, float32.
        name: as the user gave it.
        digest: sha256 of config and weights.
    """

    config: MlpConfig
    weights: Mapping[str, mx.array] = field(repr=False)
    name: str
    digest: str
    model_type: str = field(init=False, default=MODEL_TYPE)
    default_keys: tuple[str, ...] = field(init=False, default=("linear",))

    @property
    def hidden_size(self) -> int:
        return self.config.hidden_size

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(f"layers.{i}" for i in range(self.config.num_layers))

    @property
    def adaptable(self) -> dict[str, tuple[int, int]]:
        return self.config.maps()

    def prefix(self, x: Any, lengths: Any = None, depth: int = 0) -> Activations:
        """Run `depth` blocks on points float32 ``(n, input_dim)``.

        Raises:
            BackboneError: the points have another dimension.
        """
        points = mx.array(x).astype(mx.float32)
        if points.ndim != 2 or points.shape[1] != self.config.input_dim:
            raise BackboneError(
                f"backbone '{self.name}': points of shape {points.shape}, expected (n, {self.config.input_dim})"
            )
        return Activations(self._run(points, range(depth), {}, 1.0))

    def suffix(
        self, hidden: Activations, adapter: Adapter | None = None, scale: float = 1.0, depth: int = 0
    ) -> Activations:
        """Run blocks `depth` and up with adapters."""
        return Activations(self._run(hidden.states, range(depth, self.config.num_layers), adapter or {}, scale))

    def pool(self, hidden: Activations) -> mx.array:
        """The states themselves, ``(n, hidden_size)``."""
        return hidden.states

    def _run(self, states: mx.array, blocks: range, adapter: Adapter, scale: float) -> mx.array:
        for i in blocks:
            path = f"layers.{i}.linear"
            out = mx.addmm(self.weights[f"{path}.bias"], states, self.weights[f"{path}.weight"].T)
            if path in adapter:
                out = out + low_rank(states, adapter[path], scale)
            states = gelu(out)
        return states


def make_mlp(input_dim: int, hidden_size: int = 64, num_layers: int = 3, seed: int = 0) -> Mlp:
    """A random network, the same for the same arguments.

    Weights are drawn from N(0, 2 / d_in) (He et al. 2015), biases from U(-1, 1) / sqrt(d_in): with biases of zero, and
    frozen, every unit would bend in a plane through the origin for good.
    """
    config = MlpConfig(input_dim, hidden_size, num_layers)
    rng = np.random.default_rng(seed)
    weights = {}
    for path, (d_in, d_out) in config.maps().items():
        weights[f"{path}.weight"] = mx.array(rng.normal(0, (2 / d_in) ** 0.5, (d_out, d_in)).astype(np.float32))
        weights[f"{path}.bias"] = mx.array((rng.uniform(-1, 1, d_out) * d_in**-0.5).astype(np.float32))
    return Mlp(config, weights, f"mlp-{input_dim}-{hidden_size}-{num_layers}-{seed}", digest_of_arrays(config, weights))


def save_mlp(mlp: Mlp, folder: Path) -> None:
    """Write a new folder with ``config.json`` and ``model.safetensors``, which `load_backbone` opens.

    Raises:
        BackboneError: the folder is there already, and not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise BackboneError(f"{folder} is there already; give a new folder for the network")
    with whole_folder(folder) as staging:
        mx.save_safetensors(str(staging / "model.safetensors"), dict(mlp.weights), {"format": "mlx"})
        write_text(staging / "config.json", canonical_json(mlp.config.to_json()))


def digest_of_arrays(config: MlpConfig, weights: Mapping[str, mx.array]) -> str:
    """sha256 of config and weights: of the arrays, not of a file, so that one never saved has the same."""
    digest = hashlib.sha256(canonical_json(config.to_json()).encode())
    for path in config.shapes():
        digest.update(np.asarray(weights[path], np.float32).tobytes())
    return digest.hexdigest()
