"""A text classifier in a folder: frozen network by name, adapter, head and labels. Safetensors and JSON, no pickle.

classifier.json           what the rest is for: backbone, tokenizer, labels, mix, scale
head.safetensors          weight (ways, 2 d), first for frozen, then for adapted features, and bias (ways,)
adapter-peft/             the adapter, as `peft` reads it; not there where the frozen network was chosen
adapter-mlx-lm/           the same, as `mlx_lm` reads it; for the architectures that mlx-lm has
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metapeft import atomic
from metapeft.adapters.export import ENCODERS, load_peft, save_mlx_lm, save_peft
from metapeft.adapters.files import stamp
from metapeft.adapters.lora import first_layer
from metapeft.backbones.backbone import Adapter, Backbone
from metapeft.backbones.load import load_backbone
from metapeft.backbones.tokens import tokenizer_of
from metapeft.errors import AdapterError
from metapeft.heads.head import unit
from metapeft.meta.inner_loop import Learner
from metapeft.meta.run import HEADS
from metapeft.meta.states import beside
from metapeft.mlx import mx
from metapeft.tasks.padding import pad_rows
from metapeft.tokenization.tokenizer import LoadedTokenizer, encode_texts, load_tokenizer

FORMAT = 1
FACTS, HEAD, PEFT, MLX_LM = "classifier.json", "head.safetensors", "adapter-peft", "adapter-mlx-lm"
BATCH = 64  # texts that run together


@dataclass(frozen=True, eq=False)
class Classifier:
    """A classifier of texts.

    Attributes:
        backbone: the frozen network.
        tokenizer: its own.
        labels: names of the classes; a name's place is the class id.
        head: how logits are read, a name in `HEADS`.
        weight: float32 ``(ways, 2 d)``, for frozen and adapted features side by side.
        bias: float32 ``(ways,)``.
        mix: weight of adapted beside frozen features.
        adapter: None for the frozen network.
        scale: of the adapter.
        max_tokens: longer texts are cut here.
    """

    backbone: Backbone
    tokenizer: LoadedTokenizer
    labels: tuple[str, ...]
    head: str
    weight: mx.array
    bias: mx.array
    mix: float
    adapter: Adapter | None
    scale: float
    max_tokens: int

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The most probable label of each text."""
        return [self.labels[place] for place in self.probabilities(texts).argmax(axis=1)]

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities of the labels, float64 ``(n, ways)``, rows sum to 1: the softmax of the head, not calibrated.

        Raises:
            AdapterError: `texts` is one string, or a text is empty.
        """
        if isinstance(texts, str):
            raise AdapterError("texts must be a list of texts, got one string: put it in brackets")
        empty = next((place for place, text in enumerate(texts) if not text.strip()), None)
        if empty is not None:
            raise AdapterError(f"text {empty + 1} of {len(texts)} is empty: there is nothing to classify")
        parts = [self._logits(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        logits = np.concatenate([np.zeros((0, len(self.labels))), *parts]).astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return powers / powers.sum(axis=1, keepdims=True)

    def _logits(self, texts: Sequence[str]) -> np.ndarray:
        tokens = encode_texts(self.tokenizer, texts, self.max_tokens).x
        return self.logits(*pad_rows(tokens, np.arange(len(texts)), self.tokenizer.pad_id, self.max_tokens))

    def logits(self, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Logits of the labels, float32 ``(n, ways)``, all texts in one batch.

        Args:
            x: tokens int32 ``(n, length)``, padded on the right.
            lengths: tokens of each row ``(n,)``.
        """
        depth = len(self.backbone.layers) if self.adapter is None else first_layer(self.backbone, self.adapter)
        learner = Learner(self.backbone, HEADS[self.head](), self.scale, depth)
        hidden = self.backbone.prefix(x, lengths, depth)
        if self.adapter is None:
            adapted = frozen = unit(learner.features_now(None, hidden))
        else:
            adapted = unit(learner.features_now(self.adapter, hidden))
            # at mix 1 they weigh nothing, and to compute them costs as much as the adapted ones
            frozen = mx.zeros_like(adapted) if self.mix == 1 else unit(learner.features_now(None, hidden))
        params = {"weight": self.weight, "bias": self.bias}
        return np.array(learner.head.logits(params, beside(frozen, adapted, self.mix)))

    def write(self, folder: Path) -> None:
        """Write the classifier's files into a folder that is there.

        Raises:
            AdapterError: the adapter does not fit its backbone.
        """
        facts = {
            "format": FORMAT,
            "backbone": stamp(self.backbone),
            "tokenizer": self.tokenizer.sha256,
            "labels": list(self.labels),
            "head": self.head,
            "mix": self.mix,
            "scale": self.scale,
            "max_tokens": self.max_tokens,
            "adapter": self.adapter is not None,
        }
        mx.save_safetensors(str(folder / HEAD), {"weight": self.weight, "bias": self.bias})
        if self.adapter is not None:
            save_peft(self.adapter, self.backbone, self.scale, folder / PEFT)
            if self.backbone.model_type not in ENCODERS:
                save_mlx_lm(self.adapter, self.backbone, self.scale, folder / MLX_LM)
        atomic.write_text(folder / FACTS, atomic.canonical_json(facts))


