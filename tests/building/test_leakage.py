"""metapeft.building.leakage: what is found, what is not, and which side loses it."""

from __future__ import annotations

import numpy as np
import pytest

from metapeft.building.leakage import THRESHOLD, AuditedTask, _shingles, audit, fingerprints

LONG = "the committee met on tuesday to discuss the new budget for schools and parks in the northern district "


def task(name: str, support: list[str], query: list[str], family: str = "f") -> AuditedTask:
    return AuditedTask(name, family, fingerprints(support), fingerprints(query))


def test_equal_up_to_case_and_space_is_dropped_from_the_query_side() -> None:
    findings = audit([task("a", ["Hello  World again"], ["hello world AGAIN", "something else entirely"])])
    assert findings.drop["a"] == {0}
    assert findings.counts["a"] == {"equal of support": 1}


def test_a_near_duplicate_is_found_and_a_different_text_is_not() -> None:
    near, different = LONG.replace("tuesday", "tuesdays"), "an unrelated sentence about cooking rice with saffron"
    findings = audit([task("a", [LONG], [near, different])])
    assert findings.drop["a"] == {0}
    assert findings.counts["a"] == {"near duplicate of support": 1}


@pytest.mark.parametrize("edit", [0, 1, 2, 4, 8, 16, 30])
def test_the_estimate_follows_the_true_similarity(edit: int) -> None:
    words = (LONG * 3).split()
    rng = np.random.default_rng(edit)
    changed = list(words)
    for place in rng.choice(len(words), edit, replace=False):
        changed[place] = "zebra"
    one, two = " ".join(words), " ".join(changed)
    a, b = (set(_shingles([text])[0].tolist()) for text in (one, two))
    true = len(a & b) / len(a | b)
    prints = fingerprints([one, two])
    estimate = float(np.mean(prints.signatures[0] == prints.signatures[1]))
    assert abs(true - estimate) < 0.2  # 64 permutations: a standard error of 0.06 at the most
    found = bool(audit([task("t", [one], [two])]).drop["t"])
    if true > 0.95:
        assert found
    if true < THRESHOLD - 0.2:
        assert not found


def test_within_one_pool_nothing_is_dropped() -> None:
    findings = audit([task("a", [LONG, LONG], ["x y z w v u t", "x y z w v u t"])])
    assert not findings.drop["a"]


def test_between_families_the_query_side_goes_and_a_tie_costs_the_later_task() -> None:
    shared = [LONG, "a second shared text of some length here"]
    one = task("one", ["own support text of one"], [shared[0], shared[1]], "f")
    two = task("two", [shared[1]], [shared[0], "own query text of two"], "g")
    findings = audit([one, two])
    assert findings.drop["two"] == {0}, "query against query: the later task loses"
    assert findings.drop["one"] == {1}, "query against another family's support"
    assert findings.counts["one"] == {"equal of family g": 1}


def test_within_a_family_texts_may_repeat_but_are_counted() -> None:
    findings = audit([task("one", ["p q r s t"], [LONG]), task("two", ["k l m n o"], [LONG])])
    assert not any(findings.drop.values())
    assert findings.within_family == {"f": 1}


def test_a_domain_shift_pair_is_held_apart_within_its_family() -> None:
    one, two = task("one", [LONG], ["a b c d e f g"]), task("two", ["h i j k l m"], [LONG])
    assert not any(audit([one, two]).drop.values())
    findings = audit([one, two], pairs=[("one", "two")])
    assert findings.drop["two"] == {0}
    assert findings.counts["two"] == {"equal of domain-shift support one": 1}


@pytest.mark.parametrize("text", ["", "a", "abcd", "\N{SNOWMAN}", "x" * 5000])
def test_texts_of_any_length_have_a_fingerprint(text: str) -> None:
    prints = fingerprints([text, text])
    assert prints.signatures.shape == (2, 64)
    assert np.array_equal(prints.signatures[0], prints.signatures[1])


def test_no_texts_have_no_fingerprints() -> None:
    prints = fingerprints([])
    assert prints.hashes.shape == (0,)
    assert prints.signatures.shape == (0, 64)


def test_a_texts_fingerprint_does_not_depend_on_its_neighbours() -> None:
    texts = [LONG, "", "short", LONG[::-1], "\N{SNOWMAN}" * 9] * 120  # more than one block
    together = fingerprints(texts)
    for place in (0, 1, 2, 3, 4, 255, 256, 599):
        assert np.array_equal(together.signatures[place], fingerprints([texts[place]]).signatures[0])
