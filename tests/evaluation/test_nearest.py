"""metapeft.evaluation.nearest: the target of the most similar support text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapeft.evaluation.nearest import nearest_targets

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
    assert nearest_targets(SUPPORT, TARGETS, ["qqq", ""]) == ["sum", "sum"]


@given(st.lists(st.text("abc dE_1", max_size=12), min_size=1, max_size=6))
def test_a_support_text_finds_a_text_of_its_own_words(support: list[str]) -> None:
    targets = [" ".join(sorted(text.split())) for text in support]
    found = nearest_targets(support, list(map(str, range(len(support)))), support)
    again = nearest_targets([support[int(index)] for index in found], found, support)
    assert again == [found[found.index(each)] for each in found]
    assert len(found) == len(targets)


@pytest.mark.parametrize(("support", "targets"), [([], []), (["a"], []), (["a"], ["b", "c"])])
def test_every_support_text_needs_a_target(support: list[str], targets: list[str]) -> None:
    with pytest.raises(ValueError, match="one target a support text"):
        nearest_targets(support, targets, ["a"])
