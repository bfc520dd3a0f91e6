import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.episodes import Episode, EpisodeSampler
from metapeft.errors import EpisodeError
from metapeft.tasks import Task, TaskDistribution, TaskError
from tests.tasks.made_tasks import chi_square_ok, config, generation_task, tagging_task, text_task

ARRAYS = ("support_x", "support_y", "query_x", "query_y", "support_lengths", "query_lengths")
TASKS = TaskDistribution([
    text_task("three", support=(8, 9, 30), query=(9, 9, 9)),
    text_task("four", support=(20, 8, 8, 12), query=(9, 9, 9, 9)),
    text_task("single", support=(20, 21, 22), query=None),
    Task(config("ring", 2, 2, family="circles")),
    tagging_task("tags", support=30, query=25),
    generation_task("told", support=40, query=None),
])  # fmt: skip
PAIRS = [("three", "four"), ("four", "single"), ("single", "three")]
SETTINGS = {
    "standard": {},
    "ways": {"n_way": (2, 4)},
    "two-way": {"n_way": 2},
    "variable-shot": {"kind": "variable-shot", "shot_range": (1, 7)},
    "imbalanced": {"kind": "imbalanced", "n_way": (2, 4)},
    "domain-shift": {"kind": "domain-shift", "pairs": PAIRS},
}
SAMPLERS = {name: EpisodeSampler(TASKS, 4, 11, seed=3, **given) for name, given in SETTINGS.items()}
PROPERTY = settings(deadline=None, max_examples=30, derandomize=True)
names, numbers = st.sampled_from(list(SAMPLERS)), st.integers(0, 2**40)


def same(one: Episode, two: Episode) -> bool:
    about = ("index", "task_id", "family", "kind")
    return all(getattr(one, name) == getattr(two, name) for name in about) and all(
        np.array_equal(getattr(one, name), getattr(two, name)) for name in (*ARRAYS[:4], "support_rows", "query_rows")
    )


@PROPERTY
@given(names, numbers, st.integers(1, 12))
def test_a_batch_equals_its_episodes_one_by_one(name, first, count):
    batch = SAMPLERS[name].episodes(first, count)
    assert [episode.index for episode in batch] == list(range(first, first + count))
    assert all(same(episode, SAMPLERS[name].episode(episode.index)) for episode in batch)


@PROPERTY
@given(names, numbers)
def test_sizes_and_disjoint_sets(name, index):
    made = SAMPLERS[name].episode(index)
    support, query = made.support_rows.tolist(), made.query_rows.tolist()
    assert len(query) == 11
    assert len(set(support)) == len(support)
    assert len(set(query)) == 11
    if made.task_id in ("single", "told"):  # one pool
        assert not set(support) & set(query)
    if len(made.classes):
        ways = len(made.classes)
        assert len(set(made.classes.tolist())) == ways
        shots, shares = (np.bincount(y, minlength=ways) for y in (made.support_y, made.query_y))
        assert len(shots) == len(shares) == ways
        assert shares.max() - shares.min() <= 1
        assert shots.min() >= 1
        if name == "variable-shot":
            assert shots.min() == shots.max() <= 7
        elif name == "imbalanced":
            assert shots.sum() == 4 * ways
        else:
            assert set(shots.tolist()) == {4}
    elif name != "variable-shot":
        assert len(support) == 4


@PROPERTY
@given(names, numbers, st.integers(1, 5))
def test_indices_are_the_rows_of_the_episodes(name, first, count):
    sampler = SAMPLERS[name]
    for episode in sampler.episodes(first, count):
        draws = sampler.indices(episode.index, 1, episode.task_id)
        for side in ("support", "query"):
            labelled = {
                (int(row), label) for label, rows in enumerate(getattr(draws, side)[0]) for row in rows if row >= 0
            }
            rows, y = getattr(episode, f"{side}_rows"), getattr(episode, f"{side}_y")
            labels = y if len(episode.classes) else np.zeros(len(rows), int)
            assert labelled == set(zip(rows.tolist(), labels.tolist(), strict=True))
        np.testing.assert_array_equal(draws.classes[0][draws.classes[0] >= 0], episode.classes)


