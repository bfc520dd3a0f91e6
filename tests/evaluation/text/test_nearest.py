"""metapeft.evaluation.text.nearest: the target of the most similar support text."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapeft.evaluation.text.nearest import nearest_targets, similarities

SUPPORT = [
    "Return the sum of a list of numbers.",
    "Return the list without duplicates.",
    "def read_file(path): open a file and return its lines",
]
TARGETS = ["sum", "unique", "read"]


def test_the_most_similar_text_answers() -> None:
    query = ["Return the numbers of a list as a sum", "remove duplicates", "function readFile(filePath)"]
    assert nearest_targets(SUPPORT, TARGETS, query) == TARGETS
    assert nearest_targets(SUPPORT, TARGETS, []) == []


def test_a_rare_word_weighs_more_than_two_common_ones() -> None:
    support = ["the list of the ships", "the list of ports", "the list of cars", "zebra"]
    assert nearest_targets(support, list("abcd"), ["list of zebra"]) == ["d"]


def test_the_first_of_equals_and_of_strangers() -> None:
    assert nearest_targets(["x y", "Y, X!", "x y x y"], list("abc"), ["y x"]) == ["a"]
    # equal but for a rounding error, by which the second would win
    assert nearest_targets([" ".join(["ship sun"] * 7), "ship sun", "other words"], list("abc"), ["ship sun"]) == ["a"]
    assert nearest_targets(SUPPORT, TARGETS, ["qqq", ""]) == ["sum", "sum"]


@given(st.lists(st.text("abc dE_1", max_size=12), min_size=1, max_size=6), st.integers(0, 5))
def test_a_support_text_is_answered_by_one_of_the_same_proportions(support: list[str], place: int) -> None:
    """The highest cosine is 1, so it is found in a text whose words stand in the same proportions, or is itself."""
    text = support[place % len(support)]
    (found,) = nearest_targets(support, support, [f"{text} {text}"])
    words, own = (
        Counter(re.findall(r"[a-z]+|\d+", re.sub("(?<=[a-z0-9])(?=E)", " ", each).lower())) for each in (found, text)
    )
    if own:
        assert {word: count * own.total() for word, count in words.items()} == {
            word: count * words.total() for word, count in own.items()
        }


@pytest.mark.parametrize(("support", "targets"), [([], []), (["a"], []), (["a"], ["b", "c"])])
def test_every_support_text_needs_a_target(support: list[str], targets: list[str]) -> None:
    with pytest.raises(ValueError, match="one target a support text"):
        nearest_targets(support, targets, ["a"])


def test_similarities_order_the_support_texts_of_each_query() -> None:
    near = similarities(["red", "red green", "blue"], ["red", "green blue", "white"])
    assert near.shape == (3, 3) and near.argmax(axis=1).tolist() == [0, 2, 0]
    assert near[0, 0] > near[0, 1] > near[0, 2] == 0 and not near[2].any()
    assert similarities(["red"], []).shape == (0, 1)
