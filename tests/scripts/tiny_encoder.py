"""A tiny encoder on disk, for scripts that load a backbone by its folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from metapeft.backbones.bert import BertConfig
from metapeft.mlx import mx
from metapeft.tokenization.tokenizer import EMBEDDED

RAW = {
    "model_type": "bert",
    "vocab_size": 30_522,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}


def tiny_bert(folder: Path, **changed: str) -> str:
    """Three random blocks with the default tokenizer."""
    shutil.copytree(EMBEDDED, folder)
    raw = RAW | changed
    rng = np.random.default_rng(0)
    arrays = {}
    for path, shape in BertConfig.from_hugging_face(raw).shapes().items():
        arrays[path] = mx.array(rng.normal(float("Norm.weight" in path), 0.3, shape).astype(np.float32))
    mx.save_safetensors(str(folder / "model.safetensors"), arrays)
    (folder / "config.json").write_text(json.dumps(raw))
    return str(folder)
