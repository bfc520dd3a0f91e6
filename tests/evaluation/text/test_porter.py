"""metapeft.evaluation.text.porter: the paper's own examples, and where NLTK's default differs from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapeft.evaluation.text.porter import FOURTH, IRREGULAR, SECOND, THIRD, stem

# Words of Porter (1980) by the step that they are an example of; the stems are those after all steps.
PAPER = {
    "1a": "caresses caress, ponies poni, caress caress, cats cat",
    "1b": "feed feed, agreed agre, plastered plaster, bled bled, motoring motor, sing sing, conflated conflat, "
    "troubled troubl, sized size, hopping hop, tanned tan, falling fall, hissing hiss, fizzed fizz, failing fail, "
    "filing file",
    "1c": "happy happi, sky sky",
    "2": "relational relat, conditional condit, rational ration, valency valenc, digitizer digit, radically radic, "
    "differently differ, vilely vile, analogously analog, predication predic, operator oper, feudalism feudal, "
    "decisiveness decis, hopefulness hope, callousness callous, formality formal, sensitivity sensit, "
    "sensibility sensibl",
    "3": "triplicate triplic, formative form, formalize formal, electrical electr, hopeful hope, goodness good",
    "4": "revival reviv, allowance allow, inference infer, airliner airlin, gyroscopic gyroscop, adjustable adjust, "
    "defensible defens, irritant irrit, replacement replac, adjustment adjust, dependent depend, adoption adopt, "
    "communism commun, activate activ, angularity angular, homologous homolog, effective effect, bowdlerize bowdler",
    "5": "probate probat, rate rate, cease ceas, controlling control, roll roll",
    "several": "generalizations gener, oscillators oscil, criterion criterion",
}
# What the paper's rules alone would stem otherwise; NLTK 3.10.4, mode NLTK_EXTENSIONS.
NLTK = (
    "dies die, ties tie, died die, spied spi, skies sky, news news, enjoy enjoy, enjoyment enjoy, fly fli, flies fli, "
)
NLTK += (
    "theology theolog, hopefully hope, possibly possibl, nationally nation, proceed proceed, innings inning, owed owe"
)


@pytest.mark.parametrize("pairs", [*PAPER.values(), NLTK], ids=[*PAPER, "nltk"])
def test_known_stems(pairs: str) -> None:
    known = dict(pair.split() for pair in pairs.split(", "))
    assert {word: stem(word) for word in known} == known


def test_words_of_two_letters_and_digits_stay() -> None:
    assert [stem(word) for word in ("is", "as", "y", "", "2023", "4444", "iiiiv")] == [
        *("is", "as", "y", "", "2023", "4444", "iiiiv")
    ]


ENDINGS = [
    *SECOND,
    *THIRD,
    *FOURTH,
    "s",
    "sses",
    "ies",
    "ied",
    "ed",
    "eed",
    "ing",
    "y",
    "e",
    "ll",
    "ion",
    "logi",
    "alli",
]


@given(st.text("aeioubcdlstxyz1", max_size=6), st.lists(st.sampled_from(ENDINGS), max_size=3).map("".join))
def test_a_stem_is_never_longer_by_more_than_a_letter_nor_empty(beginning: str, ending: str) -> None:
    word = beginning + ending
    if word not in IRREGULAR and len(word) > 3:
        assert 0 < len(stem(word)) <= len(word)
        assert stem(word)[:1] == word[:1]
