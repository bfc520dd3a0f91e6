"""scripts/side_by_side.py: a page from a result, and what ratings of it say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import side_by_side

from metapeft.errors import MetapeftError


def cell(task: str, shots: int) -> dict[str, Any]:
    written = {"auto": ["one", "two"], "frozen": ["uno", "two"], "random": ["x"]}
    outputs = {"prompts": ["first?", "second?"], "targets": ["one", "two"], "written": written}
    return {"task": task, "shots": shots, "style": "abstractive", "outputs": outputs}


@pytest.fixture
def result(tmp_path: Path) -> Path:
    cells = [cell("news", 5), cell("news", 10), {"task": "labels", "shots": 5}]
    (tmp_path / "result.json").write_text(json.dumps({"cells": cells}))
    return tmp_path


def test_a_page_that_names_nobody_and_what_its_ratings_say(result: Path, capsys: pytest.CaptureFixture) -> None:
    assert side_by_side.main([f"result={result}", "shots=10", f"out={result / 'rate'}"]) == 0
    page, key = (result / "rate/page.html").read_text(), json.loads((result / "rate/key.json").read_text())
    assert "uno" in page and "frozen" not in page and "auto" not in page.replace("auto;", "").replace(" auto", "")
    (asked,) = [name for name, item in key["items"].items() if not item["equal"]]
    choice = "a" if key["items"][asked]["a"] == "auto" else "b"
    (result / "ann.json").write_text(json.dumps({"study": key["study"], "ratings": {asked: choice}}))
    capsys.readouterr()
    assert side_by_side.main([f"key={result / 'rate/key.json'}", f"ratings=[{result / 'ann.json'}]"]) == 0
    assert capsys.readouterr().out.startswith(
        "auto against frozen: 1 won, 1 tied, 0 lost, 0 not rated; preference +0.50"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give result=DIR"),
        ({"result": ""}, "one of: news at 5, news at 10"),
        ({"result": "", "shots": 5, "methods": ["auto", "frozn"]}, "no method 'frozn'. Did you mean 'frozen'"),
    ],
)
def test_what_cannot_be_compared(result: Path, options: dict[str, Any], said: str) -> None:
    given = options | ({"result": str(result)} if "result" in options else {})
    with pytest.raises(MetapeftError, match=said):
        side_by_side.run(side_by_side.Config(**given))
