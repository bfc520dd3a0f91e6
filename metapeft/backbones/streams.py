"""Run the parts of a batch side by side, one CPU stream a core.

MLX runs what is no product of matrices on the one thread of its stream, and the second core waits meanwhile; a threaded
BLAS makes both cores wait for each other in each of attention's many small products. Here every part has a stream of
its own, and MKL shares its threads among the streams. Where other work takes one of the cores, nothing is gained.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from metapeft import blas
from metapeft.backbones.elementwise import on_cpu
from metapeft.mlx import mx

MOST = 4  # streams; measured with two cores only
_turn = threading.Lock()  # MKL's number of threads belongs to the whole process


def width() -> int:
    """How many parts run side by side: 1 but where MLX multiplies by MKL on the CPU, with several threads.

    MKL has as many threads as there are cores, or as ``MKL_NUM_THREADS`` or ``OMP_NUM_THREADS`` say.
    """
    mkl = _mkl() if on_cpu() else None
    return min(mkl.MKL_Get_Max_Threads(), MOST) if mkl else 1


def side_by_side(parts: Sequence[Callable[[], Any]]) -> list[Any]:
    """Build each part's graph on a stream of its own, and evaluate all of them at once.

    Not for transformations or compiled functions: it evaluates.

    Args:
        parts: at most `width()` functions without arguments that give trees of arrays.

    Returns:
        What they gave, evaluated, in their order. It does not depend on which part ends first.
    """
    with _turn, _threads_shared_by(len(parts)):
        results = []
        for part, stream in zip(parts, _streams(), strict=False):
            with mx.stream(stream):
                results.append(part())
        mx.eval(results)
    return results


@contextmanager
def _threads_shared_by(streams: int) -> Generator[None]:
    mkl = _mkl()
    if mkl is None or streams == 1:
        yield
        return
    threads = mkl.MKL_Get_Max_Threads()
    mkl.MKL_Set_Num_Threads(max(1, threads // streams))  # for all threads: it is the streams' own that call MKL
    try:
        yield
    finally:
        mkl.MKL_Set_Num_Threads(threads)


@functools.cache
def _mkl() -> Any:
    found = blas.load()
    return ctypes.CDLL(found.path) if found.name == "MKL" and found.path else None


@functools.cache
def _streams() -> tuple[mx.Stream, ...]:
    return tuple(mx.new_stream(mx.Device(mx.cpu)) for _ in range(MOST))
