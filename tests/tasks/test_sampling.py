import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.tasks import sampling
from metapeft.tasks.sampling import fold, key_of
from tests.tasks.made_tasks import chi_square_ok

PROPERTY = settings(deadline=None, max_examples=50, derandomize=True)
sizes = st.integers(0, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


def states(count: int, seed: int = 0) -> np.ndarray:
    return fold(key_of("test", seed), np.arange(count))


def test_fold_gives_the_published_splitmix64_sequence():
    zero = np.zeros(1, np.uint64)
    assert [int(fold(zero, n)[0]) for n in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    np.testing.assert_array_equal(fold(zero, np.arange(3)), [fold(zero, n)[0] for n in range(3)])


def test_a_key_tells_apart_types_and_borders_and_never_changes():
    assert len({int(key_of(*parts)[0]) for parts in [("a", 1), ("a1",), ("a", "1"), ("", "a1"), (1, "a")]}) == 5
    assert int(key_of("suite", 0)[0]) == 1905068835926258607


def test_below_is_uniform_and_in_range():
    drawn = sampling.below(states(70_000), 7)
    assert chi_square_ok(np.bincount(drawn, minlength=7))
    assert sampling.below(np.array([2**64 - 1, 0], np.uint64), 7).tolist() == [6, 0]


@PROPERTY
@given(st.lists(sizes, min_size=1, max_size=12), st.integers(0, 99))
def test_a_sample_is_distinct_in_range_padded_and_the_same_alone(rows, seed):
    population, size = (np.array(column) for column in zip(*rows, strict=True))
    state = states(len(rows), seed)
    drawn = sampling.sample_without_replacement(state, population, size)
    assert drawn.shape == (len(rows), size.max())
    for i, (n, k) in enumerate(rows):
        own = drawn[i, :k]
        assert len(set(own.tolist())) == k
        assert ((own >= 0) & (own < n)).all()
        assert (drawn[i, k:] == -1).all()
        alone = sampling.sample_without_replacement(state[i : i + 1], population[i : i + 1], size[i : i + 1])
        np.testing.assert_array_equal(alone[0], own)


def test_every_ordered_sample_is_equally_likely():
    count = 60 * 200
    drawn = sampling.sample_without_replacement(states(count), np.full(count, 5), np.full(count, 3))
    cells = np.bincount(drawn @ [25, 5, 1], minlength=125)
    assert (cells > 0).sum() == 60
    assert chi_square_ok(cells[cells > 0])


def test_every_prefix_is_uniform_for_full_and_long_samples():
    for population, size in ((4, 4), (40, 25)):
        drawn = sampling.sample_without_replacement(states(8_000), np.full(8_000, population), np.full(8_000, size))
        for place in (0, 1, size - 1):
            assert chi_square_ok(np.bincount(drawn[:, place], minlength=population))


def test_more_rows_than_there_are_is_an_error():
    with pytest.raises(ValueError, match="more rows"):
        sampling.sample_without_replacement(states(1), np.array([3]), np.array([4]))


@PROPERTY
@given(st.lists(st.integers(0, 5), max_size=40))
def test_rows_by_class_groups_all_rows(labels):
    labels = np.array(labels, np.int64)
    rows = sampling.rows_by_class(labels, 6)
    assert rows.sizes.tolist() == [int((labels == c).sum()) for c in range(6)]
    for c in range(6):
        np.testing.assert_array_equal(rows.rows[rows.starts[c] : rows.starts[c + 1]], np.flatnonzero(labels == c))
    some = rows.take(np.array([4, 1]))
    np.testing.assert_array_equal(some.rows, np.concatenate([np.flatnonzero(labels == 4), np.flatnonzero(labels == 1)]))
    assert some.sizes.tolist() == rows.sizes[[4, 1]].tolist()


@PROPERTY
@given(st.integers(0, 200), st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_spread_is_even_and_whole(total, ways):
    counts = sampling.spread(total, np.array(ways))
    for row, n in zip(counts, ways, strict=True):
        assert row.sum() == total
        assert row[:n].max() - row[:n].min() <= 1
        assert (row[n:] == 0).all()
        assert (np.diff(row[:n]) <= 0).all()


def test_classes_are_distinct_eligible_and_labels_are_dealt_uniformly():
    eligible = np.array([2, 5, 7, 11])
    chosen = sampling.choose_classes(states(12_000), eligible, np.full(12_000, 2))
    pairs, counts = np.unique(chosen, axis=0, return_counts=True)
    assert len(pairs) == 12
    assert set(pairs.ravel().tolist()) == {2, 5, 7, 11}
    assert chi_square_ok(counts)
    ragged = sampling.choose_classes(states(2), eligible, np.array([1, 3]))
    assert (ragged[0, 1:] == -1).all()
    assert (ragged[1] >= 0).all()


def test_rows_come_from_their_class_uniformly_and_independently():
    rows = sampling.rows_by_class(np.array([0, 1, 0, 1, 0, 1]), 2)
    count = 9_000
    classes, counts = np.tile([1, 0], (count, 1)), np.ones((count, 2), np.int64)
    chosen = sampling.choose_rows(states(count), rows, classes, counts)
    assert chosen.shape == (count, 2, 1)
    assert set(chosen[:, 0].ravel()) == {1, 3, 5}
    assert set(chosen[:, 1].ravel()) == {0, 2, 4}
    joint = np.zeros((3, 3))
    np.add.at(joint, (chosen[:, 0, 0] // 2, chosen[:, 1, 0] // 2), 1)
    assert chi_square_ok(joint)


def test_padded_classes_give_no_rows():
    rows = sampling.rows_by_class(np.array([0, 0, 1, 1, 1]), 2)
    chosen = sampling.choose_rows(states(1), rows, np.array([[1, -1]]), np.array([[2, 0]]))
    assert (chosen[0, 0] >= 2).all()
    assert (chosen[0, 1] == -1).all()


@PROPERTY
@given(st.integers(0, 99), st.integers(1, 4), st.integers(0, 4))
def test_one_pool_is_split_without_overlap(seed, shots, queries):
    rows = sampling.rows_by_class(np.arange(24) % 3, 3)
    classes = np.array([[2, 0], [1, 2]])
    support_counts, query_counts = np.full((2, 2), shots), np.array([[queries, 4], [0, queries]])
    support, query = sampling.split_rows(states(2, seed), rows, classes, support_counts, query_counts)
    for e in range(2):
        for w in range(2):
            first, second = (a[e, w][a[e, w] >= 0].tolist() for a in (support, query))
            assert len(first) == shots
            assert len(second) == query_counts[e, w]
            assert len({*first, *second}) == len(first) + len(second)
            assert all(row % 3 == classes[e, w] for row in first + second)


def test_hashed_order_keeps_rows_and_labels_and_ignores_padding():
    chosen = np.array([[[4, 9, -1], [3, -1, -1]], [[0, 1, 2], [7, 8, 5]]])
    rows, labels = sampling.in_hashed_order(states(2), chosen)
    assert {(int(r), int(y)) for r, y in zip(rows[0], labels[0], strict=True)} == {(4, 0), (9, 0), (3, 1), (-1, -1)}
    assert (rows[0, 3:] == -1).all()
    assert sorted(rows[1].tolist()) == [0, 1, 2, 5, 7, 8]
    narrow, _ = sampling.in_hashed_order(states(1), chosen[:1, :, :2])
    np.testing.assert_array_equal(narrow[0, :3], rows[0, :3])


def test_hashed_order_hides_the_class():
    chosen = np.tile(np.arange(6).reshape(1, 3, 2), (6_000, 1, 1))
    _, labels = sampling.in_hashed_order(states(6_000), chosen)
    for place in range(6):
        assert chi_square_ok(np.bincount(labels[:, place], minlength=3))
