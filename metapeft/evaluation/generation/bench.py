"""A meta-trained checkpoint that writes texts, on tasks it never saw: every method on the same episodes.

What a cell is: see `evaluation.tables`; its figure is the task's own, see `scoring.primary_metric`. The methods:

- ``frozen``: the model as it is, given the prompt (zero-shot)
- ``in context``: the same with support examples before the prompt, the nearest last
- ``static, mix 1``: with the learned base; ``static, n steps, mix 1``: after n inner steps on the support set
- ``hypernetwork, …``: with the generated adapter; ``shuffled, mix 1``: from another task's embedding, first episodes
- ``random``: a random adapter after Adam steps, LoRA as it is used (Hu et al., 2021), first episodes; on request
  ``fine-tune, 50 steps``
- ``auto``: the one of frozen, static and hypernetwork with the least loss on support examples left out
- without a model: those of `generation.baselines`

Texts are written greedily, at most one and a half times as long as the longest target of the support set, and end
where `stop.trim` says.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metapeft.backbones.backbone import Adapter
from metapeft.backbones.decoder import Decoder
from metapeft.backbones.tokens import tokenizer_of
from metapeft.episodes.episode import Episode
from metapeft.evaluation.baselines import RATES
from metapeft.evaluation.bench import (
    CURVE_STEPS,
    TEST_SEED,
    Opened,
    Sizes,
    curves_of,
    sampler,
    steps_of_cell,
    stranger,
    validation_episodes,
)
from metapeft.evaluation.generation.baselines import baselines
from metapeft.evaluation.generation.prompts import prompts_with_examples
from metapeft.evaluation.generation.rows import Reference, Style, references, style_and_domain
from metapeft.evaluation.generation.samples import pass_at_k_by_problem
from metapeft.evaluation.generation.scoring import primary_metric, score
from metapeft.evaluation.generation.starts import adapters_of, candidates_of, choose, held_out_losses
from metapeft.evaluation.generation.stop import trim
from metapeft.evaluation.tables import SCORE
from metapeft.heads.head import accuracy, cross_entropy
from metapeft.meta.methods import Item
from metapeft.meta.outer_loop import item_of
from metapeft.meta.readings import random_steps
from metapeft.meta.select import Candidate, nearness
from metapeft.mlx import mx
from metapeft.tasks.padding import without_middle
from metapeft.tasks.pool import Ragged
from metapeft.tasks.sampling import key_of
from metapeft.tasks.suite import Suite
from metapeft.tasks.task import Task
from metapeft.tokenization.tokenizer import LoadedTokenizer, encode_texts, load_tokenizer

IN_CONTEXT = "in context"
LONG = 50  # Adam steps of the long fine-tune
SAMPLED, TEMPERATURE = ("frozen", "auto"), 0.8
KEPT = 20  # rows whose texts a result holds
SPARE = 8  # tokens beyond one and a half times the longest support target


def written_cell(
    opened: Opened,
    suite: Suite,
    task: Task,
    shots: int,
    sizes: Sizes,
    *,
    steps: int,
    allow_code_execution: bool,
    samples: int = 0,
    note: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Every method on the episodes of one task.

    Args:
        opened: the checkpoint.
        suite: where the task's texts lie.
        task: to test on; of a part of a pool, `Pool.rows` says which rows.
        shots: support examples.
        sizes: of the episodes.
        steps: inner steps of the starts that adapt.
        allow_code_execution: run programs and queries, in the sandbox.
        samples: texts that `SAMPLED` write for each row of the first episodes at `TEMPERATURE`, for pass@k; 0 for none.
        note: told how many episodes are done, for progress.

    Returns:
        A cell, see `tables`, with ``primary`` (metric and why), ``figures`` (mean of every metric and method),
        ``style`` and ``outputs``: prompts, targets and what each method wrote in the first episodes.
    """
    began = time.perf_counter()
    drawn = sampler(opened, task, shots, sizes, TEST_SEED + sizes.seed)
    style, domain = style_and_domain(suite, task.config.task_id)
    tokenizer = load_tokenizer(tokenizer_of(opened.backbone.name))
    known = {side: references(suite, task.config.task_id, side) for side in ("support", "query")}
    candidates = candidates_of(opened, steps)
    wrote: dict[str, list[list[str]]] = {}
    drew: dict[str, list[str]] = {}
    asked: list[list[Reference]] = []
    chosen: Counter[str] = Counter()
    similarity: list[float] = []
    curves: dict[str, dict[str, list[list[float]]]] = {"accuracy": {}, "support_loss": {}, "query_loss": {}}
    mx.reset_peak_memory()
    for number, episode in enumerate(drawn.episodes(0, sizes.episodes)):
        item = item_of(episode, task, opened.states, opened.checkpoint.embedder)
        support, query = (
            [known[side][row] for row in _suite_rows(task, side, getattr(episode, f"{side}_rows"))]
            for side in ("support", "query")
        )
        adapters = adapters_of(opened, item, candidates)
        auto = choose(opened, candidates, held_out_losses(opened, task, episode, candidates, sizes.folds))
        chosen[auto.name] += 1
        embedded = opened.checkpoint.embedder is not None
        similarity.append(nearness(opened.checkpoint.library, np.array(item.embedding)) if embedded else 0.0)
        if number < sizes.control_episodes:
            adapters |= _controls(opened, task, item, episode, sizes)
        prompts = _prompts(opened, task, episode)
        longest = max(len(target) for target in _targets(task, episode))
        most = math.ceil(1.5 * longest) + SPARE
        texts = {name: write(opened, tokenizer, prompts, adapter, most) for name, adapter in adapters.items()}
        if number < sizes.control_episodes:
            for name in SAMPLED if samples else ():
                adapter = adapters[auto.name if name == "auto" else name]
                mx.random.seed(int(key_of("samples", episode.index)[0] >> np.uint64(1)))
                drawn_texts = write(opened, tokenizer, prompts * samples, adapter, most, TEMPERATURE)
                drew.setdefault(name, []).extend(trim(text, style, domain) for text in drawn_texts)
            texts[IN_CONTEXT] = _in_context(opened, tokenizer, support, query, style, most)
        texts = {name: [trim(text, style, domain) for text in own] for name, own in texts.items()}
        texts["auto"] = texts[auto.name]
        texts |= {name: method(support, query, style) for name, method in baselines(style).items()}
        for name, own in texts.items():
            wrote.setdefault(name, []).append(own)
        asked.append(query)
        if number < sizes.curve_episodes:
            for name, curve in curves_of(opened, item, episode.index, sizes.tuned["random"]).items():
                for what, values in curve._asdict().items():
                    curves[what].setdefault(name, []).append([values[step] for step in CURVE_STEPS])
        note(number + 1)
    every = [(name, place) for name, own in wrote.items() for place in range(len(own))]
    figures = score(  # of all at once: what several methods wrote alike runs once
        [row for _, place in every for row in asked[place]],
        [text for name, place in every for text in wrote[name][place]],
        style=style,
        domain=domain,
        allow_code_execution=allow_code_execution,
    )
    primary = primary_metric(asked[0], style=style, domain=domain, allow_code_execution=allow_code_execution)
    means = {metric: _by_episode(values, every, asked) for metric, values in figures.items()}
    own_steps = sum(candidate.steps for candidate in candidates)
    control_steps = sizes.random_steps + LONG * sizes.baselines
    told = {
        metric: {name: float(np.nanmean(each)) if np.isfinite(each).any() else None for name, each in own.items()}
        for metric, own in means.items()
    }
    if drew and primary.metric in ("passed", "executed"):
        sampled = asked[: min(sizes.control_episodes, sizes.episodes)]
        told |= _pass_at_k(drew, sampled, samples, primary.metric, style, domain)
    return {
        "task": task.config.task_id,
        "family": task.config.task_family,
        "ways": 1,
        "shots": drawn.k_shot,
        "asked": shots,
        "query": drawn.query_size,
        "metric": SCORE,
        "primary": primary._asdict(),
        "accuracy": means[primary.metric],
        "figures": told,
        "style": style,
        "outputs": _kept(asked, wrote),
        "macro_f1": {},
        "curves": curves["accuracy"],
        "support_loss": curves["support_loss"],
        "query_loss": curves["query_loss"],
        "curve_steps": list(CURVE_STEPS),
        "chosen": {"auto": dict(chosen)},
        "similarity": float(np.mean(similarity)),
        "gradient_steps": steps_of_cell(opened, sizes, own_steps, control_steps, len(curves["accuracy"])),
        "seconds": time.perf_counter() - began,
        "peak_memory_bytes": mx.get_peak_memory(),
    }


