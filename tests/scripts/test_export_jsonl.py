"""scripts/export_jsonl.py: what mlx-lm makes of the lines is what is learned here."""

from __future__ import annotations

import json
from pathlib import Path

import export_jsonl
import pytest

from metapeft.errors import SuiteError
from metapeft.tasks.suite import Suite
from tests.evaluation.generation.test_rows import RECIPE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from metapeft import build

    path = tmp_path_factory.mktemp("jsonl")
    (path / "recipe.yaml").write_text(RECIPE)
    assert build.main([f"recipe={path / 'recipe.yaml'}", f"out={path / 'suite'}", "tokenizer=pico"]) == 0
    assert export_jsonl.main([f"suite={path / 'suite'}", f"out={path / 'out'}"]) == 0
    return path


def read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_task_has_three_files_and_no_row_is_lost(folder: Path) -> None:
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["bodies", "short"]
    suite = Suite(folder / "suite")
    for task in ("bodies", "short"):
        train, valid, test = (read(folder / "out" / task / f"{name}.jsonl") for name in ("train", "valid", "test"))
        assert len(train) + len(valid) == len(suite.pool(task, "support"))
        assert len(test) == len(suite.pool(task, "query"))
        assert not {row["prompt"] for row in train} & {row["prompt"] for row in valid}


def test_mlx_lm_reads_the_tokens_that_are_learned_here(folder: Path) -> None:
    from mlx_lm.tuner.datasets import CompletionsDataset
    from mlx_lm.utils import load_tokenizer

    from metapeft.backbones.load import PICO

    suite, tokenizer = Suite(folder / "suite"), load_tokenizer(PICO)
    pool = suite.pool("short", "query")
    rows = read(folder / "out/short/test.jsonl")
    theirs = CompletionsDataset(rows, tokenizer, "prompt", "completion", True)  # type: ignore[arg-type]
    for place, row in enumerate(rows):
        tokens, offset = theirs.process(row)
        prompt, target = pool.x.row(place).tolist(), pool.y.row(place).tolist()  # type: ignore[union-attr]
        assert tokens == [*prompt, *target, tokenizer.eos_token_id]
        assert offset == len(prompt)


def test_what_cannot_be_exported(folder: Path) -> None:
    with pytest.raises(SuiteError, match="'names' is a tagging task"):
        export_jsonl.run(export_jsonl.Config(suite=str(folder / "suite"), tasks=["names"], out=str(folder / "other")))
