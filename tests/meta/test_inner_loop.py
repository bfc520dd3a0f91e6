import numpy as np
import pytest

from metapeft.adapters.lora import LoraConfig, first_layer, random_adapter
from metapeft.backbones.encoder import Encoded
from metapeft.episodes import EpisodeSampler
from metapeft.errors import AdaptationError, EpisodeError
from metapeft.heads import cosine_head, cross_entropy, linear_head, ridge_head
from metapeft.meta import inner_loop
from metapeft.meta.inner_loop import Examples, Learner, Trace, adapt, adapted_loss, episode_hidden
from metapeft.meta.learner import adam, learned_rates, positive, rates_for, sgd
from metapeft.meta.prefix_cache import PrefixCache
from metapeft.mlx import mx, utils
from metapeft.tasks import NonLinearTaskGenerator, TaskDistribution
from tests.adapters.toy import ToyBackbone
from tests.meta.tiny import leaves, moved, tiny_bert
from tests.tasks.made_tasks import text_task

LAST_TWO = LoraConfig(rank=2, num_layers=2)


def points_episode(index=0, shots=5):
    task = NonLinearTaskGenerator("circles", input_dim=6).generate_task(noise_level=0.05)
    return EpisodeSampler(TaskDistribution([task]), shots, 20).episode(index)


def toy(dtype=mx.float32, seed=0):
    """A backbone for points, an adapter that does something, support and query examples, in one dtype."""
    backbone = ToyBackbone(seed=seed)
    backbone.weights = {path: (0.5 * weight).astype(dtype) for path, weight in backbone.weights.items()}
    adapter = utils.tree_map(lambda x: x.astype(dtype), moved(backbone, LAST_TWO))
    episode = points_episode()
    sides = ((episode.support_x, episode.support_y), (episode.query_x, episode.query_y))
    depth = first_layer(backbone, adapter)
    support, query = (Examples(backbone.prefix(mx.array(x).astype(dtype), None, depth), mx.array(y)) for x, y in sides)
    return backbone, adapter, support, query


def text(seed=0):
    """A tiny encoder, an adapter that does something, support and query examples."""
    backbone = tiny_bert()
    adapter = moved(backbone, LAST_TWO)
    episode = EpisodeSampler(TaskDistribution([text_task()]), 3, 9, seed=seed).episode(0)
    return backbone, adapter, *episode_hidden(backbone, episode, first_layer(backbone, adapter))


def equal(one, other):
    return all(mx.array_equal(a, b).item() for a, b in zip(leaves(one), leaves(other), strict=True))


def learner_of(backbone, adapter, head=None, scale=1.0):
    return Learner(backbone, head or cosine_head(), scale, first_layer(backbone, adapter))


# --- what adapt() does


@pytest.mark.parametrize("make", [toy, text])
def test_no_steps_is_the_head_on_the_features_as_they_are(make):
    backbone, adapter, support, query = make()
    depth = first_layer(backbone, adapter)
    ways = int(mx.max(support.labels).item()) + 1
    adapted = adapt(backbone, adapter, cosine_head(), support, 0, scale=1.5)

    def features(hidden):
        return backbone.pool(backbone.suffix(hidden, adapter, 1.5, depth))

    head = cosine_head().init(features(support.hidden), support.labels, ways)
    np.testing.assert_allclose(
        adapted.predict(query.hidden), cosine_head().logits(head, features(query.hidden)), atol=1e-5
    )
    assert equal(adapted.adapter, adapter)
    assert adapted.trace.gradient_steps == 0


@pytest.mark.parametrize("make", [toy, text])
@pytest.mark.parametrize(("optimizer", "rate"), [(sgd(), 0.2), (adam(), 0.02)], ids=["sgd", "adam"])
def test_steps_lower_the_support_loss_and_change_everything(make, optimizer, rate):
    backbone, adapter, support, query = make()
    adapted = adapt(backbone, adapter, cosine_head(), support, 8, rate, query=query, optimizer=optimizer)
    losses = adapted.trace.support_loss
    assert losses[-1] < 0.98 * losses[0]
    assert adapted.trace.adaptation_speed == pytest.approx((losses[0] - losses[-1]) / 8)
    assert adapted.trace.adaptation_speed > 0
    assert not any(mx.array_equal(a, b).item() for a, b in zip(leaves(adapted.adapter), leaves(adapter), strict=True))


