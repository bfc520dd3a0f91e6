"""The whole embedding: fitted, projected, on the unit sphere, kept and read back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.embeddings.embedder import BLOCKS, DEFAULT_BLOCKS, Embedder, fit
from metapeft.embeddings.similarity import cluster_quality
from metapeft.embeddings.support import EmbeddingError
from tests.embeddings.made import made, reordered


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return fit([made(seed, ways=2 + seed % 3, shots=1 + seed % 5) for seed in range(30)], dims=16)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), shots=st.lists(st.integers(1, 5), min_size=2, max_size=6).map(tuple))
def test_unit_norm_and_no_order(embedder, seed, shots):
    support = made(seed, shots=shots)
    out = embedder.embed(support)
    assert out.shape == (16,)
    assert out.dtype == np.float32
    assert np.linalg.norm(out) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(embedder.embed(reordered(support, seed)), out, atol=1e-6)


def test_one_shot_and_points(embedder):
    assert np.isfinite(embedder.embed(made(shots=1, ways=9))).all()
    points = fit([made(seed, points=True) for seed in range(5)], dims=4)
    assert np.linalg.norm(points.embed(made(7, points=True))) == pytest.approx(1.0)


def test_round_trip_is_exact(embedder):
    back = Embedder.from_parts(embedder.arrays(), json.loads(json.dumps(embedder.facts())))
    support = made(99)
    np.testing.assert_array_equal(back.embed(support), embedder.embed(support))
    assert (back.blocks, back.sizes, back.dims) == (embedder.blocks, embedder.sizes, 16)


@pytest.mark.parametrize(
    ("facts", "arrays", "message"),
    [
        ({"format": 1}, {}, "format 1; this version"),
        ({"blocks": ["prototype"]}, {}, "Did you mean 'prototypes'"),
        ({}, {"mean": np.zeros(3)}, "does not fit arrays"),
        ({}, {"projection": np.zeros(3)}, "does not fit arrays"),
    ],
)
def test_parts_that_are_refused(embedder, facts, arrays, message):
    with pytest.raises(EmbeddingError, match=message):
        Embedder.from_parts(embedder.arrays() | arrays, embedder.facts() | facts)


@pytest.mark.parametrize("blocks", [(name,) for name in BLOCKS] + [DEFAULT_BLOCKS, tuple(BLOCKS)])
def test_every_block_can_be_switched(blocks):
    rng = np.random.default_rng(0)
    supports = [made(seed, label_features=rng.normal(size=(3, 12)).astype(np.float32)) for seed in range(9)]
    one = fit(supports, blocks, dims=5)
    assert one.blocks == blocks
    assert len(one.sizes) == len(blocks)
    assert one.projection.shape == (sum(one.sizes), 5)
    assert np.linalg.norm(one.embed(supports[0])) == pytest.approx(1.0)


def test_fewer_episodes_than_dims_pads_with_zeros():
    one = fit([made(seed) for seed in range(6)], dims=128)
    out = one.embed(made(50))
    assert one.dims == len(out) == 128
    np.testing.assert_array_equal(out[6:], 0)
    assert np.linalg.norm(out) == pytest.approx(1.0)


def test_one_episode_gives_one_direction():
    out = fit([made()], dims=8).embed(made(1))
    np.testing.assert_array_equal(out, np.eye(8)[0])


def test_standardized_blocks_weigh_the_same_and_constants_nothing():
    supports = [made(seed, ways=2 + seed % 3, domain="news") for seed in range(60)]
    one = fit(supports, dims=128)
    assert (one.precision == 0).any()  # the domain's signs never move
    assert not one.projection[one.precision == 0].any()
    ends = np.cumsum(one.sizes)
    # PCA keeps all variance here, so what a block holds of it is the squared length of what it projects
    energy = np.zeros(len(one.sizes))
    for support in supports:
        for i, (end, size, name) in enumerate(zip(ends, one.sizes, one.blocks, strict=True)):
            part = slice(end - size, end)
            z = np.clip((BLOCKS[name](support) - one.mean[part]) * one.precision[part], -5, 5)
            energy[i] += ((z @ one.projection[part]) ** 2).sum() / len(supports)
    moves = [BLOCKS[name](supports[0]).any() for name in one.blocks]
    assert moves == [True, True, True, False]  # no rows of these tasks are tagged
    np.testing.assert_allclose(energy[moves], 1.0, atol=0.2)


def test_a_statistic_far_outside_is_cut(embedder):
    wild = made(5)._replace(features=made(5).features * 1e6)
    assert np.isfinite(embedder.embed(wild)).all()


def test_the_fit_is_the_same_every_time_and_its_signs_are_fixed():
    supports = [made(seed) for seed in range(12)]
    one, two = fit(supports, dims=8), fit(supports, dims=8)
    np.testing.assert_array_equal(one.projection, two.projection)
    shuffled = fit(supports[::-1], dims=8)
    np.testing.assert_allclose(shuffled.projection, one.projection, atol=1e-5)


def test_errors():
    supports = [made(seed) for seed in range(3)]
    with pytest.raises(EmbeddingError, match="Did you mean 'task2vec'"):
        fit(supports, ("task2vek",))
    with pytest.raises(EmbeddingError, match="different names"):
        fit(supports, ("text", "text"))
    with pytest.raises(EmbeddingError, match="at least one, got"):
        fit(supports, ())
    with pytest.raises(EmbeddingError, match="none was given"):
        fit([])
    with pytest.raises(EmbeddingError, match="dims must be at least 1, got 0"):
        fit(supports, dims=0)
    with pytest.raises(EmbeddingError, match="'text' needs features"):
        fit(supports, ("text",))
    with pytest.raises(EmbeddingError, match="differ in width"):
        fit([made(), made(width=5)])
    with pytest.raises(EmbeddingError, match="another backbone"):
        fit(supports).embed(made(width=5))
    with pytest.raises(EmbeddingError, match="block 'text' .* not finite"):
        fit([made(label_features=np.full((3, 12), np.nan))], ("text",))


def test_families_of_a_made_suite_cluster():
    """Three families around centres of their own; fitted on half of the tasks, measured on the others."""
    centres = 5.0 * np.random.default_rng(0).normal(size=(3, 12))
    tasks = [(family, task) for family in range(3) for task in range(6)]

    def supports(parity: int) -> list:
        chosen = [(f, t, e) for f, t in tasks for e in range(3) if t % 2 == parity]
        return [(f"f{f}", f"{f}/{t}", made(100 * f + 10 * t + e, centre=centres[f])) for f, t, e in chosen]

    embedder = fit([support for *_, support in supports(0)])
    families, names, held_out = zip(*supports(1), strict=True)
    rng = np.random.default_rng(0)
    quality = cluster_quality(np.stack([embedder.embed(s) for s in held_out]), families, rng, names)
    assert quality["purity"] > 0.8 > 2 * quality["shuffled_purity"]
    assert quality["silhouette"] > quality["shuffled_silhouette"] + 0.1
    assert quality["p_purity"] < 0.05
