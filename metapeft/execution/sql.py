"""Runs SQL against SQLite databases, in the sandbox, and compares what comes out."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metapeft.errors import ExecutionError
from metapeft.execution.sandbox import Confinement, Limits, Program, run_many

RUNNER = Path(__file__).with_name("sql_runner.py")
LIMITS = Limits(output_bytes=32 << 20, processes=4)
Row = tuple[Any, ...]
TOLERANCE = 1e-6
# What hides a word or a bracket: strings, quoted names and comments.
HIDDEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/""", re.DOTALL)


class SqlResult(NamedTuple):
    status: str
    """``ok``; ``error`` (SQLite refused it, says `error`); ``timeout``, ``memory``, ``output`` (too many rows),
    ``crashed``."""
    rows: list[Row]
    """In the order in which they came; numbers, strings, None and bytes."""
    error: str
    seconds: float
    confinement: Confinement


def run_sql(
    queries: Sequence[tuple[Path | str, str]],
    *,
    allow_code_execution: bool = False,
    seconds: float = 5.0,
    most_rows: int = 10_000,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[SqlResult]:
    """Run each query, one statement, against its database: a file, or the text of a script that makes one.

    A file is opened read-only and taken to be unchanging (no locks, no journal); as root, other users must be able to
    read it. A script is the caller's own and runs without restrictions. A query may read and calculate, no more.

    Raises `ExecutionError` as `sandbox.run_many` does, and when a file is missing.
    """
    runner = RUNNER.read_text(encoding="utf-8")
    programs = []
    for database, query in queries:
        path = None
        if isinstance(database, Path):
            path = str(database.resolve())
            if not database.is_file():
                raise ExecutionError(f"There is no database {database}.")
        script = database if path is None else ""
        call = f"main({path!r}, {script!r}, {query!r}, {most_rows!r}, {seconds!r})\n"
        programs.append(Program("python", runner + call, readable=(path,) if path else ()))
    limits = LIMITS._replace(cpu_seconds=math.ceil(seconds) + 2, seconds=4 * seconds + 10)
    results = run_many(
        programs, allow_code_execution=allow_code_execution, limits=limits, workers=workers, progress=progress
    )
    return [_sql_result(*result) for result in results]


def _sql_result(
    status: str, exit_code: int | None, stdout: str, stderr: str, seconds: float, confinement: Confinement
) -> SqlResult:
    if status != "passed":
        error = stderr.strip().splitlines()[-1] if stderr.strip() else status
        return SqlResult("error" if status == "failed" else status, [], error, seconds, confinement)
    answer = json.loads(stdout)
    rows = [
        tuple(bytes.fromhex(value["blob"]) if isinstance(value, dict) else value for value in row)
        for row in answer["rows"]
    ]
    return SqlResult(answer["status"], rows, answer["error"], seconds, confinement)


def is_ordered(query: str) -> bool:
    """Whether the query itself, not a part in brackets, says ORDER BY."""
    depth, text = 0, HIDDEN.sub(" ", query)
    for match in re.finditer(r"[()]|\border\s+by\b", text, re.IGNORECASE):
        if match.group() in "()":
            depth += 1 if match.group() == "(" else -1
        elif depth == 0:
            return True
    return False


def same_result(gold: Sequence[Row], predicted: Sequence[Row], ordered: bool) -> bool:
    """Whether two results hold the same rows, as often, and in the same order when `ordered` (see `is_ordered`).

    Columns count in the order they have; their names do not. Numbers are equal to 1e-6 of the larger one, so that sums
    may be added up in another order; NULL equals NULL, and no string equals a number.
    """
    if len(gold) != len(predicted):
        return False
    if ordered:
        return all(map(_same_row, gold, predicted))
    counts, other = Counter(gold), Counter(predicted)
    # Rows that are not equal to the last bit: those alike but for their numbers are tried in turn, near ones first.
    left = _by_shape((counts - other).elements())
    right = _by_shape((other - counts).elements())
    return left.keys() == right.keys() and all(_match(left[shape], right[shape]) for shape in left)


def _same_row(gold: Row, predicted: Row) -> bool:
    return len(gold) == len(predicted) and all(map(_same_value, gold, predicted))


def _same_value(gold: Any, predicted: Any) -> bool:
    if isinstance(gold, float) and isinstance(predicted, int | float) or isinstance(predicted, float) and _number(gold):
        return math.isclose(gold, predicted, rel_tol=TOLERANCE, abs_tol=1e-12)
    return type(gold) is type(predicted) and gold == predicted


def _number(value: Any) -> bool:
    return isinstance(value, int | float)


def _by_shape(rows: Any) -> dict[Row, list[Row]]:
    shapes: dict[Row, list[Row]] = {}
    for row in rows:
        shapes.setdefault(tuple(0 if _number(value) else (value,) for value in row), []).append(row)
    for rows in shapes.values():
        rows.sort(key=lambda row: [value for value in row if _number(value)])
    return shapes


def _match(gold: list[Row], predicted: list[Row]) -> bool:
    """Whether each row of `gold` finds one of its own in `predicted`, both sorted by their numbers."""
    free = list(predicted)
    for row in gold:
        place = next((index for index, other in enumerate(free) if _same_row(row, other)), None)
        if place is None:
            return False
        del free[place]
    return not free
