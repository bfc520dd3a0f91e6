"""Judgement: irony, offensive wording and stance.

Irony is praise for something bad; sincere is praise for good or complaint about bad, so no single word gives it away.
Offensive is a (mild) insult that the writer aims at a thing or a team; a report, a rebuke of an insult and plain
criticism are inoffensive. Stance is for or against a local question, or neither; hard texts quote the other side's
reasons to reject them.
"""

from __future__ import annotations

from collections.abc import Callable

from metapeft.sources.grammar import judgement_lexicon as lexicon
from metapeft.sources.grammar.engine import ClassificationParams, Draw, Generator, Row, fill, one_of, phrases, sentence
from metapeft.sources.grammar.fillers import FILLERS

LABELS = {
    "irony": ["sincere", "ironic"],
    "offensive": ["inoffensive", "offensive"],
    "stance": ["against", "none", "favor"],
}
REASONS = {question: (phrases(pro), phrases(con)) for question, (pro, con) in lexicon.QUESTIONS.items()}


class JudgementParams(ClassificationParams):
    """Parameters of the generator ``judgement``."""

    task: one_of(tuple(LABELS))  # type: ignore[valid-type]


def _irony(draw: Draw, label: str, difficulty: float) -> list[str]:
    bad = label == "ironic" or draw.chance(0.25 + 0.25 * difficulty)
    event = fill(draw, draw.pick(lexicon.BAD_EVENTS if bad else lexicon.GOOD_EVENTS))
    praise = label == "ironic" or not bad
    comment = fill(draw, draw.pick(lexicon.PRAISE if praise else lexicon.COMPLAINTS))
    if label == "ironic" and draw.chance(0.9 - 0.9 * difficulty):
        comment = f"{fill(draw, draw.any(lexicon.IRONY_CUES))}, {comment}"
    return [event, comment] if draw.chance(0.7) else [comment, event]


def _offensive(draw: Draw, label: str, difficulty: float) -> list[str]:
    slots = {
        "target": draw.pick(lexicon.TARGETS),
        "insult": fill(draw, draw.pick(lexicon.INSULTS)),
        "criticism": lexicon.CRITICISM,
    }
    if label == "offensive":
        pieces = [fill(draw, draw.any(lexicon.INSULTING), slots)]
        if draw.chance(0.6 * difficulty):
            pieces.insert(0, fill(draw, draw.any(lexicon.POLITE), {**slots, "target": draw.any(lexicon.TARGETS)}))
        return pieces
    pieces = [fill(draw, draw.any(lexicon.REPORTED if draw.chance(0.8 * difficulty) else lexicon.POLITE), slots)]
    if draw.chance(0.3):
        pieces.append(fill(draw, draw.any(lexicon.POLITE), {**slots, "target": draw.any(lexicon.TARGETS)}))
    return pieces


def _stance(draw: Draw, label: str, difficulty: float) -> list[str]:
    question = draw.pick(tuple(REASONS))
    pros, cons = REASONS[question]
    named = {"question": question}
    if label == "none":
        pieces = [fill(draw, draw.any(lexicon.UNDECIDED), named)]
        if draw.chance(0.9 * difficulty):
            pieces.append(fill(draw, draw.any(lexicon.BOTH_SIDES), {"pro": pros, "con": cons}))
        return pieces
    ours, theirs = (pros, cons) if label == "favor" else (cons, pros)
    pieces = []
    if draw.chance(1 - 0.8 * difficulty):
        pieces.append(fill(draw, draw.any(lexicon.FAVOR if label == "favor" else lexicon.AGAINST), named))
    else:
        pieces.append(f"on {question}")
    if draw.chance(0.9 * difficulty) or len(pieces) == 1 and pieces[0].startswith("on "):
        pieces.append(fill(draw, draw.any(lexicon.REBUTTAL), {"reason": theirs}))
    if draw.chance(0.5):
        pieces.append(fill(draw, draw.any(lexicon.ARGUMENT), {"reason": ours}))
    return pieces


_TASKS = {"irony": _irony, "offensive": _offensive, "stance": _stance}


def judgement_labels(params: JudgementParams) -> list[str]:
    """Names of the judgements, in the order of their ids."""
    return list(LABELS[params.task])


def judgement_maker(params: JudgementParams) -> Callable[[Draw, str], Row]:
    """A function that makes a text to be judged, from a source of chance and a label."""
    pieces_of, difficulty = _TASKS[params.task], params.difficulty

    def make(draw: Draw, label: str) -> Row:
        pieces = pieces_of(draw, label, difficulty)
        for _ in range(2):
            if draw.chance(0.55):
                pieces.insert(0 if draw.chance(0.5) else len(pieces), fill(draw, draw.any(FILLERS)))
        return {"text": " ".join([sentence(piece) for piece in pieces])}

    return make


JUDGEMENT = Generator("classification", JudgementParams, judgement_labels, judgement_maker)
