"""The report's figures: which numbers go into which panel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metapeft.evaluation import plots, tables
from metapeft.evaluation.page import element, row, table
from metapeft.evaluation.plots import Point
from metapeft.evaluation.tables import NAMES, Cell

SHOWN = ("frozen", "static", "hypernetwork", "random", "auto", f"auto{NAMES}")  # more lines hide one another


def panels(cells: Sequence[Cell], mix: float, comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    """The figures as HTML, one heading each.

    Args:
        cells: see `tables`.
        mix: of training.
        comparisons: paired differences over all cells, see `tables.paired`.

    Raises:
        MetapeftError: matplotlib is not installed.
    """
    return [
        *by_shots(cells, mix),
        *by_steps(cells, mix),
        *doing_anything(cells, mix, comparisons),
        *where_chosen(cells),
    ]


def by_shots(cells: Sequence[Cell], mix: float) -> list[str]:
    """Accuracy over shots, a panel a family."""
    shots = sorted({cell["shots"] for cell in cells})
    drawn: dict[str, dict[str, dict[int, Point]]] = {}
    for family, own in tables.by_family(cells).items():
        for name in SHOWN:
            for count in shots:
                samples = [
                    np.array(c["accuracy"][full])
                    for c in own
                    if c["shots"] == count and (full := _full(name, mix)) in c["accuracy"]
                ]
                if samples:
                    drawn.setdefault(family, {}).setdefault(name, {})[count] = _percent(samples)
    said = "Mean over a family's tasks, with 95 % intervals. Each panel has its own scale."
    metric = tables.metric_of(cells)
    counted = {tables.ACCURACY: "examples a class", tables.F1: "mentions a type, or sentences"}
    xlabel = counted.get(metric, "examples")
    return [f"<h2>{tables.capital(metric)} by shots</h2>", element("p", said), *_lines(drawn, xlabel, shots, metric)]


def by_steps(cells: Sequence[Cell], mix: float) -> list[str]:
    """Accuracy over gradient steps, a panel a family, and how early it comes; nothing where no curve was measured."""
    drawn: dict[str, dict[str, dict[int, Point]]] = {}
    steps = sorted({step for cell in cells if cell["curves"] for step in cell["curve_steps"]})
    for family, own in tables.by_family(cells).items():
        for name in SHOWN:
            full = _full(name, mix)
            curves = [(c["curve_steps"], np.array(c["curves"][full])) for c in own if full in c["curves"]]
            points = {
                step: _percent(samples)
                for step in steps
                if (samples := [curve[:, list(at).index(step)] for at, curve in curves if step in at])
            }
            if points:
                drawn.setdefault(family, {})[name] = points
    if not drawn:
        return []
    said = "Mean over a family's tasks and shots, with 95 % intervals. Each panel has its own scale."
    kinds, metric = ["", *["figures"] * (len(tables.ADAPTATION) - 2)], tables.curve_metric(cells)
    lines = [row([tables.short(text, mix) for text in line], kinds) for line in tables.adaptation(cells)]
    return [
        f"<h2>{tables.capital(metric)} by gradient steps</h2>",
        element("p", said),
        *_lines(drawn, "gradient steps", steps, metric),
        "<h2>Adaptation</h2>",
        element("p", tables.ADAPTATION_ABOUT),
        table(tables.ADAPTATION, lines, kinds, label="Adaptation"),
    ]


def doing_anything(cells: Sequence[Cell], mix: float, comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    """The hypernetwork against its own base and against itself with a stranger's embedding, by family."""
    static, own, swapped = tables.starts_of(cells, mix)
    parts = []
    for rival, about in ((static, "against its own base (static)"), (swapped, "against a shuffled embedding")):
        found = {family: tables.paired(part, own, rival) for family, part in _scopes(cells).items()}
        drawn = [(family, _points(pair)) for family, pair in found.items() if pair is not None]
        if drawn:
            parts.append(plots.differences(f"Hypernetwork {about}", drawn))
    if not parts:
        return []
    said = (
        "Paired differences on the same episodes, with 95 % intervals; a hollow mark has zero in its interval. Above "
        "static: the generated term helps. Above shuffled: it helps because of the task, not only as more weights."
    )
    pairs = [p for p in comparisons if p["first"].startswith("hypernetwork")]
    kinds = ["figures"] * 3
    lines = []
    for pair in pairs:
        name = tables.short(f"{pair['first']} against {pair['second']}", mix)
        lines.append(row([name, tables.points(pair["difference"]), _interval(pair), f"{pair['p']:.4f}"], kinds))
    return [
        "<h2>Is the hypernetwork doing anything?</h2>",
        element("p", said),
        f'<div class="panels">{"".join(parts)}</div>',
        table(["families alike", "points", "95 % interval", "p"], lines, kinds, label="Paired differences"),
    ]


