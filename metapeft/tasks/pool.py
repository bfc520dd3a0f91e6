"""The rows of one side of a task, as plain arrays: what episodes are cut from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["classification", "tagging", "generation", "points"]
IGNORE = -100  # label of positions that carry no loss: pieces after a word's first, special tokens, padding


@dataclass(frozen=True)
class Ragged:
    """Rows of unequal length in one flat array, so that a suite can be memory-mapped.

    Attributes:
        values: all rows end to end, shape ``(total,)``, int32.
        offsets: row ``i`` is ``values[offsets[i]:offsets[i + 1]]``, shape ``(n + 1,)``, int32 or int64.
    """

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, index: int) -> np.ndarray:
        """The values of one row, ``(length,)``; a view."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def lengths(self) -> np.ndarray:
        """Length of every row, shape ``(n,)``."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Pool:
    """The support pool or the query pool of a task.

    Attributes:
        kind: the task's kind; it says what ``x`` and ``y`` hold.
        x: token ids as `Ragged` int32 (text kinds), or points ``(n, input_dim)`` float32.
        y: class ids ``(n,)`` int32 (classification, points); `Ragged` int32 otherwise: tagging has one tag id a
            token of ``x`` (`IGNORE` off first pieces), generation has the target's token ids.
        rows: of a part of a suite's pool, which of its rows these are ``(n,)``; None for all, in their order.
    """

    kind: Kind
    x: Ragged | np.ndarray
    y: Ragged | np.ndarray
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)
