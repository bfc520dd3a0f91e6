"""metapeft.adapters.hypernetwork: nothing is generated before training, everything can learn, the formulas hold."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.adapters.hypernetwork import TERMS, Hypernetwork, count_numbers, hypernetwork_for
from metapeft.adapters.lora import LoraConfig, check_adapter
from metapeft.backbones.mlp import make_mlp
from metapeft.errors import AdapterError
from metapeft.mlx import mx, utils
from tests.adapters.toy import ToyBackbone, same
from tests.meta.tiny import leaves, moved, tiny_bert

DIMS, RANK, WIDTH = 5, 3, 8
WIDE = LoraConfig(
    RANK, num_layers=2, keys=["attention.self.query", "attention.self.value", "intermediate.dense", "output.dense"]
)
BACKBONES = {
    "bert": (tiny_bert(), WIDE),
    "mlp": (make_mlp(2, 6, 3), LoraConfig(RANK, num_layers=3)),
    "toy": (ToyBackbone(), LoraConfig(RANK, num_layers=2, keys=["mlp.up", "mlp.down", "head"])),
}


def made(name: str, term: str, **other):
    """A hypernetwork, its parameters, a base whose B is not zero, and an embedding of unit length."""
    backbone, lora = BACKBONES[name]
    network = hypernetwork_for(backbone, lora, DIMS, term, WIDTH, **other)
    embedding = mx.random.normal((DIMS,), key=mx.random.key(7))
    return network, network.init(mx.random.key(1)), moved(backbone, lora), embedding / mx.linalg.norm(embedding)


def shaken(params, spread: float = 0.3):
    """Parameters away from where they start, as after training."""
    keys = iter(mx.random.split(mx.random.key(3), 100))
    return utils.tree_map(lambda leaf: leaf + spread * mx.random.normal(leaf.shape, key=next(keys)), params)


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("name", BACKBONES)
def test_before_training_it_gives_the_base_to_the_last_bit(name: str, term: str) -> None:
    network, params, base, embedding = made(name, term)
    assert same(network.adapter(params, base, embedding), base)


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("term", TERMS)
def test_a_weight_is_how_far_from_the_base_to_what_is_generated(term: str, weight: float) -> None:
    network, params, base, embedding = made("bert", term)
    whole = network.adapter(shaken(params), base, embedding)
    part = made("bert", term, weight=weight)[0].adapter(shaken(params), base, embedding)
    for path, factors in base.items():
        for name, factor in factors.items():
            begin, end = np.array(factor), np.array(whole[path][name])
            np.testing.assert_allclose(np.array(part[path][name]), begin + weight * (end - begin), atol=1e-5)


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("name", BACKBONES)
def test_what_it_gives_fits_the_backbone_and_depends_on_the_task(name: str, term: str) -> None:
    network, params, base, embedding = made(name, term)
    backbone, _ = BACKBONES[name]
    first, second = (network.adapter(shaken(params), base, each) for each in (embedding, -embedding))
    check_adapter(backbone, first)
    assert list(first) == list(base)
    for path, factors in base.items():
        assert {key: factor.shape for key, factor in first[path].items()} == {k: f.shape for k, f in factors.items()}
        assert not np.array_equal(np.array(first[path]["lora_b"]), np.array(factors["lora_b"]))
        assert not np.array_equal(np.array(first[path]["lora_b"]), np.array(second[path]["lora_b"]))


def test_the_generated_adapter_runs_in_the_backbone() -> None:
    network, params, base, embedding = made("bert", "full")
    backbone, _ = BACKBONES["bert"]
    hidden = backbone.prefix(np.array([[1, 5, 9, 2], [1, 7, 2, 0]], np.int32), np.array([4, 3]), 1)
    first, second = (
        np.array(backbone.pool(backbone.suffix(hidden, network.adapter(p, base, embedding), 1.0, 1)))
        for p in (params, shaken(params))
    )
    assert first.shape == (2, 16)
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("term", ["diag", "square"])
@pytest.mark.parametrize("name", BACKBONES)
def test_a_term_between_the_factors_is_the_dense_formula(name: str, term: str) -> None:
    network, params, base, embedding = made(name, term)
    params = shaken(params)
    generated = network.adapter(params, base, embedding)
    numbers = np.array(network._codes(params, embedding) @ params["between"])
    for z, (path, factors) in zip(numbers, base.items(), strict=True):
        matrix = np.diag(z) if term == "diag" else z.reshape(RANK, RANK)
        a, b = (np.array(factors[key], np.float64) for key in ("lora_a", "lora_b"))
        got = np.array(generated[path]["lora_a"] @ generated[path]["lora_b"])
        np.testing.assert_allclose(got, a @ (np.eye(RANK) + matrix) @ b, atol=1e-5)
        assert np.abs(a @ matrix @ b).max() > 1e-3  # the term says something


@pytest.mark.parametrize("name", BACKBONES)
def test_a_full_term_adds_a_scaled_residual_to_each_rank(name: str) -> None:
    network, params, base, embedding = made(name, "full")
    params = shaken(params)
    generated, codes = network.adapter(params, base, embedding), network._codes(params, embedding)
    for code, place in zip(codes, network.places, strict=True):
        for key, letter, shape in (("lora_a", "a", (place.d_in, RANK)), ("lora_b", "b", (RANK, place.d_out))):
            residual = params["residual"][f"{letter}{place.d_in if letter == 'a' else place.d_out}"]
            delta = np.array(code @ residual).reshape(shape)
            scale = np.array(params["gain"][place.path][letter])
            moves = delta * (scale if letter == "a" else scale[:, None])
            np.testing.assert_allclose(
                np.array(generated[place.path][key]), np.array(base[place.path][key]) + moves, atol=1e-5
            )


def gradient(network: Hypernetwork, params, base, embedding):
    """Of a sum with random weights, with respect to parameters, base and embedding."""
    keys = mx.random.split(mx.random.key(9), 100)

    def value(params, base, embedding):
        parts = leaves(network.adapter(params, base, embedding))
        return sum(mx.sum(p * mx.random.normal(p.shape, key=k)) for p, k in zip(parts, keys, strict=False))

    return mx.grad(value, argnums=(0, 1, 2))(params, base, embedding)


def reached(tree) -> dict[str, bool]:
    return {path: bool(mx.any(leaf != 0).item()) for path, leaf in utils.tree_flatten(tree)}


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("term", TERMS)
def test_the_gradient_reaches_what_can_move(name: str, term: str) -> None:
    network, params, base, embedding = made(name, term)
    own, of_base, _ = gradient(network, params, base, embedding)
    assert all(reached(of_base).values())
    opens = "gain" if term == "full" else "between"  # at nothing, this alone opens the way
    assert {path: yes for path, yes in reached(own).items() if yes != path.startswith(opens)} == {}
    own, of_base, of_embedding = gradient(network, shaken(params), base, embedding)
    assert {path for path, yes in (reached(own) | reached(of_base)).items() if not yes} == set()
    assert bool(mx.any(of_embedding != 0).item())


def test_every_layer_and_every_module_that_is_adapted_has_an_embedding_that_learns() -> None:
    network, params, base, embedding = made("toy", "full")
    # two of four blocks, and the head outside them: three levels; up, down and head: three modules
    assert params["layer"].shape == params["module"].shape == (3, WIDTH)
    pairs = [(place.layer, place.module) for place in network.places]
    assert len(set(pairs)) == len(pairs) == 5
    own, _, _ = gradient(network, shaken(params), base, embedding)
    for name in ("layer", "module"):
        assert np.abs(np.array(own[name])).max(axis=1).min() > 0


def test_places_are_the_adapted_maps_with_their_sizes() -> None:
    network, params, _, _ = made("bert", "full")
    assert [(p.path, p.layer, p.module, p.d_in, p.d_out) for p in network.places][:4] == [
        ("encoder.layer.1.attention.self.query", 0, 0, 16, 16),
        ("encoder.layer.1.attention.self.value", 0, 1, 16, 16),
        ("encoder.layer.1.intermediate.dense", 0, 2, 16, 32),
        ("encoder.layer.1.output.dense", 0, 3, 32, 16),
    ]
    assert [(p.layer, p.module) for p in network.places][4:] == [(1, 0), (1, 1), (1, 2), (1, 3)]
    shapes = {name: leaf.shape for name, leaf in params["residual"].items()}
    assert shapes == {"a16": (WIDTH, 48), "a32": (WIDTH, 96), "b16": (WIDTH, 48), "b32": (WIDTH, 96)}


def test_the_key_decides() -> None:
    network, params, _, _ = made("mlp", "full")
    again, other = network.init(mx.random.key(1)), network.init(mx.random.key(2))
    for one, two in zip(leaves(params), leaves(again), strict=True):
        assert np.array_equal(np.array(one), np.array(two))
    assert not np.array_equal(np.array(params["task"]["weight"]), np.array(other["task"]["weight"]))


def test_learning_rates_move_by_a_number_a_map_and_step() -> None:
    network, params, base, embedding = made("toy", "diag", rate_steps=4)
    keys = iter(mx.random.split(mx.random.key(5), 50))
    logs = {
        "adapter": utils.tree_map(lambda _: mx.random.normal((4,), key=next(keys)), base),
        "head": {"weight": mx.zeros(4)},
    }
    still = network.log_rates(params, logs, embedding)
    assert same(still["adapter"], logs["adapter"])
    params = shaken(params)
    found, codes = network.log_rates(params, logs, embedding), network._codes(params, embedding)
    assert found["head"] is logs["head"]
    assert found["adapter"].keys() == logs["adapter"].keys()
    for code, (path, factors) in zip(codes, logs["adapter"].items(), strict=True):
        for key, log in factors.items():
            expected = np.array(log) + np.array(code) @ np.array(params["rates"])
            np.testing.assert_allclose(np.array(found["adapter"][path][key]), expected, atol=1e-5)


def test_without_rate_steps_learning_rates_stay() -> None:
    network, params, _, embedding = made("mlp", "diag")
    logs = {"adapter": {}, "head": {}}
    assert "rates" not in params
    assert network.log_rates(params, logs, embedding) is logs


def test_an_unknown_term_or_size_is_refused() -> None:
    backbone, lora = BACKBONES["mlp"]
    with pytest.raises(AdapterError, match="no generated term 'ful'.*Did you mean 'full'.* Known: diag, square, full"):
        hypernetwork_for(backbone, lora, DIMS, "ful")  # type: ignore[arg-type]
    for sizes in ({"dims": 0}, {"dims": 4, "width": 0}, {"dims": 4, "rate_steps": -1}):
        with pytest.raises(AdapterError, match="dims and width must be at least 1 and rate_steps 0, got"):
            hypernetwork_for(backbone, lora, **sizes)


def test_numbers_are_counted() -> None:
    assert count_numbers({"a": mx.zeros((2, 3)), "b": {"c": mx.array(1.0), "d": mx.zeros(4)}}) == 11
    network, params, _, _ = made("mlp", "diag")
    shared = DIMS * WIDTH + WIDTH + WIDTH * WIDTH + WIDTH + 3 * WIDTH + 1 * WIDTH
    assert count_numbers(params) == shared + WIDTH * RANK
