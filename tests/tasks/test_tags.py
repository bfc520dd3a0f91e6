"""metapeft.tasks.tags: mentions counted one by one, and renumbered types."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from metapeft.tasks.tags import Mentions, begins, class_of, mentions, mentions_of_tags, renumbered

SENTENCES = st.lists(st.lists(st.integers(0, 8), max_size=9), min_size=1, max_size=6)


def one_by_one(sentences: list[list[int]]) -> list[tuple[int, int, int]]:
    """Start, end and class of every mention, word after word."""
    found, offset = [], 0
    for tags in sentences:
        open_at = None
        for place, tag in enumerate([*tags, 0]):
            goes_on = open_at is not None and tag == 2 * open_at[1]
            if open_at is not None and not goes_on:
                found.append((offset + open_at[0], offset + place, open_at[1]))
                open_at = None
            if tag and not goes_on:
                open_at = (place, (tag + 1) // 2)
        offset += len(tags)
    return found


def flat(sentences: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([tag for tags in sentences for tag in tags], np.int32), np.array([len(tags) for tags in sentences])


def as_list(found: Mentions) -> list[tuple[int, int, int]]:
    return list(zip(*(part.tolist() for part in found), strict=True))


def test_tags_of_two_types():
    tags = np.array([0, 1, 2, 3, 4])
    np.testing.assert_array_equal(class_of(tags), [0, 1, 1, 2, 2])
    np.testing.assert_array_equal(begins(tags), [False, True, False, True, False])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(SENTENCES)
def test_mentions_are_those_found_word_by_word(sentences):
    assert as_list(mentions_of_tags(*flat(sentences))) == one_by_one(sentences)


def test_without_begins_neighbours_of_a_type_are_one_mention():
    classes, lengths = np.array([1, 1, 2, 0, 1, 1]), np.array([5, 1])
    assert as_list(mentions(classes, lengths)) == [(0, 2, 1), (2, 3, 2), (4, 5, 1), (5, 6, 1)]
    begin = np.array([True, True, True, False, False, False])
    assert as_list(mentions(classes, lengths, begin))[:2] == [(0, 1, 1), (1, 2, 1)]


def test_no_words_no_mentions():
    assert as_list(mentions(np.zeros(0, int), np.array([0, 0]))) == []


@settings(max_examples=100, deadline=None, derandomize=True)
@given(SENTENCES, st.permutations(range(4)), st.integers(0, 4))
def test_renumbered_types_keep_their_mentions_and_others_are_outside(sentences, order, count):
    tags, lengths = flat(sentences)
    types = np.array(order[:count], np.int64)
    places = {kind + 1: place + 1 for place, kind in enumerate(types.tolist())}
    expected = [(a, b, places[kind]) for a, b, kind in one_by_one(sentences) if kind in places]
    assert as_list(mentions_of_tags(renumbered(tags, types, 4), lengths)) == expected


def test_padding_stays():
    np.testing.assert_array_equal(renumbered(np.array([[3, 4, -100]]), np.array([1]), 2), [[1, 2, -100]])
