"""`python -m metapeft.doctor`: what this machine has for metapeft, what is missing, and how to mend it."""

from __future__ import annotations

import os
import platform
import queue
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from metapeft import blas, cli
from metapeft.errors import MetapeftError

DESCRIPTION = "Say what this machine has, and the remedy for what is missing (exit 1 if MLX cannot be used)."
EXAMPLES = ["python -m metapeft.doctor"]

PACKAGE = Path(__file__).parent
BACKENDS = ("mlx-metal", "mlx-cpu", *blas.CUDA_BACKENDS)
SIDE = 1024  # of the square matrices whose product is timed
SLOW = 10e9  # FLOP/s: the reference BLAS has 3 to 4, the slowest OpenBLAS seen had 17 on two busy cores
SLOW_REMEDY = "slow for this BLAS: look for other programs at work, and for limits (OMP_NUM_THREADS, MKL_NUM_THREADS)"
HUB_SECONDS = 3.0
LITTLE_DISK = 1e9  # bytes: one model or dataset may need more
COUNTED_FILES = 100_000  # of a cache: counting more would take minutes on a network disk


class DoctorConfig(BaseModel):
    """Options of `metapeft doctor`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    out: str = Field(default="runs/doctor", description="folder of the result")


@dataclass(frozen=True)
class Finding:
    """What was found of one part.

    Attributes:
        part: its name.
        found: one line.
        remedy: one line for a fault, empty when all is well.
        stops: True where metapeft cannot work with MLX before this is mended.
        facts: the same for programs.
    """

    part: str
    found: str
    remedy: str = ""
    stops: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """``FAULT``, ``warning`` or ``ok``."""
        return "FAULT" if self.stops else "warning" if self.remedy else "ok"


def doctor(config: DoctorConfig) -> int:
    """Run the verb; returns 1 when MLX cannot be used."""
    from rich.console import Console

    from metapeft import atomic

    # a pipe or a file has no width of its own: leave every line whole there
    console = Console() if sys.stdout.isatty() else Console(width=220)
    findings = examine()
    console.print(_table("This machine", findings))
    remedies = {finding.remedy for finding in findings if finding.remedy}  # a slow BLAS and its rate have the same
    works = not any(finding.stops for finding in findings)
    out = Path(config.out)
    result = {"verb": "doctor", "works": works, "findings": [asdict(f) | {"state": f.state} for f in findings]}
    atomic.write_text(out / "config.json", atomic.canonical_json(config.model_dump()))
    atomic.write_text(out / "result.json", atomic.canonical_json(result))
    verdict = f"{len(remedies)} to mend" if remedies else "nothing is missing"
    if remedies and works:
        verdict += ", nothing stops work"
    console.print(f"{verdict}; details in {out / 'result.json'}", markup=False, highlight=False)
    return 0 if works else 1


def examine() -> list[Finding]:
    """Look at every part of the machine that metapeft depends on."""
    return [_python(), _metapeft(), *_mlx(), _hub(), *_caches(), _embedded()]


# --- the parts ----------------------------------------------------------------------------------


def _python() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"{platform.python_version()} on {platform.platform()}, {cores} cores"
    return Finding("Python", found, facts={"version": platform.python_version(), "cores": cores})


def _metapeft() -> Finding:
    own = _version("metapeft")
    return Finding("metapeft", own or f"not installed, run from {PACKAGE.parent}", facts={"version": own})


def _version(distribution: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _mlx() -> list[Finding]:
    """MLX and all that is measured with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", blas.SlowBlasWarning)  # the report says it
        in_use = blas.load()
    versions = {name: _version(name) for name in ("mlx", *BACKENDS, "mlx-lm")}
    installed = ", ".join(f"{name} {number}" for name, number in versions.items() if number) or "not installed"
    path = in_use.path or ("" if in_use.name.startswith("left alone") else "(MLX's own library is not there to ask)")
    blas_finding = Finding("BLAS", f"{in_use.name} {path}".rstrip(), in_use.remedy, facts=asdict(in_use))
    try:
        mx = _import_mlx()
    except MetapeftError as error:
        reason, _, remedy = str(error).partition("\n")
        found = f"{reason} ({installed})"
        return [Finding("MLX", found, remedy.strip(), stops=True, facts=versions), blas_finding, _compiler()]
    remedy = "" if versions["mlx-lm"] else "pip install mlx-lm"
    device = mx.default_device()
    about = mx.device_info(device)
    facts = {"type": device.type.name, **{key: about[key] for key in sorted(about)}}
    named = f"{device.type.name}: {about.get('device_name', 'unnamed')}"
    return [
        Finding("MLX", installed, remedy, facts=versions),
        Finding("device", named, facts=facts),
        blas_finding,
        _matmul(mx, in_use),
        _compiler(mx),
    ]


