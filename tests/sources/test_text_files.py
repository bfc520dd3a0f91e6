"""metapeft.sources.text_files: encodings, csv and jsonl, and what is said where a file is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from metapeft.errors import SourceError
from metapeft.sources.text_files import read_lines, read_table, read_text

TABLE = "text,label\nGrüße aus Köln,de\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_say_what_they_are(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TABLE.encode(encoding))
    table = read_table(path)
    assert table.columns == ["text", "label"]
    assert table.rows == [("line 2", {"text": "Grüße aus Köln", "label": "de"})]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"text,label\nfine,a\nGr\xfc\xdfe,b\n", r"byte 20 \(line 3\) is not UTF-8"),
        (b"text,label\nfine,a\n" + "Grüße,b\n".encode("latin-1"), r"byte 20 \(line 3\)"),
        ("ab\ncd".encode("utf-16") + b"\x00", r"\(line 2\) is not UTF-16"),
        ("text,label\n".encode("utf-16-le"), "line 1 holds a zero byte.*UTF-16 needs its byte order mark"),
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf \n", "the file is empty"),
    ],
)
def test_bytes_that_are_no_text(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=message):
        read_text(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_cells_are_parted_by_what_the_first_line_has(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'text{delimiter}label\n"one, {delimiter} two\nlines"{delimiter}x\n\nthree{delimiter}y\nfour\n')
    rows = read_table(path).rows
    # a place is the line that a row begins on; a short row lacks a column
    assert rows == [
        ("line 2", {"text": f"one, {delimiter} two\nlines", "label": "x"}),
        ("line 5", {"text": "three", "label": "y"}),
        ("line 6", {"text": "four"}),
    ]


def test_a_long_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"text,label\n{'a' * 200_000},x\n")
    assert len(read_table(path).rows[0][1]["text"]) == 200_000


def test_jsonl_keeps_line_separators_inside_a_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a\u2028b", "label": 1}\r\n\n{"text": "c", "more": null}\n', encoding="utf-8")
    table = read_table(path)
    assert table.columns == ["text", "label", "more"]
    assert table.rows == [("line 1", {"text": "a\u2028b", "label": 1}), ("line 3", {"text": "c", "more": None})]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\nbad, good,x\n", "line 2 has 3 cells, and 2 columns are named\n.*a comma must stand"),
        ("a.csv", 'text,label\nfine,x\n"never closed,y\n', "line 3: not a csv row"),
        ("a.csv", "text,text\na,b\n", "names a column twice"),
        ("a.csv", "text,label\n", r"names columns \(text, label\) and has no row"),
        ("a.jsonl", '{"text": "a"}\n{"text": \n', "line 2: not JSON"),
        ("a.jsonl", '["a", "b"]\n', "line 1: not a JSON object"),
        ("a.xlsx", "PK", r"unknown ending '.xlsx'; known: .csv, .tsv, .jsonl"),
    ],
)
def test_damaged_tables_name_the_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(SourceError, match=message):
        read_table(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        read_text(tmp_path / "none.csv")


def test_lines_without_the_blank_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one \r\n\n two\n")
    assert list(read_lines(path)) == [("line 1", "one"), ("line 3", "two")]
