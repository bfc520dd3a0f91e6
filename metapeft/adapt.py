"""`python -m metapeft.adapt data=examples.csv`: a classifier from a handful of your own labelled texts."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from metapeft import cli

DESCRIPTION = "Make a text classifier from a few labelled examples, and say honestly how accurate it is."
EXAMPLES = [
    "python -m metapeft.adapt data=examples.csv",
    "python -m metapeft.adapt data=tickets.jsonl text_column=subject label_column=team out=runs/adapt/tickets",
    "python -m metapeft.adapt data=folder/of/labels checkpoint=none",
    "python -m metapeft.adapt data=fancyzhx/ag_news per_class=20",
]


class AdaptConfig(BaseModel):
    """Options of `metapeft adapt`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    data: str = Field(
        description="csv, tsv or jsonl file; folder with a sub-folder of .txt files a label; or Hub ORG/NAME[/CONFIG]"
    )
    out: str | None = Field(default=None, description="folder of the classifier; default runs/adapt/<name of data>")
    checkpoint: str | None = Field(
        default=None,
        description="folder that `metapeft train` wrote; default: the one that is shipped; none: frozen network alone",
    )
    backbone: str | None = Field(
        default=None, description="the frozen network; default: that of the checkpoint, or nano"
    )
    text_column: str | None = Field(default=None, description="column of the texts; default: found by its name")
    label_column: str | None = Field(default=None, description="column of the labels; default: found by its name")
    split: str = Field(default="train", description="split of a Hub dataset")
    per_class: int | None = Field(
        default=None,
        ge=1,
        description="most rows of a label, those whose text has the smallest hash; default: 50 on the Hub, else all",
    )
    folds: int = Field(
        default=5, ge=2, description="of the cross-validations, that of the choice and the one around it"
    )
    repeats: int = Field(default=2, ge=1, description="how often the estimate of the accuracy goes round its folds")
    seed: int = Field(default=0, ge=0, description="of the folds of the estimate")


def adapt(config: AdaptConfig) -> int:
    """Run the verb.

    Raises:
        MetapeftError: see the message.
    """
    began = time.perf_counter()
    from metapeft.adapting import adapt_examples
    from metapeft.adapting.adapted import check_out
    from metapeft.sources.labelled import read_labelled

    out = Path(config.out) if config.out else default_out(config)
    check_out(out)
    rows, notes = read_labelled(config.data, config.text_column, config.label_column, config.split, config.per_class)
    adapted = adapt_examples(
        [row.text for row in rows],
        [row.label for row in rows],
        checkpoint=config.checkpoint,
        backbone=config.backbone,
        folds=config.folds,
        repeats=config.repeats,
        seed=config.seed,
        places=[row.place for row in rows],
        notes=notes,
    )
    adapted.save(out, config.model_dump())
    _say(adapted.result, out, time.perf_counter() - began)
    return 0


def default_out(config: AdaptConfig) -> Path:
    """Where a classifier goes when nothing is said."""
    data = Path(config.data).expanduser().resolve()
    return Path("runs/adapt") / (data.stem if data.is_file() else data.name)


def _say(result: dict[str, Any], out: Path, seconds: float) -> None:
    counts = result["labels"]
    shown = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:8])
    more = f" and {len(counts) - 8} more" if len(counts) > 8 else ""
    print(f"examples  {sum(counts.values())} of {len(counts)} labels: {shown}{more}")
    for note in result["notes"]:
        print(f"note      {note}")
    print(f"chosen    {result['chosen']}\n          {result['why']}")
    estimate = result["estimate"]
    if estimate is None:
        print("accuracy  not measured: no label has two examples")
    else:
        low, high = (100 * end for end in estimate["ci95"])
        print(
            f"accuracy  {100 * estimate['accuracy']:.1f} % of those left out, 95 % interval {low:.0f} to {high:.0f}; "
            f"frozen prototype {100 * estimate['frozen']:.1f} %, most frequent label {100 * estimate['majority']:.1f} %"
        )
    if result["nearest"]:
        print("nearest   " + ", ".join(f"{near['task']} {near['similarity']:.2f}" for near in result["nearest"]))
    print(f'out       {out}\ntook      {seconds:.1f} s\nnext      python -m metapeft.predict adapter={out} text="..."')


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb."""
    return cli.run(adapt, AdaptConfig, argv, prog="metapeft adapt", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
