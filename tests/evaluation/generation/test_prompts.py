"""metapeft.evaluation.generation.prompts: examples fit, whole, the nearest last."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapeft.evaluation.generation.prompts import GAP, example, joint, prompts_with_examples
from metapeft.evaluation.generation.rows import Reference
from metapeft.evaluation.generation.stop import trim
from tests.evaluation.generation import made_rows

ROWS = made_rows.summaries()


def words(text: str) -> int:
    return len(text.split())


def made(support: list[Reference], query: list[Reference], budget: int, **other):
    return prompts_with_examples(support, query, style="abstractive", budget=budget, count=words, **other)


def test_examples_are_in_the_tasks_own_format() -> None:
    assert example(ROWS[0], "abstractive") == f"{ROWS[0].prompt} {ROWS[0].target}"
    assert joint("Facts:", "bullets") == joint('"""Twice."""', "completion") == "\n"
    assert joint("# Fixed:\n", "bugfix") == ""


def test_the_nearest_stands_last_before_the_query() -> None:
    texts = ["red", "red green", "blue", "red green white"]
    support = [made_rows.row(text, f"It is {text}.", tail="\n\nSummary:") for text in texts]
    query = made_rows.row("red green white", "?", tail="\n\nSummary:")
    (prompt,) = made(support, [query], 1000)
    assert prompt.shown == (2, 0, 1, 3) and prompt.cut == 0
    shown = [example(support[place], "abstractive") for place in prompt.shown]
    assert prompt.text == GAP.join([*shown, query.prompt])
    (two,) = made(support, [query], 1000, most=2)
    assert two.shown == (1, 3)


def test_an_example_that_does_not_fit_is_left_out_whole_and_the_next_is_tried() -> None:
    near, far = made_rows.row("red " * 50, "Red."), made_rows.row("blue", "Blue.")
    query = made_rows.row("red", "?")
    (prompt,) = made([near, far], [query], 10)
    assert prompt.shown == (1,) and prompt.text == f"blue Blue.{GAP}red"


def test_only_a_query_too_long_for_itself_is_cut_and_keeps_its_template() -> None:
    query = made_rows.row("one two three four", "?", "Summarize.\n\n", "\n\nSummary:")
    (prompt,) = made(ROWS, [query], 4)
    assert (
        prompt.text == "Summarize.\n\none two\n\nSummary:" and prompt.shown == () and prompt.cut == len(" three four")
    )
    (whole,) = made(ROWS, [query], 6)
    assert whole.text == query.prompt and whole.cut == 0
    assert made(ROWS, [query], 2)[0].text == "Summarize.\n\n\n\nSummary:"
    with pytest.raises(ValueError, match="budget of 1 "):
        made(ROWS, [query], 1)


def test_without_support_rows_there_are_no_examples() -> None:
    assert [prompt.text for prompt in made([], ROWS, 100)] == [row.prompt for row in ROWS]
    assert made(ROWS, [], 100) == []


def test_a_model_that_goes_on_with_the_next_example_is_stopped_at_its_output() -> None:
    (prompt,) = made(ROWS[:3], ROWS[3:4], 1000)
    first = ROWS[prompt.shown[0]]
    rest = prompt.text[len(first.prompt) :]
    assert trim(rest, "abstractive", "news") == first.target


@given(
    st.lists(st.tuples(st.text("ab ", min_size=1, max_size=30), st.text("cd ", max_size=20)), max_size=6),
    st.text("ab ", min_size=1, max_size=40),
    st.integers(2, 40),
)
def test_every_prompt_fits_and_ends_with_the_query(pairs, text: str, budget: int) -> None:
    support = [made_rows.row(text, target, "Do.\n\n", "\n\nDone:") for text, target in pairs]
    query = made_rows.row(text, "?", "Do.\n\n", "\n\nDone:")
    (prompt,) = prompts_with_examples(support, [query], style="bullets", budget=budget, count=words)
    assert words(prompt.text) <= budget
    assert prompt.text.endswith(query.prompt) or (prompt.cut and not prompt.shown)
    assert prompt.text.startswith("Do.") and prompt.text.endswith("Done:")
    left_out = [place for place in range(len(support)) if place not in prompt.shown]
    for place in left_out:  # none of them would fit
        assert words(example(support[place], "bullets")) + words(prompt.text) > budget
