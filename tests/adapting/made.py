"""A start on nano whose learned parts do something, and labelled texts to adapt to."""

from __future__ import annotations

from functools import cache

import numpy as np

from metapeft.adapters.hypernetwork import hypernetwork_for
from metapeft.adapters.lora import LoraConfig
from metapeft.adapting.starts import NO_PRIOR, Start, open_start
from metapeft.backbones.backbone import Backbone
from metapeft.backbones.load import load_backbone
from metapeft.embeddings.embedder import fit
from metapeft.embeddings.support import SupportSet
from metapeft.episodes.episode import Sentences
from metapeft.meta.detector import Detector
from metapeft.meta.methods import Setup, init_meta, method_named
from metapeft.meta.prior import Prior
from metapeft.meta.run import learner_of
from metapeft.meta.select import Candidate, candidates_of
from metapeft.mlx import mx, utils
from metapeft.tokenization.tokenizer import load_tokenizer

WORDS = {
    "food": ["soup", "bread", "cheese", "apple", "dinner", "cook", "kitchen", "taste", "salt", "oven"],
    "sport": ["goal", "match", "team", "player", "score", "league", "coach", "ball", "stadium", "win"],
    "money": ["bank", "loan", "credit", "price", "market", "stock", "cash", "debt", "invoice", "tax"],
}
FRAMES = [["we", "talked", "about"], ["they", "said", "that"], ["it", "was", "with"], ["nobody", "wanted", "the"]]
TRANSITIONS = np.array([[0.8, 0.0, 0.2], [0.8, 0.0, 0.2], [0.6, 0.35, 0.05], [0.8, 0.0, 0.2]])
LORA = LoraConfig(rank=2, scale=2.0, num_layers=1)


@cache
def nano() -> Backbone:
    """The embedded network, loaded once."""
    return load_backbone("nano")


def texts_about(labels: list[str], seed: int = 0) -> list[str]:
    """A text of five words for each label."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS[label], 5, replace=False)) for label in labels]


def made_start(head: str = "cosine", method: str = "hypernetwork") -> Start:
    """As `open_start` gives it for a checkpoint; its library has the three subjects' random episodes."""
    network = nano()
    hypernetwork = hypernetwork_for(network, LORA, 8)
    setup = Setup(learner_of(network, LORA, head, 0.5), hypernetwork)
    chosen = method_named(method)
    meta = init_meta(setup, chosen, LORA, 1, {"adapter": 0.1, "head": 0.1}, mx.random.key(0))
    keys = iter(mx.random.split(mx.random.key(1), 100))
    meta = utils.tree_map(lambda leaf: leaf + 0.3 * mx.random.normal(leaf.shape, key=next(keys)), meta)
    rng = np.random.default_rng(0)
    supports = []
    for _ in range(12):
        labels = np.repeat([0, 1], 3)
        x = rng.integers(1000, 5000, size=(6, 8)).astype(np.int32)
        supports.append(SupportSet(rng.normal(size=(6, 256)).astype(np.float32), labels, 2, x, np.full(6, 8)))
    embedder = fit(supports, dims=8)
    library = np.stack([embedder.embed(support) for support in supports])
    facts = {"checkpoint": "made", "method": method, "suite": "made", "origin": "hub", "step": 1}
    return Start(
        setup,
        load_tokenizer(),
        chosen,
        meta,
        candidates_of(chosen, 0, 0.5, names=True),
        NO_PRIOR,
        embedder,
        library,
        [f"task {i % 3}" for i in range(12)],
        64,
        facts | {"training_families": ["made"]},
    )


def tagged_about(kinds: list[str], seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    """A sentence with one entity of one or two words for each subject, as words and as BIO tags."""
    rng = np.random.default_rng(seed)
    sentences, tags = [], []
    for number, kind in enumerate(kinds):
        entity = rng.choice(WORDS[kind], 1 + number % 2, replace=False).tolist()
        before, after = [FRAMES[int(i)] for i in rng.integers(0, len(FRAMES), 2)]
        sentences.append([*before, *entity, *after, "."])
        tags.append(["O"] * len(before) + [f"{'I' if i else 'B'}-{kind}" for i in range(len(entity))] + ["O"] * 4)
    return sentences, tags


def made_detector(dims: int) -> Detector:
    """A detector that says something."""
    return Detector(3.0 * mx.random.normal((dims,), key=mx.random.key(7)), mx.array(-0.5))


def made_tagging_start(method: str = "hypernetwork") -> Start:
    """As `made_start`, for a checkpoint of tagging."""
    begin = made_start("tagger", method)
    rng = np.random.default_rng(0)
    supports = []
    for _ in range(12):
        tags = np.tile([0, 1, 2, 0, 3, 0], 2).astype(np.int32)
        x = rng.integers(1000, 5000, size=(2, 8)).astype(np.int32)
        features = rng.normal(size=(12, 256)).astype(np.float32)
        sentences = Sentences(np.array([6, 6]), tags)
        supports.append(SupportSet(features, (tags + 1) // 2, 3, x, np.full(2, 8), sentences=sentences))
    embedder = fit(supports, dims=8)
    return begin._replace(
        setup=begin.setup._replace(transitions=TRANSITIONS, detector=made_detector(512)),
        candidates=candidates_of(begin.method, 0, 0.5, tagging=True, detector=True),
        embedder=embedder,
        library=np.stack([embedder.embed(support) for support in supports]),
    )


@cache
def frozen_tagging_start() -> Start:
    """The frozen network alone, for tagging."""
    return open_start("none", kind="tagging")


def sure_of(candidate: Candidate) -> Prior:
    """A prior that makes this candidate win, whatever the examples say."""
    return Prior(0.0, ((1.0, {candidate.name: (100.0, 0.0)}),))
