"""Whether generated code is well formed. Nothing here runs it."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import warnings
from collections.abc import Sequence

from metapeft.errors import MetapeftError

_DENIED = frozenset({sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA})
_UNKNOWN_NAME = ("no such ", "unknown database ")
_NOTHING = re.compile(r"(?:[\s;]|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_NODE_SECONDS = 60
_NODE_SCRIPT = """
const vm = require("node:vm");
const names = ["exports", "require", "module", "__filename", "__dirname"];
const compiles = (compile) => { try { compile(); return true; } catch { return false; } };
const parses = (code) =>
  compiles(() => vm.compileFunction(code, names)) || compiles(() => new vm.SourceTextModule(code));
console.log(JSON.stringify(JSON.parse(require("node:fs").readFileSync(0, "utf8")).map(parses)));
"""


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


def javascript_parses(codes: Sequence[str]) -> list[bool]:
    """Whether node takes each as the body of a CommonJS script or as a module; nothing is run.

    Nothing at all passes. A module's grammar lets `await` stand outside functions, a script's `return`. One process of
    node compiles them all.

    Raises:
        MetapeftError: node is not installed, or has failed or taken more than a minute.
    """
    node = shutil.which("node")
    if node is None:
        raise MetapeftError("the syntax of JavaScript is checked by node, which is not on the PATH: install Node.js")
    # NODE_OPTIONS could load code before the check
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NODE_")}
    command = [node, "--no-warnings", "--experimental-vm-modules", "--eval", _NODE_SCRIPT]
    try:
        done = subprocess.run(
            command, input=json.dumps(codes), env=environment, capture_output=True, text=True, timeout=_NODE_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise MetapeftError(f"node took more than {_NODE_SECONDS} s to parse {len(codes)} programs") from None
    if done.returncode:
        raise MetapeftError(f"node ended with status {done.returncode}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)
