import math

import numpy as np
import pytest

from metapeft.tasks import Pool
from metapeft.tasks.features import NUMERIC, VECTOR_DIMS, feature_vector, hashed_tokens, task_features
from tests.tasks.made_tasks import generation_pool, ragged, tagging_pool, text_pool

POOLS = {
    "classification": text_pool([5, 7, 9]),
    "tagging": tagging_pool(9),
    "generation": generation_pool(9),
    "points": Pool("points", np.random.default_rng(0).normal(size=(30, 4)), np.arange(30, dtype=np.int32) % 3),
}


@pytest.mark.parametrize("kind", POOLS)
def test_every_kind_has_the_same_finite_features(kind):
    features = task_features(POOLS[kind], "toys", "de")
    assert list(features) == ["domain", "language", *NUMERIC]
    assert all(type(features[name]) is float and math.isfinite(features[name]) for name in NUMERIC)
    assert features["language"] == ("none" if kind == "points" else "de")
    vector = feature_vector(features)
    assert vector.shape == (VECTOR_DIMS,)
    assert np.isfinite(vector).all()


def test_points_by_hand():
    x = np.array([[0.0, 1, 0], [2, 1, 4], [0, 5, 0], [2, 5, 4]])
    features = task_features(Pool("points", x, np.array([0, 0, 1, 1], np.int32)), "toys")
    assert features["examples"] == 4
    assert features["input_dim"] == 3
    assert features["classes"] == 2
    assert features["imbalance_entropy"] == pytest.approx(1.0)
    assert features["imbalance_ratio"] == 1.0
    assert features["feature_mean"] == 2.0
    assert features["feature_spread"] == pytest.approx((1 + 2 + 2) / 3)
    assert features["sparsity"] == pytest.approx(4 / 12)
    assert features["mean_abs_correlation"] == pytest.approx(1 / 3)  # columns 0 and 2 move together
    assert features["top_eigenvalue_share"] == pytest.approx(5 / 9)
    assert features["signal_to_noise"] == pytest.approx(4 / 5)  # column 1 between, columns 0 and 2 within
    assert features["vocabulary"] == features["length_mean"] == 0.0


def test_imbalance_by_hand():
    features = task_features(text_pool([1, 3]), "toys")
    assert features["imbalance_ratio"] == 3.0
    assert features["imbalance_entropy"] == pytest.approx(-(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75)))


def test_tags_count_as_classes_and_positions_without_loss_do_not():
    features = task_features(tagging_pool(3), "toys")  # tags 0, 0; 1, 0, 1; 2, 0, 1, 1
    assert features["classes"] == 3
    assert features["imbalance_ratio"] == 4.0
    assert task_features(generation_pool(3), "toys")["classes"] == 0


def test_text_by_hand():
    pool = Pool("classification", ragged([[1, 2], [1, 3, 3, 4]]), np.array([0, 1], np.int32))
    features = task_features(pool, "toys")
    assert features["vocabulary"] == 4
    assert features["type_token_ratio"] == pytest.approx(4 / 6)
    assert (features["length_mean"], features["length_std"], features["length_p50"]) == (3.0, 1.0, 3.0)
    assert (features["length_p95"], features["length_max"]) == (pytest.approx(3.9), 4.0)
    assert features["input_dim"] == 0.0
    assert features["feature_mean"] == pytest.approx(1 / 64)


def test_a_bag_of_tokens_forgets_order_and_sums_to_one():
    bags = hashed_tokens(ragged([[5, 6, 7], [7, 5, 6], [8], []]))
    np.testing.assert_array_equal(bags[0], bags[1])
    np.testing.assert_allclose(bags.sum(axis=1), [1, 1, 1, 0])
    assert (bags[0] > 0).sum() == 3


@pytest.mark.parametrize("kind", ["classification", "points"])
def test_neither_the_order_of_examples_nor_the_numbers_of_classes_matter(kind):
    pool = POOLS[kind]
    order = np.random.default_rng(1).permutation(len(pool))
    x = pool.x[order] if kind == "points" else ragged([pool.x.row(i).tolist() for i in order])
    shuffled = Pool(kind, x, np.array([2, 0, 1], np.int32)[pool.y[order]])
    one, two = (feature_vector(task_features(p, "toys")) for p in (pool, shuffled))
    np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)


def test_classes_that_lie_apart_have_more_signal():
    rng, y = np.random.default_rng(2), np.arange(200, dtype=np.int32) % 2
    noise = rng.normal(size=(200, 3))
    near, far = (task_features(Pool("points", noise + shift * y[:, None], y), "t") for shift in (0.2, 3))
    assert far["signal_to_noise"] > 10 * near["signal_to_noise"]


@pytest.mark.parametrize("rows", [0, 1])
def test_tiny_pools_have_features_too(rows):
    for pool in (text_pool([rows, 0]), Pool("points", np.zeros((rows, 2)), np.zeros(rows, np.int32))):
        assert np.isfinite(feature_vector(task_features(pool, "toys"))).all()


def test_names_that_share_a_word_are_nearer_on_average():
    features = task_features(POOLS["points"], "x")

    def apart(first: str, second: str) -> float:
        one, two = (feature_vector({**features, "domain": name}) for name in (first, second))
        return float(((one - two) ** 2).sum())

    sharing = [apart(f"w{i} reviews", f"v{i}_Reviews") for i in range(50)]
    strange = [apart(f"w{i} reviews", f"v{i} rulings{i}") for i in range(50)]
    assert np.mean(sharing) < 0.75 * np.mean(strange)
