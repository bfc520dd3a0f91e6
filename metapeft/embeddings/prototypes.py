"""How the classes lie in the space of frozen features: their centre, how far apart they are, how wide each is."""

from __future__ import annotations

import numpy as np

from metapeft.embeddings.support import SupportSet

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
SCALARS = len(QUANTILES) + 7


def prototypes(support: SupportSet) -> np.ndarray:
    """Centre and spread of the classes, ``(3 d + SCALARS,)`` float64.

    Three unit vectors: the mean of the class prototypes, and the square roots of the variance between and within the
    classes, coordinate by coordinate (zero where there is none: within classes of one example). They are what a
    generated adapter gained from in our own study. Then numbers: least, quartiles, largest, mean and deviation of the
    cosine distances between prototypes; variance within the classes and between them, and the share of the former in
    both; and the logarithms of ways and of examples a class.

    Prototypes: Snell et al., "Prototypical networks for few-shot learning" (2017).
    """
    x = np.asarray(support.features, np.float64)
    means, within = class_moments(x, support.labels, support.ways)
    centre, between = means.mean(axis=0), means.var(axis=0)
    unit_means = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    distances = 1.0 - (unit_means @ unit_means.T)[np.triu_indices(support.ways, 1)]
    distances = distances if len(distances) else np.zeros(1)  # one way: nothing to be apart from
    inside, outside = within.sum(), between.sum()
    numbers = [
        *np.quantile(distances, QUANTILES),
        *(distances.mean(), distances.std()),
        *(inside, outside, inside / max(inside + outside, 1e-12)),
        *(np.log(support.ways), np.log(len(x) / support.ways)),
    ]
    return np.concatenate([_unit(centre), _unit(np.sqrt(between)), _unit(np.sqrt(within)), numbers])


def class_moments(x: np.ndarray, labels: np.ndarray, ways: int) -> tuple[np.ndarray, np.ndarray]:
    """Class means ``(ways, d)``, and the variance around them averaged over examples ``(d,)``."""
    member = (np.asarray(labels)[:, None] == np.arange(ways)).astype(np.float64)
    means = (member.T @ x) / np.maximum(member.sum(axis=0), 1.0)[:, None]
    return means, np.mean((x - means[np.asarray(labels)]) ** 2, axis=0)


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    # at one shot the variance within is a rounding error: a direction made of that says nothing
    return vector / length if length > 1e-6 else np.zeros_like(vector)
