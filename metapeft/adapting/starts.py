"""What an adaptation can start from: a meta-trained checkpoint, or the frozen network alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metapeft.adapters.lora import LoraConfig
from metapeft.backbones.load import load_backbone
from metapeft.backbones.tokens import tokenizer_of
from metapeft.embeddings.embedder import Embedder
from metapeft.errors import AdaptationError
from metapeft.meta import checkpoint as checkpoints
from metapeft.meta.checkpoint import CheckpointError
from metapeft.meta.learner import Tree
from metapeft.meta.methods import Method, Setup, method_named
from metapeft.meta.run import MLP, learner_of
from metapeft.meta.select import FROZEN, Candidate, Prior, candidates_of
from metapeft.tokenization.tokenizer import LoadedTokenizer, load_tokenizer

SHIPPED = Path(__file__).parent.parent / "checkpoints" / "nano"
NONE = "none"
MAX_TOKENS = 64  # without a checkpoint; that of `metapeft train`
NO_PRIOR = Prior(0.0, {})


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


def open_start(checkpoint: str | Path | None = None, backbone: str | None = None) -> Start:
    """Open what an adaptation starts from.

    Args:
        checkpoint: a folder that `metapeft train` wrote; None for the one that is shipped; "none" for the frozen
            network alone.
        backbone: the frozen network; None for the one that the checkpoint was trained for, "nano" without one.

    Raises:
        CheckpointError: there is no such checkpoint, it is damaged, or for another backbone.
        BackboneError, SourceError: the backbone or its tokenizer is not there.
        AdaptationError: the checkpoint is for points, or its prior cannot be read.
    """
    if checkpoint == NONE:
        network = load_backbone(backbone or "nano")
        return Start(
            setup=Setup(learner_of(network, LoraConfig(num_layers=1), "cosine", 0.0)),
            tokenizer=load_tokenizer(tokenizer_of(network.name)),
            method=method_named("protonet"),
            meta={},
            candidates=tuple(FROZEN._replace(names=n, ridge=r) for n in (False, True) for r in (False, True)),
            prior=NO_PRIOR,
            embedder=None,
            library=np.zeros((0, 0), np.float32),
            library_names=[],
            max_tokens=MAX_TOKENS,
            facts={"checkpoint": None, "origin": None},
        )
    folder = SHIPPED if checkpoint is None else Path(checkpoint)
    if checkpoint is None and not (folder / "checkpoint.json").is_file():
        raise CheckpointError(
            "this metapeft comes without a checkpoint\n"
            "  give one with checkpoint=DIR; train one: python -m metapeft.train suite=DIR\n"
            "  or checkpoint=none: the frozen prototype alone, nothing meta-trained"
        )
    facts = checkpoints.read_facts(folder)
    if facts["backbone"]["model_type"] == MLP:
        raise AdaptationError(f"{folder}: trained on points (backbone=mlp); texts need a checkpoint of a text backbone")
    network = load_backbone(backbone or facts["backbone"]["backbone"])
    loaded = checkpoints.load(folder, network)
    method = method_named(facts["method"])
    return Start(
        setup=Setup(
            learner_of(network, LoraConfig(**facts["lora"]), facts["head"], facts["mix"]),
            checkpoints.hypernetwork_of(facts, network),
        ),
        tokenizer=load_tokenizer(tokenizer_of(network.name)),
        method=method,
        meta=loaded.state.meta,
        candidates=candidates_of(method, 0, facts["mix"], names=True),
        prior=_prior(folder / "prior.json"),
        embedder=loaded.embedder,
        library=loaded.library,
        library_names=facts["library"],
        max_tokens=facts["max_tokens"],
        facts={"checkpoint": "shipped" if checkpoint is None else str(folder)}
        | {name: facts[name] for name in ("method", "suite", "origin", "step", "training_families")},
    )


def _prior(path: Path) -> Prior:
    """The prior beside a checkpoint, `Prior` as JSON; none is expected where there is no file."""
    try:
        prior = Prior(**json.loads(path.read_text(encoding="utf-8")))
        gains = {name: (float(intercept), float(slope)) for name, (intercept, slope) in prior.gains.items()}
        return Prior(float(prior.centre), gains, float(prior.weight))
    except FileNotFoundError:
        return NO_PRIOR
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise AdaptationError(f"{path}: cannot be read as the prior of a checkpoint ({error})") from None
