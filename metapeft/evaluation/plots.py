"""Figures of the report as SVG text, readable in black and white; equal input gives equal bytes.

matplotlib is in the extra `plots` and is imported when a figure is drawn. No figure needs colour: lines differ by
marker and dashes, bars by hatching. Text stays text, so that a browser can find it, in a font of the reader's.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metapeft.errors import MetapeftError
from metapeft.evaluation.tables import NAMES

INK, FAINT = "#222222", "#bbbbbb"


class Point(NamedTuple):
    """A mean with its interval, in %."""

    mean: float
    low: float
    high: float


# Colours of Okabe & Ito (2008), which colour-blind people tell apart, darkened until thin lines are clear on white.
STYLES = {  # colour, marker, dashes
    "frozen": ("#000000", "s", "solid"),
    "static": ("#0065a3", "^", (0, (5, 2))),
    "hypernetwork": ("#a34700", "D", (0, (1, 1.2))),
    "shuffled": ("#8a4f76", "v", (0, (3, 1, 1, 1))),
    "random": ("#777777", "x", (0, (1, 3))),
    "auto": ("#00674a", "o", "solid"),
}
BEST = "best"
CHANCE = {"color": INK, "marker": "|", "linestyle": "", "markersize": 6, "markeredgewidth": 0.8}
LARGE = 30  # a family of more tasks is one line of a dot plot: more than a page holds
# Seven colours and twelve markers have no common divisor: 84 families differ.
COLOURS = ("#0065a3", "#a34700", "#00674a", "#8a4f76", "#000000", "#8c6d00", "#3f8fb8")
MARKERS = "osD^vP*Xph<>"
FILLINGS: dict[str, dict[str, Any]] = {
    "training": {"fillstyle": "none", "markersize": 5.5},
    "validation": {"fillstyle": "left", "markersize": 7.5, "markerfacecoloralt": "white"},
    "test": {"fillstyle": "full", "markersize": 7.5},
}
HATCHES = {"frozen": "", "static": "///", "hypernetwork": "..."}  # and upright lines with names
FILLS = {"frozen": "#ffffff", "static": "#a6cbe3", "hypernetwork": "#efc9a8"}


def style_of(method: str) -> dict[str, Any]:
    """How a method's line is drawn: as its start, with a hollow marker where names of classes are examples."""
    start = method.removesuffix(NAMES)
    colour, marker, dashes = STYLES[start]
    named = {} if start == method else {"markerfacecolor": "white", "linestyle": (0, (8, 1.5, 1, 1.5))}
    return {"color": colour, "marker": marker, "linestyle": dashes, "linewidth": 1.3, "markersize": 4.5} | named


