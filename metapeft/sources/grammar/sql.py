"""Text to SQL: a small random schema, a question in English and the query that answers it.

Each row carries the schema (`CREATE TABLE`) and a database (`INSERT`), so that the stdlib's sqlite3 can run the target.
Easy questions filter and count one table; hard ones group, join, nest, and name columns indirectly. Of the domain
`invented` every row has a table of its own, whose names are pseudo-words: what is asked for has to be copied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from metapeft.sources.grammar.engine import Draw, Generator, Params, Row, capitalized, one_of, words
from metapeft.sources.grammar.sql_lexicon import TABLES, Table

ONSETS = words("b, br, ch, cl, d, dr, f, fl, g, gr, h, j, k, l, m, n, p, pl, r, s, sh, sl, st, t, th, tr, v, w, z")
VOWELS = words("a, e, i, o, u, ai, ea, io, ou")
CODAS = ("", "", "l", "m", "n", "nd", "r", "rk", "s", "st", "t")
# words that syllables can make and that SQL or every table has already
TAKEN = frozenset(words("before, begin, case, delete, like, limit, name, raise, release, rename, table"))


class SqlParams(Params):
    """Parameters of the generator ``sql``."""

    domain: one_of((*TABLES, "any", "invented")) = "any"  # type: ignore[valid-type]
    tables: Literal[1, 2] = Field(default=1, description="2: the owner (supplier, teacher …) has a table of its own")
    difficulty: float = Field(default=0.5, ge=0, le=1)


def _quoted(value: object) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


Query = Callable[[Draw, Table, str, str], tuple[str, str]]


def _condition(draw: Draw, table: Table) -> tuple[str, str]:
    """(English, SQL) of a filter on one column."""
    if draw.chance(0.5):
        column = draw.any(tuple(table.texts))
        value = draw.any(table.texts[column])
        phrase = draw.any((f"whose {column} is {value}", f"with {column} {value}", f"that have {value} as {column}"))
        return phrase, f"{column} = {_quoted(value)}"
    column = draw.any(tuple(table.numbers))
    value = draw.between(*table.numbers[column])
    sign, saying = draw.any(((">", "more than"), ("<", "less than"), (">=", "at least"), ("<=", "at most")))
    return f"whose {column} is {saying} {value}", f"{column} {sign} {value}"


def _count(draw: Draw, table: Table, text: str, number: str) -> tuple[str, str]:
    said, where = _condition(draw, table)
    ask = draw.any(("How many {} are there {}?", "Count the {} {}.", "What is the number of {} {}?"))
    return ask.format(table.plural, said), f"SELECT COUNT(*) FROM {table.plural} WHERE {where}"


def _list(draw: Draw, table: Table, text: str, number: str) -> tuple[str, str]:
    said, where = _condition(draw, table)
    column = draw.any(("name", text, number))
    ask = draw.any(("List the {} of {} {}.", "Show the {} of all {} {}.", "What is the {} of the {} {}?"))
    return ask.format(column, table.plural, said), f"SELECT {column} FROM {table.plural} WHERE {where}"


def _aggregate(draw: Draw, table: Table, text: str, number: str) -> tuple[str, str]:
    said, where = _condition(draw, table)
    name, function = draw.any((("highest", "MAX"), ("lowest", "MIN"), ("average", "AVG"), ("total", "SUM")))
    ask = draw.any(("What is the {} {} of {} {}?", "Give the {} {} of {} {}.", "I need the {} {} of the {} {}."))
    query = f"SELECT {function}({number}) FROM {table.plural} WHERE {where}"
    return ask.format(name, number, table.plural, said), query


def _top(draw: Draw, table: Table, text: str, number: str) -> tuple[str, str]:
    count = draw.between(1, 7)
    word, order = draw.any((("highest", "DESC"), ("lowest", "ASC")))
    ask = draw.any(("Which {1} {0} have the {2} {3}?", "Name the {1} {0} with the {2} {3}."))
    query = f"SELECT name FROM {table.plural} ORDER BY {number} {order} LIMIT {count}"
    return ask.format(table.plural, count, word, number), query


def _group(draw: Draw, table: Table, text: str, number: str) -> tuple[str, str]:
    name, function = draw.any((("highest", "MAX"), ("lowest", "MIN"), ("average", "AVG"), ("total", "SUM")))
    said, where = _condition(draw, table)
    ask = draw.any(("For each {2}, what is the {0} {1} of {3} {4}?", "Show the {0} {1} per {2} for {3} {4}."))
    query = f"SELECT {text}, {function}({number}) FROM {table.plural} WHERE {where} GROUP BY {text}"
    return ask.format(name, number, text, table.plural, said), query


def _having(draw: Draw, table: Table, text: str, number: str) -> tuple[str, str]:
    count = draw.between(1, 4)
    said, where = _condition(draw, table)
    ask = draw.any(("Which {} values have more than {} {} {}?", "Name every {} shared by more than {} {} {}."))
    query = f"SELECT {text} FROM {table.plural} WHERE {where} GROUP BY {text} HAVING COUNT(*) > {count}"
    return ask.format(text, count, table.plural, said), query


def _above_average(draw: Draw, table: Table, text: str, number: str) -> tuple[str, str]:
    said, where = _condition(draw, table)
    inner = f"SELECT AVG({number}) FROM {table.plural}"
    ask = draw.any(("Which {1} {2} have a {0} above the average?", "List {1} {2} that beat the average {0}."))
    query = f"SELECT name FROM {table.plural} WHERE {where} AND {number} > ({inner})"
    return ask.format(number, table.plural, said), query


def _join(draw: Draw, table: Table, text: str, number: str) -> tuple[str, str]:
    said, where = _condition(draw, table)
    who = draw.any(table.owner_names)
    owners, tail = f"{table.owner}s", f"WHERE {table.owner}s.name = {_quoted(who)} AND {table.plural}.{where}"
    joined = f"FROM {table.plural} JOIN {owners} ON {table.plural}.{table.owner}_id = {owners}.id"
    if draw.chance(0.5):
        return f"How many {table.plural} {said} belong to the {table.owner} {who}?", f"SELECT COUNT(*) {joined} {tail}"
    return f"List the {table.plural} {said} of the {table.owner} {who}.", f"SELECT {table.plural}.name {joined} {tail}"


EASY: tuple[Query, ...] = (_count, _list, _aggregate)
HARD: tuple[Query, ...] = (_top, _group, _having, _above_average)


def _database(draw: Draw, table: Table, linked: bool) -> tuple[str, str]:
    """The CREATE TABLE and INSERT statements."""
    columns = ["id INTEGER PRIMARY KEY", "name TEXT", *(f"{name} TEXT" for name in table.texts)]
    columns += [f"{name} INTEGER" for name in table.numbers]
    schema, data = [], []
    if linked:
        columns.append(f"{table.owner}_id INTEGER")
        schema.append(f"CREATE TABLE {table.owner}s (id INTEGER PRIMARY KEY, name TEXT);")
        owners = ", ".join(f"({place}, {_quoted(name)})" for place, name in enumerate(table.owner_names, 1))
        data.append(f"INSERT INTO {table.owner}s VALUES {owners};")
    schema.append(f"CREATE TABLE {table.plural} ({', '.join(columns)});")
    rows = []
    for place in range(1, draw.between(6, 12) + 1):
        values: list[object] = [place, draw.any(table.names), *(draw.any(known) for known in table.texts.values())]
        values += [draw.between(*bounds) for bounds in table.numbers.values()]
        if linked:
            values.append(draw.between(1, len(table.owner_names)))
        rows.append(f"({', '.join(_quoted(value) for value in values)})")
    data.append(f"INSERT INTO {table.plural} VALUES {', '.join(rows)};")
    return "\n".join(schema), "\n".join(data)


def _subset(draw: Draw, table: Table) -> Table:
    """The table without some of its columns: schemas differ between rows."""
    texts = draw.sample(tuple(table.texts), draw.between(1, len(table.texts)))
    numbers = draw.sample(tuple(table.numbers), draw.between(2, len(table.numbers)))
    return Table(table.plural, table.names, {name: table.texts[name] for name in texts},
                 {name: table.numbers[name] for name in numbers}, table.owner, table.owner_names)  # fmt: skip


def pseudo_word(draw: Draw) -> str:
    """Two or three syllables that no table has for a name, such as `chaimo`."""
    while True:
        syllables = (draw.any(ONSETS) + draw.any(VOWELS) for _ in range(2 + draw.chance(0.2)))
        if (made := "".join(syllables) + draw.any(CODAS)) not in TAKEN:
            return made


def invented(draw: Draw) -> Table:
    """A table of pseudo-words: its name, its columns, its values and who owns its rows."""
    plural, owner, *columns = draw.sample(tuple(dict.fromkeys(pseudo_word(draw) for _ in range(12))), 7)

    def name() -> str:
        return capitalized(pseudo_word(draw))

    texts = {column: tuple(pseudo_word(draw) for _ in range(4)) for column in columns[:2]}
    numbers = {column: (low := draw.any((0, 1, 20, 1900)), low + draw.any((9, 90, 900))) for column in columns[2:5]}
    return Table(f"{plural}s", tuple(name() for _ in range(8)), texts, numbers, owner, tuple(name() for _ in range(4)))


def row_of(draw: Draw, table: Table, difficulty: float, linked: bool = False) -> Row:
    """A row about some columns of a table: `text`, `target`, `schema`, `database`; linked: with a table of owners."""
    table = _subset(draw, table)
    if linked and draw.chance(0.2 + 0.6 * difficulty):
        query: Query = _join
    else:
        query = draw.any(HARD if draw.chance(0.8 * difficulty) else EASY)
    question, target = query(draw, table, draw.any(tuple(table.texts)), draw.any(tuple(table.numbers)))
    schema, database = _database(draw, table, linked)
    return {"text": question, "target": target, "schema": schema, "database": database}


def sql_maker(params: SqlParams) -> Callable[[Draw, str], Row]:
    """A function that makes a question and its query, from a source of chance; it has no use for a label."""
    domains = tuple(TABLES) if params.domain == "any" else (params.domain,)

    def make(draw: Draw, label: str) -> Row:
        table = invented(draw) if params.domain == "invented" else TABLES[draw.any(domains)]
        return row_of(draw, table, params.difficulty, linked=params.tables == 2)

    return make


SQL = Generator("generation", SqlParams, lambda params: [], sql_maker)
