"""metapeft.meta.judge: against every path there is, against nervaluate, and by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.episodes.episode import Sentences
from metapeft.meta.inner_loop import Examples
from metapeft.meta.judge import (
    WORTH,
    Counts,
    best_paths,
    counted,
    counts_of_all,
    f1_of,
    figure,
    predicted,
    sentence_counts,
    transitions_for,
    transitions_of,
)
from metapeft.mlx import mx
from metapeft.tasks.pool import IGNORE, Pool
from metapeft.tasks.tags import class_of
from tests.tasks.made_tasks import ragged

SHARES = np.array([[0.6, 0.0, 0.4], [0.8, 0.0, 0.2], [0.3, 0.6, 0.1], [0.7, 0.0, 0.3]])
PROPERTY = settings(max_examples=60, deadline=None, derandomize=True)
SENTENCES = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=7), min_size=1, max_size=4)


def flat(sentences: list[list[int]]) -> Sentences:
    return Sentences(np.array([len(s) for s in sentences]), np.array([tag for s in sentences for tag in s], np.int32))


def value_of(path: tuple[int, ...], emission: np.ndarray) -> float:
    """Log score of a path, step by step."""
    total, before = 0.0, None
    for word, kind in enumerate(path):
        row = 0 if before is None else 1 if before == 0 else 2
        column = 0 if kind == 0 else 1 if kind == before else 2
        total += emission[word, kind] + np.log(SHARES[row, column] / SHARES[3, 0 if kind == 0 else 2])
        before = kind
    return total


@PROPERTY
@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.integers(2, 4), st.integers(0, 999))
def test_the_best_path_is_the_best_of_all(lengths, ways, seed):
    logits = 3 * np.random.default_rng(seed).normal(size=(sum(lengths), ways))
    emission = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    found, start = best_paths(logits, np.array(lengths), SHARES), 0
    for length in lengths:
        own = emission[start : start + length]
        best = max(itertools.product(range(ways), repeat=length), key=lambda path: value_of(path, own))
        assert found[start : start + length].tolist() == list(best)
        start += length


def test_a_word_between_two_of_a_mention_joins_them():
    logits = np.array([[0.0, 2, 0], [1.2, 0, 0], [0, 2, 0]])
    assert best_paths(logits, np.array([3]), SHARES).tolist() == [1, 1, 1]
    assert best_paths(logits, np.array([1, 1, 1]), SHARES).tolist() == [1, 0, 1]


def test_transitions_are_counted_and_nothing_is_impossible():
    x = ragged([[5] * 4, [5] * 3])
    pool = Pool("tagging", x, ragged([[1, 2, 3, 0], [0, 0, IGNORE]]))  # classes 1 1 2 0 and 0 0
    found = transitions_of([pool], smoothing=0.0)
    np.testing.assert_allclose(found, [[1 / 2, 0, 1 / 2], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [1 / 2, 0, 1 / 2]])
    smoothed = transitions_of([pool])
    assert (smoothed > 0).sum() == 9
    assert not smoothed[[0, 1, 3], 1].any()


def test_a_support_set_has_its_say_and_the_more_the_larger_it_is():
    support = flat([[1, 2, 2, 0]] * 5)  # from a type: ten times to the same, five times outside
    blended = transitions_for(SHARES, support)
    np.testing.assert_allclose(blended[2], (np.array([5, 10, 0]) + WORTH * SHARES[2]) / (15 + WORTH))
    np.testing.assert_allclose(blended[3], (np.array([5, 0, 15]) + WORTH * SHARES[3]) / (20 + WORTH))
    np.testing.assert_allclose(transitions_for(SHARES, flat([[]])), SHARES)
    many = transitions_for(SHARES, flat([[1, 2, 2, 0]] * 5000))
    np.testing.assert_allclose(many[2], [1 / 3, 2 / 3, 0], atol=1e-3)


def test_strict_counts_by_hand():
    # said: (0,2) class 1, (3,4) class 2; there: (0,2) class 1, (3,5) class 2, (5,6) class 1
    sentences = flat([[1, 2, 0, 3, 4], [1]])
    said = np.array([1, 1, 0, 2, 0, 0])
    assert counted(said, sentences) == Counts(1, 2, 3)
    assert counted(said, sentences, kind=1) == Counts(1, 1, 2)
    assert counted(said, sentences, kind=2) == Counts(0, 1, 1)
    assert Counts(1, 2, 3).f1 == pytest.approx(0.4)
    assert (Counts(1, 2, 3).precision, Counts(1, 2, 3).recall) == (0.5, pytest.approx(1 / 3))


def test_nothing_to_find():
    empty = flat([[0, 0]])
    assert counted(np.array([0, 0]), empty).f1 == 1.0
    assert counted(np.array([0, 1]), empty) == Counts(0, 1, 0)
    assert (Counts(0, 1, 0).f1, Counts(0, 0, 2).precision, Counts(0, 3, 0).recall) == (0.0, 0.0, 0.0)


@PROPERTY
@given(SENTENCES, st.integers(0, 999))
def test_strict_f1_is_that_of_nervaluate(sentences, seed):
    evaluator = pytest.importorskip("nervaluate").Evaluator
    truth = flat(sentences)
    said = np.random.default_rng(seed).integers(0, 4, len(truth.tags))
    said = np.where(np.random.default_rng(seed + 1).random(len(said)) < 0.6, class_of(truth.tags), said)
    names = ["a", "b", "c"]

    def bio(classes, begin=None):
        out, before = [], 0
        for word, kind in enumerate(classes):
            new = kind != before or (begin is not None and begin[word])
            out.append("O" if kind == 0 else f"{'B' if new else 'I'}-{names[kind - 1]}")
            before = kind
        return out

    gold, found, start = [], [], 0
    for tags in sentences:
        own = np.array(tags)
        gold.append(bio(class_of(own), own % 2 == 1))
        found.append(bio(said[start : start + len(tags)]))
        start += len(tags)
    strict = evaluator(gold, found, tags=names, loader="list").evaluate()["overall"]["strict"]
    ours = counted(said, truth)
    assert (strict.correct, strict.actual, strict.possible) == ours
    if ours.found + ours.gold:
        assert strict.f1 == pytest.approx(ours.f1)


def test_examples_have_accuracy_and_sentences_have_f1():
    logits = mx.array(np.eye(3, dtype=np.float32)[[0, 1, 1, 2]])
    assert figure(logits, Examples(None, mx.array([0, 1, 2, 2]))) == 0.75
    words = Examples(None, mx.array([0, 1, 1, 2]), flat([[0, 1], [2, 3]]))
    assert figure(logits, words) == 1.0
    wrong = flat([[0, 1], [2, 2]])
    assert figure(logits, Examples(None, mx.array([0, 1, 1, 1]), wrong)) == pytest.approx(0.4)
    counts = sentence_counts(np.array([0, 1, 1, 2]), wrong)
    assert counts.tolist() == [[1, 1, 1], [0, 2, 1]]
    np.testing.assert_allclose(f1_of(counts), [1, 0])
    assert f1_of(np.zeros((2, 3))).tolist() == [1, 1]


@PROPERTY
@given(SENTENCES, st.integers(0, 999))
def test_in_one_go_is_one_by_one(sentences, seed):
    truth, rng = flat(sentences), np.random.default_rng(seed)
    logits = [mx.array(2 * rng.normal(size=(len(truth.tags), 4)).astype(np.float32)) for _ in range(3)]
    for transitions in (None, SHARES):
        together = counts_of_all(logits, truth, transitions)
        assert together.shape == (3, len(sentences), 3)
        for each, own in zip(together, logits, strict=True):
            np.testing.assert_array_equal(each, sentence_counts(predicted(own, truth, transitions), truth))
