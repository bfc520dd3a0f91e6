"""scripts/bench_time_to_accuracy.py: who is best, what a ratio is, and what our side answers. No time is asserted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from adapt_contenders import BLOCKS, RANK, Job
from bench_adapt import BenchConfig, draw_episodes
from bench_time_to_accuracy import AUTO, Config, Ours, Reading, best_of, measure, ratios_of

from metapeft.backbones.load import load_backbone
from metapeft.heads.head import unit
from metapeft.tokenization.tokenizer import load_tokenizer
from tests.scripts.tiny_encoder import tiny_bert


def test_the_best_is_the_most_accurate_then_the_quickest():
    accuracy = {(0.1, 1): 0.5, (0.1, 5): 0.8, (0.1, 10): 0.8, (0.01, 5): 0.8, (0.01, 10): 0.7}
    assert best_of(accuracy) == (0.01, 5, 0.8)


def test_ratios_are_of_rounds_and_only_where_the_accuracy_is_reached():
    assert ratios_of([2.0, 3.0], [0.5, 0.1], 0.8, 0.8) == pytest.approx([4.0, 30.0])
    assert ratios_of([2.0, 3.0], [0.5, 0.1], 0.79, 0.8) is None


class Told:
    """A contender with answers from a table."""

    def __init__(self, answers: dict[str, object]):
        self.answers = answers

    def ask(self, method: str, *arguments: object) -> object:
        answer = self.answers[method]
        return answer(*arguments) if callable(answer) else answer


def test_measuring_compares_with_the_best_of_peft(capsys: pytest.CaptureFixture[str]):
    right = {(0.1, 1): 0.6, (0.1, 2): 0.9, (0.2, 1): 0.7, (0.2, 2): 0.5}

    def curve(index: int, rate: float, steps: list[int]) -> list[Reading]:
        return [Reading(1.0 * step, 1.5 * step, right[rate, step]) for step in steps]

    def read(index: int, name: str) -> Reading:
        answers = {"good": Reading(0.1, 0.5, 0.9), "slow": Reading(0.5, 1.0, 0.95), "bad": Reading(0.1, 0.2, 0.8)}
        return answers[name]

    config = Config(backbone="any", episodes=2, rounds=3, steps=[2, 1], rates=[0.1, 0.2])
    result = measure(config, Told({"names": ["good", "slow", "bad"], "read": read}), Told({"curve": curve}))
    assert result["best"] == {"rate": 0.1, "steps": 2, "accuracy": 0.9}
    assert result["peft"] == {"adapting": [2.0] * 3, "seconds": [3.0] * 3}
    ratios = {
        (name, time_of): result["ours"][name][time_of]["ratios"]
        for name in ("good", "slow", "bad")
        for time_of in ("adapting", "seconds")
    }
    assert ratios["good", "adapting"] == pytest.approx([20.0] * 3)
    assert ratios["good", "seconds"] == pytest.approx([6.0] * 3)
    assert ratios["slow", "adapting"] == pytest.approx([4.0] * 3)
    assert ratios["bad", "adapting"] is None and ratios["bad", "seconds"] is None
    shown = capsys.readouterr().out
    own = [line.split("  ")[-1].strip() for line in shown.splitlines() if line.startswith("  good")]
    assert len(own) == 2 and own[0].endswith("at least 10: met") and own[1].endswith("at least 10: MISSED")
    assert shown.count("never reaches it") == 2


def test_our_side_reads_episodes_without_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    backbone = tiny_bert(tmp_path / "tiny")
    episodes, _ = draw_episodes(BenchConfig(backbone=backbone), load_tokenizer(backbone), 1)
    ours = Ours("none", backbone, Job(Path(backbone), episodes, np.zeros((0, 0), np.int32), tmp_path))
    assert ours.names() == ["frozen", "frozen, logistic", AUTO]
    start = ours.start()
    assert len(start) == 2 * BLOCKS
    assert all(part["lora_a"].shape == (16, RANK) and not part["lora_b"].any() for part in start.values())
    readings = {name: ours.read(0, name) for name in ours.names()}
    assert all(0 < reading.adapting < reading.seconds for reading in readings.values())
    episode, network = episodes[0], load_backbone(backbone)
    sides = (episode.support_x, episode.support_lengths), (episode.query_x, episode.query_lengths)
    support, query = (
        np.array(unit(network.pool(network.suffix(network.prefix(x, lengths, 3), None, 1.0, 3))))
        for x, lengths in sides
    )
    means = np.stack([support[episode.support_y == way].mean(axis=0) for way in range(5)])
    said = np.argmax(query @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T, axis=1)
    assert readings["frozen"].accuracy == np.mean(said == episode.query_y)
    assert readings[AUTO].accuracy in {readings["frozen"].accuracy, readings["frozen, logistic"].accuracy}
