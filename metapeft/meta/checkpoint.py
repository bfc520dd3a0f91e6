"""Checkpoints: safetensors and JSON, whole or not there, nothing pickled.

A folder holds `meta.safetensors` (meta-parameters, the embedder's arrays, embeddings of training tasks), what resuming
needs beside them (`moments.safetensors`; without it a checkpoint can be used, not trained on), and `checkpoint.json`
(what they are for). `metapeft train` puts `prior.json` there too, what `meta.select` expects of each candidate, and
where words are tagged `detector.safetensors`, what training tasks say of mentions (`meta.detector`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metapeft import atomic
from metapeft.adapters.files import stamp
from metapeft.adapters.hypernetwork import Hypernetwork, hypernetwork_for
from metapeft.adapters.lora import LoraConfig
from metapeft.backbones.backbone import Backbone
from metapeft.embeddings.embedder import Embedder
from metapeft.errors import MetapeftError
from metapeft.meta.detector import Detector
from metapeft.meta.outer_loop import State
from metapeft.mlx import mx

FORMAT = 1
DETECTOR = "detector.safetensors"
_SEPARATOR = "|"  # paths of adapted maps have dots of their own


class CheckpointError(MetapeftError):
    """A checkpoint is missing, damaged, or for something else."""


class Checkpoint(NamedTuple):
    """What a meta-training run knows.

    Attributes:
        state: step, meta-parameters, Adam's state (None in a checkpoint that is read for use alone).
        embedder: turns support sets into embeddings; None where the method reads none.
        library: embeddings of training episodes, float32 ``(m, dims)``, and whose they are, in `facts["library"]`.
        facts: JSON: method, LoRA and hypernetwork settings, backbone, suite, families, scores.
    """

    state: State
    embedder: Embedder | None
    library: np.ndarray
    facts: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint, backbone: Backbone) -> None:
    """Write a checkpoint; one that lies there is replaced when the new one is whole."""
    state, embedder = checkpoint.state, checkpoint.embedder
    arrays = flatten({"meta": state.meta, "library": mx.array(checkpoint.library)})
    if embedder is not None:
        arrays |= flatten({"embedder": {name: mx.array(value) for name, value in embedder.arrays().items()}})
    first, second, count = state.moments
    facts = checkpoint.facts | {
        "format": FORMAT,
        "step": state.step,
        "backbone": stamp(backbone),
        "embedder": None if embedder is None else embedder.facts(),
    }
    with atomic.whole_folder(folder) as staging:
        mx.save_safetensors(str(staging / "meta.safetensors"), arrays)
        moments = flatten({"first": first, "second": second, "count": count})
        mx.save_safetensors(str(staging / "moments.safetensors"), moments)
        atomic.write_text(staging / "checkpoint.json", atomic.canonical_json(facts))


def load(folder: str | Path, backbone: Backbone) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: it is missing or damaged, of another format, or for another backbone.
    """
    folder = Path(folder)
    facts = read_facts(folder)
    made_for = facts["backbone"]
    if made_for["digest"] != backbone.digest:
        raise CheckpointError(
            f"{folder}: trained for the backbone '{made_for['backbone']}' ({made_for['model_type']}), not for "
            f"'{backbone.name}' ({backbone.model_type}); their weights differ"
        )
    try:
        loaded: Any = mx.load(str(folder / "meta.safetensors"))
        kept = folder / "moments.safetensors"
        moments: Any = mx.load(str(kept)) if kept.exists() else None
        mx.eval(loaded, moments or {})
    except (RuntimeError, OSError) as error:
        raise CheckpointError(f"{folder}: its arrays cannot be read: {error}") from None
    tree = unflatten(loaded)
    embedder = None
    if facts["embedder"] is not None:
        arrays = {name: np.array(value) for name, value in tree["embedder"].items()}
        embedder = Embedder.from_parts(arrays, facts["embedder"])
    adam = None
    if moments is not None:
        read = unflatten(moments)
        adam = read["first"], read["second"], read["count"]
    state = State(facts["step"], tree["meta"], adam)
    return Checkpoint(state, embedder, np.array(tree["library"]), facts)


def read_facts(folder: str | Path) -> dict[str, Any]:
    """What a checkpoint says of itself, without its arrays.

    Raises:
        CheckpointError: there is none, or another version wrote it.
    """
    path = Path(folder) / "checkpoint.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder}: no checkpoint here (no checkpoint.json). Train one: python -m metapeft.train suite=DIR"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from None
    written = facts.get("format") if isinstance(facts, dict) else None
    if written != FORMAT:
        raise CheckpointError(f"{folder}: format {written!r}, this version reads {FORMAT}")
    return facts


def hypernetwork_of(facts: dict[str, Any], backbone: Backbone) -> Hypernetwork | None:
    """The hypernetwork that a checkpoint's generator belongs to; None where its method has none."""
    settings = facts["hypernetwork"]
    return None if settings is None else hypernetwork_for(backbone, LoraConfig(**facts["lora"]), **settings)


def save_detector(folder: Path, detector: Detector) -> None:
    """Write a detector beside a checkpoint; one that lies there is replaced when the new one is whole."""
    staging = folder / f"new-{DETECTOR}"
    mx.save_safetensors(str(staging), detector._asdict())
    staging.replace(folder / DETECTOR)


def detector_of(folder: str | Path) -> Detector | None:
    """The detector beside a checkpoint; None where there is none.

    Raises:
        CheckpointError: its file is damaged.
    """
    path = Path(folder) / DETECTOR
    if not path.exists():
        return None
    try:
        arrays: Any = mx.load(str(path))
        mx.eval(arrays)
        return Detector(arrays["weight"], arrays["bias"])
    except (RuntimeError, OSError, KeyError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); train again to write it anew") from None


def flatten(tree: Any, path: str = "") -> dict[str, mx.array]:
    """Arrays of a tree of dicts by path."""
    if isinstance(tree, dict):
        return {
            name: leaf
            for key, branch in tree.items()
            for name, leaf in flatten(branch, f"{path}{_SEPARATOR}{key}" if path else key).items()
        }
    return {path: tree}


def unflatten(arrays: dict[str, mx.array]) -> dict[str, Any]:
    """The tree of `flatten`; branches in the order of their names, since safetensors keep none."""
    tree: dict[str, Any] = {}
    for name in sorted(arrays):
        *branches, leaf = name.split(_SEPARATOR)
        node = tree
        for branch in branches:
            node = node.setdefault(branch, {})
        node[leaf] = arrays[name]
    return tree
