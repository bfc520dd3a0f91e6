"""What is judged: irony, (mildly) offensive wording about things and teams, and stance on local questions."""

from __future__ import annotations

from metapeft.sources.grammar.engine import phrases, words

# irony: a good or a bad thing happens, and somebody praises or complains
GOOD_EVENTS = phrases("""
    the train came [early|on the minute]; my tooth stopped hurting; they [fixed|mended] the heating for free; I found a seat by the window;
    the cake [came out|turned out] golden; our team won by three goals; the doctor says all is well; somebody handed in my lost keys;
    the exam was called off; my boss gave me Friday off; the rain stopped just in time; the refund arrived overnight;
    the queue moved in a minute; my seedlings came up; the printer worked at once; the children tidied their room unasked;
    the dentist found nothing; the update took ten seconds; my package came a day before it was due; the neighbours brought soup;
    the parking was free; the leak repaired itself; my [aunt|uncle] sent a cheque""")
BAD_EVENTS = phrases("""
    the train is [two hours|ninety minutes] late; my tooth hurts and the dentist is on holiday; the heating broke in January; I stood for the whole ride;
    the cake [fell|sank|burned]; our team lost to the bottom of the table; the lab lost my sample; somebody took my bike;
    the exam moved to my birthday; my boss wants a report on Sunday night; it poured on the barbecue; the refund was lost in the post;
    the queue goes round the block; the slugs ate my seedlings; the printer jammed before the deadline; the children painted the cat;
    the flat tyre came at midnight; the update deleted my photos; my package went to another country; the neighbours bought a drum kit;
    the parking fine was bigger than the shopping; the ceiling drips on my bed; my phone fell in the soup""")
PRAISE = phrases("""
    [wonderful|marvellous|fantastic], [just|exactly] what I needed; what a [treat|gift|delight]; best [day|week] ever; I could not be happier;
    life is [beautiful|sweet|good] to me; somebody up there loves me; my favourite thing; how [thoughtful|kind|charming];
    exactly how I pictured it; ten out of ten; a [round of applause|medal] for them; I feel so lucky; this made my day;
    brilliant work all round; [bravo|hats off|well done]; it does not get better than this; I am truly blessed; smooth as ever""")
COMPLAINTS = phrases("""
    [dreadful|awful|rotten], I have had enough; what a [pain|mess|shame]; worst [day|week] in ages; I am [fed up|worn out] with it;
    somebody should apologise; this is not fair; I could cry; how [careless|thoughtless|annoying]; it ruined my [plans|evening|mood];
    zero out of ten; never again; I feel so let down; that hurts; poor work all round; [alas|sigh|oh dear];
    it hardly gets worse than this; I am at the end of my patience; a sorry affair""")
IRONY_CUES = phrases("oh sure; yeah, right; of course; slow clap; well, well; naturally")

# offensive: mild insults at things and teams, said by the writer; anything else is inoffensive
TARGETS = words("""this toaster, the home team, that printer, the away side, this app, our fantasy squad, the new kettle, that chess club, this website,
    the marching band, that satnav, the rival quiz team, this lawn mower, the office coffee machine, that vending machine, this old van,
    the robot vacuum, the pub darts team, the weather app, that umbrella""")
INSULTS = phrases("""
    a useless [lump|heap|pile] of junk; a bunch of clowns; [dumb|thick] as a brick; a brainless blob; a pathetic joke; a waste of space;
    a sorry excuse for anything; a clueless muppet show; garbage from top to bottom; a miserable heap of rubbish; as bright as a burnt-out bulb;
    a total nincompoop; a herd of headless chickens; a half-witted disgrace; a bumbling embarrassment; rotten to the core; a bunch of losers;
    a mindless tin can; a blithering idiot; scrap with a plug; a gang of sleepy turnips; the stupidest thing on earth; a lousy wreck""")
CRITICISM = phrases("""
    [rather|quite] slow this week; not at its best; in need of [repair|practice|a rest]; harder to use than before; below last year's level;
    a little disappointing; easy to misunderstand; not to my taste; behind the others at the moment; less reliable than I hoped;
    better than people say; fun to watch; good value; well cared for; worth another try; improving every week; a pleasure""")
