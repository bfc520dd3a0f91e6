"""`python -m metapeft.train suite=DIR`: meta-train an initialization on the tasks of a suite."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, cli

if TYPE_CHECKING:
    from metapeft.backbones.backbone import Backbone
    from metapeft.meta.run import Run
    from metapeft.tasks.task import Task

DESCRIPTION = "Meta-train where adapters start: a hypernetwork, or one of its rivals, on the tasks of a suite."
EXAMPLES = [
    "python -m metapeft.train suite=runs/suites/quickstart",
    "python -m metapeft.train suite=runs/suites/all exclude=[topic] validation=[emotion] steps=1000",
    "python -m metapeft.train suite=runs/suites/intent method=protonet backbone=sentence-transformers/all-MiniLM-L6-v2",
    "mlx.launch -n 2 --backend ring -- python -m metapeft.train suite=runs/suites/quickstart",
]
AtLeast1 = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]


class LoraOptions(BaseModel):
    """Which maps are adapted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rank: int = Field(default=8, ge=1, description="of the adapters")
    scale: float = Field(default=2.0, description="multiplies what an adapter adds")
    num_layers: int = Field(default=2, ge=1, description="how many of the last blocks carry an adapter")
    keys: list[str] | None = Field(default=None, description="maps of a block; default: query and value")


class HypernetworkOptions(BaseModel):
    """What the hypernetwork generates, and from what."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    term: Literal["diag", "square", "full"] = Field(default="full", description="form of the generated term")
    width: int = Field(default=64, ge=1, description="of its code")
    weight: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="of the generated term once training has ended; default: 1, tagging: 0.5",
    )
    task_rates: bool = Field(default=False, description="let learning rates depend on the task")
    blocks: list[str] = Field(
        default=["handcrafted", "prototypes", "task2vec", "mentions"],
        min_length=1,
        description="what the task embedding is made of",
    )
    dims: int = Field(default=128, ge=8, le=256, description="of the task embedding")
    episodes: int = Field(default=200, ge=8, description="episodes that the embedding is fitted on")


class TrainConfig(BaseModel):
    """Options of `metapeft train`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    suite: str = Field(description="folder that `metapeft build` wrote")
    method: str = Field(
        default="hypernetwork", description="hypernetwork, maml, meta_sgd, anil, reptile, protonet or multitask"
    )
    backbone: str = Field(default="nano", description="nano, a folder or a Hub id; mlp trains on points")
    out: str | None = Field(
        default=None, description="folder of the run; default runs/train/<suite>-<method>-<backbone>"
    )
    more: list[str] = Field(default=[], description="further suites whose tasks are there too, of the same tokenizer")
    training: list[str] = Field(default=[], description="tasks or families to train on; default: all that are left")
    exclude: list[str] = Field(default=[], description="tasks or families to keep out: what you will test on")
    validation: list[str] = Field(
        default=[], description="tasks or families to validate on; default: about a fifth of the tasks"
    )
    steps: int = Field(default=60, ge=1, description="outer steps")
    batch: int = Field(default=4, ge=1, description="episodes an outer step, over all ranks")
    ways: Annotated[list[AtLeast1], Field(min_length=2, max_length=2)] = Field(
        default=[2, 5], description="[least, most] classes of an episode, or types of entities; tagging: [1, 5]"
    )
    shots: Annotated[list[AtLeast1], Field(min_length=1)] = Field(
        default=[1, 2, 5, 10], description="support examples a class, one of these"
    )
    query: int = Field(default=8, ge=1, description="query examples a class")
    rows: int = Field(default=1000, ge=16, description="rows of each pool that training draws from")
    max_tokens: int = Field(default=64, ge=4, description="longer texts are cut here; tagging: 96, generation: 512")
    mix: float = Field(default=0.5, ge=0, le=1, description="weight of adapted beside frozen features")
    head: Literal["cosine", "euclidean", "ridge", "tagger", "language"] | None = Field(
        default=None, description="classifier on the features; default: what fits the kind of the tasks"
    )
    kind: Literal["classification", "tagging", "generation"] | None = Field(
        default=None, description="kind of the tasks to train on; default: classification where the suite has any"
    )
    inner_steps: int = Field(
        default=3,
        ge=0,
        le=50,
        description="most inner steps; their number is 0 to this by chance; tagging: 0, generation: 5",
    )
    inner_rate: Rate = Field(default=0.1, description="initial learning rate of adapter and head in inner steps")
    order: Literal[1, 2] = Field(default=1, description="1 or 2: whether gradients go through inner gradients")
    learning_rate: Rate = Field(default=2e-3, description="of the outer loop, at its highest")
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the steps over which it rises")
    clip: Rate = Field(default=1.0, description="largest norm of a meta-gradient")
    names: Literal["never", "half", "always"] = Field(
        default="never", description="episodes whose head knows the names of the classes"
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="of the query loss")
    keep: float = Field(default=0.0, ge=0, description="weight of: similarities of unrelated texts stay as they were")
    every_step: bool = Field(default=False, description="query loss after every inner step, not only the last")
    curriculum: str | None = Field(
        default=None, description="default (the shipped one) or a YAML file; none: all at once"
    )
    lora: LoraOptions = Field(default=LoraOptions(), description="the adapters")
    hypernetwork: HypernetworkOptions = Field(default=HypernetworkOptions(), description="the hypernetwork")
    validate_every: int = Field(default=50, ge=1, description="outer steps between validations")
    validation_episodes: int = Field(default=10, ge=1, description="episodes a validation task")
    prior_episodes: int = Field(
        default=10, ge=0, description="episodes a validation task for the prior of auto; 0: none is written"
    )
    patience: int = Field(default=0, ge=0, description="stop after so many validations without a gain; 0: never")
    save_every: int = Field(default=25, ge=1, description="outer steps between checkpoints")
    report_to: Literal["none", "trackio", "tensorboard", "wandb"] = Field(default="none", description="a tracker too")
    seed: int = Field(default=0, ge=0, description="of everything that is drawn")
    resume: bool = Field(default=True, description="go on from the last checkpoint of the same run; false: start anew")
    dry_run: bool = Field(default=False, description="show what would be trained on")


