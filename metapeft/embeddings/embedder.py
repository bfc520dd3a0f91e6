"""Task embeddings: blocks of statistics of the support set, concatenated, projected, brought to the unit sphere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metapeft.embeddings.handcrafted import handcrafted
from metapeft.embeddings.mentions import mentions
from metapeft.embeddings.prototypes import prototypes
from metapeft.embeddings.support import EmbeddingError, SupportSet, check
from metapeft.embeddings.task2vec import task2vec
from metapeft.embeddings.text import text
from metapeft.errors import did_you_mean

BLOCKS: Mapping[str, Callable[[SupportSet], np.ndarray]] = {
    "handcrafted": handcrafted,
    "prototypes": prototypes,
    "task2vec": task2vec,
    "mentions": mentions,
    "text": text,
}
DEFAULT_BLOCKS = ("handcrafted", "prototypes", "task2vec", "mentions")
FORMAT = 2  # of what the numbers of a block mean: an embedder fitted on other meanings must not be read
FARTHEST = 5.0  # standardized statistics are cut here: a task far outside must not hide its other statistics


@dataclass(frozen=True, eq=False)
class Embedder:
    """A fitted embedding: a pure function of a support set.

    It does not depend on the order of examples or of classes, but for rounding.

    Attributes:
        blocks: names in `BLOCKS`, in their order here.
        sizes: numbers in each block.
        mean: of each number over the meta-training episodes, float32 ``(D,)``.
        precision: one over its deviation there, float32 ``(D,)``; 0 where it never moved.
        projection: principal components, float32 ``(D, dims)``; rows of a block are divided by the square root of how
            many of its numbers move, so that a wide block does not drown the others.
    """

    blocks: tuple[str, ...]
    sizes: tuple[int, ...]
    mean: np.ndarray
    precision: np.ndarray
    projection: np.ndarray

    @property
    def dims(self) -> int:
        """Numbers of an embedding."""
        return self.projection.shape[1]

    def embed(self, support: SupportSet) -> np.ndarray:
        """The embedding of a task, float32 ``(dims,)`` of unit norm.

        Raises:
            EmbeddingError: the support set has features of another width, or ones that are not finite, or lacks what a
                block needs.
        """
        raw = _raw(support, self.blocks)
        sizes = tuple(len(part) for part in raw)
        if sizes != self.sizes:
            raise EmbeddingError(
                f"the embedding was fitted on blocks of {dict(zip(self.blocks, self.sizes, strict=True))} numbers, "
                f"this support set gives {dict(zip(self.blocks, sizes, strict=True))}: is it of another backbone?"
            )
        return self._project(np.concatenate(raw))

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps as arrays."""
        return {"mean": self.mean, "precision": self.precision, "projection": self.projection}

    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps as JSON."""
        return {"format": FORMAT, "blocks": list(self.blocks), "sizes": list(self.sizes)}

    @classmethod
    def from_parts(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Embedder:
        """The embedder of `arrays` and `facts`, equal to the last bit.

        Raises:
            EmbeddingError: another version of metapeft wrote them, or they do not fit together.
        """
        if facts.get("format") != FORMAT:
            raise EmbeddingError(
                f"a task embedding of format {facts.get('format')!r}; this version of metapeft reads {FORMAT}\n"
                "  its numbers mean something else here: train anew"
            )
        _check_blocks(facts["blocks"])
        width = sum(facts["sizes"])
        shapes = {name: np.shape(arrays[name]) for name in ("mean", "precision", "projection")}
        if shapes != {"mean": (width,), "precision": (width,), "projection": (width, *shapes["projection"][1:2])}:
            raise EmbeddingError(f"a task embedding of blocks of {facts['sizes']} numbers does not fit arrays {shapes}")
        parts = (np.asarray(arrays[name], np.float32) for name in ("mean", "precision", "projection"))
        return cls(tuple(facts["blocks"]), tuple(facts["sizes"]), *parts)

    def _project(self, raw: np.ndarray) -> np.ndarray:
        moved = _standardized(raw, self.mean, self.precision)
        # not by BLAS: where other work keeps the cores busy, its threads wait for each other for milliseconds
        out = np.einsum("d,dk->k", moved, self.projection.astype(np.float64))
        length = np.linalg.norm(out)
        if length <= 1e-9:  # a task at the very mean has no direction: give it one, always the same
            return np.eye(1, self.dims, dtype=np.float32)[0]
        return (out / length).astype(np.float32)


def fit(supports: Sequence[SupportSet], blocks: Sequence[str] = DEFAULT_BLOCKS, dims: int = 128) -> Embedder:
    """Fit standardization and principal components on support sets of meta-training tasks.

    Args:
        supports: of meta-training episodes; test tasks must not be among them.
        blocks: which statistics, names in `BLOCKS`.
        dims: numbers of an embedding. With fewer episodes than that the last ones are zero.

    Raises:
        EmbeddingError: no support sets, no blocks, an unknown or doubled one, `dims` is not
            positive, no task of block ``text`` says anything, or see `Embedder.embed`.
    """
    blocks = tuple(blocks)
    _check_blocks(blocks)
    if dims < 1:
        raise EmbeddingError(f"dims must be at least 1, got {dims}")
    if not supports:
        raise EmbeddingError("a task embedding is fitted on support sets, and none was given")
    if "text" in blocks and all(support.label_features is None for support in supports):
        raise EmbeddingError("block 'text' needs features of label names or of a description; leave the block out")
    parts = [_raw(support, blocks) for support in supports]
    sizes = tuple(len(part) for part in parts[0])
    if any(tuple(len(part) for part in row) != sizes for row in parts):
        raise EmbeddingError("support sets cannot share an embedding: their features differ in width")
    raw = np.stack([np.concatenate(row) for row in parts])
    mean, deviation = raw.mean(axis=0), raw.std(axis=0)
    moves = deviation > 1e-9 * np.maximum(np.abs(mean), 1.0)
    precision = np.where(moves, 1.0 / np.where(moves, deviation, 1.0), 0.0)
    mean, precision = mean.astype(np.float32), precision.astype(np.float32)
    ends = np.cumsum(sizes)
    moving = [np.count_nonzero(moves[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
    share = np.repeat([max(1, count) ** -0.5 for count in moving], sizes)
    moved = _standardized(raw, mean, precision) * share
    _, values, axes = np.linalg.svd(moved, full_matrices=False)
    kept = min(dims, np.count_nonzero(values > 1e-9 * values[0]) if values[0] > 0 else 0)
    projection = np.zeros((raw.shape[1], dims), np.float32)
    for i in range(kept):
        axis = axes[i]
        sign = np.sign(axis[np.argmax(np.abs(axis))])  # of a direction, an SVD gives it by chance
        projection[:, i] = np.where(moves, share * axis * sign, 0.0)  # rounding gives still numbers 1e-17
    return Embedder(blocks, sizes, mean, precision, projection)


def _check_blocks(blocks: Sequence[str]) -> None:
    unknown = [name for name in blocks if name not in BLOCKS]
    if unknown:
        raise EmbeddingError(
            f"no embedding block '{unknown[0]}'.{did_you_mean(unknown[0], BLOCKS)} Known: {', '.join(BLOCKS)}"
        )
    if not blocks or len(set(blocks)) < len(blocks):
        raise EmbeddingError(f"blocks must be different names, at least one, got {list(blocks)}")


def _raw(support: SupportSet, blocks: Sequence[str]) -> list[np.ndarray]:
    check(support)
    parts = [BLOCKS[name](support) for name in blocks]
    for name, part in zip(blocks, parts, strict=True):
        if not np.isfinite(part).all():
            raise EmbeddingError(f"block '{name}' of a support set is not finite: what it was made of is not")
    return parts


def _standardized(raw: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    return np.clip((raw - mean) * precision, -FARTHEST, FARTHEST)
