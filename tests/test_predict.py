"""metapeft.predict: one text, files of texts, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metapeft import predict
from metapeft.adapting import adapt_examples, adapt_sentences
from metapeft.sources.tagged import read_tagged, spans_of
from tests.adapting.made import tagged_about, texts_about

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


def test_labels_of_the_file_are_compared(adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "gold.csv"
    data.write_text("text,label,kind\nsoup and bread,food,a\na bank and a loan,sport,b\ncheese,law,a\nbread,,b\n")
    assert predict.main([f"adapter={adapter}", f"data={data}"]) == 0
    shown = capsys.readouterr().out
    assert [line.split("\t")[0] for line in shown.splitlines()[:2]] == ["food", "money"]
    said = "beside the labels of the file: accuracy 33.33 % of 3 rows; the labels of 1 are none of the classifier's\n"
    assert shown.endswith(said)
    assert predict.main([f"adapter={adapter}", f"data={data}", "label_column=kind"]) == 0  # labels of something else
    assert "accuracy" not in capsys.readouterr().out


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


# --- entities


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "entities"
    sentences, tags = tagged_about(["food", "sport"] * 6)
    adapt_sentences(sentences, tags, checkpoint="none", folds=2, repeats=1).save(folder)
    return folder


def test_entities_of_one_text(finder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict.main([f"adapter={finder}", "text=we talked about soup they said that .", "backbone=nano"]) == 0
    place, label, text, score = capsys.readouterr().out.rstrip("\n").split("  ")
    assert (place, label, text) == ("16-20", "food", "soup")
    assert 0 < float(score) <= 1
    assert predict.main([f"adapter={finder}", "text=they said that ."]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "note: no entity\n")


def test_entities_of_a_file_of_texts(finder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "new.txt"
    data.write_text("we talked about soup they said that .\n\nthey said that .\n")
    assert predict.main([f"adapter={finder}", f"data={data}"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("line 1  16-20  food  soup  ")
    assert "1 of 2 texts without an entity" in shown.err


def test_what_was_found_can_be_learned_from(finder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "new.csv", tmp_path / "deep/entities.jsonl"
    data.write_text('id,what\n1,"we talked about soup, they said"\n2,\n3,nothing\n')
    assert predict.main([f"adapter={finder}", f"data={data}", "text_column=what", f"out={out}"]) == 0
    shown = capsys.readouterr()
    assert f"1 entities in 2 texts: {out}" in shown.out
    assert "1 row without a text: skipped (line 3)" in shown.err
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["place"], len(line["entities"])) for line in lines] == [("line 2", 1), ("line 4", 0)]
    found = lines[0]["entities"][0]
    assert lines[0]["text"][found["start"] : found["end"]] == found["text"] == "soup"
    assert [list(map(tuple, spans_of(s))) for s in read_tagged(str(out))[0]] == [[(16, 20, "food")], []]


def test_tagged_sentences_are_compared(finder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "gold.conll"
    lines = ["we O", "talked O", "about O", "soup B-food", "they O", "said O", "that O", "", "tax B-money", "is O", ""]
    data.write_text("\n".join(lines))
    assert predict.main([f"adapter={finder}", f"data={data}"]) == 0
    shown = capsys.readouterr().out
    assert "line 1  16-20  food  soup" in shown
    found = shown.count("line ")
    assert f"recall 50.0 %, F1 {200 / (2 + found):.1f} (2 entities there, {found} found, 1 right)" in shown
    spans = tmp_path / "gold.jsonl"
    spans.write_text(json.dumps({"text": "we talked  about soup, they said", "spans": [[17, 21, "food"]]}))
    assert predict.main([f"adapter={finder}", f"data={spans}", f"out={tmp_path / 'out.jsonl'}"]) == 0
    assert "precision 100.0 %, recall 100.0 %, F1 100.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data=away.conll"], "away.conll: no such file"),
        (["text=a", "out=."], "out= is a file"),
        (["data=pictures.png"], "unknown ending '.png'"),
        (["data=new.csv", "label_column=kind"], "label_column= is for a classifier"),
    ],
)
def test_mistakes_with_a_tagger(
    finder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert predict.main([f"adapter={finder}", *arguments]) == 2
    assert message in capsys.readouterr().err