def test_the_first_step_is_gradient_descent():
    backbone, adapter, support, _ = text()
    learner = learner_of(backbone, adapter, scale=2.0)
    start = learner.start(adapter, support, 3)
    gradient = mx.grad(learner.loss)(start, support)
    adapted = adapt(backbone, adapter, cosine_head(), support, 1, {"adapter": 0.5, "head": 2.0}, scale=2.0)
    for branch, rate, found in (("adapter", 0.5, adapted.adapter), ("head", 2.0, adapted.head)):
        expected = utils.tree_map(lambda p, g, rate=rate: p - rate * g, start[branch], gradient[branch])
        for ours, theirs in zip(leaves(found), leaves(expected), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_rates_of_single_steps():
    """A rate of zero in one step is as if that step were not there."""
    backbone, adapter, support, _ = toy()
    three = adapt(backbone, adapter, cosine_head(), support, 3, {"adapter": [0.1, 0.0, 0.3], "head": [1.0, 0.0, 0.5]})
    two = adapt(backbone, adapter, cosine_head(), support, 2, {"adapter": [0.1, 0.3], "head": [1.0, 0.5]})
    assert equal(three.adapter, two.adapter) and equal(three.head, two.head)


@pytest.mark.parametrize("make", [toy, text])
def test_the_same_arguments_give_the_same_bits(make):
    results = []
    for _ in range(2):
        backbone, adapter, support, query = make()
        results.append(adapt(backbone, adapter, cosine_head(), support, 4, 0.1, query=query))
    one, other = results
    assert equal(one.adapter, other.adapter) and equal(one.head, other.head)
    assert one.trace.support_loss == other.trace.support_loss
    assert one.trace.query_loss == other.trace.query_loss


@pytest.mark.parametrize("make", [toy, text])
def test_the_query_set_changes_nothing(make):
    backbone, adapter, support, query = make()
    other = Examples(query.hidden, (query.labels + 1) % 2)
    runs = [adapt(backbone, adapter, cosine_head(), support, 4, 0.1, query=q) for q in (None, query, other)]
    for run in runs[1:]:
        assert equal(run.adapter, runs[0].adapter) and equal(run.head, runs[0].head)
    assert runs[1].trace.query_loss != runs[2].trace.query_loss


def test_the_arguments_stay_as_they_were():
    backbone, adapter, support, _ = toy()
    before = [np.array(leaf) for leaf in leaves(adapter)]
    adapt(backbone, adapter, cosine_head(), support, 3, 0.5)
    for leaf, was in zip(leaves(adapter), before, strict=True):
        np.testing.assert_array_equal(np.array(leaf), was)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_trace(steps):
    backbone, adapter, support, query = toy()
    trace = adapt(backbone, adapter, cosine_head(), support, steps, 0.1).trace
    assert (len(trace.support_loss), trace.query_loss, trace.query_accuracy) == (steps, (), ())
    adapted = adapt(backbone, adapter, cosine_head(), support, steps, 0.1, query=query)
    full = adapted.trace
    assert len(full.support_loss) == len(full.query_loss) == len(full.query_accuracy) == steps + 1
    np.testing.assert_allclose(full.support_loss[:steps], trace.support_loss, rtol=1e-6)
    logits = adapted.predict(query.hidden)
    assert full.query_loss[-1] == pytest.approx(cross_entropy(logits, query.labels).item(), rel=1e-5)
    right = np.argmax(np.array(logits), axis=1) == np.array(query.labels)
    assert full.query_accuracy[-1] == pytest.approx(right.mean())
    assert full.gradient_steps == trace.gradient_steps == steps
    assert full.seconds > 0


@pytest.mark.parametrize("read_after", [[], [0], [1, 3], [3, 0]])
def test_the_query_set_is_read_after_the_named_steps_only(read_after):
    backbone, adapter, support, query = toy()
    every = adapt(backbone, adapter, cosine_head(), support, 3, 0.1, query=query)
    some = adapt(backbone, adapter, cosine_head(), support, 3, 0.1, query=query, read_after=read_after)
    for curve in ("query_loss", "query_accuracy"):
        assert getattr(some.trace, curve) == tuple(getattr(every.trace, curve)[i] for i in sorted(read_after))
    assert some.trace.support_loss == every.trace.support_loss
    assert equal(some.adapter, every.adapter) and equal(some.head, every.head)


def test_a_step_that_is_not_taken_cannot_be_read_after():
    backbone, adapter, support, query = toy()
    with pytest.raises(AdaptationError, match=r"read_after: \[-1, 4\] are none of the steps 0 to 3"):
        adapt(backbone, adapter, cosine_head(), support, 3, 0.1, query=query, read_after=[4, 0, -1])


@pytest.mark.parametrize("stranger", [-1, 2])
def test_query_labels_outside_the_ways_are_refused(stranger):
    backbone, adapter, support, query = toy()
    labels = np.array(query.labels)
    labels[3] = stranger
    with pytest.raises(EpisodeError, match=rf"query labels \[{stranger}\] are none of the 2 classes 0 to 1"):
        adapt(backbone, adapter, cosine_head(), support, 1, 0.1, query=query._replace(labels=mx.array(labels)))


def test_adaptation_speed():
    def speed(*losses):
        return Trace(losses, (), (), len(losses), 1.0, 0).adaptation_speed

    assert speed(3.0, 2.5, 1.0) == 1.0
    assert speed(1.0, 2.0) == -1.0
    assert speed(3.0) == speed() == 0.0


def test_a_second_episode_of_the_same_shape_is_not_traced_again():
    class Counting(ToyBackbone):
        suffixes = 0

        def suffix(self, *arguments):
            Counting.suffixes += 1
            return super().suffix(*arguments)

    backbone = Counting()
    adapter = moved(backbone, LAST_TWO)
    for index in range(3):
        support, _ = episode_hidden(backbone, points_episode(index), first_layer(backbone, adapter))
        before = Counting.suffixes
        adapt(backbone, adapter, cosine_head(), support, 3, 0.1)
        calls = Counting.suffixes - before
        assert calls == (2 if index == 0 else 1)  # the head's, and the step's while it is traced


def test_memory_does_not_grow_with_the_steps():
    backbone, adapter, support, query = text()

    learner = learner_of(backbone, adapter)
    start = learner.start(adapter, support, 3)

    def peak(steps):
        before = mx.get_active_memory()
        return adapt(backbone, adapter, cosine_head(), support, steps, 0.01).trace.peak_memory_bytes - before

    def unrolled_peak(steps):
        rates = rates_for(start, steps, 0.01)
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        mx.eval(mx.grad(lambda a: adapted_loss(learner, a, support, query, 3, rates, 2))(adapter))
        return mx.get_peak_memory() - before

    mx.eval(mx.zeros(5_000_000))  # a peak of long ago is none of the loop's
    assert peak(1) < 5_000_000  # this one also compiles
    one, twenty = peak(1), peak(20)
    assert support.hidden.states.nbytes < one
    assert twenty < 1.5 * one
    assert unrolled_peak(20) > 3 * unrolled_peak(1)  # the measure does see memory that grows


def test_only_the_head():
    """Without an adapter the backbone is the frozen prefix of everything: a baseline."""
    backbone, _, support, query = text()
    whole = tuple(Examples(backbone.suffix(side.hidden, None, 1.0, 1), side.labels) for side in (support, query))
    adapted = adapt(backbone, {}, cosine_head(), whole[0], 5, 0.5, query=whole[1])
    assert isinstance(whole[0].hidden, Encoded) and whole[0].hidden.projected is None
    assert adapted.adapter == {}
    assert adapted.trace.support_loss[-1] < adapted.trace.support_loss[0]


@pytest.mark.parametrize("head", [cosine_head(), ridge_head(), linear_head()], ids=["cosine", "ridge", "linear"])
def test_any_head(head):
    backbone, adapter, support, _ = text()
    adapted = adapt(backbone, adapter, head, support, 4, 0.05, query=support)
    assert adapted.trace.support_loss[-1] < adapted.trace.support_loss[0]
    assert adapted.trace.support_loss == pytest.approx(adapted.trace.query_loss, rel=1e-5)


def test_names_of_classes_stand_in_for_examples():
    backbone, adapter, support, query = text()
    depth = first_layer(backbone, adapter)
    tokens = np.array([[5, 9, 0], [7, 3, 2], [9, 9, 4]], np.int32)
    names = backbone.prefix(tokens, np.array([2, 3, 3]), depth)
    some = Examples(support.hidden, mx.zeros_like(support.labels))  # classes 1 and 2 have no example
    adapted = adapt(backbone, adapter, cosine_head(), some, 0, ways=3, label_hidden=names)
    assert adapted.predict(query.hidden).shape == (9, 3)
    named = adapt(backbone, adapter, cosine_head(), support, 0, ways=3, label_hidden=names)
    plain = adapt(backbone, adapter, cosine_head(), support, 0, ways=3)
    assert not np.allclose(named.predict(query.hidden), plain.predict(query.hidden), atol=1e-3)


def test_meta_learned_scalars_of_the_head():
    backbone, adapter, support, query = toy()
    meta = cosine_head().default_meta() | {"log_temperature": mx.log(mx.array(20.0))}
    hot = adapt(backbone, adapter, cosine_head(), support, 0, meta=meta)
    plain = adapt(backbone, adapter, cosine_head(), support, 0)
    np.testing.assert_allclose(hot.predict(query.hidden), 2 * plain.predict(query.hidden), rtol=1e-4, atol=1e-4)


# --- mistakes, and numbers that are none


def test_steps_below_zero():
    backbone, adapter, support, _ = toy()
    with pytest.raises(AdaptationError, match="steps must be 0 or more, got -1"):
        adapt(backbone, adapter, cosine_head(), support, -1)


def test_wrong_rates_are_refused_before_the_first_step():
    backbone, adapter, support, _ = toy()
    with pytest.raises(AdaptationError, match=r"learning_rates.head.\w+: shape \(2,\), expected \(\) or \(3,\)"):
        adapt(backbone, adapter, cosine_head(), support, 3, {"adapter": 0.1, "head": [0.1, 0.1]})


@pytest.mark.parametrize(
    ("labels", "ways", "message"),
    [
        ([0, 1, 2, 1, 0, 1, 0, 1, 0, 1], 2, r"support labels \[2\] are none of the 2 classes"),
        ([-1, 1, 0, 1, 0, 1, 0, 1, 0, 1], None, r"support labels \[-1\]"),
        ([0, 2] * 5, None, r"classes \[1\] of 3 have no example"),
        ([0, 1] * 5, 4, r"classes \[2, 3\] of 4 have no example"),
    ],
    ids=["too high", "negative", "gap", "more ways"],
)
def test_wrong_labels(labels, ways, message):
    backbone, adapter, support, _ = toy()
    with pytest.raises(EpisodeError, match=message):
        adapt(backbone, adapter, cosine_head(), Examples(support.hidden, mx.array(labels)), 1, ways=ways)


def with_nan(adapter):
    path = next(iter(adapter))
    factors = adapter[path]
    return adapter | {path: factors | {"lora_b": mx.full(factors["lora_b"].shape, float("nan"))}}


@pytest.mark.parametrize("has_query", [False, True])
@pytest.mark.parametrize(
    ("steps", "rate", "broken"),
    [(3, 1e30, False), (2, 0.1, True), (0, 0.1, True)],
    ids=["far too fast", "adapter", "adapter, no step"],
)
def test_what_is_no_number_stops_with_the_name_of_the_episode(has_query, steps, rate, broken):
    backbone, adapter, support, query = text()
    with pytest.raises(
        AdaptationError, match=r"episode toy/17: .* after \d gradient steps\n  lower the learning rates"
    ):
        adapt(
            backbone,
            with_nan(adapter) if broken else adapter,
            cosine_head(),
            support,
            steps,
            rate,
            query=query if has_query else None,
            name="toy/17",
        )


def test_the_last_step_is_looked_at_too():
    """No support loss is read after it unless there is a query set."""
    backbone, adapter, support, _ = toy()
    steep = utils.tree_map_with_path(lambda path, x: mx.zeros_like(x) if path.endswith("lora_b") else 1e4 * x, adapter)
    with pytest.raises(AdaptationError, match="episode last: adapter.*lora_b is not finite after 1 gradient steps"):
        adapt(backbone, steep, cosine_head(), support, 1, 3e38, name="last")


def test_without_a_name_none_is_made_up():
    backbone, adapter, support, _ = toy()
    with pytest.raises(AdaptationError, match=r"^the support loss is nan after 0 gradient steps"):
        adapt(backbone, with_nan(adapter), cosine_head(), support, 1)


# --- what an outer loop differentiates


@pytest.mark.parametrize("make", [toy, text])
@pytest.mark.parametrize("optimizer", [sgd(), adam()], ids=["sgd", "adam"])
@pytest.mark.parametrize("order", [1, 2])
def test_adapted_loss_is_what_adapt_ends_with(make, optimizer, order):
    backbone, adapter, support, query = make()
    learner = learner_of(backbone, adapter)
    ways = int(mx.max(support.labels).item()) + 1
    start = learner.start(adapter, support, ways)
    given = {"adapter": [0.02, 0.01, 0.03], "head": 0.05}
    ended = adapt(backbone, adapter, cosine_head(), support, 3, given, query=query, optimizer=optimizer)
    rates = rates_for(start, 3, given)
    loss = adapted_loss(learner, adapter, support, query, ways, rates, order, optimizer=optimizer)
    assert loss.item() == pytest.approx(ended.trace.query_loss[-1], rel=1e-4)
    without = adapted_loss(learner, adapter, support, query, ways, [])
    assert without.item() == pytest.approx(ended.trace.query_loss[0], rel=1e-5)


@pytest.fixture
def in_float64():
    """Finite differences need digits; only the CPU has them."""
    with mx.stream(mx.cpu):
        yield toy(mx.float64)


def directional(function, tree, seed=0, step=1e-2):
    """The derivative of a function along a random direction by central differences, and that direction.

    Fourth order, with wide steps: MLX computes exp to 1e-7 only, in float64 too.
    """
    rng = np.random.default_rng(seed)
    direction = utils.tree_map(lambda x: mx.array(0.3 * rng.normal(size=x.shape), mx.float64), tree)

    def at(times):
        return function(utils.tree_map(lambda x, d: x + times * step * d, tree, direction)).item()

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step), direction


