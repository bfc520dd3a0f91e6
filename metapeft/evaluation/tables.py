"""From accuracies of episodes to the rows of a result: means, intervals, paired tests.

A cell is what one task and number of shots gave::

    {"task": str, "family": str, "track": str, "ways": int, "shots": int, "query": int, "similarity": float,
     "asked": int,                                                # shots, of which a small task gives fewer
     "gradient_steps": int,                                       # behind its figures, without cross-validation of auto
     "seconds": float, "peak_memory_bytes": int,                  # wall-clock; the most that MLX held at once
     "metric": "accuracy", "entity F1" or "score",                # accuracy where it is missing
     "primary": {"metric": str, "why": str, …},                   # of a score: which figure of the task it is
     "accuracy": {method: [that figure of each episode, 0 to 1]},   # controls and baselines have the first ones only
     "mentions": {method: [right, found, gold]},                 # tagging: of all episodes together
     "curves": {method: [[accuracy after each of "curve_steps"] of each episode]},   # or {}
     "support_loss": as "curves", "query_loss": as "curves",      # mean cross-entropy, nats
     "curve_steps": [0, 1, 2, 3, 5, 10],                          # where there are curves
     "chosen": {"auto": {candidate: episodes}, "auto + names": {…}}}

Every figure over several cells is a mean of the cells' means: a cell with more episodes does not count for more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from metapeft.embeddings.similarity import rank_correlation
from metapeft.evaluation.intervals import bootstrap_interval, paired_p_value
from metapeft.evaluation.metrics import adaptation_speed, steps_to_share

Cell = dict[str, Any]
STARTS = ("static", "hypernetwork", "shuffled")
TOLD = ", both, detector 0.35"  # of words: with all that the base brings; see `select.candidates_of`
BASELINES = ("head only", "nearest neighbour", "tf-idf", "fine-tune, 10 steps", "fine-tune, 50 steps")
OF_WORDS = ("structured nearest neighbour", "gazetteer")  # baselines where words are tagged
# where texts are written
SEES_TARGETS = ("oracle extract", "gold")  # no methods: they look at what should be written
OF_TEXTS = ("in context", "nearest example", "lead-3", "lead-k", "oracle extract", "copied input", "gold")
# adapters of other checkpoints, which `scripts/benchmark_heldout.py` puts beside
RIVALS = ("multitask", "multitask, auto", "single task", "single task, auto")
NAMES = " + names"  # ends the name of a method for which the classes' names are examples too
FACTS = ("task", "family", "track", "ways", "shots", "query", "similarity")
ACCURACY, F1, SCORE = "accuracy", "entity F1", "score"


def metric_of(cells: Sequence[Cell]) -> str:
    """What the figures of cells are: `ACCURACY`, `F1` or `SCORE`. Cells of one result have one."""
    return cells[0].get("metric", ACCURACY) if cells else ACCURACY


def shots_as_text(cells: Sequence[Cell], shots: int) -> str:
    """What a number of shots counts, such as ``5 examples a class``."""
    if metric_of(cells) == ACCURACY:
        what, of = "example", " a class"
    elif metric_of(cells) == SCORE:
        what, of = "example", ""
    elif any(cell["shots"] == shots and cell.get("by") == "sentences" for cell in cells):
        what, of = "sentence", ""
    else:
        what, of = "mention", " a type"
    return f"{shots} {what}{'' if shots == 1 else 's'}{of}"


MENTIONS = ("task", "shots", "method", "precision", "recall", "F1 of all mentions together", "mentions")


def mention_lines(cells: Iterable[Cell], names: Sequence[str]) -> list[list[str]]:
    """Columns `MENTIONS` as text, in %: a line a tagging cell and method; episodes with many mentions weigh more."""
    lines = []
    for cell in cells:
        for name in names:
            if name in cell.get("mentions", {}):
                right, found, gold = cell["mentions"][name]
                shown = [right / max(found, 1), right / max(gold, 1), 2 * right / max(found + gold, 1)]
                lines.append([cell["task"], str(cell["shots"]), name, *map(percent, shown), f"{gold:,}"])
    return lines


def curve_metric(cells: Sequence[Cell]) -> str:
    """What curves over gradient steps show: texts are not written anew after each."""
    metric = metric_of(cells)
    return "share of target tokens said right" if metric == SCORE else metric


def score_lines(cells: Iterable[Cell]) -> list[str]:
    """What the score of each task is, and why; empty where texts are not written."""
    said = {c["task"]: f"{c['task']}: {c['primary']['metric']}. {c['primary']['why']}" for c in cells if "primary" in c}
    return list(said.values())


def figure_table(cells: Sequence[Cell], names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Every figure of written texts, in %: head, and a line a cell and method; no line where texts are not written."""
    own = [cell for cell in cells if "figures" in cell]
    metrics = list(dict.fromkeys(metric for cell in own for metric in cell["figures"]))
    lines = []
    for cell in own:
        for name in names:
            means = [cell["figures"].get(metric, {}).get(name) for metric in metrics]
            if any(mean is not None for mean in means):
                lines.append(
                    [cell["task"], str(cell["shots"]), name, *("" if m is None else percent(m) for m in means)]
                )
    return ["task", "shots", "method", *metrics], lines


