"""From tagged sentences to a tagger of entities, with what was chosen, why, and how well it should do.

The counterpart of `adapted` where words are tagged; the choice is made in `choosing_tags`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metapeft.adapting.adapted import NEAREST, save_made
from metapeft.adapting.choosing import Fit, adapter_of, why
from metapeft.adapting.choosing_tags import Seen, estimate, fit, look
from metapeft.adapting.starts import NOT_SHIPPED, Start, open_start
from metapeft.adapting.tagger import Tagger, packed
from metapeft.adapting.tagging_card import card
from metapeft.embeddings.similarity import nearest
from metapeft.errors import AdaptationError
from metapeft.meta.judge import transitions_for
from metapeft.meta.select import FROZEN, Features, classifier_of, head_of
from metapeft.meta.states import WithFrozen, beside
from metapeft.sources.examples import normalized, text_hash
from metapeft.sources.tagged import as_bio
from metapeft.tasks.tags import mentions_of_tags

MOST_WORDS = 20_000  # the head keeps a row for each word outside, and every new word is compared with all of them
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class AdaptedTagger:
    """A tagger, and what is known about it.

    Attributes:
        tagger: made from all sentences.
        result: JSON: what was chosen and why, the estimate, the nearest training tasks, notes on the sentences.
    """

    tagger: Tagger
    result: dict[str, Any]

    def save(self, folder: str | Path, config: dict[str, Any] | None = None) -> None:
        """Write everything to a folder; see `tagger` for its files. One that adapt wrote before is replaced.

        Args:
            folder: to be made.
            config: what was asked for, kept beside it.

        Raises:
            AdaptationError: the folder holds other things.
        """
        folder = Path(folder)
        save_made(folder, self.tagger.write, self.result, card(self.result, folder), config)


def adapt_sentences(
    sentences: Sequence[Sequence[str]],
    tags: Sequence[Sequence[str]],
    *,
    checkpoint: str | Path | None = None,
    backbone: str | None = None,
    folds: int = 5,
    repeats: int = 2,
    seed: int = 0,
    places: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> AdaptedTagger:
    """Make a tagger from tagged sentences.

    Args:
        sentences: the words of each of `n` sentences; duplicates count once.
        tags: of the words of each, in BIO, IOB1, BIOES or BILOU.
        checkpoint: see `open_start`.
        backbone: see `open_start`; an encoder.
        folds: of the cross-validations, at least 2.
        repeats: how often the estimate goes round its folds, at least 1.
        seed: of the folds of the estimate.
        places: what to call the sentences in notes; None for "sentence 1", "sentence 2", ….
        notes: what whoever read the sentences has to say of them.

    Raises:
        AdaptationError: lengths differ, or no sentence has an entity.
        SourceError: a tag is none.
        MetapeftError: see `open_start`.
    """
    began = time.perf_counter()
    _check(sentences, tags, folds, repeats)
    called = list(places or [f"sentence {i + 1}" for i in range(len(sentences))])
    bio, said = as_bio(tags)
    notes = [*notes, *said]
    rows = _cleaned(sentences, bio, called, notes)
    words, bio = [list(sentences[i]) for i in rows], [bio[i] for i in rows]
    begin = open_start(checkpoint, backbone, "tagging")
    if checkpoint is None and begin.facts["checkpoint"] is None:
        notes.append(NOT_SHIPPED)
    types = sorted(_types(bio, list(range(len(bio)))))
    seen = look(begin, words, bio, types)
    notes += _notes(begin, seen, types)
    still: dict[str, Features] = {}
    found = fit(begin, seen, np.arange(len(words)), folds, still)
    measured = estimate(begin, seen, types, folds, repeats, seed, still)
    if measured is not None and measured.gazetteer > measured.f1:
        notes.append("looking up the entities of the other sentences found more than this: expect little of it")
    neighbours = nearest(found.embedding, begin.library, begin.library_names, NEAREST) if begin.embedder else []
    tagger = _tagger(begin, seen, found, types)
    counts = np.bincount(_mentions(seen), minlength=seen.ways)[1:]
    result = {
        "verb": "adapt",
        "kind": "tagging",
        "labels": dict(zip(types, counts.tolist(), strict=True)),
        "sentences": len(words),
        "words": len(seen.classes),
        "backbone": tagger.backbone.name,
        "start": begin.facts,
        "chosen": found.choice.candidate.name,
        "candidate": found.choice.candidate._asdict(),
        "why": why(
            found,
            begin,
            "prototypes and logistic regression on the frozen network",
            "had an F1 of {:.1f} on the sentences left out",
            "the frozen prototypes {:.1f}",
        ),
        "scores": found.choice.scores,
        "validated": found.choice.validated,
        "estimate": None if measured is None else measured._asdict(),
        "nearest": [{"task": task, "similarity": cosine} for task, cosine in neighbours],
        "head": {"rows": tagger.weight.shape[0], "bytes": tagger.weight.nbytes},
        "notes": notes,
        "seconds": time.perf_counter() - began,
    }
    return AdaptedTagger(tagger, result)


# --- the sentences


def _check(sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], folds: int, repeats: int) -> None:
    if len(sentences) != len(tags):
        raise AdaptationError(f"{len(sentences)} sentences and {len(tags)} lists of tags: give one for each sentence")
    if folds < 2 or repeats < 1:
        raise AdaptationError(f"folds must be 2 or more and repeats 1 or more, got {folds} and {repeats}")
    for number, (words, own) in enumerate(zip(sentences, tags, strict=True), 1):
        if isinstance(words, str):
            raise AdaptationError(f"sentence {number} is one string: give a list of its words")
        if len(words) != len(own):
            raise AdaptationError(f"sentence {number}: {len(words)} words and {len(own)} tags; give one for each word")


def _cleaned(
    sentences: Sequence[Sequence[str]], bio: list[list[str]], places: list[str], notes: list[str]
) -> list[int]:
    """Which sentences are used: each once, of those tagged in two ways none, and no more than `MOST_WORDS`."""
    texts = [normalized(" ".join(words)) for words in sentences]
    ways: dict[str, set[tuple[str, ...]]] = {}
    for text, own in zip(texts, bio, strict=True):
        ways.setdefault(text, set()).add(tuple(own))
    first: dict[str, int] = {}
    twice, torn, empty = [], [], []
    for row, text in enumerate(texts):
        if not text:
            empty.append(row)
        elif len(ways[text]) > 1:
            torn.append(row)
        elif first.setdefault(text, row) != row:
            twice.append(row)
    kept = [row for text, row in first.items() if len(ways[text]) == 1]
    for rows, what in (
        (empty, "without a word: skipped"),
        (torn, "tagged in two ways: left out"),
        (twice, "that stood there before: counted once"),
    ):
        if rows:
            shown = ", ".join(
                [places[row] for row in rows[:_SHOWN]] + [f"and {len(rows) - _SHOWN} more"] * (len(rows) > _SHOWN)
            )
            notes.append(f"{len(rows)} sentence{'s' * (len(rows) > 1)} {what} ({shown})")
    kept = _limited(kept, sentences, bio, notes)
    if not _types(bio, kept):
        said = "".join(f"\n  {note}" for note in notes)
        raise AdaptationError(
            f"none of {len(kept)} sentences has an entity: a tagger needs one of each type at least\n"
            f"  five or more of each are better, in sentences as they come{said}"
        )
    return kept


def _limited(kept: list[int], sentences: Sequence[Sequence[str]], bio: list[list[str]], notes: list[str]) -> list[int]:
    """As many sentences as `MOST_WORDS` allows, one at least: the choice hangs on no order."""
    if sum(len(sentences[row]) for row in kept) <= MOST_WORDS:
        return kept
    some, words = [], 0
    for row in sorted(kept, key=lambda row: text_hash(" ".join(sentences[row]))):
        if some and words + len(sentences[row]) > MOST_WORDS:
            break
        some.append(row)
        words += len(sentences[row])
    notes.append(
        f"{len(some):,} of {len(kept):,} sentences are used, {words:,} words: those whose text has the smallest hash"
    )
    lost = _types(bio, kept) - _types(bio, some)
    if lost:
        notes.append(f"no sentence that is used has an entity of {', '.join(map(repr, sorted(lost)))}")
    return sorted(some)


def _types(bio: list[list[str]], rows: list[int]) -> set[str]:
    return {tag[2:] for row in rows for tag in bio[row] if tag != "O"}


def _mentions(seen: Seen) -> np.ndarray:
    return mentions_of_tags(seen.sentences.tags, seen.sentences.lengths).kind


def _notes(begin: Start, seen: Seen, types: list[str]) -> list[str]:
    """What a user should know about the sentences, beside what `_cleaned` says."""
    notes = []
    mentions = np.bincount(_mentions(seen), minlength=seen.ways)[1:]
    lost = [name for name, count in zip(types, mentions, strict=True) if not count]
    if lost:
        raise AdaptationError(
            f"all entities of type {', '.join(map(repr, lost))} are of signs that the tokenizer does not know\n"
            "  leave them out, or take another backbone"
        )
    alone = [name for name, count in zip(types, seen.has.sum(axis=0), strict=True) if count == 1]
    if alone:
        what = "its sentence is" if len(alone) == 1 else "their sentences are"
        notes.append(
            f"{', '.join(map(repr, alone))} in one sentence only: {what} never left out, so how well "
            f"{'it is' if len(alone) == 1 else 'they are'} found is not measured"
        )
    windows = np.bincount(seen.laid.owner, minlength=len(seen.has))
    long = int(np.count_nonzero(windows > 1))
    if long:
        what = "1 sentence is" if long == 1 else f"{long} sentences are"
        notes.append(
            f"{what} longer than {begin.max_tokens} tokens: read in {windows[windows > 1].sum()} windows of whole words"
        )
    if seen.laid.cut:
        what = "1 word is" if seen.laid.cut == 1 else f"{seen.laid.cut} words are"
        notes.append(f"{what} longer than {begin.max_tokens} tokens: only the beginning is read")
    if begin.facts["origin"] == "synthetic":
        notes.append("the checkpoint was trained on synthetic text: expect little of it")
    return notes


# --- the tagger


def _tagger(begin: Start, seen: Seen, found: Fit, types: list[str]) -> Tagger:
    """The chosen candidate, made from all sentences."""
    candidate, learner = found.choice.candidate, begin.setup.learner
    network = learner.backbone
    assert isinstance(network, WithFrozen)
    features = beside(found.known[FROZEN.start].support, found.known[candidate.start].support, candidate.mix)
    params = classifier_of(begin.setup, begin.meta, candidate, features, seen.words.labels, seen.ways, None)
    adapter, head = adapter_of(begin, candidate.start, found.embedding), head_of(begin.setup, candidate)
    params = packed(head, params, (1 if adapter is None else 2) * network.backbone.hidden_size)
    return Tagger(
        network.backbone,
        begin.tokenizer,
        tuple(types),
        head.name,
        params["weight"],
        params["bias"],
        candidate.mix,
        adapter,
        learner.scale,
        learner.depth,
        begin.max_tokens,
        transitions_for(begin.setup.transitions, seen.sentences),
    )
