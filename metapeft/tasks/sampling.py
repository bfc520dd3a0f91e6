"""Index sampling: pure, counter-based and vectorised over episodes.

There is no generator object. A random word is a hash of what it is for: `fold(fold(key, index), position)`.
So an episode depends on its key and index alone, and a batch of episodes equals each of them drawn by itself,
in any order and in any process. Everything here works on plain arrays; rows with nothing to draw are padded by -1.

References: splitmix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014); counter-based
generation, Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011); sampling without replacement,
Floyd in Bentley and Floyd, "Programming pearls: a sample of brilliance" (1987).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

# What the words of one episode are for. A number once given keeps its meaning: changing it changes every episode.
TASK, WAYS, SHOTS, CLASSES, IMBALANCE, SUPPORT, QUERY, SUPPORT_ORDER, QUERY_ORDER = range(9)

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_LAST = np.uint64(_MASK)
_HALF = np.uint64(32)


def key_of(*parts: str | int) -> np.ndarray:
    """Hash strings and integers to a key, shape ``(1,)`` uint64, the same in every process and on every machine."""
    text = "\0".join(f"{type(part).__name__}:{part}" for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return np.array([int.from_bytes(digest, "little")], np.uint64)


def fold(state: np.ndarray, number: int | np.ndarray) -> np.ndarray:
    """Mix a counter into a state by one splitmix64 step; the result is a new state and also 64 random bits.

    Args:
        state: uint64, any shape of at least one dimension.
        number: non-negative integers that broadcast with `state`.

    Returns:
        uint64, the broadcast shape. For one state, different numbers give different results (a bijection).
    """
    if isinstance(number, int):
        word = state + np.uint64((number + 1) * _GOLDEN & _MASK)
    else:
        word = (number.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN) + state
    word ^= word >> np.uint64(30)
    word *= np.uint64(0xBF58476D1CE4E5B9)
    word ^= word >> np.uint64(27)
    word *= np.uint64(0x94D049BB133111EB)
    word ^= word >> np.uint64(31)
    return word


def below(words: np.ndarray, bound: int | np.ndarray) -> np.ndarray:
    """Map random words to integers uniform in ``0 .. bound - 1``, int64.

    The high 32 bits are scaled (Lemire, "Fast random integer generation in an interval", 2019, without the rejection
    step), so a probability is off by at most ``2**-32``. The low 32 bits stay free for another use.
    """
    return ((words >> _HALF) * np.asarray(bound).astype(np.uint64) >> _HALF).astype(np.int64)


def sample_without_replacement(state: np.ndarray, population: np.ndarray, size: np.ndarray) -> np.ndarray:
    """For each row, draw `size` distinct integers from ``range(population)``, in random order.

    Support: every ordered sample of distinct integers, all equally likely; so every prefix is a uniform sample too.
    A row depends on its own state, population and size, not on the other rows.

    Args:
        state: ``(m,)`` uint64.
        population: ``(m,)`` integers below 2**32.
        size: ``(m,)`` integers, ``0 <= size <= population``.

    Returns:
        ``(m, max(size))`` int64; a row is -1 from its own size on.

    Raises:
        ValueError: a size is larger than its population.
    """
    if (size > population).any():
        raise ValueError("cannot draw more rows than there are")
    width = int(size.max(initial=0))
    words = fold(state, np.arange(width)[:, None])  # (width, m): the steps of Floyd's algorithm run over long vectors
    chosen = np.empty(words.shape, np.uint32)
    first = population - size
    for step in range(width):
        last = first + step
        pick = below(words[step], last + 1).astype(np.uint32)
        seen = (chosen[:step] == pick).any(axis=0)
        chosen[step] = np.where(seen, last, pick)
    # Floyd's sets are uniform but their order is not: sort by the unused low halves, the value riding along below.
    words <<= _HALF
    words |= chosen
    ragged = bool((size < width).any())
    if ragged:
        words[np.arange(width)[:, None] >= size] = _LAST
    rows = np.ascontiguousarray(words.T)
    rows.sort(axis=1)
    rows &= np.uint64(0xFFFFFFFF)
    values = rows.view(np.int64)
    if ragged:
        values[np.arange(width) >= size[:, None]] = -1
    return values


@dataclass(frozen=True, eq=False)
class ClassRows:
    """The rows of each class, end to end (CSR).

    Attributes:
        rows: row ids sorted by class, shape ``(n,)`` int64.
        starts: class ``c`` owns ``rows[starts[c]:starts[c + 1]]``, shape ``(classes + 1,)`` int64.
    """

    rows: np.ndarray
    starts: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Rows of each class, shape ``(classes,)``."""
        return np.diff(self.starts)

    def take(self, classes: np.ndarray) -> ClassRows:
        """The rows of these classes only, numbered in this order."""
        parts = [self.rows[self.starts[c] : self.starts[c + 1]] for c in classes]
        starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
        return ClassRows(np.concatenate(parts) if parts else self.rows[:0], starts.astype(np.int64))


