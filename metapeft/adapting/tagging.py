"""From tagged sentences to a tagger of entities, with what was chosen, why, and how well it should do.

The counterpart of `choosing` and `adapted` where words are tagged. Folds are of sentences; the figure is strict entity
F1, its mentions counted over all folds. The estimate is cross-validation around the choice, as for classes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metapeft.adapting.adapted import NEAREST, save_made
from metapeft.adapting.choosing import Fit, adapter_of, features_with, parted, why
from metapeft.adapting.starts import NOT_SHIPPED, Start, open_start
from metapeft.adapting.tagger import Tagger, packed
from metapeft.adapting.tagging_card import card
from metapeft.adapting.windows import Laid, lay
from metapeft.embeddings.similarity import nearest
from metapeft.embeddings.support import SupportSet
from metapeft.episodes.episode import Episode, Sentences
from metapeft.errors import AdaptationError
from metapeft.evaluation.tagging_baselines import gazetteer
from metapeft.meta.inner_loop import Examples
from metapeft.meta.judge import Counts, best_paths, counted, transitions_for, transitions_of
from metapeft.meta.methods import Item
from metapeft.meta.select import FROZEN, Candidate, Features, choose, classifier_of, head_of, nearness, read
from metapeft.meta.states import Beside, PoolStates, WithFrozen, beside
from metapeft.mlx import mx
from metapeft.sources.examples import normalized, text_hash
from metapeft.sources.tagged import as_bio
from metapeft.tasks.config import TaskConfig
from metapeft.tasks.padding import gather_x, gather_y
from metapeft.tasks.pool import Pool, Ragged
from metapeft.tasks.tags import class_of, mentions_of_tags
from metapeft.tasks.task import Task

MOST_WORDS = 20_000  # the head keeps a row for each word outside, and every new word is compared with all of them
RESAMPLES = 2_000
_SHOWN = 5


class Seen(NamedTuple):
    """Tagged sentences as the frozen layers see them.

    Attributes:
        laid: the sentences as windows.
        task: with a row for each window.
        words: all words, end to end, with hidden states and frozen features.
        sentences: what they belong to.
        classes: of the words, int32; 0 outside.
        frozen: frozen features of the words, float32 ``(words, d)`` of unit length, on the host.
        has: which types each sentence has, bool ``(n, types)``.
    """

    laid: Laid
    task: Task
    words: Examples
    sentences: Sentences
    classes: np.ndarray
    frozen: np.ndarray
    has: np.ndarray

    @property
    def ways(self) -> int:
        """Classes of words: the types, and outside."""
        return self.has.shape[1] + 1


class TagEstimate(NamedTuple):
    """Entity F1 on sentences left out, each left out once a repetition; all figures from 0 to 1.

    Attributes:
        f1: strict, over the mentions of all sentences left out.
        ci95: interval for it: bootstrap over the sentences.
        precision: share of what was found that is right.
        recall: share of what is there that was found.
        frozen: F1 of the frozen prototypes, in the same folds.
        gazetteer: F1 of finding again what the other sentences' entities say, word by word.
        types: precision, recall, F1 and mentions by type.
        sentences: how many were left out in turn.
        mentions: theirs.
        repeats: repetitions, each with other folds.
        chosen: how often each candidate was chosen in the folds, by name.
    """

    f1: float
    ci95: tuple[float, float]
    precision: float
    recall: float
    frozen: float
    gazetteer: float
    types: dict[str, dict[str, float]]
    sentences: int
    mentions: int
    repeats: int
    chosen: dict[str, int]


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


def look(begin: Start, words: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], types: Sequence[str]) -> Seen:
    """Run the frozen layers on tagged sentences, once.

    Args:
        begin: the network and its tokenizer.
        words: of each sentence.
        tags: BIO, as many.
        types: of the entities.
    """
    laid = lay(begin.tokenizer, words, tags, types, begin.max_tokens)
    config = TaskConfig("yours", "yours", len(types), begin.max_tokens, len(laid.pool), len(laid.pool), "yours", 0.5)
    task = Task(config, laid.pool, labels=list(types), pad_id=begin.tokenizer.pad_id)
    learner = begin.setup.learner
    network = learner.backbone
    assert isinstance(network, WithFrozen)
    states = PoolStates(network.backbone, learner.depth, begin.max_tokens)
    sentences, classes = Sentences(laid.lengths, laid.tags), class_of(laid.tags).astype(np.int32)
    examples = states.examples(task, "support", np.arange(len(laid.pool)), classes)._replace(sentences=sentences)
    has = np.zeros((len(words), len(types)), bool)
    found = mentions_of_tags(sentences.tags, sentences.lengths)
    has[np.searchsorted(np.cumsum(sentences.lengths), found.start, side="right"), found.kind - 1] = True
    return Seen(laid, task, examples, sentences, classes, np.array(examples.hidden.frozen), has)


def fit(begin: Start, seen: Seen, rows: np.ndarray, folds: int, still: dict[str, Features]) -> Fit:
    """Choose a start on some of the sentences, by entity F1 in cross-validation and by the prior.

    Args:
        begin: what can be chosen.
        seen: all sentences.
        rows: those to choose on ``(k,)``, ascending, with every type.
        folds: of the cross-validation inside.
        still: features under starts that are the same for all tasks; what is missing is added.
    """
    embedding, similarity = np.zeros(0, np.float32), 0.0
    if begin.embedder is not None:
        embedding = begin.embedder.embed(_support_set(seen, rows))
        similarity = nearness(begin.library, embedding)
    known = dict(still)
    for name in dict.fromkeys(c.start for c in begin.candidates):
        if name not in known:
            known[name] = features_with(begin, seen.words.hidden, None, adapter_of(begin, name, embedding))
            if name != "hypernetwork":
                still[name] = known[name]
    fold = sentence_folds(seen.has[rows], folds, np.arange(len(rows)))
    counts: dict[str, list[Counts]] = {c.name: [] for c in begin.candidates}
    for number in range(folds):
        kept, out = rows[fold != number], rows[fold == number]
        if len(out):
            own = _sentences(seen, out)
            for name, classes in _read(begin, seen, begin.candidates, known, embedding, kept, out).items():
                counts[name].append(counted(classes, own))
    # as many examples as sentences were left out: what the prior weighs against
    left = int(np.count_nonzero(fold < folds)) if any(counts.values()) else 0
    choice = choose(
        begin.candidates, {name: np.full(left, _sum(own).f1) for name, own in counts.items()}, begin.prior, similarity
    )
    return Fit(choice, embedding, similarity, known)


def estimate(
    begin: Start, seen: Seen, types: Sequence[str], folds: int, repeats: int, seed: int, still: dict[str, Features]
) -> TagEstimate | None:
    """Cross-validate the choice itself; None where no sentence with an entity can be left out.

    Args:
        begin: what can be chosen.
        seen: all sentences.
        types: names of the entity types.
        folds: of the outer and of the inner cross-validation.
        repeats: repetitions of the outer one.
        seed: of its folds, and of the bootstrap.
        still: see `fit`.
    """
    rng, count = np.random.default_rng(seed), len(seen.has)
    by_sentence = np.zeros((count, 3), np.int64)
    by_type: list[list[Counts]] = [[] for _ in types]
    plain: list[Counts] = []
    looked_up: list[Counts] = []
    chosen: Counter[str] = Counter()
    tested = np.zeros(count, bool)
    for _ in range(repeats):
        fold = sentence_folds(seen.has, folds, rng.permutation(count))
        for number in range(folds):
            kept, out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            if not len(out):
                continue
            found = fit(begin, seen, kept, folds, still)
            best, own = found.choice.candidate, _sentences(seen, out)
            classes = _read(begin, seen, (FROZEN, best), found.known, found.embedding, kept, out)
            by_sentence[out] += _each(classes[best.name], own)
            for kind, counts in enumerate(by_type):
                counts.append(counted(classes[best.name], own, kind + 1))
            plain.append(counted(classes[FROZEN.name], own))
            looked_up.append(counted(gazetteer(_episode(seen, kept, out)), own))
            chosen[best.name] += 1
            tested[out] = True
    whole = Counts(*by_sentence.sum(axis=0).tolist())
    if not whole.gold:
        return None
    each = [_sum(counts) for counts in by_type]
    return TagEstimate(
        whole.f1,
        _interval(by_sentence[tested], rng),
        whole.precision,
        whole.recall,
        _sum(plain).f1,
        _sum(looked_up).f1,
        {
            name: {"precision": c.precision, "recall": c.recall, "f1": c.f1, "mentions": round(c.gold / repeats)}
            for name, c in zip(types, each, strict=True)
            if c.gold
        },
        int(tested.sum()),
        round(whole.gold / repeats),
        repeats,
        dict(chosen.most_common()),
    )


def sentence_folds(has: np.ndarray, folds: int, order: np.ndarray) -> np.ndarray:
    """A fold for each sentence, so that what is left of any fold has every type.

    Sentences of a type go round the folds, rare types first. Where all sentences of a type lie in one fold, the first
    of them is never left out.

    Args:
        has: which types each sentence has, bool ``(n, types)``.
        folds: how many.
        order: the sentences in the order in which they are dealt, ``(n,)``.

    Returns:
        int64 ``(n,)``, `folds` for a sentence that is never left out.
    """
    fold, sizes = np.full(len(has), -1), np.zeros(folds, np.int64)
    kinds = np.argsort(has.sum(axis=0), kind="stable")
    for own in [*(order[has[order, kind]] for kind in kinds), order]:
        here = np.bincount(fold[own][fold[own] >= 0], minlength=folds)
        for row in own[fold[own] < 0]:
            fold[row] = np.lexsort((sizes, here))[0]
            here[fold[row]] += 1
            sizes[fold[row]] += 1
    for kind in kinds:
        own = order[has[order, kind]]
        if len(own) and (fold[own] == fold[own[0]]).all():
            fold[own[0]] = folds
    return fold if len(has) > 1 else np.full(len(has), folds)


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


def _mentions(seen: Seen) -> np.ndarray:
    return mentions_of_tags(seen.sentences.tags, seen.sentences.lengths).kind


# --- reading


def _read(
    begin: Start,
    seen: Seen,
    candidates: Sequence[Candidate],
    known: dict[str, Features],
    embedding: np.ndarray,
    kept: np.ndarray,
    out: np.ndarray,
) -> dict[str, np.ndarray]:
    """Classes of the words of the sentences left out, by candidate's name, from those kept."""
    support, query = _words(seen, kept), _words(seen, out)
    hidden: Any = None  # candidates without a step read features alone
    first, second = (
        Examples(Beside(hidden, mx.array(seen.frozen[at])), mx.array(seen.classes[at])) for at in (support, query)
    )
    item = Item(first, second, seen.ways, mx.array(embedding), mx.arange(seen.ways - 1), "yours")
    logits = read(
        begin.setup, begin.method, begin.meta, item, list(dict.fromkeys(candidates)), parted(known, support, query)
    )
    transitions, lengths = _transitions(begin, seen, kept), seen.sentences.lengths[out]
    return {name: best_paths(np.array(each), lengths, transitions) for name, each in logits.items()}


