"""Cells whose means are known."""

from __future__ import annotations

from typing import Any

import numpy as np


def accuracies(mean: float, episodes: int = 40) -> list[float]:
    """Accuracies with this mean, up to rounding, over any multiple of ten episodes.

    All have the same ups and downs: the difference of two methods is the same in every episode.
    """
    return (mean + 0.05 * np.sin(np.arange(episodes) * 2 * np.pi / 10)).tolist()


def cell(
    task: str, family: str, shots: int, means: dict[str, float], episodes: int = 40, **other: Any
) -> dict[str, Any]:
    """A cell; the method named ``random`` has the first half of the episodes."""
    counts = {name: episodes // 2 if name == "random" else episodes for name in means}
    return {
        "task": task,
        "family": family,
        "track": "domain",
        "ways": 3,
        "shots": shots,
        "asked": shots,
        "query": 15,
        "similarity": 0.5,
        "gradient_steps": 1200,
        "seconds": 1.5,
        "peak_memory_bytes": 3 * 2**20,
        "accuracy": {name: accuracies(mean, counts[name]) for name, mean in means.items()},
        "curves": {},
        "support_loss": {},
        "query_loss": {},
        "chosen": {"auto": {"frozen": episodes // 4, "static, mix 0.5": episodes - episodes // 4}},
    } | other


def result_of_one_cell(seed: int, frozen: list[float], random: list[float]) -> dict[str, Any]:
    cell = {
        "episodes_sha256": f"of seed {seed}",
        "task": "t",
        "family": "f",
        "track": "domain",
        "ways": 2,
        "shots": 1,
        "asked": 1,
        "query": 4,
        "similarity": 0.5,
        "gradient_steps": 10 + seed,
        "seconds": 1.0,
        "peak_memory_bytes": 100 - seed,
        "accuracy": {"frozen": frozen, "auto": [value + 0.1 for value in frozen], "random": random},
        "macro_f1": {"frozen": frozen},
        "curves": {},
        "support_loss": {},
        "query_loss": {},
        "curve_steps": [0],
        "chosen": {"auto": {"frozen": len(frozen)}},
    }
    return {
        "cells": [cell],
        "settings": {"seed": seed},
        "mix": 1.0,
        "suite": "s",
        "origin": "hub",
        "rows_left_out": {"t": {"equal": seed, "near": 0}},
        "unchecked": [],
    }
