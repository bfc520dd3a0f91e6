"""Keep freed memory: by default large arrays go back to the system, and come again page fault by page fault."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
LARGEST = 1 << 30


def keep_freed_memory() -> None:
    """Tell glibc to serve arrays up to 1 GiB from the heap and not to shrink it; elsewhere nothing happens.

    MLX's CPU backend calls malloc and free for every intermediate array. By default glibc maps each array above
    32 MiB afresh and unmaps it when it dies, so every page of it costs a fault every time: half the time of a
    backward pass. The process keeps its peak memory until it ends.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
