"""metapeft.adapting.tagger: the chosen candidate in a folder, read back; offsets; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.adapting import Tagger, adapt_sentences, load_tagger, tagging
from metapeft.adapting.choosing_tags import fit, look
from metapeft.adapting.tagger import packed
from metapeft.errors import AdapterError
from metapeft.heads import ridge_head, tagger_and_logistic_head, tagger_head
from metapeft.meta.judge import best_paths, transitions_for
from metapeft.meta.methods import Item
from metapeft.meta.select import FROZEN, Candidate, read
from metapeft.mlx import mx
from metapeft.tasks.tags import mentions
from metapeft.tokenization.words import Words, joined, words_of
from tests.adapting.made import made_tagging_start, sure_of, tagged_about

TYPES = ["food", "sport"]
SENTENCES, TAGS = tagged_about(TYPES * 6)
NEW, _ = tagged_about(["sport", "food", "food"], 9)


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return adapt_sentences(SENTENCES, TAGS, checkpoint="none", folds=2, repeats=1).tagger


@pytest.mark.parametrize(
    "chosen",
    [
        Candidate("frozen"),
        Candidate("frozen", classifier="logistic"),
        Candidate("static", 0, 0.25),
        Candidate("hypernetwork", 0, 0.5, classifier="logistic"),
        Candidate("static", 0, 0.5, detector=0.5),
        Candidate("frozen", classifier="both"),
        Candidate("static", 0, 0.5, classifier="both", detector=0.5),
        Candidate("static", 0, 0.5, classifier="logistic", detector=1.0),
    ],
    ids=lambda chosen: chosen.name,
)
def test_the_saved_tagger_is_the_chosen_candidate_on_all_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: Candidate
) -> None:
    begin = made_tagging_start()._replace(prior=sure_of(chosen), candidates=(FROZEN, chosen))  # offered or not
    monkeypatch.setattr(tagging, "open_start", lambda checkpoint, backbone, kind: begin)
    made = adapt_sentences(SENTENCES, TAGS, folds=2, repeats=1)
    assert made.result["chosen"] == chosen.name
    made.save(tmp_path / "mine")
    loaded = load_tagger(tmp_path / "mine")
    # the same, by the functions of evaluation, with the new sentences as query set
    seen = look(begin, SENTENCES, TAGS, TYPES)
    query = look(begin, NEW, [["O"] * len(own) for own in NEW], TYPES)
    embedding = mx.array(fit(begin, seen, np.arange(12), 2, {}).embedding)
    item = Item(seen.words, query.words, 3, embedding, mx.arange(2), "yours")
    logits = np.array(read(begin.setup, begin.method, begin.meta, item, [chosen])[chosen.name])
    transitions = transitions_for(begin.setup.transitions, seen.sentences)
    classes = best_paths(logits, query.sentences.lengths, transitions)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    wanted = [
        (TYPES[kind - 1], " ".join(sum(NEW, [])[a:b]), shares[a:b, kind].mean())
        for a, b, kind in zip(*mentions(classes, query.sentences.lengths), strict=True)
    ]
    assert wanted
    for each in (made.tagger, loaded):
        found = [entity for own in each.entities(NEW) for entity in own]
        assert [entity[2:4] for entity in found] == [pair[:2] for pair in wanted]
        np.testing.assert_allclose([entity.score for entity in found], [pair[2] for pair in wanted], atol=1e-4)
    assert (tmp_path / "mine/adapter-peft").exists() == (chosen.start != "frozen")
    said = "What training tasks say of where mentions are" in (tmp_path / "mine/README.md").read_text(encoding="utf-8")
    assert said == (chosen.detector > 0)
    assert loaded.weight.shape[1] == (256 if chosen.start == "frozen" else 512)


def test_the_packed_head_says_the_same() -> None:
    rng = np.random.default_rng(0)
    features, labels = mx.array(rng.random((9, 4)).astype(np.float32)), mx.array([0, 1, 0, 2, 0, 1, 1, 0, 2])
    params = tagger_head().init(features, labels, 3)
    small = packed(tagger_head(), params, 4)
    assert small["weight"].shape == (4 + 1 + 2, 4)
    query = mx.array(rng.normal(size=(50, 4)).astype(np.float32))
    logits = tagger_head().logits(params, query)
    assert (np.array(logits[:, 0]) == 0).any()  # farther from every word outside than from nothing
    again = tagger_head().logits(small, query)
    np.testing.assert_allclose(np.array(again), np.array(logits), atol=1e-5)
    # columns that weigh nothing
    wide = {"weight": mx.concatenate([params["weight"], mx.zeros((11, 4))], axis=1), "bias": params["bias"]}
    assert mx.array_equal(packed(tagger_head(), wide, 4)["weight"], small["weight"])
    head = tagger_and_logistic_head()
    both = head.init(features, labels, 3)
    assert both["weight"].shape == (9 + 2 + 3, 4)
    less = packed(head, both, 4)
    assert less["weight"].shape == (4 + 1 + 2 + 3, 4)
    np.testing.assert_allclose(np.array(head.logits(less, query)), np.array(head.logits(both, query)), atol=1e-5)
    ridge = {"weight": mx.zeros((3, 8)), "bias": mx.zeros(3)}
    assert packed(ridge_head(), ridge, 4)["weight"].shape == (3, 4)


@settings(deadline=None, max_examples=15, derandomize=True)
@given(
    st.lists(st.text("ab, .\u200b\u00e9x\U0001f600", min_size=1, max_size=9).filter(lambda t: t.strip()), max_size=3)
)
def test_offsets_are_those_of_the_text(tagger: Tagger, texts: list[str]) -> None:
    texts = [f"{text} {text} soup now, team {text}" for text in texts]
    for text, own in zip(texts, tagger.entities(texts), strict=True):
        assert all(text[entity.start : entity.end] == entity.text for entity in own)
        assert all(before.end <= after.start for before, after in zip(own, own[1:], strict=False))
        assert all(0 < entity.score <= 1 and entity.label in TYPES for entity in own)


def test_texts_words_and_lists_of_words(tagger: Tagger) -> None:
    text = "  we  talked about soup\nthey said that ."
    (from_text,), (from_words,) = tagger.entities([text]), tagger.entities([words_of(text)])
    assert from_text == from_words
    assert [(entity.label, entity.text) for entity in from_text] == [("food", "soup")]
    assert text[from_text[0].start :].startswith("soup")
    (listed,) = tagger.entities([words_of(text).words])
    assert [(entity.start, entity.end) for entity in listed] == [(16, 20)]
    assert joined(words_of(text).words).text[16:20] == "soup"


def test_many_texts_read_as_one_by_one(tagger: Tagger) -> None:
    texts = [" ".join(own) for own in tagged_about(TYPES * 40, 5)[0]]
    together = tagger.entities(texts)
    for text, own in zip(texts[60:], together[60:], strict=True):
        (alone,) = tagger.entities([text])
        assert [entity[:4] for entity in alone] == [entity[:4] for entity in own]
    assert sum(map(len, together)) > 40
    assert tagger.entities([]) == []


def test_an_entity_may_begin_in_one_window_and_end_in_the_next(tagger: Tagger) -> None:
    # with `.` for its filling the sentence ends where a window does: the place is searched for
    found = []
    for filling in range(50, 66):
        words = [*["."] * filling, "we", "talked", "about", "soup", "bread", "they", "said", "that", "."]
        found += [entity for entity in tagger.entities([words])[0] if entity.text == "soup bread"]
    assert len(found) == 16


def test_words_that_the_tokenizer_drops_do_not_part_an_entity(tagger: Tagger) -> None:
    (own,) = tagger.entities([["we", "talked", "about", "soup", "\u200b", "bread", "they", "said", "that", "."]])
    assert [entity.text for entity in own] == ["soup \u200b bread"]
    assert tagger.entities([Words("\u200b", [(0, 1)])]) == [[]]


def test_what_has_no_word_is_refused(tagger: Tagger) -> None:
    with pytest.raises(AdapterError, match="text 2 of 2 has no word"):
        tagger.entities(["fine", " \n"])
    with pytest.raises(AdapterError, match="text 1 of 1 has no word"):
        tagger.entities([[]])
    with pytest.raises(AdapterError, match="got one string"):
        tagger.entities("fine")


@pytest.fixture
def saved(tagger: Tagger, tmp_path: Path) -> Path:
    tagger.write(tmp_path)
    return tmp_path


def edited(folder: Path, **changed) -> None:
    facts = json.loads((folder / "tagger.json").read_text())
    (folder / "tagger.json").write_text(json.dumps(facts | changed))


def test_a_folder_that_does_not_fit(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["head.safetensors", "tagger.json"]
    facts = json.loads((saved / "tagger.json").read_text())
    edited(saved, backbone=facts["backbone"] | {"digest": "other"})
    with pytest.raises(AdapterError, match="made for the backbone 'nano'"):
        load_tagger(saved)
    edited(saved, backbone=facts["backbone"], tokenizer="other")
    with pytest.raises(AdapterError, match="made with another tokenizer"):
        load_tagger(saved)
    edited(saved, tokenizer=facts["tokenizer"], types=["t"] * 500)
    with pytest.raises(AdapterError, match=r"weight .*expected \(501 or more, 256\) and \(501,\)"):
        load_tagger(saved)
    edited(saved, types=facts["types"])
    assert load_tagger(saved, "nano").types == ("food", "sport")
    (saved / "head.safetensors").write_bytes((saved / "head.safetensors").read_bytes()[:200])
    with pytest.raises(AdapterError, match="head.safetensors: cannot be read"):
        load_tagger(saved)
    edited(saved, format=99)
    with pytest.raises(AdapterError, match="format 99, this version reads 1"):
        load_tagger(saved)
    (saved / "tagger.json").write_text("{")
    with pytest.raises(AdapterError, match="cannot be read"):
        load_tagger(saved)


def test_a_folder_without_a_tagger(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"no tagger here \(no tagger.json\).*metapeft.adapt data=tagged.conll"):
        load_tagger(tmp_path)
