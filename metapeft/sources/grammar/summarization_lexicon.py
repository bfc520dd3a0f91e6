"""Stories: which facts they have, how the facts are told, what surrounds them, and how a summary puts it."""

from __future__ import annotations

from dataclasses import dataclass

from metapeft.sources.grammar.engine import phrases, words


@dataclass(frozen=True)
class Story:
    """A kind of document.

    Attributes:
        facts: the names of its facts, keys of `FACTS`.
        salient: sentences that carry the facts, in order; each in several wordings.
        distractors: sentences that a summary leaves out.
        abstract: the summary as one sentence.
        bullets: (name shown, fact) pairs.
    """

    facts: tuple[str, ...]
    salient: tuple[tuple[str, ...], ...]
    distractors: tuple[str, ...]
    abstract: str
    bullets: tuple[tuple[str, str], ...]


FACTS: dict[str, tuple[str, ...]] = {
    "town": words("Norbridge, Velmora, Kestrel Hill, Brenning, Lowfield, Ashport, Rossvale, Harl, Dunmere, Tallis, Quillan, Upper Wend, Castleton"),
    "weekday": words("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"),
    "count": words("two, three, five, eight, twelve, twenty, forty, ninety, a hundred and ten, two hundred, six hundred"),
    "sum": phrases("[two|three|four|six|nine|twelve|thirty] million [crowns|francs|dollars]; [forty|sixty|ninety] thousand [crowns|francs|dollars]"),
    "cause": phrases("a burst [pipe|dam|drain]; three days of rain; a [lightning|lorry] strike; a short circuit; melting snow; a fallen [tree|crane]"),
    "disaster": words("flood, fire, landslide, power cut, gas leak, storm, bridge collapse"),
    "harm": phrases("cut off the [hospital|station|harbour]; destroyed [nine|twenty] houses; closed [two|four] schools; stopped all trains"),
    "building": words("library, swimming pool, footbridge, museum, tram line, concert hall, market hall, fire station, clinic"),
    "company": phrases("[Aldra|Benwick|Corvane|Delmo|Eskar|Galdry|Hollin|Jorvane] [Steel|Foods|Motors|Paper|Energy|Textiles]"),
    "buyer": phrases("[Kelmore|Lindra|Morvay|Pellham|Rendal|Silvane|Vestra|Wexley] [Group|Holdings|Partners|Capital]"),
    "animal": words("honey bees, field mice, river trout, barn owls, fruit flies, garden snails, house crickets, tree frogs, pond turtles"),
    "factor": phrases("[street|blue] light at night; loud traffic; warm winters; a diet rich in [sugar|salt]; crowded nests; low oxygen; daily handling"),
    "effect": phrases("slept [less|longer]; found food [faster|more slowly]; laid [fewer|more] eggs; grew [smaller|larger]; moved [less|farther]; lived [longer|shorter]"),
    "percent": tuple(f"{number} percent" for number in (8, 11, 14, 17, 21, 26, 29, 34, 38, 43, 52, 61)),
    "material": phrases("[glass|carbon|clay|hemp|wood] fibre; recycled [rubber|paper]; a [zinc|nickel|copper] alloy; porous [silica|concrete]"),
    "property": words("strength, weight, heat loss, hardness, cost, flexibility, water uptake, noise"),
    "treatment": phrases("[heating|freezing|soaking|pressing] it for [two|six|ten] hours; adding [lime|ash|salt]; a thin [wax|oxide] layer"),
    "speaker": words("Ana, Ben, Chloe, Dev, Ella, Finn, Gita, Hugo, Iris, Jack, Kira, Liam, Mona, Nils, Olive, Paul"),
    "meal": phrases("lunch; dinner; a [walk|swim|coffee]; the [film|concert|match]; breakfast; a round of chess"),
    "hour": phrases("[five|six|seven|eight|nine]; half past [five|six|seven|eight]; a quarter to [six|seven|eight]"),
    "venue": phrases("the [old|new] [bakery|cinema|station|bridge|pool]; the cafe on [Mill|Queen|Park] Street; the [north|south] gate"),
    "gear": words("the tickets, an umbrella, warm socks, the map, a camera, the board, some cash, the blue bag, sandwiches"),
    "appliance": words("dishwasher, laptop, bicycle, heater, printer, phone, boiler, coffee machine, washing machine"),
    "fault": phrases("leaks at the [door|bottom]; makes a [grinding|whistling] noise; will not [start|stop]; smells of [smoke|rubber]; shows [a red light|code nine]"),
    "remedy": phrases("clean the filter; change the [cable|belt|battery]; call the [shop|repair service]; send it back; press reset for [ten|thirty] seconds"),
}  # fmt: skip

_NEWS = phrases("""the sky was [grey|clear] for most of the week; a spokesman [declined|refused] to give his name; the town has a long history of [weaving|fishing|mining];
    [children|pupils] had the day off anyway; a similar case was heard of [two|ten] years ago in another valley; our reporter arrived by bus;
    the mayor, who likes [chess|sailing], wore a raincoat; local radio played music all [morning|night]; tourism has grown slowly;
    the weekly market went ahead as usual; some neighbours drank tea and watched; the next election is [a year|two years] away""")
