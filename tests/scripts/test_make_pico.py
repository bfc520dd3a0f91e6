"""scripts/make_pico.py and scripts/pico_texts.py: what pico is told, and that its forward pass is mlx-lm's."""

from __future__ import annotations

from pathlib import Path

import make_pico
import numpy as np
import pico_texts
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_pico import EOS, PAD, ROW, VOCABULARY, Config, described, first_weights, logits_of, loss_of, packed, run
from pico_texts import HELD_OUT, KNOWN, MAKERS, documents, parts_of_query, table

from metapeft.backbones.load import load_decoder
from metapeft.evaluation.splits import read_split
from metapeft.mlx import mx, nn, utils
from metapeft.sources.grammar.engine import Draw
from metapeft.sources.grammar.sql import row_of
from metapeft.sources.grammar.sql_lexicon import TABLES
from metapeft.tokenization.tokenizer import load_tokenizer

# --- texts


@pytest.fixture(scope="module")
def few_rows() -> None:
    """Pools of a few rows: what is looked at does not depend on how many there are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pico_texts, "POOL", 20)
        yield


def test_texts_are_a_function_of_the_arguments(few_rows: None) -> None:
    texts = documents(60, 0)
    assert texts == documents(60, 0)
    assert texts != documents(60, 1)
    assert sum(MAKERS.values()) == 100


def test_no_text_is_of_a_table_that_is_held_out_or_has_the_format_of_a_task(few_rows: None) -> None:
    split = read_split("generation_domains")
    assert {f"syn_sql_{domain}" for domain in HELD_OUT} == {
        name for name in (*split.test, *split.validation) if name.startswith("syn_sql_")
    }
    joined = "\n".join(documents(1500, 3))
    for domain in HELD_OUT:
        assert f"FROM {TABLES[domain].plural} " not in joined
        assert f"TABLE {TABLES[domain].plural} " not in joined
    for mark in ("-- SQL:", "Summary:", "Mended:", "It says:", "-- "):
        assert mark not in joined
    assert any(f"FROM {table.plural} " in joined for table in KNOWN)


@given(st.integers(0, 2**32), st.sampled_from(sorted(set(TABLES) - set(HELD_OUT))))
def test_parts_say_all_that_a_query_says(seed: int, domain: str) -> None:
    """Every name and number of the query stands in its parts; `id` and `name` apart, none stands there beside."""
    row = row_of(Draw(seed), TABLES[domain], 0.9)
    parts = parts_of_query(row["target"])
    assert parts["of"] == TABLES[domain].plural
    said = " ".join(parts.values()).split()
    words = set(row["target"].translate(str.maketrans("(),';", "     ")).split())
    columns = {*TABLES[domain].texts, *TABLES[domain].numbers, "name"}
    assert set(said) & columns == words & columns
    assert {word for word in said if word.isdigit()} == {word for word in words if word.isdigit()}


def test_a_query_that_the_generator_does_not_make_is_refused() -> None:
    with pytest.raises(ValueError, match="not a query"):
        parts_of_query("DELETE FROM t")


@given(st.integers(0, 2**32))
def test_made_tables_can_be_asked_about(seed: int) -> None:
    made = table(Draw(seed))
    assert len(made.texts) >= 1 and len(made.numbers) >= 2
    assert not set(made.texts) & set(made.numbers)


# --- rows


@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=ROW + 1), min_size=1, max_size=60))
def test_packing_loses_no_token(rows: list[list[int]]) -> None:
    out = packed(rows, open_rows=4)
    assert out.shape[1] == ROW + 1
    assert np.sort(out[out != PAD]).tolist() == sorted(token for row in rows for token in row)
    assert ((out[:, 1:] != PAD) <= (out[:, :-1] != PAD)).all()  # padding at the end alone


# --- the model


def test_the_forward_pass_is_that_of_mlx_lm() -> None:
    from mlx_lm.models.llama import Model, ModelArgs

    weights = first_weights(0)
    keys = iter(mx.random.split(mx.random.key(0), len(weights)))
    weights = {name: value + 0.05 * mx.random.normal(value.shape, key=next(keys)) for name, value in weights.items()}
    model = Model(ModelArgs.from_dict(described()))
    assert set(weights) == {name for name, _ in utils.tree_flatten(model.parameters())}
    model.load_weights(list(weights.items()))
    tokens = np.random.default_rng(0).integers(3, VOCABULARY, (2, 40))
    wanted = model(mx.array(tokens))
    np.testing.assert_allclose(logits_of(weights, mx.array(tokens)), wanted, rtol=0, atol=1e-4)
    padded = np.concatenate([tokens, np.full((2, 1), EOS), np.full((2, 3), PAD)], axis=1)
    wanted = nn.losses.cross_entropy(wanted, mx.array(padded[:, 1:41]), reduction="mean")
    np.testing.assert_allclose(loss_of(weights, mx.array(padded)), wanted, rtol=1e-4)


def test_it_copies_before_it_is_trained() -> None:
    row = np.random.default_rng(1).integers(3, VOCABULARY, (4, 60))
    said = np.array(logits_of(first_weights(0), mx.array(np.concatenate([row, row], axis=1))).argmax(axis=-1))
    assert (said[:, 60:-1] == row[:, 1:]).mean() > 0.8
    assert (said[:, :59] == row[:, 1:]).mean() < 0.1


def test_a_second_run_goes_on_and_ends_where_the_first_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"key {i}: {i * i}; the value of {i} is {i * i}" for i in range(400)]
    monkeypatch.setattr(make_pico, "documents", lambda count, seed: texts)
    monkeypatch.setattr(make_pico, "ROW", 64)

    def written() -> dict[str, np.ndarray]:
        return {name: np.array(value) for name, value in mx.load(str(tmp_path / "pico/model.safetensors")).items()}

    assert run(Config(out=tmp_path, steps=2, rows=4)) == 0
    first = written()
    assert run(Config(out=tmp_path, steps=2, rows=4)) == 0
    assert all((written()[name] == value).all() for name, value in first.items())
    assert run(Config(out=tmp_path, steps=3, rows=4)) == 0
    assert any((written()[name] != value).any() for name, value in first.items())
    assert load_decoder(str(tmp_path / "pico")).vocab_size == VOCABULARY
    assert load_tokenizer(str(tmp_path / "pico")).pad_id == PAD
