"""PEFT and metapeft compute the same from one adapter: prints the largest difference of each case.

    python scripts/check_peft.py

Needs `torch` and `peft`, which metapeft itself never uses; without them it says so and ends with status 2. Tiny random
checkpoints are made with transformers. Each case goes both ways: an adapter of ours exported and opened by
`PeftModel.from_pretrained`, and an adapter that PEFT saved read by `load_peft`. Encoders are compared by their hidden
states, decoders by their logits, which mlx-lm computes from the same adapter. Ends with status 1 when a difference is
above 1e-5 or PEFT warns (of missing or unexpected keys, say).
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from metapeft.adapters.export import load_peft, save_peft
from metapeft.adapters.lora import LoraConfig, first_layer, random_adapter
from metapeft.backbones.backbone import Adapter, Backbone
from metapeft.backbones.load import load_backbone
from metapeft.backbones.low_rank import low_rank
from metapeft.mlx import mx, nn, utils

TOLERANCE = 1e-5
SIZES = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
ENCODERS: dict[str, dict[str, Any]] = {
    "bert": SIZES | {"max_position_embeddings": 40},
    "roberta": SIZES | {"max_position_embeddings": 40, "pad_token_id": 1},
    "distilbert": {"vocab_size": 50, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 64, "pad_token_id": 0},
}
DECODERS: dict[str, dict[str, Any]] = {"llama": SIZES | {"num_key_value_heads": 2, "tie_word_embeddings": False}}
# Maps whose names end alike (output.dense, attention.output.dense) are where a list of suffixes would go wrong.
KEYS = {
    "bert": ["attention.self.query", "output.dense"],
    "roberta": ["attention.self.query", "output.dense"],
    "distilbert": ["attention.q_lin", "ffn.lin2"],
    "llama": ["self_attn.q_proj", "mlp.down_proj", "lm_head"],
}
LENGTHS = np.array([9, 4, 7])
TOKENS = np.random.default_rng(0).integers(3, 50, (3, 9)).astype(np.int32)
Outputs = Callable[[Adapter, float], np.ndarray]


def main() -> int:
    try:
        torch, transformers, peft = (importlib.import_module(name) for name in ("torch", "transformers", "peft"))
    except ImportError as error:
        print(f"peft is not installed: nothing checked ({error})\n  pip install torch peft")
        return 2
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    worst = 0.0
    with tempfile.TemporaryDirectory() as work, warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # PEFT's word for keys that are missing
        for model_type, sizes in (ENCODERS | DECODERS).items():
            torch.manual_seed(0)
            config = transformers.AutoConfig.for_model(model_type, **sizes)
            auto = transformers.AutoModel if model_type in ENCODERS else transformers.AutoModelForCausalLM
            base = Path(work) / model_type
            auto.from_config(config).eval().save_pretrained(base)

            def fresh(auto: Any = auto, base: Path = base) -> Any:
                return auto.from_pretrained(base).eval()

            backbone = load_backbone(str(base))
            outputs = encoder_outputs if model_type in ENCODERS else decoder_outputs
            folder = Path(work) / f"{model_type}-adapter"
            for case, ours, theirs in cases(model_type, backbone, outputs(backbone, base), fresh, folder, torch, peft):
                difference = float(np.abs(ours - theirs).max())
                worst = max(worst, difference)
                print(f"{model_type:<11} {case:<44} {difference:.1e}")
    print(f"largest difference {worst:.1e}, allowed {TOLERANCE:.0e}")
    return int(worst > TOLERANCE)


def cases(
    model_type: str, backbone: Backbone, ours: Outputs, fresh: Callable[[], Any], folder: Path, torch: Any, peft: Any
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, our output and PEFT's for every way an adapter can go."""
    keys = KEYS[model_type]
    relative = [key for key in keys if key != "lm_head"]
    last = backbone.layers[-1]

    def output(model: Any) -> np.ndarray:
        mask = torch.tensor(np.arange(TOKENS.shape[1]) < LENGTHS[:, None])
        with torch.no_grad():
            out = model(input_ids=torch.tensor(TOKENS, dtype=torch.long), attention_mask=mask.long())
        states = out.logits if hasattr(out, "logits") else out.last_hidden_state
        return (states * mask[..., None]).numpy()

    def theirs(model: Any) -> np.ndarray:
        adapted = output(model)
        assert np.abs(adapted - output(fresh())).max() > 1e-3, "the adapter does nothing: nothing is compared"
        return adapted

    exported = {
        "ours → PEFT, last block": LoraConfig(rank=3, num_layers=1, keys=relative),
        "ours → PEFT, two blocks": LoraConfig(rank=4, num_layers=2, keys=keys),
        "ours → PEFT, default keys": LoraConfig(rank=4, num_layers=2),
    }
    adapters = {case: random_adapter(backbone, config, mx.random.key(0)) for case, config in exported.items()}
    adapters["ours → PEFT, two ranks"] = adapters["ours → PEFT, two blocks"] | adapters["ours → PEFT, last block"]
    for case, adapter in adapters.items():
        for index, factors in enumerate(adapter.values()):
            factors["lora_b"] = mx.random.normal(factors["lora_b"].shape, key=mx.random.key(index)) * 0.1
        save_peft(adapter, backbone, 1.7, folder / case)
        yield case, ours(adapter, 1.7), theirs(peft.PeftModel.from_pretrained(fresh(), folder / case))

    for case, settings in {
        "PEFT → ours": {"target_modules": relative},
        "PEFT → ours, layers_to_transform": {"target_modules": relative, "layers_to_transform": [1]},
        "PEFT → ours, rslora": {"target_modules": relative, "use_rslora": True},
        "PEFT → ours, ranks and alphas by pattern": {
            "target_modules": relative,
            "rank_pattern": {relative[0]: 2},
            "alpha_pattern": {f"{last}.{relative[0]}": 11},
        },
    }.items():
        torch.manual_seed(1)
        config = peft.LoraConfig(r=4, lora_alpha=6, **settings)
        model = peft.get_peft_model(fresh(), config).eval()
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        model.save_pretrained(folder / case)
        yield case, ours(*load_peft(folder / case, backbone)), theirs(model)


