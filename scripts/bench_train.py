"""Meta-training's tasks/s, beside the same algorithm written plainly over mlx-lm's modules.

    python scripts/bench_train.py                                          # nano, synthetic text: works anywhere
    python scripts/bench_train.py backbone=sentence-transformers/all-MiniLM-L6-v2 suite=runs/suites/all task=banking77
    python scripts/bench_train.py quick=true                               # one round: does it run?

An episode is 5-way 5-shot with 8 queries a class, the method Meta-SGD of first order: LoRA of rank 8 on query and
value of the last two blocks, a cosine head made from the support set, inner SGD on both with learned rates, a gradient
through the head's making and the query loss, Adam on the mean of four episodes. The plain form is an `mlx.nn` network
with mlx-lm's `LoRALinear` in place of those maps: texts are padded to the longest of their batch, every pass runs the
whole network, gradients are `nn.value_and_grad`'s. It runs in the same process, on the same BLAS, on the same episodes;
frozen features, which do not change within an episode, it too computes once an episode, not once a step.

Both are first shown to say the same. Then they take turns in every round, and ratios are taken within a round. Our
side has met the texts before (meta-training draws them again and again); what meeting them first costs is printed
too. Nothing is asserted but that both say the same. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

# pyrefly: ignore[missing-import]
from bench_adapt import PAUSE, about_machine, spread
from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, blas, cli
from metapeft.adapters.hypernetwork import hypernetwork_for
from metapeft.adapters.lora import LoraConfig, first_layer, random_adapter
from metapeft.backbones.bert import NAMES, Bert
from metapeft.embeddings.embedder import Embedder, fit
from metapeft.episodes.episode import Episode
from metapeft.errors import MetapeftError
from metapeft.heads import cosine_head
from metapeft.meta.inner_loop import Learner
from metapeft.meta.methods import Method, Setup, init_meta, method_named, start
from metapeft.meta.outer_loop import (
    QUICK,
    Outer,
    State,
    begin,
    inner_steps_of,
    item_of,
    items_at,
    outer_step,
    rate_at,
    support_set,
)
from metapeft.meta.run import tasks_and_backbone
from metapeft.meta.states import PoolStates, WithFrozen
from metapeft.meta.stream import EpisodeStream, Sizes, limited, split_tasks
from metapeft.mlx import mx, nn, optim, utils
from metapeft.tasks.suite import Suite
from metapeft.tasks.task import Task

Tree = dict[str, Any]
WAYS, SHOTS, QUERIES, RANK, BLOCKS, SCALE, MIX, RATE = 5, 5, 8, 8, 2, 2.0, 0.5, 0.1
MAX_TOKENS, BATCH, TARGET = 64, 4, 3.0
MEMORY_STEPS, MEMORY_TASKS = (1, 3, 5, 10), (1, 2, 4, 8)
TASK = "quick_intent_banking"
AS_TRAINED = "0 to 5 steps"  # by chance, as `metapeft train` has them
MEETINGS = 100  # episodes of a task in a run: what meeting its texts costs is also shown spread over so many
DESCRIPTION = "Meta-training's tasks/s, beside the same algorithm written plainly over mlx-lm's modules."
EXAMPLES = [
    "python scripts/bench_train.py",
    "python scripts/bench_train.py backbone=FOLDER suite=runs/suites/all task=banking77",
    "python scripts/bench_train.py quick=true",
]


class Config(BaseModel):
    """Options of the benchmark."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    backbone: str = Field(default="nano", description="nano, or folder or Hub id of an encoder of the BERT family")
    suite: str | None = Field(default=None, description="folder of a built suite; none: synthetic texts, built anew")
    task: str = Field(default=TASK, description="task of the suite that episodes are drawn from")
    steps: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(
        default=[0, 3, 5], description="inner steps, each measured by itself"
    )
    rounds: int = Field(default=3, ge=1, description="how often the two take turns")
    batches: int = Field(default=1, ge=1, description=f"outer steps of {BATCH} episodes a turn")
    hypernetwork: bool = Field(default=True, description="time our default method too, task embedding included")
    quick: bool = Field(default=False, description="one round, little memory measured: a look whether everything runs")
    out: str = Field(default="runs/bench/train", description="folder of result.json")


# --- the plain form


