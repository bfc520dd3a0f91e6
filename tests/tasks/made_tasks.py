"""Small tasks in memory, for tests of tasks and of episodes."""

from __future__ import annotations

import numpy as np

from metapeft.tasks import IGNORE, Pool, Ragged, Task, TaskConfig


def ragged(rows: list[list[int]]) -> Ragged:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return Ragged(np.array([token for row in rows for token in row], np.int32), offsets.astype(np.int32))


def config(task_id: str, classes: int = 2, input_dim: int = 0, family: str = "toy", **other) -> TaskConfig:
    return TaskConfig(**{
        "task_id": task_id, "task_family": family, "num_classes": classes, "input_dim": input_dim,
        "support_size": 1, "query_size": 1, "domain": "toys", "difficulty": 0.5, **other,
    })  # fmt: skip


def tokens_of(label: int, row: int, side: int) -> list[int]:
    """Text of a row: it says its label, row and side, and rows differ in length."""
    return [1, 10 + label, 100 + row, 5 + side] + [7] * (row % 29)


def text_pool(sizes: list[int], side: int = 0) -> Pool:
    """`sizes[c]` rows of class c, classes in turn."""
    labels = np.array([label for label, size in enumerate(sizes) for _ in range(size)], np.int32)
    labels = labels[np.argsort(np.arange(len(labels)) * 7919 % max(len(labels), 1), kind="stable")]
    return Pool("classification", ragged([tokens_of(int(y), i, side) for i, y in enumerate(labels)]), labels)


def text_task(task_id: str = "text", support=(8, 9, 10), query="six", pad_id: int = 0, labels=None, **other) -> Task:
    """`query`: rows of each class of the query pool; None for one pool; six of each unless said."""
    query = [6] * len(support) if query == "six" else query
    return Task(
        config(task_id, len(support), **other),
        support=text_pool(list(support), 0),
        query=None if query is None else text_pool(list(query), 1),
        labels=labels,
        pad_id=pad_id,
    )


def tagging_pool(rows: int) -> Pool:
    x = [[1, 50 + i, 60 + i, 2] + [3] * (i % 5) for i in range(rows)]
    y = [[IGNORE, i % 3, 0, IGNORE] + [1] * (i % 5) for i in range(rows)]
    return Pool("tagging", ragged(x), ragged(y))


def generation_pool(rows: int) -> Pool:
    return Pool("generation", ragged([[1, i] for i in range(rows)]), ragged([[i] * (i % 40 + 1) for i in range(rows)]))


def tagging_task(task_id: str = "tags", support: int = 12, query: int = 20) -> Task:
    return Task(config(task_id, 3), support=tagging_pool(support), query=tagging_pool(query))


def generation_task(task_id: str = "told", support: int = 12, query: int | None = 20) -> Task:
    pool = None if query is None else generation_pool(query)
    return Task(config(task_id, 1), support=generation_pool(support), query=pool)


def chi_square_ok(counts: np.ndarray) -> bool:
    """Whether counts of equally likely cells pass at p = 0.001 (quantile of Wilson and Hilferty, 1931)."""
    counts = np.asarray(counts, float).ravel()
    expected, freedom = counts.mean(), counts.size - 1
    assert expected >= 20, "too few draws for the test to mean anything"
    limit = freedom * (1 - 2 / (9 * freedom) + 3.09 * np.sqrt(2 / (9 * freedom))) ** 3
    return bool(((counts - expected) ** 2 / expected).sum() < limit)
