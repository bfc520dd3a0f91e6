"""The texts that `pico` is made from: all of this package's generators, none in the format of a task.

The model must know these texts as language and copy from what stands before, yet leave the tasks to be learned. So a
question stands beside the parts of its query (`of`, `take`, `when`), never beside SQL; SQL stands beside a schema,
never beside a question; functions have no documentation; sentences are marked with a star to be picked, never because
they matter. Tables are made of pseudo-words, or are tables that `recipes/splits/generation_domains.yaml` trains on; the
tables it holds out (`HELD_OUT`) and dialogues are not here.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence

from metapeft.sources.grammar import generate
from metapeft.sources.grammar.engine import Draw, capitalized, words
from metapeft.sources.grammar.sql import row_of
from metapeft.sources.grammar.sql_lexicon import TABLES, Table

HELD_OUT = ("clinic", "harbour", "observatory", "museum")
KNOWN = tuple(table for domain, table in TABLES.items() if domain not in HELD_OUT)
POOL = 1_500  # rows of each generator that plain texts are drawn from

REVIEWED = ("electronics", "movies", "tweets", "hotels")
# Generators of plain texts with their parameters. Of the summaries' stories news and science alone.
PLAIN = [
    *(("sentiment", {"domain": d, "classes": 2, "difficulty": 0.6}) for d in REVIEWED),
    *(("topic", {"style": s, "classes": 10, "difficulty": 0.6}) for s in ("news", "science")),
    *(("intent", {"domain": d}) for d in ("banking", "travel")),
    ("emotion", {"domain": "social", "difficulty": 0.6}),
    ("judgement", {"task": "stance", "difficulty": 0.6}),
    *(("tagging", {"domain": d, "difficulty": 0.5}) for d in ("news", "travel", "biomedical")),
]  # fmt: skip
STORIES = [
    ("summarization", {"domain": d, "style": s, "difficulty": 0.6})
    for d in ("news", "science")
    for s in ("abstractive", "bullets")
]
CODE = [(f"code_{language}", {"style": "documentation"}) for language in ("python", "javascript")]

ONSETS = words(
    "b, br, c, ch, cl, d, dr, f, fl, g, gr, h, j, k, l, m, n, p, pl, qu, r, s, sh, sl, st, t, th, tr, v, w, z"
)
VOWELS = words("a, e, i, o, u, ai, ea, io, ou, oo")
CODAS = ("", "", "l", "m", "n", "nd", "r", "rk", "s", "st", "t", "x")


def documents(count: int, seed: int) -> list[str]:
    """Texts, a function of the arguments alone; the kinds are mixed by `MAKERS`."""
    draw = Draw(seed)
    pools = {
        "plain": [_text(row) for name, params in PLAIN for row in generate(name, params, POOL, seed, "support")],
        "story": [row["text"] for name, params in STORIES for row in generate(name, params, POOL, seed, "support")],
        "told": [row["target"] for name, params in STORIES for row in generate(name, params, POOL, seed, "support")],
        "code": [row["text"] for name, params in CODE for row in generate(name, params, POOL, seed, "support")],
        "says": [row["target"] for name, params in CODE for row in generate(name, params, POOL, seed, "support")],
    }
    makers = [make for make, share in MAKERS.items() for _ in range(share)]
    return [draw.any(makers)(draw, pools) for _ in range(count)]


Pools = Mapping[str, Sequence[str]]


def _text(row: dict) -> str:
    return " ".join(row["tokens"]) if "tokens" in row else row["text"]


@functools.cache
def lexicon() -> tuple[str, ...]:
    """The words of the plain texts."""
    rows = [row for name, params in PLAIN for row in generate(name, params, 400, 0, "support")]
    return tuple(sorted({said for row in rows for said in re.findall(r"\b[a-z]{3,12}\b", _text(row))}))


def word(draw: Draw) -> str:
    """A pseudo-word of one to three syllables; at times a word of the plain texts, or letters at random."""
    kind = draw.uniform()
    if kind < 0.3:
        return draw.any(lexicon())
    if kind < 0.4:
        return "".join(draw.any("abcdefghijklmnopqrstuvwxyz") for _ in range(draw.between(2, 7)))
    syllables = 1 + draw.chance(0.7) + draw.chance(0.2)
    return "".join(draw.any(ONSETS) + draw.any(VOWELS) for _ in range(syllables)) + draw.any(CODAS)


def table(draw: Draw) -> Table:
    """A table whose names and values are pseudo-words; now and then a known word or a value of two words."""
    columns = list(dict.fromkeys(word(draw) for _ in range(9)))
    known = draw.any(KNOWN)
    if draw.chance(0.3):
        columns[0] = draw.any(tuple(known.texts))
    if draw.chance(0.3):
        columns[4] = draw.any(tuple(known.numbers))
    plural = word(draw) + ("s" if draw.chance(0.7) else "")

    def value() -> str:
        made = word(draw) if draw.chance(0.85) else f"{word(draw)} {word(draw)}"
        return capitalized(made) if draw.chance(0.4) else made

    texts = {name: tuple(value() for _ in range(3)) for name in columns[:3]}
    numbers = {}
    for name in columns[4:7]:
        low = draw.any((0, 1, 5, 20, 100, 1900))
        numbers[name] = (low, low + draw.any((9, 40, 120, 900, 20000)))
    return Table(plural, tuple(capitalized(word(draw)) for _ in range(6)), texts, numbers, word(draw), ("",))


def any_table(draw: Draw) -> Table:
    """A made table mostly, sometimes one that training knows."""
    return table(draw) if draw.chance(0.75) else draw.any(KNOWN)


_QUERY = re.compile(
    r"SELECT (?P<take>.+?) FROM (?P<of>\w+)(?: WHERE (?P<when>.+?))??(?P<beat> AND \w+ > \(SELECT AVG.+\))?"
    r"(?: GROUP BY (?P<per>\w+))?(?: HAVING COUNT\(\*\) > (?P<over>\d+))?"
    r"(?: ORDER BY (?P<by>\w+) (?P<order>\w+) LIMIT (?P<first>\d+))?"
)
SIGNS = {"=": "is", ">": "over", "<": "under", ">=": "from", "<=": "up to"}
FUNCTIONS = {"MAX": "top", "MIN": "bottom", "AVG": "mean", "SUM": "sum", "COUNT": "number"}


def parts_of_query(sql: str) -> dict[str, str]:
    """What a query of one table asks for, in words that are not SQL's."""
    found = _QUERY.fullmatch(sql)
    if found is None:
        raise ValueError(f"not a query of the generator: {sql}")
    out = {"of": found["of"], "take": found["take"].rpartition(", ")[2]}
    call = re.fullmatch(r"(\w+)\((.+)\)", out["take"])
    if call:
        out["take"] = FUNCTIONS[call[1]] + ("" if call[2] == "*" else f" {call[2]}")
    if found["when"]:
        column, sign, value = found["when"].split(" ", 2)
        out["when"] = f"{column} {SIGNS[sign]} {value.strip(chr(39))}"
    if found["beat"]:
        out["beats"] = found["beat"].split()[1]
    if found["per"]:
        out["per"] = found["per"]
    if found["over"]:
        out["more"] = found["over"]
    if found["by"]:
        out |= {"by": f"{found['by']} {'down' if found['order'] == 'DESC' else 'up'}", "first": found["first"]}
    return out