def rows_by_class(labels: np.ndarray, classes: int) -> ClassRows:
    """Group rows by label.

    Args:
        labels: class ids ``(n,)``, each in ``0 .. classes - 1``.
        classes: how many classes there are, rows or not.
    """
    counts = np.bincount(labels, minlength=classes)
    starts = np.concatenate([[0], np.cumsum(counts)])
    return ClassRows(np.argsort(labels, kind="stable"), starts.astype(np.int64))


def rows_in_one_class(count: int) -> ClassRows:
    """All rows as one class: how tasks without classes (tagging, generation) are sampled."""
    return ClassRows(np.arange(count), np.array([0, count], np.int64))


def spread(total: int, ways: np.ndarray) -> np.ndarray:
    """Share `total` as evenly as possible: counts differ by at most one, the first labels have the larger ones.

    Labels are dealt at random (`choose_classes`), so no class is favoured.

    Args:
        total: what is shared.
        ways: classes of each episode, ``(e,)``.

    Returns:
        ``(e, max(ways))`` int64, zero from an episode's own ways on.
    """
    label = np.arange(int(ways.max(initial=0)))
    counts = total // ways[:, None] + (label < (total % ways)[:, None])
    return np.where(label < ways[:, None], counts, 0)


def choose_classes(state: np.ndarray, eligible: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """Choose classes; the place of a class in its row is its label in the episode.

    Support: every ordered choice of distinct eligible classes, all equally likely.

    Args:
        state: episode states ``(e,)`` uint64.
        eligible: class ids ``(c,)``.
        ways: how many to choose, ``(e,)``, each at most ``c``.

    Returns:
        ``(e, max(ways))`` int64, padded by -1.
    """
    population = np.full(len(state), len(eligible), np.int64)
    places = sample_without_replacement(fold(state, CLASSES), population, ways)
    return np.where(places < 0, -1, eligible[places])


def choose_rows(state: np.ndarray, rows: ClassRows, classes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Choose rows of each chosen class without replacement.

    Support: for each class, every ordered choice of distinct rows, all equally likely and independent of the others.

    Args:
        state: one state an episode ``(e,)`` uint64, already folded with what the rows are for.
        rows: where each class lies.
        classes: ``(e, w)``, padded by -1.
        counts: rows to choose ``(e, w)``, zero where there is no class.

    Returns:
        Row ids ``(e, w, max(counts))`` int64, padded by -1.
    """
    episodes, ways = classes.shape
    own = np.where(classes < 0, 0, classes)
    states = fold(state[:, None], np.arange(ways))
    places = sample_without_replacement(states.ravel(), rows.sizes[own].ravel(), counts.ravel())
    chosen = rows.rows[np.where(places < 0, 0, places + rows.starts[own].reshape(-1, 1))]
    return np.where(places < 0, -1, chosen).reshape(episodes, ways, -1)


def split_rows(
    state: np.ndarray, rows: ClassRows, classes: np.ndarray, shots: np.ndarray, queries: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose support and query rows from one pool so that they never meet.

    Support: as `choose_rows` of ``shots + queries``; the first go to the support set, the others to the query set.

    Returns:
        Support rows ``(e, w, max(shots))`` and query rows ``(e, w, max(queries))`` int64, padded by -1.
    """
    chosen = choose_rows(state, rows, classes, shots + queries)
    place = np.arange(int(shots.max(initial=0)))
    support = np.where(place < shots[..., None], chosen[:, :, : len(place)], -1)
    place = np.arange(int(queries.max(initial=0)))
    after = np.minimum(shots[..., None] + place, max(chosen.shape[2] - 1, 0))
    query = np.where(place < queries[..., None], np.take_along_axis(chosen, after, axis=2), -1)
    return support, query


def in_hashed_order(state: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lay the rows of each episode side by side in random order, so that their order tells nothing of their class.

    Args:
        state: one state an episode ``(e,)`` uint64.
        chosen: row ids ``(e, w, k)``, padded by -1; no row twice in an episode.

    Returns:
        Row ids and their labels (places in ``w``), both ``(e, w * k)`` int64; padding (-1) stands last.
    """
    episodes, ways, width = chosen.shape
    flat = chosen.reshape(episodes, ways * width)
    keys = fold(state[:, None], flat)  # by row id, not by place: the places depend on the rest of the batch
    keys[flat < 0] = _LAST
    order = np.argsort(keys, axis=1)
    rows = np.take_along_axis(flat, order, axis=1)
    return rows, np.where(rows < 0, -1, order // max(width, 1))
