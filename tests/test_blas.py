"""metapeft.blas: what stands in front of MLX, said once; and metapeft.mlx is the only way to MLX."""

from __future__ import annotations

import ast
import functools
import importlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from metapeft import blas
from metapeft.errors import MetapeftError

ROOT = Path(__file__).parent.parent
WHEELS_OWN = "/x/site-packages/mlx_cpu.libs/libblas-bd8a282c.so.3.10.0"
needs_linux_cpu = pytest.mark.skipif(
    sys.platform != "linux" or any(map(blas._is_installed, blas.CUDA_BACKENDS)), reason="the BLAS is left alone here"
)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[], blas.Blas]:
    """`load` on an x86-64 Linux without CUDA, without any BLAS but the wheel's own, and before MLX is imported."""
    monkeypatch.setattr(blas.sys, "platform", "linux")
    monkeypatch.setattr(blas.platform, "machine", lambda: "x86_64")
    monkeypatch.delitem(sys.modules, "mlx.core", raising=False)
    monkeypatch.setattr(blas, "_is_installed", lambda name: False)
    monkeypatch.setattr(blas, "_file_of", lambda library: None)
    monkeypatch.setattr(blas, "_candidates", list)
    monkeypatch.setattr(blas, "_provider", lambda: WHEELS_OWN)
    return functools.cache(blas.load.__wrapped__)


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | environment,
    )


# --- what load says -----------------------------------------------------------------------------


def test_the_reference_blas_is_said_once_with_the_remedy(load: Callable[[], blas.Blas]) -> None:
    with pytest.warns(blas.SlowBlasWarning, match="Remedy: pip install mkl$") as seen:
        first = load()
    assert len(seen) == 1
    assert "\n" not in str(seen[0].message)
    assert first == blas.Blas("reference", WHEELS_OWN, "pip install mkl")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load() is first


def test_other_processors_are_told_of_openblas(load: Callable[[], blas.Blas], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas.platform, "machine", lambda: "aarch64")
    with pytest.warns(blas.SlowBlasWarning, match="Remedy: apt install libopenblas0$"):
        load()