# --- kinds of documents


def questions(draw: Draw, pools: Pools) -> str:
    """A table in words, and two to four questions, each with its parts."""
    asked = any_table(draw)
    lines = []
    for _ in range(draw.between(2, 3)):
        row = row_of(draw, asked, 0.5)
        parts = list(parts_of_query(row["target"]).items())
        lines += [f"? {row['text']}", json.dumps(dict(parts), ensure_ascii=False)]
    columns = draw.shuffled([*asked.texts, *asked.numbers])
    head = f"{asked.plural} [{' | '.join(columns)}]\n" if draw.chance(0.7) else ""
    return head + "\n".join(lines)


def statements(draw: Draw, pools: Pools) -> str:
    """A schema, perhaps some rows, and queries that nobody asked for."""
    about = any_table(draw)
    rows = [row_of(draw, about, 0.5) for _ in range(draw.between(1, 4))]
    lines = [rows[0]["schema"]]
    if draw.chance(0.4):
        head, _, values = rows[0]["database"].partition(" VALUES ")
        kept = values.rstrip(";").split("), ")[: draw.between(1, 2)]
        lines.append(f"{head} VALUES {'), '.join(kept).rstrip(')')});")
    return "\n".join(lines + [row["target"] + ";" for row in rows])


def lookups(draw: Draw, pools: Pools) -> str:
    """Keys with values, then some of the keys again."""
    style = draw.any((("{}: {}", "{} -> {}"), ("{} = {}", "get {}: {}"), ("the {} is {}.", "so {} is {}.")))
    pairs = {word(draw): _value(draw) for _ in range(draw.between(3, 7))}
    again = draw.sample(tuple(pairs), draw.between(3, 6))
    lines = [style[0].format(*pair) for pair in pairs.items()] + [style[1].format(key, pairs[key]) for key in again]
    return "\n".join(lines)


