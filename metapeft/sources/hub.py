"""Verified files of Hugging Face dataset repositories.

`datasets` decides which files a configuration has and what their columns mean; `huggingface_hub` fetches them into its
cache. Neither notices a file whose bytes changed on the way, so every file is compared with the digest that the Hub
names for it, and fetched again when it differs. What was resolved is kept in a small record beside the cache, so that
the same rows can be had without a network.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from metapeft import atomic
from metapeft.errors import HubUnreachable, SourceError, did_you_mean
from metapeft.recipes.schema import HubSource

log = logging.getLogger(__name__)
T = TypeVar("T")

TRIES = 6  # for a passing fault: 0.5 + 1 + 2 + 4 + 8 s of waiting at the most
FETCHES = 4  # for a file that comes damaged
TIMEOUT = 20.0  # seconds for one answer of the Hub's API
DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)  # not the Hub's fault: said as they are


@dataclass(frozen=True)
class RemoteFile:
    """One file at one commit; `etag` is its SHA-256 (large files) or its git blob SHA-1."""

    path: str
    etag: str


@dataclass(frozen=True)
class Resolved:
    """A configuration at a commit: which files each split has and how to read them.

    Attributes:
        repo: ORG/NAME.
        commit: the commit the revision stood at.
        format: `datasets`' packaged builder, such as parquet, csv or json.
        files: split to its files.
        features: `datasets.Features` as a dict, or None where the files themselves say it.
        cached: True where the Hub was out of reach and this came from the record.
    """

    repo: str
    commit: str
    format: str
    files: dict[str, list[RemoteFile]]
    features: dict[str, Any] | None
    cached: bool = False

    @property
    def key(self) -> str:
        """Digest of the files' identities: equal keys mean equal rows."""
        names = sorted(f"{split} {f.path} {f.etag}" for split, files in self.files.items() for f in files)
        return hashlib.sha256("\n".join([self.repo, *names]).encode()).hexdigest()


def head_commit(source: HubSource) -> str:
    """The commit that the source's revision stands at: one small request, or the record when the Hub is out of reach.

    Raises:
        HubUnreachable: the Hub does not answer, and there is no record of an earlier answer.
        SourceError: no such repository or revision.
    """
    try:
        return _head_online(source)
    except HubUnreachable:
        record = _read_record(source, [])
        if record is None:
            raise
        return record.commit


def _head_online(source: HubSource) -> str:
    from huggingface_hub import HfApi

    with _clear_errors(source):
        return str(_retry(lambda: HfApi().dataset_info(source.path, revision=source.revision, timeout=TIMEOUT).sha))


def resolve(source: HubSource, splits: list[str]) -> Resolved:
    """Find the commit, files and columns of a source; falls back on the record when the Hub is out of reach.

    Raises:
        HubUnreachable: no answer, and no record of an earlier one.
        SourceError: no such repository, revision, configuration or split, or a repository of scripts.
    """
    try:
        resolved = _resolve_online(source, splits)
    except HubUnreachable as unreachable:
        record = _read_record(source, splits)
        if record is None:
            raise
        log.info("%s: the Hub is out of reach; using the copy in the cache (%s)", source.identity, unreachable)
        return record
    _remember(source, resolved)
    return resolved


def _resolve_online(source: HubSource, splits: list[str]) -> Resolved:
    from huggingface_hub import HfApi

    commit = _head_online(source)
    with _clear_errors(source), _quiet_libraries():
        from datasets import load_dataset_builder

        if _retry(lambda: HfApi().file_exists(source.path, "README.md", repo_type="dataset", revision=commit)):
            # the card says what the columns mean: a damaged one must not be read
            _fetch_verified(source.path, commit, RemoteFile("README.md", _etag(source.path, commit, "README.md")))
        builder = _retry(
            lambda: load_dataset_builder(source.path, source.config, data_dir=source.data_dir, revision=commit)
        )
        patterns = {str(split): list(urls) for split, urls in (builder.config.data_files or {}).items()}
        for split in splits:
            if split not in patterns:
                raise SourceError(
                    f"{source.identity}: no split '{split}'.{did_you_mean(split, patterns)} "
                    f"The repository has {', '.join(patterns) or 'none'}"
                )
        files = {
            split: [RemoteFile(path, _etag(source.path, commit, path)) for path in map(_path_in_repo, patterns[split])]
            for split in splits
        }
        features = builder.info.features
        return Resolved(
            repo=source.path,
            commit=commit,
            format=type(builder).__module__.rsplit(".", 1)[-1],
            files=files,
            features=features.to_dict() if features is not None else None,
        )