_SCIENCE = phrases("""the question has a long history; earlier studies used [small|other] samples; the work was funded by a [national|private] foundation;
    all data were stored [on paper|in a public archive]; the authors thank [two|three] assistants; methods of this kind are widely known;
    the season was [dry|wet|mild]; further studies are planned; instruments were checked [daily|weekly]; the statistics followed common practice;
    the term has been defined in several ways; similar questions arise in [farming|building|medicine]""")
_DIALOGUE = phrases("""did you see the [snow|news|match] yesterday?; my [cat|dog|brother] is asleep on the sofa; [ha|hm|well], you always say that; I am so tired today;
    the [bus|tram] was full again; [sorry|wait], the doorbell; how is your [mother|sister|new job]?; I had [soup|noodles|toast] for lunch;
    it is [cold|hot|windy] outside; [lovely|great|right]; that reminds me of last summer; my phone is nearly dead""")

STORIES: dict[str, tuple[Story, ...]] = {
    "news": (
        Story(
            ("disaster", "town", "weekday", "cause", "harm", "count"),
            (phrases("a {disaster} [hit|struck] {town} on {weekday} after {cause}; on {weekday} {cause} led to a {disaster} in {town}"),
             phrases("it {harm}, and {count} people had to leave their homes; {count} people were brought to safety after it {harm}")),
            _NEWS, "a {disaster} in {town}, caused by {cause}, {harm} and drove {count} people from their homes on {weekday}",
            (("what", "disaster"), ("where", "town"), ("when", "weekday"), ("why", "cause"), ("people affected", "count")),
        ),
        Story(
            ("town", "building", "sum", "weekday", "count"),
            (phrases("{town} opened its new {building} on {weekday}; on {weekday} the new {building} of {town} opened its doors"),
             phrases("it cost {sum} and created {count} jobs; {count} people found work there, and the price was {sum}")),
            _NEWS, "the new {building} in {town}, which cost {sum} and created {count} jobs, opened on {weekday}",
            (("what", "building"), ("where", "town"), ("when", "weekday"), ("cost", "sum"), ("jobs", "count")),
        ),
        Story(
            ("company", "buyer", "sum", "town", "count"),
            (phrases("{buyer} is buying {company} for {sum}; {company} has been sold to {buyer} for {sum}"),
             phrases("{count} jobs at the plant in {town} will go; the plant in {town} will lose {count} jobs")),
            _NEWS, "{buyer} buys {company} for {sum}, and {count} jobs go in {town}",
            (("buyer", "buyer"), ("company", "company"), ("price", "sum"), ("jobs lost", "count"), ("where", "town")),
        ),
    ),
    "science": (
        Story(
            ("animal", "factor", "effect", "percent", "count"),
            (phrases("we tested whether {factor} changes the behaviour of {animal}; this study asks how {animal} respond to {factor}"),
             phrases("over {count} weeks, {animal} in the treated group {effect} by {percent}; treated animals {effect} by {percent} in {count} weeks")),
            _SCIENCE, "under {factor}, {animal} {effect} by {percent} within {count} weeks",
            (("subject", "animal"), ("condition", "factor"), ("result", "effect"), ("size", "percent"), ("weeks", "count")),
        ),
        Story(
            ("material", "treatment", "property", "percent", "count"),
            (phrases("we treated {material} by {treatment}; samples of {material} were improved by {treatment}"),
             phrases("its {property} changed by {percent} in {count} trials; in {count} trials the {property} differed by {percent}")),
            _SCIENCE, "{treatment} changes the {property} of {material} by {percent}",
            (("material", "material"), ("treatment", "treatment"), ("property", "property"), ("change", "percent")),
        ),
    ),
    "dialogue": (
        Story(
            ("meal", "hour", "venue", "weekday", "gear"),
            (phrases("shall we meet for {meal} on {weekday} at {hour}?; are you free on {weekday} at {hour} for {meal}?"),
             phrases("yes, let us meet at {venue}, and please bring {gear}; fine, {venue} it is, and do not forget {gear}")),
            _DIALOGUE, "{one} and {two} will meet at {venue} on {weekday} at {hour} for {meal}; somebody brings {gear}",
            (("what", "meal"), ("when", "weekday"), ("time", "hour"), ("where", "venue"), ("bring", "gear")),
        ),
        Story(
            ("appliance", "fault", "remedy", "weekday"),
            (phrases("my {appliance} {fault} since {weekday}; since {weekday} the {appliance} {fault}"),
             phrases("you could {remedy}; I would {remedy}; the best thing is to {remedy}")),
            _DIALOGUE, "since {weekday} the {appliance} {fault}, and the advice is to {remedy}",
            (("item", "appliance"), ("problem", "fault"), ("since", "weekday"), ("advice", "remedy")),
        ),
    ),
}  # fmt: skip
