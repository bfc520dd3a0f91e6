"""metapeft.sources.hub: resolving, verifying, retrying, and working without a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from metapeft.errors import HubUnreachable, SourceError
from metapeft.recipes.schema import HubSource, Splits
from metapeft.sources import hub as hub_source
from tests.tiny_hub import TinyHub, class_label_card, parquet_bytes

ROWS = parquet_bytes({"text": [f"text number {i}" for i in range(200)], "label": [i % 2 for i in range(200)]})


def source(path: str, **more: str | None) -> HubSource:
    return HubSource(kind="hub", path=path, splits=Splits(support=["train"]), **more)


def add_plain(hub: TinyHub, repo: str) -> HubSource:
    card = class_label_card("default", {"text": "string", "label": ["bad", "good"]}, {"train": "data/train-*"})
    hub.add(repo, {"README.md": card, "data/train-0.parquet": ROWS})
    return source(repo)


def test_resolves_files_features_and_commit(hub: TinyHub) -> None:
    src = add_plain(hub, "org/plain")
    resolved = hub_source.resolve(src, ["train"])
    assert resolved.commit == hub.commit("org/plain", "main")
    assert [file.path for file in resolved.files["train"]] == ["data/train-0.parquet"]
    assert resolved.format == "parquet"
    assert resolved.features is not None
    assert resolved.features["label"]["names"] == ["bad", "good"]
    [path] = hub_source.fetch(resolved, "train", src)
    assert path.read_bytes() == ROWS


def test_reads_the_converted_copy_of_a_script_repository(hub: TinyHub) -> None:
    hub.add("org/scripted", {"scripted.py": "raise SystemExit", "README.md": ""})
    hub.add("org/scripted", {"small/train/0000.parquet": ROWS}, revision="refs/convert/parquet")
    with pytest.raises(SourceError, match="refs/convert/parquet"):
        hub_source.resolve(source("org/scripted"), ["train"])
    resolved = hub_source.resolve(source("org/scripted", revision="refs/convert/parquet", data_dir="small"), ["train"])
    assert [file.path for file in resolved.files["train"]] == ["small/train/0000.parquet"]


@pytest.mark.parametrize(
    ("more", "split", "message"),
    [
        ({"path": "org/absent"}, "train", "no dataset 'org/absent'"),
        ({"path": "org/errors", "revision": "v9"}, "train", "no revision 'v9'"),
        ({"path": "org/errors", "config": "big"}, "train", r"no configuration 'big'; it has \['default'\]"),
        ({"path": "org/errors"}, "trian", "no split 'trian'. Did you mean 'train'"),
    ],
)
def test_a_wrong_name_is_said_plainly(hub: TinyHub, more: dict[str, str], split: str, message: str) -> None:
    add_plain(hub, "org/errors")
    with pytest.raises(SourceError, match=message):
        hub_source.resolve(source(more.pop("path"), **more), [split])


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_asked_again(hub: TinyHub, status: int) -> None:
    src = add_plain(hub, "org/busy")
    hub.faults.answer_busy, hub.faults.busy_status = 3, status
    assert hub_source.head_commit(src) == hub.commit("org/busy", "main")


def test_a_hub_that_stays_busy_ends_in_a_clear_error(hub: TinyHub, no_waiting: list[float]) -> None:
    src = add_plain(hub, "org/always-busy")
    hub.faults.answer_busy = 10_000
    with pytest.raises(SourceError, match="answers 503 again and again"):
        hub_source.head_commit(src)
    own = [wait for wait in no_waiting if wait >= 0.5]
    assert len(own) >= hub_source.TRIES - 1
    assert max(own) > min(own), "the waits must grow"


def test_a_corrupted_file_is_fetched_again(hub: TinyHub) -> None:
    src = add_plain(hub, "org/corrupt-once")
    resolved = hub_source.resolve(src, ["train"])
    hub.faults.corrupt_file = 1
    [path] = hub_source.fetch(resolved, "train", src)
    assert path.read_bytes() == ROWS
    assert hub.faults.corrupt_file == 0, "the fault must have been met"


def test_a_file_that_stays_corrupted_is_refused_by_name_and_not_left_in_the_cache(hub: TinyHub) -> None:
    src = add_plain(hub, "org/corrupt-always")
    resolved = hub_source.resolve(src, ["train"])
    hub.faults.corrupt_file = 1_000
    with pytest.raises(SourceError, match=r"data/train-0.parquet is damaged"):
        hub_source.fetch(resolved, "train", src)
    hub.faults.corrupt_file = 0
    [path] = hub_source.fetch(resolved, "train", src)
    assert path.read_bytes() == ROWS


@pytest.mark.usefixtures("no_waiting")
def test_a_cut_transfer_is_taken_up_again(hub: TinyHub) -> None:
    src = add_plain(hub, "org/cut")
    resolved = hub_source.resolve(src, ["train"])
    hub.faults.cut_file = 2
    [path] = hub_source.fetch(resolved, "train", src)
    assert path.read_bytes() == ROWS
    assert hub.faults.cut_file == 0


@pytest.mark.usefixtures("no_waiting")
def test_without_a_network_the_record_and_the_cache_serve(hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
    src = add_plain(hub, "org/cached")
    online = hub_source.resolve(src, ["train"])
    hub_source.fetch(online, "train", src)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    offline = hub_source.resolve(src, ["train"])
    assert offline.cached
    assert not online.cached
    assert offline.key == online.key
    assert hub_source.head_commit(src) == online.commit
    [path] = hub_source.fetch(offline, "train", src)
    assert path.read_bytes() == ROWS


@pytest.mark.usefixtures("no_waiting")
def test_two_tasks_with_other_splits_of_one_repository_both_work_offline(
    hub: TinyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = {"train": "data/train-*", "extra": "data/extra-*"}
    files = {f"data/{split}-0.parquet": ROWS for split in splits}
    hub.add("org/two", {"README.md": class_label_card("default", {"text": "string"}, splits), **files})
    for split in splits:
        hub_source.fetch(hub_source.resolve(source("org/two"), [split]), split, source("org/two"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    for split in splits:
        assert hub_source.resolve(source("org/two"), [split]).cached


@pytest.mark.usefixtures("hub", "no_hub", "no_waiting")
def test_without_a_network_and_without_a_record_it_says_unreachable() -> None:
    with pytest.raises(HubUnreachable, match="cannot be reached"):
        hub_source.resolve(source("org/never-seen"), ["train"])


@pytest.mark.usefixtures("no_waiting")
def test_a_file_that_rotted_in_the_cache_is_not_read_offline(hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
    src = add_plain(hub, "org/rotten")
    [path] = hub_source.fetch(hub_source.resolve(src, ["train"]), "train", src)
    path.resolve().write_bytes(b"x" * len(ROWS))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match="damaged"):
        hub_source.fetch(hub_source.resolve(src, ["train"]), "train", src)


def test_digests_of_both_sorts_are_understood(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"hello\n")
    git_blob = "ce013625030ba8dba906f756967f9e9ca394464a"  # `git hash-object` of the same bytes
    sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert hub_source.matches(file, git_blob)
    assert hub_source.matches(file, sha256)
    assert not hub_source.matches(file, "0" * 40)
    assert not hub_source.matches(file, "0" * 64)
