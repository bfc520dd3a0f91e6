"""metapeft.backbones.modernbert: equal to PyTorch for both forms of config, and a backbone in every respect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metapeft.backbones.load import load_backbone
from metapeft.backbones.modernbert import ModernBertConfig
from metapeft.errors import BackboneError
from tests.backbones.checkpoints import case, final_states, load_case, write
from tests.backbones.contract import CHECKS, Check, second_derivatives_are_right

CASES = ["modernbert", "modernbert_window", "modernbert_old_config"]


@pytest.fixture(scope="module", params=["modernbert_window", "modernbert_old_config"])
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_case(request.param, tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("name", CASES)
def test_hidden_states_are_those_of_pytorch(name: str, tmp_path: Path) -> None:
    wanted = case(name)
    got = final_states(load_case(name, tmp_path), wanted.tokens, wanted.lengths)
    np.testing.assert_allclose(got, wanted.states, rtol=0, atol=1e-5)


@pytest.mark.parametrize("check", [*CHECKS, second_derivatives_are_right], ids=lambda check: check.__name__)
def test_contract(backbone: Any, check: Check) -> None:
    made = case("modernbert_window")
    check(backbone, made.tokens, made.lengths)


def test_tokens_of_local_blocks_do_not_see_further_than_the_window(tmp_path: Path) -> None:
    made = case("modernbert_window")
    local = made.config | {"layer_types": ["sliding_attention"] * 4}
    backbone = load_backbone(str(write(tmp_path, local, made.weights)))
    tokens = made.tokens[:1]
    changed = tokens.copy()
    changed[0, 0] = 49 - changed[0, 0]
    lengths = np.array([20])
    seen = [np.abs(final_states(backbone, t, lengths) - final_states(backbone, tokens, lengths)) for t in (changed,)][0]
    assert (seen[:13].max(axis=1) > 0).all(), "four blocks of three tokens"
    np.testing.assert_allclose(seen[13:], 0, rtol=0, atol=1e-6)


def test_both_forms_of_config_say_the_same() -> None:
    new, old = case("modernbert").config, case("modernbert_old_config").config
    assert "rope_parameters" in new and "layer_types" in new
    assert not {"rope_parameters", "layer_types"} & old.keys()
    read = ModernBertConfig.from_hugging_face(old)
    assert read.windows == (None, 3, None, 3)
    assert read.thetas == (3000.0, 50.0, 3000.0, 50.0)
    again = {key: value for key, value in old.items() if "theta" not in key and "every" not in key} | {
        "layer_types": ["full_attention", "sliding_attention"] * 2,
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 3000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
        },
    }
    assert ModernBertConfig.from_hugging_face(again) == read
    assert ModernBertConfig.from_hugging_face(old | {"local_rope_theta": None}).thetas == (3000.0,) * 4


def test_the_published_defaults() -> None:
    """answerdotai/ModernBERT-base leaves out what is as usual."""
    sizes = {"vocab_size": 50368, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 1152}
    read = ModernBertConfig.from_hugging_face(sizes | {"model_type": "modernbert", "num_hidden_layers": 22})
    assert read.windows[:4] == (None, 64, 64, None)
    assert read.thetas[:4] == (160000.0, 10000.0, 10000.0, 160000.0)
    assert not (read.norm_bias or read.attention_bias or read.mlp_bias)
    assert read.shapes()["layers.21.mlp.Wi.weight"] == (2304, 768)
    assert "layers.0.attn_norm.weight" not in read.shapes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn", "rope_theta": 1e4}}}, "type 'yarn'"),
        ({"layer_types": ["full_attention", "chunked_attention"] * 2}, "unknown attention 'chunked_attention'"),
        ({"hidden_activation": "gelu_fast"}, "unknown activation 'gelu_fast'. Did you mean 'gelu"),
        ({"hidden_size": None}, "cannot be used"),
    ],
)
def test_what_is_not_known_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    made = case("modernbert")
    with pytest.raises(BackboneError, match=message):
        load_backbone(str(write(tmp_path, made.config | change, made.weights)))


def test_a_text_that_is_too_long_is_refused(backbone: Any) -> None:
    most = backbone.config.max_positions
    with pytest.raises(BackboneError, match=f"a text has {most + 1} tokens"):
        backbone.prefix(np.full((1, most + 1), 5))
