"""The command line: `key=value ...` over a pydantic model.

    metapeft build recipe=sentiment episodes.shots=[1,5,10] files.reviews=reviews/ @my.yaml --dry_run=true

The command line beats the files, a later file beats an earlier one, and files beat the defaults. Mappings are put
together key by key. All mistakes are reported at once. Models forbid unknown keys and are strict: nothing is coerced,
so a value is read as what its field wants, and a text field gets the text exactly as typed.

Every `--help` and every typo loads this module, so it imports pydantic and yaml only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from metapeft import strict_yaml
from metapeft.cli_help import (
    describe,
    fields_of,
    help_text,
    known_keys,
    mapping_item,
    members,
    nested_model,
    required_keys,
)
from metapeft.errors import MetapeftError, did_you_mean

__all__ = ["UsageError", "guard", "help_text", "parse", "run"]

Config = TypeVar("Config", bound=BaseModel)
KeyPath = tuple[Any, ...]  # keys from the model's root to a value

HELP = {"--help", "-h"}
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE: `metapeft inspect ... | head` is no failure of ours
_USER_OSERRORS = {
    errno.ENOSPC: "the disk is full",
    getattr(errno, "EDQUOT", -1): "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "no permission",
}


class UsageError(MetapeftError):
    """What was typed does not fit the model; `mistakes` holds one line for each mistake."""

    def __init__(self, mistakes: Sequence[str], prog: str) -> None:
        self.mistakes = list(mistakes)
        lines = self.mistakes
        if len(lines) > 1:
            lines = [f"{len(lines)} mistakes", *(f"  {line}" for line in lines)]
        super().__init__("\n".join([*lines, f"  ({prog} --help lists the keys)"]))


# --- reading the arguments ----------------------------------------------------------------------


@dataclass
class _Given:
    """What the arguments and files say, before validation.

    Attributes:
        tree: nested values, ready for the model.
        shown: how a value was given, for messages, by its path: `shots=abc`, `@my.yaml: shots='abc'`.
        mistakes: lines so far.
    """

    tree: dict[str, Any] = field(default_factory=dict)
    shown: dict[KeyPath, str] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)

    def place(self, path: KeyPath, value: Any, *, file: str = "", typed: str = "") -> None:
        """Put a value at a path: a mapping is merged into what stands there, anything else replaces it."""
        if isinstance(value, dict) and value:
            for key, item in value.items():
                self.place((*path, key), item, file=file, typed=typed)
            return
        node = self.tree
        for part in path[:-1]:
            if not isinstance(node.get(part), dict):
                node[part] = {}
            node = node[part]
        node[path[-1]] = value
        self.shown[path] = typed or f"@{file}: {_dotted(path)}={value!r}"

    def how(self, path: KeyPath) -> str | None:
        """How the value at a path, or the innermost one around it, was given."""
        starts = [path[:length] for length in range(len(path), 0, -1)]
        return next((self.shown[start] for start in starts if start in self.shown), None)


def parse(model: type[Config], argv: Sequence[str], *, prog: str) -> Config:
    """Read `key=value` arguments into a model.

    Args:
        model: pydantic model, `extra="forbid"`; fields of text, numbers, booleans, `Literal`, lists, mappings,
            nested models and unions of these.
        argv: arguments without the program's name. `key=value` or `--key=value` (dotted keys reach nested models and
            mappings), `@file.yaml`, and `--help` or `-h`, which prints the help page and raises SystemExit(0).
        prog: name of the program, for messages.

    Returns:
        The validated model.

    Raises:
        UsageError: every mistake at once.
    """
    if HELP & set(argv):
        print(help_text(model, prog))
        raise SystemExit(0)
    given = _Given()
    for argument in argv:
        if argument.startswith("@"):
            _read_file(model, argument[1:], given)
    _read_arguments(model, [argument for argument in argv if not argument.startswith("@")], given)
    try:
        config = model.model_validate(given.tree)
        if not given.mistakes:
            return config
    except ValidationError as error:
        given.mistakes += _explain(model, error, given)
    raise UsageError(list(dict.fromkeys(given.mistakes)), prog)


def _read_arguments(model: type[BaseModel], arguments: Sequence[str], given: _Given) -> None:
    rest = list(arguments)
    typed: dict[KeyPath, str] = {}
    while rest:
        argument = rest.pop(0)
        key, equals, text = argument.removeprefix("--").partition("=")
        if not equals:
            # `--shots 5` is one mistake, not two
            value = rest.pop(0) if argument.startswith("--") and rest and _is_bare(rest[0]) else ""
            given.mistakes.append(_no_equals(model, argument, key, value))
            continue
        found = _find(model, key)
        if found is None:
            given.mistakes.append(f"unknown key '{key}'.{_nearest(model, key)}")
            continue
        path, annotation = found
        shown = f"{key}={text}"
        for other, before in typed.items():
            if other == path:
                given.mistakes.append(f"key '{key}' is given twice: {before} and {shown}")
            elif other == path[: len(other)] or path == other[: len(path)]:
                given.mistakes.append(f"one of these is part of the other: {before} and {shown}")
        typed[path] = shown
        given.place(path, _value(text, annotation), typed=shown)


def _read_file(model: type[BaseModel], name: str, given: _Given) -> None:
    if not name:
        given.mistakes.append("@: expected @FILE.yaml")
        return
    try:
        content = strict_yaml.load(Path(name).expanduser())
    except MetapeftError as error:
        given.mistakes.append(f"@{error}")
        return
    if not isinstance(content, dict | None):
        given.mistakes.append(f"@{name}: expected lines of `key: value`")
        return
    for key, value in (content or {}).items():
        found = _find(model, str(key))
        if found is None:
            given.mistakes.append(f"@{name}: unknown key '{key}'.{_nearest(model, str(key))}")
        else:
            given.place(found[0], value, file=name)


def _find(model: type[BaseModel], key: str) -> tuple[KeyPath, Any] | None:
    """Follow a dotted key to its path and annotation. In a mapping of plain values the rest of the key is one name."""
    annotation: Any = model
    parts = key.split(".")
    for index, part in enumerate(parts):
        nested, item = nested_model(annotation), mapping_item(annotation)
        if nested is not None and part in fields_of(nested):
            annotation = fields_of(nested)[part].annotation
        elif item is not None and part:
            annotation = item
            if nested_model(item) is None and mapping_item(item) is None:
                return (*parts[:index], ".".join(parts[index:])), item
        else:
            return None
    return tuple(parts), annotation


# --- a text becomes a value ---------------------------------------------------------------------


def _value(text: str, annotation: Any) -> Any:
    """Read a text as what the annotation wants; where it fits nothing, leave it for validation to refuse."""
    options = members(annotation)
    if NoneType in options and text in ("null", "~"):
        return None
    structured = (text[:1] == "[" and list in map(get_origin, options)) or (
        text[:1] == "{" and (nested_model(annotation) or mapping_item(annotation)) is not None
    )
    if str in options and not structured and not {bool, int, float} & set(options):
        return text
    try:
        typed = strict_yaml.loads(text)
        plain = yaml.load(text, Loader=yaml.BaseLoader)
    except (MetapeftError, yaml.YAMLError):
        return text
    if isinstance(typed, list | dict) and not structured and str in options:
        return text
    return _pick(annotation, typed, plain if isinstance(plain, list | dict) else text)


def _pick(annotation: Any, typed: Any, plain: Any) -> Any:
    """Choose between a YAML value and the characters it was written with: `[no, 1e5]` stays text in a list[str].

    Args:
        annotation: what is wanted here.
        typed: the value as YAML reads it.
        plain: the same value, of the same shape, with every scalar kept as text.
    """
    options = members(annotation)
    if isinstance(typed, list):
        item = next((get_args(option)[0] for option in options if get_origin(option) is list), Any)
        return [_pick(item, *pair) for pair in zip(typed, plain, strict=True)]
    if isinstance(typed, dict):
        nested, item = nested_model(annotation), mapping_item(annotation)
        known = fields_of(nested) if nested is not None else {}
        wanted = {key: known[key].annotation if key in known else item or Any for key in typed}
        return {key: _pick(wanted[key], value, plain.get(str(key), value)) for key, value in typed.items()}
    if any(get_origin(option) is Literal and plain in get_args(option) for option in options):
        return plain
    if str in options and (type(typed) not in options or isinstance(typed, str)):
        return plain
    return typed


# --- mistakes in plain words --------------------------------------------------------------------


def _is_bare(argument: str) -> bool:
    return "=" not in argument and not argument.startswith("-")


def _nearest(model: type[BaseModel], key: str) -> str:
    known = known_keys(model)
    inner = [name for name in known if name.rpartition(".")[2] == key]
    return f" Did you mean '{inner[0]}'?" if inner else did_you_mean(key, known)


def _no_equals(model: type[BaseModel], argument: str, key: str, value: str) -> str:
    found = _find(model, key)
    if found is None:
        return f"{argument or repr('')}: expected key=value.{_nearest(model, key)}"
    example = value or ("true" if bool in members(found[1]) else "VALUE")
    return f"{argument}{' ' if value else ''}{value}: expected key=value, here {key}={example}"


def _explain(model: type[BaseModel], error: ValidationError, given: _Given) -> list[str]:
    """The mistakes of a validation, one line for each key: the several errors of a union are one mistake."""
    lines: dict[KeyPath, list[str]] = {}
    for problem in error.errors(include_url=False):
        path, kind, owner = _locate(model, problem["loc"])
        if path not in lines:
            lines[path] = _explain_one(problem, path, kind, owner, given.how(path))
    # where one member of a union says what is wrong inside it, the others need not say that they do not fit
    inner = [path for path in lines if not any(path == other[: len(path)] and path != other for other in lines)]
    return [line for path in inner for line in lines[path]]


def _locate(model: type[BaseModel], loc: KeyPath) -> tuple[KeyPath, Any, type[BaseModel]]:
    """The key path, field and model of an error's `loc`, which also holds places in lists and members of unions."""
    path: list[Any] = []
    kind: Any = model
    owner = model
    parts = list(loc)
    while parts:
        annotation = kind.annotation if isinstance(kind, FieldInfo) else kind
        options = [option for option in members(annotation) if option is not NoneType]
        if list in map(get_origin, options):
            break  # a list is one value
        if len(options) > 1:
            parts.pop(0)  # which member of the union failed
            if not parts:
                break
        part = parts.pop(0)
        nested, item = nested_model(annotation), mapping_item(annotation)
        if nested is not None:
            kind, owner = fields_of(nested).get(part, Any), nested
        elif item is not None:
            kind = item
        else:
            break
        path.append(part)
    return tuple(path), kind, owner


