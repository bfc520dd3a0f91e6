"""The blocks of an embedding, each by itself, and `support`."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.embeddings.embedder import BLOCKS
from metapeft.embeddings.handcrafted import handcrafted
from metapeft.embeddings.mentions import SIZE, mentions
from metapeft.embeddings.prototypes import SCALARS, prototypes
from metapeft.embeddings.support import EmbeddingError, SupportSet, check
from metapeft.embeddings.task2vec import FLOOR, task2vec
from metapeft.embeddings.text import text
from metapeft.episodes.episode import Sentences
from metapeft.heads import cosine_head, cross_entropy
from metapeft.mlx import mx
from metapeft.tasks.features import NUMERIC, VECTOR_DIMS
from tests.embeddings.made import made, reordered

COUNTS = st.lists(st.integers(1, 5), min_size=2, max_size=6).map(tuple)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), shots=COUNTS, points=st.booleans())
def test_no_block_depends_on_the_order_of_examples_or_classes(seed, shots, points):
    names = np.random.default_rng(seed).normal(size=(len(shots), 12)).astype(np.float32)
    support = made(seed, shots=shots, points=points, label_features=names)
    other = reordered(support, seed + 1)
    for block in (*BLOCKS.values(), lambda s: task2vec(s, samples=20)):
        np.testing.assert_allclose(block(other), block(support), atol=1e-6)


def test_handcrafted_reads_the_support_rows_without_padding():
    support = made(ways=2, shots=(3, 1), domain="news")
    vector = dict(zip(NUMERIC, handcrafted(support), strict=False))
    assert len(handcrafted(support)) == VECTOR_DIMS
    assert vector["examples"] == pytest.approx(math.log1p(4))
    assert vector["length_mean"] == pytest.approx(math.log1p(support.lengths.mean()))
    longer = support._replace(x=np.pad(support.x, ((0, 0), (0, 9))))
    np.testing.assert_array_equal(handcrafted(longer), handcrafted(support))
    assert (handcrafted(support._replace(domain="toys")) != handcrafted(support)).any()


def test_prototypes_by_hand():
    features = np.array([[3, 0, 1], [5, 0, -1], [0, 2, 0], [0, 2, 0]], np.float32)
    support = made(ways=2, shots=2)._replace(features=features, labels=np.array([0, 0, 1, 1]))
    vector = prototypes(support)
    assert vector.shape == (3 * 3 + SCALARS,)
    np.testing.assert_allclose(vector[:3], np.array([2, 1, 0]) / 5**0.5)  # prototypes (4, 0, 0) and (0, 2, 0)
    np.testing.assert_allclose(vector[3:6], np.array([2, 1, 0]) / 5**0.5)
    np.testing.assert_allclose(vector[6:9], np.array([1, 0, 1]) / 2**0.5)
    np.testing.assert_allclose(vector[9:15], 1.0)  # at right angles: cosine distance 1, whatever the quantile
    np.testing.assert_allclose(vector[15:], [0, 1, 5, 1 / 6, math.log(2), math.log(2)])


def test_one_shot_has_no_spread_within_classes():
    vector = prototypes(made(shots=1, ways=4))
    np.testing.assert_array_equal(vector[24:36], 0)
    assert np.isfinite(vector).all()
    assert np.isfinite(task2vec(made(shots=1, ways=4))).all()
    assert np.isfinite(prototypes(made(shots=3, ways=1))).all()


def profile(v: np.ndarray) -> np.ndarray:
    return np.log(v / v.mean() + FLOOR)


def test_task2vec_is_the_fisher_information_and_gradient_of_the_cosine_head():
    """Against `heads.cosine_head` and MLX's derivatives: each label's gradient, weighted by its probability."""
    support = made(seed=3, ways=3, shots=2, width=5)
    head, labels = cosine_head(), mx.array(support.labels)
    features = mx.array(support.features)
    params = head.init(features, labels, 3)

    def loss(weight: mx.array, rows: mx.array, y: mx.array) -> mx.array:
        return cross_entropy(head.logits({"weight": weight, "bias": params["bias"]}, rows), y)

    p = np.array(mx.softmax(head.logits(params, features), axis=1))
    fisher = np.zeros(5)
    for i in range(6):
        for y in range(3):
            g = np.array(mx.grad(loss)(params["weight"], features[i : i + 1], mx.array([y])))
            fisher += p[i, y] * (g**2).sum(axis=0) / 6
    slope = np.abs(np.array(mx.grad(loss)(params["weight"], features, labels))).mean(axis=0)
    expected = [*profile(fisher), *profile(slope), np.log(fisher.mean()), np.log(slope.mean())]
    np.testing.assert_allclose(task2vec(support), expected, atol=1e-3)


def test_drawn_labels_tend_to_the_exact_expectation():
    support = made(seed=1, ways=3, shots=3, centre=3.0)  # classes that are hard to tell apart: no label is rare
    exact = task2vec(support)
    errors = [np.abs(task2vec(support, samples=n) - exact).max() for n in (20, 20_000)]
    assert errors[1] < 0.02
    assert errors[1] < errors[0] / 5
    assert (task2vec(support, samples=10, seed=1) != task2vec(support, samples=10)).any()
    np.testing.assert_array_equal(task2vec(support, samples=10), task2vec(support, samples=10))


def test_text_is_the_mean_direction_of_what_the_task_says():
    said = np.array([[2, 0, 0], [0, 5, 0]], np.float32)
    np.testing.assert_allclose(text(made(width=3, label_features=said)), np.array([1, 1, 0]) / 2**0.5)
    np.testing.assert_array_equal(text(made(width=3)), 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros((0, 4), np.float32)}, r"not empty, got \(0, 4\)"),
        ({"features": np.zeros(12, np.float32)}, r"must be \(n, d\)"),
        ({"features": np.full((12, 4), np.nan, np.float32)}, "of 12 of 12 support examples are not finite"),
        ({"labels": np.zeros(3, np.int32)}, r"labels must have one entry .* got \(3,\)"),
        ({"x": np.zeros((2, 8), np.int32)}, "x must have one entry"),
        ({"lengths": np.zeros(2, np.int32)}, "lengths must have one entry"),
        ({"labels": np.arange(12) % 4}, r"labels are \[0, 1, 2, 3\]; 3 ways"),
        ({"labels": np.arange(12) % 2}, r"labels are \[0, 1\]; 3 ways need an example of each"),
        ({"labels": np.arange(12) % 3 - 1}, r"labels are \[-1, 0, 1\]"),
    ],
)
def test_support_sets_that_are_refused(change, message):
    with pytest.raises(EmbeddingError, match=message):
        check(made()._replace(**change))


def tagged(sentences: list[list[int]], ways: int) -> SupportSet:
    """Sentences of these tags, each word a token and a feature."""
    tags = np.array([tag for own in sentences for tag in own], np.int32)
    lengths = np.array([len(own) for own in sentences])
    x = np.full((len(sentences), 8), 3, np.int32)
    features = np.random.default_rng(len(tags)).normal(size=(len(tags), 12)).astype(np.float32)
    classes = (tags + 1) // 2
    return SupportSet(features, classes, ways, x, lengths, sentences=Sentences(lengths, tags))


def test_mentions_count_density_and_lengths():
    found = mentions(tagged([[1, 2, 0, 3], [0, 0], [1, 2, 2, 0]], 3))
    sizes = np.array([2, 1, 3])
    expected = [
        *(1.0, 6 / 10, math.log1p(1.0), math.log1p(1.5), sizes.mean(), sizes.std(), 1 / 3, math.log1p(10 / 3)),
        *(1 / 3, 1 / 3, 1 / 3),
    ]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_array_equal(mentions(made()), np.zeros(SIZE))
    assert np.isfinite(mentions(tagged([[0, 0]], 1))).all()


def test_sentences_in_another_order_with_other_type_numbers_are_the_same_task():
    one = tagged([[1, 2, 0, 3], [0, 0], [1, 2, 2, 0]], 3)
    order = np.concatenate([np.arange(6, 10), np.arange(4), np.arange(4, 6)])
    tags = np.array([3, 4, 4, 0, 3, 4, 0, 1, 0, 0], np.int32)
    other = one._replace(
        features=one.features[order],
        labels=(tags + 1) // 2,
        lengths=one.lengths[[2, 0, 1]],
        sentences=Sentences(one.sentences.lengths[[2, 0, 1]], tags),
    )
    for name in ("handcrafted", "prototypes", "task2vec", "mentions"):
        np.testing.assert_allclose(BLOCKS[name](other), BLOCKS[name](one), atol=1e-6)


def test_words_need_a_label_each_and_may_lack_outside():
    check(tagged([[1, 3]], 3))
    with pytest.raises(EmbeddingError, match="labels must have one entry"):
        check(tagged([[1, 0]], 2)._replace(labels=np.array([1])))
    with pytest.raises(EmbeddingError, match="ways need an example"):
        check(tagged([[1, 0]], 3))
