"""Writing through every room: build, train, evaluate, with the language model and the generators that are shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metapeft import build, evaluate, train
from metapeft.adapters.export import save_mlx_lm
from metapeft.backbones.decoder import Decoder
from metapeft.backbones.load import PICO, load_backbone
from metapeft.evaluation.bench import Sizes, open_checkpoint, sampler
from metapeft.evaluation.generation.starts import adapters_of, candidates_of, choose, held_out_losses
from metapeft.evaluation.report import html
from metapeft.meta.outer_loop import item_of
from metapeft.mlx import mx, utils
from metapeft.tasks.suite import Suite

RECIPE = """
schema: 1
name: written
version: 1-A
description: Queries of two tables and extracts of news.
family: code
episodes: {shots: [2, 5], query: 4, max_tokens: 256}
tasks:
  - id: sql_DOMAIN
    expand: {domain: [shop, league, clinic]}
    kind: generation
    domain: sql
    difficulty: 0.4
    source:
      kind: synthetic
      generator: sql
      params: {tables: 1, difficulty: 0.0}
      size: {support: 30, query: 30}
    fields: {text: {template: "{schema}\\n-- {text}"}, target: target, keep: {schema: schema, database: database}}
    style: query
    prompt: "{text}\\n-- SQL:\\n"
    license: MIT
  - id: extracts
    family: summarization
    kind: generation
    domain: news
    difficulty: 0.5
    source:
      kind: synthetic
      generator: summarization
      params: {domain: news, style: extractive, difficulty: 0.2}
      size: {support: 30, query: 30}
    fields: {text: text, target: target}
    style: extractive
    prompt: "Copy the most important sentences.\\n\\n{text}\\n\\nSummary:"
    license: MIT
