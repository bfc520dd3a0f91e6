"""metapeft.backbones.decoder: models of mlx-lm say what they always say, whole, cut, adapted or quantized.

The reference is mlx-lm itself: its own forward pass, and its own LoRA layers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metapeft.adapters.export import save_mlx_lm
from metapeft.adapters.lora import LoraConfig, check_adapter, first_layer, targets
from metapeft.backbones.decoder import Decoder
from metapeft.backbones.load import load_backbone
from metapeft.errors import AdapterError, BackboneError
from metapeft.mlx import mx, nn, utils
from tests.backbones import contract
from tests.backbones.contract import CHECKS, Check, adapter_for, features, near

LENGTHS = np.array([9, 3, 1, 6])
TOKENS = np.random.default_rng(0).integers(1, 60, (4, 9)).astype(np.int32)
REAL = np.arange(9) < LENGTHS[:, None]
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 64, "num_attention_heads": 4, "head_dim": 8}
SIZES |= {"num_key_value_heads": 2, "vocab_size": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0}
SIZES |= {"max_position_embeddings": 64, "tie_word_embeddings": False}
GPT2 = {"n_ctx": 64, "n_embd": 32, "n_head": 4, "n_layer": 3, "n_positions": 64, "layer_norm_epsilon": 1e-5}
MAMBA = {"use_bias": False, "use_conv_bias": True, "conv_kernel": 4, "state_size": 8, "time_step_rank": 4}
TURNS = ["sliding_attention", "full_attention", "sliding_attention"]
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": SIZES,
    "mistral": SIZES | {"layer_types": TURNS, "sliding_window": 4},  # llama by another name
    "qwen2": SIZES | {"tie_word_embeddings": True},
    "qwen3": SIZES,
    "gemma2": SIZES | {"query_pre_attn_scalar": 8.0},
    "gemma3_text": SIZES | {"sliding_window": 4, "sliding_window_pattern": 2},
    "phi3": SIZES,
    "olmo2": SIZES,
    "gpt2": GPT2 | {"vocab_size": 64},
    "mamba": SIZES | MAMBA,  # no attention
    "lfm2": SIZES  # convolutions and attention take turns
    | {"norm_eps": 1e-5, "conv_bias": False, "conv_L_cache": 3, "block_dim": 32, "block_ff_dim": 64}
    | {"block_multiple_of": 8, "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": False}
    | {"full_attn_idxs": [1]},
    "gemma4_text": SIZES
    | {"layer_types": TURNS, "num_kv_shared_layers": 0, "global_head_dim": 8, "sliding_window": 4}
    | {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 64},
    "olmoe": SIZES | {"num_experts": 4, "num_experts_per_tok": 2},
}
WHOLE = ["gemma4_text"]  # its blocks hand over keys and values too, so it is never cut


def plain_model(kind: str, seed: int = 0) -> nn.Module:
    """mlx-lm's, with random weights, those of norms as well."""
    from mlx_lm.utils import _get_classes

    model_class, args_class = _get_classes({"model_type": kind})
    mx.random.seed(seed)
    model = model_class(args_class.from_dict(CONFIGS[kind] | {"model_type": kind}))
    model.apply(lambda w: w + 0.1 * mx.random.normal(w.shape))
    model.eval()
    mx.eval(model.parameters())
    return model


