"""Topic: what a text is about, in seven styles from news to encyclopedia entries.

Easy texts use common words of one topic. Hard ones draw on the whole lexicon, use fewer words of the topic, and
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
    phrases,
    sentence,
    words,
)
from metapeft.sources.grammar.fillers import FILLERS
from metapeft.sources.grammar.topic_lexicon import BANKS

SHARED = {
    "who": words("""officials, residents, several readers, two researchers, local people, critics, two writers, volunteers, families,
        visitors, many experts, commentators, some observers, our readers, neighbours"""),
    "day": words("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday, this morning, last night, this week"),
    "place": words("""Norbridge, Velmora, East Harrow, Castleton, Port Elin, Sankt Orla, Marrow Bay, Tallis, Upper Wend, Kestrel Hill, Brenning,
        Lowfield, Dunmere, Ashport, Quillan, Rossvale, Harl, the valley, the coast, the capital, the north"""),
    "name": words("""Aldra, Benwick, Corvane, Delmo, Eskar, Fennimore, Galdry, Hollin, Istrel, Jorvane, Kelmore, Lindra, Morvay, Nestor, Ostrava
        Minor, Pellham, Quorin, Rendal, Silvane, Tormund, Ulvary, Vestra, Wexley, Yarrin, Zelmont"""),
    "surname": words("Abbott, Berger, Castell, Dunmore, Eriksen, Farouk, Holloway, Jansen, Kowal, Moreau, Nakano, Okafor, Silva, Varga"),
    "number": words("three, four, five, seven, nine, a dozen, twenty, forty, sixty, a hundred"),
}

MAIN: dict[str, tuple[str, ...]] = {
    "news": phrases("""{who} in {place} [worry|speak|disagree] about {term} and {term}; {day}: [new|fresh] questions about {term};
        {place} waits for news on {term}; [report|study|survey]: {number} [changes|surprises] in the story of {term};
        {who} [welcomed|criticised|explained] the latest on {term} {day}; a [long|difficult] year for {term} in {place};
        how {term} and {term} changed {place}; {who} [blame|thank|point to] {term}"""),
    "questions": phrases("""what should I know about {term}; how does {term} [work|compare] with {term};
        where in {place} can I [learn|read] about {term}; why do {who} care so much about {term};
        who can explain {term} to a beginner; is it true what they say about {term};
        what is the [best|first] thing to ask about {term}; when did {term} become such a big subject"""),
    "snippets": phrases("""{term} - [guide|tips|overview|archive] - {place}; {term}, {term}: [links|notes|pictures]; {number} facts about {term};
        [learn|find out] more about {term}; {place} directory: {term}; {term} [explained|in brief|for beginners]; [home|index] > {term} > {term}"""),
    "social": phrases("""[cannot|can't] stop thinking about {term}; [ok|so] {term} again, {day} is saved; anyone else up for {term} in {place}?;
        {number} hours of {term} and [counting|I am tired]; hot take: {term} beats {term}; my feed is nothing but {term};
        [day|week] {number} with {term}, wish me luck; {term}. that is the post"""),
    "science": phrases("""we study {term} [with|by means of] {method}; this paper presents {method} for {term};
        {method} [reveals|quantifies|constrains] how {term} depend on {term}; we report {number} [experiments|results] on {term};
        a(n) [improved|open|simple] account of {term} is given; {term} are revisited using {method};
        what limits {term} is not well understood, and we offer {method}"""),
    "products": phrases("""the {term} arrived {day} and [looks|feels] [fine|solid|nice]; [bought|ordered] this {term} for my [aunt|brother|partner];
        {term}, [pack of|set of] {number}; this {term} is [just what I needed|used every day]; {term} with {feature};
        we [keep|store] the {term} next to the {term}; a(n) {term} that [lasts|fits|travels well]"""),
    "ontology": phrases("""{name} is {term} [in|from|of] {place}; {name} {surname} ([active|known] from {year}) was {term} in {place};
        the name {name} refers to {term} [found|recorded|first mentioned] in {year}; {name}, {term} known for {feature}, dates from {year};
        {name} [is listed as|counts as|is regarded as] {term}"""),
}  # fmt: skip

ASIDES: dict[str, tuple[str, ...]] = {
    "news": phrases("""not {other}, for once; while {other} [made|filled] the headlines last week; after a long report on {other};
        the talk of {other} aside; on a page that usually covers {other}; unlike {other}, which got all the space before"""),
    "questions": phrases("""I know all about {other} already, so; forget {other} for a moment; my friend asks about {other}, but I wonder;
        this has nothing to do with {other}; after reading too much about {other}"""),
    "snippets": phrases("""(no longer here: {other}); moved elsewhere: {other}; not about {other}; previous section was {other}"""),
    "social": phrases("""everyone is on about {other} but; muted {other}; done with {other} for today; no more {other} please;
        my brother posts {other} all day, me"""),
    "science": phrases("""in contrast to earlier work on {other}; borrowing an idea from the study of {other}; with methods first made for {other};
        {other} are outside our scope; although the same group is known for {other}"""),
    "products": phrases("""sent back the {other} and kept this; came in the same box as the {other}; instead of the {other} I first looked at;
        no, this is not the {other}; it was between this and the {other}"""),
    "ontology": phrases("""not to be confused with {other} of the same name; near {other}; named after {other}; once mistaken for {other};
        shown on a stamp beside {other}"""),
}

DETAILS = {
    "method": words("""a survey, a simple model, new measurements, simulations, a large data set, a theoretical bound, field observations,
        a controlled experiment, an efficient method, a review of the evidence, a unified framework, numerical analysis"""),
    "feature": words("""a two-year guarantee, a matching bag, its blue colour, an unusual shape, a long tradition, a small label, its size,
        a yearly festival, careful restoration, a quiet reputation, its many names"""),
    "year": tuple(str(year) for year in range(1790, 2021, 7)),
}  # fmt: skip
STYLES = tuple(MAIN)


class TopicParams(ClassificationParams):
    style: one_of(STYLES)  # type: ignore[valid-type]
    classes: int = Field(default=8, ge=4, le=20, description="the first so many topics of the style")

    @model_validator(mode="after")
    def _enough_topics(self) -> TopicParams:
        most = len(BANKS[self.style])
        if self.classes > most:
            raise ValueError(f"style {self.style!r} has {most} topics, classes={self.classes} is too many")
        return self


def topic_labels(params: TopicParams) -> list[str]:
    return list(BANKS[params.style])[: params.classes]


def topic_maker(params: TopicParams) -> Callable[[Draw, str], Row]:
    names = topic_labels(params)
    terms = {name: words(BANKS[params.style][name]) for name in names}
    templates, asides = MAIN[params.style], ASIDES[params.style]
    difficulty, end = params.difficulty, "?" if params.style == "questions" else ""
    base = {**SHARED, **DETAILS}

    def make(draw: Draw, label: str) -> Row:
        slots = {**base, "term": terms[label], "name": draw.any(SHARED["name"])}  # one name a text
        main = fill(draw, draw.any(templates), slots)
        if draw.chance(0.25 * difficulty):
            rival = label
            while rival == label:
                rival = draw.any(names)
            aside = fill(draw, draw.any(asides), {"other": terms[rival]})
            main = f"{main}, {aside}" if params.style == "ontology" else f"{aside}, {main}"
        pieces = [sentence(main + end)]
        if draw.chance(0.9 - 0.15 * difficulty):
            pieces.append(sentence(fill(draw, draw.any(templates), slots) + end))
        if draw.chance(0.4 * difficulty):
            pieces.insert(0, sentence(fill(draw, draw.any(FILLERS))))
        text = " ".join(pieces)
        return {"text": text.lower() if params.style in ("social", "snippets") else text}

    return make


TOPIC = Generator("classification", TopicParams, topic_labels, topic_maker)
