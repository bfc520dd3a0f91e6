"""metapeft.adapting.choosing_tags: folds of sentences, and an estimate that does not flatter."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.adapting import choosing_tags
from metapeft.adapting.choosing_tags import estimate, fit, look
from metapeft.adapting.starts import Start
from metapeft.meta.folds import sentence_folds
from metapeft.meta.judge import Counts, best_paths, counted, transitions_of
from metapeft.meta.select import FROZEN, Candidate
from metapeft.tasks.pool import Pool, Ragged
from tests.adapting.made import frozen_tagging_start, made_tagging_start, sure_of, tagged_about

TYPES = ["food", "sport"]
SENTENCES, TAGS = tagged_about(TYPES * 6)


@pytest.fixture(scope="module")
def begin() -> Start:
    return made_tagging_start()


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

    monkeypatch.setattr(choosing_tags, "fit", watched)
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
    own = Candidate(start, 0, mix)
    sure = begin._replace(prior=sure_of(own), candidates=tuple(dict.fromkeys((FROZEN, own))))
    measured = estimate(sure, look(begin, SENTENCES, TAGS, TYPES), TYPES, 4, 1, 7, {})
    wanted = by_hand(sure, start, mix, 7, 4)
    assert measured is not None
    assert (measured.f1, measured.precision, measured.recall) == (wanted.f1, wanted.precision, wanted.recall)
    assert wanted.right > 0
    assert measured.chosen == {own.name: 4}
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


def test_the_interval_is_that_of_sentences_drawn_anew() -> None:
    counts = np.array([[1, 1, 2], [0, 2, 1], [2, 2, 2], [0, 0, 1], [0, 0, 0], [1, 3, 1]] * 5)
    low, high = choosing_tags._interval(counts, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    drawn = [Counts(*counts[rng.integers(30, size=30)].sum(axis=0).tolist()).f1 for _ in range(4000)]
    np.testing.assert_allclose([low, high], np.quantile(drawn, [0.025, 0.975]), atol=0.02)
    assert choosing_tags._interval(np.tile([[1, 2, 2]], (9, 1)), rng) == (0.5, 0.5)
