"""The pages of docs/ are true: their Python runs, the example of a recipe builds as shown, mistakes are answered so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from metapeft import build

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "recipes.md").read_text(encoding="utf-8")
USAGE = (DOCS / "usage.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"\n\n```\n(.*?)```", PAGE, re.DOTALL)
MISTAKES = {
    "label 'spam'": ("    drop_labels: [spam]\n", ""),
    "min_char:": ("min_chars", "min_char"),
    "no column 'subjekt'": ("text: subject,", "text: subjekt,"),
    "3 ways x 5 shots": ("", ""),
}


@pytest.fixture
def example(in_tmp: Path) -> Path:
    files = re.findall(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    assert [name for name, _ in files] == ["tickets/train.csv", "tickets/test.csv", "mine.yaml"]
    (in_tmp / "tickets").mkdir()
    for name, text in files:
        (in_tmp / name).write_text(text, encoding="utf-8")
    return in_tmp


@pytest.mark.usefixtures("example")
def test_the_example_builds_as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    command, *lines = next(text for text in SHOWN if "tasks=[tickets]" in text).splitlines()
    assert build.main(shlex.split(command)[4:]) == 0
    streams = capsys.readouterr()
    said = (streams.err + streams.out).splitlines()
    untimed = [[line for line in each if not line.startswith("took")] for each in (said, lines)]
    assert untimed[0] == untimed[1]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_answered_as_shown(example: Path, mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    right, wrong = MISTAKES[mistake]
    recipe = (example / "mine.yaml").read_text(encoding="utf-8")
    assert right in recipe
    (example / "mine.yaml").write_text(recipe.replace(right, wrong), encoding="utf-8")
    more = [] if right else ["episodes.shots=5"]
    order = ["recipe=mine.yaml", "files.tickets=tickets", "tasks=[tickets]", "quiet=true", *more]
    assert build.main(order) == 2
    assert capsys.readouterr().err == next(text for text in SHOWN if text.startswith("error") and mistake in text)


@pytest.mark.usefixtures("in_tmp", "hub")
def test_the_python_blocks_run() -> None:
    assert build.main(["recipe=sentiment", "data=synthetic", "quiet=true"]) == 0
    blocks = re.findall(r"```python\n(.*?)```", USAGE, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        scope: dict[str, object] = {}
        exec(block, scope)
        assert len(scope["query_x"]) == len(scope["query_y"]) == 50  # type: ignore[arg-type]
