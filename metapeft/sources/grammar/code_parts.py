"""The parts that small functions are made of: what to keep, what to do with it, how to put it together.

Every part has its English, its Python, its JavaScript and a Python function of the same meaning, from which the
expected values of the tests are computed. `{x}` is the item, `{k}` the constant of the part.
"""

# ruff: noqa: E501 - a part a line reads better
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from metapeft.sources.grammar.engine import words


@dataclass(frozen=True)
class Step:
    """A filter or a map. `english` has `{}` for what it is applied to; `name` goes into the function's name."""

    name: str
    english: str
    python: str
    javascript: str
    run: Callable[[Any, Any], Any]
    constants: tuple[Any, ...] = (None,)


@dataclass(frozen=True)
class Reduce:
    """How kept items become the result: the initial value and the statement for each item `{v}`."""

    name: str
    english: str
    python: tuple[str, str]
    javascript: tuple[str, str]
    run: Callable[[list[Any]], Any]


@dataclass(frozen=True)
class Family:
    """Functions over one kind of input."""

    argument: tuple[str, ...]
    item: tuple[str, ...]
    noun: str
    python_items: str
    javascript_items: str
    filters: tuple[Step, ...]
    maps: tuple[Step, ...]
    reduces: tuple[Reduce, ...]


SMALL = tuple(range(2, 10))
ANY_LETTER = tuple("abcdefgilmnoprstuw")
SAME = Step("", "{}", "{x}", "{x}", lambda x, k: x)

COUNT = Reduce("count", "the number of {}", ("0", "+= 1"), ("0", "result += 1;"), len)
LIST = Reduce("list", "a list of {}", ("[]", ".append({v})"), ("[]", "result.push({v});"), list)

_VOWEL_PYTHON, _VOWEL_JAVASCRIPT = '{x}.lower() in "aeiou"', '"aeiou".includes({x}.toLowerCase())'
_DIGIT_PYTHON, _DIGIT_JAVASCRIPT = '{x} in "0123456789"', '"0123456789".includes({x})'

NUMBERS = Family(
    argument=words("numbers, values, items, data, xs, amounts, readings"),
    item=words("number, value, item, n, x"),
    noun="numbers",
    python_items="{a}",
    javascript_items="{a}",
    filters=(
        Step("even", "even {}", "{x} % 2 == 0", "{x} % 2 === 0", lambda x, k: x % 2 == 0),
        Step("odd", "odd {}", "{x} % 2 != 0", "{x} % 2 !== 0", lambda x, k: x % 2 != 0),
        Step("positive", "positive {}", "{x} > 0", "{x} > 0", lambda x, k: x > 0),
        Step("negative", "negative {}", "{x} < 0", "{x} < 0", lambda x, k: x < 0),
        Step("above_{k}", "{} greater than {k}", "{x} > {k}", "{x} > {k}", lambda x, k: x > k, SMALL),
        Step("up_to_{k}", "{} of at most {k}", "{x} <= {k}", "{x} <= {k}", lambda x, k: x <= k, SMALL),
        Step("other_than_{k}", "{} other than {k}", "{x} != {k}", "{x} !== {k}", lambda x, k: x != k, SMALL),
        Step("multiples_of_{k}", "{} divisible by {k}", "{x} % {k} == 0", "{x} % {k} === 0", lambda x, k: x % k == 0, SMALL),
    ),
    maps=(
        SAME,
        Step("squared", "the squares of the {}", "{x} * {x}", "{x} * {x}", lambda x, k: x * x),
        Step("cubed", "the cubes of the {}", "{x} ** 3", "{x} ** 3", lambda x, k: x**3),
        Step("absolute", "the absolute values of the {}", "abs({x})", "Math.abs({x})", lambda x, k: abs(x)),
        Step("times_{k}", "the {}, each times {k},", "{x} * {k}", "{x} * {k}", lambda x, k: x * k, SMALL),
        Step("plus_{k}", "the {}, each plus {k},", "{x} + {k}", "{x} + {k}", lambda x, k: x + k, SMALL),
        Step("minus_{k}", "the {}, each minus {k},", "{x} - {k}", "{x} - {k}", lambda x, k: x - k, SMALL),
    ),
    reduces=(
        Reduce("sum", "the sum of {}", ("0", "+= {v}"), ("0", "result += {v};"), sum),
        COUNT,
        LIST,
        Reduce("largest", "the largest of {}, or -99 if all are smaller,", ("-99", "= max(result, {v})"),
               ("-99", "result = Math.max(result, {v});"), lambda kept: max([-99, *kept])),
        Reduce("smallest", "the smallest of {}, or 99 if all are larger,", ("99", "= min(result, {v})"),
               ("99", "result = Math.min(result, {v});"), lambda kept: min([99, *kept])),
    ),
)  # fmt: skip

