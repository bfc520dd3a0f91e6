"""`python -m metapeft.evaluate checkpoint=DIR suite=DIR`: a checkpoint on tasks it never saw."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from metapeft import cli

DESCRIPTION = "A meta-trained checkpoint on tasks it never saw, beside frozen, static and random starts; a report."
EXAMPLES = [
    "python -m metapeft.evaluate checkpoint=runs/train/tour/last suite=runs/suites/quickstart episodes=20",
    "python -m metapeft.evaluate checkpoint=runs/train/NAME/best suite=runs/suites/all test=[topic] shots=[1,5]",
]
AtLeast1 = Annotated[int, Field(ge=1)]


class EvaluateConfig(BaseModel):
    """Options of `metapeft evaluate`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    checkpoint: str = Field(description="folder of a checkpoint that `metapeft train` wrote")
    suite: str = Field(description="folder that `metapeft build` wrote")
    more: list[str] = Field(default=[], description="further suites, where training or validation tasks lie there")
    backbone: str = Field(default="nano", description="the one it was trained for; mlp for points")
    test: list[str] = Field(
        default=[], description="tasks or families to test on; default: all that it was not trained or validated on"
    )
    track: Literal["auto", "episode", "class", "domain", "family"] = Field(
        default="auto",
        description="what the result promises: new episodes of known tasks, new classes of a known source, new sources "
        "of a known family, or a new family; a broken promise is refused. auto: says of each task what holds",
    )
    apart: list[str] = Field(
        default=[],
        description="further tasks that the test must be apart from, as from training: two checkpoints with equal "
        "lists read equal episodes",
    )
    out: str | None = Field(default=None, description="folder of the result; default runs/evaluate/<run>")
    shots: Annotated[list[AtLeast1], Field(min_length=1)] = Field(
        default=[1, 5, 10, 20], description="support examples a class; tagging: mentions a type"
    )
    sentences: list[AtLeast1] = Field(
        default=[], description="tagging: support sets of so many sentences too, with all types of the task"
    )
    ways: int = Field(default=5, ge=2, description="classes of an episode, or all of a task that has fewer")
    query: int = Field(default=5, ge=1, description="query examples a class; twice as many in two-way episodes")
    episodes: int = Field(default=600, ge=2, description="episodes a task and number of shots")
    steps: int = Field(
        default=0, ge=0, le=10, description="gradient steps that auto may take beside none; where texts are written: 5"
    )
    allow_code_execution: bool = Field(
        default=False, description="run the programs and queries that are written, confined (docs/execution.md)"
    )
    samples: int = Field(
        default=0, ge=0, le=100, description="programs drawn for each row of the first episodes, for pass@k; 0: none"
    )
    random_steps: int = Field(default=5, ge=1, le=10, description="Adam steps of the random start")
    control_episodes: int = Field(
        default=100, ge=2, description="episodes of the random start, the shuffled embedding and the baselines, at most"
    )
    baselines: bool = Field(
        default=False,
        description="head only, nearest neighbour, TF-IDF, fine-tuning and the mean adapter too (needs scikit-learn)",
    )
    curve_episodes: int = Field(default=0, ge=0, description="episodes that are read after 0, 1, 2, 3, 5, 10 steps")
    rows: int = Field(default=2000, ge=16, description="rows of each pool that episodes are drawn from")
    prior_episodes: int = Field(
        default=30, ge=1, description="episodes a validation task for the prior of auto, and to tune baselines on"
    )
    folds: int = Field(default=5, ge=2, description="of the cross-validation of auto")
    seed: int = Field(default=0, ge=0, description="of the episodes")
    html: bool = Field(default=True, description="write report.html too (needs matplotlib)")


def evaluate(config: EvaluateConfig) -> int:
    """Run the verb.

    Raises:
        MetapeftError: see the message.
    """
    from metapeft.evaluation.run import Evaluation

    return Evaluation(config).go()


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb."""
    return cli.run(evaluate, EvaluateConfig, argv, prog="metapeft evaluate", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