def _explain_one(problem: Any, path: KeyPath, kind: Any, owner: type[BaseModel], shown: str | None) -> list[str]:
    key = _dotted(path)
    annotation = kind.annotation if isinstance(kind, FieldInfo) else kind
    if problem["type"] == "missing":
        nested = nested_model(annotation)
        inner = required_keys(nested, f"{key}.") if nested is not None else []
        about = f": {kind.description}" if isinstance(kind, FieldInfo) and kind.description else ""
        return [f"missing key '{name}'" for name in inner] or [f"missing key '{key}'{about}"]
    value = problem.get("input")
    shown = shown or f"{key}={value!r}"
    if problem["type"] == "extra_forbidden":
        known = [_dotted((*path[:-1], name)) for name in fields_of(owner)]
        return [f"{shown}: unknown key '{key}'.{did_you_mean(key, known)}"]
    if problem["type"] in ("value_error", "assertion_error"):  # the model's own validators, with their own words
        message = str(problem.get("ctx", {}).get("error", "")) or problem["msg"]
        return [f"{shown}: {message}" if path else message]
    message = f"{shown}: expected {describe(kind)}"
    choices = [c for option in members(annotation) if get_origin(option) is Literal for c in get_args(option)]
    nearest = did_you_mean(str(value), map(str, choices))
    if nearest:
        message += f".{nearest}"
    elif list in map(get_origin, members(annotation)) and _fits(annotation, bracketed := f"[{value}]"):
        message += f"; a list is written {key}={bracketed}"
    elif shown.startswith("@") and str in members(annotation):
        message += "; in a file, put it in quotes"
    return [message]


