"""A head for words: types of entities are prototypes, what is outside of them is what lies near a word outside.

Words outside have little in common: their mean is near everything, and whoever compares words with it finds mentions
everywhere or nowhere. So a word is as far outside as the nearest support word outside is, as in nearest-neighbour
tagging (NNShot: Yang & Katiyar, "Simple and effective few-shot named entity recognition with structured nearest
neighbor learning", 2020), and as much of a type as the type's mean is near, as in prototypical networks (Snell et al.,
2017; for words Fritzler et al., "Few-shot classification in named entity recognition task", 2019).
"""

from __future__ import annotations

from metapeft.heads.head import Head, Meta, Params, inverse_length, one_hot, unit
from metapeft.heads.logistic import logistic_head
from metapeft.mlx import mx

TEMPERATURE = 40.0
ITERATIONS = 10  # of a regression over words: they say of nearly all words what many more do, F1 is alike
SHARE, FEW = 0.9, 15.0  # of the regression, see `regression_share`


def tagger_head() -> Head:
    """Class 0 is outside: ``logits = TEMPERATURE * cos``, to the prototype of a type or to the nearest word outside.

    Nothing is learned. A temperature that is learned with the loss of single words ends where it fits their shares, and
    decodes sentences worse (validation task, music, 5 shots: learned to 20.5, F1 is 14; 34 at 50).

    What is less like any word outside than nothing (cosine 0) is outside by 0; a type without a word is never near.

    Params: ``weight`` has a row for each support word, zero where it is of a type, then one for each type; ``bias`` is
    ``(ways,)``. A gradient step moves them all. A support word outside is its own nearest: the loss on the support set
    says little of it, and steps are worth less here than in classification.
    """
    return Head("tagger", dict, _init, _logits, _by_cosines)


def regression_share(labels: mx.array) -> mx.array:
    """How much the regression of `tagger_and_logistic_head` weighs, float32 ``(…)``: ``SHARE * m / (m + FEW)``.

    m is the number of words in mentions: of one or two mentions a regression learns that nearly all words are outside.
    (Chosen on validation tasks with one, two and five types, one to ten mentions of each.)

    Args:
        labels: of the support set, int32 ``(…, n)``; 0 is outside, what is below has no say.
    """
    mentioned = mx.sum(labels > 0, axis=-1).astype(mx.float32)
    return SHARE * mentioned / (mentioned + FEW)


def tagger_and_logistic_head() -> Head:
    """The logits of `tagger_head` and of `logistic_head`, each with its share: see `regression_share`.

    With few mentions prototypes find them better, with many a regression does, and where the two err they err apart:
    together they are better than either over most of the way between (docs/results.md, "Entities").

    Params: ``weight`` has the rows of both, prototypes first; ``bias`` is ``(ways,)``.
    """
    regression = logistic_head(ITERATIONS)

    def init(
        features: mx.array,
        labels: mx.array,
        ways: int,
        meta: Meta | None = None,
        label_features: mx.array | None = None,
    ) -> Params:
        share = regression_share(labels)
        parts = (
            ((1 - share), _init(features, labels, ways, None, label_features)),
            (share, regression.init(features, labels, ways, meta)),
        )
        weight, bias = (mx.concatenate([weighs * part[name] for weighs, part in parts]) for name in ("weight", "bias"))
        return {"weight": weight, "bias": bias[:ways] + bias[ways:]}

    def logits(params: Params, features: mx.array) -> mx.array:
        near = (features @ params["weight"].T) * inverse_length(features)
        ways = params["bias"].shape[0]
        return _nearest(near[:, :-ways], ways - 1) + near[:, -ways:] + params["bias"]

    return Head("tagger and logistic", regression.default_meta, init, logits)


def _init(
    features: mx.array,
    labels: mx.array,
    ways: int,
    meta: Meta | None = None,
    label_features: mx.array | None = None,
) -> Params:
    if label_features is not None:
        raise ValueError("the names of types are not read by the head of words")
    units, member = unit(features), one_hot(labels, ways)
    # a word of a type becomes a zero row, as near as nothing: which rows are outside must not change a shape
    means = member[:, 1:].T @ units
    weight = mx.concatenate([units * member[:, :1], unit(means)])
    return {"weight": TEMPERATURE * weight, "bias": mx.zeros(ways)}


def _logits(params: Params, features: mx.array) -> mx.array:
    near = (features @ params["weight"].T) * inverse_length(features)
    return _nearest(near, params["bias"].shape[0] - 1) + params["bias"]


def _nearest(near: mx.array, types: int) -> mx.array:
    """Cosines to words outside and to types ``(m, words + types)`` as those to classes ``(m, 1 + types)``."""
    others = near.shape[1] - types
    return mx.concatenate([mx.max(near[:, :others], axis=1, keepdims=True), near[:, others:]], axis=1)


def _by_cosines(near: mx.array, among: mx.array, labels: mx.array, ways: int) -> mx.array:
    def classify(kept: mx.array) -> mx.array:
        member = one_hot(kept, ways)
        types = member[:, 1:]
        length = mx.sqrt(mx.sum((among @ types) * types, axis=0) + 1e-12)  # of the sum of a type's words
        outside = mx.max(near * member[:, 0], axis=1, keepdims=True)
        return TEMPERATURE * mx.concatenate([outside, (near @ types) / length], axis=1)

    return mx.stack([classify(kept) for kept in labels])  # all at once are no faster, and stand in memory
