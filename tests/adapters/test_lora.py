import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.adapters.lora import (
    LoraConfig,
    check_adapter,
    count_parameters,
    first_layer,
    random_adapter,
    rescaled,
    stack,
    targets,
)
from metapeft.errors import AdapterError
from metapeft.mlx import mx
from tests.adapters.toy import ToyBackbone, filled, same

TOY = ToyBackbone()
X = mx.random.normal((4, 6), key=mx.random.key(9))


# --- which maps


def test_defaults_are_the_last_two_blocks():
    assert targets(TOY, LoraConfig()) == {"blocks.2.mlp.up": (6, 8), "blocks.3.mlp.up": (6, 8)}


def test_keys_are_relative_to_a_block_or_from_the_root():
    config = LoraConfig(num_layers=1, keys=["head", "mlp.down", "blocks.0.mlp.up"])
    assert list(targets(TOY, config)) == ["blocks.0.mlp.up", "blocks.3.mlp.down", "head"]  # lowest first


@given(blocks=st.integers(1, 5), data=st.data())
@settings(max_examples=20, deadline=None)
def test_every_number_of_blocks_adapts_the_last_ones(blocks, data):
    backbone = ToyBackbone(blocks=blocks)
    wanted = data.draw(st.integers(1, blocks))
    found = targets(backbone, LoraConfig(num_layers=wanted, keys=["mlp.up", "mlp.down"]))
    assert {path.rsplit(".", 2)[0] for path in found} == set(backbone.layers[blocks - wanted :])
    assert len(found) == 2 * wanted


def test_targets_agree_with_mlx_lm():
    """The same num_layers and keys, given to mlx-lm on a module tree of the same names, adapt the same maps."""
    from mlx_lm.tuner.lora import LoRALinear
    from mlx_lm.tuner.utils import linear_to_lora_layers

    from metapeft.mlx import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.mlp = {"up": nn.Linear(6, 8), "down": nn.Linear(8, 6)}

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = [Block() for _ in TOY.layers]
            self.head = nn.Linear(6, 3)

        @property
        def layers(self):
            return self.blocks

    for num_layers, keys in [
        (1, ["mlp.up"]),
        (3, ["mlp.up", "mlp.down"]),
        (2, ["head", "blocks.0.mlp.up", "mlp.down"]),
    ]:
        model = Model()
        linear_to_lora_layers(model, num_layers, {"rank": 2, "scale": 1.0, "dropout": 0.0, "keys": keys})
        theirs = {path for path, module in model.named_modules() if isinstance(module, LoRALinear)}
        assert set(targets(TOY, LoraConfig(num_layers=num_layers, keys=keys))) == theirs


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 0}, "rank: 0 is too small"),
        ({"num_layers": 0}, "num_layers: 0 adapts nothing"),
        ({"num_layers": -1}, "num_layers: -1 adapts nothing"),
        ({"scale": math.nan}, "scale: nan"),
        ({"keys": []}, r"keys: \[\] is not a list of at least one"),
        ({"keys": "mlp.up"}, "keys: 'mlp.up' is not a list"),
    ],
)
def test_values_out_of_range(values, message):
    with pytest.raises(AdapterError, match=message):
        LoraConfig(**values)


def test_more_blocks_than_there_are():
    with pytest.raises(AdapterError, match="num_layers: 5, but 'toy' has 4 blocks"):
        targets(TOY, LoraConfig(num_layers=5))


def test_an_unmatched_key_is_named_with_the_nearest():
    with pytest.raises(AdapterError, match=r"'mlp.upp' names no linear map.*Did you mean 'mlp.up'\?") as error:
        targets(TOY, LoraConfig(keys=["mlp.down", "mlp.upp"]))
    assert "known: head, mlp.down, mlp.up" in str(error.value)


# --- random adapters


