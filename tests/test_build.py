"""metapeft.build: from a recipe and a Hub to a suite, and every way it can go wrong."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from metapeft import build
from metapeft.building import gather, pipeline
from metapeft.tasks.suite import Suite
from tests.tiny_hub import TinyHub, class_label_card, parquet_bytes

RECIPE = """
schema: 1
name: mine
version: 1-A
description: Two domains of reviews.
family: sentiment
counterpart: synthetic_text
episodes: {{ways: all, shots: [2, 4], query: 6, max_tokens: 16}}
tasks:
  - id: books
    kind: classification
    domain: books
    source: {{kind: hub, path: {repo}, splits: {{support: [train], query: [test]}}}}
    fields: {{text: text, label: label}}
    labels: [negative, positive]
    license: mit
    citation: Nobody 2026
    expect: {{train: 40, test: 20}}
  - id: films
    kind: classification
    domain: films
    source: {{kind: files, name: films, about: film reviews, splits: {{support: [train.csv]}}}}
    fields: {{text: text, label: label}}
    labels: [negative, positive]
domain_shift: [{{support: books, query: films}}]
"""
WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu"]


def texts(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [f"{' '.join(rng.choice(WORDS, 6))} {seed} {i}" for i in range(count)]


def add_books(hub: TinyHub, repo: str, seed: int = 1) -> None:
    card = class_label_card(
        "default",
        {"text": "string", "label": ["negative", "positive"]},
        {"train": "data/train-*", "test": "data/test-*"},
    )
    rows = {
        split: {"text": texts(n, seed + n), "label": [i % 2 for i in range(n)]}
        for split, n in {"train": 40, "test": 20}.items()
    }
    hub.add(repo, {"README.md": card, **{f"data/{s}-0.parquet": parquet_bytes(r) for s, r in rows.items()}})


@pytest.fixture
def recipe(hub: TinyHub, in_tmp: Path, request: pytest.FixtureRequest) -> str:
    """A recipe file whose Hub repository exists; the repository's name is the test's own."""
    repo = "org/" + request.node.name.split("[")[0].replace("_", "-")[:60]
    add_books(hub, repo)
    path = in_tmp / "mine.yaml"
    path.write_text(RECIPE.format(repo=repo))
    return str(path)


def run(*arguments: str) -> int:
    return build.main([*arguments])


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def edit(recipe: str, old: str, new: str) -> None:
    path = Path(recipe)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


# --- what is built ------------------------------------------------------------------------------


def test_a_suite_has_rows_tokens_card_manifest_and_result(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"recipe={recipe}") == 0
    out = Path("runs/suites/mine")
    suite = Suite(out)
    [task] = suite.tasks
    assert (task.id, task.family, suite.manifest["origin"]) == ("books", "sentiment", "hub")
    assert task.entry["rows"] == {"support": 40, "query": 20}
    assert task.entry["class_rows"] == {"support": [20, 20], "query": [10, 10]}
    assert task.entry["drift"] == {}
    assert task.entry["source"]["commit"]
    table = pq.read_table(out / "books/support.parquet")
    assert table.column_names == ["row_id", "text", "label"]
    assert table["row_id"][3].as_py() == "train:3"
    pool = suite.pool("books", "support")
    assert len(pool) == 40
    assert pool.y.tolist() == [i % 2 for i in range(40)]
    card = (out / "README.md").read_text()
    assert "Nobody 2026" in card
    assert "| mit |" in card
    assert json.loads((out / "result.json").read_text())["rows"] == {"support": 40, "query": 20}
    assert json.loads((out / "config.json").read_text())["recipe"] == "mine"
    assert suite.damaged() == []
    shown = capsys.readouterr()
    assert "not built: films: name its folder: files.films=FOLDER (film reviews)" in shown.err
    assert "python -m metapeft.inspect suite=runs/suites/mine" in shown.out


def test_files_of_the_users_own_complete_the_recipe(recipe: str, in_tmp: Path) -> None:
    folder = in_tmp / "reviews"
    folder.mkdir()
    lines = [f"{text},{['negative', 'positive'][i % 2]}" for i, text in enumerate(texts(120, 9))]
    (folder / "train.csv").write_text("\n".join(["text,label", *lines]))
    assert run(f"recipe={recipe}", f"files.films={folder}") == 0
    suite = Suite("runs/suites/mine")
    assert [task.id for task in suite.tasks] == ["books", "films"]
    assert suite.domain_shift == [("books", "films")]
    assert suite.manifest["origin"] == "mixed"
    films = suite.task("films").entry
    assert sum(films["rows"].values()) == 120, "one file feeds both pools"
    assert 20 <= films["rows"]["query"] <= 55


def test_several_splits_fill_one_pool_in_order(recipe: str, hub: TinyHub) -> None:
    edit(recipe, "{support: [train], query: [test]}", "{support: [train, more], query: [test]}")
    repo = next(iter(hub.repos))
    files = dict(hub.repos[repo]["main"])
    files["README.md"] = files["README.md"].replace(
        b"  - split: test\n", b"  - split: more\n    path: data/more-*\n  - split: test\n"
    )
    files["data/more-0.parquet"] = parquet_bytes({"text": texts(8, 99), "label": [0, 1] * 4})
    hub.add(repo, files)
    assert run(f"recipe={recipe}") == 0
    ids = pq.read_table("runs/suites/mine/books/support.parquet")["row_id"].to_pylist()
    assert ids == [f"train:{i}" for i in range(40)] + [f"more:{i}" for i in range(8)]


def test_two_builds_give_the_same_bytes(recipe: str) -> None:
    assert run(f"recipe={recipe}", "out=one") == 0
    assert run(f"recipe={recipe}", "out=two") == 0
    assert files_of(Path("one")) == files_of(Path("two"))


def test_a_second_build_has_nothing_to_do_until_something_changes(
    recipe: str, hub: TinyHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"recipe={recipe}") == 0
    stamp = Path("runs/suites/mine/manifest.json").stat().st_mtime_ns
    capsys.readouterr()
    assert run(f"recipe={recipe}") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert Path("runs/suites/mine/manifest.json").stat().st_mtime_ns == stamp
    add_books(hub, next(iter(hub.repos)), seed=2)
    assert run(f"recipe={recipe}") == 0
    assert "nothing to do" not in capsys.readouterr().out
    assert Path("runs/suites/mine/manifest.json").stat().st_mtime_ns != stamp
    Path("runs/suites/mine/books/query.parquet").unlink()
    assert run(f"recipe={recipe}") == 0
    assert Path("runs/suites/mine/books/query.parquet").exists(), "a hole is filled"


def test_verify_finds_a_changed_byte_and_a_clean_suite_passes(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"recipe={recipe}") == 0
    assert run(f"recipe={recipe}", "verify=true") == 0
    assert "verified" in capsys.readouterr().out
    path = Path("runs/suites/mine/books/tokens-query.arrow")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert run(f"recipe={recipe}", "verify=true") == 1
    assert "books/tokens-query.arrow: its content changed" in capsys.readouterr().out
    assert sorted(os.listdir("runs/suites")) == ["mine"], "verifying leaves nothing behind"


def test_rows_that_leak_are_dropped_from_the_query_pool(recipe: str, hub: TinyHub) -> None:
    repo = next(iter(hub.repos))
    rows = {"text": texts(40, 5), "label": [i % 2 for i in range(40)]}
    query = {"text": [rows["text"][3].upper(), rows["text"][4] + "!", *texts(18, 6)], "label": [1, 0] * 10}
    card = hub.repos[repo]["main"]["README.md"]
    data = {"README.md": card, "data/train-0.parquet": parquet_bytes(rows), "data/test-0.parquet": parquet_bytes(query)}
    hub.add(repo, data)
    assert run(f"recipe={recipe}") == 0
    entry = Suite("runs/suites/mine").task("books").entry
    assert entry["dropped"]["leaks"] == {"equal of support": 1, "near duplicate of support": 1}
    assert entry["rows"]["query"] == 18
    assert run(f"recipe={recipe}", "leaks=keep", "out=kept") == 0
    assert Suite("kept").task("books").entry["rows"]["query"] == 20


def test_datasets_can_load_a_suite_and_sees_a_rebuild(recipe: str, hub: TinyHub) -> None:
    """The card's digest keeps `datasets`' cache for local folders from giving back an earlier build."""
    import datasets

    assert run(f"recipe={recipe}") == 0
    first = datasets.load_dataset("runs/suites/mine", "books", split="train")
    assert first.features["label"].names == ["negative", "positive"]
    add_books(hub, next(iter(hub.repos)), seed=3)
    assert run(f"recipe={recipe}") == 0
    second = datasets.load_dataset("runs/suites/mine", "books", split="train")
    assert first["text"][:] != second["text"][:]
    assert second["text"][:] == pq.read_table("runs/suites/mine/books/support.parquet")["text"].to_pylist()


def test_episode_settings_on_the_command_line_beat_the_recipe(recipe: str) -> None:
    assert run(f"recipe={recipe}", "episodes.shots=[1,3]", "episodes.max_tokens=8") == 0
    task = Suite("runs/suites/mine").tasks[0]
    assert (task.episodes.shots, task.episodes.max_tokens, task.episodes.query) == ([1, 3], 8, 6)
    assert Suite("runs/suites/mine").pool("books", "support").x.lengths().max() <= 8


def test_dry_run_and_list_write_nothing(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"recipe={recipe}", "dry_run=true") == 0
    assert "would build 1 tasks" in capsys.readouterr().out
    assert run("list=true") == 0
    assert "quickstart" in capsys.readouterr().out
    assert not Path("runs").exists()


# --- without a Hub ------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_hub", "no_waiting")
def test_without_a_hub_the_counterpart_is_built_loudly_beside(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"recipe={recipe}") == 0
    assert "THE HUB CANNOT BE REACHED" in capsys.readouterr().err
    assert os.listdir("runs/suites") == ["mine-synthetic"]
    suite = Suite("runs/suites/mine-synthetic")
    assert suite.manifest["origin"] == "synthetic"
    assert suite.manifest["stands_in_for"] == "mine"
    assert {task.family for task in suite.tasks} == {"sentiment"}
    assert suite.domain_shift
    assert "**Synthetic.**" in (suite.path / "README.md").read_text()


@pytest.mark.usefixtures("no_hub", "no_waiting")
def test_an_asked_for_folder_is_never_filled_with_other_data(recipe: str) -> None:
    assert run(f"recipe={recipe}", "out=mysuite") == 0
    assert not Path("mysuite").exists()
    assert Suite("mysuite-synthetic").manifest["origin"] == "synthetic"


@pytest.mark.usefixtures("no_hub", "no_waiting")
def test_data_hub_refuses_instead(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"recipe={recipe}", "data=hub") == 2
    assert "cannot be reached" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_data_synthetic_does_not_ask_the_hub(recipe: str, hub: TinyHub) -> None:
    assert run(f"recipe={recipe}", "data=synthetic") == 0
    assert hub.requests == 0
    assert Suite("runs/suites/mine-synthetic").manifest["origin"] == "synthetic"


@pytest.mark.usefixtures("no_waiting")
def test_a_cached_copy_is_built_from_when_the_hub_is_gone(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(f"recipe={recipe}", "out=one") == 0
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert run(f"recipe={recipe}", "out=two") == 0
    assert files_of(Path("one")) == files_of(Path("two"))


# --- what can be wrong --------------------------------------------------------------------------


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a build that must fail as a user's mistake; nothing half-written may be left."""
    assert run(*arguments) == 2
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    for path in Path(".").rglob("*"):
        assert ".partial-" not in path.name
        assert path.name != "manifest.json"
    return shown


