"""Which start suits tagged sentences, and how well what is chosen so finds entities.

The counterpart of `choosing` where words are tagged. Folds are of sentences; the figure is strict entity F1, its
mentions counted over all folds. The estimate is cross-validation around the choice, as for classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from metapeft.adapting.choosing import Fit, fit_on, parted
from metapeft.adapting.starts import Start
from metapeft.adapting.windows import Laid, lay
from metapeft.embeddings.support import SupportSet
from metapeft.episodes.episode import Episode, Sentences
from metapeft.evaluation.tagging_baselines import gazetteer
from metapeft.meta.folds import sentence_folds
from metapeft.meta.inner_loop import Examples
from metapeft.meta.judge import Counts, best_paths, counted
from metapeft.meta.methods import Item, transitions_of_item
from metapeft.meta.select import FROZEN, Candidate, Features, read
from metapeft.meta.states import Beside, PoolStates, WithFrozen
from metapeft.mlx import mx
from metapeft.tasks.config import TaskConfig
from metapeft.tasks.padding import gather_x, gather_y
from metapeft.tasks.tags import class_of, mentions_of_tags
from metapeft.tasks.task import Task

RESAMPLES = 2_000


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
    words, hidden = _words(seen, rows), (seen.words.hidden, None)
    return fit_on(
        begin,
        lambda: _support_set(seen, rows),
        hidden,
        words,
        lambda embedding: _item(seen, rows, embedding),
        folds,
        still,
    )


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
            classes = _read(begin, seen, (FROZEN, best), found, kept, out)
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


# --- reading


def _read(
    begin: Start, seen: Seen, candidates: Sequence[Candidate], found: Fit, kept: np.ndarray, out: np.ndarray
) -> dict[str, np.ndarray]:
    """Classes of the words of the sentences left out, by candidate's name, from those kept."""
    support, query = _words(seen, kept), _words(seen, out)
    item = _item(seen, kept, found.embedding)._replace(query=_examples(seen, out))
    known = parted(found.known, support, query)
    logits = read(begin.setup, begin.method, begin.meta, item, list(dict.fromkeys(candidates)), known)
    transitions, lengths = transitions_of_item(begin.setup, item), seen.sentences.lengths[out]
    assert transitions is not None
    return {name: best_paths(np.array(each), lengths, transitions) for name, each in logits.items()}


def _item(seen: Seen, rows: np.ndarray, embedding: np.ndarray) -> Item:
    """Sentences as an item that is its own query set."""
    own = _examples(seen, rows)
    return Item(own, own, seen.ways, mx.array(embedding), mx.arange(seen.ways - 1), "yours")


def _examples(seen: Seen, rows: np.ndarray) -> Examples:
    """The words of sentences, without hidden states: candidates without a step read features alone."""
    hidden: Any = None
    at = _words(seen, rows)
    own = Beside(hidden, mx.array(seen.frozen[at])), mx.array(seen.classes[at])
    return Examples(*own, sentences=_sentences(seen, rows))


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
