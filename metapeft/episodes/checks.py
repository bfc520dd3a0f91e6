"""Experiment 2: sample many episodes of each kind and check that they are what they claim to be."""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metapeft.episodes.episode import ARRAYS, Episode
from metapeft.episodes.kinds import KINDS
from metapeft.episodes.sampler import EpisodeSampler, Ways
from metapeft.errors import EpisodeError
from metapeft.tasks.pool import IGNORE
from metapeft.tasks.suite import Suite, SuiteTask

WITH_CLASSES = ("classification", "points")
MOST_SHOTS = 20  # variable-shot episodes draw 1 to 20, or fewer where a task has fewer rows


@dataclass
class KindReport:
    """What the episodes of one kind showed.

    Attributes:
        kind: see `kinds.KINDS`.
        episodes: how many were checked.
        tasks: how many tasks (domain shift: pairs) they came from.
        seconds: time to sample them.
        digest: SHA-256 of every array of every episode.
        faults: one line for each check that failed, at most a few a check.
    """

    kind: str
    episodes: int = 0
    tasks: int = 0
    seconds: float = 0.0
    digest: str = ""
    faults: dict[str, list[str]] = field(default_factory=dict)

    def fault(self, check: str, line: str) -> None:
        """Note what a check found."""
        self.faults.setdefault(check, []).append(line)


CHECKS = ("sizes", "balance", "labels", "disjoint", "deterministic")


def samplers(suite: Suite, kind: str, seed: int) -> list[EpisodeSampler]:
    """One sampler a task (domain shift: a pair), with the task's own episode defaults.

    Tasks without classes have standard episodes only.
    """
    if kind == "domain-shift":
        return [_shift_sampler(suite, pair, seed) for pair in suite.domain_shift]
    tasks = [task for task in suite.tasks if kind == "standard" or task.kind in WITH_CLASSES]
    return [_task_sampler(suite, task, kind, seed) for task in tasks]


def _task_sampler(suite: Suite, task: SuiteTask, kind: str, seed: int) -> EpisodeSampler:
    defaults = task.episodes
    only = suite.distribution(lambda other: other.id == task.id)

    def make(most: int) -> EpisodeSampler:
        return EpisodeSampler(
            only,
            defaults.least_shots,
            defaults.query,
            n_way=_ways(defaults.ways),
            seed=seed,
            kind=kind,
            shot_range=(1, most),
            max_tokens=defaults.max_tokens,
        )

    return _with_most_shots(make) if kind == "variable-shot" else make(1)


def _shift_sampler(suite: Suite, pair: tuple[str, str], seed: int) -> EpisodeSampler:
    support, query = (suite.task(task_id) for task_id in pair)
    both = suite.distribution(lambda task: task.id in pair)
    return EpisodeSampler(
        both,
        min(support.episodes.least_shots, query.episodes.least_shots),
        min(support.episodes.query, query.episodes.query),
        seed=seed,
        kind="domain-shift",
        pairs=[pair],
        max_tokens=max(support.episodes.max_tokens, query.episodes.max_tokens),
    )


def _with_most_shots(make: Callable[[int], EpisodeSampler]) -> EpisodeSampler:
    """The widest shot range from 1 to `MOST_SHOTS` that the task's rows allow."""
    for most in range(MOST_SHOTS, 1, -1):
        try:
            return make(most)
        except EpisodeError:
            continue
    return make(1)


def _ways(ways: int | str | list[int]) -> Ways:
    if isinstance(ways, list):
        return ways[0], ways[1]
    return ways if isinstance(ways, int) else None


def check_kind(suite: Suite, kind: str, episodes: int, seed: int, known: SuiteRows | None = None) -> KindReport:
    """Sample episodes of one kind, spread evenly over the suite's tasks, and check each of them.

    Args:
        suite: where the episodes come from.
        kind: see `kinds.KINDS`.
        episodes: at least so many.
        seed: of the samplers.
        known: the suite's rows, where they were read before.

    Returns:
        a report; its `faults` are empty when every check holds. `episodes` is 0 where the suite has nothing of
        this kind.
    """
    report = KindReport(kind)
    digest = hashlib.sha256()
    made = samplers(suite, kind, seed)
    report.tasks = len(made)
    each = math.ceil(episodes / max(len(made), 1))
    known = known or SuiteRows(suite)
    for sampler in made:
        start = time.perf_counter()
        batch = sampler.episodes(0, each)
        report.seconds += time.perf_counter() - start
        report.episodes += len(batch)
        for episode in batch:
            _digest_into(digest, episode)
            _check(report, sampler, episode, suite, known)
        alone = sampler.episode(each - 1)
        if _digest(alone) != _digest(batch[-1]):
            report.fault("deterministic", f"{alone.task_id}, episode {alone.index}: alone it differs from the batch")
    report.digest = digest.hexdigest()
    return report


def digest_kind(path: str, kind: str, episodes: int, seed: int) -> str:
    """Digest of the same episodes, for a second process to compare."""
    suite = Suite(Path(path))
    made = samplers(suite, kind, seed)
    digest = hashlib.sha256()
    for sampler in made:
        for episode in sampler.episodes(0, math.ceil(episodes / len(made))):
            _digest_into(digest, episode)
    return digest.hexdigest()


