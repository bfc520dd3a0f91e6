"""metapeft.adapting.choosing: nothing is learned from what is left out, and the estimate does not flatter."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.adapting import choosing
from metapeft.adapting.choosing import estimate, fit, look
from metapeft.adapting.starts import Start, open_start
from metapeft.meta.select import Candidate
from tests.adapting.made import made_start, sure_of, texts_about

NAMES = ["food", "sport"]


@pytest.fixture(scope="module")
def begin() -> Start:
    return made_start()


def test_a_fit_does_not_hang_on_the_examples_left_out(begin: Start) -> None:
    labels = np.array([0, 1] * 6)
    texts = texts_about([NAMES[label] for label in labels])
    kept = np.arange(8)
    found = []
    for others in (texts[8:], ["something else entirely, and longer"] * 4):
        seen = look(begin, [*texts[:8], *others], labels, NAMES)
        found.append(fit(begin, seen, kept, 3, {}))
    assert found[0].choice == found[1].choice
    np.testing.assert_allclose(found[0].embedding, found[1].embedding, atol=1e-4)
    # and it does hang on its own: the same texts with other labels are another task
    other = fit(begin, look(begin, texts, np.array([0, 0, 1, 1] * 3), NAMES), kept, 3, {})
    assert np.abs(other.embedding - found[0].embedding).max() > 0.01


def test_every_example_is_left_out_once_a_repetition_and_an_only_one_never(
    begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.array([0, 1, 2, 0, 1, 0, 0, 1, 0])
    seen = look(begin, texts_about([(*NAMES, "money")[label] for label in labels]), labels, [*NAMES, "money"])
    left_out = np.zeros(9, np.int64)

    def watched(begin, seen, rows, folds, still):
        out = np.setdiff1d(np.arange(9), rows)
        left_out[out] += 1
        assert set(seen.labels[rows]) == {0, 1, 2}
        return fit(begin, seen, rows, folds, still)

    monkeypatch.setattr(choosing, "fit", watched)
    measured = estimate(begin, seen, 3, 4, 0, {})
    assert left_out.tolist() == [4, 4, 0, 4, 4, 4, 4, 4, 4]
    assert measured.examples == 8
    assert measured.majority == 5 / 8
    assert sum(measured.chosen.values()) == 12


def test_the_estimate_does_not_count_luck_as_skill(begin: Start) -> None:
    labels = np.array([0, 1] * 12)
    rng = np.random.default_rng(3)
    gaps = []
    for seed in range(3):
        texts = texts_about([NAMES[int(i)] for i in rng.integers(0, 2, 24)], seed)  # the labels say nothing
        seen, still = look(begin, texts, labels, ["1", "2"]), {}
        best = max(fit(begin, seen, np.arange(24), 5, still).choice.validated.values())
        measured = estimate(begin, seen, 5, 2, 0, still)
        gaps.append(best - measured.accuracy)
        assert measured.ci95[0] < 0.5 < measured.ci95[1]
    assert np.mean(gaps) > 0.03  # the winner's own figure flatters


def test_what_is_easy_is_measured_so_and_not_as_certain(begin: Start) -> None:
    labels = np.array([0, 1] * 8)
    seen = look(begin, texts_about([NAMES[label] for label in labels]), labels, NAMES)
    measured = estimate(begin._replace(prior=sure_of(Candidate("frozen"))), seen, 4, 1, 0, {})
    assert measured.accuracy == measured.frozen > 0.9
    assert measured.ci95[0] < 0.95
    assert measured.chosen == {"frozen": 4}


def test_the_estimate_reads_the_candidate_that_was_chosen(begin: Start) -> None:
    """Against the classifier written out: adapters of the kept examples, prototypes, cosine."""
    labels = np.array([0, 1] * 5)
    seen = look(begin, texts_about([NAMES[label] for label in labels], 5), labels, NAMES)
    chosen = Candidate("hypernetwork", 0, 1.0)
    measured = estimate(begin._replace(prior=sure_of(chosen)), seen, 5, 1, 7, {})
    order = np.random.default_rng(7).permutation(10)
    fold = np.empty(10, np.int64)
    for label in (0, 1):
        fold[order[labels[order] == label]] = np.arange(5)
    right = 0
    for number in range(5):
        kept = np.flatnonzero(fold != number)
        features = np.array(fit(begin, seen, kept, 5, {}).known["hypernetwork"].support)
        means = np.stack([features[kept][labels[kept] == label].mean(0) for label in (0, 1)])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        out = fold == number
        right += int((np.argmax(features[out] @ means.T, axis=1) == labels[out]).sum())
    assert measured.accuracy == pytest.approx(right / 10)


def test_features_that_every_task_shares_are_computed_once(begin: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.array([0, 1] * 3)
    seen = look(begin, texts_about([NAMES[label] for label in labels]), labels, NAMES)
    computed: list[str] = []

    def watched(begin, name, embedding):
        computed.append(name)
        return adapter_of(begin, name, embedding)

    adapter_of = choosing.adapter_of
    monkeypatch.setattr(choosing, "adapter_of", watched)
    estimate(begin, seen, 3, 2, 0, {})
    assert computed.count("static") == computed.count("frozen") == 1
    assert computed.count("hypernetwork") == 6


def test_numbers_as_labels_have_no_names(begin: Start) -> None:
    seen = look(begin, ["a", "b"], np.array([0, 1]), ["1", "2"])
    assert seen.names is None
    found = fit(begin, seen, np.arange(2), 5, {})
    assert not any("names" in name for name in found.choice.scores)


def test_without_a_checkpoint_the_frozen_prototype_is_all_there_is() -> None:
    frozen = open_start("none")
    labels = np.array([0, 1] * 3)
    seen = look(frozen, texts_about([NAMES[label] for label in labels]), labels, NAMES)
    found = fit(frozen, seen, np.arange(6), 3, {})
    assert set(found.choice.scores) == {"frozen", "frozen, logistic", "frozen + names", "frozen, logistic + names"}
    assert len(found.embedding) == 0
