import numpy as np
import pytest

from metapeft.embeddings.similarity import cluster_quality, nearest, rank_correlation
from metapeft.embeddings.support import EmbeddingError


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_nearest_counts_the_best_episode_of_a_task():
    library = np.array([[1, 0], [0, 1], [0, 2], [1, 1]], np.float32)
    found = nearest(np.array([1.0, 0.0]), library, ["a", "b", "a", "c"], 2)
    assert [name for name, _ in found] == ["a", "c"]
    assert [cosine for _, cosine in found] == pytest.approx([1.0, 0.5**0.5])
    assert len(nearest(np.array([1.0, 0.0]), library, ["a", "b", "a", "c"], 9)) == 3
    with pytest.raises(EmbeddingError, match="do not fit together"):
        nearest(np.zeros(3), library, ["a", "b", "a", "c"], 1)
    with pytest.raises(EmbeddingError, match="3 names"):
        nearest(np.zeros(2), library, ["a", "b", "c"], 1)


def test_cluster_quality_by_hand():
    x = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    quality = cluster_quality(x, list("aabb"), rng())
    assert quality["silhouette"] == pytest.approx(1.0)
    assert quality["purity"] == 1.0
    # Of the 3 ways to deal two families out, one is right, which gives 1 and 1; the others give -1/2 and 0.
    assert quality["shuffled_purity"] == pytest.approx(1 / 3, abs=0.15)
    assert quality["shuffled_silhouette"] == pytest.approx(0, abs=0.25)
    wrong = cluster_quality(x, list("abab"), rng())
    assert wrong["silhouette"] == pytest.approx(-0.5)
    assert wrong["purity"] == 0.0


def test_episodes_of_one_task_are_no_neighbours():
    x = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0.1, 1], [1, 0.1]])
    families, tasks = list("aaaabb"), ["t0", "t0", "t1", "t1", "t2", "t3"]
    assert cluster_quality(x, families, rng())["purity"] > 0
    assert cluster_quality(x, families, rng(), tasks)["purity"] == 0.0  # all that was alike was the task


def test_a_family_of_one_task_is_not_counted():
    x = rng().normal(size=(5, 3))
    quality = cluster_quality(x, list("aabbc"), rng(), shuffles=0)
    assert quality["episodes"] == 4
    assert np.isnan(quality["shuffled_purity"])


def test_cluster_errors():
    x = np.eye(3)
    for families, tasks, message in (
        ("ab", None, "not one each"),
        ("aab", ["t", "u", "t"], "'t' is in two families"),
        ("aaa", None, "from two families on"),
        ("abc", None, "one of them with two tasks"),
    ):
        with pytest.raises(EmbeddingError, match=message):
            cluster_quality(x, list(families), rng(), tasks)


def test_rank_correlation_by_hand():
    rho, p = rank_correlation(np.arange(8.0), np.arange(8.0) ** 3, rng())
    assert rho == pytest.approx(1.0)
    assert p < 0.001
    # ranks 0, 1.5, 1.5, 3 and 0, 1, 2, 3
    rho, _ = rank_correlation(np.array([1, 2, 2, 3]), np.array([1, 2, 3, 4]), rng())
    assert rho == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    rho, p = rank_correlation(np.array([1, 2, 3]), np.array([3, 2, 1]), rng(), permutations=2000)
    assert rho == pytest.approx(-1.0)
    assert p == pytest.approx(1 / 3, abs=0.05)  # two of the six orders are as strong


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1, 2], [1, 2], "three or more"),
        ([1, 2, 3], [1, 2], "three or more"),
        ([1, 1, 1], [1, 2, 3], "differ on both sides"),
        ([1, 2, np.nan], [1, 2, 3], "finite"),
    ],
)
def test_rank_correlation_errors(a, b, message):
    with pytest.raises(EmbeddingError, match=message):
        rank_correlation(np.array(a), np.array(b), rng())
