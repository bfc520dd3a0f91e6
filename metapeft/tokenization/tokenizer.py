"""Texts to token ids, with any Hugging Face tokenizer."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metapeft.errors import SourceError
from metapeft.tasks.pool import IGNORE, Ragged

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

EMBEDDED = Path(__file__).parent / "default"
PICO = Path(__file__).parent.parent / "backbones" / "pico"  # a language model's folder has its tokenizer
CHUNK = 2_000  # texts handed to the tokenizer at once: bounds memory, costs no speed


@dataclass(frozen=True)
class LoadedTokenizer:
    """A tokenizer and what a suite's manifest says of it.

    Attributes:
        name: as the user gave it; "default" and "pico" are embedded.
        sha256: digest of its serialized form: equal digests give equal ids.
        pad_id: id that fills the end of a row.
        vocab_size: ids are below this number.
    """

    name: str
    sha256: str
    pad_id: int
    vocab_size: int
    backend: Tokenizer


@dataclass(frozen=True)
class Tokens:
    """Token ids of a pool.

    Attributes:
        x: the texts' ids.
        y: tagging: a tag id for each id of `x`; generation: the targets' ids; otherwise None.
        cut: how many rows were longer than `max_tokens`.
    """

    x: Ragged
    y: Ragged | None
    cut: int


def load_tokenizer(name: str = "default") -> LoadedTokenizer:
    """Load a tokenizer by name: "default" or "pico" (embedded), a local folder or tokenizer.json, or a Hub id.

    Raises:
        SourceError: it is not there, or it has no fast (Rust) form.
    """
    from tokenizers import Tokenizer

    if name in ("default", "pico"):
        folder = EMBEDDED if name == "default" else PICO
    elif Path(name).exists():
        folder = Path(name) if Path(name).is_dir() else Path(name).parent
    else:
        folder = _from_hub(name)
    try:
        if (folder / "tokenizer.json").is_file():
            backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
            config_path = folder / "tokenizer_config.json"
            config = json.loads(config_path.read_text(encoding="utf-8")) if config_path.is_file() else {}
            pad = config.get("pad_token") or config.get("eos_token")
        else:
            backend, pad = _through_transformers(name)
    except SourceError:
        raise
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SourceError(f"tokenizer '{name}': cannot be loaded: {text}") from error
    backend.no_padding()
    backend.no_truncation()
    pad_name = pad.get("content") if isinstance(pad, dict) else pad
    pad_id = backend.token_to_id(pad_name) if pad_name else None
    digest = hashlib.sha256(backend.to_str().encode()).hexdigest()
    return LoadedTokenizer(name, digest, pad_id or 0, backend.get_vocab_size(with_added_tokens=True), backend)


def _from_hub(name: str) -> Path:
    """A folder with the tokenizer's files, from the Hub or its cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["tokenizer*", "vocab*", "merges*", "special_tokens*"]))
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise SourceError(f"tokenizer '{name}': no such folder, and no such model on the Hub") from error
    except LocalEntryNotFoundError as error:
        raise SourceError(f"tokenizer '{name}': not in the cache, and the Hub cannot be reached") from error
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SourceError(f"tokenizer '{name}': cannot be fetched: {text}") from error


def _through_transformers(name: str) -> tuple[Tokenizer, str | None]:
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    tokenizer: Any = AutoTokenizer.from_pretrained(name)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise SourceError(f"tokenizer '{name}': it has no fast form; choose one with a tokenizer.json")
    return backend, tokenizer.pad_token or tokenizer.eos_token


def encode_texts(
    tokenizer: LoadedTokenizer, texts: Sequence[str], max_tokens: int, pairs: Sequence[str] | None = None
) -> Tokens:
    """Token ids of texts, or of pairs of texts, with the tokenizer's special tokens, at most `max_tokens` a row."""
    ids: list[np.ndarray] = []
    lengths: list[int] = []
    cut = 0
    inputs: Sequence[Any] = texts if pairs is None else list(zip(texts, pairs, strict=True))
    for start in range(0, len(inputs), CHUNK):
        encoded = _encode(tokenizer, inputs[start : start + CHUNK], max_tokens)
        cut += sum(1 for item in encoded if item.overflowing)
        lengths += [len(item) for item in encoded]
        ids.append(_flat(item.ids for item in encoded))
    return Tokens(Ragged(_joined(ids), _offsets(lengths)), None, cut)


def label_words(label: str) -> str:
    """A label as a reader would say it: `card_arrival` and `AddToPlaylist` as words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", label)
    return " ".join(re.sub(r"[_/.\-]+", " ", spaced).split())


def encode_labels(tokenizer: LoadedTokenizer, labels: Sequence[str], max_tokens: int = 32) -> list[list[int]]:
    """Token ids of the names of a task's classes; empty where a name is a number or nothing, and so says nothing."""
    words = [label_words(label) for label in labels]
    if not words or any(not re.search(r"[^\W\d]", text) for text in words):
        return []
    x = encode_texts(tokenizer, words, max_tokens).x
    return [x.row(i).tolist() for i in range(len(x))]


