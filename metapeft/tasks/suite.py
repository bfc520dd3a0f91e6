"""A task suite on disk: open it, check it, and turn it into tasks.

The folder is described in the dataset card that lies in it. Tokens are memory-mapped, so opening a suite costs little
and several processes share one copy.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metapeft import atomic
from metapeft.errors import SuiteError, did_you_mean
from metapeft.recipes.schema import EpisodeDefaults, PoolName
from metapeft.sources.examples import text_hash
from metapeft.tasks.config import TaskConfig
from metapeft.tasks.distribution import TaskDistribution
from metapeft.tasks.pool import Kind, Pool, Ragged
from metapeft.tasks.task import Task

FORMAT = 1
POOLS: tuple[PoolName, ...] = ("support", "query")


@dataclass(frozen=True)
class SuiteTask:
    """One task as the manifest describes it."""

    id: str
    kind: Kind
    family: str
    entry: dict[str, Any]

    @property
    def episodes(self) -> EpisodeDefaults:
        """How episodes are drawn unless the caller says otherwise."""
        return EpisodeDefaults.model_validate(self.entry["episodes"])


class Suite:
    """A suite opened for reading.

    Args:
        path: the folder that `metapeft build` wrote.

    Raises:
        SuiteError: there is no suite, or another version of metapeft wrote it.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        manifest = self.path / "manifest.json"
        try:
            self.manifest: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise SuiteError(
                f"{self.path}: no suite here (no manifest.json). Build one: python -m metapeft.build recipe=NAME "
                f"out={self.path}"
            ) from None
        except (OSError, ValueError) as error:
            raise SuiteError(f"{manifest}: cannot be read ({error}). Build the suite again") from None
        if self.manifest.get("format") != FORMAT:
            raise SuiteError(
                f"{self.path}: suite format {self.manifest.get('format')}, this version reads {FORMAT}. Build it again"
            )
        self.tasks = [SuiteTask(e["id"], e["kind"], e["family"], e) for e in self.manifest["tasks"]]

    @property
    def sha256(self) -> str:
        """Digest of the manifest, which names the digest of every file: equal digests mean equal suites."""
        return atomic.sha256_file(self.path / "manifest.json")

    @property
    def domain_shift(self) -> list[tuple[str, str]]:
        """Pairs of task ids: support task, query task."""
        return [(pair["support"], pair["query"]) for pair in self.manifest["domain_shift"]]

    def task(self, task_id: str) -> SuiteTask:
        """The task with this id.

        Raises:
            SuiteError: there is none; the message has the nearest id.
        """
        for task in self.tasks:
            if task.id == task_id:
                return task
        known = [task.id for task in self.tasks]
        raise SuiteError(f"{self.path}: no task '{task_id}'.{did_you_mean(task_id, known)} It has: {', '.join(known)}")

    def load(self, task_id: str) -> Task:
        """Open one task for sampling."""
        task = self.task(task_id)
        support, query = (self.pool(task_id, side) for side in POOLS)
        entry, defaults = task.entry, task.episodes
        labels = entry["labels"]
        dimension = support.x.shape[1] if isinstance(support.x, np.ndarray) else defaults.max_tokens
        config = TaskConfig(
            task_id=task.id,
            task_family=task.family,
            num_classes=max(len(labels), 1),
            input_dim=int(dimension),
            support_size=len(support),
            query_size=len(query),
            domain=entry["domain"],
            difficulty=entry["difficulty"],
        )
        return Task(
            config,
            support=support,
            query=query,
            labels=labels,
            language=entry["language"],
            noise=entry["noise"],
            pad_id=self.manifest["tokenizer"]["pad_id"],
            names=names_pool(entry.get("label_tokens", [])),  # suites of before November 2026 have none
        )

    def pool(self, task_id: str, side: str) -> Pool:
        """The support or query pool of a task; tokens stay on disk until they are read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        task = self.task(task_id)
        folder = self.path / task.id
        try:
            if task.kind == "points":
                table = pq.read_table(folder / f"{side}.parquet", columns=["x", "label"])
                flat = table["x"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
                labels = table["label"].to_numpy()
                return Pool("points", flat.reshape(len(labels), -1).astype(np.float32), labels.astype(np.int32))
            batch = pa.ipc.open_file(pa.memory_map(str(folder / f"tokens-{side}.arrow"))).get_batch(0)
        except (OSError, pa.ArrowInvalid) as error:
            raise SuiteError(f"{folder}: its {side} pool cannot be read ({error}). Build the suite again") from error
        x = _ragged(batch.column("x"))
        y = batch.column("y")
        return Pool(task.kind, x, y.to_numpy() if task.kind == "classification" else _ragged(y))

    def labels_of(self, task_id: str, side: str) -> np.ndarray:
        """Class ids of a pool as its parquet file says, ``(n,)`` int64: not the way episodes get them."""
        import pyarrow.parquet as pq

        return pq.read_table(self.path / task_id / f"{side}.parquet", columns=["label"])["label"].to_numpy()

    def row_texts(self, task_id: str, side: str) -> list[str]:
        """Each row of a pool of texts as people read it; a pair of texts on two lines."""
        import pyarrow.parquet as pq

        path = self.path / task_id / f"{side}.parquet"
        columns = [name for name in ("text", "pair") if name in pq.read_schema(path).names]
        rows = zip(*(pq.read_table(path, columns=columns)[name].to_pylist() for name in columns), strict=True)
        return ["\n".join(row) for row in rows]

    def row_hashes(self, task_id: str, side: str) -> np.ndarray:
        """Hash of each row as people read it (text up to case and white space, or point), ``(n,)`` uint64."""
        if self.task(task_id).kind == "points":
            points = self.pool(task_id, side).x
            assert isinstance(points, np.ndarray)
            return np.array([text_hash(row.tobytes().hex()) for row in points], np.uint64)
        return np.array([text_hash(text) for text in self.row_texts(task_id, side)], np.uint64)

    def distribution(self, keep: Callable[[SuiteTask], bool] = lambda task: True) -> TaskDistribution:
        """The tasks that `keep` wants, as a distribution to sample from.

        Raises:
            SuiteError: none is wanted.
        """
        tasks = [self.load(task.id) for task in self.tasks if keep(task)]
        if not tasks:
            raise SuiteError(f"{self.path}: no task is left to sample from")
        return TaskDistribution(tasks, suite_hash=self.sha256)

    def damaged(self) -> list[str]:
        """Compare every file with its digest in the manifest; one line for each that differs or is missing."""
        lines = []
        for name, facts in self.manifest["files"].items():
            path = self.path / name
            if not path.is_file():
                lines.append(f"{name}: missing")
            elif path.stat().st_size != facts["bytes"]:
                lines.append(f"{name}: {path.stat().st_size} bytes, the manifest says {facts['bytes']}")
            elif atomic.sha256_file(path) != facts["sha256"]:
                lines.append(f"{name}: its content changed")
        return lines

    def is_whole(self) -> bool:
        """Whether every file is there with its size: a quick look that reads no content."""
        sizes = ((self.path / name, facts["bytes"]) for name, facts in self.manifest["files"].items())
        return all(path.is_file() and path.stat().st_size == size for path, size in sizes)


def names_pool(tokens: list[list[int]]) -> Pool | None:
    """The classes' names as a pool, from token ids as `encode_labels` gives them; None where there are none."""
    if not tokens:
        return None
    values = np.concatenate([np.asarray(row, np.int32) for row in tokens])
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in tokens])])
    return Pool("classification", Ragged(values, offsets), np.arange(len(tokens), dtype=np.int32))


def _ragged(column: Any) -> Ragged:
    return Ragged(column.values.to_numpy(), column.offsets.to_numpy())
