"""`python -m metapeft.predict adapter=DIR text="..."`: labels of new texts, by a classifier that `adapt` made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from metapeft import cli

DESCRIPTION = "Label new texts with a classifier that `metapeft adapt` made."
EXAMPLES = [
    'python -m metapeft.predict adapter=runs/adapt/examples text="I want my money back"',
    "python -m metapeft.predict adapter=runs/adapt/examples data=new.csv out=labels.jsonl",
]
SHOWN = 5  # labels that are printed of a text


class PredictConfig(BaseModel):
    """Options of `metapeft predict`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    adapter: str = Field(description="folder that `metapeft adapt` wrote")
    text: str | None = Field(default=None, description="one text to label")
    data: str | None = Field(default=None, description="texts to label: a .txt file, one a line, or csv, tsv, jsonl")
    text_column: str | None = Field(default=None, description="column of the texts; default: found by its name")
    out: str | None = Field(default=None, description="a .jsonl file for the labels; default: they are printed")
    backbone: str | None = Field(default=None, description="where the frozen network lies now; default: where it was")

    @model_validator(mode="after")
    def _one_of_both(self) -> PredictConfig:
        if (self.text is None) == (self.data is None):
            raise ValueError("give either text= or data=")
        if self.text is not None and not self.text.strip():
            raise ValueError("text= is empty: there is nothing to label")
        return self


def predict(config: PredictConfig) -> int:
    """Run the verb.

    Raises:
        MetapeftError: see the message.
    """
    from metapeft import atomic
    from metapeft.adapting import load_classifier
    from metapeft.errors import AdaptationError
    from metapeft.sources.labelled import read_texts

    out = None if config.out is None else Path(config.out)
    if out is not None and out.is_dir():
        raise AdaptationError(f"{out} is a folder; out= is a file, such as {out / 'labels.jsonl'}")
    texts, notes = [("text", config.text or "")], []
    if config.data is not None:
        texts, notes = read_texts(config.data, config.text_column)
    classifier = load_classifier(config.adapter, config.backbone)
    shares = classifier.probabilities([text for _, text in texts])
    ranked = [
        sorted(zip(classifier.labels, row.tolist(), strict=True), key=lambda pair: -pair[1])  # equal ones by name
        for row in shares
    ]
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if out is not None:
        lines = [
            {"place": place, "text": text, "label": pairs[0][0], "probabilities": dict(pairs)}
            for (place, text), pairs in zip(texts, ranked, strict=True)
        ]
        atomic.write_text(out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        print(f"{len(lines)} texts labelled: {out}")
        return 0
    for (_, text), pairs in zip(texts, ranked, strict=True):
        shown = "  ".join(f"{name} {share:.3f}" for name, share in pairs[:SHOWN])
        print(pairs[0][0], shown, *([] if config.data is None else [_short(text)]), sep="\t")
    return 0


def _short(text: str) -> str:
    """A text as one line of 60 characters at most."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb."""
    return cli.run(predict, PredictConfig, argv, prog="metapeft predict", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
