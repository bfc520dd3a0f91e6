"""Parts of a page: everything that comes from data is escaped here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; color: #222; background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 0.4rem; border-bottom: 1px solid #999; }
h3 { font-size: 1rem; margin: 1.2rem 0 0.3rem; }
p, ul, dl { max-width: 46rem; margin: 0.4rem 0; }
.banner { border: 3px double #222; background: #fff3c4; padding: 0.7rem 1rem; max-width: none; font-weight: 600; }
.wide { overflow-x: auto; max-width: 100%; margin: 0.6rem 0; border: 1px solid #bbb; }
.narrow { width: fit-content; }
table { border-collapse: separate; border-spacing: 0; font-size: 0.85rem; font-variant-numeric: tabular-nums;
  min-width: 100%; }
th, td { padding: 0.25rem 0.55rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
thead th { background: #eee; border-bottom: 1px solid #777; vertical-align: bottom; }
.figures { white-space: nowrap; text-align: right; }
th:first-child { position: sticky; left: 0; background: #fff; border-right: 1px solid #bbb; font-weight: 600; }
thead th:first-child { background: #eee; z-index: 1; }
tr.whole > * { background: #f4f4f4; font-weight: 600; }
tr.group > th:first-child { background: #e4e4e4; border-right: 0; max-width: none; }
tr.group > th > span { position: sticky; left: 0.55rem; display: block; max-width: calc(100vw - 4.5rem); }
.written { white-space: pre-wrap; overflow-wrap: anywhere; min-width: 18rem; }
.target { white-space: nowrap; }
.note { min-width: 14rem; }
.verdict { white-space: nowrap; font-weight: 700; }
.heat td, .heat thead th:not(:first-child) { text-align: center; min-width: 3.2rem; }
.heat td { border: 1px solid #fff; }
.panels { display: flex; flex-wrap: wrap; gap: 0.6rem 1.2rem; }
svg { max-width: 100%; height: auto; display: block; }
dt { font-weight: 600; margin-top: 0.4rem; }
dd { margin: 0 0 0 1.2rem; overflow-wrap: anywhere; }
@media (max-width: 40rem) { th:first-child { max-width: 9rem; overflow-wrap: break-word; } }
@page { size: A4 landscape; margin: 12mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  .wide { overflow: visible; border: 0; }
  table { font-size: 7.5pt; }
  th, td { padding: 0.1rem 0.25rem; }
  svg, tr, .banner { break-inside: avoid; }
  h2, h3, h2 + p { break-after: avoid; }
  th, td, .banner { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  th:first-child, tr.group > th > span { position: static; }
}
"""


def escaped(text: object) -> str:
    """Text as it stands in an element or an attribute."""
    return html.escape(str(text))


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document; the parts are HTML. It asks for nothing but itself and runs no script."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def element(tag: str, text: object, kind: str = "") -> str:
    """An element that holds text."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<{tag}{attribute}>{escaped(text)}</{tag}>"


def heading(text: object) -> str:
    """The heading of a line; it may break after an underscore, so that a long task id fits a phone."""
    return f'<th scope="row">{escaped(text).replace("_", "_<wbr>")}</th>'


def row(cells: Sequence[object], kinds: Sequence[str] = (), kind: str = "") -> str:
    """A line of a table; its first cell is its heading, `kinds` are classes of the others."""
    kinds = kinds or [""] * (len(cells) - 1)
    first, *others = cells
    inner = heading(first)
    inner += "".join(element("td", cell, own) for cell, own in zip(others, kinds, strict=True))
    return f'<tr class="{kind}">{inner}</tr>' if kind else f"<tr>{inner}</tr>"


def group(text: str, width: int) -> str:
    """A line of a table that heads the lines after it."""
    return f'<tr class="group"><th colspan="{width}" scope="rowgroup"><span>{escaped(text)}</span></th></tr>'


def table(
    head: Sequence[str], rows: Iterable[str], kinds: Sequence[str] = (), *, kind: str = "", label: str = ""
) -> str:
    """A table that scrolls sideways in its own box; `rows` are HTML.

    Args:
        head: names of the columns.
        rows: see `row` and `group`.
        kinds: classes of the columns but the first.
        kind: class of the table.
        label: read to those who cannot see it; a box that scrolls must be reachable by keyboard.
    """
    kinds = ["", *(kinds or [""] * (len(head) - 1))]
    names = "".join(
        f'<th scope="col" class="{own}">{escaped(name)}</th>' for name, own in zip(head, kinds, strict=True)
    )
    return (
        f'<div class="wide narrow" role="region" tabindex="0" aria-label="{escaped(label)}"><table class="{kind}">\n'
        f"<thead><tr>{names}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
    )


def shaded(value: float, low: float, high: float, text: str) -> str:
    """A cell of a heat map: the higher the value, the darker; its number is printed, black or white.

    One hue and a lightness that only falls: in grey the order stays.
    """
    depth = 0.0 if high <= low else min(max((value - low) / (high - low), 0.0), 1.0)
    pale, dark = (255, 255, 255), (16, 62, 110)
    colour = [round(a + (b - a) * depth) for a, b in zip(pale, dark, strict=True)]
    ink = "000" if _luminance(colour) > 0.179 else "fff"  # there both have the same contrast, 4.6
    shade = "".join(f"{part:02x}" for part in colour)
    return f'<td style="background:#{shade};color:#{ink}">{escaped(text)}</td>'


def _luminance(colour: Sequence[int]) -> float:
    """Relative luminance of an sRGB colour, 0 to 255 each (WCAG 2.1)."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
