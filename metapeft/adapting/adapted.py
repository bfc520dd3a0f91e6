"""From labelled texts to a classifier, with what was chosen, why, and how accurate it should be."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metapeft import atomic
from metapeft.adapting import tagger
from metapeft.adapting.card import card
from metapeft.adapting.choosing import Fit, Seen, adapter_of, estimate, fit, look, why
from metapeft.adapting.classifier import FACTS, Classifier
from metapeft.adapting.starts import Start, open_start
from metapeft.embeddings.similarity import nearest
from metapeft.errors import AdaptationError
from metapeft.meta.select import FROZEN, Features, classifier_of, head_of
from metapeft.meta.states import WithFrozen, beside
from metapeft.sources.labelled import Example, Row, cleaned

NEAREST = 5


@dataclass(frozen=True, eq=False)
class Adapted:
    """A classifier, and what is known about it.

    Attributes:
        classifier: made from all examples.
        result: JSON: what was chosen and why, the estimate, the nearest training tasks, notes on the examples.
    """

    classifier: Classifier
    result: dict[str, Any]

    def save(self, folder: str | Path, config: dict[str, Any] | None = None) -> None:
        """Write everything to a folder; see `classifier` for its files. One that adapt wrote before is replaced.

        Args:
            folder: to be made.
            config: what was asked for, kept beside it.

        Raises:
            AdaptationError: the folder holds other things.
        """
        folder = Path(folder)
        save_made(folder, self.classifier.write, self.result, card(self.result, folder), config)


def save_made(
    folder: Path,
    write: Callable[[Path], None],
    result: dict[str, Any],
    page: str,
    config: dict[str, Any] | None,
) -> None:
    """Write what was adapted to a folder, whole or not at all.

    Args:
        folder: to be made; one that adapt wrote before is replaced.
        write: writes the files that predict reads.
        result: for ``result.json``.
        page: the card.
        config: for ``config.json``; None for none.

    Raises:
        AdaptationError: see `check_out`.
    """
    check_out(folder)
    with atomic.whole_folder(folder) as staging:
        write(staging)
        atomic.write_text(staging / "result.json", atomic.canonical_json(result))
        atomic.write_text(staging / "README.md", page)
        if config is not None:
            atomic.write_text(staging / "config.json", atomic.canonical_json(config))


def check_out(folder: Path) -> None:
    """Refuse a folder whose files would be lost.

    Raises:
        AdaptationError: it is a file, or holds something that adapt did not write.
    """
    if folder.exists() and not folder.is_dir():
        raise AdaptationError(f"{folder} is a file; give out= a folder")
    made = any((folder / name).is_file() for name in (FACTS, tagger.FACTS))
    if folder.is_dir() and any(folder.iterdir()) and not made:
        raise AdaptationError(f"{folder} holds other things, which would be lost; give another out=")


def adapt_examples(
    texts: Sequence[str | None],
    labels: Sequence[str | None],
    *,
    checkpoint: str | Path | None = None,
    backbone: str | None = None,
    folds: int = 5,
    repeats: int = 2,
    seed: int = 0,
    places: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Adapted:
    """Make a classifier from labelled texts.

    Args:
        texts: `n` texts; None and empty ones are skipped, duplicates count once.
        labels: name of the class of each.
        checkpoint: see `open_start`.
        backbone: see `open_start`.
        folds: of the cross-validations, at least 2.
        repeats: how often the estimate goes round its folds, at least 1.
        seed: of the folds of the estimate.
        places: what to call the texts in notes; None for "row 1", "row 2", ….
        notes: what whoever read the examples has to say of them.

    Raises:
        AdaptationError: lengths differ, or fewer than two classes are left.
        MetapeftError: see `open_start`.
    """
    began = time.perf_counter()
    if len(texts) != len(labels) or isinstance(texts, str):
        raise AdaptationError(f"{len(texts)} texts and {len(labels)} labels: give one label for each text")
    if folds < 2 or repeats < 1:
        raise AdaptationError(f"folds must be 2 or more and repeats 1 or more, got {folds} and {repeats}")
    called = places or [f"row {i + 1}" for i in range(len(texts))]
    rows, said = cleaned([Row(*row) for row in zip(called, texts, labels, strict=True)])
    notes = [*notes, *said]
    names = sorted({row.label for row in rows})
    _check_classes(rows, names, notes)
    begin = open_start(checkpoint, backbone)
    ids = np.array([names.index(row.label) for row in rows], np.int32)
    seen = look(begin, [row.text for row in rows], ids, names)
    notes += _notes(begin, seen, names)
    still: dict[str, Features] = {}
    found = fit(begin, seen, np.arange(len(rows)), folds, still)
    measured = None
    if np.bincount(ids).max() > 1:
        measured = estimate(begin, seen, folds, repeats, seed, still)
    neighbours = nearest(found.embedding, begin.library, begin.library_names, NEAREST) if begin.embedder else []
    classifier = classifier_from(begin, seen, found, names)
    result = {
        "verb": "adapt",
        "labels": {name: int(count) for name, count in zip(names, np.bincount(ids), strict=True)},
        "backbone": classifier.backbone.name,
        "start": begin.facts,
        "chosen": found.choice.candidate.name,
        "candidate": found.choice.candidate._asdict(),
        "why": why(
            found,
            begin,
            "prototypes and logistic regression on the frozen network, with and without names of labels",
            "was right on {:.1f} % of the examples left out",
            "the frozen prototype on {:.1f} %",
        ),
        "scores": found.choice.scores,
        "validated": found.choice.validated,
        "estimate": None if measured is None else measured._asdict(),
        "nearest": [{"task": task, "similarity": cosine} for task, cosine in neighbours],
        "notes": notes,
        "seconds": time.perf_counter() - began,
    }
    return Adapted(classifier, result)


def _check_classes(rows: Sequence[Example], names: list[str], notes: list[str]) -> None:
    if len(names) > 1:
        return
    what = f"one label only, '{names[0]}' ({len(rows)} examples)" if names else "no example with a text and a label"
    said = "".join(f"\n  {note}" for note in notes)
    raise AdaptationError(
        f"{what}: a classifier needs two labels at least, with one example each\n"
        f"  five or more of each are better, and two of each are the least that its accuracy can be measured on{said}"
    )


def classifier_from(begin: Start, seen: Seen, found: Fit, names: Sequence[str]) -> Classifier:
    """The chosen candidate, made from all examples.

    Args:
        begin: what was chosen from.
        seen: the examples.
        found: what was chosen on all of them.
        names: of the labels.
    """
    candidate, learner = found.choice.candidate, begin.setup.learner
    frozen, own = found.known[FROZEN.start], found.known[candidate.start]
    called = None
    if frozen.names is not None and own.names is not None:
        called = beside(frozen.names, own.names, candidate.mix)
    features = beside(frozen.support, own.support, candidate.mix)
    params = classifier_of(begin.setup, begin.meta, candidate, features, seen.support.labels, seen.ways, called)
    network = learner.backbone
    assert isinstance(network, WithFrozen)
    return Classifier(
        network.backbone,
        begin.tokenizer,
        tuple(names),
        head_of(begin.setup, candidate).name,
        params["weight"],
        params["bias"],
        candidate.mix,
        adapter_of(begin, candidate.start, found.embedding),
        learner.scale,
        begin.max_tokens,
    )


def _notes(begin: Start, seen: Seen, names: list[str]) -> list[str]:
    """What a user should know about the examples, beside what `cleaned` says."""
    notes = []
    counts = Counter(seen.labels.tolist())
    single = [name for place, name in enumerate(names) if counts[place] == 1]
    if len(single) == len(names):
        notes.append("every label has one example: nothing can be cross-validated, the prior alone decides")
    elif single:
        notes.append(
            f"one example only of {', '.join(repr(name) for name in single)}: never left out, so the accuracy on "
            f"{'it' if len(single) == 1 else 'them'} is not measured"
        )
    if seen.names is None:
        notes.append("a label is a number or has no letters: the names of the labels are not used")
    if seen.cut:
        what = "1 text is" if seen.cut == 1 else f"{seen.cut} texts are"
        notes.append(f"{what} longer than {begin.max_tokens} tokens: only the beginning is read")
    if begin.facts["origin"] == "synthetic":
        notes.append("the checkpoint was trained on synthetic text: expect little of it")
    return notes
