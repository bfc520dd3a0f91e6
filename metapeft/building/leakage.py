"""Leak audit: texts that stand both where a learner studies and where it is examined.

Two texts are *equal* when they agree up to case and white space, and *near duplicates* when the Jaccard similarity of
their character 5-grams, estimated from MinHash signatures (Broder 1997), is at least `THRESHOLD`. Candidates come from
locality-sensitive hashing, so a pair right at the threshold can be missed; a pair at 0.9 is found with probability
over 0.99.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metapeft.sources.examples import normalized, text_hash

PERMUTATIONS = 64
BANDS, ROWS = 8, 8  # P(candidate | J) = 1 - (1 - J^8)^8: 0.77 at J = 0.8, 0.99 at 0.9
THRESHOLD = 0.8
SHINGLE = 5  # characters
LONGEST = 1_000  # characters compared: a copy that differs only later is still a copy
BLOCK = 256  # texts hashed at once: their shingles stay in the processor's cache
_A, _B = np.random.default_rng(1).integers(0, 2**32, (2, PERMUTATIONS), np.uint32)
_A |= np.uint32(1)  # odd multipliers permute


@dataclass(frozen=True)
class Fingerprints:
    """What the audit remembers of a pool: hashes ``(n,)`` uint64 and signatures ``(n, PERMUTATIONS)`` uint32."""

    hashes: np.ndarray
    signatures: np.ndarray


@dataclass(frozen=True)
class AuditedTask:
    """A task as the audit sees it."""

    id: str
    family: str
    support: Fingerprints
    query: Fingerprints


@dataclass
class Findings:
    """What to drop, and why.

    Attributes:
        drop: task id to the set of query rows to drop.
        counts: task id to a count by reason.
        within_family: equal texts that two tasks of one family share; kept, because a family is never divided.
    """

    drop: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    within_family: Counter[str] = field(default_factory=Counter)


def fingerprints(texts: Sequence[str]) -> Fingerprints:
    """Hashes and MinHash signatures of texts.

    The signatures are made here and not by `datasketch.MinHash`, which takes one text at a time and is several times
    slower (`scripts/bench_build.py` prints the ratio). The scheme is the same: for 64 pairs (a, b) the least of
    ``a * mix(shingle) + b`` mod 2**32.
    """
    hashes = np.array([text_hash(text) for text in texts], np.uint64)
    blocks = [_signatures(texts[start : start + BLOCK]) for start in range(0, len(texts), BLOCK)]
    return Fingerprints(hashes, np.concatenate([np.zeros((0, PERMUTATIONS), np.uint32), *blocks]))


def _signatures(texts: Sequence[str]) -> np.ndarray:
    """MinHash signatures of a block of texts, ``(n, PERMUTATIONS)`` uint32."""
    shingles, starts = _shingles(texts)
    out = np.empty((len(texts), PERMUTATIONS), np.uint32)
    for place, (a, b) in enumerate(zip(_A, _B, strict=True)):
        out[:, place] = np.minimum.reduceat(shingles * a + b, starts)
    return out


def _shingles(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Mixed 32-bit hashes of the character 5-grams of texts, end to end, and where each text's begin."""
    encoded = [normalized(text[: 2 * LONGEST])[:LONGEST].encode("utf-8", "replace") for text in texts]
    encoded = [data.ljust(SHINGLE, b"\0") for data in encoded]
    data = np.frombuffer(b"".join(encoded), np.uint8).astype(np.uint32)
    counts = np.array([len(part) for part in encoded])
    value = np.zeros(len(data) - SHINGLE + 1, np.uint32)
    for place in range(SHINGLE):
        value = value * np.uint32(0x01000193) + data[place : len(value) + place]
    # leave out the windows that reach from one text into the next
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    inside = np.ones(len(value), bool)
    for place in range(1, SHINGLE):
        ends = first[1:] - place
        inside[ends] = False
    value = value[inside]
    # murmur3's finalizer, so that the affine permutations meet well-spread bits
    value ^= value >> np.uint32(16)
    value *= np.uint32(0x85EBCA6B)
    value ^= value >> np.uint32(13)
    value *= np.uint32(0xC2B2AE35)
    value ^= value >> np.uint32(16)
    starts = np.concatenate([[0], np.cumsum(counts - SHINGLE + 1)[:-1]])
    return value, starts


class _Sketch:
    """A signature in the shape that `datasketch` indexes; its own class costs more to make than to look up."""

    __slots__ = ("hashvalues",)

    def __init__(self, hashvalues: np.ndarray):
        self.hashvalues = hashvalues

    def __len__(self) -> int:
        return len(self.hashvalues)


class Index:
    """The rows of pools, to be asked which of them a text may repeat.

    Args:
        pools: what is known of their texts.
    """

    def __init__(self, pools: Sequence[Fingerprints]):
        from datasketch import MinHashLSH

        self._sketches = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, ROWS))
        self._by_hash: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for number, pool in enumerate(pools):
            for row, digest in enumerate(pool.hashes.tolist()):
                self._by_hash[digest].append((number, row))
                sketch: Any = _Sketch(pool.signatures[row])
                self._sketches.insert((number, row), sketch, check_duplication=False)

    def candidates(self, digest: int, signature: np.ndarray) -> list[tuple[int, int, bool]]:
        """Rows that are equal to a text or may be near duplicates of it: ask `near`.

        Returns:
            pool number, row and whether it is equal, in this order.
        """
        equal = self._by_hash.get(digest, ())
        similar: list[Any] = self._sketches.query(_Sketch(signature))
        return [(pool, row, (pool, row) in equal) for pool, row in sorted({*equal, *similar})]


def near(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two signatures are of near duplicates."""
    return bool(np.mean(first == second) >= THRESHOLD)


def audit(
    tasks: Sequence[AuditedTask],
    pairs: Iterable[tuple[str, str]] = (),
) -> Findings:
    """Find the query rows that repeat a support row of their task or of their domain-shift partner, or any row of
    another family.

    Args:
        tasks: every task of the suite that has text.
        pairs: domain-shift pairs (support task id, query task id).

    Returns:
        what to drop. Where two families repeat each other on their query sides, the later task's row goes.
    """
    findings = Findings()
    shifts = set(pairs)
    index = Index([task.query for task in tasks])
    for number, task in enumerate(tasks):
        for side, prints in (("support", task.support), ("query", task.query)):
            for row, digest in enumerate(prints.hashes.tolist()):
                signature = prints.signatures[row]
                for other_number, other_row, equal in index.candidates(digest, signature):
                    other = tasks[other_number]
                    if not _leaks(task, side, number, other, other_number, shifts):
                        if other_number > number and equal and task.family == other.family:
                            findings.within_family[task.family] += 1
                        continue
                    if equal:
                        reason = "equal"
                    elif near(signature, other.query.signatures[other_row]):
                        reason = "near duplicate"
                    else:
                        continue
                    if other_row not in findings.drop[other.id]:
                        findings.drop[other.id].add(other_row)
                        of = "support" if task.id == other.id else f"family {task.family}"
                        if task.id != other.id and task.family == other.family:
                            of = f"domain-shift support {task.id}"
                        findings.counts[other.id][f"{reason} of {of}"] += 1
    return findings


def _leaks(
    task: AuditedTask, side: str, number: int, other: AuditedTask, other_number: int, shifts: set[tuple[str, str]]
) -> bool:
    """Whether a row of `task` (support or query side) must not stand in the query pool of `other`."""
    if task.id == other.id:
        return side == "support"
    if task.family != other.family:
        return side == "support" or number < other_number
    return side == "support" and (task.id, other.id) in shifts
