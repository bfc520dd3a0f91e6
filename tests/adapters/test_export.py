"""Saved adapters: our own round trips, the names and shapes of other libraries, and files that must be refused."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.adapters.export import load_adapter, load_mlx_lm, load_peft, save_mlx_lm, save_peft
from metapeft.adapters.lora import LoraConfig, stack
from metapeft.errors import AdapterError
from metapeft.mlx import mx
from tests.adapters.toy import ToyBackbone, filled, same

TOY = ToyBackbone("someone/toy")
OTHER = ToyBackbone("someone/else", seed=1)  # the same names and shapes, other weights
ADAPTER = filled(TOY, LoraConfig(rank=2), 0)
X = mx.random.normal((4, 6), key=mx.random.key(9))
SAVERS = {"mlx-lm": save_mlx_lm, "peft": save_peft}
WEIGHTS = {"mlx-lm": "adapters.safetensors", "peft": "adapter_model.safetensors"}
both = pytest.mark.parametrize("kind", SAVERS)


def config_of(folder: Path) -> dict:
    return json.loads((folder / "adapter_config.json").read_text())


def change_config(folder: Path, **changes) -> None:
    (folder / "adapter_config.json").write_text(json.dumps(config_of(folder) | changes))


def add_tensor(folder: Path, name: str, tensor: mx.array) -> None:
    (path,) = folder.glob("*.safetensors")
    tensors = dict(mx.load(str(path)))
    mx.save_safetensors(str(path), tensors | {name: tensor})


# --- round trips


@given(
    kind=st.sampled_from(list(SAVERS)),
    rank=st.integers(1, 4),
    num_layers=st.integers(1, 4),
    keys=st.lists(st.sampled_from(["mlp.up", "mlp.down", "head", "blocks.1.mlp.down"]), min_size=1, unique=True),
    scale=st.floats(0.01, 100),
    dtype=st.sampled_from([mx.float32, mx.bfloat16, mx.float16]),
)
@settings(max_examples=30, deadline=None)
def test_what_was_saved_is_read_back(tmp_path_factory, kind, rank, num_layers, keys, scale, dtype):
    folder = tmp_path_factory.mktemp("adapters") / "one"
    adapter = filled(TOY, LoraConfig(rank=rank, num_layers=num_layers, keys=keys), 0)
    adapter = {path: {key: value.astype(dtype) for key, value in f.items()} for path, f in adapter.items()}
    SAVERS[kind](adapter, TOY, scale, folder)
    for read, read_scale in (load_adapter(folder, TOY), load_adapter(folder)):
        assert same(read, adapter)
        assert read_scale == pytest.approx(scale, rel=1e-12)
    assert list(load_adapter(folder, TOY)[0]) == list(adapter)  # lowest first: one order, one compiled graph


@both
def test_a_folder_is_written_whole_and_replaced(tmp_path, kind):
    folder = tmp_path / "deep" / "adapter"
    SAVERS[kind](filled(TOY, LoraConfig(rank=3), 5), TOY, 1.0, folder)
    SAVERS[kind](ADAPTER, TOY, 4.0, folder, model="hub/name")
    assert sorted(path.name for path in folder.iterdir()) == sorted([WEIGHTS[kind], "adapter_config.json"])
    assert [path.name for path in folder.parent.iterdir()] == ["adapter"]
    read, scale = load_adapter(folder, TOY)
    assert same(read, ADAPTER)
    assert scale == 4.0
    assert "hub/name" in config_of(folder).values()


@both
def test_a_folder_that_holds_other_things_is_left_alone(tmp_path, kind):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(AdapterError, match=r"holds other things \(thesis.tex\)"):
        SAVERS[kind](ADAPTER, TOY, 1.0, tmp_path)
    with pytest.raises(AdapterError, match="is a file"):
        SAVERS[kind](ADAPTER, TOY, 1.0, tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@both
def test_an_adapter_that_cannot_be_saved_leaves_nothing(tmp_path, kind):
    folder = tmp_path / "adapter"
    with pytest.raises(AdapterError, match="blocks.2.mlp.up: has a leading axis of 2 tasks"):
        SAVERS[kind](stack([ADAPTER, ADAPTER]), TOY, 1.0, folder)
    with pytest.raises(AdapterError, match="blocks.4.mlp.up: no such linear map"):
        SAVERS[kind](filled(ToyBackbone(blocks=6), LoraConfig(rank=2), 0), TOY, 1.0, folder)
    assert not folder.exists()


# --- the formats themselves


def test_names_shapes_and_config_of_mlx_lm(tmp_path):
    save_mlx_lm(ADAPTER, TOY, 20.0, tmp_path / "a")
    tensors = mx.load(str(tmp_path / "a" / "adapters.safetensors"))
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "blocks.2.mlp.up.lora_a": (6, 2),
        "blocks.2.mlp.up.lora_b": (2, 8),
        "blocks.3.mlp.up.lora_a": (6, 2),
        "blocks.3.mlp.up.lora_b": (2, 8),
    }
    assert config_of(tmp_path / "a") == {
        "fine_tune_type": "lora",
        "model": "someone/toy",
        "num_layers": 2,
        "lora_parameters": {"rank": 2, "scale": 20.0, "dropout": 0.0, "keys": ["mlp.up"]},
        "metapeft": {"format": 1, "backbone": "someone/toy", "model_type": "toy", "digest": TOY.digest},
    }


@pytest.mark.parametrize(
    ("wanted", "num_layers", "keys"),
    [
        (LoraConfig(num_layers=4, keys=["mlp.down", "head"]), 4, ["mlp.down", "head"]),
        (LoraConfig(num_layers=1, keys=["head", "blocks.1.mlp.up"]), 3, ["blocks.1.mlp.up", "head"]),
        (LoraConfig(num_layers=1, keys=["head"]), 1, ["head"]),
    ],
)
def test_keys_are_absolute_only_where_they_must(tmp_path, wanted, num_layers, keys):
    save_mlx_lm(filled(TOY, wanted, 0), TOY, 1.0, tmp_path / "a")
    config = config_of(tmp_path / "a")
    assert (config["num_layers"], config["lora_parameters"]["keys"]) == (num_layers, keys)


def two_ranks() -> dict:
    return filled(TOY, LoraConfig(rank=2), 0) | filled(TOY, LoraConfig(rank=4, keys=["head"]), 1)


def test_mlx_lm_needs_one_rank(tmp_path):
    with pytest.raises(AdapterError, match="blocks.2.mlp.up has rank 2, head rank 4(?s:.)*save_peft can"):
        save_mlx_lm(two_ranks(), TOY, 1.0, tmp_path / "a")


def test_names_shapes_and_config_of_peft(tmp_path):
    save_peft(ADAPTER, TOY, 20.0, tmp_path / "a")
    tensors, metadata = mx.load(str(tmp_path / "a" / "adapter_model.safetensors"), return_metadata=True)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "base_model.model.blocks.2.mlp.up.lora_A.weight": (2, 6),
        "base_model.model.blocks.2.mlp.up.lora_B.weight": (8, 2),
        "base_model.model.blocks.3.mlp.up.lora_A.weight": (2, 6),
        "base_model.model.blocks.3.mlp.up.lora_B.weight": (8, 2),
    }
    assert metadata["format"] == "pt"
    assert config_of(tmp_path / "a") == {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "someone/toy",
        "r": 2,
        "lora_alpha": 40.0,
        "rank_pattern": {},
        "alpha_pattern": {},
        "target_modules": ["blocks.2.mlp.up", "blocks.3.mlp.up"],
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }


def test_the_transpose_is_written_not_a_view(tmp_path):
    """Read without MLX: the bytes of A must lie in the order (r, d_in)."""
    save_peft(ADAPTER, TOY, 1.0, tmp_path / "a")
    blob = (tmp_path / "a" / "adapter_model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", blob[:8])
    name = "base_model.model.blocks.2.mlp.up.lora_A.weight"
    start, end = json.loads(blob[8 : 8 + size])[name]["data_offsets"]
    values = np.frombuffer(blob[8 + size + start : 8 + size + end], "<f4").reshape(2, 6)
    np.testing.assert_array_equal(values.T, np.array(ADAPTER["blocks.2.mlp.up"]["lora_a"]))


@pytest.mark.parametrize("model_type", ["bert", "xlm-roberta", "modernbert"])
def test_an_encoder_is_a_feature_extractor_to_peft(tmp_path, model_type):
    backbone = ToyBackbone()
    backbone.model_type = model_type
    save_peft(ADAPTER, backbone, 1.0, tmp_path / "a")
    assert config_of(tmp_path / "a")["task_type"] == "FEATURE_EXTRACTION"


def test_several_ranks_are_patterns_in_peft(tmp_path):
    adapter = two_ranks()
    save_peft(adapter, TOY, 3.0, tmp_path / "a")
    config = config_of(tmp_path / "a")
    assert (config["r"], config["lora_alpha"]) == (4, 12.0)
    assert config["rank_pattern"] == {"blocks.2.mlp.up": 2, "blocks.3.mlp.up": 2}
    assert config["alpha_pattern"] == {"blocks.2.mlp.up": 6.0, "blocks.3.mlp.up": 6.0}
    read, scale = load_peft(tmp_path / "a", TOY)
    assert scale == 3.0
    assert same(read, adapter)


# --- what others wrote


def test_a_file_of_mlx_lm_without_our_block(tmp_path):
    save_mlx_lm(ADAPTER, TOY, 20.0, tmp_path / "a")
    config = config_of(tmp_path / "a")
    del config["metapeft"]
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps(config | {"iters": 600, "seed": 0}))
    read, scale = load_mlx_lm(tmp_path / "a", OTHER)
    assert scale == 20.0
    assert same(read, ADAPTER)


def from_peft(folder: Path, **config) -> Path:
    """A folder as PEFT writes it, with no word of ours: `two_ranks` with alpha 8 and r 4."""
    save_peft(two_ranks(), TOY, 2.0, folder)
    path = folder / "adapter_model.safetensors"
    mx.save_safetensors(str(path), dict(mx.load(str(path))), {"format": "pt"})
    theirs = {"alpha_pattern": {}, "peft_version": "0.21.2", "megatron_core": "megatron.core", "use_dora": False}
    change_config(folder, **theirs | config)
    return folder


@pytest.mark.parametrize(
    ("config", "scales"),
    [
        ({}, {2: 8 / 2, 4: 8 / 4}),  # alpha is one for all, ranks differ
        ({"use_rslora": True}, {2: 8 / 2**0.5, 4: 8 / 4**0.5}),
        ({"alpha_pattern": {"mlp.up": 1}}, {2: 1 / 2, 4: 8 / 4}),
        ({"alpha_pattern": {"blocks.\\d.mlp.up": 12, "head": 1}}, {2: 12 / 2, 4: 1 / 4}),
        ({"alpha_pattern": {"up": 0}}, {2: 0.0, 4: 2.0}),
    ],
)
def test_scales_of_peft(tmp_path, config, scales):
    read, scale = load_peft(from_peft(tmp_path / "a", **config), OTHER)
    for path, factors in two_ranks().items():
        wanted = scales[factors["lora_a"].shape[1]] * (factors["lora_a"] @ factors["lora_b"])
        np.testing.assert_allclose(scale * (read[path]["lora_a"] @ read[path]["lora_b"]), wanted, rtol=1e-5, atol=1e-5)


def test_the_prefix_of_a_model_with_a_head_is_taken_off(tmp_path):
    save_peft(ADAPTER, TOY, 1.0, tmp_path / "a")
    path = tmp_path / "a" / "adapter_model.safetensors"
    tensors = {name.replace("model.blocks", "model.toy.blocks"): value for name, value in mx.load(str(path)).items()}
    mx.save_safetensors(str(path), tensors)
    assert same(load_peft(tmp_path / "a", TOY)[0], ADAPTER)
    assert list(load_peft(tmp_path / "a")[0])[0].startswith("toy.blocks.")


# --- refused


@both
def test_an_adapter_for_another_backbone(tmp_path, kind):
    SAVERS[kind](ADAPTER, TOY, 1.0, tmp_path / "a")
    with pytest.raises(AdapterError, match="made for another backbone: 'someone/toy'.* not 'someone/else'"):
        load_adapter(tmp_path / "a", OTHER)


@both
def test_names_and_shapes_are_checked_without_a_stamp(tmp_path, kind):
    SAVERS[kind](ADAPTER, TOY, 1.0, tmp_path / "a")
    path = tmp_path / "a" / WEIGHTS[kind]
    mx.save_safetensors(str(path), dict(mx.load(str(path))))
    config = {key: value for key, value in config_of(tmp_path / "a").items() if key != "metapeft"}
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(
        AdapterError, match="(?s)does not fit the backbone 'small'.*blocks.2.mlp.up: no such linear map"
    ):
        load_adapter(tmp_path / "a", ToyBackbone("small", blocks=2))


def test_a_newer_format(tmp_path):
    save_mlx_lm(ADAPTER, TOY, 1.0, tmp_path / "a")
    change_config(tmp_path / "a", metapeft=config_of(tmp_path / "a")["metapeft"] | {"format": 2})
    with pytest.raises(AdapterError, match="written in format 2, this version reads 1"):
        load_mlx_lm(tmp_path / "a", TOY)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"])
def test_a_pickle_is_refused_and_not_opened(tmp_path, suffix):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was opened",))

    save_peft(ADAPTER, TOY, 1.0, tmp_path / "a")
    (tmp_path / "a" / "adapter_model.safetensors").unlink()
    pickled = tmp_path / "a" / f"adapter_model{suffix}"
    pickled.write_bytes(pickle.dumps(Trap()))
    for offered in (tmp_path / "a", pickled):
        for load in (load_adapter, load_peft, load_mlx_lm):
            with pytest.raises(AdapterError, match=rf"adapter_model{suffix} is a pickle(?s:.)*save_pretrained"):
                load(offered, TOY)


@both
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("blocks.2.mlp.up.m", (8,)),  # DoRA of mlx-lm
        ("base_model.model.blocks.2.mlp.up.lora_magnitude_vector", (8,)),  # DoRA of PEFT
        ("base_model.model.blocks.2.mlp.up.lora_B.bias", (8,)),
        ("base_model.model.head.weight", (3, 6)),  # modules_to_save
        ("base_model.model.embed.lora_embedding_A", (2, 9)),
        ("blocks.2.mlp.experts.lora_a", (4, 2, 6)),
        ("base_model.model.head.lora_A.weight", (0, 6)),
        ("base_model.model.blocks.2.mlp.experts.lora_A.weight", (4, 2, 6)),
    ],
)
def test_a_tensor_that_is_no_factor_is_not_ignored(tmp_path, kind, name, shape):
    SAVERS[kind](ADAPTER, TOY, 1.0, tmp_path / "a")
    add_tensor(tmp_path / "a", name, mx.zeros(shape))
    with pytest.raises(AdapterError, match=f"{name} .* is not a LoRA factor"):
        load_adapter(tmp_path / "a")


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [("mlx-lm", "head.lora_a", "head"), ("peft", "base_model.model.head.lora_A.weight", "head")],
)
def test_half_a_pair(tmp_path, kind, name, path):
    SAVERS[kind](ADAPTER, TOY, 1.0, tmp_path / "a")
    add_tensor(tmp_path / "a", name, mx.zeros((6, 6)))
    with pytest.raises(AdapterError, match=f"{path} has only lora_a"):
        load_adapter(tmp_path / "a")


@both
def test_no_tensors_at_all(tmp_path, kind):
    SAVERS[kind](ADAPTER, TOY, 1.0, tmp_path / "a")
    mx.save_safetensors(str(tmp_path / "a" / WEIGHTS[kind]), {})
    with pytest.raises(AdapterError, match="the adapter is empty"):
        load_adapter(tmp_path / "a")


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("mlx-lm", {"fine_tune_type": "dora"}, "fine_tune_type is 'dora'"),
        ("mlx-lm", {"fine_tune_type": "full"}, "fine_tune_type is 'full'"),
        ("mlx-lm", {"lora_parameters": {"rank": 2, "alpha": 16}}, "lora_parameters.scale is None"),
        ("mlx-lm", {"lora_parameters": [20.0]}, "lora_parameters.scale is None"),
        ("peft", {"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ("peft", {"use_dora": True}, "use_dora is True"),
        ("peft", {"modules_to_save": ["classifier"]}, r"modules_to_save is \['classifier'\]"),
        ("peft", {"bias": "all"}, "bias is 'all'"),
        ("peft", {"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ("peft", {"made_up_next_year": 1}, "made_up_next_year is 1"),
        ("peft", {"lora_alpha": None}, "lora_alpha is None"),
        ("peft", {"lora_alpha": True}, "lora_alpha is True"),
        ("peft", {"alpha_pattern": {"up": "8"}}, "alpha_pattern.up is '8'"),
    ],
)
def test_settings_that_cannot_be_honoured(tmp_path, kind, changes, message):
    SAVERS[kind](ADAPTER, TOY, 1.0, tmp_path / "a")
    change_config(tmp_path / "a", **changes)
    with pytest.raises(AdapterError, match=message):
        load_adapter(tmp_path / "a", TOY)


@both
def test_damaged_or_missing_files(tmp_path, kind):
    folder = tmp_path / "a"
    SAVERS[kind](ADAPTER, TOY, 1.0, folder)
    weights, config = folder / WEIGHTS[kind], folder / "adapter_config.json"
    with pytest.raises(AdapterError, match="is a file; give the folder"):
        load_adapter(weights, TOY)
    for text, message in (("{", "is not JSON"), ("[]", "is not a JSON object")):
        config.write_text(text)
        with pytest.raises(AdapterError, match=message):
            load_adapter(folder, TOY)
    config.unlink()
    with pytest.raises(AdapterError, match="adapter_config.json is missing"):
        load_adapter(folder, TOY)
    SAVERS[kind](ADAPTER, TOY, 1.0, folder)
    whole = weights.read_bytes()
    for cut in (4, len(whole) // 2, len(whole) - 8):
        weights.write_bytes(whole[:cut])
        with pytest.raises(AdapterError, match="is damaged"):
            load_adapter(folder, TOY)
    weights.unlink()
    with pytest.raises(
        AdapterError, match="no adapter in .*: expected adapters.safetensors .*adapter_model.safetensors"
    ):
        load_adapter(folder, TOY)
    with pytest.raises(AdapterError, match="no adapter in .*nowhere"):
        load_adapter(tmp_path / "nowhere", TOY)
