"""metapeft.evaluation.page: escaping, and a heat map whose numbers can be read."""

from __future__ import annotations

import re

import pytest

from metapeft.evaluation import page

NASTY = '<b onclick="x">&\''
SAFE = "&lt;b onclick=&quot;x&quot;&gt;&amp;&#x27;"


@pytest.mark.parametrize(
    "made",
    [
        page.element("p", NASTY),
        page.row([NASTY, 1]),
        page.row(["a", NASTY], ["figures"]),
        page.group(NASTY, 2),
        page.table([NASTY], []),
        page.table(["a"], [], label=NASTY),
        page.shaded(0.5, 0, 1, NASTY),
        page.page(NASTY, []),
    ],
)
def test_text_from_data_is_escaped(made: str) -> None:
    assert SAFE in made
    assert "<b" not in made.replace("<body", "")


def test_a_row_has_a_class_for_each_cell_but_the_first() -> None:
    assert page.row(["t", 5], ["figures"], "whole") == (
        '<tr class="whole"><th scope="row">t</th><td class="figures">5</td></tr>'
    )
    with pytest.raises(ValueError, match="zip"):
        page.row(["t", 5, 6], ["figures"])


def test_a_long_task_id_may_break_after_an_underscore() -> None:
    assert page.heading("a_<b_c") == '<th scope="row">a_<wbr>&lt;b_<wbr>c</th>'


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2.1, written anew: `#rgb` or `#rrggbb`."""
    digits = colour.lstrip("#")
    parts = [digits[i : i + 2] for i in (0, 2, 4)] if len(digits) == 6 else [2 * digit for digit in digits]
    total = 0.0
    for part, weight in zip(parts, (0.2126, 0.7152, 0.0722), strict=True):
        value = int(part, 16) / 255
        total += weight * (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
    return total


def test_a_heat_map_gets_darker_and_its_numbers_stay_readable() -> None:
    last = 2.0
    for percent in range(101):
        made = page.shaded(percent / 100, 0.0, 1.0, "x")
        ground, ink = (luminance(found) for found in re.findall(r"(?:background|color):(#[0-9a-f]+)", made)[:2])
        assert ground < last  # so the order stays in grey
        light, dark = max(ground, ink), min(ground, ink)
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.1, AA
        last = ground


@pytest.mark.parametrize(("value", "low", "high"), [(0.5, 0.5, 0.5), (-1.0, 0.0, 1.0)])
def test_a_heat_map_without_a_range_is_white(value: float, low: float, high: float) -> None:
    assert "background:#ffffff;color:#000" in page.shaded(value, low, high, "x")
