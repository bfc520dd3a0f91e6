from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from metapeft.errors import ExecutionError
from metapeft.execution.sql import is_ordered, run_sql, same_result

SCRIPT = """
CREATE TABLE pets (name TEXT, age REAL, photo BLOB);
INSERT INTO pets VALUES ('Ada', 3, x'00ff'), ('Bo', NULL, NULL), ('Cy', 1.5, NULL), ('Ada', 3, x'00ff');
"""


def run(*queries: str, database: Path | str = SCRIPT, **settings):
    return run_sql([(database, query) for query in queries], allow_code_execution=True, **settings)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a ?%23#.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCRIPT)
        connection.execute("INSERT INTO pets VALUES (CAST(x'ff41' AS TEXT), 9, NULL)")
        connection.commit()
    return path


def test_rows_come_as_they_are():
    (result,) = run("SELECT name, age, photo FROM pets LIMIT 2;")
    assert (result.status, result.rows) == ("ok", [("Ada", 3.0, b"\x00\xff"), ("Bo", None, None)])
    nested, infinite, big = run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3) SELECT max(i) FROM n",
        "SELECT 9e999, -9e999",
        "SELECT 9223372036854775807",
    )
    assert (nested.rows, infinite.rows, big.rows) == ([(3,)], [(float("inf"), float("-inf"))], [(2**63 - 1,)])


def test_a_file_is_read_whatever_its_name_and_its_encoding(file):
    before = file.read_bytes()
    (result,) = run("SELECT name FROM pets ORDER BY age DESC LIMIT 1", database=file)
    assert (result.status, result.rows) == ("ok", [("\ufffdA",)])
    assert file.read_bytes() == before and [path.name for path in file.parent.iterdir()] == [file.name]


def test_leave_and_the_file_are_needed(tmp_path):
    with pytest.raises(ExecutionError, match="allow_code_execution"):
        run_sql([(SCRIPT, "SELECT 1")])
    with pytest.raises(ExecutionError, match="no database"):
        run("SELECT 1", database=tmp_path / "none.sqlite")


REFUSED = [
    "SELEC 1",
    "SELECT * FROM nowhere",
    "SELECT 1; SELECT 2",
    "INSERT INTO pets VALUES ('Di', 1, NULL)",
    "UPDATE pets SET age = 1",
    "DELETE FROM pets",
    "DROP TABLE pets",
    "CREATE TABLE more (x)",
    "CREATE TEMP TABLE more (x)",
    "ATTACH 'other.sqlite' AS other",
    "ATTACH ':memory:' AS other",
    "VACUUM INTO 'copy.sqlite'",
    "PRAGMA writable_schema = 1",
    "PRAGMA query_only = 0",
    "SELECT * FROM pragma_table_info('pets')",
    "SELECT load_extension('evil')",
    "BEGIN IMMEDIATE",
    "ANALYZE",
    "SELECT zeroblob(100000000)",
    "SELECT '\ud800'",
]


def test_a_query_may_only_read(file):
    before = file.read_bytes()
    results = run(*REFUSED, database=file)
    assert [result.status for result in results] == ["error"] * len(REFUSED)
    assert all(result.error and result.rows == [] for result in results)
    assert file.read_bytes() == before


def test_endless_and_enormous_queries_end():
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT "
    late, many, enough = run(
        endless + "count(*) FROM n", endless + "i FROM n", endless + "i FROM n LIMIT 10", seconds=0.5, most_rows=10
    )
    assert (late.status, many.status, many.rows) == ("timeout", "output", [])
    assert (enough.status, len(enough.rows)) == ("ok", 10)


@pytest.mark.parametrize(
    ("query", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("select a from t order\n by a limit 3", True),
        ("SELECT a FROM t UNION SELECT b FROM s ORDER BY 1", True),
        ("SELECT a FROM t", False),
        ("SELECT a FROM (SELECT a FROM t ORDER BY a)", False),
        ("SELECT a FROM t WHERE b IN (SELECT b FROM s ORDER BY c LIMIT (1)) ORDER BY a", True),
        ("SELECT ') order by' FROM t", False),
        ("SELECT a FROM t -- ORDER BY a", False),
        ("SELECT a /* ( */ FROM t ORDER BY a", True),
        ("SELECT \"order by\", 'it''s (' FROM t", False),
        ("SELECT row_number() OVER (ORDER BY a) FROM t", False),
        ("SELECT a AS border FROM t", False),
    ],
)
def test_is_ordered(query, ordered):
    assert is_ordered(query) == ordered


@pytest.mark.parametrize(
    ("gold", "predicted", "ordered", "same"),
    [
        ([], [], False, True),
        ([(1,), (2,)], [(2,), (1,)], False, True),
        ([(1,), (2,)], [(2,), (1,)], True, False),
        ([(1,), (1,), (2,)], [(1,), (2,), (2,)], False, False),
        ([(1,)], [(1,), (1,)], False, False),
        ([(1, "a")], [("a", 1)], False, False),
        ([(1, "a")], [(1,)], False, False),
        ([(None, 1)], [(None, 1)], False, True),
        ([(None,)], [(0,)], False, False),
        ([(None,)], [("",)], True, False),
        ([("1",)], [(1,)], False, False),
        ([(b"1",)], [("1",)], False, False),
        ([(1,)], [(1.0,)], False, True),
        ([(1,)], [(1.0000005,)], True, True),
        ([(1.0,)], [(1.00001,)], False, False),
        ([(10**15,)], [(10**15 + 1,)], False, False),
        ([(0.1 + 0.2, "x"), (0.3, "y")], [(0.3, "y"), (0.3, "x")], False, True),
        ([(0.1 + 0.2, "x"), (0.4, "y")], [(0.3, "y"), (0.4, "x")], False, False),
        ([(1.0, 5), (1.0000001, 3)], [(1.0, 3), (1.0000001, 5)], False, True),
        ([(1.0, 5), (1.0000001, 5)], [(1.0, 3), (1.0000001, 5)], False, False),
        ([("a",), ("b",)], [("b",), ("c",)], False, False),
        ([(float("inf"),)], [(float("inf"),)], True, True),
    ],
)
def test_same_result(gold, predicted, ordered, same):
    assert same_result(gold, predicted, ordered) == same
    assert same_result(predicted, gold, ordered) == same


def test_results_of_the_same_numbers_added_up_in_another_order_are_the_same():
    gold = [(sum(0.1 for _ in range(i)), str(i % 3)) for i in range(2_000)]
    predicted = [(0.1 * i, str(i % 3)) for i in reversed(range(2_000))]
    assert Counter(gold) != Counter(predicted) and same_result(gold, predicted, False)
