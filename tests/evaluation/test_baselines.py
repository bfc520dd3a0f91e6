"""metapeft.evaluation.baselines: what each says of examples whose answer is known, and the cell that has them all."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metapeft.adapters.hypernetwork import hypernetwork_for
from metapeft.adapters.lora import LoraConfig, form, random_adapter
from metapeft.backbones.mlp import make_mlp
from metapeft.embeddings.embedder import fit
from metapeft.errors import MetapeftError
from metapeft.evaluation import baselines, tables
from metapeft.evaluation.bench import Opened, Sizes, cell_of, open_checkpoint
from metapeft.meta import checkpoint as checkpoints
from metapeft.meta.checkpoint import Checkpoint
from metapeft.meta.methods import Setup, init_meta, method_named
from metapeft.meta.outer_loop import begin, item_of, support_set
from metapeft.meta.readings import random_curve
from metapeft.meta.run import learner_of
from metapeft.meta.select import Prior
from metapeft.meta.states import PoolStates
from metapeft.meta.stream import sampler_of
from metapeft.mlx import mx, utils
from metapeft.tasks import NonLinearTaskGenerator
from tests.meta.tiny import tiny_bert
from tests.tasks.made_tasks import text_task

pytest.importorskip("sklearn")

LORA, MIX = LoraConfig(rank=2, num_layers=2), 0.5


def circle(degrees: list[float]) -> np.ndarray:
    """Points on the unit circle, float32 ``(n, 2)``."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_the_nearest_neighbour_is_that_of_the_smallest_angle() -> None:
    support, labels = circle([0, 90, 180]) * np.float32([[1], [100], [1]]), np.array([2, 0, 1])
    said = baselines.nearest_neighbour(support, labels, 7 * circle([40, 50, 130, 140, 300]))
    assert said.tolist() == [2, 0, 0, 1, 2]  # length says nothing
    twice = baselines.nearest_neighbour(circle([10, 10]), np.array([1, 0]), circle([0]))
    assert twice.tolist() == [1]


def test_a_head_draws_a_line_where_one_neighbour_errs() -> None:
    support, labels = circle([0, 10, 20, 62, 85, 95, 100, 105]), np.repeat([0, 1], 4)
    query = circle([0, 70, 110])
    assert baselines.head_only(support, labels, query).tolist() == [0, 1, 1]
    assert baselines.nearest_neighbour(support, labels, query).tolist() == [0, 0, 1]


def test_a_head_of_several_classes_gives_their_labels() -> None:
    labels = np.array([2, 0, 1])
    said = baselines.head_only(circle([0, 120, 240]), labels, circle([5, 115, 250]))
    assert said.tolist() == labels.tolist()


def texts(*rows: list[int]) -> list[np.ndarray]:
    return [np.array(row, np.int32) for row in rows]


def test_tf_idf_reads_words_of_one_digit_and_their_order() -> None:
    labels = np.array([1, 0])
    said = baselines.tf_idf(texts([7, 3, 9], [7, 5, 9]), labels, texts([9, 3], [5, 7]))
    assert said.tolist() == [1, 0]
    # the same words in both classes: only pairs of them differ
    ordered = baselines.tf_idf(texts([4, 5, 6], [6, 5, 4]), labels, texts([5, 6, 4], [6, 5, 4], [5, 6], [6, 5]))
    assert ordered.tolist()[1:] == [0, 1, 0]


def test_tf_idf_knows_the_support_set_alone() -> None:
    """Were words weighed by the query texts too, a word that is rare among them would decide between equals."""
    support, labels = texts([3], [5]), np.array([1, 0])
    said = [baselines.tf_idf(support, labels, texts([3, 5], *[[often]] * 6)) for often in (3, 5)]
    assert said[0][0] == said[1][0]
    assert [each[1] for each in said] == [1, 0]


def test_without_scikit_learn_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(MetapeftError, match=r"metapeft\[eval\]"):
        baselines.head_only(circle([0, 90]), np.array([0, 1]), circle([0]))


