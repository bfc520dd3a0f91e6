"""metapeft.backbones.load: by folder or Hub id, and one clear message for whatever is wrong with either."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metapeft.backbones.load import load_backbone, load_bert
from metapeft.errors import BackboneError
from metapeft.mlx import mx
from tests.backbones.checkpoints import Case, case, final_states, write


@pytest.fixture(scope="module")
def made() -> Case:
    return case("bert")


@pytest.fixture
def folder(tmp_path: Path, made: Case) -> Path:
    return write(tmp_path / "model", made.config, made.weights)


def refused(name: str | Path) -> str:
    with pytest.raises(BackboneError) as caught:
        load_backbone(str(name))
    message = str(caught.value)
    assert f"backbone '{name}" in message
    return message


def test_by_hub_id_no_code_and_no_pickle_is_fetched(folder: Path, made: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def fetch(name: str, allow_patterns: list[str]) -> str:
        asked[name] = allow_patterns
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    backbone = load_backbone("tiny/bert")
    assert backbone.name == "tiny/bert"
    assert backbone.digest == load_backbone(str(folder)).digest
    np.testing.assert_allclose(final_states(backbone, made.tokens, made.lengths), made.states, rtol=0, atol=1e-5)

    def is_fetched(file: str) -> bool:
        return any(fnmatch(file, pattern) for pattern in asked["tiny/bert"])

    assert all(map(is_fetched, ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "merges.txt"]))
    assert not any(map(is_fetched, ["pytorch_model.bin", "modeling.py", "flax_model.msgpack", "training_args.bin"]))


@pytest.mark.usefixtures("no_hub")
def test_from_the_cache_when_the_hub_cannot_be_reached(folder: Path) -> None:
    from huggingface_hub import constants

    commit = "0" * 40
    cached = Path(constants.HF_HUB_CACHE) / "models--tiny--cached"
    shutil.copytree(folder, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    assert load_backbone("tiny/cached").digest == load_backbone(str(folder)).digest
    assert "not in the cache, and the Hub cannot be reached. 'nano' needs no network" in refused("tiny/other")


@pytest.mark.usefixtures("hub")
def test_an_unknown_name(tmp_path: Path) -> None:
    assert "no such folder, and no such model on the Hub. 'nano' is always there" in refused("tiny/absent")
    assert "no such folder" in refused(tmp_path / "absent" / "a b")


def test_a_file_or_an_empty_folder(folder: Path, tmp_path: Path) -> None:
    assert "give the folder, not a file in it" in refused(folder / "config.json")
    (tmp_path / "empty").mkdir()
    assert "has no config.json" in refused(tmp_path / "empty")


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON"), ("[]", "names no model_type"), ('{"model_type": ["bert"]}', "names no model_type")],
)
def test_a_config_that_is_none(folder: Path, text: str, message: str) -> None:
    (folder / "config.json").write_text(text)
    assert message in refused(folder)


def test_a_size_that_is_missing(folder: Path, made: Case) -> None:
    config = {key: value for key, value in made.config.items() if key != "intermediate_size"}
    (folder / "config.json").write_text(json.dumps(config))
    assert "its config.json has no 'intermediate_size'" in refused(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "gelu_neww"}, "unknown activation 'gelu_neww'. Did you mean 'gelu_new'?"),
        ({"position_embedding_type": "relative_key"}, "relative positions (relative_key) are not supported"),
        ({"num_hidden_layers": 4}, "weight 'encoder.layer.3.attention.self.query.weight' and 15 more missing."),
        (
            {"intermediate_size": 64},
            "weight 'encoder.layer.0.intermediate.dense.weight' has shape (32, 16), its config says (64, 16)",
        ),
    ],
)
def test_a_config_that_does_not_fit(folder: Path, made: Case, change: dict[str, Any], message: str) -> None:
    (folder / "config.json").write_text(json.dumps(made.config | change))
    assert message in refused(folder)


def test_a_weight_that_is_missing_is_named_with_the_nearest_name(folder: Path, made: Case) -> None:
    weights = dict(made.weights)
    weights["encoder.layer.1.output.dense.weights"] = weights.pop("encoder.layer.1.output.dense.weight")
    write(folder, made.config, weights)
    message = refused(folder)
    assert "weight 'encoder.layer.1.output.dense.weight' missing" in message
    assert "Did you mean 'encoder.layer.1.output.dense.weights'?" in message


def test_a_damaged_file(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    for part in (whole[:100], whole[:-100], b""):
        (folder / "model.safetensors").write_bytes(part)
        assert "model.safetensors is damaged" in refused(folder)


@pytest.mark.parametrize("kind", ["bert", "modernbert", "llama"])
def test_a_pickle_is_never_opened(tmp_path: Path, made: Case, kind: str) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "sprung"),)

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(made.config | {"model_type": kind}))
    for name in ("pytorch_model.bin", "model.safetensors.pt"):
        (folder / name).write_bytes(pickle.dumps(Trap()))
    message = refused(folder)
    assert "that is a pickle, which can run code when it is opened; it is not read" in message
    assert "convert it to safetensors" in message
    assert "that is a pickle" in refused(folder / "pytorch_model.bin")
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")  # by a false name it is no safetensors either
    message = refused(folder)
    assert "damaged" in message or "mlx-lm cannot load it" in message
    assert not (tmp_path / "sprung").exists()


def test_an_unknown_architecture_lists_the_known(folder: Path, made: Case) -> None:
    (folder / "config.json").write_text(json.dumps(made.config | {"model_type": "modernbart"}))
    message = refused(folder)
    assert "unknown architecture 'modernbart'. Did you mean 'modernbert'?" in message
    assert "known: bert, roberta, xlm-roberta, distilbert, modernbert, metapeft_mlp, and the" in message
    found = re.search(r"and the (\d+) of mlx-lm", message)
    assert found is not None
    assert int(found[1]) > 100
    for name in ("cache", "base", "..utils", "os"):  # modules, but no architectures
        (folder / "config.json").write_text(json.dumps(made.config | {"model_type": name}))
        assert f"unknown architecture '{name}'" in refused(folder)


def test_load_bert_wants_a_bert(folder: Path, made: Case) -> None:
    (folder / "config.json").write_text(json.dumps(made.config | {"model_type": "llama"}))
    with pytest.raises(BackboneError, match="it is a llama, not one of bert, roberta"):
        load_bert(str(folder))


def test_weights_in_several_files_and_in_half_precision(tmp_path: Path, made: Case) -> None:
    folder = write(tmp_path / "model", made.config, {})
    (folder / "model.safetensors").unlink()
    items = [(path, mx.array(value).astype(mx.float16)) for path, value in made.weights.items()]
    for part in range(2):
        mx.save_safetensors(str(folder / f"model-0000{part + 1}-of-00002.safetensors"), dict(items[part::2]))
    backbone: Any = load_backbone(str(folder))
    assert {w.dtype for w in backbone.weights.values()} == {mx.float32}
    np.testing.assert_allclose(final_states(backbone, made.tokens, made.lengths), made.states, rtol=0, atol=1e-5)


def test_an_encoder_that_mlx_quantized(tmp_path: Path, made: Case) -> None:
    weights: dict[str, Any] = {}
    for path, value in made.weights.items():
        if value.ndim == 2 and value.shape[1] == 32:  # 16 columns make no group of 32
            base = path.removesuffix(".weight")
            packed = mx.quantize(mx.array(value), group_size=32, bits=8)
            weights |= dict(zip((path, f"{base}.scales", f"{base}.biases"), packed, strict=True))
        else:
            weights[path] = value
    config = made.config | {"quantization": {"group_size": 32, "bits": 8}}
    backbone: Any = load_backbone(str(write(tmp_path / "model", config, weights)))
    np.testing.assert_allclose(final_states(backbone, made.tokens, made.lengths), made.states, rtol=0, atol=0.05)


def test_no_mlx_backend(tmp_path: Path) -> None:
    """As on Linux after `pip install mlx` alone: the shell is there, libmlx is not."""
    (tmp_path / "mlx").mkdir()
    (tmp_path / "mlx" / "__init__.py").touch()
    (tmp_path / "mlx" / "core.py").write_text(
        "raise ImportError('libmlx.so: cannot open shared object file: No such file or directory')"
    )
    code = "\n".join(
        [
            "from metapeft.errors import MetapeftError",
            "try:",
            "    from metapeft.backbones.load import load_backbone",
            "except MetapeftError as error:",
            "    print(error)",
        ]
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.stdout.startswith("no MLX backend is installed: libmlx.so"), done.stderr
    assert "pip install" in done.stdout
