"""A user's own labelled examples: csv, tsv, jsonl, a folder with a sub-folder of texts a class, or a Hub dataset."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metapeft.errors import SourceError, did_you_mean
from metapeft.recipes.schema import HubSource, Splits
from metapeft.sources import hub
from metapeft.sources.examples import normalized, text_hash
from metapeft.sources.tables import open_table
from metapeft.sources.text_files import read_lines, read_table, read_text

# Names that columns have, the likeliest first. A table may have several of them: the first one counts.
TEXT_NAMES = (
    *("text", "sentence", "content", "review", "utterance", "query", "question", "message", "comment", "tweet"),
    *("document", "body", "title", "input"),
)
LABEL_NAMES = (
    *("label", "labels", "category", "class", "intent", "sentiment", "topic", "emotion", "tag", "target", "label_text"),
)
PER_CLASS = 50  # of a Hub dataset: about what a person would label
_HUB = re.compile(r"(\w[\w.-]*/\w[\w.-]*?)(?:/([\w.-]+))?")
_SHOWN = 5


class Row(NamedTuple):
    """One example.

    Attributes:
        place: where it stands, as a message calls it.
        text: None where there is none.
        label: None where there is none.
    """

    place: str
    text: str | None
    label: str | None


class Example(NamedTuple):
    """A row with a text and a label."""

    place: str
    text: str
    label: str


def read_labelled(
    data: str,
    text_column: str | None = None,
    label_column: str | None = None,
    split: str = "train",
    per_class: int | None = None,
) -> tuple[list[Row], list[str]]:
    """Read labelled examples.

    Args:
        data: a csv, tsv or jsonl file; a folder with a sub-folder of .txt files a class; or a Hub dataset, ORG/NAME or
            ORG/NAME/CONFIG.
        text_column: its name; None for the first of `TEXT_NAMES` that is there, else the one that is left of two.
        label_column: as `text_column`, of `LABEL_NAMES`; on the Hub a column of class labels comes first.
        split: of a Hub dataset.
        per_class: most rows of a class: those whose text has the smallest hash, so the choice hangs on no order. None
            for `PER_CLASS` of a Hub dataset and all of files.

    Returns:
        The rows, and notes on what was left out.

    Raises:
        SourceError: nothing is there, it cannot be read, or it is not said which columns to take.
    """
    path = Path(data).expanduser()
    notes: list[str] = []
    rows: Iterable[Row]
    if path.is_dir():
        rows = _from_folder(path, notes)
    elif path.exists() or path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".json", ".txt", ".xlsx", ".parquet"):
        table = read_table(path)
        text, label = pick_columns(table.columns, text_column, label_column, str(path))
        notes.append(_taken(text, label))
        rows = [Row(place, _text(row.get(text), place), _label(row.get(label), place)) for place, row in table.rows]
    else:
        found = _HUB.fullmatch(data)
        if found is None:
            raise SourceError(f"{data}: no such file or folder, and not the name of a Hub dataset (ORG/NAME)")
        source = HubSource(kind="hub", path=found[1], config=found[2], splits=Splits(support=[split]))
        per_class = per_class or PER_CLASS
        try:
            rows = list(_limited(_from_hub(source, split, text_column, label_column, notes), per_class, notes))
        except SourceError as error:
            raise type(error)(f"{data}: no such file or folder; as a Hub dataset: {error}") from error
        return rows, notes
    return list(rows if per_class is None else _limited(rows, per_class, notes)), notes


def read_texts(
    data: str, text_column: str | None = None, label_column: str | None = None
) -> tuple[list[Row], list[str]]:
    """Read texts to classify, with their labels where the table has them.

    Args:
        data: a .txt file with a text a line, or a csv, tsv or jsonl file.
        text_column: as in `read_labelled`; a table with one column needs none.
        label_column: its name; None for the first of `LABEL_NAMES` that is there.

    Returns:
        Rows with a text, their label None where there is none, and notes on what was left out.

    Raises:
        SourceError: see `read_labelled`; or there is no text at all.
    """
    path = Path(data).expanduser()
    if path.suffix.lower() == ".txt":
        if label_column is not None:
            raise SourceError(f"{path}: lines of text have no column '{label_column}'")
        return [Row(place, text, None) for place, text in read_lines(path)], []
    table = read_table(path)
    column = _column(table.columns, text_column, table.columns, TEXT_NAMES, "text", str(path))
    if column is None and len(table.columns) == 1:
        column = table.columns[0]
    if column is None:
        raise SourceError(_unknown(table.columns, "text", str(path)))
    others = [name for name in table.columns if name != column]
    said = _column(table.columns, label_column, others, LABEL_NAMES, "label", str(path))
    if said == column:
        raise SourceError(f"{path}: column '{column}' cannot hold the text and the label")
    rows = []
    for place, row in table.rows:
        label = None if said is None else row.get(said)
        if label_column is None and isinstance(label, (list, dict)):
            label = None  # nobody said that labels are in that column
        rows.append(Row(place, _text(row.get(column), place), _label(label, place)))
    kept = [row for row in rows if row.text is not None]
    if not kept:
        raise SourceError(f"{path}: no row has a text in column '{column}'")
    empty = [row.place for row in rows if row.text is None]
    return kept, [f"{_rows(empty)} without a text: skipped ({_places(empty)})"] if empty else []


def cleaned(rows: Sequence[Row]) -> tuple[list[Example], list[str]]:
    """Examples with a text and a label, each text once, in their order; and notes on the others.

    Texts are compared up to case and white space. A text that stands twice would be on both sides of a fold. One that
    has two labels is left out: nobody knows which is right.
    """
    whole, missing = [], {"text": [], "label": []}
    for row in rows:
        text, label = (row.text or "").strip(), (row.label or "").strip()
        if text and label:
            whole.append(Example(row.place, text, label))
        else:
            missing["label" if text else "text"].append(row.place)
    labels_of: dict[str, set[str]] = {}
    for row in whole:
        labels_of.setdefault(normalized(row.text), set()).add(row.label)
    kept: dict[str, Example] = {}
    twice, torn = [], []
    for row in whole:
        key = normalized(row.text)
        if len(labels_of[key]) > 1:
            torn.append(row.place)
        elif key in kept:
            twice.append(row.place)
        else:
            kept[key] = row
    notes = [
        f"{_rows(places)} without a {what}: skipped ({_places(places)})" for what, places in missing.items() if places
    ]
    if torn:
        notes.append(f"{_rows(torn)} whose text has two labels: left out ({_places(torn)})")
    if twice:
        notes.append(f"{_rows(twice)} with a text that was there before: left out ({_places(twice)})")
    return list(kept.values()), notes


def pick_columns(
    columns: Sequence[str],
    text_column: str | None,
    label_column: str | None,
    where: str,
    labelled: Sequence[str] = (),
) -> tuple[str, str]:
    """Which columns hold texts and labels; see `read_labelled`.

    Args:
        columns: what there is.
        text_column: as the user said.
        label_column: as the user said.
        where: what to call the table.
        labelled: columns that are known to hold class labels.

    Raises:
        SourceError: a column is not there, or it is not clear which to take.
    """
    free = [name for name in columns if name not in (text_column, label_column)]
    text = _column(columns, text_column, free, TEXT_NAMES, "text", where)
    label = _column(columns, label_column, free, (*labelled, *LABEL_NAMES), "label", where)
    if len(columns) == 2 and (text is None) != (label is None):
        other = next(name for name in columns if name not in (text, label))
        text, label = text or other, label or other
    if text is None or label is None:
        raise SourceError(_unknown(columns, "text" if text is None else "label", where))
    if text == label:
        raise SourceError(f"{where}: column '{text}' cannot hold the text and the label")
    return text, label


def _column(
    columns: Sequence[str], asked: str | None, free: Sequence[str], names: Sequence[str], what: str, where: str
) -> str | None:
    if asked is not None:
        if asked not in columns:
            raise SourceError(
                f"{where}: no column '{asked}' for {what}_column.{did_you_mean(asked, columns)} "
                f"It has: {', '.join(columns)}"
            )
        return asked
    folded = {name.casefold(): name for name in reversed(free)}
    return next((folded[name.casefold()] for name in names if name.casefold() in folded), None)


def _unknown(columns: Sequence[str], what: str, where: str) -> str:
    return (
        f"{where}: which column holds the {what}? It has: {', '.join(columns)}\n"
        f"  say {what}_column=NAME. Without it, one of these is taken: "
        f"{', '.join(TEXT_NAMES if what == 'text' else LABEL_NAMES)}\n"
        "  a csv file without a first line that names the columns needs one"
    )


def _from_folder(folder: Path, notes: list[str]) -> list[Row]:
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    rows, empty = [], []
    for path in classes:
        files = sorted(path.glob("*.txt"))
        # the text of an empty file is none: it is counted with the rows that have no text
        rows += [Row(f"{path.name}/{file.name}", _file_text(file), path.name) for file in files]
        if not files:
            empty.append(path.name)
    if not rows:
        raise SourceError(f"{folder}: no text in it; it needs a sub-folder for each label, with a .txt file an example")
    if empty:
        notes.append(f"sub-folders without a .txt file: {', '.join(empty)}")
    loose = [path.name for path in sorted(folder.glob("*.txt"))]
    if loose:
        notes.append(f"{len(loose)} .txt files lie in no sub-folder and have no label: skipped ({_places(loose)})")
    return rows


def _file_text(path: Path) -> str | None:
    return read_text(path) if path.stat().st_size else None


def _from_hub(
    source: HubSource, split: str, text_column: str | None, label_column: str | None, notes: list[str]
) -> Iterator[Row]:
    resolved = hub.resolve(source, [split])
    paths = hub.fetch(resolved, split, source)
    with open_table(paths, resolved.format, source.identity, resolved.features) as table:
        labelled = [name for name in table.columns if table.class_names(name)]
        text, label = pick_columns(table.columns, text_column, label_column, source.identity, labelled)
        notes.append(_taken(text, label))
        names = table.class_names(label)
        for number, row in enumerate(table.rows([text, label])):
            place, raw = f"{split}:{number}", row[label]
            if names is not None and isinstance(raw, int):
                raw = names[raw] if 0 <= raw < len(names) else None  # -1: a test split whose labels are kept back
            yield Row(place, _text(row[text], place), _label(raw, place))


def _limited(rows: Iterable[Row], per_class: int, notes: list[str]) -> Iterator[Row]:
    """The rows of every class whose text has the smallest hash, in the order of their hashes; others as they are."""
    kept: dict[str, dict[int, Row]] = {}
    counts: Counter[str] = Counter()
    for row in rows:
        if row.text is None or row.label is None:
            yield row
            continue
        counts[row.label] += 1
        own = kept.setdefault(row.label, {})
        own.setdefault(text_hash(row.text), row)
        if len(own) > 4 * per_class + 100:  # now and then, so that a large dataset costs little memory and time
            kept[row.label] = dict(sorted(own.items())[:per_class])
    chosen = {label: sorted(own.items())[:per_class] for label, own in kept.items()}
    total, left = counts.total(), sum(map(len, chosen.values()))
    if max(counts.values(), default=0) > per_class:
        notes.append(
            f"{left:,} of {total:,} rows are used, at most {per_class} a label: those whose text has the smallest hash"
        )
    for own in chosen.values():
        yield from (row for _, row in own)


def _text(value: Any, place: str) -> str | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, (list, dict)):
        raise SourceError(f"{place}: its text is a {type(value).__name__}, expected a text")
    return str(value)


def _label(value: Any, place: str) -> str | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, (list, dict)):
        raise SourceError(f"{place}: its label is a {type(value).__name__}, expected one label")
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # what a table makes of whole numbers where some are missing
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _taken(text: str, label: str) -> str:
    return f"texts are those of column '{text}', labels those of column '{label}'"


def _rows(places: Sequence[str]) -> str:
    return f"{len(places)} row{'s' * (len(places) > 1)}"


def _places(places: Sequence[str]) -> str:
    more = [f"and {len(places) - _SHOWN} more"] if len(places) > _SHOWN else []
    return ", ".join([*places[:_SHOWN], *more])
