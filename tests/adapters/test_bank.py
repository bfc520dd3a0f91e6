import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.adapters.bank import AdapterBank
from metapeft.adapters.lora import LoraConfig, stack
from metapeft.errors import AdapterError
from metapeft.mlx import mx
from tests.adapters.toy import ToyBackbone, filled, same

TOY = ToyBackbone()
CONFIG = LoraConfig(rank=2)
ADAPTERS = {name: filled(TOY, CONFIG, seed) for seed, name in enumerate("abc")}
X = mx.random.normal((3, 6), key=mx.random.key(9))


@pytest.fixture
def bank() -> AdapterBank:
    bank = AdapterBank(TOY, scale=2.0)
    for name, adapter in ADAPTERS.items():
        bank.add(name, adapter)
    return bank


def test_a_then_b_then_a_is_identical(bank):
    first = TOY.suffix(X, bank["a"], bank.scale)
    between = TOY.suffix(X, bank["b"], bank.scale)
    again = TOY.suffix(X, bank["a"], bank.scale)
    frozen = TOY.suffix(X)
    assert mx.array_equal(first, again)
    assert not mx.allclose(first, between)
    assert mx.array_equal(frozen, ToyBackbone().suffix(X))  # the backbone itself is as it was
    assert not mx.allclose(first, frozen)


@given(names=st.lists(st.sampled_from("abc"), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_gather_gives_one_adapter_an_example(names):
    bank = AdapterBank(TOY)
    for name, adapter in ADAPTERS.items():
        bank.add(name, adapter)
    gathered = bank.gather(names)
    assert same(gathered, stack([ADAPTERS[name] for name in names]))
    x = mx.random.normal((len(names), 6), key=mx.random.key(len(names)))
    mixed = TOY.suffix(x, gathered)
    alone = mx.concatenate([TOY.suffix(x[i : i + 1], ADAPTERS[name]) for i, name in enumerate(names)])
    np.testing.assert_allclose(mixed, alone, rtol=1e-4, atol=1e-5)


@given(steps=st.lists(st.tuples(st.sampled_from("abc"), st.integers(-1, 3)), max_size=8))
@settings(max_examples=25, deadline=None)
def test_it_holds_what_a_dictionary_would(steps):
    """Any order of adding, replacing (a seed) and removing (-1)."""
    bank, reference = AdapterBank(TOY), {}
    for name, seed in steps:
        if seed >= 0:
            adapter = filled(TOY, CONFIG, seed)
            bank.add(name, adapter)
            reference.pop(name, None)
            reference[name] = adapter
        elif name in reference:
            bank.remove(name)
            del reference[name]
    assert bank.names == tuple(reference)
    assert all(same(bank[name], adapter) for name, adapter in reference.items())


def test_an_adapter_of_another_scale_does_what_it_did(bank):
    adapter = filled(TOY, CONFIG, 7)
    bank.add("d", adapter, scale=0.5)
    np.testing.assert_allclose(TOY.suffix(X, bank["d"], bank.scale), TOY.suffix(X, adapter, 0.5), rtol=1e-4, atol=1e-5)


def test_an_adapter_that_does_not_fit_is_not_added(bank):
    with pytest.raises(
        AdapterError, match=r"does not fit the backbone 'toy'(?s:.)*blocks.5.mlp.up: no such linear map"
    ):
        bank.add("wrong", filled(ToyBackbone(blocks=6), CONFIG, 0))
    for other in (LoraConfig(rank=3), LoraConfig(rank=2, num_layers=1)):
        with pytest.raises(AdapterError, match="'wrong' is not of the form of 'a'"):
            bank.add("wrong", filled(TOY, other, 0))
    with pytest.raises(AdapterError, match="leading axis already"):
        bank.add("wrong", bank.gather(["a"]))
    assert bank.names == ("a", "b", "c")
    assert same(bank["c"], ADAPTERS["c"])


def test_the_only_adapter_can_be_replaced_by_one_of_another_form():
    bank = AdapterBank(TOY)
    bank.add("a", ADAPTERS["a"])
    bank.add("a", filled(TOY, LoraConfig(rank=3), 0))
    assert bank["a"]["blocks.3.mlp.up"]["lora_a"].shape == (6, 3)


def test_a_name_that_is_not_there(bank):
    bank.add("reviews", ADAPTERS["a"])
    for call in (bank.remove, bank.__getitem__, lambda name: bank.gather(["a", name])):
        with pytest.raises(AdapterError, match=r"no adapter 'review' in the bank. Did you mean 'reviews'\?"):
            call("review")
    with pytest.raises(AdapterError, match="no names"):
        bank.gather([])


def test_a_bank_that_would_switch_its_adapters_off():
    with pytest.raises(AdapterError, match="scale: 0"):
        AdapterBank(TOY, scale=0.0)
