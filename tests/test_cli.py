"""`key=value` over pydantic models: what is read, what is said of mistakes, and how a verb ends."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from metapeft import __main__ as entry
from metapeft.cli import UsageError, help_text, parse, run
from metapeft.errors import MetapeftError

STEADY = settings(deadline=None, derandomize=True)  # the same examples each time; a busy machine is no failure


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Episodes(Strict):
    ways: int | Literal["all"] = Field(default="all", description="classes of an episode")
    shots: int | list[int] = Field(default=5, description="examples of a class")
    query: Annotated[int, Field(ge=1)] = 50


class Config(Strict):
    recipe: str = Field(default="quickstart", description="a shipped recipe, or the path of a file")
    revision: str | None = Field(default=None, description="branch, tag or commit")
    out: str = "runs"
    data: Literal["auto", "hub", "synthetic"] = "auto"
    dry_run: bool = False
    seed: int = Field(default=0, ge=0, le=10)
    rate: float = Field(default=1e-3, gt=0)
    shots: list[int] = [1, 5]
    only: list[str] = []
    names: str | list[str] = []
    version: str | int = 1
    files: dict[str, str] = Field(default={}, description="folders of your own data")
    episodes: Episodes = Episodes(shots=3)
    more: Episodes | None = None
    sampling: bool | Episodes = False

    @field_validator("recipe")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "unknowable":
            raise ValueError("there is no such recipe")
        return value

    @model_validator(mode="after")
    def _agrees(self) -> Config:
        if self.seed == 7 and self.dry_run:
            raise ValueError("seed 7 is never dry")
        return self


class Needs(Strict):
    suite: str = Field(description="folder of a suite")
    steps: int
    inner: Inner


class Inner(Strict):
    rate: float
    name: str = "x"


Needs.model_rebuild()


def read(*argv: str) -> Config:
    return parse(Config, argv, prog="metapeft build")


def mistakes(*argv: str, model: type[BaseModel] = Config) -> list[str]:
    with pytest.raises(UsageError) as caught:
        parse(model, argv, prog="metapeft build")
    assert "metapeft build --help" in str(caught.value)
    assert all(line in str(caught.value) for line in caught.value.mistakes)
    return caught.value.mistakes


# --- values ---------------------------------------------------------------------------------------


def test_nothing_given_is_the_defaults() -> None:
    assert read() == Config()


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("recipe=sentiment", {"recipe": "sentiment"}),
        ("--recipe=sentiment", {"recipe": "sentiment"}),
        ("recipe=a=b", {"recipe": "a=b"}),
        ("recipe=", {"recipe": ""}),
        ("recipe=null", {"recipe": "null"}),
        ("recipe=[x", {"recipe": "[x"}),
        ("revision=1e5", {"revision": "1e5"}),
        ("revision=007", {"revision": "007"}),
        ("revision=null", {"revision": None}),
        ("dry_run=true", {"dry_run": True}),
        ("rate=1e-5", {"rate": 1e-5}),
        ("rate=3", {"rate": 3.0}),
        ("shots=[1,5,10]", {"shots": [1, 5, 10]}),
        ("shots=[]", {"shots": []}),
        ("only=[no, 1e5, 010, null, a b]", {"only": ["no", "1e5", "010", "null", "a b"]}),
        ("names=no", {"names": "no"}),
        ("names=[no, 1]", {"names": ["no", "1"]}),
        ("names={a: 1}", {"names": "{a: 1}"}),
        ("version=3", {"version": 3}),
        ("version=3.0", {"version": "3.0"}),
        ("version=[3]", {"version": "[3]"}),
        ("files.reviews=~/x", {"files": {"reviews": "~/x"}}),
        ("files.a.b=no", {"files": {"a.b": "no"}}),
        ("files={a: no, b: 1e5}", {"files": {"a": "no", "b": "1e5"}}),
        ("episodes.shots=7", {"episodes": Episodes(shots=7)}),
        ("episodes.shots=[1,2]", {"episodes": Episodes(shots=[1, 2])}),
        ("episodes={ways: all, query: 9}", {"episodes": Episodes(query=9)}),
        ("sampling=true", {"sampling": True}),
        ("sampling.query=9", {"sampling": Episodes(query=9)}),
        ("more.ways=5", {"more": Episodes(ways=5)}),
        ("more=null", {"more": None}),
    ],
)
def test_values(argument: str, expected: dict[str, Any]) -> None:
    assert read(argument).model_dump() == Config(**expected).model_dump()


@STEADY
@given(st.text())
def test_a_text_field_gets_the_text_as_typed(text: str) -> None:
    assert read(f"out={text}").out == text


@STEADY
@given(st.text().filter(lambda text: text not in ("null", "~")))
def test_so_does_an_optional_one(text: str) -> None:
    assert read(f"revision={text}").revision == text


@STEADY
@given(st.lists(st.integers()), st.booleans(), st.floats(min_value=1e-300, allow_infinity=False, allow_nan=False))
def test_what_is_typed_comes_back(shots: list[int], dry_run: bool, rate: float) -> None:
    found = read(f"shots={shots}", f"dry_run={str(dry_run).lower()}", f"rate={rate!r}")
    assert (found.shots, found.dry_run, found.rate) == (shots, dry_run, rate)


# --- files ----------------------------------------------------------------------------------------


def test_command_line_beats_later_file_beats_earlier_file(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("recipe: one\nout: one\nseed: 1\nfiles: {a: one, b: one}\nepisodes: {query: 1, shots: 1}\n")
    second.write_text("recipe: two\nout: two\nfiles: {b: two, c: two}\nepisodes.shots: [2]\n")
    found = read("recipe=three", f"@{first}", "files.c=three", f"@{second}")
    assert (found.recipe, found.out, found.seed) == ("three", "two", 1)
    assert found.files == {"a": "one", "b": "two", "c": "three"}
    assert found.episodes == Episodes(query=1, shots=[2])
    assert read(f"@{first}", "files={}").files == {}


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read(f"@{tmp_path}/empty.yaml") == Config()


def test_mistakes_in_files(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("recip: x\nrevision: 1e5\nepisodes: {shot: 5, query: 0}\n")
    assert mistakes(f"@{path}") == [
        f"@{path}: unknown key 'recip'. Did you mean 'recipe'?",
        f"@{path}: revision=100000.0: expected text, or null; in a file, put it in quotes",
        f"@{path}: episodes.query=0: expected a whole number of at least 1",
        f"@{path}: episodes.shot=5: unknown key 'episodes.shot'. Did you mean 'episodes.shots'?",
    ]
    path.write_text("- recipe\n")
    assert mistakes(f"@{path}") == [f"@{path}: expected lines of `key: value`"]
    path.write_text("out: a\nout: b\n")
    assert mistakes(f"@{path}") == [f"@{path}, line 2: key 'out' stands twice: on line 1 and on line 2"]
    assert mistakes("@no.yaml", "@") == [
        "@no.yaml: cannot be read (No such file or directory)",
        "@: expected @FILE.yaml",
    ]


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("shot=5", "unknown key 'shot'. Did you mean 'shots'?"),
        ("--dry-run=true", "unknown key 'dry-run'. Did you mean 'dry_run'?"),
        ("query=5", "unknown key 'query'. Did you mean 'episodes.query'?"),
        ("episode.shots=5", "unknown key 'episode.shots'. Did you mean 'episodes.shots'?"),
        ("zzz=1", "unknown key 'zzz'."),
        ("files.=x", "unknown key 'files.'. Did you mean 'files.NAME'?"),
        ("seed=abc", "seed=abc: expected a whole number from 0 to 10"),
        ("seed=1e0", "seed=1e0: expected a whole number from 0 to 10"),
        ("seed=true", "seed=true: expected a whole number from 0 to 10"),
        ("seed=", "seed=: expected a whole number from 0 to 10"),
        ("seed=11", "seed=11: expected a whole number from 0 to 10"),
        ("rate=0", "rate=0: expected a number above 0"),
        ("dry_run=yes", "dry_run=yes: expected true or false"),
        ("data=hbu", "data=hbu: expected one of auto, hub, synthetic. Did you mean 'hub'?"),
        ("shots=abc", "shots=abc: expected a list of whole numbers"),
        ("shots=5", "shots=5: expected a list of whole numbers; a list is written shots=[5]"),
        ("shots=1,5", "shots=1,5: expected a list of whole numbers; a list is written shots=[1,5]"),
        ("shots=[1,x]", "shots=[1,x]: expected a list of whole numbers"),
        ("episodes.shots=abc", "episodes.shots=abc: expected a whole number, or a list of whole numbers"),
        ("episodes=5", "episodes=5: expected a mapping with the keys ways, shots, query"),
        ("episodes={shot: 5}", "episodes={shot: 5}: unknown key 'episodes.shot'. Did you mean 'episodes.shots'?"),
        ("more.query=x", "more.query=x: expected a whole number of at least 1"),
        ("sampling=5", "sampling=5: expected true or false, or a mapping with the keys ways, shots, query"),
        ("sampling.query=0", "sampling.query=0: expected a whole number of at least 1"),
        ("sampling={qery: 1}", "sampling={qery: 1}: unknown key 'sampling.qery'. Did you mean 'sampling.query'?"),
        ("recipe=unknowable", "recipe=unknowable: there is no such recipe"),
        ("shots", "shots: expected key=value, here shots=VALUE"),
        ("--dry_run", "--dry_run: expected key=value, here dry_run=true"),
        ("shot", "shot: expected key=value. Did you mean 'shots'?"),
        ("", "'': expected key=value."),
    ],
)
def test_one_mistake_is_one_line(argument: str, line: str) -> None:
    assert mistakes(argument) == [line]


def test_flag_style_is_one_mistake() -> None:
    assert mistakes("--seed", "5", "out=x") == ["--seed 5: expected key=value, here seed=5"]


def test_all_mistakes_at_once() -> None:
    found = mistakes("shot=5", "seed=abc", "data=hub", "dry_run=1", "seed=3", "bare", "@no.yaml", model=Config)
    assert found == [
        "@no.yaml: cannot be read (No such file or directory)",
        "unknown key 'shot'. Did you mean 'shots'?",
        "key 'seed' is given twice: seed=abc and seed=3",
        "bare: expected key=value.",
        "dry_run=1: expected true or false",
    ]


def test_a_key_and_a_part_of_it() -> None:
    line = "one of these is part of the other: episodes={query: 1} and episodes.query=2"
    assert mistakes("episodes={query: 1}", "episodes.query=2") == [line]


def test_missing_keys_are_listed() -> None:
    assert mistakes(model=Needs) == [
        "missing key 'suite': folder of a suite",
        "missing key 'steps'",
        "missing key 'inner.rate'",
    ]
    assert mistakes("suite=x", "steps=1", "inner.name=y", model=Needs) == ["missing key 'inner.rate'"]


def test_a_validator_of_the_whole_speaks_for_itself() -> None:
    assert mistakes("seed=7", "dry_run=true") == ["seed 7 is never dry"]


@STEADY
@given(st.lists(st.text(max_size=12), max_size=4))
def test_whatever_is_typed_is_a_config_or_a_usage_error(argv: list[str]) -> None:
    argv = [argument for argument in argv if not argument.startswith("@") and argument not in ("-h", "--help")]
    with contextlib.suppress(UsageError):
        assert isinstance(read(*argv), Config)


@STEADY
@given(st.sampled_from(["seed", "rate", "shots", "names", "files", "episodes", "more.shots", "data"]), st.text())
def test_whatever_a_key_is_given(key: str, text: str) -> None:
    argument = f"{key}={text}"
    try:
        read(argument)
    except UsageError:
        assert mistakes(argument)[0].startswith(argument)


# --- help -----------------------------------------------------------------------------------------


def test_help_page() -> None:
    page = help_text(Config, "metapeft build", "Builds a suite.", ["metapeft build recipe=sentiment"])
    assert max(map(len, page.splitlines())) <= 100
    rows = {line.split()[0]: line for line in page.splitlines() if line.startswith("  ")}
    for key in ("recipe", "files.NAME", "episodes.shots", "more.query"):
        assert key in rows
    assert "whole number from 0 to 10" in rows["seed"]
    assert "number above 0" in rows["rate"]
    assert "0.001" in rows["rate"]
    assert "one of auto, hub" in rows["data"]
    assert "[1, 5]" in rows["shots"]
    assert " 3 " in rows["episodes.shots"], "the default of the instance, not of the class"
    assert "branch, tag or commit" in rows["revision"]
    assert "null" in rows["revision"]
    for word in ("Builds a suite.", "metapeft build recipe=sentiment", "@file.yaml", "--help", "METAPEFT_DEBUG"):
        assert word in page
    assert page.startswith("usage: metapeft build [key=value ...]")
    assert "suite=VALUE steps=VALUE inner.rate=VALUE" in help_text(Needs, "p")
    assert "required" in help_text(Needs, "p")


def test_parse_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read("nonsense", "-h")
    assert caught.value.code == 0
    assert "episodes.shots" in capsys.readouterr().out


# --- running --------------------------------------------------------------------------------------


def ending(main: Callable[[Any], int | None], *argv: str) -> int:
    return run(main, Config, argv, prog="metapeft build", description="Builds.", examples=["e"])


def raising(error: BaseException) -> Callable[[Any], int | None]:
    def main(_: Any) -> int | None:
        raise error

    return main


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Config] = []
    assert ending(seen.append, "seed=3") == 0
    assert seen[0].seed == 3
    assert ending(lambda _: 5) == 5
    assert ending(lambda _: 1, "--help", "shot=5") == 0
    assert "Builds." in capsys.readouterr().out


def test_a_mistake_is_one_message_and_2(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METAPEFT_DEBUG", raising=False)
    assert ending(lambda _: 0, "shot=5") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: unknown key 'shot'. Did you mean 'shots'?\n")
    assert "Traceback" not in error
    assert ending(raising(MetapeftError("no such suite"))) == 2
    assert capsys.readouterr().err == "error: no such suite\n"


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAPEFT_DEBUG", "1")
    assert ending(raising(MetapeftError("no such suite"))) == 2
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.endswith("error: no such suite\n")


def test_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x.parquet"), "the disk is full: /data/x.parquet"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full: my/out"),
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), "no permission: /root/x"),
    ],
)
def test_what_the_system_refuses(error: OSError, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(raising(error), "out=my/out") == 2
    assert capsys.readouterr().err == f"error: {said}\n"


def test_our_own_bugs_keep_their_traceback() -> None:
    for bug in (ZeroDivisionError(), OSError(errno.EIO, "broken"), FileNotFoundError(errno.ENOENT, "gone", "x")):
        with pytest.raises(type(bug)):
            ending(raising(bug))


# --- metapeft VERB --------------------------------------------------------------------------------


def test_a_verb_gets_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    verb = types.ModuleType("metapeft.build")
    verb.main = lambda argv: seen.append(argv) or 4  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "metapeft.build", verb)
    assert entry.main(["build", "recipe=x", "--help"]) == 4
    assert seen == [["recipe=x", "--help"]]


def test_unknown_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["bild", "recipe=x"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: unknown verb 'bild'. Did you mean 'build'?\n")
    assert "inspect" in error


def test_verbs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["--help"]) == 0
    assert all(f"{verb} " in capsys.readouterr().out for verb in ["build"])
    assert entry.main([]) == 2
    assert "build " in capsys.readouterr().err
    assert entry.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("metapeft ")


def python(code: str, **changes: str) -> subprocess.Popen[str]:
    root = str(Path(entry.__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": root, **changes}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    return subprocess.Popen([sys.executable, "-c", code], **pipes)


SCRIPT = """
import sys
from pydantic import BaseModel
from metapeft.cli import run
class Config(BaseModel, extra="forbid"):
    lines: int = 1
def main(config):
    for line in range(config.lines):
        print("line", line)
code = run(main, Config, ARGV, prog="p")
heavy = {"rich", "numpy", "mlx", "datasets", "transformers", "sklearn", "yaml"} & set(sys.modules)
print(sorted(heavy), file=sys.stderr)
sys.exit(code)
"""


def test_help_and_typos_are_quick_and_import_nothing_heavy() -> None:
    for argv, code in ((["--help"], 0), (["line=5"], 2)):
        started = time.perf_counter()
        process = python(SCRIPT.replace("ARGV", repr(argv)))
        _, error = process.communicate()
        assert time.perf_counter() - started < 3  # about 0.2 s; the rest is for a busy machine
        assert process.returncode == code
        assert error.endswith("['yaml']\n")


def test_a_reader_that_leaves_is_no_traceback() -> None:
    process = python(SCRIPT.replace("ARGV", "['lines=200000']"))
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "line 0\n"
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141
    assert error == "['yaml']\n"
