"""Text files of users: decoded with care, read as rows of csv, tsv or jsonl, or as lines."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from metapeft.errors import SourceError

TABLES = (".csv", ".tsv", ".jsonl")
LONGEST_CELL = 2**27  # characters; the csv module refuses more than 2**17 unless it is told otherwise
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class TextTable(NamedTuple):
    """A table, read.

    Attributes:
        columns: names of the columns, in order.
        rows: where each row stands (``line 3``), and its values by column; a column may be missing in a row.
    """

    columns: list[str]
    rows: list[tuple[str, dict[str, Any]]]


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, with a byte order mark or without, or UTF-16 with one.

    Raises:
        SourceError: the file is missing, empty, or its bytes are none of these; it names the byte and the line.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise SourceError(f"{path}: no such file") from None
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].decode(encoding, "ignore").count("\n") + 1
        raise SourceError(
            f"{path}: byte {error.start} (line {line}) is not {encoding.removesuffix('-sig').upper()}\n"
            "  the file is in another encoding, or in several: save it as UTF-8"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise SourceError(
            f"{path}: line {line} holds a zero byte: is it text? UTF-16 needs its byte order mark; or save it as UTF-8"
        )
    if not text.strip():
        raise SourceError(f"{path}: the file is empty")
    return text


def read_table(path: Path) -> TextTable:
    """The rows of a csv, tsv or jsonl file.

    The first line of a csv file names its columns; cells are parted by comma, semicolon or tab, whichever that line
    has most of.

    Raises:
        SourceError: an unknown ending, a damaged line (it is named), or see `read_text`.
    """
    ending = path.suffix.lower()
    if ending not in TABLES:
        raise SourceError(f"{path}: unknown ending '{path.suffix}'; known: {', '.join(TABLES)}")
    text = read_text(path)
    table = _jsonl(path, text) if ending == ".jsonl" else _csv(path, text)
    if not table.rows:
        raise SourceError(f"{path}: it names columns ({', '.join(table.columns)}) and has no row")
    return table


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a text file that are not blank, each with its place (``line 3``).

    Raises:
        SourceError: see `read_text`.
    """
    for number, line in enumerate(io.StringIO(read_text(path)), 1):
        if line.strip():
            yield f"line {number}", line.strip()


def _csv(path: Path, text: str) -> TextTable:
    header = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    before = csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    rows: list[tuple[str, dict[str, Any]]] = []
    first = 1
    try:
        for cells in reader:
            place, first = f"line {first}", reader.line_num + 1
            if not columns:
                columns = [cell.strip() for cell in cells]
                if len(set(columns)) < len(columns):
                    raise SourceError(f"{path}: {place} names a column twice: {', '.join(columns)}")
            elif len(cells) > len(columns):
                raise SourceError(
                    f"{path}: {place} has {len(cells)} cells, and {len(columns)} columns are named\n"
                    f"  a text that holds {_shown(delimiter)} must stand in double quotes"
                )
            elif cells:
                rows.append((place, dict(zip(columns, cells, strict=False))))
    except csv.Error as error:
        raise SourceError(f"{path}: line {first}: not a csv row: {error}") from None
    finally:
        csv.field_size_limit(before)
    return TextTable(columns, rows)


def _jsonl(path: Path, text: str) -> TextTable:
    columns: dict[str, None] = {}
    rows = []
    # not splitlines: JSON strings may hold line separators that are no line ends here
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise SourceError(f"{path}: line {number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise SourceError(f'{path}: line {number}: not a JSON object, expected {{"text": …, "label": …}}')
        columns |= dict.fromkeys(row)
        rows.append((f"line {number}", row))
    return TextTable(list(columns), rows)


def _shown(delimiter: str) -> str:
    return {",": "a comma", ";": "a semicolon", "\t": "a tab"}[delimiter]
