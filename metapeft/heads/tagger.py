"""A head for words: types of entities are prototypes, what is outside of them is what lies near a word outside.

Words outside have little in common: their mean is near everything, and whoever compares words with it finds mentions
everywhere or nowhere. So a word is as far outside as the nearest support word outside is, as in nearest-neighbour
tagging (NNShot: Yang & Katiyar, "Simple and effective few-shot named entity recognition with structured nearest
neighbor learning", 2020), and as much of a type as the type's mean is near, as in prototypical networks (Snell et al.,
2017; for words Fritzler et al., "Few-shot classification in named entity recognition task", 2019).
"""

from __future__ import annotations

import math

import numpy as np

from metapeft.heads.head import Head, Meta, Params, inverse_length, one_hot, unit
from metapeft.mlx import mx


def tagger_head() -> Head:
    """Class 0 is outside: ``logits = temperature * cos``, to the prototype of a type or to the nearest word outside.

    Learned: temperature, from 30, and how much nearer a word outside must be to win, from 0.

    Params: ``weight`` has a row for each support word outside, then one for each type; ``bias`` is ``(ways,)``. A
    gradient step moves them all. A support word outside is its own nearest: the loss on the support set says little of
    it, and steps are worth less here than in classification.
    """
    return Head("tagger", _meta, _init, _logits)


def _meta() -> Meta:
    return {"log_temperature": mx.array(math.log(30.0)), "outside": mx.array(0.0)}


def _init(
    features: mx.array,
    labels: mx.array,
    ways: int,
    meta: Meta | None = None,
    label_features: mx.array | None = None,
) -> Params:
    if label_features is not None:
        raise ValueError("the names of types are not read by the head of words")
    meta = _meta() if meta is None else meta
    units = unit(features)
    outside = np.flatnonzero(np.array(labels) == 0)
    member = one_hot(labels, ways)[:, 1:]
    means = (member.T @ units) / mx.sum(member, axis=0)[:, None]
    temperature = mx.exp(meta["log_temperature"])
    rows = mx.concatenate([mx.take(units, mx.array(outside), axis=0), unit(means)])
    return {
        "weight": temperature * rows,
        "bias": mx.concatenate([-temperature * meta["outside"][None], mx.zeros(ways - 1)]),
    }


def _logits(params: Params, features: mx.array) -> mx.array:
    types = params["bias"].shape[0] - 1
    near = (features @ params["weight"].T) * inverse_length(features)
    others = near.shape[1] - types
    # where every support word is of a type, what is like none of them is outside
    outside = mx.max(near[:, :others], axis=1, keepdims=True) if others else mx.zeros((len(near), 1))
    return mx.concatenate([outside, near[:, others:]], axis=1) + params["bias"]
