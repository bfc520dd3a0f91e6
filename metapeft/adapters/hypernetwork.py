"""A hypernetwork: task embedding ⊕ layer ⊕ module embedding → the adapter that gradient steps start from.

A learned base A₀, B₀ is the same for every task (alone, it is the static learned initialization). The generated term is
small and starts at exactly nothing, so that before the first outer step every task starts at the base: with few
hundred training tasks a small output is the safer prior. Generated adapters as starting points of further training:
Phang et al., "HyperTuning" (2023); layer and module embeddings: Karimi Mahabadi et al., "Parameter-efficient multi-task
fine-tuning via shared hypernetworks" (2021); a term between learned factors: Zhyper (2025); output scales that start at
0: Charakorn et al., "Doc-to-LoRA" (2026).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from metapeft.adapters.lora import LoraConfig, targets
from metapeft.backbones.backbone import Adapter, Backbone, relative
from metapeft.errors import AdapterError, did_you_mean
from metapeft.mlx import mx, utils

Tree = dict[str, Any]
Term = Literal["diag", "square", "full"]
TERMS: tuple[Term, ...] = get_args(Term)


@dataclass(frozen=True)
class Place:
    """One adapted map: where it stands and its size."""

    path: str
    layer: int
    module: int
    d_in: int
    d_out: int


@dataclass(frozen=True)
class Hypernetwork:
    """The shape of a hypernetwork; its parameters are a plain tree.

    Attributes:
        places: the adapted maps, lowest first.
        rank: r of the adapter.
        dims: of the task embedding.
        term: what is generated. ``diag``: A₀ (I + diag(z)) B₀, r numbers a map. ``square``: A₀ (I + Z) B₀, r² numbers.
            ``full``: (A₀ + s_a ΔA) (B₀ + s_b ΔB), a residual a rank, whose scales s start at 0.
        width: of the code that the embeddings are turned into.
        rate_steps: gradient steps whose learning rates are conditioned on the task too; 0 for none.
        weight: of the generated term; between 0 (the base) and 1 as in training. What lies half-way between two
            trained networks is often better off their own tasks than either (WiSE-FT: Wortsman et al., 2022).
    """

    places: tuple[Place, ...]
    rank: int
    dims: int
    term: Term = "full"
    width: int = 64
    rate_steps: int = 0
    weight: float = 1.0

    def init(self, key: mx.array) -> Tree:
        """Draw parameters, float32; the term they generate is exactly nothing.

        Args:
            key: from `mx.random.key`.
        """
        layers, modules = (1 + max(getattr(p, name) for p in self.places) for name in ("layer", "module"))
        keys = iter(mx.random.split(key, 4 + 2 * len(self.places)))

        def normal(*shape: int, spread: float = 1.0) -> mx.array:
            return spread * mx.random.normal(shape, key=next(keys))

        params: Tree = {
            # Embeddings have unit length, so rows of spread 1 give the code's entries a spread of 1.
            "task": {"weight": normal(self.dims, self.width), "bias": mx.zeros(self.width)},
            "code": {"weight": normal(self.width, self.width, spread=self.width**-0.5), "bias": mx.zeros(self.width)},
            "layer": normal(layers, self.width, spread=0.3),
            "module": normal(modules, self.width, spread=0.3),
        }
        if self.term == "full":
            params["residual"], params["gain"] = {}, {}
            for name, size in self._sizes():
                params["residual"][name] = normal(self.width, self.rank * size, spread=(self.width * size) ** -0.5)
            for place in self.places:
                params["gain"][place.path] = {"a": mx.zeros(self.rank), "b": mx.zeros(self.rank)}
        else:
            numbers = self.rank if self.term == "diag" else self.rank**2
            params["between"] = mx.zeros((self.width, numbers))
        if self.rate_steps:
            params["rates"] = mx.zeros((self.width, self.rate_steps))
        return params

    def adapter(self, params: Tree, base: Adapter, embedding: mx.array) -> Adapter:
        """Generate the adapter of a task, differentiable in everything.

        Args:
            params: what `init` gives, or its learned successor.
            base: A₀ and B₀, an adapter without a leading axis.
            embedding: of the task, float32 ``(dims,)``.

        Returns:
            An adapter of the base's form.
        """
        codes = self._codes(params, embedding)
        if self.term == "full":
            return {p.path: self._residual(params, base[p.path], codes[i], p) for i, p in enumerate(self.places)}
        between = self.weight * (codes @ params["between"])
        out = {}
        for i, place in enumerate(self.places):
            a, b = base[place.path]["lora_a"], base[place.path]["lora_b"]
            z = between[i]
            moved = z[:, None] * b if self.term == "diag" else z.reshape(self.rank, self.rank) @ b
            out[place.path] = {"lora_a": a, "lora_b": b + moved}
        return out

    def log_rates(self, params: Tree, log_rates: Tree, embedding: mx.array) -> Tree:
        """Logarithms of the task's learning rates: the learned ones, each map's and step's moved by a generated number.

        Args:
            params: as in `adapter`.
            log_rates: ``{"adapter": {path: {factor: (steps,)}}, "head": …}``, of which the adapter's are moved.
            embedding: as in `adapter`.
        """
        if not self.rate_steps:
            return log_rates
        moves = self._codes(params, embedding) @ params["rates"]
        adapter = {
            place.path: {name: rate + moves[i] for name, rate in log_rates["adapter"][place.path].items()}
            for i, place in enumerate(self.places)
        }
        return {**log_rates, "adapter": adapter}

    def _codes(self, params: Tree, embedding: mx.array) -> mx.array:
        """One code a place, ``(places, width)``."""
        layers = mx.array([place.layer for place in self.places])
        modules = mx.array([place.module for place in self.places])
        task = mx.tanh(embedding @ params["task"]["weight"] + params["task"]["bias"])
        code = task @ params["code"]["weight"] + params["code"]["bias"]
        return mx.tanh(code + params["layer"][layers] + params["module"][modules])

    def _residual(self, params: Tree, base: dict[str, mx.array], code: mx.array, place: Place) -> dict[str, mx.array]:
        gain, residual = params["gain"][place.path], params["residual"]
        delta_a = (code @ residual[f"a{place.d_in}"]).reshape(place.d_in, self.rank)
        delta_b = (code @ residual[f"b{place.d_out}"]).reshape(self.rank, place.d_out)
        return {
            "lora_a": base["lora_a"] + delta_a * (self.weight * gain["a"]),
            "lora_b": base["lora_b"] + delta_b * (self.weight * gain["b"])[:, None],
        }

    def _sizes(self) -> list[tuple[str, int]]:
        """Maps of one width share a residual head: name and width of each."""
        ins, outs = sorted({p.d_in for p in self.places}), sorted({p.d_out for p in self.places})
        return [(f"a{size}", size) for size in ins] + [(f"b{size}", size) for size in outs]


def hypernetwork_for(
    backbone: Backbone,
    lora: LoraConfig,
    dims: int,
    term: Term = "full",
    width: int = 64,
    rate_steps: int = 0,
    weight: float = 1.0,
) -> Hypernetwork:
    """The hypernetwork of the maps that a LoRA configuration adapts.

    Raises:
        AdapterError: an unknown term, a size below 1, or see `adapters.lora.targets`.
    """
    if term not in TERMS:
        raise AdapterError(f"no generated term '{term}'.{did_you_mean(term, TERMS)} Known: {', '.join(TERMS)}")
    if min(dims, width) < 1 or rate_steps < 0:
        raise AdapterError(f"dims and width must be at least 1 and rate_steps 0, got {dims}, {width}, {rate_steps}")
    found = targets(backbone, lora)
    modules = list(dict.fromkeys(relative(path, backbone.layers) for path in found))
    layers = [next((i for i, b in enumerate(backbone.layers) if path.startswith(f"{b}.")), -1) for path in found]
    levels = sorted(set(layers))  # only adapted blocks have an embedding; -1 is a map outside the blocks
    places = tuple(
        Place(path, levels.index(layer), modules.index(relative(path, backbone.layers)), *shape)
        for (path, shape), layer in zip(found.items(), layers, strict=True)
    )
    return Hypernetwork(places, lora.rank, dims, term, width, rate_steps, weight)


def count_numbers(tree: Any) -> int:
    """Numbers in all arrays of a tree."""
    leaves: Any = utils.tree_flatten(tree)
    return sum(math.prod(leaf.shape) for _, leaf in leaves)