def dot(one, other):
    return sum(mx.sum(a * b).item() for a, b in zip(leaves(one), leaves(other), strict=True))


# With its own eps Adam's first step is the sign of the gradient, which has no derivative to compare with.
@pytest.mark.parametrize("optimizer", [sgd(), adam(0.8, 0.9, 0.3)], ids=["sgd", "adam"])
def test_second_order_against_finite_differences(in_float64, optimizer):
    backbone, adapter, support, query = in_float64
    learner = learner_of(backbone, adapter)
    log_rates = utils.tree_map(
        lambda x: x.astype(mx.float64),
        learned_rates(learner.start(adapter, support, 2), 2, {"adapter": 0.3, "head": 0.5}),
    )

    def loss(trained, order=2):
        rates = rates_for(log_rates, 2, positive(trained["log_rates"]))
        return adapted_loss(learner, trained["adapter"], support, query, 2, rates, order, optimizer=optimizer)

    trained = {"adapter": adapter, "log_rates": log_rates}
    gradient = mx.grad(loss)(trained)
    first_order = mx.grad(lambda t: loss(t, 1))(trained)
    for part in trained:
        for seed in range(3):
            expected, direction = directional(lambda x, part=part: loss(trained | {part: x}), trained[part], seed)
            assert dot(gradient[part], direction) == pytest.approx(expected, rel=2e-4, abs=2e-5)
            assert abs(dot(first_order[part], direction) - expected) > 2e-3 * abs(expected)


