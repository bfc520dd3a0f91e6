"""A meta-trained checkpoint on tasks it never saw: every method on the same episodes, one cell a task and shots.

What a cell is: see `tables`. The methods:

- ``frozen``: cosine prototypes on frozen features
- ``static, mix m``: the learned base without the generated term; m is the weight of adapted beside frozen features
- ``hypernetwork, mix m``: with it
- ``shuffled, mix m``: as hypernetwork, with the embedding of a training episode drawn by chance, on the first episodes
- ``random``: a random adapter and a random linear head after Adam steps, on the first episodes
- ``auto``: one of frozen, static and hypernetwork and a mix, chosen on the support set (`meta.select`)
- ``… + names``: the names of the classes are examples of them too
- on request, on the first episodes: those of `baselines`
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metapeft.adapters.lora import LoraConfig
from metapeft.backbones.backbone import Backbone
from metapeft.episodes.episode import Episode
from metapeft.episodes.sampler import EpisodeSampler
from metapeft.episodes.tagging import By, TaggingSampler
from metapeft.errors import AdaptationError
from metapeft.evaluation import tagging_baselines
from metapeft.evaluation.baselines import (
    FINE_TUNE,
    MEAN,
    RANDOM,
    UNTUNED,
    from_random,
    mean_adapter,
    steps_from_random,
    without_steps,
)
from metapeft.evaluation.metrics import macro_f1
from metapeft.evaluation.tables import ACCURACY, F1
from metapeft.meta import checkpoint as checkpoints
from metapeft.meta.checkpoint import Checkpoint
from metapeft.meta.inner_loop import Examples
from metapeft.meta.judge import Counts, counts_of_all
from metapeft.meta.learner import Tree
from metapeft.meta.methods import Item, Method, Setup, method_named, transitions_of_item
from metapeft.meta.outer_loop import item_of
from metapeft.meta.prior import Prior, Record, fit_prior, size_of
from metapeft.meta.readings import Curve, learned_reading, random_reading
from metapeft.meta.run import setup_of
from metapeft.meta.select import (
    Candidate,
    Features,
    candidates_of,
    choose,
    cross_validate,
    learned_starts,
    nearness,
    read,
)
from metapeft.meta.states import PoolStates
from metapeft.meta.stream import limited, sampler_of
from metapeft.mlx import mx
from metapeft.tasks import sampling
from metapeft.tasks.task import Task

PRIOR_SEED, TEST_SEED = 30_000, 50_000  # apart from the seeds of training and validation episodes
PRIOR_SHOTS = (1, 5)
CURVE_STEPS = (0, 1, 2, 3, 5, 10)
QUERY_SENTENCES = 100  # of an episode by sentences
NAMES = " + names"


class Sizes(NamedTuple):
    """Sizes of an evaluation.

    Attributes:
        ways: classes of an episode; a task with fewer gives all it has.
        query: query examples a class; twice as many in two-way episodes.
        episodes: a task and number of shots.
        control_episodes: of them, how many have the controls too: a random start, a shuffled embedding, baselines.
        curve_episodes: of them, how many are adapted step by step.
        random_steps: Adam steps of a random start, at most 10.
        rows: rows of each pool that episodes are drawn from.
        folds: of the cross-validation of auto.
        seed: of the episodes.
        baselines: whether the controls have those of `baselines`.
        tuned: hyperparameters of baselines and of ``random``, by method.
    """

    ways: int = 5
    query: int = 5
    episodes: int = 600
    control_episodes: int = 100
    curve_episodes: int = 0
    random_steps: int = 5
    rows: int = 2000
    folds: int = 5
    seed: int = 0
    baselines: bool = False
    tuned: Mapping[str, float] = UNTUNED


class Opened(NamedTuple):
    """A checkpoint, ready to be read.

    Attributes:
        backbone: that it was trained for.
        checkpoint: its parameters and facts.
        method: that trained it.
        setup: as in training.
        lora: which maps are adapted.
        states: frozen features and hidden states of tasks.
        based: features with the learned base, which is the same in every episode: once a text.
        candidates: what can be chosen, with and without names; the frozen prototype first.
        beside: what is read beside them, to tell what each part does: of words the starts by prototypes alone.
        averaged: meta-parameters whose base is the mean adapter; None where there is none, or it was not asked for.
    """

    backbone: Backbone
    checkpoint: Checkpoint
    method: Method
    setup: Setup
    lora: LoraConfig
    states: PoolStates
    based: PoolStates
    candidates: tuple[Candidate, ...]
    beside: tuple[Candidate, ...]
    averaged: Tree | None

    @property
    def facts(self) -> dict[str, Any]:
        return self.checkpoint.facts

    @property
    def meta(self) -> Any:
        return self.checkpoint.state.meta


def open_checkpoint(path: str, backbone: Backbone, steps: int = 0, baselines: bool = False) -> Opened:
    """Open a checkpoint.

    Args:
        path: its folder.
        backbone: the one it was trained for.
        steps: gradient steps that are tried beside none, at the mix of training.
        baselines: whether the mean adapter will be read.

    Raises:
        CheckpointError: it is not there, damaged, or for another backbone.
        AdaptationError: steps are asked of a checkpoint that tags words.
    """
    checkpoint = checkpoints.load(path, backbone)
    facts = checkpoint.facts
    tagging = facts.get("kind") == "tagging"
    if tagging and steps:
        raise AdaptationError(f"steps={steps}: words are tagged without gradient steps")
    method, lora = method_named(facts["method"]), LoraConfig(**facts["lora"])
    setup = setup_of(path, facts, backbone)
    depth, longest = setup.learner.depth, facts["max_tokens"]
    meta = checkpoint.state.meta
    base = meta["base"]
    told = setup.detector is not None
    offered = candidates_of(method, steps, facts["mix"], names=not tagging, tagging=tagging, detector=told)
    beside = tuple(Candidate(begin, 0, facts["mix"]) for begin in learned_starts(method)) if tagging else ()
    averaged = None
    if baselines and setup.hypernetwork is not None:
        averaged = meta | {"base": mean_adapter(setup.hypernetwork, meta["generator"], base, checkpoint.library)}
    return Opened(
        backbone,
        checkpoint,
        method,
        setup,
        lora,
        PoolStates(backbone, depth, longest),
        PoolStates(backbone, depth, longest, adapter=base, scale=lora.scale),
        offered,
        beside,
        averaged,
    )


def sampler(
    opened: Opened, task: Task, shots: int, sizes: Sizes, seed: int, by: By = "mentions"
) -> EpisodeSampler | TaggingSampler:
    """The sampler of a task's episodes; by sentences `shots` of them, with all types, and `QUERY_SENTENCES` to tag."""
    if by == "sentences":
        query = min(QUERY_SENTENCES, len(task.query) - shots * task.one_pool)
        return TaggingSampler(task, shots, query, seed=seed, by=by, max_tokens=opened.facts["max_tokens"])
    ways = min(sizes.ways, task.config.num_classes)
    query = sizes.query * (2 if ways == 2 else 1)
    return sampler_of(task, ways, shots, query, opened.facts["max_tokens"], seed)


