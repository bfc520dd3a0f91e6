"""`python -m metapeft.predict adapter=DIR text="..."`: labels or entities of new texts, by what `adapt` made."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from metapeft import cli

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metapeft.adapting import Entity
    from metapeft.sources.labelled import Row
    from metapeft.sources.tagged import Tagged

DESCRIPTION = "Label new texts, or find the entities in them, with what `metapeft adapt` made."
EXAMPLES = [
    'python -m metapeft.predict adapter=runs/adapt/examples text="I want my money back"',
    "python -m metapeft.predict adapter=runs/adapt/examples data=new.csv out=labels.jsonl",
    "python -m metapeft.predict adapter=runs/adapt/sentences data=new.txt out=entities.jsonl",
]
SHOWN = 5  # labels that are printed of a text


class PredictConfig(BaseModel):
    """Options of `metapeft predict`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    adapter: str = Field(description="folder that `metapeft adapt` wrote")
    text: str | None = Field(default=None, description="one text to label")
    data: str | None = Field(
        default=None, description="a .txt file, a text a line; csv, tsv or jsonl; or tagged sentences"
    )
    text_column: str | None = Field(default=None, description="column of the texts; default: found by its name")
    label_column: str | None = Field(
        default=None, description="column of the right labels, to say how many were found; default: found by its name"
    )
    out: str | None = Field(default=None, description="a .jsonl file for what is found; default: it is printed")
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
    from metapeft.adapting import tagger
    from metapeft.errors import AdaptationError

    out = None if config.out is None else Path(config.out)
    if out is not None and out.is_dir():
        raise AdaptationError(f"{out} is a folder; out= is a file, such as {out / 'labels.jsonl'}")
    finds = (Path(config.adapter) / tagger.FACTS).is_file()
    return _entities(config, out) if finds else _labels(config, out)


def _labels(config: PredictConfig, out: Path | None) -> int:
    from metapeft.adapting import load_classifier

    rows = _rows(config)
    classifier = load_classifier(config.adapter, config.backbone)
    shares = classifier.probabilities([row.text or "" for row in rows])
    ranked = [
        sorted(zip(classifier.labels, row.tolist(), strict=True), key=lambda pair: -pair[1])  # equal ones by name
        for row in shares
    ]
    if out is not None:
        lines = [
            {"place": row.place, "text": row.text, "label": pairs[0][0], "probabilities": dict(pairs)}
            for row, pairs in zip(rows, ranked, strict=True)
        ]
        _write(out, lines)
        print(f"{len(lines)} texts labelled: {out}")
    else:
        for row, pairs in zip(rows, ranked, strict=True):
            shown = "  ".join(f"{name} {share:.3f}" for name, share in pairs[:SHOWN])
            print(pairs[0][0], shown, *([] if config.data is None else [_short(row.text or "")]), sep="\t")
    _say_how_many_right([pairs[0][0] for pairs in ranked], [row.label for row in rows], classifier.labels)
    return 0


def _say_how_many_right(said: list[str], gold: list[str | None], labels: Sequence[str]) -> None:
    """Accuracy beside the labels that the file has, where any of them is one of the classifier's."""
    pairs = [(one, right) for one, right in zip(said, gold, strict=True) if right is not None]
    strange = sum(right not in labels for _, right in pairs)
    if strange == len(pairs):
        return
    count = sum(one == right for one, right in pairs)
    unknown = f"; the labels of {strange:,} are none of the classifier's" if strange else ""
    print(f"beside the labels of the file: accuracy {100 * count / len(pairs):.2f} % of {len(pairs):,} rows{unknown}")


def _entities(config: PredictConfig, out: Path | None) -> int:
    from metapeft.adapting import load_tagger
    from metapeft.errors import AdaptationError
    from metapeft.sources.tagged import is_tagged, read_tagged
    from metapeft.tokenization.words import words_of

    if config.label_column is not None:
        raise AdaptationError(f"{config.adapter} finds entities: label_column= is for a classifier of texts")
    gold = None
    if config.data is not None and config.text_column is None and is_tagged(config.data):
        gold, notes = read_tagged(config.data)
        _say(notes)
        texts = [(sentence.place, sentence.words) for sentence in gold]
    else:
        texts = [(row.place, words_of(row.text or "")) for row in _rows(config)]
    found = load_tagger(config.adapter, config.backbone).entities([words for _, words in texts])
    count = sum(map(len, found))
    if out is not None:
        lines = [
            {"place": place, "text": words.text, "entities": [entity._asdict() for entity in own]}
            for (place, words), own in zip(texts, found, strict=True)
        ]
        _write(out, lines)
        print(f"{count} entities in {len(texts)} texts: {out}")
    else:
        for (place, _), own in zip(texts, found, strict=True):
            for start, end, label, text, score in own:
                shown = [f"{start}-{end}", label, _short(text), f"{score:.2f}"]
                print(*([] if config.data is None else [place]), *shown, sep="  ")
        empty = sum(not own for own in found)
        if empty:
            _say(["no entity" if config.data is None else f"{empty} of {len(texts)} texts without an entity"])
    if gold is not None:
        _say_how_right(found, gold)
    return 0


def _say_how_right(found: list[list[Entity]], gold: list[Tagged]) -> None:
    """Strict figures of what was found beside the tags that the file has; types that the tagger lacks count too."""
    from metapeft.meta.judge import Counts
    from metapeft.sources.tagged import spans_of

    said = {(i, e.start, e.end, e.label) for i, own in enumerate(found) for e in own}
    there = {(i, *span) for i, sentence in enumerate(gold) for span in spans_of(sentence)}
    counts = Counts(len(said & there), len(said), len(there))
    print(
        f"beside the tags of the file: precision {100 * counts.precision:.1f} %, recall {100 * counts.recall:.1f} %, "
        f"F1 {100 * counts.f1:.1f} ({counts.gold} entities there, {counts.found} found, {counts.right} right)"
    )


def _rows(config: PredictConfig) -> list[Row]:
    """The texts; what was left out is said."""
    from metapeft.sources.labelled import Row, read_texts

    if config.data is None:
        return [Row("text", config.text, None)]
    rows, notes = read_texts(config.data, config.text_column, config.label_column)
    _say(notes)
    return rows


def _say(notes: list[str]) -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def _write(path: Path, lines: list[dict[str, Any]]) -> None:
    from metapeft import atomic

    atomic.write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def _short(text: str) -> str:
    """A text as one line of 60 characters at most."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb."""
    return cli.run(predict, PredictConfig, argv, prog="metapeft predict", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
