"""Porter's stemmer with the extensions that NLTK adds by default: the stems of the ROUGE that papers publish.

Its differences from the paper: a table of irregular words, words of two letters stay, ``ies`` and ``ied`` in words of
four letters keep their e, y becomes i after a consonant only, ``alli`` before other endings, ``bli``, ``fulli`` and
``logi``, and a vowel and a consonant alone count as an end in consonant, vowel, consonant.

References:
    Porter, "An algorithm for suffix stripping" (1980); NLTK's `PorterStemmer` in its mode `NLTK_EXTENSIONS`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

IRREGULAR = {
    **{"sky": "sky", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "news": "news", "howe": "howe"},
    **{"inning": "inning", "innings": "inning", "outing": "outing", "outings": "outing"},
    **{"canning": "canning", "cannings": "canning", "proceed": "proceed", "exceed": "exceed", "succeed": "succeed"},
}
# Endings of steps 2, 3 and 4, each before those that it ends in. Step 4 drops its endings.
SECOND = {
    **{"ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "bli": "ble", "entli": "ent"},
    **{"eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al", "iveness": "ive"},
    **{"fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble", "fulli": "ful"},
}
THIRD = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
FOURTH = dict.fromkeys(
    ("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ou", "ism", "ate", "iti", "ous")
    + ("ive", "ize"),
    "",
)


@functools.lru_cache(maxsize=2**16)
def stem(word: str) -> str:
    """The stem of a word.

    Args:
        word: lower case; what is no letter counts as a consonant.
    """
    if word in IRREGULAR:
        return IRREGULAR[word]
    if len(word) <= 2:
        return word
    word = _without_past(_without_plural(word))
    if word.endswith("y") and len(word) > 2 and _shape(word)[-2] == "c":
        word = word[:-1] + "i"
    word = _replaced(_second(word), THIRD, 1)
    if word.endswith("ion"):
        word = word[:-3] if _measure(word[:-3]) > 1 and word[-4] in "st" else word
    else:
        word = _replaced(word, FOURTH, 2)
    if word.endswith("e"):
        measure = _measure(word[:-1])
        word = word[:-1] if measure > 1 or (measure == 1 and not _ends_short(word[:-1])) else word
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word


def _without_plural(word: str) -> str:
    """Step 1a."""
    if word.endswith("ies"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _without_past(word: str) -> str:
    """Step 1b."""
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) else word
    rest = word.removesuffix("ed") if word.endswith("ed") else word.removesuffix("ing")
    if rest == word or "v" not in _shape(rest):
        return word
    if rest.endswith(("at", "bl", "iz")):
        return rest + "e"
    if len(rest) > 1 and rest[-1] == rest[-2] and _shape(rest)[-1] == "c":
        return rest if rest[-1] in "lsz" else rest[:-1]
    return rest + "e" if _measure(rest) == 1 and _ends_short(rest) else rest


def _second(word: str) -> str:
    """Step 2."""
    if word.endswith("alli") and _measure(word[:-4]):
        word = word[:-2]
    if word.endswith("logi"):
        return word[:-1] if _measure(word[:-3]) else word
    return _replaced(word, SECOND, 1)


def _replaced(word: str, endings: Mapping[str, str], least: int) -> str:
    """The word with the first ending that fits replaced; as it is where what stands before has too low a measure."""
    for ending, other in endings.items():
        if word.endswith(ending):
            rest = word.removesuffix(ending)
            return rest + other if _measure(rest) >= least else word
    return word


def _shape(word: str) -> str:
    """A c for each consonant, a v for each vowel; y is a vowel after a consonant."""
    shape = ""
    for letter in word:
        shape += "v" if letter in "aeiou" or (letter == "y" and shape.endswith("c")) else "c"
    return shape


def _measure(word: str) -> int:
    """How many times a consonant follows a vowel: the paper's m."""
    return _shape(word).count("vc")


def _ends_short(word: str) -> bool:
    """Whether it ends in consonant, vowel and a consonant other than w, x or y, or is a vowel and a consonant."""
    shape = _shape(word)
    return shape == "vc" or (shape.endswith("cvc") and word[-1] not in "wxy")
