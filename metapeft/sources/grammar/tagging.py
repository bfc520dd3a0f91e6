"""Tagging: sentences with named entities and BIO tags, in four domains.

Difficulty is the share of names made of words that also name something else (`Jordan left Austin` says a person and
an organization, a person and a place, …: the sentence around tells), of longer texts and, for social posts, of
lower-cased texts.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from metapeft.sources.grammar.engine import Draw, Generator, Params, Row, fill, one_of
from metapeft.sources.grammar.tagging_lexicon import HARD, NAMES, PARTS, TEMPLATES


class TaggingParams(Params):
    """Parameters of the generator ``tagging``."""

    domain: one_of(tuple(NAMES))  # type: ignore[valid-type]
    difficulty: float = Field(default=0.5, ge=0, le=1)


def entity_types(params: TaggingParams) -> list[str]:
    """Names of the entity types of the domain."""
    return list(NAMES[params.domain])


def tagging_maker(params: TaggingParams) -> Callable[[Draw, str], Row]:
    """A function that makes words and their tags, from a source of chance; it has no use for a label."""
    names, hard, templates = NAMES[params.domain], HARD[params.domain], TEMPLATES[params.domain]
    marks = {f"<{kind}>": kind for kind in names}
    slots = {**PARTS, **{kind: f"<{kind}>" for kind in names}}  # the first filling leaves a mark for each name
    difficulty = params.difficulty

    def make(draw: Draw, label: str) -> Row:
        tokens: list[str] = []
        tags: list[str] = []
        for _ in range(1 + draw.chance(0.35 + 0.4 * difficulty)):
            for word in fill(draw, draw.any(templates), slots).split():
                kind = marks.get(word)
                if kind is None:
                    tokens.append(word)
                    tags.append("O")
                    continue
                patterns = hard[kind] if draw.chance(0.75 * difficulty) else names[kind]
                name = fill(draw, draw.any(patterns), PARTS).split()
                tokens += name
                tags += [f"B-{kind}"] + [f"I-{kind}"] * (len(name) - 1)
        if params.domain == "social" and draw.chance(0.3 + 0.7 * difficulty):
            tokens = [token.lower() for token in tokens]
        return {"tokens": tokens, "tags": tags}

    return make


TAGGING = Generator("tagging", TaggingParams, entity_types, tagging_maker)