def _path_in_repo(url: str) -> str:
    """`hf://datasets/ORG/NAME@REVISION/data/x.parquet` to `data/x.parquet`."""
    match = re.fullmatch(r"hf://datasets/[^/]+/[^/@]+@[^/]+/(.+)", url)
    if match is None:
        raise SourceError(f"{url}: only files of the repository itself can be verified")
    return match[1]


def _etag(repo: str, commit: str, path: str) -> str:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repo, path, repo_type="dataset", revision=commit)
    return _retry(lambda: get_hf_file_metadata(url, timeout=TIMEOUT).etag) or ""


def fetch(resolved: Resolved, split: str, source: HubSource) -> list[Path]:
    """Local, verified copies of a split's files, in order.

    Raises:
        HubUnreachable: a file is not in the cache and the Hub is out of reach.
        SourceError: a file comes damaged again and again.
    """
    with _clear_errors(source), _quiet_libraries():
        files = resolved.files[split]
        return [_fetch_verified(resolved.repo, resolved.commit, file, resolved.cached) for file in files]


def _fetch_verified(repo: str, commit: str, file: RemoteFile, offline: bool = False) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    for attempt in range(FETCHES):
        again = attempt > 0
        try:
            path = Path(
                _retry(
                    lambda again=again: hf_hub_download(
                        repo,
                        file.path,
                        repo_type="dataset",
                        revision=commit,
                        force_download=again,
                        local_files_only=offline,
                    )
                )
            )
        except LocalEntryNotFoundError as error:
            raise HubUnreachable(f"{repo}: {file.path} is not in the cache, and the Hub is out of reach") from error
        if matches(path, file.etag):
            return path
        path.resolve().unlink(missing_ok=True)  # never leave a damaged file where other programs would read it
        if offline:
            break
        log.info("%s: %s came damaged; fetching it again", repo, file.path)
    raise SourceError(
        f"{repo}: {file.path} is damaged: its bytes do not have the digest the Hub names ({file.etag[:12]}…). "
        f"Fetched {1 if offline else FETCHES} times. Try again later, or pin another `revision`."
    )


def matches(path: Path, etag: str) -> bool:
    """Whether a file's bytes have this Hub digest: SHA-256 of a large file, or git's SHA-1 of a small one."""
    if len(etag) == 64:
        return atomic.sha256_file(path) == etag
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == etag


def _record_path(source: HubSource) -> Path:
    from huggingface_hub import constants

    asked = json.dumps([source.path, source.config, source.data_dir, source.revision])
    name = f"{source.path.replace('/', '--')}-{hashlib.sha256(asked.encode()).hexdigest()[:16]}.json"
    return Path(constants.HF_HOME) / "metapeft" / name


