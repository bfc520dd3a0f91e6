"""metapeft.evaluation.tables: rows, means of means, paired differences."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.evaluation import tables
from tests.evaluation.made_cells import accuracies, cell

MEANS = {"frozen": 0.6, "static, mix 0.5": 0.7, "random": 0.4, "auto": 0.72}


def test_rows_pair_each_method_with_the_frozen_prototype() -> None:
    rows = tables.rows_of([cell("t", "f", 5, MEANS)])
    frozen, static, random, auto = rows
    assert frozen["p_against_frozen"] == 1
    assert static["p_against_frozen"] < 0.001
    assert auto["mean"] == pytest.approx(0.72)
    assert auto["ci95"][0] < 0.72 < auto["ci95"][1]
    assert (frozen["chosen"], auto["chosen"]) == (None, {"frozen": 10, "static, mix 0.5": 30})
    assert random["episodes"] == 20  # paired with the first 20 of frozen, not all 40
    assert random["p_against_frozen"] < 0.001
    facts = {"task": "t", "family": "f", "track": "domain", "ways": 3, "shots": 5, "query": 15, "similarity": 0.5}
    assert facts.items() <= auto.items()


def test_equal_seeds_equal_rows() -> None:
    cells = [cell("t", "f", 5, MEANS)]
    assert tables.rows_of(cells, 3) == tables.rows_of(cells, 3)
    assert tables.rows_of(cells, 3) != tables.rows_of(cells, 4)


def test_columns_are_those_of_the_mix_that_some_cell_has() -> None:
    cells = [cell("t", "f", 5, MEANS | {"static, mix 1": 0.5}), cell("u", "f", 5, MEANS | {"frozen + names": 0.7})]
    assert tables.columns(cells, 0.5) == ["frozen", "static, mix 0.5", "random", "auto", "frozen + names"]
    assert tables.columns(cells, 1.0) == ["frozen", "static, mix 1", "random", "auto", "frozen + names"]


def test_baselines_are_the_last_columns() -> None:
    cells = [cell("t", "f", 5, MEANS | {"mean adapter, mix 0.5": 0.6, "tf-idf": 0.3, "frozen + names": 0.7})]
    last = ["auto", "frozen + names", "tf-idf", "mean adapter, mix 0.5"]
    assert tables.columns(cells, 0.5) == ["frozen", "static, mix 0.5", "random", *last]


def test_of_words_starts_are_compared_with_all_that_the_base_brings() -> None:
    plain = {"frozen": 0.2, "static, mix 0.5": 0.3, "hypernetwork, mix 0.5": 0.4}
    told = {f"{name}, both, detector 0.35": mean + 0.1 for name, mean in plain.items() if name != "frozen"}
    cells = [cell("t", "f", 5, plain | told)]
    assert tables.columns(cells, 0.5) == [*plain, *told]
    assert tables.starts_of(cells, 0.5) == (*told, "shuffled, mix 0.5, both, detector 0.35")
    assert tables.starts_of([cell("t", "f", 5, plain)], 0.5)[:2] == tuple(plain)[1:]
    assert tuple(reversed(told)) in tables.compared(0.5)


def test_pairs_never_compare_a_method_with_itself() -> None:
    pairs = tables.compared(0.5)
    assert len(set(pairs)) == len(pairs)
    assert all(first != second for first, second in pairs)
    assert {("hypernetwork, mix 0.5", "shuffled, mix 0.5"), ("auto + names", "frozen")} <= set(pairs)


def test_a_mean_of_means_does_not_weigh_by_episodes() -> None:
    mean, low, high = tables.mean_of([np.full(10, 0.2), np.full(90, 0.6)])
    assert (mean, low, high) == pytest.approx((0.4, 0.4, 0.4))


def test_the_interval_of_a_mean_of_means_is_the_normal_one_for_many_episodes() -> None:
    rng = np.random.default_rng(0)
    samples = [rng.normal(0.2, 0.3, 500), rng.normal(0.9, 0.1, 2000)]
    mean, low, high = tables.mean_of(samples)
    assert mean == pytest.approx(np.mean([samples[0].mean(), samples[1].mean()]))
    half = 1.96 * np.sqrt(samples[0].var() / 500 + samples[1].var() / 2000) / 2
    assert mean - low == pytest.approx(half, rel=0.15)
    assert high - mean == pytest.approx(half, rel=0.15)


@pytest.mark.parametrize("samples", [[], [np.ones(3), np.ones(0)]])
def test_a_mean_of_nothing(samples) -> None:
    with pytest.raises(ValueError, match="needs samples"):
        tables.mean_of(samples)


def test_a_paired_difference_takes_the_episodes_that_both_have() -> None:
    cells = [cell("t", "f", 5, MEANS), cell("u", "f", 5, MEANS | {"random": 0.6}), cell("v", "g", 5, {"auto": 0.1})]
    found = tables.paired(cells, "auto", "random")
    assert found is not None
    assert (found["cells"], found["episodes"]) == (2, 40)
    assert found["difference"] == pytest.approx(0.22)
    assert found["ci95"] == pytest.approx([0.22, 0.22])  # the difference is the same in every episode of a cell
    assert found["p"] < 0.001
    back = tables.paired(cells, "random", "auto")
    assert back is not None
    assert back["difference"] == pytest.approx(-found["difference"])
    assert tables.paired(cells, "auto", "shuffled, mix 0.5") is None


def test_families_weigh_alike_whatever_the_number_of_their_tasks() -> None:
    lone = cell("v", "g", 5, {"frozen": 0.5, "auto": 0.9, "random": 0.1})
    pair = [cell(task, "f", 5, {"frozen": 0.5, "auto": 0.6, "static, mix 0.5": 0.5}) for task in "tu"]
    pair[1]["shots"] = 3  # all that it has
    alike = tables.paired([lone, *pair], "auto", "frozen", families_alike=True)
    assert alike is not None
    assert alike["difference"] == pytest.approx(0.25)
    assert alike["ci95"] == pytest.approx([0.25, 0.25])
    head, lines, means = tables.family_table([lone, *pair], ["frozen", "auto", "static, mix 0.5"])
    assert head == ["family", "tasks", "shots", "frozen", "auto", "static, mix 0.5", "auto − frozen", "auto − random"]
    assert lines == [
        ["g", "1", "5", "50.0", "90.0", "", "+40.0 [+40.0, +40.0]", "+80.0 [+80.0, +80.0]"],
        ["f", "2", "5", "50.0", "60.0", "50.0", "+10.0 [+10.0, +10.0]", ""],
    ]
    assert means == [
        ["mean of 2 families", "3", "5", "50.0", "75.0", "", "+25.0 [+25.0, +25.0]", "+80.0 [+80.0, +80.0]"]
    ]
    assert tables.family_table(pair, ["frozen"])[1:] == ([], [])


def test_a_difference_that_cancels_is_no_evidence() -> None:
    cells = [cell("t", "f", 5, {"frozen": 0.5, "auto": 0.6}), cell("u", "f", 5, {"frozen": 0.5, "auto": 0.4})]
    found = tables.paired(cells, "auto", "frozen")
    assert found is not None
    assert found["difference"] == pytest.approx(0, abs=1e-9)
    assert found["p"] > 0.9


def test_shares_count_episodes() -> None:
    cells = [cell("t", "f", 5, MEANS), cell("u", "f", 5, MEANS, 80)]
    assert tables.shares(cells, "auto") == {"static, mix 0.5": 0.75, "frozen": 0.25}
    assert tables.shares(cells, "auto + names") == {}


def test_families_keep_their_order() -> None:
    cells = [cell("t", "g", 1, MEANS), cell("u", "f", 1, MEANS), cell("v", "g", 1, MEANS)]
    assert {name: [c["task"] for c in own] for name, own in tables.by_family(cells).items()} == {
        "g": ["t", "v"],
        "f": ["u"],
    }


def test_the_table_has_a_line_a_cell_and_a_mean_for_each_number_of_shots() -> None:
    cells = [cell("t", "f", 1, MEANS), cell("t", "f", 5, MEANS), cell("u", "f", 5, {"frozen": 0.8})]
    lines, means = tables.accuracy_table(cells, tables.rows_of(cells), ["frozen", "auto", "shuffled, mix 0.5"])
    assert [line[0].split(" ± ")[0] for line in lines] == ["60.0", "60.0", "80.0"]
    assert [line[1].split(" ± ")[0] for line in lines] == ["72.0", "72.0", ""]
    assert 0.5 < float(lines[0][0].split(" ± ")[1]) < 2  # 1.96 · 0.05 / sqrt(2 · 40) is 1.1 points
    assert means == [["1", "1", "60.0", "72.0", ""], ["5", "2", "70.0", "", ""]]
    _, means = tables.accuracy_table(cells, tables.rows_of(cells), ["frozen", "auto"])
    assert means[1:] == [["5", "2", "70.0", ""], ["5", "1", "60.0", "72.0"]]  # of the same tasks


def test_figures_as_people_read_them() -> None:
    assert (tables.percent(0.8312), tables.points(0.0312), tables.points(-0.2)) == ("83.1", "+3.1", "−20.0")
    np.testing.assert_allclose(np.mean(accuracies(0.3)), 0.3)


def written_cell(task: str, metric: str = "rougeL", **figures: dict[str, float | None]) -> tables.Cell:
    means = {
        "frozen": 0.2,
        "static, mix 1": 0.4,
        "static, 5 steps, mix 1": 0.5,
        "auto": 0.5,
        "lead-3": 0.3,
        "gold": 1.0,
    }
    outputs = {"prompts": ["p"], "targets": ["t"], "written": {"frozen": ["a"], "auto": ["b"], "gold": ["t"]}}
    about = {"metric": tables.SCORE, "primary": {"metric": metric, "why": "Its outputs are texts."}, "outputs": outputs}
    return cell(task, "f", 5, means) | about | {"figures": figures}


def test_written_texts_have_columns_of_steps_and_of_what_needs_no_model() -> None:
    assert tables.columns([written_cell("t")], 1.0) == [
        "frozen",
        "static, mix 1",
        "auto",
        "static, 5 steps, mix 1",
        "lead-3",
        "gold",
    ]
    assert tables.shots_as_text([written_cell("t")], 5) == "5 examples"
    assert tables.curve_metric([written_cell("t")]) == "share of target tokens said right"


def test_what_a_score_is_stands_once_a_task() -> None:
    cells = [written_cell("t"), written_cell("t"), written_cell("u", "executed")]
    assert tables.score_lines(cells) == ["t: rougeL. Its outputs are texts.", "u: executed. Its outputs are texts."]
    assert tables.score_lines([cell("t", "f", 5, MEANS)]) == []


def test_figures_of_what_was_written() -> None:
    cells = [written_cell("t", exact={"auto": 0.25, "frozen": None}), written_cell("u", syntax={"frozen": 0.5})]
    head, lines = tables.figure_table(cells, ["frozen", "auto"])
    assert head == ["task", "shots", "method", "exact", "syntax"]
    assert lines == [["t", "5", "auto", "25.0", ""], ["u", "5", "frozen", "", "50.0"]]
    assert tables.figure_table([cell("t", "f", 5, MEANS)], ["frozen"])[1] == []


def test_the_first_text_of_each_task_with_the_target_first() -> None:
    (found,) = tables.written_lines([written_cell("t"), cell("u", "f", 5, MEANS)], ["frozen", "auto", "random", "gold"])
    assert found == ("t, 5 examples", [("target", "t"), ("frozen", "a"), ("auto", "b")])


def likened(similarity: float, gain: float) -> dict:
    accuracy = {"frozen": [0.5, 0.7], "hypernetwork, mix 0.5": [0.5 + gain, 0.7 + gain]}
    return {"similarity": similarity, "accuracy": accuracy}


def test_likeness_that_predicts_gain_is_found() -> None:
    cells = [likened(0.1 * i, 0.02 * i) for i in range(8)]
    found = tables.similarity_and_gain(cells, 0.5)
    assert found is not None
    assert found["correlation"] == pytest.approx(1.0)
    assert found["p"] < 0.01
    assert found["cells"] == 8
    falling = tables.similarity_and_gain([likened(0.1 * i, -0.02 * i) for i in range(8)], 0.5)
    assert falling is not None
    assert falling["correlation"] == pytest.approx(-1.0)


def test_few_cells_or_no_hypernetwork_say_nothing() -> None:
    assert tables.similarity_and_gain([likened(0.1 * i, 0.0) for i in range(4)], 0.5) is None
    assert tables.similarity_and_gain([likened(0.1 * i, 0.0) for i in range(8)], 1.0) is None


def test_equal_likeness_says_nothing() -> None:
    assert tables.similarity_and_gain([likened(0.5, 0.1 * i) for i in range(8)], 0.5) is None
    assert tables.similarity_and_gain([likened(0.1 * i, 0.0) for i in range(8)], 0.5) is None
