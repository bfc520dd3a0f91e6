"""Attacks on the sandbox, as root and as an ordinary user, under every mechanism that the system allows."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import metapeft
from metapeft.execution import sandbox
from metapeft.execution.sandbox import Limits, Program, run_program
from tests.execution import attacks

NOBODY = 65534
USERS = ["this user", "another user"] if os.geteuid() == 0 else ["this user"]  # which only root can become
BESIDES = ("harmless programs beside them pass", "nothing is left running", "nothing is left on the disk")


@functools.cache
def python_for_others() -> str | None:
    """An interpreter that a user who owns nothing can reach: ours may lie in root's home."""
    for python in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin")):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            if python:
                command = [python, "-P", "-c", ""]  # an option that came with 3.11
                subprocess.run(command, user=NOBODY, group=NOBODY, cwd="/", check=True, capture_output=True)
                return python
    return None


def not_here(mechanism: str) -> str:
    """Why the system does not allow a mechanism, or an empty string."""
    job = sandbox._job(attacks.HARMLESS, sys.executable, Limits(), mechanism)
    result = sandbox._attempt(job, Limits())
    return result if isinstance(result, str) and "cannot be started" not in result else ""


@functools.cache
def outcomes(user: str, mechanism: str) -> dict[str, str] | str:
    """What went wrong with each attack; or why none was tried."""
    root = os.geteuid() == 0
    if reason := not_here(mechanism):
        return f"no {mechanism} on this system: {reason}"
    # Under namespaces root's own interpreter is shown to the program; otherwise the program has to reach it itself.
    python = python_for_others() if root and (user, mechanism) != ("this user", "namespaces") else sys.executable
    if python is None:
        return "no Python >= 3.11 that a user who is not root can reach"
    folder = Path("/tmp") / f"metapeft-attacks-{secrets.token_hex(6)}"  # which others can reach
    try:
        shutil.copytree(Path(metapeft.__file__).parent / "execution", folder / "metapeft" / "execution")
        for path in (Path(metapeft.__file__), Path(metapeft.__file__).with_name("errors.py")):
            shutil.copy(path, folder / "metapeft")
        shutil.copy(attacks.__file__, folder)
        subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
        ran = subprocess.run(
            [python, "-B", "attacks.py", mechanism],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "METAPEFT_TEST_SECRET": secrets.token_hex(16)},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **({"user": NOBODY, "group": NOBODY, "extra_groups": []} if user == "another user" else {}),
        )
    finally:
        shutil.rmtree(folder)
    assert ran.returncode == 0, f"the parent of the attacks ended with {ran.returncode}\n{ran.stderr}"
    return json.loads(ran.stdout)


@pytest.mark.parametrize("attack", [*attacks.ATTACKS, *BESIDES])
@pytest.mark.parametrize("mechanism", ["namespaces", "landlock", "none"])
@pytest.mark.parametrize("user", USERS)
def test_an_attack_is_contained_and_disturbs_nothing(user, mechanism, attack):
    outcome = outcomes(user, mechanism)
    if isinstance(outcome, str):
        pytest.skip(outcome)
    if mechanism != "namespaces" and outcome[attack].startswith("not promised"):
        pytest.skip(outcome[attack])
    assert outcome[attack] == ""


@pytest.mark.parametrize("mechanism", ["namespaces", "landlock", "none"])
def test_what_is_open_is_said(monkeypatch, mechanism):
    if reason := not_here(mechanism):
        pytest.skip(f"no {mechanism} on this system: {reason}")
    if os.geteuid() == 0 and mechanism != "namespaces":
        python = python_for_others()
        if python is None:
            pytest.skip("no Python >= 3.11 that a user who is not root can reach")
        monkeypatch.setattr(sandbox, "_interpreter", lambda language: python)
    monkeypatch.setattr(sandbox, "MECHANISMS", (mechanism,))
    code = "import os, tempfile\nassert os.getcwd() == os.environ['TMPDIR'] == os.path.dirname(tempfile.mkdtemp())\n"
    code += "print(os.getuid())\ntry:\n    print(os.listdir('/'))\nexcept OSError:\n    print('refused')\n"
    result = run_program(Program("python", code), allow_code_execution=True)
    assert result.status == "passed"
    user, listing = result.stdout.splitlines()
    said = result.confinement
    assert said.mechanism == mechanism
    assert mechanism != "namespaces" or (said.network, said.processes) == ("isolated", "isolated")
    assert said.files == ("open" if mechanism == "none" else "confined")
    assert ("home" in listing) == (said.files == "open")
    assert said.user == ("other" if os.geteuid() == 0 else "same")
    assert (int(user) != os.geteuid()) == (said.user == "other")
    assert user != "0"


@pytest.fixture
def namespaces(monkeypatch):
    if reason := not_here("namespaces"):
        pytest.skip(f"no namespaces on this system: {reason}")
    monkeypatch.setattr(sandbox, "MECHANISMS", ("namespaces",))


def test_all_processes_together_have_the_memory_of_one(namespaces):
    code = "import os, time\nfor _ in range(6):\n    if os.fork() == 0:\n        x = b'x' * (60 << 20)\n        break\n"
    code += "time.sleep(20)"
    limits = Limits(memory_mb=256)
    result = run_program(Program("python", code), allow_code_execution=True, limits=limits)
    assert result.status == "memory"
    one = run_program(Program("python", "x = b'x' * (60 << 20)"), allow_code_execution=True, limits=limits)
    assert one.status == "passed"


def test_all_files_together_have_the_size_of_one(namespaces):
    code = "for number in range(8):\n    with open(str(number), 'wb') as file:\n        file.write(bytes(1 << 20))\n"
    small = run_program(Program("python", code), allow_code_execution=True, limits=Limits(disk_mb=4))
    assert small.status == "failed" and "No space left" in small.stderr
    large = run_program(Program("python", code), allow_code_execution=True, limits=Limits(disk_mb=16))
    assert large.status == "passed"


def test_the_number_of_processes_is_that_of_the_program_alone(namespaces):
    code = "import os\nfor _ in range(3):\n    if os.fork() == 0:\n        os._exit(0)\n"
    few = run_program(Program("python", code), allow_code_execution=True, limits=Limits(processes=2))
    assert few.status == "failed" and "BlockingIOError" in few.stderr
    many = run_program(Program("python", code), allow_code_execution=True, limits=Limits(processes=8))
    assert many.status == "passed"


def test_another_mechanism_is_used_where_one_is_not_allowed(monkeypatch):
    monkeypatch.setattr(sandbox, "MECHANISMS", ("no such thing", *sandbox.MECHANISMS))
    monkeypatch.setattr(sandbox, "_attempt", lambda job, limits: job["mechanism"])
    with pytest.raises(sandbox.ExecutionError, match="(?s)no such thing.*namespaces.*landlock.*none"):
        run_program(attacks.HARMLESS, allow_code_execution=True)
