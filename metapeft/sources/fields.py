"""Fields of a recipe: from a row of a dataset to the values an example needs."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

from metapeft.recipes.schema import (
    ClassificationTask,
    Column,
    FieldSpec,
    GenerationTask,
    TaggingTask,
    Template,
    template_places,
)

Row = dict[str, Any]
TextTask = ClassificationTask | TaggingTask | GenerationTask


def needed_columns(task: TextTask) -> list[str]:
    """Top-level columns that a task reads, sorted."""
    specs: list[FieldSpec] = [*task.filters.where]
    for value in dict(task.fields).values():
        if isinstance(value, dict):
            specs += value.values()
        elif value is not None:
            specs.append(value)
    paths: list[str] = []
    for spec in specs:
        if isinstance(spec, Template):
            paths += template_places(spec.template)
        else:
            paths.append(spec.column if isinstance(spec, Column) else spec)
    return sorted({path.split(".", 1)[0] for path in paths})


def getter(spec: FieldSpec) -> Callable[[Row], Any]:
    """A function that reads a field from a row; None where a part of the path is not there."""
    if isinstance(spec, Template):
        reads = {place: getter(place) for place in template_places(spec.template)}
        template = spec.template

        def from_template(row: Row) -> str | None:
            values = {place: read(row) for place, read in reads.items()}
            return None if None in values.values() else render(template, values)

        return from_template
    if isinstance(spec, Column):
        read, column = getter(spec.column), spec
        return lambda row: _reshape(read(row), column)
    head, *rest = spec.split(".")
    if not rest:
        return lambda row: row[head]
    return lambda row: _dig(row[head], rest)


def render(template: str, values: Row) -> str:
    """Fill a template's places; text that comes from the data is never itself read as a template."""
    return "".join(
        literal + (str(values[place]) if place is not None else "")
        for literal, place, _, _ in string.Formatter().parse(template)
    )


def _dig(value: Any, path: list[str]) -> Any:
    for part in path:
        try:
            value = value[int(part)] if isinstance(value, (list, tuple)) else value[part]
        except (IndexError, KeyError, TypeError, ValueError):
            return None
    return value


def _reshape(value: Any, column: Column) -> Any:
    if value is None:
        return None
    for old, new in column.replace.items():
        value = value.replace(old, new)
    if column.split is not None:
        value = [part for part in value.split(column.split) if part]
    if column.take is not None:
        value = value[column.take] if -len(value) <= column.take < len(value) else None
    if column.join is not None and value is not None:
        value = column.join.join(value)
    return value
