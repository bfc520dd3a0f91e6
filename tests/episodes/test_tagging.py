"""metapeft.episodes.tagging: what every episode promises, whatever its number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.episodes.tagging import TaggingSampler, mention_counts
from metapeft.errors import EpisodeError
from metapeft.tasks import Pool, Task
from metapeft.tasks.pool import IGNORE
from metapeft.tasks.tags import mentions_of_tags
from tests.episodes.test_sampler import same
from tests.tasks.made_tasks import config, ragged, text_task

TYPES = 5


def made_pool(rows: int, seed: int) -> Pool:
    """Sentences of 1 to 12 words with about a mention of up to three words each; every word is a token."""
    rng = np.random.default_rng(seed)
    x, y = [], []
    for row in range(rows):
        tags: list[int] = []
        while len(tags) < rng.integers(1, 12):
            kind = int(rng.integers(-6, TYPES))
            tags += [0] if kind < 0 else [2 * kind + 1, *[2 * kind + 2] * int(rng.integers(0, 3))]
        x.append([1, *(10 + row + np.arange(len(tags))), 2])
        y.append([IGNORE, *tags, IGNORE])
    return Pool("tagging", ragged(x), ragged(y))


TASK = Task(config("made", TYPES), support=made_pool(120, 0), query=made_pool(60, 1))
ALONE = Task(config("alone", TYPES), support=made_pool(150, 2))
PROPERTY = settings(deadline=None, max_examples=40, derandomize=True)
settings_of = st.sampled_from(
    [(task, ways, shots) for task in (TASK, ALONE) for ways in (1, 3, None) for shots in (1, 4)]
)


def counts(episode, side: str) -> np.ndarray:
    _, sentences = episode.units(side)
    kinds = mentions_of_tags(sentences.tags, sentences.lengths).kind
    return np.bincount(kinds, minlength=TYPES + 1)[1:]


@PROPERTY
@given(settings_of, st.integers(0, 2**40), st.integers(0, 3))
def test_every_type_has_its_mentions_and_the_sets_share_no_sentence(of, index, seed):
    task, ways, shots = of
    sampler = TaggingSampler(task, shots, 9, n_way=ways, seed=seed)
    episode = sampler.episode(index)
    assert same(episode, TaggingSampler(task, shots, 9, n_way=ways, seed=seed).episode(index))
    chosen = len(episode.classes)
    assert chosen == sampler.ways == len(set(episode.classes.tolist()))
    assert episode.ways == chosen + 1
    support = counts(episode, "support")
    assert (support[:chosen] >= shots).all()
    assert not support[chosen:].any()
    assert len(set(episode.support_rows.tolist())) == len(episode.support_rows)
    assert len(set(episode.query_rows.tolist())) == 9
    if task is ALONE:
        assert not set(episode.support_rows.tolist()) & set(episode.query_rows.tolist())
    if chosen <= 9:
        assert (counts(episode, "query")[:chosen] > 0).all()


@PROPERTY
@given(st.integers(0, 10_000))
def test_no_more_mentions_than_needed(index):
    """Without the last sentence a type would lack some: nothing is added once every type has enough."""
    episode = TaggingSampler(TASK, 3, 5, n_way=3).episode(index)
    _, (lengths, tags) = episode.units("support")
    before = lengths[:-1].sum()
    kinds = mentions_of_tags(tags[:before], lengths[:-1]).kind
    assert (np.bincount(kinds, minlength=4)[1:] < 3).any()


def test_mostly_no_type_has_more_than_twice_its_shots():
    sampler = TaggingSampler(TASK, 4, 5, n_way=3)
    most = [counts(sampler.episode(index), "support").max() for index in range(50)]
    assert np.mean(np.array(most) <= 8) >= 0.9


def test_mentions_of_other_types_are_outside_in_both_sets():
    episode = TaggingSampler(TASK, 2, 20, n_way=2).episode(3)
    for side, pool in (("support", TASK.support), ("query", TASK.query)):
        rows = getattr(episode, f"{side}_rows")
        own = mention_counts(pool, TYPES)[rows][:, episode.classes].sum(axis=0)
        np.testing.assert_array_equal(counts(episode, side)[:2], own)
        assert counts(episode, side).sum() == own.sum()
        classes, _ = episode.units(side)
        assert classes.max() == 2


def test_by_sentences_a_type_that_the_support_set_lacks_still_counts_in_the_query_set():
    sampler = TaggingSampler(TASK, 2, 30, by="sentences")
    lacking = next(e for e in sampler.episodes(0, 50) if len(e.classes) < TYPES)
    assert len(lacking.support_rows) == 2
    assert not counts(lacking, "support")[len(lacking.classes) :].any()
    total = mention_counts(TASK.query, TYPES)[lacking.query_rows].sum(axis=0)
    absent = np.setdiff1d(np.arange(TYPES), lacking.classes)
    np.testing.assert_array_equal(counts(lacking, "query")[: len(lacking.classes)], total[lacking.classes])
    np.testing.assert_array_equal(counts(lacking, "query")[len(lacking.classes) :], total[absent])
    classes, _ = lacking.units("query")
    assert classes.max() < lacking.ways


def test_units_are_the_first_pieces_of_words():
    x, y = [[1, 5, 6, 7, 2]], [[IGNORE, 1, IGNORE, 2, IGNORE]]
    task = Task(config("pieces", 1), support=Pool("tagging", ragged(x), ragged(y)), query=made_of_one())
    classes, sentences = TaggingSampler(task, 1, 1).episode(0).units("support")
    assert classes.tolist() == [1, 1]
    assert sentences.lengths.tolist() == [2]


def made_of_one() -> Pool:
    return Pool("tagging", ragged([[1, 9, 2]]), ragged([[IGNORE, 1, IGNORE]]))


def test_mentions_beyond_the_cut_do_not_count():
    pool = Pool("tagging", ragged([[1, 5, 6, 7]]), ragged([[IGNORE, 1, 0, 1]]))
    assert mention_counts(pool, 1).tolist() == [[2]]
    assert mention_counts(pool, 1, max_tokens=3).tolist() == [[1]]


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        (text_task(), {"k_shot": 1, "query_size": 1}, "of kind classification"),
        (TASK, {"k_shot": 0, "query_size": 1}, "k_shot must be at least 1"),
        (TASK, {"k_shot": 1, "query_size": 1, "n_way": 6}, "5 of its 5 have them"),
        (TASK, {"k_shot": 1000, "query_size": 1}, "1000 mentions"),
        (TASK, {"k_shot": 1, "query_size": 61}, "61 query sentences asked for, there are 60"),
        (TASK, {"k_shot": 121, "query_size": 1, "by": "sentences"}, "121 support sentences asked for, there are 120"),
    ],
)
def test_what_is_refused(task, given, message):
    with pytest.raises(EpisodeError, match=message):
        TaggingSampler(task, **given)


def test_an_episode_has_no_number_below_zero():
    with pytest.raises(EpisodeError, match="from 0"):
        TaggingSampler(TASK, 1, 1).episode(-1)
