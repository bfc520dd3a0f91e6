"""A user's own tagged sentences: CoNLL files, jsonl of texts with spans, and jsonl of tokens with tags.

Whatever scheme the tags follow, BIO comes out: IOB1, BIO, BIOES and BILOU say the same in other letters (Ratinov &
Roth, "Design challenges and misconceptions in named entity recognition", 2009).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metapeft.errors import SourceError
from metapeft.sources.labelled import LABEL_NAMES, TEXT_NAMES
from metapeft.sources.text_files import read_table, read_text
from metapeft.tokenization.words import Words, joined, words_of

ENDINGS = (".conll", ".bio", ".iob")
SNIFFED = (".txt", ".tsv")
# Names that keys have, the likeliest first.
SPAN_NAMES = ("spans", "entities", "label", "labels")
TOKEN_NAMES, TAG_NAMES = ("tokens", "words"), ("tags", "ner_tags")
START_NAMES, END_NAMES, KIND_NAMES = ("start", "start_offset"), ("end", "end_offset"), ("label", "type", "entity")
_TAG = re.compile(r"O|([BIESLU])-(\S.*)")
_LOOKED_AT = 100  # lines that say whether a .txt or .tsv file is tagged
_SHOWN = 5


class Tagged(NamedTuple):
    """One sentence.

    Attributes:
        place: where it stands, as a message calls it.
        words: its text and its words.
        tags: BIO, one for each word.
    """

    place: str
    words: Words
    tags: list[str]


class Span(NamedTuple):
    """An entity: characters ``start`` to ``end`` of a text, `end` not among them."""

    start: int
    end: int
    label: str


def is_tagged(data: str) -> bool:
    """Whether a file holds tagged sentences: by its ending, or by what stands in it (.txt, .tsv, .jsonl).

    Raises:
        SourceError: see `read_text`; or a jsonl file is damaged.
    """
    path = Path(data).expanduser()
    ending = path.suffix.lower()
    if ending in ENDINGS:
        return True
    if not path.is_file() or ending not in (*SNIFFED, ".jsonl"):
        return False
    if ending == ".jsonl":
        return any(_kind_of_row(row) for _, row in read_table(path).rows[:_LOOKED_AT])
    lines = [line for line in _lines(read_text(path)) if line.strip(" ") and not line.startswith(("#", "-DOCSTART-"))]
    some = [_columns(line, "\t" in line) for line in lines[:_LOOKED_AT]]
    tagged = sum(len(columns) > 1 and _TAG.fullmatch(columns[-1]) is not None for columns in some)
    return tagged > 0 and tagged >= 0.9 * len(some)


def read_tagged(data: str) -> tuple[list[Tagged], list[str]]:
    """Read tagged sentences.

    CoNLL: a word a line, the word in the first column and the tag in the last, columns parted by tabs or spaces; a
    blank line ends a sentence; lines of ``-DOCSTART-`` and comments (``#``) are skipped. Jsonl: a text and its spans,
    ``{"text": …, "spans": [{"start": 0, "end": 5, "label": "person"}]}`` or ``[[0, 5, "person"]]``; or
    ``{"tokens": […], "tags": […]}``. A span that ends in the middle of a word is widened to the whole word.

    Args:
        data: a file for which `is_tagged` holds.

    Returns:
        The sentences that have a word, and notes on what was skipped, widened or repaired.

    Raises:
        SourceError: the file cannot be read, or a line of it; it is named, with the remedy.
    """
    path = Path(data).expanduser()
    notes: list[str] = []
    sentences = _jsonl(path, notes) if path.suffix.lower() == ".jsonl" else _conll(path, notes)
    tags, said = as_bio([sentence.tags for sentence in sentences])
    return [s._replace(tags=own) for s, own in zip(sentences, tags, strict=True)], [*notes, *said]


def as_bio(rows: Sequence[Sequence[str]]) -> tuple[list[list[str]], list[str]]:
    """Tags of sentences as BIO, and notes on their scheme and on what was repaired.

    A tag that goes on after nothing of its type begins an entity. Where all tags begin so, but for those beside an
    entity of their type, that is the scheme (IOB1: Ramshaw & Marcus 1995), and nothing is repaired.

    Raises:
        SourceError: a tag is none.
    """
    out, seen = [], set()
    bare = needless = 0
    for number, row in enumerate(rows):
        own, before, closed = [], None, True
        for place, tag in enumerate(row):
            prefix, kind = split_tag(tag, f"sentence {number + 1}, word {place + 1}")
            inside = kind is not None and kind == before and not closed
            begins = prefix in ("B", "S", "U")
            bare += prefix in ("I", "E", "L") and not inside
            needless += begins and kind != before
            own.append("O" if kind is None else f"{'I' if inside and not begins else 'B'}-{kind}")
            before, closed = kind, prefix in ("E", "S", "L", "U")
            seen.add(prefix)
        out.append(own)
    if seen & {"E", "S", "L", "U"}:
        name = "BIOES" if seen & {"E", "S"} else "BILOU"
        notes = [f"tags are {name}: turned into BIO"]
    elif bare and not needless:
        return out, ["tags are IOB1 (B- only beside an entity of the same type): turned into BIO"]
    else:
        notes = []
    if bare:
        what = "1 tag goes on with an entity" if bare == 1 else f"{bare} tags go on with an entity"
        notes.append(f"{what} that did not begin (I- without B-): taken as its beginning")
    return out, notes


def spans_of(sentence: Tagged) -> list[Span]:
    """The entities of a sentence, in the characters of its text."""
    out: list[Span] = []
    for (start, end), tag in zip(sentence.words.offsets, sentence.tags, strict=True):
        if tag.startswith("B-"):
            out.append(Span(start, end, tag[2:]))
        elif tag != "O":
            out[-1] = out[-1]._replace(end=end)
    return out


def tags_of(words: Words, spans: Iterable[Span]) -> list[str]:
    """BIO tags of words by entities that share no word with each other; every word that a span touches is its own."""
    tags = ["O"] * len(words.offsets)
    for span in spans:
        own = _touched(words, span)
        tags[own.start : own.stop] = [f"{'I' if place else 'B'}-{span.label}" for place in range(len(own))]
    return tags


def split_tag(tag: Any, where: str) -> tuple[str, str | None]:
    """Prefix and type of a tag; ``("O", None)`` for O.

    Raises:
        SourceError: it is no tag.
    """
    found = _TAG.fullmatch(tag) if isinstance(tag, str) else None
    if found is None:
        names = "\n  tags are numbers: write their names" if isinstance(tag, int) else ""
        raise SourceError(f"{where}: '{tag}' is no tag; tags are O, B-type and I-type (or with E-, S-, L-, U-){names}")
    return (found[1], found[2]) if found[1] else ("O", None)


# --- CoNLL


def _lines(text: str) -> list[str]:
    # not splitlines: a word may hold a sign that Unicode counts among line ends
    return [line.rstrip("\r") for line in text.split("\n")]


def _columns(line: str, tabs: bool) -> list[str]:
    # not split(): a no-break space is part of a word
    return [cell.strip(" ") for cell in line.split("\t")] if tabs else re.split(" +", line.strip(" "))


def _conll(path: Path, notes: list[str]) -> list[Tagged]:
    sentences: list[Tagged] = []
    words: list[str] = []
    tags: list[str] = []
    first, expected, tabs, comments, numbered = "", 0, False, 0, True

    def end() -> None:
        if words:
            sentences.append(Tagged(first, joined(words), list(tags)))
        words.clear()
        tags.clear()

    for number, line in enumerate(_lines(read_text(path)), 1):
        if not line.strip(" \t") or line.startswith("-DOCSTART-"):
            end()
            continue
        if not expected:
            tabs = "\t" in line
        columns, where = _columns(line, tabs), f"{path}: line {number}"
        is_tag = len(columns) > 1 and _TAG.fullmatch(columns[-1]) is not None
        fits = not expected or len(columns) == expected
        if line.startswith("#") and not (is_tag and fits) and (line[1:2] in ("", " ") or len(columns) != expected):
            comments += 1
            continue
        if len(columns) == 1:
            what = "a tab" if tabs else "a tab or a space"
            raise SourceError(
                f"{where}: '{_short(line)}' has no tag\n  each line holds a word, {what}, and a tag such as O or B-type"
            )
        if expected and len(columns) != expected:
            raise SourceError(
                f"{where}: {len(columns)} columns, {expected} in the lines before\n"
                "  every line needs as many: the word in the first, the tag in the last"
            )
        if not columns[0]:
            raise SourceError(f"{where}: no word in the first column")
        split_tag(columns[-1], where)
        expected = len(columns)
        if not words:
            first = f"line {number}"
        words.append(columns[0])
        tags.append(columns[-1])
        numbered = numbered and columns[0] == str(len(words))
    end()
    if not sentences:
        raise SourceError(f"{path}: no line with a word and a tag")
    if numbered and expected > 2:
        raise SourceError(f"{path}: the first column counts the words: put the words there")
    if comments:
        notes.append(f"{comments} comment line{'s' * (comments > 1)} (#): skipped")
    return sentences


# --- jsonl


def _kind_of_row(row: dict[str, Any]) -> str:
    """``tokens``, ``spans``, or nothing for a row that holds no tagged sentence."""
    if _first(row, TOKEN_NAMES, list) and _first(row, TAG_NAMES, list):
        return "tokens"
    classified = any(isinstance(row.get(name), (str, int)) for name in LABEL_NAMES)
    return "spans" if _first(row, TEXT_NAMES, str) and _first(row, SPAN_NAMES, list) and not classified else ""


def _first(row: dict[str, Any], names: Sequence[str], kind: type) -> str | None:
    return next((name for name in names if isinstance(row.get(name), kind)), None)


def _jsonl(path: Path, notes: list[str]) -> list[Tagged]:
    sentences: list[Tagged] = []
    empty: list[str] = []
    widened: list[str] = []
    for place, row in read_table(path).rows:
        where = f"{path}: {place}"
        kind = _kind_of_row(row)
        if not kind:
            raise SourceError(
                f"{where}: neither a text with a list of spans nor lists of tokens and tags; it has: {', '.join(row)}\n"
                '  expected {"text": …, "spans": [{"start": 0, "end": 5, "label": "person"}]}, an empty list for none'
            )
        found = _from_tokens(row, where) if kind == "tokens" else _from_spans(row, where, place, widened)
        if found[0].offsets:
            sentences.append(Tagged(place, *found))
        else:
            empty.append(place)
    if not sentences:
        raise SourceError(f"{path}: no row has a word")
    if empty:
        notes.append(f"{len(empty)} row{'s' * (len(empty) > 1)} without a word: skipped ({_places(empty)})")
    if widened:
        what = "1 span ends" if len(widened) == 1 else f"{len(widened)} spans end"
        notes.append(f"{what} within a word: widened to the whole word ({_places(widened)})")
    return sentences


def _from_tokens(row: dict[str, Any], where: str) -> tuple[Words, list[str]]:
    tokens, tags = (row[_first(row, names, list) or ""] for names in (TOKEN_NAMES, TAG_NAMES))
    wrong = next((token for token in tokens if not isinstance(token, str)), None)
    if wrong is not None:
        raise SourceError(f"{where}: the token {json.dumps(wrong)} is no text")
    if len(tokens) != len(tags):
        raise SourceError(f"{where}: {len(tokens)} tokens and {len(tags)} tags; give one tag for each token")
    for place, tag in enumerate(tags):
        split_tag(tag, f"{where}, word {place + 1}")
    return joined(tokens), tags


def _from_spans(row: dict[str, Any], where: str, place: str, widened: list[str]) -> tuple[Words, list[str]]:
    text = row[_first(row, TEXT_NAMES, str) or ""]
    words, taken, spans = words_of(text), {}, []
    for raw in row[_first(row, SPAN_NAMES, list) or ""]:
        span = _span(raw, text, where)
        own = _touched(words, span)
        if not own:
            raise SourceError(f"{where}: {_named(span, text)} holds no word")
        start, end = words.offsets[own.start][0], words.offsets[own.stop - 1][1]
        # white space at an end is no part of a word: nothing is widened by losing it
        if start < span.start or end > span.end:
            widened.append(place)
        other = next((taken[word] for word in own if word in taken), None)
        if other is not None:
            raise SourceError(
                f"{where}: {_named(other, text)} and {_named(span, text)} share a word\n"
                "  a word has one tag: keep one of them, such as the longer"
            )
        taken |= dict.fromkeys(own, span)
        spans.append(span)
    return words, tags_of(words, spans)


def _span(raw: Any, text: str, where: str) -> Span:
    values: Any = raw
    if isinstance(raw, dict):
        values = [
            next((raw[name] for name in names if name in raw), None)
            for names in (START_NAMES, END_NAMES, KIND_NAMES)
        ]  # fmt: skip
    if not isinstance(values, list) or len(values) != 3 or [type(value) for value in values] != [int, int, str]:
        raise SourceError(
            f"{where}: {_short(json.dumps(raw))} is no span\n"
            '  expected {"start": 0, "end": 5, "label": "person"} or [0, 5, "person"]'
        )
    span = Span(*values)
    if not 0 <= span.start < span.end <= len(text):
        what = "is empty" if span.start == span.end else "lies outside"
        raise SourceError(
            f"{where}: span {span.start}-{span.end} '{span.label}' {what}: the text has {len(text)} characters\n"
            "  start is its first character, counted from 0, and end the one after its last"
        )
    if not span.label.strip():
        raise SourceError(f"{where}: {_named(span, text)} has no label")
    said = raw.get("text") if isinstance(raw, dict) else None
    if isinstance(said, str) and said != text[span.start : span.end]:
        raise SourceError(
            f"{where}: {_named(span, text)} is said to be '{_short(said)}'\n"
            "  offsets count characters (Unicode code points) from 0, not bytes"
        )
    return span._replace(label=span.label.strip())


def _touched(words: Words, span: Span) -> range:
    """The words that a span shares a character with."""
    own = [i for i, (start, end) in enumerate(words.offsets) if start < span.end and end > span.start]
    return range(own[0], own[-1] + 1) if own else range(0)


def _named(span: Span, text: str) -> str:
    return f"span {span.start}-{span.end} '{_short(text[span.start : span.end])}'"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


def _places(places: Sequence[str]) -> str:
    more = [f"and {len(places) - _SHOWN} more"] if len(places) > _SHOWN else []
    return ", ".join([*places[:_SHOWN], *more])
