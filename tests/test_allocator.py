"""glibc is told to keep memory, and nothing else is touched."""

from __future__ import annotations

import ctypes
import sys

import pytest

from metapeft import allocator


class FakeLibrary:
    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def mallopt(self, name: int, value: int) -> int:
        self.calls.append((name, value))
        return 1


def test_glibc_serves_large_arrays_from_the_heap_and_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeLibrary()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    allocator.keep_freed_memory()
    assert dict(library.calls) == {-3: 1 << 30, -1: (1 << 31) - 1}


def test_a_libc_without_mallopt_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    allocator.keep_freed_memory()


def test_a_mac_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeLibrary()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    allocator.keep_freed_memory()
    assert library.calls == []


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this libc has no mallopt")
def test_glibc_accepts_the_settings() -> None:
    libc = ctypes.CDLL(None)
    assert libc.mallopt(allocator.M_MMAP_THRESHOLD, allocator.LARGEST) == 1
    assert libc.mallopt(allocator.M_TRIM_THRESHOLD, (1 << 31) - 1) == 1
