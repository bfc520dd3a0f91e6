"""Speed of episode sampling on one core: prints figures, asserts nothing.

    python scripts/bench_episodes.py

The task has the shape of CLINC150 (Larson et al., 2019): 150 classes with 100 support and 30 query rows each, texts of
5 to 28 tokens. Episodes are 5-way 5-shot with 50 query examples. Each figure is the best of several repeats. Thread
pools are set to one thread below, before numpy is imported; an even more careful run pins the process as well
(`taskset -c 0 python scripts/bench_episodes.py`).
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import random  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402

import numpy as np  # noqa: E402

from metapeft.episodes import EpisodeSampler  # noqa: E402
from metapeft.tasks import Pool, Ragged, Task, TaskConfig, TaskDistribution  # noqa: E402
from metapeft.tasks.padding import pad_rows  # noqa: E402

CLASSES, SUPPORT, QUERY = 150, 100, 30
WAYS, SHOTS, QUERIES = 5, 5, 10
REPEATS = 5


def pool(rows_per_class: int, rng: np.random.Generator) -> Pool:
    rows = CLASSES * rows_per_class
    lengths = rng.integers(5, 29, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = rng.integers(1000, 30_000, offsets[-1], dtype=np.int32)
    labels = rng.permutation(np.arange(rows) % CLASSES).astype(np.int32)
    return Pool("classification", Ragged(tokens, offsets), labels)


def clinc_shaped_task() -> Task:
    rng = np.random.default_rng(0)
    config = TaskConfig("clinc", "intent", CLASSES, 0, CLASSES * SUPPORT, CLASSES * QUERY, "assistants", 0.5)
    return Task(config, support=pool(SUPPORT, rng), query=pool(QUERY, rng))


def rows_of_classes(task: Task) -> list[list[list[int]]]:
    return [[np.flatnonzero(side.y == c).tolist() for c in range(CLASSES)] for side in (task.support, task.query)]


def numpy_sampler(task: Task) -> Callable[[int], None]:
    """What one writes first: an episode at a time, a numpy Generator seeded for it."""
    support, query = ([np.array(rows) for rows in side] for side in rows_of_classes(task))

    def sample(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for c in rng.choice(CLASSES, WAYS, replace=False):
            rng.choice(support[c], SHOTS, replace=False)
            rng.choice(query[c], QUERIES, replace=False)

    return sample


def python_sampler(task: Task) -> Callable[[int], None]:
    """The same with the standard library, which is quicker for so few numbers."""
    support, query = rows_of_classes(task)

    def sample(seed: int) -> None:
        rng = random.Random(seed)
        for c in rng.sample(range(CLASSES), WAYS):
            rng.sample(support[c], SHOTS)
            rng.sample(query[c], QUERIES)

    return sample


def rate(count: int, work: Callable[[], object]) -> float:
    """Best of `REPEATS`, in units a second."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return count / best


def main() -> None:
    task = clinc_shaped_task()
    sampler = EpisodeSampler(TaskDistribution([task]), SHOTS, WAYS * QUERIES, n_way=WAYS)
    batched = rate(50_000, lambda: sampler.indices(0, 50_000))
    print(f"index sampling, in batches        {batched:12,.0f} episodes/s")
    for name, sample in (("numpy Generator", numpy_sampler(task)), ("random.Random", python_sampler(task))):
        plain = rate(1_000, lambda sample=sample: [sample(seed) for seed in range(1_000)])
        print(f"one at a time, {name:18} {plain:12,.0f} episodes/s; batches are {batched / plain:.1f} times as fast")

    batch = np.random.default_rng(1).integers(0, CLASSES * SUPPORT, (1_000, 25))
    assert isinstance(task.support.x, Ragged)
    tokens = task.support.x
    print(f"padded batches of 25 x 32         {rate(1_000, lambda: [pad_rows(tokens, b, 0) for b in batch]):12,.0f} /s")
    print(f"episode(i)                        {rate(500, lambda: [sampler.episode(i) for i in range(500)]):12,.0f} /s")
    print(f"episodes(0, 500)                  {rate(500, lambda: sampler.episodes(0, 500)):12,.0f} /s")


if __name__ == "__main__":
    main()
