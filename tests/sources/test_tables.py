"""metapeft.sources.tables: files of every format, and the trap of the library's cache."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from metapeft.errors import SourceError
from metapeft.sources.tables import files_matching, format_of, open_table
from tests.tiny_hub import class_label_card, parquet_bytes

ROWS = [{"text": "NA", "label": "a"}, {"text": "two, words", "label": "b"}]


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix
    if kind == ".parquet":
        path.write_bytes(parquet_bytes({key: [row[key] for row in ROWS] for key in ROWS[0]}))
    elif kind == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif kind == ".json":
        path.write_text(json.dumps(ROWS))
    elif kind == ".csv":
        path.write_text('text,label\nNA,a\n"two, words",b\n')
    else:
        path.write_text("text\tlabel\nNA\ta\ntwo, words\tb\n")
    return path


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.json", "rows.jsonl", "rows.parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    with open_table([path], format_of(path, "here"), "here") as table:
        assert len(table) == 2
        assert list(table.rows(["text", "label"])) == ROWS
        assert list(table.rows(["label"])) == [{"label": "a"}, {"label": "b"}]


def test_several_files_are_one_table_in_order(tmp_path: Path) -> None:
    paths = [write(tmp_path / "1.csv"), write(tmp_path / "2.csv")]
    with open_table(paths, "csv", "here") as table:
        assert list(table.rows(["text", "label"])) == ROWS + ROWS


@pytest.mark.parametrize(("name", "content"), [("x.parquet", b"not parquet at all"), ("x.json", b'{"a": [1, 2')])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with (
        pytest.raises(SourceError, match=rf"recipe 'r', task 't': cannot read {name} as"),
        open_table([path], format_of(path, "x"), "recipe 'r', task 't'"),
    ):
        pass


def test_unknown_endings_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"rows.xls: unknown ending; known: .csv"):
        format_of(Path("rows.xls"), "here")
    with pytest.raises(SourceError, match="no folder"):
        files_matching(tmp_path / "absent", ["*.csv"], "here")
    (tmp_path / "train.csv").write_text("text,label\n")
    with pytest.raises(SourceError, match=r"matches test\*; it has train.csv"):
        files_matching(tmp_path, ["test*"], "here")


def test_patterns_find_files_in_sub_folders_sorted(tmp_path: Path) -> None:
    for name in ("data/train-1.csv", "data/train-0.csv", "data/test-0.csv"):
        write(tmp_path / name)
    with gzip.open(tmp_path / "other.gz", "wb") as file:
        file.write(b"x")
    found = files_matching(tmp_path, ["train-*"], "here")
    assert [path.name for path in found] == ["train-0.csv", "train-1.csv"]


def folder_with_card(folder: Path, word: str) -> list[Path]:
    """What the Hub's copies look like on disk: a card with `configs:` and parquet beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(class_label_card("default", {"text": "string"}, {"train": "train-*"}))
    (folder / "train-0.parquet").write_bytes(parquet_bytes({"text": [word]}))
    return files_matching(folder, ["train-*"], "here")


def test_two_folders_of_one_name_never_share_rows(tmp_path: Path) -> None:
    """`datasets.load_dataset(FOLDER)` keys its cache by the folder's name and card: it gives the first one's rows."""
    for org in ("one", "two"):
        with open_table(folder_with_card(tmp_path / org / "sst2", org), "parquet", "here") as table:
            assert list(table.rows(["text"])) == [{"text": org}]


def test_a_file_that_changes_in_place_is_read_again(tmp_path: Path) -> None:
    for word in ("before", "after!"):  # same length, same card, same path
        with open_table(folder_with_card(tmp_path / "sst2", word), "parquet", "here") as table:
            assert list(table.rows(["text"])) == [{"text": word}]
