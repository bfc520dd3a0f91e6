"""Rows of local files through `datasets`, without its cache of converted tables.

`datasets` keys that cache for a folder with a README by the folder's name and the README alone, so two folders of one
name, or a file that changed, can come back as somebody else's rows. Here the files are always named one by one and
the converted table lives in a folder that goes when the rows were read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metapeft.errors import SourceError

FORMATS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
BATCH = 1000


class Table:
    """An open table: its features, its length and its rows."""

    def __init__(self, dataset: Any):
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self._dataset.column_names)

    def class_names(self, column: str) -> list[str] | None:
        """Names of a `ClassLabel` column, or of a list of them; None for any other column."""
        feature = self._dataset.features.get(column)
        feature = getattr(feature, "feature", feature)
        return list(feature.names) if hasattr(feature, "names") else None

    def rows(self, columns: list[str]) -> Iterator[dict[str, Any]]:
        """The rows in order, with those of the wanted columns that exist."""
        wanted = [column for column in self._dataset.column_names if column in columns]
        view = self._dataset.select_columns(wanted).with_format("arrow")
        for batch in view.iter(batch_size=BATCH):
            yield from batch.to_pylist()


@contextmanager
def open_table(paths: list[Path], fmt: str, where: str, features: dict[str, Any] | None = None) -> Generator[Table]:
    """Open files of one format as one table.

    Args:
        paths: the files, in order.
        fmt: csv, json or parquet (any packaged builder of `datasets`).
        where: what to call the source in an error.
        features: `datasets.Features` as a dict, where they are known from elsewhere.

    Raises:
        SourceError: a file cannot be read as what it claims to be.
    """
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    options: dict[str, Any] = {}
    if features is not None:
        options["features"] = datasets.Features.from_dict(features)
    if fmt == "csv":
        options |= {"keep_default_na": False}  # the text "NA" is a text
        if paths[0].suffix == ".tsv":
            options |= {"sep": "\t"}
    with tempfile.TemporaryDirectory(prefix="metapeft-rows-") as folder:
        try:
            dataset = datasets.load_dataset(
                fmt, data_files=[str(path) for path in paths], split="train", cache_dir=folder, **options
            )
        except Exception as error:
            cause = error.__cause__ or error
            if isinstance(cause, OSError) and cause.errno is not None:
                raise
            text = (str(cause).strip() or type(cause).__name__).splitlines()[0]
            named = ", ".join(path.name for path in paths)
            raise SourceError(f"{where}: cannot read {named} as {fmt}: {text}") from error
        yield Table(dataset)


def format_of(path: Path, where: str) -> str:
    """The format a file's ending says.

    Raises:
        SourceError: an ending that is not known.
    """
    fmt = FORMATS.get(path.suffix.lower())
    if fmt is None:
        raise SourceError(f"{where}: {path.name}: unknown ending; known: {', '.join(FORMATS)}")
    return fmt


def files_matching(folder: Path, patterns: list[str], where: str) -> list[Path]:
    """Files below a folder that match any of the patterns, sorted by path.

    Raises:
        SourceError: the folder is not there, or nothing in it matches.
    """
    if not folder.is_dir():
        raise SourceError(f"{where}: no folder '{folder}'")
    found = sorted({path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()})
    if not found:
        have = sorted(path.name for path in folder.rglob("*") if path.suffix.lower() in FORMATS)[:8]
        raise SourceError(
            f"{where}: no file in '{folder}' matches {', '.join(patterns)}; "
            + (f"it has {', '.join(have)}" if have else f"it has no {', '.join(FORMATS)} file")
        )
    return found
