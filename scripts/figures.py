"""Figures of the seed's experiments, as SVG and PNG; equal input gives equal bytes on one machine.

matplotlib is in the extra `plots`, scikit-learn in `eval`; both are imported when a figure is drawn. No figure needs
colour: families differ by marker, methods by marker and filling.
"""

from __future__ import annotations

import importlib.util
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metapeft import atomic
from metapeft.errors import MetapeftError
from metapeft.evaluation.plots import FAINT, INK, style_of

EXTRAS = {"matplotlib": "plots", "sklearn": "eval"}
# Okabe & Ito (2008), darkened. Seven colours and twelve markers have no common divisor: 84 families differ.
COLOURS = ("#0065a3", "#a34700", "#00674a", "#8a4f76", "#000000", "#8c6d00", "#3f8fb8")
MARKERS = "osD^vP*Xph<>"
LARGE = 30  # a family of more tasks is one line of the dot plot: more than a page holds
SYNTHETIC = "SYNTHETIC, no real data: "


class Panel(NamedTuple):
    """Embeddings of one half of the tasks.

    Attributes:
        title: what is said above it.
        points: embeddings of `m` episodes, ``(m, dims)``.
        families: of each.
    """

    title: str
    points: np.ndarray
    families: Sequence[str]


class Dot(NamedTuple):
    """Accuracies of one task at one number of shots, in %; a mean with its interval, (mean, low, high)."""

    task: str
    family: str
    shots: int
    chance: float
    frozen: tuple[float, float, float]
    random: tuple[float, float, float]


def check_libraries(*modules: str) -> None:
    """Refuse to begin a long measurement whose figure could not be drawn in the end.

    Raises:
        MetapeftError: a module is not installed; names the extra.
    """
    missing = sorted({EXTRAS[name] for name in modules if importlib.util.find_spec(name) is None})
    if missing:
        extras = " and ".join(f"`{extra}`" for extra in missing)
        raise MetapeftError(
            f"the figure needs {' and '.join(modules)}; what is missing is in the extra {extras}\n"
            f'  pip install "metapeft[{",".join(missing)}]", or figure=false'
        )


# --- task embeddings