def look_of(number: int) -> dict[str, Any]:
    """Colour and marker of a family by its number."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "linestyle": ""}


def lines(
    title: str,
    xlabel: str,
    ticks: Sequence[int],
    series: Mapping[str, Mapping[int, Point]],
    limits: tuple[float, float],
    ylabel: str,
) -> str:
    """Means with intervals over shots or steps; one line a method.

    Args:
        title: what the panel is of.
        xlabel: of the horizontal axis.
        ticks: its values, drawn at equal distances.
        series: method to value to mean and interval; a method may lack values.
        limits: of the vertical axis, %.
        ylabel: of the vertical axis, without the unit.
    """

    def draw(axes: Any) -> None:
        for place, (method, points) in enumerate(series.items()):
            # a small shift each, or intervals hide one another
            at = [ticks.index(value) + 0.04 * (place - (len(series) - 1) / 2) for value in points]
            mean = [point.mean for point in points.values()]
            reach = np.array([_reach(point) for point in points.values()]).T
            axes.errorbar(at, mean, reach, elinewidth=0.9, capsize=2, **style_of(method))
        axes.set_xticks(range(len(ticks)), [str(value) for value in ticks])
        axes.set_xlim(-0.4, len(ticks) - 0.6)
        axes.set_ylim(*limits)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(f"{ylabel}, %")
        axes.set_title(title)
        axes.grid(axis="y", color=FAINT, linewidth=0.5)

    return _svg(3.6, 3.3, f"{title}: {ylabel} by {xlabel}", draw)


def legend(title: str, methods: Sequence[str]) -> str:
    """The lines of all panels, once."""

    def draw(axes: Any) -> None:
        axes.set_axis_off()
        handles = [axes.plot([], [], **style_of(method))[0] for method in methods]
        axes.legend(handles, methods, loc="center", ncols=2, frameon=False, handlelength=4, borderpad=0)

    return _svg(3.6, 0.1 + 0.22 * -(-len(methods) // 2), title, draw)


def differences(title: str, rows: Sequence[tuple[str, Point]]) -> str:
    """Differences in points with their intervals, one above the other, and a line at zero."""

    def draw(axes: Any) -> None:
        for place, (_, point) in enumerate(rows):
            # an interval that holds zero has a hollow mark: the answer can be read without the numbers
            clear = point.low > 0 or point.high < 0
            axes.errorbar(
                [point.mean],
                [place],
                xerr=np.array([_reach(point)]).T,
                color=INK,
                marker="o",
                markerfacecolor=INK if clear else "white",
                markersize=5,
                capsize=3,
                linewidth=1.2,
            )
        axes.axvline(0, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel("points")
        axes.set_title(title)
        axes.grid(axis="x", color=FAINT, linewidth=0.5)

    return _svg(4.6, 0.75 + 0.28 * len(rows), title, draw)


def stacked(title: str, bars: Mapping[str, Mapping[str, float]]) -> str:
    """Bars of shares that sum to 1, one a family; `bars` is family to part to share."""
    parts = list(dict.fromkeys(part for shares in bars.values() for part in shares))

    def draw(axes: Any) -> None:
        left, drawn = [0.0] * len(bars), []
        for part in parts:
            widths = [100 * shares.get(part, 0.0) for shares in bars.values()]
            start, names = part.removesuffix(NAMES), part.endswith(NAMES)
            drawn.append(
                axes.barh(
                    range(len(bars)),
                    widths,
                    left=left,
                    height=0.65,
                    facecolor=FILLS.get(start, "#dddddd"),
                    edgecolor=INK,
                    linewidth=0.7,
                    hatch=HATCHES.get(start, "xx") + ("|||" if names else ""),
                )
            )
            left = [a + b for a, b in zip(left, widths, strict=True)]
        axes.set_yticks(range(len(bars)), list(bars))
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of episodes")
        axes.set_title(title)
        place = {"loc": "outside lower center", "ncols": 2, "frameon": False}
        axes.figure.legend(drawn, parts, **place, handlelength=2.5, handleheight=1.4, borderpad=0)

    return _svg(4.6, 0.85 + 0.32 * len(bars) + 0.22 * -(-len(parts) // 2), title, draw)


class Mark(NamedTuple):
    """A task on a map."""

    family: str
    part: str
    place: Sequence[float]


def places(title: str, marks: Sequence[Mark]) -> str:
    """A map: a marker and a colour a family, a filling a part."""
    families = list(dict.fromkeys(mark.family for mark in marks))
    parts = [part for part in FILLINGS if any(mark.part == part for mark in marks)]

    def draw(axes: Any) -> None:
        for mark in marks:
            axes.plot(*mark.place, **look_of(families.index(mark.family)), **FILLINGS[mark.part])
        axes.set_xticks([])
        axes.set_yticks([])
        axes.margins(0.06)
        axes.spines[:].set(visible=True, color=FAINT)
        axes.set_title(title)
        kinds = [axes.plot([], [], **look_of(number), markersize=7)[0] for number in range(len(families))]
        grey = {"color": INK, "marker": "o", "linestyle": ""}
        kinds += [axes.plot([], [], **grey, **FILLINGS[part])[0] for part in parts]
        place = {"loc": "outside lower center", "ncols": 3, "frameon": False}
        axes.figure.legend(kinds, [*families, *(f"{part} task" for part in parts)], **place, borderpad=0)

    return _svg(4.6, 4.3 + 0.2 * -(-(len(families) + len(parts)) // 3), title, draw)


class Dot(NamedTuple):
    """Accuracies of one task at one number of shots, in %; `best` is said beside it."""

    task: str
    family: str
    shots: int
    chance: float
    points: Mapping[str, Point]
    best: str = ""


class Line(NamedTuple):
    """A line of a dot plot: tasks that it shows, none for the heading of a family."""

    label: str
    tasks: tuple[str, ...]


def task_lines(dots: Sequence[Dot]) -> list[Line]:
    """A line a task under a heading a family; a family of more than `LARGE` tasks is one line of means."""
    lines = []
    for family in dict.fromkeys(dot.family for dot in dots):
        tasks = tuple(dict.fromkeys(dot.task for dot in dots if dot.family == family))
        lines.append(Line(family, ()))
        lines += [Line(f"mean of {len(tasks)} tasks", tasks)] if len(tasks) > LARGE else [Line(t, (t,)) for t in tasks]
    return lines


def by_task(axes: Any, lines: Sequence[Line], dots: Sequence[Dot]) -> None:
    """Draw the lines at one number of shots: means with intervals, chance, and the name of the best at the right."""
    best = {}
    for height, line in enumerate(lines):
        mine = [dot for dot in dots if dot.task in line.tasks]
        if mine:
            _dot_line(axes, height, mine)
            best[height] = mine[0].best if len(mine) == 1 else ""
        elif not line.tasks and height:
            axes.axhline(height - 0.5, color=FAINT, linewidth=0.6)
    axes.set_xlim(0, 100)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlabel("%, with 95 % interval")
    axes.grid(axis="x", color=FAINT, linewidth=0.4)
    axes.tick_params(axis="y", length=0)
    axes.set_yticks(range(len(lines)), [line.label for line in lines])
    for label, line in zip(axes.get_yticklabels(), lines, strict=False):  # none where another plot has them
        label.set_fontweight("normal" if line.tasks else "bold")
    if any(best.values()):
        right = axes.secondary_yaxis("right")
        right.set_yticks(list(best), list(best.values()), fontsize=7.5)
        right.tick_params(length=0)
        right.spines["right"].set_visible(False)


def dots(title: str, drawn: Sequence[Dot]) -> str:
    """A dot plot of tasks at one number of shots."""
    lines = task_lines(drawn)

    def draw(axes: Any) -> None:
        by_task(axes, lines, drawn)
        axes.set_title(title)

    return _svg(4.6, 0.8 + 0.185 * len(lines), title, draw)


def dot_style(method: str) -> dict[str, Any]:
    """The marker and colour of a method in a dot plot; ``frozen`` is hollow, so that both show where marks meet."""
    if method == BEST:
        return {"color": INK, "marker": "|", "markersize": 9, "markeredgewidth": 2, "linestyle": ""}
    filling = {"markerfacecolor": "none"} if method == "frozen" else {}
    return style_of(method) | {"linestyle": "", "markersize": 5} | filling


def dot_legend(title: str, names: Mapping[str, str]) -> str:
    """The marks of all dot plots, once; `names` is method to what it is called."""

    def draw(axes: Any) -> None:
        axes.set_axis_off()
        axes.legend(*dot_keys(axes, names), loc="center", ncols=2, frameon=False, borderpad=0)

    return _svg(3.6, 0.1 + 0.22 * -(-(len(names) + 1) // 2), title, draw)


def dot_keys(axes: Any, names: Mapping[str, str]) -> tuple[list[Any], list[str]]:
    """Handles and names of a legend."""
    keys = [axes.plot([], [], **dot_style(method))[0] for method in names]
    return [*keys, axes.plot([], [], **CHANCE)[0]], [*names.values(), "chance"]


def _dot_line(axes: Any, height: int, mine: Sequence[Dot]) -> None:
    """One task's means with intervals; or the tasks of a family as small dots, and their mean."""
    methods = list(mine[0].points)
    for number, method in enumerate(methods):
        points = [dot.points[method] for dot in mine if method in dot.points]
        mean = float(np.mean([point.mean for point in points]))
        if len(mine) == 1:
            reach = np.array([_reach(points[0])]).T
            axes.errorbar([mean], [height], xerr=reach, elinewidth=0.9, **dot_style(method))
        else:
            level = height + 0.44 * (number / max(1, len(methods) - 1) - 0.5)
            axes.plot([p.mean for p in points], [level] * len(points), ".", color=FAINT, markersize=3, zorder=1)
            axes.plot([mean], [level], **dot_style(method))
    for chance in {dot.chance for dot in mine}:
        axes.plot([chance], [height], **CHANCE)


