"""metapeft.evaluation.generation.pages: a blind page of what methods wrote, and its key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metapeft.evaluation.generation.baselines import gold, lead_3
from metapeft.evaluation.generation.pages import write_side_by_side
from metapeft.evaluation.text.ratings import summarize
from tests.evaluation.generation import made_rows

ROWS = made_rows.summaries()
OUTPUTS = {"lead-3 baseline": lead_3([], ROWS, "abstractive"), "gold reference": gold([], ROWS, "abstractive")}


def test_the_page_is_blind_and_its_ratings_find_their_methods(tmp_path: Path) -> None:
    page, key = tmp_path / "pages" / "page.html", tmp_path / "key.json"
    write_side_by_side(page, key, ROWS, OUTPUTS, style="abstractive", title="News")
    html, secret = page.read_text(encoding="utf-8"), json.loads(key.read_text(encoding="utf-8"))
    assert "better summary" in html and not any(name in html for name in OUTPUTS)
    assert html.count("<article") == len(secret["items"]) == len(ROWS)
    better = {name: "a" if item["a"] == "gold reference" else "b" for name, item in secret["items"].items()}
    (line,) = summarize([{"study": secret["study"], "ratings": better}], secret)
    assert (line["first"], line["wins"], line["losses"]) == ("gold reference", 6, 0)


@pytest.mark.parametrize(("style", "fixed"), [("bugfix", True), ("query", True), ("documentation", False)])
def test_programs_are_shown_in_a_fixed_width(tmp_path: Path, style, fixed: bool) -> None:
    write_side_by_side(tmp_path / "page.html", tmp_path / "key.json", ROWS, OUTPUTS, style=style, title="Code")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ("class=code" in html) is fixed and ("programs" in html) is fixed


def test_outputs_that_do_not_fit_the_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'short': 1"):
        write_side_by_side(tmp_path / "p", tmp_path / "k", ROWS, OUTPUTS | {"short": ["a"]}, style="query", title="t")
    assert not list(tmp_path.iterdir())