def flat(points: np.ndarray, seed: int = 0) -> tuple[np.ndarray, float]:
    """Two dimensions by t-SNE.

    Returns:
        Places, ``(m, 2)``, and the perplexity: 30, or a third of the neighbours where these are few.

    References:
        van der Maaten & Hinton, "Visualizing data using t-SNE" (2008).
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(points) - 1) / 3)
    with threadpool_limits(1):  # sums over threads end in an order of their own
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
        return tsne.fit_transform(np.asarray(points, np.float32)), perplexity


def embeddings(title: str, panels: Sequence[Panel]) -> Callable[[Any], None]:
    """Panels side by side: a mark an episode, a marker and a colour a family, the same in all panels."""
    families = list(dict.fromkeys(family for panel in panels for family in panel.families))
    placed = [flat(panel.points) for panel in panels]

    def draw(figure: Any) -> None:
        for plot, panel, (places, perplexity) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, placed, strict=True
        ):
            for number, family in enumerate(families):
                mine = np.array([name == family for name in panel.families])
                look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
                plot.scatter(*places[mine].T, s=16, alpha=0.75, linewidths=0, label=family, **look)
            plot.set_title(panel.title, fontsize=9)
            plot.set_xlabel(f"t-SNE, perplexity {perplexity:.3g}; distances have no unit")
            plot.set_xticks([])
            plot.set_yticks([])
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=6, frameon=False, markerscale=1.5)
        figure.suptitle(title)

    return draw


# --- accuracy by task


def accuracies(title: str, steps: int, dots: Sequence[Dot]) -> tuple[Callable[[Any], None], int]:
    """A line a task, grouped by family, a panel a number of shots; a family of many tasks is one line of means.

    Returns:
        What draws it, and the number of lines.
    """
    shots = sorted({dot.shots for dot in dots})
    families = list(dict.fromkeys(dot.family for dot in dots))
    lines: list[tuple[str, str, list[str]]] = []  # family, name, tasks
    for family in families:
        tasks = list(dict.fromkeys(dot.task for dot in dots if dot.family == family))
        if len(tasks) > LARGE:
            lines.append((family, f"mean of {len(tasks)} tasks", tasks))
        else:
            lines += [(family, task, [task]) for task in tasks]
    heads = [number for number, line in enumerate(lines) if number == 0 or lines[number - 1][0] != line[0]]

    def draw(figure: Any) -> None:
        plots = figure.subplots(1, len(shots), sharey=True, squeeze=False)[0]
        for plot, k in zip(plots, shots, strict=True):
            for height, (_, _, tasks) in enumerate(lines):
                mine = [dot for dot in dots if dot.shots == k and dot.task in tasks]
                if mine:
                    _line(plot, height, mine)
            for head in heads[1:]:
                plot.axhline(head - 0.5, color=FAINT, linewidth=0.6)
            plot.set_xlim(0, 100)
            plot.set_ylim(len(lines) - 0.5, -0.5)
            plot.set_title(f"{k} {'shot' if k == 1 else 'shots'}", fontsize=9)
            plot.set_xlabel("accuracy, %, with 95 % interval")
            plot.grid(axis="x", color=FAINT, linewidth=0.4)
            plot.tick_params(axis="y", length=0)
        plots[0].set_yticks(range(len(lines)), [name for _, name, _ in lines])
        last = plots[-1].secondary_yaxis("right")
        last.set_yticks(heads, [lines[head][0] for head in heads], fontweight="bold")
        last.tick_params(length=0)
        last.spines["right"].set_visible(False)
        keys = [plots[0].plot([], [], **_look(name))[0] for name in ("random", "frozen")]
        keys += plots[0].plot([], [], color=INK, marker="|", linestyle="", markersize=7)
        names = [f"random LoRA and head, {steps} steps", "frozen prototype", "chance"]
        figure.legend(keys, names, loc="outside lower center", ncols=3, frameon=False)
        figure.suptitle(title)

    return draw, len(lines)


def _look(method: str) -> dict[str, Any]:
    """The report's marker and colour of a method; the frozen prototype is hollow, so that both show where they meet."""
    filling = {"markerfacecolor": "none"} if method == "frozen" else {}
    return style_of(method) | {"linestyle": "", "markersize": 5} | filling


def _line(plot: Any, height: int, dots: Sequence[Dot]) -> None:
    """One task's means with intervals; or the tasks of a family as small dots, and their mean."""
    for method in ("frozen", "random"):
        values = np.array([getattr(dot, method) for dot in dots])
        mean = values[:, 0].mean()
        if len(dots) == 1:
            # rounding may put an end a hair on the wrong side of the mean
            reach = np.maximum([[mean - values[0, 1]], [values[0, 2] - mean]], 0)
            plot.errorbar([mean], [height], xerr=reach, elinewidth=0.9, **_look(method))
        else:
            level = height + {"frozen": -0.22, "random": 0.22}[method]
            plot.plot(values[:, 0], np.full(len(dots), level), ".", color=FAINT, markersize=3, zorder=1)
            plot.plot([mean], [level], **_look(method))
    for chance in {dot.chance for dot in dots}:
        plot.plot([chance], [height], color=INK, marker="|", linestyle="", markersize=7)


# --- files


def save(out: Path, name: str, size: tuple[float, float], draw: Callable[[Any], None]) -> None:
    """Write `name`.svg and `name`.png, of so many inches; no date, no version and no reader's settings in them."""
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: dict[str, Any] = {
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": name,
        "text.parse_math": False,  # a dollar in a name is a dollar
        "font.size": 8,
        "figure.titlesize": 10,
        "figure.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with style.context(["default", settings]):  # not the reader's matplotlibrc
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        svg, png = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    atomic.write_text(out / f"{name}.svg", svg.getvalue())
    _write_bytes(out / f"{name}.png", png.getvalue())


def _write_bytes(path: Path, content: bytes) -> None:
    """As `atomic.write_text`, for bytes."""
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.chmod(partial, 0o644)
    os.replace(partial, path)
