"""Heads: classifiers on the features of a backbone, made from a support set."""

from metapeft.heads.head import Head, Meta, Params, accuracy, check_labels, cross_entropy
from metapeft.heads.language import language_head
from metapeft.heads.linear import linear_head
from metapeft.heads.logistic import logistic_head
from metapeft.heads.prototype import cosine_head, euclidean_head, prototypes
from metapeft.heads.ridge import ridge_head
from metapeft.heads.tagger import tagger_and_logistic_head, tagger_head

__all__ = [
    "Head",
    "Meta",
    "Params",
    "accuracy",
    "check_labels",
    "cosine_head",
    "cross_entropy",
    "euclidean_head",
    "language_head",
    "linear_head",
    "logistic_head",
    "prototypes",
    "ridge_head",
    "tagger_and_logistic_head",
    "tagger_head",
]
