import itertools
import math

import pytest

from metapeft.execution.pass_at_k import pass_at_k


@pytest.mark.parametrize(("n", "c", "k"), [(5, 0, 1), (5, 2, 1), (6, 2, 3), (7, 3, 5), (4, 4, 2), (6, 1, 6)])
def test_it_is_the_share_of_draws_that_hold_a_program_that_passes(n, c, k):
    draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_large_numbers_are_exact():
    assert pass_at_k(10_000, 3, 100) == pytest.approx(1 - math.comb(9_997, 100) / math.comb(10_000, 100), rel=1e-12)
    assert pass_at_k(200, 1, 1) == pytest.approx(1 / 200)


@pytest.mark.parametrize(("n", "c", "k"), [(5, 6, 1), (5, -1, 1), (5, 1, 0), (5, 1, 6), (0, 0, 1)])
def test_what_cannot_be_is_refused(n, c, k):
    with pytest.raises(ValueError, match="needs"):
        pass_at_k(n, c, k)
