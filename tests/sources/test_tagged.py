"""metapeft.sources.tagged: CoNLL, spans and tokens come out as they went in, and what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.errors import SourceError
from metapeft.sources.tagged import Span, Tagged, as_bio, is_tagged, read_tagged, spans_of, tags_of
from metapeft.tokenization.words import joined, words_of

PROPERTY = settings(deadline=None, max_examples=25, derandomize=True)
CONLL = "Alice\tB-person\nSmith\tI-person\nsings\tO\n\nBerlin\tB-place\n"
WORD = st.text(st.characters(codec="utf-8", exclude_characters=" \t\r\n\0\ufeff"), min_size=1, max_size=6).filter(
    lambda word: not word.startswith(("#", "-DOCSTART-"))
)


@st.composite
def tagged(draw) -> list[tuple[list[str], list[str]]]:
    """Sentences with valid BIO tags, one entity at least."""
    out = []
    for _ in range(draw(st.integers(1, 4))):
        words = draw(st.lists(WORD, min_size=1, max_size=8))
        tags, before = [], "O"
        for _ in words:
            kind = draw(st.sampled_from("xy"))
            going_on = [f"I-{before[2:]}"] if before != "O" else []
            before = draw(st.sampled_from(["O", f"B-{kind}", *going_on]))
            tags.append(before)
        out.append((words, tags))
    return out


def write(folder: Path, text: str, name: str = "mine.conll") -> str:
    path = folder / name
    path.write_bytes(text.encode())
    return str(path)


def conll(rows: list[tuple[list[str], list[str]]], between: str, newline: str, columns: str = "") -> str:
    sentences = [newline.join(f"{word}{between}{columns}{tag}" for word, tag in zip(*row, strict=True)) for row in rows]
    return (newline * 2).join(sentences)


@PROPERTY
@given(
    tagged(),
    st.sampled_from(["\t", " ", "   "]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\ufeff", "-DOCSTART- O\n\n", "\n\n"]),
    st.sampled_from(["", "\n", "\n\n \n"]),
)
def test_a_conll_file_comes_out_as_it_went_in(tmp_path_factory, rows, between, newline, before, after) -> None:
    if before == "-DOCSTART- O\n\n":
        before = before.replace(" ", between)
    path = write(tmp_path_factory.mktemp("a"), before + conll(rows, between, newline) + after)
    read, notes = read_tagged(path)
    assert [(sentence.words.words, sentence.tags) for sentence in read] == [(words, tags) for words, tags in rows]
    assert not any("repaired" in note for note in notes)


@PROPERTY
@given(tagged())
def test_spans_come_out_as_they_went_in(tmp_path_factory, rows) -> None:
    sentences = [Tagged("", words_of(" ".join(words)), []) for words, _ in rows]
    sentences = [s for s in sentences if s.words.offsets]
    spans = []
    for sentence, (_, tags) in zip(sentences, rows, strict=False):
        count = len(sentence.words.offsets)
        own, _ = as_bio([(tags * count)[:count]])
        spans.append(spans_of(sentence._replace(tags=own[0])))
    folder = tmp_path_factory.mktemp("a")
    forms = (
        lambda span: {"start": span.start, "end": span.end, "label": span.label},
        list,
        lambda span: {"start_offset": span.start, "end_offset": span.end, "type": span.label, "text": None},
    )
    for form, key in zip(forms, ("spans", "label", "entities"), strict=True):
        lines = [
            json.dumps({"text": s.words.text, key: [form(span) for span in own]})
            for s, own in zip(sentences, spans, strict=True)
        ]
        read, notes = read_tagged(write(folder, "\n".join(lines), "mine.jsonl"))
        assert [spans_of(sentence) for sentence in read] == spans
        assert [sentence.words.text for sentence in read] == [s.words.text for s in sentences]
        assert notes == []


@PROPERTY
@given(tagged())
def test_every_scheme_says_the_same(rows) -> None:
    tags = [own for _, own in rows]
    assert as_bio(tags) == (tags, [])
    for last, only, name in (("E", "S", "BIOES"), ("L", "U", "BILOU")):
        other = []
        for own in tags:
            after = [*own[1:], "O"]
            ends = [not then.startswith("I-") for then in after]
            letters = [
                tag if not end or tag == "O" else (only if tag[0] == "B" else last) + tag[1:]
                for tag, end in zip(own, ends, strict=True)
            ]
            other.append(letters)
        back, notes = as_bio(other)
        assert back == tags
        assert notes == ([f"tags are {name}: turned into BIO"] if any(t != "O" for own in tags for t in own) else [])
    iob1 = [
        [
            "I" + tag[1:] if tag[0] == "B" and before[1:] != tag[1:] else tag
            for before, tag in zip(["O", *own], own, strict=False)
        ]
        for own in tags
    ]
    assert as_bio(iob1)[0] == tags


def test_the_scheme_and_repairs_are_said() -> None:
    assert as_bio([["I-x", "B-x", "O", "I-y"]]) == (
        [["B-x", "B-x", "O", "B-y"]],
        ["tags are IOB1 (B- only beside an entity of the same type): turned into BIO"],
    )
    assert as_bio([["B-x", "I-y", "O", "I-x"]]) == (
        [["B-x", "B-y", "O", "B-x"]],
        ["2 tags go on with an entity that did not begin (I- without B-): taken as its beginning"],
    )
    # after its end an entity does not go on
    bio, notes = as_bio([["B-x", "E-x", "I-x", "E-x", "S-x", "I-x"]])
    assert bio == [["B-x", "I-x", "B-x", "I-x", "B-x", "B-x"]]
    assert notes[0] == "tags are BIOES: turned into BIO"
    assert notes[1].startswith("2 tags go on")
    assert as_bio([["B-x"], ["I-x"]])[0] == [["B-x"], ["B-x"]]  # each sentence for itself
    with pytest.raises(SourceError, match=r"sentence 2, word 1: 'x' is no tag"):
        as_bio([["O"], ["x"]])


def test_comments_document_starts_and_columns_between_are_skipped(tmp_path: Path) -> None:
    text = "# id 1\n-DOCSTART- -X- -X- O\n\nEU NNP I-NP B-org\n# a note of five words\nis VBZ I-VP O\n\n"
    text += "# VB O O\n#tag X Y B-x\n"
    read, notes = read_tagged(write(tmp_path, text))
    assert [(s.place, s.words.words, s.tags) for s in read] == [
        ("line 4", ["EU", "is"], ["B-org", "O"]),
        ("line 8", ["#", "#tag"], ["O", "B-x"]),  # tweets have such words
    ]
    assert notes == ["2 comment lines (#): skipped"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Alice\tB-person\nSmith\tPERSON\n", r"line 2: 'PERSON' is no tag; tags are O, B-type and I-type"),
        ("Alice\tB_person\n", "line 1: 'B_person' is no tag"),
        ("Alice\tB-\n", "line 1: 'B-' is no tag"),
        ("Alice\tB-x\n#tag\tBx\n", "line 2: 'Bx' is no tag"),
        ("Alice\tB-x\n\nsings\n", "line 3: 'sings' has no tag\n  each line holds a word, a tab, and a tag"),
        ("Alice B-x\nsings\n", "line 2: 'sings' has no tag"),
        ("Alice NN B-x\nsings O\n", "line 2: 2 columns, 3 in the lines before"),
        ("Alice\tB-x\n\tO\n", "line 2: no word in the first column"),
        ("1 Alice B-x\n2 sings O\n\n1 so O\n", "the first column counts the words"),
        ("-DOCSTART- O\n\n# nothing\n", "no line with a word and a tag"),
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
    ],
)
def test_conll_files_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SourceError, match=message) as raised:
        read_tagged(path)
    assert str(raised.value).startswith(path)


def row(**fields) -> str:
    return json.dumps(fields)


def spans(*found, text: str = "Alice Smith sings", **more) -> str:
    return row(text=text, spans=list(found), **more)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (spans([0, 5, "a"], [0, 11, "b"]), r"span 0-5 'Alice' and span 0-11 'Alice Smith' share a word"),
        (spans([0, 2, "a"], [3, 5, "b"]), r"span 0-2 'Al' and span 3-5 'ce' share a word\n  a word has one tag"),
        (spans([12, 18, "a"]), r"span 12-18 'a' lies outside: the text has 17 characters"),
        (spans([-1, 5, "a"]), "span -1-5 'a' lies outside"),
        (spans([5, 5, "a"]), "span 5-5 'a' is empty"),
        (spans([5, 6, "a"]), "span 5-6 ' ' holds no word"),
        (spans([0, 5, " "]), "span 0-5 'Alice' has no label"),
        (spans([0, 5]), r"\[0, 5\] is no span\n  expected"),
        (spans({"start": 0, "end": "5", "label": "a"}), "is no span"),
        (spans({"start": 0, "label": "a"}), "is no span"),
        (spans([True, 5, "a"]), "is no span"),
        (spans({"start": 0, "end": 5, "label": "a", "text": "lice "}), "is said to be 'lice '\n  offsets count char"),
        (row(text="no spans"), "neither a text with a list of spans nor lists of tokens and tags; it has: text"),
        (row(tokens=["a", "b"], tags=["O"]), "2 tokens and 1 tags"),
        (row(tokens=["a", 3], tags=["O", "O"]), "the token 3 is no text"),
        (row(tokens=["a", "b"], tags=["O", "x"]), "line 2, word 2: 'x' is no tag"),
        (row(tokens=["a"], tags=[0]), "'0' is no tag.*\n.*write their names"),
        ("[]", "not a JSON object"),
    ],
)
def test_jsonl_rows_that_are_refused(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, spans([0, 5, "a"]) + "\n" + line, "mine.jsonl")
    with pytest.raises(SourceError, match=message) as raised:
        read_tagged(path)
    assert f"{path}: line 2" in str(raised.value)


def test_a_span_within_a_word_is_widened_and_said(tmp_path: Path) -> None:
    lines = [spans([1, 3, "a"], [12, 14, "b"]), spans([5, 12, "c"]), row(text=" ", spans=[])]
    read, notes = read_tagged(write(tmp_path, "\n".join(lines), "mine.jsonl"))
    assert [spans_of(sentence) for sentence in read] == [[Span(0, 5, "a"), Span(12, 17, "b")], [Span(6, 11, "c")]]
    # white space at its ends is no part of a word
    assert notes == [
        "1 row without a word: skipped (line 3)",
        "2 spans end within a word: widened to the whole word (line 1, line 1)",
    ]


def test_tokens_and_tags(tmp_path: Path) -> None:
    lines = [row(tokens=["New York", "is"], ner_tags=["U-place", "O"]), row(words=[], tags=[])]
    read, notes = read_tagged(write(tmp_path, "\n".join(lines), "mine.jsonl"))
    assert read == [Tagged("line 1", joined(["New York", "is"]), ["B-place", "O"])]
    assert notes == ["1 row without a word: skipped (line 2)", "tags are BILOU: turned into BIO"]
    with pytest.raises(SourceError, match="no row has a word"):
        read_tagged(write(tmp_path, lines[1], "mine.jsonl"))


def test_tags_of_spans_that_touch_words_in_part() -> None:
    words = words_of("Alice Smith sings")
    assert tags_of(words, [Span(2, 8, "x")]) == ["B-x", "I-x", "O"]


@pytest.mark.parametrize(
    ("name", "text", "holds"),
    [
        ("a.conll", "whatever", True),
        ("away.bio", None, True),
        ("a.txt", CONLL, True),
        ("a.tsv", "#c\n-DOCSTART-\n\n" + CONLL, True),
        ("a.txt", "One text.\nAnother one.\n", False),
        ("a.tsv", "text\tlabel\ngood\tpos\n", False),
        ("a.txt", "# nothing\n", False),
        ("a.jsonl", spans([0, 5, "a"]), True),
        ("a.jsonl", row(text="x", spans=[]) + "\n", True),
        ("a.jsonl", row(tokens=["x"], tags=["O"]), True),
        ("a.jsonl", row(text="x", label="pos"), False),
        ("a.jsonl", row(text="x", intent="buy", entities=[]), False),  # a table of classes that has more
        ("a.jsonl", row(text="x", label=3), False),
        ("a.csv", CONLL, False),
        ("away.txt", None, False),
        ("org/name", None, False),
    ],
)
def test_what_looks_tagged(tmp_path: Path, name: str, text: str | None, holds: bool) -> None:
    path = str(tmp_path / name) if text is None else write(tmp_path, text, name)
    assert is_tagged(path) == holds
