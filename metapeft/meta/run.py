"""A meta-training run: what it trains on, the loop with validation and checkpoints, and how it goes on after a kill."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metapeft import atomic
from metapeft.adapters.hypernetwork import Hypernetwork, count_numbers, hypernetwork_for
from metapeft.adapters.lora import LoraConfig, first_layer, targets
from metapeft.backbones.backbone import Backbone
from metapeft.backbones.decoder import Decoder
from metapeft.backbones.encoder import Encoder
from metapeft.backbones.load import load_backbone
from metapeft.backbones.mlp import make_mlp
from metapeft.backbones.tokens import check_tokenizer
from metapeft.embeddings.embedder import Embedder, fit
from metapeft.episodes.curriculum import Curriculum, read_curriculum
from metapeft.episodes.sampler import EpisodeSampler
from metapeft.episodes.tagging import TaggingSampler
from metapeft.errors import BackboneError, EpisodeError, MetapeftError, SuiteError
from metapeft.evaluation.intervals import bootstrap_interval
from metapeft.heads import (
    cosine_head,
    euclidean_head,
    language_head,
    logistic_head,
    ridge_head,
    tagger_and_logistic_head,
    tagger_head,
)
from metapeft.meta import checkpoint as checkpoints
from metapeft.meta import distributed
from metapeft.meta.checkpoint import Checkpoint, CheckpointError
from metapeft.meta.inner_loop import Learner
from metapeft.meta.judge import transitions_of
from metapeft.meta.methods import Setup, init_meta, method_named
from metapeft.meta.outer_loop import (
    Outer,
    State,
    begin,
    item_of,
    items_at,
    names_for,
    outer_step,
    support_set,
    with_classes,
)
from metapeft.meta.readings import FROZEN, RANDOM, accuracies, random_curve
from metapeft.meta.states import PoolStates, Unmixed, WithFrozen
from metapeft.meta.stream import EpisodeStream, Sizes, limited, sampler_of, split_tasks, too_long
from metapeft.meta.tracking import Metrics, tracker
from metapeft.mlx import mx, utils
from metapeft.tasks.sampling import key_of
from metapeft.tasks.suite import Suite
from metapeft.tasks.task import Task

if TYPE_CHECKING:
    from metapeft.train import TrainConfig

HEADS = {
    "cosine": cosine_head,
    "euclidean": euclidean_head,
    "ridge": ridge_head,
    "logistic": logistic_head,  # chosen by `auto`, not trained with
    "tagger": tagger_head,
    "tagger and logistic": tagger_and_logistic_head,  # as logistic
}
DEFAULTS_OF: dict[str, dict[str, Any]] = {
    # one type too: who asks for one has sentences with others, and they are O. The mix was chosen on validation tasks.
    "tagging": {"inner_steps": 0, "max_tokens": 96, "mix": 0.35, "ways": [1, 5]},
    "generation": {"inner_steps": 5, "max_tokens": 512, "mix": 1.0, "shots": [5, 10], "prior_episodes": 0},
}
HEAD_OF = {"classification": "cosine", "points": "cosine", "tagging": "tagger", "generation": "language"}
METRIC_OF = {
    "classification": "accuracy",
    "points": "accuracy",
    "tagging": "entity F1",
    "generation": "share of tokens said right",
}
# Of the generated term once training has ended. Words: chosen on validation tasks, 1 to 10 mentions of 1 to 5 types.
WEIGHT_OF = {"tagging": 0.5}
KINDS_BY_DEFAULT = ("classification", "tagging", "generation")
MLP = "mlp"
FITTED_FROM = 10**9  # numbers of the episodes that the embedding is fitted on: training never gets there


class Run:
    """A run, set up: everything is checked before the first step.

    Args:
        config: what was asked for.

    Raises:
        MetapeftError: no suite, backbone or task, a name that is neither task nor family, a task that is too small, or
            a checkpoint of another run where this one would go.
    """

    def __init__(self, config: TrainConfig):
        self.rank, self.world = distributed.group()
        self.out = Path(config.out) if config.out else default_out(config)
        self.suite, *more = suites = [Suite(path) for path in (config.suite, *config.more)]
        self.method = method_named(config.method)
        tasks, _, self.backbone = tasks_of_suites(suites, config.backbone, config.seed, config.kind)
        kind = tasks[0].kind
        config = self.config = with_defaults(config, kind)
        if kind == "tagging" and config.inner_steps:
            raise MetapeftError(
                f"inner_steps={config.inner_steps}: words are tagged without gradient steps, a word outside is its own "
                "nearest one\n  leave inner_steps out"
            )
        if config.ways[0] > config.ways[1]:
            raise MetapeftError(f"ways={config.ways}: needs [least, most]")
        if kind != "tagging" and config.ways[0] < 2:
            raise MetapeftError(
                f"ways={config.ways}: it takes two classes to tell them apart; only tagging has episodes of one"
            )
        head = config.head or HEAD_OF[kind]
        if (head == "tagger") != (kind == "tagging") or (head == "language") != (kind == "generation"):
            raise MetapeftError(f"head={head} does not fit tasks of kind {kind}: leave it out")
        if kind == "generation" and (config.mix != 1 or config.keep):
            raise MetapeftError("mix= and keep= are about features that are compared; a language model has none")
        if kind == "generation" and config.method == "anil":
            raise MetapeftError("method=anil moves the head alone, and that of a language model stays as it is")
        if kind == "generation" and config.prior_episodes:
            raise MetapeftError(
                "prior_episodes: texts have no prior beside the checkpoint, evaluate fits one\n  leave it out"
            )
        _, tasks = split_tasks(tasks, config.exclude)
        self.validation, self.training = _validation_split(tasks, config.validation, config.training)
        self.settings = settings_of(config) | {
            "suite_sha256": self.suite.sha256,
            "more_sha256": [suite.sha256 for suite in more],
            "backbone": self.backbone.digest,
        }
        lora = config.lora.model_dump()
        self.lora = LoraConfig(**lora)
        learner = learner_of(self.backbone, self.lora, head, config.mix)
        h = config.hypernetwork
        self.hypernetwork: Hypernetwork | None = None
        self.facts: dict[str, Any] = {
            "method": config.method,
            "lora": lora,
            "hypernetwork": None,
            "kind": kind,
            "head": head,
            "mix": config.mix,
            "inner_steps": config.inner_steps,
            "max_tokens": config.max_tokens,
            "names": config.names,
            "suite": self.suite.manifest["name"],
            "suite_sha256": self.suite.sha256,
            "origin": self.suite.manifest["origin"],
            "training": [task.config.task_id for task in self.training],
            "validation": [task.config.task_id for task in self.validation],
            "training_families": sorted({task.config.task_family for task in self.training}),
            "settings": self.settings,
        }
        if "generator" in self.method.learns:
            rate_steps = max(config.inner_steps, 1) if h.task_rates else 0
            shape = {"dims": h.dims, "term": h.term, "width": h.width, "rate_steps": rate_steps}
            self.hypernetwork = hypernetwork_for(self.backbone, self.lora, **shape)
            weight = WEIGHT_OF.get(kind, 1.0) if h.weight is None else h.weight
            self.facts["hypernetwork"] = shape | {"weight": weight}
        transitions = None
        if kind == "tagging":
            transitions = transitions_of(task.support for task in self.training)
            self.facts["transitions"] = transitions.tolist()
        self.setup = Setup(
            learner,
            self.hypernetwork,
            config.label_smoothing,
            config.keep,
            config.every_step,
            config.order,
            transitions,
        )
        # how checkpoints are read: training itself has the whole generated term
        self.reading = self.setup._replace(hypernetwork=checkpoints.hypernetwork_of(self.facts, self.backbone))
        self.outer = Outer(
            config.steps,
            config.batch,
            config.learning_rate,
            warmup=config.warmup,
            clip=config.clip,
            inner_steps=config.inner_steps,
            seed=config.seed,
        )
        sizes = Sizes((config.ways[0], config.ways[1]), tuple(config.shots), config.query)
        self.training = [limited(task, config.rows) for task in self.training]
        self.validation = [limited(task, config.rows) for task in self.validation]
        self.stream = EpisodeStream(
            self.training,
            sizes,
            seed=config.seed,
            curriculum=_curriculum(config.curriculum),
            max_tokens=config.max_tokens,
        )
        if config.batch % self.world:
            raise MetapeftError(f"batch={config.batch} cannot be shared evenly by {self.world} ranks")
        self.states = PoolStates(self.backbone, learner.depth, config.max_tokens)
        self._say_what()

    # --- the run

    def go(self) -> int:
        """Train to the end; returns the exit code."""
        checkpoint = self._last() or self._first()
        state, embedder = checkpoint.state, checkpoint.embedder
        history: list[dict[str, Any]] = list(checkpoint.facts.get("history", []))
        if state.step:
            self._say(f"going on from step {state.step}")
        log = tracker(self.config.report_to if self.rank == 0 else "none", "metapeft", self.settings, self.out)
        metrics = Metrics(self.out / "metrics.jsonl", state.step, log) if self.rank == 0 else None
        if self.rank == 0:
            atomic.write_text(self.out / "config.json", atomic.canonical_json(self.config.model_dump()))
        average = distributed.average if self.world > 1 else None
        if not history:
            history.append(self._validated(state, embedder))
        began, first = time.perf_counter(), state.step
        while state.step < self.outer.steps and not self._given_up(history):
            step_began = time.perf_counter()
            items = items_at(
                self.stream,
                self.states,
                embedder,
                self.outer,
                state.step,
                self.rank,
                self.world,
                unrelated=self.config.keep > 0,
                names=self.config.names,
            )
            state, report = outer_step(state, self.method, self.setup, self.outer, items, average)
            seconds = time.perf_counter() - step_began
            numbers = report._asdict() | {"tasks_per_second": self.outer.batch / seconds, "seconds": seconds}
            last = state.step == self.outer.steps
            if state.step % self.config.validate_every == 0 or last:
                history.append(self._validated(state, embedder))
                numbers |= {f"validation_{name}": value for name, value in history[-1].items() if name != "step"}
            if metrics is not None:
                metrics.write(state.step, numbers)
            if state.step % 10 == 0 or last or state.step == 1:
                self._say_step(state.step, report, began, first)
            facts = self.facts | {"history": history, "library": checkpoint.facts["library"]}
            checkpoint = checkpoint._replace(state=state, facts=facts)
            if history[-1]["step"] == state.step and history[-1]["score"] >= max(h["score"] for h in history):
                self._save("best", checkpoint)
            if state.step % self.config.save_every == 0 or last or self._given_up(history):
                self._save("last", checkpoint)
        self._finish(checkpoint, history)
        return 0

    def _first(self) -> Checkpoint:
        embedder, library, names = None, np.zeros((0, 0), np.float32), []
        if self.hypernetwork is not None:
            embedder, library, names = self._fit_embedder()
        key = mx.random.key(self.config.seed)
        rates = {"adapter": self.config.inner_rate, "head": self.config.inner_rate}
        meta = init_meta(self.setup, self.method, self.lora, self.config.inner_steps, rates, key)
        meta = with_classes(meta, self.method, self.training, self.setup.learner.backbone.hidden_size, key)
        mx.eval(meta)
        return Checkpoint(begin(meta), embedder, library, self.facts | {"library": names, "history": []})

    def _fit_embedder(self) -> tuple[Embedder, np.ndarray, list[str]]:
        options = self.config.hypernetwork
        supports, names = [], []
        for number in range(options.episodes):
            episode, task = self.stream.episode(FITTED_FROM + number)
            frozen = self.states.features(task, "support", episode.support_rows)
            named = names_for(options.blocks, task, episode, self.states)
            supports.append(support_set(task, episode, frozen, named))
            names.append(task.config.task_id)
            if number % 100 == 99:
                self._say(f"task embedding: {number + 1} of {options.episodes} episodes")
        embedder = fit(supports, tuple(options.blocks), options.dims)
        return embedder, np.stack([embedder.embed(support) for support in supports]), names

    def _last(self) -> Checkpoint | None:
        folder = self.out / "last"
        if not self.config.resume or not folder.exists():
            return None
        loaded = checkpoints.load(folder, self.backbone)
        if loaded.state.moments is None:
            raise CheckpointError(f"{folder}: has no moments.safetensors, so training cannot go on from it")
        before, now = loaded.facts["settings"], _as_json(self.settings)
        differing = sorted(name for name, value in now.items() if before.get(name) != value)
        if differing:
            raise CheckpointError(
                f"{self.out}: holds a run with other settings ({', '.join(differing)})\n"
                "  give another out=, the same settings, or resume=false to start anew"
            )
        return loaded

    def _save(self, name: str, checkpoint: Checkpoint) -> None:
        if self.rank == 0:
            checkpoints.save(self.out / name, checkpoint, self.backbone)

    # --- validation

    def _validated(self, state: State, embedder: Embedder | None) -> dict[str, Any]:
        """Accuracy on fixed episodes of the validation tasks, without a step and after the most inner steps."""
        before, after = [], []
        for task in self.validation:
            sampler = self._validation_sampler(task, 10_000)
            own_before, own_after = [], []
            for episode in sampler.episodes(0, self.config.validation_episodes):
                item = item_of(episode, task, self.states, embedder, names=self.config.names == "always")
                curve = accuracies(
                    self.reading, self.method, state.meta, item, self.config.inner_steps if self.method.steps else 0
                )
                own_before.append(curve[0])
                own_after.append(curve[-1])
            before.append(np.mean(own_before))
            after.append(np.mean(own_after))
        score = distributed.agree(float(np.mean([before, after])))
        return {"step": state.step, "start": float(np.mean(before)), "end": float(np.mean(after)), "score": score}

    def _given_up(self, history: list[dict[str, Any]]) -> bool:
        if not self.config.patience:
            return False
        scores = [entry["score"] for entry in history]
        return len(scores) - 1 - int(np.argmax(scores)) >= self.config.patience

    # --- what is said

    def _say(self, line: str) -> None:
        if self.rank == 0:
            print(line, flush=True)

    def _say_what(self) -> None:
        config = self.config
        families = Counter(task.config.task_family for task in self.training)
        self._say(f"suite       {self.suite.path} (origin {self.suite.manifest['origin']})")
        if self.suite.manifest["origin"] == "synthetic":
            self._say("            SYNTHETIC: figures say nothing about real text")
        self._say(
            f"training    {len(self.training)} tasks: " + ", ".join(f"{f} {n}" for f, n in sorted(families.items()))
        )
        self._say(
            "validation  "
            + ", ".join(task.config.task_id for task in self.validation[:8])
            + (f" and {len(self.validation) - 8} more" if len(self.validation) > 8 else "")
        )
        meta = init_meta(
            self.setup, self.method, self.lora, config.inner_steps, {"adapter": 0.1, "head": 0.1}, mx.random.key(0)
        )
        learned = {name: meta[name] for name in self.method.learns if name in meta}
        sizes = ", ".join(f"{name} {count_numbers(branch):,}" for name, branch in learned.items())
        for task in (*self.training, *self.validation):
            name, (cut, lost) = task.config.task_id, too_long(task, config.max_tokens)
            if cut:
                said = f"{cut} rows at {config.max_tokens} tokens (max_tokens=)" + f", {lost} mentions lie beyond" * (
                    task.kind == "tagging"
                )
                self._say(f"cut         {name}: {said}")
        self._say(f"method      {config.method} on {config.backbone}; parameters: {sizes}")
        self._say(f"out         {self.out}")

    def _say_step(self, step: int, report: Any, began: float, first: int) -> None:
        rate = (time.perf_counter() - began) / max(1, step - first)
        left = rate * (self.outer.steps - step)
        self._say(
            f"[{step}/{self.outer.steps}] meta-loss {report.meta_loss:.3f}  query {100 * report.query_accuracy:.1f} %  "
            f"norm {report.gradient_norm:.2f}  {self.outer.batch / rate:.1f} tasks/s  {left:.0f} s left"
        )

    def _finish(self, checkpoint: Checkpoint, history: list[dict[str, Any]]) -> None:
        best = max(history, key=lambda entry: entry["score"])
        if self.rank:
            return
        where = self.out / ("best" if best["step"] else "last")
        if best["step"]:
            checkpoint = checkpoints.load(where, self.backbone)
        curves = self._curves(checkpoint)
        result = {
            "verb": "train",
            "method": self.config.method,
            "suite": self.suite.manifest["name"],
            "origin": self.suite.manifest["origin"],
            "backbone": self.config.backbone,
            "steps": history[-1]["step"],
            "history": history,
            "best": best,
            "curves": curves,
            "checkpoint": str(where),
        }
        atomic.write_text(self.out / "result.json", atomic.canonical_json(result))
        self._say(
            f"\nvalidation tasks, 5 shots, {METRIC_OF[self.facts['kind']]} after each gradient step "
            f"(checkpoint of step {best['step']}):"
        )
        for curve_ in curves:
            figures = "  ".join(f"{step}: {100 * mean:.1f}" for step, mean in enumerate(curve_["mean"]))
            low, high = (100 * end for end in curve_["ci95"][-1])
            self._say(f"  {curve_['method']:<24} {figures}   (last: 95 % interval {low:.1f} to {high:.1f})")
        if not best["step"]:
            self._say("no validation was better than the one before training: best/ was not written")
        self._say(f"checkpoint  {where}")

    def _curves(self, checkpoint: Checkpoint) -> list[dict[str, Any]]:
        """Accuracy on the validation tasks by step: what was learned, the frozen prototype, a random start.

        The episodes are none of those that chose the checkpoint; the tasks are the same.
        """
        steps = self.config.inner_steps if self.method.steps else 0
        meta = checkpoint.state.meta
        still = {name: branch for name, branch in meta.items() if name != "generator"}
        frozen = self.setup._replace(hypernetwork=None)
        if isinstance(self.setup.learner.backbone, WithFrozen):
            frozen = frozen._replace(learner=self.setup.learner._replace(backbone=WithFrozen(self.backbone, 0.0)))
            name = FROZEN
        else:
            still |= {"base": utils.tree_map(mx.zeros_like, still["base"])}
            name = "frozen model"
        curves: dict[str, list[list[float]]] = {f"learned ({self.config.method})": [], name: [], RANDOM: []}
        learned, prototype, random = curves.values()
        for task in self.validation:
            for episode in self._validation_sampler(task, 20_000).episodes(0, self.config.validation_episodes):
                item = item_of(episode, task, self.states, checkpoint.embedder, names=self.config.names == "always")
                learned.append(accuracies(self.reading, self.method, meta, item, steps))
                prototype.append(accuracies(frozen, self.method, still, item, 0))
                random.append(random_curve(self.setup.learner, self.lora, item, max(steps, 5), episode.index))
        rows = []
        for name, values in curves.items():
            ends = bootstrap_interval(np.array(values), np.random.default_rng(0))
            rows.append({"method": name, "mean": np.mean(values, axis=0).tolist(), "ci95": ends.T.tolist()})
        return rows

    def _validation_sampler(self, task: Task, seed: int) -> EpisodeSampler | TaggingSampler:
        return sampler_of(task, self.stream.sizes.ways[1], 5, 10, self.config.max_tokens, seed + self.config.seed)


# --- parts


def default_out(config: TrainConfig) -> Path:
    """Where a run goes when nothing is said."""
    suite = Path(config.suite).resolve().name
    return Path("runs/train") / f"{suite}-{config.method}-{config.backbone.rstrip('/').rpartition('/')[2]}"


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """What the numbers of a run depend on: everything but where it goes and how it is watched."""
    watching = {"out", "report_to", "resume", "dry_run", "save_every", "suite", "more", "backbone", "prior_episodes"}
    return config.model_dump(exclude=watching)


def with_defaults(config: TrainConfig, kind: str) -> TrainConfig:
    """The options with the defaults of a kind of tasks, where they were left out and differ."""
    return config.model_copy(
        update={name: value for name, value in DEFAULTS_OF.get(kind, {}).items() if name not in config.model_fields_set}
    )


def learner_of(backbone: Backbone, lora: LoraConfig, head: str, mix: float) -> Learner:
    """The learner of a run: a head by its name in `HEADS` on frozen features beside adapted ones.

    With the head ``language`` it is the backbone's own, on adapted states alone.
    """
    depth = first_layer(backbone, dict.fromkeys(targets(backbone, lora), {}))
    if head == "language":
        assert isinstance(backbone, Decoder)  # `tasks_and_backbone` saw to it
        return Learner(Unmixed(backbone), language_head(backbone), lora.scale, depth)
    return Learner(WithFrozen(backbone, mix), HEADS[head](), lora.scale, depth)


def setup_of(folder: str | Path, facts: dict[str, Any], backbone: Backbone) -> Setup:
    """The setup that a checkpoint is read with: as in training, with what training tasks say of mentions.

    Args:
        folder: of the checkpoint.
        facts: what it says of itself.
        backbone: the one it was trained for.

    Raises:
        CheckpointError: what it says of mentions cannot be read.
    """
    return Setup(
        learner_of(backbone, LoraConfig(**facts["lora"]), facts["head"], facts["mix"]),
        checkpoints.hypernetwork_of(facts, backbone),
        transitions=np.array(facts["transitions"]) if "transitions" in facts else None,
        detector=checkpoints.detector_of(folder),
    )


def tasks_and_backbone(suite: Suite, name: str, seed: int, kind: str | None = None) -> tuple[list[Task], Backbone]:
    """The tasks of a suite that a backbone can run, opened, and the backbone.

    `mlp` is a random network for points, of the dimension that most of the suite's points tasks have. `kind` says which
    of the others; None: the first of `KINDS_BY_DEFAULT` that the suite has.

    Raises:
        SuiteError: there are none, or the suite was tokenized for another backbone.
        BackboneError: the backbone cannot read word by word, and the tasks are of kind tagging; or it writes no text.
    """
    if name == MLP:
        tasks = [suite.load(task.id) for task in suite.tasks if task.kind == "points"]
        if not tasks:
            raise SuiteError(f"{suite.path}: no points task for backbone=mlp")
        counts = Counter(task.config.input_dim for task in tasks)
        dims = max(counts, key=lambda d: (counts[d], -d))
        return [task for task in tasks if task.config.input_dim == dims], make_mlp(dims, seed=seed)
    check_tokenizer(suite, name)
    kinds = {task.kind for task in suite.tasks}
    kind = kind or next((each for each in KINDS_BY_DEFAULT if each in kinds), KINDS_BY_DEFAULT[0])
    tasks = [suite.load(task.id) for task in suite.tasks if task.kind == kind]
    if not tasks:
        raise SuiteError(f"{suite.path}: no {kind} task for backbone={name}; points need backbone=mlp")
    backbone = load_backbone(name)
    if kind == "tagging" and not isinstance(backbone, Encoder):
        raise BackboneError(f"backbone '{name}' is no encoder: tagging reads words with what follows them")
    if kind == "generation" and not isinstance(backbone, Decoder):
        raise BackboneError(
            f"backbone '{name}' writes no text: kind generation needs a causal language model, such as backbone=pico"
        )
    return tasks, backbone


def tasks_of_suites(
    suites: Sequence[Suite], name: str, seed: int, kind: str | None = None
) -> tuple[list[Task], dict[str, Suite], Backbone]:
    """The tasks of several suites that a backbone can run, the suite of each task id, and the backbone.

    Raises:
        SuiteError: two suites have a task of one id, or as `tasks_and_backbone`.
    """
    opened = [tasks_and_backbone(suite, name, seed, kind) for suite in suites]
    tasks: list[Task] = []
    home: dict[str, Suite] = {}
    for suite, (own, _) in zip(suites, opened, strict=True):
        for task in own:
            if task.config.task_id in home:
                raise SuiteError(f"two suites have a task '{task.config.task_id}': a run could not tell them apart")
            home[task.config.task_id] = suite
        tasks += own
    return tasks, home, opened[0][1]


def _validation_split(
    tasks: list[Task], validation_names: list[str], training_names: list[str]
) -> tuple[list[Task], list[Task]]:
    """Validation and training tasks.

    Validation has the tasks named, or about a fifth by a hash of the id, one at least; training has those named, or
    the rest. The only task of its family is taken last: validation on a family that training lacks is to be asked for.
    """
    if training_names and validation_names:
        validation, rest = split_tasks(tasks, validation_names)
        return validation, split_tasks(rest, training_names)[0]
    if training_names:
        tasks, _ = split_tasks(tasks, training_names)
    if validation_names:
        validation, training = split_tasks(tasks, validation_names)
    else:
        sizes = Counter(task.config.task_family for task in tasks)

        def place(task: Task) -> tuple[bool, int]:
            return sizes[task.config.task_family] == 1, int(key_of("validation", task.config.task_id)[0])

        order = sorted(tasks, key=place)
        validation = order[: max(1, math.ceil(len(order) / 5))]
        training = [task for task in tasks if task not in validation]
    if not training or not validation:
        raise EpisodeError(
            f"{len(tasks)} tasks are left to train and validate on, and both need one at least\n"
            "  exclude fewer, or name other validation tasks"
        )
    return validation, training


def _curriculum(name: str | None) -> Curriculum | None:
    if name is None:
        return None
    return read_curriculum(None if name == "default" else Path(name))


def _as_json(value: Any) -> Any:
    """A value as JSON gives it back."""
    return json.loads(json.dumps(value))