def test_indices_equal_those_of_each_episode_alone_over_many_blocks():
    sampler = SAMPLERS["imbalanced"]
    many = sampler.indices(5, 4500, "four")
    for place in (0, 1023, 1024, 4499):
        one = sampler.indices(5 + place, 1, "four")
        for name in ("classes", "support", "query"):
            whole, own = getattr(many, name)[place], getattr(one, name)[0]
            assert sorted(whole[whole >= 0].tolist()) == sorted(own[own >= 0].tolist())
            assert whole[tuple(map(slice, own.shape))].tolist() == own.tolist()


def test_an_episode_never_changes():
    """Published results name episodes by suite, seed and number: a change here makes them other episodes."""
    tasks = [text_task(name, support=(9, 9, 9), query=(9, 9, 9)) for name in ("a", "b", "c")]
    sampler = EpisodeSampler(TaskDistribution(tasks, suite_hash="digest"), 2, 4, n_way=2, seed=7, kind="imbalanced")
    made = sampler.episode(12345)
    assert made.task_id == "b"
    assert made.classes.tolist() == [1, 0]
    assert made.support_rows.tolist() == [2, 16, 23, 0]
    assert made.query_rows.tolist() == [18, 16, 15, 10]


def test_a_sampler_rebuilt_or_far_advanced_gives_the_same_episode():
    again = EpisodeSampler(TaskDistribution(TASKS.tasks), 4, 11, seed=3)
    again.episodes(0, 50)
    again.sample_batch(3)
    assert same(again.episode(9), SAMPLERS["standard"].episode(9))


def test_another_seed_or_distribution_gives_other_episodes():
    rows = [
        sampler.indices(0, 20, "three").support.tolist()
        for sampler in (
            SAMPLERS["standard"],
            EpisodeSampler(TASKS, 4, 11, seed=4),
            EpisodeSampler(TaskDistribution(TASKS.tasks[:2]), 4, 11, seed=3),
        )
    ]
    assert rows[0] != rows[1]
    assert rows[0] != rows[2]


def test_tasks_are_equally_likely_and_kinds_meet_the_same_ones():
    sampled = {name: [e.task_id for e in SAMPLERS[name].episodes(0, 300)] for name in ("standard", "imbalanced")}
    assert chi_square_ok(np.unique(sampled["standard"], return_counts=True)[1])
    assert sampled["standard"] == sampled["imbalanced"]


def test_label_ids_are_shuffled_uniformly():
    classes = SAMPLERS["standard"].indices(0, 3_000, "three").classes
    orders, counts = np.unique(classes, axis=0, return_counts=True)
    assert len(orders) == 6
    assert chi_square_ok(counts)


def test_the_larger_query_shares_fall_on_no_class_more_often():
    draws = SAMPLERS["standard"].indices(0, 3_000, "three")  # shares 4, 4, 3
    smaller = draws.classes[np.arange(3_000), (draws.query >= 0).sum(axis=2).argmin(axis=1)]
    assert chi_square_ok(np.bincount(smaller, minlength=3))


def test_variable_ways_are_uniform_up_to_what_a_task_has():
    sampler = SAMPLERS["ways"]
    for task_id, most in (("four", 4), ("three", 3), ("ring", 2)):
        ways = (sampler.indices(0, 1_000, task_id).classes >= 0).sum(axis=1)
        counts = np.bincount(ways)[2:]
        assert len(counts) == most - 1
        assert most == 2 or chi_square_ok(counts)


def test_imbalanced_episodes_are_uneven():
    support = SAMPLERS["imbalanced"].indices(0, 500, "four").support
    counts = (support >= 0).sum(axis=2)
    assert (counts.max(axis=1) > 5).mean() > 0.5


