"""metapeft.backbones.mlp: a frozen network for points, random, saved and opened again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from metapeft.adapters.lora import LoraConfig, check_adapter, random_adapter
from metapeft.backbones.load import load_backbone
from metapeft.backbones.mlp import make_mlp, save_mlp
from metapeft.errors import BackboneError
from metapeft.mlx import mx, nn
from tests.backbones.contract import CHECKS, Check, features, second_derivatives_are_right

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


@pytest.mark.parametrize("check", [*CHECKS, second_derivatives_are_right], ids=lambda check: check.__name__)
def test_contract(check: Check) -> None:
    check(make_mlp(3, hidden_size=16, num_layers=3, seed=1), X, None)


def test_it_is_linear_maps_and_gelu() -> None:
    mlp = make_mlp(3, hidden_size=8, num_layers=2)
    states = mx.array(X)
    for i in range(2):
        states = nn.gelu(states @ mlp.weights[f"layers.{i}.linear.weight"].T + mlp.weights[f"layers.{i}.linear.bias"])
    np.testing.assert_allclose(features(mlp, X, None), states, rtol=1e-5, atol=1e-5)
    assert mlp.adaptable == {"layers.0.linear": (3, 8), "layers.1.linear": (8, 8)}


def test_the_same_arguments_make_the_same_network() -> None:
    digests = [make_mlp(*sizes).digest for sizes in ((2, 16, 3, 0), (2, 16, 3, 0), (2, 16, 3, 1), (3, 16, 3, 0))]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_weights_keep_the_size_of_what_passes() -> None:
    """He et al. 2015: neither vanishing nor exploding through many layers."""
    mlp = make_mlp(100, hidden_size=256, num_layers=8)
    x = np.random.default_rng(0).normal(size=(64, 100)).astype(np.float32)
    assert 0.2 < np.sqrt((features(mlp, x, None) ** 2).mean()) < 2


def test_saved_and_opened_it_is_the_same(tmp_path: Path) -> None:
    mlp = make_mlp(2, hidden_size=8, num_layers=2, seed=3)
    save_mlp(mlp, tmp_path / "made" / "mlp")
    opened = load_backbone(str(tmp_path / "made" / "mlp"))
    assert opened.digest == mlp.digest
    assert opened.model_type == "metapeft_mlp"
    np.testing.assert_array_equal(features(opened, X[:, :2], None), features(mlp, X[:, :2], None))
    adapter = random_adapter(opened, LoraConfig(rank=2, num_layers=1), mx.random.key(0))
    assert list(adapter) == ["layers.1.linear"]
    check_adapter(mlp, adapter)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BackboneError, match="is there already"):
        save_mlp(make_mlp(2), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_points_of_another_dimension_are_refused() -> None:
    with pytest.raises(BackboneError, match=r"points of shape \(4, 3\), expected \(n, 2\)"):
        make_mlp(2).prefix(X)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_layers": 0}, "num_layers is 0, expected an integer of at least 1"),
        ({"hidden_size": "8"}, "hidden_size is '8', expected an integer"),
        ({"num_layers": 3}, "weight 'layers.2.linear.weight' and 1 more missing"),
        ({"hidden_size": 9}, r"weight 'layers.0.linear.weight' has shape \(8, 2\), its config says \(9, 2\)"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    save_mlp(make_mlp(2, hidden_size=8, num_layers=2), tmp_path / "mlp")
    path = tmp_path / "mlp" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BackboneError, match=message):
        load_backbone(str(tmp_path / "mlp"))
