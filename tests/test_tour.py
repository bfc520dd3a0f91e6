"""docs/tour.ipynb runs from top to bottom, in an empty folder and without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = json.loads((Path(__file__).parent.parent / "docs/tour.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_no_output_is_kept() -> None:
    assert NOTEBOOK["nbformat"] == 4
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    for cell in CODE:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@pytest.mark.usefixtures("no_hub")
def test_the_cells_run(in_tmp: Path) -> None:
    scope: dict[str, Any] = {}
    for cell in CODE:
        exec(compile("".join(cell["source"]), cell["id"], "exec"), scope)
    assert len(scope["adapted"].trace.query_accuracy) == 4
    inspected = json.loads((in_tmp / "runs/inspect/quickstart/result.json").read_text())
    assert {task["task"] for task in inspected["tasks"]} >= {"quick_topic_news", "quick_intent_banking"}
    facts = json.loads((in_tmp / "runs/train/tour/last/checkpoint.json").read_text())
    assert "quick_intent_banking" not in json.dumps([facts["training"], facts["validation"]])
    assert facts["step"] == 5
    assert {row["task"] for row in scope["rows"]} == {"quick_intent_banking"}
    assert {"frozen", "auto"} <= {row["method"] for row in scope["rows"]}
    assert scope["classifier"].labels == ("billing", "delivery")
    assert scope["classifier"].predict(scope["new"]) == ["billing", "delivery"]
