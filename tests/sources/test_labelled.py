"""metapeft.sources.labelled: files, folders and Hub datasets of a user, and what is said of other rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metapeft.errors import HubUnreachable, SourceError
from metapeft.sources.examples import text_hash
from metapeft.sources.labelled import Row, cleaned, pick_columns, read_labelled, read_texts
from tests.tiny_hub import TinyHub, class_label_card, parquet_bytes


def test_a_csv_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,Sentence,Category\n1,good,yes\n2,,no\n3,bad,\n")
    rows, notes = read_labelled(str(path))
    assert rows == [Row("line 2", "good", "yes"), Row("line 3", None, "no"), Row("line 4", "bad", None)]
    assert notes == ["texts are those of column 'Sentence', labels those of column 'Category'"]


def test_labels_of_jsonl_are_named_as_people_would(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    labels = [1, 2.0, True, " x ", None, ""]
    path.write_text("".join(json.dumps({"text": f"t{i}", "label": label}) + "\n" for i, label in enumerate(labels)))
    rows, _ = read_labelled(str(path))
    assert [row.label for row in rows] == ["1", "2", "true", "x", None, None]


@pytest.mark.parametrize(
    ("row", "message"),
    [({"text": ["a"], "label": "x"}, "line 1: its text is a list"), ({"text": "a", "label": ["x"]}, "one label")],
)
def test_values_that_are_no_text(tmp_path: Path, row: dict, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(SourceError, match=message):
        read_labelled(str(path))


def test_a_folder_of_folders(tmp_path: Path) -> None:
    for name, texts in {"cats": ["purr", ""], "dogs": ["bark"], "birds": [], ".git": ["no"]}.items():
        (tmp_path / name).mkdir()
        for number, text in enumerate(texts):
            (tmp_path / name / f"{number}.txt").write_text(text)
    (tmp_path / "loose.txt").write_text("whose?")
    rows, notes = read_labelled(str(tmp_path))
    assert rows == [
        Row("cats/0.txt", "purr", "cats"),
        Row("cats/1.txt", None, "cats"),
        Row("dogs/0.txt", "bark", "dogs"),
    ]
    assert notes == [
        "sub-folders without a .txt file: birds",
        "1 .txt files lie in no sub-folder and have no label: skipped (loose.txt)",
    ]


def test_a_folder_without_texts(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="it needs a sub-folder for each label"):
        read_labelled(str(tmp_path))


@pytest.mark.parametrize(
    ("columns", "asked", "picked"),
    [
        (["label", "text"], (None, None), ("text", "label")),
        (["title", "text", "topic", "label"], (None, None), ("text", "label")),  # the likeliest name, not the first
        (["what", "LABEL"], (None, None), ("what", "LABEL")),  # the one that is left of two
        (["a", "b", "c"], ("c", "a"), ("c", "a")),
        (["text", "sentence"], (None, "text"), ("sentence", "text")),
    ],
)
def test_columns_are_found_by_their_names(columns: list[str], asked: tuple, picked: tuple[str, str]) -> None:
    assert pick_columns(columns, *asked, "here") == picked


@pytest.mark.parametrize(
    ("columns", "asked", "message"),
    [
        (["text", "label"], ("txet", None), "no column 'txet' for text_column. Did you mean 'text'"),
        (["text", "label"], (None, "lable"), "no column 'lable' for label_column. Did you mean 'label'"),
        (["Great film!", "pos"], (None, None), "which column holds the text.*first line that names the columns"),
        (["text", "a", "b"], (None, None), "here: which column holds the label.*text, a, b"),
        (["text", "a", "b"], ("text", "text"), "cannot hold the text and the label"),
    ],
)
def test_columns_that_are_not_clear(columns: list[str], asked: tuple, message: str) -> None:
    with pytest.raises(SourceError, match=f"(?s){message}"):
        pick_columns(columns, *asked, "here")


def test_rows_that_are_no_examples_are_counted_and_named() -> None:
    rows = [
        Row("line 2", "Good  film", "pos"),
        Row("line 3", None, "pos"),
        Row("line 4", "bad", " "),
        Row("line 5", "good film ", "pos"),
        Row("line 6", "odd", "pos"),
        Row("line 7", "ODD", "neg"),
        *(Row(f"line {i}", "", "neg") for i in range(8, 14)),
    ]
    kept, notes = cleaned(rows)
    assert [row.place for row in kept] == ["line 2"]
    assert notes == [
        "7 rows without a text: skipped (line 3, line 8, line 9, line 10, line 11, and 2 more)",
        "1 row without a label: skipped (line 4)",
        "2 rows whose text has two labels: left out (line 6, line 7)",
        "1 row with a text that was there before: left out (line 5)",
    ]


def test_a_limit_takes_the_smallest_hashes_whatever_the_order(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(300)]
    lines = [f"{text},{'ab'[i % 2]}" for i, text in enumerate(texts)]
    taken = []
    for name, content in {"one": lines, "two": lines[::-1]}.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *content]))
        rows, notes = read_labelled(str(tmp_path / f"{name}.csv"), per_class=7)
        assert "14 of 300 rows are used, at most 7 a label: those whose text has the smallest hash" in notes
        taken.append({(row.text, row.label) for row in rows})
    smallest = {(text, "ab"[k]) for k in (0, 1) for text in sorted(texts[k::2], key=text_hash)[:7]}
    assert taken == [smallest, smallest]


def test_a_hub_dataset_gives_class_names_and_fifty_rows_a_class(hub: TinyHub) -> None:
    columns = {"body": [f"text number {i}" for i in range(200)], "verdict": [i % 2 for i in range(198)] + [-1, -1]}
    card = class_label_card("default", {"body": "string", "verdict": ["bad", "good"]}, {"train": "data/train-*"})
    hub.add("org/labelled", {"README.md": card, "data/train-0.parquet": parquet_bytes(columns)})
    rows, notes = read_labelled("org/labelled")
    assert [row.label for row in rows].count("good") == 50
    assert [row.label for row in rows].count("bad") == 50
    assert [row.label for row in rows].count(None) == 2
    assert notes[0] == "texts are those of column 'body', labels those of column 'verdict'"
    assert notes[1].startswith("100 of 198 rows are used")
    with pytest.raises(SourceError, match="no split 'trian'. Did you mean 'train'"):
        read_labelled("org/labelled", split="trian")


@pytest.mark.usefixtures("hub")
def test_a_name_that_is_neither_here_nor_there() -> None:
    with pytest.raises(SourceError, match="no such file or folder; as a Hub dataset: .*no dataset 'data/tickets'"):
        read_labelled("data/tickets")
    with pytest.raises(SourceError, match="no such file or folder, and not the name"):
        read_labelled("tickets")
    with pytest.raises(SourceError, match="no such file$"):
        read_labelled("data/tickets.csv")


@pytest.mark.usefixtures("no_hub", "no_waiting")
def test_a_hub_that_does_not_answer() -> None:
    with pytest.raises(HubUnreachable, match="no such file or folder; as a Hub dataset: the Hub cannot be reached"):
        read_labelled("org/away")


def test_texts_to_classify(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    assert read_texts(str(tmp_path / "a.txt")) == ([Row("line 1", "one", None), Row("line 3", "two", None)], [])
    (tmp_path / "b.csv").write_text("what\none\n")
    assert read_texts(str(tmp_path / "b.csv"))[0] == [Row("line 2", "one", None)]
    (tmp_path / "c.csv").write_text("id,text\n1,one\n2,\n")
    texts, notes = read_texts(str(tmp_path / "c.csv"))
    assert texts == [Row("line 2", "one", None)]
    assert notes == ["1 row without a text: skipped (line 3)"]
    (tmp_path / "d.csv").write_text("id,text\n2,\n")
    with pytest.raises(SourceError, match="no row has a text in column 'text'"):
        read_texts(str(tmp_path / "d.csv"))
    with pytest.raises(SourceError, match="which column holds the text"):
        (tmp_path / "e.csv").write_text("a,b\n2,3\n")
        read_texts(str(tmp_path / "e.csv"))


def test_texts_to_classify_with_their_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("intent,text,kind\nask,one,x\n,two,y\n")
    assert [row.label for row in read_texts(str(path))[0]] == ["ask", None]
    assert [row.label for row in read_texts(str(path), label_column="kind")[0]] == ["x", "y"]
    assert [row.text for row in read_texts(str(path), "intent", "kind")[0]] == ["ask"]
    with pytest.raises(SourceError, match="cannot hold the text and the label"):
        read_texts(str(path), "text", "text")
    with pytest.raises(SourceError, match="no column 'sort' for label_column"):
        read_texts(str(path), label_column="sort")
    (tmp_path / "b.txt").write_text("one\n")
    with pytest.raises(SourceError, match="lines of text have no column 'kind'"):
        read_texts(str(tmp_path / "b.txt"), label_column="kind")
    lists = tmp_path / "c.jsonl"
    lists.write_text('{"text": "one", "labels": ["a", "b"]}\n')
    assert read_texts(str(lists))[0] == [Row("line 1", "one", None)]
    with pytest.raises(SourceError, match="its label is a list"):
        read_texts(str(lists), label_column="labels")
