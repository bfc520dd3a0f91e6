"""Tiny checkpoints with the hidden states that PyTorch computed from them; see scripts/make_parity.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metapeft.backbones.load import load_backbone
from metapeft.mlx import mx

PARITY = Path(__file__).parent / "parity"


class Case(NamedTuple):
    """A checkpoint, a batch and what came out.

    Attributes:
        config: ``config.json``.
        weights: by their names in Hugging Face's checkpoint, float32.
        tokens: int32 ``(n, length)``, padded on the right.
        lengths: ``(n,)``.
        states: final hidden states of the real tokens ``(sum(lengths), d)``.
    """

    config: dict[str, Any]
    weights: dict[str, np.ndarray]
    tokens: np.ndarray
    lengths: np.ndarray
    states: np.ndarray


def case(name: str) -> Case:
    with np.load(PARITY / f"{name}.npz") as file:
        weights = {
            key.removeprefix("weight:"): file[key].astype(np.float32) for key in file if key.startswith("weight:")
        }
        return Case(json.loads(str(file["config"])), weights, file["tokens"], file["lengths"], file["states"])


def write(folder: Path, config: dict[str, Any], weights: dict[str, Any]) -> Path:
    """Write them as the Hub has them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    arrays = {path: mx.array(value) for path, value in weights.items()}
    mx.save_safetensors(str(folder / "model.safetensors"), arrays, {"format": "pt"})
    return folder


def load_case(name: str, folder: Path) -> Any:
    """The case's backbone, by way of a folder."""
    made = case(name)
    return load_backbone(str(write(folder, made.config, made.weights)))


def final_states(backbone: Any, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Final hidden states of the real tokens, one after the other."""
    grid = np.array(backbone.tokens(backbone.suffix(backbone.prefix(tokens, lengths))))
    return grid[np.arange(grid.shape[1]) < lengths[:, None]]
