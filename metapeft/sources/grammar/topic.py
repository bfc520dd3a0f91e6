"""Topic: what a text is about, in seven styles from news to encyclopedia entries.

Easy texts use common words of one topic. Hard ones draw on the whole lexicon, and
mention other topics in asides, denials and comparisons; the label is what the main clause is about.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field, model_validator

from metapeft.sources.grammar.engine import (
    ClassificationParams,
    Draw,
    Generator,
    Row,
    fill,
    one_of,
    sentence,
    words,
)
from metapeft.sources.grammar.fillers import FILLERS
from metapeft.sources.grammar.topic_lexicon import ASIDES, BANKS, DETAILS, MAIN, SHARED

STYLES = tuple(MAIN)


class TopicParams(ClassificationParams):
    """Parameters of the generator ``topic``."""

    style: one_of(STYLES)  # type: ignore[valid-type]
    classes: int = Field(default=8, ge=4, le=20, description="the first so many topics of the style")

    @model_validator(mode="after")
    def _enough_topics(self) -> TopicParams:
        most = len(BANKS[self.style])
        if self.classes > most:
            raise ValueError(f"style {self.style!r} has {most} topics, classes={self.classes} is too many")
        return self


def topic_labels(params: TopicParams) -> list[str]:
    """Names of the topics, in the order of their ids."""
    return list(BANKS[params.style])[: params.classes]


def topic_maker(params: TopicParams) -> Callable[[Draw, str], Row]:
    """A function that makes a text on a topic, from a source of chance and a label."""
    names = topic_labels(params)
    terms = {name: words(BANKS[params.style][name]) for name in names}
    templates, asides = MAIN[params.style], ASIDES[params.style]
    difficulty, end = params.difficulty, "?" if params.style == "questions" else ""
    base = {**SHARED, **DETAILS}

    def make(draw: Draw, label: str) -> Row:
        slots = {**base, "term": terms[label], "name": draw.any(SHARED["name"])}  # one name a text
        main = fill(draw, draw.any(templates), slots)
        if draw.chance(0.18 * difficulty):
            rival = label
            while rival == label:
                rival = draw.any(names)
            aside = fill(draw, draw.any(asides), {"other": terms[rival]})
            main = f"{main}, {aside}" if params.style == "ontology" else f"{aside}, {main}"
        pieces = [sentence(main + end)]
        if draw.chance(0.95):
            pieces.append(sentence(fill(draw, draw.any(templates), slots) + end))
        if draw.chance(0.4 * difficulty):
            pieces.insert(0, sentence(fill(draw, draw.any(FILLERS))))
        text = " ".join(pieces)
        return {"text": text.lower() if params.style in ("social", "snippets") else text}

    return make


TOPIC = Generator("classification", TopicParams, topic_labels, topic_maker)