def load_classifier(folder: str | Path, backbone: str | None = None) -> Classifier:
    """Read a classifier that `metapeft adapt` wrote.

    Args:
        folder: with ``classifier.json``.
        backbone: where the frozen network lies now; None for where it was.

    Raises:
        AdapterError: it is missing or damaged, another version wrote it, or it is for another backbone or tokenizer.
        BackboneError, SourceError: the backbone or its tokenizer is not there.
    """
    folder = Path(folder)
    facts = facts_of(folder, FACTS, "classifier", "data=examples.csv")
    network, tokenizer = network_of(folder, facts, backbone)
    adapter, scale = load_peft(folder / PEFT, network) if facts["adapter"] else (None, facts["scale"])
    weight, bias = head_in(folder)
    ways, width = len(facts["labels"]), 2 * network.hidden_size
    if weight.shape != (ways, width) or bias.shape != (ways,):
        raise AdapterError(
            f"{folder / HEAD}: weight {weight.shape} and bias {bias.shape}, expected ({ways}, {width}) and ({ways},)"
        )
    return Classifier(
        network,
        tokenizer,
        tuple(facts["labels"]),
        facts["head"],
        weight,
        bias,
        facts["mix"],
        adapter,
        scale,
        facts["max_tokens"],
    )


def head_in(folder: Path) -> tuple[mx.array, mx.array]:
    """Weight and bias of the head in a folder; errors as in `load_classifier`."""
    try:
        head: Any = mx.load(str(folder / HEAD))
        mx.eval(head)
        return head["weight"], head["bias"]
    except (RuntimeError, OSError, KeyError) as error:
        raise AdapterError(f"{folder / HEAD}: cannot be read: {error}") from None


def network_of(folder: Path, facts: dict[str, Any], backbone: str | None) -> tuple[Backbone, LoadedTokenizer]:
    """The frozen network that something was made for, and its tokenizer; errors as in `load_classifier`."""
    made_for = facts["backbone"]
    network = load_backbone(backbone or made_for["backbone"])
    if network.digest != made_for["digest"]:
        raise AdapterError(
            f"{folder}: made for the backbone '{made_for['backbone']}' ({made_for['model_type']}), not for "
            f"'{network.name}' ({network.model_type}); their weights differ\n"
            "  say where the right one is: backbone=FOLDER"
        )
    tokenizer = load_tokenizer(tokenizer_of(network.name))
    if tokenizer.sha256 != facts["tokenizer"]:
        raise AdapterError(f"{folder}: made with another tokenizer than '{tokenizer.name}' is now; words would be lost")
    return network, tokenizer


def facts_of(folder: Path, name: str, what: str, data: str) -> dict[str, Any]:
    """What a folder that `adapt` wrote says of itself.

    Args:
        folder: to look into.
        name: of the file.
        what: it should hold.
        data: an option of `adapt` that makes one.

    Raises:
        AdapterError: it is not there, damaged, or another version wrote it.
    """
    path = folder / name
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise AdapterError(f"{folder}: no {what} here (no {name}). Make one: python -m metapeft.adapt {data}") from None
    except (OSError, ValueError) as error:
        raise AdapterError(f"{path}: cannot be read ({error})") from None
    written = facts.get("format") if isinstance(facts, dict) else None
    if written != FORMAT:
        raise AdapterError(f"{folder}: format {written!r}, this version reads {FORMAT}")
    return facts