def _import_mlx() -> Any:
    from metapeft.mlx import mx

    return mx


def _matmul(mx: Any, in_use: blas.Blas) -> Finding:
    try:
        rate = _matmul_rate(mx)
    except RuntimeError as error:  # such as a CUDA build where there is no such device
        found = f"MLX cannot compute: {_one_line(error)}"
        return Finding("matmul", found, "mend the driver, or install another backend", stops=True)
    found = f"{rate / 1e9:.1f} GFLOP/s (float32, {SIDE} x {SIDE})"
    remedy = ""
    if rate < SLOW:
        remedy = in_use.remedy or SLOW_REMEDY
    return Finding("matmul", found, remedy, facts={"gflops": round(rate / 1e9, 1)})


def _matmul_rate(mx: Any) -> float:
    """FLOP/s of a float32 product on the default device: the best of a few, as others may use the processor too."""
    matrix = mx.random.normal((SIDE, SIDE), key=mx.random.key(0))
    mx.eval(matrix, matrix @ matrix)  # the first one also starts threads
    seconds: list[float] = []
    while len(seconds) < 20 and sum(seconds) < 1.0:
        start = time.perf_counter()
        mx.eval(matrix @ matrix)
        seconds.append(time.perf_counter() - start)
    return 2 * SIDE**3 / min(seconds)


def _compiler(mx: Any = None) -> Finding:
    """On a CPU, mx.compile writes C++ and calls g++; where it finds none, it changes nothing."""
    path = shutil.which("g++")
    facts: dict[str, Any] = {"path": path}
    on_gpu = mx is not None and mx.default_device().type != mx.cpu
    if path is None and not on_gpu:
        return Finding(
            "compiler", "no g++: mx.compile has no effect, training is slower", "apt install g++", facts=facts
        )
    found = f"{path} (not needed on this device)" if on_gpu else str(path)
    if mx is None:
        return Finding("compiler", found, facts=facts)
    if "MLX_DISABLE_COMPILE" in os.environ:
        return Finding("compiler", f"{found}; mx.compile is off (MLX_DISABLE_COMPILE)", facts=facts)
    start = time.perf_counter()
    # MLX keeps what it compiled in /tmp/mlx: only a function never seen before shows that the compiler works
    fresh = 1 + time.time_ns() % 1_000_003 / 1_000_003
    try:
        mx.eval(mx.compile(lambda x: mx.abs(x) * fresh + x)(mx.ones((2,))))
    except RuntimeError as error:
        remedy = "mend the compiler (apt install --reinstall g++), or set MLX_DISABLE_COMPILE=1"
        return Finding("compiler", f"{found}; mx.compile fails: {_one_line(error)}", remedy, stops=True, facts=facts)
    facts["seconds"] = round(time.perf_counter() - start, 2)
    return Finding("compiler", f"{found}; mx.compile works ({facts['seconds']} s for a small function)", facts=facts)


def _hub() -> Finding:
    from huggingface_hub import constants

    endpoint = constants.ENDPOINT
    facts: dict[str, Any] = {"endpoint": endpoint, "reachable": None}
    if constants.HF_HUB_OFFLINE:
        return Finding("Hub", f"{endpoint} is not asked: HF_HUB_OFFLINE is set", facts=facts)
    start = time.perf_counter()
    answer = _within(HUB_SECONDS, _ask_hub)
    seconds = time.perf_counter() - start
    facts["reachable"] = answer == ""
    if facts["reachable"]:
        return Finding("Hub", f"{endpoint} answers ({seconds:.2f} s)", facts=facts)
    reason = answer if isinstance(answer, str) else f"does not answer: {_one_line(answer)}"
    remedy = "look at the network and the proxy, or set HF_ENDPOINT to a mirror; cached and synthetic data need no Hub"
    return Finding("Hub", f"{endpoint} {reason}", remedy, facts=facts)


