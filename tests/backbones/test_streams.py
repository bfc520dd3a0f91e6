"""metapeft.backbones.streams: parts of a batch side by side say what one part says."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from metapeft import blas
from metapeft.adapters.lora import LoraConfig
from metapeft.backbones import encoder, streams
from metapeft.mlx import mx
from tests.meta.tiny import moved, tiny_bert

LENGTHS = np.array([9, 3, 1, 7, 5, 8, 2])
TOKENS = np.random.default_rng(0).integers(0, 200, (len(LENGTHS), 9)).astype(np.int32)


class CountingMkl:
    """MKL's two functions, and every number of threads it was told."""

    def __init__(self, threads: int = 2):
        self.threads, self.told = threads, []

    def MKL_Get_Max_Threads(self) -> int:  # noqa: N802, MKL's name
        return self.threads

    def MKL_Set_Num_Threads(self, threads: int) -> None:  # noqa: N802
        self.threads = threads
        self.told.append(threads)


@pytest.fixture
def mkl(monkeypatch: pytest.MonkeyPatch) -> CountingMkl:
    """As if MLX multiplied by MKL with two threads on the CPU; five tokens are worth a stream."""
    counting = CountingMkl()
    monkeypatch.setattr(streams, "_mkl", lambda: counting)
    monkeypatch.setattr(streams, "on_cpu", lambda: True)
    monkeypatch.setattr(encoder, "LEAST", 5)
    return counting


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_prefix_in_parts_is_the_prefix(mkl: CountingMkl, depth: int) -> None:
    backbone = tiny_bert()
    parts = backbone.prefix(TOKENS, LENGTHS, depth)
    assert mkl.told == [1, 2]  # one thread a stream, and as before afterwards
    mkl.threads = 1
    whole = backbone.prefix(TOKENS, LENGTHS, depth)
    assert len(mkl.told) == 2
    real = LENGTHS.sum()
    assert parts.states.shape == whole.states.shape
    np.testing.assert_allclose(parts.states[:real], whole.states[:real], atol=1e-5)
    assert (parts.projected is None) == (whole.projected is None) == (depth == 3)
    if parts.projected is not None and whole.projected is not None:
        np.testing.assert_allclose(parts.projected[:real], whole.projected[:real], atol=1e-5)
    np.testing.assert_allclose(backbone.pool(parts), backbone.pool(whole), atol=1e-5)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_features_in_parts_are_the_features(mkl: CountingMkl, depth: int) -> None:
    backbone = tiny_bert()
    adapter = moved(backbone, LoraConfig(rank=2, num_layers=max(1, 3 - depth)))
    hidden = backbone.prefix(TOKENS, LENGTHS, depth)
    expected = backbone.pool(backbone.suffix(hidden, adapter, 1.5, depth))
    mkl.told.clear()
    found = [backbone.features(hidden, adapter, 1.5, depth) for _ in range(2)]
    assert mkl.told == [1, 2, 1, 2]
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    assert mx.array_equal(found[0], found[1])


def test_one_adapter_an_example_stays_whole(mkl: CountingMkl) -> None:
    backbone = tiny_bert()
    adapters = [moved(backbone, LoraConfig(rank=2, num_layers=1), seed) for seed in range(len(LENGTHS))]
    stacked = {
        path: {name: mx.stack([adapter[path][name] for adapter in adapters]) for name in ("lora_a", "lora_b")}
        for path in adapters[0]
    }
    hidden = backbone.prefix(TOKENS, LENGTHS, 2)
    mkl.told.clear()
    found = backbone.features(hidden, stacked, 1.0, 2)
    assert mkl.told == []
    np.testing.assert_allclose(found[3], backbone.features(hidden, adapters[3], 1.0, 2)[3], atol=1e-5)


def test_results_are_in_order_and_evaluated_on_their_own_streams(mkl: CountingMkl) -> None:
    seen = []

    def part(number: int) -> mx.array:
        seen.append(mx.default_stream(mx.Device(mx.cpu)))
        return mx.full((2,), number) + 1

    assert [out.tolist() for out in streams.side_by_side([partial(part, i) for i in (4, 7)])] == [[5, 5], [8, 8]]
    assert seen[0] != seen[1]


def test_threads_come_back_after_an_error(mkl: CountingMkl) -> None:
    def fail() -> mx.array:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        streams.side_by_side([fail, fail])
    assert mkl.threads == 2


def test_only_mkl_with_threads_on_the_cpu_is_shared(mkl: CountingMkl, monkeypatch: pytest.MonkeyPatch) -> None:
    assert streams.width() == 2
    mkl.threads = 1
    assert streams.width() == 1
    mkl.threads = 64
    assert streams.width() == streams.MOST
    monkeypatch.setattr(streams, "on_cpu", lambda: False)
    assert streams.width() == 1


@pytest.mark.parametrize("found", [blas.Blas("OpenBLAS", "libopenblas.so.0"), blas.Blas("left alone (CUDA)")])
def test_no_other_blas_is_touched(found: blas.Blas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "load", lambda: found)
    assert streams._mkl.__wrapped__() is None