def write(folder: Path, kind: str, bits: int | None = None, dtype: Any = None) -> Path:
    """A checkpoint as the Hub has them."""
    model, config = plain_model(kind), CONFIGS[kind] | {"model_type": kind}
    if dtype is not None:
        model.set_dtype(dtype)
    if bits:
        nn.quantize(model, group_size=32, bits=bits)
        config["quantization"] = {"group_size": 32, "bits": bits}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    weights: Any = dict(utils.tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    return folder


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Load a tiny checkpoint, once: ``loaded("llama")`` or ``loaded("llama", 4)`` with so many bits."""
    made: dict[tuple[str, int | None], Decoder] = {}

    def load(kind: str, bits: int | None = None) -> Decoder:
        if (kind, bits) not in made:
            backbone = load_backbone(str(write(tmp_path_factory.mktemp("model") / kind, kind, bits)))
            assert isinstance(backbone, Decoder)
            made[kind, bits] = backbone
        return made[kind, bits]

    return load


def refused(folder: Path) -> str:
    with pytest.raises(BackboneError) as caught:
        load_backbone(str(folder))
    message = str(caught.value)
    assert f"backbone '{folder}'" in message
    return message


# --- as mlx-lm ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CONFIGS)
def test_logits_are_those_of_mlx_lm_at_every_depth(loaded: Any, kind: str) -> None:
    backbone = loaded(kind)
    assert backbone.is_cut == (kind not in WHOLE)
    wanted = np.array(plain_model(kind)(mx.array(TOKENS)))[REAL]
    for depth in range(len(backbone.layers) + 1):
        hidden = backbone.prefix(TOKENS, LENGTHS, depth)
        got = backbone.logits(backbone.suffix(hidden, depth=depth))
        np.testing.assert_allclose(np.array(got)[REAL], wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_text_says_the_same_alone_and_in_a_batch(loaded: Any, kind: str) -> None:
    contract.an_input_says_the_same_alone_and_in_a_batch(loaded(kind), TOKENS, LENGTHS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("kind", "bits"), [("llama", None), ("llama", 4), ("gemma3_text", None), ("gpt2", None)])
def test_contract(loaded: Any, kind: str, bits: int | None, check: Check) -> None:
    check(loaded(kind, bits), TOKENS, LENGTHS)


@pytest.mark.parametrize("kind", ["mamba", "lfm2", "gemma4_text"])
def test_adapters_and_their_gradients(loaded: Any, kind: str) -> None:
    """The rest of the contract that matters, where blocks are of another make."""
    for check in (
        contract.every_depth_gives_the_same,
        contract.every_adaptable_map_matters,
        contract.examples_have_adapters_of_their_own,
        contract.gradients_are_right,
    ):
        check(loaded(kind), TOKENS, LENGTHS)


@pytest.mark.parametrize("bits", [None, 4, 3])
def test_an_adapter_does_what_it_does_in_mlx_lm(loaded: Any, tmp_path: Path, bits: int | None) -> None:
    """Exported, opened by mlx-lm and run by its own LoRA layers; the head is adapted too."""
    from mlx_lm.utils import load_adapters, load_model

    backbone = loaded("llama", bits)
    wanted = LoraConfig(rank=2, num_layers=2, keys=["self_attn.q_proj", "mlp.down_proj", "lm_head"])
    assert targets(backbone, wanted)["model.layers.1.mlp.down_proj"] == (64, 32), "of quantized maps too"
    whole = adapter_for(backbone, list(targets(backbone, wanted)))
    whole["lm_head"] = {"lora_a": mx.full((32, 2), 0.1), "lora_b": mx.full((2, 64), 0.1) * mx.arange(64) / 32}
    check_adapter(backbone, whole)
    depth = first_layer(backbone, whole)
    assert depth == 1
    save_mlx_lm(whole, backbone, 1.5, tmp_path / "adapter")
    model = load_adapters(load_model(Path(backbone.name))[0], str(tmp_path / "adapter"))
    hidden = backbone.suffix(backbone.prefix(TOKENS, LENGTHS, depth), whole, 1.5, depth)
    got = np.array(backbone.logits(hidden, whole, 1.5))[REAL]
    np.testing.assert_allclose(got, np.array(model(mx.array(TOKENS)))[REAL], rtol=0, atol=2e-5)
    assert np.abs(got - np.array(backbone.logits(hidden))[REAL]).max() > 0.01, "the head's part"


def test_gradients_reach_an_adapter_of_the_head(loaded: Any) -> None:
    backbone = loaded("llama")
    hidden = backbone.suffix(backbone.prefix(TOKENS, LENGTHS))
    head = {"lm_head": {"lora_a": mx.full((32, 2), 0.1), "lora_b": mx.zeros((2, 64))}}
    gradient = mx.grad(lambda head: backbone.logits(hidden, head).square().sum())(head)
    assert mx.abs(gradient["lm_head"]["lora_b"]).max().item() > 0


# --- what it says of itself ---------------------------------------------------------------------


def test_paths_and_sizes_are_those_of_mlx_lm(loaded: Any) -> None:
    for kind in CONFIGS:
        backbone, modules = loaded(kind), dict(plain_model(kind).named_modules())
        for path, (d_in, d_out) in backbone.adaptable.items():
            assert modules[path].weight.shape == (d_out, d_in), (kind, path)
        assert all(block in modules for block in backbone.layers)
    assert loaded("llama", 4).adaptable == loaded("llama", 3).adaptable == loaded("llama").adaptable
    assert "lm_head" in loaded("llama").adaptable
    assert "lm_head" not in loaded("qwen2").adaptable, "tied to the embedding"


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("qwen3", ("self_attn.q_proj", "self_attn.v_proj")),
        ("phi3", ("self_attn.qkv_proj",)),
        ("gpt2", ("attn.c_attn",)),
        ("lfm2", ("self_attn.q_proj", "self_attn.v_proj")),
    ],
)
def test_query_and_value_are_adapted_by_default(loaded: Any, kind: str, keys: tuple[str, ...]) -> None:
    assert loaded(kind).default_keys == keys


def test_without_attention_keys_must_be_named(loaded: Any) -> None:
    backbone = loaded("mamba")
    with pytest.raises(BackboneError, match=r"name the keys to adapt\n  known: mixer.in_proj, mixer.x_proj"):
        targets(backbone, LoraConfig())
    assert targets(backbone, LoraConfig(num_layers=1, keys=["mixer.in_proj"])) == {
        "backbone.layers.2.mixer.in_proj": (32, 128)
    }


def test_features_are_the_states_of_the_last_tokens(loaded: Any) -> None:
    backbone = loaded("llama")
    hidden = backbone.suffix(backbone.prefix(TOKENS, LENGTHS))
    states = np.array(hidden.states)
    np.testing.assert_array_equal(backbone.pool(hidden), states[np.arange(4), LENGTHS - 1])
    np.testing.assert_allclose(states[REAL], np.array(plain_model("llama").model(mx.array(TOKENS)))[REAL], atol=1e-5)
    np.testing.assert_array_equal(backbone.pool(backbone.suffix(backbone.prefix(TOKENS)))[0], states[0, -1])


def test_on_the_cpu_half_precision_becomes_float32(tmp_path: Path) -> None:
    for bits in (None, 4):
        backbone: Any = load_backbone(str(write(tmp_path / str(bits), "llama", bits, mx.bfloat16)))
        dtypes = {str(w.dtype) for _, w in utils.tree_flatten(backbone._model.parameters())}
        assert dtypes == {"mlx.core.float32"} | ({"mlx.core.uint32"} if bits else set())
        assert features(backbone, TOKENS, LENGTHS).dtype == np.float32


def test_texts_that_do_not_fit_are_refused(loaded: Any) -> None:
    for kind in ("llama", "gpt2"):
        with pytest.raises(BackboneError, match="a text has 65 tokens, it has positions for 64"):
            loaded(kind).prefix(np.full((1, 65), 5))
        with pytest.raises(BackboneError, match="token id 64 is not among its 64"):
            loaded(kind).prefix(np.array([[64]]))


# --- hooks --------------------------------------------------------------------------------------


def test_the_model_goes_on_to_work_alone() -> None:
    from mlx_lm.models.llama import TransformerBlock

    model: Any = plain_model("llama")
    names = [path for path, _ in utils.tree_flatten(model.parameters())]
    wanted = np.array(model(mx.array(TOKENS)))
    backbone = Decoder(model, "llama", "tiny", "digest")
    assert [path for path, _ in utils.tree_flatten(model.parameters())] == names
    assert isinstance(model.layers[0], TransformerBlock), "models look at the class of a block"
    assert isinstance(model.layers[0].self_attn.q_proj, nn.Linear)
    np.testing.assert_array_equal(model(mx.array(TOKENS)), wanted)
    with pytest.raises(AdapterError, match="3 adapters"):  # a pass that breaks off leaves nothing behind
        features(backbone, TOKENS, LENGTHS, adapter_for(backbone, leading=(3,)))
    np.testing.assert_array_equal(model(mx.array(TOKENS)), wanted)


def test_an_adapter_an_example_needs_inputs_that_stand_apart(loaded: Any) -> None:
    backbone = loaded("olmoe")
    router = adapter_for(backbone, ["model.layers.2.mlp.gate"])
    features(backbone, TOKENS, LENGTHS, router)
    with pytest.raises(AdapterError, match="model.layers.2.mlp.gate: sees tokens of all examples in one row"):
        features(backbone, TOKENS, LENGTHS, adapter_for(backbone, list(router), (4,)))


class Tiny(nn.Module):
    """A decoder of three blocks in mlx-lm's manner, whose body can be strange in several ways."""

    class Body(nn.Module):
        def __init__(self, way: str):
            super().__init__()
            self.way = way
            self.embed_tokens = nn.Embedding(64, 8)
            self.layers = [nn.Sequential(nn.Linear(8, 8)) for _ in range(3)]
            self.unused = nn.Linear(8, 64)
            self.norm = nn.RMSNorm(8)

        def __call__(self, tokens: mx.array) -> Any:
            h = first = self.embed_tokens(tokens)
            for _ in range(2 if self.way == "twice" else 1):
                for layer in reversed(self.layers) if self.way == "reversed" else self.layers:
                    h = layer(h)
                    if self.way == "between":
                        h = h + mx.tanh(first)
            if self.way == "around":
                h = self.layers[1].layers[0](h) + h
            if self.way == "logits":
                return self.unused(self.norm(h))
            return (self.norm(h), h) if self.way == "pair" else self.norm(h)

    def __init__(self, way: str):
        super().__init__()
        self.model = Tiny.Body(way)
        self.way = way

    def __call__(self, tokens: mx.array) -> mx.array:
        out = self.model(tokens)
        return out if self.way == "logits" else self.model.embed_tokens.as_linear(out[0] if self.way == "pair" else out)

    @property
    def layers(self) -> Any:
        return list(self.model.layers) if self.way != "hidden" else [nn.Linear(8, 8)]


@pytest.mark.parametrize(
    ("way", "is_cut"), [("plain", True), ("around", True), ("between", False), ("twice", False), ("reversed", False)]
)
def test_a_strange_body_is_run_whole_and_stays_right(way: str, is_cut: bool) -> None:
    mx.random.seed(0)
    model = Tiny(way)
    wanted = np.array(model(mx.array(TOKENS)))
    backbone = Decoder(model, way, way, "digest")
    assert backbone.is_cut == is_cut
    assert list(backbone.adaptable) == [f"model.layers.{i}.layers.0" for i in range(3)]
    for depth in range(4):
        hidden = backbone.suffix(backbone.prefix(TOKENS, depth=depth), depth=depth)
        near(backbone.logits(hidden), wanted)
    contract.gradients_are_right(backbone, TOKENS, LENGTHS)


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("logits", "its body gives logits, and no hidden states"),
        ("pair", "its body gives no hidden states"),
        ("hidden", "it has no list of blocks"),
    ],
)
def test_what_cannot_be_adapted_is_refused(way: str, message: str) -> None:
    with pytest.raises(BackboneError, match=f"backbone 'odd': architecture '{way}' of mlx-lm .*: {message}"):
        Decoder(Tiny(way), way, "odd", "digest")


