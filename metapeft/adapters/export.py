"""Adapters on disk, in the formats of mlx-lm and of PEFT, written and read back.

Both are a folder of two files: safetensors and ``adapter_config.json``.

- mlx-lm: ``adapters.safetensors`` with ``PATH.lora_a`` ``(d_in, r)`` and ``PATH.lora_b`` ``(r, d_out)``; its `scale` is
  the scale here.
- PEFT: ``adapter_model.safetensors`` with ``base_model.model.PATH.lora_A.weight`` ``(r, d_in)`` and
  ``base_model.model.PATH.lora_B.weight`` ``(d_out, r)``; the scale is ``lora_alpha / r``.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from metapeft.adapters import files
from metapeft.adapters.lora import LoraConfig, check_adapter, first_layer, relative, rescaled, targets
from metapeft.backbones import bert
from metapeft.backbones.backbone import Adapter, Backbone
from metapeft.errors import AdapterError
from metapeft.mlx import mx

ENCODERS = (*bert.NAMES, "modernbert")  # model types whose base in PEFT is the bare model

# Settings of PEFT that do not change what a LoRA computes from its factors, or that are read here. Any other that is
# set is refused, so that nothing in a file is ignored silently.
_PEFT_KNOWN = {
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "ensure_weight_tying", "eva_config",
    "exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights", "layers_pattern", "layers_to_transform",
    "lora_alpha", "lora_dropout", "megatron_core", "peft_type", "peft_version", "qalora_group_size", "r",
    "rank_pattern", "revision", "target_modules", "task_type", "use_rslora",
}  # fmt: skip
_PEFT_INITS = (None, True, False, "gaussian", "orthogonal", "eva")  # the others (PiSSA, OLoRA) change the base too


def save_mlx_lm(
    adapter: Adapter, backbone: Backbone, scale: float, folder: str | Path, *, model: str | None = None
) -> None:
    """Write an adapter for mlx-lm: ``mlx_lm.generate --adapter-path FOLDER``, ``mlx_lm.fuse``, `load_mlx_lm`.

    Args:
        adapter: without a leading axis, the same rank everywhere.
        backbone: what it was made for.
        scale: multiplies ``x @ lora_a @ lora_b``.
        folder: to be made; an adapter that lies there is replaced.
        model: name of the base model to note; the backbone's name unless given.

    Raises:
        AdapterError: the adapter does not fit or has several ranks, or `folder` holds other things.
    """
    ranks = _ranks(adapter, backbone)
    low, high = min(ranks, key=ranks.__getitem__), max(ranks, key=ranks.__getitem__)
    if ranks[low] != ranks[high]:
        raise AdapterError(
            f"mlx-lm needs one rank for all maps: {low} has rank {ranks[low]}, {high} rank {ranks[high]}\n"
            "  save_peft can write this adapter"
        )
    num_layers, keys = _mlx_lm_keys(adapter, backbone)
    config = {
        "fine_tune_type": "lora",
        "model": model or backbone.name,
        "num_layers": num_layers,
        "lora_parameters": {"rank": ranks[low], "scale": scale, "dropout": 0.0, "keys": keys},
        "metapeft": files.stamp(backbone),
    }
    tensors = {f"{path}.{name}": factor for path, factors in adapter.items() for name, factor in factors.items()}
    files.write(Path(folder), files.MLX_LM, tensors, {"format": "mlx"}, config)


def load_mlx_lm(folder: str | Path, backbone: Backbone | None = None) -> tuple[Adapter, float]:
    """Read an adapter that `save_mlx_lm` or ``mlx_lm.lora`` wrote.

    Args:
        folder: with ``adapters.safetensors`` and ``adapter_config.json``.
        backbone: what it must fit; None to read it without that check.

    Returns:
        The adapter and its scale.

    Raises:
        AdapterError: files missing, damaged or pickled; not a LoRA of linear maps; made for another backbone.
    """
    config, tensors, _ = files.read(Path(folder), files.MLX_LM)
    kind = config.get("fine_tune_type", "lora")
    if kind != "lora":
        raise AdapterError(f"{folder}: fine_tune_type is '{kind}'; only 'lora' can be read")
    parameters = config.get("lora_parameters")
    scale = _number(parameters.get("scale") if isinstance(parameters, dict) else None, "lora_parameters.scale", folder)
    named = []
    for name, tensor in tensors.items():
        path, _, factor = name.rpartition(".")
        named.append((path, factor, name, tensor))
    adapter = files.pair(named, folder)
    if backbone is not None:
        adapter = files.fitted(adapter, config.get("metapeft"), backbone, folder)
    return adapter, scale


def save_peft(
    adapter: Adapter, backbone: Backbone, scale: float, folder: str | Path, *, model: str | None = None
) -> None:
    """Write an adapter for PEFT: ``PeftModel.from_pretrained(base, FOLDER)``, `load_peft`.

    The base there is the bare model (`AutoModel`) for an encoder and the causal model for a decoder.

    Args:
        adapter: without a leading axis.
        backbone: what it was made for.
        scale: multiplies ``x @ lora_a @ lora_b``.
        folder: to be made; an adapter that lies there is replaced.
        model: name of the base model to note; the backbone's name unless given.

    Raises:
        AdapterError: the adapter does not fit, or `folder` holds other things.
    """
    ranks = _ranks(adapter, backbone)
    rank = max(ranks.values())
    others = {path: r for path, r in ranks.items() if r != rank}
    config = {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION" if backbone.model_type in ENCODERS else "CAUSAL_LM",
        "base_model_name_or_path": model or backbone.name,
        "r": rank,
        "lora_alpha": scale * rank,
        "rank_pattern": others,
        "alpha_pattern": {path: scale * r for path, r in others.items()},
        # Whole paths, which PEFT takes as they are. Suffixes with layers_to_transform would be shorter, but
        # "output.dense" also matches "attention.output.dense", and "lm_head" lies in no layer.
        "target_modules": list(adapter),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    tensors = {
        f"base_model.model.{path}.lora_{name[-1].upper()}.weight": mx.contiguous(factor.T)
        for path, factors in adapter.items()
        for name, factor in factors.items()
    }
    # PEFT warns of keys in its config that it does not know, so the stamp lies in the header of the weights.
    metadata = {"format": "pt", "metapeft": json.dumps(files.stamp(backbone))}
    files.write(Path(folder), files.PEFT, tensors, metadata, config)


def load_peft(folder: str | Path, backbone: Backbone | None = None) -> tuple[Adapter, float]:
    """Read a LoRA that PEFT or `save_peft` wrote.

    Rank-stabilized scaling (`use_rslora`, alpha / sqrt(r); Kalajdzievski, 2023), `rank_pattern` and `alpha_pattern`
    are understood: where scales differ between maps, the difference goes into ``lora_b``. An adapter of a model with a
    head has a prefix more (``bert.encoder``), which is taken off where the backbone knows the path without it.

    Args:
        folder: with ``adapter_model.safetensors`` and ``adapter_config.json``.
        backbone: what it must fit; None to read it without that check.

    Returns:
        The adapter and its scale.

    Raises:
        AdapterError: files missing, damaged or pickled; not a plain LoRA of linear maps; made for another backbone.
    """
    config, tensors, metadata = files.read(Path(folder), files.PEFT)
    _check_peft_settings(config, folder)
    named = []
    for name, tensor in tensors.items():
        match = re.fullmatch(r"base_model\.model\.(.+)\.lora_([AB])\.weight", name)
        path, factor = (match[1], f"lora_{match[2].lower()}") if match else ("", "")
        named.append((path, factor, name, tensor.T))
    adapter, scale = _one_scale(files.pair(named, folder), config, folder)
    if backbone is not None:
        adapter = {_without_prefix(path, backbone): factors for path, factors in adapter.items()}
        adapter = files.fitted(adapter, json.loads(metadata.get("metapeft", "null")), backbone, folder)
    return adapter, scale


def load_adapter(folder: str | Path, backbone: Backbone | None = None) -> tuple[Adapter, float]:
    """Read an adapter of either format; see `load_mlx_lm` and `load_peft`."""
    load = load_peft if (Path(folder) / files.PEFT).is_file() else load_mlx_lm
    return load(folder, backbone)


def _ranks(adapter: Adapter, backbone: Backbone) -> dict[str, int]:
    """Rank of each path of an adapter that can be saved: it fits, and has no leading axis."""
    check_adapter(backbone, adapter)
    for path, factors in adapter.items():
        if factors["lora_a"].ndim != 2:
            raise AdapterError(
                f"{path}: has a leading axis of {factors['lora_a'].shape[0]} tasks; save one adapter at a time"
            )
    return {path: factors["lora_a"].shape[-1] for path, factors in adapter.items()}


def _mlx_lm_keys(adapter: Adapter, backbone: Backbone) -> tuple[int, list[str]]:
    """`num_layers` and `keys` that make mlx-lm adapt these maps and no others.

    Keys are relative to a block where the last blocks all have the same maps adapted. They are paths from the root
    otherwise, which mlx-lm takes as well.
    """
    num_layers = max(len(backbone.layers) - first_layer(backbone, adapter), 1)  # 0 would mean all of them to mlx-lm
    keys = list(dict.fromkeys(relative(path, backbone.layers) for path in adapter))
    if targets(backbone, LoraConfig(num_layers=num_layers, keys=keys)).keys() != adapter.keys():
        keys = list(adapter)
    return num_layers, keys


def _check_peft_settings(config: dict[str, Any], folder: str | Path) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise AdapterError(f"{folder}: peft_type is '{kind}'; only 'LORA' can be read")
    unknown = [key for key, value in config.items() if value and key not in _PEFT_KNOWN]
    if config.get("bias", "none") != "none":
        unknown.append("bias")
    if config.get("init_lora_weights") not in _PEFT_INITS:
        unknown.append("init_lora_weights")
    if unknown:
        key = unknown[0]
        raise AdapterError(f"{folder}: {key} is {config[key]!r} in {files.CONFIG}; only plain LoRA can be read")


def _one_scale(adapter: Adapter, config: dict[str, Any], folder: str | Path) -> tuple[Adapter, float]:
    """PEFT has a scale for each map; bring them to the largest by way of ``lora_b``."""
    alpha = _number(config.get("lora_alpha"), "lora_alpha", folder)
    patterns = {
        pattern: _number(value, f"alpha_pattern.{pattern}", folder)
        for pattern, value in (config.get("alpha_pattern") or {}).items()
    }
    scales = {}
    for path, factors in adapter.items():
        own = next((value for pattern, value in patterns.items() if re.match(rf"(.*\.)?({pattern})$", path)), alpha)
        rank = factors["lora_a"].shape[-1]
        scales[path] = own / (math.sqrt(rank) if config.get("use_rslora") else rank)
    scale = max(scales.values(), key=abs)
    return {path: rescaled({path: factors}, scales[path], scale)[path] for path, factors in adapter.items()}, scale


def _without_prefix(path: str, backbone: Backbone) -> str:
    shorter = path.partition(".")[2]
    return shorter if path not in backbone.adaptable and shorter in backbone.adaptable else path


def _number(value: Any, name: str, folder: str | Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise AdapterError(f"{folder}: {name} is {value!r} in {files.CONFIG}, expected a number")
    return float(value)