def where_chosen(cells: Sequence[Cell]) -> list[str]:
    """What auto chose by family, all mixes of a start together."""
    figures = []
    for name in ("auto", f"auto{NAMES}"):
        bars: dict[str, dict[str, float]] = {}
        for family, own in _scopes(cells).items():
            starts: dict[str, float] = {}
            for chosen, share in tables.shares(own, name).items():
                start = chosen.removesuffix(NAMES).partition(",")[0] + NAMES * chosen.endswith(NAMES)
                starts[start] = starts.get(start, 0.0) + share
            if starts:
                bars[family] = starts
        order = [start + names for names in ("", NAMES) for start in ("frozen", "static", "hypernetwork")]
        if bars:
            found = list(dict.fromkeys(start for starts in bars.values() for start in starts))
            present = sorted(found, key=lambda start: order.index(start) if start in order else len(order))
            bars = {family: {start: starts.get(start, 0.0) for start in present} for family, starts in bars.items()}
            figures.append(plots.stacked(f"Chosen by {name}", bars))
    if not figures:
        return []
    said = "Share of episodes in which auto chose each start; all mixes and numbers of steps of a start together."
    return [
        "<h2>What auto chose</h2>",
        element("p", said),
        f'<div class="panels">{"".join(figures)}</div>',
    ]


def every_task(cells: Sequence[Cell], rows: Sequence[Mapping[str, Any]], mix: float) -> list[str]:
    """The frozen prototype, a random start, auto and the best method on every task, a panel a number of shots."""
    no_methods = ("shuffled", *tables.SEES_TARGETS)
    columns = [name for name in tables.columns(cells, mix) if not name.startswith(no_methods)]
    known = {(row["task"], row["shots"], row["method"]): row for row in rows if row["method"] in columns}
    names = {name: name for name in ("frozen", "random", "auto") if name in columns} | {
        plots.BEST: "best of all methods"
    }
    drawn: dict[int, list[plots.Dot]] = {}
    for family in tables.by_family(cells).values():
        for cell in family:
            own = {name: row for name in columns if (row := known.get((cell["task"], cell["shots"], name)))}
            best = max(own, key=lambda name: own[name]["mean"])
            shown = {name: own[best if name == plots.BEST else name] for name in names if name in (*own, plots.BEST)}
            points = {name: Point(*(100 * value for value in (r["mean"], *r["ci95"]))) for name, r in shown.items()}
            dot = plots.Dot(
                cell["task"],
                cell["family"],
                cell["shots"],
                100 / cell["ways"] if tables.metric_of([cell]) == tables.ACCURACY else 0.0,
                points,
                tables.short(best, mix),
            )
            drawn.setdefault(cell["shots"], []).append(dot)
    figures = [
        plots.dots(f"Every task, {shots} {'shot' if shots == 1 else 'shots'}", own)
        for shots, own in sorted(drawn.items())
    ]
    said = (
        "One line a task; at the right the method with the highest mean. It was picked by looking at these episodes, "
        "so it flatters: what can be had without looking is auto. Random and baselines have fewer episodes."
    )
    return [
        "<h2>Every task</h2>",
        element("p", said),
        plots.dot_legend("Marks of every task", names),
        f'<div class="panels">{"".join(figures)}</div>',
    ]


