"""The engine of the text generators: seeded draws, template filling, casing, and pools of distinct rows.

The data (lexicons, templates) live in the modules of the families; nothing here knows what a text is about.
A template holds places `{name}`, filled from a mapping, and alternatives `[lost|missing]`, one of which is drawn.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from metapeft.errors import RecipeError, did_you_mean

T = TypeVar("T")
Pool = Literal["support", "query"]
Row = dict[str, Any]
Slots = Mapping[str, "str | Sequence[str]"]
NO_SLOTS: Slots = {}
ATTEMPTS = 400  # draws without a new text, in a row, before a generator counts as exhausted


class Params(BaseModel):
    """Parameters of a generator: unknown keys are errors, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ClassificationParams(Params):
    """What every classification generator takes."""

    difficulty: float = Field(default=0.5, ge=0, le=1, description="0: plain and common words; 1: see the generator")
    label_noise: float = Field(default=0.0, ge=0, le=0.3, description="share of rows that carry a wrong label")


def one_of(names: Sequence[str]) -> Any:
    """A string type that admits only `names` and suggests the nearest one."""

    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"{value!r} is not one of {', '.join(names)}.{did_you_mean(value, names)}")
        return value

    return Annotated[str, AfterValidator(check)]


@dataclass(frozen=True)
class Generator:
    """A named way to make rows.

    `maker(params)` returns `make(draw, label) -> row`; `label` is empty unless the kind is classification.
    """

    kind: Literal["classification", "tagging", "generation"]
    params: type[Params]
    labels: Callable[[Any], list[str]]
    maker: Callable[[Any], Callable[[Draw, str], Row]]


