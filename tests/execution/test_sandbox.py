from __future__ import annotations

import os
import shutil
import signal
import threading

import pytest

from metapeft.errors import ExecutionError
from metapeft.execution import sandbox
from metapeft.execution.sandbox import Limits, Program, run_many, run_program

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def run(code: str, tests: str = "", language: str = "python", **limits):
    return run_program(Program(language, code, tests), allow_code_execution=True, limits=Limits(**limits))


def test_nothing_runs_without_leave(monkeypatch):
    monkeypatch.setattr(sandbox, "_run", lambda *arguments: pytest.fail("it ran"))
    with pytest.raises(ExecutionError, match=r"1 program.*python.*'import shutil'.*allow_code_execution=True"):
        run_program(Program("python", "\nimport shutil\nshutil.rmtree('/')"))
    with pytest.raises(ExecutionError, match="2 program.* in javascript and python"):
        run_many([Program("python", ""), Program("javascript", "")])


def test_a_language_that_is_not_known_and_an_interpreter_that_is_not_there(monkeypatch):
    with pytest.raises(ExecutionError, match="not in 'ruby'"):
        run("puts 1", language="ruby")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ExecutionError, match="need node"):
        run("1", language="javascript")


def test_tests_see_the_program_and_decide():
    code = "from __future__ import annotations\ndef twice(x: int) -> int:\n    return 2 * x\n"
    passed = run(code, "assert twice(2) == 4\nprint('ä', __name__)")
    assert (passed.status, passed.exit_code, passed.stdout, passed.stderr) == ("passed", 0, "ä __main__\n", "")
    failed = run(code, "assert twice(2) == 5")
    assert (failed.status, failed.exit_code) == ("failed", 1)
    assert 'File "tests.py", line 1' in failed.stderr and "AssertionError" in failed.stderr


@pytest.mark.parametrize("code", ["def f(:", "x = '''", "raise SystemExit(1)", "import nowhere", "'\ud800'", "\0"])
def test_a_program_that_does_not_run_has_failed(code):
    assert run(code).status == "failed"


