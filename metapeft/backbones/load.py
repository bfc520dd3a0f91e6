"""A backbone by name: the embedded one, a folder, or a Hub id. Safetensors only; nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from metapeft.atomic import canonical_json, sha256_file
from metapeft.backbones.backbone import Backbone
from metapeft.backbones.bert import ACTIVATIONS, NAMES, Bert, BertConfig
from metapeft.backbones.decoder import Decoder
from metapeft.backbones.elementwise import on_cpu
from metapeft.backbones.mlp import MODEL_TYPE as MLP
from metapeft.backbones.mlp import Mlp, MlpConfig, digest_of_arrays
from metapeft.backbones.modernbert import ModernBert, ModernBertConfig
from metapeft.errors import BackboneError, did_you_mean
from metapeft.mlx import mx

NANO = Path(__file__).parent / "nano"
PICO = Path(__file__).parent / "pico"
EMBEDDED = {"nano": NANO, "pico": PICO}
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
PREFIXES = ("bert.", "roberta.", "distilbert.", "model.")
FILES = [
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*",
    "vocab*",
    "merges*",
    "special_tokens*",
]
OWN = (*NAMES, "modernbert", MLP)  # every other architecture is mlx-lm's
Config = TypeVar("Config", BertConfig, ModernBertConfig, MlpConfig)


def load_backbone(name: str) -> Backbone:
    """Load a frozen network.

    Args:
        name: "nano" or "pico" (embedded), a folder with ``config.json`` and safetensors, or a Hub id.

    Returns:
        The backbone. On the CPU its weights are float32 (half precision is far slower there), elsewhere as stored.

    Raises:
        BackboneError: it is not there, is not safetensors, has an architecture that is not known, or a weight is
            missing or has the wrong shape.
    """
    kind = read_config(name, folder_of(name))["model_type"]
    if kind in NAMES:
        return load_bert(name)
    if kind == "modernbert":
        return load_modernbert(name)
    return load_mlp(name) if kind == MLP else load_decoder(name)


def load_bert(name: str) -> Bert:
    """`load_backbone` for the BERT family."""
    folder = folder_of(name)
    raw = read_config(name, folder)
    refuse = f"backbone '{name}'"
    if raw["model_type"] not in NAMES:
        raise BackboneError(f"{refuse}: it is a {raw['model_type']}, not one of {', '.join(NAMES)}")
    config = understood(name, raw, BertConfig.from_hugging_face)
    if raw.get("position_embedding_type", "absolute") != "absolute":
        raise BackboneError(f"{refuse}: relative positions ({raw['position_embedding_type']}) are not supported")
    _check_activation(name, config.activation)
    return Bert(config, read_checked(name, folder, raw, config.shapes()), name, digest_of(folder))


def load_modernbert(name: str) -> ModernBert:
    """`load_backbone` for ModernBERT."""
    folder = folder_of(name)
    raw = read_config(name, folder)
    config = understood(name, raw, ModernBertConfig.from_hugging_face)
    _check_activation(name, config.activation)
    return ModernBert(config, read_checked(name, folder, raw, config.shapes()), name, digest_of(folder))


def load_mlp(name: str) -> Mlp:
    """`load_backbone` for what `save_mlp` wrote."""
    folder = folder_of(name)
    raw = read_config(name, folder)
    config = understood(name, raw, MlpConfig.from_json)
    weights = read_checked(name, folder, raw, config.shapes())
    return Mlp(config, weights, name, digest_of_arrays(config, weights))


def load_decoder(name: str) -> Decoder:
    """`load_backbone` for a causal model of mlx-lm. No code of its repository is run, whatever its config asks for."""
    folder = folder_of(name)
    raw = read_config(name, folder)
    refuse, kind = f"backbone '{name}'", raw["model_type"]
    known = mlx_lm_architectures()
    if kind not in known:
        raise BackboneError(
            f"{refuse}: unknown architecture '{kind}'.{did_you_mean(str(kind), [*OWN, *known])}\n"
            f"  known: {', '.join(OWN)}, and the {len(known)} of mlx-lm (its folder `models`)"
        )
    if raw.get("model_file") is not None:  # mlx-lm would refuse as well; say so before anything is opened
        raise BackboneError(
            f"{refuse}: its config.json asks to run a file of the repository, {raw['model_file']}; that is never done"
        )
    weight_files(name, folder)
    from mlx_lm.utils import load_model

    try:
        model, _ = load_model(folder, lazy=True)
        if on_cpu():
            model.set_dtype(mx.float32)
        mx.eval(model.parameters())
    except (Exception, SystemExit) as error:  # whatever comes: olmo leaves Python where ai2-olmo is missing
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        more = [f"and {len(lines) - 4} more"] if len(lines) > 4 else []
        text = "\n  ".join(lines[:4] + more) or type(error).__name__
        raise BackboneError(f"{refuse}: mlx-lm cannot load it ({type(error).__name__}): {text}") from error
    sizes = [raw[key] for key in ("max_position_embeddings", "n_positions") if isinstance(raw.get(key), int)]
    return Decoder(model, kind, name, digest_of(folder), min(sizes, default=None), _ends(folder, raw))


def _ends(folder: Path, raw: Mapping[str, Any]) -> list[int]:
    """Ids of the tokens that end a text, by its config and by `generation_config.json`, which chat models have."""
    path = folder / "generation_config.json"
    configs = [raw, json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else [raw]
    found = [config.get("eos_token_id") for config in configs]
    ids = [each for one in found for each in (one if isinstance(one, list) else [one]) if isinstance(each, int)]
    return list(dict.fromkeys(ids))


def mlx_lm_architectures() -> list[str]:
    """Every `model_type` that mlx-lm can load: one module each, and other names for some."""
    import mlx_lm.models
    from mlx_lm.utils import MODEL_REMAPPING

    defines = re.compile(r"^class Model\b|^from \S+ import .*\bModel\b", re.MULTILINE)
    files = Path(mlx_lm.models.__path__[0]).glob("*.py")
    modules = {path.stem for path in files if defines.search(path.read_text(encoding="utf-8"))}
    return sorted(modules | {kind for kind, module in MODEL_REMAPPING.items() if module in modules})


def understood(name: str, raw: Mapping[str, Any], read: Callable[[Mapping[str, Any]], Config]) -> Config:
    """A config read from ``config.json``; what is missing or wrong in it as an error that names the backbone."""
    try:
        config = read(raw)
        config.shapes()  # where a size that is not a number shows
        return config
    except KeyError as error:
        raise BackboneError(f"backbone '{name}': its config.json has no {error}") from error
    except (ValueError, TypeError) as error:
        raise BackboneError(f"backbone '{name}': its config.json cannot be used: {error}") from error


def _check_activation(name: str, activation: str) -> None:
    if activation not in ACTIVATIONS:
        raise BackboneError(
            f"backbone '{name}': unknown activation '{activation}'.{did_you_mean(activation, ACTIVATIONS)}"
            f" Known: {', '.join(ACTIVATIONS)}"
        )


def folder_of(name: str) -> Path:
    """The folder with the backbone's files; those of a Hub id are fetched, or taken from the cache.

    Raises:
        BackboneError: there is no such folder, and no such model on the Hub or in the cache.
    """
    if name in EMBEDDED:
        return EMBEDDED[name]
    path = Path(name).expanduser()
    if path.suffix in PICKLES:
        raise BackboneError(_pickle(name))
    if path.is_dir():
        return path
    if path.exists():
        raise BackboneError(f"backbone '{name}': give the folder, not a file in it")
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=FILES))
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise BackboneError(
            f"backbone '{name}': no such folder, and no such model on the Hub. 'nano' is always there"
        ) from error
    except LocalEntryNotFoundError as error:
        raise BackboneError(
            f"backbone '{name}': not in the cache, and the Hub cannot be reached. 'nano' needs no network"
        ) from error
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BackboneError(f"backbone '{name}': cannot be fetched: {text}") from error


def read_config(name: str, folder: Path) -> dict[str, Any]:
    """Its ``config.json``, with a ``model_type`` in it."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BackboneError(f"backbone '{name}': {folder} has no config.json") from error
    except ValueError as error:
        raise BackboneError(f"backbone '{name}': {folder / 'config.json'} is not JSON: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise BackboneError(f"backbone '{name}': {folder / 'config.json'} names no model_type")
    return config


def weight_files(name: str, folder: Path) -> list[Path]:
    """The safetensors files of the folder: at least one, and never a pickle in their place."""
    files = sorted(folder.glob("*.safetensors"))
    if files:
        return files
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickled:
        raise BackboneError(_pickle(f"{name}/{pickled[0]}"))
    raise BackboneError(f"backbone '{name}': no *.safetensors in {folder}")


def read_weights(name: str, folder: Path) -> dict[str, mx.array]:
    """Every array of the folder's safetensors files."""
    weights: dict[str, mx.array] = {}
    for file in weight_files(name, folder):
        try:
            arrays = mx.load(str(file))
        except RuntimeError as error:
            raise BackboneError(f"backbone '{name}': {file} is damaged: {error}") from error
        assert isinstance(arrays, dict)
        weights |= arrays
    return weights


def read_checked(
    name: str, folder: Path, raw: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, mx.array]:
    """The named weights of the folder: without a prefix, plain, of the right shapes."""
    weights = dequantized(without_prefix(read_weights(name, folder), PREFIXES), raw.get("quantization"))
    return checked(weights, shapes, f"backbone '{name}'")


def without_prefix(weights: Mapping[str, mx.array], prefixes: tuple[str, ...]) -> dict[str, mx.array]:
    """Strip what a model with a head puts in front of the encoder's names, such as ``bert.``; a head's arrays stay."""
    for prefix in prefixes:
        if any(path.startswith(prefix) for path in weights):
            return {path.removeprefix(prefix): array for path, array in weights.items()}
    return dict(weights)


def dequantized(weights: dict[str, mx.array], settings: Mapping[str, int] | None) -> dict[str, mx.array]:
    """Turn what MLX's affine quantization packed back into plain matrices."""
    if not settings:
        return weights
    packed = [path.removesuffix(".scales") for path in weights if path.endswith(".scales")]
    for path in packed:
        packed_weight, scales, biases = (weights.pop(f"{path}.{part}") for part in ("weight", "scales", "biases"))
        weights[f"{path}.weight"] = mx.dequantize(
            packed_weight, scales, biases, group_size=settings["group_size"], bits=settings["bits"]
        )
    return weights


def checked(weights: Mapping[str, mx.array], shapes: Mapping[str, tuple[int, ...]], what: str) -> dict[str, mx.array]:
    """The named weights, evaluated, float32 on the CPU.

    Raises:
        BackboneError: one is missing or has another shape; it names the path.
    """
    missing = [path for path in shapes if path not in weights]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BackboneError(f"{what}: weight '{missing[0]}'{more} missing.{did_you_mean(missing[0], weights)}")
    for path, shape in shapes.items():
        if weights[path].shape != shape:
            raise BackboneError(f"{what}: weight '{path}' has shape {weights[path].shape}, its config says {shape}")
    out = {path: weights[path].astype(mx.float32) if on_cpu() else weights[path] for path in shapes}
    mx.eval(out)
    return out


def digest_of(folder: Path) -> str:
    """sha256 over the architecture and the weight files."""
    files = {path.name: sha256_file(path) for path in sorted(folder.glob("*.safetensors"))}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return hashlib.sha256(canonical_json({"config": config, "files": files}).encode()).hexdigest()


def _pickle(name: str) -> str:
    return (
        f"backbone '{name}': that is a pickle, which can run code when it is opened; it is not read\n"
        "  convert it to safetensors, or choose a revision that has *.safetensors"
    )
