"""A page on which a person says which of two outputs is better, without knowing which method wrote which."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NotRequired, TypedDict

from metapeft.evaluation.page import element, escaped, page

STYLE = """
body { padding-bottom: 9rem; }
article h2 { border: 0; margin-top: 1rem; }
h2:focus { outline: none; }
.text { font: inherit; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; padding: 0.6rem 0.8rem;
  border: 1px solid #999; }
.code .text { font: 0.85rem/1.45 ui-monospace, Menlo, Consolas, monospace; tab-size: 4; }
.prompt .text { max-height: min(16rem, 30vh); overflow-y: auto; }
.pair { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 0 1rem; }
.pair h3, .prompt h3 { margin-top: 0.8rem; }
summary { cursor: pointer; padding: 0.6rem 0; font-weight: 600; }
#controls[hidden], [hidden] { display: none; }
#controls { position: fixed; left: 0; right: 0; bottom: 0; background: #fff; border-top: 2px solid #222;
  padding: 0.5rem 1rem calc(0.5rem + env(safe-area-inset-bottom)); }
#controls > div { display: flex; gap: 0.5rem; max-width: 74rem; margin: 0 auto 0.4rem; align-items: center;
  flex-wrap: wrap; }
button { font: inherit; min-height: 2.75rem; padding: 0.2rem 0.9rem; border: 1px solid #222; border-radius: 0.3rem;
  background: #fff; color: #222; cursor: pointer; }
button:disabled { color: #767676; border-color: #bbb; cursor: default; }
button:focus-visible, summary:focus-visible, input:focus-visible, .text:focus-visible { outline: 3px solid #222;
  outline-offset: 2px; }
.choices button { flex: 1; font-weight: 600; }
button[aria-pressed="true"] { background: #222; color: #fff; }
button[aria-pressed="true"]::before { content: "\\2713\\00a0"; }
#progress { font-variant-numeric: tabular-nums; }
#bar { accent-color: #222; height: 0.8rem; flex: 1; min-width: 3rem; max-width: 16rem; }
#status { max-width: 74rem; margin: 0 auto; }
label { display: inline-flex; gap: 0.4rem; align-items: center; min-height: 2.75rem; margin-right: 1rem; }
input[type="text"] { font: inherit; padding: 0.3rem; border: 1px solid #222; min-width: 0; }
kbd { border: 1px solid #999; border-radius: 0.2rem; padding: 0 0.3rem; font: inherit; font-size: 0.85em; }
@media (max-width: 40rem) {
  .pair { grid-template-columns: minmax(0, 1fr); }
  .letters, #bar { display: none; }
  button { padding: 0.2rem 0.6rem; }
  body { padding-bottom: 13rem; }
}
@media print { #controls { display: none; } article[hidden] { display: block; } body { padding-bottom: 0; } }
"""


class Row(TypedDict):
    """What several methods wrote for one prompt; the reference may be left out."""

    prompt: str
    outputs: Mapping[str, str]
    reference: NotRequired[str]


def side_by_side(
    rows: Sequence[Row], title: str, question: str, seed: int = 0, code: bool = False
) -> tuple[str, dict[str, Any]]:
    """The page, and the key that says who wrote what.

    Each two methods of a row make an item. Items stand in the order of a hash, and another hash says which of the two
    outputs is A; the page holds no method's name. Two outputs that are equal are not shown: the key counts them as
    a tie. The page is one file that asks for nothing else. It keeps ratings in the storage of the browser until they
    are saved to a file; without scripts it can be read, and printed.

    Args:
        rows: outputs by method; a row needs two at least.
        title: of the page.
        question: what the rater is asked of each pair.
        seed: of the order; the same gives the same page.
        code: outputs are shown in a fixed-width font.

    Returns:
        HTML, and the key: ``study``, which the ratings name too, and ``items``: by id ``row`` (an index of `rows`),
        ``a`` and ``b`` (methods) and ``equal``. Keep the key from the rater.

    Raises:
        ValueError: there are no rows, or a row has one output only.
    """
    if not rows or any(len(row["outputs"]) < 2 for row in rows):
        raise ValueError("side by side needs rows, and two outputs or more of each")
    # what the page shows is a digest of this one: nobody can try names of methods on it
    secret = _digest([seed, *([row["prompt"], sorted(row["outputs"].items())] for row in rows)])
    study = _digest(["study", secret])
    items: dict[str, dict[str, Any]] = {}
    for index, row in enumerate(rows):
        for first, second in itertools.combinations(sorted(row["outputs"]), 2):
            name = _digest(["item", secret, index, first, second])
            swapped = int(_digest(["side", secret, index, first, second]), 16) % 2
            a, b = (second, first) if swapped else (first, second)
            items[name] = {"row": index, "a": a, "b": b, "equal": row["outputs"][first] == row["outputs"][second]}
    items = dict(sorted(items.items()))
    shown = [(name, item) for name, item in items.items() if not item["equal"]]
    articles = [
        _article(name, number, len(shown), rows[item["row"]], item) for number, (name, item) in enumerate(shown, 1)
    ]
    parts = [
        f"<style>{STYLE}</style>",
        element("h1", title),
        element("p", question),
        _settings(),
        f'<main data-study="{study}"{" class=code" if code else ""}>',
        *(articles or ["<p>All outputs are equal: there is nothing to compare.</p>"]),
        "</main>",
    ]
    if articles:
        script = resources.files("metapeft.evaluation.text").joinpath("side_by_side.js").read_text(encoding="utf-8")
        parts += [_controls(len(shown)), f"<script>{script}</script>"]
    return page(title, parts), {"study": study, "items": items}


def _digest(content: object) -> str:
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()


def _article(name: str, number: int, count: int, row: Row, item: Mapping[str, Any]) -> str:
    outputs = "".join(
        f"<section>{element('h3', side)}{_text(row['outputs'][item[side.lower()]])}</section>" for side in "AB"
    )
    reference = row.get("reference")
    shown = f"<details><summary>Reference</summary>{_text(reference)}</details>" if reference is not None else ""
    return (
        f'<article id="{name}"><h2 tabindex="-1">Item {number} of {count}</h2>\n'
        f'<div class="prompt"><h3>Prompt</h3>{_text(row["prompt"], scrolls=True)}</div>\n{shown}\n'
        f'<div class="pair">{outputs}</div></article>'
    )


def _text(text: str, scrolls: bool = False) -> str:
    """Text as it stands; a box that scrolls must be reachable by keyboard.

    A parser drops a line break right after the tag, so one is given to it.
    """
    return f'<pre class="text"{" tabindex=0" if scrolls else ""}>\n{escaped(text)}</pre>'


def _settings() -> str:
    return (
        '<p><label>Your name or a sign, for the file <input type="text" id="rater" autocomplete="off"></label>'
        '<label class="letters"><input type="checkbox" id="keys" checked> letter keys: '
        "<kbd>A</kbd> <kbd>T</kbd> <kbd>B</kbd> rate, "
        "<kbd>P</kbd> <kbd>N</kbd> go back and on, <kbd>S</kbd> saves</label></p>\n"
        '<p class="banner" id="unkept" hidden>This browser keeps nothing of this page. Save before you close it.</p>\n'
        "<noscript><p class=banner>Rating needs JavaScript, which is off. The items can be read.</p></noscript>"
    )


def _controls(count: int) -> str:
    return (
        '<div id="controls" hidden>\n<div class="choices">'
        '<button type="button" id="a" aria-pressed="false">A better</button>'
        '<button type="button" id="tie" aria-pressed="false">Same</button>'
        '<button type="button" id="b" aria-pressed="false">B better</button></div>\n'
        '<div><button type="button" id="back">Back</button><button type="button" id="next">Next</button>'
        f'<button type="button" id="save">Save</button><progress id="bar" max="{count}" value="0" '
        'aria-labelledby="progress"></progress><span id="progress"></span></div>\n'
        '<p id="status" role="status"></p></div>'
    )
