"""Names and sentences for tagging.

`NAMES[domain][type]` are patterns of names; `HARD[domain][type]` are patterns whose words also occur in names of other
types, so that only the context tells. Templates hold `{type}` for a name; everything else is outside.
"""

from __future__ import annotations

from metapeft.sources.grammar.engine import phrases, words

PARTS: dict[str, tuple[str, ...]] = {
    "first": words("""Anna, Ben, Clara, David, Elena, Felix, Greta, Hassan, Ingrid, Jonas, Karim, Leila, Marta, Nikhil, Olga, Pedro, Rosa, Samir,
        Tilda, Umar, Vera, Wanda, Yusuf, Zofia, Aiko, Bruno, Chidi, Dora, Emeka, Fatima, Goran, Hana"""),
    "last": words("""Abbott, Berger, Castell, Dunmore, Eriksen, Farouk, Grandin, Holloway, Ivanov, Jansen, Kowal, Lindqvist, Moreau, Nakano, Okafor,
        Petrov, Quist, Rahman, Silva, Tanaka, Ueda, Varga, Whitlock, Yilmaz, Zeller, Brandt, Costa, Dwyer, Ferro, Haddad"""),
    "twofold": words("""Jordan, Lincoln, Austin, Florence, Chester, Victoria, Sydney, Georgia, Madison, Charlotte, Devon, Houston, Carson, Preston,
        Lorraine, Savannah, Kingston, Brooklyn, Dallas, Chelsea, Hamilton, Bedford, Stanley, Wells, Alexandria, Santiago"""),
    "root": words("Nor, Vel, Mar, Kes, Tal, Bren, Low, Dun, Ash, Ros, Har, Wex, Quil, San, Ost, Fen, Gal, Hol, Lin, Pel, Cor, Ald, Est, Mor"),
    "ending": words("bridge, mora, ton, field, port, vale, wick, ford, haven, stad, burg, mouth, ley, grad, mere, dale, by, holm"),
    "trade": words("Steel, Energy, Foods, Systems, Motors, Textiles, Airlines, Media, Pharma, Logistics, Robotics, Paper, Telecom, Shipping"),
    "people": words("Norvan, Velmoran, Talian, Kestrian, Harlish, Ostran, Galdish, Corvanian, Lindrish, Pelish, Morvan, Aldrian"),
    "cup": words("Cup, Open, Festival, Prize, Marathon, Biennale, Accord, Treaty, Summit, Derby"),
    "stem": words("nor, vel, tri, pro, keta, lumi, cari, zo, fen, hexa, mero, dilo, quina, sulfo, beta, oxa, tera, ibu, cloni, rana"),
    "drug": words("fenac, zole, pril, mycin, statin, xanol, dine, lamide, cillin, sartan, caine, profen, zepam, oxin, triptan, ine"),
    "acronym": words("BRN, TRX, KLF, MAP, CAT, SOD, PAX, NOD, HEX, ARC, MAX, REL, CLK, TAU, SPI, FOS, WEE, RAD, ZIP, GAL"),
    "organ": words("hepatic, renal, cardiac, pulmonary, cerebral, gastric, retinal, dermal, spinal, arterial, ovarian, thyroid"),
    "illness": words("fibrosis, carcinoma, failure, stenosis, anaemia, dystrophy, inflammation, sclerosis, lymphoma, ischaemia, neuropathy"),
    "gadget": words("Pixon, Lumix, Zentab, Orbis, Kodiak, Nimbus, Vireo, Quanta, Tesser, Polar, Ember, Sonix, Halo, Drift"),
    "model": words("3, 5, 7 Pro, X, Mini, 11, Max, Air, S2, One, Go, Ultra"),
    "inn": words("Grand, Royal, Harbour, Garden, Park, Palace, Old Mill, Seaview, Central, Golden Lion, Blue Door, Station"),
    "month": words("January, February, March, April, May, June, July, August, September, October, November, December"),
    "day": tuple(str(day) for day in range(1, 29)),
    "weekday": words("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"),
    "verb": words("praised, criticised, visited, described, questioned, thanked, mentioned, watched, remembered, avoided"),
    "thing": words("a report, the budget, new plans, the weather, an old bridge, the results, a long delay, the music, two maps, the food"),
}  # fmt: skip

_PERSON, _PLACE = (
    phrases("{first} {last}; {last}; {first}; {first} [A.|M.|J.] {last}"),
    phrases("{root}{ending}; Port {root}{ending}; [North|South|East|New] {root}{ending}; Lake {root}{ending}"),
)

NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "news": {
        "person": _PERSON,
        "organization": phrases("{last} {trade}; {root}{ending} United; Bank of {root}{ending}; University of {root}{ending}; {last} and Sons; {root}{ending} City Council; Ministry of [Health|Trade|Transport]"),
        "location": _PLACE,
        "misc": phrases("{people}; {root}{ending} {cup}; {people} {cup}"),
    },
    "biomedical": {
        "disease": phrases("{organ} {illness}; {illness}; {last} syndrome; {last} 's disease; chronic {organ} {illness}; type [1|2|3] {illness}"),
        "chemical": phrases("{stem}{drug}; {stem}{stem}{drug}; sodium {stem}ate; {stem}{drug} hydrochloride"),
        "gene": phrases("{acronym}{day}; {acronym}{day} kinase; {acronym}-{day}; p{day}"),
    },
    "social": {
        "person": phrases("{first}; {first} {last}; @{first}{day}"),
        "location": _PLACE,
        "product": phrases("{gadget} {model}; {gadget}; {gadget}{day}"),
        "event": phrases("{root}{ending} {cup}; {gadget} Con; {weekday} Night [Live|Quiz|Run]; {first} Fest"),
    },
    "travel": {
        "city": _PLACE,
        "hotel": phrases("{inn} Hotel; Hotel {root}{ending}; The {inn} Inn; {inn} Hostel {root}{ending}; {last} 's Guest House"),
        "airline": phrases("{root}{ending} Airways; Air {people}; {gadget} Air; Fly{root}; {people} Airlines"),
        "date": phrases("{day} {month}; {month} {day}; {weekday}; next {weekday}; the {day}th of {month}"),
    },
}  # fmt: skip

HARD: dict[str, dict[str, tuple[str, ...]]] = {
    "news": {
        "person": phrases("{twofold}; {twofold} {last}; {first} {twofold}"),
        "organization": phrases("{twofold}; {twofold} {trade}; {last}; {first} {last} [Group|Foundation]"),
        "location": phrases("{twofold}; {twofold} {ending}; {last}; {last} Island"),
        "misc": phrases("{twofold} {cup}; {last} {cup}"),
    },
    "biomedical": {
        "disease": phrases("{acronym} syndrome; {acronym}; {acronym}{day} deficiency"),
        "chemical": phrases("{acronym}; {acronym}-{day}; {acronym} acid"),
        "gene": phrases("{acronym}; {acronym}-{day}; {last} receptor"),
    },
    "social": {
        "person": phrases("{twofold}; {gadget}; @{twofold}"),
        "location": phrases("{twofold}; {gadget} Valley; {first}"),
        "product": phrases("{twofold}; {first} {model}; {root}{ending} {model}"),
        "event": phrases("{twofold}; {twofold} {cup}; {gadget}"),
    },
    "travel": {
        "city": phrases("{twofold}; {inn}; {gadget}"),
        "hotel": phrases("{twofold}; {inn}; the {twofold}"),
        "airline": phrases("{twofold}; {gadget}; {twofold} Air"),
        "date": phrases("May; the {day}th; {day} {month} or {day} {month}; Easter [Monday|Sunday]"),
    },
}  # fmt: skip

TEMPLATES: dict[str, tuple[str, ...]] = {
    "news": phrases("""{person} [joined|left|sued] {organization} in {location} . ; The {misc} was won by {person} of {location} . ;
        {organization} [said|announced] on {weekday} that {person} would [resign|return] . ; {person} was born in {location} , {location} . ;
        Shares of {organization} [fell|rose] after the {misc} . ; A [storm|flood|fire] hit {location} , and {organization} sent {thing} . ;
        In {location} , {person} {verb} {thing} . ; " I {verb} {thing} , " said {person} . ; {organization} and {organization} {verb} {person} . ;
        The {misc} delegation flew from {location} to {location} . ; Nobody {verb} {thing} that [evening|morning] . ;
        [Mayor|Dr|Judge] {person} {verb} {organization} . ; {organization} beat {organization} in the {misc} . ; He [lives|works] near {location} ."""),
    "biomedical": phrases("""{chemical} [reduced|increased|did not change] the risk of {disease} . ; Mutations of {gene} were found in patients with {disease} . ;
        {gene} binds {gene} in the presence of {chemical} . ; Expression of {gene} fell after treatment with {chemical} . ;
        We studied {disease} in {day} [mice|patients|families] . ; [Patients|Mice] given {chemical} or {chemical} developed {disease} . ;
        Loss of {gene} causes {disease} and {disease} . ; No [difference|effect] was seen in the control group . ;
        The role of {gene} in {disease} is [unknown|disputed] . ; Doses of {chemical} above {day} mg were toxic . ;
        {disease} was treated with {chemical} for {day} weeks . ; The promoter of {gene} was [cloned|sequenced] ."""),
    "social": phrases("""just met {person} at the {event} !! ; my {product} [died|broke] again , thanks a lot ; who is going to {event} in {location} ? ;
        {person} says the {product} is better than the {product} ; [greetings|hello] from {location} with {person} ;
        waiting for {event} since {weekday} ; sold my {product} to {person} lol ; {thing} all day , nothing new ;
        rt {person} : {event} was [great|a mess] ; back in {location} , lost my {product} ; can {person} bring {thing} to {location} ? ;
        {location} > {location} , sorry not sorry ; new {product} day , thanks {person}"""),
    "travel": phrases("""I need a flight from {city} to {city} on {date} . ; Is {airline} cheaper than {airline} in {month} ? ;
        Book {hotel} in {city} for {date} . ; We stayed at {hotel} and {verb} {thing} . ; {airline} [cancelled|moved] our flight of {date} . ;
        Does {hotel} have rooms from {date} to {date} ? ; Two [seats|tickets] with {airline} to {city} , please . ;
        The bus to {city} leaves at {day} past nine . ; {city} was lovely , {hotel} was not . ; Can I [pay|check in] later ? ;
        On {date} we fly {airline} from {city} . ; [My|Our] room at {hotel} faced {thing} ."""),
}  # fmt: skip
