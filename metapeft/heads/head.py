"""What every head is: a linear classifier made from a support set, ready for gradient steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from metapeft.errors import EpisodeError
from metapeft.mlx import mx

# {"weight": (ways, d), "bias": (ways,)}: what gradient steps change within an episode; empty for `language_head`
Params = dict[str, mx.array]
Meta = dict[str, mx.array]  # logarithms of positive scalars, so that every value is valid: what meta-training learns


class Init(Protocol):
    """Makes a classifier from a support set."""

    def __call__(
        self,
        features: mx.array,
        labels: mx.array,
        ways: int,
        meta: Meta | None = None,
        label_features: mx.array | None = None,
    ) -> Params:
        """Make a classifier, differentiable to second order in every argument but the labels.

        A compiled function cannot look at labels, so this does not: call `check_labels` before.

        Args:
            features: of the support set, float32 ``(n, d)``.
            labels: int32 ``(n,)`` in ``[0, ways)``.
            ways: number of classes.
            meta: what `Head.default_meta` gives, or its learned successor; None for the former.
            label_features: features of the classes' names, float32 ``(ways, d)``. With them n may be 0 (0-shot).

        Returns:
            ``{"weight": (ways, d), "bias": (ways,)}``, float32.

        Raises:
            ValueError: `label_features` have another shape.
        """
        ...


class Head(NamedTuple):
    """A classifier on features, as pure functions.

    Every head has the same params, however it made them, so one inner loop serves all. For prototypes that is
    Proto-MAML (Triantafillou et al., "Meta-Dataset", 2020).

    Attributes:
        name: what to call it in tables.
        default_meta: ``() -> meta``, the meta-learned scalars at their start; empty where nothing is learned.
        init: ``(features, labels, ways, meta=None, label_features=None) -> params``, see `Init`.
        logits: ``(params, features (m, d)) -> (m, ways)``.
        by_cosines: ``(near (m, n), among (n, n), labels (folds, n), ways) -> (folds, m, ways)``: what `logits` of
            `init` gives for features of length 1, from their cosines to the support set and those within it. A mix of
            features is a mix of cosines, so many mixes cost little more than one. None where a head needs the features.
        in_folds: as `init`, of labels ``(folds, n)``, params ``(folds, …)``; None where folds share no work.
        params: names of what gradient steps move.
    """

    name: str
    default_meta: Callable[[], Meta]
    init: Init
    logits: Callable[[Params, mx.array], mx.array]
    by_cosines: Callable[[mx.array, mx.array, mx.array, int], mx.array] | None = None
    in_folds: Init | None = None
    params: tuple[str, ...] = ("weight", "bias")


def check_labels(labels: Any, ways: int, *, named: bool = False) -> None:
    """Refuse labels that no head can be made from.

    Args:
        labels: of the support set, integers ``(n,)``; numpy or MLX.
        ways: number of classes.
        named: whether the classes' names stand in for missing examples.

    Raises:
        EpisodeError: a label is not in ``[0, ways)``, or a class has neither an example nor a name.
    """
    check_known(labels, ways, "support")
    empty = np.setdiff1d(np.arange(ways), np.asarray(labels))
    if len(empty) and not named:
        raise EpisodeError(
            f"classes {empty.tolist()} of {ways} have no example in the support set\n"
            "  give at least one example of each class, or the names of the classes"
        )


def check_known(labels: Any, ways: int, side: str) -> None:
    """Refuse labels ``(n,)`` outside the classes: MLX would read beyond a row of logits, without a word.

    Raises:
        EpisodeError: a label is not in ``[0, ways)``; it names the `side` of the episode.
    """
    strangers = np.setdiff1d(np.asarray(labels), np.arange(ways))
    if len(strangers):
        raise EpisodeError(f"{side} labels {strangers.tolist()} are none of the {ways} classes 0 to {ways - 1}")


def check_label_features(label_features: mx.array, features: mx.array, ways: int) -> None:
    """Refuse features of names that are not ``(ways, d)`` and would broadcast, silently.

    Raises:
        ValueError: they are not.
    """
    if label_features.shape != (ways, features.shape[1]):
        raise ValueError(f"label_features are {label_features.shape}, expected {(ways, features.shape[1])}")


def one_hot(labels: mx.array, ways: int) -> mx.array:
    """Labels ``(…)`` as float32 ``(…, ways)``, to sum by matrix products: scatter is slow and dear to derive."""
    return (labels[..., None] == mx.arange(ways)).astype(mx.float32)


def inverse_length(features: mx.array) -> mx.array:
    """1 / length of each of the features ``(n, d)``, as ``(n, 1)``; large but finite for a zero vector."""
    return mx.rsqrt(mx.sum(features * features, axis=-1, keepdims=True) + 1e-12)


def unit(features: mx.array) -> mx.array:
    """Features ``(n, d)`` brought to length 1; a zero vector stays zero, with finite derivatives."""
    return features * inverse_length(features)


def weighted(
    features: mx.array, labels: mx.array, ways: int, log_name_weight: mx.array, label_features: mx.array | None
) -> tuple[mx.array, mx.array, mx.array]:
    """What a regression is fitted on: examples, and after them the classes' names where there are any.

    Args:
        features: ``(n, d)``.
        labels: int32 ``(…, n)``; what is none of the classes has no say.
        ways: number of classes.
        log_name_weight: logarithm of how many examples a name is worth.
        label_features: features of the classes' names ``(ways, d)``, or None.

    Returns:
        Rows of length 1 ``(m, d)``, their one-hot labels ``(…, m, ways)`` and weights ``(…, m, 1)``.

    Raises:
        ValueError: `label_features` have another shape.
    """
    x, y = unit(features), one_hot(labels, ways)
    share = mx.sum(y, axis=-1, keepdims=True)  # 0 where the label is no class
    if label_features is not None:
        check_label_features(label_features, features, ways)
        folds = y.shape[:-2]
        x = mx.concatenate([x, unit(label_features)])
        y = mx.concatenate([y, mx.broadcast_to(mx.eye(ways), (*folds, ways, ways))], axis=-2)
        share = mx.concatenate([share, mx.broadcast_to(mx.exp(log_name_weight), (*folds, ways, 1))], axis=-2)
    return x, y, share


def linear_logits(params: Params, features: mx.array) -> mx.array:
    """Logits ``(m, ways)`` of features ``(m, d)``."""
    return mx.addmm(params["bias"], features, params["weight"].T)


def unit_logits(params: Params, features: mx.array) -> mx.array:
    """Logits ``(m, ways)`` of features ``(m, d)``, which are brought to length 1 first."""
    # Scaling the products touches (m, ways) numbers where scaling the features would touch (m, d).
    return (features @ params["weight"].T) * inverse_length(features) + params["bias"]


def cross_entropy(logits: mx.array, labels: mx.array, label_smoothing: float = 0.0) -> mx.array:
    """Mean cross-entropy, a scalar of the logits' dtype, differentiable to second order.

    `mlx.nn.losses.cross_entropy` gathers, or on a GPU runs a fused kernel; this takes sums.

    Args:
        logits: float32 ``(m, ways)``.
        labels: int32 ``(m,)``.
        label_smoothing: in ``[0, 1]``, the share of the target that is spread evenly over the classes
            (Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016).
    """
    ways = logits.shape[-1]
    targets = one_hot(labels, ways)
    if label_smoothing:
        targets = (1.0 - label_smoothing) * targets + label_smoothing / ways
    return mx.mean(mx.logsumexp(logits, axis=-1) - mx.sum(targets * logits, axis=-1))


def accuracy(logits: mx.array, labels: mx.array) -> mx.array:
    """Share of examples whose label has the highest logit, a float32 scalar without a gradient."""
    return mx.mean((mx.argmax(logits, axis=-1) == labels).astype(mx.float32))
