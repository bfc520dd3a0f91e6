import numpy as np
import pytest

from metapeft.errors import EpisodeError
from metapeft.tasks import drawing
from metapeft.tasks.sampling import fold, key_of, spread
from tests.tasks.made_tasks import generation_task, text_task


def state(count: int) -> np.ndarray:
    return fold(key_of("drawing"), np.arange(count))


def test_eligible_classes_have_enough_in_both_pools():
    sides = drawing.sides_of(text_task(support=(3, 8, 8, 8), query=(6, 6, 2, 6)))
    assert drawing.eligible_classes(sides, 4, 3).tolist() == [1, 3]
    one = drawing.sides_of(text_task(support=(3, 8, 6, 7), query=None))
    assert drawing.eligible_classes(one, 4, 3).tolist() == [1, 3]


def test_too_few_classes_says_task_need_and_have():
    sides = drawing.sides_of(text_task("small", support=(3, 8, 8), query=(6, 6, 2)))
    with pytest.raises(EpisodeError, match=r"'small'.*needs 2 classes.*at least 4 support and 3 query.*1 of its 3"):
        drawing.check_enough(sides, 2, 4, query_size=5)
    assert drawing.check_enough(sides, 2, 3, query_size=4).tolist() == [0, 1, 2]


def test_too_few_rows_without_classes():
    sides = drawing.sides_of(generation_task("told", support=12, query=20))
    with pytest.raises(EpisodeError, match=r"'told'.*13 support and 20 query.*12 and 20"):
        drawing.check_enough(sides, 1, 13, 20)


def test_each_episode_chooses_among_its_own_eligible_classes():
    sides = drawing.sides_of(text_task(support=(3, 8, 8, 4), query=(6, 6, 6, 6)))
    shots, ways = np.array([3, 8, 4] * 20), np.array([4, 2, 3] * 20)
    chosen = drawing.pick_classes(sides, state(60), ways, shots, query_size=8)
    assert {tuple(sorted(row[row >= 0].tolist())) for row in chosen[1::3]} == {(1, 2)}
    assert {tuple(sorted(row[row >= 0].tolist())) for row in chosen[2::3]} == {(1, 2, 3)}
    assert len({tuple(row) for row in chosen[0::3].tolist()}) > 5


def test_rows_to_spare_leaves_the_query_rows_of_one_pool():
    classes, queries = np.array([[2, 0, -1]]), np.array([[2, 1, 0]])
    two, one = (drawing.sides_of(text_task(support=(5, 6, 7), query=q)) for q in ((5, 5, 5), None))
    assert drawing.rows_to_spare(two, classes, queries).tolist() == [[7, 5, 0]]
    assert drawing.rows_to_spare(one, classes, queries).tolist() == [[5, 4, 0]]


def test_blocks_make_no_difference():
    sides = drawing.sides_of(text_task())

    def make(index):
        own = fold(key_of("drawing"), index)
        ways = 2 + index % 2
        counts = spread(4, ways)
        return drawing.draw(sides, index, own, drawing.pick_classes(sides, own, ways, ways * 0 + 2, 4), counts, counts)

    whole, blocks = make(np.arange(11)), drawing.in_blocks(make, np.arange(11), block=1)
    for name in ("index", "classes", "support", "query"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(blocks, name))
