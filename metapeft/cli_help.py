"""What a configuration model says about itself, in plain words: its keys, their types and the `--help` page."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

WIDTH = 100
_WIDEST = (28, 26, 18)  # of the columns key, type and default; the description has the rest
_GAP = 2
_NOUNS: dict[Any, tuple[str, str]] = {  # one, many
    bool: ("true or false", "true or false"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("text", "texts"),
    NoneType: ("null", "nulls"),
    Any: ("any value", "any values"),
}

# --- the shape of a model -----------------------------------------------------------------------


def members(annotation: Any) -> list[Any]:
    """The members of a union without their `Annotated`, or the annotation alone: `int | None` -> [int, NoneType]."""
    return [_bare(member) for member in _annotated_members(annotation)]


def _annotated_members(annotation: Any) -> list[Any]:
    bare = _bare(annotation)
    if get_origin(bare) in (Union, UnionType):
        return [inner for member in get_args(bare) for inner in _annotated_members(member)]
    return [annotation]


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def is_model(annotation: Any) -> bool:
    """Whether an annotation is a pydantic model."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def nested_model(annotation: Any) -> type[BaseModel] | None:
    """The model among an annotation's members, if there is one."""
    return next((member for member in members(annotation) if is_model(member)), None)


def mapping_item(annotation: Any) -> Any | None:
    """The annotation of a mapping's values, if the annotation has a mapping among its members."""
    mapping = next((member for member in members(annotation) if get_origin(member) is dict), None)
    return get_args(mapping)[1] if mapping is not None else None


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Fields by the key that a user writes."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


@dataclass(frozen=True)
class Key:
    """One settable key: dotted name, field or annotation, default as a user would type it (None: required)."""

    name: str
    kind: Any
    default: str | None
    about: str


def keys_of(model: type[BaseModel], prefix: str = "", defaults: BaseModel | None = None) -> Iterator[Key]:
    """Every key of a model in order; nested models are followed, a mapping is `key.NAME`."""
    for name, info in model.model_fields.items():
        key = prefix + (info.alias or name)
        value = getattr(defaults, name) if defaults is not None else info.get_default(call_default_factory=True)
        default = None if value is PydanticUndefined else _typed(value)
        about = info.description or ""
        nested, item = nested_model(info.annotation), mapping_item(info.annotation)
        if nested is not None:
            yield from keys_of(nested, f"{key}.", value if isinstance(value, nested) else None)
        elif item is not None:
            yield Key(f"{key}.NAME", item, default, about)
        else:
            yield Key(key, info, default, about)


def known_keys(model: type[BaseModel]) -> list[str]:
    """Dotted names of all keys."""
    return [key.name for key in keys_of(model)]


