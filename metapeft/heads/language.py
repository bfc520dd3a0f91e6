"""The head of a causal language model, as a head of episodes: what it tells apart are the tokens of the vocabulary."""

from __future__ import annotations

from metapeft.backbones.decoder import Decoder
from metapeft.heads.head import Head, Meta, Params
from metapeft.mlx import mx


def language_head(network: Decoder) -> Head:
    """Logits ``(u, vocab_size)`` of states ``(u, d)``, by the frozen head of `network`.

    Nothing is made from a support set and no gradient step moves it, so its params are empty: what a task has of its
    own is in the adapter alone, and an exported adapter is all of it.
    """
    return Head("language", dict, _init, lambda params, features: network.vocabulary_logits(features), params=())


def _init(
    features: mx.array,
    labels: mx.array,
    ways: int,
    meta: Meta | None = None,
    label_features: mx.array | None = None,
) -> Params:
    if label_features is not None:
        raise ValueError("tasks of kind generation have no classes with names")
    return {}