def test_a_signal_is_a_crash():
    result = run("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    assert (result.status, result.exit_code) == ("crashed", -11)


def test_no_time_at_all_is_a_timeout():
    result = run("print('hello')", seconds=0.0)
    assert (result.status, result.exit_code) == ("timeout", None)


def test_a_launcher_that_was_killed_is_a_crash(monkeypatch):
    """What a program can do where processes are open to it, done here by another."""
    follow = sandbox._follow

    def kill_at_once(pipes, group, deadline, output_bytes):
        line = pipes["report"].readline()  # the program has started
        os.killpg(group, signal.SIGKILL)
        ended, texts = follow(pipes, group, deadline, output_bytes)
        return ended, texts | {"report": line + texts["report"]}

    monkeypatch.setattr(sandbox, "_follow", kill_at_once)
    result = run("import time\ntime.sleep(60)")
    assert (result.status, result.exit_code) == ("crashed", None)


def test_a_launcher_that_says_nothing_is_an_error(monkeypatch, tmp_path):
    broken = tmp_path / "launcher.py"
    broken.write_text("raise SystemExit('no such thing')")
    monkeypatch.setattr(sandbox, "LAUNCHER", broken)
    with pytest.raises(ExecutionError, match="without a word: no such thing"):
        run("")


def test_a_loop_that_ignores_signals_ends():
    code = "import signal\nfor number in (signal.SIGXCPU, signal.SIGTERM):\n    signal.signal(number, signal.SIG_IGN)\n"
    result = run(code + "while True:\n    pass", cpu_seconds=1)
    assert (result.status, result.exit_code) == ("timeout", -9)


def test_no_input_a_fixed_environment_and_a_folder_that_goes_away(monkeypatch):
    monkeypatch.setenv("METAPEFT_SECRET", "s3cret")
    code = "import os, sys, tempfile\nprint(repr(sys.stdin.read()), sorted(os.environ), sys.path[0] == os.getcwd())\n"
    result = run(code + "print(os.getcwd())\nopen('here', 'w').write('x')\ntempfile.mkdtemp()")
    assert result.status == "passed"
    first, folder = result.stdout.splitlines()
    assert first == "'' ['LANG', 'PATH', 'PYTHONHASHSEED', 'TMPDIR'] False"
    assert not os.path.exists(os.path.join(folder, "here"))


def test_sets_have_the_same_order_in_every_run():
    code = "print(list({'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}))"
    assert len({run(code).stdout for _ in range(3)}) == 1


def test_programs_may_use_event_loops_threads_and_children():
    code = "import asyncio, subprocess, threading\nseen = []\n"
    code += "thread = threading.Thread(target=seen.append, args=(1,))\nthread.start()\nthread.join()\n"
    tests = "assert asyncio.run(asyncio.sleep(0, 2)) == 2 and seen == [1]\n"
    assert run(code, tests + "assert subprocess.check_output(['echo', 'x']) == b'x\\n'").status == "passed"


def test_what_is_written_is_kept_up_to_the_limit():
    result = run("print('a' * 500, end='')", output_bytes=500)
    assert (result.status, len(result.stdout)) == ("passed", 500)
    result = run("print('a' * 501, end='')", output_bytes=500)
    assert (result.status, result.exit_code) == ("output", None)
    assert "\ufffd" in run("import os\nos.write(1, b'\\xff')").stdout


def test_many_keep_their_order_and_report_from_the_calling_thread():
    programs = [Program("python", f"import time\ntime.sleep({0.2 - 0.04 * i})\nprint({i})") for i in range(5)]
    seen = []
    results = run_many(
        programs,
        allow_code_execution=True,
        workers=3,
        progress=lambda done, of: seen.append((done, of, threading.current_thread() is threading.main_thread())),
    )
    assert [result.stdout for result in results] == [f"{i}\n" for i in range(5)]
    assert seen == [(done, 5, True) for done in range(1, 6)]
    assert run_many([], allow_code_execution=True) == []


def test_an_error_of_the_caller_stops_the_rest():
    def stop(done, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_many([Program("python", "")] * 3, allow_code_execution=True, workers=1, progress=stop)


def test_a_file_can_be_shown(tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("seven")
    program = Program("python", f"print(open({str(path)!r}).read())\nopen({str(path)!r}, 'a')")
    assert "seven" not in run_program(program, allow_code_execution=True).stdout
    result = run_program(program._replace(readable=(str(path),)), allow_code_execution=True)
    if result.confinement.mechanism == "namespaces":
        assert result.stdout == "seven\n"
    assert result.status == "failed" and path.read_text() == "seven"


@needs_node
class TestJavaScript:
    def test_tests_see_the_program_and_decide(self):
        code = "const twice = (x) => 2 * x;\nlet calls = 0; class A {}"
        tests = "const fs = require('fs'); new A(); console.assert(twice(2) === 4); console.log('ok')"
        passed = run(code, tests, "javascript")
        assert (passed.status, passed.stdout) == ("passed", "ok\n")
        failed = run(code, "console.assert(twice(2) === 5, 'five')", "javascript")
        assert failed.status == "failed" and "console.assert failed five" in failed.stderr

    @pytest.mark.parametrize(
        "code",
        [
            "process.exit(0)",
            "process.exitCode = 0; throw 1",
            "console.assert = () => {}; process.exit(0)",
            "process.reallyExit(0)",
            "console.log('passed'); require('fs').writeSync(3, 'passed')",
            "const f = (",
            "`",
            "process.on('uncaughtException', () => {})",
        ],
    )
    def test_ending_early_is_not_passing(self, code):
        assert run(code, "console.assert(false)", "javascript").status == "failed"

    def test_an_assertion_that_is_caught_still_counts(self):
        assert run("", "try { console.assert(false) } catch (e) {}", "javascript").status == "failed"

    def test_a_promise_that_is_rejected_after_the_tests_counts(self):
        assert run("", "(async () => { throw new Error('late') })()", "javascript").status == "failed"

    def test_limits(self):
        assert run("while (true) {}", language="javascript", cpu_seconds=1).status == "timeout"
        assert run("Buffer.alloc(3e9)", language="javascript").status == "memory"
        assert (
            run("for (let i = 0; i < 99; i++) console.log('x'.repeat(9999))", language="javascript").status == "output"
        )

    def test_escapes(self, tmp_path, monkeypatch):
        monkeypatch.setenv("METAPEFT_SECRET", "s3cret")
        tmp_path.chmod(0o777)
        code = f"""
            const fs = require("fs");
            console.log(JSON.stringify(process.env));
            try {{ fs.writeFileSync({str(tmp_path / "escaped")!r}, "x") }} catch (e) {{ console.log("refused") }}
            try {{ process.kill(process.ppid, 9) }} catch (e) {{}}
            try {{ process.kill({os.getpid()}, 9) }} catch (e) {{}}
        """
        if "open" in run("").confinement:
            pytest.skip("this system confines neither files nor processes")
        result = run(code, language="javascript")
        assert "s3cret" not in result.stdout and "refused" in result.stdout
        assert not (tmp_path / "escaped").exists()
        assert run("require('net').connect(1, '127.0.0.1')", language="javascript").status == "failed"
