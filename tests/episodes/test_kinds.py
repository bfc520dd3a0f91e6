import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.episodes import kinds
from metapeft.errors import EpisodeError
from metapeft.tasks import Task
from metapeft.tasks.sampling import fold, key_of
from tests.tasks.made_tasks import chi_square_ok, config, tagging_task, text_task


def states(count: int, seed: int = 0) -> np.ndarray:
    return fold(key_of("kinds", seed), np.arange(count))


@pytest.mark.parametrize("choose", [kinds.uniform_ways, kinds.uniform_shots])
def test_ways_and_shots_are_uniform_with_both_ends(choose):
    drawn = choose(states(20_000), 1, 20)
    assert (drawn.min(), drawn.max()) == (1, 20)
    assert chi_square_ok(np.bincount(drawn)[1:])
    assert set(choose(states(9), 3, 3).tolist()) == {3}


def test_equal_counts():
    assert kinds.equal_counts(np.array([3, 1]), np.array([5, 2])).tolist() == [[5, 5, 5], [2, 0, 0]]


def test_every_composition_is_equally_likely_where_there_is_room():
    count = 15 * 300
    ways, shots = np.full(count, 3), np.full(count, 2)  # sums of three numbers that make six: ten
    drawn = kinds.imbalanced_counts(states(count), ways, shots, np.full((count, 3), 99))
    found, counts = np.unique(drawn, axis=0, return_counts=True)
    wanted = [c for c in itertools.product(range(1, 5), repeat=3) if sum(c) == 6]
    assert [tuple(row) for row in found.tolist()] == wanted
    assert chi_square_ok(counts)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(1, 7), st.integers(1, 6)), min_size=1, max_size=6),
    st.integers(0, 8),
    st.integers(0, 99),
)
def test_the_total_is_kept_whatever_the_room(rows, spare, seed):
    ways, shots = (np.array(column) for column in zip(*rows, strict=True))
    label = np.arange(ways.max())
    room = np.where(label < ways[:, None], shots[:, None] + (spare * label) % 5, 50)
    drawn = kinds.imbalanced_counts(states(len(rows), seed), ways, shots, room)
    assert drawn.sum(axis=1).tolist() == (ways * shots).tolist()
    inside = label < ways[:, None]
    assert (drawn[inside] >= 1).all()
    assert (drawn[~inside] == 0).all()
    assert (drawn[inside] <= room[inside]).all()
    for i in range(len(rows)):
        own = kinds.imbalanced_counts(states(len(rows), seed)[[i]], ways[[i]], shots[[i]], room[[i], : ways[i]])
        np.testing.assert_array_equal(own[0], drawn[i, : ways[i]])


def test_domain_shift_aligns_classes_by_name():
    one = text_task("one", support=(4, 5, 6), labels=["bad", "so-so", "good"])
    two = text_task("two", support=(4, 5, 6), query=(3, 4, 5), labels=["good", "bad", "odd"])
    sides = kinds.domain_shift(one, two)
    assert sides.name == "one->two"
    assert sides.class_ids.tolist() == [0, 2]
    assert one.support.y[sides.support.rows].tolist() == [0] * 4 + [2] * 6
    assert two.query.y[sides.query.rows].tolist() == [1] * 4 + [0] * 3
    assert not sides.one_pool


def test_domain_shift_between_tasks_of_one_pool_keeps_both_whole():
    sides = kinds.domain_shift(text_task("one", query=None), text_task("two", query=None))
    assert not sides.one_pool
    assert sides.query.sizes.tolist() == [8, 9, 10]


@pytest.mark.parametrize(
    ("support", "query", "message"),
    [
        (text_task("a", labels=list("xyz")), text_task("b", labels=list("zvw")), "share 1 label names"),
        (text_task("a"), tagging_task("b"), "classification and tagging"),
        (tagging_task("a"), tagging_task("b"), "tagging and tagging"),
        (text_task("a"), Task(config("b", 2, 2, family="xor")), "classification and points"),
    ],
)
def test_domain_shift_that_cannot_be(support, query, message):
    with pytest.raises(EpisodeError, match=f"a -> b.*{message}"):
        kinds.domain_shift(support, query)


def test_a_task_has_no_shift_to_itself():
    task = text_task("a")
    with pytest.raises(EpisodeError, match="must differ"):
        kinds.domain_shift(task, task)
