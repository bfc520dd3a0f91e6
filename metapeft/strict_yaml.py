"""YAML without the surprises.

PyYAML follows YAML 1.1: `no` is False, `1e-5` is a string, and the last of two equal keys wins in
silence. A label list `[no, yes, on]` must stay three words, so this loader follows YAML 1.2's core
schema: only `true` and `false` are booleans, `1e-5` is a float, `010` is ten, dates stay strings,
and a duplicate key is an error that names both lines. Tags that ask for anything but a plain value
(`!!python/...`, `!!binary`, `!!timestamp`) are refused. `<<` merges mappings, as in YAML 1.1.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import yaml

from metapeft.errors import RecipeError

_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 scalars; a class of our own, because `import mlx_lm` edits SafeLoader."""

    # Both tables start empty: nothing of YAML 1.1 is inherited, neither words nor tags.
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    yaml_constructors: ClassVar[dict[str | None, Any]] = {}


_PATTERNS = {
    "bool": re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"),
    "int": re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"),
    "float": re.compile(
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
    ),
    "null": re.compile(r"(?:~|null|Null|NULL|)\Z"),
    "merge": re.compile(r"<<\Z"),
}

for _name, _first in (
    ("bool", "tTfF"),
    ("int", "-+0123456789"),
    ("float", "-+.0123456789"),
    ("null", ["~", "n", "N", ""]),
    ("merge", "<"),
):
    _Loader.add_implicit_resolver(_TAG + _name, _PATTERNS[_name], list(_first))


def _error(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _scalar(loader: _Loader, node: yaml.ScalarNode, kind: str) -> str:
    """The text of a scalar; a tag written by hand (`!!int abc`) may not fit it."""
    text = loader.construct_scalar(node)
    if not _PATTERNS[kind].match(text):
        raise _error(f"{text!r} is not a YAML {kind}", node)
    return text


def _null(loader: _Loader, node: yaml.ScalarNode) -> None:
    _scalar(loader, node, "null")


def _boolean(loader: _Loader, node: yaml.ScalarNode) -> bool:
    return _scalar(loader, node, "bool").lower() == "true"


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = _scalar(loader, node, "int")
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)  # int(text, 0) would refuse "010", which is ten in YAML 1.2
    try:
        return int(text, base)
    except ValueError:  # Python's own limit is 4300 digits
        raise _error("a whole number with too many digits", node) from None


def _floating(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = _scalar(loader, node, "float").lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


def _sequence(loader: _Loader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node, deep=True)  # deep: a list that holds itself is an error


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    if not isinstance(node, yaml.MappingNode):  # !!map on a scalar or a list
        raise _error("expected a mapping", node)
    seen: dict[Any, int] = {}
    for key_node, _ in node.value:
        merge = key_node.tag == _TAG + "merge"
        key = "<<" if merge else loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, (str, int, float, bool, type(None))):
            raise _error("a key must be a plain value", key_node)
        if key in seen:
            raise _error(f"key {key!r} stands twice: on line {seen[key]} and on line {line}", key_node)
        seen[key] = line
    loader.flatten_mapping(node)
    return yaml.constructor.BaseConstructor.construct_mapping(loader, node, deep=True)


def _refuse(_: _Loader, node: yaml.Node) -> Any:
    raise _error(f"the tag {node.tag.replace(_TAG, '!!')!r} is refused: only plain values stand here", node)


for _name, _constructor in (
    ("null", _null),
    ("bool", _boolean),
    ("int", _integer),
    ("float", _floating),
    ("str", yaml.SafeLoader.construct_yaml_str),
    ("merge", yaml.SafeLoader.construct_yaml_str),  # `<<` that is no key is a word
    ("seq", _sequence),
    ("map", _mapping),
):
    _Loader.add_constructor(_TAG + _name, _constructor)
_Loader.yaml_constructors[None] = _refuse  # every other tag


def loads(text: str, where: str = "YAML") -> Any:
    """Parse one YAML document.

    Args:
        text: the document; an empty one is None.
        where: what to call it in an error, usually the file's path.

    Raises:
        RecipeError: the text is not YAML, a key stands twice, a tag asks for an object, or it is nested too deep.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        # PyYAML splits some sentences: "expected a single document in the stream" "but found another document"
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise RecipeError(f"{where}{line}: {problem}") from error
    except yaml.YAMLError as error:  # a character that YAML does not allow; its message has two lines
        raise RecipeError(f"{where}: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise RecipeError(f"{where}: nested too deep") from error


def load(path: Path) -> Any:
    """Parse a YAML file (UTF-8); errors name the file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: is not UTF-8 text (byte {error.start}: {error.reason})") from error
    return loads(text, str(path))
