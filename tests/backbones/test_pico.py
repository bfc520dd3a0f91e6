"""The embedded language model: it is there, it is small, it knows the synthetic texts, and mlx-lm opens it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapeft.backbones.decoder import Decoder
from metapeft.backbones.load import PICO, load_decoder
from metapeft.backbones.tokens import tokenizer_of
from metapeft.mlx import mx, nn
from metapeft.sources.grammar import generate
from metapeft.tasks.padding import pad_rows
from metapeft.tokenization.tokenizer import encode_generation, encode_texts, load_tokenizer

BOS, EOS = 1, 2
TOKENIZER = load_tokenizer(tokenizer_of("pico"))


@pytest.fixture(scope="module")
def pico() -> Decoder:
    return load_decoder("pico")


def next_token_loss(pico: Decoder, texts: list[str]) -> float:
    """Mean of minus the log probability of each token after the first."""
    tokens = encode_texts(TOKENIZER, texts, 256).x
    x, lengths = pad_rows(tokens, np.arange(len(texts)), 0)
    logits = pico.logits(pico.suffix(pico.prefix(x, lengths)))
    losses = nn.losses.cross_entropy(logits[:, :-1], mx.array(x[:, 1:]))
    real = mx.array(np.arange(1, x.shape[1]) < lengths[:, None])
    return (mx.sum(losses * real) / mx.sum(real)).item()


def test_it_ships_in_ten_megabytes_with_its_tokenizer_and_card() -> None:
    files = {path.name: path.stat().st_size for path in PICO.iterdir()}
    assert set(files) == {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "README.md"}
    assert sum(files.values()) <= 10_000_000


def test_it_has_blocks_that_take_adapters_and_passes_that_are_cut(pico: Decoder) -> None:
    assert len(pico.layers) == 4 and pico.is_cut
    assert pico.default_keys == ("self_attn.q_proj", "self_attn.v_proj")
    assert pico.adaptable["model.layers.3.self_attn.q_proj"] == (pico.hidden_size, pico.hidden_size)
    assert len(pico.adaptable) == 4 * 7


def test_its_config_its_tokenizer_and_its_vocabulary_agree(pico: Decoder) -> None:
    config = json.loads((PICO / "config.json").read_text(encoding="utf-8"))
    assert config["vocab_size"] == pico.vocab_size == TOKENIZER.vocab_size
    names = json.loads((PICO / "tokenizer_config.json").read_text(encoding="utf-8"))
    for key, id in (("pad_token", TOKENIZER.pad_id), ("bos_token", BOS), ("eos_token", EOS)):
        assert config[f"{key}_id"] == id == TOKENIZER.backend.token_to_id(names[key])


def test_prompts_begin_with_bos_and_targets_are_bare() -> None:
    tokens = encode_generation(TOKENIZER, ["a question\n-- SQL:\n"], ["SELECT 1"], 64, "\n-- SQL:\n")
    prompt, target = tokens.x.row(0), tokens.y.row(0)
    assert prompt[0] == BOS and BOS not in prompt[1:]
    assert not {BOS, EOS} & set(target.tolist())
    assert TOKENIZER.backend.decode(target.tolist()) == "SELECT 1"


@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: "<" not in text))
def test_any_text_comes_back_from_its_tokens(text: str) -> None:
    TOKENIZER.backend.no_truncation()  # another test's limit
    ids = TOKENIZER.backend.encode(text).ids
    assert ids[0] == BOS
    assert TOKENIZER.backend.decode(ids) == text


def test_digits_stand_alone() -> None:
    assert len(TOKENIZER.backend.encode("90210", add_special_tokens=False).ids) == 5


@pytest.mark.parametrize(
    ("generator", "params"),
    [
        ("summarization", {"domain": "news", "style": "extractive", "difficulty": 0.5}),
        ("sentiment", {"domain": "hotels", "classes": 2}),
        ("code_python", {"style": "documentation"}),
    ],
)
def test_it_knows_the_synthetic_texts(pico: Decoder, generator: str, params: dict) -> None:
    texts = [row["text"] for row in generate(generator, params, 8, 77, "query")]
    assert next_token_loss(pico, texts) < math.log(pico.vocab_size) / 2


def test_mlx_lm_opens_it_and_ends_at_eos() -> None:
    from mlx_lm import load, stream_generate

    model, tokenizer = load(str(PICO))
    assert tokenizer.eos_token_ids == {EOS}
    model.set_dtype(mx.float32)
    out = list(stream_generate(model, tokenizer, prompt="zorb: 41\nplim: 7\n", max_tokens=200))
    assert out[-1].finish_reason == "stop"