def written_lines(cells: Iterable[Cell], names: Sequence[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The first text that was asked for on each task: the task, and what each method wrote, the target first."""
    found = []
    for cell in cells:
        if "outputs" in cell:
            written = cell["outputs"]["written"]
            said = [("target", cell["outputs"]["targets"][0])]
            said += [(name, written[name][0]) for name in names if name in written and name != "gold"]
            found.append((f"{cell['task']}, {shots_as_text([cell], cell['shots'])}", said))
    return found


def columns(cells: Sequence[Cell], mix: float) -> list[str]:
    """The methods that a table shows: starts at the mix of training, without and with names, then baselines."""
    shown = ["frozen", *(f"{start}, mix {mix:g}{told}" for told in ("", TOLD) for start in STARTS), "random", "auto"]
    shown += sorted({n for c in cells for n in c["accuracy"] if metric_of([c]) == SCORE and " steps, mix" in n})
    shown += [f"{name}{NAMES}" for name in shown if name != "random"]
    shown += [*BASELINES, *OF_WORDS, *OF_TEXTS, f"mean adapter, mix {mix:g}", *RIVALS]
    return [name for name in shown if any(name in cell["accuracy"] for cell in cells)]


def starts_of(cells: Sequence[Cell], mix: float) -> tuple[str, str, str]:
    """The names of base, generated adapter and shuffled one that tell what a hypernetwork does: all else is alike."""
    told = TOLD if any(f"{STARTS[0]}, mix {mix:g}{TOLD}" in cell["accuracy"] for cell in cells) else ""
    static, own, swapped = (f"{start}, mix {mix:g}{told}" for start in STARTS)
    return static, own, swapped


def compared(mix: float) -> list[tuple[str, str]]:
    """Pairs of methods that are tested against each other on the same episodes."""
    pairs = []
    static, own, swapped = (f"{start}, mix {mix:g}{TOLD}" for start in STARTS)
    pairs += [(own, static), (own, swapped), ("auto", static)]
    for names in ("", NAMES):
        static, own, swapped = (f"{start}, mix {mix:g}{names}" for start in STARTS)
        auto, frozen = f"auto{names}", f"frozen{names}"
        pairs += [(static, frozen), (own, frozen), (own, static), (own, swapped), (auto, frozen), (auto, static)]
        pairs += [(auto, "random"), (own, "random")]
    static, own = (f"{start}, mix {mix:g}" for start in STARTS[:2])
    pairs += [(name, rival) for rival in RIVALS for name in (("auto",) if "auto" in rival else (static, own))]
    return [*pairs, (f"auto{NAMES}", "frozen")]


def rows_of(cells: Iterable[Cell], seed: int = 0) -> list[dict[str, Any]]:
    """One row a method, task and number of shots.

    Args:
        cells: see above; each has accuracies of ``frozen``.
        seed: of the resamples and the flips.

    Returns:
        `FACTS` of the cell; ``method``, ``metric``, ``mean``, ``ci95`` (95 % bootstrap interval),
        ``episodes``, ``p_against_frozen`` (paired sign-flip test) and ``chosen`` (None but for auto).

    Raises:
        ValueError: a method has no episode, or more than ``frozen``.
    """
    rows = []
    for cell in cells:
        frozen = np.array(cell["accuracy"]["frozen"])
        for name, given in cell["accuracy"].items():
            values = np.array(given)
            low, high = bootstrap_interval(values, np.random.default_rng(seed))
            rows.append(
                {key: cell[key] for key in FACTS}
                | {
                    "method": name,
                    "metric": metric_of([cell]),
                    "mean": float(np.mean(values)),
                    "ci95": [float(low), float(high)],
                    "episodes": len(values),
                    "p_against_frozen": paired_p_value(values, frozen[: len(values)], np.random.default_rng(seed)),
                    "chosen": cell["chosen"].get(name),
                }
            )
    return rows


def mean_of(
    samples: Sequence[np.ndarray], seed: int = 0, shares: Sequence[float] | None = None
) -> tuple[float, float, float]:
    """Mean of the samples' means, with a 95 % bootstrap interval: resampled within each sample.

    The interval is that of these tasks, not of tasks in general: it does not say how another task would do.

    Args:
        samples: a figure an episode, ``(n_i,)`` each.
        seed: of the resamples.
        shares: how much of the mean each sample is, together 1; None: all alike.

    Returns:
        Mean, lower and upper end.

    Raises:
        ValueError: there is no sample, or one is empty.
    """
    if not samples or not all(map(len, samples)):
        raise ValueError("a mean needs samples, and each an episode")
    means = [np.mean(sample) for sample in samples]
    centre = float(np.mean(means) if shares is None else np.dot(shares, means))
    # Deviations from each sample's own mean, weighted so that their mean varies as the mean of means does.
    weighted = _weighted([sample - mean for sample, mean in zip(samples, means, strict=True)], shares)
    low, high = bootstrap_interval(weighted, np.random.default_rng(seed))
    return centre, centre + float(low), centre + float(high)


def paired(
    cells: Iterable[Cell], first: str, second: str, seed: int = 0, *, families_alike: bool = False
) -> dict[str, Any] | None:
    """How much better one method is than another on the same episodes.

    Where a method has fewer episodes in a cell, only these count.

    Args:
        cells: of any tasks.
        first: a method.
        second: another.
        seed: of the resamples and the flips.
        families_alike: families weigh alike, and the cells of each within it; else all cells weigh alike.

    Returns:
        ``first``, ``second``, ``cells``, ``episodes``, ``difference`` (of accuracies, mean over cells), ``ci95`` and
        ``p`` (sign-flip); None where no cell has both.
    """
    samples, families = [], []
    for cell in cells:
        values = [np.array(cell["accuracy"].get(name, [])) for name in (first, second)]
        episodes = min(map(len, values))
        if episodes:
            samples.append(values[0][:episodes] - values[1][:episodes])
            families.append(cell["family"])
    if not samples:
        return None
    counts = Counter(families)
    shares = [1 / len(counts) / counts[family] for family in families] if families_alike else None
    difference, low, high = mean_of(samples, seed, shares)
    weighted = _weighted(samples, shares)
    return {
        "first": first,
        "second": second,
        "cells": len(samples),
        "episodes": len(weighted),
        "difference": difference,
        "ci95": [low, high],
        "p": paired_p_value(weighted, np.zeros_like(weighted), np.random.default_rng(seed)),
    }


def _weighted(samples: Sequence[np.ndarray], shares: Sequence[float] | None) -> np.ndarray:
    """All episodes end to end, weighted so that their mean is the mean of the samples' means (see `mean_of`)."""
    total = sum(map(len, samples))
    shares = [1 / len(samples)] * len(samples) if shares is None else shares
    return np.concatenate([total * share / len(own) * own for share, own in zip(shares, samples, strict=True)])


def by_family(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """Cells of each family, families in the order in which they come."""
    out: dict[str, list[Cell]] = {}
    for cell in cells:
        out.setdefault(cell["family"], []).append(cell)
    return out


def shares(cells: Iterable[Cell], name: str) -> dict[str, float]:
    """Share of episodes in which auto chose each candidate, the most frequent first; empty where auto was not run.

    Args:
        cells: see above.
        name: ``auto`` or ``auto + names``.
    """
    counts = sum((Counter(cell["chosen"].get(name, {})) for cell in cells), Counter())
    return {chosen: count / counts.total() for chosen, count in counts.most_common()}


def accuracy_table(
    cells: Sequence[Cell], rows: Iterable[dict[str, Any]], names: Sequence[str]
) -> tuple[list[list[str]], list[list[str]]]:
    """Figures as text, in %: a line a cell, a column a method.

    Args:
        cells: the lines.
        rows: what `rows_of` says of them.
        names: the methods.

    Returns:
        ``mean ± half the width of the interval`` of each cell and method, "" where there is no figure; and for each
        number of shots, in the order in which they come, the shots, the number of tasks and the mean of each method.
        Means in one line are of the same tasks: a method without a figure for one of them has "", and a second line
        has the means of the tasks for which every method has one, if there are any.
    """
    known = {(row["task"], row["shots"], row["method"]): row for row in rows}
    lines = []
    for cell in cells:
        found = [known.get((cell["task"], cell["shots"], name)) for name in names]
        lines.append([f"{percent(row['mean'])} ± {_half(row['ci95'])}" if row else "" for row in found])
    means = []
    for shots in dict.fromkeys(cell["shots"] for cell in cells):
        own = [cell["task"] for cell in cells if cell["shots"] == shots]
        whole = [task for task in own if all((task, shots, name) in known for name in names)]
        for tasks in (own,) if whole in ([], own) else (own, whole):
            figures = [[known[t, shots, name]["mean"] for t in tasks if (t, shots, name) in known] for name in names]
            shown = [percent(float(np.mean(f))) if len(f) == len(tasks) else "" for f in figures]
            means.append([str(shots), str(len(tasks)), *shown])
    return lines, means


FAMILY_PAIRS = (("auto", "frozen"), ("auto", "random"), (f"auto{NAMES}", f"frozen{NAMES}"), (f"auto{NAMES}", "frozen"))


def family_table(
    cells: Sequence[Cell], names: Sequence[str], seed: int = 0
) -> tuple[list[str], list[list[str]], list[list[str]]]:
    """Families side by side, figures as text, in %.

    Args:
        cells: of all of them.
        names: the methods.
        seed: of the resamples.

    Returns:
        The head; a line a family and number of shots that was asked for: means over its tasks, "" for a method that
        not all of them have, and `FAMILY_PAIRS` in points with their intervals; and a line a number of shots with the
        mean of the families, in which these weigh alike. No lines where there is one family.
    """
    pairs = [pair for pair in FAMILY_PAIRS if any(pair[0] in cell["accuracy"] for cell in cells)]
    head = ["family", "tasks", "shots", *names, *(f"{first} − {second}" for first, second in pairs)]
    lines: list[list[str]] = []
    means: list[list[str]] = []
    if len(by_family(cells)) < 2:
        return head, lines, means
    asked = [cell.get("asked", cell["shots"]) for cell in cells]  # results of before 27 November 2026 have none
    for shots in dict.fromkeys(asked):
        own = [cell for cell, count in zip(cells, asked, strict=True) if count == shots]
        figures = []
        for family, part in by_family(own).items():
            have = [[cell["accuracy"][name] for cell in part if name in cell["accuracy"]] for name in names]
            figures.append([np.mean([np.mean(f) for f in each]) if len(each) == len(part) else None for each in have])
            said = ["" if value is None else percent(value) for value in figures[-1]]
            lines.append(
                [family, str(len(part)), str(shots), *said, *differences(part, pairs, seed, families_alike=True)]
            )
        whole = ["" if None in each else percent(np.mean(each)) for each in zip(*figures, strict=True)]
        count = f"mean of {len(figures)} families"
        means.append([count, str(len(own)), str(shots), *whole, *differences(own, pairs, seed, families_alike=True)])
    return head, lines, means


def differences(
    cells: Sequence[Cell], pairs: Sequence[tuple[str, str]], seed: int = 0, *, families_alike: bool = False
) -> list[str]:
    """Paired differences as text, in points with their intervals; "" where no cell has both. See `paired`."""
    found = [paired(cells, *pair, seed, families_alike=families_alike) for pair in pairs]
    return [f"{points(f['difference'])} [{points(f['ci95'][0])}, {points(f['ci95'][1])}]" if f else "" for f in found]


_LOSSES = ("support loss, start", "support loss, end", "query loss, start", "query loss, end")
ADAPTATION = ("family", "method", "start, %", "end, %", "steps to 95 %", "speed", *_LOSSES)
ADAPTATION_ABOUT = (
    "From the first step that was read to the last, mean of a family's tasks and shots. Steps until a mean curve has "
    "95 % of its final accuracy; speed is the mean over the steps of the share of the final gain that is there (1: at "
    "once; 0.5: a straight line); none where the curve does not rise. Losses are mean cross-entropies in nats."
)
COST = ("task", "shots", "gradient steps", "seconds", "peak memory, MiB")
COST_ABOUT = (
    "Gradient steps of all methods, curves and controls together, without those of auto's cross-validation. Wall-clock "
    "seconds. Memory is the most that MLX held at once; arrays of NumPy are not in it."
)


def similarity_and_gain(cells: Sequence[Cell], mix: float) -> dict[str, Any] | None:
    """Whether tasks more like training tasks gain more from the generated adapter: rank correlation over cells.

    Returns:
        ``correlation`` (Spearman), ``p`` and ``cells``; None without a hypernetwork, with fewer than five cells, or
        where all are equally like the training tasks or gain alike.
    """
    _, name, _ = starts_of(cells, mix)
    own = [cell for cell in cells if name in cell["accuracy"]]
    if len(own) < 5:
        return None
    gains = [np.mean(cell["accuracy"][name]) - np.mean(cell["accuracy"]["frozen"]) for cell in own]
    similarity = [cell["similarity"] for cell in own]
    if len(set(similarity)) < 2 or len(set(gains)) < 2:
        return None
    found = rank_correlation(np.array(similarity), np.array(gains), np.random.default_rng(0))
    return {"correlation": found[0], "p": found[1], "cells": len(own)}


def transfer_said(found: Mapping[str, Any]) -> str:
    """A sentence on `similarity_and_gain`."""
    return (
        "Likeness to the nearest training task and gain of the generated adapter over the frozen prototype: rank "
        f"correlation {found['correlation']:+.2f} over {found['cells']} cells, p = {found['p']:.4f}."
    )


def adaptation(cells: Iterable[Cell]) -> list[list[str]]:
    """Columns `ADAPTATION` as text: a line a family and method of which curves were read; see `ADAPTATION_ABOUT`."""
    lines = []
    for family, own in by_family(cells).items():
        for name in dict.fromkeys(name for cell in own for name in cell["curves"]):
            steps, means = _mean_curve(own, "curves", name)
            speed = f"{adaptation_speed(steps, means):.2f}" if means[-1] > means[0] else "none"
            losses = [_mean_curve(own, key, name)[1] for key in ("support_loss", "query_loss")]
            ends = [f"{values[place]:.3f}" for values in losses for place in (0, -1)]
            early = [percent(means[0]), percent(means[-1]), str(steps_to_share(steps, means)), speed]
            lines.append([family, name, *early, *ends])
    return lines


def _mean_curve(cells: Iterable[Cell], key: str, name: str) -> tuple[list[int], list[float]]:
    """Steps, and after each the mean of the means of those cells that were read there."""
    values: dict[int, list[float]] = {}
    for cell in cells:
        if name in cell[key]:
            for step, mean in zip(cell["curve_steps"], np.mean(cell[key][name], axis=0).tolist(), strict=True):
                values.setdefault(step, []).append(mean)
    steps = sorted(values)
    return steps, [float(np.mean(values[step])) for step in steps]


def cost(cells: Iterable[Cell]) -> list[list[str]]:
    """Columns `COST` as text: a line a cell; see `COST_ABOUT`."""
    return [
        [
            cell["task"],
            str(cell["shots"]),
            f"{cell['gradient_steps']:,}",
            f"{cell['seconds']:.1f}",
            f"{cell['peak_memory_bytes'] / 2**20:.1f}",
        ]
        for cell in cells
    ]


CLUSTERING = ["episodes of", "purity", "shuffled", "p", "silhouette", "shuffled", "p", "episodes"]


def clustering(found: Mapping[str, Any]) -> list[list[str]]:
    """Lines under `CLUSTERING`, of a `task_map`."""
    names = ("purity", "shuffled_purity", "p_purity", "silhouette", "shuffled_silhouette", "p_silhouette")
    return [
        [line["scope"], *(f"{line[name]:.2f}".replace("-", "−") for name in names), str(line["episodes"])]
        for line in found["clustering"]
    ]


def short(text: str, mix: float) -> str:
    """Names of methods without the mix, where all are of one."""
    return text.replace(f", mix {mix:g}", "")


def capital(text: str) -> str:
    """With a capital letter in front; the others stay as they are."""
    return text[:1].upper() + text[1:]


def percent(value: float) -> str:
    """0.8312 is ``83.1``."""
    return f"{100 * value:.1f}"


def points(value: float) -> str:
    """A difference of accuracies: 0.0312 is ``+3.1``."""
    return f"{100 * value:+.1f}".replace("-", "−")


def _half(interval: Sequence[float]) -> str:
    return f"{50 * (interval[1] - interval[0]):.1f}"