@pytest.mark.parametrize("term", ["diag", "full"])
def test_the_mean_adapter_is_the_mean_of_each_factor(term: Any) -> None:
    network = make_mlp(2, 8, 3)
    hypernetwork = hypernetwork_for(network, LORA, 4, term)
    base = shaken(random_adapter(network, LORA, mx.random.key(0)))
    generator = shaken(hypernetwork.init(mx.random.key(1)))
    library = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    mean = baselines.mean_adapter(hypernetwork, generator, base, library)
    each = [hypernetwork.adapter(generator, base, mx.array(row)) for row in library]
    assert form(mean) == form(base)
    for path, factors in mean.items():
        for name, factor in factors.items():
            expected = np.mean([np.array(adapter[path][name]) for adapter in each], axis=0)
            np.testing.assert_allclose(np.array(factor), expected, atol=1e-5)
    moved = next(iter(mean))
    assert not np.allclose(np.array(mean[moved]["lora_b"]), np.array(each[0][moved]["lora_b"]), atol=1e-3)


def shaken(tree: Any) -> Any:
    """Parameters that do something."""
    keys = iter(mx.random.split(mx.random.key(7), 400))
    return utils.tree_map(lambda leaf: leaf + 0.3 * mx.random.normal(leaf.shape, key=next(keys)), tree)


# --- in a cell ----------------------------------------------------------------------------------


def opened(folder: Path, method: str = "hypernetwork", wanted: bool = True) -> Opened:
    """A checkpoint for a tiny encoder whose parameters do something; its library has six episodes of texts."""
    backbone, task, chosen = tiny_bert(), text_task(), method_named(method)
    shape = {"dims": 8, "term": "full", "width": 8, "rate_steps": 0} if "generator" in chosen.learns else None
    facts = {"method": method, "lora": asdict(LORA), "hypernetwork": shape, "head": "cosine", "mix": MIX}
    learner = learner_of(backbone, LORA, "cosine", MIX)
    setup = Setup(learner, checkpoints.hypernetwork_of(facts, backbone))
    meta = shaken(init_meta(setup, chosen, LORA, 1, {"adapter": 0.1, "head": 0.1}, mx.random.key(0)))
    states, supports = PoolStates(backbone, learner.depth), []
    for episode in sampler_of(task, 3, 2, 2).episodes(0, 6):
        supports.append(support_set(task, episode, states.features(task, "support", episode.support_rows)))
    embedder = fit(supports, dims=8) if shape else None
    library = np.stack([embedder.embed(support) for support in supports]) if embedder else np.zeros((0, 0), np.float32)
    facts |= {"max_tokens": 16, "library": ["text"] * len(library)}
    checkpoints.save(folder / "c", Checkpoint(begin(meta), embedder, library, facts), backbone)
    return open_checkpoint(str(folder / "c"), backbone, baselines=wanted)


def test_a_cell_has_every_baseline_on_the_first_episodes_and_the_rest_as_without(tmp_path: Path) -> None:
    read, task, prior = opened(tmp_path), text_task(), Prior(0.0, {})
    sizes = Sizes(ways=3, query=4, episodes=3, control_episodes=2, random_steps=3)
    with_them = cell_of(read, task, 4, sizes._replace(baselines=True), prior)
    without = cell_of(opened(tmp_path, wanted=False), task, 4, sizes, prior)
    new = {*tables.BASELINES, "mean adapter, mix 0.5"}
    assert set(with_them["accuracy"]) - set(without["accuracy"]) == new
    assert {len(with_them["accuracy"][name]) for name in new} == {2}
    # "random" is read off a longer curve, and is the same to the last bit
    assert {name: with_them["accuracy"][name] for name in without["accuracy"]} == without["accuracy"]
    assert with_them["macro_f1"] == without["macro_f1"]
    assert set(baselines.FINE_TUNE) < set(tables.BASELINES)
    assert with_them["accuracy"]["tf-idf"] == pytest.approx([1, 1], abs=0.3)  # a token says the class
    shown = tables.columns([with_them], MIX)
    assert set(shown) >= new
    assert not new & set(tables.columns([without], MIX))


def test_the_mean_adapter_is_read_as_a_base_of_its_own(tmp_path: Path) -> None:
    """A library of equal rows has one adapter, which is that of every episode with this embedding."""
    read = opened(tmp_path)
    row = read.checkpoint.library[0]
    generator = read.meta["generator"]
    assert read.averaged is not None
    assert read.averaged["head"] is read.meta["head"]
    alike = baselines.mean_adapter(read.setup.hypernetwork, generator, read.meta["base"], np.stack([row, row]))
    task, sizes = text_task(), Sizes(ways=3, query=4, episodes=2, control_episodes=2, baselines=True)
    alike_only = read._replace(averaged=read.meta | {"base": alike})
    checkpoint = read.checkpoint._replace(library=row[None])  # so that the stranger's embedding is this one
    accuracy = cell_of(alike_only._replace(checkpoint=checkpoint), task, 2, sizes, Prior(0.0, {}))["accuracy"]
    assert accuracy["mean adapter, mix 0.5"] == accuracy["shuffled, mix 0.5"]
    assert accuracy["mean adapter, mix 0.5"] != accuracy["static, mix 0.5"]


