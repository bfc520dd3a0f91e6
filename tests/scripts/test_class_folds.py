"""scripts/class_folds.py: a recipe that builds, every text in one pool of one part, and mistakes in words."""

from __future__ import annotations

import json
from pathlib import Path

import class_folds
import pytest

from metapeft import build
from metapeft.tasks.suite import Suite

LABELS = ("red_wine", "tea", "coffee", "milk", "rum", "cider")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Six classes of twelve texts, and one fold of two classes a part."""
    rows = [{"sentence": f"a cup of {label} number {i}", "label": label} for label in LABELS for i in range(12)]
    (tmp_path / "full.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fold = tmp_path / "few_shot/01"
    fold.mkdir(parents=True)
    for part, names in zip(class_folds.PARTS, (LABELS[:2], LABELS[2:4], LABELS[4:]), strict=True):
        (fold / f"labels.{part}.txt").write_text("\n".join(names) + "\n")
    return tmp_path


def call(folder: Path, *more: str) -> int:
    given = dict(argument.split("=", 1) for argument in more)
    wanted = {"name": "drinks", "texts": folder / "full.jsonl", "folds": folder / "few_shot", "out": folder / "out"}
    return class_folds.main([f"{key}={value}" for key, value in (wanted | given).items()])


def test_the_recipe_builds_and_deals_every_text_once(published: Path) -> None:
    assert call(published) == 0
    out, suite = published / "out", published / "suite"
    arguments = [f"recipe={out / 'recipe.yaml'}", f"files.drinks={out / 'data'}", f"out={suite}", "leaks=keep"]
    assert build.main([*arguments, "quiet=true"]) == 0
    built = Suite(suite)
    assert [task.id for task in built.tasks] == ["drinks_1_train", "drinks_1_valid", "drinks_1_test"]
    hashes = [built.row_hashes(task.id, side) for task in built.tasks for side in ("support", "query")]
    assert [len(own) for own in hashes] == [12] * 6
    assert len({int(value) for own in hashes for value in own}) == 72
    assert built.load("drinks_1_train").labels == ["red_wine", "tea"]


def test_folds_of_a_json_file_whose_labels_are_ids(published: Path) -> None:
    rows = [{"raw": f"number {i} of {label}", "label": label} for label in range(3) for i in range(4)]
    (published / "ids.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (published / "folds.json").write_text(json.dumps({"News": {"01": {"train": [0], "valid": [1], "test": [2]}}}))
    (published / "names.json").write_text(json.dumps({"News": {"0": "POLITICS", "1": "SPORT", "2": "ARTS"}}))
    given = [f"{key}={published / f'{key}.json'}" for key in ("folds", "names")]
    assert call(published, *given, f"texts={published / 'ids.json'}", "dataset=News") == 0
    row = json.loads((published / "out/data/1_test_query.jsonl").read_text().splitlines()[0])
    assert row["label"] == "ARTS"


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("full.jsonl", '{"sentence": "a"}\n', "line 1: needs JSON with one of sentence, raw, text and a label"),
        ("few_shot/01/labels.test.txt", "tea\nrum\n", "fold 1: 'tea' stands in two parts"),
        ("few_shot/01/labels.test.txt", "gin\n", "no text of label 'gin' of fold 1"),
    ],
)
def test_mistakes(published: Path, file: str, text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    (published / file).write_text(text)
    assert call(published) == 2
    assert said in capsys.readouterr().err


def test_folds_that_are_not_there(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (published / "folds.json").write_text("{}")
    assert call(published, f"folds={published / 'folds.json'}", "dataset=News") == 2
    assert "no dataset 'News'" in capsys.readouterr().err
    (published / "empty").mkdir()
    assert call(published, f"folds={published / 'empty'}") == 2
    assert "no fold here" in capsys.readouterr().err
