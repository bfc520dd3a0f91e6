"""What opinions are about, and the words for them.

An aspect is written `noun: favourable words / unfavourable words`; a noun with `+` is plural. Every word fits after
"is" or "are" and can be negated. Common words come first: easy tasks use only those.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from metapeft.sources.grammar.engine import phrases, words

POLAR_WORDS: dict[str, tuple[str, ...]] = {
    "positive": words("""great, excellent, wonderful, fantastic, good, amazing, superb, brilliant, outstanding, lovely,
        impressive, terrific, splendid, first-rate, top-notch, marvellous, delightful, admirable, exceptional, solid,
        a treat, a joy, spot on, beyond reproach, a cut above, hard to fault, well judged, a triumph, exemplary, stellar,
        a pleasant surprise, worth every penny, faultless, pleasing, commendable, magnificent, sublime, a gem"""),
    "negative": words("""terrible, awful, bad, poor, horrible, disappointing, dreadful, useless, lousy, mediocre,
        unacceptable, abysmal, pathetic, third-rate, shoddy, appalling, dismal, substandard, a letdown, a mess,
        a chore, off the mark, beneath contempt, a step down, hard to excuse, badly judged, a disaster, woeful, atrocious,
        an unpleasant surprise, a waste of money, riddled with faults, irritating, deplorable, wretched, grim, a dud"""),
    "neutral": words("""average, okay, ordinary, so-so, unremarkable, middling, standard, fair, passable, typical,
        neither good nor bad, run of the mill, what you would expect, nothing special, par for the course, workmanlike,
        acceptable, as described, like all the others, fine but forgettable, adequate, medium in every way, tolerable"""),
}

ASPECTS: dict[str, tuple[str, str]] = {
    "electronics": (
        "headset, tablet, laptop, phone, speaker, camera, smartwatch, router, monitor, keyboard",
        """
        screen: sharp, bright, vivid, crisp, rich in contrast / dim, blurry, washed out, grainy, full of glare
        battery: long-lasting, strong, enduring, good for days, quick to charge / short-lived, weak, flat by noon, slow to charge
        sound: clear, warm, balanced, full, free of hiss / tinny, muffled, distorted, thin, full of crackle
        software: fast, stable, intuitive, free of bugs, snappy / slow, buggy, confusing, prone to crashes, bloated
        casing: sturdy, solid, well made, tough, scratch-proof / flimsy, brittle, badly glued, creaky, cheap to the touch
        connection: reliable, steady, quick, seamless, rock solid / unreliable, patchy, prone to dropouts, laggy, erratic
        buttons+: responsive, precise, well placed, easy to feel, smooth / stiff, sticky, wobbly, oddly placed, loose
        manual: helpful, complete, easy to follow, well written / useless, missing half the steps, cryptic, badly translated""",
    ),
    "books": (
        "novel, thriller, memoir, biography, cookbook, anthology, paperback, mystery, textbook, saga",
        """
        plot: gripping, clever, tightly woven, full of turns, absorbing / boring, predictable, full of holes, tangled, aimless
        characters+: believable, memorable, vivid, layered, easy to care for / flat, wooden, cardboard, interchangeable, hollow
        writing: elegant, witty, lyrical, precise, effortless / clumsy, dull, overwrought, repetitive, stilted
        ending: satisfying, moving, earned, perfect, haunting / rushed, weak, abrupt, contrived, out of nowhere
        dialogue: natural, sparkling, funny, true to life, sharp / stiff, unnatural, corny, lifeless, full of cliches
        pace: brisk, well measured, lively, breathless / slow, sluggish, glacial, uneven, like wading through mud
        research: thorough, careful, fascinating, deep / sloppy, thin, full of errors, borrowed, shallow
        opening: captivating, strong, bold, intriguing / tedious, confusing, overlong, forgettable, off-putting""",
    ),
    "kitchen": (
        "pan, blender, toaster, kettle, knife, mixer, food processor, baking tray, coffee maker, grater",
        """
        blade: sharp, keen, durable, razor-like, easy to hone / dull, blunt, rusty, chipped, bent
        handle: comfortable, sturdy, well balanced, cool to the touch, grippy / loose, slippery, hot, wobbly, cracked
        motor: powerful, quiet, tireless, smooth, strong / weak, noisy, overheated, underpowered, prone to stalling
        lid: tight, secure, snug, leakproof, well fitted / leaky, loose, warped, ill-fitting, split
        coating: non-stick, tough, smooth, easy to wipe, long-lived / peeling, scratched, flaking, sticky, worn through
        heat: even, steady, quick, well controlled / uneven, patchy, feeble, scorching, erratic
        cleaning: easy, quick, painless, dishwasher-friendly / hard, tiresome, fiddly, a nightmare, endless
        size: handy, practical, generous, just right, compact / awkward, too small, bulky, impractical, skimpy""",
    ),
    "movies": (
        "film, comedy, thriller, sequel, documentary, drama, western, remake, musical, horror film",
        """
        acting: convincing, superb, subtle, heartfelt, magnetic / wooden, stiff, hammy, flat, amateurish
        script: clever, witty, tight, original, sharp / lazy, silly, bloated, predictable, full of holes
        soundtrack: beautiful, stirring, catchy, haunting, fitting / annoying, loud, generic, grating, intrusive
        camera work: stunning, inventive, graceful, bold, striking / shaky, dull, murky, careless, dizzying
        pacing: brisk, gripping, well judged, lively / slow, plodding, uneven, sleepy, exhausting
        effects+: spectacular, seamless, dazzling, believable / fake, cheap, dated, plastic, laughable
        humour: funny, hilarious, dry, warm, infectious / unfunny, forced, crude, stale, painful
        finale: thrilling, touching, satisfying, clever / confusing, limp, endless, absurd, flat""",
    ),
    "restaurants": (
        "restaurant, bistro, cafe, diner, pizzeria, noodle bar, steakhouse, bakery, tapas bar, brunch place",
        """
        food: delicious, fresh, tasty, full of flavour, cooked to perfection / bland, cold, greasy, stale, overcooked
        service: friendly, attentive, quick, warm, polite / rude, slow, careless, inattentive, chaotic
        prices+: fair, reasonable, low, honest, modest / steep, outrageous, inflated, excessive, a rip-off
        room: cosy, clean, charming, airy, inviting / dirty, cramped, noisy, draughty, gloomy
        portions+: generous, filling, huge, well sized / tiny, stingy, meagre, laughable, skimpy
        wine list: varied, interesting, well chosen, superb / short, dull, overpriced, thoughtless
        desserts+: heavenly, light, homemade, irresistible / soggy, too sweet, dry, half frozen, rubbery
        wait: short, worth it, brief, barely noticeable / endless, too long, infuriating, over an hour""",
    ),
    "hotels": (
        "hotel, hostel, guest house, resort, inn, lodge, apartment, motel, spa hotel, bed and breakfast",
        """
        room: clean, spacious, quiet, bright, spotless / dirty, cramped, noisy, dark, musty
        staff: helpful, friendly, welcoming, courteous, quick to help / rude, unhelpful, surly, absent, indifferent
        bed: comfortable, soft, cosy, huge, heavenly / lumpy, hard, squeaky, sagging, too short
        breakfast: plentiful, fresh, varied, delicious / stale, meagre, cold, monotonous, picked over
        location: central, convenient, lovely, peaceful, ideal / remote, inconvenient, shady, noisy, miles from anything
        bathroom: spotless, modern, gleaming, roomy / filthy, mouldy, leaky, smelly, falling apart
        pool: clean, warm, inviting, sparkling / dirty, freezing, crowded, closed all week, murky
        wifi: fast, reliable, free and quick, strong / slow, patchy, dead, hopeless, down most days""",
    ),
    "tweets": (
        "update, concert, match, show, weekend, playlist, app, bus ride, new episode, party",
        """
        vibe: awesome, chill, on point, electric, unreal / off, dead, weird, gloomy, cursed
        crowd: lovely, hyped, kind, fun, in full voice / rude, bored, rowdy, half asleep, hostile
        timing: perfect, spot on, lucky, ideal / rotten, unlucky, hopeless, all wrong, cruel
        music: fire, catchy, a banger, uplifting, pure magic / lame, a snooze, grating, painful, noise
        food: yummy, divine, delish, so good, to die for / gross, nasty, soggy, inedible, yuck
        weather: gorgeous, glorious, sunny, dreamy / miserable, bleak, nasty, grim, soul-destroying
        mood: sky high, upbeat, buzzing, on cloud nine / down, rock bottom, foul, sour, in the bin
        price: a steal, sweet, kind to my wallet, fair / daylight robbery, silly, insane, a joke, painful""",
    ),
    "finance": (
        "quarter, share, fund, bank, insurer, retailer, carmaker, start-up, mining group, airline",
        """
        revenue: strong, up, above forecast, at a record high, growing / weak, down, below forecast, at a ten-year low, shrinking
        margins+: healthy, wide, improving, expanding / thin, under pressure, eroding, squeezed, collapsing
        outlook: bright, upbeat, encouraging, raised, rosy / bleak, gloomy, worrying, lowered, clouded
        debt: low, manageable, falling, well covered / high, crushing, mounting, hard to refinance, out of hand
        dividend: higher, secure, generous, increased / suspended, at risk, slashed, halved, scrapped
        orders+: plentiful, rising, ahead of plan, robust / scarce, falling, behind plan, drying up
        costs+: under control, lower, falling, contained / out of control, higher, soaring, ballooning
        demand: robust, brisk, lively, surging / sluggish, faltering, feeble, evaporating""",
    ),
    "product_feedback": (
        "app, subscription, website, dashboard, checkout, plugin, newsletter, support chat, new version, search page",
        """
        layout: clear, tidy, modern, logical, easy on the eye / cluttered, messy, dated, confusing, hard on the eye
        support: helpful, quick, patient, friendly, on the ball / useless, slow, rude, unreachable, clueless
        speed: fast, snappy, instant, impressive / slow, laggy, sluggish, glacial, maddening
        sign-up: easy, painless, quick, smooth / tedious, broken, endless, confusing, intrusive
        pricing: fair, transparent, reasonable, simple / opaque, greedy, unfair, misleading, steep
        search: accurate, smart, handy, precise / broken, random, dumb, hopeless, blind
        export: reliable, flexible, complete, one click away / missing, faulty, crippled, always failing
        updates+: welcome, frequent, useful, well tested / annoying, rushed, pointless, full of regressions""",
    ),
    "clothing": (
        "jacket, shirt, dress, sweater, coat, pair of jeans, hoodie, scarf, raincoat, skirt",
        """
        fit: perfect, comfortable, flattering, true to size, just right / tight, baggy, odd, way off, unflattering
        fabric: soft, warm, breathable, thick, silky / scratchy, thin, stiff, see-through, itchy
        seams+: neat, strong, straight, well finished / loose, crooked, frayed, split, coming apart
        colour: rich, true, bright, lasting, lovely / faded, dull, wrong, patchy, garish
        zip: smooth, sturdy, easy, solid / stuck, broken, jagged, cheap, stubborn
        cut: elegant, stylish, modern, sleek / shapeless, frumpy, dated, lopsided, clumsy
        pockets+: deep, handy, roomy, well placed / fake, tiny, torn, useless, shallow
        price: fair, low, reasonable, a bargain / steep, silly, excessive, a rip-off""",
    ),
}

VERDICTS: dict[str, tuple[str, ...]] = {
    "positive": phrases("""I [recommend|can recommend] it; I would [choose|pick] it again; five stars; a clear yes from me; I am [happy|content] with it;
        count me as a fan; I will be back for more; thumbs up; it won me over; full marks"""),
    "negative": phrases("""I [regret|have regretted] it; stay away; one star; a clear no from me; I am [unhappy|fed up] with it;
        count me out; never again; thumbs down; it lost me; no marks at all"""),
    "neutral": phrases("""it will do; three stars; I am [undecided|torn] about it; neither yes nor no from me; take it or leave it;
        no opinion, really; it is what it is; it could go either way; I shrug; half marks"""),
}

OPINION_HOLDERS = words("""my neighbour, my sister, the advert, everyone, a friend, the salesman, my boss, half the internet,
    the first review I read, my brother, a colleague, my old flatmate, the expert on the radio""")

BALANCED = phrases("""all in all it evens out; so it is a draw; I can [see|understand] both sides and stay in the middle;
    [take|add|put] it all together and you land in the middle; no strong feelings [either way|one way or the other];
    the two cancel out; call it even; so neither a thumbs up nor a thumbs down from me; half and half, then;
    the scales stay level; I would not [praise|push] it and I would not [warn|argue] against it; plus and minus make zero""")


PLAIN = phrases("""the {noun} {verb} {word}; {noun}: {word}; the {noun} {verb} really {word}; I find the {noun} {word};
    I must say the {noun} {verb} {word}""")
NEGATED = phrases("""the {noun} {verb} not {word} [at all|in the least|by any measure]; nobody [could|would] call the {noun} {word};
    the {noun} {verb} anything but {word}; the {noun} {verb} far from {word}; I would never [say|claim] the {noun} {verb} {word};
    the {noun} {verb} the opposite of {word}; whoever says the {noun} {verb} {word} is [wrong|mistaken|joking];
    there is no way to describe the {noun} as {word}""")
REVERSED = phrases("""{who} [said|swore|told me] the {noun} {verb} {word}, [and that is false|but no|which proved untrue|not so];
    I [expected|thought] the {noun} [would be|to prove] {word}, and I was [wrong|mistaken];
    I [waited|kept waiting] for the {noun} to turn out {word}, and it never [did|happened];
    the {noun} [should|ought to] be {word} by all accounts, and [is not|the opposite is true];
    {who} must have meant another {item} when calling the {noun} {word}""")
CONTRASTS = (
    "{aside}, but {main}",
    "although {aside}, {main}",
    "{aside}. Still, {main}",
    "{aside}, yet {main}",
    "granted, {aside}. In the end, though, {main}",
    "even if {aside}, {main}",
    "{aside}, and none of that matters, because {main}",
    "yes, {aside}, and all the same {main}",
)
ELSEWHERE = phrases("""my [old|last|previous] {item} was {word}; the {item} [my parents have|at work|of my cousin] is {word};
    the [one|other {item}] I sent back was {word}; {who} has a(n) {item} that is {word};
    the rival {item} in the [advert|window] looked {word}""")
OPENERS = phrases("""about this {item}; my [short|honest] view of the {item}; [a week|a month|three days] with this {item};
    [had|tried] this {item} [twice|once] now; on the {item} everybody talks about; [quick|brief] note on the {item}""")


@dataclass(frozen=True)
class Aspect:
    """A thing to have an opinion on, with its own words of each polarity."""

    noun: str
    verb: str
    polar: dict[str, tuple[str, ...]]


@cache
def aspects(domain: str) -> tuple[Aspect, ...]:
    """The aspects of a domain; each word list is the aspect's own words after a few words of the general lexicon."""
    out = []
    for line in ASPECTS[domain][1].strip().splitlines():
        noun, _, lists = line.strip().partition(":")
        favourable, _, unfavourable = lists.partition("/")
        out.append(
            Aspect(
                noun=noun.rstrip("+"),
                verb="are" if noun.endswith("+") else "is",
                polar={"positive": words(favourable), "negative": words(unfavourable)},
            )
        )
    return tuple(out)


@cache
def items(domain: str) -> tuple[str, ...]:
    """(singular) things of a domain that an opinion is about."""
    return tuple(item.rstrip("+") for item in words(ASPECTS[domain][0]))
