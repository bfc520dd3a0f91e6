"""metapeft.adapting.tagging: what is said of sentences, what is refused, and why something was chosen."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.adapting import adapt_sentences, choosing_tags, tagging
from metapeft.adapting.choosing_tags import TagEstimate
from metapeft.adapting.starts import NOT_SHIPPED, Start
from metapeft.errors import AdaptationError, SourceError
from metapeft.meta.select import DETECTOR, Candidate
from tests.adapting.made import frozen_tagging_start, made_tagging_start, sure_of, tagged_about

TYPES = ["food", "sport"]
SENTENCES, TAGS = tagged_about(TYPES * 6)


@pytest.fixture(scope="module")
def begin() -> Start:
    return made_tagging_start()


def test_what_is_said_of_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagging, "open_start", lambda checkpoint, backbone, kind: frozen_tagging_start())
    more = [SENTENCES[0], ["We", *SENTENCES[1][1:]], ["soup"], ["soup"], [" "], ["a", "tax"], [*["so"] * 300]]
    own = [TAGS[0], TAGS[1], ["B-food"], ["O"], ["O"], ["O", "I-money"], ["O"] * 300]
    made = adapt_sentences([*SENTENCES, *more], [*TAGS, *own], folds=2, repeats=1, notes=["read"])
    assert made.result["notes"] == [
        "read",
        "1 tag goes on with an entity that did not begin (I- without B-): taken as its beginning",
        "1 sentence without a word: skipped (sentence 17)",
        "2 sentences tagged in two ways: left out (sentence 15, sentence 16)",
        "2 sentences that stood there before: counted once (sentence 13, sentence 14)",
        NOT_SHIPPED,
        "'money' in one sentence only: its sentence is never left out, so how well it is found is not measured",
        "1 sentence is longer than 64 tokens: read in 5 windows of whole words",
    ]
    assert made.result["labels"] == {"food": 6, "money": 1, "sport": 6}
    assert (made.result["sentences"], made.result["words"]) == (14, sum(map(len, SENTENCES)) + 302)
    measured = TagEstimate(**made.result["estimate"])
    assert set(measured.types) == {"food", "sport"}


def test_one_sentence_is_enough_and_measures_nothing() -> None:
    made = adapt_sentences(SENTENCES[:1], TAGS[:1], checkpoint="none")
    assert made.result["estimate"] is None
    assert NOT_SHIPPED not in made.result["notes"]
    # a type for each of two sentences: none can be left out
    assert adapt_sentences(SENTENCES[:2], TAGS[:2], checkpoint="none").result["estimate"] is None


def test_too_many_words_are_bounded_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagging, "MOST_WORDS", 40)
    made = adapt_sentences(SENTENCES, TAGS, checkpoint="none", folds=2, repeats=1)
    assert made.result["words"] <= 40
    used = made.result["sentences"]
    assert (
        f"{used} of 12 sentences are used, {made.result['words']} words: those whose text has"
        in made.result["notes"][0]
    )
    backwards = adapt_sentences(SENTENCES[::-1], TAGS[::-1], checkpoint="none", folds=2, repeats=1)
    assert backwards.result["labels"] == made.result["labels"]
    monkeypatch.setattr(tagging, "MOST_WORDS", 3)
    made = adapt_sentences(SENTENCES, TAGS, checkpoint="none")
    assert made.result["sentences"] == 1
    (kept,) = made.result["labels"]
    (lost,) = {"food", "sport"} - {kept}
    assert f"no sentence that is used has an entity of '{lost}'" in made.result["notes"]


@pytest.mark.parametrize(
    ("sentences", "tags", "message"),
    [
        ([["a"]], [["O"]], "none of 1 sentences has an entity: a tagger needs one of each type"),
        ([], [], "none of 0 sentences has an entity"),
        ([["a"], ["a"]], [["B-x"], ["O"]], "(?s)none of 0 .*2 sentences tagged in two ways"),
        ([["a"]], [], "1 sentences and 0 lists of tags"),
        ([["a", "b"]], [["O"]], "sentence 1: 2 words and 1 tags"),
        (["ab"], [["O", "O"]], "sentence 1 is one string"),
        ([["\u200b", "a"]], [["B-x", "O"]], "all entities of type 'x' are of signs that the tokenizer does not know"),
    ],
)
def test_sentences_that_are_refused(sentences, tags, message: str) -> None:
    with pytest.raises(AdaptationError, match=message):
        adapt_sentences(sentences, tags, checkpoint="none")


def test_settings_and_tags_that_are_refused() -> None:
    with pytest.raises(AdaptationError, match="folds must be 2 or more"):
        adapt_sentences(SENTENCES, TAGS, checkpoint="none", folds=1)
    with pytest.raises(SourceError, match="sentence 1, word 1: 'person' is no tag"):
        adapt_sentences([["Alice"]], [["person"]], checkpoint="none")


def test_why_says_what_was_offered_and_how_it_did(begin: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Candidate("hypernetwork", 0, 0.5, classifier="both", detector=DETECTOR)
    sure = begin._replace(prior=sure_of(told))
    monkeypatch.setattr(tagging, "open_start", lambda checkpoint, backbone, kind: sure)
    made = adapt_sentences(SENTENCES, TAGS, folds=2, repeats=1)
    own, frozen = (100 * made.result["validated"][name] for name in (told.name, "frozen"))
    assert made.result["why"].startswith(
        f"Offered: 3 starts and mixes. {told.name} had an F1 of {own:.1f} on the sentences left out, "
        f"the frozen prototypes {frozen:.1f}; on tasks as near"
    )
    assert made.result["nearest"] != []
    assert made.result["head"]["bytes"] == made.result["head"]["rows"] * 512 * 4
    assert made.result["head"]["rows"] == sum(tag == "O" for own in TAGS for tag in own) + 1 + 2 + 3


def test_looking_up_is_said_to_be_better_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "looking up the entities of the other sentences found more than this: expect little of it"
    tags = [["B-x" if word == "." else "O" for word in own] for own in SENTENCES]
    made = adapt_sentences(SENTENCES, TAGS, checkpoint="none", folds=3, repeats=1)
    assert said not in made.result["notes"]
    assert made.result["estimate"]["gazetteer"] < made.result["estimate"]["f1"]
    monkeypatch.setattr(
        choosing_tags, "best_paths", lambda logits, lengths, transitions: np.zeros(len(logits), np.int64)
    )
    made = adapt_sentences(SENTENCES, tags, checkpoint="none", folds=3, repeats=1)
    assert said in made.result["notes"]
    assert made.result["estimate"]["f1"] == 0
