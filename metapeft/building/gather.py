"""Gather the rows of one task from its source, as parquet files in the staging folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metapeft import atomic
from metapeft.building.leakage import AuditedTask, Fingerprints, fingerprints
from metapeft.building.order import Session
from metapeft.errors import SourceError, did_you_mean
from metapeft.recipes.registry import PlannedTask
from metapeft.recipes.schema import (
    ClassificationTask,
    FilesSource,
    HubSource,
    PointsTask,
    PoolName,
    SyntheticSource,
    TaggingTask,
)
from metapeft.sources import grammar, hub, points, tables
from metapeft.sources.examples import (
    Counts,
    Example,
    hash_side,
    numbered,
    read_pool,
)
from metapeft.sources.fields import Row, TextTask, needed_columns
from metapeft.tasks.suite import POOLS

ROW_GROUP = 10_000


@dataclass
class Gathered:
    """A task whose rows are in the staging folder.

    Attributes:
        planned: what the recipe says.
        counts: what became of the rows, by pool.
        found: rows of each split, where the source has splits.
        source: what the manifest says of the source.
        prints: by pool, the fingerprints for the leak audit; empty for points.
    """

    planned: PlannedTask
    counts: dict[str, Counts]
    found: dict[str, int] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    prints: dict[str, Fingerprints] = field(default_factory=dict)

    def audited(self) -> AuditedTask:
        """The task as the leak audit sees it."""
        return AuditedTask(self.planned.task.id, self.planned.family, self.prints["support"], self.prints["query"])


def gather(planned: PlannedTask, folder: Path, session: Session, where: str) -> Gathered:
    """Read a task's source and write `support.parquet` and `query.parquet` below `folder`.

    Args:
        planned: the task.
        folder: its own staging folder; made here.
        session: what this build knows of its sources.
        where: recipe and task, for errors.

    Raises:
        SourceError, HubUnreachable: rows cannot be had.
        RecipeError: the rows are not what the recipe says.
    """
    folder.mkdir(parents=True)
    task = planned.task
    if isinstance(task, PointsTask):
        return _gather_points(planned, task, folder)
    gathered = Gathered(planned, {})
    for pool in POOLS:
        examples, counts = _read_text_pool(task, pool, session, where, gathered)
        if not examples:
            dropped = ", ".join(f"{n} {why}" for why, n in counts.dropped.most_common())
            raise SourceError(
                f"{where}: no row is left in the {pool} pool ({counts.read} read; dropped: {dropped or 'none'}). "
                "Look at its splits, filters and labels"
            )
        gathered.counts[pool] = counts
        gathered.prints[pool] = fingerprints([example.text for example in examples])
        write_rows(folder / f"{pool}.parquet", task, [example.columns for example in examples])
    return gathered


def _read_text_pool(
    task: TextTask, pool: PoolName, session: Session, where: str, gathered: Gathered
) -> tuple[list[Example], Counts]:
    source = task.source
    if isinstance(source, SyntheticSource):
        params, size = source.params, source.size[pool]
        rows: list[Row] = grammar.generate(source.generator, params, size, source.seed, pool)
        gathered.source = {"kind": "synthetic", "generator": source.generator, "params": params, "seed": source.seed}
        return read_pool(task, numbered(pool, iter(rows)), pool=pool, names=None, where=where)
    one_for_both = not source.splits.query
    splits = source.splits.support if pool == "support" or one_for_both else source.splits.query
    with _open(source, splits, session, where, gathered) as parts:
        names = _class_names(task, parts)
        rows_of = (
            item for split, table in parts for item in numbered(split, _checked(table, needed_columns(task), where))
        )
        side = {"side": hash_side(pool)} if one_for_both else {}
        return read_pool(task, rows_of, pool=pool, names=names, where=where, **side)


def _checked(table: tables.Table, columns: list[str], where: str) -> Iterator[Row]:
    for column in columns:
        if column not in table.columns:
            raise SourceError(
                f"{where}, fields: no column '{column}'.{did_you_mean(column, table.columns)} "
                f"It has: {', '.join(table.columns)}"
            )
    return table.rows(columns)


@contextlib.contextmanager
def _open(
    source: HubSource | FilesSource, splits: list[str], session: Session, where: str, gathered: Gathered
) -> Generator[list[tuple[str, tables.Table]]]:
    with contextlib.ExitStack() as stack:
        parts = []
        if isinstance(source, HubSource):
            resolved = session.resolved(source)
            for split in splits:
                paths = hub.fetch(resolved, split, source)
                table = stack.enter_context(tables.open_table(paths, resolved.format, where, resolved.features))
                gathered.found[split] = len(table)
                parts.append((split, table))
            gathered.source = {
                "kind": "hub",
                "path": source.path,
                "config": source.config,
                "data_dir": source.data_dir,
                "revision": source.revision,
                "commit": resolved.commit,
                "key": resolved.key,
            }
        else:
            files = session.files(source, splits, where)
            table = stack.enter_context(tables.open_table(files, tables.format_of(files[0], where), where))
            name = files[0].stem if len(files) == 1 else "files"
            gathered.found[name] = len(table)
            parts.append((name, table))
            known = dict(gathered.source.get("files", {}))
            gathered.source = {
                "kind": "files",
                "name": source.name,
                "files": known | {path.name: atomic.sha256_file(path) for path in files},
            }
        yield parts


def _class_names(task: TextTask, parts: list[tuple[str, tables.Table]]) -> list[str] | None:
    spec = None
    if isinstance(task, ClassificationTask):
        spec = task.fields.label
    elif isinstance(task, TaggingTask):
        spec = task.fields.tags
    return parts[0][1].class_names(spec) if isinstance(spec, str) else None


def _gather_points(planned: PlannedTask, task: PointsTask, folder: Path) -> Gathered:
    source = task.source
    if not isinstance(source, SyntheticSource):
        raise SourceError(f"task '{task.id}': points come from a synthetic source only")
    gathered = Gathered(planned, {})
    for pool in POOLS:
        size = source.size[pool]
        x, y = points.generate(source.generator, source.params, size, source.seed, pool)
        flat = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])
        ids = [f"{pool}:{index}" for index in range(len(y))]
        write_table(folder / f"{pool}.parquet", pa.table({"row_id": ids, "x": flat, "label": y.astype(np.int32)}))
        gathered.counts[pool] = Counts(read=len(y), kept=len(y))
    gathered.source = {
        "kind": "synthetic",
        "generator": source.generator,
        "params": source.params,
        "seed": source.seed,
    }
    return gathered


# --- parquet ------------------------------------------------------------------------------------


def write_rows(path: Path, task: TextTask, rows: list[Row]) -> None:
    """Write examples' columns as parquet, in the order the kind of task has."""
    columns: dict[str, Any] = {"row_id": pa.string(), "text": pa.string()}
    if isinstance(task, ClassificationTask):
        if task.fields.pair is not None:
            columns["pair"] = pa.string()
        columns["label"] = pa.int64()
    elif isinstance(task, TaggingTask):
        columns |= {"tokens": pa.list_(pa.string()), "tags": pa.list_(pa.string())}
    else:
        columns |= {"target": pa.string()} | {name: pa.string() for name in task.fields.keep}
    schema = pa.schema(list(columns.items()))
    if isinstance(task, ClassificationTask):
        schema = schema.with_metadata(_class_label_metadata(columns, task.labels))
    write_table(path, pa.Table.from_pylist(rows, schema=schema))


def _class_label_metadata(columns: dict[str, Any], labels: list[str]) -> dict[str, str]:
    """What `datasets` reads from a parquet file, so that `label` comes back as a ClassLabel with its names."""
    features: dict[str, Any] = {name: {"dtype": "string", "_type": "Value"} for name in columns}
    features["label"] = {"names": labels, "_type": "ClassLabel"}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def write_table(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, compression="zstd", row_group_size=ROW_GROUP)


def drop_rows(path: Path, rows: set[int]) -> None:
    """Rewrite a parquet file without these rows (their places in the file)."""
    table = pq.read_table(path)
    keep = np.ones(len(table), bool)
    keep[list(rows)] = False
    write_table(path, table.filter(pa.array(keep)))