def encoder_outputs(backbone: Any, base: Path) -> Outputs:
    """Hidden states of the real tokens ``(n, length, d)``, by our own encoder."""

    def outputs(adapter: Adapter, scale: float) -> np.ndarray:
        depth = first_layer(backbone, adapter)
        hidden = backbone.suffix(backbone.prefix(TOKENS, LENGTHS, depth), adapter, scale, depth)
        return np.array(backbone.tokens(hidden))[:, : TOKENS.shape[1]]  # ours come in buckets of length

    return outputs


def decoder_outputs(backbone: Backbone, base: Path) -> Outputs:
    """Logits of the real tokens ``(n, length, vocabulary)``, by mlx-lm's model with our low-rank terms beside it."""
    from mlx_lm.utils import load_model

    class WithLowRank(nn.Module):
        def __init__(self, linear: nn.Module, factors: dict[str, mx.array], scale: float):
            super().__init__()
            self.linear, self.factors, self.scale = linear, factors, scale

        def __call__(self, x: mx.array) -> mx.array:
            return self.linear(x) + low_rank(x, self.factors, self.scale)

    def outputs(adapter: Adapter, scale: float) -> np.ndarray:
        model, _ = load_model(base)
        modules = dict(model.named_modules())
        adapted = [(path, WithLowRank(modules[path], factors, scale)) for path, factors in adapter.items()]
        model.update_modules(utils.tree_unflatten(adapted))
        mask = np.arange(TOKENS.shape[1]) < LENGTHS[:, None]
        return np.array(model(mx.array(TOKENS))) * mask[..., None]

    return outputs


if __name__ == "__main__":
    sys.exit(main())