class PlainBlock(nn.Module):
    """A block of BERT as one would write it."""

    def __init__(self, d: int, wide: int, heads: int, eps: float):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.mixed = (nn.Linear(d, d) for _ in range(4))
        self.up, self.down = nn.Linear(d, wide), nn.Linear(wide, d)
        self.mixed_norm, self.norm = nn.LayerNorm(d, eps), nn.LayerNorm(d, eps)

    def __call__(self, x: mx.array, mask: mx.array) -> mx.array:
        n, length, d = x.shape
        q, k, v = (
            part.reshape(n, length, self.heads, -1).transpose(0, 2, 1, 3)
            for part in (self.query(x), self.key(x), self.value(x))
        )
        out = mx.fast.scaled_dot_product_attention(q, k, v, scale=q.shape[-1] ** -0.5, mask=mask[:, None, None])
        x = self.mixed_norm(x + self.mixed(out.transpose(0, 2, 1, 3).reshape(n, length, d)))
        return self.norm(x + self.down(nn.gelu(self.up(x))))


class PlainEncoder(nn.Module):
    """BERT on padded batches, with the weights of ours."""

    def __init__(self, backbone: Bert):
        super().__init__()
        c = backbone.config
        if c.activation != "gelu":
            raise MetapeftError(f"backbone '{backbone.name}': the plain form knows gelu only, not {c.activation}")
        self.words, self.positions = nn.Embedding(1, 1), nn.Embedding(1, 1)
        self.first = c.first_position
        self.norm = nn.LayerNorm(c.hidden_size, c.norm_eps)
        self.layers = [
            PlainBlock(c.hidden_size, c.intermediate_size, c.num_heads, c.norm_eps) for _ in range(c.num_layers)
        ]
        w, names = backbone.weights, NAMES[c.model_type]
        # the kind of text is the same for all of them: its row goes into the positions, once
        kind = w.get("embeddings.token_type_embeddings.weight", mx.zeros((1, c.hidden_size)))[0]
        self.words.weight = w["embeddings.word_embeddings.weight"]
        self.positions.weight = w["embeddings.position_embeddings.weight"] + kind
        loaded = [("norm." + kind, w[f"embeddings.LayerNorm.{kind}"]) for kind in ("weight", "bias")]
        for i in range(c.num_layers):
            for part in ("query", "key", "value", "mixed", "mixed_norm", "up", "down", "norm"):
                source = f"{names.block.format(i)}.{getattr(names, part)}"
                loaded += [(f"layers.{i}.{part}.{kind}", w[f"{source}.{kind}"]) for kind in ("weight", "bias")]
        self.load_weights(loaded, strict=False)

    def __call__(self, tokens: mx.array, mask: mx.array) -> mx.array:
        x = self.norm(self.words(tokens) + self.positions(mx.arange(tokens.shape[1]) + self.first))
        for layer in self.layers:
            x = layer(x, mask)
        seen = mask[..., None].astype(mx.float32)
        return (x * seen).sum(axis=1) / seen.sum(axis=1)


class PlainClassifier(nn.Module):
    """An encoder with adapters, and a cosine classifier on its features beside the frozen ones."""

    def __init__(self, backbone: Bert):
        from mlx_lm.tuner.lora import LoRALinear

        super().__init__()
        self.encoder = PlainEncoder(backbone)
        self.freeze()
        for layer in self.encoder.layers[-BLOCKS:]:
            for name in ("query", "value"):
                setattr(layer, name, LoRALinear.from_base(getattr(layer, name), r=RANK, scale=SCALE))
            for adapted in (layer.query, layer.value):
                adapted.unfreeze(keys=["lora_a", "lora_b"], recurse=False)
        self.weight = mx.zeros((WAYS, 2 * backbone.hidden_size))
        self.bias = mx.zeros(WAYS)

    def features(self, side: Side) -> mx.array:
        adapted = normed(self.encoder(side.tokens, side.mask))
        return mx.concatenate([(1 - MIX) ** 0.5 * side.frozen, MIX**0.5 * adapted], axis=-1)

    def __call__(self, side: Side) -> mx.array:
        return normed(self.features(side)) @ self.weight.T + self.bias


class Side(NamedTuple):
    """A padded batch.

    Attributes:
        tokens: int32 ``(n, length)``.
        mask: where there is a token, bool ``(n, length)``.
        labels: int32 ``(n,)``.
        frozen: features without an adapter, unit length.
    """

    tokens: mx.array
    mask: mx.array
    labels: mx.array
    frozen: mx.array