def test_a_random_adapter_changes_nothing_and_lies_in_bounds():
    adapter = random_adapter(TOY, LoraConfig(rank=50, num_layers=4, keys=["mlp.up", "mlp.down"]), mx.random.key(0))
    check_adapter(TOY, adapter)
    assert mx.array_equal(TOY.suffix(X, adapter, 5.0), TOY.suffix(X))
    for path, factors in adapter.items():
        bound = 1 / math.sqrt(TOY.adaptable[path][0])
        a = np.array(factors["lora_a"])
        assert a.shape[1] == 50
        assert 0.9 * bound < np.abs(a).max() <= bound
        assert abs(a.mean()) < 0.2 * bound


def test_a_random_adapter_depends_on_its_key_alone():
    config = LoraConfig(rank=2)
    one, again, other = (random_adapter(TOY, config, mx.random.key(seed)) for seed in (1, 1, 2))
    assert same(one, again)
    assert not same(one, other)
    a, b = (factors["lora_a"] for factors in one.values())
    assert not mx.array_equal(a, b)  # two maps of one shape do not start alike


def test_a_path_draws_the_same_whatever_else_is_adapted():
    key = mx.random.key(3)
    few = random_adapter(TOY, LoraConfig(rank=2, num_layers=1), key)
    many = random_adapter(TOY, LoraConfig(rank=2, num_layers=4, keys=["head", "mlp.down", "mlp.up"]), key)
    assert len(many) > len(few)
    assert same(few, {path: many[path] for path in few})


# --- does it fit


def good(**changes) -> dict:
    """An adapter of two maps of rank 2; `changes` replace one factor, or a whole entry, as path.lora_a or path."""
    adapter = random_adapter(TOY, LoraConfig(rank=2), mx.random.key(0))
    for name, value in changes.items():
        path, _, factor = name.rpartition(".")
        if factor in ("lora_a", "lora_b"):
            adapter[path][factor] = value
        else:
            adapter[name] = value
    return adapter


