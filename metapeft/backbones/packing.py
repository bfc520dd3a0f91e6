"""Texts of unequal length without padding: all tokens end to end, and where each one stands.

Linear layers, norms and activations see only real tokens ``(tokens, d)``; attention alone spreads them over
rectangles, one for texts of like length, and gathers them again. Both moves are copies, and so are their derivatives
here (MLX would use a scatter, which is slow on the CPU).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from metapeft.errors import BackboneError
from metapeft.mlx import mx
from metapeft.tasks.padding import bucket_length


class Rectangle(NamedTuple):
    """Some texts, side by side.

    Attributes:
        rows: the packed row of each place, int32 ``(m, length)``; 0 where there is no token.
        mask: where there is a token, bool ``(m, length)``.
    """

    rows: mx.array
    mask: mx.array


class Units(NamedTuple):
    """Tokens that stand for a unit each, where a text is read word by word: the first pieces of its words.

    Attributes:
        rows: the packed row of each unit, int32 ``(u,)``.
        cells: which unit a packed row stands for, int32 ``(tokens,)``; 0 where it stands for none.
        mask: 1 where it stands for one, float32 ``(tokens, 1)``.
    """

    rows: mx.array
    cells: mx.array
    mask: mx.array


class Places(NamedTuple):
    """Where the tokens of a batch stand: in one rectangle of all texts, and in several of texts of like length.

    Attributes:
        cells: the place in the flattened rectangle of each packed row, int32 ``(tokens,)``; 0 for filler rows.
        real: 1 for a token, 0 for a filler row, float32 ``(tokens, 1)``.
        rows: the packed row of each place, int32 ``(n, length)``; 0 where there is no token.
        mask: where there is a token, bool ``(n, length)``.
        alike: rectangles of texts of like length; some have rows without a text.
        alike_cells: as `cells`, in the rectangles of `alike`, flattened and end to end.
        units: None where a text is one unit.
    """

    cells: mx.array
    real: mx.array
    rows: mx.array
    mask: mx.array
    alike: tuple[Rectangle, ...]
    alike_cells: mx.array
    units: Units | None = None


def places_of(lengths: Any) -> Places:
    """Lay out texts of these lengths ``(n,)``.

    Rows are filled up to a round number, and the rectangle's length is the next of 16, 24, 32, 48, 64, 96 …, so that
    a compiled function meets few shapes.
    """
    lengths = np.asarray(lengths, np.int64)
    columns = np.arange(_rectangle(int(lengths.max(initial=1))))
    mask = columns < lengths[:, None]
    real = int(lengths.sum())
    cells = np.zeros(round_up(real), np.int32)
    cells[:real] = np.flatnonzero(mask)
    rows = np.zeros(mask.shape, np.int32)
    rows[mask] = np.arange(real)
    is_real = (np.arange(len(cells)) < real).astype(np.float32)[:, None]
    alike, alike_cells = _alike(lengths, len(cells))
    cells, is_real, rows, mask = (mx.array(array) for array in (cells, is_real, rows, mask))
    return Places(cells, is_real, rows, mask, alike, mx.array(alike_cells))


def read_by_unit(places: Places, first: np.ndarray) -> Places:
    """The same places, read word by word.

    Args:
        places: of some texts.
        first: which of their tokens, end to end, stand for a unit, bool ``(real tokens,)``.
    """
    rows = np.flatnonzero(first)
    cells, mask = np.zeros(places.cells.shape[0], np.int32), np.zeros((places.cells.shape[0], 1), np.float32)
    cells[rows], mask[rows] = np.arange(len(rows)), 1.0
    return places._replace(units=Units(mx.array(rows.astype(np.int32)), mx.array(cells), mx.array(mask)))


def _alike(lengths: np.ndarray, packed: int) -> tuple[tuple[Rectangle, ...], np.ndarray]:
    """Rectangles of texts of up to 16, 32, 64 … tokens, and where each packed row stands in them.

    A rectangle is filled up to a round number of texts, 8 of 16 tokens, 4 of 32, so that shapes stay few.
    """
    starts = np.cumsum(lengths) - lengths
    buckets = np.array([bucket_length(int(length)) for length in lengths])
    cells, rectangles, before = np.zeros(packed, np.int32), [], 0
    for length in np.unique(buckets):
        texts = np.flatnonzero(buckets == length)
        step = max(1, 128 // int(length))
        mask = np.zeros((-(-len(texts) // step) * step, int(length)), bool)
        mask[: len(texts)] = np.arange(length) < lengths[texts, None]
        rows = np.zeros(mask.shape, np.int32)
        own = (starts[texts, None] + np.arange(length))[mask[: len(texts)]]
        rows[mask] = own
        cells[own] = before + np.flatnonzero(mask)
        rectangles.append(Rectangle(mx.array(rows), mx.array(mask)))
        before += mask.size
    return tuple(rectangles), cells


def _rectangle(longest: int) -> int:
    """Attention costs the square of the length: two steps an octave, where a tensor of token ids takes one."""
    length = bucket_length(longest)
    return length * 3 // 4 if length > 16 and longest <= length * 3 // 4 else length


def round_up(count: int) -> int:
    """The next of 32, 40, 48 ... 128, 144, 160 ...: beyond 64 at most an eighth is filler, and shapes stay few."""
    step = max(8, 1 << max(count - 1, 0).bit_length() >> 4)
    return max(32, -(-count // step) * step)


def shares(lengths: Any, most: int, least: int) -> list[slice]:
    """Cut texts of these lengths ``(n,)`` into up to `most` runs of about equally many tokens, at least `least` each.

    Returns:
        One slice of the texts a run, in order, none without a text; one for all where there is too little to cut.
    """
    ends = np.cumsum(np.asarray(lengths, np.int64))
    total = int(ends[-1]) if len(ends) else 0
    count = max(1, min(most, total // least))
    middles = ends - np.asarray(lengths) / 2
    cuts = np.searchsorted(middles, total * np.arange(1, count) / count)
    bounds = np.unique([0, *cuts, len(ends)])
    return [slice(int(a), int(b)) for a, b in zip(bounds, bounds[1:], strict=False)] or [slice(0, 0)]


def real_tokens(
    x: Any, lengths: Any, vocab_size: int, max_positions: int | None, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Look at a batch before it is embedded: MLX reads whatever lies beyond the end of a table, without a word.

    Args:
        x: tokens int ``(n, length)``, padded on the right by anything.
        lengths: tokens of each row ``(n,)``; None: all of `length`.
        vocab_size: token ids are below it.
        max_positions: the longest text; None where there is no bound.
        name: of the backbone, for the message.

    Returns:
        Tokens int32 ``(n, length)`` with 0 for padding, and lengths int64 ``(n,)``.

    Raises:
        BackboneError: a text is too long, or a token id is not in the vocabulary.
    """
    tokens = np.asarray(x)
    lengths = np.full(len(tokens), tokens.shape[1]) if lengths is None else np.asarray(lengths, np.int64)
    longest = int(lengths.max(initial=0))
    if max_positions is not None and longest > max_positions:
        raise BackboneError(
            f"backbone '{name}': a text has {longest} tokens, it has positions for {max_positions}\n"
            f"  cut the texts, such as by max_tokens={max_positions}"
        )
    tokens = np.where(np.arange(tokens.shape[1]) < lengths[:, None], tokens, 0)
    wrong = tokens[(tokens < 0) | (tokens >= vocab_size)]
    if wrong.size:
        raise BackboneError(
            f"backbone '{name}': token id {wrong[0]} is not among its {vocab_size}\n"
            "  the texts were tokenized for another network: build the suite with this one's tokenizer"
        )
    return tokens.astype(np.int32), lengths