def test_first_order_is_the_gradient_after_the_steps(in_float64):
    """By hand: steps are constants, so what moves the loss is the start itself, and the head that is made from it."""
    backbone, adapter, support, query = in_float64
    learner = learner_of(backbone, adapter)
    rates = rates_for(learner.start(adapter, support, 2), 3, 0.3)
    found = mx.grad(lambda a: adapted_loss(learner, a, support, query, 2, rates, 1))(adapter)

    params = learner.start(adapter, support, 2)
    for rate in rates:
        params = utils.tree_map(lambda p, g, r: p - r * g, params, mx.grad(learner.loss)(params, support), rate)
    after = mx.grad(learner.loss)(params, query)

    def made(start):
        """The head as a number whose gradient is that of the loss through the head."""
        head = learner.start(start, support, 2)["head"]
        return mx.sum(head["weight"] * after["head"]["weight"]) + mx.sum(head["bias"] * after["head"]["bias"])

    through_head = mx.grad(made)(adapter)
    for ours, direct, indirect in zip(leaves(found), leaves(after["adapter"]), leaves(through_head), strict=True):
        np.testing.assert_allclose(np.array(ours), np.array(direct + indirect), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_reach_everything_an_outer_loop_learns(order):
    backbone, adapter, support, query = text()
    learner = learner_of(backbone, adapter)
    trained = {
        "adapter": adapter,
        "log_rates": learned_rates(learner.start(adapter, support, 3), 2, 0.05),
        "meta": cosine_head().default_meta(),
    }

    def loss(trained):
        rates = rates_for(trained["log_rates"], 2, positive(trained["log_rates"]))
        return adapted_loss(learner, trained["adapter"], support, query, 3, rates, order, meta=trained["meta"])

    gradient = mx.grad(loss)(trained)
    del gradient["meta"]["log_name_weight"]  # there are no names here
    for path, leaf in utils.tree_flatten(gradient):
        assert mx.all(mx.isfinite(leaf)).item(), path
        assert mx.any(leaf != 0).item(), path
    assert all(leaf.shape == (2,) for leaf in leaves(gradient["log_rates"]))


def test_adapted_loss_refuses_other_orders():
    backbone, adapter, support, query = toy()
    with pytest.raises(AdaptationError, match="order must be 1"):
        adapted_loss(learner_of(backbone, adapter), adapter, support, query, 2, [], 3)


# --- from a sampler to predictions


def test_points_from_a_sampler_to_predictions():
    """The steps help, on rings that no line parts."""
    backbone = ToyBackbone(blocks=2)
    adapter = random_adapter(backbone, LoraConfig(rank=4, num_layers=2, keys=["mlp.up", "mlp.down"]), mx.random.key(0))
    before, after = [], []
    for index in range(5):
        support, query = episode_hidden(backbone, points_episode(index, shots=40), first_layer(backbone, adapter))
        assert support.hidden.shape == (80, 6) and query.hidden.shape == (20, 6)
        trace = adapt(backbone, adapter, cosine_head(), support, 30, 0.05, query=query, optimizer=adam()).trace
        before.append(trace.query_accuracy[0])
        after.append(trace.query_accuracy[-1])
        assert trace.support_loss[-1] < trace.support_loss[0]
    assert np.mean(after) > np.mean(before) + 0.15


def test_text_from_a_sampler_to_predictions():
    """With the cache and without."""
    backbone = tiny_bert()
    adapter = random_adapter(backbone, LAST_TWO, mx.random.key(0))
    depth = first_layer(backbone, adapter)
    cache = PrefixCache(backbone, depth, 1 << 20)
    sampler = EpisodeSampler(TaskDistribution([text_task()]), 5, 9, n_way=2)
    for episode in sampler.sample_batch(3):
        runs = []
        for memory in (None, cache):
            support, query = episode_hidden(backbone, episode, depth, memory)
            runs.append(adapt(backbone, adapter, cosine_head(), support, 10, 0.02, query=query, optimizer=adam()))
        plain, cached = (run.trace for run in runs)
        assert plain.support_loss[-1] < 0.7 * plain.support_loss[0]
        np.testing.assert_allclose(cached.support_loss, plain.support_loss, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(cached.query_loss, plain.query_loss, rtol=1e-3, atol=1e-4)


def test_random_heads_share_one_compiled_step() -> None:
    backbone = tiny_bert()
    adapter = random_adapter(backbone, LoraConfig(rank=2, num_layers=1), mx.random.key(0))
    x = np.random.default_rng(0).integers(1, 40, (4, 6))
    support = Examples(backbone.prefix(x, None, first_layer(backbone, adapter)), mx.array([0, 1, 0, 1]))
    before = inner_loop._compiled_step.cache_info().misses
    for seed in range(3):
        adapt(backbone, adapter, linear_head(mx.random.key(seed)), support, 1)
    assert inner_loop._compiled_step.cache_info().misses == before + 1
