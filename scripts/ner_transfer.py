"""Entities from fixed support sets: a checkpoint that tags words, given sentences of a file, tags a task's query pool.

    python scripts/ner_transfer.py checkpoint=runs/heldout/ner_domains-nano-0/last suite=runs/suites/ner task=wnut_17 \
        'support=[support-wnut-5shot/0.txt,support-wnut-5shot/1.txt]'
    python scripts/ner_transfer.py checkpoint=… suite=… task=broad_twitter support_task=conll2003 sentences=50

For published support sets (such as those of asappresearch/structshot: a word and its tag a line), or for domain shift:
the support set is drawn from another task, `episodes` times, and the types are those that both tasks have. All query
rows are tagged. Micro F1, precision and recall, strict; the mean over support sets and its deviation.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, cli
from metapeft.building.pipeline import tag_ids
from metapeft.episodes.episode import Episode
from metapeft.episodes.tagging import TaggingSampler
from metapeft.errors import MetapeftError
from metapeft.evaluation import tagging_baselines
from metapeft.evaluation.bench import Opened, Sizes, open_checkpoint, prior_of, read_episode
from metapeft.meta.checkpoint import read_facts
from metapeft.meta.judge import Counts, counted, counts_of_all, predicted
from metapeft.meta.methods import transitions_of_item
from metapeft.meta.prior import Prior, size_of
from metapeft.meta.run import tasks_of_suites
from metapeft.meta.select import choose, cross_validate, read
from metapeft.sources.tagged import read_tagged
from metapeft.tasks.config import TaskConfig
from metapeft.tasks.pool import Pool, Ragged
from metapeft.tasks.suite import Suite
from metapeft.tasks.tags import renumbered
from metapeft.tasks.task import Task
from metapeft.tokenization.tokenizer import encode_words, label_words, load_tokenizer


class Config(BaseModel):
    """Options of the script."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    checkpoint: str = Field(description="folder of a checkpoint that tags words")
    suite: str = Field(description="suite with the task and the checkpoint's validation tasks")
    backbone: str = Field(default="nano", description="the one it was trained for")
    task: str = Field(description="task whose query pool is tagged")
    support: list[str] = Field(default=[], description="files of tagged sentences, each a support set")
    support_task: str | None = Field(default=None, description="task that support sets are drawn from")
    sentences: int = Field(default=50, ge=1, description="of a support set that is drawn")
    episodes: int = Field(default=5, ge=1, description="support sets that are drawn")
    prior_episodes: int = Field(default=30, ge=1, description="episodes a validation task for the prior of auto")
    rows: int = Field(default=10_000, ge=1, description="query rows that are tagged, at most")
    out: str = Field(default="runs/ner_transfer", description="folder of result.json")


def run(config: Config) -> int:
    """Run the script."""
    if bool(config.support) == bool(config.support_task):
        raise MetapeftError("give either support= (files) or support_task=")
    suite = Suite(config.suite)
    kind = read_facts(config.checkpoint).get("kind")
    if kind != "tagging":
        raise MetapeftError(f"{config.checkpoint}: it does not tag words (kind {kind})")
    tasks, _, backbone = tasks_of_suites([suite], config.backbone, 0, kind)
    known = {task.config.task_id: task for task in tasks}
    opened = open_checkpoint(config.checkpoint, backbone)
    if config.task in opened.facts["training"]:
        raise MetapeftError(f"the checkpoint was trained on '{config.task}'")
    validation = [known[name] for name in opened.facts["validation"]]
    prior = prior_of(opened, validation, Sizes(rows=600), config.prior_episodes)
    target = known[suite.task(config.task).id]
    scores: dict[str, list[float]] = {}
    counts: dict[str, list[list[int]]] = {}
    chosen = []
    for number in range(len(config.support) or config.episodes):
        if config.support:
            task = from_file(config.support[number], target, suite)
            shots = len(task.support)
        else:
            task = shifted(known[suite.task(config.support_task or "").id], target)
            shots = config.sentences
        rows = min(config.rows, len(task.query))
        longest = opened.facts["max_tokens"]
        drawn = TaggingSampler(task, shots, rows, by="sentences", seed=number, max_tokens=longest)
        found, choice = tagged(opened, task, drawn.episode(0), prior)
        chosen.append(choice)
        for name, own in found.items():
            counts.setdefault(name, []).append(list(own))
            scores.setdefault(name, []).append(own.f1)
        said = ", ".join(f"{name} {100 * found[name].f1:.1f}" for name in SHOWN)
        print(
            f"{config.support[number] if config.support else number}: {shots} sentences, {said} ({choice})", flush=True
        )
    means = {name: [float(np.mean(own)), float(np.std(own))] for name, own in scores.items()}
    print("\nmicro F1, mean ± deviation over support sets")
    for name, (mean, deviation) in sorted(means.items(), key=lambda each: -each[1][0]):
        print(f"  {100 * mean:5.1f} ± {100 * deviation:4.1f}  {name}")
    result = {"config": config.model_dump(), "means": means, "chosen": chosen, "counts": counts}
    atomic.write_text(Path(config.out) / "result.json", atomic.canonical_json(result))
    return 0


