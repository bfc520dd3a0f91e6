"""The checkpoint that ships: it opens, has a record of gains, and is small."""

from __future__ import annotations

from metapeft.adapting.starts import SHIPPED, open_start
from metapeft.meta.checkpoint import read_facts


def test_the_shipped_checkpoint_opens_for_nano() -> None:
    begin = open_start(None, None)
    assert begin.embedder is not None
    assert {candidate.start for candidate in begin.candidates} == {"frozen", "static", "hypernetwork"}
    assert [size for size, _ in begin.prior.sizes] == [1.0, 5.0]
    for _, lines in begin.prior.sizes:
        assert {candidate.name for candidate in begin.candidates[1:]} == set(lines)
    assert len(begin.library) == len(begin.library_names)


def test_it_is_small_and_made_of_synthetic_tasks_alone() -> None:
    sizes = {path.name: path.stat().st_size for path in SHIPPED.iterdir()}
    assert set(sizes) == {"README.md", "checkpoint.json", "meta.safetensors", "prior.json"}
    assert sum(sizes.values()) < 4e6
    facts = read_facts(SHIPPED)
    assert all(name.startswith("syn_") for name in facts["training"])
    assert not set(facts["training"]) & set(facts["validation"])


def test_words_are_read_below_half_of_the_blocks_and_told_apart_in_two_ways() -> None:
    begin = open_start("none", kind="tagging")
    assert begin.setup.learner.depth == len(begin.setup.learner.backbone.layers) // 2 == 1
    assert begin.setup.learner.head.name == "tagger"
    names = ["frozen", "frozen, both"]
    assert [candidate.name for candidate in begin.candidates] == names
    assert begin.setup.transitions is None
