import mlx.core as mx
import numpy as np
import pytest

from metapeft.errors import EpisodeError
from metapeft.tasks import Task, TaskConfig, TaskDistribution, TaskError
from tests.tasks.made_tasks import chi_square_ok, config, generation_task, tagging_task, text_task


def points(*ids: str) -> list[TaskConfig]:
    return [config(task_id, 2, 2, family="circles") for task_id in ids]


def test_configs_and_tasks_may_be_mixed():
    given = text_task("t")
    tasks = TaskDistribution([*points("a"), given]).tasks
    assert [task.config.task_id for task in tasks] == ["a", "t"]
    assert tasks[1] is given


def test_no_tasks_or_two_of_one_id():
    with pytest.raises(TaskError, match="at least one"):
        TaskDistribution([])
    with pytest.raises(TaskError, match="'a'"):
        TaskDistribution(points("b", "a", "a"))


def test_a_task_by_id():
    distribution = TaskDistribution(points("alpha", "beta"))
    assert distribution.task("beta") is distribution.tasks[1]
    with pytest.raises(TaskError, match="Did you mean 'alpha'"):
        distribution.task("alpa")


def test_tasks_are_sampled_uniformly_and_in_the_same_sequence():
    one, two = (TaskDistribution(points("a", "b", "c"), seed=4) for _ in range(2))
    ids = [one.sample_task().config.task_id for _ in range(300)]
    assert chi_square_ok(np.unique(ids, return_counts=True)[1])
    assert ids[:20] == [two.sample_task().config.task_id for _ in range(20)]
    other = TaskDistribution(points("a", "b", "c"), seed=5)
    assert ids[:20] != [other.sample_task().config.task_id for _ in range(20)]


def test_an_episode_of_points_unpacks_to_mlx_arrays_of_these_sizes():
    support_x, support_y, query_x, query_y = TaskDistribution(points("a")).sample_episode(11, 30)
    assert isinstance(support_x, mx.array)
    assert (support_x.shape, support_x.dtype, query_x.shape) == ((11, 2), mx.float32, (30, 2))
    assert (support_y.dtype, query_y.dtype) == (mx.int32, mx.int32)
    assert sorted(np.bincount(np.array(support_y)).tolist()) == [5, 6]
    assert np.bincount(np.array(query_y)).tolist() == [15, 15]
    assert len(np.unique(np.concatenate([np.array(support_x), np.array(query_x)]), axis=0)) == 41


def test_sets_of_one_pool_share_no_row():
    distribution = TaskDistribution([text_task(support=(6, 6, 6), query=None)])
    for _ in range(20):
        support_x, _, query_x, _ = distribution.sample_episode(9, 9)
        rows = np.concatenate([np.array(support_x)[:, 2], np.array(query_x)[:, 2]])
        assert sorted(rows.tolist()) == [100 + i for i in range(18)]


def test_labels_are_shuffled_and_agree_between_the_sets():
    distribution, seen = TaskDistribution([text_task()]), set()
    for _ in range(30):
        support_x, support_y, query_x, query_y = (np.array(a) for a in distribution.sample_episode(6, 6))
        label_of = dict(zip(support_x[:, 1].tolist(), support_y.tolist(), strict=True))
        assert [label_of[c] for c in query_x[:, 1].tolist()] == query_y.tolist()
        seen.add(tuple(sorted(label_of.items())))
    assert len(seen) == 6


def test_a_support_set_smaller_than_the_classes_takes_some_of_them():
    _, support_y, _, query_y = TaskDistribution([text_task()]).sample_episode(2, 6)
    assert sorted(np.array(support_y).tolist()) == [0, 1]
    assert np.bincount(np.array(query_y)).tolist() == [3, 3]


def test_episodes_differ_and_repeat_in_another_process():
    one, two = (TaskDistribution([text_task()]) for _ in range(2))
    first, second = (np.array(one.sample_episode(6, 6)[0]) for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, np.array(two.sample_episode(6, 6)[0]))


def test_tasks_without_classes():
    shapes = [a.shape for a in TaskDistribution([tagging_task()]).sample_episode(4, 10)]
    assert shapes == [(4, 16), (4, 16), (10, 16), (10, 16)]
    assert TaskDistribution([generation_task()]).sample_episode(4, 10)[3].shape == (10, 32)


def test_too_large_or_empty_episodes_are_errors():
    distribution = TaskDistribution([text_task("small", support=(5, 5))])
    with pytest.raises(EpisodeError, match=r"'small'.*6 support"):
        distribution.sample_episode(11, 2)
    with pytest.raises(EpisodeError, match="query_size=0"):
        distribution.sample_episode(2, 0)


def test_filter_keeps_order_and_says_when_nothing_is_left():
    distribution = TaskDistribution(points("a", "b", "c"))
    kept = distribution.filter(lambda task: task.config.task_id != "b")
    assert [task.config.task_id for task in kept.tasks] == ["a", "c"]
    assert kept.tasks[0] is distribution.tasks[0]
    assert TaskDistribution(points("a", "b"), seed=3, suite_hash="1").filter(lambda task: True).suite_hash == "1"
    with pytest.raises(TaskError, match="none of the 3"):
        distribution.filter(lambda task: False)


def test_the_fingerprint_tells_data_tasks_and_suites_apart():
    make = TaskDistribution
    prints = [
        make(points("a", "b")).fingerprint,
        make(points("b", "a")).fingerprint,
        make(points("a")).fingerprint,
        make([text_task("a")]).fingerprint,
        make([text_task("a", support=(8, 10, 9))]).fingerprint,
        make([text_task("a", query=None)]).fingerprint,
        make([text_task("a")], suite_hash="1").fingerprint,
        make([text_task("a")], suite_hash="2").fingerprint,
        make([text_task("b")], suite_hash="1").fingerprint,
    ]
    assert len(set(prints)) == len(prints)
    assert make([text_task("a")]).fingerprint == prints[3]
    assert make(points("a", "b")).filter(lambda task: task.config.task_id == "a").fingerprint == prints[2]


def test_embeddings_have_unit_norm_and_tell_tasks_apart():
    tasks = [text_task("t"), Task(points("p")[0]), tagging_task()]
    distribution = TaskDistribution(tasks)
    vectors = [distribution.get_task_embedding(task) for task in tasks]
    assert all(v.shape == (128,) and v.dtype == mx.float32 for v in vectors)
    matrix = np.stack([np.array(v) for v in vectors])
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, rtol=1e-6)
    assert (matrix @ matrix.T)[~np.eye(3, dtype=bool)].max() < 0.9


def test_a_lone_or_a_foreign_task_has_an_embedding():
    distribution = TaskDistribution([text_task("t")])
    alone = np.array(distribution.get_task_embedding(distribution.tasks[0]))
    assert np.count_nonzero(alone) == 1
    foreign = np.array(distribution.get_task_embedding(Task(points("p")[0])))
    assert np.linalg.norm(foreign) == pytest.approx(1, rel=1e-6)
    assert np.count_nonzero(foreign) > 5


def test_one_strange_feature_does_not_hide_the_others():
    near = [text_task(f"t{i}", support=(8, 9, 10 + i)) for i in range(3)]
    distribution = TaskDistribution(near)
    vector = np.array(distribution.get_task_embedding(text_task("far", support=(80, 90, 900))))
    assert np.abs(vector).max() <= 5.001 * vector[np.flatnonzero(vector)[-1]]
