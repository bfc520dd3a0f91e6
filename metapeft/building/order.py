"""What to build, and whether there is anything to do: answered without reading a row.

A build that has nothing to do should say so at once, so this module loads neither Arrow nor the generators.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from metapeft import atomic
from metapeft.recipes.registry import Plan, PlannedTask
from metapeft.recipes.schema import EpisodeDefaults, FilesSource, HubSource, Source
from metapeft.sources import hub, tables
from metapeft.tokenization.tokenizer import load_tokenizer

LIBRARIES = ("metapeft", "datasets", "tokenizers", "pyarrow", "datasketch", "numpy")  # they decide the bytes


@dataclass(frozen=True)
class Order:
    """What to assemble.

    Attributes:
        plan: the tasks.
        tokenizer: name of the tokenizer.
        folders: name of a files source to the user's folder.
        leaks: drop the query rows that the audit finds, or keep them and only count.
        overrides: episode settings that beat the recipe's.
    """

    plan: Plan
    tokenizer: str = "default"
    folders: dict[str, str] = field(default_factory=dict)
    leaks: Literal["drop", "keep"] = "drop"
    overrides: dict[str, Any] = field(default_factory=dict)

    def episodes(self, planned: PlannedTask) -> EpisodeDefaults:
        """Episode settings of a task: the recipe's, with what the command line says in their place."""
        return EpisodeDefaults.model_validate({**planned.episodes.model_dump(), **self.overrides})

    def split(self) -> tuple[list[PlannedTask], list[tuple[PlannedTask, FilesSource]]]:
        """Tasks that can be built, and tasks (with their source) whose folder the user did not name."""
        built: list[PlannedTask] = []
        skipped: list[tuple[PlannedTask, FilesSource]] = []
        for planned in self.plan.tasks:
            source = planned.task.source
            if isinstance(source, FilesSource) and source.name not in self.folders:
                skipped.append((planned, source))
            else:
                built.append(planned)
        return built, skipped


@cache
def code_digest() -> str:
    """Digest of the code that turns rows into a suite: an edit makes every suite due for a rebuild."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for room in ("building", "recipes", "sources", "tokenization"):
        for path in sorted((package / room).rglob("*")):
            if path.suffix in (".py", ".json", ".yaml"):
                digest.update(f"{path.relative_to(package).as_posix()} {atomic.sha256_file(path)}\n".encode())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of the libraries that decide a suite's bytes."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def inputs_digest(order: Order, session: Session) -> str:
    """Digest of everything a suite depends on, without reading a row: equal digests mean there is nothing to do.

    Raises:
        HubUnreachable, SourceError: a source cannot be asked.
    """
    built, skipped = order.split()
    session.ask_commits([planned.task.source for planned in built])
    facts = {
        "code": code_digest(),
        "versions": versions(),
        "recipe": order.plan.sha256,
        "synthetic": order.plan.synthetic,
        "tokenizer": load_tokenizer(order.tokenizer).sha256,
        "leaks": order.leaks,
        "overrides": order.overrides,
        "skipped": [planned.task.id for planned, _ in skipped],
        "sources": {planned.task.id: source_key(planned, session) for planned in built},
    }
    return hashlib.sha256(atomic.canonical_json(facts).encode()).hexdigest()


@dataclass
class Session:
    """What one build remembers of its sources, so that ten tasks of one repository ask the Hub once.

    Attributes:
        folders: name of a files source to the folder the user named.
    """

    folders: dict[str, str] = field(default_factory=dict)
    _commits: dict[tuple[str, str | None], str] = field(default_factory=dict)
    _resolved: dict[str, hub.Resolved] = field(default_factory=dict)

    def ask_commits(self, sources: Sequence[Source]) -> None:
        """Ask for the commits of all repositories at once: one answer's wait, not the sum of them."""
        wanted = {(s.path, s.revision): s for s in sources if isinstance(s, HubSource)}
        with ThreadPoolExecutor(8) as threads:
            self._commits |= zip(wanted, threads.map(hub.head_commit, wanted.values()), strict=True)

    def commit(self, source: HubSource) -> str:
        """Commit of a source's repository that is read."""
        return self._commits[source.path, source.revision]

    def resolved(self, source: HubSource) -> hub.Resolved:
        """Commit and files of a source, asked for once."""
        key = source.model_dump_json()
        if key not in self._resolved:
            self._resolved[key] = hub.resolve(source, [*source.splits.support, *source.splits.query])
        return self._resolved[key]

    def files(self, source: FilesSource, patterns: list[str], where: str) -> list[Path]:
        """Files of the user's folder that match the patterns."""
        return tables.files_matching(Path(self.folders[source.name]).expanduser(), patterns, where)


def source_key(planned: PlannedTask, session: Session) -> str:
    """What a source's rows depend on, as far as one small look can tell: a commit, or digests of the files.

    `session.ask_commits` must have asked for the commit before.

    Raises:
        SourceError: as `tables.files_matching`.
    """
    source = planned.task.source
    if isinstance(source, HubSource):
        return session.commit(source)
    if isinstance(source, FilesSource):
        digest = hashlib.sha256()
        for patterns in filter(None, (source.splits.support, source.splits.query)):
            for path in session.files(source, patterns, f"task '{planned.task.id}'"):
                digest.update(f"{path.name} {atomic.sha256_file(path)}\n".encode())
        return digest.hexdigest()
    return "synthetic"
