"""metapeft.evaluation.generation.running: what runs follows from the columns kept, and references pass."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from metapeft.errors import ExecutionError
from metapeft.evaluation.generation import running
from metapeft.evaluation.generation.running import executed, passed, program, way, whole_program
from tests.evaluation.generation import made_rows

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
BODY, WHOLE, QUESTION = made_rows.body(), made_rows.whole(), made_rows.question()


def test_the_way_follows_from_the_columns_and_the_language(tmp_path) -> None:
    named = made_rows.row("books: Which?", "SELECT 1", database="books")
    assert way([BODY, WHOLE], "python") == way([made_rows.javascript_body()], "javascript") == "passed"
    assert way([BODY], "java") is way(made_rows.summaries(), "python") is way([], "python") is None
    assert way([BODY, BODY._replace(kept={"tests": " "})], "python") is None
    assert way([QUESTION], "sql") == "executed" and way([QUESTION], "python") is None
    assert way([named], "sql") is way([named, QUESTION], "sql", {"other": tmp_path}) is None
    assert way([named, QUESTION], "sql", {"books": tmp_path}) == "executed"


def test_an_indented_target_goes_on_below_its_text() -> None:
    assert whole_program(BODY, "    return 1", "python") == 'def twice(x):\n    """Twice."""\n    return 1'
    assert whole_program(WHOLE, "    return 1", "python") == "    return 1"
    anew = "def twice(x):\n    return x + x"
    assert whole_program(BODY, anew, "python").endswith('"""Twice."""\n\n' + anew)
    again = "function twice(x) {\n  return x + x;\n}"
    assert whole_program(made_rows.javascript_body(), again, "javascript") == again


def test_tests_are_called_once_and_come_after_their_setup() -> None:
    assert program(WHOLE, "", "python").tests.endswith("== 4\n\n\ncheck(twice)\n")
    called = WHOLE._replace(kept=WHOLE.kept | {"tests": WHOLE.kept["tests"] + "\ncheck(twice)"})
    assert program(called, "", "python").tests.count("check(twice)") == 1
    assert program(BODY._replace(kept={"setup": "a = 1", "tests": "assert a"}), "", "python").tests == "a = 1\nassert a"


def test_python_references_pass_and_others_do_not() -> None:
    rows = [BODY, BODY, BODY, WHOLE, WHOLE, WHOLE, WHOLE]
    anew = "def twice(x):\n    return x + x"
    outputs = [BODY.target, anew, "    return x", WHOLE.target, WHOLE.text, WHOLE.target[:-1] + "(", ""]
    figures = passed(rows, outputs, "python", allow_code_execution=True)
    assert figures.tolist() == [1, 1, 0, 1, 0, 0, 0] and figures.dtype == np.float64


@needs_node
def test_javascript_references_pass_and_others_do_not() -> None:
    row = made_rows.javascript_body()
    figures = passed(
        [row] * 3, [row.target, "  return x;\n}", "  return 2 * x;"], "javascript", allow_code_execution=True
    )
    assert figures.tolist() == [1, 0, 0]


def test_queries_are_judged_by_their_rows() -> None:
    ordered = made_rows.question("SELECT name FROM books WHERE pages > 100 ORDER BY pages")
    broken = made_rows.question("SELECT nothing FROM nowhere")
    outputs = {
        "select name from books where name <> 'a' order by pages desc": (1, 0),
        "SELECT name FROM books": (0, 0),
        "SELECT name FROM books WHERE": (0, 0),
        "DROP TABLE books": (0, 0),
    }
    rows = [QUESTION, ordered] * len(outputs)
    figures = executed(rows, [each for each in outputs for _ in range(2)], allow_code_execution=True)
    assert figures.tolist() == [value for pair in outputs.values() for value in pair]
    own = executed(
        [QUESTION, ordered, broken], [QUESTION.target, ordered.target, "SELECT 1"], allow_code_execution=True
    )
    assert own[:2].tolist() == [1, 1] and np.isnan(own[2])


def test_a_named_database_is_a_file(tmp_path) -> None:
    import sqlite3

    path = tmp_path / "books.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(QUESTION.kept["schema"] + QUESTION.kept["database"])
    connection.close()
    named = QUESTION._replace(kept={"database": "books"})
    figures = executed([named] * 2, [named.target, "SELECT 1"], databases={"books": path}, allow_code_execution=True)
    assert figures.tolist() == [1, 0]
    with pytest.raises(ValueError, match="no database"):
        executed([named], ["SELECT 1"], allow_code_execution=True)


def test_nothing_runs_without_leave_and_equal_programs_run_once(monkeypatch) -> None:
    with pytest.raises(ExecutionError, match="not allowed"):
        passed([BODY], [BODY.target], "python")
    with pytest.raises(ExecutionError, match="not allowed"):
        executed([QUESTION], [QUESTION.target])
    assert passed([], [], "python").shape == executed([], []).shape == (0,)
    given = []
    run_many = running.run_many
    monkeypatch.setattr(
        running, "run_many", lambda programs, **settings: given.extend(programs) or run_many(programs, **settings)
    )
    outputs = [BODY.target, "    return 1", BODY.target]
    assert passed([BODY] * 3, outputs, "python", allow_code_execution=True).tolist() == [1, 0, 1]
    assert len(given) == 2


def test_a_missing_interpreter_is_named(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "node" in (running.missing_interpreter("javascript") or "")
    assert running.missing_interpreter("python") is None
