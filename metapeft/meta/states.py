"""What the frozen layers say of a task's rows, computed once: hidden states below the adapters, and frozen features.

Rows run through the network in blocks, always in the company of the same rows. So what a row gets is a function of
the task alone, to the last bit, whichever episode asks first: runs that keep states and runs that forget them agree,
and a resumed run agrees with one that was never stopped.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from metapeft.backbones.backbone import Adapter, Backbone
from metapeft.backbones.decoder import Decoder
from metapeft.backbones.encoder import Encoded, Encoder
from metapeft.backbones.packing import places_of, read_by_unit
from metapeft.episodes.episode import Episode
from metapeft.heads.head import unit
from metapeft.meta.inner_loop import Examples
from metapeft.mlx import mx
from metapeft.tasks.padding import gather_x, gather_y, prompts_with_targets
from metapeft.tasks.pool import IGNORE
from metapeft.tasks.task import Task

BLOCK = 32  # rows that run together
BLOCK_OF_TEXTS = (
    4  # prompts with targets are long, and few of them are asked for: only an embedding reads their features
)


class Beside(NamedTuple):
    """What lies between `prefix` and `suffix` of `WithFrozen`.

    Attributes:
        hidden: of the backbone.
        frozen: features without an adapter, float32 ``(n, d)``, unit length.
    """

    hidden: Any
    frozen: mx.array


@dataclass(frozen=True)
class WithFrozen:
    """A backbone whose features are frozen and adapted ones side by side: what the frozen network knows stays in play.

    Both are brought to unit length and weighted, so that the cosine of two examples is
    ``(1 - mix) * cos(frozen) + mix * cos(adapted)``: at `mix` 0 a prototype head is the frozen prototype classifier,
    whatever the adapter; at 1 it sees the adapted features alone. Everything else is the backbone's.

    Args:
        backbone: the network.
        mix: from 0 to 1.
    """

    backbone: Backbone
    mix: float

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("backbone", "mix"):
            raise AttributeError(name)
        return getattr(self.backbone, name)

    @property
    def hidden_size(self) -> int:
        """Twice the backbone's: frozen and adapted features side by side."""
        return 2 * self.backbone.hidden_size

    def prefix(self, x: Any, lengths: Any = None, depth: int = 0) -> Beside:
        """As `Backbone.prefix`; the frozen features are computed here too."""
        hidden = self.backbone.prefix(x, lengths, depth)
        return Beside(hidden, frozen_features(self.backbone, hidden, depth))

    def suffix(self, hidden: Beside, adapter: Adapter | None = None, scale: float = 1.0, depth: int = 0) -> Beside:
        """As `Backbone.suffix`; the frozen features stay as they are."""
        return Beside(self.backbone.suffix(hidden.hidden, adapter, scale, depth), hidden.frozen)

    def pool(self, hidden: Beside) -> mx.array:
        """Both features as one of length 1, float32 ``(n, hidden_size)``: see `beside`."""
        return beside(hidden.frozen, unit(self.backbone.pool(hidden.hidden)), self.mix)


@dataclass(frozen=True)
class Unmixed:
    """A backbone whose features are the adapted ones alone, on hidden states as those of `WithFrozen`.

    What a language model says next is a matter of its last state as it is; there is no cosine to be mixed.

    Args:
        backbone: the network.
    """

    backbone: Backbone

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "backbone":
            raise AttributeError(name)
        return getattr(self.backbone, name)

    def prefix(self, x: Any, lengths: Any = None, depth: int = 0) -> Beside:
        """As `Backbone.prefix`; the frozen features are computed here too."""
        hidden = self.backbone.prefix(x, lengths, depth)
        return Beside(hidden, frozen_features(self.backbone, hidden, depth))

    def suffix(self, hidden: Beside, adapter: Adapter | None = None, scale: float = 1.0, depth: int = 0) -> Any:
        """As `Backbone.suffix`; the frozen features are left behind."""
        return self.backbone.suffix(hidden.hidden, adapter, scale, depth)

    def pool(self, hidden: Any) -> mx.array:
        """The backbone's own features."""
        return self.backbone.pool(hidden)


def frozen_features(backbone: Backbone, hidden: Any, depth: int) -> mx.array:
    """Features without an adapter, unit rows ``(u, d)``.

    Of words they are the states below the adapters: the last blocks of an encoder of sentences turn every word's state
    towards the sentence (with MiniLM, nearest words find 10.8 F1 of mentions in music after six blocks, 15.6 after
    three; 5 shots, validation episodes).

    Args:
        backbone: the network.
        hidden: what its `prefix` gave.
        depth: blocks below the first adapted one.
    """
    if isinstance(hidden, Encoded) and hidden.places.units is not None:
        return unit(backbone.pool(hidden))
    return unit(backbone.pool(backbone.suffix(hidden, None, 1.0, depth)))