PAIR = {"lora_a": mx.zeros((6, 2)), "lora_b": mx.zeros((2, 8))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks.2.mlp.upp": PAIR}, r"blocks.2.mlp.upp: no such linear map. Did you mean 'blocks.2.mlp.up'\?"),
        ({"blocks.1.mlp.up": {"lora_a": PAIR["lora_a"]}}, r"blocks.1.mlp.up: has \['lora_a'\]"),
        ({"blocks.1.mlp.up": PAIR | {"m": PAIR["lora_a"]}}, r"blocks.1.mlp.up: has \['lora_a', 'lora_b', 'm'\]"),
        ({"blocks.2.mlp.up.lora_a": mx.zeros((5, 2))}, r"blocks.2.mlp.up.lora_a: shape \(5, 2\), expected \(6, r\)"),
        ({"blocks.2.mlp.up.lora_a": mx.zeros((6,))}, r"blocks.2.mlp.up.lora_a: shape \(6,\)"),
        ({"blocks.2.mlp.up.lora_b": mx.zeros((2, 7))}, r"blocks.2.mlp.up.lora_b: shape \(2, 7\), expected \(r, 8\)"),
        ({"blocks.2.mlp.up.lora_b": mx.zeros((3, 8))}, "blocks.2.mlp.up: lora_a has rank 2 and lora_b 3"),
        ({"blocks.2.mlp.up.lora_b": mx.zeros((4, 2, 8))}, r"blocks.2.mlp.up: lora_a has leading axis \(\)"),
        ({"blocks.2.mlp.up.lora_a": mx.zeros((6, 2), mx.int32)}, "blocks.2.mlp.up.lora_a: dtype .*int32"),
        (
            {"head": {"lora_a": mx.zeros((4, 6, 2)), "lora_b": mx.zeros((4, 2, 3))}},
            r"head: leading axis \(4,\), but blocks.2.mlp.up has \(\)",
        ),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(changes, message):
    check_adapter(TOY, good())
    with pytest.raises(AdapterError, match=message) as error:
        check_adapter(TOY, good(**changes))
    assert "does not fit the backbone 'toy'" in str(error.value)


def test_all_that_does_not_fit_is_counted():
    with pytest.raises(AdapterError, match="(?s)nowhere.0: .*nowhere.4: .*and 3 more") as error:
        check_adapter(TOY, good(**{f"nowhere.{i}": PAIR for i in range(8)}))
    assert "nowhere.5" not in str(error.value)


def test_an_empty_adapter_is_refused():
    with pytest.raises(AdapterError, match="empty"):
        check_adapter(TOY, {})


def test_a_leading_axis_and_several_ranks_fit():
    check_adapter(TOY, stack([good(), good()]))
    check_adapter(TOY, good(head={"lora_a": mx.zeros((6, 5)), "lora_b": mx.zeros((5, 3))}))
    check_adapter(TOY, {path: {k: v.astype(mx.bfloat16) for k, v in f.items()} for path, f in good().items()})


# --- depth


@pytest.mark.parametrize(
    ("paths", "depth"),
    [(["blocks.2.mlp.up", "blocks.1.mlp.down"], 1), (["head"], 4), (["head", "blocks.3.mlp.up"], 3)],
)
def test_first_layer_is_the_lowest_adapted_block(paths, depth):
    assert first_layer(TOY, dict.fromkeys(paths, PAIR)) == depth


def test_block_ten_is_not_block_one():
    assert first_layer(ToyBackbone(blocks=11), {"blocks.10.mlp.up": PAIR}) == 10


def test_below_the_first_layer_nothing_depends_on_the_adapter():
    adapter = filled(TOY, LoraConfig(rank=2, num_layers=2), 0)
    depth = first_layer(TOY, adapter)
    split = TOY.suffix(TOY.prefix(X, depth=depth), adapter, 2.0, depth)
    assert mx.array_equal(split, TOY.suffix(X, adapter, 2.0))
    lost = TOY.suffix(TOY.prefix(X, depth=depth + 1), adapter, 2.0, depth + 1)
    assert not mx.allclose(split, lost)


# --- stacking


@given(count=st.integers(1, 4), rank=st.integers(1, 3))
@settings(max_examples=10, deadline=None)
def test_each_adapter_is_in_the_stack(count, rank):
    adapters = [filled(TOY, LoraConfig(rank=rank), seed) for seed in range(count)]
    stacked = stack(adapters)
    check_adapter(TOY, stacked)
    assert count_parameters(stacked) == count * count_parameters(adapters[0]) == count * 2 * rank * (6 + 8)
    for index, adapter in enumerate(adapters):
        assert same(adapter, {path: {k: v[index] for k, v in f.items()} for path, f in stacked.items()})


def test_a_stack_serves_each_example_its_own():
    adapters = [filled(TOY, LoraConfig(rank=2), seed) for seed in range(2)]
    together = TOY.suffix(X, stack(adapters), 2.0)  # four examples, two each
    alone = mx.concatenate([TOY.suffix(X[:2], adapters[0], 2.0), TOY.suffix(X[2:], adapters[1], 2.0)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (good(head={"lora_a": mx.zeros((6, 2)), "lora_b": mx.zeros((2, 3))}), "adapter 1 .* differ at head.lora_a"),
        (random_adapter(TOY, LoraConfig(rank=3), mx.random.key(0)), "adapter 1 .* differ at blocks.2.mlp.up.lora_a"),
        (good(**{"blocks.3.mlp.up.lora_b": mx.zeros((2, 8), mx.float16)}), "differ at blocks.3.mlp.up.lora_b"),
    ],
)
def test_adapters_that_differ_are_not_stacked(other, message):
    with pytest.raises(AdapterError, match=message):
        stack([good(), other])


def test_a_stack_of_nothing_or_of_stacks_is_refused():
    with pytest.raises(AdapterError, match="no adapters"):
        stack([])
    with pytest.raises(AdapterError, match="leading axis already"):
        stack([stack([good()])])


def test_a_rescaled_adapter_does_the_same_at_another_scale():
    adapter = filled(TOY, LoraConfig(rank=2), 0)
    np.testing.assert_allclose(
        TOY.suffix(X, rescaled(adapter, 3.0, 0.5), 0.5), TOY.suffix(X, adapter, 3.0), rtol=1e-4, atol=1e-5
    )
    assert rescaled(adapter, 2.0, 2.0) is adapter
