"""A fast BLAS in front of MLX on Linux.

The CPU wheel of MLX brings the reference BLAS: 3 to 4 GFLOP/s where MKL reaches 200 and OpenBLAS 40 (measured on two
cores). The loader binds `cblas_sgemm` when MLX is imported, and looks among the libraries opened with RTLD_GLOBAL
first: so a BLAS opened *before* that import takes the place of the wheel's own, and one opened later changes nothing.
macOS (Accelerate) and CUDA have their own and are left alone.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import platform
import sys
import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

SYMBOL = "cblas_sgemm"  # what MLX calls; the private OpenBLAS of numpy and scipy has it under another name
CUDA_BACKENDS = ("mlx-cuda-12", "mlx-cuda-13", "mlx-cuda")
OPENBLAS_NAMES = (
    "libopenblas.so.0",
    "libopenblasp.so.0",
    "libopenblaso.so.0",
)  # the last two are Fedora's threaded ones
KNOWN = {"mkl": "MKL", "openblas": "OpenBLAS", "blis": "BLIS"}


class SlowBlasWarning(UserWarning):
    """MLX multiplies matrices with the reference BLAS."""


@dataclass(frozen=True)
class Blas:
    """The BLAS that MLX uses, or will use once it is imported.

    Attributes:
        name: "MKL", "OpenBLAS", "BLIS", "reference", "left alone (…)", another library's file name, or "unknown".
        path: the library's file, None where it was left alone or cannot be told.
        remedy: one line for a slow BLAS, empty when all is well.
    """

    name: str
    path: str | None = None
    remedy: str = ""


@functools.cache
def load() -> Blas:
    """Put MKL, or else OpenBLAS, in front of MLX's own BLAS; a second call only says again what the first one found.

    Call it before `import mlx.core`. Warns once, with a `SlowBlasWarning`, when the reference BLAS is what is left.

    Returns:
        What MLX uses.
    """
    blas = _choose()
    if blas.remedy:
        message = f"MLX has its slow reference BLAS only (10 to 80 times slower). Remedy: {blas.remedy}"
        warnings.warn(message, SlowBlasWarning, stacklevel=2)
    return blas


def _choose() -> Blas:
    if sys.platform != "linux":
        return Blas(f"left alone ({'macOS' if sys.platform == 'darwin' else sys.platform})")
    if any(map(_is_installed, CUDA_BACKENDS)):
        return Blas("left alone (CUDA)")
    late = sys.modules.get("mlx.core") is not None
    usable, failures = None, []
    if _file_of(ctypes.CDLL(None)) is None:  # else somebody has put one in front already: theirs is the choice
        usable, failures = _first_usable(_candidates())
        if usable and not late:
            ctypes.CDLL(usable, ctypes.RTLD_GLOBAL)
    path = _provider()
    name = _name(path)
    if name != "reference":
        return Blas(name, path)
    return Blas(name, path, "import metapeft.mlx before mlx" if usable else _remedy(failures))


def _remedy(failures: list[str]) -> str:
    install = "pip install mkl" if platform.machine() == "x86_64" else "apt install libopenblas0"
    return f"{install} (the one here fails: {failures[0]})" if failures else install


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _candidates() -> list[str]:
    """Files and names to try, best first. MKL is for x86-64 only."""
    mkl: list[Path] = []
    if platform.machine() == "x86_64":
        try:
            # the wheel's own list knows where pip put the library: a --user install has it outside sys.prefix
            listed = distribution("mkl").files or []
        except PackageNotFoundError:
            listed = []
        mkl = [Path(str(file.locate())).resolve() for file in listed if file.name.startswith("libmkl_rt.so")]
        mkl += sorted((Path(sys.prefix) / "lib").glob("libmkl_rt.so*"))
    return [*dict.fromkeys(map(str, mkl)), *OPENBLAS_NAMES]


def _first_usable(candidates: list[str]) -> tuple[str | None, list[str]]:
    """The first candidate that can be opened and has the symbol, and why those before it that are there do not do."""
    failures = []
    for candidate in candidates:
        try:
            library = ctypes.CDLL(candidate)  # for this look only, not for everybody: a wrong one must not get in front
        except OSError as error:
            absent = str(error).startswith(f"{candidate}: cannot open shared object file")  # it, not what it needs
            if not absent:
                failures.append(f"{candidate}: {error}")
            continue
        if hasattr(library, SYMBOL):
            return candidate, failures
        failures.append(f"{candidate} has no {SYMBOL}")
    return None, failures


def _provider() -> str | None:
    """The file that gives MLX its `cblas_sgemm`: what stands in front of everything, or else what libmlx.so links."""
    in_front = _file_of(ctypes.CDLL(None))
    libmlx = _libmlx()
    if in_front or libmlx is None:
        return in_front
    try:
        return _file_of(ctypes.CDLL(str(libmlx)))
    except OSError:  # its import will fail too, and say why
        return None


def _libmlx() -> Path | None:
    spec = importlib.util.find_spec("mlx")
    folders = spec.submodule_search_locations or [] if spec else []
    return next((file for folder in folders if (file := Path(folder) / "lib" / "libmlx.so").exists()), None)


class _DlInfo(ctypes.Structure):
    """`Dl_info` of dlfcn.h."""

    _fields_ = [
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    ]


def _file_of(library: ctypes.CDLL) -> str | None:
    """The file of the `cblas_sgemm` that a library, or with `CDLL(None)` the whole process, sees."""
    if not hasattr(library, SYMBOL):
        return None
    info = _DlInfo()
    address = ctypes.cast(getattr(library, SYMBOL), ctypes.c_void_p)
    if not ctypes.CDLL(None).dladdr(address, ctypes.byref(info)) or not info.file:
        return None
    return os.path.realpath(os.fsdecode(info.file))


def _name(path: str | None) -> str:
    if path is None:
        return "unknown"
    file = Path(path)
    near = f"{file.parent.name}/{file.name}"  # Debian's OpenBLAS may be openblas-pthread/libblas.so.3
    known = next((name for word, name in KNOWN.items() if word in near), None)
    return known or ("reference" if file.name.startswith(("libblas", "libcblas")) else file.name)