class Draw:
    """Random choices at the price of a list access: uniform numbers are drawn from numpy in blocks.

    Args:
        seed: of the numpy generator.
        breadth: share of each lexicon that `pick` uses. Lexicons list common words first, so a small breadth
            gives few, common words: one of the things that difficulty means.
    """

    def __init__(self, seed: int, breadth: float = 1.0) -> None:
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._numbers: list[float] = []
        self._breadth = breadth

    def uniform(self) -> float:
        """A number in [0, 1)."""
        if not self._numbers:
            self._numbers = self._generator.random(8192).tolist()
        return self._numbers.pop()

    def chance(self, probability: float) -> bool:
        """Whether something of this probability, 0 to 1, happens."""
        return self.uniform() < probability

    def below(self, bound: int) -> int:
        """An integer in [0, bound)."""
        return int(self.uniform() * bound)

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + int(self.uniform() * (high - low + 1))

    def any(self, items: Sequence[T]) -> T:
        """One item, each as likely."""
        return items[int(self.uniform() * len(items))]

    def pick(self, items: Sequence[T]) -> T:
        """One item of the common part of a lexicon (all of it at breadth 1), common items more often, as in speech."""
        size = len(items)
        number = self.uniform()
        return items[int(number * number * number * max(min(size, 2), size * self._breadth))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items, in random order."""
        left = list(items)
        return [left.pop(int(self.uniform() * len(left))) for _ in range(min(count, len(left)))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """A copy in random order (Fisher-Yates)."""
        out = list(items)
        for last in range(len(out) - 1, 0, -1):
            other = int(self.uniform() * (last + 1))
            out[last], out[other] = out[other], out[last]
        return out


def words(text: str) -> tuple[str, ...]:
    """A lexicon written as one comma-separated text."""
    return tuple(" ".join(word.split()) for word in text.split(",") if word.strip())


def phrases(text: str) -> tuple[str, ...]:
    """A lexicon written as one text separated by semicolons, for phrases with commas or alternatives."""
    return tuple(" ".join(phrase.split()) for phrase in text.split(";") if phrase.strip())


_MARKS = re.compile(r"(\[[^\[\]]*\]|\{[a-z_0-9]+\})")


@functools.cache
def _parts(template: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """A template as (place name or literal, alternatives) pairs; no alternatives and no braces: a literal."""
    parts = []
    for piece in _MARKS.split(template):
        if piece.startswith("["):
            parts.append(("", tuple(piece[1:-1].split("|"))))
        elif piece:
            parts.append((piece, ()))
    return tuple(parts)


def fill(draw: Draw, template: str, slots: Slots = NO_SLOTS) -> str:
    """Fill the places and choose the alternatives of a template; what is filled in may be a template too.

    A slot that is a text is used as it is; from a sequence one item is picked, afresh for each place.
    """
    if "{" not in template and "[" not in template:
        return template
    out = []
    for piece, alternatives in _parts(template):
        if alternatives:
            out.append(fill(draw, draw.pick(alternatives), slots))
        elif piece[0] == "{":
            value = slots[piece[1:-1]]
            out.append(fill(draw, value if isinstance(value, str) else draw.pick(value), slots))
        else:
            out.append(piece)
    return "".join(out)


_ARTICLE = re.compile(r"\b([Aa])\(n\) (\S+)")
_CONSONANT_SOUND = re.compile(r"(?:one\b|once|uni|use|usual|eu|ut[ie])", re.IGNORECASE)
_SILENT_H = re.compile(r"(?:hour|honest|heir|honou?r)", re.IGNORECASE)


def articles(text: str) -> str:
    """Turn `a(n)` into `a` or `an` by the sound of the next word."""
    if "a(n)" not in text and "A(n)" not in text:
        return text

    def choose(match: re.Match[str]) -> str:
        word = match.group(2)
        vowel = (word[0] in "aeiouAEIOU" and not _CONSONANT_SOUND.match(word)) or bool(_SILENT_H.match(word))
        return f"{match.group(1)}{'n' if vowel else ''} {word}"

    return _ARTICLE.sub(choose, text)


def sentence(text: str) -> str:
    """Articles resolved, first letter upper-case, a full stop unless there is an end already."""
    text = articles(text.strip())
    return text[:1].upper() + text[1:] + ("" if text[-1:] in ".!?" else ".")


def capitalized(text: str) -> str:
    """The text with a capital first letter; the rest stays."""
    return text[:1].upper() + text[1:]


def typo(draw: Draw, text: str) -> str:
    """One slip of the fingers in a word of five letters or more: a swap, a loss or a doubling inside the word.

    Short words, which hold the negations, stay whole, so that a reader can still tell the label.
    """
    tokens = text.split(" ")
    for _ in range(8):
        place = draw.below(len(tokens))
        if len(tokens[place]) >= 5 and tokens[place].isalpha():
            break
    else:
        return text
    token = tokens[place]
    at = draw.between(1, len(token) - 3)
    kind = draw.below(3)
    if kind == 0:
        token = token[:at] + token[at + 1] + token[at] + token[at + 2 :]
    elif kind == 1:
        token = token[:at] + token[at + 1 :]
    else:
        token = token[:at] + token[at] + token[at:]
    tokens[place] = token
    return " ".join(tokens)


def stable_seed(generator: str, params: Params, seed: int, pool: Pool) -> int:
    """A seed from the arguments' JSON, the same on every machine (Python's hash() is not)."""
    content = json.dumps([generator, params.model_dump(mode="json"), seed, pool], sort_keys=True)
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:16], "big")


def text_of(row: Row) -> str:
    """What must differ between rows."""
    return " ".join(row["tokens"]) if "tokens" in row else row["text"]


def distinct_rows(name: str, generator: Generator, params: Params, rows: int, seed: int, pool: Pool) -> list[Row]:
    """Rows with different texts, classes balanced, in random order.

    A checksum of the lower-cased text says which pool a text belongs to, so no text can stand in both pools,
    whatever their seeds; each pool has half of a generator's variety.

    Raises:
        RecipeError: the generator has not so many different texts.
    """
    difficulty = getattr(params, "difficulty", 1.0)
    draw = Draw(stable_seed(name, params, seed, pool), breadth=0.15 + 0.85 * difficulty)
    make = generator.maker(params)
    labels = generator.labels(params) if generator.kind == "classification" else [""]
    noise = getattr(params, "label_noise", 0.0)
    side = 0 if pool == "support" else 1
    seen: set[str] = set()
    out: list[Row] = []
    for index in range(rows):
        label = labels[index % len(labels)]
        for _ in range(ATTEMPTS):
            row = make(draw, label)
            key = text_of(row).lower()
            if zlib.crc32(key.encode()) & 1 == side and key not in seen:
                break
        else:
            raise RecipeError(
                f"generator {name!r} with {params.model_dump()} has run out of different texts after {index} rows; "
                f"ask for fewer than {rows} or raise its difficulty"
            )
        seen.add(key)
        if labels != [""]:
            if noise and draw.chance(noise):
                label = draw.any([other for other in labels if other != label])
            row["label"] = label
        out.append(row)
    return draw.shuffled(out)
