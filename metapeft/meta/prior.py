"""What is known of candidates before a support set is looked at: their gains on meta-validation tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metapeft.errors import AdaptationError
from metapeft.meta.inner_loop import Examples
from metapeft.tasks.tags import mentions_of_tags

WEIGHTS = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)  # examples that a prior may be worth

Line = tuple[float, float]  # intercept and slope


class Prior(NamedTuple):
    """Expected gain over the frozen prototype: ``intercept + slope * (similarity - centre)``, by candidate's name.

    What is better with few examples is not what is better with many, so there is a line for each size of support set
    that was validated. Between two sizes gains change in a straight line with the logarithm of the size.

    Attributes:
        centre: mean similarity of the meta-validation episodes.
        sizes: ``(size, {name: (intercept, slope)})``, ascending; see `size_of`.
        weight: how many examples left out the prior is worth beside those of cross-validation.
    """

    centre: float
    sizes: tuple[tuple[float, dict[str, Line]], ...]
    weight: float = 10.0

    def gain(self, name: str, similarity: float, size: float) -> float:
        """Expected gain of a candidate on support sets of a size; none for one without a record."""
        known = [(math.log(at), *lines[name]) for at, lines in self.sizes if name in lines]
        if not known:
            return 0.0
        logs, intercepts, slopes = zip(*known, strict=True)
        intercept, slope = (float(np.interp(math.log(size), logs, each)) for each in (intercepts, slopes))
        return intercept + slope * (similarity - self.centre)


class Record(NamedTuple):
    """What candidates did in an episode of a meta-validation task; those that could not be read are not there.

    Attributes:
        task: its task.
        similarity: to the nearest training task.
        shots: that were asked for: those with as many have a line together.
        size: of the support set, see `size_of`.
        examples: support examples that were left out in turn; 0: there was nothing to cross-validate.
        gains: query accuracy above the frozen prototype's, by candidate's name.
        validated: the same of the examples left out; not looked at without any.
    """

    task: str
    similarity: float
    shots: int
    size: float
    examples: int
    gains: dict[str, float]
    validated: dict[str, float]


def fit_prior(records: Sequence[Record], ridge: float = 0.1) -> Prior:
    """Fit the prior on episodes of meta-validation tasks.

    The weight is the one of `WEIGHTS` with which prior and cross-validation together come nearest to the gains on
    query sets, over all candidates (empirical Bayes: Robbins, 1956). In that the prior of a task's episodes is fitted
    on the other tasks: what is new to it is what it will be asked about. One task alone cannot say how far its gains
    carry; there the weight stays what it is by default.

    Args:
        records: of the episodes.
        ridge: added to the variance of the similarity: few tasks give no steep slope.

    Raises:
        AdaptationError: there are no episodes.
    """
    if not records:
        raise AdaptationError("a prior needs episodes of meta-validation tasks")
    centre = float(np.mean([record.similarity for record in records]))
    prior = Prior(centre, _sizes(records, centre, ridge))
    validated = [record for record in records if record.examples]
    tasks = list(dict.fromkeys(record.task for record in validated))
    if len(tasks) < 2:
        return prior
    errors = np.zeros(len(WEIGHTS))
    for task in tasks:
        others = Prior(centre, _sizes([record for record in records if record.task != task], centre, ridge))
        known = {name for _, lines in others.sizes for name in lines}
        for record in (record for record in validated if record.task == task):
            names = [name for name in record.validated if name in known]
            expected = np.array([others.gain(name, record.similarity, record.size) for name in names])
            seen, truth = (np.array([each[name] for name in names]) for each in (record.validated, record.gains))
            for number, weight in enumerate(WEIGHTS):
                said = (record.examples * seen + weight * expected) / (record.examples + weight)
                errors[number] += np.sum((truth - said) ** 2)
    return prior._replace(weight=WEIGHTS[int(np.argmin(errors))])


def size_of(support: Examples, ways: int) -> float:
    """The size of a support set: examples a class, or mentions a type where words are tagged.

    Args:
        support: its examples.
        ways: number of classes; of words outside is one.
    """
    if support.sentences is None:
        return support.labels.shape[0] / ways
    lengths, tags = support.sentences
    return len(mentions_of_tags(tags, lengths).start) / (ways - 1)


def _sizes(records: Sequence[Record], centre: float, ridge: float) -> tuple[tuple[float, dict[str, Line]], ...]:
    groups = [[record for record in records if record.shots == shots] for shots in {each.shots for each in records}]
    sized = [(float(np.mean([record.size for record in own])), _lines(own, centre, ridge)) for own in groups]
    return tuple(sorted(sized, key=lambda each: each[0]))


def _lines(records: Sequence[Record], centre: float, ridge: float) -> dict[str, Line]:
    lines = {}
    for name in dict.fromkeys(name for record in records for name in record.gains):
        own = [record for record in records if name in record.gains]
        offset = np.array([record.similarity for record in own]) - centre
        gain = np.array([record.gains[name] for record in own])
        slope = float(np.mean(offset * (gain - gain.mean())) / (np.mean(offset**2) + ridge**2))
        lines[name] = (float(np.mean(gain)) - slope * float(np.mean(offset)), slope)
    return lines
