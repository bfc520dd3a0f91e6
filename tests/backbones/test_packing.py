"""metapeft.backbones.packing: moving tokens loses nothing and invents nothing, forwards and backwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.backbones.packing import gather, mean_over_tokens, pack, places_of, real_tokens, round_up, shares, spread
from metapeft.errors import BackboneError
from metapeft.mlx import mx

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=6)
few = settings(max_examples=25, deadline=None)


def packed_states(lengths: list[int], d: int = 3) -> mx.array:
    return mx.array(np.random.default_rng(0).normal(size=(round_up(sum(lengths)), d)).astype(np.float32))


@given(lengths=LENGTHS)
@few
def test_spreading_and_gathering_again_gives_the_same(lengths: list[int]) -> None:
    places, states = places_of(lengths), packed_states(lengths)
    real = sum(lengths)
    np.testing.assert_array_equal(gather(spread(states, places), places)[:real], states[:real])


@given(lengths=LENGTHS)
@few
def test_each_token_stands_in_its_row(lengths: list[int]) -> None:
    places = places_of(lengths)
    tokens = np.full((len(lengths), max(lengths)), -1)
    for row, length in enumerate(lengths):
        tokens[row, :length] = 100 * row + np.arange(length)
    packed = pack(tokens, lengths)
    assert len(packed) == round_up(sum(lengths))
    assert (packed[sum(lengths) :] == 0).all()
    grid = np.array(spread(mx.array(packed)[:, None].astype(mx.float32), places))[..., 0]
    mask = np.array(places.mask)
    assert mask.sum(axis=1).tolist() == lengths
    for row, length in enumerate(lengths):
        np.testing.assert_array_equal(grid[row, :length], 100 * row + np.arange(length))
    assert places.rows.shape[1] in (16, 24, 32, 48, 64, 96, 128)


@given(lengths=LENGTHS, most=st.integers(1, 4), least=st.integers(1, 30))
@few
def test_shares_are_all_texts_in_order(lengths: list[int], most: int, least: int) -> None:
    cuts = shares(lengths, most, least)
    assert [i for cut in cuts for i in range(len(lengths))[cut]] == list(range(len(lengths)))
    assert all(lengths[cut] for cut in cuts)
    assert len(cuts) <= max(1, min(most, sum(lengths) // least))


def test_shares_are_about_equal() -> None:
    assert shares([10] * 6, 2, 1) == [slice(0, 3), slice(3, 6)]
    assert shares([30, 10, 10, 10], 2, 1) == [slice(0, 1), slice(1, 4)]
    assert shares([10] * 6, 2, 31) == [slice(0, 6)]
    assert shares([], 2, 1) == [slice(0, 0)]


@given(lengths=LENGTHS)
@few
def test_gradients_are_those_of_plain_indexing(lengths: list[int]) -> None:
    """Filler rows and places without a token count for nothing in the loss, as in a network that masks them."""
    places, states = places_of(lengths), packed_states(lengths)
    weights = mx.array(np.random.default_rng(1).normal(size=(*places.rows.shape, 3)).astype(np.float32))
    real = (mx.arange(len(states)) < sum(lengths))[:, None]

    def ours(x: mx.array) -> mx.array:
        grid = mx.tanh(spread(x, places)) * weights
        return (gather(grid * places.mask[..., None], places) * real * x).sum()

    def plain(x: mx.array) -> mx.array:
        grid = mx.tanh(x[places.rows]) * weights * places.mask[..., None]
        return (grid.reshape(-1, 3)[places.cells] * real * x).sum()

    np.testing.assert_allclose(ours(states), plain(states), rtol=1e-5)
    np.testing.assert_allclose(mx.grad(ours)(states), mx.grad(plain)(states), rtol=1e-5, atol=1e-6)


@given(lengths=LENGTHS)
@few
def test_filler_gets_no_gradient(lengths: list[int]) -> None:
    """Even where the loss reads all of the rectangle: what stands in places without a token is nobody's."""
    places, states = places_of(lengths), packed_states(lengths)
    gradient = np.array(mx.grad(lambda x: spread(x, places).square().sum())(states))
    real = sum(lengths)
    np.testing.assert_allclose(gradient[:real], 2 * states[:real], rtol=1e-6)
    assert (gradient[real:] == 0).all()
    grid = mx.array(np.random.default_rng(2).normal(size=(*places.rows.shape, 3)).astype(np.float32))
    back = np.array(mx.grad(lambda x: gather(x, places)[:real].square().sum())(grid))
    assert (back[~np.array(places.mask)] == 0).all()


@given(lengths=LENGTHS)
@few
def test_the_second_derivative_passes_too(lengths: list[int]) -> None:
    places, states = places_of(lengths), packed_states(lengths)

    def cubes(x: mx.array) -> mx.array:
        return ((gather(spread(x, places), places) ** 3) * places.real).sum()

    second = mx.grad(lambda x: mx.grad(cubes)(x).square().sum())(states)  # of (3 x²)²
    real = sum(lengths)
    np.testing.assert_allclose(second[:real], 36 * states[:real] ** 3, rtol=1e-4, atol=1e-5)


@given(lengths=LENGTHS)
@few
def test_the_mean_is_over_the_tokens_of_each_text(lengths: list[int]) -> None:
    places, states = places_of(lengths), packed_states(lengths)
    ends = np.cumsum(lengths)
    wanted = [np.array(states)[end - length : end].mean(axis=0) for end, length in zip(ends, lengths, strict=True)]
    np.testing.assert_allclose(mean_over_tokens(states, places), np.stack(wanted), rtol=1e-4, atol=1e-5)


@given(count=st.integers(1, 5000))
@few
def test_rows_are_filled_up_by_little_and_to_few_numbers(count: int) -> None:
    rows = round_up(count)
    assert rows >= max(count, 32)
    assert rows % 8 == 0
    assert count <= 64 or rows <= 1.125 * count + 8
    assert len({round_up(n) for n in range(1, 4097)}) <= 60


@pytest.mark.parametrize("lengths", [None, [2, 3]])
def test_real_tokens_are_looked_at(lengths: Any) -> None:
    tokens, found = real_tokens([[5, 6, 7], [8, 9, 4]], lengths, 10, 3, "tiny")
    assert tokens.dtype == np.int32
    assert found.tolist() == (lengths or [3, 3])
    assert tokens[0, 2] == (0 if lengths else 7)
    with pytest.raises(BackboneError, match=r"'tiny': a text has 3 tokens, it has positions for 2\n.*max_tokens=2"):
        real_tokens(tokens, lengths, 10, 2, "tiny")
    with pytest.raises(BackboneError, match=r"'tiny': token id 9 is not among its 9\n.*this one's tokenizer"):
        real_tokens(tokens, lengths, 9, None, "tiny")
