import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.tasks import IGNORE, Pool, Ragged
from metapeft.tasks.padding import (
    bucket_length,
    gather_x,
    gather_y,
    pad_rows,
    prompts_with_targets,
    without_middle,
)
from tests.tasks.made_tasks import generation_pool, ragged


@pytest.mark.parametrize(
    ("longest", "most", "length"),
    [(0, None, 16), (16, None, 16), (17, None, 32), (32, None, 32), (33, None, 64), (513, None, 1024),
     (100, 48, 48), (20, 48, 32), (40, 48, 48), (3, 10, 10)],
)  # fmt: skip
def test_buckets(longest, most, length):
    assert bucket_length(longest, most) == length


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    st.lists(st.lists(st.integers(1, 99), max_size=40), min_size=1, max_size=8),
    st.data(),
    st.none() | st.integers(1, 40),
)
def test_padding_equals_a_loop(rows, data, most):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=6))
    matrix, lengths = pad_rows(ragged(rows), np.array(chosen), -7, most)
    kept = [rows[i][:most] for i in chosen]
    assert lengths.tolist() == [len(row) for row in kept]
    assert matrix.shape == (len(chosen), bucket_length(max(map(len, kept)), most))
    for got, row in zip(matrix.tolist(), kept, strict=True):
        assert got == row + [-7] * (len(got) - len(row))
    assert (matrix.dtype, lengths.dtype) == (np.int32, np.int32)


def test_a_slice_of_a_larger_column_is_read_where_its_offsets_say():
    inner = Ragged(np.arange(10, dtype=np.int32), np.array([3, 5, 9], np.int64))
    assert pad_rows(inner, np.array([1]), 0)[0][0, :5].tolist() == [5, 6, 7, 8, 0]


def test_points_come_as_float32_without_lengths():
    x, lengths = gather_x(Pool("points", np.eye(3), np.zeros(3, np.int32)), np.array([2, 0]))
    assert x.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert x.dtype == np.float32
    assert lengths is None


def test_targets_are_labels_or_padded_tokens():
    points = Pool("points", np.eye(3), np.array([5, 6, 7], np.int32))
    y = gather_y(points, np.array([2, 0]), np.array([1, 0]))
    assert (y.tolist(), y.dtype) == ([1, 0], np.int32)
    y = gather_y(generation_pool(20), np.array([2, 19]), np.array([0, 0]), max_tokens=18)
    assert y.shape == (2, 18)
    assert y[0].tolist() == [2] * 3 + [IGNORE] * 15
    assert y[1].tolist() == [19] * 18


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 99), min_size=0, max_size=40), st.integers(1, 30))
def test_a_row_loses_its_middle_and_keeps_both_ends(values: list[int], longest: int) -> None:
    row = np.array(values, np.int32)
    cut = without_middle(row, longest)
    assert len(cut) == min(len(row), longest)
    tail = longest // 4
    if len(row) > longest:
        assert cut.tolist() == values[: longest - tail] + values[len(values) - tail :]
    else:
        assert cut.tolist() == values


def test_targets_stand_behind_their_prompts_with_the_end_of_a_text() -> None:
    pool = Pool("generation", ragged([[1, 2, 3], [4]]), ragged([[7], [8, 9]]))
    tokens, lengths, starts = prompts_with_targets(pool, np.array([1, 0]), [5], 0)
    assert tokens.tolist() == [[4, 8, 9, 5, 0], [1, 2, 3, 7, 5]]
    assert (lengths.tolist(), starts.tolist()) == ([4, 5], [1, 3])
    tokens, lengths, _ = prompts_with_targets(pool, np.array([0, 1]), [], 0, max_tokens=1)
    assert (tokens.tolist(), lengths.tolist()) == ([[1, 7], [4, 8]], [2, 2])
