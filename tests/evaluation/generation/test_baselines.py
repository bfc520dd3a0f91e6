"""metapeft.evaluation.generation.baselines: outputs without a model."""

from __future__ import annotations

from typing import get_args

import pytest

from metapeft.evaluation.generation.baselines import baselines, lead_k
from metapeft.evaluation.generation.rows import Style
from metapeft.evaluation.generation.scoring import score
from tests.evaluation.generation import made_rows

ROWS = made_rows.summaries()
SUPPORT, QUERY = ROWS[:3], ROWS[3:]


def test_extracts_of_summaries() -> None:
    found = {name: make(SUPPORT, QUERY, "abstractive") for name, make in baselines("abstractive").items()}
    assert found.keys() == {"nearest example", "lead-3", "lead-k", "oracle extract", "gold"}
    assert found["lead-3"] == [row.text for row in QUERY]
    assert found["lead-k"] == ["The four came first.", "The five came first.", "The six came first."]
    assert found["oracle extract"] == found["gold"] == [row.target for row in QUERY]
    assert set(found["nearest example"]) <= {row.target for row in SUPPORT}


def test_bullets_stand_on_lines_of_their_own() -> None:
    assert baselines("bullets")["lead-3"]([], QUERY[:1], "bullets") == [QUERY[0].text.replace(". ", ".\n")]


@pytest.mark.parametrize(("targets", "count"), [(("A b.", "A b. C d."), 2), (("A b.C d.", "A b.“C d.", "A"), 2)])
def test_lead_k_takes_the_median_rounded_up_and_counts_stuck_sentences(targets: tuple[str, ...], count: int) -> None:
    support = [made_rows.row("x", target) for target in targets]
    assert lead_k(support, QUERY[:1], "abstractive")[0].count(".") == count
    with pytest.raises(ValueError, match="no"):
        lead_k([], QUERY, "abstractive")


def test_the_nearest_support_row_answers_and_a_program_to_mend_is_copied() -> None:
    rows = [
        made_rows.row(f"def {word}(x):\n    return 1", f"def {word}(x):\n    return 2", "Mend.\n\n") for word in "abc"
    ]
    query = [made_rows.row("def c(y):\n    return 3", "def c(y):\n    return 4", "Mend.\n\n")]
    made = baselines("bugfix")
    assert made["nearest example"](rows, query, "bugfix") == [rows[2].target]
    assert made["copied input"](rows, query, "bugfix") == [query[0].text]


@pytest.mark.parametrize("style", get_args(Style))
def test_every_baseline_writes_an_output_a_row_and_gold_is_the_ceiling(style: Style) -> None:
    for name, make in baselines(style).items():
        outputs = make(SUPPORT, QUERY, style)
        assert len(outputs) == len(QUERY) and all(isinstance(each, str) for each in outputs)
        figures = score(QUERY, outputs, style=style, domain="news")
        assert name != "gold" or figures["exact"].all() and figures["rougeL"].all()