def read_episode(opened: Opened, episode: Episode, task: Task) -> tuple[Item, dict[str, Features], float]:
    """An episode, its features with the learned base, and its cosine to the nearest training episode."""
    item = item_of(episode, task, opened.states, opened.checkpoint.embedder, names=True)
    side = "support" if task.one_pool else "query"
    support, query, names = (
        None if name == "names" and task.names is None else mx.array(opened.based.features(task, name, rows))
        for name, rows in (("support", episode.support_rows), (side, episode.query_rows), ("names", episode.classes))
    )
    assert support is not None and query is not None
    near = 0.0
    if opened.checkpoint.embedder is not None:
        near = nearness(opened.checkpoint.library, np.array(item.embedding))
    return item, {"static": Features(support, query, names)}, near


def validation_episodes(
    opened: Opened, validation: Sequence[Task], sizes: Sizes, episodes: int
) -> Iterator[tuple[Task, int, Episode]]:
    """Episodes of validation tasks, what the prior and the baselines are chosen on, with their task and shots.

    Args:
        opened: the checkpoint.
        validation: its validation tasks.
        sizes: of the episodes.
        episodes: a task, with each of `PRIOR_SHOTS`.
    """
    for task in (limited(task, sizes.rows) for task in validation):
        for shots in PRIOR_SHOTS:
            for episode in sampler(opened, task, shots, sizes, PRIOR_SEED).episodes(0, episodes):
                yield task, shots, episode


def prior_of(opened: Opened, validation: Sequence[Task], sizes: Sizes, episodes: int) -> Prior:
    """The prior of auto: gains over the frozen prototype on the checkpoint's validation tasks.

    Args:
        opened: the checkpoint.
        validation: its validation tasks.
        sizes: of the episodes.
        episodes: a task, with each of `PRIOR_SHOTS`.
    """
    setup, method, meta, frozen = opened.setup, opened.method, opened.meta, opened.candidates[0].name
    records = []
    for task, shots, episode in validation_episodes(opened, validation, sizes, episodes):
        item, known, near = read_episode(opened, episode, task)
        right = _judged(opened, item, read(setup, method, meta, item, opened.candidates, known)).figures
        part = _part(opened, task, episode)
        validated = cross_validate(setup, method, meta, item, part, opened.candidates, sizes.folds, known)
        seen = {name: value - validated.scores[frozen] for name, value in validated.scores.items()}
        gains = {name: value - right[frozen] for name, value in right.items() if name != frozen}
        size = size_of(item.support, item.ways)
        records.append(Record(task.config.task_id, near, shots, size, validated.examples, gains, seen))
    return fit_prior(records)


