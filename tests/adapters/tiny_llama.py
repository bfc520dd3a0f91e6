"""A random Llama of two blocks and its tokenizer, in a folder as the Hub has them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from metapeft.mlx import mx, nn

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SHAPES = {
    "self_attn.q_proj": (32, 32),
    "self_attn.k_proj": (32, 16),
    "self_attn.v_proj": (32, 16),
    "self_attn.o_proj": (32, 32),
    "mlp.gate_proj": (32, 64),
    "mlp.up_proj": (32, 64),
    "mlp.down_proj": (64, 32),
}


def write_tiny_llama(folder: Path, bits: int | None = None) -> None:
    """Write config, weights (float32, or quantized to so many bits) and a tokenizer of 64 words."""
    from mlx.utils import tree_flatten
    from mlx_lm.models.llama import Model, ModelArgs
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    mx.random.seed(0)
    model, config = Model(ModelArgs.from_dict(CONFIG)), dict(CONFIG)
    if bits:
        nn.quantize(model, group_size=32, bits=bits)
        config["quantization"] = {"group_size": 32, "bits": bits}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"})
    words = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"w{index}": index for index in range(3, 64)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(about))


def description(folder: Path) -> SimpleNamespace:
    """What `Backbone` says of itself, for the functions that need no forward pass."""
    layers = tuple(f"model.layers.{index}" for index in range(CONFIG["num_hidden_layers"]))
    adaptable = {f"{block}.{key}": shape for block in layers for key, shape in SHAPES.items()}
    return SimpleNamespace(
        name=str(folder),
        model_type="llama",
        digest="tiny",
        layers=layers,
        adaptable=adaptable | {"lm_head": (32, 64)},
        default_keys=("self_attn.q_proj", "self_attn.v_proj"),
        hidden_size=32,
    )