""".replace("DOMAIN", "{domain}")
RUN = ["backbone=pico", "kind=generation", "steps=2", "batch=2", "shots=[2]", "query=2", "inner_steps=1", "rows=30"]
RUN += ["training=[sql_shop]", "validation=[sql_league]", "lora.num_layers=1", "validation_episodes=1"]
RUN += ["hypernetwork.episodes=8"]
READ = ["backbone=pico", "test=[sql_clinic,extracts]", "shots=[2]", "query=2", "episodes=3", "control_episodes=2"]
READ += ["curve_episodes=1", "prior_episodes=1", "rows=30", "steps=2", "html=false"]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    (folder / "recipe.yaml").write_text(RECIPE)
    out = folder / "suite"
    assert build.main([f"recipe={folder / 'recipe.yaml'}", f"out={out}", "tokenizer=pico", "leaks=keep"]) == 0
    return out


@pytest.fixture(scope="module")
def checkpoint(suite: Path) -> Path:
    out = suite.parent / "run"
    assert train.main([f"suite={suite}", f"out={out}", *RUN]) == 0
    return out / "last"


def test_a_checkpoint_says_what_it_is(checkpoint: Path) -> None:
    facts = json.loads((checkpoint / "checkpoint.json").read_text())
    assert (facts["kind"], facts["head"], facts["mix"], facts["max_tokens"]) == ("generation", "language", 1.0, 512)


def test_resuming_gives_the_same_numbers(suite: Path, checkpoint: Path, tmp_path: Path) -> None:
    assert train.main([f"suite={suite}", f"out={tmp_path / 'run'}", *RUN, "save_every=1"]) == 0
    first, second = (path / "meta.safetensors" for path in (checkpoint, tmp_path / "run/last"))
    assert first.read_bytes() == second.read_bytes()


@pytest.fixture(scope="module")
def result(suite: Path, checkpoint: Path) -> dict[str, Any]:
    out = suite.parent / "read"
    argv = [f"suite={suite}", f"checkpoint={checkpoint}", f"out={out}", *READ, "allow_code_execution=true", "samples=2"]
    assert evaluate.main(argv) == 0
    return json.loads((out / "result.json").read_text())


def test_every_method_writes_on_the_same_episodes(result: dict[str, Any]) -> None:
    queries, extracts = sorted(result["cells"], key=lambda cell: cell["task"], reverse=True)
    assert (queries["primary"]["metric"], extracts["primary"]["metric"]) == ("executed", "rougeL")
    for cell in result["cells"]:
        lengths = {name: len(values) for name, values in cell["accuracy"].items()}
        for name in ("frozen", "static, mix 1", "static, 2 steps, mix 1", "hypernetwork, mix 1", "auto", "gold"):
            assert lengths[name] == 3
        for name in ("random", "shuffled, mix 1", "in context"):
            assert lengths[name] == 2
        assert cell["accuracy"]["gold"] == [1.0, 1.0, 1.0]
        assert sum(cell["chosen"]["auto"].values()) == 3
        assert 0 < abs(cell["similarity"]) <= 1
        assert set(cell["curves"]) == {"static, mix 1", "hypernetwork, mix 1", "random"}
        assert np.isfinite(cell["query_loss"]["static, mix 1"]).all()
    assert set(queries["figures"]["pass@2 of 2 samples"]) == {"frozen", "auto"}
    assert "pass@1 of 2 samples" not in extracts["figures"]
    assert {"oracle extract", "lead-3"} <= set(extracts["accuracy"]) - set(queries["accuracy"])


def test_the_report_has_what_was_written(result: dict[str, Any], suite: Path) -> None:
    said = (suite.parent / "read/report.md").read_text()
    assert "- sql_clinic: executed." in said and "## What was written" in said
    assert result["cells"][0]["outputs"]["targets"][0].split()[0] in said
    page = html(result)
    assert "<h2>What was written</h2>" in page and "Share of target tokens said right by gradient steps" in page


def test_without_leave_nothing_runs_and_the_report_says_so(suite: Path, checkpoint: Path, tmp_path: Path) -> None:
    own = [option for option in READ if not option.startswith(("test=", "curve_episodes="))]
    argv = [f"suite={suite}", f"checkpoint={checkpoint}", f"out={tmp_path}", "test=[sql_clinic]"]
    assert evaluate.main([*argv, *own]) == 0
    (cell,) = json.loads((tmp_path / "result.json").read_text())["cells"]
    assert (cell["primary"]["metric"], cell["primary"]["instead_of"]) == ("exact", "executed")
    assert "executed would speak for it" in (tmp_path / "report.md").read_text()
    assert "executed" not in cell["figures"]


def test_the_choice_is_by_support_examples_left_out(suite: Path, checkpoint: Path) -> None:
    opened = open_checkpoint(str(checkpoint), load_backbone("pico"))
    task = Suite(suite).load("sql_clinic")
    episode = sampler(opened, task, 4, Sizes(query=2), 0).episode(0)
    candidates = candidates_of(opened, 1)
    assert [c.name for c in candidates] == [
        "frozen",
        "static, mix 1",
        "static, 1 steps, mix 1",
        "hypernetwork, mix 1",
        "hypernetwork, 1 steps, mix 1",
    ]
    losses = held_out_losses(opened, task, episode, candidates, 2)
    assert choose(opened, candidates, losses).name == min(losses, key=losses.__getitem__)
    assert choose(opened, candidates, {}).name == "hypernetwork, mix 1"
    adapters = adapters_of(opened, item_of(episode, task, opened.states, opened.checkpoint.embedder), candidates)
    assert adapters["frozen"] == {} and set(adapters) == {c.name for c in candidates}
    # the frozen model takes no step, so its loss is that of each example alone, however the folds fall
    alone = held_out_losses(opened, task, episode, candidates, 4)
    assert losses["frozen"] == pytest.approx(alone["frozen"], rel=1e-5)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("backbone=nano", "its texts were tokenized with 'pico'"),
        ("mix=0.5", "a language model has none"),
        ("method=anil", "that of a language model stays as it is"),
        ("prior_episodes=5", "texts have no prior beside the checkpoint"),
        ("head=cosine", "head=cosine does not fit tasks of kind generation"),
    ],
)
def test_what_does_not_fit(suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture, option: str, said: str) -> None:
    others = [each for each in RUN if each.partition("=")[0] != option.partition("=")[0]]
    assert train.main([f"suite={suite}", f"out={tmp_path}", *others, option]) != 0
    assert said in capsys.readouterr().err


def test_an_adapter_opens_in_mlx_lm_and_writes_the_same(suite: Path, checkpoint: Path, tmp_path: Path) -> None:
    import mlx_lm

    opened = open_checkpoint(str(checkpoint), load_backbone("pico"))
    key = mx.random.key(0)  # an adapter that changes what is written
    adapter = utils.tree_map(lambda factor: factor + mx.random.normal(factor.shape, key=key), opened.meta["base"])
    save_mlx_lm(adapter, opened.backbone, opened.lora.scale, tmp_path / "adapter")
    model, tokenizer, *_ = mlx_lm.load(str(PICO), adapter_path=str(tmp_path / "adapter"))
    prompt = Suite(suite).load("sql_clinic").query.x.row(0).tolist()  # type: ignore[union-attr]
    assert isinstance(opened.backbone, Decoder)
    (own,) = opened.backbone.write([prompt], adapter, opened.lora.scale, most=8)
    assert own != opened.backbone.write([prompt], most=8)[0]
    theirs = mlx_lm.generate(model, tokenizer, prompt=prompt, max_tokens=8)
    assert tokenizer.decode(own).strip() == theirs.strip()
