import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.backbones.encoder import Encoded
from metapeft.backbones.packing import pack, places_of
from metapeft.episodes import EpisodeSampler
from metapeft.errors import AdaptationError
from metapeft.meta.inner_loop import episode_hidden
from metapeft.meta.prefix_cache import PrefixCache
from metapeft.mlx import mx, utils
from metapeft.tasks import Pool, Task, TaskDistribution
from tests.meta.tiny import tiny_bert
from tests.tasks.made_tasks import config, ragged, text_task

WIDTH = 4
SMALLEST = 512 * WIDTH * 4  # bytes: room for 512 tokens
STEADY = settings(deadline=None, derandomize=True, max_examples=60)


class Halves:
    """Looks like an encoder: a token's state is (id, id / 2, …), whatever its company, so that results are exact."""

    hidden_size = WIDTH

    def __init__(self):
        self.computed = 0  # texts

    def prefix(self, x, lengths, depth):
        self.computed += len(x)
        tokens = pack(x, lengths).astype(np.float32)
        return Encoded(mx.array(tokens[:, None] / 2.0 ** np.arange(WIDTH)), None, places_of(lengths))

    def enter(self, states, places, depth):
        return Encoded(states, 2 * states, places)


def text(key, length):
    """Tokens of a text that no other key and place has."""
    return [1 + 1000 * key + place for place in range(length)]


def batch(keys, lengths):
    """The texts of these keys, ``lengths[key]`` tokens each, as `PrefixCache.prefix` takes them."""
    chosen = np.array([lengths[key] for key in keys])
    x = np.zeros((len(keys), max(chosen.max(), 1)), np.int32)
    for row, key in enumerate(keys):
        x[row, : lengths[key]] = text(key, lengths[key])
    return keys, x, chosen


def real_states(encoded, lengths):
    return np.array(encoded.states)[: int(np.sum(lengths))]


@STEADY
@given(
    st.lists(st.integers(0, 200), min_size=20, max_size=20),
    st.lists(st.lists(st.integers(0, 19), min_size=1, max_size=8), min_size=1, max_size=12),
)
def test_whatever_comes_back_is_what_would_be_computed(lengths, batches):
    cache = PrefixCache(Halves(), 1, SMALLEST)
    for keys in batches:
        before = cache.hits + cache.misses
        keys, x, chosen = batch(keys, lengths)
        found = cache.prefix(keys, x, chosen)
        expected = np.array([token for key in keys for token in text(key, lengths[key])])
        np.testing.assert_array_equal(real_states(found, chosen)[:, 0], expected)
        np.testing.assert_array_equal(np.array(found.projected), 2 * np.array(found.states))
        leaves = (utils.tree_flatten(places) for places in (found.places, places_of(chosen)))
        for (path, ours), (_, fresh) in zip(*leaves, strict=True):
            np.testing.assert_array_equal(np.array(ours), np.array(fresh), path)
        assert cache.hits + cache.misses - before == len(keys)
        assert cache.backbone.computed == cache.misses


@STEADY
@given(st.lists(st.integers(1, 64), min_size=40, max_size=40), st.lists(st.integers(0, 39), min_size=1, max_size=60))
def test_the_latest_are_still_there(lengths, keys):
    cache = PrefixCache(Halves(), 1, SMALLEST)
    kept = []
    for key in keys:
        misses = cache.misses
        cache.prefix(*batch([key], lengths))
        if cache.misses > misses:
            kept.append(key)
    misses = cache.misses
    room = 512 - 63  # at the end of the ring up to 63 places are too few for the next text
    for key in reversed(kept):
        room -= lengths[key]
        if room < 0:
            break
        cache.prefix(*batch([key], lengths))
    assert cache.misses == misses


def test_the_oldest_makes_room():
    lengths = [128] * 8
    cache = PrefixCache(Halves(), 1, SMALLEST)

    def is_missing(key):
        before = cache.misses
        cache.prefix(*batch([key], lengths))
        return cache.misses > before

    assert [is_missing(key) for key in (0, 1, 2, 3)] == [True] * 4  # full
    assert [is_missing(key) for key in (0, 1, 2, 3)] == [False] * 4
    assert is_missing(4)  # where 0 was, though 0 was used after the others came
    assert [is_missing(key) for key in (1, 2, 3, 4)] == [False] * 4
    assert is_missing(0)  # where 1 was
    assert [is_missing(key) for key in (2, 3, 4, 0)] == [False] * 4


