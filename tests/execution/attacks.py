"""Programs that try to get out, and a process that runs them and looks whether they did.

A script that needs nothing but `metapeft.execution`: ``python attacks.py MECHANISM`` runs every attack under one
mechanism, several at once, with harmless programs among them, and prints as JSON what went wrong with each (an empty
string where nothing did). It is a process of its own, so that an attack that works kills this one and not the tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from metapeft.execution import sandbox
from metapeft.execution.sandbox import Limits, Program, Result, run_many

QUICK = Limits(seconds=15.0, cpu_seconds=2, memory_mb=512, output_bytes=64 << 10, processes=12)
BRIEF = QUICK._replace(seconds=0.7)
HARMLESS = Program("python", "def f(x):\n    return sorted(x)\n", "assert f('cab') == ['a', 'b', 'c']\nprint('fine')\n")

# In front of every attack: where the parent is, and a name under which what is left behind can be found.
HEADER = """\
import ctypes, os, signal, socket, sys, time
PARENT, PORT, OUTSIDE, CWD, MARK = {parent}, {port}, {outside!r}, {cwd!r}, {mark!r}
libc = ctypes.CDLL(None, use_errno=True)
if sys.platform == "linux":
    libc.prctl(15, MARK.encode(), 0, 0, 0)


def tries(what, *arguments):
    try:
        return what(*arguments)
    except (OSError, ValueError) as error:
        print("refused:", error)
"""


class World(NamedTuple):
    """What an attack could do harm to."""

    outside: Path
    secret: str
    server: socket.socket
    written: list[Path]


class Attack(NamedTuple):
    code: str
    expected: tuple[str, ...]
    """The statuses that are right."""
    promised_by: str = ""
    """The part of the confinement without which the attack may work, and is not tried."""
    limits: Limits = QUICK
    tests: str = ""
    harm: Callable[[Result, World], str] = lambda result, world: ""


def leaked(result: Result, world: World) -> str:
    return "it read a secret" if world.secret in result.stdout + result.stderr else ""


def wrote(result: Result, world: World) -> str:
    files = [str(path) for path in world.written if os.path.lexists(path)]
    precious = world.outside / "precious.txt"
    if not precious.exists() or precious.read_text() != world.secret:
        files.append("precious.txt")
    return f"it changed {files}" if files else ""


def connected(result: Result, world: World) -> str:
    try:
        world.server.accept()[0].close()
        return "it reached the server"
    except BlockingIOError:
        return "" if "reached" not in result.stdout else "it says that it reached the server"


def succeeded(result: Result, world: World) -> str:
    return "it says that it succeeded" if "succeeded" in result.stdout else ""


def more_open(result: Result, world: World) -> str:
    return "" if result.stdout.strip() == "[0, 1, 2, 3]" else f"descriptors {result.stdout}"


WRITE = """
home = os.path.expanduser("~")
for folder in (OUTSIDE, CWD, home, "/tmp", "/var/tmp", "/dev/shm", "/", "/usr", sys.prefix, sys.base_prefix):
    tries(lambda: open(os.path.join(folder, MARK), "w").write("x"))
    tries(os.mkdir, os.path.join(folder, MARK + "-folder"))
    tries(os.symlink, "/", os.path.join(folder, MARK + "-link"))
    tries(os.mkfifo, os.path.join(folder, MARK + "-pipe"))
precious = os.path.join(OUTSIDE, "precious.txt")
tries(lambda: open(precious, "w"))
tries(os.truncate, precious, 0)
tries(os.link, precious, "precious-link")
tries(os.rename, precious, "mine")
tries(os.unlink, precious)
"""
READ = """
import glob
print(dict(os.environ))
paths = [OUTSIDE + "/secret.txt", f"/proc/{PARENT}/environ", f"/proc/{os.getppid()}/environ"]
for path in paths + glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
    tries(lambda: print(open(path, "rb").read()))
"""
TRACE = """
for pid in (PARENT, os.getppid()):
    if libc.ptrace(16, pid, 0, 0) == 0:
        print("succeeded: ptrace", pid)
    tries(lambda: print("succeeded: mem", open(f"/proc/{pid}/mem", "rb"), pid))
    tries(lambda: print("succeeded: fd", os.listdir(f"/proc/{pid}/fd"), pid))