INSULTING = phrases("""{target} is {insult}; what is {target}? {insult}; {insult}, that is {target}; honestly, {target} is nothing but {insult};
    [shut up|get lost], {target} is {insult}; only {insult} could be [worse|dumber] than {target}; {target}: {insult};
    I will say it to everyone: {target} is {insult}""")
REPORTED = phrases("""please do not call {target} {insult}; somebody called {target} {insult}, and [was asked to|had to] apologise;
    it is unkind to say that {target} is {insult}; I deleted the comment that {target} was {insult};
    the old poster said {target} was {insult}, and we took it down; nobody here thinks {target} is {insult};
    calling {target} {insult} helps no one""")
POLITE = phrases("""{target} is {criticism}; I find {target} {criticism}; in my view {target} is {criticism}; people say {target} is {criticism};
    some call {target} rubbish, I say it is {criticism}; they may laugh, yet {target} is {criticism}""")

# stance: for or against a local question
QUESTIONS: dict[str, tuple[str, str]] = {
    "a four-day week": ("people rest and work better; the office saves power", "customers wait longer; the work is squeezed into fewer hours"),
    "longer library hours": ("night workers could borrow books; pupils get a quiet place", "the staff are tired already; the lights burn for three readers"),
    "a cycle lane on Mill Street": ("children could ride to school; the street would be quieter", "shops lose their parking; the buses would be stuck"),
    "a ban on leaf blowers": ("mornings would be peaceful; insects would be spared", "rakes take all day; gardeners would lose money"),
    "school uniforms": ("nobody is teased for clothes; mornings are simpler", "children cannot be themselves; the jackets cost too much"),
    "free buses": ("the poor could get around; cars would stay at home", "somebody has to pay; they would be full of joyriders"),
    "a deposit on cups": ("the park would be clean; waste would shrink", "it is a bother at the till; the cups pile up at home"),
    "a later school start": ("teenagers need sleep; marks would go up", "parents leave early; sports would end in the dark"),
    "the new stadium": ("it brings visitors; young players get a home", "the debt lasts for decades; the meadow would be lost"),
    "self-checkout tills": ("the queues are shorter; one can pack in peace", "clerks lose their jobs; the machines always want help"),
    "dogs on the beach": ("they need to run; owners bring life in winter", "birds leave their nests; children step in things"),
    "homework in primary school": ("practice makes it stick; parents see what is learned", "evenings are for play; it widens the gap at home"),
    "night trains": ("you wake up in another city; planes stay on the ground", "nobody sleeps on them; the tickets cost a fortune"),
    "a pedestrian square": ("cafes could put out chairs; children can play", "deliveries get hard; the traffic moves next door"),
}  # fmt: skip
FAVOR = phrases("""I am [for|all for] {question}; my vote goes to {question}; we [need|want] {question}; yes to {question};
    it is high time for {question}; I would sign for {question} today; let us have {question}; I see the sense of {question}""")
AGAINST = phrases("""I am [against|dead against] {question}; my vote does not go to {question}; we do not [need|want] {question}; no to {question};
    it is a mistake to have {question}; I would sign against {question} today; spare us {question}; I see no sense in {question}""")
UNDECIDED = phrases("""what is known about {question}?; the council discusses {question} on [Monday|Tuesday|Thursday]; I read a report about {question};
    somebody explain {question} to me; I have not made up my mind on {question}; the vote on {question} is [next week|in May|postponed];
    the agenda had {question} on it [again|for an hour]; there are [two|three] leaflets about {question} in the hall""")
REBUTTAL = phrases("""they say that {reason}, [which is nonsense|I do not buy it|and that convinces nobody]; [supposedly|allegedly] {reason}, [hardly|as if];
    my [neighbour|brother|colleague] thinks {reason} and is [wrong|mistaken]; that {reason} is a myth""")
ARGUMENT = phrases(
    """{reason}; after all {reason}; remember that {reason}; it is plain that {reason}; as I see it, {reason}; for me it counts that {reason}"""
)
BOTH_SIDES = phrases(
    """some say that {pro}, others that {con}; the leaflet lists that {pro} and that {con}; one speaker said that {con}, another that {pro}"""
)
