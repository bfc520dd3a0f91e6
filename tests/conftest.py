"""Tests never leave this machine: the Hub is a small one on loopback, its cache a temporary folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import metapeft.mlx  # noqa: F401  the BLAS comes before any test imports MLX
from tests.tiny_hub import Faults, TinyHub

# The Hub's libraries read these once, when they are imported: set them before anything can import them.
_HUB = TinyHub()
if "METAPEFT_MIRROR" not in os.environ:
    os.environ["HF_ENDPOINT"] = _HUB.start()
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="metapeft-test-hf-")
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "true"
os.environ["COLUMNS"] = "200"
os.environ.pop("HF_HUB_OFFLINE", None)


@pytest.fixture
def hub() -> Iterator[TinyHub]:
    """An empty Hub without faults."""
    _HUB.repos.clear()
    _HUB.faults = Faults()
    _HUB.requests = 0
    yield _HUB
    _HUB.faults = Faults()


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers: port 9 of this machine is closed."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Retries do not wait; the list holds how long they would have waited."""
    waits: list[float] = []
    monkeypatch.setattr("metapeft.sources.hub.time.sleep", waits.append)
    return waits


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, so that default output folders land there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
