"""Code: small functions in Python and JavaScript, to complete, to mend or to describe.

A function filters its input, maps what it keeps and puts the results together. The same composition is evaluated here
to write the tests, so that nothing is executed at generation time. A bug replaces one part by another, and at least
one test tells the two apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field

from metapeft.sources.grammar.code_parts import FAMILIES, NUMBERS, SAMPLE_WORDS, WORDS, Family, Reduce, Step
from metapeft.sources.grammar.engine import Draw, Generator, Params, Row, capitalized, one_of

STYLES = ("completion", "bugfix", "documentation")
Language = Literal["python", "javascript"]


class CodeParams(Params):
    """Parameters of the generators ``code_python`` and ``code_javascript``."""

    style: one_of(STYLES)  # type: ignore[valid-type]
    difficulty: float = Field(default=0.5, ge=0, le=1, description="share of functions that also map what they keep")


@dataclass(frozen=True)
class Program:
    """One function: its parts, their constants and its names."""

    family: Family
    keep: Step
    keep_constant: Any
    change: Step
    change_constant: Any
    reduce: Reduce
    argument: str
    item: str
    name: str

    def __call__(self, given: Any) -> Any:
        """What the function returns."""
        items = given.split() if self.family is WORDS else given
        kept = [item for item in items if self.keep.run(item, self.keep_constant)]
        return self.reduce.run([self.change.run(item, self.change_constant) for item in kept])

    def english(self) -> str:
        """`Return the sum of the squares of the even numbers.`"""
        kept = _put(self.keep.english, k=self.keep_constant).replace("{}", self.family.noun)
        changed = _put(self.change.english, k=self.change_constant)
        things = changed.replace("{}", kept) if changed != "{}" else f"the {kept}"
        return f"Return {self.reduce.english.replace('{}', things).rstrip(',')}.".replace(",,", ",")

    def expressions(self, language: Language) -> tuple[str, str]:
        """The condition and the value of an item."""
        condition = _put(getattr(self.keep, language), x=self.item, k=self.keep_constant)
        return condition, _put(getattr(self.change, language), x=self.item, k=self.change_constant)

    def source(self, language: Language, documented: bool) -> tuple[str, str]:
        """(head with the documentation, body)."""
        return _python(self, documented) if language == "python" else _javascript(self, documented)


def _put(text: str, **values: Any) -> str:
    """Fill `{x}`-like places; str.format would stumble over `{}`."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _python(program: Program, documented: bool) -> tuple[str, str]:
    condition, value = program.expressions("python")
    start, step = program.reduce.python
    step = _put(step, v=value)
    head = f"def {program.name}({program.argument}):\n"
    if documented:
        head += f'    """{program.english()}"""\n'
    items = _put(program.family.python_items, a=program.argument)
    statement = f"result{step}" if step.startswith(".") else f"result {step}"
    body = (
        f"    result = {start}\n    for {program.item} in {items}:\n        if {condition}:\n"
        f"            {statement}\n    return result\n"
    )
    return head, body


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(capitalized(part) for part in rest)


def _javascript(program: Program, documented: bool) -> tuple[str, str]:
    condition, value = program.expressions("javascript")
    start, step = program.reduce.javascript
    items = _put(program.family.javascript_items, a=program.argument)
    head = f"// {program.english()}\n" if documented else ""
    head += f"function {_camel(program.name)}({program.argument}) {{\n"
    body = (
        f"  let result = {start};\n  for (const {program.item} of {items}) {{\n    if ({condition}) {{\n"
        f"      {_put(step, v=value)}\n    }}\n  }}\n  return result;\n}}\n"
    )
    return head, body


def _program(draw: Draw, difficulty: float) -> Program:
    family = draw.any(FAMILIES)
    keep, reduce = draw.any(family.filters), draw.any(family.reduces)
    change = draw.any(family.maps) if draw.chance(0.3 + 0.7 * difficulty) else family.maps[0]
    keep_constant, change_constant = draw.any(keep.constants), draw.any(change.constants)
    parts = [reduce.name, _put(change.name, k=change_constant), _put(keep.name, k=keep_constant), family.noun]
    return Program(
        family, keep, keep_constant, change, change_constant, reduce, draw.any(family.argument), draw.any(family.item),
        "_".join(part for part in parts if part),
    )  # fmt: skip


def _bug(draw: Draw, program: Program) -> Program:
    """The same function with one part replaced by another of its kind."""
    kind = draw.below(3)
    family = program.family
    if kind == 0:
        keep = draw.any(family.filters)
        return replace(program, keep=keep, keep_constant=draw.any(keep.constants))
    if kind == 1:
        change = draw.any(family.maps)
        return replace(program, change=change, change_constant=draw.any(change.constants))
    constant = program.keep_constant
    others = [other for other in program.keep.constants if other != constant]
    return replace(program, keep_constant=draw.any(others)) if others else program


def _visible_bug(draw: Draw, program: Program) -> tuple[Program, list[Any]]:
    """A wrong function and inputs, at least one of which tells it from the right one."""
    for _ in range(100):
        wrong, inputs = _bug(draw, program), [_input(draw, program.family) for _ in range(4)]
        if any(wrong(given) != program(given) for given in inputs):
            return wrong, inputs
    raise AssertionError(f"no input tells {program.name} from any other function: a part of code_parts is trivial")


def _input(draw: Draw, family: Family) -> Any:
    if family is NUMBERS:
        return [draw.between(-9, 30) for _ in range(draw.between(3, 8))]
    if family is WORDS:
        return " ".join(draw.any(SAMPLE_WORDS) for _ in range(draw.between(3, 7)))
    return draw.any(SAMPLE_WORDS) + str(draw.below(100)) + draw.any(SAMPLE_WORDS)


def _tests(program: Program, inputs: list[Any], language: Language) -> str:
    """One assertion a line; in JavaScript a failing one throws."""
    if language == "python":
        return "\n".join(f"assert {program.name}({given!r}) == {program(given)!r}" for given in inputs)
    lines = []
    for given in inputs:
        call = f"{_camel(program.name)}({json.dumps(given)})"
        wanted = json.dumps(json.dumps(program(given), separators=(",", ":")))
        lines.append(f"if (JSON.stringify({call}) !== {wanted}) throw new Error({json.dumps(call)});")
    return "\n".join(lines)


def _maker(language: Language) -> Callable[[CodeParams], Callable[[Draw, str], Row]]:
    def maker(params: CodeParams) -> Callable[[Draw, str], Row]:
        def make(draw: Draw, label: str) -> Row:
            program = _program(draw, params.difficulty)
            if params.style == "documentation":
                short = replace(program, name=draw.any(("run", "process", "compute", "apply", "solve", "handle")))
                return {"text": "".join(short.source(language, documented=False)), "target": program.english()}
            inputs = [_input(draw, program.family) for _ in range(4)]
            head, body = program.source(language, documented=True)
            if params.style == "completion":
                return {"text": head, "target": body, "tests": _tests(program, inputs, language)}
            wrong, inputs = _visible_bug(draw, program)
            text = head + wrong.source(language, documented=False)[1]  # the documentation says what is wanted
            return {"text": text, "target": head + body, "tests": _tests(program, inputs, language)}

        return make

    return maker


CODE_PYTHON = Generator("generation", CodeParams, lambda params: [], _maker("python"))
CODE_JAVASCRIPT = Generator("generation", CodeParams, lambda params: [], _maker("javascript"))
