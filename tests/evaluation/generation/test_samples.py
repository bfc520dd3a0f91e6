"""metapeft.evaluation.generation.samples: pass@k by problem."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.evaluation.generation.samples import pass_at_k_by_problem
from metapeft.evaluation.generation.scoring import score
from tests.evaluation.generation import made_rows


def test_problems_are_kept_apart() -> None:
    passed, problems = np.array([1, 0, 0, 1, 0.0]), ["b", "a", "b", "b", "a"]
    assert np.allclose(pass_at_k_by_problem(passed, problems, 1), [2 / 3, 0])
    assert np.allclose(pass_at_k_by_problem(passed, problems, 2), [1, 0])


def test_too_few_samples_and_figures_that_are_no_verdict_are_refused() -> None:
    with pytest.raises(ValueError, match="k=2"):
        pass_at_k_by_problem(np.array([1, 1, 0]), [0, 0, 1], 2)
    with pytest.raises(ValueError, match="0 or a 1"):
        pass_at_k_by_problem(np.array([1, np.nan]), [0, 0], 1)
    with pytest.raises(ValueError, match="2 figures of 1"):
        pass_at_k_by_problem(np.array([1, 0]), [0], 1)


def test_samples_of_a_row_are_scored_as_outputs_of_a_row_repeated() -> None:
    row = made_rows.body()
    outputs = [row.target, "    return 1", "    return x + x", "    return 1"]
    found = score([row] * 4, outputs, style="completion", domain="python", allow_code_execution=True)
    assert pass_at_k_by_problem(found["passed"], [row.row_id] * 4, 1).tolist() == [0.5]
