"""metapeft.adapting.classifier and adapted: the chosen candidate in a folder, read back, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from metapeft.adapters.export import load_adapter
from metapeft.adapters.lora import LoraConfig
from metapeft.adapting import Classifier, adapt_examples, adapted, load_classifier
from metapeft.adapting.choosing import look
from metapeft.backbones.load import load_backbone
from metapeft.errors import AdaptationError, AdapterError
from metapeft.meta.methods import Item
from metapeft.meta.select import Candidate, read
from metapeft.mlx import mx
from metapeft.tokenization.tokenizer import load_tokenizer
from tests.adapters.tiny_llama import write_tiny_llama
from tests.adapting.made import made_start, nano, sure_of, texts_about
from tests.meta.tiny import moved

LABELS = ["food", "sport"] * 4
TEXTS = texts_about(LABELS)
NEW = texts_about(["sport", "food", "food"], 9)


@pytest.mark.parametrize(
    ("begin", "mix", "names", "head"),
    [
        ("frozen", 0.0, True, "cosine"),
        ("static", 0.25, False, "cosine"),
        ("hypernetwork", 0.5, False, "logistic"),
        ("hypernetwork", 1.0, True, "cosine"),
    ],
)
def test_the_saved_classifier_is_the_chosen_candidate_on_all_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: str, mix: float, names: bool, head: str
) -> None:
    chosen = Candidate(begin, 0, mix, names)
    start = made_start(head)._replace(prior=sure_of(chosen))
    monkeypatch.setattr(adapted, "open_start", lambda checkpoint, backbone: start)
    made = adapt_examples(TEXTS, LABELS, folds=2, repeats=1)
    assert made.result["chosen"] == chosen.name
    made.save(tmp_path / "mine")
    loaded = load_classifier(tmp_path / "mine")
    # the same, by the functions of evaluation, with the new texts as query set
    ids = np.array([["food", "sport"].index(label) for label in LABELS])
    seen = look(start, TEXTS, ids, ["food", "sport"])
    query = look(start, NEW, np.array([1, 0, 0]), ["food", "sport"]).support
    embedding = mx.array(adapted.fit(start, seen, np.arange(8), 2, {}).embedding)
    item = Item(seen.support, query, 2, embedding, mx.arange(2), "yours", names=seen.names)
    logits = np.array(read(start.setup, start.method, start.meta, item, [chosen])[chosen.name])
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(loaded.probabilities(NEW), expected, atol=1e-4)
    np.testing.assert_allclose(made.classifier.probabilities(NEW), loaded.probabilities(NEW), atol=1e-6)
    assert loaded.predict(NEW) == [loaded.labels[i] for i in expected.argmax(axis=1)]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    network = nano()
    adapter = moved(network, LoraConfig(rank=2, num_layers=1))
    weight = mx.random.normal((2, 512), key=mx.random.key(5))
    return Classifier(network, load_tokenizer(), ("a", "b"), "cosine", weight, mx.zeros(2), 0.5, adapter, 2.0, 64)


@pytest.fixture
def saved(classifier: Classifier, tmp_path: Path) -> Path:
    classifier.write(tmp_path)
    return tmp_path


def test_many_texts_read_as_one_by_one(classifier: Classifier) -> None:
    texts = texts_about(["food", "sport", "money"] * 25, 2)
    together = classifier.probabilities(texts)
    np.testing.assert_allclose(together.sum(axis=1), 1.0)
    np.testing.assert_allclose(
        together[70:], np.concatenate([classifier.probabilities([t]) for t in texts[70:]]), atol=1e-5
    )
    assert classifier.probabilities([]).shape == (0, 2)


def test_no_text_no_label(classifier: Classifier) -> None:
    with pytest.raises(AdapterError, match="text 2 of 2 is empty"):
        classifier.predict(["fine", " "])
    with pytest.raises(AdapterError, match="got one string"):
        classifier.predict("fine")


def test_an_encoder_is_written_for_peft_and_nothing_is_pickled(classifier: Classifier, saved: Path) -> None:
    assert sorted(str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file()) == [
        "adapter-peft/adapter_config.json",
        "adapter-peft/adapter_model.safetensors",
        "classifier.json",
        "head.safetensors",
    ]


def test_a_decoder_is_written_for_mlx_lm_too(tmp_path: Path) -> None:
    write_tiny_llama(tmp_path / "llama")
    name = str(tmp_path / "llama")
    network = load_backbone(name)
    adapter = moved(network, LoraConfig(rank=2, num_layers=1))
    weight, words = mx.random.normal((2, 64), key=mx.random.key(5)), load_tokenizer(name)
    made = Classifier(network, words, ("a", "b"), "cosine", weight, mx.zeros(2), 1.0, adapter, 2.0, 64)
    (tmp_path / "out").mkdir()
    made.write(tmp_path / "out")
    for folder in ("adapter-peft", "adapter-mlx-lm"):
        loaded, scale = load_adapter(tmp_path / "out" / folder, network)
        assert scale == 2.0
        for path, factors in adapter.items():
            assert np.array_equal(np.array(loaded[path]["lora_b"]), np.array(factors["lora_b"]))
    texts = ["w3 w9 w4", "w12"]
    read_back = load_classifier(tmp_path / "out").probabilities(texts)
    np.testing.assert_allclose(read_back, made.probabilities(texts), atol=1e-6)
    assert np.abs(read_back[0] - read_back[1]).max() > 1e-3


def edited(folder: Path, **changed) -> None:
    facts = json.loads((folder / "classifier.json").read_text())
    (folder / "classifier.json").write_text(json.dumps(facts | changed))


def test_a_folder_that_does_not_fit(saved: Path) -> None:
    facts = json.loads((saved / "classifier.json").read_text())
    edited(saved, backbone=facts["backbone"] | {"digest": "other"})
    with pytest.raises(AdapterError, match="made for the backbone 'nano'"):
        load_classifier(saved)
    edited(saved, backbone=facts["backbone"], tokenizer="other")
    with pytest.raises(AdapterError, match="made with another tokenizer"):
        load_classifier(saved)
    edited(saved, tokenizer=facts["tokenizer"], labels=["a", "b", "c"])
    with pytest.raises(AdapterError, match=r"weight \(2, 512\).*expected \(3, 512\)"):
        load_classifier(saved)
    edited(saved, labels=["a", "b"])
    assert load_classifier(saved, "nano").labels == ("a", "b")
    (saved / "head.safetensors").write_bytes((saved / "head.safetensors").read_bytes()[:200])
    with pytest.raises(AdapterError, match="head.safetensors: cannot be read"):
        load_classifier(saved)
    edited(saved, format=99)
    with pytest.raises(AdapterError, match="format 99, this version reads 1"):
        load_classifier(saved)
    (saved / "classifier.json").write_text("{")
    with pytest.raises(AdapterError, match="cannot be read"):
        load_classifier(saved)


def test_a_folder_without_a_classifier(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no classifier here.*metapeft.adapt"):
        load_classifier(tmp_path)


def test_what_python_callers_get_wrong() -> None:
    with pytest.raises(AdaptationError, match="2 texts and 1 labels"):
        adapt_examples(["a", "b"], ["x"], checkpoint="none")
    with pytest.raises(AdaptationError, match="folds must be 2 or more"):
        adapt_examples(["a", "b"], ["x", "y"], checkpoint="none", folds=1)