def normed(x: mx.array) -> mx.array:
    return x / mx.sqrt((x * x).sum(axis=-1, keepdims=True) + 1e-12)


def loss_of(model: PlainClassifier, side: Side) -> mx.array:
    return nn.losses.cross_entropy(model(side), side.labels, reduction="mean")


class Plain:
    """First-order Meta-SGD over `PlainClassifier`; its meta-parameters have the form of ours, to compare them."""

    def __init__(self, backbone: Bert, meta: Tree, outer: Outer):
        self.outer, self.meta = outer, meta
        self.frozen, self.model = PlainEncoder(backbone), PlainClassifier(backbone)
        self.frozen.freeze()
        names = NAMES[backbone.config.model_type]
        first = backbone.config.num_layers - BLOCKS
        self.places = {  # path of ours -> where it is here
            f"{names.block.format(first + i)}.{getattr(names, part)}": (first + i, part)
            for i in range(BLOCKS)
            for part in ("query", "value")
        }
        self.step = 0
        # scales and logarithms move faster, as ours do
        self.adams = {quick: optim.Adam(outer.learning_rate, bias_correction=True) for quick in (False, True)}

    def side(self, x: np.ndarray, lengths: np.ndarray, labels: np.ndarray) -> Side:
        x = x[:, : int(lengths.max())]
        mask = mx.array(np.arange(x.shape[1]) < lengths[:, None])
        tokens = mx.array(x.astype(np.int32))
        frozen = normed(self.frozen(tokens, mask))
        mx.eval(frozen)
        return Side(tokens, mask, mx.array(labels.astype(np.int32)), frozen)

    def put(self, params: Tree) -> None:
        """Put an adapter, and a head where there is one, into the network."""
        layers: list[Any] = [{} for _ in self.model.encoder.layers]
        for path, (layer, part) in self.places.items():
            layers[layer][part] = params["adapter"][path]
        self.model.update({"encoder": {"layers": layers}, **params.get("head", {})})

    def taken(self, grads: Tree) -> Tree:
        """Gradients of the network in the form of a trainable tree of ours."""
        layers = grads["encoder"]["layers"]
        adapter = {path: layers[layer][part] for path, (layer, part) in self.places.items()}
        return {"adapter": adapter, "head": {"weight": grads["weight"], "bias": grads["bias"]}}

    def start(self, meta: Tree, support: Side) -> Tree:
        """The adapter, and the head made of the support set with it."""
        self.put({"adapter": meta["base"]})
        member = (support.labels[:, None] == mx.arange(WAYS)).astype(mx.float32)
        means = member.T @ normed(self.model.features(support)) / member.sum(axis=0)[:, None]
        weight = mx.exp(meta["head"]["log_temperature"]) * normed(means)
        return {"adapter": meta["base"], "head": {"weight": weight, "bias": mx.zeros(WAYS)}}

    def gradient(self, episode: Episode, steps: int) -> tuple[mx.array, Tree]:
        """Query loss after the inner steps, and the gradient of the meta-parameters."""
        support = self.side(episode.support_x, episode.support_lengths, episode.support_y)
        query = self.side(episode.query_x, episode.query_lengths, episode.query_y)
        inner: list[Tree] = []
        if steps:
            params = self.start(self.meta, support)
            self.put(params)
            mx.eval(self.model.trainable_parameters())
            both = nn.value_and_grad(self.model, loss_of)
            for step in range(steps):
                _, grads = both(self.model, support)
                inner.append(self.taken(grads))
                params = self.moved(params, inner[-1], self.meta["log_rates"], step)
                self.put(params)
                mx.eval(params, inner[-1])

        def loss(meta: Tree) -> mx.array:
            params = self.start(meta, support)
            for step, grads in enumerate(inner):
                params = self.moved(params, grads, meta["log_rates"], step)
            self.put(params)
            return loss_of(self.model, query)

        value, grads = mx.value_and_grad(loss)(self.meta)
        mx.eval(value, grads)
        self.put({"adapter": self.meta["base"]})
        return value, grads

    def moved(self, params: Tree, grads: Tree, log_rates: Tree, step: int) -> Tree:
        return utils.tree_map(lambda p, g, r: p - mx.exp(r[step]) * g, params, grads, log_rates)

    def outer_step(self, episodes: list[tuple[Episode, int]]) -> float:
        """One step of Adam on the mean over episodes; returns the mean query loss."""
        total: Tree | None = None
        losses = []
        for episode, steps in episodes:
            value, grads = self.gradient(episode, steps)
            total = grads if total is None else utils.tree_map(mx.add, total, grads)
            mx.eval(total)
            losses.append(float(value))
        mean = utils.tree_map(lambda g: g / len(episodes), total)
        clipped, _ = optim.clip_grad_norm(mean, self.outer.clip)
        rate, new = rate_at(self.outer, self.step), {}
        for quick, adam in self.adams.items():
            own = [name for name in self.meta if (name in QUICK) == quick]
            adam.learning_rate = rate * self.outer.quick if quick else rate
            new |= adam.apply_gradients({name: clipped[name] for name in own}, {name: self.meta[name] for name in own})
        self.meta = new
        self.step += 1
        mx.eval(self.meta, [adam.state for adam in self.adams.values()])
        return float(np.mean(losses))


