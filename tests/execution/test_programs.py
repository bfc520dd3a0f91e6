import shutil

import pytest

from metapeft.execution.programs import complete, humaneval, humanevalpack, mbpp
from metapeft.execution.sandbox import run_many

PROMPT = 'from math import pi\n\n\ndef area(r):\n    """Of a circle."""\n'
CHECK = "def check(candidate):\n    assert round(candidate(2), 2) == 12.57\n"
JS_PROMPT = "/* Of a square. */\nconst area = (a) => {\n"


def statuses(programs):
    return [result.status for result in run_many(programs, allow_code_execution=True)]


def test_python_rows_become_programs_that_right_solutions_pass_and_wrong_ones_fail():
    right, wrong = PROMPT + "    return pi * r * r\n", PROMPT + "    return pi * r\n"
    assert statuses([humaneval(code, CHECK, "area") for code in (right, wrong)]) == ["passed", "failed"]
    called = CHECK + "\ncheck(area)"
    packed = [
        humanevalpack("python", code.partition("\n")[2], called, "from math import pi") for code in (right, wrong)
    ]
    assert statuses(packed) == ["passed", "failed"]
    tests, setup = ["assert f(one) == 2", "assert f(2) == 3"], "one = 1"
    assert statuses([mbpp(f"def f(x):\r\n    return {it}\r\n", tests, setup) for it in ("x + 1", "2")]) == [
        "passed",
        "failed",
    ]


def test_tests_that_humaneval_defines_are_called():
    assert statuses([humaneval("def area(r):\n    pass\n", "def check(candidate):\n    assert False\n", "area")]) == [
        "failed"
    ]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_javascript_rows():
    test = "console.assert(area(2) === 4)"
    bodies = ("  return a * a\n}\n", "  return a\n}\n")
    assert statuses([humanevalpack("javascript", JS_PROMPT + body, test) for body in bodies]) == ["passed", "failed"]


def test_a_completion_goes_on_or_begins_anew():
    assert complete("python", PROMPT, "    return 1\n", "area") == PROMPT + "    return 1\n"
    anew = "def area(r):\n    return pi * r * r\n"
    assert statuses([humaneval(complete("python", PROMPT, anew, "area"), CHECK, "area")]) == ["passed"]
    helper = "    return area_of(r)\n\n\ndef area_of(r):\n    return pi * r * r\n"
    assert statuses([humaneval(complete("python", PROMPT, helper, "area"), CHECK, "area")]) == ["passed"]
    assert complete("javascript", JS_PROMPT, "  return a\n}\n", "area") == JS_PROMPT + "  return a\n}\n"
    for whole in ("const area = (a) => a\n", "function area(a) { return a }\n", "// so\nasync function area(a) {}\n"):
        assert complete("javascript", JS_PROMPT, whole, "area") == whole
