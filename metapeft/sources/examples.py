"""From rows to examples: fields, labels and filters of a recipe, applied one row at a time.

The rows stream past once. What stays is bounded by the task's `limit`: the rows whose text has the smallest hash, so
that the choice depends neither on the order of the rows nor on a random state.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from metapeft.errors import RecipeError, did_you_mean
from metapeft.recipes.schema import ClassificationTask, Filters, GenerationTask, Labelled, PoolName, TaggingTask
from metapeft.sources.fields import Row, TextTask, getter, render


@dataclass
class Counts:
    """What became of the rows of one pool. `dropped` counts by reason."""

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    repaired_tags: int = 0


@dataclass(frozen=True)
class Example:
    """One example, still as text.

    Attributes:
        row_id: `split:index` of the row it came from.
        text: what is tokenized (tagging: the words joined by spaces).
        columns: the columns of the suite's parquet file, `row_id` and `text` included.
    """

    row_id: str
    text: str
    columns: Row


def text_hash(text: str, salt: str = "") -> int:
    """64-bit hash of a text up to case and white space: equal for texts that read the same."""
    return int.from_bytes(hashlib.blake2b(f"{salt}\0{normalized(text)}".encode(), digest_size=8).digest(), "big")


def normalized(text: str) -> str:
    """Case folded, runs of white space one space: the form in which texts are compared."""
    return " ".join(text.casefold().split())


# --- labels -------------------------------------------------------------------------------------


class UndeclaredLabel(Exception):
    """A raw label that the recipe neither declares nor drops."""


def label_reader(task: Labelled, names: list[str] | None, where: str) -> Callable[[Any], int | None]:
    """A function from a raw label to a label id, or None where its row is dropped.

    Args:
        task: labels, label_map, drop_labels and undeclared_labels are read.
        names: the class names that the data declares for its integers (`ClassLabel`), if it does.
        where: recipe and task, for errors.

    Raises:
        RecipeError: the data declares other names, or the same names in another order, and no label_map settles it.
    """
    ids = {name: index for index, name in enumerate(task.labels)}
    dropped = {_key(raw) for raw in task.drop_labels}
    mapping = {_key(raw): ids[name] for raw, name in task.label_map.items()}
    if names is not None and not mapping and task.undeclared_labels == "error":
        declared = [name for i, name in enumerate(names) if _key(name) not in dropped and _key(i) not in dropped]
        if declared != task.labels:
            raise RecipeError(
                f"{where}, labels: the data's own names are {declared}, the recipe says {task.labels}. "
                "Same names, same order; or give a label_map from the data's names"
            )

    def read(raw: Any) -> int | None:
        if raw is None:
            return None
        if isinstance(raw, float) and raw.is_integer():
            raw = int(raw)
        if isinstance(raw, bool):
            raw = str(raw).lower()
        name = names[raw] if names is not None and isinstance(raw, int) and 0 <= raw < len(names) else None
        for key in (raw,) if name is None else (name, raw):
            if _key(key) in dropped:
                return None
        for key in (raw,) if name is None else (name, raw):
            if _key(key) in mapping:
                return mapping[_key(key)]
        if not mapping or task.undeclared_labels == "error":
            text = name if name is not None else raw
            if isinstance(text, str) and text in ids:
                return ids[text]
            if name is None and isinstance(raw, int) and not mapping and 0 <= raw < len(task.labels):
                return raw
        elif (name or raw) in ids:
            return ids[name or raw]
        if task.undeclared_labels == "drop":
            return None
        raise UndeclaredLabel(str(name if name is not None else raw))

    return read


def _key(raw: Any) -> str:
    """Labels compare as text, so that 3, "3" and a column of either type agree."""
    return str(raw)


def repaired_bio(tags: list[str]) -> tuple[list[str], int]:
    """Make a tag sequence valid BIO: an I-X that follows no B-X or I-X becomes B-X. Returns the tags and how many."""
    out, count, previous = [], 0, "O"
    for tag in tags:
        if tag.startswith("I-") and previous[2:] != tag[2:]:
            tag = "B-" + tag[2:]
            count += 1
        out.append(tag)
        previous = tag
    return out, count


# --- one pool -----------------------------------------------------------------------------------


def read_pool(
    task: TextTask,
    rows: Iterable[tuple[str, Row]],
    *,
    pool: PoolName,
    names: list[str] | None,
    where: str,
    side: Callable[[str], bool] = lambda text: True,
) -> tuple[list[Example], Counts]:
    """Turn the rows of one pool into examples, at most `task.limit[pool]` of them.

    Args:
        task: the recipe's task.
        rows: pairs of row id and row; read once.
        pool: "support" or "query".
        names: class names the data declares for the label column (tagging: for the tags), or None.
        where: recipe and task, for errors.
        side: whether a text belongs to this pool; used where one split feeds both.

    Returns:
        the examples in the order of the rows, without texts that stand twice (the first stays), and the counts.

    Raises:
        RecipeError: a column is missing or a label is not declared.
    """
    build = _builder(task, names, where)
    counts = Counts()
    limit = task.limit.get(pool)
    heap: list[tuple[int, int, Example]] = []  # the largest hash first, so that it is the one to go
    seen: dict[int, Any] = {}
    for order, (row_id, row) in enumerate(rows):
        counts.read += 1
        built = build(row_id, row, counts)
        if built is None or not side(built.text):
            continue
        digest = text_hash(built.text)
        label = built.columns.get("label")
        if digest in seen:
            counts.dropped["duplicate text" if seen[digest] == label else "duplicate text, other label"] += 1
            continue
        seen[digest] = label
        if limit is None or len(heap) < limit:
            heapq.heappush(heap, (-digest, order, built))
        else:
            counts.dropped["over the limit"] += 1
            heapq.heappushpop(heap, (-digest, order, built))
    examples = [example for _, _, example in sorted(heap, key=lambda item: item[1])]
    counts.kept = len(examples)
    return examples, counts


Builder = Callable[[str, Row, Counts], Example | None]


def _builder(task: TextTask, names: list[str] | None, where: str) -> Builder:
    keep = _where_filter(task.filters)
    if isinstance(task, TaggingTask):
        inner = _tagging(task, names, where)
    elif isinstance(task, ClassificationTask):
        inner = _classification(task, names, where)
    else:
        inner = _generation(task)

    def build(row_id: str, row: Row, counts: Counts) -> Example | None:
        try:
            if not keep(row):
                counts.dropped["where"] += 1
                return None
            return inner(row_id, row, counts)
        except KeyError as missing:
            column = str(missing.args[0])
            raise RecipeError(
                f"{where}, row {row_id}: no column '{column}'.{did_you_mean(column, row)} It has: {', '.join(row)}"
            ) from None
        except UndeclaredLabel as label:
            known = task.labels if isinstance(task, Labelled) else []
            raise RecipeError(
                f"{where}, row {row_id}: label '{label}' is not declared.{did_you_mean(str(label), known)} "
                "Add it to labels, map it in label_map, name it in drop_labels, or say `undeclared_labels: drop`"
            ) from None

    return build


def _where_filter(filters: Filters) -> Callable[[Row], bool]:
    tests = [
        (getter(column), {_key(value) for value in (wanted if isinstance(wanted, list) else [wanted])})
        for column, wanted in filters.where.items()
    ]
    return lambda row: all(_key(read(row)) in wanted for read, wanted in tests)


def _fits(text: Any, filters: Filters, counts: Counts) -> bool:
    if not isinstance(text, str) or not text.strip():
        counts.dropped["empty"] += 1
    elif len(text) < filters.min_chars:
        counts.dropped["too short"] += 1
    elif filters.max_chars is not None and len(text) > filters.max_chars:
        counts.dropped["too long"] += 1
    else:
        return True
    return False


def _classification(task: ClassificationTask, names: list[str] | None, where: str) -> Builder:
    text_of, label_of = getter(task.fields.text), getter(task.fields.label)
    pair_of = getter(task.fields.pair) if task.fields.pair is not None else None
    label_id = label_reader(task, names, where)

    def build(row_id: str, row: Row, counts: Counts) -> Example | None:
        text = text_of(row)
        if not _fits(text, task.filters, counts):
            return None
        label = label_id(label_of(row))
        if label is None:
            counts.dropped["label"] += 1
            return None
        columns: Row = {"row_id": row_id, "text": text.strip()}
        if pair_of is not None:
            pair = pair_of(row)
            if not _fits(pair, Filters(), counts):
                return None
            columns["pair"] = pair.strip()
        whole = "\n".join(filter(None, (columns["text"], columns.get("pair"))))
        return Example(row_id, whole, columns | {"label": label})

    return build


def _tagging(task: TaggingTask, names: list[str] | None, where: str) -> Builder:
    tokens_of, tags_of = getter(task.fields.tokens), getter(task.fields.tags)
    tag_names = task.tag_names or names
    dropped = {_key(raw) for raw in task.drop_labels}

    def rename(raw: Any) -> str:
        tag = raw
        if isinstance(raw, int):
            if tag_names is None:
                raise RecipeError(f"{where}: the tags are plain integers; the recipe must name them in tag_names")
            if not 0 <= raw < len(tag_names):
                raise UndeclaredLabel(str(raw))
            tag = tag_names[raw]
        if tag == "O":
            return "O"
        prefix, _, kind = str(tag).partition("-")
        kind = task.label_map.get(kind, kind)
        if prefix not in ("B", "I") or not kind:
            raise UndeclaredLabel(str(tag))
        if kind in task.labels:
            return f"{prefix}-{kind}"
        if _key(kind) in dropped or task.undeclared_labels == "drop":
            return "O"
        raise UndeclaredLabel(kind)

    def build(row_id: str, row: Row, counts: Counts) -> Example | None:
        tokens, tags = tokens_of(row), tags_of(row)
        if not tokens:
            counts.dropped["empty"] += 1
            return None
        if len(tokens) != len(tags):
            raise RecipeError(f"{where}, row {row_id}: {len(tokens)} tokens but {len(tags)} tags")
        text = " ".join(tokens)
        if not _fits(text, task.filters, counts):
            return None
        bio, repaired = repaired_bio([rename(tag) for tag in tags])
        counts.repaired_tags += repaired
        return Example(row_id, text, {"row_id": row_id, "text": text, "tokens": list(tokens), "tags": bio})

    return build


def _generation(task: GenerationTask) -> Builder:
    text_of, target_of = getter(task.fields.text), getter(task.fields.target)
    kept = {name: getter(spec) for name, spec in task.fields.keep.items()}

    def build(row_id: str, row: Row, counts: Counts) -> Example | None:
        text, target = text_of(row), target_of(row)
        if not _fits(text, task.filters, counts) or not _fits(target, Filters(), counts):
            return None
        prompt = render(task.prompt, {"text": text.strip()})
        extra = {name: _as_text(read(row)) for name, read in kept.items()}
        return Example(row_id, text, {"row_id": row_id, "text": prompt, "target": target.strip("\n").rstrip(), **extra})

    return build


def _as_text(value: Any) -> str:
    """Kept columns are text: lists become lines."""
    if value is None:
        return ""
    return "\n".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def hash_side(pool: str, query_tenths: int = 3) -> Callable[[str], bool]:
    """Which side a text falls on where one split feeds both pools: three tenths go to the query pool.

    Equal texts fall on one side, whatever their order.
    """
    return lambda text: (text_hash(text, "side") % 10 < query_tenths) == (pool == "query")


def numbered(split: str, rows: Iterator[Row]) -> Iterator[tuple[str, Row]]:
    """Give each row its id, `split:index`."""
    return ((f"{split}:{index}", row) for index, row in enumerate(rows))
