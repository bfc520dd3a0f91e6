"""Which episodes a result is of, and whether what it was tested on was really unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from metapeft import atomic
from metapeft.building.leakage import Fingerprints, Index, fingerprints, near
from metapeft.episodes.episode import Episode
from metapeft.errors import EpisodeError
from metapeft.tasks.suite import POOLS, Suite

Track = Literal["episode", "class", "domain", "family"]


def episodes_sha256(episodes: Iterable[Episode]) -> str:
    """Digest of the episodes: of their tasks, classes, support rows and query rows, in this order.

    Equal digests of one suite mean the same examples with the same labels. Row ids are those of the pools that the
    episodes were drawn from: of a task cut by `meta.stream.limited`, those of the cut pool.

    Returns:
        Hex SHA-256.
    """
    digest = hashlib.sha256()
    for episode in episodes:
        name = episode.task_id.encode()
        digest.update(f"{len(name)} ".encode() + name)  # lengths first: no two lists of episodes read the same
        for rows in (episode.classes, episode.support_rows, episode.query_rows):
            digest.update(f"{len(rows)} ".encode() + np.asarray(rows, "<i8").tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a task comes from.

    Attributes:
        task_id: the task.
        family: its family.
        source: see `source_of`.
        texts: sorted hashes of its different rows, both pools, uint64 ``(n,)``.
        near: of a test task, how many rows are near duplicates of a row of another task, by that task's id; what was
            left out of the test does not count.
    """

    task_id: str
    family: str
    source: str
    texts: np.ndarray
    near: Mapping[str, int] = field(default_factory=dict)


def source_of(entry: dict[str, Any]) -> str:
    """The data source of a manifest's task: a Hub repository and configuration, files, or a generator as it was set.

    It is what a recipe calls the source's identity, but for generators: with other parameters they make other data.
    """
    source = entry["source"]
    if source["kind"] == "hub":
        return "/".join(part for part in (source["path"], source["config"] or source["data_dir"]) if part)
    if source["kind"] == "files":
        return f"files/{source['name']}"
    settings = atomic.canonical_json({"params": source["params"], "seed": source["seed"]})
    return f"synthetic/{source['generator']}/{hashlib.sha256(settings.encode()).hexdigest()[:12]}"


def origin_of(suite: Suite, task_id: str) -> Origin:
    """Where a task of a suite comes from; its texts are read and hashed, which takes seconds for a million.

    Raises:
        SuiteError: the suite has no such task.
    """
    task = suite.task(task_id)
    texts = np.unique(np.concatenate([suite.row_hashes(task_id, pool) for pool in POOLS]))
    return Origin(task.id, task.family, source_of(task.entry), texts)


def track_of(test: Origin, seen: Sequence[Origin]) -> Track:
    """How far a task is from those that training and validation saw.

    ``episode``: it is one of them, only its episodes are new. ``class``: other classes of a source that they used.
    ``domain``: another source of a family that they used. ``family``: neither family nor source was used.
    """
    if any(test.task_id == each.task_id for each in seen):
        return "episode"
    if any(test.source == each.source for each in seen):
        return "class"
    return "domain" if any(test.family == each.family for each in seen) else "family"


def unseen(hashes: np.ndarray, seen: Sequence[Origin]) -> np.ndarray:
    """Which rows of a test pool have a text that no task of training or validation has.

    Corpora of short texts share some ("what time is it"): leave those rows out of the test, not the whole corpus.

    Args:
        hashes: `Suite.row_hashes` of the pool, uint64 ``(n,)``.
        seen: tasks of training and validation.

    Returns:
        bool ``(n,)``.
    """
    met = np.concatenate([np.zeros(0, np.uint64), *(each.texts for each in seen)])
    return ~np.isin(hashes, met)


def prints_of(suite: Suite, task_id: str) -> Fingerprints:
    """Fingerprints of a task's texts, the support pool's before the query pool's.

    They are of the texts that the suite keeps beside the token ids, as in the leak audit of the build: that compares
    5-grams of characters, and of token ids 5-grams find next to nothing in texts of ten words.

    Raises:
        SuiteError: the suite has no such task.
    """
    return fingerprints([text for pool in POOLS for text in suite.row_texts(task_id, pool)])


def near_duplicates(test: Sequence[Fingerprints], seen: Sequence[Fingerprints]) -> list[np.ndarray]:
    """Which rows of test tasks are near duplicates of a row that was seen: see `metapeft.building.leakage`.

    Args:
        test: of tasks to test on.
        seen: of tasks of training and validation.

    Returns:
        For each test task int64 ``(n,)``: the number of the first task of `seen` that has a near duplicate of the row,
        -1 where none has. An equal text is no near duplicate here: `unseen` finds it.
    """
    index = Index(test)
    found = [np.full(len(task.hashes), -1, np.int64) for task in test]
    for number, task in enumerate(seen):
        for digest, signature in zip(task.hashes.tolist(), task.signatures, strict=True):
            for own, row, equal in index.candidates(digest, signature):
                if not equal and found[own][row] < 0 and near(signature, test[own].signatures[row]):
                    found[own][row] = number
    return found


def check_apart(training: Sequence[Origin], validation: Sequence[Origin], test: Sequence[Origin], track: Track) -> None:
    """Refuse test tasks that training or validation saw in part.

    ``episode`` promises new episodes of known tasks: nothing is refused. ``class`` and ``domain`` promise tasks whose
    texts were not seen: parts of one corpus may be on both sides. ``family`` promises a family and a source not seen.
    Texts are compared up to case and white space; a text of a few words in two corpora counts too, and so do the near
    duplicates that `Origin.near` has.

    Args:
        training: tasks of meta-training.
        validation: tasks that steps, settings or the prior of auto were chosen on.
        test: tasks to test on.
        track: what the result promises.

    Raises:
        EpisodeError: a promise is broken; it names every test task with what it shares, and with whom.
    """
    if track == "episode":
        return
    wrong = []
    for own in test:
        for part, seen in (("training", training), ("validation", validation)):
            for each in seen:
                shared = _shared(own, each, track)
                if shared:
                    wrong.append(f"'{own.task_id}' shares {', '.join(shared)} with {part} task '{each.task_id}'")
    if wrong:
        raise EpisodeError(
            f"test tasks are not apart, track '{track}':\n  "
            + "\n  ".join(wrong)
            + "\n  leave these tasks or texts out of the test, or train without the others (exclude=)"
        )


def _shared(own: Origin, other: Origin, track: Track) -> list[str]:
    if own.task_id == other.task_id:
        return ["its id"]
    shared = []
    if track == "family":
        shared += [f"the family {own.family}"] * (own.family == other.family)
        shared += [f"the source {own.source}"] * (own.source == other.source)
    texts = len(np.intersect1d(own.texts, other.texts, assume_unique=True))
    shared += [f"{texts} of {len(own.texts)} texts"] * (texts > 0)
    close = own.near.get(other.task_id, 0)
    return shared + [f"near duplicates of {close} more rows"] * (close > 0)
