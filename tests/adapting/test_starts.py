"""The checkpoint that ships: it opens, has a record of gains, and is small."""

from __future__ import annotations

from metapeft.adapting.starts import SHIPPED, open_start
from metapeft.meta.checkpoint import read_facts


def test_the_shipped_checkpoint_opens_for_nano() -> None:
    begin = open_start(None, None)
    assert begin.embedder is not None
    assert {candidate.start for candidate in begin.candidates} == {"frozen", "static", "hypernetwork"}
    assert {candidate.name for candidate in begin.candidates[1:]} == set(begin.prior.gains)
    assert len(begin.library) == len(begin.library_names)


def test_it_is_small_and_made_of_synthetic_tasks_alone() -> None:
    sizes = {path.name: path.stat().st_size for path in SHIPPED.iterdir()}
    assert set(sizes) == {"README.md", "checkpoint.json", "meta.safetensors", "prior.json"}
    assert sum(sizes.values()) < 4e6
    facts = read_facts(SHIPPED)
    assert all(name.startswith("syn_") for name in facts["training"])
    assert not set(facts["training"]) & set(facts["validation"])
