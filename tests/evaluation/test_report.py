"""metapeft.evaluation.report: one page with everything in it, and the same as Markdown."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from metapeft.evaluation import report
from tests.evaluation.made_cells import cell

MEANS = {
    "frozen": 0.70,
    "static, mix 0.5": 0.75,
    "static, mix 1": 0.65,
    "hypernetwork, mix 0.5": 0.76,
    "shuffled, mix 0.5": 0.75,
    "random": 0.50,
    "auto": 0.74,
    "auto + names": 0.82,
    "frozen + names": 0.80,
}
NASTY = "<script>alert('&')</script>|`$x$"
VOID = {"meta", "wbr", "path", "use"}
STEPS = [0, 1, 2, 3, 5, 10]
LOSSES = (("support_loss", 1.25, 0.125), ("query_loss", 1.5, 0.75))


def result(origin: str = "hub", **other: Any) -> dict[str, Any]:
    curve = np.linspace(0.4, 0.6, 6)
    curves = {"random": [(curve + shift).tolist() for shift in (-0.01, 0.0, 0.01)], "static, mix 0.5": [[0.7] * 6]}
    losses = {key: {name: [[high, 0.5, 0.4, 0.3, 0.2, low]] for name in curves} for key, high, low in LOSSES}
    chosen = {"auto": {"frozen": 10, "static, mix 0.25": 30}, "auto + names": {"hypernetwork, mix 1 + names": 40}}
    cells = [
        cell("kitchen", "sentiment", 1, MEANS, chosen=chosen),
        cell("kitchen", "sentiment", 10, MEANS, curves=curves, curve_steps=STEPS, **losses),
        cell("news", "topic", 10, {"frozen": 0.9, "auto": 0.85}),
    ]
    made = {"verb": "evaluate", "suite": "all", "origin": origin, "backbone": "nano", "checkpoint": "runs/train/x/best"}
    made |= {"rows_left_out": {"kitchen": {"equal": 3, "near": 2}, "news": {"equal": 0, "near": 0}}, "unchecked": []}
    return made | {"mix": 0.5, "settings": {"seed": 3, "lora": {"rank": 4, "keys": ["q", "v"]}}, "cells": cells} | other


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return report.summarized(result())


@pytest.fixture(scope="module")
def page(made: dict[str, Any]) -> str:
    return report.html(made)


class Reader(HTMLParser):
    """Text of a page; complains of tags that do not close."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


def test_a_summary_adds_and_changes_nothing() -> None:
    given = result()
    before = copy.deepcopy(given)
    made = report.summarized(given)
    assert given == before
    assert {key: made[key] for key in given} == given
    assert len(made["rows"]) == 2 * len(MEANS) + 2
    assert {pair["second"] for pair in made["comparisons"]} >= {"frozen", "shuffled, mix 0.5"}
    assert report.summarized(given, seed=1)["rows"] != made["rows"]


def test_equal_results_give_equal_bytes(made: dict[str, Any], page: str) -> None:
    again = report.summarized(result())
    assert report.html(again) == page
    assert report.markdown(again) == report.markdown(made)


def test_the_page_stands_alone(page: str) -> None:
    reader = Reader(page)
    assert "script" not in {tag for tag, _ in reader.tags}
    loading = {"src", "srcset", "data", "action", "poster"}
    assert not [tag for tag, attributes in reader.tags if loading & set(attributes)]
    links = [value for _, attributes in reader.tags for key, value in attributes.items() if key.endswith("href")]
    assert all(link is not None and link.startswith("#") for link in links)
    assert "@import" not in page
    assert all(found.startswith("#") for found in re.findall(r"url\(([^)]*)", page))
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in reader.tags
    assert "@media print" in page


def test_ids_are_of_one_element_each(page: str) -> None:
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_the_page_has_its_sections_in_order(page: str) -> None:
    headings = re.findall("<h2>([^<]*)</h2>", page)
    assert headings == [
        "Success criteria",
        "Accuracy by shots",
        "Accuracy by gradient steps",
        "Adaptation",
        "Is the hypernetwork doing anything?",
        "What auto chose",
        "Every task",
        "Accuracy of every method on every task",
        "Success criteria by family",
        "Families side by side",
        "Full table",
        "Cost",
        "How it was made",
    ]


def test_what_was_tuned_is_in_both_reports() -> None:
    line = {"method": "head only", "parameter": "C", "chosen": 10.0, "tried": [[1.0, 0.6], [0.1, 0.5], [10.0, 0.7]]}
    made = report.summarized(result(tuned=[line]))
    for text in (Reader(report.html(made)).text, report.markdown(made)):
        assert "0.1: 50.0, 1: 60.0, 10: 70.0" in text
    assert "tuned on" not in report.markdown(report.summarized(result()))


