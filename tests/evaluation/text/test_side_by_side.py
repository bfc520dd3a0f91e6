"""metapeft.evaluation.text.side_by_side: the page is blind, escaped and whole."""

from __future__ import annotations

import re
import shutil
from importlib import resources

import pytest

from metapeft.evaluation.text.side_by_side import Row, side_by_side
from metapeft.evaluation.text.syntax import javascript_parses

NASTY = "</pre><script>alert('x')</script> & \"q\""
METHODS = ("hypernetwork_method", "lora_method", "lead_method")


def rows(count: int = 8) -> list[Row]:
    return [
        {
            "prompt": f"Prompt {index} {NASTY}",
            "reference": f"Reference {index} {NASTY}",
            "outputs": {name: f"\nOutput {index} {place} {NASTY}" for place, name in enumerate(METHODS)},
        }
        for index in range(count)
    ]


def made(given: list[Row] | None = None, **settings) -> tuple[str, dict]:
    return side_by_side(given or rows(), "Title <b>", "Which is better & why?", **settings)


def articles(html: str) -> dict[str, str]:
    return dict(re.findall(r'<article id="(\w+)">(.*?)</article>', html, re.DOTALL))


def texts(article: str) -> list[str]:
    """Outputs A and B of an article, still escaped."""
    return re.findall(r'<section><h3>[AB]</h3><pre class="text">\n(.*?)</pre>', article, re.DOTALL)


def test_text_is_escaped_and_nothing_is_loaded() -> None:
    html, _ = made()
    assert html.count("<script>") == 1 and html.count("alert(&#x27;x&#x27;)") == html.count("alert(") > 0
    assert "<title>Title &lt;b&gt;</title>" in html and "Which is better &amp; why?" in html
    assert not re.search(r"https?:|src=|<link|@import|url\(", html)


def test_the_key_says_who_wrote_what_and_the_page_does_not() -> None:
    html, key = made()
    assert not any(name in html for name in METHODS)
    found = articles(html)
    assert found.keys() == key["items"].keys() and len(found) == 8 * 3
    for name, item in key["items"].items():
        for side, text in zip("ab", texts(found[name]), strict=True):
            assert text.startswith(f"\nOutput {item['row']} {METHODS.index(item[side])} ")
        assert f"Prompt {item['row']} " in found[name] and f"Reference {item['row']} " in found[name]
    assert f'data-study="{key["study"]}"' in html


def test_sides_and_order_are_shuffled_by_the_seed_alone() -> None:
    first, key = made()
    assert (first, key) == made()
    other, other_key = made(seed=1)
    assert other_key["study"] != key["study"] and other_key["items"].keys().isdisjoint(key["items"])
    many = made(rows(200))[1]["items"].values()
    sides = [item["a"] < item["b"] for item in many]
    assert 250 < sum(sides) < 350  # of 600: more than four standard deviations either way
    assert [item["row"] for item in many] != sorted(item["row"] for item in many)
    changed = rows()
    changed[0]["outputs"] = changed[0]["outputs"] | {METHODS[0]: "another"}
    assert made(changed)[1]["study"] != key["study"]


def test_equal_outputs_are_in_the_key_alone() -> None:
    given: list[Row] = [{"prompt": "p", "outputs": {"one": "same", "two": "same", "three": "other"}}]
    html, key = made(given)
    assert sum(item["equal"] for item in key["items"].values()) == 1
    assert articles(html).keys() == {name for name, item in key["items"].items() if not item["equal"]}
    assert "Item 2 of 2" in html and "<details>" not in html
    html, _ = made([{"prompt": "p", "outputs": {"one": "same", "two": "same"}}])
    assert "nothing to compare" in html and "<script>" not in html


def test_code_is_shown_as_such() -> None:
    assert "class=code" in made(code=True)[0]
    assert "class=code" not in made()[0]


def test_the_script_finds_what_it_looks_for() -> None:
    html, _ = made()
    script = html[html.index("<script>") : html.index("</script>")]
    asked = set(re.findall(r'byId\("(\w+)"\)', script))
    assert len(asked) > 8
    assert asked <= set(re.findall(r' id="(\w+)"', html[: html.index("<script>")]))


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_script_parses() -> None:
    script = resources.files("metapeft.evaluation.text").joinpath("side_by_side.js").read_text("utf-8")
    assert javascript_parses([script]) == [True]


@pytest.mark.parametrize("given", [[], [{"prompt": "p", "outputs": {"one": "text"}}]])
def test_there_must_be_something_to_compare(given: list[Row]) -> None:
    with pytest.raises(ValueError, match="two outputs"):
        side_by_side(given, "t", "q")