# --- ours


class Problem(NamedTuple):
    """What both train on."""

    backbone: Bert
    task: Task
    lora: LoraConfig
    method: Method
    setup: Setup
    meta: Tree
    stream: EpisodeStream
    states: PoolStates
    outer: Outer

    def episode(self, index: int) -> Episode:
        return self.stream.episode(index)[0]

    def steps_of(self, steps: int | None, index: int) -> int:
        return inner_steps_of(self.outer, self.method, index) if steps is None else steps


def fixed(method: Method, steps: int | None) -> Method:
    """The method with this number of inner steps, whatever the outer loop draws; None: as it draws."""
    if steps is None:
        return method
    return method._replace(gradient=lambda setup, meta, item, _: method.gradient(setup, meta, item, steps))


class Ours:
    """Our outer loop, as `metapeft train` runs it."""

    def __init__(self, problem: Problem, method: Method, setup: Setup, meta: Tree, embedder: Embedder | None = None):
        self.problem, self.method, self.setup, self.embedder = problem, method, setup, embedder
        self.state: State = begin(meta)

    def outer_step(self, step: int, steps: int | None) -> float:
        """Take the next step, on the episodes of step number `step`; returns the meta-loss."""
        p = self.problem
        items = items_at(p.stream, p.states, self.embedder, p.outer, step)
        self.state, report = outer_step(self.state, fixed(self.method, steps), self.setup, p.outer, items)
        return report.meta_loss


def problem_of(config: Config, scratch: Path) -> Problem:
    """Open the backbone and the task."""
    suite = Suite(config.suite or built(config.backbone, scratch))
    if suite.manifest["origin"] == "synthetic":
        print("          SYNTHETIC texts: lengths differ from those of real ones")
    tasks, backbone = tasks_and_backbone(suite, config.backbone, 0)
    if not isinstance(backbone, Bert):
        raise MetapeftError(f"backbone '{config.backbone}': the plain form is written for the BERT family only")
    (task, *_), _ = split_tasks(tasks, [config.task])
    task = limited(task, 1000)
    lora = LoraConfig(rank=RANK, scale=SCALE, num_layers=BLOCKS)
    depth = first_layer(backbone, random_adapter(backbone, lora, mx.random.key(0)))
    setup = Setup(Learner(WithFrozen(backbone, MIX), cosine_head(), SCALE, depth))
    method = method_named("meta_sgd")
    most = max(*config.steps, *MEMORY_STEPS)
    meta = init_meta(setup, method, lora, most, {"adapter": RATE, "head": RATE}, mx.random.key(0))
    for index, factors in enumerate(meta["base"].values()):  # with B at zero A would have no gradient to compare
        factors["lora_b"] = 0.02 * mx.random.normal(factors["lora_b"].shape, key=mx.random.key(index))
    stream = EpisodeStream([task], Sizes((WAYS, WAYS), (SHOTS,), QUERIES), max_tokens=MAX_TOKENS)
    outer = Outer(steps=1000, batch=BATCH, inner_steps=5)
    return Problem(backbone, task, lora, method, setup, meta, stream, PoolStates(backbone, depth, MAX_TOKENS), outer)


