"""A saved adapter as a folder of two files, whatever its format: written whole, read with care.

Weights are safetensors; pickled ones are refused, since opening a pickle can run any code. Files that metapeft wrote
carry a stamp that says which backbone they are for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from metapeft import atomic
from metapeft.adapters.lora import FACTORS, check_adapter
from metapeft.backbones.backbone import Adapter, Backbone
from metapeft.backbones.load import PICKLES
from metapeft.errors import AdapterError
from metapeft.mlx import mx

CONFIG, MLX_LM, PEFT = "adapter_config.json", "adapters.safetensors", "adapter_model.safetensors"
STAMP_FORMAT = 1


def write(
    folder: Path, weights: str, tensors: dict[str, mx.array], metadata: dict[str, str], config: dict[str, Any]
) -> None:
    """Write the two files, both or none.

    Args:
        folder: to be made. An adapter that lies there is replaced.
        weights: name of the safetensors file.
        tensors: what goes into it.
        metadata: of its header.
        config: what goes into ``adapter_config.json``.

    Raises:
        AdapterError: `folder` is a file, or holds something that is not an adapter: it would be lost.
    """
    if folder.exists() and not folder.is_dir():
        raise AdapterError(f"{folder} is a file; an adapter is saved as a folder")
    foreign = sorted({path.name for path in folder.glob("*")} - {CONFIG, MLX_LM, PEFT})
    if foreign:
        raise AdapterError(f"{folder} holds other things ({foreign[0]}); give a new folder for the adapter")
    with atomic.whole_folder(folder) as staging:
        mx.save_safetensors(str(staging / weights), tensors, metadata)
        atomic.write_text(staging / CONFIG, atomic.canonical_json(config))


def read(folder: Path, weights: str) -> tuple[dict[str, Any], dict[str, mx.array], dict[str, str]]:
    """Read the two files.

    Returns:
        The configuration, the tensors by name, and the metadata of the safetensors header.

    Raises:
        AdapterError: a file is missing, damaged or pickled.
    """
    if folder.is_file() and folder.suffix not in PICKLES:
        raise AdapterError(f"{folder} is a file; give the folder that holds it and {CONFIG}")
    if not (folder / weights).is_file():
        pickles = [path for path in sorted([folder, *folder.glob("*")]) if path.suffix in PICKLES and path.is_file()]
        if pickles:
            raise AdapterError(
                f"{pickles[0]} is a pickle, and opening a pickle can run any code: metapeft reads safetensors only\n"
                "  where you trust the file, save it anew: PeftModel.from_pretrained(...).save_pretrained(...)"
            )
        raise AdapterError(f"no adapter in {folder}: expected {MLX_LM} (mlx-lm) or {PEFT} (PEFT), and {CONFIG}")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AdapterError(f"{folder}: {weights} is there, but {CONFIG} is missing: the scale is not known") from None
    except ValueError as error:
        raise AdapterError(f"{folder / CONFIG} is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise AdapterError(f"{folder / CONFIG} is not a JSON object")
    try:
        loaded: Any = mx.load(str(folder / weights), return_metadata=True)  # a pair, which the stubs do not know
        tensors, metadata = loaded
        mx.eval(tensors)  # MLX reads lazily: a file cut short must fail here, not in the middle of training
    except RuntimeError as error:
        raise AdapterError(f"{folder / weights} is damaged: {error}") from None
    return config, tensors, metadata


def pair(named: Iterable[tuple[str, str, str, mx.array]], folder: str | Path) -> Adapter:
    """Build the tree from ``(path, factor, name in the file, tensor)``.

    Raises:
        AdapterError: no tensors, one that is not a factor of a linear map, or a factor without its partner.
    """
    adapter: Adapter = {}
    for path, factor, name, tensor in named:
        if factor not in FACTORS or tensor.ndim != 2 or not tensor.size:
            raise AdapterError(
                f"{folder}: {name} {tensor.shape} is not a LoRA factor of a linear map\n"
                "  DoRA magnitudes, biases, embeddings, experts and whole modules cannot be read"
            )
        adapter.setdefault(path, {})[factor] = tensor
    if not adapter:
        raise AdapterError(f"{folder}: the adapter is empty")
    for path, factors in adapter.items():
        if len(factors) != len(FACTORS):
            raise AdapterError(f"{folder}: {path} has only {', '.join(factors)}")
    return {path: {name: factors[name] for name in FACTORS} for path, factors in adapter.items()}


def stamp(backbone: Backbone) -> dict[str, Any]:
    """What a file says of the backbone that its adapter is for."""
    return {
        "format": STAMP_FORMAT,
        "backbone": backbone.name,
        "model_type": backbone.model_type,
        "digest": backbone.digest,
    }


def fitted(adapter: Adapter, made_for: Mapping[str, Any] | None, backbone: Backbone, folder: str | Path) -> Adapter:
    """Make sure that what was read is for this backbone: by its stamp where it has one, and by names and shapes.

    Returns:
        The adapter, its lowest path first: safetensors keep no order.

    Raises:
        AdapterError: it was made for another backbone, by a newer metapeft, or does not fit.
    """
    if made_for is not None:
        if made_for.get("format") != STAMP_FORMAT:
            raise AdapterError(
                f"{folder}: written in format {made_for.get('format')!r}, this version reads {STAMP_FORMAT}\n"
                "  install a newer metapeft"
            )
        if made_for.get("digest") != backbone.digest:
            raise AdapterError(
                f"{folder}: made for another backbone: '{made_for.get('backbone')}' ({made_for.get('model_type')}), "
                f"not '{backbone.name}' ({backbone.model_type}); their weights differ\n"
                f"  load it with the backbone it was made for"
            )
    try:
        check_adapter(backbone, adapter)
    except AdapterError as error:
        raise AdapterError(f"{folder}: {error}") from None
    return {path: adapter[path] for path in backbone.adaptable if path in adapter}
