"""Emotion: what the writer feels, in diary, social and dialogue style.

Easy texts name the feeling. Hard ones tell what happened and what the writer does, and name another feeling that
somebody else has or that the writer denies; the label is what the writer feels now.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from pydantic import Field

from metapeft.sources.grammar.emotion_lexicon import CLAUSES, EMOTIONS, OPENINGS
from metapeft.sources.grammar.engine import (
    ClassificationParams,
    Draw,
    Generator,
    Row,
    fill,
    one_of,
    phrases,
    sentence,
    typo,
    words,
)
from metapeft.sources.grammar.fillers import FILLERS

NAMED, OTHERS = phrases(CLAUSES["named"]), phrases(CLAUSES["others"])


@cache
def wordings() -> dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]]:
    """Emotion to (feeling words, events, reactions)."""
    out: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {}
    for line in EMOTIONS.strip().splitlines():
        name, _, lists = line.strip().partition(": ")
        feelings, events, reactions = lists.split(" / ")
        out[name] = (words(feelings), phrases(events), phrases(reactions))
    return out


class EmotionParams(ClassificationParams):
    """Parameters of the generator ``emotion``."""

    domain: one_of(tuple(OPENINGS)) = "diary"  # type: ignore[valid-type]
    classes: int = Field(default=6, ge=2, le=8, description="the first so many emotions")


def emotion_labels(params: EmotionParams) -> list[str]:
    """Names of the emotions, in the order of their ids."""
    return list(wordings())[: params.classes]


def emotion_maker(params: EmotionParams) -> Callable[[Draw, str], Row]:
    """A function that makes a text that shows an emotion, from a source of chance and a label."""
    known, names, openings = wordings(), emotion_labels(params), phrases(OPENINGS[params.domain])
    difficulty = params.difficulty

    def make(draw: Draw, label: str) -> Row:
        feelings, events, reactions = known[label]
        pieces = [fill(draw, draw.any(events))]
        if draw.chance(0.6):
            pieces.append(fill(draw, draw.any(reactions)))
        if draw.chance(1 - 0.75 * difficulty):
            pieces.append(fill(draw, draw.any(NAMED), {"feeling": feelings}))
        if draw.chance(0.85 * difficulty):
            rival = label
            while rival == label:
                rival = draw.any(names)
            pieces.insert(draw.between(0, len(pieces)), fill(draw, draw.any(OTHERS), {"other": known[rival][0]}))
        if draw.chance(0.5 + 0.3 * difficulty):
            pieces.insert(draw.between(0, len(pieces)), fill(draw, draw.any(FILLERS)))
        pieces.insert(0, fill(draw, draw.any(openings)))
        text = " ".join([sentence(piece) for piece in pieces])
        if params.domain == "social":
            text = text.lower() if draw.chance(0.6) else text
            text = typo(draw, text) if draw.chance(0.7 * difficulty) else text
        return {"text": text}

    return make


EMOTION = Generator("classification", EmotionParams, emotion_labels, emotion_maker)