WORDS = Family(
    argument=words("text, line, sentence, phrase, message, title"),
    item=words("word, token, part, w"),
    noun="words",
    python_items="{a}.split()",
    javascript_items='{a}.split(" ")',
    filters=(
        Step(
            "longer_than_{k}",
            "{} longer than {k} letters",
            "len({x}) > {k}",
            "{x}.length > {k}",
            lambda x, k: len(x) > k,
            SMALL[:4],
        ),
        Step(
            "shorter_than_{k}",
            "{} shorter than {k} letters",
            "len({x}) < {k}",
            "{x}.length < {k}",
            lambda x, k: len(x) < k,
            SMALL[1:5],
        ),
        Step(
            "with_{k}",
            "{} that contain the letter {k}",
            '"{k}" in {x}',
            '{x}.includes("{k}")',
            lambda x, k: k in x,
            ANY_LETTER,
        ),
        Step(
            "without_{k}",
            "{} without the letter {k}",
            '"{k}" not in {x}',
            '!{x}.includes("{k}")',
            lambda x, k: k not in x,
            ANY_LETTER,
        ),
        Step(
            "starting_with_{k}",
            "{} that start with {k}",
            '{x}.startswith("{k}")',
            '{x}.startsWith("{k}")',
            lambda x, k: x.startswith(k),
            ANY_LETTER,
        ),
        Step(
            "ending_with_{k}",
            "{} that end with {k}",
            '{x}.endswith("{k}")',
            '{x}.endsWith("{k}")',
            lambda x, k: x.endswith(k),
            ANY_LETTER,
        ),
    ),
    maps=(
        SAME,
        Step("upper", "the {} in upper case", "{x}.upper()", "{x}.toUpperCase()", lambda x, k: x.upper()),
        Step("lengths", "the lengths of the {}", "len({x})", "{x}.length", lambda x, k: len(x)),
        Step(
            "reversed",
            "the {} spelled backwards",
            "{x}[::-1]",
            '{x}.split("").reverse().join("")',
            lambda x, k: x[::-1],
        ),
        Step("initials", "the first letters of the {}", "{x}[0]", "{x}[0]", lambda x, k: x[0]),
        Step(
            "first_{k}_letters",
            "the first {k} letters of the {}",
            "{x}[:{k}]",
            "{x}.slice(0, {k})",
            lambda x, k: x[:k],
            SMALL[:3],
        ),
    ),
    reduces=(COUNT, LIST),
)

LETTERS = Family(
    argument=words("text, name, code, label, string, key"),
    item=words("letter, char, c, symbol"),
    noun="characters",
    python_items="{a}",
    javascript_items="{a}",
    filters=(
        Step("vowels", "{} that are vowels", _VOWEL_PYTHON, _VOWEL_JAVASCRIPT, lambda x, k: x.lower() in "aeiou"),
        Step("digits", "{} that are digits", _DIGIT_PYTHON, _DIGIT_JAVASCRIPT, lambda x, k: x in "0123456789"),
        Step("nondigits", "{} that are not digits", "{x} not in \"0123456789\"", "!" + _DIGIT_JAVASCRIPT, lambda x, k: x not in "0123456789"),
        Step("without_{k}", "{} other than {k}", '{x} != "{k}"', '{x} !== "{k}"', lambda x, k: x != k, ANY_LETTER),
        Step("before_{k}", "{} that sort before {k}", '{x} < "{k}"', '{x} < "{k}"', lambda x, k: x < k, ANY_LETTER),
        Step("from_{k}", "{} that sort at or after {k}", '{x} >= "{k}"', '{x} >= "{k}"', lambda x, k: x >= k, ANY_LETTER),
    ),
    maps=(
        SAME,
        Step("upper", "the {} in upper case", "{x}.upper()", "{x}.toUpperCase()", lambda x, k: x.upper()),
        Step("{k}_times", "the {}, each {k} times,", "{x} * {k}", "{x}.repeat({k})", lambda x, k: x * k, SMALL[:3]),
        Step("marked", "the {}, each followed by a dash,", '{x} + "-"', '{x} + "-"', lambda x, k: x + "-"),
    ),
    reduces=(
        COUNT,
        LIST,
        Reduce("join", "the text made of {}", ('""', "+= {v}"), ('""', "result += {v};"), "".join),
        Reduce("join_backwards", "the text made, back to front, of {}", ('""', "= {v} + result"),
               ('""', "result = {v} + result;"), lambda kept: "".join(reversed(kept))),
    ),
)  # fmt: skip

FAMILIES: tuple[Family, ...] = (NUMBERS, WORDS, LETTERS)
SAMPLE_WORDS = words("""apple, bird, stone, open, river, gold, amber, window, sun, letter, piano, egg, north, idea, table, cloud, um, ox,
    garden, robot, silent, wolf, ladder, music, after, pepper, ink, salad, tiger, noon""")
