"""metapeft.backbones.bert: equal to PyTorch, whatever the checkpoint is called, and a backbone in every respect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metapeft.backbones import bert, elementwise
from metapeft.backbones.bert import Bert, layer_norm
from metapeft.backbones.load import load_backbone
from metapeft.errors import BackboneError
from metapeft.mlx import mx
from tests.backbones.checkpoints import case, final_states, load_case, write
from tests.backbones.contract import CHECKS, Check, adapter_for, second_derivatives_are_right

CASES = ["bert", "bert_with_head", "roberta_with_head", "distilbert", "distilbert_with_head"]
ONE_OF_EACH = ["bert", "roberta_with_head", "distilbert"]


@pytest.fixture(scope="module", params=ONE_OF_EACH)
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_case(request.param, tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("name", CASES)
def test_hidden_states_are_those_of_pytorch(name: str, tmp_path: Path) -> None:
    wanted = case(name)
    got = final_states(load_case(name, tmp_path), wanted.tokens, wanted.lengths)
    np.testing.assert_allclose(got, wanted.states, rtol=0, atol=1e-5)


def test_xlm_roberta_is_roberta_by_another_name(tmp_path: Path) -> None:
    wanted = case("roberta_with_head")
    backbone = load_backbone(str(write(tmp_path, wanted.config | {"model_type": "xlm-roberta"}, wanted.weights)))
    assert backbone.model_type == "xlm-roberta"
    got = final_states(backbone, wanted.tokens, wanted.lengths)
    np.testing.assert_allclose(got, wanted.states, rtol=0, atol=1e-5)


@pytest.mark.parametrize("check", [*CHECKS, second_derivatives_are_right], ids=lambda check: check.__name__)
def test_contract(backbone: Any, check: Check) -> None:
    made = case("bert")
    check(backbone, made.tokens, made.lengths)


def test_paths_are_those_of_hugging_face(backbone: Any) -> None:
    prefixes = ("", f"{backbone.model_type}.")
    stored = case({"bert": "bert", "roberta": "roberta_with_head", "distilbert": "distilbert"}[backbone.model_type])
    for path, (d_in, d_out) in backbone.adaptable.items():
        shapes = [stored.weights[key].shape for p in prefixes if (key := f"{p}{path}.weight") in stored.weights]
        assert shapes == [(d_out, d_in)], path


def test_tokens_stand_in_their_rows(backbone: Any) -> None:
    made = case("bert")
    hidden = backbone.suffix(backbone.prefix(made.tokens, made.lengths))
    grid = np.array(backbone.tokens(hidden))
    assert grid.shape[:2] == (4, 24)
    mask = np.arange(grid.shape[1]) < made.lengths[:, None]
    assert (grid[~mask] == 0).all()
    means = grid.sum(axis=1) / made.lengths[:, None]
    np.testing.assert_allclose(backbone.pool(hidden), means, rtol=0, atol=1e-5)


def test_a_text_that_is_too_long_and_an_unknown_token_are_refused(backbone: Any) -> None:
    most = 38 if backbone.model_type == "roberta" else 40  # RoBERTa counts from the padding id + 1
    assert backbone.prefix(np.full((1, most), 5)).states.shape[0] == 40
    with pytest.raises(BackboneError, match=f"a text has {most + 1} tokens, it has positions for {most}"):
        backbone.prefix(np.full((1, most + 1), 5))
    for wrong in (50, -1):
        with pytest.raises(BackboneError, match=f"token id {wrong} is not among its 50"):
            backbone.prefix(np.array([[5, wrong, 5]]), np.array([2]))
    backbone.prefix(np.array([[5, 5, 50]]), np.array([2]))  # beyond the text's end anything may stand


@pytest.mark.parametrize("name", ["bert", "modernbert_window"])
def test_on_other_devices_half_precision_stays_half_and_features_are_float32(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ways that only a GPU takes, taken on the CPU."""
    for module in (bert, elementwise):
        monkeypatch.setattr(module, "on_cpu", lambda: False)
    made, full = case(name), load_case(name, tmp_path)
    half = type(full)(full.config, {path: w.astype(mx.bfloat16) for path, w in full.weights.items()}, "half", "")
    hidden = half.prefix(made.tokens, made.lengths, 1)
    for leading in ((), (4,)):
        adapter = adapter_for(half, half.adaptable, leading)
        out = half.suffix(hidden, adapter, 1.0, 1)
        assert (out.states.dtype, half.pool(out).dtype) == (mx.bfloat16, mx.float32)
        gradient = mx.grad(lambda a: half.pool(half.suffix(hidden, a, 1.0, 1)).square().sum())(adapter)
        top = gradient[next(path for path in adapter if path.startswith(half.layers[-1]))]["lora_a"]
        assert top.dtype == mx.float32
        assert mx.abs(top).max().item() > 0
    got, wanted = (np.array(b.pool(b.suffix(b.prefix(made.tokens, made.lengths)))) for b in (half, full))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=0.1)


@pytest.mark.parametrize(("mean", "tolerance"), [(0, 2e-6), (1, 2e-6), (10, 2e-4)])
def test_layer_norm_is_exact_enough(mean: float, tolerance: float) -> None:
    """E[x²] - E[x]² loses digits where the mean outweighs the deviation: no network has a row like the last one."""
    x = np.random.default_rng(0).normal(mean, 1, (32, 384)).astype(np.float32)
    weight, bias = np.random.default_rng(1).normal(size=(2, 384)).astype(np.float32)
    exact = x.astype(np.float64)
    exact = (exact - exact.mean(axis=1, keepdims=True)) / np.sqrt(exact.var(axis=1, keepdims=True) + 1e-12)
    got = layer_norm(mx.array(x), mx.array(weight), mx.array(bias), 1e-12)
    np.testing.assert_allclose(got, exact * weight + bias, rtol=0, atol=3 * tolerance)


def test_layer_norm_of_a_constant_row_is_finite() -> None:
    x, one = mx.full((4, 384), 7.3), mx.ones(384)
    assert mx.isfinite(layer_norm(x, one, 0 * one, 1e-12)).all()


def test_the_digest_names_architecture_and_weights(tmp_path: Path) -> None:
    made = case("bert")
    first = load_backbone(str(write(tmp_path / "a", made.config, made.weights)))
    again = load_backbone(str(write(tmp_path / "b", made.config, made.weights)))
    eps = load_backbone(str(write(tmp_path / "c", made.config | {"layer_norm_eps": 1e-5}, made.weights)))
    changed = {path: value + (path == "pooler.dense.bias") for path, value in made.weights.items()}
    other = load_backbone(str(write(tmp_path / "d", made.config, changed)))
    assert first.digest == again.digest
    assert len({first.digest, eps.digest, other.digest}) == 3
    assert isinstance(first, Bert)
    assert json.loads((tmp_path / "a" / "config.json").read_text())["model_type"] == first.model_type
