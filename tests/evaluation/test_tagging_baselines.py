"""metapeft.evaluation.tagging_baselines: by hand."""

import numpy as np

from metapeft.episodes.episode import Episode
from metapeft.evaluation.tagging_baselines import gazetteer, without_steps
from metapeft.meta.judge import transitions_of
from metapeft.meta.outer_loop import item_of
from metapeft.meta.states import PoolStates
from metapeft.tasks import Pool, Task
from metapeft.tasks.pool import IGNORE
from tests.meta.tiny import tiny_bert
from tests.tasks.made_tasks import config, ragged

NO = IGNORE


def pool(x, y) -> Pool:
    return Pool("tagging", ragged(x), ragged(y))


def episode_of(support: Pool, query: Pool, classes: list[int]) -> Episode:
    sides = {}
    for name, own in (("support", support), ("query", query)):
        width = int(own.x.lengths().max())
        x, y = np.zeros((len(own), width), np.int32), np.full((len(own), width), NO, np.int32)
        for i in range(len(own)):
            x[i, : own.x.lengths()[i]], y[i, : own.x.lengths()[i]] = own.x.row(i), own.y.row(i)
        sides |= {
            f"{name}_x": x,
            f"{name}_y": y,
            f"{name}_lengths": own.x.lengths(),
            f"{name}_rows": np.arange(len(own)),
        }
    return Episode(**sides, index=0, task_id="made", family="toy", kind="mentions", classes=np.array(classes))


SUPPORT = pool(
    [[1, 10, 11, 12, 2], [1, 10, 13, 2], [1, 10, 2]],
    [[NO, 1, NO, 2, NO], [NO, 3, 0, NO], [NO, 3, NO]],  # 10+11 12: type 0; 10: type 1, twice
)
QUERY = pool(
    [[1, 10, 11, 12, 10, 2], [1, 13, 10, 11, 2]],
    [[NO, 1, NO, 2, 3, NO], [NO, 0, 1, NO, NO]],
)


def test_the_longest_mention_is_found_and_pieces_must_be_equal():
    # 10+11 alone is no mention: the word 10 is, and has no second piece
    assert gazetteer(episode_of(SUPPORT, QUERY, [0, 1])).tolist() == [1, 1, 2, 0, 0]


def test_a_mention_of_two_types_has_the_frequent_one():
    support = pool([[1, 10, 10, 10, 2]], [[NO, 3, 1, 3, NO]])
    assert gazetteer(episode_of(support, pool([[1, 10, 2]], [[NO, 1, NO]]), [0, 1])).tolist() == [2]


def test_a_support_set_without_mentions_finds_nothing():
    support = pool([[1, 10, 2]], [[NO, 0, NO]])
    assert gazetteer(episode_of(support, QUERY, [0])).tolist() == [0] * 5


def test_words_of_the_support_set_are_their_own_nearest():
    task = Task(config("made", 2), support=SUPPORT, query=SUPPORT)
    episode = episode_of(SUPPORT, SUPPORT, [0, 1])
    item = item_of(episode, task, PoolStates(tiny_bert(), 1), None)
    said = without_steps(item, episode, transitions_of([SUPPORT]))
    assert set(said) == {"nearest neighbour", "structured nearest neighbour", "gazetteer"}
    assert said["nearest neighbour"] == 1.0
    assert said["gazetteer"] == 1.0
