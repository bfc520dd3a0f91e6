"""Rows of a generation task as its suite holds them: what was asked, what should be written, what metrics need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from metapeft.errors import SuiteError
from metapeft.tasks.suite import Suite

Style = Literal["abstractive", "extractive", "bullets", "completion", "bugfix", "documentation", "query"]
SUMMARIES: tuple[Style, ...] = ("abstractive", "extractive", "bullets")
PROGRAMS: tuple[Style, ...] = ("completion", "bugfix", "query")
"""Styles whose outputs are programs; those of the others are texts for people."""


class Reference(NamedTuple):
    """One row."""

    row_id: str
    """Where its dataset has it: split and index."""
    prompt: str
    """What the model is given."""
    text: str
    """The prompt without what all prompts of its task share: the document, the program to mend, the question."""
    target: str
    """What should be written. A program keeps the white space of its first line, a text has none around it."""
    kept: Mapping[str, str]
    """Columns that the recipe kept for metrics: ``tests``, ``setup``, ``entry_point``, ``schema``, ``database`` …"""


def style_and_domain(suite: Suite, task_id: str) -> tuple[Style, str]:
    """Of a generation task.

    Raises:
        SuiteError: there is no such task, or it is of another kind.
    """
    task = suite.task(task_id)
    if task.kind != "generation":
        raise SuiteError(f"{suite.path}: '{task_id}' is a {task.kind} task; only generation tasks have texts to score")
    return task.entry["style"], task.entry["domain"]


def references(suite: Suite, task_id: str, side: str, rows: Sequence[int] | None = None) -> list[Reference]:
    """Rows of one pool of a generation task, in the order of `rows`.

    Args:
        suite: opened.
        task_id: of a generation task.
        side: ``support`` or ``query``.
        rows: places in the pool, as episodes name them; all where None.

    Raises:
        SuiteError: there is no such task or it is of another kind, its file cannot be read, or it has no such row.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    style, _ = style_and_domain(suite, task_id)
    folder = suite.path / task_id
    try:
        # What the prompts share is looked for in both pools: a small one shares more by chance.
        tables = {name: pq.read_table(folder / f"{name}.parquet") for name in ("support", "query")}
    except (OSError, pa.ArrowInvalid) as error:
        raise SuiteError(f"{folder}: its rows cannot be read ({error}). Build the suite again") from error
    head, tail = shared([prompt for table in tables.values() for prompt in table["text"].to_pylist()])
    table = tables[side]
    wanted = range(table.num_rows) if rows is None else rows
    if wrong := [row for row in wanted if not 0 <= row < table.num_rows]:
        raise SuiteError(f"{folder}: its {side} pool has {table.num_rows} rows, not a row {wrong[0]}")
    found = []
    for row in table.take(list(wanted)).to_pylist():
        row_id, prompt, target = (row.pop(name) for name in ("row_id", "text", "target"))
        text = prompt[len(head) : len(prompt) - len(tail)]
        found.append(Reference(row_id, prompt, text, target if style in PROGRAMS else target.strip(), row))
    return found


def shared(prompts: Sequence[str]) -> tuple[str, str]:
    """What a task's template puts before and after each text: a suite holds prompts, not templates.

    The whole lines that all prompts begin with, up to the first blank line among them if there is one, and those that
    they end with, from the last blank line on. So lines that all texts happen to share, like a last ``return result``,
    stay theirs where the template sets itself off by a blank line, and what it puts into a line of the text stays in
    the text (``# Task: …``).

    Args:
        prompts: of one task, as many as there are; one prompt shares nothing.

    Returns:
        Head and tail; they never overlap. Either may be empty.
    """
    lines = [prompt.split("\n") for prompt in dict.fromkeys(prompts)]
    if len(lines) < 2:
        return "", ""
    head, tail = _common(lines), _common([each[::-1] for each in lines])
    if "" in head:
        head = head[: head.index("") + 1]
    # the prompt may end with a line break: the blank "line" after that is no gap between text and template
    gaps = [place for place, line in enumerate(tail) if not line and any(tail[:place])]
    if gaps:
        tail = tail[: gaps[0] + 1]
    most = min(map(len, lines)) - 1  # a line at least is the text's
    tail = tail[: max(most - len(head), 0)]
    return "".join(f"{line}\n" for line in head[:most]), "".join(f"\n{line}" for line in reversed(tail))


def _common(lists: Sequence[Sequence[str]]) -> list[str]:
    """The lines that all lists begin with."""
    first, *others = lists
    count = 0
    while count < len(first) and all(len(other) > count and other[count] == first[count] for other in others):
        count += 1
    return list(first[:count])