def _transitions(begin: Start, seen: Seen, rows: np.ndarray) -> np.ndarray:
    """Those of meta-training and of the sentences that may be looked at; without a checkpoint of the latter alone."""
    lengths, tags = _sentences(seen, rows)
    if begin.setup.transitions is not None:
        return transitions_for(begin.setup.transitions, Sentences(lengths, tags))
    ragged = Ragged(tags, np.concatenate([[0], np.cumsum(lengths)]))
    return transitions_of([Pool("tagging", ragged, ragged)])


def _support_set(seen: Seen, rows: np.ndarray) -> SupportSet:
    """What the embedding of a task may see: its sentences are the windows, as in meta-training."""
    own = np.flatnonzero(np.isin(seen.laid.owner, rows))
    words = _words(seen, rows)
    x, lengths = gather_x(seen.laid.pool, own, seen.task.pad_id)
    sentences = Sentences(seen.laid.window_lengths[own], seen.sentences.tags[words])
    return SupportSet(seen.frozen[words], seen.classes[words], seen.ways, x, lengths, sentences=sentences)


def _episode(seen: Seen, kept: np.ndarray, out: np.ndarray) -> Episode:
    """Sentences kept and left out as an episode of windows."""
    fields: dict[str, Any] = {}
    for side, rows in (("support", kept), ("query", out)):
        own = np.flatnonzero(np.isin(seen.laid.owner, rows))
        fields[f"{side}_x"], fields[f"{side}_lengths"] = gather_x(seen.laid.pool, own, seen.task.pad_id)
        fields[f"{side}_y"] = gather_y(seen.laid.pool, own, own)
        fields[f"{side}_rows"] = own
    classes = np.arange(seen.ways - 1)
    return Episode(**fields, index=0, task_id="yours", family="yours", kind="sentences", classes=classes)


