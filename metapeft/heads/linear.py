"""A linear head that knows nothing of the support set: where baselines without meta-learning start."""

from __future__ import annotations

from metapeft.heads.head import Head, Meta, Params, linear_logits
from metapeft.mlx import mx

SPREAD = 0.02  # standard deviation of the weights: BERT's for its classifiers (Devlin et al., 2019)


def linear_head(key: mx.array | None = None) -> Head:
    """A linear layer from zero, or from small normal weights.

    Args:
        key: of `mx.random`, weights are drawn from N(0, `SPREAD`²) by it; None for zeros. The bias is always zero.
    """

    def init(
        features: mx.array,
        labels: mx.array,
        ways: int,
        meta: Meta | None = None,
        label_features: mx.array | None = None,
    ) -> Params:
        shape = (ways, features.shape[1])
        weight = mx.zeros(shape) if key is None else mx.random.normal(shape, scale=SPREAD, key=key)
        return {"weight": weight, "bias": mx.zeros(ways)}

    return Head("linear", dict, init, linear_logits)
