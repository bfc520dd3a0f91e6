"""Keep what the frozen layers gave for an example, for the next episode that draws it."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metapeft.backbones.encoder import Encoded, Encoder
from metapeft.backbones.packing import places_of
from metapeft.errors import AdaptationError
from metapeft.mlx import mx


class PrefixCache:
    """A bounded store of hidden states below the adapters, for encoders.

    It is a ring: when it is full, the examples that came first make room. A batch's new examples run together, so
    their states depend on the company they first came in by float32 rounding (about 1e-6): runs that must be equal bit
    for bit go without it.

    Args:
        backbone: an encoder of the BERT family or ModernBERT.
        depth: blocks below the first adapted one.
        max_bytes: how much to keep.
        path: keep it in this file, memory-mapped, in place of memory. The file is scratch: it holds no index and serves
            this object alone.

    Attributes:
        hits: examples that were found.
        misses: examples that were not.

    Raises:
        AdaptationError: `max_bytes` is too small for one long text.
    """

    def __init__(self, backbone: Encoder, depth: int, max_bytes: int, path: Path | None = None):
        width = backbone.hidden_size
        self._capacity = max_bytes // (4 * width)
        if self._capacity < 512:
            least = 4 * width * 512
            raise AdaptationError(f"max_bytes: {max_bytes} is too small; a text of 512 tokens takes {least}")
        shape = (self._capacity, width)
        self._states = np.empty(shape, np.float32) if path is None else np.memmap(path, np.float32, "w+", shape=shape)
        self.backbone, self.depth = backbone, depth
        self._where: dict[Hashable, tuple[int, int]] = {}
        self._order: deque[Hashable] = deque()
        self._next = 0
        self.hits = self.misses = 0

    def prefix(self, keys: Sequence[Hashable], x: Any, lengths: Any) -> Encoded:
        """As `Backbone.prefix` at this depth.

        Args:
            keys: what names each example, ``n`` of them: equal keys, equal texts.
            x: tokens int32 ``(n, length)``, padded on the right.
            lengths: int ``(n,)``.
        """
        x, lengths = np.asarray(x), np.asarray(lengths)
        rows: dict[Hashable, np.ndarray] = {key: self._read(key) for key in set(keys) & self._where.keys()}
        first = {key: i for i, key in reversed(list(enumerate(keys))) if key not in rows}
        self.hits += len(keys) - len(first)
        self.misses += len(first)
        if first:
            new = sorted(first.values())
            encoded = self.backbone.prefix(x[new], lengths[new], self.depth)
            states = np.array(encoded.states)
            for i, end in zip(new, np.cumsum(lengths[new]), strict=True):
                rows[keys[i]] = states[end - lengths[i] : end]
                self._write(keys[i], rows[keys[i]])
        places = places_of(lengths)
        joined = np.zeros((places.cells.shape[0], self.backbone.hidden_size), np.float32)
        joined[: int(lengths.sum())] = np.concatenate([rows[key] for key in keys])
        return self.backbone.enter(mx.array(joined), places, self.depth)

    def _read(self, key: Hashable) -> np.ndarray:
        start, end = self._where[key]
        return self._states[start:end].copy()

    def _write(self, key: Hashable, states: np.ndarray) -> None:
        if not 0 < len(states) <= self._capacity:
            return  # an empty text takes no place, and would stand in the way of eviction
        if self._next + len(states) > self._capacity:
            self._evict(self._next, self._capacity)  # the rest of the ring is too short: leave it empty
            self._next = 0
        start, end = self._next, self._next + len(states)
        self._evict(start, end)
        self._states[start:end] = states
        self._where[key] = (start, end)
        self._order.append(key)
        self._next = end

    def _evict(self, start: int, end: int) -> None:
        """Forget what lies in the way; the oldest entries do, in order."""
        while self._order:
            oldest_start, oldest_end = self._where[self._order[0]]
            if oldest_start >= end or oldest_end <= start:
                return
            del self._where[self._order.popleft()]
