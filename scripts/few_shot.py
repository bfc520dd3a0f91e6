"""One task, one table: a checkpoint beside every baseline, at few examples a class.

    python scripts/few_shot.py suite=runs/suites/all task=trec checkpoint=runs/train/NAME/best shots=[1,5,10]

What the columns are: `metapeft.evaluation.bench` and `.baselines`. The reports of `metapeft.evaluate` go to
`runs/few_shot/TASK`. It needs scikit-learn: `pip install "metapeft[eval]"`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from metapeft import cli
from metapeft.evaluate import EvaluateConfig, evaluate
from metapeft.evaluation.report import accuracy_lines

DESCRIPTION = "One task, one table: a checkpoint beside every baseline."
EXAMPLES = ["python scripts/few_shot.py suite=runs/suites/all task=trec checkpoint=runs/train/NAME/best shots=[1,5,10]"]


class Config(BaseModel):
    """What the script takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    suite: str = Field(description="folder that `metapeft build` wrote")
    task: str = Field(description="the task to test on")
    checkpoint: str = Field(description="folder of a checkpoint that was not trained on it")
    more: list[str] = Field(default=[], description="further suites, where its validation tasks lie there")
    backbone: str = Field(default="nano", description="the one it was trained for; mlp for points")
    shots: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = Field(
        default=[1, 5, 10], description="support examples a class"
    )
    episodes: int = Field(default=100, ge=2, description="episodes a number of shots, for every method")
    prior_episodes: int = Field(default=30, ge=1, description="episodes a validation task for the prior of auto")


def run(config: Config) -> int:
    """Run the script."""
    out = Path("runs/few_shot") / config.task
    given = config.model_dump(exclude={"task"})
    evaluate(
        EvaluateConfig(
            **given, test=[config.task], control_episodes=config.episodes, baselines=True, html=False, out=str(out)
        )
    )
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    print("\n" + "\n".join(accuracy_lines(result["cells"], result["rows"], result["mix"])))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point of the script."""
    return cli.run(run, Config, argv, prog="few_shot", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
