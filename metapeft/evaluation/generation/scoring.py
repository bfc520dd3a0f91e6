"""The figures of outputs: one number an output and metric, and which metric speaks for the task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from metapeft.evaluation.generation.rows import PROGRAMS, SUMMARIES, Reference, Style
from metapeft.evaluation.generation.running import (
    Databases,
    executed,
    missing_interpreter,
    passed,
    way,
    whole_program,
)
from metapeft.evaluation.text.extracts import coverage_and_density, novel_share
from metapeft.evaluation.text.metrics import exact_match, sentence_bleu, sentence_chrf
from metapeft.evaluation.text.rouge import rouge
from metapeft.evaluation.text.syntax import javascript_parses, python_parses, sql_prepares
from metapeft.execution.sandbox import Limits


class Primary(NamedTuple):
    """The metric that speaks for a task."""

    metric: str
    why: str
    """For people, a sentence."""
    instead_of: str | None = None
    """``passed`` or ``executed`` where the rows could be run and are not: say so beside the figure."""


def primary_metric(
    references: Sequence[Reference],
    *,
    style: Style,
    domain: str,
    allow_code_execution: bool = False,
    databases: Databases | None = None,
) -> Primary:
    """``passed`` or ``executed`` where rows can be run and may be, else ``rougeL`` for texts, ``exact`` for programs.

    Args:
        references: rows of the task.
        style: of the task.
        domain: of the task.
        allow_code_execution: whether programs may run.
        databases: for queries whose row keeps the name of a database.
    """
    best = way(references, domain, databases) if style in PROGRAMS else None
    missing = missing_interpreter(domain) if best == "passed" else None
    if best and allow_code_execution and not missing:
        what = "Its rows have tests" if best == "passed" else "Its queries have databases"
        return Primary(best, f"{what}, and execution is allowed.")
    metric = "exact" if style in PROGRAMS else "rougeL"
    if best:
        reason = missing or "execution is not allowed (allow_code_execution=true)"
        return Primary(metric, f"{best} would speak for it, but {reason}: {metric} counts instead.", best)
    if style not in PROGRAMS:
        return Primary(metric, "Its outputs are texts for people.")
    if domain == "sql" and any("database" in row.kept for row in references):
        return Primary(metric, "Its rows name databases that are not at hand.", "executed")
    return Primary(metric, "Its rows have no tests and no database.")


def score(
    references: Sequence[Reference],
    outputs: Sequence[str],
    *,
    style: Style,
    domain: str,
    allow_code_execution: bool = False,
    databases: Databases | None = None,
    bleu: bool = False,
    limits: Limits | None = None,
    workers: int | None = None,
) -> dict[str, np.ndarray]:
    """Every figure of every output.

    ``rouge1``, ``rouge2``, ``rougeL``: F1, with stems. ``exact``: the same as the target but for what never matters in
    a text, a program or a query. ``bleu``, ``chrf``: of a sentence, on request since `sacrebleu` is an extra.

    Summaries have ``coverage`` (share of words in runs copied from the document) and ``novelty`` (share of bigrams that
    the document has not), both NaN for an output too short to have one. Programs in Python, JavaScript (with node) and
    SQL have ``syntax``, of the program that would run. Where rows can be run and may be there is ``passed`` or
    ``executed`` (NaN where the target's own query fails); see `running`.

    Args:
        references: rows of one task, ``(n,)``.
        outputs: trimmed (see `stop.trim`), ``(n,)``.
        style: of the task.
        domain: of the task.
        allow_code_execution: run programs and queries, in the sandbox.
        databases: SQLite files by name, for queries whose row keeps the name of a database.
        bleu: whether to compute ``bleu`` and ``chrf``.
        limits: of programs with tests; the sandbox's own where None.
        workers: threads that run programs, by default one a core.

    Returns:
        float64 ``(n,)`` each, from 0 to 1.

    Raises:
        MetapeftError: `bleu` is asked for without sacrebleu.
        ExecutionError: no program could be started.
        ValueError: the lengths differ.
    """
    if len(references) != len(outputs):
        raise ValueError(f"one output a reference: got {len(outputs)} and {len(references)}")
    pairs = list(zip(references, outputs, strict=True))
    near = [rouge(row.target, output) for row, output in pairs]
    figures = {name: [each[name].f1 for each in near] for name in ("rouge1", "rouge2", "rougeL")}
    kind = _kind(style)
    figures["exact"] = [float(exact_match(row.target, output, kind)) for row, output in pairs]
    if bleu:
        figures["bleu"] = [sentence_bleu(row.target, output) for row, output in pairs]
        figures["chrf"] = [sentence_chrf(row.target, output) for row, output in pairs]
    if style in SUMMARIES:
        figures["coverage"] = [coverage_and_density(row.text, output)[0] for row, output in pairs]
        figures["novelty"] = [novel_share(row.text, output, 2) for row, output in pairs]
    if style in PROGRAMS and (parsed := _syntax(pairs, domain)) is not None:
        figures["syntax"] = [float(each) for each in parsed]
    found = {name: np.array(values, float) for name, values in figures.items()}
    primary = primary_metric(
        references, style=style, domain=domain, allow_code_execution=allow_code_execution, databases=databases
    )
    if primary.metric == "passed":
        found["passed"] = passed(
            references,
            outputs,
            domain,
            allow_code_execution=allow_code_execution,
            limits=limits,
            workers=workers,
        )
    elif primary.metric == "executed":
        found["executed"] = executed(
            references, outputs, databases=databases, allow_code_execution=allow_code_execution, workers=workers
        )
    return found


def _kind(style: Style) -> Literal["text", "code", "sql"]:
    if style == "query":
        return "sql"
    return "code" if style in PROGRAMS else "text"


def _syntax(pairs: Sequence[tuple[Reference, str]], domain: str) -> list[bool] | None:
    """Whether each output is well formed, None where nothing here can tell. An empty one is not."""
    if domain == "sql":
        return [bool(output.strip()) and sql_prepares(output) for _, output in pairs]
    if domain not in ("python", "javascript") or missing_interpreter(domain):
        return None
    programs = [whole_program(row, output, domain) for row, output in pairs]
    parsed = javascript_parses(programs) if domain == "javascript" else [python_parses(code) for code in programs]
    return [bool(output.strip()) and good for (_, output), good in zip(pairs, parsed, strict=True)]