"""
CONNECT = """
assert socket.socketpair()  # pairs are allowed: asyncio needs them
tcp = socket.socket()
tcp.settimeout(2)
tcp.connect(("127.0.0.1", PORT))
print("reached")
"""
UDP = """
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.sendto(b"x", ("127.0.0.1", PORT))
print("succeeded: sent")
"""
UNIX = """
for address in ("\\0" + MARK, OUTSIDE + "/socket"):
    tries(lambda: socket.socket(socket.AF_UNIX).connect(address) or print("succeeded", address))
first, _ = tries(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM) or (None, None)
if first:
    tries(lambda: first.sendto(b"x", OUTSIDE + "/datagrams") and print("succeeded: a datagram"))
"""
KILL = """
for pid in (PARENT, os.getppid(), 1):
    tries(os.kill, pid, signal.SIGKILL)
    tries(os.kill, pid, signal.SIGTERM)
    tries(lambda: os.killpg(os.getpgid(pid), signal.SIGKILL))
    tries(lambda: os.killpg(os.getsid(pid), signal.SIGKILL))
tries(os.kill, -1, signal.SIGSTOP)
tries(os.kill, -1, signal.SIGKILL)
tries(os.kill, 0, signal.SIGKILL)
"""
NESTED = """
tries(lambda: print("unshare", libc.unshare(0x10000000 | 0x20000)))
import glob
for path in ("/", "/tmp", "/proc", "/usr"):
    print("remount", libc.mount(None, path.encode(), None, 32, None))
    print("umount", path != "/" and libc.umount2(path.encode(), 2))
"""
LEFT = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)
    os._exit(0)
print("ended")
"""
FORKS = """
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        pass
"""
ATTACKS = {
    "an endless loop": Attack("while True:\n    pass", ("timeout",), limits=QUICK._replace(cpu_seconds=1)),
    "waiting for ever": Attack("time.sleep(600)", ("timeout",), limits=BRIEF),
    "a fork bomb": Attack(FORKS, ("timeout",), limits=BRIEF),
    "ten gigabytes": Attack("x = b'x' * (10 << 30)", ("memory",)),
    "raising its limits": Attack(
        "import resource\nfor kind in (resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE):\n"
        "    tries(lambda: resource.setrlimit(kind, (-1, -1)) or print('succeeded'))",
        ("passed",),
        harm=succeeded,
    ),
    "writing outside": Attack(WRITE, ("passed",), "files", harm=wrote),
    "reading secrets": Attack(READ, ("passed",), "files", harm=leaked),
    "tracing the parent": Attack(TRACE, ("passed",), "processes", harm=succeeded),
    "connecting": Attack(CONNECT, ("failed",), "network", harm=connected),
    "sending datagrams": Attack(UDP, ("failed",), "network", harm=succeeded),
    "sockets with names": Attack(UNIX, ("passed",), "network", harm=succeeded),
    "killing the parent": Attack(KILL, ("passed", "crashed"), "processes"),
    "new namespaces": Attack(NESTED + WRITE + READ, ("passed",), "files", harm=lambda *a: wrote(*a) or leaked(*a)),
    "flooding stdout": Attack("while True:\n    print('x' * 1000)", ("output",)),
    "flooding stderr": Attack("while True:\n    os.write(2, b'x' * 65536)", ("output",)),
    "flooding from a child": Attack(
        "if os.fork() == 0:\n    while True:\n        print('x' * 99)\nos.wait()", ("output",)
    ),
    "a child that lives on": Attack(LEFT, ("passed",)),
    "a huge file": Attack(
        "with open('x', 'wb') as file:\n    while True:\n        file.write(bytes(1 << 20))", ("crashed", "failed")
    ),
    "closing descriptors": Attack("os.closerange(0, 1024)", ("failed",)),
    "writing to all descriptors": Attack(
        "for number in range(3, 1024):\n    tries(os.write, number, b'passed\\n')", ("failed",)
    ),
    "more descriptors than its own": Attack(
        "print([n for n in range(1024) if libc.fcntl(n, 1) >= 0])", ("passed",), harm=more_open
    ),
    "saying that it passed": Attack("print('passed')\nos.write(2, b'passed')", ("failed",), tests="assert False"),
    "sys.exit(0)": Attack("print('passed')\nsys.exit(0)", ("failed",), tests="assert False"),
    "os._exit(0)": Attack("os._exit(0)", ("failed",), tests="assert False"),
    "becoming another program": Attack(
        "os.execv('/bin/sh', ['sh', '-c', 'exit 0'])", ("failed",), tests="assert False"
    ),
    "exit in a test": Attack("def f():\n    os._exit(0)", ("failed",), tests="assert f() == 1"),
    "exit at the end": Attack("import atexit\natexit.register(os._exit, 0)", ("failed",), tests="assert False"),
    "a string that swallows the tests": Attack("x = '''", ("failed",), tests="assert False\n'''"),
    "writing over the tests": Attack("open('tests.py', 'w').write('')", ("failed",), tests="assert False"),
    "a folder that cannot be removed": Attack(
        "for _ in range(1200):\n    os.mkdir('d')\n    os.chdir('d')\nos.mkdir('e', 0)\nos.chmod('.', 0)", ("passed",)
    ),
}


