"""From row ids to rectangular arrays: gather, cut and pad."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metapeft.tasks.pool import IGNORE, Pool, Ragged

SHORTEST = 16


def bucket_length(longest: int, max_tokens: int | None = None) -> int:
    """The padded length: the next power of two, at least 16, at most `max_tokens`.

    Few lengths mean few compiled graphs: MLX compiles once a shape and never forgets one.
    """
    length = max(SHORTEST, 1 << max(longest - 1, 0).bit_length())
    return length if max_tokens is None else min(length, max_tokens)


def pad_rows(
    ragged: Ragged, rows: np.ndarray, fill: int, max_tokens: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Gather rows of unequal length into one matrix.

    Args:
        ragged: where the rows lie; only these rows are read, so memory-mapped values stay on disk.
        rows: row ids ``(n,)``.
        fill: what stands to the right of a row's end.
        max_tokens: longer rows are cut here, at the right.

    Returns:
        The matrix ``(n, bucket_length(longest))`` int32 and the lengths ``(n,)`` int32 after cutting.
    """
    starts = ragged.offsets[rows].astype(np.int64)
    lengths = ragged.offsets[rows + 1] - starts
    if max_tokens is not None:
        lengths = np.minimum(lengths, max_tokens)
    columns = np.arange(bucket_length(int(lengths.max(initial=0)), max_tokens))
    inside = columns < lengths[:, None]
    out = np.full(inside.shape, fill, np.int32)
    out[inside] = ragged.values[(starts[:, None] + columns)[inside]]
    return out, lengths.astype(np.int32)


def prompts_with_targets(
    pool: Pool, rows: np.ndarray, end: Sequence[int], fill: int, max_tokens: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prompts of a pool of kind generation, each with its target and the end of a text behind it.

    Args:
        pool: where the rows lie.
        rows: row ids ``(n,)``.
        end: tokens that end a text, one or none.
        fill: what stands to the right of a row's end.
        max_tokens: longest prompt, and longest target: of a longer prompt the middle is left out, since it ends with
            what is asked for, and of a longer target the end.

    Returns:
        Tokens ``(n, length)`` int32, lengths ``(n,)`` int32, and where each target begins ``(n,)`` int32.
    """
    assert isinstance(pool.x, Ragged) and isinstance(pool.y, Ragged)
    prompts = [without_middle(pool.x.row(int(row)), max_tokens) for row in rows]
    targets = [np.append(pool.y.row(int(row))[:max_tokens], end) for row in rows]
    starts = np.array([len(prompt) for prompt in prompts], np.int32)
    lengths = starts + np.array([len(target) for target in targets], np.int32)
    out = np.full((len(rows), int(lengths.max(initial=1))), fill, np.int32)
    for line, prompt, target in zip(out, prompts, targets, strict=True):
        line[: len(prompt)], line[len(prompt) : len(prompt) + len(target)] = prompt, target
    return out, lengths, starts


def without_middle(row: np.ndarray, longest: int | None) -> np.ndarray:
    """A row ``(length,)`` of at most so many tokens: a longer one loses its middle, three quarters stand before it."""
    if longest is None or len(row) <= longest:
        return row
    tail = longest // 4
    return np.concatenate([row[: longest - tail], row[len(row) - tail :]])


def gather_x(
    pool: Pool, rows: np.ndarray, pad_id: int = 0, max_tokens: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Inputs of the rows: points ``(n, input_dim)`` float32 and None, or tokens ``(n, length)`` int32 and lengths."""
    if isinstance(pool.x, Ragged):
        return pad_rows(pool.x, rows, pad_id, max_tokens)
    return np.asarray(pool.x[rows], np.float32), None


def gather_y(pool: Pool, rows: np.ndarray, labels: np.ndarray, max_tokens: int | None = None) -> np.ndarray:
    """Targets of the rows.

    Args:
        pool: where the rows lie.
        rows: row ids ``(n,)``.
        labels: the episode's label of each row ``(n,)``; used where the task has classes.
        max_tokens: tags and target tokens are cut here, as inputs are.

    Returns:
        int32: `labels` ``(n,)`` (classification, points), or tags or target tokens ``(n, length)`` padded by `IGNORE`.
    """
    if isinstance(pool.y, Ragged):
        return pad_rows(pool.y, rows, IGNORE, max_tokens)[0]
    return labels.astype(np.int32)