def test_nothing_is_said_when_all_is_well(load: Callable[[], blas.Blas], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_provider", lambda: "/x/lib/libmkl_rt.so.3")
    assert load() == blas.Blas("MKL", "/x/lib/libmkl_rt.so.3")


@pytest.mark.parametrize(("platform", "name"), [("darwin", "left alone (macOS)"), ("win32", "left alone (win32)")])
def test_other_systems_are_left_alone(
    load: Callable[[], blas.Blas], monkeypatch: pytest.MonkeyPatch, platform: str, name: str
) -> None:
    monkeypatch.setattr(blas.sys, "platform", platform)
    assert load() == blas.Blas(name)


@pytest.mark.parametrize("backend", ["mlx-cuda", "mlx-cuda-12", "mlx-cuda-13"])
def test_cuda_is_left_alone(load: Callable[[], blas.Blas], monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setattr(blas, "_is_installed", lambda name: name == backend)
    assert load() == blas.Blas("left alone (CUDA)")


def test_mlx_imported_first_is_said_and_nothing_is_loaded(
    load: Callable[[], blas.Blas], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlx.core", ast)  # any module
    monkeypatch.setattr(blas, "_first_usable", lambda candidates: ("not-a-library", []))
    with pytest.warns(blas.SlowBlasWarning, match="Remedy: import metapeft.mlx before mlx$"):
        load()
    monkeypatch.setattr(blas, "_first_usable", lambda candidates: (None, []))
    with pytest.warns(blas.SlowBlasWarning, match="Remedy: pip install mkl$"):
        blas.load.__wrapped__()


def test_a_blas_that_somebody_put_in_front_stays(
    load: Callable[[], blas.Blas], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(candidates: list[str]) -> None:
        raise AssertionError("looked for another")

    monkeypatch.setattr(blas, "_first_usable", never)
    monkeypatch.setattr(blas, "_file_of", lambda library: "/x/libflexiblas.so.3")
    monkeypatch.setattr(blas, "_provider", lambda: "/x/libflexiblas.so.3")
    assert load() == blas.Blas("libflexiblas.so.3", "/x/libflexiblas.so.3")


# --- finding one --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (WHEELS_OWN, "reference"),
        ("/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0", "reference"),
        ("/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3", "OpenBLAS"),
        ("/usr/lib/x86_64-linux-gnu/blis-pthread/libblas.so.4", "BLIS"),
        ("/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblasp-r0.3.21.so", "OpenBLAS"),
        ("/x/lib/libmkl_rt.so.3", "MKL"),
        ("/x/libarmpl.so", "libarmpl.so"),
        (None, "unknown"),
    ],
)
def test_a_library_is_known_by_its_file(path: str | None, name: str) -> None:
    assert blas._name(path) == name


def test_mkl_is_looked_for_where_pip_put_it_then_in_the_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, prefix = tmp_path / "lib/python3/site-packages", tmp_path / "prefix"
    info = site / "mkl-2026.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mkl\nVersion: 2026.0\n")
    (info / "RECORD").write_text("../../libmkl_rt.so.3,,\n../../libmkl_core.so.3,,\nmkl-2026.0.dist-info/RECORD,,\n")
    (prefix / "lib").mkdir(parents=True)
    for library in (tmp_path / "lib/libmkl_rt.so.3", prefix / "lib/libmkl_rt.so.2"):
        library.touch()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setattr(blas.platform, "machine", lambda: "x86_64")
    mkl = [str(tmp_path / "lib/libmkl_rt.so.3"), str(prefix / "lib/libmkl_rt.so.2")]
    assert blas._candidates() == [*mkl, *blas.OPENBLAS_NAMES]
    monkeypatch.setattr(blas.platform, "machine", lambda: "aarch64")
    assert blas._candidates() == list(blas.OPENBLAS_NAMES)


@needs_linux_cpu
def test_what_cannot_be_used_is_passed_over_and_said(
    tmp_path: Path, load: Callable[[], blas.Blas], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "libmkl_rt.so.3"
    broken.write_text("not a library")
    absent = str(tmp_path / "libopenblas.so.0")
    usable, failures = blas._first_usable([str(broken), absent, "libopenblas-nowhere.so", "libm.so.6"])
    assert usable is None
    assert [str(broken) in failures[0], failures[1]] == [True, "libm.so.6 has no cblas_sgemm"]
    monkeypatch.setattr(blas, "_candidates", lambda: [absent, str(broken)])
    with pytest.warns(blas.SlowBlasWarning, match=r"pip install mkl \(the one here fails: .*libmkl_rt.so.3: .*\)$"):
        load()


# --- with MLX -----------------------------------------------------------------------------------


@needs_linux_cpu
def test_mlx_is_bound_to_the_blas_that_load_names(tmp_path: Path) -> None:
    code = "from metapeft import blas; print(blas.load().path); import metapeft.mlx"
    # the loader itself says which library it took the function from
    done = python(
        f"import warnings; warnings.simplefilter('ignore'); {code}",
        LD_DEBUG="bindings",
        LD_DEBUG_OUTPUT=str(tmp_path / "log"),
    )
    assert done.returncode == 0, done.stderr
    lines = [line for log in tmp_path.glob("log.*") for line in log.read_text(errors="replace").splitlines()]
    bound = next(line for line in lines if "libmlx.so [" in line.split(" to ")[0] and line.endswith("`cblas_sgemm'"))
    file = bound.split(" to ")[1].split(" [")[0]
    assert os.path.realpath(file) == done.stdout.strip()


@needs_linux_cpu
def test_mlx_bound_to_its_own_blas_cannot_be_helped() -> None:
    done = python("import mlx.core; from metapeft import blas; blas._first_usable = lambda c: ('x', []); blas.load()")
    assert done.returncode == 1
    assert "SlowBlasWarning" in done.stderr and "import metapeft.mlx before mlx" in done.stderr


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            ImportError("libmlx.so: cannot open shared object file: No such file or directory"),
            "no MLX backend is installed",
        ),
        (ModuleNotFoundError("No module named 'mlx'"), "no MLX backend is installed"),
        (ImportError("/x/mlx/core.so: undefined symbol: mlx_new"), "MLX cannot be imported"),
        (ImportError("libcuda.so.1: cannot open shared object file"), "MLX cannot be imported"),
    ],
)
def test_without_a_backend_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, error: ImportError, reason: str
) -> None:
    class Refuses:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            if name == "mlx.core":
                raise error

    monkeypatch.setattr(blas, "load", lambda: None)
    monkeypatch.delitem(sys.modules, "mlx.core", raising=False)
    monkeypatch.delitem(sys.modules, "metapeft.mlx", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refuses, *sys.meta_path])
    with pytest.raises(MetapeftError, match="pip install") as caught:
        importlib.import_module("metapeft.mlx")
    assert str(caught.value).startswith(f"{reason}: {error}")


# --- nobody goes round --------------------------------------------------------------------------


def imports(source: str) -> list[tuple[int, str]]:
    """Line and module of each import that runs: what stands under `if TYPE_CHECKING:` does not."""
    tree = ast.parse(source)
    unseen = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in block.body
        for node in ast.walk(statement)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return sorted(found)


def goes_round(source: str) -> list[str]:
    """Imports of MLX, and of mlx_lm, which imports it, with no import of metapeft.mlx in front."""
    lines = imports(source)
    first = next((line for line, name in lines if name.startswith("metapeft.mlx.") or name == "metapeft.mlx"), None)
    out = [f"line {line}: {name}" for line, name in lines if name.split(".")[0] == "mlx"]
    early = [(line, name) for line, name in lines if name.split(".")[0] == "mlx_lm" and (first is None or line < first)]
    return out + [f"line {line}: {name} before metapeft.mlx" for line, name in early]


def test_metapeft_mlx_is_the_only_way_to_mlx() -> None:
    files = [file for folder in ("metapeft", "scripts") for file in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 30
    wrong = {str(file.relative_to(ROOT)): goes_round(file.read_text(encoding="utf-8")) for file in files}
    assert wrong.pop("metapeft/mlx.py")
    assert {file: lines for file, lines in wrong.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import mlx.core as mx",
        "from mlx import nn",
        "def f():\n    from mlx.utils import tree_map",
        "import mlx_lm",
        "from mlx_lm.utils import load\nfrom metapeft.mlx import mx",
    ],
)
def test_a_way_round_is_seen(source: str) -> None:
    assert goes_round(source)


@pytest.mark.parametrize(
    "source",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mlx.core as mx",
        "from metapeft.mlx import mx\nimport mlx_lm",
        "def f():\n    from metapeft.mlx import mx\n    from mlx_lm import load",
        "from metapeft.mlx_arrays import to_mlx",
    ],
)
def test_what_is_no_way_round_is_left_in_peace(source: str) -> None:
    assert goes_round(source) == []
