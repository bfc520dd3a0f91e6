"""metapeft.sources.fields: paths, templates and reshaping."""

from __future__ import annotations

from typing import Any

import pytest

from metapeft.recipes.schema import ClassificationTask, Column, Template
from metapeft.sources.fields import getter, needed_columns


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ("a", "x"),
        ("b.c.1", 20),
        ("b.c.9", None),
        ("b.nothing", None),
        (Template(template="{a}-{b.c.0}"), "x-10"),
        (Template(template="{{{a}}} constant"), "{x} constant"),
        (Column(column="words", split=" "), ["one", "two", "two"]),
        (Column(column="words", split=" ", take=1), "two"),
        (Column(column="words", split=" ", take=7), None),
        (Column(column="list", join=" / "), "p / q"),
        (Column(column="a", replace={"x": "y"}), "y"),
    ],
)
def test_fields(spec: Any, value: Any) -> None:
    row = {"a": "x", "b": {"c": [10, 20]}, "words": "one two  two", "list": ["p", "q"]}
    assert getter(spec)(row) == value


def test_text_from_the_data_is_never_read_as_a_template() -> None:
    read_field = getter(Template(template="{title}: {body}"))
    assert read_field({"title": "{body}", "body": "{title}"}) == "{body}: {title}"


def test_needed_columns_come_from_every_field() -> None:
    task = ClassificationTask.model_validate(
        {
            "id": "t",
            "kind": "classification",
            "domain": "d",
            "source": {"kind": "hub", "path": "org/name", "splits": {"support": ["train"], "query": ["test"]}},
            "fields": {"text": {"template": "{title} {meta.note}"}, "label": {"column": "kinds.0"}},
            "filters": {"where": {"domain": "books"}},
            "labels": ["negative", "positive"],
        }
    )
    assert needed_columns(task) == ["domain", "kinds", "meta", "title"]
