"""Statistics of the data, as `tasks.features` defines them, of the support rows alone."""

from __future__ import annotations

import numpy as np

from metapeft.embeddings.support import SupportSet
from metapeft.tasks.features import feature_vector, task_features
from metapeft.tasks.pool import Pool, Ragged


def handcrafted(support: SupportSet) -> np.ndarray:
    """Sizes, balance, moments, lengths, vocabulary and domain, ``(VECTOR_DIMS,)`` float64: see `tasks.features`."""
    labels = np.asarray(support.labels, np.int32)
    if support.lengths is None:
        pool = Pool("points", np.asarray(support.x, np.float32), labels)
    else:
        lengths = np.asarray(support.lengths, np.int64)
        inside = np.arange(support.x.shape[1]) < lengths[:, None]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        x = Ragged(np.asarray(support.x)[inside], offsets)
        if support.sentences is None:
            pool = Pool("classification", x, labels)
        else:
            ends = np.concatenate([[0], np.cumsum(support.sentences.lengths)])
            pool = Pool("tagging", x, Ragged(labels, ends))
    return feature_vector(task_features(pool, support.domain, support.language))
