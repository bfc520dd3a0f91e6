"""What an adaptation can start from: a meta-trained checkpoint, or the frozen network alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from metapeft.adapters.lora import LoraConfig
from metapeft.backbones.backbone import Backbone
from metapeft.backbones.encoder import Encoder
from metapeft.backbones.load import load_backbone
from metapeft.backbones.tokens import tokenizer_of
from metapeft.embeddings.embedder import Embedder
from metapeft.errors import AdaptationError, BackboneError
from metapeft.meta import checkpoint as checkpoints
from metapeft.meta.checkpoint import CheckpointError
from metapeft.meta.learner import Tree
from metapeft.meta.methods import Method, Setup, method_named
from metapeft.meta.prior import Prior
from metapeft.meta.run import HEAD_OF, MLP, learner_of, setup_of
from metapeft.meta.select import FROZEN, Candidate, candidates_of, with_names
from metapeft.tokenization.tokenizer import LoadedTokenizer, load_tokenizer

SHIPPED = Path(__file__).parent.parent / "checkpoints" / "nano"
SHIPPED_TAGGING = SHIPPED.parent / "nano-tagging"
NONE = "none"
MAX_TOKENS = 64  # without a checkpoint; that of `metapeft train`
NO_PRIOR = Prior(0.0, ())
NOT_SHIPPED = "no checkpoint for tagging is shipped yet: the frozen network alone (checkpoint=DIR: one of yours)"

Kind = Literal["classification", "tagging"]


class Start(NamedTuple):
    """A frozen network, its tokenizer, and what was meta-trained on it.

    Attributes:
        setup: learner and hypernetwork.
        tokenizer: of the backbone.
        method: of meta-training.
        meta: meta-parameters; empty without a checkpoint.
        candidates: what can be chosen, the frozen prototype first.
        prior: expected gains over the frozen prototype; without a record none is expected.
        embedder: of tasks; None where nothing is generated.
        library: embeddings of training episodes, float32 ``(m, dims)``.
        library_names: whose they are, `m` task ids.
        max_tokens: longer texts are cut here.
        facts: JSON: which checkpoint this is and what it was trained on.
    """

    setup: Setup
    tokenizer: LoadedTokenizer
    method: Method
    meta: Tree
    candidates: tuple[Candidate, ...]
    prior: Prior
    embedder: Embedder | None
    library: np.ndarray
    library_names: list[str]
    max_tokens: int
    facts: dict[str, Any]


def open_start(
    checkpoint: str | Path | None = None, backbone: str | None = None, kind: Kind = "classification"
) -> Start:
    """Open what an adaptation starts from.

    Args:
        checkpoint: a folder that `metapeft train` wrote; None for the one that is shipped for this kind (for tagging,
            as long as none is, the frozen network alone); "none" for the frozen network alone.
        backbone: the frozen network; None for the one that the checkpoint was trained for, "nano" without one.
        kind: what is to be learned: a class for each text, or tags of words.

    Raises:
        CheckpointError: there is no such checkpoint, it is damaged, or for another backbone.
        BackboneError, SourceError: the backbone or its tokenizer is not there, or it cannot tag words.
        AdaptationError: the checkpoint is for tasks of another kind, or its prior cannot be read.
    """
    shipped = {"classification": SHIPPED, "tagging": SHIPPED_TAGGING}[kind]
    missing = checkpoint is None and not (shipped / "checkpoint.json").is_file()
    tagging = kind == "tagging"
    if checkpoint == NONE or (missing and tagging):
        network = load_backbone(backbone or "nano")
        _check_reads_words(network, kind)
        # Features of words are the states below so many blocks: see `states.frozen_features`. Half of them: on the
        # validation task (music, 99 sentences) a ridge regression had 47.4 F1 with MiniLM so, 46.7 below two blocks
        # and 44.5 below one; 33.7 with nano, 30.9 below both of its blocks.
        layers = max(1, len(network.layers) // 2) if tagging else 1
        method = method_named("protonet")
        still = FROZEN, FROZEN._replace(classifier="both" if tagging else "logistic")
        return Start(
            setup=Setup(learner_of(network, LoraConfig(num_layers=layers), HEAD_OF[kind], 0.0)),
            tokenizer=load_tokenizer(tokenizer_of(network.name)),
            method=method,
            meta={},
            candidates=still if tagging else with_names(still),
            prior=NO_PRIOR,
            embedder=None,
            library=np.zeros((0, 0), np.float32),
            library_names=[],
            max_tokens=MAX_TOKENS,
            facts={"checkpoint": None, "origin": None},
        )
    folder = shipped if checkpoint is None else Path(checkpoint)
    if missing:
        raise CheckpointError(
            "this metapeft comes without a checkpoint\n"
            "  give one with checkpoint=DIR; train one: python -m metapeft.train suite=DIR\n"
            "  or checkpoint=none: the frozen prototype alone, nothing meta-trained"
        )
    facts = checkpoints.read_facts(folder)
    if facts["backbone"]["model_type"] == MLP:
        raise AdaptationError(f"{folder}: trained on points (backbone=mlp); texts need a checkpoint of a text backbone")
    trained = facts.get("kind", "classification")  # older ones do not say
    if trained != kind:
        raise AdaptationError(
            f"{folder}: trained on tasks of kind {trained}, and these examples are for {kind}\n"
            f"  give a checkpoint trained with kind={kind}, or checkpoint=none: the frozen network alone"
        )
    network = load_backbone(backbone or facts["backbone"]["backbone"])
    _check_reads_words(network, kind)
    loaded = checkpoints.load(folder, network)
    method, setup = method_named(facts["method"]), setup_of(folder, facts, network)
    told = setup.detector is not None
    offered = candidates_of(method, 0, facts["mix"], names=not tagging, tagging=tagging, detector=told)
    return Start(
        setup=setup,
        tokenizer=load_tokenizer(tokenizer_of(network.name)),
        method=method,
        meta=loaded.state.meta,
        candidates=offered,
        prior=_prior(folder / "prior.json"),
        embedder=loaded.embedder,
        library=loaded.library,
        library_names=facts["library"],
        max_tokens=facts["max_tokens"],
        facts={"checkpoint": "shipped" if checkpoint is None else str(folder)}
        | {name: facts[name] for name in ("method", "suite", "origin", "step", "training_families")},
    )


def _check_reads_words(network: Backbone, kind: Kind) -> None:
    if kind == "tagging" and not isinstance(network, Encoder):
        raise BackboneError(
            f"backbone '{network.name}' is no encoder: tagging reads words with what follows them\n"
            "  take one that is, such as backbone=nano"
        )


def _prior(path: Path) -> Prior:
    """The prior beside a checkpoint, `Prior` as JSON; none is expected where there is no file."""
    try:
        prior = Prior(**json.loads(path.read_text(encoding="utf-8")))
        sizes = tuple(
            (float(size), {name: (float(intercept), float(slope)) for name, (intercept, slope) in lines.items()})
            for size, lines in prior.sizes
        )
        return Prior(float(prior.centre), sizes, float(prior.weight))
    except FileNotFoundError:
        return NO_PRIOR
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise AdaptationError(f"{path}: cannot be read as the prior of a checkpoint ({error})") from None
