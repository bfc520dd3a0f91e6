"""What the tests of the inner loop adapt: a tiny encoder with random weights, and adapters that do something."""

from __future__ import annotations

from metapeft.adapters.lora import LoraConfig, random_adapter
from metapeft.backbones.backbone import Adapter, Backbone
from metapeft.backbones.bert import Bert, BertConfig
from metapeft.mlx import mx

CONFIG = BertConfig(
    model_type="bert",
    vocab_size=200,
    hidden_size=16,
    num_layers=3,
    num_heads=2,
    intermediate_size=32,
    max_positions=64,
    first_position=0,
    type_vocab_size=2,
    activation="gelu",
    norm_eps=1e-12,
)


def tiny_bert(seed: int = 0) -> Bert:
    """Three blocks of width 16; weights are normal, norms start near 1."""
    shapes = CONFIG.shapes()
    keys = mx.random.split(mx.random.key(seed), len(shapes))
    weights = {
        path: 0.3 * mx.random.normal(shape, key=key) + (1.0 if path.endswith("LayerNorm.weight") else 0.0)
        for (path, shape), key in zip(shapes.items(), keys, strict=True)
    }
    return Bert(CONFIG, weights, "tiny", f"tiny-{seed}")


def moved(backbone: Backbone, config: LoraConfig, seed: int = 0) -> Adapter:
    """An adapter whose B is not zero, so that it changes what the backbone says."""
    adapter = random_adapter(backbone, config, mx.random.key(seed))
    keys = mx.random.split(mx.random.key(seed + 1), len(adapter))
    return {
        path: {**factors, "lora_b": 0.3 * mx.random.normal(factors["lora_b"].shape, key=key)}
        for (path, factors), key in zip(adapter.items(), keys, strict=True)
    }


def leaves(tree) -> list[mx.array]:
    """The arrays of a tree of dicts, in its order."""
    return [leaf for branch in tree.values() for leaf in leaves(branch)] if isinstance(tree, dict) else [tree]
