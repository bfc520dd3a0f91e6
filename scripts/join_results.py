"""Results of `metapeft.evaluate` as one report: the folds of a data set, or families that were held out one at a time.

    python scripts/join_results.py 'results=[runs/eval/banking-1,runs/eval/banking-2]' out=runs/eval/banking

Episodes of the same task and number of shots are put side by side; means over tasks are means over folds or families.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from metapeft import cli
from metapeft.errors import MetapeftError
from metapeft.evaluation.join import together
from metapeft.evaluation.report import accuracy_lines
from metapeft.evaluation.run import write

DESCRIPTION = "Results of metapeft.evaluate as one report."
EXAMPLES = ["python scripts/join_results.py results=[runs/eval/banking-1,runs/eval/banking-2] out=runs/eval/banking"]


class Config(BaseModel):
    """What the script takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    results: Annotated[list[str], Field(min_length=2)] = Field(description="folders that evaluate wrote")
    out: str = Field(description="folder to write to")


def run(config: Config) -> int:
    """Run the script.

    Raises:
        MetapeftError: a folder has no result, or the results are not of one method.
    """
    found = []
    for folder in config.results:
        path = Path(folder) / "result.json"
        if not path.exists():
            raise MetapeftError(f"{folder}: has no result.json; is it a folder that metapeft.evaluate wrote?")
        found.append(json.loads(path.read_text(encoding="utf-8")))
    kinds = {(result["backbone"], result["method"], result["mix"]) for result in found}
    if len(kinds) > 1:
        raise MetapeftError(
            "results of different kinds: " + ", ".join(f"{b} {m}, mix {x:g}" for b, m, x in sorted(kinds))
        )
    result = together(found)
    print("\n".join(accuracy_lines(result["cells"], result["rows"], result["mix"])))
    print("report      " + ", ".join(map(str, write(Path(config.out), result, html=True))))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point of the script."""
    return cli.run(run, Config, argv, prog="join_results", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