def built(backbone: str, scratch: Path) -> str:
    """A suite of synthetic texts for a backbone."""
    from metapeft import build
    from metapeft.backbones.tokens import tokenizer_of

    out = scratch / "suite"
    order = ["recipe=quickstart", f"tasks=[{TASK}]", f"tokenizer={tokenizer_of(backbone)}", f"out={out}", "quiet=true"]
    if build.main(order):
        raise MetapeftError("the synthetic suite could not be built")
    return str(out)


# --- the benchmark


def bench(config: Config) -> int:
    """Run everything, print it, write it; returns 1 where the two do not agree."""
    if config.quick:
        config = config.model_copy(update={"rounds": 1, "batches": 1})
    machine = {**about_machine(), "blas": blas.load().name}
    print("\n".join(f"{name:10}{value}" for name, value in machine.items()))
    with tempfile.TemporaryDirectory(prefix="metapeft-bench-") as scratch:
        problem = problem_of(config, Path(scratch))
    episodes = [problem.episode(index) for index in range(BATCH * config.batches)]
    sides = [side for e in episodes for side in (e.support_lengths, e.query_lengths)]
    lengths = np.concatenate(sides)
    padded = sum(len(side) * int(side.max()) for side in sides) / lengths.sum()
    blocks = problem.backbone.config.num_layers
    print(f"{'backbone':10}{config.backbone}: {blocks} blocks, {blocks - BLOCKS} of them below the adapters")
    what = f"{WAYS} ways, {SHOTS} shots, {QUERIES} queries"
    print(f"{'episodes':10}{len(episodes)} of {problem.task.config.task_id}, {what}")
    print(f"{'tokens':10}{lengths.mean():.1f} a text, longest {lengths.max()}", end="")
    print(f"; padded to the longest of their batch {padded:.1f} times as many")
    results: dict[str, Any] = {
        "machine": machine,
        "settings": config.model_dump(),
        "tokens": {"mean": float(lengths.mean()), "longest": int(lengths.max()), "padded": float(padded)},
    }
    results["meeting"] = meeting(problem)
    plain = Plain(problem.backbone, problem.meta, problem.outer)
    results["agreement"] = agreement(problem, plain, max(config.steps))
    ours = {"metapeft": Ours(problem, problem.method, problem.setup, problem.meta)}
    if config.hypernetwork:
        ours["metapeft, hypernetwork"] = generating(problem)
    seconds = take_turns(config, problem, ours, plain)
    results["rounds"] = {f"{what}: {who}": runs for (what, who), runs in seconds.items()}
    results["summary"] = report(config, seconds, results["meeting"])
    results["parts"] = parts(problem, ours, 1 if config.quick else 3)
    results["memory"] = memory(problem, plain, config.quick)
    path = Path(config.out) / "result.json"
    atomic.write_text(path, atomic.canonical_json(results))
    print(f"\nwritten to {path}")
    return 0 if results["agreement"]["agree"] else 1


def meeting(problem: Problem) -> dict[str, float]:
    """Run all texts of the task through the frozen layers, which meta-training does as it meets them."""
    task, began = problem.task, time.perf_counter()
    sides = [("support", task.support)] + ([] if task.one_pool else [("query", task.query)])
    rows = 0
    for side, pool in sides:
        rows += len(pool)
        problem.states.features(task, side, np.arange(len(pool)))
    taken = time.perf_counter() - began
    print(f"{'meeting':10}all {rows:,} texts of the task take {taken:.1f} s through the frozen layers, once a run")
    return {"texts": rows, "seconds": taken}


def agreement(problem: Problem, plain: Plain, steps: int) -> dict[str, Any]:
    """Whether both have the same query loss and the same meta-gradient, on one episode."""
    episode, task = problem.stream.episode(0)
    item = item_of(episode, task, problem.states, None)
    reading, grads = problem.method.gradient(problem.setup, problem.meta, item, steps)
    value, theirs = plain.gradient(episode, steps)
    loss_apart = abs(float(reading.loss) - float(value))

    def apart(branch: str) -> float:
        pairs: Any = zip(utils.tree_flatten(grads[branch]), utils.tree_flatten(theirs[branch]), strict=True)
        return max(float(mx.linalg.norm(a - b) / mx.maximum(mx.linalg.norm(b), 1e-12)) for (_, a), (_, b) in pairs)

    adapter, rates = apart("base"), apart("log_rates")
    agree = loss_apart <= 1e-4 and adapter <= 1e-3
    print(f"\nagreement  {'yes' if agree else 'NO: the comparison is void'} ({steps} inner steps)")
    print(f"  query loss {float(reading.loss):.6f} and {float(value):.6f}, apart by {loss_apart:.1e} (wanted: 1e-4)")
    print(
        f"  meta-gradient of A and B apart by at most {adapter:.1e} of itself (wanted: 1e-3), of the rates {rates:.1e}"
    )
    return {"agree": agree, "loss_apart": loss_apart, "adapter_apart": adapter, "rates_apart": rates}


