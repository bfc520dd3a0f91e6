"""What every backbone keeps, as checks that each backbone's tests run on a tiny random one.

A check takes a backbone, its inputs `x` (a batch of four) and their `lengths` (None for points).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from metapeft.backbones.backbone import Adapter
from metapeft.errors import AdapterError
from metapeft.mlx import mx, utils

Check = Callable[[Any, np.ndarray, Any], None]


def adapter_for(backbone: Any, paths: Any = None, leading: tuple[int, ...] = (), size: float = 0.2) -> Adapter:
    """A random adapter of rank 2 that changes what the backbone says."""
    rng = np.random.default_rng(1)
    return {
        path: {
            "lora_a": mx.array(size * rng.normal(size=(*leading, d_in, 2)), mx.float32),
            "lora_b": mx.array(size * rng.normal(size=(*leading, 2, d_out)), mx.float32),
        }
        for path, (d_in, d_out) in backbone.adaptable.items()
        if path.startswith(backbone.layers) and (paths is None or path in paths)
    }


def features(backbone: Any, x: Any, lengths: Any, adapter: Adapter | None = None, depth: int = 0) -> np.ndarray:
    return np.array(backbone.pool(backbone.suffix(backbone.prefix(x, lengths, depth), adapter, 1.5, depth)))


def near(one: Any, other: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def it_describes_itself(backbone: Any, x: np.ndarray, lengths: Any) -> None:
    got = features(backbone, x, lengths)
    assert got.shape == (len(x), backbone.hidden_size)
    assert got.dtype == np.float32
    assert np.isfinite(got).all()
    assert len(backbone.digest) == 64
    inside = [path for path in backbone.adaptable if path.startswith(backbone.layers)]
    blocks = [next(i for i, block in enumerate(backbone.layers) if path.startswith(f"{block}.")) for path in inside]
    assert blocks == sorted(blocks), "lowest first"
    assert set(blocks) == set(range(len(backbone.layers)))
    assert backbone.default_keys
    assert all(f"{backbone.layers[-1]}.{key}" in backbone.adaptable for key in backbone.default_keys)


def an_input_says_the_same_alone_and_in_a_batch(backbone: Any, x: np.ndarray, lengths: Any) -> None:
    together = features(backbone, x, lengths)
    for i in range(len(x)):
        own = None if lengths is None else lengths[i : i + 1]
        short = x[i : i + 1] if lengths is None else x[i : i + 1, : lengths[i]]
        near(features(backbone, short, own)[0], together[i])


def padding_may_hold_anything(backbone: Any, x: np.ndarray, lengths: Any) -> None:
    if lengths is None:
        return
    filled = np.where(np.arange(x.shape[1]) < lengths[:, None], x, -100)
    wider = np.pad(filled, ((0, 0), (0, 15)), constant_values=10**6)
    near(features(backbone, filled, lengths), features(backbone, x, lengths), 0)
    near(features(backbone, wider, lengths), features(backbone, x, lengths))


def every_depth_gives_the_same(backbone: Any, x: np.ndarray, lengths: Any) -> None:
    whole = features(backbone, x, lengths)
    for depth in range(len(backbone.layers) + 1):
        near(features(backbone, x, lengths, depth=depth), whole)
    top = adapter_for(backbone, [path for path in backbone.adaptable if path.startswith(f"{backbone.layers[-1]}.")])
    adapted = features(backbone, x, lengths, top)
    for depth in range(len(backbone.layers)):
        near(features(backbone, x, lengths, top, depth), adapted)


def an_adapter_with_b_zero_changes_nothing(backbone: Any, x: np.ndarray, lengths: Any) -> None:
    for leading in ((), (len(x),)):
        adapter = adapter_for(backbone, leading=leading)
        nothing = {path: factors | {"lora_b": 0 * factors["lora_b"]} for path, factors in adapter.items()}
        near(features(backbone, x, lengths, nothing), features(backbone, x, lengths), 1e-6)


def every_adaptable_map_matters(backbone: Any, x: np.ndarray, lengths: Any) -> None:
    plain = features(backbone, x, lengths)
    for path in backbone.adaptable:
        if path.startswith(backbone.layers):
            adapted = features(backbone, x, lengths, adapter_for(backbone, [path], size=0.5))
            assert np.abs(adapted - plain).max() > 1e-4, path


def examples_have_adapters_of_their_own(backbone: Any, x: np.ndarray, lengths: Any) -> None:
    for tasks in (len(x), len(x) // 2):
        adapters = adapter_for(backbone, leading=(tasks,))
        together = features(backbone, x, lengths, adapters)
        share = len(x) // tasks
        for task in range(tasks):
            rows = slice(task * share, (task + 1) * share)
            one = utils.tree_map(lambda factor, task=task: factor[task], adapters)
            near(features(backbone, x[rows], None if lengths is None else lengths[rows], one), together[rows])
    with pytest.raises(AdapterError, match=f"3 adapters cannot share {len(x)} examples"):
        features(backbone, x, lengths, adapter_for(backbone, leading=(3,)))


def loss_of(backbone: Any, x: np.ndarray, lengths: Any, depth: int) -> tuple[Callable[[Adapter, Any], mx.array], Any]:
    """A scalar function of an adapter and hidden states, and the hidden states."""
    hidden = backbone.prefix(x, lengths, depth)
    weights = mx.array(np.random.default_rng(2).normal(size=(len(x), backbone.hidden_size)), mx.float32)

    def loss(adapter: Adapter, hidden: Any) -> mx.array:
        return (mx.tanh(backbone.pool(backbone.suffix(hidden, adapter, 1.5, depth))) * weights).mean()

    return loss, hidden


def along(function: Callable[[Adapter], mx.array], at: Adapter, direction: Adapter, step: float) -> float:
    """Central difference of `function` along a direction."""
    ends = [utils.tree_map(lambda a, d, sign=sign: a + sign * step * d, at, direction) for sign in (1, -1)]
    return (function(ends[0]) - function(ends[1])).item() / (2 * step)


def dot(one: Adapter, other: Adapter) -> float:
    products = utils.tree_map(lambda a, b: (a * b).sum(), one, other)
    return sum(leaf.item() for _, leaf in utils.tree_flatten(products))


def gradients_are_right(backbone: Any, x: np.ndarray, lengths: Any) -> None:
    """Of every map of the last two blocks, one adapter in all and one an example, against central differences."""
    depth = max(len(backbone.layers) - 2, 0)
    loss, hidden = loss_of(backbone, x, lengths, depth)
    top = [path for path in backbone.adaptable if path.startswith(backbone.layers[depth:])]
    for leading in ((), (len(x),)):
        at = adapter_for(backbone, top, leading)
        value, gradient = mx.value_and_grad(loss)(at, hidden)
        near(value, loss(at, hidden))
        for path in at:
            direction = {path: gradient[path]}
            size = dot(direction, direction) ** 0.5
            assert size > 1e-6, path
            rest = partial(with_rest, loss, at, hidden)
            found = along(rest, {path: at[path]}, direction, 0.02 / size)
            np.testing.assert_allclose(found, size**2, rtol=0.03, atol=2e-6, err_msg=path)


def with_rest(loss: Callable[[Adapter, Any], mx.array], at: Adapter, hidden: Any, part: Adapter) -> mx.array:
    return loss({**at, **part}, hidden)


def compiled_is_the_same_as_eager(backbone: Any, x: np.ndarray, lengths: Any) -> None:
    depth = len(backbone.layers) - 1
    loss, hidden = loss_of(backbone, x, lengths, depth)
    keys = [f"{backbone.layers[-1]}.{key}" for key in backbone.default_keys]
    step, compiled = mx.value_and_grad(loss), mx.compile(mx.value_and_grad(loss))
    for size in (0.2, 0.4):  # the second call finds the function compiled: nothing of the first may be left in it
        adapter = adapter_for(backbone, keys, size=size)
        for (path, wanted), (_, got) in zip(
            utils.tree_flatten(step(adapter, hidden)), utils.tree_flatten(compiled(adapter, hidden)), strict=True
        ):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6, err_msg=path)


def second_derivatives_are_right(backbone: Any, x: np.ndarray, lengths: Any) -> None:
    """The derivative of the squared length of the gradient, as a meta-gradient through one step has it."""
    depth = max(len(backbone.layers) - 2, 0)
    loss, hidden = loss_of(backbone, x, lengths, depth)

    def squared(adapter: Adapter) -> mx.array:
        gradient = mx.grad(loss)(adapter, hidden)
        return sum((leaf.square().sum() for _, leaf in utils.tree_flatten(gradient)), mx.array(0.0))

    at = adapter_for(backbone, [path for path in backbone.adaptable if path.startswith(backbone.layers[depth:])])
    second = mx.grad(squared)(at)
    size = dot(second, second) ** 0.5
    assert size > 1e-6
    np.testing.assert_allclose(along(squared, at, second, 0.02 / size), size**2, rtol=0.03)


CHECKS: list[Check] = [
    it_describes_itself,
    an_input_says_the_same_alone_and_in_a_batch,
    padding_may_hold_anything,
    every_depth_gives_the_same,
    an_adapter_with_b_zero_changes_nothing,
    every_adaptable_map_matters,
    examples_have_adapters_of_their_own,
    gradients_are_right,
    compiled_is_the_same_as_eager,
]