SHOWN = ("frozen", "auto", "nearest neighbour", "structured nearest neighbour")


def tagged(opened: Opened, task: Task, episode: Episode, prior: Prior) -> tuple[dict[str, Counts], str]:
    """Mentions by method, and what auto chose."""
    item, known, near = read_episode(opened, episode, task)
    logits = read(opened.setup, opened.method, opened.meta, item, (*opened.candidates, *opened.beside), known)
    truth, transitions = item.query.sentences, transitions_of_item(opened.setup, item)
    assert truth is not None
    totals = counts_of_all(list(logits.values()), truth, transitions).sum(axis=1)
    found = {name: Counts(*own.tolist()) for name, own in zip(logits, totals, strict=True)}
    validated = cross_validate(
        opened.setup, opened.method, opened.meta, item, lambda rows: item.support, opened.candidates, 5, known
    )
    choice = choose(opened.candidates, validated, prior, near, size_of(item.support, item.ways)).candidate.name
    found["auto"] = found[choice]
    nearest = tagging_baselines.nearest_logits(item)
    for name, how in (("nearest neighbour", None), ("structured nearest neighbour", transitions)):
        found[name] = counted(predicted(nearest, truth, how), truth)
    found["gazetteer"] = counted(tagging_baselines.gazetteer(episode), truth)
    return found, choice


def from_file(path: str, target: Task, suite: Suite) -> Task:
    """The task with the sentences of a file for support pool.

    Raises:
        MetapeftError: the file has a type that the task has not; or as `read_tagged`.
    """
    sentences, _ = read_tagged(path)
    names = {label_words(label): label for label in target.labels}
    ids = tag_ids(target.labels)
    rows = []
    for sentence in sentences:
        own = []
        for tag in sentence.tags:
            prefix, _, label = tag.partition("-")
            if label and label_words(label) not in names:
                raise MetapeftError(f"{path}: type '{label}' is none of {', '.join(target.labels)}")
            own.append(ids[f"{prefix}-{names[label_words(label)]}" if label else "O"])
        rows.append(own)
    tokenizer = load_tokenizer(suite.manifest["tokenizer"]["name"])
    tokens = encode_words(tokenizer, [sentence.words.words for sentence in sentences], rows, 512)
    assert tokens.y is not None
    name = f"{Path(path).parent.name}-{Path(path).stem}->{target.config.task_id}"
    return made(name, target, Pool("tagging", tokens.x, tokens.y), target.query, target.labels)


def shifted(source: Task, target: Task) -> Task:
    """Support sets of one task and query sets of another, with the types that both have.

    Raises:
        MetapeftError: they have none in common.
    """
    labels = [label for label in source.labels if label in target.labels]
    if not labels:
        raise MetapeftError(f"'{source.config.task_id}' and '{target.config.task_id}' have no type in common")
    pools = []
    for task, pool in ((source, source.support), (target, target.query)):
        assert isinstance(pool.y, Ragged) and isinstance(pool.x, Ragged)
        types = np.array([task.labels.index(label) for label in labels])
        values = np.asarray(pool.y.values[int(pool.y.offsets[0]) : int(pool.y.offsets[-1])])
        tags = Ragged(renumbered(values, types, task.config.num_classes), pool.y.offsets - pool.y.offsets[0])
        pools.append(Pool("tagging", pool.x, tags))
    return made(f"{source.config.task_id}->{target.config.task_id}", target, pools[0], pools[1], labels)


def made(name: str, target: Task, support: Pool, query: Pool, labels: list[str]) -> Task:
    """A task of the target's domain with these pools."""
    old = target.config
    sizes = (len(labels), old.input_dim, len(support), len(query))
    config = TaskConfig(name, old.task_family, *sizes, old.domain, old.difficulty)
    return Task(config, support, query, labels, target.language, pad_id=target.pad_id)


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return cli.run(
        run,
        Config,
        argv,
        prog="ner_transfer.py",
        description="Entities from fixed support sets, or from sentences of another domain.",
        examples=["python scripts/ner_transfer.py checkpoint=DIR suite=DIR task=wnut_17 'support=[0.txt,1.txt]'"],
    )


if __name__ == "__main__":
    sys.exit(main())