def generating(problem: Problem) -> Ours:
    """Our default method: each task's adapter generated from its embedding."""
    supports = []
    for index in range(16):
        episode = problem.episode(10**9 + index)
        frozen = problem.states.features(problem.task, "support", episode.support_rows)
        supports.append(support_set(problem.task, episode, frozen))
    embedder = fit(supports, ("handcrafted", "prototypes", "task2vec"), 128)
    setup = problem.setup._replace(hypernetwork=hypernetwork_for(problem.backbone, problem.lora, dims=128))
    method = method_named("hypernetwork")
    meta = init_meta(setup, method, problem.lora, 5, {"adapter": RATE, "head": RATE}, mx.random.key(0))
    return Ours(problem, method, setup, meta, embedder)


Seconds = dict[tuple[str, str], list[float]]  # (what, who) -> seconds a task, one a round
PLAIN = "plain"


def take_turns(config: Config, problem: Problem, ours: dict[str, Ours], plain: Plain) -> Seconds:
    """Seconds a task, by inner steps and who."""
    counts: dict[str, int | None] = {f"{steps} steps": steps for steps in config.steps}
    counts[AS_TRAINED] = None

    def of_ours(who: Ours, steps: int | None) -> Callable[[int], Any]:
        return lambda step: who.outer_step(step, steps)

    def of_plain(steps: int | None) -> Callable[[int], Any]:
        def take(step: int) -> float:
            numbers = range(step * BATCH, (step + 1) * BATCH)
            return plain.outer_step([(problem.episode(i), problem.steps_of(steps, i)) for i in numbers])

        return take

    seconds: Seconds = {}
    for place in range(-1, config.rounds):  # the first round warms up
        name = "warming up" if place < 0 else f"round {place + 1} of {config.rounds}"
        print(name, file=sys.stderr, flush=True)
        for what, steps in counts.items() if place >= 0 else [(AS_TRAINED, None)]:
            turns = [(who, of_ours(mine, steps)) for who, mine in ours.items()] + [(PLAIN, of_plain(steps))]
            for who, turn in turns if place % 2 == 0 else reversed(turns):
                time.sleep(PAUSE)
                began = time.perf_counter()
                for step in range(config.batches):
                    turn(step)
                if place >= 0:
                    taken = (time.perf_counter() - began) / (config.batches * BATCH)
                    seconds.setdefault((what, who), []).append(taken)
    return seconds


def report(config: Config, seconds: Seconds, met: dict[str, float]) -> dict[str, Any]:
    """Print medians over the rounds, and ratios within rounds; returns both."""
    summary: dict[str, Any] = {}
    print(f"\na task: median (least .. most) of {config.rounds} rounds")
    for (what, who), runs in seconds.items():
        middle = statistics.median(runs)
        summary[f"{what}: {who}"] = {"seconds": middle, "least": min(runs), "most": max(runs)}
        print(f"  {what:14}{who:26}{spread(runs, 1e3)} ms{1 / middle:9.2f} tasks/s")
    print(f"\ntimes the plain form's tasks/s, within a round (target: {TARGET:g})")
    for (what, who), runs in seconds.items():
        if who == PLAIN:
            continue
        ratios = [theirs / mine for mine, theirs in zip(runs, seconds[what, PLAIN], strict=True)]
        summary[f"{what}: {who}"]["ratio"] = {
            "median": statistics.median(ratios),
            "least": min(ratios),
            "most": max(ratios),
        }
        verdict = "met" if statistics.median(ratios) >= TARGET else "MISSED"
        is_same = who == "metapeft"
        note = f"at least {TARGET:g}: {verdict}" if is_same else "(it does more than the plain form)"
        print(f"  {what:14}{who:26}{spread(ratios)}{note}")
    mine, theirs = (statistics.median(seconds[AS_TRAINED, who]) for who in ("metapeft", PLAIN))
    spread_over = theirs / (mine + met["seconds"] / MEETINGS)
    summary["with meeting"] = spread_over
    print(
        f"  {AS_TRAINED}, meeting the texts included and spread over {MEETINGS} episodes of the task: {spread_over:.2f}"
    )
    return summary


