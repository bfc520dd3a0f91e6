"""Whether task embeddings put tasks of one family together, block by block.

    python scripts/measure_embeddings.py suite=runs/suites/all backbone=nano episodes=20 shots=5

The seed's Experiment 1. The tasks of every family are dealt out alternately into two halves. An embedder is fitted on
support sets of one half and measured on those of the other, then the other way round, so that no figure is about a task
the embedder has seen.

Purity is the share of episodes whose nearest neighbour is of their own family, silhouette how much nearer their own
family is than the nearest other one. Episodes of the same task are never compared with each other, and families with
one task in a half are only there to be mistaken for. Beside both stand the same figures with families dealt out anew
among the tasks: a task embedding that knows nothing of families gets those.

Families can also be told apart by how many classes their tasks have: `ways=2` takes that away. And by what a recipe
calls their domain: the row `domain hidden` does without it.

`OUT` gets `result.json`, and `embeddings.svg` and `embeddings.png`: both halves' embeddings of all blocks in two
dimensions (t-SNE), a marker and a colour a family. Episodes of one task lie together whatever the embedder knows of
families, so the figures in the titles count, not the look. They need the extras `eval` and `plots`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

# pyrefly: ignore[missing-import]
import figures
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from metapeft import atomic, cli
from metapeft.backbones.backbone import Backbone
from metapeft.backbones.load import load_backbone
from metapeft.backbones.tokens import check_tokenizer
from metapeft.embeddings.embedder import DEFAULT_BLOCKS, fit
from metapeft.embeddings.similarity import cluster_quality
from metapeft.embeddings.support import SupportSet
from metapeft.episodes import EpisodeSampler
from metapeft.errors import EpisodeError, SuiteError
from metapeft.heads.head import unit
from metapeft.meta.outer_loop import support_set
from metapeft.mlx import mx
from metapeft.tasks.padding import gather_x
from metapeft.tasks.suite import Suite, SuiteTask
from metapeft.tasks.task import Task

DESCRIPTION = "Whether task embeddings put tasks of one family together, block by block."
EXAMPLES = [
    "python scripts/measure_embeddings.py suite=runs/suites/synthetic_text",
    "python scripts/measure_embeddings.py suite=runs/suites/all episodes=20 shots=5 ways=2",
]
BATCH = 64  # texts that run through the network together
FIGURES = ("purity", "shuffled_purity", "p_purity", "silhouette", "shuffled_silhouette", "p_silhouette")
HIDDEN = "all, domain hidden"


class Config(BaseModel):
    """What the script takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    suite: str = Field(description="folder that `metapeft build` wrote")
    backbone: str = Field(default="nano", description="nano, a folder or a Hub id")
    out: str | None = Field(default=None, description="folder of the result; default runs/measure_embeddings/<suite>")
    episodes: int = Field(default=20, ge=1, description="episodes of each task")
    shots: int = Field(default=5, ge=1, description="support examples a class")
    ways: int = Field(default=5, ge=2, description="classes of an episode, or all of a task that has fewer")
    max_tokens: int = Field(default=64, ge=4, description="longer texts are cut here")
    dims: Annotated[int, Field(ge=2)] = Field(default=128, description="numbers of an embedding")
    shuffles: int = Field(default=200, ge=1, description="how often families are dealt out anew")
    seed: int = Field(default=0, ge=0, description="of episodes and shuffles")
    figure: bool = Field(default=True, description="draw embeddings.svg and embeddings.png too")


class Seen(NamedTuple):
    """An episode's support set, and where it is from."""

    support: SupportSet
    task: str
    family: str