# --- checkpoints that are wrong -----------------------------------------------------------------


def test_no_code_of_the_repository_is_run(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", "llama")
    config = json.loads((folder / "config.json").read_text())
    trap = f"import pathlib\npathlib.Path({str(tmp_path / 'sprung')!r}).touch()\n"
    (folder / "modeling.py").write_text(trap)
    (folder / "llama.py").write_text(trap)
    (folder / "config.json").write_text(json.dumps(config | {"model_file": "modeling.py"}))
    assert "asks to run a file of the repository, modeling.py; that is never done" in refused(folder)
    # Many models that mlx-lm knows carry an auto_map for transformers; nothing here reads it.
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModelForCausalLM": "modeling.Model"}}))
    near(features(load_backbone(str(folder)), TOKENS, LENGTHS)[0], features_of_llama())
    assert not (tmp_path / "sprung").exists()


def features_of_llama() -> np.ndarray:
    model: Any = plain_model("llama")
    return np.array(model.model(mx.array(TOKENS)))[0, -1]


def test_missing_weights_and_wrong_shapes_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", "llama")
    weights: Any = mx.load(str(folder / "model.safetensors"))
    file = str(folder / "model.safetensors")
    rest = {path: w for path, w in weights.items() if "layers.1.self_attn" not in path}
    mx.save_safetensors(file, rest)
    message = refused(folder)
    assert "mlx-lm cannot load it (ValueError): Missing 4 parameters:" in message
    assert "model.layers.1.self_attn.k_proj.weight" in message
    mx.save_safetensors(file, weights | {"model.layers.2.mlp.up_proj.weight": mx.zeros((3, 3))})
    assert "parameter model.layers.2.mlp.up_proj.weight" in refused(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    assert "mlx-lm cannot load it (TypeError)" in refused(folder)
    (folder / "model.safetensors").unlink()
    assert "no *.safetensors" in refused(folder)


def test_an_architecture_that_wants_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mlx-lm's olmo leaves Python where ai2-olmo is not installed."""

    def leave(*args: Any, **kwargs: Any) -> None:
        raise SystemExit(1)

    folder = write(tmp_path / "model", "llama")
    monkeypatch.setattr("mlx_lm.utils.load_model", leave)
    assert "mlx-lm cannot load it (SystemExit)" in refused(folder)


@pytest.mark.parametrize("kind", ["llama", "qwen3", "lfm2"])
def test_what_it_writes_is_what_its_passes_say(kind: str, tmp_path: Path) -> None:
    backbone = load_backbone(str(write(tmp_path, kind)))
    assert isinstance(backbone, Decoder)
    adapter = adapter_for(backbone)
    prompts = [[1, 2, 3], [4, 5, 6, 7, 8, 9], [10]]
    wanted = []
    for prompt in prompts:
        text = list(prompt)
        for _ in range(5):
            hidden = backbone.suffix(backbone.prefix(np.array([text]), np.array([len(text)])), adapter, 0.5)
            text.append(int(mx.argmax(backbone.logits(hidden)[0, -1])))
        wanted.append(text[len(prompt) :])
    assert backbone.write(prompts, adapter, 0.5, most=5) == wanted
    assert [len(text) for text in backbone.write(prompts, adapter, 0.5, most=[1, 2, 3])] == [1, 2, 3]
    backbone.ends = (wanted[0][2],)
    assert backbone.write(prompts[:1], adapter, 0.5, most=5) == [wanted[0][: wanted[0].index(wanted[0][2])]]
    assert backbone.write([], adapter) == []


def test_what_cannot_be_written(tmp_path: Path) -> None:
    backbone = load_backbone(str(write(tmp_path, "llama")))
    assert isinstance(backbone, Decoder)
    with pytest.raises(BackboneError, match="an empty prompt"):
        backbone.write([[1], []])
    with pytest.raises(BackboneError, match="have 66 tokens, it reads 64"):
        backbone.write([[1] * 60, [1]], most=6)


def test_single_states_and_chosen_places(tmp_path: Path) -> None:
    backbone = load_backbone(str(write(tmp_path, "gemma2")))  # its head caps logits
    assert isinstance(backbone, Decoder)
    hidden = backbone.suffix(backbone.prefix(TOKENS, LENGTHS))
    said = hidden._replace(said=mx.array([0, 10, 28]))
    logits = backbone.vocabulary_logits(backbone.pool(said))
    near(np.array(logits), np.array(backbone.logits(hidden)).reshape(-1, backbone.vocab_size)[[0, 10, 28]])


@pytest.mark.parametrize(
    ("config", "generation", "ends"), [({}, None, ()), ({"eos_token_id": 3}, {"eos_token_id": [4, 3]}, (3, 4))]
)
def test_the_tokens_that_end_a_text(config: dict, generation: dict | None, ends: tuple, tmp_path: Path) -> None:
    folder = write(tmp_path, "llama")
    known = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(known | config))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    backbone = load_backbone(str(folder))
    assert isinstance(backbone, Decoder) and backbone.ends == ends