def _fits(annotation: Any, text: str) -> bool:
    try:
        TypeAdapter(annotation).validate_python(_value(text, annotation), strict=True)
    except ValidationError:
        return False
    return True


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


# --- running a verb -----------------------------------------------------------------------------


def run(
    main_function: Callable[[Any], int | None],
    model: type[BaseModel],
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    description: str = "",
    examples: Sequence[str] = (),
) -> int:
    """Parse the arguments, call `main_function(config)` and return the exit code of the process.

    A user's mistake is one message on stderr and 2, with a traceback only where METAPEFT_DEBUG=1. An interruption is
    130, a closed pipe 141. Any other exception is a bug of ours and passes through.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    config: BaseModel | None = None

    def call() -> int | None:
        nonlocal config
        if HELP & set(arguments):
            print(help_text(model, prog, description, examples))
            return 0
        config = parse(model, arguments, prog=prog)
        return main_function(config)

    return guard(call, writes_to=lambda: getattr(config, "out", None))


def guard(call: Callable[[], int | None], *, writes_to: Callable[[], str | None] = lambda: None) -> int:
    """Call a function and turn what a user can mend into one message and an exit code.

    Args:
        call: returns an exit code, or None for 0.
        writes_to: the folder that is written to, for a full disk: such an error often names no file.
    """
    try:
        code = call()
        sys.stdout.flush()  # here, where a closed pipe can still be caught
        return code or 0
    except MetapeftError as error:
        return _fail(f"error: {error}", EXIT_USER_ERROR)
    except KeyboardInterrupt:
        return _fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader has gone. Python would complain once more when it flushes stdout at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except OSError as error:
        reason = _USER_OSERRORS.get(error.errno or 0)
        if reason is None:
            raise
        return _fail(f"error: {reason}: {error.filename or writes_to() or os.getcwd()}", EXIT_USER_ERROR)


def _fail(message: str, code: int) -> int:
    if os.environ.get("METAPEFT_DEBUG", "") not in ("", "0"):
        import traceback

        traceback.print_exc()
    print(message, file=sys.stderr)
    return code
