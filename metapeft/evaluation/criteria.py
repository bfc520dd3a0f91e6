"""What the project set out to reach, and whether these cells reach it (cells: see `tables`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metapeft.evaluation.tables import (
    ACCURACY,
    NAMES,
    Cell,
    by_family,
    mean_of,
    metric_of,
    paired,
    percent,
    points,
    starts_of,
)

Line = dict[str, Any]
MET, MISSED, UNMEASURED = "met", "missed", "not measured"
ALL = "all"  # the scope of a line over every family
ABOVE_RANDOM, ENOUGH, ENOUGH_SHOTS = 0.20, 0.80, 10

TITLES = {
    "above_random": "Above a random start by more than 20 points, within 10 gradient steps",
    "enough": "More than 80 % accuracy with 10 examples a class",
    "never_below": "auto is never below the frozen prototype: no task has a 95 % interval wholly below 0",
    "hypernetwork": "The hypernetwork does something: above its rival, with a 95 % interval wholly above 0",
}


def criteria(cells: Sequence[Cell], mix: float, seed: int = 0) -> list[Line]:
    """Each success criterion for all families and for each: value, target, verdict.

    Args:
        cells: what was measured.
        mix: of training.
        seed: of the resamples and the flips.

    Returns:
        Lines with ``criterion`` (a key of `TITLES`), ``scope`` (a family, or `ALL`, which comes first), ``method``,
        ``value``, ``ci95``, ``p``, ``target``, ``verdict`` (met, missed, not measured) and ``note``. Figures are
        accuracies or their differences, 0 to 1; None where there is none.
    """
    static, own, swapped = starts_of(cells, mix)
    out = []
    for method in dict.fromkeys((_better(cells, static, own), "auto")):
        out += _scopes(cells, lambda part, method=method: _above_random(part, method, seed))
    for method in ("auto", f"auto{NAMES}"):
        out += _enough(cells, method, seed)
    for names in ("", NAMES):
        out += _scopes(cells, lambda part, names=names: _never_below(part, f"auto{names}", f"frozen{names}", seed))
    for rival in (static, swapped):
        out += _scopes(cells, lambda part, rival=rival: _does_something(part, own, rival, seed))
    return out


def _scopes(cells: Sequence[Cell], line: Callable[[list[Cell]], Line]) -> list[Line]:
    parts = {ALL: list(cells)} | by_family(cells)
    return [{"scope": scope} | line(part) for scope, part in parts.items()]


def _line(criterion: str, method: str, target: float, verdict: str = UNMEASURED, **figures: Any) -> Line:
    line = {"criterion": criterion, "method": method, "value": None, "ci95": None, "p": None, "target": target}
    return line | {"verdict": verdict, "note": ""} | figures


def _better(cells: Sequence[Cell], static: str, own: str) -> str:
    """The learned start with the higher mean over all cells; named once for all families, so not picked for each."""
    found = {name: [np.mean(c["accuracy"][name]) for c in cells if name in c["accuracy"]] for name in (static, own)}
    return max(found, key=lambda name: np.mean(found[name]) if found[name] else -1.0)


def _above_random(cells: Sequence[Cell], method: str, seed: int) -> Line:
    found = paired(cells, method, "random", seed)
    if found is None:
        return _line("above_random", method, ABOVE_RANDOM)
    value = found["difference"]
    verdict = MET if value > ABOVE_RANDOM else MISSED
    note = "" if verdict == MET else f"{_amount(ABOVE_RANDOM - value)} points short"
    return _line(
        "above_random", method, ABOVE_RANDOM, verdict, value=value, ci95=found["ci95"], p=found["p"], note=note
    )


def _enough(cells: Sequence[Cell], method: str, seed: int) -> list[Line]:
    """All families together have reached it when each has."""
    own = [c for c in cells if c["shots"] == ENOUGH_SHOTS and method in c["accuracy"] and metric_of([c]) == ACCURACY]
    families = by_family(own)
    lines: list[Line] = []
    for family in by_family(cells):
        if family not in families:
            lines.append({"scope": family} | _line("enough", method, ENOUGH))
            continue
        value, low, high = mean_of([np.array(c["accuracy"][method]) for c in families[family]], seed)
        means = {c["task"]: float(np.mean(c["accuracy"][method])) for c in families[family]}
        short = {task: ENOUGH - mean for task, mean in means.items() if mean <= ENOUGH}
        figures = {"value": value, "ci95": [low, high], "note": _shortfall("below it", short)}
        lines.append({"scope": family} | _line("enough", method, ENOUGH, MET if value > ENOUGH else MISSED, **figures))
    measured = [line for line in lines if line["value"] is not None]
    if not measured:
        return [{"scope": ALL} | _line("enough", method, ENOUGH), *lines]
    value, low, high = mean_of([np.array(c["accuracy"][method]) for c in own], seed)
    short = {line["scope"]: ENOUGH - line["value"] for line in measured if line["verdict"] == MISSED}
    note = _shortfall("families that miss it", short)
    unmeasured = [line["scope"] for line in lines if line["value"] is None]
    if unmeasured:
        note += f"{'; ' if note else ''}not measured: {', '.join(unmeasured)}"
    verdict = MISSED if short else UNMEASURED if unmeasured else MET
    whole = _line("enough", method, ENOUGH, verdict, value=value, ci95=[low, high], note=note)
    return [{"scope": ALL} | whole, *lines]


def _never_below(cells: Sequence[Cell], method: str, frozen: str, seed: int) -> Line:
    """The value is that of the worst task."""
    found = [(cell, pair) for cell in cells if (pair := paired([cell], method, frozen, seed)) is not None]
    if not found:
        return _line("never_below", method, 0.0)
    cell, worst = min(found, key=lambda each: each[1]["difference"])
    below = [c for c, pair in found if pair["ci95"][1] < 0]
    note = f"worst: {cell['task']} at {cell['shots']}-shot; {len(below)} of {len(found)} below"
    if len(found) >= 20:  # fewer, and one below is already more than chance explains
        note += f" ({0.025 * len(found):.1f} by chance, were both alike)"
    figures = {"value": worst["difference"], "ci95": worst["ci95"], "p": worst["p"], "note": note}
    return _line("never_below", f"{method} against {frozen}", 0.0, MISSED if below else MET, **figures)


def _does_something(cells: Sequence[Cell], own: str, rival: str, seed: int) -> Line:
    found = paired(cells, own, rival, seed)
    method = f"{own} against {rival}"
    if found is None:
        return _line("hypernetwork", method, 0.0)
    verdict = MET if found["ci95"][0] > 0 else MISSED
    return _line("hypernetwork", method, 0.0, verdict, value=found["difference"], ci95=found["ci95"], p=found["p"])


def _shortfall(what: str, short: dict[str, float]) -> str:
    """Names with how many points each lacks, the largest lack first."""
    ordered = sorted(short.items(), key=lambda each: -each[1])
    return f"{what}: " + ", ".join(f"{name} (by {_amount(lack)})" for name, lack in ordered) if short else ""


def _amount(value: float) -> str:
    return f"{100 * value:.1f}"


def figure(line: Line) -> str:
    """The value of a line with its interval, as people read it."""
    if line["value"] is None:
        return "–"
    said = percent if line["criterion"] == "enough" else points
    low, high = (said(end) for end in line["ci95"])
    return f"{said(line['value'])}{' %' if line['criterion'] == 'enough' else ''} [{low}, {high}]"


def target(line: Line) -> str:
    """The target of a line, as people read it."""
    known = {"above_random": "> +20 points", "enough": "> 80 %", "never_below": "none below", "hypernetwork": "> 0"}
    return known[line["criterion"]]
