"""What people said of outputs side by side: who was preferred, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from metapeft.errors import MetapeftError
from metapeft.evaluation.intervals import bootstrap_interval

CHOICES = {"a": 1.0, "tie": 0.0, "b": -1.0}  # how far A is preferred


def summarize(files: Iterable[Mapping[str, Any]], key: Mapping[str, Any], seed: int = 0) -> list[dict[str, Any]]:
    """Who was preferred, by pair of methods.

    The unit is an item, so a row of the data: several raters of one are averaged first, and who is preferred on
    average wins it. Items that nobody rated are left out; equal outputs are ties.

    Args:
        files: what the page saved, one or more raters.
        key: see `side_by_side.side_by_side`.
        seed: of the bootstrap.

    Returns:
        A line a pair in the order of names: ``first``, ``second``; ``wins``, ``ties`` and ``losses`` of the first in
        items, ``equal`` of the ties being of equal outputs; ``unrated`` items; ``preference``: the mean over items, 1
        where the first was always preferred, −1 where the second was, and ``ci95``, its bootstrap interval; ``p``:
        two-sided sign test of wins against losses. The last three are None where nothing was rated.

    Raises:
        MetapeftError: a file is of another page, or says what the page never does.
    """
    given: dict[str, list[float]] = {}
    for file in files:
        if file.get("study") != key["study"] or not isinstance(file.get("ratings"), Mapping):
            raise MetapeftError(f"these are ratings of page {file.get('study')}, the key is of page {key['study']}")
        for name, choice in file["ratings"].items():
            if choice not in CHOICES or key["items"].get(name, {"equal": True})["equal"]:
                raise MetapeftError(
                    f"the ratings of page {key['study']} say {choice!r} of {name!r}, which it never asked"
                )
            given.setdefault(name, []).append(CHOICES[choice])
    pairs: dict[tuple[str, str], list[tuple[str, Mapping[str, Any]]]] = {}
    for name, item in key["items"].items():
        first, second = sorted((item["a"], item["b"]))
        pairs.setdefault((first, second), []).append((name, item))
    lines = []
    for (first, second), items in sorted(pairs.items()):
        values = np.array(
            [
                0.0 if item["equal"] else float(np.mean(given[name])) * (1 if item["a"] == first else -1)
                for name, item in items
                if item["equal"] or name in given
            ]
        )
        wins, losses = int((values > 0).sum()), int((values < 0).sum())
        interval = bootstrap_interval(values, np.random.default_rng(seed)).tolist() if len(values) else None
        lines.append(
            {
                "first": first,
                "second": second,
                "wins": wins,
                "ties": len(values) - wins - losses,
                "losses": losses,
                "equal": sum(item["equal"] for _, item in items),
                "unrated": len(items) - len(values),
                "preference": float(values.mean()) if len(values) else None,
                "ci95": interval,
                "p": sign_test(wins, losses) if len(values) else None,
            }
        )
    return lines


def sign_test(wins: int, losses: int) -> float:
    """Two-sided p-value of a count so uneven or more, if wins and losses were as likely; ties are left out.

    Returns:
        At most 1; 1 without wins and losses.

    References:
        Arbuthnot (1710); Dixon & Mood, "The statistical sign test" (1946).
    """
    count = wins + losses
    tail = sum(math.comb(count, each) for each in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / 2**count)
