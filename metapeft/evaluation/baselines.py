"""What one does without meta-learning, on the episodes that a checkpoint is read on.

- ``head only``: logistic regression on frozen features
- ``nearest neighbour``: the class of the support example with the highest cosine, on frozen features
- ``tf-idf``: logistic regression on TF-IDF of token ids, single and in pairs; no network at all
- ``fine-tune, n steps``: a random adapter and a random linear head after Adam steps, few or many; LoRA as it is used
  (Hu et al., "LoRA", 2021)
- ``mean adapter, mix m``: the generated adapters of the training episodes averaged, one adapter for every task

Multi-task LoRA and transfer from one task are checkpoints of their own: `metapeft.train method=multitask` and
`metapeft.train method=multitask training=[TASK]`. `metapeft.evaluate` reads them as ``static``;
`scripts/benchmark_heldout.py rivals=[multitask,single]` trains them and puts them beside.

Their hyperparameters are chosen on validation tasks, see `tuned`: C of both regressions, and Adam's learning rate of a
random start at each number of steps. The numbers of steps are fixed.

scikit-learn is in the extra `eval` and is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from metapeft.adapters.hypernetwork import Hypernetwork, Tree
from metapeft.adapters.lora import LoraConfig
from metapeft.backbones.backbone import Adapter
from metapeft.episodes.episode import Episode
from metapeft.errors import MetapeftError
from metapeft.heads.head import accuracy, one_hot
from metapeft.meta.inner_loop import Learner
from metapeft.meta.methods import Item
from metapeft.meta.readings import random_after
from metapeft.mlx import mx, utils

FINE_TUNE = {"fine-tune, 10 steps": 10, "fine-tune, 50 steps": 50}
MEAN = "mean adapter"
RANDOM = "random"
# Values that are tried; the first of each stands where nothing is chosen, and wins a tie.
C = (1.0, 0.1, 10.0)  # inverse strength of a regression's penalty; scikit-learn's default is 1
RATES = (0.01, 0.003, 0.03)  # of Adam
TRIED = dict.fromkeys(("head only", "tf-idf"), C) | dict.fromkeys((RANDOM, *FINE_TUNE), RATES)
UNTUNED: Mapping[str, float] = {name: values[0] for name, values in TRIED.items()}
MOST_ITERATIONS = 1000  # of L-BFGS; the default of 100 can end early


def scikit_learn() -> tuple[Any, Any]:
    """The classes `LogisticRegression` and `TfidfVectorizer`.

    Raises:
        MetapeftError: scikit-learn is not installed.
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise MetapeftError(
            'baselines=true needs scikit-learn, which is in the extra `eval`\n  pip install "metapeft[eval]"'
        ) from None
    return LogisticRegression, TfidfVectorizer


def head_only(support: np.ndarray, labels: np.ndarray, query: np.ndarray, c: float = C[0]) -> np.ndarray:
    """Classes of query examples by logistic regression.

    Args:
        support: features, unit length, float ``(n, d)``.
        labels: integers ``(n,)``, of at least two classes.
        query: features, float ``(m, d)``.
        c: inverse strength of the penalty.

    Returns:
        Integers ``(m,)``.

    Raises:
        MetapeftError: scikit-learn is not installed.
        ValueError: all labels are of one class.

    References:
        Tian et al., "Rethinking few-shot image classification: a good embedding is all you need?" (2020).
    """
    regression, _ = scikit_learn()
    return regression(C=c, max_iter=MOST_ITERATIONS).fit(support, labels).predict(query)


