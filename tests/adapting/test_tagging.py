"""metapeft.adapting.tagging: folds of sentences, an estimate that does not flatter, and what is said of sentences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.adapting import adapt_sentences, tagging
from metapeft.adapting.starts import NOT_SHIPPED, Start
from metapeft.adapting.tagging import TagEstimate, estimate, fit, look, sentence_folds
from metapeft.errors import AdaptationError, SourceError
from metapeft.heads.head import unit
from metapeft.meta.judge import Counts, best_paths, counted, transitions_of
from metapeft.meta.select import FROZEN, SHARP, Candidate
from metapeft.mlx import mx
from metapeft.tasks.pool import Pool, Ragged
from tests.adapting.made import frozen_tagging_start, made_tagging_start, sure_of, tagged_about

TYPES = ["food", "sport"]
SENTENCES, TAGS = tagged_about(TYPES * 6)


@pytest.fixture(scope="module")
def begin() -> Start:
    return made_tagging_start()


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.data(), st.integers(1, 12), st.integers(1, 4), st.integers(2, 5))
def test_whatever_is_left_out_every_type_stays(data, rows, types, folds) -> None:
    has = np.array(data.draw(st.lists(st.booleans(), min_size=rows * types, max_size=rows * types))).reshape(
        rows, types
    )
    order = np.array(data.draw(st.permutations(range(rows))))
    fold = sentence_folds(has, folds, order)
    assert fold.shape == (rows,)
    assert ((fold >= 0) & (fold <= folds)).all()
    for number in range(folds):
        assert (has[fold != number].any(axis=0) == has.any(axis=0)).all()
    # no more is kept back than one sentence a type
    assert np.count_nonzero(fold == folds) <= max(types, rows == 1)
    sizes = np.bincount(fold, minlength=folds + 1)[:folds]
    assert (sizes.max() <= -(-rows // folds) + types) and (fold == sentence_folds(has, folds, order)).all()


def test_types_in_every_sentence_share_the_folds_evenly() -> None:
    fold = sentence_folds(np.ones((10, 2), bool), 5, np.arange(10)[::-1])
    assert np.bincount(fold).tolist() == [2] * 5
    assert sentence_folds(np.ones((1, 1), bool), 5, np.arange(1)).tolist() == [5]


def test_a_word_is_read_in_its_sentence_whatever_stands_beside_it(begin: Start) -> None:
    whole = look(begin, SENTENCES, TAGS, TYPES)
    alone = look(begin, SENTENCES[3:4], TAGS[3:4], TYPES)
    at = int(whole.sentences.lengths[:3].sum())
    own = slice(at, at + len(SENTENCES[3]))
    np.testing.assert_allclose(whole.frozen[own], alone.frozen, atol=1e-5)
    assert whole.classes[own].tolist() == [0, 0, 0, 2, 2, 0, 0, 0, 0]
    assert whole.sentences.tags[own].tolist() == [0, 0, 0, 3, 4, 0, 0, 0, 0]
    assert whole.has.tolist() == [[True, False], [False, True]] * 6


def test_a_fit_does_not_hang_on_the_sentences_left_out(begin: Start) -> None:
    kept = np.arange(8)
    found = []
    for others, tags in ((SENTENCES[8:], TAGS[8:]), ([["something", "else", "entirely"]] * 4, [["O"] * 3] * 4)):
        found.append(fit(begin, look(begin, [*SENTENCES[:8], *others], [*TAGS[:8], *tags], TYPES), kept, 3, {}))
    assert found[0].choice == found[1].choice
    np.testing.assert_allclose(found[0].embedding, found[1].embedding, atol=1e-4)
    assert set(found[0].choice.validated) == {c.name for c in begin.candidates}
    # and it does hang on its own
    other = [[tag.replace("food", "sport") if i < 4 else tag for tag in own] for i, own in enumerate(TAGS)]
    moved = fit(begin, look(begin, SENTENCES, other, TYPES), kept, 3, {})
    assert np.abs(moved.embedding - found[0].embedding).max() > 0.01


def test_every_sentence_is_left_out_once_a_repetition_and_an_only_one_never(
    begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    more, own = tagged_about(["money"], 4)
    seen = look(begin, [*SENTENCES, *more, ["nothing", "here"]], [*TAGS, *own, ["O", "O"]], ["food", "money", "sport"])
    left_out = np.zeros(14, np.int64)

    def watched(begin, seen, rows, folds, still):
        left_out[np.setdiff1d(np.arange(14), rows)] += 1
        assert seen.has[rows].any(axis=0).all()
        return fit(begin, seen, rows, folds, still)

    monkeypatch.setattr(tagging, "fit", watched)
    measured = estimate(begin, seen, ["food", "money", "sport"], 3, 2, 0, {})
    assert measured is not None
    assert left_out.tolist() == [2] * 12 + [0, 2]
    assert (measured.sentences, measured.mentions, measured.repeats) == (13, 12, 2)
    assert set(measured.types) == {"food", "sport"}
    assert measured.types["food"]["mentions"] == 6
    assert sum(measured.chosen.values()) == 6


def by_hand(begin: Start, start: str, mix: float, seed: int, folds: int) -> Counts:
    """The head written out: nearest word outside, means of types, and paths, fold by fold."""
    seen = look(begin, SENTENCES, TAGS, TYPES)
    fold = sentence_folds(seen.has, folds, np.random.default_rng(seed).permutation(12))
    owner = np.repeat(np.arange(12), seen.sentences.lengths)
    total = np.zeros(3, np.int64)
    for number in range(folds):
        kept, out = np.flatnonzero(fold != number), fold[owner] == number
        known = fit(begin, seen, kept, folds, {}).known
        frozen, adapted = (np.array(known[name].support) for name in ("frozen", start))
        features = np.concatenate([(1 - mix) ** 0.5 * frozen, mix**0.5 * adapted], axis=1)
        support, classes = features[~out], seen.classes[~out]
        means = np.stack([support[classes == kind].mean(axis=0) for kind in (1, 2)])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        near = (features[out] @ support[classes == 0].T).max(axis=1, keepdims=True)
        logits = 40 * np.concatenate([np.maximum(near, 0), features[out] @ means.T], axis=1)
        lengths, tags = seen.sentences.lengths, seen.sentences.tags
        transitions = begin.setup.transitions
        if transitions is None:
            row = Ragged(tags[~out], np.concatenate([[0], np.cumsum(lengths[kept])]))
            transitions = transitions_of([Pool("tagging", row, row)])
        rows = np.flatnonzero(fold == number)
        own = seen.sentences._replace(lengths=lengths[rows], tags=tags[out])
        total += np.array(counted(best_paths(logits, own.lengths, transitions), own))
    return Counts(*total.tolist())


@pytest.mark.parametrize(("start", "mix"), [("frozen", 0.0), ("static", 0.25), ("hypernetwork", 0.25)])
def test_the_estimate_is_the_head_written_out(begin: Start, start: str, mix: float) -> None:
    sure = begin._replace(prior=sure_of(Candidate(start, 0, mix)))
    measured = estimate(sure, look(begin, SENTENCES, TAGS, TYPES), TYPES, 4, 1, 7, {})
    wanted = by_hand(sure, start, mix, 7, 4)
    assert measured is not None
    assert (measured.f1, measured.precision, measured.recall) == (wanted.f1, wanted.precision, wanted.recall)
    assert wanted.right > 0
    assert measured.frozen == by_hand(sure, "frozen", 0.0, 7, 4).f1
    assert measured.ci95[0] <= measured.f1 <= measured.ci95[1]


def test_without_a_checkpoint_transitions_are_counted_in_the_sentences_kept() -> None:
    frozen = frozen_tagging_start()._replace(prior=sure_of(FROZEN))
    measured = estimate(frozen, look(frozen, SENTENCES, TAGS, TYPES), TYPES, 4, 1, 7, {})
    assert measured is not None
    assert measured.f1 == measured.frozen == by_hand(frozen, "frozen", 0.0, 7, 4).f1
    assert measured.chosen == {"frozen": 4}


def test_tags_by_chance_are_not_found(begin: Start) -> None:
    rng = np.random.default_rng(3)
    tags = [["O"] * len(own) for own in SENTENCES]
    for own, kind in zip(tags, TYPES * 6, strict=True):
        own[rng.integers(len(own))] = f"B-{kind}"
    measured = estimate(begin, look(begin, SENTENCES, tags, TYPES), TYPES, 3, 2, 0, {})
    easy = estimate(begin, look(begin, SENTENCES, TAGS, TYPES), TYPES, 3, 2, 0, {})
    assert measured is not None and easy is not None
    assert measured.f1 < 0.3 < easy.f1


def test_the_gazetteer_finds_what_the_other_sentences_say(begin: Start) -> None:
    words, tags = tagged_about(["food"] * 6)
    same = [["we", "ate", "soup", *["now"] * i] for i in range(6)]
    measured = estimate(
        begin, look(begin, same, [["O", "O", "B-x", *["O"] * i] for i in range(6)], ["x"]), ["x"], 3, 1, 0, {}
    )
    assert measured is not None
    assert measured.gazetteer == 1.0
    other = [[*own[:3], f"{own[3]}{i}", *own[4:]] for i, own in enumerate(words)]
    measured = estimate(begin, look(begin, other, tags, ["food"]), ["food"], 3, 1, 0, {})
    assert measured is not None
    assert measured.gazetteer == 0.0


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
    sure = begin._replace(prior=sure_of(Candidate("static", 0, 0.5)))
    monkeypatch.setattr(tagging, "open_start", lambda checkpoint, backbone, kind: sure)
    made = adapt_sentences(SENTENCES, TAGS, folds=2, repeats=1)
    own, frozen = (100 * made.result["validated"][name] for name in ("static, mix 0.5", "frozen"))
    assert made.result["why"].startswith(
        f"Offered: 28 starts and mixes. static, mix 0.5 had an F1 of {own:.1f} on the sentences left out, "
        f"the frozen prototypes {frozen:.1f}; on tasks as near"
    )
    assert made.result["nearest"] != []
    assert made.result["head"]["bytes"] == made.result["head"]["rows"] * 512 * 4
    assert made.result["head"]["rows"] == sum(tag == "O" for own in TAGS for tag in own) + 1 + 2
    assert mx.all(mx.abs(mx.linalg.norm(unit(made.tagger.weight[-2:]), axis=1) - 1) < 1e-4).item()


def test_a_sharp_choice_is_a_sharp_tagger(begin: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []
    for sharpness in (1.0, SHARP):
        sure = begin._replace(prior=sure_of(Candidate("static", 0, 0.5, sharpness=sharpness)))
        monkeypatch.setattr(tagging, "open_start", lambda checkpoint, backbone, kind, sure=sure: sure)
        weights.append(np.array(adapt_sentences(SENTENCES, TAGS, folds=2, repeats=1).tagger.weight))
    np.testing.assert_allclose(weights[1], SHARP * weights[0], rtol=1e-5)


def test_looking_up_is_said_to_be_better_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "looking up the entities of the other sentences found more than this: expect little of it"
    tags = [["B-x" if word == "." else "O" for word in own] for own in SENTENCES]
    made = adapt_sentences(SENTENCES, TAGS, checkpoint="none", folds=3, repeats=1)
    assert said not in made.result["notes"]
    assert made.result["estimate"]["gazetteer"] < made.result["estimate"]["f1"]
    monkeypatch.setattr(tagging, "best_paths", lambda logits, lengths, transitions: np.zeros(len(logits), np.int64))
    made = adapt_sentences(SENTENCES, tags, checkpoint="none", folds=3, repeats=1)
    assert said in made.result["notes"]
    assert made.result["estimate"]["f1"] == 0


def test_the_interval_is_that_of_sentences_drawn_anew() -> None:
    counts = np.array([[1, 1, 2], [0, 2, 1], [2, 2, 2], [0, 0, 1], [0, 0, 0], [1, 3, 1]] * 5)
    low, high = tagging._interval(counts, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    drawn = [Counts(*counts[rng.integers(30, size=30)].sum(axis=0).tolist()).f1 for _ in range(4000)]
    np.testing.assert_allclose([low, high], np.quantile(drawn, [0.025, 0.975]), atol=0.02)
    assert tagging._interval(np.tile([[1, 2, 2]], (9, 1)), rng) == (0.5, 0.5)