WRONG: list[tuple[str, str, str]] = [
    ("label: label}", "label: {column: text, take: 0}}", "is not declared"),
    ("text: text", "text: body", r"recipe 'mine', task 'books', fields: no column 'body'"),
    ("[negative, positive]", "[positive, negative]", r"recipe 'mine', task 'books', labels: the data's own names"),
    ("support: [train]", "support: [trian]", "no split 'trian'. Did you mean 'train'"),
    ("query: [test]}", "query: [test]}, revision: v7", "no revision 'v7'"),
    (
        "fields: {text: text, label: label}",
        "filters: {min_chars: 9999}\n    fields: {text: text, label: label}",
        "no row is left in the support pool (40 read; dropped: 40 too short)",
    ),
    ("shots: [2, 4]", "shots: 30", "2 ways x 30 shots + 6 query rows need 2 classes with at least 30 support"),
    ("query: 6", "query: 50", "at least 2 support and 25 query rows; 0 of 2 have them"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG)
def test_bad_input_is_named(recipe: str, old: str, new: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    edit(recipe, old, new)
    assert message.replace("\\", "") in refused(capsys, f"recipe={recipe}")


def test_a_repository_of_scripts_names_the_revision_to_use(
    recipe: str, hub: TinyHub, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = next(iter(hub.repos))
    hub.add(repo, {"loader.py": "1/0", f"{repo.split('/')[1]}.py": "1/0"})
    assert "revision: refs/convert/parquet" in refused(capsys, f"recipe={recipe}")


def test_an_unreadable_file_is_named(recipe: str, in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = in_tmp / "reviews"
    folder.mkdir()
    (folder / "train.csv").write_bytes(b"\xff\xfe\x00\x01text")
    shown = refused(capsys, f"recipe={recipe}", f"files.films={folder}")
    assert "recipe 'mine', task 'films'" in shown
    assert "train.csv" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recipe=sentimant"], "Did you mean 'sentiment'"),
        (["recipes=quickstart"], "unknown key 'recipes'. Did you mean 'recipe'"),
        (["recipe=quickstart", "verify=maybe"], "verify=maybe"),
        (["recipe=quickstart", "tasks=[nothing]"], "no task 'nothing'"),
        (["recipe=quickstart", "files.reviews=."], "has no such source"),
        (["recipe=quickstart", "tokenizer=./nowhere"], "tokenizer './nowhere'"),
        (["recipe=quickstart", "episodes.shots=[5,1]"], "episodes.shots=[5,1]: needs 1 <= least <= most"),
        (["recipe=quickstart", "episodes.ways=0"], "episodes.ways=0: needs 1 <= least <= most"),
        (["recipe=quickstart", "episodes.shots=[1,2,3]"], "episodes.shots=[1,2,3]"),
        (["recipe=quickstart", "verify=true"], "nothing to verify"),
        ([], "recipe=NAME is missing"),
    ],
)
@pytest.mark.usefixtures("in_tmp", "hub")
def test_a_wrong_command_is_explained(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refused(capsys, *arguments)


def test_a_folder_with_other_files_is_never_replaced(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (in_tmp / "home").mkdir()
    (in_tmp / "home" / "thesis.tex").write_text("precious")
    assert "holds other files" in refused(capsys, "recipe=quickstart", "out=home")
    assert (in_tmp / "home" / "thesis.tex").read_text() == "precious"


@pytest.mark.parametrize("step", ["gather.pq.write_table", "pipeline.atomic.write_text"])
def test_a_full_disk_ends_in_one_line_and_leaves_nothing(
    recipe: str, step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    module, *names = step.split(".")
    target = {"gather": gather, "pipeline": pipeline}[module]
    monkeypatch.setattr(getattr(target, names[0]), names[1], full)
    shown = refused(capsys, f"recipe={recipe}")
    assert "disk is full" in shown
    assert not Path("runs/suites/mine").exists()


def test_a_failed_rebuild_leaves_the_old_suite(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"recipe={recipe}") == 0
    before = files_of(Path("runs/suites/mine"))
    edit(recipe, "query: 6", "query: 50")
    assert run(f"recipe={recipe}") == 2
    assert files_of(Path("runs/suites/mine")) == before
    assert sorted(os.listdir("runs/suites")) == ["mine"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_build_leaves_no_suite_and_the_next_one_works(in_tmp: Path, sent: signal.Signals) -> None:
    command = [sys.executable, "-m", "metapeft.build", "recipe=synthetic_text", "out=s"]
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # a shell's background job ignores SIGINT, and so would what it starts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("[3/"):
                break
        process.send_signal(sent)
        process.stderr.read()
    assert process.returncode != 0
    assert not (in_tmp / "s").exists()
    if sent == signal.SIGINT:
        assert os.listdir(in_tmp) == []
    assert run("recipe=quickstart", "out=s", "quiet=true") == 0
    assert os.listdir(in_tmp) == ["s"], "what the killed build left is cleared"


def test_help_and_mistakes_come_at_once_and_load_nothing_heavy(in_tmp: Path) -> None:
    code = (
        "import sys; from metapeft.build import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'mlx', 'transformers', 'datasets', 'mlx_lm', 'pyarrow', 'numpy', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    for argument in ("--help", "recip=x"):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code, argument], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert time.perf_counter() - start < 20


def test_build_loads_no_mlx(in_tmp: Path) -> None:
    code = (
        "import sys; from metapeft.build import main\n"
        "assert main(['recipe=quickstart', 'quiet=true']) == 0\n"
        "sys.exit('mlx' in sys.modules or 'mlx.core' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
