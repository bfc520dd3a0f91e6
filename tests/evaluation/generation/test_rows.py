"""metapeft.evaluation.generation.rows: rows come back as they were built, and texts without their template."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapeft import build
from metapeft.errors import SuiteError
from metapeft.evaluation.generation.rows import references, shared, style_and_domain
from metapeft.tasks.suite import Suite

RECIPE = """
schema: 1
name: written
version: 1-A
description: Tasks whose answers are texts, and one whose answers are not.
episodes: {ways: all, shots: 2, query: 4, max_tokens: 128}
tasks:
  - id: short
    family: summarization
    kind: generation
    style: abstractive
    domain: news
    source:
      {kind: synthetic, generator: summarization, params: {domain: news, style: abstractive},
       size: {support: 12, query: 8}}
    prompt: "Summarize.\\n\\n{text}\\n\\nSummary:"
    fields: {text: text, target: target}
  - id: bodies
    family: code
    kind: generation
    style: completion
    domain: python
    source:
      {kind: synthetic, generator: code_python, params: {style: completion}, size: {support: 12, query: 8}}
    prompt: "{text}"
    fields: {text: text, target: target, keep: {tests: tests}}
  - id: names
    family: ner
    kind: tagging
    domain: news
    source: {kind: synthetic, generator: tagging, params: {domain: news}, size: {support: 8, query: 8}}
    fields: {tokens: tokens, tags: tags}
    labels: [person, organization, location, misc]
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    folder = tmp_path_factory.mktemp("written")
    (folder / "written.yaml").write_text(RECIPE)
    assert build.main([f"recipe={folder / 'written.yaml'}", f"out={folder / 'suite'}", "quiet=true"]) == 0
    return Suite(folder / "suite")


def test_rows_of_a_text_have_the_document_without_the_prompts_own_words(suite: Suite) -> None:
    rows = references(suite, "short", "query")
    assert (
        len(rows) == suite.task("short").entry["rows"]["query"] and style_and_domain(suite, "short")[0] == "abstractive"
    )
    for row, prompt in zip(rows, suite.row_texts("short", "query"), strict=True):
        assert row.prompt == prompt == f"Summarize.\n\n{row.text}\n\nSummary:"
        assert row.target and row.target == row.target.strip() and row.kept == {}


def test_rows_of_a_program_keep_indentation_and_tests(suite: Suite) -> None:
    rows = references(suite, "bodies", "support", [3, 0])
    assert [row.row_id for row in rows] == [references(suite, "bodies", "support")[place].row_id for place in (3, 0)]
    for row in rows:
        assert row.text == row.prompt and row.text.startswith("def ")
        assert row.target.startswith("    result") and row.kept["tests"].startswith("assert ")


def test_what_cannot_be_had_is_said(suite: Suite, tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="'names' is a tagging task"):
        references(suite, "names", "query")
    with pytest.raises(SuiteError, match="has 12 rows, not a row 12"):
        references(suite, "short", "support", [0, 12])
    with pytest.raises(SuiteError, match="Did you mean 'short'"):
        references(suite, "shor", "query")


@pytest.mark.parametrize(
    ("template", "head", "tail"),
    [
        ("Do it.\n\n{}\n\nDone:", "Do it.\n\n", "\n\nDone:"),
        ("# Fix.\n{}\n\n# Fixed:\n", "# Fix.\n", "\n\n# Fixed:\n"),
        ("{}\n-- SQL:\n", "", "\n-- SQL:\n"),
        ("# Task: {}\n", "", "\n"),
        ("{}", "", ""),
    ],
)
def test_a_template_is_found_again(template: str, head: str, tail: str) -> None:
    assert shared([template.format(text) for text in ("a\nb", "c", "d\n\ne")]) == (head, tail)


def test_lines_that_all_texts_share_stay_theirs_where_a_blank_line_says_so() -> None:
    texts = [f"import os\ndef f{place}():\n    return 1\n    return result" for place in range(3)]
    assert shared([f"Mend.\n\n{text}\n\nMended:\n" for text in texts]) == ("Mend.\n\n", "\n\nMended:\n")


def test_one_prompt_shares_nothing() -> None:
    assert shared(["a\nb"]) == shared(["a\nb", "a\nb"]) == shared([]) == ("", "")


@given(st.lists(st.text("ab\n", max_size=12), min_size=1, max_size=4))
def test_head_and_tail_are_of_every_prompt_and_never_overlap(prompts: list[str]) -> None:
    head, tail = shared(prompts)
    for prompt in prompts:
        assert prompt.startswith(head) and prompt.endswith(tail) and len(head) + len(tail) <= len(prompt)
