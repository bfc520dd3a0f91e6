"""metapeft.evaluation.text.metrics: BLEU, chrF and exact match."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable

import pytest

from metapeft.errors import MetapeftError
from metapeft.evaluation.text.metrics import bleu, chrf, exact_match, sentence_bleu, sentence_chrf

REFERENCES = ["The ferry was cancelled because of the storm .", "Maria baked two loaves of bread today ."]
OUTPUTS = ["The ferry was late because of the storm .", "Maria baked two loaves of bread today ."]
needs_sacrebleu = pytest.mark.skipif(importlib.util.find_spec("sacrebleu") is None, reason="needs sacrebleu")


@needs_sacrebleu
def test_bleu_of_a_corpus_by_hand() -> None:
    # Matches of 1 to 4 words, the first output's then the second's: the lengths are equal, so nothing is taken off.
    orders = [(8 + 8) / (9 + 8), (6 + 7) / (8 + 7), (4 + 6) / (7 + 6), (2 + 5) / (6 + 5)]
    expected = (orders[0] * orders[1] * orders[2] * orders[3]) ** 0.25
    found = bleu(REFERENCES, OUTPUTS)
    assert found.score == pytest.approx(expected)
    assert "tok:13a" in found.signature and "nrefs:1" in found.signature
    # 8 words instead of 17, all of them right, are too short.
    assert bleu(REFERENCES, ["", OUTPUTS[1]]).score == pytest.approx(math.exp(1 - 17 / 8))


@needs_sacrebleu
@pytest.mark.parametrize("corpus", [bleu, chrf])
def test_copies_are_1_and_lengths_must_agree(corpus: Callable) -> None:
    assert corpus(REFERENCES, REFERENCES).score == pytest.approx(1)
    assert corpus(REFERENCES, ["qqq", "qqq"]).score < 0.05
    for references, outputs in ((REFERENCES, OUTPUTS[:1]), ([], [])):
        with pytest.raises(ValueError, match="one reference an output"):
            corpus(references, outputs)


@needs_sacrebleu
def test_a_sentence_shorter_than_four_words_can_be_right() -> None:
    assert sentence_bleu("Maria baked", "Maria baked") == pytest.approx(1)
    assert sentence_chrf("Maria baked", "Maria baked") == pytest.approx(1)
    assert sentence_bleu(REFERENCES[0], OUTPUTS[0]) < sentence_bleu(REFERENCES[0], REFERENCES[0])
    assert 0 < sentence_chrf("cancelled", "cancel") < 1
    assert sentence_bleu("Maria", "") == sentence_chrf("Maria", "") == 0


def test_without_sacrebleu_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    for call in (lambda: bleu(["a"], ["a"]), lambda: chrf(["a"], ["a"])):
        with pytest.raises(MetapeftError, match="metapeft\\[eval\\]"):
            call()
    for call in (lambda: sentence_bleu("a", "a"), lambda: sentence_chrf("a", "a")):
        with pytest.raises(MetapeftError, match="metapeft\\[eval\\]"):
            call()


@pytest.mark.parametrize(
    ("kind", "first", "second", "same"),
    [
        ("text", " A\n cat", "a cat ", True),
        ("text", "a cat", "a cat.", False),
        ("code", "\nif x:\r\n    y  \n\n", "if x:\n    y", True),
        ("code", "if x:\n    y", "if x:\n  y", False),
        ("code", "if X:\n    y", "if x:\n    y", False),
        ("code", "  a", "a", False),
        ("sql", "SELECT a\n FROM T WHERE b = 'It''s  X' ;", "select A from t where B = 'It''s  X'", True),
        ("sql", "select 'x'", "select 'X'", False),
        ("sql", "select 'x  y'", "select 'x y'", False),
        ("sql", 'select "A b"', 'select "a b"', False),
        ("sql", "select a", "select b", False),
    ],
)
def test_exact_match_up_to_what_never_matters(kind, first: str, second: str, same: bool) -> None:
    assert exact_match(first, second, kind) is exact_match(second, first, kind) is same
