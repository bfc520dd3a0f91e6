"""The embedded backbone: it is there, it is small, and it knows which texts are alike."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.backbones.bert import Bert
from metapeft.backbones.load import NANO, load_bert
from metapeft.tasks.padding import pad_rows
from metapeft.tokenization.tokenizer import EMBEDDED, encode_texts, load_tokenizer

PAIRS = [
    ("how much money is in my account", "what is my bank balance"),
    ("book a table for two at an italian place", "reserve dinner at a pizza restaurant"),
    ("will it rain in the city tomorrow", "what is the weather forecast"),
    ("the film was dull and far too long", "a boring movie"),
    ("play some quiet jazz", "put on a song by a pianist"),
    ("the stock market fell on thursday", "shares lost value this week"),
]


@pytest.fixture(scope="module")
def nano() -> Bert:
    return load_bert("nano")


def features(backbone: Bert, texts: list[str]) -> np.ndarray:
    tokens = encode_texts(load_tokenizer(), texts, 64).x
    x, lengths = pad_rows(tokens, np.arange(len(texts)), 0)
    vectors = np.array(backbone.pool(backbone.suffix(backbone.prefix(x, lengths))))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_it_ships_in_ten_megabytes_with_its_tokenizer() -> None:
    files = [path for folder in (NANO, EMBEDDED) for path in folder.iterdir()]
    assert {"model.safetensors", "config.json", "README.md", "tokenizer.json"} <= {path.name for path in files}
    assert sum(path.stat().st_size for path in files) <= 10_000_000


def test_its_vocabulary_is_that_of_the_default_tokenizer(nano: Bert) -> None:
    assert nano.config.vocab_size == load_tokenizer().vocab_size


def test_every_text_is_nearest_to_the_one_of_like_meaning(nano: Bert) -> None:
    left, right = (features(nano, [pair[side] for pair in PAIRS]) for side in (0, 1))
    assert (left @ right.T).argmax(axis=1).tolist() == list(range(len(PAIRS)))


def test_company_and_padding_change_nothing(nano: Bert) -> None:
    texts = [text for pair in PAIRS for text in pair] + ["well " * 50]
    together = features(nano, texts)
    alone = np.concatenate([features(nano, [text]) for text in texts])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


def test_it_has_two_blocks_that_take_adapters(nano: Bert) -> None:
    assert nano.layers == ("encoder.layer.0", "encoder.layer.1")
    assert nano.adaptable["encoder.layer.1.attention.self.query"] == (256, 256)
    assert len(nano.digest) == 64
