"""docs/tour.ipynb runs from top to bottom, in an empty folder and without a network, and is the tour of the README."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOK = json.loads((ROOT / "docs/tour.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_no_output_is_kept() -> None:
    assert NOTEBOOK["nbformat"] == 4
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    for cell in CODE:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


def test_it_is_the_tour_of_the_readme() -> None:
    code = "\n".join("".join(cell["source"]) for cell in CODE)
    calls = [
        (verb, ast.literal_eval(given))
        for verb, given in re.findall(r"(\w+)\.main\(\s*(\[.*?\])\s*\)", code, re.DOTALL)
    ]
    shell = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL)).replace("\\\n", "")
    commands = [shlex.split(line) for line in shell.splitlines() if line.startswith("python -m metapeft.")]
    assert [verb for verb, _ in calls] == ["build", "inspect", "train", "evaluate", "adapt", "predict"]
    assert calls == [(module.removeprefix("metapeft."), given) for _, _, module, *given in commands]
    example = re.findall(r"<<'END'\n(.*?)END\n", shell, re.DOTALL)
    assert example == re.findall(r'"""\\\n(.*?)"""', code, re.DOTALL)


@pytest.mark.usefixtures("no_hub")
def test_the_cells_run(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, Any] = {}
    for cell in CODE:
        exec(compile("".join(cell["source"]), cell["id"], "exec"), scope)
    inspected = json.loads((in_tmp / "runs/inspect/quickstart/result.json").read_text())
    assert inspected["passed"]
    facts = json.loads((in_tmp / "runs/train/tour/last/checkpoint.json").read_text())
    assert "quick_intent_banking" not in json.dumps([facts["training"], facts["validation"]])
    assert facts["step"] == 20
    assert {row["task"] for row in scope["rows"]} == {"quick_intent_banking"}
    assert {"frozen", "auto"} <= {row["method"] for row in scope["rows"]}
    assert capsys.readouterr().out.splitlines()[-1].startswith("billing\t")