def encode_words(
    tokenizer: LoadedTokenizer, words: Sequence[Sequence[str]], tags: Sequence[Sequence[int]], max_tokens: int
) -> Tokens:
    """Token ids of sentences that are cut into words, and each word's tag on its first piece.

    Pieces after a word's first, and special tokens, have the tag `IGNORE`.
    """
    xs: list[np.ndarray] = []
    ys: list[np.ndarray] = []
    lengths: list[int] = []
    cut = 0
    for start in range(0, len(words), CHUNK):
        encoded = _encode(tokenizer, [list(w) for w in words[start : start + CHUNK]], max_tokens, words=True)
        cut += sum(1 for item in encoded if item.overflowing)
        lengths += [len(item) for item in encoded]
        xs.append(_flat(item.ids for item in encoded))
        chunk_tags = tags[start : start + CHUNK]
        ys.append(_flat(_first_pieces(item, row) for item, row in zip(encoded, chunk_tags, strict=True)))
    offsets = _offsets(lengths)
    return Tokens(Ragged(_joined(xs), offsets), Ragged(_joined(ys), offsets), cut)


def windows(
    tokenizer: LoadedTokenizer, words: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], max_tokens: int
) -> list[list[slice]]:
    """Cut sentences that are too long into windows of whole words, between mentions where that can be.

    Args:
        tokenizer: any.
        words: of each sentence.
        tags: BIO tags of each sentence.
        max_tokens: longest window, special tokens included.

    Returns:
        The windows of each sentence, in order and without a gap: one for a sentence that fits. A window of one word
        may still be too long, and a mention that is longer than a window is cut.
    """
    tokenizer.backend.no_truncation()  # an earlier call's limit must not hide what is too long
    out = []
    for start in range(0, len(words), CHUNK):
        chunk = [list(sentence) for sentence in words[start : start + CHUNK]]
        for item, own in zip(
            tokenizer.backend.encode_batch(chunk, is_pretokenized=True), tags[start : start + CHUNK], strict=True
        ):
            if len(item) <= max_tokens:
                out.append([slice(0, len(own))])
                continue
            ids = np.array([-1 if word is None else word for word in item.word_ids])
            pieces = np.bincount(ids[ids >= 0], minlength=len(own))
            out.append(_windows(pieces, own, max_tokens - int(np.count_nonzero(ids < 0))))
    return out


def _windows(pieces: np.ndarray, tags: Sequence[str], room: int) -> list[slice]:
    found, start = [], 0
    ends = np.cumsum(pieces)
    while start < len(tags):
        used = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, used + room, side="right")))
        between = [at for at in range(start + 1, end + 1) if at == len(tags) or not tags[at].startswith("I-")]
        end = between[-1] if between else end
        found.append(slice(start, end))
        start = end
    return found


def encode_generation(
    tokenizer: LoadedTokenizer, prompts: Sequence[str], targets: Sequence[str], max_tokens: int, ending: str = ""
) -> Tokens:
    """Token ids of prompts (with special tokens) and of targets (without), each at most `max_tokens` long.

    Args:
        tokenizer: any.
        prompts: each with `ending` at its end.
        targets: as many.
        max_tokens: longest prompt, and longest target.
        ending: what the prompts end with, such as "Summary:". Where a prompt is too long its middle is cut and this
            stays, because it says what is asked for.
    """
    tokenizer.backend.no_truncation()  # an earlier call's limit must not cut what is counted here
    kept = len(tokenizer.backend.encode(ending).ids) - len(tokenizer.backend.encode("").ids)
    ends = _special_tokens_after(tokenizer)
    x = _encode_keeping_the_end(tokenizer, prompts, max_tokens, min(kept + ends, max_tokens - 1))
    ids: list[np.ndarray] = []
    lengths: list[int] = []
    cut = 0
    for start in range(0, len(targets), CHUNK):
        encoded = _encode(tokenizer, targets[start : start + CHUNK], max_tokens, special=False)
        cut += sum(1 for item in encoded if item.overflowing)
        lengths += [len(item) for item in encoded]
        ids.append(_flat(item.ids for item in encoded))
    return Tokens(x.x, Ragged(_joined(ids), _offsets(lengths)), x.cut + cut)


def _special_tokens_after(tokenizer: LoadedTokenizer) -> int:
    """How many special tokens the tokenizer puts after a text."""
    mask = tokenizer.backend.encode("a").special_tokens_mask
    return mask[::-1].index(0) if 0 in mask else 0


def _encode_keeping_the_end(tokenizer: LoadedTokenizer, texts: Sequence[str], max_tokens: int, kept: int) -> Tokens:
    rows: list[list[int]] = []
    cut = 0
    for start in range(0, len(texts), CHUNK):
        for item in tokenizer.backend.encode_batch_fast(list(texts[start : start + CHUNK])):
            ids = item.ids
            if len(ids) > max_tokens:
                cut += 1
                ids = ids[: max_tokens - kept] + ids[len(ids) - kept :]
            rows.append(ids)
    return Tokens(Ragged(_flat(rows), _offsets([len(row) for row in rows])), None, cut)


def _encode(
    tokenizer: LoadedTokenizer, inputs: Sequence[Any], max_tokens: int, *, words: bool = False, special: bool = True
) -> list[Encoding]:
    backend = tokenizer.backend
    backend.enable_truncation(max_tokens)
    # the fast form forgets which word a piece came from
    encode = backend.encode_batch if words else backend.encode_batch_fast
    return encode(list(inputs), is_pretokenized=words, add_special_tokens=special)


def _first_pieces(item: Encoding, tags: Sequence[int]) -> list[int]:
    out = []
    previous = None
    for word in item.word_ids:
        out.append(IGNORE if word is None or word == previous else tags[word])
        previous = word
    return out


def _flat(rows: Any) -> np.ndarray:
    return np.fromiter(itertools.chain.from_iterable(rows), dtype=np.int32)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def _offsets(lengths: list[int]) -> np.ndarray:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
