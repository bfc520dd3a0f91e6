"""metapeft.meta.states: what is kept is what the backbone says, whoever asks first and whatever was forgotten."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.adapters.lora import LoraConfig
from metapeft.backbones.mlp import make_mlp
from metapeft.episodes import EpisodeSampler
from metapeft.episodes.tagging import TaggingSampler
from metapeft.heads import cosine_head
from metapeft.heads.head import unit
from metapeft.meta.inner_loop import Learner
from metapeft.meta.states import BLOCK, Beside, PoolStates, WithFrozen
from metapeft.meta.stream import limited
from metapeft.mlx import mx, utils
from metapeft.tasks import NonLinearTaskGenerator, TaskDistribution
from metapeft.tasks.config import TaskError
from metapeft.tasks.padding import gather_x
from metapeft.tasks.pool import IGNORE, Pool, Ragged
from metapeft.tasks.task import Task
from tests.meta.tiny import moved, tiny_bert
from tests.tasks.made_tasks import tagging_task, text_task

BERT = tiny_bert()
LORA = LoraConfig(rank=2, num_layers=2)
ADAPTER = moved(BERT, LORA)
DEPTH = 1


def task(**other):
    """40 support rows: two blocks, the second a short one. At most 33 tokens a text, ids below 200."""
    return text_task(support=(13, 13, 14), query=other.pop("query", (12, 12, 11)), **other)


def bits(tree) -> list[bytes]:
    return [np.array(leaf).tobytes() for _, leaf in utils.tree_flatten(tree)]


def directly(backbone, pool, rows, depth=DEPTH, max_tokens=None):
    """Hidden states below the adapters of rows that run alone, and their frozen features."""
    hidden = backbone.prefix(*gather_x(pool, rows, 0, max_tokens), depth)
    return hidden, np.array(unit(backbone.pool(backbone.suffix(hidden, None, 1.0, depth))))


@pytest.mark.parametrize("max_tokens", [None, 6])
def test_states_are_those_of_the_backbone(max_tokens: int | None) -> None:
    made, rows = task(), np.array([37, 2, 31, 32, 8])  # from both blocks, not in order
    states = PoolStates(BERT, DEPTH, max_tokens)
    labels = np.array([2, 0, 1, 1, 0])
    for side, pool in (("support", made.support), ("query", made.query)):
        rows = rows[rows < len(pool)]
        found = states.examples(made, side, rows, labels[: len(rows)])
        hidden, frozen = directly(BERT, pool, rows, max_tokens=max_tokens)
        assert found.labels.dtype == mx.int32
        assert found.labels.tolist() == labels[: len(rows)].tolist()
        np.testing.assert_allclose(np.array(found.hidden.frozen), frozen, atol=1e-5)
        np.testing.assert_allclose(states.features(made, side, rows), frozen, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(frozen, axis=1), 1.0, atol=1e-5)
        got, real = found.hidden.hidden, int(np.array(hidden.places.mask).sum())
        assert np.array_equal(np.array(got.places.mask), np.array(hidden.places.mask))
        np.testing.assert_allclose(np.array(got.states)[:real], np.array(hidden.states)[:real], atol=1e-5)
        np.testing.assert_allclose(np.array(got.projected)[:real], np.array(hidden.projected)[:real], atol=1e-5)
        features = (np.array(BERT.pool(BERT.suffix(each, ADAPTER, 1.0, DEPTH))) for each in (got, hidden))
        np.testing.assert_allclose(*features, atol=1e-5)


def test_an_episode_has_the_rows_of_its_pools() -> None:
    made = task()
    episode = EpisodeSampler(TaskDistribution([made]), 2, 6).episode(0)
    support, query = PoolStates(BERT, DEPTH).episode(episode, made)
    for examples, pool, rows, labels in (
        (support, made.support, episode.support_rows, episode.support_y),
        (query, made.query, episode.query_rows, episode.query_y),
    ):
        np.testing.assert_allclose(np.array(examples.hidden.frozen), directly(BERT, pool, rows)[1], atol=1e-5)
        assert examples.labels.tolist() == labels.tolist()


def test_a_query_set_may_be_of_another_task() -> None:
    one, two = task(), text_task("other", support=(5, 5, 5), query=(9, 9, 9))
    episode = EpisodeSampler(TaskDistribution([two]), 2, 6).episode(0)
    support, query = PoolStates(BERT, DEPTH).episode(episode, one, two)
    np.testing.assert_allclose(
        np.array(support.hidden.frozen), directly(BERT, one.support, episode.support_rows)[1], atol=1e-5
    )
    np.testing.assert_allclose(
        np.array(query.hidden.frozen), directly(BERT, two.query, episode.query_rows)[1], atol=1e-5
    )


def test_with_one_pool_the_query_set_is_of_the_support_pool_and_shares_its_blocks() -> None:
    made = task(query=None)
    episode = EpisodeSampler(TaskDistribution([made]), 2, 9).episode(0)
    states = PoolStates(BERT, DEPTH)
    _, query = states.episode(episode, made)
    np.testing.assert_allclose(
        np.array(query.hidden.frozen), directly(BERT, made.support, episode.query_rows)[1], atol=1e-5
    )
    assert {key[1] for key in states._blocks} == {"support"}


def test_the_same_bits_whoever_asks_first_and_whatever_was_forgotten() -> None:
    tasks = [task(), text_task("other", support=(11, 11, 11), query=(5, 5, 5))]
    asked = []
    for made in tasks:
        sampler = EpisodeSampler(TaskDistribution([made]), 3, 9, seed=4)
        asked += [(sampler.episode(index), made) for index in range(2)]

    def run(order, max_bytes: int = 2**30) -> dict[int, list[bytes]]:
        states = PoolStates(BERT, DEPTH, max_bytes=max_bytes)
        return {i: bits(states.episode(*asked[i])) for i in order}

    first = run([0, 1, 2, 3])
    assert run([3, 1, 2, 0]) == first
    assert run([2, 0, 3, 1, 0], max_bytes=1) == first


def test_what_was_used_least_recently_is_forgotten_and_no_more_than_that() -> None:
    made = task()
    rows = [np.array([0]), np.array([BLOCK])]
    states = PoolStates(BERT, DEPTH)
    for each in rows:
        states.examples(made, "support", each, np.array([0]))
    held = {key: block.states.nbytes + block.frozen.nbytes for key, block in states._blocks.items()}
    assert states._bytes == sum(held.values())
    states.examples(made, "query", rows[0], np.array([0]))
    room = max(held.values()) + states._bytes - sum(held.values())  # the first support block and the query block
    states = PoolStates(BERT, DEPTH, max_bytes=room)
    calls = []
    states.backbone = Counting(BERT, calls)
    for side, each in (("support", 0), ("support", 1), ("support", 0)):
        states.features(made, side, rows[each])
    assert len(calls) == 2  # the third was kept
    states.features(made, "query", rows[0])
    assert [(key[1], key[-1]) for key in states._blocks] == [("support", 0), ("query", 0)]
    assert states._bytes == sum(block.states.nbytes + block.frozen.nbytes for block in states._blocks.values()) <= room


class Counting:
    """A backbone that writes down when its prefix is run."""

    def __init__(self, backbone, calls: list):
        self._backbone, self._calls = backbone, calls

    def __getattr__(self, name: str):
        return getattr(self._backbone, name)

    def prefix(self, *args):
        self._calls.append(args)
        return self._backbone.prefix(*args)


def test_points_too() -> None:
    network = make_mlp(2, 8, 3)
    made = NonLinearTaskGenerator("spirals").generate_task(noise_level=0.1)
    episode = EpisodeSampler(TaskDistribution([made]), 3, 10).episode(0)
    support, query = PoolStates(network, DEPTH).episode(episode, made)
    for examples, pool, rows in (
        (support, made.support, episode.support_rows),
        (query, made.query, episode.query_rows),
    ):
        hidden, frozen = directly(network, pool, rows)
        np.testing.assert_allclose(np.array(examples.hidden.hidden.states), np.array(hidden.states), atol=1e-5)
        np.testing.assert_allclose(np.array(examples.hidden.frozen), frozen, atol=1e-5)


def setting(mix: float, adapter):
    """Support and query examples, and the query logits of prototypes under a mix and an adapter."""
    made = task()
    support, query = PoolStates(BERT, DEPTH).episode(EpisodeSampler(TaskDistribution([made]), 3, 9).episode(0), made)
    learner = Learner(WithFrozen(BERT, mix), cosine_head(), 1.0, DEPTH)
    head = learner.head.init(learner.features(adapter, support.hidden), support.labels, 3)
    return support, query, learner, np.array(learner.logits({"adapter": adapter, "head": head}, query.hidden))


def prototypes(support, query, features) -> np.ndarray:
    head = cosine_head()
    return np.array(head.logits(head.init(features(support.hidden), support.labels, 3), features(query.hidden)))


def test_at_mix_zero_the_adapter_has_no_say_and_at_one_it_has_all() -> None:
    support, query, _, at_zero = setting(0.0, ADAPTER)
    frozen = prototypes(support, query, lambda hidden: hidden.frozen)
    np.testing.assert_allclose(at_zero, frozen, atol=1e-4)
    *_, at_one = setting(1.0, ADAPTER)

    def adapted(hidden):
        return BERT.pool(BERT.suffix(hidden.hidden, ADAPTER, 1.0, DEPTH))

    np.testing.assert_allclose(at_one, prototypes(support, query, adapted), atol=1e-4)
    assert np.abs(at_one - at_zero).max() > 1e-2
    *_, between = setting(0.5, ADAPTER)
    assert min(np.abs(between - at_zero).max(), np.abs(between - at_one).max()) > 1e-3


@pytest.mark.parametrize("mix", [0.0, 0.3, 1.0])
def test_the_cosine_is_the_weighted_one(mix: float) -> None:
    support, _, learner, _ = setting(mix, ADAPTER)
    both = learner.features(ADAPTER, support.hidden)
    adapted = np.array(unit(BERT.pool(BERT.suffix(support.hidden.hidden, ADAPTER, 1.0, DEPTH))))
    frozen = np.array(support.hidden.frozen)
    assert both.shape == (9, learner.backbone.hidden_size) == (9, 32)
    np.testing.assert_allclose(np.linalg.norm(np.array(both), axis=1), 1.0, atol=1e-5)
    expected = (1 - mix) * frozen @ frozen.T + mix * adapted @ adapted.T
    np.testing.assert_allclose(np.array(both @ both.T), expected, atol=1e-5)


def test_a_backbone_with_frozen_features_beside_is_still_that_backbone() -> None:
    network = WithFrozen(BERT, 0.5)
    assert (network.digest, network.layers, network.adaptable) == (BERT.digest, BERT.layers, BERT.adaptable)
    rows = np.arange(5)
    hidden = network.prefix(*gather_x(task().support, rows), DEPTH)
    assert isinstance(hidden, Beside)
    np.testing.assert_allclose(np.array(hidden.frozen), directly(BERT, task().support, rows)[1], atol=1e-5)
    with pytest.raises(AttributeError):
        network.no_such_thing  # noqa: B018


def test_a_task_that_was_cut_down_has_states_of_its_own() -> None:
    whole = text_task(support=(40, 20), query=[3, 3])
    cut = limited(whole, 12)
    states = PoolStates(BERT, DEPTH)
    rows = np.arange(12)
    first = states.features(whole, "support", rows)
    assert not np.allclose(states.features(cut, "support", rows), first)
    alone = PoolStates(BERT, DEPTH).features(cut, "support", rows)
    assert np.array_equal(states.features(cut, "support", rows), alone)


def test_features_with_an_adapter_are_those_of_the_adapted_network() -> None:
    made, rows = task(), np.array([37, 2, 31])
    states = PoolStates(BERT, DEPTH, adapter=ADAPTER, scale=2.0)
    hidden = BERT.prefix(*gather_x(made.support, rows, 0, None), DEPTH)
    direct = unit(BERT.pool(BERT.suffix(hidden, ADAPTER, 2.0, DEPTH)))
    np.testing.assert_allclose(states.features(made, "support", rows), np.array(direct), atol=1e-5)


def test_names_of_classes_are_states_like_any_text() -> None:
    made = task()
    assert PoolStates(BERT, DEPTH).names(made, np.array([0, 1])) is None
    names = Pool("classification", Ragged(np.arange(1, 10, dtype=np.int32), np.array([0, 2, 5, 9])), np.arange(3))
    named = Task(made.config, made.support, made.query, made.labels, names=names)
    found = PoolStates(BERT, DEPTH).names(named, np.array([2, 0]))
    assert found is not None
    _, frozen = directly(BERT, names, np.array([2, 0]))
    np.testing.assert_allclose(np.array(found.frozen), frozen, atol=1e-5)
    with pytest.raises(TaskError, match="2 names for num_classes=3"):
        short = Pool("classification", Ragged(np.arange(4, dtype=np.int32), np.array([0, 2, 4])), np.arange(2))
        Task(made.config, made.support, made.query, made.labels, names=short)


def test_words_are_the_units_of_a_tagging_task() -> None:
    made = tagging_task(support=40, query=20)
    states, rows = PoolStates(BERT, DEPTH, max_tokens=6), np.array([33, 4, 0])
    tags = [made.support.y.row(int(row))[:6] for row in rows]
    first = np.concatenate([own != IGNORE for own in tags])
    hidden = BERT.prefix(*gather_x(made.support, rows, 0, 6), DEPTH)
    below = np.array(hidden.states)[: len(first)][first]
    labels = np.arange(len(below)) % 3
    found = states.examples(made, "support", rows, labels)
    frozen = below / np.linalg.norm(below, axis=1, keepdims=True)
    np.testing.assert_allclose(np.array(found.hidden.frozen), frozen, atol=1e-5)
    np.testing.assert_allclose(states.features(made, "support", rows), frozen, atol=1e-5)
    adapted = np.array(BERT.suffix(hidden, ADAPTER, 1.0, DEPTH).states)[: len(first)][first]
    np.testing.assert_allclose(np.array(BERT.features(found.hidden.hidden, ADAPTER, 1.0, DEPTH)), adapted, atol=1e-5)
    based = PoolStates(BERT, DEPTH, max_tokens=6, adapter=ADAPTER).features(made, "support", rows)
    np.testing.assert_allclose(based, adapted / np.linalg.norm(adapted, axis=1, keepdims=True), atol=1e-5)


def test_a_tagging_episode_has_the_classes_of_its_words() -> None:
    made = tagging_task(support=40, query=20)
    episode = TaggingSampler(made, 2, 5).episode(0)
    support, query = PoolStates(BERT, DEPTH).episode(episode, made)
    for side, examples in (("support", support), ("query", query)):
        classes, sentences = episode.units(side)
        assert examples.labels.tolist() == classes.tolist()
        assert len(examples.hidden.frozen) == len(classes) == sentences.lengths.sum()
        assert examples.sentences is not None
        np.testing.assert_array_equal(examples.sentences.tags, sentences.tags)


def test_the_gradient_of_words_is_that_of_their_tokens_alone() -> None:
    made = tagging_task(support=10, query=20)
    rows = np.array([3, 8])
    count = len(PoolStates(BERT, DEPTH).features(made, "support", rows))
    hidden = PoolStates(BERT, DEPTH).examples(made, "support", rows, np.zeros(count)).hidden.hidden
    places = np.array(hidden.places.units.rows)
    weights = mx.array(np.random.default_rng(0).normal(size=(len(places), 16)).astype(np.float32))

    def by_unit(states: mx.array) -> mx.array:
        return mx.sum(BERT.pool(hidden._replace(states=states)) * weights)

    expected = np.zeros(hidden.states.shape, np.float32)
    expected[places] = np.array(weights)
    np.testing.assert_allclose(np.array(mx.grad(by_unit)(hidden.states)), expected, atol=1e-6)