def promised(attack: Attack, result: Result) -> bool:
    return not attack.promised_by or getattr(result.confinement, attack.promised_by) != "open"


def left_behind(mark: str) -> list[str]:
    """Processes that carry the mark."""
    found = []
    for name in os.listdir("/proc") if sys.platform == "linux" else []:
        try:
            if name.isdecimal() and Path(f"/proc/{name}/comm").read_text().strip() == mark:
                found.append(name)
        except OSError:
            pass
    return found


def main(mechanism: str) -> dict[str, str]:
    sandbox.MECHANISMS = (mechanism,)
    secret = os.environ["METAPEFT_TEST_SECRET"]  # there from the start, or /proc would not show it
    mark = f"attack-{secrets.token_hex(4)}"
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(socket.socket())
        named, abstract = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        datagrams = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        outside = Path(folder, "outside")
        outside.mkdir()
        Path(folder).chmod(0o777)  # whoever can reach it may do anything here
        outside.chmod(0o777)
        for name in ("secret.txt", "precious.txt"):
            (outside / name).write_text(secret)
            (outside / name).chmod(0o666)
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        named.bind(str(outside / "socket"))
        datagrams.bind(str(outside / "datagrams"))
        for name in ("socket", "datagrams"):
            (outside / name).chmod(0o777)
        named.listen()
        if sys.platform == "linux":
            abstract.bind("\0" + mark)
            abstract.listen()
        header = HEADER.format(
            parent=os.getpid(), port=server.getsockname()[1], outside=str(outside), cwd=os.getcwd(), mark=mark
        )
        places = (outside, Path.cwd(), Path.home(), "/tmp", "/var/tmp", "/dev/shm", "/", "/usr", sys.prefix)
        ends = ("", "-folder", "-link", "-pipe")
        world = World(outside, secret, server, [Path(place, mark + end) for place in places for end in ends])
        tempfile.tempdir = os.path.join(folder, "runs")
        os.mkdir(tempfile.tempdir)
        os.chmod(tempfile.tempdir, 0o755)

        probe = run_many([HARMLESS], allow_code_execution=True, limits=QUICK)[0]
        tried = {name: attack for name, attack in ATTACKS.items() if promised(attack, probe)}
        outcome = {"harmless programs beside them pass": ""} | dict.fromkeys(
            ATTACKS.keys() - tried.keys(), f"not promised: {probe.confinement}"
        )
        # Each limit has a batch of its own, in which a harmless program follows every third attack.
        for limits in {attack.limits for attack in tried.values()}:
            batch: list[str | None] = []
            for name in tried:
                if tried[name].limits == limits:
                    batch.append(name)
                    if len(batch) % 4 == 3:
                        batch.append(None)
            programs = [
                Program("python", header + tried[name].code, tried[name].tests) if name else HARMLESS for name in batch
            ]
            results = run_many(programs, allow_code_execution=True, limits=limits, workers=4)
            for name, result in zip(batch, results, strict=True):
                if name:
                    right = result.status in tried[name].expected
                    outcome[name] = tried[name].harm(result, world) or ("" if right else f"{result}"[-2000:])
                elif (result.status, result.stdout) != ("passed", "fine\n"):
                    outcome["harmless programs beside them pass"] += f"{result}"
        outcome["nothing is left running"] = str(left_behind(mark) or "")
        outcome["nothing is left on the disk"] = str(os.listdir(tempfile.tempdir) or "")
        return outcome


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