def parts(problem: Problem, ours: dict[str, Ours], repeats: int) -> dict[str, float]:
    """Print where the time of a task of ours goes, with 5 inner steps; mean over the first episodes."""
    mine, generated = ours["metapeft"], ours.get("metapeft, hypernetwork")
    taken: dict[str, list[float]] = {}

    def timed(name: str, what: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = what()
        if name != "draw":
            mx.eval(result)
        taken.setdefault(name, []).append(time.perf_counter() - began)
        return result

    for _ in range(repeats):
        for index in range(BATCH):
            episode, task = timed("draw", lambda i=index: problem.stream.episode(i))
            item = timed("states", lambda e=episode, t=task: item_of(e, t, problem.states, None))
            for steps in (0, 5):
                timed(f"{steps} steps", lambda i=item, s=steps: mine.method.gradient(mine.setup, problem.meta, i, s))
            if generated is not None:
                embedder = generated.embedder
                item = timed("embedded", lambda e=episode, t=task, m=embedder: item_of(e, t, problem.states, m))
                timed("generated", lambda i=item, g=generated: start(g.setup, g.state.meta, i.embedding))
    mean = {name: statistics.mean(times) for name, times in taken.items()}
    shown = {
        "draw the episode": mean["draw"],
        "gather its hidden states": mean["states"],
        "5 inner steps, head made": mean["5 steps"] - mean["0 steps"],
        "outer gradient": mean["0 steps"],
    }
    if "embedded" in mean:
        shown["(hypernetwork: embedding)"] = mean["embedded"] - mean["states"]
        shown["(hypernetwork: adapter)"] = mean["generated"]
    print(f"\nwhere a task's time goes on our side, mean of {len(taken['draw'])}")
    for name, value in shown.items():
        print(f"  {name:28}{1e3 * value:9.1f} ms")
    return shown


def memory(problem: Problem, plain: Plain, quick: bool) -> dict[str, Any]:
    """Print the most that MLX held beyond what it held before: by inner steps, and by tasks a batch."""

    def peak(what: Callable[[], Any]) -> int:
        mx.clear_cache()
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        what()
        return mx.get_peak_memory() - before

    def batch(tasks: int, steps: int) -> int:
        episode, task = problem.stream.episode(0)

        def take() -> None:  # one episode over and over: episodes differ in their tokens
            items = [(i, item_of(episode, task, problem.states, None), "") for i in range(tasks)]
            outer_step(begin(problem.meta), fixed(problem.method, steps), problem.setup, problem.outer, items)

        return peak(take)

    held = {steps: batch(1, steps) for steps in (MEMORY_STEPS[:2] if quick else MEMORY_STEPS)}
    tasks = {count: batch(count, 5) for count in (MEMORY_TASKS[:2] if quick else MEMORY_TASKS)}
    theirs = peak(lambda: plain.gradient(problem.episode(0), max(held)))
    mib = 2**20
    print("\nmemory beyond what is held anyway (weights)")
    print("  inner steps   " + "".join(f"{n:4}: {size / mib:7.1f} MiB" for n, size in held.items()), end="")
    first, last = held[min(held)], held[max(held)]
    print(f"   {max(held)} hold {last / first:.2f} times what {min(held)} holds: ", end="")
    print("flat" if last / first < 1.05 else "NOT FLAT")
    print("  tasks a batch " + "".join(f"{n:4}: {size / mib:7.1f} MiB" for n, size in tasks.items()), end="")
    slope = (tasks[max(tasks)] - tasks[1]) / (max(tasks) - 1)
    print(f"   {slope / mib:.1f} MiB a further task (its hidden states: tasks run one after another)")
    print(f"  the plain form, {max(held)} steps: {theirs / mib:.1f} MiB")
    return {
        "steps": {str(n): size for n, size in held.items()},
        "tasks": {str(n): size for n, size in tasks.items()},
        "plain": theirs,
    }


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return cli.run(bench, Config, argv, prog="bench_train.py", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
