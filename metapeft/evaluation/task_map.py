"""Where tasks lie in the task embedding: in two dimensions, and whether families lie together.

A task map is a plain dict::

    {"tasks": [{"task": str, "family": str, "part": "training" | "validation" | "test", "place": [x, y] or None,
                "nearest": {"task": str, "cosine": float} or None}],     # the training task most like it
     "perplexity": float or None,                                        # of the places; None where there are none
     "clustering": [{"scope": str} | what `cluster_quality` says]}       # empty where it cannot be said

scikit-learn is in the extra `eval`; without it there are no places, and all else is there.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metapeft.embeddings.similarity import cluster_quality, nearest
from metapeft.embeddings.support import EmbeddingError
from metapeft.evaluation.bench import Opened, Sizes, sampler
from metapeft.meta.outer_loop import item_of
from metapeft.meta.stream import limited
from metapeft.tasks.task import Task

TRAINING, UNSEEN = "training", ("validation", "test")
SEED = 70_000  # apart from the seeds of training, validation, prior and test episodes
EPISODES, SHOTS, ROWS = 5, 5, 320  # of each task; few rows, for their features are computed for this alone
FEWEST = 4  # tasks of a map


def task_map(
    opened: Opened, parts: Mapping[str, Sequence[Task]], families: Mapping[str, str], ways: int
) -> dict[str, Any] | None:
    """The map of a checkpoint's training tasks and of tasks that its embedder has not seen.

    Args:
        opened: the checkpoint.
        parts: tasks of ``validation`` and ``test``; embedded here. Embeddings of training tasks are the checkpoint's.
        families: family by task; training tasks that are not in it are left out.
        ways: most classes of an episode.

    Returns:
        See above; None where the checkpoint has no embedder.
    """
    if opened.checkpoint.embedder is None:
        return None
    library, names = opened.checkpoint.library, opened.facts["library"]
    points: dict[str, np.ndarray] = {
        name: library[[own == name for own in names]] for name in dict.fromkeys(names) if name in families
    }
    part_of = dict.fromkeys(points, TRAINING)
    for part in UNSEEN:
        for task in parts[part]:
            name = task.config.task_id
            points[name], part_of[name] = embedded(opened, task, ways), part
    means = {name: own.mean(axis=0) for name, own in points.items()}
    places, perplexity = None, None
    if len(means) >= FEWEST and importlib.util.find_spec("sklearn") is not None:
        places, perplexity = flat(np.stack(list(means.values())))
    tasks = []
    for number, (name, mean) in enumerate(means.items()):
        likest = nearest(mean, library, names, 1) if part_of[name] != TRAINING else []
        tasks.append({
            "task": name,
            "family": families[name],
            "part": part_of[name],
            "place": None if places is None else places[number].tolist(),
            "nearest": {"task": likest[0][0], "cosine": likest[0][1]} if likest else None,
        })  # fmt: skip
    unseen = {name: own for name, own in points.items() if part_of[name] != TRAINING}
    scopes = {"all tasks": points, "validation and test tasks": unseen}
    found = [_clustering(scope, own, families) for scope, own in scopes.items()]
    return {"tasks": tasks, "perplexity": perplexity, "clustering": [line for line in found if line]}


def embedded(opened: Opened, task: Task, ways: int) -> np.ndarray:
    """Embeddings of `EPISODES` episodes of a task, float32 ``(EPISODES, dims)``."""
    small = limited(task, ROWS)
    episodes = sampler(opened, small, SHOTS, Sizes(ways=ways), SEED).episodes(0, EPISODES)
    embedder = opened.checkpoint.embedder
    return np.stack([np.array(item_of(each, small, opened.states, embedder).embedding) for each in episodes])


def flat(points: np.ndarray, seed: int = 0) -> tuple[np.ndarray, float]:
    """Two dimensions by t-SNE.

    Args:
        points: ``(m, dims)``, m at least 3.
        seed: of the search.

    Returns:
        Places, float32 ``(m, 2)``, and the perplexity: 30, or a third of the neighbours where these are few.

    References:
        van der Maaten & Hinton, "Visualizing data using t-SNE" (2008).
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(points) - 1) / 3)
    with threadpool_limits(1):  # sums over threads end in an order of their own
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
        return tsne.fit_transform(np.asarray(points, np.float32)), perplexity


def _clustering(scope: str, points: Mapping[str, np.ndarray], families: Mapping[str, str]) -> dict[str, Any] | None:
    """What `cluster_quality` says of these tasks' episodes; None where it cannot say anything."""
    tasks = [name for name, own in points.items() for _ in own]
    if not tasks:
        return None
    rng = np.random.default_rng(0)
    try:
        found = cluster_quality(np.concatenate(list(points.values())), [families[t] for t in tasks], rng, tasks)
    except EmbeddingError:
        return None
    return {"scope": scope, **found}
