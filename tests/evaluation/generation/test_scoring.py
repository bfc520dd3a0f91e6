"""metapeft.evaluation.generation.scoring: which figures a task has, and which one speaks for it."""

from __future__ import annotations

import builtins
import shutil
from typing import get_args

import numpy as np
import pytest

from metapeft.errors import MetapeftError
from metapeft.evaluation.generation.rows import Style
from metapeft.evaluation.generation.scoring import primary_metric, score
from tests.evaluation.generation import made_rows

SUMMARIES = made_rows.summaries()
TEXT = {"rouge1", "rouge2", "rougeL", "exact"}


def test_the_primary_metric_is_a_run_where_it_may_be() -> None:
    rows = [made_rows.body()]
    best = primary_metric(rows, style="completion", domain="python", allow_code_execution=True)
    assert (best.metric, best.instead_of) == ("passed", None)
    fallen = primary_metric(rows, style="completion", domain="python")
    assert (fallen.metric, fallen.instead_of) == ("exact", "passed") and "allow_code_execution" in fallen.why
    query = primary_metric([made_rows.question()], style="query", domain="sql", allow_code_execution=True)
    assert query.metric == "executed"


def test_the_primary_metric_of_what_cannot_be_run() -> None:
    for style in ("abstractive", "extractive", "bullets", "documentation"):
        primary = primary_metric(SUMMARIES, style=style, domain="python", allow_code_execution=True)
        assert (primary.metric, primary.instead_of) == ("rougeL", None)
    untested = [made_rows.row("a", "b")]
    for domain in ("python", "java"):
        primary = primary_metric(untested, style="bugfix", domain=domain, allow_code_execution=True)
        assert (primary.metric, primary.instead_of) == ("exact", None)
    named = [made_rows.row("books: Which?", "SELECT 1", database="books")]
    primary = primary_metric(named, style="query", domain="sql", allow_code_execution=True)
    assert (primary.metric, primary.instead_of) == ("exact", "executed")


def test_without_node_the_primary_metric_falls_back_and_says_so(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    rows = [made_rows.javascript_body()]
    settings = {"style": "completion", "domain": "javascript", "allow_code_execution": True}
    primary = primary_metric(rows, **settings)
    assert (primary.metric, primary.instead_of) == ("exact", "passed") and "node" in primary.why
    assert score(rows, [rows[0].target], **settings).keys() == TEXT


def test_figures_of_summaries() -> None:
    outputs = [SUMMARIES[0].target.upper(), "Quite another thing", "", *(row.target for row in SUMMARIES[3:])]
    found = score(SUMMARIES, outputs, style="abstractive", domain="news")
    assert found.keys() == TEXT | {"coverage", "novelty"}
    assert all(each.shape == (6,) and each.dtype == np.float64 for each in found.values())
    for name in TEXT:
        assert found[name].tolist() == [1, 0, 0, 1, 1, 1]
    assert found["coverage"][[0, 1, 3]].tolist() == [1, 0, 1] and np.isnan(found["coverage"][2])
    assert found["novelty"][[0, 1, 3]].tolist() == [0, 1, 0] and np.isnan(found["novelty"][2])


def test_figures_of_programs() -> None:
    row = made_rows.body()
    outputs = [row.target + "  \n", "    return (2 *", "", "    return x + x"]
    settings = {"style": "completion", "domain": "python"}
    found = score([row] * 4, outputs, **settings)
    assert found.keys() == TEXT | {"syntax"}
    assert found["syntax"].tolist() == [1, 0, 0, 1] and found["exact"].tolist() == [1, 0, 0, 0]
    run = score([row] * 4, outputs, **settings, allow_code_execution=True)
    assert run["passed"].tolist() == [1, 0, 0, 1]
    assert score([row], [row.target], style="completion", domain="java").keys() == TEXT


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_syntax_of_javascript_is_that_of_the_whole_program() -> None:
    row = made_rows.javascript_body()
    found = score([row] * 2, [row.target, "  return x;"], style="completion", domain="javascript")
    assert found["syntax"].tolist() == [1, 0]


def test_figures_of_queries() -> None:
    row = made_rows.question()
    outputs = [
        "select NAME from books\nwhere pages > 100;",
        "SELECT name FROM",
        "SELECT name FROM books WHERE pages > 99",
    ]
    found = score([row] * 3, outputs, style="query", domain="sql", allow_code_execution=True)
    assert found.keys() == TEXT | {"syntax", "executed"}
    assert found["exact"].tolist() == [1, 0, 0] and found["syntax"].tolist() == [1, 0, 1]
    assert found["executed"].tolist() == [1, 0, 1]


def test_bleu_and_chrf_come_on_request(monkeypatch) -> None:
    pytest.importorskip("sacrebleu")
    settings = {"style": "abstractive", "domain": "news", "bleu": True}
    found = score(SUMMARIES[:2], [SUMMARIES[0].target, ""], **settings)
    assert np.allclose(found["bleu"], [1, 0]) and np.allclose(found["chrf"], [1, 0])

    def without(name, *rest, real=builtins.__import__):
        if name.startswith("sacrebleu"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MetapeftError, match="sacrebleu"):
        score(SUMMARIES[:1], [""], **settings)


@pytest.mark.parametrize("style", get_args(Style))
def test_no_rows_have_no_figures_and_lengths_must_fit(style: Style) -> None:
    assert all(each.shape == (0,) for each in score([], [], style=style, domain="python").values())
    with pytest.raises(ValueError, match="got 1 and 6"):
        score(SUMMARIES, [""], style=style, domain="python")
