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
from metapeft.evaluation.plots import Dot, by_task, dot_keys, look_of, task_lines
from metapeft.evaluation.task_map import flat

EXTRAS = {"matplotlib": "plots", "sklearn": "eval"}
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
                plot.plot(*places[mine].T, markersize=4, alpha=0.75, markeredgewidth=0, label=family, **look_of(number))
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
    lines = task_lines(dots)

    def draw(figure: Any) -> None:
        plots = figure.subplots(1, len(shots), sharey=True, squeeze=False)[0]
        for plot, k in zip(plots, shots, strict=True):
            by_task(plot, lines, [dot for dot in dots if dot.shots == k])
            plot.set_title(f"{k} {'shot' if k == 1 else 'shots'}", fontsize=9)
        keys, names = dot_keys(
            plots[0], {"random": f"random LoRA and head, {steps} steps", "frozen": "frozen prototype"}
        )
        figure.legend(keys, names, loc="outside lower center", ncols=3, frameon=False)
        figure.suptitle(title)

    return draw, len(lines)


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
