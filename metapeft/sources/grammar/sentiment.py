"""Sentiment: opinions on the aspects of a thing, in ten domains.

Easy texts say it plainly with common words. Hard ones use rare words, negation, concession, expectations that did not
come true, and opinions on other things. The label is that of the main clause, which is always the last opinion on
the thing itself; a neutral text is lukewarm, or weighs two opinions and says that they cancel out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from metapeft.sources.grammar.engine import (
    ClassificationParams,
    Draw,
    Generator,
    Row,
    fill,
    one_of,
    sentence,
    typo,
)
from metapeft.sources.grammar.fillers import FILLERS
from metapeft.sources.grammar.sentiment_lexicon import (
    ASPECTS,
    BALANCED,
    CONTRASTS,
    ELSEWHERE,
    NEGATED,
    OPENERS,
    OPINION_HOLDERS,
    PLAIN,
    POLAR_WORDS,
    REVERSED,
    VERDICTS,
    Aspect,
    aspects,
    items,
)

OPPOSITE = {"positive": "negative", "negative": "positive"}


class SentimentParams(ClassificationParams):
    """Parameters of the generator ``sentiment``."""

    domain: one_of(tuple(ASPECTS))  # type: ignore[valid-type]
    classes: Literal[2, 3] = 2


def sentiment_labels(params: SentimentParams) -> list[str]:
    """Names of the classes, in the order of their ids."""
    return ["negative", "positive"] if params.classes == 2 else ["negative", "neutral", "positive"]


def sentiment_maker(params: SentimentParams) -> Callable[[Draw, str], Row]:
    """A function that makes a review or tweet with a sentiment, from a source of chance and a label."""
    things, about = items(params.domain), aspects(params.domain)
    difficulty = params.difficulty
    tweets = params.domain == "tweets"

    def word(draw: Draw, aspect: Aspect, polarity: str) -> str:
        own = aspect.polar.get(polarity)
        return draw.pick(own if own and draw.chance(0.35) else POLAR_WORDS[polarity])

    def clause(draw: Draw, aspect: Aspect, polarity: str, item: str) -> str:
        """One opinion; the harder, the likelier it is said by denying its opposite."""
        slots = {"noun": aspect.noun, "verb": aspect.verb, "item": item, "who": OPINION_HOLDERS}
        if polarity != "neutral" and draw.chance(0.22 * difficulty):
            template = draw.any(REVERSED if draw.chance(0.4) else NEGATED)
            polarity = OPPOSITE[polarity]
        else:
            template = draw.any(PLAIN)
        return fill(draw, template, {**slots, "word": word(draw, aspect, polarity)})

    def make(draw: Draw, label: str) -> Row:
        first, second = draw.sample(about, 2)
        item = draw.any(things)
        pieces = [fill(draw, draw.any(OPENERS), {"item": item})] if draw.chance(0.6) else []
        if draw.chance(0.35 * difficulty):
            pieces.append(fill(draw, draw.any(FILLERS)))
        if draw.chance(0.2 * difficulty):
            strange = draw.any(things)
            other = word(draw, first, draw.any(("positive", "negative")))
            pieces.append(fill(draw, draw.any(ELSEWHERE), {"item": strange, "word": other, "who": OPINION_HOLDERS}))
        if label == "neutral":
            pieces += neutral(draw, first, second, item)
        elif draw.chance(0.3 * difficulty):
            aside = clause(draw, first, OPPOSITE[label], item)
            pieces.append(fill(draw, draw.any(CONTRASTS), {"aside": aside, "main": clause(draw, second, label, item)}))
        else:
            pieces.append(clause(draw, first, label, item))
            if draw.chance(0.8 - 0.2 * difficulty):
                pieces.append(clause(draw, second, label, item))
        if draw.chance(0.5):
            pieces.append(fill(draw, draw.pick(VERDICTS[label])))
        text = " ".join([sentence(piece) for piece in pieces])
        if tweets:
            text = text.lower() if draw.chance(0.5) else text
            for _ in range(2):
                text = typo(draw, text) if draw.chance(0.8 * difficulty) else text
        return {"text": text}

    def neutral(draw: Draw, first: Aspect, second: Aspect, item: str) -> list[str]:
        if not draw.chance(0.5 * difficulty):
            return [clause(draw, first, "neutral", item), clause(draw, second, "neutral", item)][: draw.between(1, 2)]
        one, two = draw.shuffled(("positive", "negative"))
        return [clause(draw, first, one, item), clause(draw, second, two, item), fill(draw, draw.any(BALANCED))]

    return make


SENTIMENT = Generator("classification", SentimentParams, sentiment_labels, sentiment_maker)