def _value(draw: Draw) -> str:
    if draw.chance(0.3):
        return str(draw.below(10 ** draw.between(1, 4)))
    made = " ".join(word(draw) for _ in range(draw.between(1, 3)))
    return capitalized(made) if draw.chance(0.3) else made


def repeats(draw: Draw, pools: Pools) -> str:
    """A few lines, and those of them again that hold a word."""
    source = draw.any((pools["plain"], pools["story"], pools["code"], pools["says"]))
    if draw.chance(0.4):
        lines = [" ".join(word(draw) for _ in range(draw.between(3, 8))) for _ in range(draw.between(2, 5))]
    else:
        parts = (line for text in draw.sample(range(len(source)), 3) for line in _sentences(source[text]))
        lines = [line for line in parts if len(line) < 140][: draw.between(2, 6)]
    out = list(lines)
    for line in draw.sample(lines, min(len(lines), 2)):
        said = draw.any([part for part in line.split() if part] or ["it"])
        out.append(f"Repeat the line that says {said}: {next(one for one in lines if said in one.split())}")
    return "\n".join(out)


def _sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?]) |\n", text) if part.strip()]


def starred(draw: Draw, pools: Pools) -> str:
    """Sentences, some with a star; then those with a star."""
    lines = [line for line in _sentences(draw.any(pools["story"])) if len(line) < 140]
    lines = draw.shuffled(lines)[: draw.between(3, 6)]
    chosen = sorted(draw.sample(range(len(lines)), draw.between(1, 2)))
    told = " ".join(("* " if at in chosen else "- ") + line for at, line in enumerate(lines))
    return f"{told}\n=> " + " ".join(lines[at] for at in chosen)


def twice(draw: Draw, pools: Pools) -> str:
    """A row of words, and the same row."""
    row = " ".join(_value(draw) for _ in range(draw.between(3, 14)))
    return f"{row}{draw.any((' ; ', chr(10), ' | '))}{row}"


def plain(draw: Draw, pools: Pools) -> str:
    """One to three short texts."""
    return "\n".join(draw.any(pools["plain"]) for _ in range(draw.between(1, 3)))


def story(draw: Draw, pools: Pools) -> str:
    """A document, or what is told of some others."""
    if draw.chance(0.6):
        return draw.any(pools["story"])
    return "\n".join(draw.any(pools["told"]) for _ in range(draw.between(1, 3)))


def code(draw: Draw, pools: Pools) -> str:
    """A function or two without a word on what they do, or such words alone."""
    if draw.chance(0.3):
        return "\n".join(draw.any(pools["says"]) for _ in range(draw.between(2, 4)))
    return "\n".join(draw.any(pools["code"]) for _ in range(draw.between(1, 2)))


# How many of 100 documents are of a kind.
MAKERS: dict[Callable[[Draw, Pools], str], int] = {
    questions: 27,
    statements: 13,
    lookups: 11,
    repeats: 11,
    starred: 8,
    twice: 9,
    plain: 7,
    story: 7,
    code: 7,
}
