"""scripts/figures.py: what the figures show, in which bytes, and what they need."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import figures
import numpy as np
import pytest

from metapeft.errors import MetapeftError
from metapeft.evaluation.plots import LARGE, Dot, Point

pytest.importorskip("matplotlib")
NASTY = '<i>&"$x^2$'


def dot(task: str, family: str = "topic", shots: int = 5, mean: float = 70.0) -> Dot:
    points = {"frozen": Point(mean, mean - 2, mean + 2), "random": Point(mean - 9, mean - 12, mean - 5)}
    return Dot(task, family, shots, 25.0, points)


def drawn(draw: Callable[[Any], None]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    draw(figure)
    return figure


def marks(plot: Any) -> set[tuple[float, float]]:
    """Where single marks stand."""
    return {(line.get_xdata()[0], line.get_ydata()[0]) for line in plot.lines if len(line.get_xdata()) == 1}


def clusters(distance: float) -> figures.Panel:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(12, 5)) + distance * np.repeat(np.eye(5)[:2], 6, axis=0)
    return figures.Panel("half 1", points, ["topic"] * 6 + ["intent"] * 6)


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    figures.check_libraries("matplotlib", "sklearn")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MetapeftError, match=r'"metapeft\[eval\]", or figure=false'):
        figures.check_libraries("matplotlib", "sklearn")
    figures.check_libraries("matplotlib")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MetapeftError, match=r'"metapeft\[eval,plots\]"'):
        figures.check_libraries("matplotlib", "sklearn")


def test_equal_input_gives_equal_bytes_whatever_the_reader_set(tmp_path: Path) -> None:
    import matplotlib

    pytest.importorskip("sklearn")
    panel = clusters(9.0)
    figures.save(tmp_path / "one", "e", (4, 3), figures.embeddings(NASTY, [panel]))
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.facecolor": "red"}):
        figures.save(tmp_path / "two", "e", (4, 3), figures.embeddings(NASTY, [panel]))
    for name in ("e.svg", "e.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"e.svg", "e.png"}
    svg = (tmp_path / "one/e.svg").read_text()
    assert not re.search(r"20\d\d-\d\d", svg)
    assert "&lt;i&gt;&amp;" in svg
    assert b"Software" not in (tmp_path / "one/e.png").read_bytes()


def test_a_family_has_one_marker_and_one_colour_in_both_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "flat", lambda points: (points[:, :2], 3.0))
    one, two = clusters(1.0), clusters(2.0)
    two = two._replace(families=["intent"] * 6 + ["emotion"] * 6)
    figure = drawn(figures.embeddings("t", [one, two]))
    looks: dict[str, set[tuple[Any, ...]]] = {}
    for plot in figure.axes:
        for line in plot.lines:
            looks.setdefault(line.get_label(), set()).add((line.get_marker(), line.get_color()))
    assert set(looks) == {"topic", "intent", "emotion"}
    assert all(len(seen) == 1 for seen in looks.values())
    assert len({shape for seen in looks.values() for shape, _ in seen}) == 3
    assert len(figure.axes[0].lines[1].get_xdata()) == 6
    assert {text.get_text() for text in figure.legends[0].get_texts()} == set(looks)


def test_a_line_a_task_under_its_family() -> None:
    dots = [dot("a"), dot("b", "intent"), dot("c", "intent"), dot("a", shots=1)]
    draw, lines = figures.accuracies("t", 10, dots)
    figure = drawn(draw)
    left, right = figure.axes[:2]
    assert lines == 5
    labels = [(tick.get_text(), tick.get_fontweight()) for tick in left.get_yticklabels()]
    assert labels == [("topic", "bold"), ("a", "normal"), ("intent", "bold"), ("b", "normal"), ("c", "normal")]
    assert [plot.get_title() for plot in (left, right)] == ["1 shot", "5 shots"]
    assert marks(left) == {(70.0, 1), (61.0, 1), (25.0, 1)}  # frozen, random, chance
    assert marks(right) == {(x, y) for x in (70.0, 61.0, 25.0) for y in (1, 3, 4)}


def test_a_family_of_many_tasks_is_one_line_of_means() -> None:
    many = [dot(f"t{number}", mean=40.0 + number) for number in range(LARGE + 1)]
    draw, lines = figures.accuracies("t", 10, [*many, dot("b", "intent")])
    plot = drawn(draw).axes[0]
    assert lines == 4
    assert [tick.get_text() for tick in plot.get_yticklabels()] == [
        "topic",
        f"mean of {LARGE + 1} tasks",
        "intent",
        "b",
    ]
    middle = 40.0 + LARGE / 2
    assert {x for x, y in marks(plot) if 0.5 < y < 1.5} == {middle, middle - 9, 25.0}
    assert figures.accuracies("t", 10, many[1:])[1] == LARGE + 1