def pack(tokens: Any, lengths: Any) -> np.ndarray:
    """Token ids ``(n, length)`` padded on the right to packed rows int32 ``(round_up(sum(lengths)),)``, filled by 0."""
    lengths = np.asarray(lengths, np.int64)
    tokens = np.asarray(tokens)
    real = tokens[np.arange(tokens.shape[1]) < lengths[:, None]]
    out = np.zeros(round_up(len(real)), np.int32)
    out[: len(real)] = real
    return out


def spread(packed: mx.array, places: Places) -> mx.array:
    """Packed rows ``(tokens, d)`` to the rectangle ``(n, length, d)``; places without a token hold some finite row."""
    n, length = places.rows.shape
    flat: Any = _spread(packed, places.rows.reshape(-1), places.cells, places.real)
    return flat.reshape(n, length, -1)


def gather(grid: mx.array, places: Places) -> mx.array:
    """The rectangle ``(n, length, d)`` to packed rows ``(tokens, d)``; filler rows hold some finite row."""
    flat = grid.reshape(-1, grid.shape[-1])
    mask = places.mask.reshape(-1, 1).astype(grid.dtype)
    packed: Any = _gather(flat, places.cells, places.rows.reshape(-1), mask)
    return packed


def each_alike(mix: Callable[[mx.array, mx.array], mx.array], packed: mx.array, places: Places) -> mx.array:
    """Let texts of like length mix their tokens: attention, on little padding.

    Args:
        mix: ``(rectangle (m, length, d), mask (m, length)) -> (m, length, d')``.
        packed: rows ``(tokens, d)``.
        places: where they stand.

    Returns:
        Packed rows ``(tokens, d')``.
    """
    rows = mx.concatenate([rectangle.rows.reshape(-1) for rectangle in places.alike])
    mask = mx.concatenate([rectangle.mask.reshape(-1, 1) for rectangle in places.alike]).astype(packed.dtype)
    flat: Any = _spread(packed, rows, places.alike_cells, places.real)
    mixed, start = [], 0
    for rectangle in places.alike:
        end = start + rectangle.rows.size
        out = mix(flat[start:end].reshape(*rectangle.rows.shape, -1), rectangle.mask)
        mixed.append(out.reshape(end - start, -1))
        start = end
    gathered: Any = _gather(mx.concatenate(mixed), places.alike_cells, rows, mask)
    return gathered


