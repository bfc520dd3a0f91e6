import dataclasses

import mlx.core as mx
import numpy as np
import pytest

from metapeft.episodes import Episode, EpisodeSampler
from metapeft.tasks import IGNORE, Task, TaskDistribution
from tests.tasks.made_tasks import config, generation_task, tagging_task, text_task


def episode(task: Task, **settings) -> Episode:
    return EpisodeSampler(TaskDistribution([task]), **{"k_shot": 2, "query_size": 6, **settings}).episode(0)


def test_it_unpacks_into_four_arrays():
    made = episode(text_task())
    support_x, support_y, query_x, query_y = made
    assert support_x is made.support_x
    assert support_y is made.support_y
    assert query_x is made.query_x
    assert query_y is made.query_y


def test_text_is_int32_padded_on_the_right_by_the_tasks_own_id():
    made = episode(text_task(support=(20, 20, 20), query=(20, 20, 20), pad_id=99), query_size=60)
    assert made.support_x.dtype == made.query_x.dtype == made.support_y.dtype == made.support_lengths.dtype == np.int32
    assert made.query_x.shape == (60, 32)
    for row, length, row_id in zip(made.query_x, made.query_lengths, made.query_rows, strict=True):
        assert length == 4 + row_id % 29
        assert (row[length:] == 99).all()
        assert (row[:length] != 99).all()


def test_rows_labels_and_classes_belong_together():
    made = episode(text_task())
    for x, y, rows, side in (
        (made.support_x, made.support_y, made.support_rows, 0),
        (made.query_x, made.query_y, made.query_rows, 1),
    ):
        np.testing.assert_array_equal(x[:, 1] - 10, made.classes[y])
        np.testing.assert_array_equal(x[:, 2] - 100, rows)
        assert (x[:, 3] == 5 + side).all()


def test_examples_do_not_stand_class_by_class():
    sampler = EpisodeSampler(TaskDistribution([text_task()]), 4, 6)
    assert len({tuple(made.support_y.tolist()) for made in sampler.episodes(0, 20)}) == 20


def test_texts_are_cut_at_max_tokens():
    made = episode(text_task(support=(20, 20, 20), query=(20, 20, 20)), query_size=60, max_tokens=20)
    assert made.query_x.shape == (60, 20)
    assert made.query_lengths.max() == 20


def test_points_are_float32_without_lengths():
    made = episode(Task(config("p", 2, 3, family="xor")))
    assert (made.support_x.shape, made.support_x.dtype) == ((4, 3), np.float32)
    assert (made.query_y.shape, made.query_y.dtype) == ((6,), np.int32)
    assert made.support_lengths is None
    assert made.query_lengths is None


def test_tags_stand_beside_their_tokens():
    made = episode(tagging_task(), k_shot=5)
    assert made.support_x.shape == made.support_y.shape == (5, 16)
    np.testing.assert_array_equal(made.support_y[:, 1], made.support_rows % 3)
    outside = np.arange(16) >= made.support_lengths[:, None]
    assert (made.support_y[outside] == IGNORE).all()
    assert made.classes.shape == (0,)


def test_targets_have_a_length_of_their_own():
    made = episode(generation_task(query=40), k_shot=3, query_size=40)
    assert made.query_x.shape == (40, 16)
    assert made.query_y.shape == (40, 64)
    assert ((made.query_y != IGNORE).sum(axis=1) == made.query_rows + 1).all()


def test_it_says_where_it_comes_from():
    made = EpisodeSampler(TaskDistribution([text_task("t", family="toys")]), 2, 6, kind="imbalanced").episode(7)
    assert (made.index, made.task_id, made.family, made.kind) == (7, "t", "toys", "imbalanced")
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.index = 3


def test_to_mlx_changes_arrays_and_nothing_else():
    made = episode(text_task())
    there = made.to_mlx()
    for name in ("support_x", "support_y", "query_x", "query_y", "support_lengths", "query_lengths"):
        array = getattr(there, name)
        assert isinstance(array, mx.array)
        assert array.dtype == mx.int32
        np.testing.assert_array_equal(np.array(array), getattr(made, name))
    assert there.classes is made.classes
    points = episode(Task(config("p", 2, 3, family="xor"))).to_mlx()
    assert points.support_x.dtype == mx.float32
    assert points.support_lengths is None
