"""Mentions of any type: fitted on training tasks, added to any classifier of words, kept beside a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metapeft.heads import logistic_head, tagger_head
from metapeft.heads.head import Head, unit
from metapeft.meta import checkpoint as checkpoints
from metapeft.meta.checkpoint import CheckpointError, detector_of, save_detector
from metapeft.meta.detector import Detector, detected, detector_of_tasks, fit_detector, with_detector
from metapeft.mlx import mx
from metapeft.tasks.config import TaskConfig
from metapeft.tasks.pool import Pool, Ragged
from metapeft.tasks.task import Task


def words(count: int, seed: int) -> tuple[mx.array, np.ndarray]:
    """Unit features ``(count, 6)``; those in mentions, a quarter, lean towards the first coordinate."""
    rng = np.random.default_rng(seed)
    inside = rng.random(count) < 0.25
    features = rng.normal(size=(count, 6))
    features[inside, 0] += 3.0
    return unit(mx.array(features.astype(np.float32))), inside


def test_a_detector_tells_words_in_mentions_from_words_outside():
    detector = fit_detector(*words(400, 0))
    features, inside = words(400, 1)
    odds = np.array(detector.log_odds(features))
    assert detector.weight.shape == (6,) and odds.shape == (400,)
    assert int(np.argmax(np.array(detector.weight))) == 0
    # the share of the words it was fitted on is taken off again, so that as many are right at that share
    assert np.mean((odds > np.log(3)) == inside) > 0.85
    assert np.median(odds[inside]) > 1 and np.median(odds[~inside]) < 0


def test_a_share_is_not_a_reason_to_see_mentions():
    features, inside = words(4000, 2)
    rare = np.flatnonzero(inside)[:160]
    few = np.sort(np.concatenate([np.flatnonzero(~inside), rare]))
    odds = [
        np.array(fit_detector(features[mx.array(rows)], inside[rows]).log_odds(features))
        for rows in (few, np.arange(4000))
    ]
    assert abs(np.median(odds[0]) - np.median(odds[1])) < 1.0  # their shares are 0.05 and 0.25: log-odds 1.8 apart


@pytest.mark.parametrize("inside", [True, False])
def test_words_of_one_sort_teach_nothing(inside: bool):
    with pytest.raises(ValueError, match="in mentions and words outside"):
        fit_detector(words(10, 0)[0], np.full(10, inside))


@pytest.mark.parametrize("head", [tagger_head(), logistic_head()], ids=lambda head: head.name)
def test_a_classifier_with_it_has_the_log_odds_in_the_logits_of_all_types(head: Head):
    detector = Detector(mx.random.normal((6,), key=mx.random.key(0)), mx.array(0.7))
    support, query = words(12, 3)[0], words(5, 4)[0]
    params = head.init(support, mx.array([0, 1, 2] * 4), 3)
    plain = np.array(head.logits(params, query))
    found = np.array(head.logits(with_detector(params, detector, 0.5), query))
    odds = np.array(query) @ np.array(detector.weight) + 0.7
    np.testing.assert_allclose(found[:, 0], plain[:, 0], atol=1e-4)
    np.testing.assert_allclose(found[:, 1:], plain[:, 1:] + 0.5 * odds[:, None], atol=1e-4)
    np.testing.assert_allclose(np.array(detected(mx.array(plain), detector.log_odds(query), 0.5)), found, atol=1e-4)


class Told:
    """Features from a table, as `PoolStates` gives them: three numbers a word."""

    max_tokens = None

    def __init__(self, seed: int):
        self.seed = seed

    def features(self, task: Task, side: str, rows: np.ndarray) -> np.ndarray:
        assert side == "support" and rows.tolist() == list(range(len(task.support)))
        drawn = np.random.default_rng(self.seed).normal(size=(len(task.support.y.values), 3)).astype(np.float32)
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def tagged(name: str, tags: list[int]) -> Task:
    """A task of sentences of two words with these tags."""
    offsets = np.arange(0, len(tags) + 1, 2)
    pool = Pool(
        "tagging", Ragged(np.arange(len(tags), dtype=np.int32), offsets), Ragged(np.array(tags, np.int32), offsets)
    )
    sizes = (1, 8, len(pool), len(pool))
    return Task(TaskConfig(name, "ner", *sizes, "any", 0.5), pool, labels=["x"], pad_id=0)


def test_the_words_of_all_training_tasks_are_fitted_on_both_features_side_by_side():
    tasks = [tagged("first", [1, 0, 0, 0]), tagged("second", [0, 1, 0, 0])]
    found = detector_of_tasks(Told(0), Told(1), 0.25, tasks)
    sides = [np.concatenate([Told(seed).features(task, "support", np.arange(2)) for task in tasks]) for seed in (0, 1)]
    features = np.concatenate([0.75**0.5 * sides[0], 0.5 * sides[1]], axis=1)
    wanted = fit_detector(mx.array(features), np.array([1, 0, 0, 0, 0, 1, 0, 0], bool))
    assert found is not None
    np.testing.assert_allclose(np.array(found.weight), np.array(wanted.weight), atol=1e-4)
    assert float(found.bias) == pytest.approx(float(wanted.bias), abs=1e-4)


@pytest.mark.parametrize("tag", [0, 1])
def test_tasks_of_one_sort_of_words_have_no_detector(tag: int):
    assert detector_of_tasks(Told(0), Told(1), 0.25, [tagged("one", [tag] * 4)]) is None


def test_it_lies_beside_a_checkpoint(tmp_path: Path):
    assert detector_of(tmp_path) is None
    detector = fit_detector(*words(60, 5))
    save_detector(tmp_path, detector)
    loaded = detector_of(tmp_path)
    assert loaded is not None
    assert np.array_equal(np.array(loaded.weight), np.array(detector.weight))
    assert float(loaded.bias) == float(detector.bias)
    assert [path.name for path in tmp_path.iterdir()] == [checkpoints.DETECTOR]
    (tmp_path / checkpoints.DETECTOR).write_bytes(b"not safetensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        detector_of(tmp_path)
