"""scripts/ner_transfer.py: types that two tasks share, and support sets from files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import ner_transfer
import numpy as np
import pytest

from metapeft.tasks import Pool, Task
from metapeft.tasks.pool import IGNORE
from tests.tasks.made_tasks import config, ragged

SUITE = SimpleNamespace(manifest={"tokenizer": {"name": "default"}})


def task(name: str, labels: list[str], tags: list[list[int]]) -> Task:
    x = [[1, *range(10, 10 + len(own)), 2] for own in tags]
    pool = Pool("tagging", ragged(x), ragged([[IGNORE, *own, IGNORE] for own in tags]))
    return Task(config(name, len(labels)), support=pool, query=pool, labels=labels)


NEWS = task("news", ["person", "place", "game"], [[1, 2, 0, 3], [5, 6]])
TWEETS = task("tweets", ["place", "song", "person"], [[5, 0, 1], [3, 4, 0]])


def test_shared_types_have_one_number_and_others_are_outside() -> None:
    both = ner_transfer.shifted(NEWS, TWEETS)
    assert both.labels == ["person", "place"]
    assert both.config.task_id == "news->tweets"
    assert [both.support.y.row(i)[1:-1].tolist() for i in range(2)] == [[1, 2, 0, 3], [0, 0]]
    assert [both.query.y.row(i)[1:-1].tolist() for i in range(2)] == [[1, 0, 3], [0, 0, 0]]
    assert not both.one_pool


def test_tasks_without_a_type_in_common_are_refused() -> None:
    with pytest.raises(ner_transfer.MetapeftError, match="no type in common"):
        ner_transfer.shifted(NEWS, task("films", ["actor"], [[1]]))


def test_a_file_is_the_support_pool(tmp_path: Path) -> None:
    path = tmp_path / "0.txt"
    path.write_text("ann B-person\nsings O\n\nin O\nrome B-place\n\n")
    made = ner_transfer.from_file(str(path), TWEETS, SUITE)
    assert len(made.support) == 2
    tags = [made.support.y.row(i) for i in range(2)]
    assert [own[own != IGNORE].tolist() for own in tags] == [[5, 0], [0, 1]]
    assert np.array_equal(made.query.y.values, TWEETS.query.y.values)
    path.write_text("ann B-singer\n")
    with pytest.raises(ner_transfer.MetapeftError, match="type 'singer' is none of place, song, person"):
        ner_transfer.from_file(str(path), TWEETS, SUITE)


def test_either_files_or_a_task() -> None:
    given = ner_transfer.Config(checkpoint="c", suite="s", task="t")
    with pytest.raises(ner_transfer.MetapeftError, match="give either"):
        ner_transfer.run(given)