def test_domain_shift_labels_mean_the_same_in_both_tasks():
    for made in SAMPLERS["domain-shift"].episodes(0, 20):
        first, second = made.task_id.split("->")
        names = [TASKS.task(first).labels[c] for c in made.classes]
        assert [TASKS.task(second).labels[c - 10] for c in made.query_x[:, 1]] == [names[y] for y in made.query_y]
        assert (made.support_x[:, 1] - 10).tolist() == made.classes[made.support_y].tolist()
    assert {e.task_id for e in SAMPLERS["domain-shift"].episodes(0, 60)} == {f"{a}->{b}" for a, b in PAIRS}


def test_batches_follow_one_another_in_mlx():
    sampler = EpisodeSampler(TASKS, 4, 11, seed=3)
    first, second = sampler.sample_batch(3), sampler.sample_batch(2)
    assert [episode.index for episode in first + second] == [0, 1, 2, 3, 4]
    assert isinstance(first[0].support_x, mx.array)
    np.testing.assert_array_equal(np.array(second[1].query_y), SAMPLERS["standard"].episode(4).query_y)


def test_one_task_needs_no_name():
    sampler = EpisodeSampler(TaskDistribution([text_task("t")]), 2, 6)
    np.testing.assert_array_equal(sampler.indices(0, 3).support, sampler.indices(0, 3, "t").support)
    with pytest.raises(EpisodeError, match="Did you mean 'three'"):
        SAMPLERS["standard"].indices(0, 1, "thre")
    with pytest.raises(EpisodeError, match="no task 'None'"):
        SAMPLERS["standard"].indices(0, 1)


def test_a_task_with_too_few_rows_is_named_before_the_first_episode():
    with pytest.raises(EpisodeError, match=r"'three'.*3 classes with at least 9 support.*2 of its 3"):
        EpisodeSampler(TASKS, 9, 11)
    with pytest.raises(EpisodeError, match=r"'three'.*10 query.*0 of its 3"):
        EpisodeSampler(TASKS, 4, 28)
    with pytest.raises(EpisodeError, match=r"'three'.*20 support"):
        EpisodeSampler(TASKS, kind="variable-shot", query_size=11)
    with pytest.raises(EpisodeError, match=r"'three'.*4 classes.*3 of its 3"):
        EpisodeSampler(TASKS, 4, 11, n_way=(4, 5))
    with pytest.raises(EpisodeError, match=r"'single'.*in one pool"):
        EpisodeSampler(TaskDistribution([TASKS.task("single")]), 15, 18)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "imbalance"}, "Did you mean 'imbalanced'"),
        ({"k_shot": 0}, "k_shot must be at least 1, got 0"),
        ({"query_size": -3}, "query_size must be at least 1, got -3"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"n_way": 1}, "n_way.*got 1"),
        ({"n_way": 0}, "n_way.*got 0"),
        ({"n_way": (4, 3)}, r"n_way.*got \(4, 3\)"),
        ({"kind": "variable-shot", "shot_range": (0, 5)}, r"shot_range.*got \(0, 5\)"),
        ({"kind": "variable-shot", "shot_range": (5, 4)}, r"shot_range.*got \(5, 4\)"),
        ({"kind": "domain-shift"}, "need each other"),
        ({"pairs": PAIRS}, "need each other"),
    ],
)
def test_wrong_settings(given, message):
    with pytest.raises(EpisodeError, match=message):
        EpisodeSampler(TASKS, **given)


def test_a_pair_of_unknown_tasks():
    with pytest.raises(TaskError, match="Did you mean 'three'"):
        EpisodeSampler(TASKS, kind="domain-shift", pairs=[("thre", "four")])


@pytest.mark.parametrize(("first", "count"), [(-1, 2), (0, 0)])
def test_wrong_numbers(first, count):
    with pytest.raises(EpisodeError, match=f"first={first}, count={count}"):
        SAMPLERS["standard"].episodes(first, count)
