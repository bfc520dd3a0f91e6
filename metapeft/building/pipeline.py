"""Assemble a suite: gather rows, audit for leaks, tokenize, describe."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metapeft import atomic
from metapeft.building import card
from metapeft.building.gather import Gathered, drop_rows, gather, write_table
from metapeft.building.leakage import Findings, audit
from metapeft.building.order import Order, Session, versions
from metapeft.errors import RecipeError
from metapeft.recipes.registry import PlannedTask
from metapeft.recipes.schema import (
    ClassificationTask,
    EpisodeDefaults,
    FilesSource,
    GenerationTask,
    PointsTask,
    PoolName,
    TaggingTask,
)
from metapeft.sources.examples import repaired_bio
from metapeft.sources.fields import render
from metapeft.tasks.suite import FORMAT, POOLS
from metapeft.tokenization.tokenizer import (
    LoadedTokenizer,
    Tokens,
    encode_generation,
    encode_labels,
    encode_texts,
    encode_words,
    load_tokenizer,
    windows,
)

Note = Callable[[str], None]


def assemble(order: Order, staging: Path, session: Session, inputs: str, note: Note) -> dict[str, Any]:
    """Build the suite in the staging folder and return its manifest.

    Args:
        order: what to assemble.
        staging: an empty folder.
        session: what this build knows of its sources.
        inputs: `inputs_digest` of the order.
        note: told each step, for progress.

    Raises:
        MetapeftError: a source, a recipe or a task is not what it should be; names recipe, task and field.
    """
    recipe = order.plan.recipe.name
    built, skipped = order.split()
    if not built:
        named = ", ".join(sorted({f"files.{source.name}=FOLDER" for _, source in skipped}))
        raise RecipeError(f"recipe '{recipe}': every task needs files of yours; name their folders: {named}")
    tokenizer = load_tokenizer(order.tokenizer)
    gathered: list[Gathered] = []
    support: list[Future[PoolFacts]] = []
    # The audit never drops support rows, so they are tokenized (in Rust) while the next task's rows are read.
    ahead = ThreadPoolExecutor(1)
    try:
        for number, planned in enumerate(built, 1):
            where = f"recipe '{recipe}', task '{planned.task.id}'"
            done = gather(planned, staging / planned.task.id, session, where)
            gathered.append(done)
            support.append(ahead.submit(_finish_pool, order, planned, staging, tokenizer, "support"))
            rows = " + ".join(f"{done.counts[pool].kept:,}" for pool in POOLS)
            note(f"[{number}/{len(built)}] {planned.task.id}: {rows} rows")
    finally:
        ahead.shutdown(cancel_futures=len(gathered) < len(built))
    findings = _audit(order, gathered, staging, note)
    note(f"tokenizing {len(built)} tasks with '{tokenizer.name}'")
    entries = []
    for item, support_facts in zip(gathered, support, strict=True):
        query_facts = _finish_pool(order, item.planned, staging, tokenizer, "query")
        entries.append(
            _entry(order, item, tokenizer, findings, {"support": support_facts.result(), "query": query_facts})
        )
    return _describe(order, entries, skipped, findings, tokenizer, staging, inputs)


def _audit(order: Order, gathered: list[Gathered], staging: Path, note: Note) -> Findings:
    texts = [item for item in gathered if item.prints]
    rows = sum(counts.kept for item in texts for counts in item.counts.values())
    note(f"comparing {rows:,} texts for leaks")
    pairs = [(pair.support, pair.query) for pair in order.plan.domain_shift]
    findings = audit([item.audited() for item in texts], pairs)
    for item in texts:
        item.prints = {}  # they are large and not needed any more
    if order.leaks == "drop":
        for task_id, rows_to_drop in findings.drop.items():
            if rows_to_drop:
                drop_rows(staging / task_id / "query.parquet", rows_to_drop)
    return findings


# --- one task -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class PoolFacts:
    """What the manifest says of a pool: rows, rows of each class (or none), and token lengths (or none)."""

    rows: int
    class_rows: list[int] | None
    lengths: dict[str, Any] | None


def _finish_pool(
    order: Order, planned: PlannedTask, staging: Path, tokenizer: LoadedTokenizer, pool: PoolName
) -> PoolFacts:
    """Tokenize a pool whose rows are final."""
    task = planned.task
    folder = staging / task.id
    table = pq.read_table(folder / f"{pool}.parquet")
    class_rows = lengths = None
    if "label" in table.column_names:
        class_rows = np.bincount(table["label"].to_numpy(), minlength=len(getattr(task, "labels", []))).tolist()
    if not isinstance(task, PointsTask):
        longest = order.episodes(planned).max_tokens
        whole = len(table)
        if isinstance(task, TaggingTask):
            table = _windowed(table, tokenizer, longest)
            if len(table) > whole:
                write_table(folder / f"{pool}.parquet", table)
        tokens = _tokenize(planned, table, tokenizer, longest)
        _write_tokens(folder / f"tokens-{pool}.arrow", tokens, table)
        lengths = _length_facts(tokens) | ({"windows": len(table) - whole} if isinstance(task, TaggingTask) else {})
    return PoolFacts(len(table), class_rows, lengths)


def _entry(
    order: Order,
    item: Gathered,
    tokenizer: LoadedTokenizer,
    findings: Findings,
    facts: dict[PoolName, PoolFacts],
) -> dict[str, Any]:
    """Describe a task for the manifest."""
    planned = item.planned
    task, episodes = planned.task, order.episodes(planned)
    labels = list(getattr(task, "labels", []))
    rows = {pool: facts[pool].rows for pool in POOLS}
    class_rows = {pool: counts for pool in POOLS if (counts := facts[pool].class_rows) is not None}
    lengths = {pool: found for pool in POOLS if (found := facts[pool].lengths) is not None}
    _check_episodes(order.plan.recipe.name, planned, episodes, rows, class_rows)
    source = task.source
    params = getattr(source, "params", {})
    return {
        "id": task.id,
        "kind": task.kind,
        "family": planned.family,
        "domain": task.domain,
        "language": task.language,
        "difficulty": task.difficulty,
        "noise": float(params.get("noise", params.get("label_noise", 0.0))),
        "labels": labels,
        "label_tokens": encode_labels(tokenizer, labels) if isinstance(task, ClassificationTask) else [],
        "style": getattr(task, "style", None),
        "source": item.source,
        "license": task.license,
        "citation": task.citation,
        "episodes": episodes.model_dump(),
        "rows": rows,
        "class_rows": class_rows,
        "lengths": lengths,
        "read": {pool: counts.read for pool, counts in item.counts.items()},
        "dropped": {
            **{pool: dict(sorted(counts.dropped.items())) for pool, counts in item.counts.items()},
            "leaks": dict(sorted(findings.counts.get(task.id, Counter()).items())),
        },
        "repaired_tags": sum(counts.repaired_tags for counts in item.counts.values()),
        "drift": {
            split: {"expected": task.expect[split], "found": found}
            for split, found in item.found.items()
            if split in task.expect and task.expect[split] != found
        },
    }


def _windowed(table: pa.Table, tokenizer: LoadedTokenizer, max_tokens: int) -> pa.Table:
    """Sentences that are too long as several rows, `row_id/0`, `row_id/1` and so on: see `tokenizer.windows`."""
    rows = table.to_pylist()
    cuts = windows(tokenizer, [row["tokens"] for row in rows], [row["tags"] for row in rows], max_tokens)
    if all(len(cut) == 1 for cut in cuts):
        return table
    out = []
    for row, cut in zip(rows, cuts, strict=True):
        for number, part in enumerate(cut):
            words, name = row["tokens"][part], f"{row['row_id']}/{number}" if len(cut) > 1 else row["row_id"]
            tags, _ = repaired_bio(row["tags"][part])
            out.append(row | {"row_id": name, "text": " ".join(words), "tokens": words, "tags": tags})
    return pa.Table.from_pylist(out, schema=table.schema)


def _tokenize(planned: PlannedTask, table: pa.Table, tokenizer: LoadedTokenizer, max_tokens: int) -> Tokens:
    task = planned.task
    texts = table["text"].to_pylist()
    if isinstance(task, TaggingTask):
        ids = tag_ids(task.labels)
        tags = [[ids[tag] for tag in row] for row in table["tags"].to_pylist()]
        return encode_words(tokenizer, table["tokens"].to_pylist(), tags, max_tokens)
    if isinstance(task, ClassificationTask):
        pairs = table["pair"].to_pylist() if task.fields.pair is not None else None
        return encode_texts(tokenizer, texts, max_tokens, pairs)
    assert isinstance(task, GenerationTask)
    ending = render(task.prompt.rsplit("{text}", 1)[1], {})
    return encode_generation(tokenizer, texts, table["target"].to_pylist(), max_tokens, ending)


def tag_ids(labels: list[str]) -> dict[str, int]:
    """BIO tag to its id in a suite: O is 0, then B and I of each entity type in order."""
    names = ["O", *(f"{prefix}-{label}" for label in labels for prefix in "BI")]
    return {name: index for index, name in enumerate(names)}


def _write_tokens(path: Path, tokens: Tokens, table: pa.Table) -> None:
    """One record batch, uncompressed, so that a reader can map the file into memory as it is."""
    x = pa.ListArray.from_arrays(pa.array(tokens.x.offsets.astype(np.int32)), pa.array(tokens.x.values))
    if tokens.y is None:
        y = pa.array(table["label"].to_numpy().astype(np.int32))
    else:
        y = pa.ListArray.from_arrays(pa.array(tokens.y.offsets.astype(np.int32)), pa.array(tokens.y.values))
    batch = pa.record_batch([x, y], names=["x", "y"])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def _length_facts(tokens: Tokens) -> dict[str, Any]:
    lengths = tokens.x.lengths()
    return {
        "mean": round(float(lengths.mean()), 1),
        "p50": int(np.percentile(lengths, 50)),
        "p95": int(np.percentile(lengths, 95)),
        "max": int(lengths.max()),
        "cut": tokens.cut,
    }


def _check_episodes(
    recipe: str,
    planned: PlannedTask,
    episodes: EpisodeDefaults,
    rows: dict[PoolName, int],
    class_rows: dict[PoolName, list[int]],
) -> None:
    """Stop when a task cannot give one episode of its own defaults."""
    where = f"recipe '{recipe}', task '{planned.task.id}', episodes"
    shots, query = episodes.least_shots, episodes.query
    if not class_rows:
        if rows["support"] < shots or rows["query"] < query:
            raise RecipeError(
                f"{where}: an episode needs {shots} support and {query} query rows; the pools have "
                f"{rows['support']} and {rows['query']}. Ask for fewer shots or a smaller query"
            )
        return
    classes = len(class_rows["support"])
    ways = episodes.ways
    low, high = (classes, classes) if ways == "all" else ways if isinstance(ways, list) else (ways, ways)
    for way in range(low, max(low, min(high, classes)) + 1):
        share = math.ceil(query / way)
        pairs = zip(class_rows["support"], class_rows["query"], strict=True)
        fit = sum(support >= shots and other >= share for support, other in pairs)
        if fit < way:
            raise RecipeError(
                f"{where}: {way} ways x {shots} shots + {query} query rows need {way} classes with at least {shots} "
                f"support and {share} query rows; {fit} of {classes} have them. Ask for fewer ways or shots or a "
                "smaller query, or leave rare labels out"
            )


# --- the whole ----------------------------------------------------------------------------------


def _describe(
    order: Order,
    entries: list[dict[str, Any]],
    skipped: list[tuple[PlannedTask, FilesSource]],
    findings: Findings,
    tokenizer: LoadedTokenizer,
    staging: Path,
    inputs: str,
) -> dict[str, Any]:
    plan = order.plan
    families: dict[str, list[str]] = {}
    for entry in entries:
        families.setdefault(entry["family"], []).append(entry["id"])
    ids = {entry["id"] for entry in entries}
    kinds = {entry["source"]["kind"] for entry in entries}
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": plan.name,
        "version": plan.recipe.version,
        "description": plan.recipe.description,
        "origin": kinds.pop() if len(kinds) == 1 else "mixed",
        "stands_in_for": plan.recipe.name if plan.synthetic else None,
        "recipe_sha256": plan.sha256,
        "inputs": inputs,
        "tokenizer": {
            "name": tokenizer.name,
            "sha256": tokenizer.sha256,
            "pad_id": tokenizer.pad_id,
            "vocab_size": tokenizer.vocab_size,
        },
        "versions": versions(),
        "families": families,
        "tasks": entries,
        "domain_shift": [pair.model_dump() for pair in plan.domain_shift if {pair.support, pair.query} <= ids],
        "skipped": [
            {"id": planned.task.id, "why": f"name its folder: files.{source.name}=FOLDER", "about": source.about}
            for planned, source in skipped
        ],
        "leak_audit": {
            "rows": order.leaks,
            "found": sum(sum(counts.values()) for counts in findings.counts.values()),
            "equal_texts_within_a_family": dict(sorted(findings.within_family.items())),
        },
    }
    atomic.write_text(staging / "README.md", card.dataset_card(manifest))
    atomic.write_text(
        staging / "config.json",
        atomic.canonical_json(
            {
                "recipe": plan.recipe.name,
                "synthetic": plan.synthetic,
                "tokenizer": order.tokenizer,
                "leaks": order.leaks,
                "episodes": order.overrides,
                "files": sorted(order.folders),
                "tasks": [entry["id"] for entry in entries],
            }
        ),
    )
    atomic.write_text(
        staging / "result.json",
        atomic.canonical_json(
            {
                "verb": "build",
                "suite": plan.name,
                "origin": manifest["origin"],
                "tasks": len(entries),
                "families": len(families),
                "rows": {pool: sum(entry["rows"][pool] for entry in entries) for pool in POOLS},
                "leaks_found": manifest["leak_audit"]["found"],
                "skipped": [item["id"] for item in manifest["skipped"]],
            }
        ),
    )
    manifest["files"] = {
        path.relative_to(staging).as_posix(): {"bytes": path.stat().st_size, "sha256": atomic.sha256_file(path)}
        for path in sorted(staging.rglob("*"))
        if path.is_file()
    }
    atomic.write_text(staging / "manifest.json", atomic.canonical_json(manifest))
    return manifest
