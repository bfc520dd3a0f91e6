"""metapeft.backbones.tokens: a suite and a backbone must agree on token ids."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from metapeft import build
from metapeft.backbones.tokens import check_tokenizer, tokenizer_of
from metapeft.errors import SourceError, SuiteError
from metapeft.tasks.suite import Suite
from metapeft.tokenization.tokenizer import EMBEDDED


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    out = tmp_path_factory.mktemp("built") / "quickstart"
    assert build.main(["recipe=quickstart", "tasks=[quick_topic_news]", f"out={out}", "quiet=true"]) == 0
    return Suite(out)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A backbone's folder with a tokenizer of its own."""
    folder = tmp_path / "tiny-bert"
    folder.mkdir()
    Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "card": 2}, unk_token="[UNK]")).save(
        str(folder / "tokenizer.json")
    )
    return folder


def test_the_embedded_backbone_reads_the_default_tokenizer(suite: Suite) -> None:
    assert tokenizer_of("nano") == "default"
    check_tokenizer(suite, "nano")


def test_the_same_tokenizer_in_a_folder_passes(suite: Suite, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EMBEDDED, tmp_path / "bert"))
    check_tokenizer(suite, str(folder))


def test_another_tokenizer_is_refused_with_the_remedy(suite: Suite, other: Path) -> None:
    with pytest.raises(SuiteError) as caught:
        check_tokenizer(suite, str(other))
    message = str(caught.value)
    assert f"{suite.path}: its texts were tokenized with 'default'" in message
    assert f"backbone '{other}' reads token ids of '{other}'" in message
    assert f"python -m metapeft.build recipe=quickstart tokenizer={other} out={suite.path}-tiny-bert" in message


def test_the_remedy_works(suite: Suite, other: Path, tmp_path: Path) -> None:
    out = tmp_path / "rebuilt"
    order = ["recipe=quickstart", "tasks=[quick_topic_news]", f"tokenizer={other}", f"out={out}", "quiet=true"]
    assert build.main(order) == 0
    check_tokenizer(Suite(out), str(other))
    with pytest.raises(SuiteError, match="backbone 'nano' reads token ids of 'default'"):
        check_tokenizer(Suite(out), "nano")


def test_a_counterpart_is_rebuilt_as_one(suite: Suite, other: Path) -> None:
    stand_in = Suite(suite.path)
    stand_in.manifest["stands_in_for"] = "intent"
    with pytest.raises(SuiteError, match="recipe=intent data=synthetic tokenizer="):
        check_tokenizer(stand_in, str(other))


def test_a_backbone_without_a_tokenizer_is_named(suite: Suite, tmp_path: Path, no_hub: None) -> None:
    (tmp_path / "bare").mkdir()
    with pytest.raises(SourceError, match="bare"):
        check_tokenizer(suite, str(tmp_path / "bare"))