def test_the_page_says_what_the_result_says(page: str) -> None:
    text = Reader(page).text
    assert "✗ missed" in text  # auto is 5 points below the frozen prototype on news
    assert "worst: news at 10-shot; 1 of 3 below" in text
    assert "74.0 ± " in text
    assert "Hypernetwork against a shuffled embedding" in text
    assert "lora.keys" in text
    assert "q, v" in text
    assert "1 example a class" in text
    assert "runs/train/x/best" in text


def test_verdicts_are_words_and_symbols(made: dict[str, Any]) -> None:
    assert {report.SYMBOLS[line["verdict"]] for line in made["criteria"]} <= {"✓ met", "✗ missed", "– not measured"}


def test_speed_is_of_the_mean_curve(page: str) -> None:
    rows = re.findall("<tr>(.*?)</tr>", page)
    cells = [re.sub("<[^>]*>", "|", found).replace("||", "|").strip("|").split("|") for found in rows]
    losses = ["1.250", "0.125", "1.500", "0.750"]
    early = ["40.0", "60.0", "10", "0.68"]  # at step 5 there are 56 of the 57 asked for
    assert ["sentiment", "random", *early, *losses] in cells
    assert ["sentiment", "static", "70.0", "70.0", "0", "none", *losses] in cells


def test_what_was_not_measured_has_no_section() -> None:
    bare = report.summarized(result(cells=[cell("news", "topic", 5, {"frozen": 0.9}, chosen={})]))
    headings = re.findall("<h2>([^<]*)</h2>", report.html(bare))
    assert "Accuracy by shots" in headings
    for absent in ("Accuracy by gradient steps", "Is the hypernetwork doing anything?", "What auto chose"):
        assert absent not in headings
    assert "– not measured" in report.markdown(bare)


def test_baselines_stand_in_tables_and_are_explained_only_where_they_were_measured(made: dict[str, Any]) -> None:
    means = {"frozen": 0.7, "auto": 0.7, "fine-tune, 10 steps": 0.4, "fine-tune, 50 steps": 0.61, "tf-idf": 0.5}
    means |= {"mean adapter, mix 0.5": 0.72, "frozen + names": 0.8}
    with_them = report.summarized(result(cells=[cell("news", "topic", 10, means)]))
    page, text = report.html(with_them), report.markdown(with_them)
    explained = re.findall("<dt>([^<]*)</dt>", page)
    assert explained == ["frozen", "auto", "… + names", "tf-idf", "fine-tune", "mean adapter"]
    assert "| tf-idf | fine-tune, 10 steps | fine-tune, 50 steps | mean adapter, mix 0.5 |" in text
    assert "61.0" in Reader(page).text
    assert re.findall("<dt>([^<]*)</dt>", report.html(made)) == list(report.METHODS)[:7]
    without = result(cells=[cell("news", "topic", 10, {name: means[name] for name in ("frozen", "auto")})])
    lines = with_them["criteria"], report.summarized(without)["criteria"]
    unlike = [a for a, b in zip(*lines, strict=True) if a != b and "names" not in a["method"]]
    assert unlike == []


@pytest.mark.parametrize(("origin", "said"), [("synthetic", "Synthetic data"), ("mixed", "Mixed data")])
def test_made_up_data_is_said_first(origin: str, said: str) -> None:
    made = report.summarized(result(origin, cells=[cell("news", "topic", 5, {"frozen": 0.9})]))
    page, text = report.html(made), report.markdown(made)
    assert page.index('class="banner"') < page.index("<h2>")
    assert page.index(said) < page.index("<h2>")
    assert text.index(said) < text.index("## ")


@pytest.mark.parametrize("origin", ["hub", "files"])
def test_real_data_has_no_banner(origin: str) -> None:
    made = report.summarized(result(origin, cells=[cell("news", "topic", 5, {"frozen": 0.9})]))
    assert 'class="banner"' not in report.html(made)
    assert "data:" not in report.markdown(made)


def test_every_text_from_data_is_escaped() -> None:
    cells = [cell(NASTY, NASTY, 10, MEANS | {NASTY: 0.5}, track=NASTY, chosen={"auto": {NASTY: 40}})]
    other = {"suite": NASTY, "backbone": NASTY, "checkpoint": NASTY, "settings": {NASTY: {NASTY: [NASTY]}}}
    made = report.summarized(result(cells=cells, **other))
    page, text = report.html(made), report.markdown(made)
    assert "<script" not in page
    assert NASTY in Reader(page).text
    assert "<script" not in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert lines
    widths = {line.count("|") for line in lines}
    assert widths <= {3, 6, 8, 5 + len([name for name in MEANS if name != "static, mix 1"])}  # no cell was torn


