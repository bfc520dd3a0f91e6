"""Results of several seeds, folds or families as one."""

from __future__ import annotations

from collections import Counter
from typing import Any

from metapeft.evaluation.report import summarized


def together(results: list[dict[str, Any]]) -> dict[str, Any]:
    """One result of several: episodes of a task and number of shots side by side, different tasks one after another.

    Args:
        results: what `evaluate` wrote with equal settings, of other seeds or of other tasks; the first says how it was
            made.
    """
    cells: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for result in results:
        for cell in result["cells"]:
            cells.setdefault((cell["task"], cell["shots"]), []).append(cell)
    settings = results[0]["settings"] | {"seed": [result["settings"]["seed"] for result in results]}
    out = {"cells": [_joined(own) for own in cells.values()], "settings": settings}
    left_out = {name: counts for result in results for name, counts in result["rows_left_out"].items()}
    unchecked = sorted({name for result in results for name in result["unchecked"]})
    return summarized(results[0] | out | {"rows_left_out": left_out, "unchecked": unchecked})


def _joined(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Cells of one task and number of shots as one.

    Only the first episodes of a cell have the controls. They come first here too, so that equal places are equal
    episodes in every list.
    """
    out = dict(cells[0])
    controlled = [min(map(len, cell["accuracy"].values())) for cell in cells]
    for part in ("accuracy", "macro_f1"):
        out[part] = {
            name: [value for cell, n in zip(cells, controlled, strict=True) for value in cell[part][name][:n]]
            + [value for cell, n in zip(cells, controlled, strict=True) for value in cell[part][name][n:]]
            for name in cells[0][part]
        }
    for part in ("curves", "support_loss", "query_loss"):
        out[part] = {name: [row for cell in cells for row in cell[part][name]] for name in cells[0][part]}
    out["chosen"] = {
        name: dict(sum((Counter(cell["chosen"][name]) for cell in cells), Counter())) for name in cells[0]["chosen"]
    }
    out |= {key: sum(cell[key] for cell in cells) for key in ("gradient_steps", "seconds")}
    out["similarity"] = sum(cell["similarity"] for cell in cells) / len(cells)
    return out | {"peak_memory_bytes": max(cell["peak_memory_bytes"] for cell in cells)}
