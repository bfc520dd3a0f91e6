"""metapeft.tasks.suite: opening, sampling from, and checking a suite on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from metapeft import build
from metapeft.episodes import EpisodeSampler
from metapeft.errors import SuiteError
from metapeft.tasks.pool import IGNORE, Ragged
from metapeft.tasks.suite import Suite
from metapeft.tokenization.tokenizer import load_tokenizer

MIXED = """
schema: 1
name: mixed
version: 1-A
description: One task of each kind.
episodes: {ways: all, shots: 2, query: 4, max_tokens: 32}
tasks:
  - id: reviews
    family: sentiment
    kind: classification
    domain: books
    difficulty: 0.25
    source:
      {kind: synthetic, generator: sentiment, params: {domain: books, classes: 2, difficulty: 0.3, label_noise: 0.1},
       size: {support: 60, query: 30}}
    fields: {text: text, label: label}
    labels: [negative, positive]
  - id: names
    family: ner
    kind: tagging
    domain: news
    source: {kind: synthetic, generator: tagging, params: {domain: news}, size: {support: 60, query: 30}}
    fields: {tokens: tokens, tags: tags}
    labels: [person, organization, location, misc]
  - id: short
    family: summarization
    kind: generation
    style: abstractive
    domain: news
    source:
      {kind: synthetic, generator: summarization, params: {domain: news, style: abstractive},
       size: {support: 40, query: 20}}
    prompt: "{text}\\nSummary:"
    fields: {text: text, target: target}
  - id: dots
    family: points_linear
    kind: points
    domain: plane
    source: {kind: synthetic, generator: linear, params: {input_dim: 3, noise: 0.2}, size: {support: 50, query: 40}}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "mixed.yaml").write_text(MIXED)
    assert build.main([f"recipe={folder / 'mixed.yaml'}", f"out={folder / 'suite'}", "quiet=true"]) == 0
    return folder / "suite"


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "suite"))


def test_every_kind_comes_back_as_its_pool(built: Path) -> None:
    suite = Suite(built)
    kinds = {task.id: suite.pool(task.id, "support").kind for task in suite.tasks}
    assert kinds == {"reviews": "classification", "names": "tagging", "short": "generation", "dots": "points"}
    dots = suite.pool("dots", "query")
    assert isinstance(dots.x, np.ndarray)
    assert dots.x.shape == (40, 3)
    assert dots.x.dtype == np.float32
    names = suite.pool("names", "support")
    assert isinstance(names.x, Ragged)
    assert isinstance(names.y, Ragged)
    assert np.array_equal(names.x.offsets, names.y.offsets)
    assert {IGNORE, 0} < set(names.y.values.tolist())
    assert names.y.values.max() <= 8


def test_tags_on_disk_are_the_tags_of_the_rows(built: Path) -> None:
    """Independent of the tokenizer: as many tagged tokens as words, in the words' order."""
    import pyarrow.parquet as pq

    pool = Suite(built).pool("names", "query")
    assert isinstance(pool.y, Ragged)
    ids = {"O": 0}
    for label in ("person", "organization", "location", "misc"):
        for prefix in "BI":
            ids[f"{prefix}-{label}"] = len(ids)
    for place, tags in enumerate(pq.read_table(built / "names/query.parquet")["tags"].to_pylist()):
        row = pool.y.row(place)
        assert row[row != IGNORE].tolist() == [ids[tag] for tag in tags]


def test_a_task_carries_what_the_recipe_says(built: Path) -> None:
    task = Suite(built).load("reviews")
    assert task.config.task_family == "sentiment"
    assert task.config.difficulty == 0.25
    assert task.config.num_classes == 2
    assert task.labels == ["negative", "positive"]
    assert task.noise == 0.1


def test_a_distribution_of_the_suite_gives_episodes(built: Path) -> None:
    suite = Suite(built)
    distribution = suite.distribution()
    assert len(distribution) == 4
    sampler = EpisodeSampler(distribution, 2, 4)
    assert {sampler.episode(i).task_id for i in range(40)} == {"reviews", "names", "short", "dots"}
    again = EpisodeSampler(Suite(built).distribution(), 2, 4)
    for one, two in zip(sampler.episode(7), again.episode(7), strict=True):
        assert np.array_equal(one, two)


def test_a_distribution_needs_a_task(built: Path) -> None:
    with pytest.raises(SuiteError, match="no task is left"):
        Suite(built).distribution(lambda task: task.family == "nothing")


def test_unknown_tasks_get_the_nearest_id(built: Path) -> None:
    with pytest.raises(SuiteError, match="no task 'review'. Did you mean 'reviews'"):
        Suite(built).load("review")


def test_no_suite_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"no suite here.*python -m metapeft.build"):
        Suite(tmp_path)


@pytest.mark.parametrize("text", ["{", '{"format": 99}'])
def test_an_unreadable_or_foreign_manifest_is_refused(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_text(text)
    with pytest.raises(SuiteError, match="manifest.json: cannot be read|suite format 99"):
        Suite(copy)


@pytest.mark.parametrize("name", ["reviews/tokens-support.arrow", "dots/support.parquet"])
def test_damage_is_found_and_named(copy: Path, name: str) -> None:
    suite = Suite(copy)
    assert suite.damaged() == []
    assert suite.is_whole()
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert suite.damaged() == [f"{name}: its content changed"]
    assert suite.is_whole(), "a quick look reads sizes only"
    (copy / name).write_bytes(data[: len(data) // 2])
    assert "bytes, the manifest says" in suite.damaged()[0]
    assert not suite.is_whole()
    task = name.split("/")[0]
    with pytest.raises(SuiteError, match=f"{task}: its support pool cannot be read"):
        suite.pool(task, "support")
    (copy / name).unlink()
    assert suite.damaged() == [f"{name}: missing"]


def test_the_digest_follows_the_content(built: Path, copy: Path) -> None:
    assert Suite(built).sha256 == Suite(copy).sha256
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["dots/query.parquet"]["sha256"] = "0" * 64
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert Suite(built).sha256 != Suite(copy).sha256


def test_a_task_has_the_names_of_its_classes_as_texts(built: Path) -> None:
    suite = Suite(built)
    names = suite.load("reviews").names
    assert names is not None and isinstance(names.x, Ragged)
    tokenizer = load_tokenizer()
    said = [tokenizer.backend.decode(names.x.row(i).tolist()) for i in range(len(names))]
    assert said == ["negative", "positive"]
    assert suite.load("names").names is None  # entity types of tagging are no classes of texts
