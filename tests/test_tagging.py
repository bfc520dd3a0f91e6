"""Tagging through every room: build, train, evaluate, with the network and the generators that are shipped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from metapeft import build, evaluate, train
from metapeft.episodes.tagging import mention_counts
from metapeft.evaluation import tables
from metapeft.evaluation.report import html
from metapeft.meta import run as meta_run
from metapeft.tasks.suite import Suite

RECIPE = """
schema: 1
name: tags
version: 1-A
description: Made sentences of three domains.
family: ner
episodes: {shots: [20, 40], query: 20, max_tokens: 48}
tasks:
"""
TASK = """
  - id: tags_DOMAIN
    kind: tagging
    domain: DOMAIN
    difficulty: 0.5
    source:
      kind: synthetic
      generator: tagging
      params: {domain: DOMAIN, difficulty: 0.5}
      size: {support: 60, query: 30}
    fields: {tokens: tokens, tags: tags}
    labels: [LABELS]
    license: MIT
"""
LABELS = {
    "news": "person, organization, location, misc",
    "biomedical": "disease, chemical, gene",
    "social": "person, location, product, event",
}
RUN = ["steps=2", "batch=2", "shots=[1,3]", "query=3", "hypernetwork.episodes=10"]
RUN += ["validation=[tags_social]", "training=[tags_news]", "lora.num_layers=1", "validation_episodes=2", "rows=60"]
SHORT = [
    "shots=[1,3]",
    "sentences=[5]",
    "episodes=4",
    "query=3",
    "prior_episodes=2",
    "control_episodes=2",
    "html=false",
]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tags")
    tasks = "".join(TASK.replace("DOMAIN", name).replace("LABELS", labels) for name, labels in LABELS.items())
    (folder / "tags.yaml").write_text(RECIPE + tasks)
    assert build.main([f"recipe={folder / 'tags.yaml'}", f"out={folder / 'suite'}", "quiet=true"]) == 0
    return folder / "suite"


@pytest.fixture(scope="module")
def checkpoint(suite: Path) -> Path:
    assert train.main([f"suite={suite}", f"out={suite.parent / 'run'}", *RUN]) == 0
    return suite.parent / "run/last"


def facts_of(checkpoint: Path) -> dict[str, Any]:
    return json.loads((checkpoint / "checkpoint.json").read_text())


def test_a_suite_of_tagging_alone_is_trained_on_as_it_is(checkpoint: Path) -> None:
    facts = facts_of(checkpoint)
    assert (facts["kind"], facts["head"], facts["inner_steps"]) == ("tagging", "tagger", 0)
    assert (facts["max_tokens"], facts["mix"]) == (96, 0.35)
    shares = np.array(facts["transitions"])
    assert shares.shape == (4, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert shares[2, 1] > 0  # mentions of several words
    assert "mentions" in facts["settings"]["hypernetwork"]["blocks"]
    assert facts["settings"]["ways"] == [1, 5]
    assert facts["hypernetwork"]["weight"] == 0.5


def test_training_has_all_of_what_is_generated_and_whoever_reads_it_has_half(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights: dict[str, set[float]] = {"outer_step": set(), "accuracies": set()}

    def watched(name: str, at: int) -> Callable[..., Any]:
        plain = getattr(meta_run, name)

        def call(*given: Any, **named: Any) -> Any:
            if given[at].hypernetwork is not None:  # the frozen prototype has none
                weights[name].add(given[at].hypernetwork.weight)
            return plain(*given, **named)

        return call

    monkeypatch.setattr(meta_run, "outer_step", watched("outer_step", 2))
    monkeypatch.setattr(meta_run, "accuracies", watched("accuracies", 0))
    assert train.main([f"suite={suite}", f"out={tmp_path}", *RUN, "prior_episodes=0"]) == 0
    assert weights == {"outer_step": {1.0}, "accuracies": {0.5}}


def test_every_method_tags_the_same_episodes(suite: Path, checkpoint: Path, tmp_path: Path) -> None:
    call = [f"suite={suite}", f"checkpoint={checkpoint}", f"out={tmp_path}", "test=[tags_biomedical]", *SHORT]
    assert evaluate.main(call) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert [(cell["shots"], cell["by"]) for cell in result["cells"]] == [
        (1, "mentions"),
        (3, "mentions"),
        (5, "sentences"),
    ]
    starts = [f"{start}, mix 0.35" for start in ("static", "hypernetwork")]
    offered = ["frozen", *(start + how for start in starts for how in ("", tables.TOLD))]
    controls = ["random", "nearest neighbour", "structured nearest neighbour", "gazetteer"]
    controls += [f"shuffled, mix 0.35{how}" for how in ("", tables.TOLD)]
    for cell in result["cells"]:
        assert cell["metric"] == "entity F1"
        assert cell["ways"] == 3
        lengths = {name: len(values) for name, values in cell["accuracy"].items()}
        assert lengths == dict.fromkeys([*offered, "auto"], 4) | dict.fromkeys(controls, 2)
        assert set(cell["mentions"]) == {*offered, "auto"}
        assert len({counts[2] for counts in cell["mentions"].values()}) == 1  # what is there is there for all
        assert sum(cell["chosen"]["auto"].values()) == 4
    assert not any(line["value"] for line in result["criteria"] if line["criterion"] == "enough")
    report = (tmp_path / "report.md").read_text()
    assert "## Entity F1" in report
    assert "## All mentions together" in report
    pytest.importorskip("matplotlib")
    page = html(result)
    for said in ("Entity F1 by shots", "3 mentions a type", "5 sentences", "All mentions together", "gazetteer"):
        assert said in page
    again = (tmp_path / "result.json").read_bytes()
    assert evaluate.main(call) == 0
    assert (tmp_path / "result.json").read_bytes() == again


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["steps=1"], "tagged without gradient steps"),
        (["sentences=[3]"], "3 is in shots= and in sentences="),
    ],
)
def test_what_evaluate_refuses(suite: Path, checkpoint: Path, capsys, more: list[str], message: str) -> None:
    call = [f"suite={suite}", f"checkpoint={checkpoint}", "test=[tags_biomedical]", "shots=[1,3]", "html=false"]
    assert evaluate.main([*call, *more]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["head=cosine"], "head=cosine does not fit tasks of kind tagging"),
        (["kind=classification"], "no classification task"),
        (["inner_steps=2"], "words are tagged without gradient steps"),
    ],
)
def test_what_train_refuses(suite: Path, capsys, more: list[str], message: str) -> None:
    assert train.main([f"suite={suite}", *more]) == 2
    assert message in capsys.readouterr().err


FILES = """
schema: 1
name: mine
version: 1-A
description: Sentences of a file.
family: ner
episodes: {shots: [2, 3], query: 2, max_tokens: 32}
tasks:
  - id: mine
    kind: tagging
    domain: notes
    difficulty: 0.5
    source: {kind: files, name: notes, about: Notes., splits: {support: [train.jsonl], query: [test.jsonl]}}
    fields: {tokens: tokens, tags: tags}
    labels: [name]
    license: MIT
