"""metapeft.doctor: each part is told as it is, a fault with its remedy, and only what stops work is an exit code."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from metapeft import blas, doctor
from metapeft.errors import MetapeftError
from tests.tiny_hub import TinyHub

REFERENCE = blas.Blas("reference", "/x/libblas.so.3", "pip install mkl")
MKL = blas.Blas("MKL", "/x/libmkl_rt.so.3")
BACKEND = 'pip install "metapeft[cpu]" (Linux), "metapeft[cuda12]" or "metapeft[cuda13]" (NVIDIA)'


class CpuMlx:
    """As much of MLX as the doctor asks for."""

    class Device:
        def __init__(self, name: str) -> None:
            self.type = self
            self.name = name

    def __init__(self, device: str = "cpu", error: str = "") -> None:
        self.cpu = self.Device("cpu")
        self.device = self.cpu if device == "cpu" else self.Device(device)
        self.error = error

    def default_device(self) -> Device:
        return self.device

    def device_info(self, device: Device) -> dict[str, str | int]:
        return {"device_name": "A Processor", "architecture": "x86_64"}

    def compile(self, function: Any) -> Any:
        return function

    def ones(self, shape: tuple[int, ...]) -> int:
        return 1

    abs = staticmethod(abs)

    def eval(self, *arrays: Any) -> None:
        if self.error:
            raise RuntimeError(self.error)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, hub: TinyHub, in_tmp: Path) -> pytest.MonkeyPatch:
    """A machine where nothing is missing; tests take away from it."""
    monkeypatch.setattr(blas, "load", lambda: MKL)
    monkeypatch.setattr(doctor, "_import_mlx", CpuMlx)
    monkeypatch.setattr(doctor, "_matmul_rate", lambda mx: 200e9)
    monkeypatch.setattr(doctor, "_version", lambda distribution: "1.0")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.delenv("MLX_DISABLE_COMPILE", raising=False)
    disk = namedtuple("disk", "total used free")(10**12, 0, 10**12)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: disk)
    return monkeypatch


def examined() -> tuple[int, dict[str, dict[str, Any]]]:
    code = doctor.main([])
    result = json.loads(Path("runs/doctor/result.json").read_text())
    assert result["works"] is (code == 0)
    return code, {finding["part"]: finding for finding in result["findings"]}


def faults(parts: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {part: finding["state"] for part, finding in parts.items() if finding["state"] != "ok"}


def test_this_very_machine(in_tmp: Path, hub: TinyHub, capsys: pytest.CaptureFixture[str]) -> None:
    code, parts = examined()
    assert code == 0
    assert parts["matmul"]["facts"]["gflops"] > 0
    assert parts["BLAS"]["facts"]["name"] == blas.load().name
    assert parts["Hub"]["facts"]["reachable"] is True
    assert parts["embedded"]["facts"]["tokenizer"] is True
    shown = capsys.readouterr().out
    assert all(finding["found"] in shown for finding in parts.values())
    assert json.loads(Path("runs/doctor/config.json").read_text()) == {"out": "runs/doctor"}


def test_nothing_is_missing(machine: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, parts = examined()
    assert code == 0
    assert faults(parts) == {}
    assert parts["BLAS"]["found"] == "MKL /x/libmkl_rt.so.3"
    shown = capsys.readouterr().out
    assert "nothing is missing; details in runs/doctor/result.json" in shown
    assert "remedy" not in shown


def test_a_slow_blas_is_one_warning(machine: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    machine.setattr(blas, "load", lambda: REFERENCE)
    machine.setattr(doctor, "_matmul_rate", lambda mx: 3.4e9)
    code, parts = examined()
    assert code == 0
    assert faults(parts) == {"BLAS": "warning", "matmul": "warning"}
    assert parts["matmul"]["found"].startswith("3.4 GFLOP/s")
    shown = capsys.readouterr().out
    assert "remedy: pip install mkl" in shown
    assert "1 to mend, nothing stops work" in shown


def test_a_fast_blas_that_is_slow_is_said(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(doctor, "_matmul_rate", lambda mx: 9e9)
    _, parts = examined()
    assert faults(parts) == {"matmul": "warning"}
    assert "slow for this BLAS" in parts["matmul"]["remedy"]


def test_without_mlx_the_rest_is_still_told(machine: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise MetapeftError(f"no MLX backend is installed: libmlx.so\n  install a backend: {BACKEND}")

    machine.setattr(doctor, "_import_mlx", refuse)
    machine.setattr(blas, "load", lambda: blas.Blas("unknown"))
    code, parts = examined()
    assert code == 1
    assert faults(parts) == {"MLX": "FAULT"}
    assert {"Python", "BLAS", "compiler", "Hub", "cache"} <= set(parts)
    shown = capsys.readouterr().out
    assert "no MLX backend is installed: libmlx.so" in shown
    assert f"remedy: install a backend: {BACKEND}" in shown  # the brackets are no markup


def test_a_device_that_does_not_compute_stops_work(machine: pytest.MonkeyPatch) -> None:
    def fail(mx: Any) -> float:
        raise RuntimeError("no CUDA-capable device\nis detected")

    machine.setattr(doctor, "_matmul_rate", fail)
    code, parts = examined()
    assert code == 1
    assert parts["matmul"]["found"] == "MLX cannot compute: no CUDA-capable device is detected"


def test_the_compiler(machine: pytest.MonkeyPatch) -> None:
    assert examined()[1]["compiler"]["found"].startswith("/usr/bin/g++; mx.compile works")

    machine.setenv("MLX_DISABLE_COMPILE", "1")
    assert "mx.compile is off" in examined()[1]["compiler"]["found"]
    machine.delenv("MLX_DISABLE_COMPILE")

    machine.setattr(doctor, "_import_mlx", lambda: CpuMlx(error="Failed to compile " + "x" * 200 + " no headers"))
    code, parts = examined()
    assert (code, faults(parts)) == (1, {"compiler": "FAULT"})
    assert parts["compiler"]["found"].endswith("no headers")

    machine.setattr(doctor.shutil, "which", lambda name: None)
    code, parts = examined()
    assert (code, faults(parts)) == (0, {"compiler": "warning"})
    assert parts["compiler"]["remedy"] == "apt install g++"

    machine.setattr(doctor, "_import_mlx", lambda: CpuMlx(device="gpu"))
    assert "not needed on this device" in examined()[1]["compiler"]["found"]


def test_a_hub_out_of_reach(machine: pytest.MonkeyPatch, no_hub: None) -> None:
    code, parts = examined()
    assert (code, faults(parts)) == (0, {"Hub": "warning"})
    assert "does not answer" in parts["Hub"]["found"]
    assert parts["Hub"]["facts"]["reachable"] is False


def test_a_hub_that_is_busy(machine: pytest.MonkeyPatch, hub: TinyHub) -> None:
    hub.faults.answer_busy = 1
    _, parts = examined()
    assert parts["Hub"]["found"].endswith("answers with status 503")
    assert faults(parts) == {"Hub": "warning"}


def test_a_gateway_is_no_hub(machine: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        machine.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        _, parts = examined()
        thread.join(5)
    assert parts["Hub"]["found"].endswith("answers with status 200, but not as a Hub does")


def test_a_hub_that_says_nothing_is_not_waited_for(machine: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    machine.setattr(doctor, "HUB_SECONDS", 0.01)
    machine.setattr(doctor, "_ask_hub", lambda: str(asked.wait(30)))
    _, parts = examined()
    asked.set()
    assert "no answer in 0.01 s" in parts["Hub"]["found"]


def test_an_offline_hub_is_not_asked(machine: pytest.MonkeyPatch, hub: TinyHub) -> None:
    from huggingface_hub import constants

    machine.setattr(constants, "HF_HUB_OFFLINE", True)
    _, parts = examined()
    assert "HF_HUB_OFFLINE is set" in parts["Hub"]["found"]
    assert faults(parts) == {}
    assert hub.requests == 0


def test_cache_folders(machine: pytest.MonkeyPatch, in_tmp: Path) -> None:
    from huggingface_hub import constants

    home, elsewhere = in_tmp / "home", in_tmp / "elsewhere"
    (home / "metapeft").mkdir(parents=True)
    (home / "metapeft" / "record.json").write_bytes(b"x" * 1500)
    (home / "link").symlink_to(home / "metapeft" / "record.json")
    machine.setattr(constants, "HF_HOME", str(home))
    machine.setattr(constants, "HF_HUB_CACHE", str(elsewhere))
    _, parts = examined()
    assert parts["metapeft's cache"]["found"] == f"{home / 'metapeft'}: 1.5 kB, 1.0 TB free"
    assert parts["cache"]["facts"]["bytes"] < 3000  # the link counts as itself
    assert parts["Hub cache"]["found"] == f"{elsewhere}: not there yet, 1.0 TB free"

    machine.setattr(doctor, "COUNTED_FILES", 1)
    assert "more than" in examined()[1]["cache"]["found"]

    disk = namedtuple("disk", "total used free")(10**12, 10**12, 10**6)
    machine.setattr(doctor.shutil, "disk_usage", lambda path: disk)
    code, parts = examined()
    assert code == 0
    assert parts["cache"]["remedy"].startswith("make room")

    machine.setattr(doctor.os, "access", lambda path, mode: False)
    assert "no permission" in examined()[1]["cache"]["remedy"]


def test_a_package_without_its_embedded_parts_stops_work(machine: pytest.MonkeyPatch, in_tmp: Path) -> None:
    machine.setattr(doctor, "PACKAGE", in_tmp)
    code, parts = examined()
    assert (code, faults(parts)) == (1, {"embedded": "FAULT"})
    for part in ("tokenization/default/tokenizer.json", "backbones/nano/model.safetensors"):
        (in_tmp / part).parent.mkdir(parents=True)
        (in_tmp / part).touch()
    assert examined()[1]["embedded"]["found"] == "tokenizer, nano"


@pytest.mark.parametrize(
    ("argument", "code", "said"), [("--help", 0, "runs/doctor"), ("outt=x", 2, "Did you mean 'out'?")]
)
def test_help_and_a_wrong_key_need_no_mlx(argument: str, code: int, said: str) -> None:
    script = f"""
import sys
from metapeft.__main__ import main
code = main(["doctor", {argument!r}])
print(sorted({{name.split(".")[0] for name in sys.modules}} & {{"mlx", "numpy", "huggingface_hub", "rich"}}))
sys.exit(code)
"""
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=root, env=os.environ
    )
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
