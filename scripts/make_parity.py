"""Write the hidden states that PyTorch computes, which the tests compare metapeft's encoders with.

    python scripts/make_parity.py MIRROR/hub/models/sentence-transformers/all-MiniLM-L6-v2

Needs `torch` and `transformers`, which the tests do without: run it by hand, when an architecture is added. Each file
in tests/backbones/parity holds what a test needs to make a checkpoint again (``config``, JSON; ``weight:NAME`` float16,
as the random weights are exact in it), ``tokens`` and ``lengths`` of a batch padded on the right, and ``states``, the
final hidden states of the real tokens one after the other. That of MiniLM has no weights, and the mean over the tokens
of texts whose states would take too much room (``means``).
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

OUT = Path(__file__).parents[1] / "tests" / "backbones" / "parity"
LENGTHS = np.array([20, 3, 1, 11])
BERT = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 32}
BERT |= {"max_position_embeddings": 40, "pad_token_id": 0}
DISTIL = {"vocab_size": 50, "dim": 16, "n_layers": 3, "n_heads": 4, "hidden_dim": 32, "max_position_embeddings": 40}
MODERN = {key: value for key, value in BERT.items() if key != "max_position_embeddings"}
MODERN |= {"num_hidden_layers": 4, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
BIASES = {"norm_bias": True, "attention_bias": True, "mlp_bias": True}
# The window of 6, three tokens to either side, is shorter than the texts.
OLD = {"global_attn_every_n_layers": 2, "global_rope_theta": 3000.0, "local_rope_theta": 50.0, "local_attention": 6}
# name: class of transformers, arguments of its config, keys of an older config.json that take the place of new ones
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "bert": ("BertModel", BERT, {}),
    "bert_with_head": ("BertForMaskedLM", BERT | {"hidden_act": "gelu_new"}, {}),
    "roberta_with_head": ("RobertaForMaskedLM", BERT | {"pad_token_id": 1, "type_vocab_size": 1}, {}),
    "distilbert": ("DistilBertModel", DISTIL, {}),
    "distilbert_with_head": ("DistilBertForMaskedLM", DISTIL | {"activation": "relu"}, {}),
    "modernbert": ("ModernBertModel", MODERN, {}),
    "modernbert_window": (
        "ModernBertModel",
        MODERN
        | {"local_attention": 6, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"] * 2},
        {},
    ),
    "modernbert_old_config": ("ModernBertForMaskedLM", MODERN | BIASES | OLD, OLD),
}
TEXTS = [  # the first six are stored whole
    "Cheap.",
    "A warm and funny film.",
    "The screen is sharp, but the battery dies.",
    "Nothing in this kitchen has worked since I bought it.",
    "Shares fell after the bank warned of losses.",
    "Who wrote the letter?",
    "Book a table for two at seven, please.",
    "I have never read a slower novel, and I would read it again tomorrow.",
    "def add(a, b): return a + b",
    "Astronomers measured the mass of a planet outside the solar system for the first time in 1995.",
    "ok",
    "The committee, which had met in March and again in May, could not agree on a date, a place or anything else.",
]


def main(minilm: Path) -> None:
    torch, transformers = (importlib.import_module(name) for name in ("torch", "transformers"))
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    OUT.mkdir(parents=True, exist_ok=True)
    for name, (kind, settings, older) in CASES.items():
        rng = np.random.default_rng(len(name))
        settings = dict(settings)
        if "layer_types" in settings:
            settings["layer_types"] = settings["layer_types"][: settings["num_hidden_layers"]]
        model = getattr(transformers, kind)._from_config(
            getattr(transformers, kind).config_class(**settings), attn_implementation="eager"
        )
        model.eval()
        weights = {}
        for path, value in model.state_dict().items():
            drawn = 0.3 * rng.normal(size=value.shape) + (path.endswith("weight") and value.ndim == 1)
            weights[path] = drawn.astype(np.float16)
        model.load_state_dict({path: torch.tensor(value.astype(np.float32)) for path, value in weights.items()})
        weights = {path: model.state_dict()[path].numpy().astype(np.float16) for path in weights}  # tied ones agree
        tokens = rng.integers(3, 50, (len(LENGTHS), LENGTHS.max())) * mask_of(LENGTHS)
        config = model.config.to_dict()
        if older:
            config = {
                key: value for key, value in config.items() if key not in ("rope_parameters", "layer_types")
            } | older
        states = states_of(torch, model.base_model, tokens, LENGTHS)
        write(name, config=json.dumps(config), tokens=tokens.astype(np.int32), lengths=LENGTHS, states=states, **{
            f"weight:{path}": value for path, value in weights.items()
        })  # fmt: skip
    write_minilm(torch, transformers, minilm)


def write_minilm(torch: Any, transformers: Any, folder: Path) -> None:
    """Token ids, states of the first six texts, mean states of the others."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    ids = [tokenizer(text)["input_ids"] for text in TEXTS]
    lengths = np.array([len(row) for row in ids])
    tokens = np.zeros((len(ids), lengths.max()), np.int32)
    tokens[mask_of(lengths)] = np.concatenate(ids)
    rows = np.split(states_of(torch, model, tokens, lengths), np.cumsum(lengths)[:-1])
    means = np.stack([row.mean(axis=0) for row in rows])
    write("minilm", tokens=tokens, lengths=lengths, states=np.concatenate(rows[:6]), means=means)


def states_of(torch: Any, model: Any, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Final hidden states of the real tokens, float32 ``(sum(lengths), d)``."""
    mask = mask_of(lengths)
    with torch.no_grad():
        out = model(input_ids=torch.tensor(tokens), attention_mask=torch.tensor(mask.astype(np.int64)))
    return out.last_hidden_state.numpy()[mask]


def mask_of(lengths: np.ndarray) -> np.ndarray:
    return np.arange(lengths.max()) < lengths[:, None]


def write(name: str, **arrays: Any) -> None:
    np.savez_compressed(OUT / f"{name}.npz", **arrays)
    print(f"{OUT / name}.npz  {(OUT / f'{name}.npz').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
