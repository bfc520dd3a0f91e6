"""metapeft.atomic: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from metapeft import atomic


def test_a_text_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    atomic.write_text(path, "one\n")
    atomic.write_text(path, "two\n")
    assert path.read_text() == "two\n"
    assert os.listdir(path.parent) == ["file.txt"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    atomic.write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        atomic.write_text(path, "new \ud800")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_folder_appears_when_the_block_ends_well(tmp_path: Path) -> None:
    target = tmp_path / "suite"
    for word in ("one", "two"):
        with atomic.whole_folder(target) as staging:
            (staging / "x").write_text(word)
            assert not target.exists() or (target / "x").read_text() != word
        assert (target / "x").read_text() == word
    assert os.listdir(tmp_path) == ["suite"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_folder_stays_as_it_was_when_the_block_fails(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "suite"
    target.mkdir()
    (target / "x").write_text("old")
    with pytest.raises(error), atomic.whole_folder(target) as staging:
        (staging / "x").write_text("half")
        raise error
    assert (target / "x").read_text() == "old"
    assert os.listdir(tmp_path) == ["suite"]


def test_what_a_killed_process_left_is_cleared_and_a_living_ones_is_not(tmp_path: Path) -> None:
    dead, living = tmp_path / ".suite.partial-4194304", tmp_path / f".suite.partial-{os.getppid()}"
    dead.mkdir()
    living.mkdir()
    with atomic.whole_folder(tmp_path / "suite"):
        pass
    assert not dead.exists()
    assert living.exists()


def test_canonical_json_has_one_form() -> None:
    assert atomic.canonical_json({"b": 1, "a": "ü"}) == '{\n  "a": "ü",\n  "b": 1\n}\n'
