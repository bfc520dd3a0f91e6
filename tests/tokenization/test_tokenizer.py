"""metapeft.tokenization: ids, truncation, tags on first pieces, and any Hugging Face tokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from metapeft.errors import SourceError
from metapeft.tasks.pool import IGNORE
from metapeft.tokenization.tokenizer import (
    CHUNK,
    LoadedTokenizer,
    encode_generation,
    encode_labels,
    encode_texts,
    encode_words,
    label_words,
    load_tokenizer,
    windows,
)

VOCAB = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "b", "c", "##a", "##b", "##c"]


@pytest.fixture(scope="module")
def pieces() -> LoadedTokenizer:
    """WordPiece over the letters a, b and c: "abc" becomes a, ##b, ##c."""
    backend = Tokenizer(models.WordPiece({word: i for i, word in enumerate(VOCAB)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return LoadedTokenizer("pieces", "0", 0, len(VOCAB), backend)


def rows(tokens) -> list[list[int]]:  # type: ignore[no-untyped-def]
    return [tokens.row(i).tolist() for i in range(len(tokens))]


def test_texts_have_special_tokens_and_are_cut_with_them(pieces: LoadedTokenizer) -> None:
    tokens = encode_texts(pieces, ["a b", "abc abc", ""], 5)
    assert rows(tokens.x) == [[1, 4, 5, 2], [1, 4, 8, 9, 2], [1, 2]]
    assert tokens.cut == 1
    assert tokens.x.values.dtype == np.int32


def test_pairs_are_joined_as_the_tokenizer_does(pieces: LoadedTokenizer) -> None:
    tokens = encode_texts(pieces, ["a"], 16, ["b c"])
    assert rows(tokens.x) == [[1, 4, 2, 5, 6, 2]]


def test_tags_stand_on_first_pieces_only(pieces: LoadedTokenizer) -> None:
    tokens = encode_words(pieces, [["ab", "c", "a"]], [[3, 0, 4]], 16)
    assert rows(tokens.x) == [[1, 4, 8, 6, 4, 2]]
    assert tokens.y is not None
    assert rows(tokens.y) == [[IGNORE, 3, IGNORE, 0, 4, IGNORE]]
    assert tokens.cut == 0


def test_cut_sentences_keep_tags_and_tokens_aligned(pieces: LoadedTokenizer) -> None:
    tokens = encode_words(pieces, [["ab", "cab", "b"]], [[1, 2, 3]], 5)
    assert rows(tokens.x) == [[1, 4, 8, 6, 2]]
    assert tokens.y is not None
    assert rows(tokens.y) == [[IGNORE, 1, IGNORE, 2, IGNORE]]
    assert tokens.cut == 1


def test_long_sentences_become_windows_between_mentions(pieces: LoadedTokenizer) -> None:
    words, tags = ["a", "ab", "c", "abc", "b", "a"], ["O", "O", "B-x", "I-x", "O", "O"]
    encode_words(pieces, [["a"]], [[0]], 3)  # a limit that must not be remembered
    cut = windows(pieces, [words, ["a", "b"]], [tags, ["O", "O"]], 7)
    assert cut == [[slice(0, 2), slice(2, 5), slice(5, 6)], [slice(0, 2)]]


def test_a_word_or_a_mention_longer_than_a_window_is_cut_and_nothing_is_lost(pieces: LoadedTokenizer) -> None:
    assert windows(pieces, [["a", "abcabc", "b"]], [["O"] * 3], 5) == [[slice(0, 1), slice(1, 2), slice(2, 3)]]
    assert windows(pieces, [["a"] * 5], [["B-x"] + ["I-x"] * 4], 4) == [[slice(0, 2), slice(2, 4), slice(4, 5)]]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(["a", "ab", "abc"]), st.sampled_from(["O", "B-x", "I-x"])), max_size=40))
def test_windows_have_every_word_once_and_fit(pieces: LoadedTokenizer, sentence: list[tuple[str, str]]) -> None:
    words, tags = [word for word, _ in sentence], [tag for _, tag in sentence]
    (cut,) = windows(pieces, [words], [tags], 9)
    assert [word for part in cut for word in words[part]] == words
    assert all(sum(map(len, words[part])) + 2 <= 9 for part in cut)


