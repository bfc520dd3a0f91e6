import numpy as np
import pytest

from metapeft.heads import linear_head
from metapeft.heads.linear import SPREAD
from metapeft.mlx import mx

FEATURES, LABELS = mx.array([[1.0, 2.0, 3.0], [0.0, -1.0, 1.0]]), mx.array([0, 1])


def test_zeros_without_a_key():
    head = linear_head()
    params = head.init(FEATURES, LABELS, 4)
    assert (head.logits(params, FEATURES) == mx.zeros((2, 4))).all().item()


def test_the_key_decides_the_weights():
    draws = [linear_head(mx.random.key(seed)).init(FEATURES, LABELS, 4)["weight"] for seed in (3, 3, 4)]
    assert (draws[0] == draws[1]).all().item()
    assert (draws[0] != draws[2]).all().item()


def test_weights_are_small_and_the_bias_zero():
    params = linear_head(mx.random.key(0)).init(mx.zeros((1, 1000)), mx.array([0]), 10)
    assert mx.mean(params["weight"]).item() == pytest.approx(0.0, abs=SPREAD / 20)
    assert mx.std(params["weight"]).item() == pytest.approx(SPREAD, rel=0.05)
    assert (params["bias"] == 0).all().item()


def test_it_does_not_look_at_the_support_set():
    head, names = linear_head(mx.random.key(0)), mx.ones((2, 3))
    weights = [
        head.init(FEATURES, LABELS, 2)["weight"],
        head.init(5.0 * FEATURES[:1], 1 - LABELS[:1], 2, None, names)["weight"],
    ]
    np.testing.assert_array_equal(np.array(weights[0]), np.array(weights[1]))


def test_a_key_can_be_an_argument_of_a_compiled_function():
    draw = mx.compile(lambda key: linear_head(key).init(FEATURES, LABELS, 2)["weight"])
    for seed in (0, 1):
        expected = linear_head(mx.random.key(seed)).init(FEATURES, LABELS, 2)["weight"]
        np.testing.assert_allclose(np.array(draw(mx.random.key(seed))), np.array(expected), rtol=1e-5)
