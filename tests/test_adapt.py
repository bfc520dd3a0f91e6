"""metapeft.adapt: what it writes, what it says of the examples, and what it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metapeft import adapt, build, train
from metapeft.__main__ import main
from metapeft.adapting import starts
from tests.adapters.tiny_llama import write_tiny_llama
from tests.adapting.made import tagged_about, texts_about

LABELS = ["food", "sport"] * 5
FAST = ["folds=2", "repeats=1"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of `metapeft train` on the quickstart suite's texts, hardly trained."""
    folder = tmp_path_factory.mktemp("trained")
    assert build.main(["recipe=quickstart", f"out={folder / 'suite'}", "quiet=true"]) == 0
    settings = ["steps=1", "batch=1", "ways=[2,2]", "shots=[1]", "query=2", "rows=16", "inner_steps=1"]
    settings += ["hypernetwork.episodes=12", "hypernetwork.dims=8", "validation_episodes=1", "lora.rank=2"]
    assert train.main([f"suite={folder / 'suite'}", f"out={folder / 'run'}", *settings]) == 0
    return folder / "run/last"


def write(folder: Path, rows: list[tuple[str, str]], name: str = "mine.csv") -> Path:
    path = folder / name
    path.write_text("".join(f"{text},{label}\n" for text, label in [("text", "label"), *rows]))
    return path


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    return write(tmp_path, list(zip(texts_about(LABELS), LABELS, strict=True)))


