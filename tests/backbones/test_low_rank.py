import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.backbones.low_rank import low_rank
from metapeft.errors import AdapterError
from metapeft.mlx import mx, nn


def numpy_factors(rng: np.random.Generator, *leading: int, rank: int = 2, d_in: int = 4, d_out: int = 3):
    a = rng.normal(size=(*leading, d_in, rank)).astype(np.float32)
    b = rng.normal(size=(*leading, rank, d_out)).astype(np.float32)
    return a, b, {"lora_a": mx.array(a), "lora_b": mx.array(b)}


@given(inner=st.lists(st.integers(1, 3), max_size=3), rank=st.integers(1, 6), scale=st.floats(-4, 4, width=32))
@settings(max_examples=20, deadline=None)
def test_one_adapter_is_a_product(inner, rank, scale):
    rng = np.random.default_rng(0)
    a, b, factors = numpy_factors(rng, rank=rank)
    x = rng.normal(size=(*inner, 4)).astype(np.float32)
    np.testing.assert_allclose(low_rank(mx.array(x), factors, scale), scale * (x @ a @ b), rtol=1e-4, atol=1e-4)


@given(tasks=st.integers(1, 4), each=st.integers(1, 3), inner=st.lists(st.integers(1, 3), max_size=2))
@settings(max_examples=20, deadline=None)
def test_consecutive_examples_share_an_adapter(tasks, each, inner):
    rng = np.random.default_rng(1)
    a, b, factors = numpy_factors(rng, tasks)
    x = rng.normal(size=(tasks * each, *inner, 4)).astype(np.float32)
    wanted = np.stack([0.5 * (row @ a[i // each] @ b[i // each]) for i, row in enumerate(x)])
    np.testing.assert_allclose(low_rank(mx.array(x), factors, 0.5), wanted, rtol=1e-4, atol=1e-4)


def test_adapters_that_do_not_divide_the_examples():
    _, _, factors = numpy_factors(np.random.default_rng(0), 3)
    with pytest.raises(AdapterError, match="3 adapters cannot share 4 examples"):
        low_rank(mx.zeros((4, 2, 4)), factors, 1.0)


@pytest.mark.parametrize("leading", [(), (2,)])
def test_half_precision_stays_half(leading):
    _, _, factors = numpy_factors(np.random.default_rng(0), *leading)
    assert low_rank(mx.ones((2, 4), mx.bfloat16), factors, 1.0).dtype == mx.bfloat16


def test_on_a_quantized_map_it_is_what_mlx_lm_computes():
    """mlx-lm's own layer on a 4-bit base is the reference."""
    from mlx_lm.tuner.lora import LoRALinear

    base = nn.QuantizedLinear(64, 32, bias=False, group_size=32, bits=4)
    reference = LoRALinear.from_base(base, r=2, scale=3.0)
    reference.lora_b = mx.random.normal((2, 32), key=mx.random.key(0))
    x = mx.random.normal((5, 64), key=mx.random.key(1))
    ours = base(x) + low_rank(x, {"lora_a": reference.lora_a, "lora_b": reference.lora_b}, 3.0)
    np.testing.assert_allclose(ours, reference(x), rtol=1e-5, atol=1e-5)


def test_gradients_reach_each_adapter_from_its_own_examples():
    _, _, factors = numpy_factors(np.random.default_rng(0), 2)
    x = mx.concatenate([mx.zeros((1, 4)), mx.ones((1, 4))])  # the first example says nothing to its adapter
    gradient = mx.grad(lambda f: low_rank(x, f, 1.0).sum())(factors)
    assert (mx.abs(gradient["lora_a"]).sum(axis=(1, 2)) > 0).tolist() == [False, True]