def cell_of(
    opened: Opened,
    task: Task,
    shots: int,
    sizes: Sizes,
    prior: Prior,
    note: Callable[[int], None] = lambda done: None,
    by: By = "mentions",
) -> dict[str, Any]:
    """Every method on the episodes of one task.

    Args:
        opened: the checkpoint.
        task: to test on.
        shots: support examples a class, or what the task has.
        sizes: of the episodes.
        prior: of auto.
        note: told how many episodes are done, for progress.
        by: what `shots` counts where words are tagged.

    Returns:
        A cell, see `tables`, with ``macro_f1`` beside ``accuracy`` for what is neither a control nor chosen.
    """
    began = time.perf_counter()
    drawn = sampler(opened, task, shots, sizes, TEST_SEED + sizes.seed, by)
    tagging = opened.setup.transitions is not None
    mentions: dict[str, list[int]] = {}
    scores: dict[str, list[float]] = {}
    f1: dict[str, list[float]] = {}
    curves: dict[str, dict[str, list[list[float]]]] = {"accuracy": {}, "support_loss": {}, "query_loss": {}}
    mx.reset_peak_memory()
    plain = tuple(c for c in opened.candidates if not c.names)
    offered = {"auto": plain} | ({f"auto{NAMES}": opened.candidates} if plain != opened.candidates else {})
    chosen: dict[str, Counter[str]] = {name: Counter() for name in offered}
    similarity = []
    for number, episode in enumerate(drawn.episodes(0, sizes.episodes)):
        item, known, near = read_episode(opened, episode, task)
        logits = read(opened.setup, opened.method, opened.meta, item, (*opened.candidates, *opened.beside), known)
        right, own_f1, counts = _judged(opened, item, logits)
        if number < sizes.control_episodes:
            right |= _controls(opened, task, episode, item, sizes)
        setup, method, meta, part = opened.setup, opened.method, opened.meta, _part(opened, task, episode)
        validated = cross_validate(setup, method, meta, item, part, opened.candidates, sizes.folds, known)
        for name, candidates in offered.items():
            choice = choose(candidates, validated, prior, near, size_of(item.support, item.ways))
            chosen[name][choice.candidate.name] += 1
            right[name] = right[choice.candidate.name]
            if choice.candidate.name in counts:
                counts[name] = counts[choice.candidate.name]
        for name, three in counts.items():
            mentions[name] = np.add(mentions.get(name, 0), three).tolist()
        similarity.append(near)
        for name, value in right.items():
            scores.setdefault(name, []).append(value)
        for name, value in own_f1.items():
            f1.setdefault(name, []).append(value)
        if number < sizes.curve_episodes:
            for name, curve in curves_of(opened, item, episode.index, sizes.tuned["random"]).items():
                for what, values in curve._asdict().items():
                    curves[what].setdefault(name, []).append([values[step] for step in CURVE_STEPS])
        note(number + 1)
    return {
        "task": task.config.task_id,
        "family": task.config.task_family,
        "ways": drawn.n_way,
        "shots": drawn.k_shot,
        "asked": shots,
        "query": drawn.query_size,
        "metric": F1 if tagging else ACCURACY,
        **({"by": by, "mentions": mentions} if tagging else {}),
        "accuracy": scores,
        "macro_f1": f1,
        "curves": curves["accuracy"],
        "support_loss": curves["support_loss"],
        "query_loss": curves["query_loss"],
        "curve_steps": list(CURVE_STEPS),
        "chosen": {name: dict(counts) for name, counts in chosen.items()},
        "similarity": float(np.mean(similarity)),
        "gradient_steps": _gradient_steps(opened, sizes, task.names is not None, len(curves["accuracy"])),
        "seconds": time.perf_counter() - began,
        "peak_memory_bytes": mx.get_peak_memory(),
    }


def _gradient_steps(opened: Opened, sizes: Sizes, names: bool, curves: int) -> int:
    """Gradient steps behind the figures of a cell; those of the cross-validation of auto are not counted."""

    def of(candidates: Sequence[Candidate]) -> int:  # more steps of a start go on where fewer end: see `select.read`
        most: dict[tuple[Any, ...], int] = {}
        for c in candidates:
            if c.steps and (names or not c.names):
                key = (c.start, c.mix, c.names)
                most[key] = max(most.get(key, 0), c.steps)
        return sum(most.values())

    control = of(_generated(opened)) + steps_from_random(_random_steps(sizes), sizes.tuned)
    return steps_of_cell(opened, sizes, of(opened.candidates), control, curves)


