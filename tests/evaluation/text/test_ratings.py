"""metapeft.evaluation.text.ratings: what was said of A and B, turned back into methods."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapeft.errors import MetapeftError
from metapeft.evaluation.text.ratings import sign_test, summarize
from metapeft.evaluation.text.side_by_side import side_by_side


def key_of(items: int, equal: int = 0) -> dict:
    """Of methods x and y; x is A in every second item."""
    return {
        "study": "s",
        "items": {
            f"i{index}": {"row": index, "a": "xy"[index % 2], "b": "yx"[index % 2], "equal": index >= items}
            for index in range(items + equal)
        },
    }


def said(**ratings: str) -> dict:
    return {"study": "s", "rater": "", "ratings": ratings}


def test_a_and_b_are_turned_back() -> None:
    (line,) = summarize([said(i0="a", i1="b", i2="b", i3="tie")], key_of(5, equal=1))
    assert (line["first"], line["second"]) == ("x", "y")
    assert (line["wins"], line["ties"], line["losses"], line["equal"], line["unrated"]) == (2, 2, 1, 1, 1)
    assert line["preference"] == pytest.approx((1 + 1 - 1 + 0 + 0) / 5)
    assert line["ci95"][0] <= line["preference"] <= line["ci95"][1]
    assert line["p"] == 1.0


def test_a_clear_preference_and_its_mirror() -> None:
    ratings = {f"i{index}": "ab"[index % 2] for index in range(12)}  # always x
    (line,) = summarize([said(**ratings)], key_of(12))
    assert (line["wins"], line["losses"], line["preference"], line["ci95"]) == (12, 0, 1, [1, 1])
    assert line["p"] == pytest.approx(2 / 2**12)
    swapped = {name: {"a": "b", "b": "a"}[choice] for name, choice in ratings.items()}
    (mirror,) = summarize([said(**swapped)], key_of(12))
    assert (mirror["wins"], mirror["losses"], mirror["preference"], mirror["p"]) == (0, 12, -1, line["p"])


def test_raters_of_one_item_are_one_item() -> None:
    files = [said(i0="a", i1="a"), said(i0="a", i1="b"), said(i0="tie")]
    (line,) = summarize(files, key_of(2))
    assert (line["wins"], line["ties"], line["losses"]) == (1, 1, 0)
    assert line["preference"] == pytest.approx((2 / 3 + 0) / 2)


def test_nothing_rated_has_no_figures() -> None:
    (line,) = summarize([], key_of(3))
    assert (line["unrated"], line["preference"], line["ci95"], line["p"]) == (3, None, None, None)


def test_the_key_of_a_page_with_three_methods() -> None:
    rows = [{"prompt": str(row), "outputs": {name: f"{name}{row}" for name in "zxy"}} for row in range(6)]
    _, key = side_by_side(rows, "t", "q")
    ratings = {name: "a" if item["a"] < item["b"] else "b" for name, item in key["items"].items()}
    lines = summarize([{"study": key["study"], "ratings": ratings}], key)
    assert [(line["first"], line["second"], line["wins"]) for line in lines] == [
        ("x", "y", 6),
        ("x", "z", 6),
        ("y", "z", 6),
    ]


def test_ratings_of_another_page_or_of_nothing_asked_are_refused() -> None:
    for file in ({"study": "t", "ratings": {}}, {"ratings": {}}, {"study": "s"}, {"study": "s", "ratings": "a"}):
        with pytest.raises(MetapeftError, match="the key is of page s"):
            summarize([file], key_of(1))
    for ratings in ({"i9": "a"}, {"i0": "c"}, {"i1": "a"}):
        with pytest.raises(MetapeftError, match="never asked"):
            summarize([said(**ratings)], key_of(1, equal=1))


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_sign_test_counts_the_outcomes_as_far_from_even(wins: int, losses: int) -> None:
    count = wins + losses
    far = sum(comb(count, each) for each in range(count + 1) if abs(2 * each - count) >= abs(wins - losses))
    assert sign_test(wins, losses) == sign_test(losses, wins) == pytest.approx(far / 2**count)