def test_targets_have_no_special_tokens(pieces: LoadedTokenizer) -> None:
    tokens = encode_generation(pieces, ["a"], ["b c"], 16)
    assert rows(tokens.x) == [[1, 4, 2]]
    assert tokens.y is not None
    assert rows(tokens.y) == [[5, 6]]


def test_a_long_prompt_keeps_its_ending(pieces: LoadedTokenizer) -> None:
    tokens = encode_generation(pieces, ["a a a a a a b c", "a b c"], ["b", "b"], 6, ending=" b c")
    assert rows(tokens.x) == [[1, 4, 4, 5, 6, 2], [1, 4, 5, 6, 2]]
    assert tokens.cut == 1


def test_chunks_join_without_a_seam(pieces: LoadedTokenizer) -> None:
    texts = ["a " * (i % 7) for i in range(CHUNK + 5)]
    tokens = encode_texts(pieces, texts, 16)
    assert len(tokens.x) == len(texts)
    assert tokens.x.lengths().tolist() == [2 + i % 7 for i in range(len(texts))]


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5), st.integers(4, 12))
def test_the_embedded_tokenizer_takes_any_text(texts: list[str], most: int) -> None:
    tokenizer = load_tokenizer()
    tokens = encode_texts(tokenizer, texts, most)
    lengths = tokens.x.lengths()
    assert (lengths <= most).all()
    assert ((tokens.x.values >= 0) & (tokens.x.values < tokenizer.vocab_size)).all()
    cls, sep = (tokenizer.backend.token_to_id(name) for name in ("[CLS]", "[SEP]"))
    for row in rows(tokens.x):
        assert row[0] == cls
        assert row[-1] == sep
        assert tokenizer.pad_id not in row


def test_the_embedded_tokenizer_reads_words_back() -> None:
    tokenizer = load_tokenizer()
    ids = tokenizer.backend.encode("The screen is sharp, but the battery dies.").ids
    assert tokenizer.backend.decode(ids).strip() == "the screen is sharp, but the battery dies."
    assert tokenizer.pad_id == 0


def test_a_local_folder_and_its_file_are_the_same_tokenizer(tmp_path: Path, pieces: LoadedTokenizer) -> None:
    pieces.backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": "[PAD]"}')
    folder, file = load_tokenizer(str(tmp_path)), load_tokenizer(str(tmp_path / "tokenizer.json"))
    assert folder.sha256 == file.sha256
    assert folder.pad_id == 0
    assert folder.sha256 != load_tokenizer().sha256


@pytest.mark.usefixtures("hub")
def test_a_tokenizer_that_is_nowhere_is_named() -> None:
    with pytest.raises(SourceError, match="tokenizer 'org/nothing': no such folder, and no such model on the Hub"):
        load_tokenizer("org/nothing")


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["./no/such/folder", "a b c"])
def test_what_cannot_be_a_model_is_refused_too(name: str) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        load_tokenizer(name)


@pytest.mark.usefixtures("hub", "no_hub", "no_waiting")
def test_a_tokenizer_that_is_out_of_reach_says_so() -> None:
    with pytest.raises(SourceError, match="not in the cache, and the Hub cannot be reached"):
        load_tokenizer("org/far-away")


def test_an_unreadable_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(SourceError, match="cannot be loaded"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("card_arrival", "card arrival"),
        ("AddToPlaylist", "Add To Playlist"),
        ("lists/remove", "lists remove"),
        ("reverted_card_payment?", "reverted card payment?"),
        ("comp.graphics", "comp graphics"),
        ("HTTPError", "HTTPError"),
    ],
)
def test_labels_are_read_as_words(label: str, words: str) -> None:
    assert label_words(label) == words


def test_names_of_classes_are_texts_unless_they_say_nothing(pieces: LoadedTokenizer) -> None:
    assert encode_labels(pieces, ["a_b", "c"]) == [[1, 4, 5, 2], [1, 6, 2]]
    assert encode_labels(pieces, ["a", "17"]) == []
    assert encode_labels(pieces, ["a", "_"]) == []
    assert encode_labels(pieces, []) == []
