"""metapeft.evaluation.protocol: digests of episodes, and tests that are apart from training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metapeft import build
from metapeft.building.leakage import fingerprints
from metapeft.episodes import Episode, EpisodeSampler
from metapeft.errors import EpisodeError, SuiteError
from metapeft.evaluation.protocol import (
    Origin,
    check_apart,
    episodes_sha256,
    near_duplicates,
    origin_of,
    source_of,
    track_of,
    unseen,
)
from metapeft.tasks import TaskDistribution
from metapeft.tasks.suite import Suite
from tests.tasks.made_tasks import text_task

TRACKS = ("class", "domain", "family")


def episodes(count: int = 3, seed: int = 0) -> list[Episode]:
    return EpisodeSampler(TaskDistribution([text_task()]), 2, 6, seed=seed).episodes(0, count)


def origin(task_id: str, family: str = "f", source: str = "", texts: tuple[int, ...] = ()) -> Origin:
    """A task; with a source and texts of its own unless said."""
    own = texts or (100 + sum(task_id.encode()), 200 + sum(task_id.encode()))
    return Origin(task_id, family, source or f"hub/{task_id}", np.array(sorted(own), np.uint64))


def test_a_digest_is_of_what_the_episodes_are_made_of() -> None:
    whole = episodes_sha256(episodes())
    assert whole == episodes_sha256(episodes())
    assert len(whole) == 64
    first, *others = episodes()
    changed = [
        replace(first, task_id="another"),
        replace(first, classes=first.classes[::-1]),
        replace(first, support_rows=first.support_rows[::-1]),
        replace(first, query_rows=first.query_rows + 1),
        replace(first, support_rows=first.query_rows, query_rows=first.support_rows),
    ]
    digests = {episodes_sha256([each, *others]) for each in changed}
    assert len(digests) == 5
    assert whole not in digests | {episodes_sha256(others), episodes_sha256([*others, first]), episodes_sha256([])}


def test_a_digest_knows_where_one_list_ends() -> None:
    first = episodes(1)[0]
    rows = np.arange(6)
    cuts = [replace(first, support_rows=rows[:cut], query_rows=rows[cut:]) for cut in (2, 3)]
    assert episodes_sha256(cuts[:1]) != episodes_sha256(cuts[1:])


def test_a_digest_does_not_depend_on_the_arrays_type() -> None:
    first = episodes(1)[0]
    other = replace(first, support_rows=first.support_rows.astype(np.int32).astype(">i4"))
    assert episodes_sha256([first]) == episodes_sha256([other])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"kind": "hub", "path": "a/b", "config": None, "data_dir": None}, "a/b"),
        ({"kind": "hub", "path": "a/b", "config": "c", "data_dir": "d"}, "a/b/c"),
        ({"kind": "hub", "path": "a/b", "config": None, "data_dir": "d"}, "a/b/d"),
        ({"kind": "files", "name": "mine", "files": {"x.csv": "00"}}, "files/mine"),
    ],
)
def test_sources_by_name(source, expected: str) -> None:
    assert source_of({"source": source}) == expected


def test_a_generator_set_otherwise_is_another_source() -> None:
    made = {"kind": "synthetic", "generator": "linear", "params": {"noise": 0.1}, "seed": 0}
    sources = [made, made | {"params": {"noise": 0.2}}, made | {"seed": 1}, made | {"generator": "spirals"}]
    assert len({source_of({"source": source}) for source in sources}) == 4
    assert source_of({"source": made}) == source_of({"source": dict(made)})


def test_tracks_from_near_to_far() -> None:
    seen = [origin("a", "f", "hub/one"), origin("b", "g")]
    assert track_of(origin("a", "f", "hub/one"), seen) == "episode"
    assert track_of(origin("c", "f", "hub/one"), seen) == "class"
    assert track_of(origin("c", "f"), seen) == "domain"
    assert track_of(origin("c", "h"), seen) == "family"
    assert track_of(origin("c", "f"), []) == "family"


@pytest.mark.parametrize("track", TRACKS)
def test_tasks_that_share_nothing_are_apart(track) -> None:
    check_apart([origin("a", "f")], [origin("b", "g")], [origin("c", "h"), origin("d", "h")], track)


@pytest.mark.parametrize("track", ["class", "domain"])
def test_parts_of_one_corpus_are_apart_but_for_a_held_out_family(track) -> None:
    parts = [origin("a", "f", "hub/one")], [], [origin("b", "f", "hub/one")]
    check_apart(*parts, track)
    with pytest.raises(EpisodeError, match="'b' shares the family f, the source hub/one with training task 'a'"):
        check_apart(*parts, "family")


@pytest.mark.parametrize("track", TRACKS)
def test_equal_texts_are_refused(track) -> None:
    test = [origin("c", "h", texts=(1, 2, 3))]
    with pytest.raises(EpisodeError, match="'c' shares 2 of 3 texts with validation task 'b'"):
        check_apart([origin("a")], [origin("b", "g", texts=(2, 3, 4))], test, track)


@pytest.mark.parametrize("track", TRACKS)
def test_a_task_of_training_is_refused(track) -> None:
    with pytest.raises(EpisodeError, match="'a' shares its id with training task 'a'"):
        check_apart([origin("a")], [], [origin("a")], track)


def test_new_episodes_of_known_tasks_are_a_track_of_their_own() -> None:
    check_apart([origin("a")], [], [origin("a")], "episode")


def test_a_test_without_the_texts_that_were_seen_is_apart() -> None:
    seen = [origin("a", texts=(1, 2)), origin("b", texts=(5,))]
    hashes = np.array([5, 3, 2, 3, 2**63], np.uint64)
    kept = unseen(hashes, seen)
    assert kept.tolist() == [False, True, False, True, True]
    assert unseen(hashes, []).all()
    check_apart(seen[:1], seen[1:], [replace(origin("c"), texts=np.unique(hashes[kept]))], "domain")


def test_near_duplicates_are_found_and_equal_texts_left_to_others() -> None:
    long = "the battery of this phone lasted two full days and then it would not charge at all any more"
    other = "a quiet film about a lighthouse keeper who writes letters to nobody in particular every night"
    test = [fingerprints([long, other, "a short one"]), fingerprints([]), fingerprints([other + "."])]
    seen = [fingerprints(["nothing like it in any way"]), fingerprints([long + "!", other, long]), fingerprints([long])]
    found = near_duplicates(test, seen)
    assert [rows.tolist() for rows in found] == [[1, -1, -1], [], [1]]
    assert [rows.tolist() for rows in near_duplicates(test, [])] == [[-1, -1, -1], [], [-1]]


@pytest.mark.parametrize("track", TRACKS)
def test_near_duplicates_that_were_not_left_out_are_refused(track) -> None:
    test = [replace(origin("c", "h"), near={"a": 12})]
    with pytest.raises(
        EpisodeError, match="'c' shares near duplicates of 12 more rows with training task 'a'"
    ) as caught:
        check_apart([origin("a")], [origin("b", "g")], test, track)
    assert "'b'" not in str(caught.value)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(EpisodeError) as caught:
        check_apart([origin("a", "f"), origin("b", "g")], [origin("c", "f")], [origin("d", "f")], "family")
    assert "training task 'a'" in str(caught.value)
    assert "validation task 'c'" in str(caught.value)
    assert "'b'" not in str(caught.value)


def test_tasks_of_a_suite(tmp_path: Path) -> None:
    assert build.main(["recipe=quickstart", f"out={tmp_path / 'suite'}", "quiet=true"]) == 0
    suite = Suite(tmp_path / "suite")
    made = {task.id: origin_of(suite, task.id) for task in suite.tasks}
    names = list(made)
    assert len({each.source for each in made.values()}) == len(names)
    for each in made.values():
        assert (np.diff(each.texts.astype(object)) > 0).all()
        assert len(each.texts) > 10
    families = {each.family for each in made.values()}
    held_out = sorted(families)[0]
    test = [each for each in made.values() if each.family == held_out]
    others = [each for each in made.values() if each.family != held_out]
    assert [track_of(each, others) for each in test] == ["family"] * len(test)
    with pytest.raises(EpisodeError, match="its id"):
        check_apart(others, test[:1], test, "domain")
    with pytest.raises(SuiteError, match="no task"):
        origin_of(suite, "none")
