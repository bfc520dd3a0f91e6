"""metapeft.sources.examples: labels, filters and limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapeft.errors import RecipeError
from metapeft.recipes.schema import ClassificationTask, GenerationTask, TaggingTask
from metapeft.sources.examples import (
    Counts,
    Example,
    hash_side,
    normalized,
    numbered,
    read_pool,
    repaired_bio,
    text_hash,
)

HUB = {"kind": "hub", "path": "org/name", "splits": {"support": ["train"]}}


def classification(**more: Any) -> ClassificationTask:
    base = {
        "id": "t",
        "kind": "classification",
        "domain": "d",
        "source": HUB,
        "fields": {"text": "text", "label": "label"},
        "labels": ["negative", "positive"],
    }
    return ClassificationTask.model_validate(base | more)


def tagging(**more: Any) -> TaggingTask:
    base = {
        "id": "t",
        "kind": "tagging",
        "domain": "d",
        "source": HUB,
        "fields": {"tokens": "tokens", "tags": "tags"},
        "labels": ["person", "place"],
    }
    return TaggingTask.model_validate(base | more)


def read(task: Any, rows: list[dict[str, Any]], names: list[str] | None = None) -> tuple[list[Example], Counts]:
    return read_pool(task, numbered("train", iter(rows)), pool="support", names=names, where="recipe 'r', task 't'")


def labels(examples: list[Example]) -> list[int]:
    return [example.columns["label"] for example in examples]


def test_label_names_integers_and_strings_agree() -> None:
    task = classification()
    rows = [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    assert labels(read(task, rows)[0]) == [1, 0]
    assert labels(read(task, rows, names=["negative", "positive"])[0]) == [1, 0]
    texts = [{"text": "a", "label": "positive"}, {"text": "b", "label": "negative"}]
    assert labels(read(task, texts)[0]) == [1, 0]


def test_other_order_of_the_datas_names_is_an_error() -> None:
    with pytest.raises(RecipeError, match="Same names, same order"):
        read(classification(), [{"text": "a", "label": 0}], names=["positive", "negative"])


def test_label_map_by_class_name_and_by_number() -> None:
    rows = [{"text": "a", "label": 0}, {"text": "b", "label": 1}]
    by_name = classification(label_map={"pos": "positive", "neg": "negative"})
    assert labels(read(by_name, rows, names=["pos", "neg"])[0]) == [1, 0]
    by_number = classification(label_map={0: "positive", 1: "negative"})
    assert labels(read(by_number, rows)[0]) == [1, 0]


def test_dropped_labels_are_counted() -> None:
    examples, counts = read(classification(drop_labels=[-1]), [{"text": "a", "label": -1}, {"text": "b", "label": 1}])
    assert labels(examples) == [1]
    assert counts.dropped == {"label": 1}
    assert (counts.read, counts.kept) == (2, 1)


def test_an_undeclared_label_names_recipe_task_row_and_remedy() -> None:
    with pytest.raises(
        RecipeError, match=r"recipe 'r', task 't', row train:1: label 'positiv' is not declared"
    ) as error:
        read(classification(), [{"text": "a", "label": "positive"}, {"text": "b", "label": "positiv"}])
    assert "Did you mean 'positive'" in str(error.value)
    assert "undeclared_labels: drop" in str(error.value)


def test_an_integer_beyond_the_labels_is_undeclared() -> None:
    with pytest.raises(RecipeError, match="label '2' is not declared"):
        read(classification(), [{"text": "a", "label": 2}])


def test_undeclared_labels_can_be_dropped() -> None:
    task = classification(undeclared_labels="drop")
    examples, counts = read(task, [{"text": "a", "label": "positive"}, {"text": "b", "label": "other"}])
    assert labels(examples) == [1]
    assert counts.dropped["label"] == 1


def test_a_missing_column_is_named_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="no column 'text'. Did you mean 'texts'"):
        read(classification(), [{"texts": "a", "label": 1}])


def test_filters_and_empty_texts() -> None:
    task = classification(filters={"min_chars": 2, "max_chars": 4, "where": {"domain": ["x", "y"]}})
    rows = [
        {"text": "fits", "label": 1, "domain": "x"},
        {"text": "fit", "label": 1, "domain": "z"},
        {"text": "a", "label": 1, "domain": "x"},
        {"text": "too long", "label": 1, "domain": "y"},
        {"text": "   ", "label": 1, "domain": "y"},
        {"text": None, "label": 1, "domain": "y"},
    ]
    examples, counts = read(task, rows)
    assert [example.text for example in examples] == ["fits"]
    assert counts.dropped == {"where": 1, "too short": 1, "too long": 1, "empty": 2}


def test_a_text_that_stands_twice_is_kept_once() -> None:
    rows = [{"text": t, "label": y} for t, y in [("Same  text", 1), ("same text", 1), ("SAME TEXT", 0), ("other", 0)]]
    examples, counts = read(classification(), rows)
    assert [example.row_id for example in examples] == ["train:0", "train:3"]
    assert counts.dropped == {"duplicate text": 1, "duplicate text, other label": 1}


@given(st.permutations(range(40)), st.integers(1, 40))
def test_the_limit_keeps_the_same_texts_whatever_the_order(order: list[int], limit: int) -> None:
    task = classification(limit={"support": limit})
    expected = sorted((f"text {i}" for i in range(40)), key=text_hash)[:limit]
    examples, counts = read(task, [{"text": f"text {i}", "label": i % 2} for i in order])
    assert sorted(example.text for example in examples) == sorted(expected)
    places = [int(example.row_id.split(":")[1]) for example in examples]
    assert places == sorted(places), "the rows stay in the order of the data"
    assert counts.dropped.get("over the limit", 0) == 40 - limit


@given(st.lists(st.text(min_size=1), min_size=1, max_size=30))
def test_the_two_sides_of_one_split_never_share_a_text(texts: list[str]) -> None:
    for text in texts:
        assert hash_side("support")(text) != hash_side("query")(text)
        assert hash_side("query")(text) == hash_side("query")(f"  {text.upper().lower()} ") or (
            normalized(text) != normalized(text.upper().lower())
        )


def test_about_three_tenths_go_to_the_query_side() -> None:
    share = sum(hash_side("query")(f"text {i}") for i in range(5000)) / 5000
    assert 0.27 < share < 0.33


def test_tag_numbers_get_the_recipes_names() -> None:
    task = tagging(tag_names=["B-PER", "I-PER", "O"], label_map={"PER": "person"})
    examples, _ = read(task, [{"tokens": ["Ada", "L.", "wrote"], "tags": [0, 1, 2]}])
    assert examples[0].columns["tags"] == ["B-person", "I-person", "O"]
    assert examples[0].text == "Ada L. wrote"


def test_the_datas_own_tag_names_serve_too() -> None:
    examples, _ = read(tagging(), [{"tokens": ["Rome"], "tags": [1]}], names=["O", "B-place"])
    assert examples[0].columns["tags"] == ["B-place"]


def test_plain_tag_integers_without_names_are_an_error() -> None:
    with pytest.raises(RecipeError, match="tag_names"):
        read(tagging(), [{"tokens": ["Rome"], "tags": [1]}])


@pytest.mark.parametrize(
    ("tags", "message"),
    [(["B-person", "O"], "1 tokens but 2 tags"), (["B-persn"], "label 'persn' is not declared"), (["X"], "'X'")],
)
def test_malformed_tags_are_errors(tags: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read(tagging(), [{"tokens": ["Ada"], "tags": tags}])


def test_undeclared_entity_types_can_become_o() -> None:
    task = tagging(undeclared_labels="drop")
    examples, _ = read(task, [{"tokens": ["Ada", "1843"], "tags": ["B-person", "B-date"]}])
    assert examples[0].columns["tags"] == ["B-person", "O"]


def test_empty_sentences_are_dropped_and_counted() -> None:
    examples, counts = read(tagging(), [{"tokens": [], "tags": []}, {"tokens": ["Ada"], "tags": ["B-person"]}])
    assert len(examples) == 1
    assert counts.dropped == {"empty": 1}


TAG = st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b"])


@given(st.lists(TAG, max_size=12))
def test_repaired_tags_are_valid_bio_and_keep_every_type(tags: list[str]) -> None:
    repaired, count = repaired_bio(tags)
    previous = "O"
    for tag in repaired:
        assert not tag.startswith("I-") or previous[2:] == tag[2:]
        previous = tag
    assert [tag[2:] for tag in repaired] == [tag[2:] for tag in tags]
    assert count == sum(a != b for a, b in zip(tags, repaired, strict=True))
    assert repaired_bio(repaired) == (repaired, 0)


def test_generation_renders_the_prompt_and_keeps_columns() -> None:
    task = GenerationTask.model_validate(
        {
            "id": "t",
            "kind": "generation",
            "domain": "d",
            "source": HUB,
            "style": "completion",
            "prompt": "Write: {text}\n",
            "fields": {"text": "prompt", "target": "code", "keep": {"tests": "test_list"}},
        }
    )
    examples, _ = read(task, [{"prompt": " add {x} ", "code": "x + 1\n", "test_list": ["assert 1", "assert 2"]}])
    assert examples[0].columns == {
        "row_id": "train:0",
        "text": "Write: add {x}\n",
        "target": "x + 1",
        "tests": "assert 1\nassert 2",
    }
