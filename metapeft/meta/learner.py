"""What an inner loop changes, and how: plain trees, pure functions, differentiable to second order.

The trainable tree of an episode is ``{"adapter": Adapter, "head": Params}``; learning rates are a tree of the same
form whose leaves are arrays ``(steps,)``: one rate a tensor and step (LSLR of Antoniou et al., "How to train your
MAML", 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from metapeft.errors import AdaptationError
from metapeft.mlx import mx, utils

Tree = dict[str, Any]
Loss = Callable[[Tree], mx.array]


class Optimizer(NamedTuple):
    """A gradient rule as two pure functions.

    Attributes:
        name: "sgd" or "adam".
        init: ``params -> state``.
        update: ``(params, grads, rates of this step, state) -> (params, state)``.
    """

    name: str
    init: Callable[[Tree], Any]
    update: Callable[[Tree, Tree, Tree, Any], tuple[Tree, Any]]


@cache  # one object for equal settings: compiled steps are found again by it
def sgd() -> Optimizer:
    """Plain gradient descent; the state is empty."""

    def update(params: Tree, grads: Tree, rates: Tree, state: Any) -> tuple[Tree, Any]:
        return utils.tree_map(lambda p, g, r: p - r * g, params, grads, rates), state

    return Optimizer("sgd", lambda params: (), update)


@cache
def adam(beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> Optimizer:
    """Adam with bias correction (Kingma & Ba 2015), differentiable; the state is (first, second moment, step)."""

    def init(params: Tree) -> Any:
        zeros = utils.tree_map(mx.zeros_like, params)
        return zeros, zeros, mx.array(0.0)

    def update(params: Tree, grads: Tree, rates: Tree, state: Any) -> tuple[Tree, Any]:
        first, second, step = state
        step = step + 1
        first = utils.tree_map(lambda m, g: beta1 * m + (1 - beta1) * g, first, grads)
        second = utils.tree_map(lambda v, g: beta2 * v + (1 - beta2) * g * g, second, grads)
        c1, c2 = 1 - beta1**step, 1 - beta2**step

        def moved(p: mx.array, m: mx.array, v: mx.array, r: mx.array) -> mx.array:
            # The square root has no derivative at 0, where an untouched tensor's moment lies: keep away from it.
            return p - r * (m / c1) / (mx.sqrt(v / c2 + eps * eps) + eps)

        return utils.tree_map(moved, params, first, second, rates), (first, second, step)

    return Optimizer("adam", init, update)


def rates_for(params: Tree, steps: int, learning_rates: float | Mapping[str, Any]) -> list[Tree]:
    """Learning rates of every step, one tree a step.

    Args:
        params: the trainable tree.
        steps: how many steps.
        learning_rates: one number for all; or a tree of the form of `params`, of which a leaf may be a number or an
            array ``()`` or ``(steps,)``, and a branch may be one number: ``{"adapter": 0.1, "head": 1.0}``.

    Raises:
        AdaptationError: a branch is missing or unknown, a leaf has another length, or a rate is negative or not finite
            (in an `mx.array`, which an outer loop may be tracing, rates are not looked at).
    """
    full = _spread(params, learning_rates, "learning_rates")
    leaves: Any = utils.tree_flatten(full)
    for path, rate in leaves:
        if rate.ndim > 1 or (rate.ndim == 1 and rate.shape[0] != steps):
            raise AdaptationError(f"learning_rates.{path}: shape {rate.shape}, expected () or ({steps},)")
    return [_at_step(full, step) for step in range(steps)]


def learned_rates(params: Tree, steps: int, initial: float | Mapping[str, Any]) -> Tree:
    """Logarithms of learning rates, arrays ``(steps,)`` in the form of `params`: what meta-training learns.

    `positive` turns them into rates. A rate that is learned as its logarithm stays positive and moves by factors.

    Raises:
        AdaptationError: no step to learn a rate for, a rate of 0 (it has no logarithm), or as `rates_for`.
    """
    if steps < 1:
        raise AdaptationError(f"learned rates need 1 step or more, got {steps}")
    per_step = rates_for(params, steps, initial)
    leaves: Any = [leaf for rates in per_step for leaf in utils.tree_flatten(rates)]
    zero = next((path for path, rate in leaves if rate.item() <= 0), None)
    if zero is not None:
        raise AdaptationError(f"initial rate of {zero} is not above 0: its logarithm could not be learned")
    return utils.tree_map(lambda *rates: mx.log(mx.stack(list(rates))), *per_step)


def positive(log_rates: Tree) -> Tree:
    """Rates of their logarithms."""
    return utils.tree_map(mx.exp, log_rates)


def unroll(
    loss: Loss,
    params: Tree,
    rates: list[Tree],
    order: int = 1,
    optimizer: Optimizer | None = None,
) -> tuple[Tree, list[mx.array]]:
    """Take one gradient step for each tree of `rates`: a pure function, for an outer loop to differentiate.

    Args:
        loss: support loss of a trainable tree.
        params: where the steps start.
        rates: learning rates, one tree a step; they get gradients in either order.
        order: 2 differentiates through the inner gradients (MAML, Finn et al. 2017); 1 takes them as constants
            (FOMAML), 2.2 to 2.6 times cheaper.
        optimizer: None for SGD.

    Returns:
        The tree after the last step, and the loss before each step.

    Raises:
        AdaptationError: another order.
    """
    check_order(order)
    optimizer = optimizer or sgd()
    state, losses = optimizer.init(params), []
    for rate in rates:
        value, grads = mx.value_and_grad(loss)(params)
        if order == 1:
            grads = utils.tree_map(mx.stop_gradient, grads)
        params, state = optimizer.update(params, grads, rate, state)
        losses.append(value)
    return params, losses


def check_order(order: int) -> None:
    """Refuse an order that is neither 1 nor 2.

    Raises:
        AdaptationError: it is neither.
    """
    if order not in (1, 2):
        raise AdaptationError(f"order must be 1 (first order) or 2 (second order), got {order}")


def _at_step(rates: Tree, step: int) -> Tree:
    return utils.tree_map(lambda rate: rate[step] if rate.ndim else rate, rates)


def _spread(params: Tree, given: Any, path: str) -> Tree:
    """A tree of arrays in the form of `params`."""
    if not isinstance(given, Mapping):
        if not isinstance(given, mx.array):
            rates = np.asarray(given, np.float32)
            if not np.all(np.isfinite(rates) & (rates >= 0)):
                raise AdaptationError(f"{path}: {given} is not a learning rate; it must be finite and at least 0")
            given = mx.array(rates)
        return utils.tree_map(lambda _: given, params)
    if not isinstance(params, Mapping):
        raise AdaptationError(f"{path}: is a tree, expected a number or an array")
    # a branch without arrays needs no rates: files do not keep it
    strange, missing = given.keys() - params.keys(), {key for key in params.keys() - given.keys() if params[key] != {}}
    if strange or missing:
        what = f"unknown {sorted(strange)}" if strange else f"missing {sorted(missing)}"
        raise AdaptationError(f"{path}: {what}; expected {sorted(params)}")
    return {key: _spread(params[key], given.get(key, {}), f"{path}.{key}") for key in params}