def _words(seen: Seen, rows: np.ndarray) -> np.ndarray:
    """Places of the words of sentences, which are named in ascending order."""
    return np.flatnonzero(np.isin(np.repeat(np.arange(len(seen.has)), seen.sentences.lengths), rows))


def _sentences(seen: Seen, rows: np.ndarray) -> Sentences:
    return Sentences(seen.sentences.lengths[rows], seen.sentences.tags[_words(seen, rows)])


# --- counting


def _sum(counts: Sequence[Counts]) -> Counts:
    return Counts(*(sum(column) for column in zip(Counts(0, 0, 0), *counts, strict=True)))


def _each(classes: np.ndarray, sentences: Sentences) -> np.ndarray:
    """Counts of each sentence, int64 ``(n, 3)``."""
    ends = np.cumsum(sentences.lengths)
    spans = zip(ends - sentences.lengths, ends, strict=True)
    return np.array([counted(classes[a:b], Sentences(np.array([b - a]), sentences.tags[a:b])) for a, b in spans])


def _interval(counts: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Percentile bootstrap interval of F1 over sentences (Efron 1981), from the counts of each ``(n, 3)``."""
    drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=RESAMPLES) @ counts
    low, high = np.quantile([Counts(*row).f1 for row in drawn.tolist()], [0.025, 0.975])
    return float(low), float(high)


# --- the tagger


def _tagger(begin: Start, seen: Seen, found: Fit, types: list[str]) -> Tagger:
    """The chosen candidate, made from all sentences."""
    candidate, learner = found.choice.candidate, begin.setup.learner
    network = learner.backbone
    assert isinstance(network, WithFrozen)
    features = beside(found.known[FROZEN.start].support, found.known[candidate.start].support, candidate.mix)
    params = classifier_of(begin.setup, begin.meta, candidate, features, seen.words.labels, seen.ways, None)
    params = {name: candidate.sharpness * each for name, each in params.items()}
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
        _transitions(begin, seen, np.arange(len(seen.has))),
    )