def embeddings(found: Mapping[str, Any] | None, transfer: Mapping[str, Any] | None) -> list[str]:
    """The task embedding in two dimensions, and how well families lie together; nothing without an embedder.

    Args:
        found: see `task_map`.
        transfer: see `tables.similarity_and_gain`.
    """
    if found is None:
        return []
    parts = ["<h2>Task embeddings</h2>"]
    marks = [plots.Mark(each["family"], each["part"], each["place"]) for each in found["tasks"] if each["place"]]
    if marks:
        said = (
            f"Each mark is a task, the mean of its episodes (t-SNE, perplexity {found['perplexity']:.3g}; distances "
            "have no unit). The embedder was fitted on training tasks and was told no family."
        )
        parts += [element("p", said), plots.places("Task embeddings by family", marks)]
    else:
        parts.append(
            element("p", 'There is no map: it needs four tasks and scikit-learn (pip install "metapeft[eval]").')
        )
    kinds = ["figures"] * (len(tables.CLUSTERING) - 1)
    about = (
        "Purity: share of episodes whose nearest neighbour among other tasks is of their family. Silhouette: how much "
        "nearer the own family is than the nearest other one, −1 to 1. Shuffled: the mean where families are dealt out "
        "anew among the tasks; p: share of these that do as well."
    )
    lines = [row(line, kinds) for line in tables.clustering(found)]
    if lines:
        parts += [element("p", about), table(tables.CLUSTERING, lines, kinds, label="Do families lie together?")]
    else:
        parts.append(element("p", "Whether families lie together cannot be said: no two tasks of one family."))
    near = [
        row(
            [each["task"], each["part"], each["nearest"]["task"], f"{each['nearest']['cosine']:.2f}"],
            ["", "", "figures"],
        )
        for each in found["tasks"]
        if each["nearest"]
    ]
    head = ["task", "part", "nearest training task", "cosine"]
    if transfer:
        parts.append(element("p", tables.transfer_said(transfer)))
    return [*parts, table(head, near, ["", "", "figures"], label="Nearest training tasks")]


def _lines(
    drawn: Mapping[str, Mapping[str, Mapping[int, Point]]], xlabel: str, ticks: Sequence[int], ylabel: str
) -> list[str]:
    methods = [name for name in SHOWN if any(name in family for family in drawn.values())]
    figures = [plots.lines(family, xlabel, ticks, series, _limits(series), ylabel) for family, series in drawn.items()]
    return [plots.legend(f"Lines of {ylabel} by {xlabel}", methods), f'<div class="panels">{"".join(figures)}</div>']


def _limits(series: Mapping[str, Mapping[int, Point]]) -> tuple[float, float]:
    """Of a vertical axis, in fives: every interval is inside, a little off the edge."""
    ends = [point for points in series.values() for point in points.values()]
    low, high = min(point.low for point in ends), max(point.high for point in ends)
    return max(5 * math.floor((low - 1) / 5), -1), min(5 * math.ceil((high + 1) / 5), 101)


def _scopes(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    families = tables.by_family(cells)
    return families if len(families) == 1 else {"all families": list(cells)} | families


def _full(name: str, mix: float) -> str:
    """The name that cells have for a method as the panels call it."""
    start = name.removesuffix(NAMES)
    return name.replace(start, f"{start}, mix {mix:g}") if start in tables.STARTS else name


def _percent(samples: Sequence[np.ndarray]) -> Point:
    return Point(*(100 * value for value in tables.mean_of(samples)))


def _points(pair: Mapping[str, Any]) -> Point:
    return Point(*(100 * value for value in (pair["difference"], *pair["ci95"])))


def _interval(pair: Mapping[str, Any]) -> str:
    return "[" + ", ".join(tables.points(end) for end in pair["ci95"]) + "]"