def _reach(point: Point) -> tuple[float, float]:
    """How far an interval goes below and above; rounding may put an end a hair on the wrong side of the mean."""
    return max(point.mean - point.low, 0.0), max(point.high - point.mean, 0.0)


def matplotlib() -> tuple[Any, Any, Any]:
    """Its module `style` and the classes `FigureCanvasSVG` and `Figure`.

    Raises:
        MetapeftError: it is not installed.
    """
    try:
        from matplotlib import style
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        raise MetapeftError(
            "report.html needs matplotlib, which is in the extra `plots`\n"
            '  pip install "metapeft[plots]", or html=false for report.md alone'
        ) from None
    return style, FigureCanvasSVG, Figure


def _svg(width: float, height: float, title: str, draw: Callable[[Any], None]) -> str:
    """Draw on axes of so many inches and give the figure as SVG.

    The title is read to those who cannot see the figure. No two figures of a page may have one: ids are made of it.

    Raises:
        MetapeftError: matplotlib is not installed.
    """
    style, FigureCanvasSVG, Figure = matplotlib()
    settings: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": title,
        "text.parse_math": False,  # a dollar in a name is a dollar
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "hatch.linewidth": 0.6,
    }
    with style.context(["default", settings]):  # not the reader's matplotlibrc
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        out = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=nothing, transparent=True)
    return _inline(out.getvalue(), title, width)


def _inline(svg: str, title: str, width: float) -> str:
    """Make a document's figure one of a page: it shrinks with the page, and its ids meet no other figure's."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if f"#{found[1]}" in svg else "", svg)
    own = hashlib.sha256(title.encode()).hexdigest()[:8]
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{own}-", svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None
    label = html.escape(title)
    head = f'<svg {box[0]} role="img" aria-label="{label}" style="width:{width:g}in" '
    head += 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return head + svg[svg.index(">") + 1 :].strip()