def run_checks(suite: Suite, episodes: int = 1000, seed: int = 0) -> list[KindReport]:
    """Experiment 2 on a suite: every kind, checked here and compared with a second, freshly started process."""
    known = SuiteRows(suite)
    reports = [check_kind(suite, kind, episodes, seed, known) for kind in KINDS]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as other:
        jobs = {
            report.kind: other.submit(digest_kind, str(suite.path), report.kind, episodes, seed)
            for report in reports
            if report.tasks
        }
        for report in reports:
            if report.tasks and jobs[report.kind].result() != report.digest:
                report.fault("deterministic", "another process samples other episodes")
    return reports


# --- one episode --------------------------------------------------------------------------------


class SuiteRows:
    """What a suite's parquet files say of its rows, read once a pool: not the way episodes get them."""

    def __init__(self, suite: Suite):
        self._suite = suite
        self._hashes: dict[tuple[str, str], np.ndarray] = {}
        self._labels: dict[tuple[str, str], np.ndarray] = {}

    def hashes(self, task_id: str, side: str) -> np.ndarray:
        """Hashes of the rows as people read them, ``(n,)`` uint64."""
        key = (task_id, side)
        if key not in self._hashes:
            self._hashes[key] = self._suite.row_hashes(task_id, side)
        return self._hashes[key]

    def labels(self, task_id: str, side: str) -> np.ndarray:
        """Names of the rows' labels, ``(n,)`` str."""
        key = (task_id, side)
        if key not in self._labels:
            self._labels[key] = self.names(task_id)[self._suite.labels_of(task_id, side)]
        return self._labels[key]

    def names(self, task_id: str) -> np.ndarray:
        """Label names of a task in the order of their ids."""
        return np.array(self._suite.task(task_id).entry["labels"])


def _check(report: KindReport, sampler: EpisodeSampler, episode: Episode, suite: Suite, known: SuiteRows) -> None:
    where = f"{episode.task_id}, episode {episode.index}"
    support_id, _, query_id = episode.task_id.partition("->")
    query_id = query_id or support_id
    support_y, query_y = np.asarray(episode.support_y), np.asarray(episode.query_y)
    ways = len(episode.classes)
    rows = len(episode.support_rows)
    if len(episode.query_rows) != sampler.query_size or len(query_y) != sampler.query_size:
        report.fault("sizes", f"{where}: {len(episode.query_rows)} query rows, {sampler.query_size} asked for")
    wanted = sampler.k_shot * max(ways, 1)
    if report.kind != "variable-shot" and rows != wanted:
        report.fault("sizes", f"{where}: {rows} support rows, {wanted} asked for")
    if not len(episode.support_x) == len(support_y) == rows:
        report.fault("sizes", f"{where}: {len(episode.support_x)} inputs and {len(support_y)} labels, {rows} rows")
    if suite.task(support_id).kind == "tagging":
        untagged = int((support_y == IGNORE).all(axis=1).sum() + (query_y == IGNORE).all(axis=1).sum())
        if untagged:
            report.fault("labels", f"{where}: {untagged} sentences have no tag on any token")
    if ways:
        _check_labels(report, episode, where, support_y, query_y, known, (support_id, query_id))
    shared = np.intersect1d(
        known.hashes(support_id, "support")[episode.support_rows], known.hashes(query_id, "query")[episode.query_rows]
    )
    if len(shared):
        report.fault("disjoint", f"{where}: {len(shared)} texts stand in support and query")
    if len(np.unique(episode.support_rows)) != rows or len(np.unique(episode.query_rows)) != sampler.query_size:
        report.fault("disjoint", f"{where}: a row stands twice")


def _check_labels(
    report: KindReport,
    episode: Episode,
    where: str,
    support_y: np.ndarray,
    query_y: np.ndarray,
    known: SuiteRows,
    ids: tuple[str, str],
) -> None:
    ways = len(episode.classes)
    support = np.bincount(support_y, minlength=ways)
    query = np.bincount(query_y, minlength=ways)
    if len(support) > ways or len(query) > ways:
        report.fault("balance", f"{where}: a label is above the number of ways, {ways}")
        return
    if report.kind == "imbalanced":
        if support.min() < 1:
            report.fault("balance", f"{where}: a class has no support row")
    elif support.min() != support.max():
        report.fault("balance", f"{where}: {support.min()} to {support.max()} support rows a class")
    if query.max() - query.min() > 1:
        report.fault("balance", f"{where}: {query.min()} to {query.max()} query rows a class")
    names = known.names(ids[0])
    for task_id, side, rows, y in (
        (ids[0], "support", episode.support_rows, support_y),
        (ids[1], "query", episode.query_rows, query_y),
    ):
        true = known.labels(task_id, side)[rows]
        said = names[episode.classes[y]]  # a domain-shift pair agrees by name, and has the support task's ids
        if not np.array_equal(true, said):
            report.fault("labels", f"{where}: {int((true != said).sum())} {side} labels are not the rows' own")


def _digest_into(digest: hashlib._Hash, episode: Episode) -> None:
    digest.update(f"{episode.index} {episode.task_id} {episode.kind}".encode())
    for name in ARRAYS:
        array = getattr(episode, name)
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())


def _digest(episode: Episode) -> str:
    digest = hashlib.sha256()
    _digest_into(digest, episode)
    return digest.hexdigest()
