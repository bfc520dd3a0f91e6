"""Whether a word is in a mention at all, of whatever type: learned on training tasks, added to what a support set says.

A few sentences tell types apart better than they tell where a mention is, and what a mention looks like carries over
between domains: so one logistic regression says, on features with the learned base, how much likelier a word is to be
in a mention than any word is. Mentions detected apart from their types: Ma et al., "Decomposed meta-learning for
few-shot named entity recognition" (2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metapeft.heads.head import Params
from metapeft.heads.logistic import logistic_head
from metapeft.meta.states import PoolStates, beside
from metapeft.mlx import mx
from metapeft.tasks.tags import OUTSIDE, class_of, word_tags
from metapeft.tasks.task import Task

STRENGTH = 1.0  # inverse strength of the penalty; validation tasks (music, tweets): 0.01 to 300 tried


class Detector(NamedTuple):
    """A linear map of features to log-odds, less those of any word.

    Attributes:
        weight: float32 ``(2 d,)``, for features as `beside` gives them with the learned base at the mix of training.
        bias: float32 scalar.
    """

    weight: mx.array
    bias: mx.array

    def log_odds(self, features: mx.array) -> mx.array:
        """How much likelier words ``(m, 2 d)`` are to be in a mention than any word is, in nats, ``(m,)``."""
        return features @ self.weight + self.bias


def fit_detector(features: mx.array, inside: np.ndarray) -> Detector:
    """Fit a detector.

    Args:
        features: of words, float32 ``(n, 2 d)``, unit length.
        inside: bool ``(n,)``, whether a word is in a mention; both must be there.

    Raises:
        ValueError: all words are in a mention, or none is.
    """
    share = float(np.mean(inside))
    if not 0 < share < 1:
        raise ValueError("a detector needs words in mentions and words outside")
    head = logistic_head()
    meta = head.default_meta() | {"log_strength": mx.array(math.log(STRENGTH))}
    params = head.init(features, mx.array(np.asarray(inside, np.int32)), 2, meta)
    outside, within = params["weight"]
    odds = params["bias"][1] - params["bias"][0]
    found = Detector(within - outside, odds - math.log(share / (1 - share)))
    mx.eval(found)
    return found


def detector_of_tasks(frozen: PoolStates, based: PoolStates, mix: float, tasks: Sequence[Task]) -> Detector | None:
    """The detector of the support pools of tagging tasks; None where their words are all in mentions, or none is.

    Args:
        frozen: frozen features.
        based: features with the learned base.
        mix: of training.
        tasks: those of meta-training.
    """
    features, inside = [], []
    for task in tasks:
        rows = np.arange(len(task.support))
        still, moved = (mx.array(states.features(task, "support", rows)) for states in (frozen, based))
        features.append(beside(still, moved, mix))
        mx.eval(features[-1])
        tags, _ = word_tags(task.support, frozen.max_tokens)
        inside.append(class_of(tags) != OUTSIDE)
    words = np.concatenate(inside)
    return None if words.all() or not words.any() else fit_detector(mx.concatenate(features), words)


def with_detector(params: Params, detector: Detector, weight: float) -> Params:
    """A classifier of words that adds `weight` times the detector's log-odds to the logits of all types.

    Args:
        params: of `tagger_head` or a regression: the last rows of ``weight`` are those of the types.
        detector: for the same features.
        weight: factor.
    """
    rows, ways = params["weight"].shape[0], params["bias"].shape[0]
    typed = (mx.arange(rows) > rows - ways).astype(mx.float32)[:, None]
    return params | {
        "weight": params["weight"] + weight * typed * detector.weight,
        "bias": params["bias"] + weight * detector.bias * (mx.arange(ways) > 0),
    }


def detected(logits: mx.array, log_odds: mx.array, weight: float) -> mx.array:
    """Logits ``(…, m, ways)`` as `with_detector` makes them, from those without."""
    typed = mx.arange(logits.shape[-1]) > 0
    return logits + weight * log_odds[:, None] * typed
