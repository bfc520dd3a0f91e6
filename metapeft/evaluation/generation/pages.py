"""The blind page on which people compare what methods wrote for the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from metapeft import atomic
from metapeft.evaluation.generation.rows import PROGRAMS, SUMMARIES, Reference, Style
from metapeft.evaluation.text.side_by_side import Row, side_by_side


def write_side_by_side(
    page: Path,
    key: Path,
    references: Sequence[Reference],
    outputs: Mapping[str, Sequence[str]],
    *,
    style: Style,
    title: str,
    seed: int = 0,
) -> None:
    """Write the page for raters and the key that says who wrote what (see `text.side_by_side`, `text.ratings`).

    Args:
        page: the HTML file.
        key: a JSON file; keep it from the raters, so not beside the page.
        references: rows of one task, ``(n,)``.
        outputs: what each method wrote, two methods at least, ``(n,)`` each.
        style: of the task; it says what the rater is asked.
        title: of the page, which names no method.
        seed: of the order.

    Raises:
        ValueError: there are no rows, fewer than two methods, or a method has not an output for each row.
    """
    if lengths := {name: len(each) for name, each in outputs.items() if len(each) != len(references)}:
        raise ValueError(f"one output a row: there are {len(references)} rows, and outputs {lengths}")
    rows: list[Row] = [
        {"prompt": row.prompt, "reference": row.target, "outputs": {name: outputs[name][place] for name in outputs}}
        for place, row in enumerate(references)
    ]
    html, secret = side_by_side(rows, title, _question(style), seed, code=style in PROGRAMS)
    atomic.write_text(page, html)
    atomic.write_text(key, atomic.canonical_json(secret))


def _question(style: Style) -> str:
    if style in SUMMARIES:
        return "Which of the two is the better summary of the text?"
    if style == "documentation":
        return "Which of the two says better what the program does?"
    return "Which of the two programs does better what is asked?"
