"""metapeft.evaluation.generation.stop: an output ends where its style says, and references stay as they are."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapeft.evaluation.generation.rows import PROGRAMS, Style
from metapeft.evaluation.generation.stop import trim
from tests.evaluation.generation import made_rows

DOMAINS = ("python", "javascript", "java", "sql", "news")
PIECES = (
    *("def f(x):\n", "    return x\n", "\n", "x = 1\n", "# said\n", "class A:\n", "import os\n", '"""', "'", "\n\n"),
    *(
        "const f = (x) => {\n",
        "}\n",
        "// said\n",
        "  f();\n",
        "```\n",
        "```python\n",
        "SELECT 1",
        ";",
        "-- said\n",
        " ",
    ),
    *("{", "}", "A sentence. ", "- item\n", "\t", "\r\n", "@cached\n"),
)


@pytest.mark.parametrize(
    ("style", "domain", "output", "rest"),
    [
        ("abstractive", "news", "One sentence. And another.", "\nSummary: more"),
        ("extractive", "news", "One.\nTwo.", "\n\nCopy the sentences."),
        ("bullets", "news", "- one\n- two", "\n \nList the facts."),
        ("documentation", "python", "Return it.\n>>> f(1)\n1", "\n\ndef g(x):"),
        ("query", "sql", "SELECT ';' FROM a -- why; not\nWHERE b = 1;", " SELECT 2;"),
        ("query", "sql", "SELECT a\nFROM b", "\n-- Another question?\nSELECT 2"),
        ("query", "sql", "SELECT a", "\n\nThis query gives a."),
        (
            "completion",
            "python",
            "    if x:\n        return (\n            1\n)\n\n    return 2",
            "\n\ndef g(x):\n    return 3",
        ),
        ("completion", "python", '    """\nleft\n"""\n    return 2', "\nprint(f(1))"),
        ("completion", "python", "import os\n\nM = 1\n\n@cached\ndef f(x):\n    return x", "\n\nprint(f(1))"),
        ("completion", "python", "def f(x):\n# why\n    return x\n\ndef g():\n    pass", "\n# Task: another"),
        ("completion", "python", "x = [1]\nx.append(2)", "\n\nThis makes a list."),
        ("completion", "python", "os.kill(1)", "\n# another\nos.kill(2)"),
        ("bugfix", "python", "# It is mended.\ndef f(x):\n    return x", "\nassert f(1) == 1"),
        ("completion", "javascript", "  if (x) {\n    y();\n  }\n}", "\n\n// next\nfunction g(x) {"),
        ("bugfix", "javascript", "// Twice.\nfunction f(x) {\n  return 2;\n}", "\n\nMend this function."),
        ("bugfix", "javascript", "const f = () => {\n};\n\nconst g = () => {\n}", "\n\nconsole.log(f());"),
        ("completion", "javascript", "const f = (x) => x", "\n// another"),
        ("bugfix", "java", "int f ( ) { if ( a ) { b ( ) ; } }", " int g ( ) { }"),
        ("bugfix", "java", "int f ( ) ;", "\n\n// Fix the bug."),
    ],
)
def test_an_output_ends_where_its_style_says(style: Style, domain: str, output: str, rest: str) -> None:
    assert trim(output + rest, style, domain) == output
    assert trim(f"\n{output} \n", style, domain) == output


@pytest.mark.parametrize(("style", "domain"), [("completion", "python"), ("bugfix", "javascript"), ("query", "sql")])
def test_of_a_fenced_program_the_first_is_read(style: Style, domain: str) -> None:
    program = {"python": "def f(x):\n    return x", "javascript": "function f() {\n}", "sql": "SELECT 1"}[domain]
    assert trim(f"Here it is:\n\n```{domain}\n{program}\n```\nIt does.\n```\nno\n```", style, domain) == program
    assert trim(f"```\n{program}", style, domain) == program


def test_a_text_may_have_fences_and_loses_the_space_before_it() -> None:
    assert trim(" It says:\n```\nx\n```", "documentation", "python") == "It says:\n```\nx\n```"


def test_references_stay_as_they_are() -> None:
    cases: list[tuple[Style, str, made_rows.Reference]] = [
        *(("abstractive", "news", row) for row in made_rows.summaries()),
        ("completion", "python", made_rows.body()),
        ("completion", "python", made_rows.whole()),
        ("completion", "javascript", made_rows.javascript_body()),
        ("query", "sql", made_rows.question()),
    ]
    for style, domain, row in cases:
        assert trim(row.target, style, domain) == row.target
        assert trim(f"{row.target}\n\n{row.prompt}", style, domain) == row.target


@given(
    st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
    st.sampled_from(get_args(Style)),
    st.sampled_from(DOMAINS),
)
def test_trimming_takes_a_part_and_trimming_twice_is_trimming_once(text: str, style: Style, domain: str) -> None:
    once = trim(text, style, domain)
    assert once in text and trim(once, style, domain) == once
    assert once == once.rstrip() and (style in PROGRAMS or once == once.strip())


@given(st.text(max_size=60), st.sampled_from(get_args(Style)), st.sampled_from(DOMAINS))
def test_any_text_is_trimmed(text: str, style: Style, domain: str) -> None:
    assert trim(text, style, domain) in text


def test_a_long_output_without_an_end_takes_no_long_time() -> None:
    assert trim("'a' " * 50_000, "query", "sql") == ("'a' " * 50_000).rstrip()
