"""Outputs that can be run: programs with tests, and queries with a database."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from metapeft.evaluation.generation.rows import Reference
from metapeft.execution.programs import complete
from metapeft.execution.sandbox import Limits, Program, run_many
from metapeft.execution.sql import is_ordered, run_sql, same_result

Databases = Mapping[str, Path]
"""SQLite files by the name that the kept column ``database`` has."""
Job = TypeVar("Job", bound=Hashable)
Outcome = TypeVar("Outcome")

_DEFINED = re.compile(r"^(?:(?:async\s+)?def|(?:async\s+)?function\*?|const|let|var)\s+(\w+)", re.MULTILINE)
_CHECKED = re.compile(r"^check\(", re.MULTILINE)


def way(
    references: Sequence[Reference], domain: str, databases: Databases | None = None
) -> Literal["passed", "executed"] | None:
    """How outputs of these rows can be run.

    ``passed``: in Python and JavaScript where every row keeps ``tests``. ``executed``: in SQL where every row keeps a
    ``database`` of statements and its ``schema``, or a name that `databases` knows. None: not at all.
    """
    if not references:
        return None
    if domain in ("python", "javascript") and all(row.kept.get("tests", "").strip() for row in references):
        return "passed"
    if domain == "sql" and all(_database(row, databases or {}) is not None for row in references):
        return "executed"
    return None


def missing_interpreter(domain: str) -> str | None:
    """What has to be installed before programs of this language can run; None if nothing."""
    return "node is not on the PATH" if domain == "javascript" and shutil.which("node") is None else None


def whole_program(reference: Reference, output: str, domain: str) -> str:
    """The program of an output.

    A target whose first line is indented is the rest of a function that its text begins, so an output goes on below the
    text; one that writes the function anew stands alone (see `execution.programs.complete`). Other targets are whole.
    """
    if not continues(reference):
        return output
    names = _DEFINED.findall(reference.text)
    name = reference.kept.get("entry_point") or (names[-1] if names else "")
    head = f"{reference.text}\n"
    return complete(domain, head, output, name) if name else head + output


def continues(reference: Reference) -> bool:
    """Whether the target goes on where the text of its row ends."""
    return reference.target[:1].isspace()


def program(reference: Reference, output: str, domain: str) -> Program:
    """The program of an output, and its tests.

    ``setup`` comes before ``tests``. Tests that define ``check`` and do not call it, as HumanEval's, are called with
    the ``entry_point``.
    """
    kept = reference.kept
    tests = "\n".join(filter(None, (kept.get("setup"), kept["tests"])))
    if (name := kept.get("entry_point")) and "def check(" in tests and not _CHECKED.search(tests):
        tests += f"\n\ncheck({name})\n"
    return Program(domain, whole_program(reference, output, domain), tests)


def passed(
    references: Sequence[Reference],
    outputs: Sequence[str],
    domain: str,
    *,
    allow_code_execution: bool = False,
    limits: Limits | None = None,
    workers: int | None = None,
) -> np.ndarray:
    """1 where the tests of a row hold after its output, else 0; float64 ``(n,)``. Equal programs run once.

    Raises:
        ExecutionError: see `execution.sandbox.run_many`.
    """

    def run(programs: list[Program]) -> list[bool]:
        results = run_many(programs, allow_code_execution=allow_code_execution, limits=limits, workers=workers)
        return [result.status == "passed" for result in results]

    jobs = [program(row, output, domain) for row, output in zip(references, outputs, strict=True)]
    return np.array(_once(jobs, run), float)


def executed(
    references: Sequence[Reference],
    outputs: Sequence[str],
    *,
    databases: Databases | None = None,
    allow_code_execution: bool = False,
    workers: int | None = None,
) -> np.ndarray:
    """1 where a query's result is that of the target, else 0; float64 ``(n,)``. Equal queries run once.

    The order of rows counts where the target says ORDER BY. NaN where the target itself does not run.

    Raises:
        ExecutionError: see `execution.sql.run_sql`.
    """

    def run(queries: list[tuple[Path | str, str]]) -> list[list[tuple] | None]:
        results = run_sql(queries, allow_code_execution=allow_code_execution, workers=workers)
        return [result.rows if result.status == "ok" else None for result in results]

    sources = [_database(row, databases or {}) for row in references]
    queries = [row.target for row in references] + list(outputs)
    jobs = [(source, query) for source, query in zip(sources * 2, queries, strict=True) if source is not None]
    if len(jobs) < len(queries):
        raise ValueError("a row has no database: see `way`")
    rows = _once(jobs, run)
    figures = []
    for reference, gold, found in zip(references, rows, rows[len(references) :], strict=False):
        if gold is None:
            figures.append(np.nan)
        else:
            figures.append(found is not None and same_result(gold, found, is_ordered(reference.target)))
    return np.array(figures, float)


def _database(reference: Reference, databases: Databases) -> Path | str | None:
    """A file, a script that makes one, or None."""
    database = reference.kept.get("database", "")
    if schema := reference.kept.get("schema"):
        return f"{schema}\n{database}"
    return databases.get(database)


def _once(jobs: Sequence[Job], run: Callable[[list[Job]], Sequence[Outcome]]) -> list[Outcome]:
    """The outcome of each job; equal ones are run once."""
    different = list(dict.fromkeys(jobs))
    if not different:
        return []
    known = dict(zip(different, run(different), strict=True))
    return [known[job] for job in jobs]
