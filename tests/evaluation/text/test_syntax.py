"""metapeft.evaluation.text.syntax: what is well formed, and that nothing is run."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from metapeft.errors import MetapeftError
from metapeft.evaluation.text.syntax import javascript_parses, python_parses, sql_prepares

SCHEMA = "CREATE TABLE ship (name TEXT, year INT); CREATE TABLE port (city TEXT);"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


@pytest.mark.parametrize(
    "code",
    ["def f(x):\n    return x + 1\n", "", "return 1", "raise SystemExit(1)", "'\\d'; 1 is 1", "(" * 50 + ")" * 50],
)
def test_python_that_parses(code: str) -> None:
    assert python_parses(code)


@pytest.mark.parametrize(
    "code",
    ["def f(x)\n    return x", " x", "if x:\ny", "print 'x'", "a = 1\0", "'\ud800'"]
    + [
        "(" * 5000,
        "-" * 50_000 + "1",
        "a" + ".b" * 50_000,
        "1" + "+1" * 50_000,
        "".join(" " * i + "if 1:\n" for i in range(150)),
    ],
    ids=lambda code: code[:12].strip(),
)
def test_python_that_does_not(code: str) -> None:
    assert not python_parses(code)


def test_python_is_not_run(tmp_path: Path) -> None:
    assert python_parses(f"open({str(tmp_path / 'made')!r}, 'w')")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("query", "grammar", "names"),
    [
        ("SELECT name FROM ship WHERE year > 1900;", True, True),
        ("-- all\nSELECT count(*) FROM ship JOIN port ON name = city", True, True),
        ("INSERT INTO port VALUES ('Oslo')", True, True),
        ("SELECT depth FROM ship", True, False),
        ("SELECT name FROM boat WHERE x = 1", True, False),
        ("INSERT INTO other.port VALUES (1)", True, False),
        ("SELECT name, ROUNDISH(year) FROM ship", True, False),
        ("SELECT name FROM boat WHERE", False, False),
        ("SELECT name FROM boat WHERE x IN (SELECT y FROM", False, False),
        ("SELEC name FROM ship", False, False),
        ("SELECT name FROM ship; DROP TABLE ship", False, False),
        ("SELECT name FROM ship WHERE year = ?", True, True),
        ("SELECT name FROM ship WHERE year = :year", True, True),
        ("SELECT ';' FROM ship /* ; */; -- that was all; really\n ;", True, True),
        ("CREATE TRIGGER t AFTER INSERT ON ship BEGIN DELETE FROM port; DELETE FROM ship; END;", True, True),
        ("SELECT name FROM boat; boat", False, False),
        ("PRAGMA table_info(ship)", False, False),
        ("ATTACH 'x.db' AS other", False, False),
        ("EXPLAIN SELECT 1", False, False),
        ("QUERY PLAN SELECT 1", False, False),
        ("", False, False),
        ("SELECT 1 \0", False, False),
        ("SELECT '\ud800'", False, False),
        ("SELECT " + "(" * 3000 + "1" + ")" * 3000, False, False),
    ],
)
def test_sql(query: str, grammar: bool, names: bool) -> None:
    assert sql_prepares(query) is grammar
    assert sql_prepares(query, SCHEMA) is names


def test_sql_is_not_run_and_a_wrong_schema_is_an_error(tmp_path: Path) -> None:
    assert sql_prepares(f"VACUUM INTO '{tmp_path / 'made'}'")
    assert not list(tmp_path.iterdir())
    with pytest.raises(sqlite3.Error, match="syntax"):
        sql_prepares("SELECT 1", "CREATE TABL x")


@needs_node
def test_javascript() -> None:
    parse = [
        "const double = (x) => 2 * x;",
        "const fs = require('fs'); return 1;",
        "import fs from 'fs'; await fs;",
        "process.exit(1)",
        "",
        "a = '\ud800'",
        "1" + "+1" * 50_000,
    ]
    do_not = [
        "function (x { return x }",
        "let a = 1; let a = 2;",
        "function f() { function g() { let a; let a } }",
        "}); process.exit(1); (function () {",
        "`${",
        "(" * 100_000,
        "a" + ".b" * 200_000,
    ]
    assert javascript_parses([*do_not, *parse]) == [False] * len(do_not) + [True] * len(parse)
    assert javascript_parses([]) == []


@needs_node
def test_javascript_is_not_run_nor_what_the_environment_asks_node_to_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = f"require('fs').writeFileSync({str(tmp_path / 'made')!r}, 'x')"
    loaded = tmp_path / "loaded.js"
    loaded.write_text(write)
    monkeypatch.setenv("NODE_OPTIONS", f"--require={loaded}")
    assert javascript_parses([write, f"import 'fs'; {write}"]) == [True, True]
    assert [path.name for path in tmp_path.iterdir()] == ["loaded.js"]


def test_without_node_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(MetapeftError, match=r"install Node\.js"):
        javascript_parses(["1"])


def test_a_node_that_fails_or_hangs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)
    failed = subprocess.CompletedProcess([], 9, stdout="", stderr="node: bad option")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(MetapeftError, match="status 9: node: bad option"):
        javascript_parses(["1"])

    def late(*_: object, timeout: float, **__: object) -> None:
        raise subprocess.TimeoutExpired("node", timeout)

    monkeypatch.setattr(subprocess, "run", late)
    with pytest.raises(MetapeftError, match="more than 60 s to parse 2 programs"):
        javascript_parses(["1", "2"])