def mean_over_tokens(packed: mx.array, places: Places) -> mx.array:
    """Mean of each text's packed rows: ``(tokens, d)`` to ``(n, d)``, as one product of matrices."""
    n, length = places.rows.shape
    owner = places.cells // length
    counts = mx.sum(places.mask, axis=1).astype(packed.dtype)
    weights = (owner[None] == mx.arange(n)[:, None]) * (places.real[:, 0][None] / mx.maximum(counts, 1)[:, None])
    return weights.astype(packed.dtype) @ packed


def take_units(packed: mx.array, units: Units) -> mx.array:
    """The packed rows ``(tokens, d)`` that stand for a unit, ``(u, d)``."""
    taken: Any = _gather(packed, units.rows, units.cells, units.mask)
    return taken


@mx.custom_function
def _spread(packed: mx.array, rows: mx.array, cells: mx.array, real: mx.array) -> mx.array:
    return mx.take(packed, rows, axis=0)


@_spread.vjp
def _spread_vjp(primals: Any, cotangent: mx.array, _: Any) -> Any:
    packed, rows, cells, real = primals
    # Filler rows must stay without gradient: adapters would learn from them. So must places without a token, and
    # no cell names one.
    own = mx.take(cotangent, cells, axis=0) * real.astype(cotangent.dtype)
    return own, mx.zeros_like(rows), mx.zeros_like(cells), mx.zeros_like(real)


@mx.custom_function
def _gather(flat: mx.array, cells: mx.array, rows: mx.array, mask: mx.array) -> mx.array:
    return mx.take(flat, cells, axis=0)


@_gather.vjp
def _gather_vjp(primals: Any, cotangent: mx.array, _: Any) -> Any:
    flat, cells, rows, mask = primals
    return mx.take(cotangent, rows, axis=0) * mask, mx.zeros_like(cells), mx.zeros_like(rows), mx.zeros_like(mask)
