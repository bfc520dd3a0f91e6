import math

import numpy as np
import pytest

from metapeft.heads import cosine_head, cross_entropy, euclidean_head, prototypes
from metapeft.mlx import mx

FEATURES = np.array([[1.0, 0], [3, 0], [0, 2], [-1, 1]], np.float32)
LABELS = np.array([0, 0, 1, 2], np.int32)
NAMES = np.array([[0.0, 4], [0, 6], [5, 1]], np.float32)
QUERY = np.array([[1.0, 1], [2, -1], [0, 0.5]], np.float32)


def meta(temperature=1.0, name_weight=1.0):
    return {"log_temperature": mx.array(math.log(temperature)), "log_name_weight": mx.array(math.log(name_weight))}


def test_prototypes_are_class_means():
    means = prototypes(mx.array(FEATURES), mx.array(LABELS), 3)
    np.testing.assert_allclose(np.array(means), [[2, 0], [0, 2], [-1, 1]])


def test_a_name_is_worth_so_many_examples():
    means = prototypes(mx.array(FEATURES), mx.array(LABELS), 3, mx.array(NAMES), 2.0)
    np.testing.assert_allclose(np.array(means), [[1, 2], [0, 14 / 3], [3, 1]], rtol=1e-6)


def test_without_examples_the_prototype_is_the_name():
    missing = prototypes(mx.array(FEATURES[:2]), mx.array(LABELS[:2]), 3, mx.array(NAMES), 0.5)
    np.testing.assert_allclose(np.array(missing)[1:], NAMES[1:])
    none = prototypes(mx.zeros((0, 2)), mx.zeros(0, mx.int32), 3, mx.array(NAMES), 0.5)
    np.testing.assert_allclose(np.array(none), NAMES)


def test_a_class_without_example_and_name_is_nan_in_the_loss():
    params = cosine_head().init(mx.array(FEATURES[:3]), mx.array(LABELS[:3]), 3)
    loss = cross_entropy(cosine_head().logits(params, mx.array(FEATURES[:3])), mx.array(LABELS[:3]))
    assert math.isnan(loss.item())


def test_euclidean_is_the_negative_distance_up_to_a_constant_an_example():
    head = euclidean_head()
    params = head.init(mx.array(FEATURES), mx.array(LABELS), 3, meta(temperature=3.0))
    logits = np.array(head.logits(params, mx.array(QUERY)))
    centres = np.array([[2.0, 0], [0, 2], [-1, 1]])
    distances = ((QUERY[:, None] - centres) ** 2).sum(axis=2)
    constant = logits + 3.0 * distances / 2
    np.testing.assert_allclose(constant, np.repeat(constant[:, :1], 3, axis=1), atol=1e-5)


def test_euclidean_starts_as_proto_maml():
    params = euclidean_head().init(mx.array(FEATURES), mx.array(LABELS), 3, meta(temperature=2.0))  # d is 2 as well
    np.testing.assert_allclose(np.array(params["weight"]), [[4, 0], [0, 4], [-2, 2]], rtol=1e-6)
    np.testing.assert_allclose(np.array(params["bias"]), [-4, -4, -2], rtol=1e-6)


def test_cosine_by_hand():
    head = cosine_head()
    params = head.init(mx.array(FEATURES), mx.array(LABELS), 3, meta(temperature=7.0))
    lengths = np.linalg.norm(QUERY, axis=1, keepdims=True)
    directions = np.array([[1, 0], [0, 1], [-math.sqrt(0.5), math.sqrt(0.5)]])
    expected = 7.0 * QUERY @ directions.T / lengths
    np.testing.assert_allclose(np.array(head.logits(params, mx.array(QUERY))), expected, rtol=1e-5, atol=1e-6)


def test_cosine_forgets_lengths():
    head, lengths = cosine_head(), mx.array([[0.1], [5.0], [3.0], [100.0]])
    plain = head.init(mx.array(FEATURES), mx.array(LABELS), 3, None, mx.array(NAMES))
    scaled = head.init(lengths * mx.array(FEATURES), mx.array(LABELS), 3, None, 9.0 * mx.array(NAMES))
    np.testing.assert_allclose(np.array(scaled["weight"]), np.array(plain["weight"]), rtol=1e-5, atol=1e-5)
    logits = [np.array(head.logits(plain, scale * mx.array(QUERY))) for scale in (1.0, 50.0)]
    np.testing.assert_allclose(logits[0], logits[1], rtol=1e-5)


def test_default_temperatures_agree_on_features_of_mean_square_1():
    features = np.sign(np.random.default_rng(0).normal(size=(3, 16))).astype(np.float32)
    labels, query = mx.arange(3), np.roll(features, 1, axis=1)
    logits = []
    for head in (cosine_head(), euclidean_head()):
        values = np.array(head.logits(head.init(mx.array(features), labels, 3), mx.array(query)))
        logits.append(values - values.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(logits[0], logits[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", [cosine_head(), euclidean_head()], ids=["cosine", "euclidean"])
def test_a_learned_temperature_falls_where_the_loss_wants_it(head):
    x, wrong = mx.array(FEATURES), mx.array([1, 2, 0, 1])  # being sure of the right class costs here

    def loss(meta):
        return cross_entropy(head.logits(head.init(x, mx.array(LABELS), 3, meta), x), wrong)

    assert mx.grad(loss)(meta())["log_temperature"].item() > 0
