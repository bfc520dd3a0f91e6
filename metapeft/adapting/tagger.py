"""A tagger of entities in a folder: frozen network by name, adapter, head and types. Safetensors and JSON, no pickle.

tagger.json               what the rest is for: backbone, tokenizer, types, mix, scale, depth, transitions
head.safetensors          weight and bias: of prototypes a row for each word outside of the examples, then the types;
                          of a regression a row for each class; of both, those and then these
adapter-peft/             the adapter, as `peft` reads it; not there where the frozen network was chosen
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metapeft import atomic
from metapeft.adapters.export import load_peft, save_peft
from metapeft.adapters.files import stamp
from metapeft.adapting.classifier import FORMAT, HEAD, PEFT, facts_of, head_in, network_of
from metapeft.adapting.windows import lay
from metapeft.backbones.backbone import Adapter, Backbone
from metapeft.backbones.encoder import Encoded
from metapeft.backbones.packing import read_by_unit
from metapeft.errors import AdapterError
from metapeft.heads.head import Head, Params, unit
from metapeft.meta.inner_loop import Learner
from metapeft.meta.judge import best_paths
from metapeft.meta.run import HEADS
from metapeft.meta.states import beside, frozen_features
from metapeft.mlx import mx
from metapeft.tasks.padding import gather_x, gather_y
from metapeft.tasks.pool import IGNORE
from metapeft.tasks.tags import mentions
from metapeft.tokenization.tokenizer import LoadedTokenizer
from metapeft.tokenization.words import Words, joined, words_of

FACTS = "tagger.json"
BATCH = 64  # texts that are decoded together, and windows that run together


class Entity(NamedTuple):
    """An entity in a text.

    Attributes:
        start: its first character, counted from 0.
        end: the character after its last.
        label: its type.
        text: ``text[start:end]``.
        score: mean over its words of the share that the type has among the classes, 0 to 1; not calibrated.
    """

    start: int
    end: int
    label: str
    text: str
    score: float


@dataclass(frozen=True, eq=False)
class Tagger:
    """A tagger of entities.

    Attributes:
        backbone: the frozen network, an encoder.
        tokenizer: its own.
        types: names of the entity types.
        head: how logits are read, a name in `HEADS`.
        weight: float32 ``(k, w)``: a row for each class, or words outside and prototypes of types; w is d for frozen
            features alone, 2 d for frozen and adapted ones side by side. See `packed`.
        bias: float32 ``(types + 1,)``.
        mix: weight of adapted beside frozen features.
        adapter: None for the frozen network.
        scale: of the adapter.
        depth: blocks below which frozen features of words are taken.
        max_tokens: what is longer is read in windows.
        transitions: between words, ``(4, 3)``; see `judge.transitions_of`.
    """

    backbone: Backbone
    tokenizer: LoadedTokenizer
    types: tuple[str, ...]
    head: str
    weight: mx.array
    bias: mx.array
    mix: float
    adapter: Adapter | None
    scale: float
    depth: int
    max_tokens: int
    transitions: np.ndarray

    def entities(self, texts: Sequence[str | Words | Sequence[str]]) -> list[list[Entity]]:
        """The entities of each text, in order.

        Args:
            texts: each a text, a text with its words, or a list of words; of the latter offsets are those in the words
                joined by a space. Raw text is cut by `words_of`.

        Raises:
            AdapterError: `texts` is one string, or a text has no word.
        """
        if isinstance(texts, str):
            raise AdapterError("texts must be a list of texts, got one string: put it in brackets")
        whole = [_as_words(text) for text in texts]
        empty = next((place for place, words in enumerate(whole) if not words.offsets), None)
        if empty is not None:
            raise AdapterError(f"text {empty + 1} of {len(texts)} has no word: there is nothing to find")
        parts = [self._entities(whole[start : start + BATCH]) for start in range(0, len(whole), BATCH)]
        return [found for part in parts for found in part]

    def _entities(self, texts: list[Words]) -> list[list[Entity]]:
        words = [text.words for text in texts]
        laid = lay(self.tokenizer, words, [["O"] * len(own) for own in words], self.types, self.max_tokens)
        rows = np.arange(len(laid.pool))
        parts = [self._logits(laid.pool, rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]
        logits = np.concatenate([np.zeros((0, len(self.types) + 1), np.float32), *parts]).astype(np.float64)
        # each text as a whole, whatever its windows: an entity may begin in one and end in the next
        classes = best_paths(logits, laid.lengths, self.transitions)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        shares /= shares.sum(axis=1, keepdims=True)
        ends = np.cumsum(laid.lengths)
        out: list[list[Entity]] = [[] for _ in texts]
        for start, end, kind in zip(*mentions(classes, laid.lengths), strict=True):
            owner = int(np.searchsorted(ends, start, side="right"))
            before, (text, offsets) = ends[owner] - laid.lengths[owner], texts[owner]
            first, last = laid.kept[owner][start - before], laid.kept[owner][end - 1 - before]
            a, b = offsets[first][0], offsets[last][1]
            score = float(shares[start:end, kind].mean())
            out[owner].append(Entity(a, b, self.types[kind - 1], text[a:b], score))
        return out

    def _logits(self, pool: Any, rows: np.ndarray) -> np.ndarray:
        x, lengths = gather_x(pool, rows, self.tokenizer.pad_id, self.max_tokens)
        tags = gather_y(pool, rows, rows, self.max_tokens)
        assert lengths is not None
        hidden = self.backbone.prefix(x, lengths, self.depth)
        assert isinstance(hidden, Encoded)
        first = tags[np.arange(tags.shape[1]) < lengths[:, None]] != IGNORE
        hidden = hidden._replace(places=read_by_unit(hidden.places, first))
        features = frozen_features(self.backbone, hidden, self.depth)
        head = HEADS[self.head]()
        if self.adapter is not None:
            learner = Learner(self.backbone, head, self.scale, self.depth)
            features = beside(features, unit(learner.features_now(self.adapter, hidden)), self.mix)
        return np.array(head.logits({"weight": self.weight, "bias": self.bias}, features))

    def write(self, folder: Path) -> None:
        """Write the tagger's files into a folder that is there.

        Raises:
            AdapterError: the adapter does not fit its backbone.
        """
        facts = {
            "format": FORMAT,
            "backbone": stamp(self.backbone),
            "tokenizer": self.tokenizer.sha256,
            "types": list(self.types),
            "head": self.head,
            "mix": self.mix,
            "scale": self.scale,
            "depth": self.depth,
            "max_tokens": self.max_tokens,
            "transitions": self.transitions.tolist(),
            "adapter": self.adapter is not None,
        }
        mx.save_safetensors(str(folder / HEAD), {"weight": self.weight, "bias": self.bias})
        if self.adapter is not None:
            save_peft(self.adapter, self.backbone, self.scale, folder / PEFT)
        atomic.write_text(folder / FACTS, atomic.canonical_json(facts))


def packed(head: Head, params: Params, width: int) -> Params:
    """The params of a head of words without what says nothing.

    With prototypes a word of a type has a zero row, as near as nothing: one of them says what all do. Columns of
    features that weigh nothing are left out.

    Args:
        head: prototypes (`tagger_head`), a regression, or both.
        params: of the head.
        width: columns to keep.
    """
    weight, types = np.array(params["weight"])[:, :width], len(params["bias"]) - 1
    classes = {"tagger": types, "tagger and logistic": types + types + 1}.get(head.name)
    if classes is not None:
        outside, others = weight[: len(weight) - classes], weight[len(weight) - classes :]
        zero = ~outside.any(axis=1)
        weight = np.concatenate([outside[~zero], outside[zero][:1], others])
    return {"weight": mx.array(weight), "bias": params["bias"]}


def load_tagger(folder: str | Path, backbone: str | None = None) -> Tagger:
    """Read a tagger that `metapeft adapt` wrote.

    Args:
        folder: with ``tagger.json``.
        backbone: where the frozen network lies now; None for where it was.

    Raises:
        AdapterError: it is missing or damaged, another version wrote it, or it is for another backbone or tokenizer.
        BackboneError, SourceError: the backbone or its tokenizer is not there.
    """
    folder = Path(folder)
    facts = facts_of(folder, FACTS, "tagger", "data=tagged.conll")
    network, tokenizer = network_of(folder, facts, backbone)
    adapter, scale = load_peft(folder / PEFT, network) if facts["adapter"] else (None, facts["scale"])
    weight, bias = head_in(folder)
    ways, width = len(facts["types"]) + 1, (2 if facts["adapter"] else 1) * network.hidden_size
    if weight.shape[1:] != (width,) or weight.shape[0] < ways or bias.shape != (ways,):
        raise AdapterError(
            f"{folder / HEAD}: weight {weight.shape} and bias {bias.shape}, expected ({ways} or more, {width}) and "
            f"({ways},)"
        )
    return Tagger(
        network,
        tokenizer,
        tuple(facts["types"]),
        facts["head"],
        weight,
        bias,
        facts["mix"],
        adapter,
        scale,
        facts["depth"],
        facts["max_tokens"],
        np.array(facts["transitions"]),
    )


def _as_words(text: str | Words | Sequence[str]) -> Words:
    if isinstance(text, str):
        return words_of(text)
    return text if isinstance(text, Words) else joined(list(text))
