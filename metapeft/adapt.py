"""`python -m metapeft.adapt data=examples.csv`: a classifier from a handful of your own labelled texts.

Of tagged sentences (CoNLL, or jsonl with spans) it makes a tagger of entities.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from metapeft import cli

if TYPE_CHECKING:
    from metapeft.adapting import Adapted, AdaptedTagger

DESCRIPTION = (
    "Make a text classifier from a few labelled examples, or a tagger of entities from a few tagged sentences, and say "
    "honestly how accurate it is."
)
EXAMPLES = [
    "python -m metapeft.adapt data=examples.csv",
    "python -m metapeft.adapt data=tickets.jsonl text_column=subject label_column=team out=runs/adapt/tickets",
    "python -m metapeft.adapt data=folder/of/labels checkpoint=none",
    "python -m metapeft.adapt data=sentences.conll",
    "python -m metapeft.adapt data=fancyzhx/ag_news per_class=20",
]
SHOWN = 8  # labels that are printed
SHARED = {"checkpoint", "backbone", "folds", "repeats", "seed"}  # options of a classifier and of a tagger


class AdaptConfig(BaseModel):
    """Options of `metapeft adapt`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    data: str = Field(
        description="csv, tsv or jsonl file; folder with a sub-folder of .txt files a label; Hub ORG/NAME[/CONFIG]; or "
        "tagged sentences: a CoNLL file, or jsonl with spans or tags"
    )
    out: str | None = Field(default=None, description="folder to write to; default runs/adapt/<name of data>")
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
    from metapeft.adapting.adapted import check_out

    out = Path(config.out) if config.out else default_out(config)
    check_out(out)
    adapted = _tagger(config) if _is_tagged(config) else _classifier(config)
    adapted.save(out, config.model_dump())
    result = adapted.result
    _say_tagged(result) if "kind" in result else _say_labelled(result)
    if result["nearest"]:
        print("nearest   " + ", ".join(f"{near['task']} {near['similarity']:.2f}" for near in result["nearest"]))
    seconds = time.perf_counter() - began
    print(f'out       {out}\ntook      {seconds:.1f} s\nnext      python -m metapeft.predict adapter={out} text="..."')
    return 0


def _is_tagged(config: AdaptConfig) -> bool:
    """Whether the data are tagged sentences: columns that are named are those of texts and labels."""
    from metapeft.errors import AdaptationError
    from metapeft.sources.tagged import is_tagged

    if not is_tagged(config.data):
        return False
    columns = config.text_column is not None or config.label_column is not None
    if columns and Path(config.data).suffix.lower() == ".jsonl":
        return False
    given = [name for name in ("text_column", "label_column", "per_class") if getattr(config, name) is not None]
    if given:
        raise AdaptationError(
            f"{config.data} holds tagged sentences, which have no {given[0]}: leave it out\n"
            "  a table of texts and labels has an ending of its own: .csv, .tsv or .jsonl"
        )
    return True


def _classifier(config: AdaptConfig) -> Adapted:
    from metapeft.adapting import adapt_examples
    from metapeft.sources.labelled import read_labelled

    rows, notes = read_labelled(config.data, config.text_column, config.label_column, config.split, config.per_class)
    return adapt_examples(
        [row.text for row in rows],
        [row.label for row in rows],
        **config.model_dump(include=SHARED),
        places=[row.place for row in rows],
        notes=notes,
    )


def _tagger(config: AdaptConfig) -> AdaptedTagger:
    from metapeft.adapting import adapt_sentences
    from metapeft.sources.tagged import read_tagged

    sentences, notes = read_tagged(config.data)
    return adapt_sentences(
        [sentence.words.words for sentence in sentences],
        [sentence.tags for sentence in sentences],
        **config.model_dump(include=SHARED),
        places=[sentence.place for sentence in sentences],
        notes=notes,
    )


def default_out(config: AdaptConfig) -> Path:
    """Where it goes when nothing is said."""
    data = Path(config.data).expanduser().resolve()
    return Path("runs/adapt") / (data.stem if data.is_file() else data.name)


def _say_labelled(result: dict[str, Any]) -> None:
    counts = result["labels"]
    print(f"examples  {sum(counts.values())} of {len(counts)} labels: {_counted(counts)}")
    _say_choice(result)
    estimate = result["estimate"]
    if estimate is None:
        print("accuracy  not measured: no label has two examples")
        return
    low, high = (100 * end for end in estimate["ci95"])
    print(
        f"accuracy  {100 * estimate['accuracy']:.1f} % of those left out, 95 % interval {low:.0f} to {high:.0f}; "
        f"frozen prototype {100 * estimate['frozen']:.1f} %, most frequent label {100 * estimate['majority']:.1f} %"
    )


def _say_tagged(result: dict[str, Any]) -> None:
    counts = result["labels"]
    print(
        f"sentences {result['sentences']:,} of {result['words']:,} words; "
        f"entities {sum(counts.values())} of {len(counts)} types: {_counted(counts)}"
    )
    _say_choice(result)
    estimate = result["estimate"]
    if estimate is None:
        print("F1        not measured: every type is in one sentence only")
        return
    low, high = (100 * end for end in estimate["ci95"])
    print(
        f"F1        {100 * estimate['f1']:.1f} on sentences left out, 95 % interval {low:.0f} to {high:.0f}; "
        f"frozen prototypes {100 * estimate['frozen']:.1f}, looking up entities {100 * estimate['gazetteer']:.1f}\n"
        f"          precision {100 * estimate['precision']:.1f} %, recall {100 * estimate['recall']:.1f} %; "
        + ", ".join(f"{name} {100 * own['f1']:.1f}" for name, own in list(estimate["types"].items())[:SHOWN])
    )


def _say_choice(result: dict[str, Any]) -> None:
    for note in result["notes"]:
        print(f"note      {note}")
    print(f"chosen    {result['chosen']}\n          {result['why']}")


def _counted(counts: dict[str, int]) -> str:
    shown = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:SHOWN])
    return shown + (f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb."""
    return cli.run(adapt, AdaptConfig, argv, prog="metapeft adapt", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
