"""mlx-lm takes what is exported, computes the same, and what it writes is read.

This is also where a change of mlx-lm's adapter format would show: names, shapes, the meaning of `scale` and `keys`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metapeft.adapters.export import load_mlx_lm, save_mlx_lm
from metapeft.adapters.lora import LoraConfig, random_adapter
from metapeft.backbones.low_rank import low_rank
from metapeft.mlx import mx, nn
from tests.adapters.tiny_llama import description, write_tiny_llama

TOKENS = mx.array([[5, 9, 3, 40, 17], [60, 3, 3, 8, 1]])
SCALE = 4.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("llama") / "model"
    write_tiny_llama(folder)
    return folder


def filled(backbone, config: LoraConfig) -> dict:
    """A random adapter whose B is not zero."""
    return {
        path: factors | {"lora_b": 0.3 * mx.random.normal(factors["lora_b"].shape, key=mx.random.key(len(path)))}
        for path, factors in random_adapter(backbone, config, mx.random.key(1)).items()
    }


def adapted_by_hand(folder: Path, adapter: dict, scale: float) -> nn.Module:
    """mlx-lm's base model, each adapted map followed by our own low-rank term."""
    from mlx.utils import tree_unflatten
    from mlx_lm.utils import load_model

    class WithLowRank(nn.Module):
        def __init__(self, linear: nn.Module, factors: dict):
            super().__init__()
            self.linear, self.factors = linear, factors

        def __call__(self, x: mx.array) -> mx.array:
            return self.linear(x) + low_rank(x, self.factors, scale)

    model, _ = load_model(folder)
    modules = dict(model.named_modules())
    model.update_modules(tree_unflatten([(path, WithLowRank(modules[path], adapter[path])) for path in adapter]))
    return model


@pytest.mark.parametrize("bits", [None, 4])
@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(rank=3, num_layers=1),
        LoraConfig(rank=2, num_layers=2, keys=["self_attn.o_proj", "mlp.down_proj", "lm_head"]),
        LoraConfig(rank=2, num_layers=1, keys=["self_attn.q_proj", "model.layers.0.mlp.up_proj"]),  # absolute keys
    ],
)
def test_mlx_lm_loads_it_and_gives_the_same_logits(tmp_path, config, bits):
    from mlx_lm.utils import load_adapters, load_model

    write_tiny_llama(tmp_path / "model", bits)
    backbone = description(tmp_path / "model")
    adapter = filled(backbone, config)
    save_mlx_lm(adapter, backbone, SCALE, tmp_path / "adapter")
    base = load_model(tmp_path / "model")[0](TOKENS)
    theirs = load_adapters(load_model(tmp_path / "model")[0], str(tmp_path / "adapter"))(TOKENS)
    ours = adapted_by_hand(tmp_path / "model", adapter, SCALE)(TOKENS)
    assert mx.abs(theirs - base).max() > 0.01
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_a_file_of_mlx_lm_is_read(tmp_path, folder):
    """Written as `mlx_lm.lora` does: its conversion, its names, its whole namespace as configuration."""
    from mlx.utils import tree_flatten
    from mlx_lm.tuner.utils import linear_to_lora_layers
    from mlx_lm.utils import load_model

    parameters = {"rank": 2, "scale": 20.0, "dropout": 0.0, "keys": ["self_attn.q_proj", "lm_head"]}
    model, _ = load_model(folder)
    model.freeze()
    linear_to_lora_layers(model, 1, parameters)
    model.update({"lm_head": {"lora_b": 0.1 * mx.random.normal((2, 64), key=mx.random.key(0))}})
    written = dict(tree_flatten(model.trainable_parameters()))
    mx.save_safetensors(str(tmp_path / "adapters.safetensors"), written)
    namespace = {
        "model": str(folder),
        "fine_tune_type": "lora",
        "num_layers": 1,
        "iters": 600,
        "lora_parameters": parameters,
    }
    (tmp_path / "adapter_config.json").write_text(json.dumps(namespace))

    adapter, scale = load_mlx_lm(tmp_path, description(folder))
    assert list(adapter) == ["model.layers.1.self_attn.q_proj", "lm_head"]
    np.testing.assert_allclose(adapted_by_hand(folder, adapter, scale)(TOKENS), model(TOKENS), rtol=0, atol=1e-5)


def run_mlx_lm(verb: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "mlx_lm", verb, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


def test_generate_and_fuse_accept_it(tmp_path, folder):
    from mlx_lm import generate, load
    from mlx_lm.utils import load_model

    backbone = description(folder)
    adapter = filled(backbone, LoraConfig(rank=2, num_layers=2))
    save_mlx_lm(adapter, backbone, SCALE, tmp_path / "adapter")
    ours = adapted_by_hand(folder, adapter, SCALE)
    base, tokenizer = load(str(folder))
    said = generate(ours, tokenizer, prompt="w7 w8 w9", max_tokens=6)
    assert said != generate(base, tokenizer, prompt="w7 w8 w9", max_tokens=6)

    where = ("--model", str(folder), "--adapter-path", str(tmp_path / "adapter"))
    assert said in run_mlx_lm("generate", *where, "--prompt", "w7 w8 w9", "--max-tokens", "6", "--ignore-chat-template")
    run_mlx_lm("fuse", *where, "--save-path", str(tmp_path / "fused"))
    np.testing.assert_allclose(load_model(tmp_path / "fused")[0](TOKENS), ours(TOKENS), rtol=0, atol=1e-5)