def write(
    opened: Opened,
    tokenizer: LoadedTokenizer,
    prompts: Sequence[Sequence[int]],
    adapter: Adapter,
    most: int,
    temperature: float = 0.0,
) -> list[str]:
    """What the model writes after each prompt, at most so many tokens: greedily, or drawn at a temperature."""
    from mlx_lm.sample_utils import make_sampler

    assert isinstance(opened.backbone, Decoder)  # `tasks_and_backbone` saw to it
    sampler = make_sampler(temperature) if temperature else None
    written = opened.backbone.write(prompts, adapter, opened.lora.scale, most=most, sampler=sampler)
    return tokenizer.backend.decode_batch(written, skip_special_tokens=True)


def rate_of_random(opened: Opened, validation: Sequence[Task], sizes: Sizes, episodes: int) -> dict[str, Any]:
    """The rate of Adam for a random adapter with the least query loss on episodes of the validation tasks.

    Returns:
        ``method``, ``parameter``, ``chosen`` and ``tried`` (rate and token accuracy), as `baselines.tuned` gives.
    """
    losses: dict[float, list[float]] = {rate: [] for rate in RATES}
    right: dict[float, list[float]] = {rate: [] for rate in RATES}
    for task, _, episode in validation_episodes(opened, validation, sizes, episodes):
        item = item_of(episode, task, opened.states, None)
        for rate in RATES:
            *_, last = random_steps(opened.setup.learner, opened.lora, item, sizes.random_steps, episode.index, rate)
            plain, params, _, query = last
            logits = plain.logits(params, query.hidden)
            losses[rate].append(float(cross_entropy(logits, query.labels)))
            right[rate].append(float(accuracy(logits, query.labels)))
    chosen = min(RATES, key=lambda rate: np.mean(losses[rate]))
    tried = [[rate, float(np.mean(right[rate]))] for rate in RATES]
    return {"method": "random", "parameter": "rate", "chosen": chosen, "tried": tried}