def test_the_last_column_is_what_auto_gained_on_the_same_episodes() -> None:
    cells = [cell("t", "f", 5, {"frozen": 0.5, "auto": 0.6}), cell("u", "f", 5, {"frozen": 0.5, "auto": 0.58})]
    head, _, first, second, mean = report.accuracy_lines(cells, report.summarized(result(cells=cells))["rows"], 0.5)
    assert head.endswith("| auto − frozen |")
    for line, gain in ((first, "+10.0"), (second, "+8.0"), (mean, "**+9.0")):
        assert line.split("|")[-2].strip().startswith(gain)
    cells[1]["accuracy"].pop("auto")
    _, _, _, second, mean, part = report.accuracy_lines(cells, report.summarized(result(cells=cells))["rows"], 0.5)
    assert [line.split("|")[-2].strip()[:6] for line in (second, mean, part)] == ["", "**+10.", ""]


def test_what_was_chosen_hardly_ever_is_left_out() -> None:
    chosen = {"auto": {"frozen": 990, "static, mix 1": 7, "static, mix 0.5": 3}}
    lines = report.chosen_lines([cell("t", "f", 5, {"frozen": 0.5}, chosen=chosen)])
    assert lines == ["- auto: frozen 99 %; static, mix 1 1 %"]


def test_likeness_and_gain_are_told_in_both_reports() -> None:
    cells = [
        cell(f"t{i}", "f", 5, {"frozen": 0.5, "hypernetwork, mix 0.5": 0.5 + 0.05 * i}, similarity=0.1 * i)
        for i in range(6)
    ]
    summary = report.summarized(result(cells=cells))
    summary |= {"task_map": {"tasks": [], "perplexity": 3.0, "clustering": []}}
    for text in (report.markdown(summary), Reader(report.html(summary)).text):
        assert "rank correlation +1.00 over 6 cells, p = 0.00" in text


def test_markdown_has_a_line_a_task_and_a_mean_for_each_number_of_shots(made: dict[str, Any]) -> None:
    lines = report.markdown(made).splitlines()
    assert [line.split(" | ")[:3] for line in lines if line.startswith(("| kitchen", "| news"))][:3] == [
        ["| kitchen", "3", "1"],
        ["| kitchen", "3", "10"],
        ["| news", "3", "10"],
    ]
    means = [line for line in lines if line.startswith("| **mean of")]
    assert means[0].startswith("| **mean of 1 tasks** |  | **1** | **70.0** | **75.0** | **76.0**")
    assert means[1].startswith("| **mean of 2 tasks** |  | **10** | **80.0** |")
    assert "- auto: static, mix 0.5 50 %; frozen 25 %; static, mix 0.25 25 %" in lines
    assert "- auto, topic: static, mix 0.5 75 %; frozen 25 %" in lines
    # families weigh alike: +4 in both cells of one, −5 in the other's
    assert any(line.startswith("- auto against frozen: −0.5 [") and "p = " in line for line in lines)


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_what_was_seen_and_what_could_not_be_compared_is_said(form: str) -> None:
    write = getattr(report, form)
    assert "has their text: kitchen: 3 equal, 2 nearly." in write(report.summarized(result()))
    assert "in none of the suites" not in write(report.summarized(result()))
    none = result(rows_left_out={"news": {"equal": 0, "near": 0}}, unchecked=["one", "two"])
    assert "has their text: none." in write(report.summarized(none))
    assert "2 training tasks are in none of the suites" in write(report.summarized(none))
    assert "compared with theirs: one, two." in write(report.summarized(none))
    assert "has their text" not in write(report.summarized(result(rows_left_out={})))  # new episodes of known tasks


def test_adaptation_and_cost_stand_in_both_reports(made: dict[str, Any], page: str) -> None:
    text = report.markdown(made)
    assert "| sentiment | random | 40.0 | 60.0 | 10 | 0.68 | 1.250 | 0.125 | 1.500 | 0.750 |" in text
    assert "| kitchen | 10 | 1,200 | 1.5 | 3.0 |" in text
    headings = re.findall("<h2>([^<]*)</h2>", page)
    assert {"Adaptation", "Cost"} <= set(headings)
    assert "1,200" in page.partition("<h2>Cost</h2>")[2]
    bare = report.markdown(report.summarized(result(cells=[cell("news", "topic", 5, {"frozen": 0.9})])))
    assert "## Adaptation" not in bare
    assert "## Cost" in bare
