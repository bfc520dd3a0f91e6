"""Summarization: documents told from a small table of facts, with sentences that matter and sentences that do not.

The target is computed from the same facts: a sentence of its own (abstractive), the sentences that matter as they stand
in the text (extractive), or a list of facts (bullets). Difficulty is the number of sentences that do not matter and
whether the ones that do may stand anywhere.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from metapeft.sources.grammar.engine import Draw, Generator, Params, Row, capitalized, fill, one_of, sentence
from metapeft.sources.grammar.summarization_lexicon import FACTS, STORIES

STYLES = ("abstractive", "extractive", "bullets")


class SummarizationParams(Params):
    """Parameters of the generator ``summarization``."""

    domain: one_of(tuple(STORIES))  # type: ignore[valid-type]
    style: one_of(STYLES)  # type: ignore[valid-type]
    difficulty: float = Field(default=0.5, ge=0, le=1)


def summarization_maker(params: SummarizationParams) -> Callable[[Draw, str], Row]:
    """A function that makes a text and its summary, from a source of chance; it has no use for a label."""
    stories = STORIES[params.domain]
    dialogue = params.domain == "dialogue"

    def make(draw: Draw, label: str) -> Row:
        story = draw.any(stories)
        facts = {name: fill(draw, draw.any(FACTS[name])) for name in story.facts}
        if dialogue:
            facts["one"], facts["two"] = draw.sample(FACTS["speaker"], 2)
        salient = [sentence(fill(draw, draw.any(wordings), facts)) for wordings in story.salient]
        count = 2 + round(5 * params.difficulty)
        fillers = [sentence(fill(draw, text, {**facts, **FACTS})) for text in draw.sample(story.distractors, count)]
        if draw.chance(params.difficulty):
            order = sorted(draw.sample(range(len(salient) + len(fillers)), len(salient)))
        else:
            order = list(range(len(salient)))
        rest, main = iter(fillers), iter(salient)
        document = [next(main) if place in order else next(rest) for place in range(len(salient) + len(fillers))]
        if dialogue:
            names = (facts["one"], facts["two"])
            text = "\n".join(f"{names[turn % 2]}: {line}" for turn, line in enumerate(document))
        else:
            text = " ".join(document)
        if params.style == "extractive":
            target = " ".join(salient)
        elif params.style == "bullets":
            target = "\n".join(f"- {name}: {facts[key]}" for name, key in story.bullets)
        else:
            target = sentence(fill(draw, story.abstract, facts))
        return {"text": text, "target": capitalized(target)}

    return make


SUMMARIZATION = Generator("generation", SummarizationParams, lambda params: [], summarization_maker)
