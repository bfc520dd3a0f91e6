"""Labelled points in the plane or in a space: small tasks whose rule is known exactly.

A *task* is fixed by (generator, parameters, seed): its boundary, rotation, centre and relevant directions come from
a hash of these three. The pool selects the stream of samples and nothing else, so support and query hold different
points of one task. Another `draw` (or seed) is another task of the same kind.

Every pattern is drawn at a size of its own (roughly [-1, 1]) in a plane, the plane is placed in the space, and the
other directions hold nuisance: Gaussian, centred, without information. At `noise` 0 the generating rule separates the
classes exactly. `noise` is the standard deviation of Gaussian noise on every coordinate, in units of the pattern's
scale: the width of a cell, the distance between neighbouring rings or arms. So 0.2 is about as hard for many cells as
for few.

The same bytes on every machine: random bits come from PCG64 seeded through SHA-256, sums run in a fixed order
(no BLAS), and results are rounded to float32 at the end.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from metapeft.errors import RecipeError, did_you_mean

__all__ = ["GENERATORS", "classes", "generate", "validate"]

GAP = 0.05  # share of a cell or sector kept free on each side of a boundary, so that rounding crosses none
_POOLS = {"support": 1, "query": 2}
Rng = np.random.Generator

# --- parameters ---------------------------------------------------------------------------------


class PointParams(BaseModel):
    """What every generator takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    input_dim: int = Field(default=2, ge=2, le=10_000, description="coordinates of a point")
    noise: float = Field(default=0.0, ge=0, le=10, description="standard deviation, in units of the pattern's scale")
    nuisance: float = Field(default=0.1, ge=0, description="standard deviation of the directions that carry no class")
    classes: int = Field(default=2, ge=2, le=10)
    draw: int = Field(default=0, ge=0, description="which task of this kind; it changes the hash and nothing else")


class Linear(PointParams):
    """Classes in equal sectors of a disc: for two classes, the two sides of a line."""

    rotation: float | None = Field(default=None, description="degrees from the first direction; null: drawn")
    translation: float | list[float] = Field(default=0.0, description="added to every coordinate, or to each its own")
    scaling: float = Field(default=1.0, gt=0, description="size of the whole cloud, noise and nuisance included")

    @model_validator(mode="after")
    def _one_shift_a_coordinate(self) -> Linear:
        if isinstance(self.translation, list) and len(self.translation) != self.input_dim:
            raise ValueError(f"translation has {len(self.translation)} numbers for {self.input_dim} coordinates")
        return self


class Xor(PointParams):
    """Parity of the signs of a few directions."""

    classes: int = Field(default=2, ge=2, le=2, description="a parity has two")
    complexity: int = Field(default=2, ge=2, le=8, description="directions whose signs count; 2 is the XOR problem")

    @model_validator(mode="after")
    def _enough_directions(self) -> Xor:
        if self.complexity > self.input_dim:
            raise ValueError(f"complexity {self.complexity} needs as many coordinates, input_dim is {self.input_dim}")
        return self


class Circles(PointParams):
    """Concentric rings, classes taking turns from the inside out."""

    complexity: int | None = Field(default=None, ge=2, le=20, description="rings; null: one for each class")

    @property
    def rings(self) -> int:
        return self.complexity or self.classes

    @model_validator(mode="after")
    def _a_ring_for_each(self) -> Circles:
        if self.rings < self.classes:
            raise ValueError(f"{self.classes} classes need as many rings, complexity is {self.rings}")
        return self


class Spirals(PointParams):
    """Interleaved spiral arms, one for each class."""

    complexity: float = Field(default=2.0, ge=1.5, le=10, description="turns of each arm")


class Checkerboard(PointParams):
    """Cells of a square board; neighbours differ."""

    complexity: int | None = Field(default=None, ge=3, le=20, description="cells a side; null: 4, or one a class")

    @property
    def side(self) -> int:
        return self.complexity or max(4, self.classes)

    @model_validator(mode="after")
    def _a_cell_for_each(self) -> Checkerboard:
        if self.side < self.classes:
            raise ValueError(f"{self.classes} classes need a side as long, complexity is {self.side}")
        return self