def test_a_text_longer_than_the_ring_and_one_without_tokens_are_not_kept():
    lengths = [600, 0, 5]
    cache = PrefixCache(Halves(), 1, SMALLEST)
    for _ in range(2):
        found = cache.prefix(*batch([0, 1, 2], lengths))
        assert real_states(found, lengths)[:, 0].tolist() == text(0, 600) + text(2, 5)
    assert (cache.hits, cache.misses) == (1, 5)


def test_equal_keys_are_computed_once():
    cache = PrefixCache(Halves(), 1, SMALLEST)
    found = cache.prefix(*batch([3, 5, 3, 3], [4] * 6))
    assert cache.backbone.computed == 2
    assert (cache.hits, cache.misses) == (2, 2)
    assert real_states(found, [4] * 4)[:, 0].tolist() == [*text(3, 4), *text(5, 4), *text(3, 4), *text(3, 4)]


def test_too_small():
    with pytest.raises(AdaptationError, match=f"max_bytes: {SMALLEST - 1} is too small.* {SMALLEST}"):
        PrefixCache(Halves(), 1, SMALLEST - 1)


def test_in_a_file(tmp_path):
    path = tmp_path / "states"
    lengths = [128] * 6
    cache = PrefixCache(Halves(), 1, SMALLEST, path)
    assert path.stat().st_size == SMALLEST
    for keys in ([0, 1, 2], [2, 3, 4], [4, 5, 0]):
        found = cache.prefix(*batch(keys, lengths))
        assert real_states(found, [128] * 3)[:, 0].tolist() == [token for key in keys for token in text(key, 128)]
    assert (cache.hits, cache.misses) == (2, 7)  # 0 was pushed out
    assert 1.0 + 1000 * 5 in np.fromfile(path, np.float32)


# --- with a real encoder and real episodes


def features(backbone, hidden, depth):
    return np.array(backbone.pool(backbone.suffix(hidden, None, 1.0, depth)))


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_same_as_without(depth):
    backbone = tiny_bert()
    sampler = EpisodeSampler(TaskDistribution([text_task()]), 2, 6, seed=3)
    cache = PrefixCache(backbone, depth, 1 << 20)
    for episode in sampler.episodes(0, 6):
        sides = zip(
            episode_hidden(backbone, episode, depth), episode_hidden(backbone, episode, depth, cache), strict=True
        )
        for (plain, labels, _), (cached, same_labels, _) in sides:
            np.testing.assert_allclose(
                features(backbone, cached, depth), features(backbone, plain, depth), rtol=1e-5, atol=1e-5
            )
            np.testing.assert_array_equal(np.array(labels), np.array(same_labels))
    assert cache.hits > 0 and cache.misses > 0
    assert cache.hits + cache.misses == 6 * (3 * 2 + 6)


def test_domain_shift_episodes_share_with_the_tasks_they_are_made_of():
    # Row i of the four pools has tokens of its own: a wrong key would give another text's states.
    starts = {"a": (10, 50), "b": (100, 150)}
    tasks = []
    for name, pair in starts.items():
        support, query = (
            Pool(
                "classification",
                ragged([[start + i] * (3 + i) for i in range(20)]),
                (np.arange(20) % 2).astype(np.int32),
            )
            for start in pair
        )
        tasks.append(Task(config(name), support=support, query=query))
    backbone, distribution = tiny_bert(), TaskDistribution(tasks)
    cache = PrefixCache(backbone, 1, 1 << 20)
    sizes = {"k_shot": 10, "query_size": 20}  # all rows of both sides
    for sampler in (
        EpisodeSampler(distribution, **sizes, kind="domain-shift", pairs=[("a", "b")]),
        EpisodeSampler(distribution.filter(lambda task: task.config.task_id == "a"), **sizes),
        EpisodeSampler(distribution.filter(lambda task: task.config.task_id == "b"), **sizes),
    ):
        episode = sampler.episode(0)
        for plain, cached in zip(
            episode_hidden(backbone, episode, 1), episode_hidden(backbone, episode, 1, cache), strict=True
        ):
            np.testing.assert_allclose(
                features(backbone, cached.hidden, 1), features(backbone, plain.hidden, 1), rtol=1e-5, atol=1e-5
            )
    assert (cache.hits, cache.misses) == (40, 80)  # the support set of a and the query set of b were there
