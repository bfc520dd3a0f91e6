import mlx.core as mx
import numpy as np
import pytest

from metapeft.errors import RecipeError
from metapeft.tasks import IGNORE, Pool, Task, TaskConfig, TaskError
from tests.tasks.made_tasks import config, generation_task, ragged, tagging_task, text_pool, text_task


def points_task(task_id="p", **other) -> Task:
    return Task(config(task_id, 2, 2, **{"family": "xor", **other}))


def test_a_config_alone_makes_points():
    x, y = points_task().sample_data(64)
    assert isinstance(x, mx.array)
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((64, 2), mx.float32, (64,), mx.int32)
    assert set(np.array(y).tolist()) == {0, 1}


def test_points_are_fresh_at_every_call_and_repeat_in_another_process():
    first, again = points_task(), points_task()
    one, two = (np.array(first.sample_data(50)[0]) for _ in range(2))
    assert len(np.unique(np.concatenate([one, two]), axis=0)) == 100
    np.testing.assert_array_equal(one, np.array(again.sample_data(50)[0]))
    np.testing.assert_array_equal(two, np.array(again.sample_data(50)[0]))


def test_points_differ_by_task_id_and_never_meet_between_pools():
    task, other = points_task("p"), points_task("q")
    assert not np.array_equal(task.support.x, other.support.x)
    together = np.concatenate([task.support.x, task.query.x])
    assert len(np.unique(together, axis=0)) == len(together)


def test_sampled_points_follow_the_rule_of_the_pools():
    task = Task(TaskConfig("line", "linear", 2, 2, 10, 10, "toys", 0.0))
    pool, (x, y) = task.support, task.sample_data(200)
    x, y = np.array(x), np.array(y)
    nearest = ((x[:, None] - pool.x[None]) ** 2).sum(-1).argmin(1)
    assert (pool.y[nearest] == y).mean() > 0.95


def test_pools_are_as_large_as_asked_and_never_tiny():
    task = points_task(support_size=1500, query_size=3)
    assert len(task.support) == 1500
    assert len(task.query) == 1024


def test_difficulty_is_noise():
    easy, hard = points_task(difficulty=0.0), points_task(difficulty=1.0)
    assert easy.noise == 0.0
    assert hard.noise > 0.2


def test_several_classes():
    task = Task(config("s", 3, 2, family="spirals"))
    assert np.bincount(task.support.y).tolist() == [342, 341, 341]


def test_an_unknown_family_names_the_nearest_and_all():
    with pytest.raises(TaskError, match=r"Did you mean 'spirals'.*checkerboard") as error:
        Task(config("p", 2, 2, family="spiral"))
    assert "'spiral'" in str(error.value)


def test_the_domain_may_name_the_pattern():
    assert Task(config("p", 2, 2, domain="Circles")).pattern.generator == "circles"
    assert Task(config("p", 2, 2, family="points_nonlinear", domain="xor")).pattern.generator == "xor"
    assert Task(config("p", 2, 2, family="points_linear")).pattern.generator == "linear"


def test_a_pattern_that_cannot_have_these_dimensions_or_classes():
    with pytest.raises(RecipeError, match="input_dim"):
        Task(config("p", 2, 1, family="xor"))
    with pytest.raises(TaskError, match=r"xor has 2 classes.*3"):
        Task(config("p", 3, 2, family="xor"))


def test_rows_of_a_pool_come_without_replacement_then_again_in_another_order():
    task = text_task(support=(5, 5))
    calls = [np.array(task.sample_data(5)[0])[:, 2] for _ in range(4)]
    first, second = np.concatenate(calls[:2]), np.concatenate(calls[2:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == [100 + i for i in range(10)]
    assert first.tolist() != second.tolist()


def test_rows_left_over_are_not_mixed_with_the_next_order():
    task = text_task(support=(5, 5))
    for _ in range(4):
        assert len(set(np.array(task.sample_data(7)[0])[:, 2].tolist())) == 7


def test_labels_of_sampled_rows_are_the_tasks_own():
    x, y = text_task().sample_data(20)
    assert (np.array(x)[:, 1] - 10).tolist() == np.array(y).tolist()


def test_tags_and_targets_are_padded():
    x, y = tagging_task().sample_data(12)
    assert x.shape == y.shape == (12, 16)
    assert np.array(y)[:, 15].tolist() == [IGNORE] * 12
    assert generation_task().sample_data(3)[1].shape == (3, 16)


@pytest.mark.parametrize("count", [0, -1, 28])
def test_a_wrong_number_of_samples_is_an_error(count):
    with pytest.raises(TaskError, match=str(count)):
        text_task(support=(8, 9, 10)).sample_data(count)


def test_one_pool_serves_both_sides():
    task = text_task(query=None)
    assert task.one_pool
    assert task.query is task.support


def test_an_empty_query_pool_stays_empty():
    task = text_task(query=(0, 0, 0))
    assert not task.one_pool
    assert len(task.query) == 0


def test_rows_by_class():
    task = text_task(support=(2, 3))
    rows = task.support_rows
    assert task.support.y[rows.rows[: rows.starts[1]]].tolist() == [0, 0]
    assert tagging_task(support=12).support_rows.sizes.tolist() == [12]


TEXT = text_pool([3, 3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": TEXT}, "support pool beside it"),
        ({"support": TEXT, "labels": ["a"]}, "1 label names"),
        ({"support": text_pool([3, 3, 3])}, "class ids from 0 to 2"),
        ({"support": TEXT, "query": tagging_task().support}, "its kind is tagging"),
        ({"support": Pool("classification", ragged([[1], [2]]), np.zeros(1, np.int32))}, "2 inputs and 1 targets"),
        ({"support": Pool("points", ragged([[1]]), np.zeros(1, np.int32))}, "matrix"),
        ({"support": Pool("classification", np.eye(2), np.zeros(2, np.int32))}, "texts are Ragged"),
        ({"support": Pool("classification", ragged([[1]]), ragged([[1]]))}, "class ids"),
        ({"support": Pool("tagging", ragged([[1]]), np.zeros(1, np.int32))}, "Ragged"),
        ({"support": Pool("points", np.eye(3), np.zeros(3, np.int32))}, "input_dim says"),
        ({"support": Pool("tagging", ragged([[1], [2, 3]]), ragged([[1], [2]]))}, "row 1"),
    ],
)
def test_data_that_does_not_fit_is_refused_by_name(arguments, message):
    with pytest.raises(TaskError, match=message) as error:
        Task(config("odd", 2), **arguments)
    assert "'odd'" in str(error.value)


def test_features_are_a_copy():
    task = text_task()
    task.compute_task_features()["examples"] = 0.0
    assert task.compute_task_features()["examples"] == 27.0
