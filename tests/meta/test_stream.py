"""Which episode comes when: by number, families alike, sizes that tasks can give."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.episodes.curriculum import Curriculum
from metapeft.errors import EpisodeError
from metapeft.meta.stream import EpisodeStream, Sizes, limited, sampler_of, split_tasks
from metapeft.tasks.pool import Ragged
from tests.tasks.made_tasks import chi_square_ok, generation_task, text_task

SIZES = Sizes((2, 3), (1, 2), 3)


def tasks():
    """One task of a small family, three of a large one."""
    return [text_task("lonely", family="small"), *(text_task(f"t{i}", family="large") for i in range(3))]


def test_an_episode_is_by_seed_and_number() -> None:
    first, again, other = (EpisodeStream(tasks(), SIZES, seed=seed) for seed in (1, 1, 2))
    for index in (0, 7, 10**9):
        a, b = first.episode(index)[0], again.episode(index)[0]
        assert a.task_id == b.task_id
        assert np.array_equal(a.support_x, b.support_x)
        assert np.array_equal(a.query_rows, b.query_rows)
    one = [EpisodeStream([text_task()], Sizes((2, 2), (2,), 2), seed=seed).episode(3)[0] for seed in (1, 2)]
    assert not np.array_equal(one[0].support_rows, one[1].support_rows)
    assert [first.episode(i)[0].task_id for i in range(20)] != [other.episode(i)[0].task_id for i in range(20)]


def test_families_are_alike_whatever_their_number_of_tasks() -> None:
    stream = EpisodeStream(tasks(), SIZES)
    drawn = [stream.episode(index)[0] for index in range(400)]
    ids = [episode.task_id for episode in drawn]
    assert chi_square_ok(np.array([ids.count("lonely"), len(ids) - ids.count("lonely")]))
    assert chi_square_ok(np.array([ids.count(f"t{i}") for i in range(3)]))
    sizes = {(len(episode.classes), len(episode.support_y)) for episode in drawn}
    assert sizes == {(2, 2), (2, 4), (3, 3), (3, 6)}


def test_a_curriculum_says_which_tasks_and_shots() -> None:
    stages = [
        {"name": "one", "steps": 2, "families": {"include": ["small"]}, "shots": [1, 1]},
        {"name": "two", "shots": [2, 2]},
    ]
    stream = EpisodeStream(tasks(), SIZES, curriculum=Curriculum.model_validate({"stages": stages}))
    early = [stream.episode(index, step=1)[0] for index in range(12)]
    late = [stream.episode(index, step=2)[0] for index in range(12)]
    assert {episode.task_id for episode in early} == {"lonely"}
    assert {len(e.support_y) // len(e.classes) for e in early} == {1}
    assert {len(e.support_y) // len(e.classes) for e in late} == {2}
    assert len({episode.task_id for episode in late}) > 1


def test_smaller_episodes_where_a_task_has_less() -> None:
    sampler = sampler_of(text_task(support=(3, 3, 1)), 5, 4, 20)
    assert (sampler.n_way, sampler.k_shot, sampler.query_size) == (3, 1, 18)
    with pytest.raises(EpisodeError, match="no two of its 2 classes"):
        sampler_of(text_task(support=(3, 0), query=[2, 2]), 2, 1, 1)


def test_what_a_stream_refuses() -> None:
    with pytest.raises(EpisodeError, match="there is no task"):
        EpisodeStream([])


def test_a_task_without_classes_gives_what_it_can() -> None:
    task = generation_task()
    rows = len(task.support)
    episode, _ = EpisodeStream([task], Sizes(shots=(2,), query=3)).episode(5)
    assert (len(episode.support_x), len(episode.query_x), episode.ways) == (2, 3, 1)
    sampler = sampler_of(task, 2, 10 * rows, 1000)
    assert (sampler.k_shot, sampler.query_size) == (rows, len(task.query))


def test_tasks_are_split_by_id_or_family() -> None:
    named, rest = split_tasks(tasks(), ["small", "t1"])
    assert [task.config.task_id for task in named] == ["lonely", "t1"]
    assert [task.config.task_id for task in rest] == ["t0", "t2"]
    with pytest.raises(EpisodeError, match="'smal' is neither a task nor a family here. Families: large, small"):
        split_tasks(tasks(), ["smal"])


def test_a_limited_task_is_even_and_keeps_its_rows_whole() -> None:
    whole = text_task(support=(40, 10, 4), query=[3, 3, 3])
    cut = limited(whole, 18)
    assert np.bincount(cut.support.y).tolist() == [7, 7, 4]
    assert len(cut.query) == 9
    assert isinstance(cut.support.x, Ragged)
    for row in range(len(cut.support)):
        assert cut.support.x.row(row)[1] == 10 + cut.support.y[row]  # a text says its label
    again = limited(whole, 18)
    assert np.array_equal(cut.support.x.values, again.support.x.values)
    assert limited(whole, 1000).support is whole.support