def run(config: Config) -> int:
    """Run the script.

    Raises:
        MetapeftError: no suite or backbone, token ids of another tokenizer, too few tasks to measure anything, or a
            library of the figure is missing.
    """
    if config.figure:
        figures.check_libraries("matplotlib", "sklearn")
    suite = Suite(config.suite)
    tasks = [task for task in suite.tasks if task.kind == "classification"]
    if not tasks:
        raise SuiteError(f"{suite.path}: no classification task, and only those are measured")
    check_tokenizer(suite, config.backbone)
    backbone = load_backbone(config.backbone)
    skipped: list[dict[str, str]] = []
    seen: dict[str, list[Seen]] = {}
    for number, task in enumerate(tasks, 1):
        try:
            seen[task.id] = see(suite, task, backbone, config)
        except EpisodeError as error:
            skipped.append({"task": task.id, "reason": str(error)})
        print(f"[{number}/{len(tasks)}] {task.id}: {'skipped' if task.id not in seen else 'done'}", flush=True)
    halves = deal([task for task in tasks if task.id in seen])
    if len(countable := [half for half in halves if _countable(half)]) < 2:
        raise SuiteError(
            f"{suite.path}: {len(countable)} of 2 halves have two families, one of them with two tasks; "
            "build a suite of more tasks: recipe=all, or recipe=synthetic_text"
        )
    rows, panels = [], []
    for half in (0, 1):
        known = [item for task in halves[1 - half] for item in seen[task.id]]
        new = [item for task in halves[half] for item in seen[task.id]]
        for name, blocks in {**{block: (block,) for block in DEFAULT_BLOCKS}, "all": DEFAULT_BLOCKS}.items():
            points, row = measure(known, new, blocks, config)
            rows.append({"half": half, "embedding": name} | row)
            if name == "all":
                panels.append(figures.Panel(_panel_title(half, row), points, [item.family for item in new]))
        rows.append({"half": half, "embedding": HIDDEN} | measure(hide(known), hide(new), DEFAULT_BLOCKS, config)[1])
    out = Path(config.out) if config.out else Path("runs/measure_embeddings") / suite.path.resolve().name
    write(out, suite, backbone, config, halves, rows, skipped)
    if config.figure:
        draw(out, suite, config, panels)
    return 0


def see(suite: Suite, task: SuiteTask, backbone: Backbone, config: Config) -> list[Seen]:
    """The support sets of a task's episodes; each text runs through the network once.

    Raises:
        EpisodeError: the task cannot give such episodes.
    """
    only = suite.distribution(lambda other: other.id == task.id)
    ways = min(config.ways, len(task.entry["labels"]))
    # the query set is of no use here, but a sampler deals one out: as small as can be
    sampler = EpisodeSampler(
        only, config.shots, ways, n_way=ways, seed=config.seed, max_tokens=config.max_tokens
    )  # fmt: skip
    episodes = sampler.episodes(0, config.episodes)
    rows, place = np.unique(np.concatenate([episode.support_rows for episode in episodes]), return_inverse=True)
    loaded = only.tasks[0]
    features = frozen_features(backbone, loaded, rows, config.max_tokens)[place]
    starts = np.cumsum([0] + [len(episode.support_rows) for episode in episodes])
    supports = [
        support_set(loaded, episode, features[start : start + len(episode.support_rows)])
        for episode, start in zip(episodes, starts[:-1], strict=True)
    ]
    return [Seen(support, task.id, task.family) for support in supports]


def frozen_features(backbone: Backbone, task: Task, rows: np.ndarray, max_tokens: int) -> np.ndarray:
    """Features without an adapter of rows of the support pool, float32 ``(n, d)`` of unit length, as training has."""
    parts = []
    for start in range(0, len(rows), BATCH):
        x, lengths = gather_x(task.support, rows[start : start + BATCH], task.pad_id, max_tokens)
        parts.append(np.array(unit(backbone.pool(backbone.suffix(backbone.prefix(x, lengths))))))
        mx.clear_cache()  # every batch has its own shape: freed buffers would pile up
    return np.concatenate(parts)


