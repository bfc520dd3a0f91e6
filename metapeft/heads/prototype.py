"""Prototype heads: a class is the mean of its examples.

Snell et al., "Prototypical networks for few-shot learning" (2017); as a linear layer that gradient steps can start
from: Triantafillou et al., "Meta-Dataset" (2020), Proto-MAML.
"""

from __future__ import annotations

import math

from metapeft.heads.head import Head, Meta, Params, check_label_features, linear_logits, one_hot, unit, unit_logits
from metapeft.mlx import mx


def cosine_head() -> Head:
    """Prototypes compared by angle: ``logits = temperature * cos(feature, prototype)``.

    Examples are brought to length 1 before they are averaged, so that a long one does not outvote the others.
    Learned: temperature, from 10 (Gidaris & Komodakis, "Dynamic few-shot visual learning without forgetting", 2018),
    and name weight (see `prototypes`), from 1.

    Params: ``weight = temperature * prototype / |prototype|``, ``bias = 0``.
    """
    return Head("cosine", _cosine_meta, _cosine_init, unit_logits)


def euclidean_head() -> Head:
    """Prototypes compared by distance: ``logits = -temperature * |feature - prototype|² / d``, up to a constant.

    The squared distance is averaged over the coordinates, not summed, so that a temperature means the same whatever
    the width. Learned: temperature, from 5 (what the cosine head has, for features whose coordinates have mean square
    1), and name weight (see `prototypes`), from 1.

    Params: ``weight = 2 * temperature / d * prototype``, ``bias = -temperature / d * |prototype|²``, as Proto-MAML.
    What that leaves out, ``-temperature / d * |feature|²``, is the same for every class.
    """
    return Head("euclidean", _euclidean_meta, _euclidean_init, linear_logits)


def prototypes(
    features: mx.array,
    labels: mx.array,
    ways: int,
    label_features: mx.array | None = None,
    name_weight: mx.array | float = 1.0,
) -> mx.array:
    """Mean of each class's examples, with its name as so many further ones.

    The name has its say where examples are few and loses it as they grow: the posterior mean under a Gaussian prior
    around the name. Without examples the prototype is the name (Snell et al., 2017, 0-shot). Xing et al., "Adaptive
    cross-modal few-shot learning" (2019) learn a mixture of the two that does not depend on their number.

    Args:
        features: ``(n, d)``.
        labels: int32 ``(n,)``.
        ways: number of classes.
        label_features: features of the classes' names ``(ways, d)``, or None.
        name_weight: how many examples a name is worth, a positive scalar.

    Returns:
        ``(ways, d)``. A class with neither examples nor a name gets NaN, which no loss hides (see `check_labels`).

    Raises:
        ValueError: `label_features` have another shape.
    """
    member = one_hot(labels, ways)
    total, count = member.T @ features, mx.sum(member, axis=0)[:, None]
    if label_features is not None:
        check_label_features(label_features, features, ways)
        total, count = total + name_weight * label_features, count + name_weight
    return total / count


def _cosine_meta() -> Meta:
    return {"log_temperature": mx.array(math.log(10.0)), "log_name_weight": mx.array(0.0)}


def _cosine_init(
    features: mx.array,
    labels: mx.array,
    ways: int,
    meta: Meta | None = None,
    label_features: mx.array | None = None,
) -> Params:
    meta = _cosine_meta() if meta is None else meta
    names = None if label_features is None else unit(label_features)
    means = prototypes(unit(features), labels, ways, names, mx.exp(meta["log_name_weight"]))
    return {"weight": mx.exp(meta["log_temperature"]) * unit(means), "bias": mx.zeros(ways)}


def _euclidean_meta() -> Meta:
    return {"log_temperature": mx.array(math.log(5.0)), "log_name_weight": mx.array(0.0)}


def _euclidean_init(
    features: mx.array,
    labels: mx.array,
    ways: int,
    meta: Meta | None = None,
    label_features: mx.array | None = None,
) -> Params:
    meta = _euclidean_meta() if meta is None else meta
    means = prototypes(features, labels, ways, label_features, mx.exp(meta["log_name_weight"]))
    scale = mx.exp(meta["log_temperature"]) / features.shape[1]
    return {"weight": 2.0 * scale * means, "bias": -scale * mx.sum(means * means, axis=1)}
