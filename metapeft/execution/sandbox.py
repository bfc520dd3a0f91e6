"""Runs programs that nobody has read: each in a process of its own, confined as far as the system allows.

What is in force is said in every result; docs/execution.md says what each mechanism holds, and what is not promised.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from metapeft.errors import ExecutionError

LAUNCHER = Path(__file__).with_name("launcher.py")
MECHANISMS = ("namespaces", "landlock", "none")  # the first that the system allows is used
MB = 1 << 20
# What a program may read besides the interpreter: libraries, and the few settings that the loader and clocks read.
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
GRACE = 5.0  # seconds that the launcher has to end what it started
OUT_OF_MEMORY = r"(?m)^MemoryError|Array buffer allocation failed|heap out of memory|Fatal process out of memory"
NODE_RESERVES_MB = 4096  # address space that node sets aside at its start without using it

# Runs program.py, then tests.py in the same module, and sends back what lies in the socket 3. Each is compiled before
# either runs: a program can neither swallow the tests in an open string nor write over them, and one that ends early,
# with whatever status, sends nothing.
PYTHON_RUNNER = """\
def run():
    import os
    import sys

    read, write, main = os.read, os.write, sys.modules["__main__"].__dict__
    del main["run"]
    units = []
    for name in ("program.py", "tests.py"):
        with open(name, encoding="utf-8") as file:
            units.append(compile(file.read(), name, "exec", dont_inherit=True))
    for unit in units:
        exec(unit, main)
    write(3, read(3, 64))


run()
"""

# In node a failed console.assert only prints a line; here it is an error, as the tests mean it.
NODE_RUNNER = """\
globalThis.require = require;
(() => {
  const fs = require("fs"), vm = require("vm");
  const { readSync, writeSync } = fs;
  const scripts = ["program.js", "tests.js"].map(
    (name) => new vm.Script(fs.readFileSync(name, "utf8"), { filename: name }));
  let failed = false;
  console.assert = (holds, ...message) => {
    if (holds) return;
    failed = true;
    throw new Error(["console.assert failed", ...message].join(" "));
  };
  for (const script of scripts) script.runInThisContext();
  if (failed) process.exit(1);
  const nonce = Buffer.alloc(64);
  writeSync(3, nonce, 0, readSync(3, nonce, 0, 64, null));
})();
"""


class Program(NamedTuple):
    """A program and what must hold after it.

    Both are whole files that run one after the other in one scope. Without tests a program passes when it ends by
    itself, without an error.
    """

    language: str
    """``python`` or ``javascript``."""
    code: str
    tests: str = ""
    readable: tuple[str, ...] = ()
    """Absolute paths that the program may read besides the interpreter and the system's libraries."""


class Limits(NamedTuple):
    seconds: float = 20.0
    """From start to end by the clock, which a busy machine stretches."""
    cpu_seconds: int = 5
    """Of each process: what an endless loop runs into. It does not depend on how busy the machine is."""
    memory_mb: int = 1024
    """Of each process, and under namespaces of all processes of the program together."""
    disk_mb: int = 16
    """Of a file, and under namespaces of all files together."""
    open_files: int = 64
    processes: int = 32
    """Processes and threads."""
    output_bytes: int = 256 << 10
    """Of standard output and standard error together; a program that writes more is ended."""


class Confinement(NamedTuple):
    """What was in force besides the limits. The strongest value stands first."""

    mechanism: str
    """``namespaces``, ``landlock`` or ``none``."""
    network: str
    """``isolated`` or ``open``."""
    files: str
    """``confined``: reads the interpreter and system libraries, writes a temporary folder; ``open``."""
    processes: str
    """``isolated``: cannot signal, trace or look into processes outside; ``open``."""
    user: str
    """``other``: ran as a user that owns nothing, which only root can arrange; ``same``."""


class Result(NamedTuple):
    status: str
    """``passed``; ``failed`` (an error, a test that does not hold, or an end before that of the tests); ``timeout``,
    ``memory``, ``output`` (too much of it); ``crashed`` (ended by a signal)."""
    exit_code: int | None
    """Negative for a signal; None when the program was ended from outside, or ended its launcher."""
    stdout: str
    stderr: str
    seconds: float
    confinement: Confinement


def run_program(program: Program, *, allow_code_execution: bool = False, limits: Limits | None = None) -> Result:
    """Run one program in a process of its own.

    It passes when its tests ran to their end and its exit status is 0. The first is known by a number drawn for this
    run, which waits in a socket and which only the line after the tests sends back: a program that ends early with
    status 0, or prints that it passed, has not passed.

    Raises `ExecutionError` unless `allow_code_execution`, when the interpreter is missing, and when no process could be
    started.
    """
    return run_many([program], allow_code_execution=allow_code_execution, limits=limits, workers=1)[0]


