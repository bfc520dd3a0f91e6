"""metapeft.tokenization.words: words of a text, and where they stand."""

from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.tokenization.words import joined, words_of


def test_runs_of_letters_and_digits_and_every_other_sign_for_itself() -> None:
    found = words_of(" Zoë's 2-year-old\u00a0cat, id_7…\n")
    assert found.words == ["Zoë", "'", "s", "2", "-", "year", "-", "old", "cat", ",", "id", "_", "7", "…"]
    assert found.offsets[0] == (1, 4)
    # a mark belongs to its letter: Hindi, and a letter with a combining accent
    assert words_of("नमस्ते e\u0301a 東京").words == ["नमस्ते", "e\u0301a", "東京"]
    assert words_of(" \n\t").offsets == []


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.text(max_size=30))
def test_nothing_but_white_space_is_lost(text: str) -> None:
    found = words_of(text)
    assert "".join(found.words) == "".join(sign for sign in text if not sign.isspace())
    assert all(a < b for a, b in found.offsets)
    assert all(before[1] <= after[0] for before, after in zip(found.offsets, found.offsets[1:], strict=False))


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.lists(st.text(max_size=5), max_size=6))
def test_words_that_are_cut_already_stand_where_they_are_said_to(words: list[str]) -> None:
    found = joined(words)
    assert found.words == words
    assert found.text == " ".join(words)