"""


def built_from(folder: Path, train: list[dict[str, Any]], capsys) -> tuple[int, str]:
    """Build a recipe of these rows; what it returned and said."""
    (folder / "mine.yaml").write_text(FILES)
    (folder / "notes").mkdir()
    test = [{"tokens": [f"word{i}", "Ann"], "tags": ["O", "B-name"]} for i in range(9)]
    for name, rows in (("train", train), ("test", test)):
        (folder / "notes" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    order = [f"recipe={folder / 'mine.yaml'}", f"files.notes={folder / 'notes'}", f"out={folder / 'suite'}"]
    code = build.main(order)
    streams = capsys.readouterr()
    return code, streams.out + streams.err


PLAIN = [{"tokens": [f"note{i}", "by", "Bob"], "tags": ["O", "O", "B-name"]} for i in range(6)]


def test_a_line_of_ten_thousand_words_becomes_windows_and_loses_none(tmp_path: Path, capsys) -> None:
    long = {"tokens": ["is", "Eve", "Lee", "there"] * 2500, "tags": ["O", "B-name", "I-name", "O"] * 2500}
    code, said = built_from(tmp_path, [*PLAIN, long], capsys)
    assert code == 0
    assert "note: mine: sentences longer than 32 tokens became" in said
    task = Suite(tmp_path / "suite").load("mine")
    assert task.support.x.lengths().max() <= 32
    assert mention_counts(task.support, 1).sum() == len(PLAIN) + 2500
    texts = pq.read_table(tmp_path / "suite/mine/support.parquet")["tokens"].to_pylist()
    assert sum(map(len, texts)) == 3 * len(PLAIN) + 10_000


def test_empty_sentences_are_counted_and_tags_after_nothing_repaired(tmp_path: Path, capsys) -> None:
    rows = [*PLAIN, {"tokens": [], "tags": []}, {"tokens": ["so", "Max", "said"], "tags": ["O", "I-name", "O"]}]
    code, _ = built_from(tmp_path, rows, capsys)
    assert code == 0
    (entry,) = json.loads((tmp_path / "suite/manifest.json").read_text())["tasks"]
    assert entry["dropped"]["support"] == {"empty": 1}
    assert entry["repaired_tags"] == 1
    assert entry["rows"]["support"] == len(PLAIN) + 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "2 tokens but 1 tags"),
        ({"tokens": ["a"], "tags": ["B-place"]}, "label 'place' is not declared"),
        ({"tokens": ["a"], "tags": ["X-name"]}, "label 'X-name' is not declared"),
        ({"tokens": ["a"], "tags": ["B-"]}, "label 'B-' is not declared"),
    ],
)
def test_what_build_refuses(tmp_path: Path, capsys, row: dict[str, Any], message: str) -> None:
    code, said = built_from(tmp_path, [*PLAIN, row], capsys)
    assert code == 2
    assert message in said
    assert ":6" in said  # which row