def train(config: TrainConfig) -> int:
    """Run the verb.

    Raises:
        MetapeftError: see the message.
    """
    from metapeft.meta.run import Run

    run = Run(config)
    if config.dry_run:
        return 0
    code = run.go()
    config = run.config  # with the defaults of its kind
    for folder in (run.out / name for name in ("best", "last")):
        if run.rank == 0 and folder.exists():
            if run.setup.transitions is not None:
                write_detector(folder, run)
            if config.prior_episodes:
                write_prior(folder, run.backbone, run.validation, config)
    return code


def write_detector(folder: Path, run: Run) -> None:
    """Write what training tasks say of mentions, whatever their type, beside the checkpoint, if they say anything."""
    from metapeft.evaluation.bench import open_checkpoint
    from metapeft.meta.checkpoint import save_detector
    from metapeft.meta.detector import detector_of_tasks

    opened = open_checkpoint(str(folder), run.backbone)
    # the run has the frozen features of its tasks already
    found = detector_of_tasks(run.states, opened.based, opened.facts["mix"], run.training)
    if found is not None:
        save_detector(folder, found)


def write_prior(folder: Path, backbone: Backbone, validation: list[Task], config: TrainConfig) -> None:
    """Write what choosing a start expects of each candidate beside the checkpoint, from its validation tasks."""
    from metapeft.evaluation.bench import Sizes, open_checkpoint, prior_of

    sizes = Sizes(ways=config.ways[1], rows=config.rows)
    prior = prior_of(open_checkpoint(str(folder), backbone), validation, sizes, config.prior_episodes)
    atomic.write_text(folder / "prior.json", atomic.canonical_json(prior._asdict()))


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb."""
    return cli.run(train, TrainConfig, argv, prog="metapeft train", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