def _controls(opened: Opened, task: Task, item: Item, episode: Episode, sizes: Sizes) -> dict[str, Adapter]:
    found: dict[str, Adapter] = {}
    if "generator" in opened.meta:
        other = item._replace(embedding=stranger(opened, task, episode.index))
        found["shuffled, mix 1"] = adapters_of(opened, other, [Candidate("hypernetwork", 0, 1.0)])[
            "hypernetwork, mix 1"
        ]
    lengths = {"random": sizes.random_steps} | ({f"fine-tune, {LONG} steps": LONG} if sizes.baselines else {})
    for name, count in lengths.items():
        rate = sizes.tuned.get(name, sizes.tuned["random"])
        *_, last = random_steps(opened.setup.learner, opened.lora, item, count, episode.index, rate)
        found[name] = last[1]["adapter"]
    mx.eval(found)
    return found


def _suite_rows(task: Task, side: str, rows: np.ndarray) -> list[int]:
    """Rows of an episode as the suite numbers them."""
    pool = task.support if side == "support" else task.query
    return (rows if pool.rows is None else pool.rows[rows]).tolist()


def _prompts(opened: Opened, task: Task, episode: Episode) -> list[list[int]]:
    pool = task.query
    assert isinstance(pool.x, Ragged)
    return [without_middle(pool.x.row(int(row)), opened.facts["max_tokens"]).tolist() for row in episode.query_rows]


def _targets(task: Task, episode: Episode) -> list[np.ndarray]:
    assert isinstance(task.support.y, Ragged)
    return [task.support.y.row(int(row)) for row in episode.support_rows]


def _in_context(
    opened: Opened,
    tokenizer: LoadedTokenizer,
    support: Sequence[Reference],
    query: Sequence[Reference],
    style: Style,
    most: int,
) -> list[str]:
    """What the frozen model writes after support examples and the prompt, as many as it can read."""
    assert isinstance(opened.backbone, Decoder)
    budget = (opened.backbone.max_positions or 4096) - most

    def count(text: str) -> int:
        return int(encode_texts(tokenizer, [text], 10**6).x.lengths()[0])

    shown = prompts_with_examples(support, query, style=style, budget=budget, count=count)
    x = encode_texts(tokenizer, [prompt.text for prompt in shown], budget).x
    return write(opened, tokenizer, [x.row(place).tolist() for place in range(len(x))], {}, most)


def _pass_at_k(
    drew: dict[str, list[str]],
    asked: Sequence[Sequence[Reference]],
    samples: int,
    metric: str,
    style: Style,
    domain: str,
) -> dict[str, dict[str, float | None]]:
    """pass@1 and pass@`samples` by method, mean over rows; an episode was asked as a whole, `samples` times over."""
    rows = [row for own in asked for row in list(own) * samples]
    problems = [
        (number, place) for number, own in enumerate(asked) for _ in range(samples) for place in range(len(own))
    ]
    names = list(drew)
    figures = score(
        rows * len(names),
        [text for name in names for text in drew[name]],
        style=style,
        domain=domain,
        allow_code_execution=True,
    )[metric]
    found: dict[str, dict[str, float | None]] = {}
    for name, own in zip(names, np.split(np.nan_to_num(figures), len(names)), strict=True):
        for k in dict.fromkeys((1, samples)):
            label = f"pass@{k} of {samples} samples"
            found.setdefault(label, {})[name] = float(np.mean(pass_at_k_by_problem(own, problems, k)))
    return found


def _kept(asked: Sequence[Sequence[Reference]], wrote: dict[str, list[list[str]]]) -> dict[str, Any]:
    """Rows of the first episodes, `KEPT` at most: what was asked, what should be written and what was."""
    rows = [row for own in asked for row in own][:KEPT]
    return {
        "prompts": [row.prompt for row in rows],
        "targets": [row.target for row in rows],
        "written": {name: [text for own in texts for text in own][:KEPT] for name, texts in wrote.items()},
    }


def _by_episode(
    values: np.ndarray, every: Sequence[tuple[str, int]], asked: Sequence[Sequence[Reference]]
) -> dict[str, list[float]]:
    """Means over the query rows of each episode, by method; NaN where no row has the figure."""
    found: dict[str, list[float]] = {}
    start = 0
    for name, place in every:
        own = values[start : start + len(asked[place])]
        start += len(own)
        found.setdefault(name, []).append(float(np.nanmean(own)) if np.isfinite(own).any() else math.nan)
    return found