def _remember(source: HubSource, resolved: Resolved) -> None:
    """Write the record; splits that another task asked for at the same commit stay in it."""
    record = asdict(resolved)
    try:
        old = json.loads(_record_path(source).read_text(encoding="utf-8"))
        if old["commit"] == resolved.commit:
            record["files"] = old["files"] | record["files"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # there is none, or it is damaged: this one takes its place
    atomic.write_text(_record_path(source), atomic.canonical_json(record))


def _read_record(source: HubSource, splits: list[str]) -> Resolved | None:
    try:
        record = json.loads(_record_path(source).read_text(encoding="utf-8"))
        files = {split: [RemoteFile(**file) for file in record["files"][split]] for split in splits}
        return Resolved(record["repo"], record["commit"], record["format"], files, record["features"], cached=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


# --- faults -------------------------------------------------------------------------------------


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    for cause in _causes(error):
        response = getattr(cause, "response", None)
        if response is not None and getattr(response, "status_code", None):
            return int(response.status_code)
    return None


def _is_passing(error: BaseException) -> bool:
    """Worth another try: the Hub is busy or failing, or the transfer was cut."""
    status = _status(error)
    if status is not None:
        return status == 429 or status >= 500
    names = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    return bool(names & {"TransportError", "ConsistencyError", "IncompleteRead", "ConnectionError", "TimeoutError"})


def _is_unreachable(error: BaseException) -> bool:
    names = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    offline = {"OfflineModeIsEnabled", "ConnectError", "ConnectTimeout", "UnsupportedProtocol", "ProxyError"}
    return bool(names & offline)


def _retry(call: Callable[[], T]) -> T:
    wait = 0.5
    for attempt in range(TRIES):
        try:
            return call()
        except Exception as error:
            # A refused connection is tried once more only: without a network an answer should come at once.
            tries = 2 if _is_unreachable(error) else TRIES
            if "OfflineModeIsEnabled" in {type(cause).__name__ for cause in _causes(error)}:
                tries = 1
            if attempt + 1 >= tries or not (_is_passing(error) or _is_unreachable(error)):
                raise
            time.sleep(wait)
            wait *= 2
    raise AssertionError("unreachable")


@contextlib.contextmanager
def _clear_errors(source: HubSource) -> Generator[None]:
    """Turn the libraries' many errors into ours, with the remedy."""
    where = source.identity
    try:
        yield
    except Exception as error:
        if isinstance(error, SourceError) or (isinstance(error, OSError) and error.errno in DISK_TROUBLE):
            raise
        raise _translated(error, source, where) from error


def _translated(error: Exception, source: HubSource, where: str) -> SourceError:
    names = {type(cause).__name__ for cause in _causes(error)}
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "scripts are no longer supported" in str(error):
        return SourceError(
            f"{where}: the repository holds a loading script, which is never run. Read the Hub's own copy of its rows: "
            "`revision: refs/convert/parquet` with `data_dir: <configuration>`"
        )
    if "RevisionNotFoundError" in names or ("Revision" in text and "doesn't exist" in text):
        return SourceError(f"{where}: no revision '{source.revision}' on the Hub")
    if "GatedRepoError" in names:
        return SourceError(f"{where}: the repository is gated; accept its terms on its page, then run `hf auth login`")
    if names & {"RepositoryNotFoundError", "DatasetNotFoundError"}:
        return SourceError(f"{where}: no dataset '{source.path}' on the Hub, or it is private")
    if _is_unreachable(error):
        why = "offline mode is on" if "OfflineModeIsEnabled" in names else text
        return HubUnreachable(f"the Hub cannot be reached ({why})")
    if "EmptyDatasetError" in names or "doesn't contain any data files" in str(error):
        return SourceError(f"{where}: no data files under data_dir '{source.data_dir}'")
    if "BuilderConfig" in text or "Config name is missing" in text:
        available = re.search(r"\[.*\]", str(error))
        return SourceError(f"{where}: no configuration '{source.config}'; it has {available[0] if available else '?'}")
    if _status(error) is not None:
        return SourceError(f"{where}: the Hub answers {_status(error)} again and again. Try later. ({text})")
    if _is_passing(error):
        return SourceError(f"{where}: the transfer is cut again and again. Try later. ({text})")
    return SourceError(f"{where}: cannot be read: {type(error).__name__}: {text}")


@contextlib.contextmanager
def _quiet_libraries() -> Generator[None]:
    """No hints of the libraries, and their progress bars only where somebody watches."""
    from huggingface_hub.utils import disable_progress_bars
    from huggingface_hub.utils import logging as hub_logging

    hub_logging.set_verbosity_error()
    if not sys.stderr.isatty():
        disable_progress_bars()
    yield
