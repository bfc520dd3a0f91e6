import numpy as np
import pytest

from metapeft.heads import logistic_head, tagger_and_logistic_head, tagger_head
from metapeft.heads.tagger import ITERATIONS, TEMPERATURE, regression_share
from metapeft.meta.states import beside
from metapeft.mlx import mx

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(9, 4)).astype(np.float32)
LABELS = np.array([0, 1, 0, 2, 2, 1, 0, 2, 0], np.int32)
QUERY = RNG.normal(size=(5, 4)).astype(np.float32)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_outside_is_the_nearest_word_and_a_type_its_mean():
    head = tagger_head()
    params = head.init(mx.array(FEATURES), mx.array(LABELS), 3)
    assert params["weight"].shape == (9 + 2, 4)
    assert params["bias"].shape == (3,)
    s, q = unit(FEATURES), unit(QUERY)
    outside = (q @ s[LABELS == 0].T).max(axis=1).clip(0)
    types = [q @ unit(s[kind == LABELS].mean(axis=0)) for kind in (1, 2)]
    expected = TEMPERATURE * np.stack([outside, *types], axis=1)
    np.testing.assert_allclose(np.array(head.logits(params, mx.array(QUERY))), expected, rtol=1e-4, atol=1e-4)


def test_a_type_without_a_word_is_never_near_and_a_label_that_is_none_has_no_say():
    head = tagger_head()
    labels = np.where(LABELS == 2, -1, LABELS)
    logits = np.array(head.logits(head.init(mx.array(FEATURES), mx.array(labels), 3), mx.array(QUERY)))
    np.testing.assert_allclose(logits[:, 2], 0.0, atol=1e-4)
    kept = head.init(mx.array(FEATURES[LABELS < 2]), mx.array(LABELS[LABELS < 2]), 2)
    np.testing.assert_allclose(logits[:, :2], np.array(head.logits(kept, mx.array(QUERY))), atol=1e-4)


def test_cosines_are_all_it_needs_and_a_mix_of_features_is_a_mix_of_cosines():
    head = tagger_head()
    s, q = (mx.array(unit(x)) for x in (FEATURES, QUERY))
    other_s, other_q = (mx.array(unit(x[:, ::-1] ** 3)) for x in (FEATURES, QUERY))
    labels = mx.array(np.where(np.arange(9) == 4, -1, LABELS))
    params = head.init(beside(s, other_s, 0.3), labels, 3)
    near, among = (0.7 * a @ s.T + 0.3 * b @ other_s.T for a, b in ((q, other_q), (s, other_s)))
    expected = np.array(head.logits(params, beside(q, other_q, 0.3)))
    np.testing.assert_allclose(np.array(head.by_cosines(near, among, labels[None], 3)[0]), expected, atol=1e-3)


def test_the_order_of_words_does_not_matter():
    head, order = tagger_head(), np.random.default_rng(1).permutation(9)
    one = head.logits(head.init(mx.array(FEATURES), mx.array(LABELS), 3), mx.array(QUERY))
    two = head.logits(head.init(mx.array(FEATURES[order]), mx.array(LABELS[order]), 3), mx.array(QUERY))
    np.testing.assert_allclose(np.array(one), np.array(two), atol=1e-4)


def test_without_a_word_outside_what_is_like_no_type_is_outside():
    head = tagger_head()
    params = head.init(mx.array(np.eye(4, dtype=np.float32)[:2]), mx.array([1, 2]), 3)
    logits = np.array(head.logits(params, mx.array(np.float32([[1, 0.1, 0, 0], [-1, -1, 1, 0]]))))
    assert logits.argmax(axis=1).tolist() == [1, 0]


def test_gradients_reach_words_of_types_and_the_nearest_ones_outside():
    head = tagger_head()

    def loss(features):
        return mx.sum(head.logits(head.init(features, mx.array(LABELS), 3), mx.array(QUERY)) ** 2)

    reached = np.abs(np.array(mx.grad(loss)(mx.array(FEATURES)))).sum(axis=1) > 0
    nearest = np.flatnonzero(LABELS == 0)[(unit(QUERY) @ unit(FEATURES[LABELS == 0]).T).argmax(axis=1)]
    np.testing.assert_array_equal(reached, (LABELS > 0) | np.isin(np.arange(9), nearest))


def test_names_are_refused():
    with pytest.raises(ValueError, match="names of types"):
        tagger_head().init(mx.array(FEATURES), mx.array(LABELS), 3, None, mx.array(FEATURES[:3]))


def test_the_regression_weighs_more_the_more_words_are_in_mentions():
    labels = mx.array([[0, 0, 0, 1, -1], [2, 1, 1, 2, 1], [0, 0, 0, 0, -1]])
    np.testing.assert_allclose(np.array(regression_share(labels)), [0.9 / 16, 0.9 * 5 / 20, 0.0], atol=1e-6)


def test_with_a_regression_beside_it_both_have_their_share():
    head, rows, query = tagger_and_logistic_head(), mx.array(FEATURES), mx.array(QUERY)
    labels = mx.array(np.where(np.arange(9) == 4, -1, LABELS))
    params = head.init(rows, labels, 3)
    assert (params["weight"].shape, params["bias"].shape) == ((9 + 2 + 3, 4), (3,))
    parts = [each.logits(each.init(rows, labels, 3), query) for each in (tagger_head(), logistic_head(ITERATIONS))]
    share = 0.9 * 4 / 19  # four words in mentions
    expected = (1 - share) * np.array(parts[0]) + share * np.array(parts[1])
    np.testing.assert_allclose(np.array(head.logits(params, query)), expected, atol=1e-4)
