"""Checkpoints: every array comes back bit for bit, and what is not one is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapeft.backbones.mlp import make_mlp
from metapeft.embeddings.embedder import fit
from metapeft.meta.checkpoint import Checkpoint, CheckpointError, flatten, hypernetwork_of, load, save, unflatten
from metapeft.meta.outer_loop import begin
from metapeft.mlx import mx, utils
from tests.embeddings.made import made as support_set
from tests.meta.test_methods import DIMS, made

FACTS = {
    "method": "hypernetwork",
    "lora": {"rank": 2, "num_layers": 2},
    "hypernetwork": {"dims": DIMS, "term": "full", "width": 64, "rate_steps": 3},
    "library": ["a", "b"],
}


def checkpoint() -> tuple[Checkpoint, object]:
    _, setup, meta, _ = made("hypernetwork")
    embedder = fit([support_set(seed=seed) for seed in range(6)], dims=8)
    state = begin(meta)._replace(step=7)
    return Checkpoint(state, embedder, np.eye(2, 8, dtype=np.float32), FACTS), setup.learner.backbone.backbone


def test_everything_comes_back(tmp_path: Path) -> None:
    saved, backbone = checkpoint()
    save(tmp_path / "c", saved, backbone)
    loaded = load(tmp_path / "c", backbone)
    assert loaded.state.step == 7
    for a, b in ((saved.state.meta, loaded.state.meta), (saved.state.moments, loaded.state.moments)):
        first, second = utils.tree_flatten(a), utils.tree_flatten(b)
        assert [name for name, _ in first] == [name for name, _ in second]  # the order too: norms are sums in it
        assert all(np.array_equal(np.array(x), np.array(y)) for (_, x), (_, y) in zip(first, second, strict=True))
    assert np.array_equal(saved.library, loaded.library)
    probe = support_set(seed=99)
    assert np.array_equal(saved.embedder.embed(probe), loaded.embedder.embed(probe))
    assert hypernetwork_of(loaded.facts, backbone) == made("hypernetwork")[1].hypernetwork
    save(tmp_path / "c", loaded, backbone)  # over an old one
    assert load(tmp_path / "c", backbone).state.step == 7


def test_what_is_refused(tmp_path: Path) -> None:
    saved, backbone = checkpoint()
    with pytest.raises(CheckpointError, match=r"no checkpoint here .*metapeft\.train"):
        load(tmp_path / "none", backbone)
    save(tmp_path / "c", saved, backbone)
    with pytest.raises(CheckpointError, match="trained for the backbone 'mlp-2-8-3-0'"):
        load(tmp_path / "c", make_mlp(2, 8, 3, seed=1))
    path = tmp_path / "c/checkpoint.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"format": 99}))
    with pytest.raises(CheckpointError, match="format 99"):
        load(tmp_path / "c", backbone)
    path.write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(tmp_path / "c", backbone)
    path.write_text(json.dumps(facts))
    weights = tmp_path / "c/meta.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="its arrays cannot be read"):
        load(tmp_path / "c", backbone)


names = st.text("abc.019_", min_size=1, max_size=8)
trees = st.recursive(
    st.integers(0, 9), lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3), max_leaves=8
)


@given(st.dictionaries(names, trees, min_size=1, max_size=3))
def test_trees_of_dotted_names_survive(tree) -> None:
    filled = utils.tree_map(lambda number: mx.array(float(number)), tree)
    back = utils.tree_map(lambda leaf: int(leaf.item()), unflatten(flatten(filled)))
    assert back == tree


def test_without_moments_a_checkpoint_can_be_used(tmp_path: Path) -> None:
    saved, backbone = checkpoint()
    save(tmp_path / "c", saved, backbone)
    (tmp_path / "c/moments.safetensors").unlink()
    loaded = load(tmp_path / "c", backbone)
    assert loaded.state.moments is None
    assert loaded.state.step == saved.state.step
