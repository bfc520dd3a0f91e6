"""metapeft.evaluation.text.rouge: the figures of rouge-score, and what any of its figures must be."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapeft.evaluation.text.rouge import grams, lcs_length, lcs_places, overlap, rouge, score, tokens

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
FERRY = ("The ferry to the island was cancelled because of the storm.", "Storms cancelled ferries to several islands.")
BREAD = (
    "Maria baked two loaves of bread.\nHer brother ate one of them.",
    "Her brother ate the bread.\nMaria had baked it.",
)
MOVED = (
    "The committee's relational databases were happily migrated in 3.5 hours!",
    "Migrating the relational database took 3.5 hours, happily.",
)
TURNS = ("left right\nright left\nup", "right left up left\nup right right")
REPEATS = ("of of of the the", "the of the of of the")
# Precision, recall and F1 of each name, as rouge-score 0.1.2 with nltk 3.10.4 gives them, to six places.
# fmt: off
GOLDEN = [
    (FERRY, True, [(0.833333, 0.454545, 0.588235), (0.2, 0.1, 0.133333),
                   (0.5, 0.272727, 0.352941), (0.5, 0.272727, 0.352941)]),
    (FERRY, False, [(0.333333, 0.181818, 0.235294), (0, 0, 0),
                    (0.166667, 0.090909, 0.117647), (0.166667, 0.090909, 0.117647)]),
    (BREAD, True, [(0.666667, 0.5, 0.571429), (0.25, 0.181818, 0.210526),
                   (0.333333, 0.25, 0.285714), (0.666667, 0.5, 0.571429)]),
    (MOVED, True, [(0.888889, 0.666667, 0.761905), (0.375, 0.272727, 0.315789),
                   (0.666667, 0.5, 0.571429), (0.666667, 0.5, 0.571429)]),
    (MOVED, False, [(0.666667, 0.5, 0.571429), (0.25, 0.181818, 0.210526),
                    (0.555556, 0.416667, 0.47619), (0.555556, 0.416667, 0.47619)]),
    (TURNS, True, [(0.714286, 1, 0.833333), (0.5, 0.75, 0.6), (0.428571, 0.6, 0.5), (0.714286, 1, 0.833333)]),
    (REPEATS, False, [(0.833333, 1, 0.909091), (0.4, 0.5, 0.444444),
                      (0.666667, 0.8, 0.727273), (0.666667, 0.8, 0.727273)]),
]
# fmt: on

words = st.sampled_from(["cat", "cats", "dog", "ran", "running", "of", "the", "7"])
texts = st.lists(st.tuples(words, st.sampled_from([" ", ", ", "\n"])).map("".join), max_size=12).map("".join)
sequences = st.lists(st.sampled_from("abcd"), max_size=14)


@pytest.mark.parametrize(("pair", "stem", "golden"), GOLDEN)
def test_golden_values_of_the_reference_implementation(pair: tuple[str, str], stem: bool, golden: list) -> None:
    scores = rouge(*pair, stem)
    assert list(scores) == list(NAMES)
    for name, expected in zip(NAMES, golden, strict=True):
        assert tuple(scores[name]) == pytest.approx(expected, abs=1e-6)


@given(texts)
def test_a_text_against_itself_is_1_and_against_nothing_0(text: str) -> None:
    size = len(tokens(text))
    for name, value in rouge(text, text).items():
        assert tuple(value) == ((1, 1, 1) if size >= (2 if name == "rouge2" else 1) else (0, 0, 0))
    assert {tuple(value) for value in (rouge(text, "") | rouge("", text)).values()} == {(0, 0, 0)}


@given(texts, texts)
def test_f1_is_symmetric_where_precision_and_recall_change_places(first: str, second: str) -> None:
    there, back = rouge(first, second), rouge(second, first)
    for name in ("rouge1", "rouge2", "rougeL"):  # the union of rougeLsum is of the reference's sentences
        assert there[name].precision == back[name].recall
        assert there[name].f1 == pytest.approx(back[name].f1)


@given(texts, texts)
def test_order_can_only_cost(first: str, second: str) -> None:
    scores = rouge(first, second)
    assert 0 <= scores["rougeL"].recall <= scores["rouge1"].recall <= 1
    assert 0 <= scores["rougeLsum"].recall <= scores["rouge1"].recall
    one_line = rouge(first.replace("\n", " "), second.replace("\n", " "))
    assert one_line["rougeLsum"] == one_line["rougeL"]


def test_disjoint_texts_are_0() -> None:
    assert {tuple(value) for value in rouge("a cat sat here", "no dog stood there").values()} == {(0, 0, 0)}


def test_tokens_are_ascii_words_in_lower_case_stemmed_from_four_letters_on() -> None:
    assert tokens("It's 3.5 naïve CATS, was running_away") == [
        *("it", "s", "3", "5", "na", "ve", "cat", "was", "run", "away")
    ]
    assert tokens("was CATS", stem=False) == ["was", "cats"]


def test_a_gram_counts_as_often_as_in_the_text_that_has_it_less() -> None:
    assert grams("aab", 2) == {("a", "a"): 1, ("a", "b"): 1}
    assert not grams("a", 2)
    assert overlap(grams("aab", 1), grams("aaab", 1)) == (0.75, 1.0, pytest.approx(6 / 7))
    assert score(0, 0, 0) == (0, 0, 0)


def table(first: Sequence[str], second: Sequence[str]) -> list[list[int]]:
    """Lengths of common subsequences of all beginnings, one at a time."""
    rows = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first, 1):
        for j, b in enumerate(second, 1):
            rows[i][j] = rows[i - 1][j - 1] + 1 if a == b else max(rows[i - 1][j], rows[i][j - 1])
    return rows


@given(sequences, sequences)
def test_the_common_subsequence_is_that_of_a_table(first: list[str], second: list[str]) -> None:
    length = table(first, second)[-1][-1]
    assert lcs_length(first, second) == lcs_length(second, first) == length
    places = sorted(lcs_places(first, second))
    assert len(places) == length
    rest = iter(second)
    assert all(first[place] in rest for place in places)  # `in` an iterator goes on from where it found the last


def test_long_sequences() -> None:
    rng = random.Random(0)
    first, second = (rng.choices("abcdefghij", k=300) for _ in range(2))
    assert lcs_length(first, second) == table(first, second)[-1][-1]


def test_of_several_subsequences_the_reference_implementations_is_taken() -> None:
    # "b" and "c" are each a longest one: rouge-score goes back along the reference before the output, so it meets "b".
    assert lcs_places("bc", "cb") == {0}
    assert lcs_places("abcb", "bca") == {1, 2}
