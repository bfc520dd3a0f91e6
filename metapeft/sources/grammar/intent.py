"""Intent: what somebody who writes to a bank, an airline, an assistant … wants.

Easy texts name the request in common words. Hard ones describe a situation that implies it, and mention another
intent that is said not to be the point; the label is what the writer wants now.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from pydantic import Field, model_validator

from metapeft.sources.grammar.engine import ClassificationParams, Draw, Generator, Row, fill, one_of, phrases, sentence
from metapeft.sources.grammar.fillers import FILLERS
from metapeft.sources.grammar.intent_lexicon import ASIDES, FRAMES, INTENTS, TAILS

DOMAINS = (*INTENTS, "all")
FRAME, ASIDE, TAIL = phrases(FRAMES), phrases(ASIDES), phrases(TAILS)


@cache
def wordings(domain: str) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Intent to (requests, situations); the domain `all` has those of every domain."""
    if domain == "all":
        return {name: both for part in INTENTS for name, both in wordings(part).items()}
    out = {}
    for line in INTENTS[domain].strip().splitlines():
        name, _, lists = line.strip().partition(": ")
        requests, _, situations = lists.partition(" / ")
        out[name] = (phrases(requests), phrases(situations))
    return out


class IntentParams(ClassificationParams):
    """Parameters of the generator ``intent``."""

    domain: one_of(DOMAINS)  # type: ignore[valid-type]
    classes: int | None = Field(default=None, ge=2, description="the first so many intents; without it, all")

    @model_validator(mode="after")
    def _enough_intents(self) -> IntentParams:
        most = len(wordings(self.domain))
        if self.classes is not None and self.classes > most:
            raise ValueError(f"domain {self.domain!r} has {most} intents, classes={self.classes} is too many")
        return self


def intent_labels(params: IntentParams) -> list[str]:
    """Names of the intents, in the order of their ids."""
    return list(wordings(params.domain))[: params.classes]


def intent_maker(params: IntentParams) -> Callable[[Draw, str], Row]:
    """A function that makes a request with an intent, from a source of chance and a label."""
    known = wordings(params.domain)
    names = intent_labels(params)
    difficulty = params.difficulty

    def make(draw: Draw, label: str) -> Row:
        requests, situations = known[label]
        if draw.chance(0.1 + 0.65 * difficulty):
            pieces = [fill(draw, draw.any(situations))]
            if draw.chance(0.25):
                pieces.append(fill(draw, draw.any(situations)))
            if draw.chance(0.7):
                pieces.append(fill(draw, draw.any(TAIL)))
        else:
            pieces = [fill(draw, draw.any(FRAME), {"request": requests})]
            if draw.chance(0.4):
                pieces.append(fill(draw, draw.any(TAIL)))
        if draw.chance(0.75 * difficulty):
            rival = label
            while rival == label:
                rival = draw.any(names)
            aside = fill(draw, draw.any(ASIDE), {"other": known[rival][0]})
            pieces.insert(0 if draw.chance(0.5) else len(pieces), aside)
        if draw.chance(0.3 + 0.2 * difficulty):
            pieces.insert(0, fill(draw, draw.any(FILLERS)))
        return {"text": " ".join([sentence(piece) for piece in pieces])}

    return make


INTENT = Generator("classification", IntentParams, intent_labels, intent_maker)