def deal(tasks: Sequence[SuiteTask]) -> tuple[list[SuiteTask], list[SuiteTask]]:
    """Two halves: of every family, tasks go to the one and the other in turn, in the order of the suite."""
    halves: tuple[list[SuiteTask], list[SuiteTask]] = ([], [])
    for family in dict.fromkeys(task.family for task in tasks):
        for number, task in enumerate(task for task in tasks if task.family == family):
            halves[number % 2].append(task)
    return halves


def _countable(half: Sequence[SuiteTask]) -> bool:
    families = [task.family for task in half]
    return len(set(families)) > 1 and max(map(families.count, families)) > 1


def hide(seen: Sequence[Seen]) -> list[Seen]:
    """The same support sets without a word about their domain."""
    return [item._replace(support=item.support._replace(domain="")) for item in seen]


def measure(
    known: Sequence[Seen], new: Sequence[Seen], blocks: Sequence[str], config: Config
) -> tuple[np.ndarray, dict[str, Any]]:
    """Fit on one half, measure on the other.

    Returns:
        Embeddings of `new`, float32 ``(m, dims)``; and what `cluster_quality` says of them.
    """
    embedder = fit([item.support for item in known], blocks, config.dims)
    points = np.stack([embedder.embed(item.support) for item in new])
    families, tasks = [item.family for item in new], [item.task for item in new]
    rng = np.random.default_rng(config.seed)
    return points, cluster_quality(points, families, rng, tasks, config.shuffles)


def write(
    out: Path,
    suite: Suite,
    backbone: Backbone,
    config: Config,
    halves: Sequence[Sequence[SuiteTask]],
    rows: list[dict[str, Any]],
    skipped: list[dict[str, str]],
) -> None:
    """Write `result.json` and print the figures of both halves."""
    manifest = suite.manifest
    result = {
        "script": "measure_embeddings",
        "suite": manifest["name"],
        "suite_sha256": suite.sha256,
        "origin": manifest["origin"],
        "backbone": config.backbone,
        "backbone_sha256": backbone.digest,
        "settings": config.model_dump(exclude={"suite", "backbone", "out", "figure"}),
        "halves": [[{"task": task.id, "family": task.family} for task in half] for half in halves],
        "rows": rows,
        "skipped": skipped,
    }
    atomic.write_text(out / "result.json", atomic.canonical_json(result))
    if manifest["origin"] == "synthetic":
        print("SYNTHETIC: no real data. Figures measured here say nothing about real text.")
    print(
        f"fitted on one half of the tasks ({len(halves[0])} and {len(halves[1])}), measured on the other: both halves"
    )
    print(f"{'':20}" + "".join(f"{name:>22}" for name in FIGURES))
    for name in dict.fromkeys(row["embedding"] for row in rows):
        both = [[row[figure] for row in rows if row["embedding"] == name] for figure in FIGURES]
        print(f"{name:20}" + "".join(f"{' / '.join(f'{value:.3f}' for value in values):>22}" for values in both))
    for skip in skipped:
        print(f"left out: {skip['task']}: {skip['reason']}")
    print(f"details in {out}")


def _panel_title(half: int, row: dict[str, Any]) -> str:
    return (
        f"half {half + 1}: nearest-neighbour purity {row['purity']:.2f}, shuffled {row['shuffled_purity']:.2f}\n"
        f"silhouette {row['silhouette']:.2f}, shuffled {row['shuffled_silhouette']:.2f}"
    )


def draw(out: Path, suite: Suite, config: Config, panels: Sequence[figures.Panel]) -> None:
    """Draw the embeddings of both halves, side by side."""
    banner = figures.SYNTHETIC if suite.manifest["origin"] == "synthetic" else ""
    of = f"suite {suite.manifest['name']}, backbone {Path(config.backbone).name}"
    title = f"{banner}{of}, tasks the embedder has not seen"
    figures.save(out, "embeddings", (10, 5.6), figures.embeddings(title, panels))


def main(argv: list[str] | None = None) -> int:
    """Entry point of the script."""
    return cli.run(run, Config, argv, prog="measure_embeddings", description=DESCRIPTION, examples=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())
