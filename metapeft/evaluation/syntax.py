"""Whether generated code is well formed. Nothing here runs it."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import warnings

from metapeft.errors import MetapeftError

_DENIED = frozenset({sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA})
_UNKNOWN_NAME = ("no such ", "unknown database ")
_NOTHING = re.compile(r"(?:[\s;]|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_NODE_SECONDS = 20


def python_parses(code: str) -> bool:
    """Whether the grammar of the running Python takes it.

    Nothing at all passes, and so does what only the compiler refuses (``return`` outside a function, say). Code that
    the parser gives up on, being nested too deeply, does not. Not for several threads at once: the filter of warnings
    is the whole process's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "\d" in a string, `1 is 1`
        try:
            ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):  # ValueError: zero bytes
            return False
    return True


def sql_prepares(query: str, schema: str | None = None) -> bool:
    """Whether SQLite prepares it as one statement; it is not executed.

    Without a schema an unknown table, column, function or database is let pass, so only the grammar counts. SQLite
    reads a whole SELECT, INSERT, UPDATE or DELETE before it looks for names; of ALTER TABLE and CREATE TRIGGER it may
    not read what follows an unknown table. Other dialects are judged by SQLite's grammar. Parameters pass. PRAGMA,
    ATTACH and DETACH never do, since some pragmas act when they are prepared.

    Args:
        query: one statement, with or without a semicolon.
        schema: statements that make the tables; they are executed, in memory, so they must be trusted.

    Raises:
        sqlite3.Error: the schema is wrong.
    """
    statement = _only_statement(query)
    if statement is None:
        return False
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(schema or "")
        connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action in _DENIED else sqlite3.SQLITE_OK)
        try:
            connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        except sqlite3.OperationalError as error:
            return schema is None and str(error).startswith(_UNKNOWN_NAME)
        except sqlite3.ProgrammingError as error:  # values are bound to a statement that was prepared
            return str(error).startswith("Incorrect number of bindings")
        except (sqlite3.Error, ValueError):  # denied, too long, half a surrogate pair
            return False
    return True


def _only_statement(query: str) -> str | None:
    """The first statement, None where more than comments follows it: SQLite may stop before it sees that."""
    for end in (place.end() for place in re.finditer(";", query)):
        if sqlite3.complete_statement(query[:end]):
            return query[:end] if _NOTHING.fullmatch(query, end) else None
    return query


def javascript_parses(code: str) -> bool:
    """Whether node takes it as a CommonJS script or as a module (`node --check`, which runs nothing).

    Nothing at all passes. A module's grammar lets `await` stand outside functions, a script's `return`.

    Raises:
        MetapeftError: node is not installed.
    """
    node = shutil.which("node")
    if node is None:
        raise MetapeftError("the syntax of JavaScript is checked by node, which is not on the PATH: install Node.js")
    # NODE_OPTIONS could load code before the check
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NODE_")}
    return any(
        _checks([node, "--check", f"--input-type={kind}", "-"], code, environment) for kind in ("commonjs", "module")
    )


def _checks(command: list[str], code: str, environment: dict[str, str]) -> bool:
    try:
        done = subprocess.run(
            command,
            input=code.encode("utf-8", "replace"),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_NODE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