def beside(frozen: mx.array, adapted: mx.array, mix: float) -> mx.array:
    """Frozen and adapted features, unit rows ``(n, d)`` each, as one of length 1: see `WithFrozen`."""
    return mx.concatenate([(1 - mix) ** 0.5 * frozen, mix**0.5 * adapted], axis=-1)


class _Block(NamedTuple):
    """States of up to `BLOCK` rows: end to end with their starts for an encoder, one row each for other networks.

    `frozen` has the features of their units, end to end: of each row, or of each word of each row. `first` says which
    tokens stand for a word; None where rows are the units.
    """

    states: np.ndarray
    starts: np.ndarray
    frozen: np.ndarray
    units: np.ndarray
    first: np.ndarray | None


class PoolStates:
    """Hidden states and frozen features of the rows of task pools, kept up to a bound.

    Args:
        backbone: the network, an encoder or any other; states of others are kept as features only and run anew.
        depth: blocks below the first adapted one.
        max_tokens: longer texts are cut here.
        max_bytes: how much to keep; what was used least recently goes first.
        adapter: where it is given, `features` are those of the backbone with it, not the frozen ones.
        scale: of the adapter.
    """

    def __init__(
        self,
        backbone: Backbone,
        depth: int,
        max_tokens: int | None = None,
        max_bytes: int = 4 * 2**30,
        *,
        adapter: Adapter | None = None,
        scale: float = 1.0,
    ):
        self.backbone, self.depth, self.max_tokens = backbone, depth, max_tokens
        self.adapter, self.scale = adapter, scale
        self._max_bytes, self._bytes = max_bytes, 0
        self._blocks: OrderedDict[tuple[str, str, int, int], _Block] = OrderedDict()

    def episode(
        self, episode: Episode, support_task: Task, query_task: Task | None = None
    ) -> tuple[Examples, Examples]:
        """Support and query examples of an episode, with hidden states for `WithFrozen`.

        Args:
            episode: drawn from these tasks.
            support_task: where its support set comes from.
            query_task: where its query set comes from; None for the same task.
        """
        query_task = query_task or support_task
        side = "support" if query_task.one_pool else "query"
        if support_task.kind == "generation":
            return self.written(support_task, "support", episode.support_rows), self.written(
                query_task, side, episode.query_rows
            )
        classes, sentences = episode.units("support")
        support = self.examples(support_task, "support", episode.support_rows, classes)._replace(sentences=sentences)
        classes, sentences = episode.units("query")
        return support, self.examples(query_task, side, episode.query_rows, classes)._replace(sentences=sentences)

    def examples(self, task: Task, side: str, rows: np.ndarray, labels: np.ndarray) -> Examples:
        """Rows of a pool with their labels.

        Args:
            task: the task.
            side: ``support``, ``query`` or ``names`` (of the classes).
            rows: row ids ``(n,)``.
            labels: int, of their units ``(u,)``: a row is one, or each of its words.
        """
        rows = np.asarray(rows)
        located = self._located(task, side, rows)
        frozen = mx.array(_features_of(located))
        parts, first = [], []
        for block, place in located:
            own = slice(block.starts[place], block.starts[place + 1])
            parts.append(block.states[own])
            if block.first is not None:
                first.append(block.first[own])
        if not isinstance(self.backbone, Encoder):
            hidden = self.backbone.prefix(
                *gather_x(self._pool(task, side), rows, task.pad_id, self.max_tokens), self.depth
            )
        else:
            lengths = np.array([len(part) for part in parts])
            places = places_of(lengths)
            if first:
                places = read_by_unit(places, np.concatenate(first))
            joined = np.zeros((places.cells.shape[0], self.backbone.hidden_size), np.float32)
            joined[: int(lengths.sum())] = np.concatenate(parts)
            hidden = self.backbone.enter(mx.array(joined), places, self.depth)
        return Examples(Beside(hidden, frozen), mx.array(np.asarray(labels, np.int32)))

    def written(self, task: Task, side: str, rows: np.ndarray) -> Examples:
        """Rows of a pool of kind generation: prompts with their targets, whose tokens are the labels.

        Args:
            task: the task.
            side: ``support`` or ``query``.
            rows: row ids ``(n,)``.
        """
        assert isinstance(self.backbone, Decoder)  # `tasks_and_backbone` saw to it
        rows = np.asarray(rows)
        tokens, lengths, starts = self._texts(task, side, rows)
        # each target's tokens are said by the states one place before them
        places = np.arange(tokens.shape[1])
        said = np.flatnonzero((places >= starts[:, None] - 1) & (places < lengths[:, None] - 1))
        hidden = self.backbone.prefix(tokens, lengths, self.depth)._replace(said=mx.array(said.astype(np.int32)))
        none = mx.zeros((len(rows), 0))  # nothing compares their features; `features` gives them
        return Examples(Beside(hidden, none), mx.array(tokens.reshape(-1)[said + 1]))

    def _texts(self, task: Task, side: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        assert isinstance(self.backbone, Decoder)
        ends = self.backbone.ends[:1]
        return prompts_with_targets(self._pool(task, side), rows, ends, task.pad_id, self.max_tokens)

    def names(self, task: Task, classes: np.ndarray) -> Beside | None:
        """Hidden states of the names of classes ``(ways,)``; None where the task has none."""
        if task.names is None:
            return None
        return self.examples(task, "names", classes, np.arange(len(classes))).hidden

    def features(self, task: Task, side: str, rows: np.ndarray) -> np.ndarray:
        """Features of the units of rows ``(n,)``, float32 ``(u, d)``, unit length: frozen, or those with `adapter`."""
        return _features_of(self._located(task, side, np.asarray(rows)))

    def _located(self, task: Task, side: str, rows: np.ndarray) -> list[tuple[_Block, int]]:
        """The block of each row, and its place there."""
        size = _rows_of_block(self._pool(task, side))
        blocks = {int(i): self._block(task, side, int(i)) for i in np.unique(rows // size)}
        return [(blocks[int(row) // size], int(row) % size) for row in rows]

    def _pool(self, task: Task, side: str) -> Any:
        pool = {"support": task.support, "query": task.query, "names": task.names}[side]
        assert pool is not None
        return pool

    def _block(self, task: Task, side: str, index: int) -> _Block:
        # the size of the pool too: a task that was cut down has the same id and other rows
        key = (task.config.task_id, side, len(self._pool(task, side)), index)
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        pool = self._pool(task, side)
        size = _rows_of_block(pool)
        rows = np.arange(index * size, min((index + 1) * size, len(pool)))
        if pool.kind == "generation":
            x, lengths, _ = self._texts(task, side, rows)
        else:
            x, lengths = gather_x(pool, rows, task.pad_id, self.max_tokens)
        hidden = self.backbone.prefix(x, lengths, self.depth)
        units, first = np.arange(len(rows) + 1), None
        if pool.kind == "tagging":
            assert isinstance(hidden, Encoded) and lengths is not None  # `tasks_and_backbone` saw to it
            tags = gather_y(pool, rows, rows, self.max_tokens)
            first = tags[np.arange(tags.shape[1]) < lengths[:, None]] != IGNORE
            units = np.concatenate([[0], np.cumsum(np.count_nonzero(tags != IGNORE, axis=1))])
            hidden = hidden._replace(places=read_by_unit(hidden.places, first))
        if self.adapter is None:
            frozen = frozen_features(self.backbone, hidden, self.depth)
        else:
            frozen = unit(self.backbone.pool(self.backbone.suffix(hidden, self.adapter, self.scale, self.depth)))
        if isinstance(hidden, Encoded):
            assert lengths is not None
            starts = np.concatenate([[0], np.cumsum(lengths)])
            states = np.array(hidden.states)[: int(starts[-1])]
        else:
            starts, states = np.zeros(size + 1, np.int64), np.empty((0, 0), np.float32)
        block = _Block(states, starts, np.array(frozen), units, first)
        self._blocks[key] = block
        self._bytes += block.states.nbytes + block.frozen.nbytes
        while self._bytes > self._max_bytes and len(self._blocks) > 1:
            _, old = self._blocks.popitem(last=False)
            self._bytes -= old.states.nbytes + old.frozen.nbytes
        return block


def _rows_of_block(pool: Any) -> int:
    return BLOCK_OF_TEXTS if pool.kind == "generation" else BLOCK


def _features_of(located: list[tuple[_Block, int]]) -> np.ndarray:
    """Features of the units of rows, float32 ``(u, d)``."""
    return np.concatenate([block.frozen[block.units[place] : block.units[place + 1]] for block, place in located])
