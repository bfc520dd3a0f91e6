"""`report.md` and `report.html` from a result: pure functions, equal input gives equal text.

A result is a plain dict::

    {"verb": "evaluate", "suite": str, "origin": "synthetic" | "hub" | "mixed" | "files", "backbone": str,
     "checkpoint": str, "mix": float, "settings": {…}, "cells": [see `metapeft.evaluation.tables`],
     "rows_left_out": {task: {"equal": int, "near": int}},   # of test tasks, because training or validation has them
     "unchecked": [training tasks that no test task could be compared with]}

`summarized` adds ``rows``, ``criteria`` and ``comparisons``; `markdown` and `html` take what it returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metapeft.evaluation import tables
from metapeft.evaluation.criteria import ALL, MET, MISSED, TITLES, UNMEASURED, criteria, figure, target
from metapeft.evaluation.page import element, escaped, group, heading, page, row, shaded, table
from metapeft.evaluation.panels import embeddings, every_task, panels

Result = dict[str, Any]
SYMBOLS = {MET: "✓ met", MISSED: "✗ missed", UNMEASURED: "– not measured"}
METHODS = {
    "frozen": "cosine prototypes on the backbone's frozen features",
    "static": "the learned base of the adapters, the same for every task",
    "hypernetwork": "that base and the term generated from the task's embedding",
    "shuffled": "as hypernetwork, with the embedding of a training episode drawn by chance",
    "random": "a random adapter and a random linear head after a few gradient steps, on the first episodes only",
    "auto": "frozen, static or hypernetwork, chosen on the support set",
    "… + names": "the classes' names are examples too",
    "head only": "logistic regression on frozen features; this and those below on the first episodes only",
    "nearest neighbour": "the class of the support example (or word) with the highest cosine of frozen features",
    "structured nearest neighbour": "the same, each sentence as a whole, by what follows what in training sentences",
    "gazetteer": "the support set's mentions, found again word by word",
    "tf-idf": "logistic regression on TF-IDF of tokens and pairs of them, without a network",
    "fine-tune": "as random, after so many gradient steps",
    "multitask": "one adapter for all training tasks, trained beside a linear head for each, without meta-learning",
    "single task": "the same for one training task, chosen on the validation tasks",
    "mean adapter": "the generated adapters of the training episodes averaged: one for all tasks",
}
WRITERS = {  # where texts are written
    "frozen": "the language model as it is, given the prompt",
    "in context": "the same with support examples before the prompt, the nearest last, on the first episodes only",
    "random": "a random adapter after a few gradient steps, on the first episodes only",
    "auto": "frozen, static or hypernetwork, whichever has the least loss on support examples left out",
    "nearest example": "the target of the support row whose text is nearest",
    "lead-3": "the first three sentences of the text",
    "lead-k": "as many first sentences as the support set's targets have, by their median",
    "oracle extract": "sentences of the text chosen by looking at the target: what copying can reach",
    "copied input": "the text as it stands",
    "gold": "the target itself: below 100 where tests or databases find it wrong",
}
HOW = (
    "Every method reads the same episodes. An interval is a 95 % percentile bootstrap over episodes; over several "
    "tasks it is resampled within each, so it speaks of these tasks and not of tasks in general. p is of a paired "
    "sign-flip test, two-sided, without a correction for the number of tests. A mean over tasks weighs them alike."
)

FAMILIES = "Families side by side"
FAMILIES_ABOUT = (
    "%, means over the tasks of a family; differences in points with 95 % intervals. Families weigh alike. A task that "
    "cannot give so many shots has what it can give."
)
PAIRED_ABOUT = (
    "Points with 95 % intervals and sign-flip p; families weigh alike, and a family's tasks and shots within it."
)
TUNED = ["tuned on validation tasks", "parameter", "chosen", "tried, and accuracy there in %"]
CHOSEN = "Hyperparameters of baselines were chosen by accuracy on episodes of the validation tasks."


def summarized(result: Result, seed: int = 0) -> Result:
    """The result with its rows, criteria and comparisons; what takes time is done here, once.

    Args:
        result: see above; not changed.
        seed: of the resamples and the flips.

    Raises:
        ValueError: see `tables.rows_of`.
    """
    cells, mix = result["cells"], result["mix"]
    found = (tables.paired(cells, *pair, seed, families_alike=True) for pair in tables.compared(mix))
    return result | {
        "rows": tables.rows_of(cells, seed),
        "criteria": criteria(cells, mix, seed),
        "comparisons": [pair for pair in found if pair is not None],
        "families": tables.family_table(cells, tables.columns(cells, mix), seed),
        "similarity_and_gain": tables.similarity_and_gain(cells, mix),
    }


# --- markdown -----------------------------------------------------------------------------------


def markdown(result: Result) -> str:
    """The report as Markdown: criteria, accuracies, what auto chose, adaptation, paired differences, cost.

    Args:
        result: of `summarized`.
    """
    cells, mix = result["cells"], result["mix"]
    lines = [f"# {_plain(_title(result))}", ""]
    if banner := _banner(result):
        lines += [f"> **{_plain(banner)}**", ""]
    lines += ["## Success criteria", ""]
    lines += _grid(["criterion", "scope", "method", "value", "target", "verdict", "note"], _criteria_rows(result))
    metric = tables.metric_of(cells)
    lines += ["", f"## {tables.capital(metric)}", "", "%, ± half the width of a 95 % interval.", ""]
    lines += accuracy_lines(cells, result["rows"], mix)
    head, families, means = result["families"]
    if families:
        lines += ["", f"## {FAMILIES}", "", FAMILIES_ABOUT, "", *_grid(head, families), *_grid_rows(means, "**")]
    lines += written_sections(cells, tables.columns(cells, mix))
    if mentions := tables.mention_lines(cells, tables.columns(cells, mix)):
        lines += ["", "## All mentions together", "", *_grid(tables.MENTIONS, mentions)]
    lines += ["", "## What auto chose", "", *chosen_lines(cells)]
    if adapted := tables.adaptation(cells):
        lines += ["", "## Adaptation", "", tables.ADAPTATION_ABOUT, "", *_grid(tables.ADAPTATION, adapted)]
    lines += ["", "## Paired differences", "", PAIRED_ABOUT, ""]
    lines += [f"- {_plain(_compared(pair))}" for pair in result["comparisons"]]
    if result.get("task_map"):
        lines += ["", "## Task embeddings", "", *_grid(tables.CLUSTERING, tables.clustering(result["task_map"]))]
    if found := result["similarity_and_gain"]:
        lines += ["", _plain(tables.transfer_said(found))]
    lines += ["", "## Cost", "", tables.COST_ABOUT, "", *_grid(tables.COST, tables.cost(cells))]
    lines += ["", "## How it was made", "", _plain(HOW), ""]
    lines += [line for said in _apart(result) for line in (_plain(said), "")]
    if result.get("tuned"):
        lines += [*_grid(TUNED, _tuned(result)), "", _plain(CHOSEN), ""]
    lines += _grid(["setting", "value"], _settings(result))
    return "\n".join(lines) + "\n"


def accuracy_lines(cells: Sequence[tables.Cell], rows: Sequence[dict[str, Any]], mix: float) -> list[str]:
    """Lines of a Markdown table: a line a task and number of shots, a column a method; then means of tasks.

    The last column is what auto has above the frozen prototype on the same episodes, in points with its interval; not
    for means of a part of the tasks.
    """
    names = tables.columns(cells, mix)
    figures, means = tables.accuracy_table(cells, rows, names)
    pairs = [("auto", "frozen")] * ("auto" in names)
    body = [
        [c["task"], str(c["ways"]), str(c["shots"]), *own, *tables.differences([c], pairs)]
        for c, own in zip(cells, figures, strict=True)
    ]
    bold = []
    for shots, tasks, *own in means:
        all_of_them = [c for c in cells if str(c["shots"]) == shots]
        gains = tables.differences(all_of_them, pairs) if len(all_of_them) == int(tasks) else [""] * len(pairs)
        bold.append([f"mean of {tasks} tasks", "", shots, *own, *gains])
    return _grid(["task", "ways", "shots", *names, *(f"{a} − {b}" for a, b in pairs)], body) + _grid_rows(bold, "**")


def written_sections(cells: Sequence[tables.Cell], names: Sequence[str]) -> list[str]:
    """Lines of Markdown: what a score is, all figures of written texts, and the first text of each task."""
    if not (scores := tables.score_lines(cells)):
        return []
    head, figures = tables.figure_table(cells, names)
    lines = ["", "The score of a task:", "", *(f"- {_plain(line)}" for line in scores)]
    lines += ["", "## Every figure of what was written", "", "%, means over episodes.", "", *_grid(head, figures)]
    lines += ["", "## What was written", "", "The first text of the first episode."]
    for task, texts in tables.written_lines(cells, names):
        lines += ["", f"### {_plain(task)}", "", *_grid(["method", "text"], [list(each) for each in texts])]
    return lines


def chosen_lines(cells: Sequence[tables.Cell]) -> list[str]:
    """Lines of a Markdown list: share of episodes in which auto chose each candidate (1 % and more); families too."""
    parts = tables.by_family(cells)
    scopes = {"": cells} | ({f", {family}": own for family, own in parts.items()} if len(parts) > 1 else {})
    return [
        f"- {name}{scope}: "
        + "; ".join(f"{_plain(chosen)} {100 * share:.0f} %" for chosen, share in shares.items() if share > 0.005)
        for scope, own in scopes.items()
        for name in ("auto", f"auto{tables.NAMES}")
        if (shares := tables.shares(own, name))
    ]


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return _grid_rows([head]) + ["|" + "---|" * len(head)] + _grid_rows(rows)


def _grid_rows(rows: Sequence[Sequence[str]], mark: str = "") -> list[str]:
    return ["| " + " | ".join(f"{mark}{_plain(cell)}{mark}" if cell else "" for cell in cells) + " |" for cells in rows]


def _plain(text: object) -> str:
    """Text that Markdown leaves as it is: no tag, no cell border, no new line."""
    said = " ".join(str(text).split())
    for special, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "&#124;"), ("`", "&#96;")):
        said = said.replace(special, safe)
    return said


# --- HTML ---------------------------------------------------------------------------------------


def html(result: Result) -> str:
    """The report as one self-contained page: no script, no external resource, readable in black and white.

    Args:
        result: of `summarized`.

    Raises:
        MetapeftError: matplotlib is not installed.
    """
    parts = [element("h1", _title(result))]
    if banner := _banner(result):
        parts.append(f'<p class="banner" role="note">{escaped(banner)}</p>')
    parts += ["<h2>Success criteria</h2>", _criteria_table(result, whole=True)]
    parts += panels(result["cells"], result["mix"], result["comparisons"])
    parts += every_task(result["cells"], result["rows"], result["mix"])
    parts += embeddings(result.get("task_map"), result["similarity_and_gain"])
    metric = tables.capital(tables.metric_of(result["cells"]))
    parts += [f"<h2>{metric} of every method on every task</h2>", *_heat_maps(result)]
    parts += ["<h2>Success criteria by family</h2>", _criteria_table(result, whole=False)]
    parts += _families(result)
    parts += ["<h2>Full table</h2>", _full_table(result)]
    parts += _written(result)
    if mentions := tables.mention_lines(result["cells"], tables.columns(result["cells"], result["mix"])):
        kinds = ["figures", "", *["figures"] * 4]
        lines = [row(line, kinds) for line in mentions]
        parts += ["<h2>All mentions together</h2>", table(tables.MENTIONS, lines, kinds, label="All mentions together")]
    kinds = ["figures"] * (len(tables.COST) - 1)
    costs = [row(line, kinds) for line in tables.cost(result["cells"])]
    parts += ["<h2>Cost</h2>", element("p", tables.COST_ABOUT), table(tables.COST, costs, kinds, label="Cost")]
    parts += ["<h2>How it was made</h2>", element("p", HOW)]
    parts += [*(element("p", said) for said in _apart(result)), "<dl>"]
    parts += [element("dt", name) + element("dd", about) for name, about in _methods(result)]
    parts.append("</dl>")
    if result.get("tuned"):
        kinds = ["", "figures", "figures"]
        tried = table(TUNED, [row(cells, kinds) for cells in _tuned(result)], kinds, label="Tuned")
        parts += [element("p", CHOSEN), tried]
    rows = [row(cells) for cells in _settings(result)]
    parts += [table(["setting", "value"], rows, label="Settings")]
    return page(_title(result), parts)


def _criteria_table(result: Result, *, whole: bool) -> str:
    """Lines over all families, or those of each family."""
    head = ["method", "verdict", "value", "target", "note"]  # the verdict is in sight on a phone
    kinds = ["verdict", "figures", "target", "note"]
    if not whole:
        head, kinds = ["family", *head], ["", *kinds]
    lines = []
    for name, title in TITLES.items():
        lines.append(group(title, len(head)))
        for line in result["criteria"]:
            if line["criterion"] == name and (line["scope"] == ALL) == whole:
                method = tables.short(line["method"], result["mix"])
                said = [method, SYMBOLS[line["verdict"]], figure(line), target(line), line["note"]]
                lines.append(row(said if whole else [line["scope"], *said], kinds))
    return table(head, lines, kinds, label="Success criteria")


def _heat_maps(result: Result) -> list[str]:
    """A table a number of shots: tasks by methods, the higher the darker."""
    cells, mix = result["cells"], result["mix"]
    names = tables.columns(cells, mix)
    shown = [r for r in result["rows"] if r["method"] in names]
    low, high = min(r["mean"] for r in shown), max(r["mean"] for r in shown)
    known = {(r["task"], r["shots"], r["method"]): r["mean"] for r in shown}
    ends = f"white is {tables.percent(low)}, darkest {tables.percent(high)}"
    said = f"{tables.capital(tables.metric_of(cells))} in %, the higher the darker: {ends}."
    parts = [element("p", said)]
    for shots in sorted({cell["shots"] for cell in cells}):
        lines = []
        for family, own in tables.by_family(c for c in cells if c["shots"] == shots).items():
            lines.append(group(family, len(names) + 1))
            for cell in own:
                means = [known.get((cell["task"], shots, name)) for name in names]
                shades = "".join(
                    "<td>–</td>" if mean is None else shaded(mean, low, high, tables.percent(mean)) for mean in means
                )
                lines.append(f"<tr>{heading(cell['task'])}{shades}</tr>")
        head = ["task", *(tables.short(name, mix) for name in names)]
        parts += [
            f"<h3>{tables.shots_as_text(cells, shots)}</h3>",
            table(head, lines, kind="heat", label=f"{shots} shots"),
        ]
    return parts


def _families(result: Result) -> list[str]:
    head, families, means = result["families"]
    if not families:
        return []
    kinds = ["figures"] * (len(head) - 1)
    lines = [row(line, kinds) for line in (*families, *means)]
    head = [tables.short(name, result["mix"]) for name in head]
    return [f"<h2>{FAMILIES}</h2>", element("p", FAMILIES_ABOUT), table(head, lines, kinds, label=FAMILIES)]


def _full_table(result: Result) -> str:
    cells, mix = result["cells"], result["mix"]
    names = tables.columns(cells, mix)
    figures, means = tables.accuracy_table(cells, result["rows"], names)
    facts = ["task", "family", "track", "ways", "shots", "query", "similarity"]
    kinds = ["", "", "figures", "figures", "figures", "figures", *["figures"] * len(names)]
    lines = []
    for cell, own in zip(cells, figures, strict=True):
        said = [cell[key] for key in facts[:-1]] + [f"{cell['similarity']:.2f}"]
        lines.append(row([*said, *own], kinds))
    for shots, tasks, *own in means:
        lines.append(row([f"mean of {tasks} tasks", "", "", "", shots, "", "", *own], kinds, "whole"))
    head = [*facts, *(tables.short(name, mix) for name in names)]
    note = element("p", "%, ± half the width of a 95 % interval; similarity is that to the nearest training task.")
    return note + table(head, lines, kinds, label="Full table")


def _written(result: Result) -> list[str]:
    """What a score is, all figures of written texts, and the first text of each task."""
    cells, names = result["cells"], tables.columns(result["cells"], result["mix"])
    if not (scores := tables.score_lines(cells)):
        return []
    head, figures = tables.figure_table(cells, names)
    kinds = ["figures", "", *["figures"] * (len(head) - 3)]
    parts = ["<h2>What the score is</h2>", *(element("p", line) for line in scores)]
    parts += ["<h2>Every figure of what was written</h2>", element("p", "%, means over episodes.")]
    parts.append(table(head, [row(line, kinds) for line in figures], kinds, label="Every figure"))
    parts += ["<h2>What was written</h2>", element("p", "The first text of the first episode.")]
    for task, texts in tables.written_lines(cells, names):
        parts.append(element("h3", task))
        lines = [row(list(each), ["written"]) for each in texts]
        parts.append(table(["method", "text"], lines, label=task))
    return parts


# --- both ---------------------------------------------------------------------------------------


def _title(result: Result) -> str:
    backbone = result["backbone"].rstrip("/").rpartition("/")[2]  # of a folder or a Hub id, what it is called
    return f"Few-shot evaluation: {result['suite']}, {backbone}"


def _banner(result: Result) -> str:
    """What must be said before any figure; empty for real data."""
    if result["origin"] == "synthetic":
        return "Synthetic data: every text here was made by a generator. These figures say nothing of real tasks."
    if result["origin"] == "mixed":
        return "Mixed data: some of these tasks were made by a generator. Their figures say nothing of real tasks."
    return ""


def _apart(result: Result) -> list[str]:
    """What was left out because it had been seen, and what could not be looked at."""
    lines = []
    counts = {name: (n["equal"], n["near"]) for name, n in result["rows_left_out"].items()}
    if counts:
        said = "; ".join(
            f"{name}: {equal} equal, {near} nearly" for name, (equal, near) in counts.items() if equal + near
        )
        lines.append(f"Rows left out because training or validation has their text: {said or 'none'}.")
    if cut := result.get("cut"):
        said = "; ".join(
            f"{name}: {rows}" + f", {lost} mentions beyond" * (lost > 0) for name, (rows, lost) in cut.items()
        )
        lines.append(f"Rows cut at the tokens of training, and mentions that begin beyond, in no figure: {said}.")
    if unchecked := result["unchecked"]:
        lines.append(
            f"{len(unchecked)} training tasks are in none of the suites that were given, so no text, source or family "
            f"was compared with theirs: {', '.join(unchecked)}."
        )
    return lines


def _criteria_rows(result: Result) -> list[list[str]]:
    return [
        [
            TITLES[line["criterion"]],
            "all families" if line["scope"] == ALL else line["scope"],
            line["method"],
            figure(line),
            target(line),
            SYMBOLS[line["verdict"]],
            line["note"],
        ]
        for line in result["criteria"]
    ]


def _compared(pair: Mapping[str, Any]) -> str:
    low, high = (tables.points(end) for end in pair["ci95"])
    said = f"{pair['first']} against {pair['second']}: {tables.points(pair['difference'])} [{low}, {high}]"
    return f"{said}, p = {pair['p']:.4f}, {pair['episodes']} episodes"


def _settings(result: Result) -> list[list[str]]:
    """Every setting as dotted name and value, sorted by name after what the result is of."""
    flat: dict[str, str] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping) and value:
            for key in sorted(value, key=str):
                walk(f"{prefix}.{key}" if prefix else str(key), value[key])
        elif isinstance(value, (list, tuple)):
            flat[prefix] = ", ".join(map(str, value)) or "none"
        else:
            flat[prefix] = str(value)

    walk("", result["settings"])
    first = [[key, str(result[key])] for key in ("suite", "origin", "checkpoint", "backbone", "mix")]
    return first + [list(each) for each in flat.items()]


def _tuned(result: Result) -> list[list[str]]:
    """A line a baseline with a hyperparameter."""
    lines = []
    for each in result["tuned"]:
        tried = ", ".join(f"{value:g}: {tables.percent(accuracy)}" for value, accuracy in sorted(each["tried"]))
        lines.append([each["method"], each["parameter"], f"{each['chosen']:g}", tried])
    return lines


def _methods(result: Result) -> list[tuple[str, str]]:
    """What the methods in the tables are, those of them that there are."""
    names = tables.columns(result["cells"], result["mix"])
    shown = {name.removesuffix(tables.NAMES).partition(",")[0] for name in names}
    shown |= {f"…{tables.NAMES}" for name in names if name.endswith(tables.NAMES)}
    known = METHODS | (WRITERS if tables.metric_of(result["cells"]) == tables.SCORE else {})
    return [(name, about) for name, about in known.items() if name in shown]
