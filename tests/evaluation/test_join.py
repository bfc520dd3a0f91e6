"""metapeft.evaluation.join: seeds side by side episode by episode, folds and families one after another."""

from __future__ import annotations

import pytest

from metapeft.evaluation.join import together
from tests.evaluation.made_cells import result_of_one_cell as result


def test_seeds_are_put_together_so_that_equal_places_are_equal_episodes() -> None:
    first, second = result(0, [0.1, 0.2, 0.3], [0.15]), result(1, [0.5, 0.6], [0.55])
    first["cells"][0]["similarity"], second["cells"][0]["similarity"] = 0.25, 0.75
    both = together([first, second])
    (cell,) = both["cells"]
    assert cell["similarity"] == 0.5
    assert cell["accuracy"]["random"] == [0.15, 0.55]
    assert cell["accuracy"]["frozen"] == [0.1, 0.5, 0.2, 0.3, 0.6]  # those with a random start first
    assert cell["accuracy"]["auto"] == pytest.approx([0.2, 0.6, 0.3, 0.4, 0.7])
    assert cell["chosen"] == {"auto": {"frozen": 5}}
    assert (cell["gradient_steps"], cell["seconds"], cell["peak_memory_bytes"]) == (21, 2.0, 100)
    assert both["settings"]["seed"] == [0, 1]
    rows = {row["method"]: row for row in both["rows"]}
    assert rows["frozen"]["mean"] == pytest.approx(0.34)
    assert rows["random"]["episodes"] == 2


def test_other_tasks_stand_one_after_another() -> None:
    other = result(0, [0.5, 0.7, 0.9], [0.5])
    other["cells"][0]["task"] = "u"
    both = together([result(0, [0.1, 0.2, 0.3], [0.15]), other | {"rows_left_out": {"u": {"equal": 0, "near": 2}}}])
    assert [cell["task"] for cell in both["cells"]] == ["t", "u"]
    assert both["rows_left_out"] == {"t": {"equal": 0, "near": 0}, "u": {"equal": 0, "near": 2}}