def result_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def test_examples_become_a_classifier(
    checkpoint: Path, examples: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert adapt.main([f"data={examples}", f"checkpoint={checkpoint}", *FAST]) == 0
    shown = capsys.readouterr().out
    out = in_tmp / "runs/adapt/mine"
    result = result_of(out)
    assert f"chosen    {result['chosen']}" in shown
    assert "10 of 2 labels: food 5, sport 5" in shown
    assert "python -m metapeft.predict adapter=runs/adapt/mine" in shown
    assert set(result["scores"]) == set(result["validated"])
    assert {name.split(",")[0].removesuffix(" + names") for name in result["scores"]} == {
        *("frozen", "static", "hypernetwork")
    }
    low, high = result["estimate"]["ci95"]
    assert low < result["estimate"]["accuracy"] <= high
    assert [near["task"] for near in result["nearest"]] != []
    assert all(near["task"].startswith("quick_") for near in result["nearest"])
    assert "the checkpoint was trained on synthetic text: expect little of it" in result["notes"]
    assert "Offered: 20 starts and mixes." in result["why"]
    card = (out / "README.md").read_text()
    assert f"**{result['chosen']}** on the backbone `nano`" in card
    assert f"**{100 * result['estimate']['accuracy']:.1f} %** of the examples left out" in card
    assert all(near["task"] in card for near in result["nearest"])
    assert json.loads((out / "config.json").read_text())["data"] == str(examples)
    assert {path.suffix for path in out.rglob("*") if path.is_file()} == {".json", ".safetensors", ".md"}


def test_the_same_examples_give_the_same_bytes(checkpoint: Path, examples: Path, tmp_path: Path) -> None:
    arguments = [f"data={examples}", f"checkpoint={checkpoint}", *FAST]
    assert adapt.main([*arguments, f"out={tmp_path / 'one'}"]) == 0
    assert main(["adapt", *arguments, f"out={tmp_path / 'two'}"]) == 0
    one, two = tmp_path / "one", tmp_path / "two"
    for name in ("head.safetensors", "classifier.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert result_of(one) | {"seconds": 0} == result_of(two) | {"seconds": 0}


def test_the_shipped_checkpoint_is_the_default(
    checkpoint: Path,
    examples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(starts, "SHIPPED", tmp_path / "none")
    assert adapt.main([f"data={examples}", f"out={tmp_path / 'out'}", *FAST]) == 2
    error = capsys.readouterr().err
    assert "without a checkpoint" in error
    assert "checkpoint=DIR" in error
    assert "checkpoint=none" in error
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(starts, "SHIPPED", checkpoint)
    assert adapt.main([f"data={examples}", f"out={tmp_path / 'out'}", *FAST]) == 0
    assert result_of(tmp_path / "out")["start"]["checkpoint"] == "shipped"


def test_without_a_checkpoint_the_frozen_prototype(examples: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert adapt.main([f"data={examples}", "checkpoint=none", f"out={out}", *FAST]) == 0
    result = result_of(out)
    assert set(result["scores"]) == {"frozen", "frozen, logistic", "frozen + names", "frozen, logistic + names"}
    assert result["nearest"] == []
    assert not (out / "adapter-peft").exists()
    card = (out / "README.md").read_text()
    assert "There is no adapter" in card
    assert "Nearest training tasks" not in card


def test_one_example_a_label_leaves_it_to_the_prior(checkpoint: Path, tmp_path: Path) -> None:
    trusted = tmp_path / "trusted"
    shutil.copytree(checkpoint, trusted)
    data = write(tmp_path, [("soup and bread", "food"), ("a late goal", "sport")])
    for gain, chosen in ((0.2, "static, mix 1"), (-0.2, "frozen")):
        prior = {"centre": 0.0, "sizes": [[1.0, {"static, mix 1": [gain, 0.0]}]], "weight": 10.0}
        (trusted / "prior.json").write_text(json.dumps(prior))
        assert adapt.main([f"data={data}", f"checkpoint={trusted}", f"out={tmp_path / 'out'}"]) == 0
        result = result_of(tmp_path / "out")
        assert result["chosen"] == chosen
        assert ("a gain of +20.0 points was expected" in result["why"]) == (gain > 0)
        assert result["estimate"] is None
        assert "every label has one example: nothing can be cross-validated, the prior alone decides" in result["notes"]
        assert (tmp_path / "out/adapter-peft").exists() == (gain > 0)  # the earlier one is replaced, whole
        assert "Not measured" in (tmp_path / "out/README.md").read_text()


def test_a_label_seen_once_is_allowed_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*zip(texts_about(LABELS), LABELS, strict=True), ("tax and debt", "money"), ("the cat", "pets")]
    assert adapt.main([f"data={write(tmp_path, rows)}", "checkpoint=none", f"out={tmp_path / 'out'}", *FAST]) == 0
    said = "one example only of 'money', 'pets': never left out, so the accuracy on them is not measured"
    assert said in capsys.readouterr().out
    result = result_of(tmp_path / "out")
    assert result["labels"] == {"food": 5, "money": 1, "pets": 1, "sport": 5}
    assert result["estimate"]["examples"] == 10


def test_rows_that_are_no_examples_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(zip(texts_about(LABELS), LABELS, strict=True))
    rows += [("", "food"), ("no label", ""), rows[0], ("word " * 80, "sport")]
    arguments = [f"data={write(tmp_path, rows)}", "checkpoint=none", f"out={tmp_path / 'out'}", *FAST]
    assert adapt.main(arguments) == 0
    shown = capsys.readouterr().out
    for note in (
        "texts are those of column 'text', labels those of column 'label'",
        "1 row without a text: skipped (line 12)",
        "1 row without a label: skipped (line 13)",
        "1 row with a text that was there before: left out (line 14)",
        "1 text is longer than 64 tokens",
    ):
        assert note in shown
        assert note in (tmp_path / "out/README.md").read_text()
    assert result_of(tmp_path / "out")["labels"] == {"food": 5, "sport": 6}


def test_columns_rows_and_folds_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    texts = texts_about(LABELS)
    path.write_text(
        "".join(json.dumps({"a": t, "b": n, "label": 1}) + "\n" for t, n in zip(texts, LABELS, strict=True))
    )
    arguments = [f"data={path}", "text_column=a", "label_column=b", "per_class=3", "repeats=2", "folds=3", "seed=5"]
    assert adapt.main([*arguments, "checkpoint=none", "backbone=nano", f"out={tmp_path / 'out'}"]) == 0
    result = result_of(tmp_path / "out")
    assert result["labels"] == {"food": 3, "sport": 3}
    assert result["estimate"]["repeats"] == 2
    assert sum(result["estimate"]["chosen"].values()) == 2 * 3


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("good", "pos"), ("fine", "pos")],
            "one label only, 'pos' (2 examples): a classifier needs two labels at least",
        ),
        ([("", "pos"), ("good", "")], "no example with a text and a label"),
        ([("good", "pos"), ("Good", "neg")], "2 rows whose text has two labels: left out (line 2, line 3)"),
        ([], "has no row"),
    ],
)
def test_too_few_examples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[tuple[str, str]], message: str
) -> None:
    assert adapt.main([f"data={write(tmp_path, rows)}", "checkpoint=none", f"out={tmp_path / 'out'}"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["text_column=txt"], "Did you mean 'text'"),
        (["checkpoint=nowhere"], "nowhere: no checkpoint here"),
        (["folds=1"], "folds=1"),
        (["per_class=0"], "per_class=0"),
        (["colum=text"], "unknown key 'colum'"),
    ],
)
def test_mistakes(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    given = [f"data={examples}", f"out={tmp_path / 'out'}", *arguments]
    assert adapt.main(given if "checkpoint=nowhere" in given else [*given, "checkpoint=none"]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_with_other_things_is_left_alone(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert adapt.main([f"data={examples}", f"out={tmp_path}", "checkpoint=none"]) == 2
    assert "holds other things, which would be lost" in capsys.readouterr().err
    assert adapt.main([f"data={examples}", f"out={examples}", "checkpoint=none"]) == 2
    assert "is a file; give out= a folder" in capsys.readouterr().err
    assert examples.exists()


@pytest.mark.parametrize("prior", ["{", '{"centre": 0}', '{"centre": 0, "sizes": [[1, {"frozen": 1}]]}', "[]"])
def test_a_prior_that_is_none(
    checkpoint: Path, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], prior: str
) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    (tmp_path / "copy/prior.json").write_text(prior)
    assert adapt.main([f"data={examples}", f"checkpoint={tmp_path / 'copy'}", f"out={tmp_path / 'out'}"]) == 2
    assert "prior.json: cannot be read as the prior" in capsys.readouterr().err


def test_a_checkpoint_for_points(
    checkpoint: Path, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    facts = json.loads((checkpoint / "checkpoint.json").read_text())
    facts["backbone"] |= {"backbone": "mlp", "model_type": "mlp"}
    (tmp_path / "copy/checkpoint.json").write_text(json.dumps(facts))
    assert adapt.main([f"data={examples}", f"checkpoint={tmp_path / 'copy'}", f"out={tmp_path / 'out'}"]) == 2
    assert "trained on points" in capsys.readouterr().err


def test_help_answers_without_heavy_libraries() -> None:
    code = (
        "import sys\nfrom metapeft import adapt, predict\n"
        "assert adapt.main(['--help']) == predict.main(['--help']) == 0\n"
        "heavy = {'mlx', 'transformers', 'datasets', 'pyarrow', 'numpy', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'loaded {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "checkpoint" in done.stdout


# --- tagged sentences

KINDS = ["food", "sport"] * 5


def conll(folder: Path, kinds: list[str] = KINDS, name: str = "tagged.conll") -> Path:
    rows = zip(*tagged_about(kinds), strict=True)
    lines = ["".join(f"{word}\t{tag}\n" for word, tag in zip(*row, strict=True)) for row in rows]
    (folder / name).write_text("\n".join(lines))
    return folder / name


@pytest.fixture(scope="module")
def tagging_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of `metapeft train` on synthetic tagged sentences, hardly trained."""
    folder = tmp_path_factory.mktemp("trained")
    assert (
        build.main(
            [
                "recipe=synthetic_text",
                "tasks=[syn_tagging_news,syn_tagging_travel]",
                f"out={folder / 'suite'}",
                "quiet=true",
            ]
        )
        == 0
    )
    settings = ["steps=1", "batch=1", "ways=[2,2]", "shots=[1]", "query=2", "rows=16"]
    settings += ["hypernetwork.episodes=12", "hypernetwork.dims=8", "validation_episodes=1", "lora.rank=2"]
    assert train.main([f"suite={folder / 'suite'}", f"out={folder / 'run'}", "kind=tagging", *settings]) == 0
    return folder / "run/last"


def test_tagged_sentences_become_a_tagger(
    tagging_checkpoint: Path, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert adapt.main([f"data={conll(in_tmp)}", f"checkpoint={tagging_checkpoint}", *FAST]) == 0
    shown = capsys.readouterr().out
    out = in_tmp / "runs/adapt/tagged"
    result = result_of(out)
    assert result["kind"] == "tagging"
    words = sum(map(len, tagged_about(KINDS)[0]))
    assert f"sentences 10 of {words} words; entities 10 of 2 types: food 5, sport 5" in shown
    assert f"chosen    {result['chosen']}" in shown
    assert "python -m metapeft.predict adapter=runs/adapt/tagged" in shown
    estimate = result["estimate"]
    assert f"F1        {100 * estimate['f1']:.1f} on sentences left out" in shown
    assert f"looking up entities {100 * estimate['gazetteer']:.1f}" in shown
    assert {name.split(",")[0] for name in result["scores"]} == {"frozen", "static", "hypernetwork"}
    assert set(result["scores"]) == set(result["validated"])
    assert all(near["task"] in shown for near in result["nearest"])
    assert "the checkpoint was trained on synthetic text: expect little of it" in result["notes"]
    page = (out / "README.md").read_text()
    assert "pipeline_tag: token-classification" in page
    assert f"**F1 {100 * estimate['f1']:.1f}** on sentences left out" in page
    assert f"**{result['chosen']}** on the backbone `nano`" in page
    assert json.loads((out / "config.json").read_text())["folds"] == 2
    assert {path.suffix for path in out.rglob("*") if path.is_file()} == {".json", ".safetensors", ".md"}
    # a tagger takes the place of a tagger, and of a classifier
    assert (
        adapt.main(
            [
                f"data={write(in_tmp, list(zip(texts_about(LABELS), LABELS, strict=True)))}",
                "checkpoint=none",
                f"out={out}",
                *FAST,
            ]
        )
        == 0
    )
    assert adapt.main([f"data={conll(in_tmp)}", "checkpoint=none", f"out={out}", *FAST]) == 0
    assert not (out / "classifier.json").exists()


def test_spans_without_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(starts, "SHIPPED_TAGGING", tmp_path / "none")
    path = tmp_path / "mine.jsonl"
    lines = []
    for words, tags in zip(*tagged_about(KINDS), strict=True):
        text = " ".join(words)
        entity = " ".join(word for word, tag in zip(words, tags, strict=True) if tag != "O")
        start = text.index(entity)
        lines.append(json.dumps({"text": text, "spans": [[start, start + len(entity), tags[3][2:]]]}))
    path.write_text("\n".join(lines))
    assert adapt.main([f"data={path}", f"out={tmp_path / 'out'}", *FAST]) == 0
    shown = capsys.readouterr().out
    assert f"note      {starts.NOT_SHIPPED}" in shown
    assert result_of(tmp_path / "out")["labels"] == {"food": 5, "sport": 5}
    assert result_of(tmp_path / "out")["start"]["checkpoint"] is None
    assert adapt.main([f"data={conll(tmp_path)}", f"out={tmp_path / 'out'}", *FAST]) == 0
    assert result_of(tmp_path / "out")["labels"] == {"food": 5, "sport": 5}
    assert "There is no adapter" in (tmp_path / "out/README.md").read_text()


def test_the_shipped_checkpoint_for_tagging_is_the_default(
    tagging_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "SHIPPED_TAGGING", tagging_checkpoint)
    assert adapt.main([f"data={conll(tmp_path)}", f"out={tmp_path / 'out'}", *FAST]) == 0
    assert result_of(tmp_path / "out")["start"]["checkpoint"] == "shipped"
    assert starts.NOT_SHIPPED not in result_of(tmp_path / "out")["notes"]


def test_the_same_sentences_give_the_same_bytes(tagging_checkpoint: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for out in (one, two):
        assert adapt.main([f"data={conll(tmp_path)}", f"checkpoint={tagging_checkpoint}", f"out={out}", *FAST]) == 0
    for name in ("head.safetensors", "tagger.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert result_of(one) | {"seconds": 0} == result_of(two) | {"seconds": 0}


def test_a_checkpoint_of_the_other_kind(
    checkpoint: Path,
    tagging_checkpoint: Path,
    examples: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = f"out={tmp_path / 'out'}"
    assert adapt.main([f"data={conll(tmp_path)}", f"checkpoint={checkpoint}", out]) == 2
    error = capsys.readouterr().err
    assert "trained on tasks of kind classification, and these examples are for tagging" in error
    assert "kind=tagging, or checkpoint=none" in error
    assert adapt.main([f"data={examples}", f"checkpoint={tagging_checkpoint}", out]) == 2
    assert "trained on tasks of kind tagging, and these examples are for classification" in capsys.readouterr().err


def test_a_decoder_does_not_tag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tiny_llama(tmp_path / "llama")
    given = [f"data={conll(tmp_path)}", "checkpoint=none", f"backbone={tmp_path / 'llama'}", f"out={tmp_path / 'out'}"]
    assert adapt.main(given) == 2
    assert "is no encoder: tagging reads words with what follows them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Alice\tB-person\nSmith\tperson\n", "mine.conll: line 2: 'person' is no tag; tags are O, B-type and I-type"),
        ("Alice\tO\n", "none of 1 sentences has an entity"),
        ("", "mine.conll: the file is empty"),
    ],
)
def test_mistakes_in_tagged_sentences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "mine.conll").write_text(text)
    assert adapt.main([f"data={tmp_path / 'mine.conll'}", "checkpoint=none", f"out={tmp_path / 'out'}"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_columns_are_those_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [f"data={conll(tmp_path)}", "checkpoint=none", f"out={tmp_path / 'out'}", *FAST]
    for more in ("text_column=a", "label_column=b", "per_class=3"):
        assert adapt.main([*given, more]) == 2
        assert f"holds tagged sentences, which have no {more.split('=')[0]}" in capsys.readouterr().err
    assert adapt.main([*given[1:], f"data={tmp_path / 'away.conll'}"]) == 2
    assert "away.conll: no such file" in capsys.readouterr().err
    # jsonl may hold both
    rows = [{"text": t, "entities": [], "team": n} for t, n in zip(texts_about(LABELS), LABELS, strict=True)]
    (tmp_path / "both.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert adapt.main([f"data={tmp_path / 'both.jsonl'}", *given[1:], "per_class=3"]) == 2
    assert "have no per_class" in capsys.readouterr().err
    assert adapt.main([f"data={tmp_path / 'both.jsonl'}", *given[1:], "label_column=team"]) == 0
    assert result_of(tmp_path / "out")["labels"] == {"food": 5, "sport": 5}
