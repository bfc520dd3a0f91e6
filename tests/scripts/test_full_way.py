"""scripts/full_way.py: its splits, its loss, its batches, and a table of a few texts."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import full_way
import numpy as np
import pytest
from full_way import batches, classes_of, contrastive_loss, read_folder, table, thinned

from metapeft.errors import SourceError
from metapeft.heads.head import unit
from metapeft.mlx import mx
from tests.scripts.tiny_encoder import tiny_bert

WORDS = {"card_arrival": "card", "top_up": "money", "change_pin": "pin"}
FILLER = ["where is my {}", "tell me about the {} please", "i have a question on a {}", "{} help", "it is the {} again"]


def split(folder: Path, rows: range, labels: list[str] | None = None) -> str:
    folder.mkdir()
    pairs = [(FILLER[row].format(word), label) for label, word in WORDS.items() for row in rows]
    (folder / "seq.in").write_text("".join(f"{text}\n" for text, _ in pairs))
    (folder / "label").write_text("".join(f"{label}\n" for label in labels or [label for _, label in pairs]))
    return str(folder)


def test_a_split_is_read_line_by_line(tmp_path: Path):
    texts, labels = read_folder(split(tmp_path / "train", range(2)))
    assert texts[:3] == ["where is my card", "tell me about the card please", "where is my money"]
    assert labels == ["card_arrival"] * 2 + ["top_up"] * 2 + ["change_pin"] * 2
    assert classes_of(labels, sorted(WORDS), "train").tolist() == [0, 0, 2, 2, 1, 1]


def test_splits_that_do_not_fit_are_refused(tmp_path: Path):
    with pytest.raises(SourceError, match="6 lines in seq.in and 2 in label"):
        read_folder(split(tmp_path / "short", range(2), ["top_up"] * 2))
    with pytest.raises(SourceError, match="files seq.in and label"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="no training text has the label 'other'"):
        classes_of(["top_up", "other"], ["top_up"], "test")


def test_the_loss_is_that_of_the_paper():
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y, temperature, wanted = [0, 1, 0, 1, 1, 0], 3.0, []
    for i in range(6):
        others = [j for j in range(6) if j != i]
        total = sum(np.exp(temperature * x[i] @ x[j]) for j in others)
        wanted.append(-np.mean([temperature * x[i] @ x[j] - np.log(total) for j in others if y[j] == y[i]]))
    got = contrastive_loss(mx.array(x), mx.array(y), temperature)
    assert float(got) == pytest.approx(np.mean(wanted), rel=1e-5)


def test_batches_hold_pairs_of_each_class_and_go_round_all():
    y = np.repeat(np.arange(7), [2, 5, 3, 4, 2, 2, 6])
    drawn = list(itertools.islice(batches(y, 3, 4, np.random.default_rng(0)), 2))
    assert len(set(y[np.concatenate(drawn)])) == 6
    for rows in drawn:
        assert len(set(rows)) == len(rows)
        found, counts = np.unique(y[rows], return_counts=True)
        assert counts.tolist() == np.minimum(4, np.bincount(y)[found]).tolist()
    everything = next(batches(y, 50, 50, np.random.default_rng(0)))
    assert sorted(everything) == list(range(len(y)))


def test_tokens_are_left_out_between_the_first_and_the_last():
    x = np.arange(1, 13, dtype=np.int32).reshape(2, 6)
    x[1, 3:] = 0
    lengths = np.array([6, 3], np.int32)
    thin, fewer = thinned(x, lengths, 0.6, np.random.default_rng(0))
    assert fewer[0] < 6 and fewer[1] == 3  # of three tokens none can go
    for row, length in enumerate(fewer):
        kept = thin[row, :length]
        assert (kept[0], kept[-1]) == (x[row, 0], x[row, lengths[row] - 1])
        assert set(kept) <= set(x[row]) and (np.diff(kept) > 0).all() and not thin[row, length:].any()
    same, still = thinned(x, lengths, 0.0, np.random.default_rng(0))
    assert (same == x).all() and (still == lengths).all()


def test_steps_lower_the_loss(tmp_path: Path):
    backbone = full_way.load_backbone(tiny_bert(tmp_path / "tiny"))
    texts, labels = read_folder(split(tmp_path / "train", range(4)))
    tokenizer = full_way.load_tokenizer("default")
    train = full_way.encode(tokenizer, texts, classes_of(labels, sorted(WORDS), "train"))
    config = full_way.Config(train="train", steps=25, rate=0.02, rank=4, num_layers=2, classes=3, drop=0.0)
    learner, adapter, losses = full_way.tune(backbone, train, config, 0)
    again = full_way.tune(backbone, train, config, 0)[2]
    assert losses == again
    assert learner.depth == 1 and len(losses) == 25
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])
    whole = contrastive_loss(unit(mx.array(full_way.features(learner, adapter, train))), mx.array(train.y), 20.0)
    assert float(whole) < 0.7 * losses[0]


def test_every_way_has_its_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("sklearn")
    train, valid, test = (
        split(tmp_path / name, rows)
        for name, rows in {"train": range(3), "valid": range(3, 4), "test": range(3, 5)}.items()
    )
    backbone = f"backbone={tiny_bert(tmp_path / 'tiny')}"
    settings = ["steps=2", "num_layers=1", "rank=2", "seeds=[0,1]"]
    given = [f"train={train}", f"valid={valid}", f"test={test}", backbone, *settings, f"out={tmp_path / 'out'}"]
    assert full_way.main(given) == 0
    rows = json.loads((tmp_path / "out" / "result.json").read_text())["rows"]
    wanted = [f"frozen, {head}{name}" for name in ("", " + names") for head in full_way.HEADS]
    wanted += [f"{what}, {head} + names" for what in ("tuned", "both") for head in full_way.HEADS]
    assert sorted(rows) == sorted(wanted)
    for name, found in rows.items():
        assert {split: len(values) for split, values in found.items()} == dict.fromkeys(
            ("valid", "test"), 1 if name.startswith("frozen") else 2
        )
    assert "9 training texts of 3 classes" in capsys.readouterr().out


def test_nothing_to_read_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("sklearn")
    assert full_way.main([f"train={split(tmp_path / 'train', range(1))}"]) == 2
    assert "valid=FOLDER" in capsys.readouterr().err


def test_the_table_has_means_and_spreads():
    assert table({"one": {"test": [50.0]}, "two": {"test": [40.0, 60.0]}}, ["test"]) == [
        "| classifier | test |",
        "|---|---|",
        "| one | 50.00 |",
        "| two | 50.00 ± 14.14 |",
    ]