def _ask_hub() -> str:
    """One small request, as `huggingface_hub` would send it; returns what is wrong with the answer, or nothing."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session

    url = f"{constants.ENDPOINT}/api/datasets?limit=1"
    answer = get_session().get(url, headers=build_hf_headers(), timeout=HUB_SECONDS)
    # a mirror need not have this page; a gateway or a log-in page also answers, but in no JSON
    if answer.status_code >= 400 and answer.status_code != 404:
        return f"answers with status {answer.status_code}"
    try:
        answer.json()
    except ValueError:
        return f"answers with status {answer.status_code}, but not as a Hub does"
    return ""


def _within(seconds: float, call: Callable[[], str]) -> str | Exception:
    """What a call returns or raises, or TimeoutError. A name server that says nothing keeps to no client's timeout."""
    answers: queue.Queue[str | Exception] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(call())
        except Exception as error:  # whatever it is, it is the answer
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return TimeoutError(f"no answer in {seconds:g} s")


def _caches() -> list[Finding]:
    from huggingface_hub import constants

    home, hub = Path(constants.HF_HOME), Path(constants.HF_HUB_CACHE)
    folders = {"cache": home, "metapeft's cache": home / "metapeft"}
    if home not in hub.parents:
        folders["Hub cache"] = hub
    return [_cache(part, folder) for part, folder in folders.items()]


def _cache(part: str, folder: Path) -> Finding:
    size, whole = _size(folder)
    disk = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if os.path.exists(parent))
    free = shutil.disk_usage(disk).free
    held = f"{'' if whole else 'more than '}{_bytes(size)}" if os.path.exists(folder) else "not there yet"
    remedy = ""
    if not os.access(disk, os.W_OK):
        remedy = f"no permission to write to {disk}: set HF_HOME to a folder of yours"
    elif free < LITTLE_DISK:
        remedy = "make room, or set HF_HOME to a folder on another disk"
    facts = {"path": str(folder), "bytes": size, "free_bytes": free}
    return Finding(part, f"{folder}: {held}, {_bytes(free)} free", remedy, facts=facts)


def _size(folder: Path) -> tuple[int, bool]:
    """Bytes of the files below a folder, links not followed, and whether all of them were counted."""
    size = count = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            if count == COUNTED_FILES:
                return size, False
            count += 1
            try:
                size += os.lstat(os.path.join(parent, name)).st_size
            except OSError:  # gone meanwhile
                continue
    return size, True


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _embedded() -> Finding:
    """What comes inside the package."""
    facts = {
        "tokenizer": (PACKAGE / "tokenization" / "default" / "tokenizer.json").exists(),
        "nano": (PACKAGE / "backbones" / "nano" / "model.safetensors").exists(),
    }
    missing = [name for name, there in facts.items() if not there]
    found = f"missing: {', '.join(missing)}" if missing else ", ".join(facts)
    remedy = "install metapeft again: pip install --force-reinstall --no-deps metapeft" if missing else ""
    return Finding("embedded", found, remedy, stops=bool(missing), facts=facts)


# --- showing it ---------------------------------------------------------------------------------


def _one_line(error: object) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 180 else f"{text[:80]} … {text[-100:]}"  # a compiler says last what is wrong


def _table(title: str, findings: list[Finding]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for name in ("part", "state", "found"):
        table.add_column(name, overflow="fold")
    for finding in findings:  # Text: what is found may hold brackets, and "metapeft[cpu]" is no markup
        table.add_row(Text(finding.part), Text(finding.state), Text(finding.found))
        if finding.remedy:
            table.add_row("", "", Text(f"remedy: {finding.remedy}"))
    return table


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb."""
    return cli.run(doctor, DoctorConfig, argv, prog="metapeft doctor", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
