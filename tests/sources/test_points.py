"""Point generators against independent rules: separable at noise 0, nonlinear where they say so, one task a hash."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft import strict_yaml
from metapeft.errors import RecipeError
from metapeft.recipes.schema import PointsTask, Recipe
from metapeft.sources.points import GENERATORS, classes, generate, validate

STEADY = settings(deadline=None, derandomize=True)  # the same examples each time; a busy machine is no failure
RECIPES = Path(__file__).resolve().parents[2] / "recipes"
NONLINEAR: list[tuple[str, dict[str, Any]]] = [
    ("xor", {}),
    ("circles", {}),
    ("circles", {"complexity": 5}),
    ("circles", {"classes": 3}),
    ("spirals", {"complexity": 1.5}),
    ("spirals", {"complexity": 3.0}),
    ("spirals", {"classes": 4}),
    ("checkerboard", {"complexity": 3}),
    ("checkerboard", {}),
    ("checkerboard", {"classes": 5}),
]
LINEAR: list[tuple[str, dict[str, Any]]] = [
    ("linear", {}),
    ("linear", {"rotation": 30.0, "translation": [2.0, -1.0], "scaling": 3.0}),
    ("linear", {"input_dim": 10}),
]
CLUSTERS = ("high_dimensional", {"classes": 3, "complexity": 2, "input_dim": 8, "nuisance": 0.1})
EVERY = [*LINEAR, *NONLINEAR, ("high_dimensional", {}), CLUSTERS]


def nearest_neighbour(x: np.ndarray, y: np.ndarray, query: np.ndarray) -> np.ndarray:
    distances = (query**2).sum(1)[:, None] + (x**2).sum(1) - 2 * query @ x.T
    return y[distances.argmin(1)]


def least_squares(x: np.ndarray, y: np.ndarray, query: np.ndarray) -> np.ndarray:
    """One linear score a class, fitted to +1 and -1."""
    ones = [np.c_[points.astype(np.float64), np.ones(len(points))] for points in (x, query)]
    weights = np.linalg.lstsq(ones[0], 2.0 * np.eye(y.max() + 1)[y] - 1, rcond=None)[0]
    return (ones[1] @ weights).argmax(1)


def both_pools(generator: str, params: dict[str, Any], seed: int = 0) -> tuple[np.ndarray, ...]:
    return (*generate(generator, params, 4000, seed, "support"), *generate(generator, params, 1000, seed, "query"))


# --- the contract ---------------------------------------------------------------------------------


@STEADY
@given(
    st.sampled_from(EVERY),
    st.integers(1, 60),
    st.integers(0, 2**40),
    st.sampled_from(["support", "query"]),
    st.sampled_from([0.0, 0.1, 0.2]),
)
def test_shapes_types_and_balance(
    case: tuple[str, dict[str, Any]], rows: int, seed: int, pool: Any, noise: float
) -> None:
    generator, params = case[0], {**case[1], "noise": noise}
    x, y = generate(generator, params, rows, seed, pool)
    assert x.shape == (rows, params.get("input_dim", 100 if generator == "high_dimensional" else 2))
    assert (x.dtype, y.dtype, y.shape) == (np.float32, np.int32, (rows,))
    assert np.isfinite(x).all()
    count = np.bincount(y, minlength=params.get("classes", 2))
    assert len(count) == params.get("classes", 2) == classes(generator, params)
    assert count.max() - count.min() <= 1


def test_the_order_of_labels_is_random() -> None:
    _, y = generate("xor", {}, 100, 0, "support")
    assert 20 < (np.diff(y) != 0).sum() < 80


@pytest.mark.parametrize(("generator", "params"), EVERY)
def test_same_arguments_same_bytes_other_pool_other_points(generator: str, params: dict[str, Any]) -> None:
    x, y = generate(generator, params, 200, 3, "support")
    again, labels = generate(generator, dict(reversed(params.items())), 200, 3, "support")
    assert x.tobytes() == again.tobytes()
    assert y.tobytes() == labels.tobytes()
    other, _ = generate(generator, params, 200, 3, "query")
    assert not set(map(bytes, x)) & set(map(bytes, other))


def test_defaults_written_out_are_the_same_task() -> None:
    x, _ = generate("circles", {}, 50, 0, "support")
    for params in ({"noise": 0.0}, {"noise": 0, "draw": 0}, {"input_dim": 2, "classes": 2}):
        assert generate("circles", params, 50, 0, "support")[0].tobytes() == x.tobytes()


@pytest.mark.parametrize("generator", GENERATORS)
def test_draw_and_seed_change_the_task(generator: str) -> None:
    def rule(params: dict[str, Any], seed: int) -> np.ndarray:
        x, y = generate(generator, params, 4000, seed, "support")
        return np.concatenate([x.mean(0), *(np.cov(x[y == label].T).ravel() for label in (0, 1)), x[y == 1].mean(0)])

    here = rule({}, 0)
    assert np.abs(rule({"draw": 1}, 0) - here).max() > 0.1
    assert np.abs(rule({}, 1) - here).max() > 0.1


@pytest.mark.parametrize(("generator", "params"), EVERY)
def test_the_pools_hold_one_task(generator: str, params: dict[str, Any]) -> None:
    # what was learned from the support of a task predicts its query, and not the query of another draw
    learner = least_squares if (generator, params) == ("high_dimensional", {}) else nearest_neighbour
    x, y, query, truth = both_pools(generator, params)
    assert (learner(x, y, query) == truth).mean() > 0.97
    if "rotation" not in params:  # then the boundary is said, not drawn
        other, labels = generate(generator, {**params, "draw": 1}, 1000, 0, "query")
        assert (learner(x, y, other) == labels).mean() < 0.95


# Written once from this code. A change here changes every suite that was built: bump the recipes' versions.
GOLDEN = {
    "linear": "17676bd096235760",
    "xor": "4f9bc6807b5a62ff",
    "circles": "fa625c5477cecc0f",
    "spirals": "d41cc5e54a96b0f7",
    "checkerboard": "981330758c6e5ca3",
    "high_dimensional": "c777a39cf9adbbee",
}


@pytest.mark.parametrize("generator", GENERATORS)
def test_golden_points(generator: str) -> None:
    x, y = generate(generator, {"input_dim": 10, "noise": 0.1, "draw": 2}, 64, 7, "query")
    # rounded, because sine and cosine may differ by their last bit between machines
    text = (
        " ".join(f"{value:.3f}" for value in x.astype(np.float64).ravel() + 0.00013) + y.astype("<i4").tobytes().hex()
    )
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == GOLDEN[generator]


# --- the patterns ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("generator", "params"), NONLINEAR)
def test_plane_patterns_are_separable_and_not_linear(generator: str, params: dict[str, Any], seed: int) -> None:
    x, y, query, truth = both_pools(generator, params, seed)
    assert (nearest_neighbour(x, y, query) == truth).mean() > 0.97
    assert (least_squares(x, y, query) == truth).mean() < 0.75


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("generator", "params"), LINEAR)
def test_linear_is_linear(generator: str, params: dict[str, Any], seed: int) -> None:
    x, y, query, truth = both_pools(generator, params, seed)
    assert (least_squares(x, y, query) == truth).mean() > 0.99


def test_linear_boundary_is_where_the_formula_says() -> None:
    params = {"rotation": 30.0, "translation": [2.0, -1.0], "scaling": 3.0}
    x, y = generate("linear", params, 2000, 5, "support")
    normal = np.array([np.cos(np.pi / 6), np.sin(np.pi / 6)])
    assert (((x - [2.0, -1.0]) @ normal > 0) == y).all()
    radius = np.linalg.norm(x - [2.0, -1.0], axis=1)
    assert radius.min() > 0.29
    assert 2.9 < radius.max() < 3.001
    other, same = generate("linear", {**params, "rotation": 120.0}, 2000, 5, "support")
    assert (((other - [2.0, -1.0]) @ [-normal[1], normal[0]] > 0) == same).all()


def test_linear_sectors() -> None:
    x, y = generate("linear", {"rotation": 10.0, "classes": 5}, 2000, 0, "query")
    angle = np.degrees(np.arctan2(x[:, 1], x[:, 0])) - 10
    assert (np.round(angle / 72 + 1) % 5 == y).all()


def test_parity_of_three_is_a_parity() -> None:
    # no single direction and no pair of directions tells anything, the three together tell all
    x, y, query, truth = both_pools("xor", {"input_dim": 3, "complexity": 3})
    pairs = [np.c_[p, p[:, [0]] * p, p[:, [1]] * p[:, 1:], p[:, [2]] ** 2] for p in (x, query)]
    assert (least_squares(pairs[0], y, pairs[1]) == truth).mean() < 0.65
    assert (nearest_neighbour(x, y, query) == truth).mean() > 0.97


def test_circles_are_rings_of_equal_spacing() -> None:
    x, y = generate("circles", {"complexity": 4}, 4000, 0, "support")
    centre = (x.max(0) + x.min(0)) / 2  # the outermost ring is whole
    radius = np.linalg.norm(x - centre, axis=1)
    ring = np.round(radius * 4).astype(int)
    assert np.abs(radius - ring / 4).max() < 0.01
    assert ((ring - 1) % 2 == y).all()
    assert set(ring) == {1, 2, 3, 4}


def test_noise_is_in_units_of_the_ring_distance() -> None:
    x, _ = generate("circles", {"complexity": 4, "noise": 0.1}, 20000, 0, "support")
    clean, _ = generate("circles", {"complexity": 4, "noise": 0.0, "draw": 9}, 20000, 0, "support")
    ring = [np.linalg.norm(points - points.mean(0), axis=1) * 4 for points in (x, clean)]
    spread = [np.std(r - np.round(r)) for r in ring]
    assert spread[0] == pytest.approx(0.1, rel=0.15)
    assert spread[1] < 0.06


@pytest.mark.parametrize(("generator", "params"), [("linear", {}), *NONLINEAR])
def test_high_dimensions_hold_a_plane_and_nuisance(generator: str, params: dict[str, Any]) -> None:
    x, _ = generate(generator, {**params, "input_dim": 20, "nuisance": 0.01}, 3000, 0, "support")
    values = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    assert values[1] > 0.05, "two directions carry the pattern"
    assert np.sqrt(values[2:]) == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_few_coordinates_of_high_dimensional_carry_the_class(seed: int) -> None:
    x, y, query, truth = both_pools("high_dimensional", {"informative": 4}, seed)
    assert x.shape[1] == 100
    gap = np.abs(x[y == 1].mean(0) - x[y == 0].mean(0))
    informative = np.argsort(gap)[-4:]
    assert np.sort(gap)[-4:] == pytest.approx(2.0, abs=0.1)
    assert np.sort(gap)[-5] < 0.2
    assert (least_squares(x[:, informative], y, query[:, informative]) == truth).mean() == 1
    rest = np.delete(np.arange(100), informative)
    assert (least_squares(x[:, rest], y, query[:, rest]) == truth).mean() < 0.6


def test_clusters_sit_at_corners() -> None:
    x, y = generate("high_dimensional", {"input_dim": 5, "complexity": 3}, 3000, 1, "support")
    corners = {label: {tuple(point) for point in np.sign(x[y == label])} for label in (0, 1)}
    assert len(corners[0]) == len(corners[1]) == 3
    assert not corners[0] & corners[1]


def test_noise_mixes_the_classes() -> None:
    for generator in ("linear", "xor", "checkerboard"):
        clean, some, more = (
            (nearest_neighbour(x, y, query) == truth).mean()
            for x, y, query, truth in (both_pools(generator, {"noise": noise}) for noise in (0.0, 0.1, 0.2))
        )
        assert clean > some + 0.02 > more + 0.04, generator


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generator", "params", "said"),
    [
        ("spiral", {}, "unknown points generator 'spiral'. Did you mean 'spirals'?"),
        ("linear", {"nois": 0.1}, "'linear': unknown parameter 'nois'. Did you mean 'noise'?"),
        ("linear", {"noise": -1.0}, "noise=-1.0"),
        ("linear", {"noise": float("nan")}, "noise=nan"),
        ("linear", {"noise": "much"}, "noise='much'"),
        ("linear", {"translation": "left"}, "translation='left'"),
        ("linear", {"translation": [1.0]}, "1 numbers for 2 coordinates"),
        ("linear", {"scaling": 0.0}, "scaling"),
        ("circles", {"input_dim": 1}, "input_dim=1"),
        ("circles", {"classes": 5, "complexity": 3}, "5 classes need as many rings"),
        ("checkerboard", {"classes": 5, "complexity": 3}, "5 classes"),
        ("xor", {"classes": 3}, "classes=3"),
        ("xor", {"complexity": 3}, "input_dim is 2"),
        ("spirals", {"complexity": 0.5}, "complexity=0.5"),
        ("high_dimensional", {"input_dim": 3}, "informative is 5"),
        ("high_dimensional", {"informative": 2, "complexity": 3}, "corners"),
    ],
)
def test_mistakes_are_named(generator: str, params: dict[str, Any], said: str) -> None:
    for call in (
        lambda: validate(generator, params),
        lambda: generate(generator, params, 10, 0, "support"),
        lambda: classes(generator, params),
    ):
        with pytest.raises(RecipeError) as caught:
            call()
        assert said in str(caught.value)


def test_all_mistakes_of_the_parameters_at_once() -> None:
    with pytest.raises(RecipeError, match="noise.*colour"):
        validate("xor", {"noise": -1.0, "colour": 1})


def test_rows_and_pools() -> None:
    with pytest.raises(RecipeError, match="rows=0"):
        generate("xor", {}, 0, 0, "support")
    with pytest.raises(RecipeError, match="no pool 'test'"):
        generate("xor", {}, 5, 0, "test")  # type: ignore[arg-type]


def test_a_million_points_take_about_a_second() -> None:
    started = time.perf_counter()
    generate("spirals", {"noise": 0.1}, 500_000, 0, "support")
    assert time.perf_counter() - started < 2  # about 0.1 s; the rest is for a busy machine


# --- the recipes that use them --------------------------------------------------------------------


@pytest.mark.parametrize(("name", "least", "most"), [("synthetic_points", 100, 200), ("quickstart", 4, 6)])
def test_recipes_of_points(name: str, least: int, most: int) -> None:
    recipe = Recipe.model_validate(strict_yaml.load(RECIPES / f"{name}.yaml"))
    tasks = [variant for task in recipe.tasks if isinstance(task, PointsTask) for variant in task.variants()]
    assert least <= len(tasks) <= most
    assert len({task.id for task in tasks}) == len(tasks)
    families = strict_yaml.load(RECIPES / "families.yaml")
    for task in tasks:
        assert task.family in families
        source: Any = task.source
        assert classes(source.generator, source.params) == len(task.labels)  # type: ignore[attr-defined]
        generate(source.generator, source.params, 4, source.seed, "query")