def run_many(
    programs: Sequence[Program],
    *,
    allow_code_execution: bool = False,
    limits: Limits | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Results in the order of the programs, which `workers` threads (by default one a core) run.

    `progress` is called in the calling thread with how many have ended, and of how many. Raises as `run_program`.
    """
    if not allow_code_execution:
        raise ExecutionError(_refusal(programs))
    interpreters = {language: _interpreter(language) for language in {program.language for program in programs}}
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        futures = [
            pool.submit(_run, program, interpreters[program.language], limits or Limits()) for program in programs
        ]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                if progress:
                    progress(done, len(programs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _refusal(programs: Sequence[Program]) -> str:
    languages = " and ".join(sorted({program.language for program in programs}))
    first = next((line.strip() for program in programs for line in program.code.splitlines() if line.strip()), "")
    return (
        f"Running code is not allowed: {len(programs)} program(s) in {languages} would be run on this machine, the "
        f"first of which begins {first[:80]!r}. They are confined as docs/execution.md says. To allow it, pass "
        "allow_code_execution=True."
    )


def _interpreter(language: str) -> str:
    if language == "python":
        return sys.executable
    if language == "javascript":
        if node := shutil.which("node"):
            return node
        raise ExecutionError("JavaScript programs need node, which is not on the PATH: install it from nodejs.org.")
    raise ExecutionError(f"Programs are in 'python' or 'javascript', not in {language!r}.")


def _run(program: Program, interpreter: str, limits: Limits) -> Result:
    reasons = []
    for mechanism in MECHANISMS:
        result = _attempt(_job(program, interpreter, limits, mechanism), limits)
        if isinstance(result, Result):
            return result
        reasons.append(f"{mechanism}: {result}")
    raise ExecutionError(
        f"No {program.language} process could be started.\n  " + "\n  ".join(reasons) + "\n"
        "Root starts programs as another user, who must be able to reach the interpreter and the files."
    )


def _job(program: Program, interpreter: str, limits: Limits, mechanism: str) -> dict[str, Any]:
    """All that the launcher needs to know, but for the descriptors and the folder."""
    numbers = {
        "CPU": limits.cpu_seconds,
        "AS": limits.memory_mb * MB,
        "FSIZE": limits.disk_mb * MB,
        "NOFILE": limits.open_files,
        "NPROC": limits.processes,
        "CORE": 0,
    }
    if program.language == "python":
        # What -I stands for, and one thing more: the hash seed of the environment is read, so that sets of strings
        # have the same order in every run. The environment is a fixed one.
        argv, name = [interpreter, "-s", "-P", "-B", "main.py"], "py"
        readable = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
    else:
        heap = f"--max-old-space-size={limits.memory_mb * 3 // 4}"
        argv, name = [interpreter, heap, "--openssl-config=/dev/null", "main.js"], "js"
        readable = []
        numbers |= {"AS": (limits.memory_mb + NODE_RESERVES_MB) * MB, "DATA": limits.memory_mb * MB}
    prefix = Path(interpreter).resolve().parent.parent  # of PREFIX/bin/node
    readable += [os.path.realpath(path) for path in readable] + [str(prefix)]
    return {
        "mechanism": mechanism,
        "argv": argv,
        "env": {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"},
        "files": {
            f"main.{name}": PYTHON_RUNNER if name == "py" else NODE_RUNNER,
            f"program.{name}": program.code,
            f"tests.{name}": program.tests,
        },
        "readable": [*SYSTEM, *(path for path in readable if path != "/"), *SYSTEM_FILES, *program.readable],
        "limits": numbers,
        "memory": limits.memory_mb * MB,
    }


def _attempt(job: dict[str, Any], limits: Limits) -> Result | str:
    """The result under one mechanism, or why it cannot be had."""
    folder = tempfile.mkdtemp(prefix="metapeft-run-")
    try:
        own = "/tmp" if job["mechanism"] == "namespaces" else folder  # as the program sees it
        return _launch(job | {"folder": folder, "env": job["env"] | {"TMPDIR": own}}, limits)
    finally:
        _remove(folder)


def _launch(job: dict[str, Any], limits: Limits) -> Result | str:
    nonce = secrets.token_hex(16).encode()
    status, status_in = os.pipe()
    ours, theirs = socket.socketpair()
    with ours, os.fdopen(status, "rb", buffering=0) as reports:
        with theirs, os.fdopen(status_in, "wb"):
            ours.sendall(nonce)
            job |= {"verdict": theirs.fileno(), "status": status_in}
            started = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCHER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(), status_in),
                env=job["env"],
                cwd="/",
                start_new_session=True,
            )
        with process:
            assert process.stdin and process.stdout and process.stderr
            try:
                with suppress(BrokenPipeError), process.stdin as stdin:
                    stdin.write(json.dumps(job).encode())
                pipes = {"stdout": process.stdout, "stderr": process.stderr, "report": reports}
                ended, texts = _follow(pipes, process.pid, started + limits.seconds, limits.output_bytes)
            finally:
                _signal_group(process.pid, signal.SIGKILL)
        report: dict[str, Any] = {}
        for line in texts["report"].splitlines():
            report |= json.loads(line)
        if "exit" not in report and "group" in report:  # the launcher was killed: it could not end what it started
            _signal_group(report["group"], signal.SIGKILL)
        if "setup" in report:
            return report["setup"]
        ours.setblocking(False)
        try:
            proven = ours.recv(1024) == nonce
        except OSError:  # nothing was sent back
            proven = False
    stdout, stderr = (texts[name].decode(errors="replace") for name in ("stdout", "stderr"))
    if "confinement" not in report and not ended:
        return f"the launcher ended without a word: {stderr[-500:]}"
    # A machine so busy that the program had not started when it was to end says nothing of what was in force.
    confinement = report.get("confinement", dict.fromkeys(Confinement._fields[1:], "unknown"))
    return Result(
        status=ended or _status(report, proven, limits.cpu_seconds, stderr),
        exit_code=None if ended else report.get("exit"),
        stdout=stdout,
        stderr=stderr,
        seconds=time.monotonic() - started,
        confinement=Confinement(job["mechanism"], **confinement),
    )


def _status(report: dict[str, Any], proven: bool, cpu_seconds: int, stderr: str) -> str:
    code = report.get("exit")
    if code is None:  # where processes are open to it, a program may end its launcher
        return "crashed"
    if code == 0:
        return "passed" if proven else "failed"
    # Interpreters say that they have no memory left; a program that pretends to gains nothing by it.
    if report["memory"] or re.search(OUT_OF_MEMORY, stderr[-2000:]):
        return "memory"
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and report["cpu"] >= cpu_seconds):
        return "timeout"
    return "crashed" if code < 0 else "failed"


def _follow(
    pipes: dict[str, Any], group: int, deadline: float, output_bytes: int
) -> tuple[str | None, dict[str, bytearray]]:
    """Why the program had to be ended, if so, and what was read, until the launcher has closed its pipe.

    A program past a limit is ended by asking the launcher, which also ends what left the program's group. What it
    writes afterwards is read and dropped.
    """
    texts = {name: bytearray() for name in pipes}
    ended = None

    def outputs() -> int:
        return len(texts["stdout"]) + len(texts["stderr"])

    with selectors.DefaultSelector() as selector:
        for name, pipe in pipes.items():
            selector.register(pipe, selectors.EVENT_READ, name)
        while "report" in {key.data for key in selector.get_map().values()}:
            for key, _ in selector.select(max(0.0, deadline - time.monotonic())):
                chunk = os.read(key.fd, 1 << 16)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.data == "report" or not ended:
                    texts[key.data] += chunk
            late = time.monotonic() > deadline
            if late and ended:
                return ended, texts  # it does not end: the caller kills the launcher
            if late or (not ended and outputs() > output_bytes):
                ended = "timeout" if late else "output"
                _signal_group(group, signal.SIGTERM)
                deadline = time.monotonic() + GRACE
    if not ended:
        for name in ("stdout", "stderr"):  # what lies in the pipes, but not what a survivor goes on writing
            descriptor = pipes[name].fileno()
            os.set_blocking(descriptor, False)
            with suppress(BlockingIOError):
                while outputs() <= output_bytes and (chunk := os.read(descriptor, 1 << 16)):
                    texts[name] += chunk
        ended = "output" if outputs() > output_bytes else None
    return ended, texts


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _remove(folder: str) -> None:
    """Remove the folder by programs that follow no link and do not mind how deep a tree is."""
    try:
        os.rmdir(folder)  # under namespaces nothing was ever written to it
    except OSError:
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*command, "--", folder], stdin=subprocess.DEVNULL, capture_output=True, check=False)
