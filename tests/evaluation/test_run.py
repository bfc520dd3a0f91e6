"""metapeft.evaluation.run: what its result says beside the cells."""

from __future__ import annotations

import pytest

from metapeft.evaluation.run import similarity_and_gain


def cell(similarity: float, gain: float) -> dict:
    accuracy = {"frozen": [0.5, 0.7], "hypernetwork, mix 0.5": [0.5 + gain, 0.7 + gain]}
    return {"similarity": similarity, "accuracy": accuracy}


def test_likeness_that_predicts_gain_is_found() -> None:
    cells = [cell(0.1 * i, 0.02 * i) for i in range(8)]
    found = similarity_and_gain(cells, 0.5)
    assert found is not None
    assert found["correlation"] == pytest.approx(1.0)
    assert found["p"] < 0.01
    assert found["cells"] == 8
    falling = similarity_and_gain([cell(0.1 * i, -0.02 * i) for i in range(8)], 0.5)
    assert falling is not None
    assert falling["correlation"] == pytest.approx(-1.0)


def test_few_cells_or_no_hypernetwork_say_nothing() -> None:
    assert similarity_and_gain([cell(0.1 * i, 0.0) for i in range(4)], 0.5) is None
    assert similarity_and_gain([cell(0.1 * i, 0.0) for i in range(8)], 1.0) is None
