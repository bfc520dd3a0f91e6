"""Rows in memory, as a suite would give them, for tests of what is made of them."""

from __future__ import annotations

from metapeft.evaluation.generation.rows import Reference

NUMBERS = ("one", "two", "three", "four", "five", "six")


def row(text: str, target: str, head: str = "", tail: str = "", row_id: str = "query:0", **kept: str) -> Reference:
    return Reference(row_id, head + text + tail, text, target, kept)


def summaries(count: int = 6) -> list[Reference]:
    """Documents of three sentences; the second is the summary."""
    return [
        row(
            f"The {word} came first. Then {word} ships left for {word}land. Nobody saw it.",
            f"Then {word} ships left for {word}land.",
            "Summarize.\n\n",
            "\n\nSummary:",
        )
        for word in NUMBERS[:count]
    ]


def body() -> Reference:
    """The rest of a function; its recipe keeps no entry point."""
    return row(
        'def twice(x):\n    """Twice."""', "    return 2 * x", tests="assert twice(2) == 4\nassert twice(0) == 0"
    )


def whole() -> Reference:
    """A whole function, with tests that define `check` and do not call it."""
    return row(
        'def twice(x):\n    """Twice."""',
        'def twice(x):\n    """Twice."""\n    return 2 * x',
        "# Complete.\n",
        "\n\n# Whole:\n",
        tests="\n\ndef check(candidate):\n    assert candidate(2) == 4\n",
        entry_point="twice",
    )


def javascript_body() -> Reference:
    return row(
        "// Twice.\nfunction twice(x) {",
        "  return 2 * x;\n}",
        tests="if (twice(2) !== 4) throw new Error('twice(2)');",
    )


def question(target: str = "SELECT name FROM books WHERE pages > 100") -> Reference:
    return row(
        "CREATE TABLE books (name TEXT, pages INTEGER);\n-- Which are long?",
        target,
        tail="\n-- SQL:\n",
        schema="CREATE TABLE books (name TEXT, pages INTEGER);",
        database="INSERT INTO books VALUES ('a', 50), ('b', 150), ('c', 250);",
    )