def test_padding_is_no_word() -> None:
    task = text_task()
    episode = sampler_of(task, 3, 4, 4).episodes(0, 1)[0]
    item = item_of(episode, task, PoolStates(tiny_bert(), 1), None)
    padded = np.arange(episode.support_x.shape[1]) >= episode.support_lengths[:, None]
    assert padded.any()
    misleading = 10 + (episode.support_y + 1)[:, None] % 3  # tokens that say a class
    filled = replace(episode, support_x=np.where(padded, misleading, episode.support_x))
    assert baselines.without_steps(item, filled) == baselines.without_steps(item, episode)


def test_without_a_generator_or_texts_there_is_no_mean_adapter_and_no_tf_idf(tmp_path: Path) -> None:
    assert opened(tmp_path, "protonet").averaged is None
    network = make_mlp(2, 8, 3)
    task = NonLinearTaskGenerator("spirals").generate_task(noise_level=0.1)
    episode = sampler_of(task, 2, 3, 4).episodes(0, 1)[0]
    item = item_of(episode, task, PoolStates(network, 1), None)
    assert set(baselines.without_steps(item, episode)) == {"head only", "nearest neighbour"}


def test_the_value_with_the_highest_mean_is_chosen_and_the_default_of_equals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accuracies are made up, so that the best value of each method is known."""
    best = {"head only": 10.0, "random": 0.003, "fine-tune, 10 steps": 0.03}  # of the others all are equal

    def said(chosen: Any, names: Any, number: int) -> dict[str, float]:
        assert len(set(chosen.values())) == 1  # one value at a time
        return {n: 0.5 + 0.2 * number + 0.1 * (chosen.get(n) == best.get(n, 0)) for n in names}

    monkeypatch.setattr(
        baselines, "without_steps", lambda item, episode, chosen: said(chosen, ["head only", "tf-idf", "nearest"], item)
    )
    monkeypatch.setattr(
        baselines, "from_random", lambda learner, lora, item, number, steps, chosen: said(chosen, steps, item)
    )
    task = text_task()
    episodes: Any = enumerate(sampler_of(task, 3, 4, 4).episodes(0, 2))
    lines = {line["method"]: line for line in baselines.tuned(episodes, None, LORA, 5)}  # pyrefly: ignore
    assert {name: line["chosen"] for name, line in lines.items()} == {**baselines.UNTUNED, **best}
    tried = dict(lines["head only"]["tried"])
    assert tried == pytest.approx({1.0: 0.6, 0.1: 0.6, 10.0: 0.7})
    assert {line["parameter"] for line in lines.values()} == {"C", "learning rate"}


def test_each_baseline_is_run_at_what_was_chosen_for_it(tmp_path: Path) -> None:
    read, task = opened(tmp_path), text_task()
    sizes = Sizes(ways=3, query=4, episodes=2, control_episodes=2, baselines=True)
    plain = cell_of(read, task, 2, sizes, Prior(0.0, {}))["accuracy"]
    asked = baselines.UNTUNED | {"random": 0.9, "head only": 1e-9}  # pyrefly: ignore
    other = cell_of(read, task, 2, sizes._replace(tuned=asked), Prior(0.0, {}))["accuracy"]
    assert {name for name in plain if plain[name] != other[name]} <= {"random", "head only"}
    assert plain["random"] != other["random"]
    episode = sampler_of(task, 3, 2, 4).episodes(0, 1)[0]
    item = item_of(episode, task, read.states, None)
    learner = read.setup.learner
    steps, rates = {"a": 2, "b": 6, "c": 4}, {"a": 0.3, "b": 0.01, "c": 0.3}
    said = baselines.from_random(learner, read.lora, item, 7, steps, rates)
    assert said == {
        name: random_curve(learner, read.lora, item, steps[name], 7, rates[name])[-1] for name in ("a", "b", "c")
    }
    assert baselines.steps_from_random(steps, rates) == 4 + 6  # a is read off the curve of c
    starts = [random_curve(learner, read.lora, item, 3, number) for number in (7, 7, 8)]
    assert starts[0] == starts[1] != starts[2]