def nearest_neighbour(support: np.ndarray, labels: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Classes of query examples: that of the support example with the highest cosine, the first of equals.

    Args:
        support: features, float ``(n, d)``, none of them zero.
        labels: integers ``(n,)``.
        query: features, float ``(m, d)``.

    Returns:
        Integers ``(m,)``.

    References:
        Cover & Hart, "Nearest neighbor pattern classification" (1967).
    """
    # the length of a query example changes all its cosines alike
    cosines = query @ (support / np.linalg.norm(support, axis=1, keepdims=True)).T
    return labels[cosines.argmax(axis=1)]


def tf_idf(
    support: Sequence[np.ndarray], labels: np.ndarray, query: Sequence[np.ndarray], c: float = C[0]
) -> np.ndarray:
    """Classes of query texts by logistic regression on TF-IDF; words and their weights are of the support set alone.

    Args:
        support: token ids of n texts, integers ``(length,)`` each, without padding.
        labels: integers ``(n,)``, of at least two classes.
        query: token ids of m texts.
        c: inverse strength of the penalty.

    Returns:
        Integers ``(m,)``.

    Raises:
        MetapeftError: scikit-learn is not installed.
        ValueError: all labels are of one class, or no support text has a token.

    References:
        Salton & Buckley, "Term-weighting approaches in automatic text retrieval" (1988); pairs of words: Wang &
        Manning, "Baselines and bigrams" (2012).
    """
    regression, vectorizer = scikit_learn()
    known, asked = ([" ".join(map(str, text)) for text in texts] for texts in (support, query))
    weights = vectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
    fitted = regression(C=c, max_iter=MOST_ITERATIONS).fit(weights.fit_transform(known), labels)
    return fitted.predict(weights.transform(asked))


def mean_adapter(hypernetwork: Hypernetwork, generator: Tree, base: Adapter, library: np.ndarray) -> Adapter:
    """The generated adapters of all embeddings, averaged factor by factor.

    Args:
        hypernetwork: the shape.
        generator: its parameters.
        base: A₀ and B₀.
        library: embeddings of training episodes, float32 ``(m, dims)``, m at least 1.

    Returns:
        An adapter of the base's form.

    References:
        Adapters averaged as weights: Chronopoulou et al., "AdapterSoup" (2023).
    """
    total: Any = utils.tree_map(mx.zeros_like, base)
    for embedding in library:
        generated = hypernetwork.adapter(generator, base, mx.array(embedding))
        total = utils.tree_map(lambda a, b: a + b, total, generated)
        mx.eval(total)  # or the graph of all of them would stand in memory
    return utils.tree_map(lambda leaf: leaf / len(library), total)


def without_steps(item: Item, episode: Episode, chosen: Mapping[str, float] = UNTUNED) -> dict[str, float]:
    """Query accuracy of ``head only``, ``nearest neighbour`` and, where the task has texts, ``tf-idf``.

    Words have none of these: see `tagging_baselines`.

    Args:
        item: the episode with frozen features.
        episode: the same with token ids, as numpy arrays.
        chosen: C by method.

    Raises:
        MetapeftError: scikit-learn is not installed.
    """
    if item.support.sentences is not None:
        return {}
    support, query = (np.array(side.hidden.frozen) for side in (item.support, item.query))
    labels = np.asarray(episode.support_y)
    said = {
        "head only": head_only(support, labels, query, chosen["head only"]),
        "nearest neighbour": nearest_neighbour(support, labels, query),
    }
    if episode.support_lengths is not None:
        known = _texts(episode.support_x, episode.support_lengths)
        said["tf-idf"] = tf_idf(known, labels, _texts(episode.query_x, episode.query_lengths), chosen["tf-idf"])
    # by the function of all other methods: equal answers give equal accuracies, to the last bit
    return {
        name: float(accuracy(one_hot(mx.array(classes), item.ways), item.query.labels))
        for name, classes in said.items()
    }


def from_random(
    learner: Learner,
    lora: LoraConfig,
    item: Item,
    number: int,
    steps: Mapping[str, int],
    chosen: Mapping[str, float] = UNTUNED,
) -> dict[str, float]:
    """Query accuracy from a random start, by method.

    Args:
        learner: says backbone, scale and depth.
        lora: which maps are adapted.
        item: the episode.
        number: of the episode.
        steps: Adam steps by method; methods of one rate are read off one curve.
        chosen: learning rate by method.
    """
    right = {}
    for rate, own in _by_rate(steps, chosen).items():
        found = random_after(learner, lora, item, set(own.values()), number, rate)
        right |= {name: found[count] for name, count in own.items()}
    return right


def steps_from_random(steps: Mapping[str, int], chosen: Mapping[str, float] = UNTUNED) -> int:
    """How many gradient steps `from_random` takes."""
    return sum(max(own.values()) for own in _by_rate(steps, chosen).values())


def _by_rate(steps: Mapping[str, int], chosen: Mapping[str, float]) -> dict[float, dict[str, int]]:
    rates = dict.fromkeys(chosen[name] for name in steps)
    return {rate: {name: count for name, count in steps.items() if chosen[name] == rate} for rate in rates}


def tuned(
    episodes: Iterable[tuple[Item, Episode]], learner: Learner, lora: LoraConfig, random_steps: int
) -> list[dict[str, Any]]:
    """Choose hyperparameters: of the values in `TRIED` those with the highest mean query accuracy.

    Args:
        episodes: of validation tasks; never of those to test on.
        learner: says backbone, scale and depth.
        lora: which maps are adapted.
        random_steps: Adam steps of ``random``.

    Returns:
        A line a method: ``method``, ``parameter`` (C or learning rate), ``chosen`` and ``tried``, pairs of value and
        accuracy. TF-IDF is not there where no episode has texts.

    Raises:
        MetapeftError: scikit-learn is not installed.
    """
    steps = {RANDOM: random_steps} | FINE_TUNE
    right: dict[str, dict[float, list[float]]] = {name: {} for name in TRIED}
    for item, episode in episodes:
        read = [(c, without_steps(item, episode, dict.fromkeys(TRIED, c))) for c in C]
        read += [
            (rate, from_random(learner, lora, item, episode.index, steps, dict.fromkeys(TRIED, rate))) for rate in RATES
        ]
        for value, said in read:
            for name in TRIED.keys() & said.keys():
                right[name].setdefault(value, []).append(said[name])
    lines = []
    for name, found in right.items():
        means = {value: float(np.mean(each)) for value, each in found.items()}
        if means:
            best = max(means, key=means.__getitem__)  # the first of equals
            parameter = "learning rate" if name in steps else "C"
            lines.append({"method": name, "parameter": parameter, "chosen": best, "tried": list(means.items())})
    return lines


def _texts(x: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Rows ``(n, length)`` without their padding."""
    return [row[:length] for row, length in zip(x, lengths, strict=True)]
