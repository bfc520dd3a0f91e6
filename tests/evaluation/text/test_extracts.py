"""metapeft.evaluation.text.extracts: sentences, the oracle and what is copied."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapeft.evaluation.text.extracts import coverage_and_density, lead, novel_share, oracle, sentences
from metapeft.evaluation.text.rouge import rouge

words = st.sampled_from(["cat", "dog", "ran", "sat", "home", "away"])
sentence = st.lists(words, min_size=1, max_size=6).map(" ".join)
documents = st.lists(sentence, min_size=1, max_size=7)


def own(chosen: list[str], reference: str) -> float:
    scores = rouge(reference, " ".join(chosen))
    return scores["rouge1"].f1 + scores["rouge2"].f1


@pytest.mark.parametrize(
    "expected",
    [
        ["It rained.", "We stayed in!", "Why?", "3 of us left…", "The rest slept."],
        ['"Come in," she said.', '"Now."', "(He did.)", "He sat."],
        ["Dr. Ito met J. R. Smith of the U.S. Army on Jan. 5 at St. Mary.", "They talked, e.g. About No. 5."],
        ["It costs 3.5 euros at shop.example.org now.", "So what."],
        ["The answer is no.", "He went in March.", "It was 10 a.m.", "Mine was fig.", "Good."],
        ["Madry et al. (2017) say so.", "We do not."],
        ["it ran. then it sat."],
    ],
)
def test_sentences(expected: list[str]) -> None:
    assert sentences(" ".join(expected)) == expected
    assert sentences("\n\n ".join(expected) + "\n") == expected


def test_a_line_is_a_sentence_and_nothing_is_none() -> None:
    assert sentences("Ann: hi\r\nBo: hello. you?\n") == ["Ann: hi", "Bo: hello. you?"]
    assert sentences(" \n ") == []


@given(st.text("aA1.?!\"' \n", max_size=40))
def test_nothing_but_white_space_is_lost(text: str) -> None:
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(each == each.strip() != "" for each in found)


def test_lead() -> None:
    assert lead(["a", "b", "c"], 2) == ["a", "b"]
    assert lead(["a"], 3) == ["a"]
    with pytest.raises(ValueError, match="at least one"):
        lead(["a"], 0)


def test_the_oracle_finds_what_was_copied_in_the_order_of_the_document() -> None:
    document = ["The mayor spoke.", "Taxes will rise by two percent.", "It was sunny.", "A new bridge opens in May."]
    assert oracle(document, "A new bridge opens in May. Taxes will rise by two percent.") == [document[1], document[3]]
    assert oracle(document, "A new bridge opens in May. Taxes will rise by two percent.", most=1) == [document[1]]
    assert oracle(document, "nobody knows") == []
    assert oracle([], "nobody knows") == []
    assert oracle(["Two taxes."], "tax", stem=False) == [] and oracle(["Two taxes."], "taxing") == ["Two taxes."]


def test_sentences_are_scored_in_the_order_of_the_document() -> None:
    assert oracle(["s", "p q r", "s"], "p q r s") == ["p q r", "s"]  # the last s follows r, as in the reference


def test_a_sentence_that_raises_nothing_is_left_out() -> None:
    # 1 of 4 words found by 2, or 2 of 4 found by 8: F1 is 1/3 both times
    assert oracle(["w q", "x n1 n2 n3 n4 n5"], "w x y z") == ["w q"]


@given(documents, sentence)
def test_the_oracle_is_no_worse_than_one_sentence_and_no_other_would_raise_it(
    document: list[str], reference: str
) -> None:
    document = [f"{each} n{index}" for index, each in enumerate(document)]  # no two alike
    chosen = oracle(document, reference)
    assert chosen == [each for each in document if each in chosen]
    best = own(chosen, reference)
    assert all(best >= own([each], reference) - 1e-12 for each in document)
    for other in set(document) - set(chosen):
        more = [each for each in document if each in chosen or each == other]
        assert own(more, reference) <= best + 1e-12


@given(documents, sentence)
def test_a_bounded_oracle_is_at_least_the_lead_of_one(document: list[str], reference: str) -> None:
    chosen = oracle(document, reference, most=1)
    assert len(chosen) <= 1
    assert own(chosen, reference) >= own(lead(document, 1), reference) - 1e-12


def test_coverage_and_density_by_hand() -> None:
    document = "The old bridge over the river was closed for repairs."
    # "the old bridge" (3) and "closed for" (2) are copied, "is" and "good" are not.
    assert coverage_and_density(document, "The old bridge is closed for good") == (5 / 7, 13 / 7)
    # The longest of several runs from a word: "the river", not "the old".
    assert coverage_and_density(document, "the river") == (1, 2)
    assert coverage_and_density(document, "nothing") == (0, 0)
    assert all(map(math.isnan, coverage_and_density(document, "…")))


@given(sentence)
def test_a_copy_is_covered_by_one_run_and_has_nothing_new(text: str) -> None:
    length = len(text.split())
    assert coverage_and_density(f"so {text} it", text) == (1, length)
    assert novel_share(f"so {text} it", text, 1) == 0


def test_new_grams_count_as_often_as_they_stand_there() -> None:
    assert novel_share("a cat sat", "a dog dog sat", 1) == 0.5
    assert novel_share("a cat sat", "a cat ran", 2) == 0.5
    assert math.isnan(novel_share("a cat sat", "cat", 2))
