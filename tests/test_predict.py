"""metapeft.predict: one text, files of texts, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metapeft import predict
from metapeft.adapting import adapt_examples
from tests.adapting.made import texts_about

LABELS = ["food", "sport", "money"] * 4


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "subjects"
    adapt_examples(texts_about(LABELS), LABELS, checkpoint="none", folds=2, repeats=1).save(folder)
    return folder


def test_one_text(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict.main([f"adapter={adapter}", "text=bread and cheese for dinner", "backbone=nano"]) == 0
    label, shares = capsys.readouterr().out.rstrip("\n").split("\t")
    assert label == "food"
    pairs = [pair.split() for pair in shares.split("  ")]
    assert [name for name, _ in pairs][0] == "food"
    assert {name for name, _ in pairs} == set(LABELS)
    figures = [float(share) for _, share in pairs]
    assert figures == sorted(figures, reverse=True)
    assert sum(figures) == pytest.approx(1, abs=2e-3)


def test_a_file_of_texts_is_printed(adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "new.txt"
    data.write_text("soup and bread\n\nthe team and the coach in the stadium, and so on and so forth until night\n")
    assert predict.main([f"adapter={adapter}", f"data={data}"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["food", "sport"]
    assert lines[0][2] == "soup and bread"
    assert len(lines[1][2]) == 60


def test_a_table_goes_to_jsonl(adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "new.csv", tmp_path / "deep/labels.jsonl"
    data.write_text('id,what\n1,"a bank, a loan"\n2,\n3,grüne Suppe mit bread\n', encoding="utf-8")
    assert predict.main([f"adapter={adapter}", f"data={data}", "text_column=what", f"out={out}"]) == 0
    shown = capsys.readouterr()
    assert f"2 texts labelled: {out}" in shown.out
    assert "1 row without a text: skipped (line 3)" in shown.err
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["place"] for line in lines] == ["line 2", "line 4"]
    assert lines[0]["label"] == "money"
    assert lines[1]["text"] == "grüne Suppe mit bread"
    for line in lines:
        assert max(line["probabilities"], key=line["probabilities"].__getitem__) == line["label"]
        assert sum(line["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either text= or data="),
        (["text=a", "data=b.txt"], "give either text= or data="),
        (["text= "], "text= is empty"),
        (["data=away.csv"], "away.csv: no such file"),
        (["data=pictures.png"], "unknown ending '.png'"),
        (["text=a", "out=."], "out= is a file"),
        (["txt=a"], "Did you mean 'text'"),
    ],
)
def test_mistakes(adapter: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert predict.main([f"adapter={adapter}", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_no_classifier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict.main([f"adapter={tmp_path}", "text=a"]) == 2
    assert "no classifier here" in capsys.readouterr().err
