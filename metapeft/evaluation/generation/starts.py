"""Adapters that an episode's texts are written with, and which of them to trust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from metapeft.backbones.backbone import Adapter
from metapeft.episodes.episode import Episode
from metapeft.evaluation.bench import Opened
from metapeft.heads.head import cross_entropy
from metapeft.meta.learner import Tree
from metapeft.meta.methods import Item, path
from metapeft.meta.outer_loop import support_set
from metapeft.meta.select import Candidate, learned_starts
from metapeft.mlx import mx
from metapeft.tasks.task import Task


def candidates_of(opened: Opened, steps: int) -> tuple[Candidate, ...]:
    """What can be chosen: the frozen model, the learned starts, and each of these after `steps` steps; 0 for none."""
    taken = (0, steps) if steps and opened.method.steps else (0,)
    return (
        Candidate("frozen"),
        *(Candidate(start, each, 1.0) for start in learned_starts(opened.method) for each in taken),
    )


def adapters_of(opened: Opened, item: Item, candidates: Sequence[Candidate]) -> dict[str, Adapter]:
    """The adapter of each candidate by its name, after its steps on the support set; an empty one for ``frozen``."""
    found: dict[str, Adapter] = {}
    for start in dict.fromkeys(c.start for c in candidates):
        own = [c for c in candidates if c.start == start]
        if start == "frozen":
            found |= {c.name: {} for c in own}
            continue
        trees = path(opened.setup, opened.method, _meta(opened, start), item, max(c.steps for c in own))
        found |= {c.name: trees[c.steps]["adapter"] for c in own}
    mx.eval(found)
    return {c.name: found[c.name] for c in candidates}


def held_out_losses(
    opened: Opened, task: Task, episode: Episode, candidates: Sequence[Candidate], folds: int
) -> dict[str, float]:
    """Mean loss a token of support examples that were left out, by candidate's name; cross-validation.

    Args:
        opened: the checkpoint.
        task: of the episode.
        episode: its support set is read, and nothing of its query set.
        candidates: as `candidates_of`.
        folds: how many parts, or as many as there are examples.

    Returns:
        In nats; empty where there are fewer than two examples.
    """
    count = len(episode.support_rows)
    if count < 2:
        return {}
    losses: dict[str, list[float]] = {c.name: [] for c in candidates}
    weights = []
    for fold in range(min(folds, count)):
        out = np.arange(count) % min(folds, count) == fold
        item = _part(opened, task, episode, ~out)
        left = opened.states.written(task, "support", episode.support_rows[out])
        weights.append(left.labels.shape[0])
        for name, adapter in adapters_of(opened, item, candidates).items():
            logits = opened.setup.learner.logits({"adapter": adapter, "head": {}}, left.hidden)
            losses[name].append(float(cross_entropy(logits, left.labels)))
    return {name: float(np.average(each, weights=weights)) for name, each in losses.items()}


def choose(opened: Opened, candidates: Sequence[Candidate], losses: Mapping[str, float]) -> Candidate:
    """The candidate with the least held-out loss, the first of equals.

    Where one example left nothing to cross-validate it is what the checkpoint was trained for, without a step.
    """
    if not losses:
        start = "hypernetwork" if "generator" in opened.meta else "static"
        return next(c for c in candidates if c.start == start and not c.steps)
    return min(candidates, key=lambda c: losses[c.name])


def _meta(opened: Opened, start: str) -> Tree:
    if start == "hypernetwork":
        return opened.meta
    return {name: branch for name, branch in opened.meta.items() if name != "generator"}


def _part(opened: Opened, task: Task, episode: Episode, kept: np.ndarray) -> Item:
    """An item of some of the support examples; it has them as query set too, which no candidate reads."""
    rows = episode.support_rows[kept]
    support = opened.states.written(task, "support", rows)
    embedding = np.zeros(0, np.float32)
    if opened.checkpoint.embedder is not None:
        sides = {
            "support_x": episode.support_x[kept],
            "support_y": episode.support_y[kept],
            "support_lengths": episode.support_lengths[kept],
            "support_rows": rows,
        }
        part = replace(episode, **sides)
        frozen = opened.states.features(task, "support", rows)
        embedding = opened.checkpoint.embedder.embed(support_set(task, part, frozen))
    return Item(support, support, 1, mx.array(embedding), mx.zeros(0, mx.int32), episode.task_id)