def steps_of_cell(opened: Opened, sizes: Sizes, own: int, control: int, curves: int) -> int:
    """Gradient steps of a cell: `own` in every episode, `control` in the first ones, and those of so many curves."""
    curve = CURVE_STEPS[-1] * (curves if opened.method.steps else min(curves, 1))  # without steps: the random start's
    counts = (sizes.episodes, min(sizes.control_episodes, sizes.episodes), min(sizes.curve_episodes, sizes.episodes))
    return sum(count * steps for count, steps in zip(counts, (own, control, curve), strict=True))


def _random_steps(sizes: Sizes) -> dict[str, int]:
    """Adam steps of what begins at random, by method."""
    return {RANDOM: sizes.random_steps} | (FINE_TUNE if sizes.baselines else {})


def _generated(opened: Opened) -> tuple[Candidate, ...]:
    """The candidates that are read again with a stranger's embedding."""
    every = (*opened.candidates, *opened.beside)
    return tuple(c for c in every if c.start == "hypernetwork" and c.mix == opened.facts["mix"])


class Judged(NamedTuple):
    """What candidates said of a query set, by their names.

    Attributes:
        figures: accuracy, or the strict F1 of the mentions.
        macro_f1: mean over classes; none where words are tagged.
        counts: mentions; none where examples are classified.
    """

    figures: dict[str, float]
    macro_f1: dict[str, float]
    counts: dict[str, Counts]


def _judged(opened: Opened, item: Item, logits: Mapping[str, mx.array]) -> Judged:
    if item.query.sentences is not None:
        found = counts_of_all(list(logits.values()), item.query.sentences, transitions_of_item(opened.setup, item))
        counts = {name: Counts(*each.sum(axis=0).tolist()) for name, each in zip(logits, found, strict=True)}
        return Judged({name: each.f1 for name, each in counts.items()}, {}, counts)
    said = mx.argmax(mx.stack(list(logits.values())), axis=-1)
    right = mx.mean((said == item.query.labels).astype(mx.float32), axis=-1)  # as `accuracy`, of all at once
    labels = np.array(item.query.labels)
    f1 = [macro_f1(labels, each) for each in np.array(said)]
    return Judged(dict(zip(logits, np.array(right).tolist(), strict=True)), dict(zip(logits, f1, strict=True)), {})


def _controls(opened: Opened, task: Task, episode: Episode, item: Item, sizes: Sizes) -> dict[str, float]:
    """Query accuracy of a shuffled embedding, a random start and, on request, of the baselines."""
    right: dict[str, float] = {}
    mix = opened.facts["mix"]
    if generated := _generated(opened):
        other = item._replace(embedding=stranger(opened, task, episode.index))
        logits = read(opened.setup, opened.method, opened.meta, other, generated, {})
        swapped = _judged(opened, other, logits).figures
        right |= {name.replace("hypernetwork", "shuffled"): value for name, value in swapped.items()}
    right |= from_random(opened.setup.learner, opened.lora, item, episode.index, _random_steps(sizes), sizes.tuned)
    if opened.setup.transitions is not None:
        right |= tagging_baselines.without_steps(item, episode, transitions_of_item(opened.setup, item))
    elif sizes.baselines:
        right |= without_steps(item, episode, sizes.tuned)
    if opened.averaged is not None:
        logits = read(opened.setup, opened.method, opened.averaged, item, [Candidate(MEAN, 0, mix)])
        right |= _judged(opened, item, logits).figures
    return right


def stranger(opened: Opened, task: Task, index: int) -> mx.array:
    """The embedding of a training episode, drawn by the number of the episode."""
    library = opened.checkpoint.library
    drawn = sampling.fold(sampling.key_of("stranger", task.config.task_id), index)
    return mx.array(library[int(sampling.below(drawn, len(library))[0])])


def curves_of(opened: Opened, item: Item, number: int, rate: float) -> dict[str, Curve]:
    """Accuracy and losses after 0, 1, … 10 steps from the learned starts and from a random one; no names."""
    most = CURVE_STEPS[-1]
    item = item._replace(names=None)
    base = {name: branch for name, branch in opened.meta.items() if name != "generator"}
    starts = {"static": base} | ({"hypernetwork": opened.meta} if "generator" in opened.meta else {})
    steps = most if opened.method.steps else 0
    out = {}
    for name, meta in starts.items():
        read = learned_reading(opened.setup, opened.method, meta, item, steps)
        out[f"{name}, mix {opened.facts['mix']:g}"] = Curve(*(each + each[-1:] * (most - steps) for each in read))
    out["random"] = random_reading(opened.setup.learner, opened.lora, item, most, number, rate)
    return out


def _part(opened: Opened, task: Task, episode: Episode) -> Callable[[np.ndarray], Examples]:
    """Support examples by their number in the episode."""
    return lambda rows: opened.states.examples(task, "support", episode.support_rows[rows], episode.support_y[rows])
