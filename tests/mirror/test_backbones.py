"""Published weights, from the mirror: hidden states equal to those of PyTorch.

    METAPEFT_MIRROR=FOLDER pytest -n 0 tests/mirror/test_backbones.py

The expected values were made by scripts/make_parity.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from metapeft.backbones.load import load_bert
from tests.backbones.checkpoints import PARITY, final_states

MIRROR = Path(os.environ.get("METAPEFT_MIRROR", ""))
pytestmark = [
    pytest.mark.hub,
    pytest.mark.skipif(
        "METAPEFT_MIRROR" not in os.environ,
        reason="METAPEFT_MIRROR names no folder with mirrored repositories (hub/ and tools/hub_server.py)",
    ),
]


def test_minilm_gives_the_hidden_states_of_pytorch(capsys: pytest.CaptureFixture[str]) -> None:
    backbone = load_bert(str(MIRROR / "hub/models/sentence-transformers/all-MiniLM-L6-v2"))
    with np.load(PARITY / "minilm.npz") as file:
        tokens, lengths, states, means = (file[name] for name in ("tokens", "lengths", "states", "means"))
    got = final_states(backbone, tokens, lengths)  # a batch of texts of unequal length
    worst = np.abs(got[: len(states)] - states).max()
    alone = np.concatenate([final_states(backbone, tokens[i : i + 1], lengths[i : i + 1]) for i in range(6)])
    worst_alone = np.abs(alone - states).max()
    features = np.array(backbone.pool(backbone.suffix(backbone.prefix(tokens, lengths))))
    worst_mean = np.abs(features - means).max()
    with capsys.disabled():
        print(f"\n  MiniLM, largest difference from PyTorch: {worst:.1e} in a batch, {worst_alone:.1e} alone,", end="")
        print(f" {worst_mean:.1e} of the means")
    assert max(worst, worst_alone, worst_mean) <= 1e-5
