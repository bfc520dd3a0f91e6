"""metapeft.evaluation.plots: SVG that can stand in a page."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET

import pytest

from metapeft.errors import MetapeftError
from metapeft.evaluation import plots
from metapeft.evaluation.plots import Dot, Mark, Point

NASTY = '<i>&"$x^2$'
SERIES = {name: {1: Point(40, 38, 43), 5: Point(60, 60.1, 61)} for name in ("frozen", "auto", "auto + names")}


def lines(title: str = "sentiment") -> str:
    return plots.lines(title, "examples a class", [1, 5], SERIES, (30, 70), "accuracy")


def dot(task: str, family: str = "f", points: dict[str, Point] | None = None) -> Dot:
    marks = {"frozen": Point(60, 55, 65), "random": Point(50, 40, 60), "best": Point(70, 60, 80)}
    return Dot(task, family, 5, 25.0, marks if points is None else points, "tf-idf")


def all_figures(title: str) -> list[str]:
    return [
        lines(title),
        plots.legend(f"{title}: legend", ["frozen", "random", "auto + names"]),
        plots.differences(f"{title}: differences", [(title, Point(1, 0.5, 1.5)), ("g", Point(0, -1, 1))]),
        plots.places(f"{title}: map", [Mark(title, "training", [0, 1]), Mark("g", "test", [1, 1.5])]),
        plots.dots(f"{title}: tasks", [dot(title), dot("b", "g", {"auto": Point(40, 38, 43)})]),
        plots.dot_legend(f"{title}: marks", {"frozen": title, "best": "best"}),
        plots.stacked(f"{title}: shares", {title: {"frozen": 0.5, "static + names": 0.5}, "g": {"frozen": 1.0}}),
    ]


def text_of(svg: str) -> set[str]:
    return {"".join(each.itertext()) for each in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}


@pytest.mark.parametrize("number", range(7))
def test_equal_input_gives_equal_bytes_without_a_date(number: int) -> None:
    first, second = (all_figures("t")[number] for _ in range(2))
    assert first == second
    assert not re.search(r"20\d\d-\d\d", first)
    assert first.startswith("<svg viewBox=")


@pytest.mark.parametrize("number", range(7))
def test_text_is_text_and_escaped(number: int) -> None:
    svg = all_figures(NASTY)[number]
    root = ET.fromstring(svg)  # it is XML
    assert "<i>" not in svg
    assert NASTY in root.attrib["aria-label"]
    if number != 1:  # the legend shows no title
        assert NASTY in text_of(svg)


def test_figures_of_one_page_share_no_id_and_refer_to_their_own() -> None:
    page = [*all_figures("a"), lines("b")]
    ids = [set(re.findall(r' id="([^"]*)"', svg)) for svg in page]
    assert sum(map(len, ids)) == len(set.union(*ids))
    for own, svg in zip(ids, page, strict=True):
        assert own == set(re.findall(r'(?:href="|url\()#([^")]*)', svg))
        assert own


def test_a_page_needs_nothing_from_elsewhere() -> None:
    for svg in all_figures("t"):
        namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert set(re.findall(r'https?://[^"\s)]*', svg)) <= namespaces
        assert "<script" not in svg


def test_a_dot_plot_says_task_family_and_best() -> None:
    assert text_of(plots.dots("t", [dot("kitchen", "sentiment"), dot("b", "g")])) >= {"kitchen", "sentiment", "tf-idf"}


def test_families_and_parts_differ_without_colour() -> None:
    looks = [plots.look_of(number) for number in range(84)]
    assert len({(look["marker"], look["color"]) for look in looks}) == 84
    assert len({look["marker"] for look in looks[:12]}) == 12
    assert len({filling["fillstyle"] for filling in plots.FILLINGS.values()}) == 3
    named = plots.places("t", [Mark("f", part, [0, 0]) for part in plots.FILLINGS])
    assert text_of(named) >= {"f", "training task", "validation task", "test task"}


def test_methods_differ_without_colour() -> None:
    styles = [plots.style_of(name) for name in plots.STYLES]
    assert len({style["marker"] for style in styles}) == len(styles)
    assert len({str(style["linestyle"]) for style in styles}) >= len(styles) - 1  # two are solid, with other markers
    for name in ("frozen", "auto", "static"):
        named = plots.style_of(f"{name} + names")
        assert named["marker"] == plots.style_of(name)["marker"]
        assert named["markerfacecolor"] == "white"
    hatches = [plots.HATCHES.get(start) for start in ("frozen", "static", "hypernetwork")]
    assert len(set(hatches)) == 3


def test_a_difference_with_zero_in_its_interval_is_hollow() -> None:
    hollow = plots.differences("t", [("f", Point(0.5, -1, 2))])
    filled = plots.differences("t", [("f", Point(0.5, 0.1, 2))])
    assert "fill: #ffffff" in hollow
    assert "fill: #ffffff" not in filled


def test_an_interval_that_misses_its_mean_by_rounding_is_drawn() -> None:
    svg = plots.differences("t", [("f", Point(1.0, 1.0 + 1e-12, 2))])
    assert "f" in text_of(svg)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MetapeftError, match=r'metapeft\[plots\]"'):
        lines()


def test_the_readers_settings_change_nothing() -> None:
    import matplotlib

    plain = lines()
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.facecolor": "red"}):
        assert lines() == plain
        assert matplotlib.rcParams["font.size"] == 30
