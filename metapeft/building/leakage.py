"""Leak audit: texts that stand both where a learner studies and where it is examined.

Two texts are *equal* when they agree up to case and white space, and *near duplicates* when the Jaccard similarity of
their character 5-grams, estimated from MinHash signatures (Broder 1997), is at least `THRESHOLD`. Candidates come from
locality-sensitive hashing, so a pair right at the threshold can be missed; a pair at 0.9 is found with probability
over 0.99.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metapeft.sources.examples import normalized, text_hash

PERMUTATIONS = 64
BANDS, ROWS = 8, 8  # P(candidate | J) = 1 - (1 - J^8)^8: 0.77 at J = 0.8, 0.99 at 0.9
THRESHOLD = 0.8
SHINGLE = 5  # characters
LONGEST = 1_000  # characters compared: a copy that differs only later is still a copy


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


def fingerprints(texts: Iterable[str]) -> Fingerprints:
    """Hashes and MinHash signatures of texts."""
    from datasketch import MinHash

    blank = MinHash(num_perm=PERMUTATIONS, hashfunc=int, scheme="affine32")
    hashes: list[int] = []
    signatures: list[np.ndarray] = []
    for text in texts:
        hashes.append(text_hash(text))
        sketch = blank.copy()
        sketch.update_batch(_shingles(text))
        signatures.append(sketch.hashvalues)
    stacked = np.stack(signatures).astype(np.uint32) if signatures else np.zeros((0, PERMUTATIONS), np.uint32)
    return Fingerprints(np.array(hashes, np.uint64), stacked)


class Fingerprinter:
    """Fingerprints in a second process, while the first one reads the next rows.

    A context manager. Few texts are done on the spot: a process costs more than they do.
    """

    ON_THE_SPOT = 2_000

    def __enter__(self) -> Fingerprinter:
        self._pool: ProcessPoolExecutor | None = None
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def start(self, texts: list[str]) -> Callable[[], Fingerprints]:
        """Begin; the function that comes back waits for the result."""
        if len(texts) <= self.ON_THE_SPOT:
            done = fingerprints(texts)
            return lambda: done
        if self._pool is None:
            # spawn: a fork would copy the threads' locks of the tokenizer and of Arrow in whatever state they are
            self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        return self._pool.submit(fingerprints, texts).result


def _shingles(text: str) -> np.ndarray:
    """Distinct 32-bit hashes of the character 5-grams of a text, (m,) uint64."""
    data = np.frombuffer(normalized(text[: 2 * LONGEST])[:LONGEST].encode("utf-8", "replace"), np.uint8)
    if len(data) < SHINGLE:
        data = np.pad(data, (0, SHINGLE - len(data)))
    data = data.astype(np.uint64)
    value = np.zeros(len(data) - SHINGLE + 1, np.uint64)
    for place in range(SHINGLE):
        value = value * np.uint64(1_000_003) + data[place : len(data) - SHINGLE + 1 + place]
    return np.unique((value ^ (value >> np.uint64(32))) & np.uint64(0xFFFFFFFF))


def audit(
    tasks: Sequence[AuditedTask],
    pairs: Iterable[tuple[str, str]] = (),
    note: Callable[[str], None] = lambda text: None,
) -> Findings:
    """Find the query rows that repeat a support row of their task or of their domain-shift partner, or any row of
    another family.

    Args:
        tasks: every task of the suite that has text.
        pairs: domain-shift pairs (support task id, query task id).
        note: told which task is being compared, for progress.

    Returns:
        what to drop. Where two families repeat each other on their query sides, the later task's row goes.
    """
    from datasketch import MinHash, MinHashLSH

    blank = MinHash(num_perm=PERMUTATIONS, scheme="affine32")

    def sketch(signature: np.ndarray) -> MinHash:
        return MinHash(num_perm=PERMUTATIONS, hashvalues=signature, permutations=blank.permutations, scheme="affine32")

    findings = Findings()
    shifts = set(pairs)
    index = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, ROWS))
    by_hash: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, task in enumerate(tasks):
        for row, digest in enumerate(task.query.hashes.tolist()):
            by_hash[digest].append((number, row))
            index.insert((number, row), sketch(task.query.signatures[row]), check_duplication=False)

    for number, task in enumerate(tasks):
        note(task.id)
        for side, prints in (("support", task.support), ("query", task.query)):
            for row, digest in enumerate(prints.hashes.tolist()):
                equal = by_hash.get(digest, ())
                signature = prints.signatures[row]
                candidates: list[Any] = index.query(sketch(signature))
                for other_number, other_row in sorted({*equal, *candidates}):
                    other = tasks[other_number]
                    if not _leaks(task, side, number, other, other_number, shifts):
                        if other_number > number and (other_number, other_row) in equal and task.family == other.family:
                            findings.within_family[task.family] += 1
                        continue
                    if (other_number, other_row) in equal:
                        reason = "equal"
                    elif np.mean(signature == other.query.signatures[other_row]) >= THRESHOLD:
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
