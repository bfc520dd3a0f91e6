"""Tasks that write, as mlx-lm's JSONL: what `mlx_lm.lora` trains on as it is.

    python scripts/export_jsonl.py suite=runs/suites/code 'tasks=[conala]' out=runs/jsonl
    mlx_lm.lora --model FOLDER --train --data runs/jsonl/conala --mask-prompt

A folder a task with `train.jsonl`, `valid.jsonl` (a tenth of the support pool, by a hash of the prompt), `test.jsonl`
(the query pool): objects with `prompt` and `completion`, in the order of the suite. mlx-lm puts both into the model's
chat template; without one it wants another format.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, cli
from metapeft.errors import SuiteError
from metapeft.evaluation.generation.rows import Reference, references
from metapeft.sources.examples import text_hash
from metapeft.tasks.suite import Suite

DESCRIPTION = "Tasks that write, as JSONL for mlx_lm.lora."
EXAMPLES = ["python scripts/export_jsonl.py suite=runs/suites/code tasks=[conala] out=runs/jsonl"]


class Config(BaseModel):
    """What the script takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    suite: str = Field(description="folder that `metapeft build` wrote")
    tasks: list[str] = Field(default=[], description="ids; default: all of kind generation")
    out: str = Field(description="folder to write to")


def run(config: Config) -> int:
    """Run the script.

    Raises:
        SuiteError: no suite, no such task, one of another kind, or none of kind generation.
    """
    suite = Suite(config.suite)
    tasks = config.tasks or [task.id for task in suite.tasks if task.kind == "generation"]
    if not tasks:
        raise SuiteError(f"{suite.path}: has no task of kind generation")
    for task in tasks:
        support, query = (references(suite, task, side) for side in ("support", "query"))
        valid = [text_hash(row.prompt, "valid") % 10 == 0 for row in support]
        parts = {
            "train": [row for row, held in zip(support, valid, strict=True) if not held],
            "valid": [row for row, held in zip(support, valid, strict=True) if held],
            "test": query,
        }
        for name, rows in parts.items():
            atomic.write_text(Path(config.out) / task / f"{name}.jsonl", lines(rows))
        print(f"{task}: " + ", ".join(f"{name} {len(rows):,}" for name, rows in parts.items()))
    return 0


def lines(rows: list[Reference]) -> str:
    """One JSON object a row."""
    return "".join(f"{json.dumps({'prompt': row.prompt, 'completion': row.target})}\n" for row in rows)


def main(argv: list[str] | None = None) -> int:
    """Entry point of the script."""
    return cli.run(run, Config, argv, prog="export_jsonl", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