class HighDimensional(PointParams):
    """A few informative coordinates among many that carry nothing."""

    input_dim: int = Field(default=100, ge=2, le=10_000, description="coordinates of a point")
    nuisance: float = Field(default=1.0, ge=0, description="standard deviation of the coordinates without a class")
    informative: int = Field(default=5, ge=1, le=20, description="coordinates that carry the class")
    complexity: int = Field(default=1, ge=1, le=16, description="clusters of each class; 1 is linearly separable")

    @model_validator(mode="after")
    def _enough_corners(self) -> HighDimensional:
        if self.informative > self.input_dim:
            raise ValueError(f"informative is {self.informative}, input_dim only {self.input_dim}")
        if self.classes * self.complexity > 2**self.informative:
            raise ValueError(
                f"{self.classes} classes of {self.complexity} clusters need more corners than the "
                f"{2**self.informative} of {self.informative} informative coordinates"
            )
        return self


# --- geometry in a fixed order of operations ----------------------------------------------------


def _dot(x: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """`x @ direction` for x (n, d), one coordinate after the other: BLAS adds in an order that differs by machine."""
    total = x[:, 0] * direction[0]
    for column in range(1, len(direction)):
        total += x[:, column] * direction[column]
    return total


def _directions(rng: Rng, count: int, input_dim: int) -> np.ndarray:
    """Random orthonormal directions, uniform over all choices, shape (count, input_dim): Gram-Schmidt."""
    found: list[np.ndarray] = []
    while len(found) < count:
        direction = rng.standard_normal(input_dim)
        for other in found * 2:  # twice: once leaves an error where the two were nearly parallel
            direction = direction - math.fsum(direction * other) * other
        length = math.sqrt(math.fsum(direction * direction))
        if length > 1e-6:
            found.append(direction / length)
    return np.stack(found)


def _place(pattern: np.ndarray, directions: np.ndarray, nuisance: float, rng: Rng) -> np.ndarray:
    """Put a pattern (n, k) along k orthonormal directions (k, d); all other directions get nuisance. (n, d)"""
    input_dim = directions.shape[1]
    if input_dim == len(directions):
        points = np.zeros((len(pattern), input_dim))
    else:
        points = nuisance * rng.standard_normal((len(pattern), input_dim))
    for column, direction in enumerate(directions):
        shift = pattern[:, column] - _dot(points, direction)
        points += shift[:, None] * direction
    return points


def _jitter(points: np.ndarray, noise: float, scale: float, rng: Rng) -> np.ndarray:
    return points + (noise * scale) * rng.standard_normal(points.shape) if noise else points


def _within(rng: Rng, rows: int) -> np.ndarray:
    """Uniform in [GAP, 1 - GAP], shape (rows,)."""
    return GAP + (1 - 2 * GAP) * rng.random(rows)


def _in_space(params: PointParams, pattern: np.ndarray, scale: float, task: Rng, sample: Rng) -> np.ndarray:
    """Move a pattern (n, k) to a centre of the task's own and along k random directions of the space."""
    centre = task.random(pattern.shape[1]) - 0.5
    directions = _directions(task, pattern.shape[1], params.input_dim)
    return _jitter(_place(pattern + centre, directions, params.nuisance, sample), params.noise, scale, sample)


# --- the patterns: (params, y, task, sample) -> x -----------------------------------------------


def _linear(params: Linear, y: np.ndarray, task: Rng, sample: Rng) -> np.ndarray:
    """Class c of k fills the sector of angles a + 360 (c - 1 ± 1/2) / k degrees of the unit disc.

    a is the rotation, so that for two classes y = 1 where cos(a) u + sin(a) v > 0: a line with its normal at angle a.
    (u, v) are the first two coordinates where `input_dim` is 2, and a random plane otherwise. Then
    x <- scaling * x + translation. A linear score for each class, argmax_c cos(angle - a_c), is right everywhere.
    """
    rotation = 360 * task.random() if params.rotation is None else params.rotation
    directions = np.eye(2) if params.input_dim == 2 else _directions(task, 2, params.input_dim)
    turns = rotation / 360 + (y - 1.5 + _within(sample, len(y))) / params.classes
    radius = np.sqrt(0.01 + 0.99 * sample.random(len(y)))  # uniform over the ring from 0.1 to 1
    x = _jitter(_place(_polar(radius, turns), directions, params.nuisance, sample), params.noise, 1.0, sample)
    return params.scaling * x + np.asarray(params.translation)


def _polar(radius: np.ndarray, turns: np.ndarray) -> np.ndarray:
    angle = 2 * math.pi * turns
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _xor(params: Xor, y: np.ndarray, task: Rng, sample: Rng) -> np.ndarray:
    """y = (number of negative z_i) mod 2 for m coordinates z, |z_i| uniform in [0.05, 0.95]. Scale: 1.

    m = 2 is the XOR problem, larger m is parity. Source: Minsky and Papert, Perceptrons, 1969.
    """
    negative = sample.integers(0, 2, (len(y), params.complexity))
    negative[:, 0] = (y + negative[:, 1:].sum(axis=1)) % 2
    size = GAP + (1 - 2 * GAP) * sample.random(negative.shape)
    return _in_space(params, (1 - 2 * negative) * size, 1.0, task, sample)


def _circles(params: Circles, y: np.ndarray, task: Rng, sample: Rng) -> np.ndarray:
    """Ring j of m has radius (j + 1) / m and class j mod k; a class's points spread over its rings by their length.

    Scale: 1/m, the distance between rings. Two rings are the circles of scikit-learn's `make_circles`.
    """
    ring = np.zeros(len(y), dtype=np.int64)
    for label in range(params.classes):
        rings = np.arange(label, params.rings, params.classes)
        ends = np.cumsum(rings + 1)  # lengths, up to a factor
        here = np.flatnonzero(y == label)
        ring[here] = rings[np.searchsorted(ends, sample.integers(0, ends[-1], len(here)), side="right")]
    pattern = _polar((ring + 1) / params.rings, sample.random(len(y)))
    return _in_space(params, pattern, 1 / params.rings, task, sample)


def _spirals(params: Spirals, y: np.ndarray, task: Rng, sample: Rng) -> np.ndarray:
    """Arm c of k at radius r has the angle 360 (T r + c / k) degrees for T turns.

    Scale: 1 / (T k), the distance between neighbouring arms along a ray; r goes from half of it to 1 and is drawn so
    that points are about even along an arm. T = 3, k = 2 are the two spirals of Lang and Witbrock, "Learning to tell
    two spirals apart", Connectionist Models Summer School, 1988.
    """
    scale = 1 / (params.complexity * params.classes)
    inner = (scale / 2) ** 2
    radius = np.sqrt(inner + (1 - inner) * sample.random(len(y)))
    pattern = _polar(radius, params.complexity * radius + y / params.classes)
    return _in_space(params, pattern, scale, task, sample)


def _checkerboard(params: Checkerboard, y: np.ndarray, task: Rng, sample: Rng) -> np.ndarray:
    """On the square [-1, 1]^2 of m by m cells, cell (i, j) has class (i + j) mod k. Scale: 2/m, a cell's side."""
    cells = np.arange(params.side**2)
    row, column = cells // params.side, cells % params.side
    chosen = np.zeros(len(y), dtype=np.int64)
    for label in range(params.classes):
        own = cells[(row + column) % params.classes == label]
        here = np.flatnonzero(y == label)
        chosen[here] = own[sample.integers(0, len(own), len(here))]
    corner = np.stack([row[chosen], column[chosen]], axis=1)
    inside = np.stack([_within(sample, len(y)), _within(sample, len(y))], axis=1)
    scale = 2 / params.side
    return _in_space(params, scale * (corner + inside) - 1, scale, task, sample)


def _high_dimensional(params: HighDimensional, y: np.ndarray, task: Rng, sample: Rng) -> np.ndarray:
    """Clusters around corners of the cube {-1, 1}^m of m coordinates chosen at random; the others are N(0, nuisance).

    Each point is its corner times a uniform size in [0.1, 1.9] for each coordinate, so the signs tell the cluster.
    Corners come in opposite pairs v, -v, dealt to the classes at random: with two classes and one cluster each, all m
    coordinates count alike; with more clusters no plane need separate the classes. Scale: 1. After the Madelon data
    of Guyon, "Design of experiments of the NIPS 2003 variable selection benchmark", 2003, here with the relevant
    coordinates alone (no redundant copies).
    """
    relevant = task.permutation(params.input_dim)[: params.informative]
    clusters = params.classes * params.complexity
    half = task.permutation(2 ** (params.informative - 1))[: (clusters + 1) // 2]  # first coordinate +1
    bits = half[:, None] >> np.arange(params.informative) & 1
    corners = np.stack([1 - 2 * bits, 2 * bits - 1], axis=1).reshape(-1, params.informative)
    corners = task.permutation(corners)
    cluster = y + params.classes * sample.integers(0, params.complexity, len(y))
    x = params.nuisance * sample.standard_normal((len(y), params.input_dim))
    x[:, relevant] = corners[cluster] * (0.1 + 1.8 * sample.random((len(y), params.informative)))
    return _jitter(x, params.noise, 1.0, sample)


GENERATORS: dict[str, tuple[type[PointParams], Callable[..., np.ndarray]]] = {
    "linear": (Linear, _linear),
    "xor": (Xor, _xor),
    "circles": (Circles, _circles),
    "spirals": (Spirals, _spirals),
    "checkerboard": (Checkerboard, _checkerboard),
    "high_dimensional": (HighDimensional, _high_dimensional),
}

# --- what the rest of metapeft calls ------------------------------------------------------------


def generate(
    generator: str, params: dict[str, Any], rows: int, seed: int, pool: Literal["support", "query"]
) -> tuple[np.ndarray, np.ndarray]:
    """Sample labelled points of one task.

    Args:
        generator: a name of `GENERATORS`.
        params: its parameters, as in a recipe.
        rows: how many points.
        seed: of the task: with the generator and the parameters it fixes boundary, rotation and directions.
        pool: `support` or `query`: the stream of samples.

    Returns:
        x (rows, input_dim) float32, and y (rows,) int32 in 0 .. classes - 1, each class as often as the others
        to within one row, in random order.

    Raises:
        RecipeError: unknown generator, bad parameters, an unknown pool, or fewer than one row.
    """
    checked = _checked(generator, params)
    if pool not in _POOLS:
        raise RecipeError(f"points have no pool '{pool}'; the pools are support and query")
    if rows < 1:
        raise RecipeError(f"points generator '{generator}': rows={rows}, at least one is needed")
    task, sample = _streams(generator, checked, seed, pool)
    y = sample.permutation(np.arange(rows) % checked.classes)
    x = GENERATORS[generator][1](checked, y, task, sample)
    return x.astype(np.float32), y.astype(np.int32)


def validate(generator: str, params: dict[str, Any]) -> None:
    """Check a generator's name and parameters without making points.

    Raises:
        RecipeError: all mistakes, with the nearest known name for an unknown one.
    """
    _checked(generator, params)


def classes(generator: str, params: dict[str, Any]) -> int:
    """How many classes the points will have. Raises RecipeError as `validate` does."""
    return _checked(generator, params).classes


def _checked(generator: str, params: dict[str, Any]) -> PointParams:
    if generator not in GENERATORS:
        hint = did_you_mean(generator, GENERATORS)
        raise RecipeError(f"unknown points generator '{generator}'.{hint} Known: {', '.join(GENERATORS)}")
    model = GENERATORS[generator][0]
    try:
        return model.model_validate(params)
    except ValidationError as error:
        lines: dict[str, str] = {}
        for problem in error.errors(include_url=False):
            name = str(problem["loc"][0]) if problem["loc"] else ""
            if problem["type"] == "extra_forbidden":
                known = model.model_fields
                line = f"unknown parameter '{name}'.{did_you_mean(name, known)} Known: {', '.join(known)}"
            elif name:
                line = f"{name}={params[name]!r}: {problem['msg']}"
            else:
                line = problem["msg"].removeprefix("Value error, ")
            lines.setdefault(name, line)  # the members of a union complain one by one
        raise RecipeError(f"points generator '{generator}': {'; '.join(lines.values())}") from None


def _streams(generator: str, params: PointParams, seed: int, pool: str) -> tuple[Rng, Rng]:
    """The task's generator, and the pool's. Defaults are left out of the hash: a new parameter moves no old task."""
    said = {"generator": generator, "params": params.model_dump(exclude_defaults=True), "seed": seed}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    task, sample = (
        np.random.Generator(np.random.PCG64(np.random.SeedSequence(int(digest, 16), spawn_key=(key,))))
        for key in (0, _POOLS[pool])
    )
    return task, sample
