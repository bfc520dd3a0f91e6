"""Tasks of kind generation through states, methods and the outer loop: what is learned is what comes after a prompt."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.adapters.lora import LoraConfig
from metapeft.embeddings.embedder import fit
from metapeft.heads import cross_entropy
from metapeft.meta.methods import Item, Setup, init_meta, method_named, path
from metapeft.meta.outer_loop import Outer, begin, item_of, items_at, outer_step, support_set
from metapeft.meta.readings import accuracies, random_curve
from metapeft.meta.run import learner_of
from metapeft.meta.states import PoolStates
from metapeft.meta.stream import EpisodeStream, Sizes, limited, sampler_of, too_long
from metapeft.mlx import mx, utils
from tests.meta.tiny import moved
from tests.meta.tiny_decoder import END, rows_of_targets, tiny_decoder, told_task

LORA = LoraConfig(rank=2, scale=2.0, num_layers=2)


def made(method: str = "maml", shift: int = 0, steps: int = 2):
    network, task = tiny_decoder(), told_task(shift=shift)
    setup = Setup(learner_of(network, LORA, "language", 1.0))
    states = PoolStates(network, setup.learner.depth)
    episode = sampler_of(task, 2, 4, 5).episode(3)
    item = item_of(episode, task, states, None)
    meta = init_meta(setup, method_named(method), LORA, steps, {"adapter": 0.1, "head": 0.1}, mx.random.key(0))
    return network, task, setup, states, episode, item, meta


def by_hand(network, task, rows, adapter) -> float:
    """Mean loss of the targets' tokens, text by text and token by token."""
    losses = []
    for row, target in zip(rows, rows_of_targets(task, rows), strict=True):
        prompt = task.support.x.row(int(row)).tolist()
        whole = np.array([prompt + target])
        hidden = network.suffix(network.prefix(whole, np.array([whole.shape[1]])), adapter, LORA.scale)
        logits = network.logits(hidden)[0, len(prompt) - 1 : -1]
        losses += (mx.logsumexp(logits, axis=-1) - logits[mx.arange(len(target)), mx.array(target)]).tolist()
    return float(np.mean(losses))


def test_the_loss_is_of_the_targets_tokens_and_their_end_and_of_nothing_else() -> None:
    network, task, setup, states, episode, item, _ = made()
    adapter = moved(network, LORA)
    said = [token for target in rows_of_targets(task, episode.support_rows) for token in target]
    assert np.array(item.support.labels).tolist() == said
    assert said.count(END) == 4
    loss = setup.learner.loss({"adapter": adapter, "head": {}}, item.support)
    assert float(loss) == pytest.approx(by_hand(network, task, episode.support_rows, adapter), abs=1e-5)


def test_features_for_the_embedding_are_one_a_row() -> None:
    network, task, _, states, episode, _, _ = made()
    frozen = states.features(task, "support", episode.support_rows)
    assert frozen.shape == (4, network.hidden_size)
    support = support_set(task, episode, frozen)
    assert (support.ways, support.labels.tolist()) == (1, [0, 0, 0, 0])
    embedding = fit([support], dims=8).embed(support)
    assert np.linalg.norm(embedding) == pytest.approx(1)


def test_inner_steps_lower_the_support_loss_and_leave_the_head_alone() -> None:
    network, task, setup, _, _, item, meta = made(steps=8)
    trees = path(setup, method_named("maml"), meta, item, 8)
    losses = [float(setup.learner.loss(tree, item.support)) for tree in trees]
    assert losses[-1] < losses[0] - 0.1
    assert all(tree["head"] == {} for tree in trees)


@pytest.mark.parametrize("method", ["maml", "protonet", "reptile", "multitask"])
def test_a_meta_gradient_is_finite_and_moves_the_base(method: str) -> None:
    *_, setup, _, _, item, meta = made(method)
    reading, gradient = method_named(method).gradient(setup, meta, item, 2 if method_named(method).steps else 0)
    assert np.isfinite(float(reading.query_loss))
    norm = sum(float(mx.sum(mx.abs(leaf))) for _, leaf in utils.tree_flatten(gradient["base"]))
    assert 0 < norm < np.inf


def test_the_gradient_without_steps_is_that_of_the_query_loss() -> None:
    *_, setup, _, _, item, meta = made("protonet")

    def loss(base):
        return cross_entropy(setup.learner.logits({"adapter": base, "head": {}}, item.query.hidden), item.query.labels)

    _, gradient = method_named("protonet").gradient(setup, meta, item, 0)
    wanted = mx.grad(loss)(meta["base"])
    for (name, first), (_, second) in zip(
        utils.tree_flatten(gradient["base"]), utils.tree_flatten(wanted), strict=True
    ):
        assert float(mx.max(mx.abs(first - second))) < 1e-5, name


def test_outer_steps_teach_what_tasks_have_in_common() -> None:
    network = tiny_decoder()
    setup = Setup(learner_of(network, LoraConfig(rank=8, scale=2.0, num_layers=2), "language", 1.0))
    tasks = [told_task("a"), told_task("b")]
    stream = EpisodeStream(tasks, Sizes(shots=(2,), query=12))
    states = PoolStates(network, setup.learner.depth)
    method, outer = method_named("protonet"), Outer(steps=60, batch=2, learning_rate=0.03, inner_steps=0)
    lora = LoraConfig(rank=8, scale=2.0, num_layers=2)
    state = begin(init_meta(setup, method, lora, 0, {"adapter": 0.1, "head": 0.1}, mx.random.key(0)))
    reports = []
    for step in range(outer.steps):
        state, report = outer_step(state, method, setup, outer, items_at(stream, states, None, outer, step))
        reports.append(report)
    assert np.mean([r.query_loss for r in reports[-5:]]) < 0.5 * np.mean([r.query_loss for r in reports[:5]])


def test_a_random_start_keeps_the_models_head() -> None:
    *_, setup, _, episode, item, meta = made()
    curve = random_curve(setup.learner, LORA, item, 2, episode.index)
    assert curve[0] == accuracies(setup, method_named("maml"), meta, item, 0)[0]  # B is zero in both
    assert len(curve) == 3


def test_what_is_cut_is_counted_and_the_rows_of_a_part_are_known() -> None:
    task = told_task(rows=30)
    assert too_long(task, 4) == (20, 0)  # a third of the prompts has five tokens
    assert too_long(task, None) == (0, 0)
    part = limited(task, 16)
    rows = part.support.rows
    assert rows is not None
    for place, row in enumerate(rows):
        assert part.support.x.row(place).tolist() == task.support.x.row(int(row)).tolist()  # type: ignore[union-attr]
    twice = limited(part, 8).support
    assert twice.rows is not None and set(twice.rows) <= set(rows)


def test_an_item_of_texts_has_no_names() -> None:
    *_, item, _ = made()
    assert isinstance(item, Item) and item.names is None and item.support.sentences is None