def required_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of the keys without a default."""
    return [key.name for key in keys_of(model, prefix) if key.default is None]


def _typed(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, list):
        return f"[{', '.join(map(_typed, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_typed(item)}" for key, item in value.items()) + "}"
    return str(value) or '""'


# --- plain words --------------------------------------------------------------------------------


def describe(kind: Any) -> str:
    """Say what a field or an annotation wants: `a whole number from 1 to 10, or a list of whole numbers`."""
    if isinstance(kind, FieldInfo):
        options, bounds = _annotated_members(kind.annotation), kind.metadata
    else:
        options, bounds = _annotated_members(kind), []
    return ", or ".join(_noun(option, bounds) for option in options)


def _noun(option: Any, bounds: Sequence[Any] = (), many: bool = False) -> str:
    bare = _bare(option)
    if get_origin(option) is Annotated:
        extra = [m for item in get_args(option)[1:] for m in (item.metadata if isinstance(item, FieldInfo) else [item])]
        bounds = [*bounds, *extra]
    origin = get_origin(bare)
    if bare in (int, float):
        return _NOUNS[bare][many] + _range(bounds)
    if bare is str:
        return _NOUNS[bare][many] + _length(bounds, "characters") + _pattern(bounds)
    if origin is Literal:
        choices = ", ".join(map(str, get_args(bare)))
        return f"one of {choices}" if len(get_args(bare)) > 1 else choices
    if origin is list:
        return f"a list of {_nouns(get_args(bare)[0])}" + _length(bounds, "items")
    if origin is dict:
        return f"a mapping of names to {_nouns(get_args(bare)[1])}"
    if is_model(bare):
        return f"a mapping with the keys {', '.join(fields_of(bare))}"
    return _NOUNS.get(bare, (str(getattr(bare, "__name__", bare)),) * 2)[many]


def _nouns(annotation: Any) -> str:
    return " or ".join(_noun(option, many=True) for option in _annotated_members(annotation))


def _bound(bounds: Sequence[Any], name: str) -> Any:
    return next((getattr(bound, name) for bound in bounds if getattr(bound, name, None) is not None), None)


def _range(bounds: Sequence[Any]) -> str:
    least, above, most, below = (_bound(bounds, name) for name in ("ge", "gt", "le", "lt"))
    if least is not None and most is not None:
        return f" from {least} to {most}"
    words = (("of at least", least), ("above", above), ("of at most", most), ("below", below))
    said = " and ".join(f"{word} {value}" for word, value in words if value is not None)
    return f" {said}" if said else ""


def _length(bounds: Sequence[Any], unit: str) -> str:
    least, most = _bound(bounds, "min_length"), _bound(bounds, "max_length")
    if least and least == most:
        return f" ({least} {unit})"
    said = " and ".join(f"{word} {value}" for word, value in (("at least", least), ("at most", most)) if value)
    return f" ({said} {unit})" if said else ""


def _pattern(bounds: Sequence[Any]) -> str:
    pattern = _bound(bounds, "pattern")
    return f" that matches {pattern}" if pattern else ""


# --- the page -----------------------------------------------------------------------------------


def help_text(model: type[BaseModel], prog: str, description: str = "", examples: Sequence[str] = ()) -> str:
    """The `--help` page of a model, plain text of at most 100 columns (an example longer than that is not cut)."""
    keys = list(keys_of(model))
    required = "".join(f" {key.name}=VALUE" for key in keys if key.default is None)
    usage = textwrap.fill(
        f"usage: {prog}{required} [key=value ...] [@file.yaml ...]", WIDTH, subsequent_indent="  ", **_WHOLE_WORDS
    )
    rows = [(key.name, _short(describe(key.kind)), _shown_default(key), key.about) for key in keys]
    paragraphs = [usage]
    if description:
        paragraphs.append("\n".join(textwrap.fill(line, WIDTH) for line in description.strip().splitlines()))
    paragraphs.append("keys:\n" + _table([("KEY", "TYPE", "DEFAULT", "ABOUT"), *rows]))
    if examples:
        paragraphs.append("examples:\n" + "\n".join(f"  {example}" for example in examples))
    return "\n\n".join([*paragraphs, _NOTES])


_WHOLE_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
_NOTES = """\
--key=value is the same as key=value. A list is written [1,5,10]; some shells want it in quotes.
@file.yaml reads keys from a YAML file. The command line beats files, a later file an earlier one.
--help, -h shows this page. With METAPEFT_DEBUG=1 in the environment an error shows its traceback."""


def _shown_default(key: Key) -> str:
    if key.default is None:
        return "required"
    return "" if key.default == "{}" else key.default


def _short(words: str) -> str:
    return re.sub(r"(^|, or )an? ", r"\1", words).replace(", or ", " or ")


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [min(widest, max(len(row[i]) for row in rows)) for i, widest in enumerate(_WIDEST)]
    widths.append(WIDTH - 2 - sum(widths) - _GAP * len(widths))
    lines = []
    for row in rows:
        cells = [textwrap.wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
        for parts in itertools.zip_longest(*cells, fillvalue=""):
            padded = (part.ljust(width + _GAP) for part, width in zip(parts, widths, strict=True))
            lines.append(f"  {''.join(padded)}".rstrip())
    return "\n".join(lines)
