"""YAML 1.2 scalars, duplicate keys, refused tags, and errors that say where."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.errors import RecipeError
from metapeft.strict_yaml import load, loads

STEADY = settings(deadline=None, derandomize=True)  # the same examples each time; a busy machine is no failure
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def refused(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        loads(text, "here.yaml")
    message = str(caught.value)
    assert message.startswith("here.yaml")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "y", "n", "No", "YES", "tRuE", "nUll", "None"])
def test_only_true_and_false_are_booleans(word: str) -> None:
    assert loads(word) == word
    assert loads(f"[{word}]") == [word]
    assert loads(f"{word}: 1") == {word: 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("010", 10),
        ("-7", -7),
        ("0x1F", 31),
        ("0o17", 15),
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", -math.inf),
    ],
)
def test_core_schema_values(text: str, value: object) -> None:
    found = loads(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text", ["2026-11-22", "2001-12-14 21:59:43", "12:30", "1:30:00", "1_000", "0b11", "1e", ".", "="]
)
def test_what_yaml_1_1_would_convert_stays_text(text: str) -> None:
    assert loads(text) == text


def test_nan() -> None:
    assert math.isnan(loads(".nan"))


def test_duplicate_key_names_both_lines() -> None:
    assert refused("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n") == (
        "here.yaml, line 5: key 'c' stands twice: on line 3 and on line 5"
    )
    assert "on line 1 and on line 2" in refused("<<: {a: 1}\n<<: {b: 2}\n")


def test_keys_that_python_holds_for_equal_are_duplicates() -> None:
    assert "stands twice" in refused("1: a\ntrue: b\n")
    assert loads("'1': a\n1: b\n") == {"1": "a", 1: "b"}


def test_merge_keys_and_anchors() -> None:
    text = "base: &b {x: 1, y: [1]}\nown: {<<: *b, x: 2}\nmany: {<<: [{x: 3}, *b], z: 0}\nsame: *b\n"
    found = loads(text)
    assert found["own"] == {"x": 2, "y": [1]}
    assert found["many"] == {"x": 3, "y": [1], "z": 0}
    assert found["same"] == found["base"]
    assert loads("[<<, a]") == ["<<", "a"]


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system [true]",
        "!!python/name:os.system",
        "a: !!binary aGk=",
        "!!timestamp 2026-11-22",
        "!!set {a}",
        "!mine x",
    ],
)
def test_tags_are_refused(text: str) -> None:
    assert "is refused" in refused(text)


@pytest.mark.parametrize(
    "text", ["!!int abc", "!!bool yes", "!!float no", "!!null x", "!!map 3", "!!seq 3", "!!str {a: 1}"]
)
def test_a_tag_that_does_not_fit_is_a_recipe_error(text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1, 2", "line 1"),
        ("a: 1\nb: *nowhere\n", "line 2"),
        ("a\n---\nb\n", "single document"),
        ("{[1]: 2}", "plain value"),
        ("&a [*a]", "recursive"),
        ("&a {b: *a}", "recursive"),
        ("[" * 3000, "nested too deep"),
        ("9" * 5000, "too many digits"),
        ("a\x00b", "#x0000"),
    ],
)
def test_broken_yaml_is_one_line_that_says_why(text: str, said: str) -> None:
    assert said in refused(text)


def test_files(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text("\ufeffname: Zürich\n", encoding="utf-8")
    assert load(good) == {"name": "Zürich"}
    bad = tmp_path / "bad.yaml"
    bad.write_bytes("name: Zürich\n".encode("latin-1"))
    with pytest.raises(RecipeError, match=r"bad\.yaml: is not UTF-8"):
        load(bad)
    with pytest.raises(RecipeError, match=r"none\.yaml: cannot be read \(No such file"):
        load(tmp_path / "none.yaml")
    twice = tmp_path / "twice.yaml"
    twice.write_text("a: 1\na: 2\n")
    with pytest.raises(RecipeError, match=r"twice\.yaml, line 2: key 'a'"):
        load(twice)


@STEADY
@given(PLAIN)
def test_what_is_written_with_quotes_comes_back(value: object) -> None:
    # quoted text is text in YAML 1.1 and 1.2 alike; numbers, booleans and null carry their tag
    assert loads(yaml.safe_dump(value, default_style='"', allow_unicode=True)) == value


@STEADY
@given(st.text())
def test_any_text_parses_or_is_a_recipe_error(text: str) -> None:
    with contextlib.suppress(RecipeError):
        loads(text)
