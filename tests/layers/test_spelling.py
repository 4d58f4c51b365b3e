"""Edits between words, and what words weigh by them."""

import numpy as np
import pytest

from spacy_electra.layers.spelling import (
    KNOWN,
    UNKNOWN,
    Channel,
    Slips,
    Words,
    edits,
    with_a_swap,
)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("the", "the", 0),
        ("teh", "the", 1),
        ("recieve", "receive", 1),
        ("stor", "store", 1),
        ("stoore", "store", 1),
        ("stare", "store", 1),
        ("knwo", "snow", 2),
        ("unbeleivably", "unbelievable", 2),
        ("", "abc", 3),
        ("ab", "abcdef", None),
        ("weather", "banana", None),
    ],
)
def test_a_swap_of_neighbours_is_one_edit(one, other, expected):
    assert edits(one, other, most=3) == expected
    assert edits(other, one, most=3) == expected


def test_words_with_a_swap():
    assert with_a_swap("abc") == ["bac", "acb"]
    assert with_a_swap("aab") == ["aba"]
    assert with_a_swap("a") == with_a_swap("") == []


def test_a_word_weighs_more_the_fewer_edits_lead_to_it():
    words = Words.of(["receive", "relieved", "banana", "Recieve", ",", "12"])
    weights = Channel("Recieve", UNKNOWN)(words)
    one, two = np.logaddexp(0, 12.0), np.logaddexp(0, 8.0)
    assert weights == pytest.approx([one, two, 0.0, -np.inf, -np.inf, 0.0])


def test_a_slip_counts_for_less_in_a_word_that_the_vocabulary_has():
    words = Words.of(["store", "stay"])
    (known, _), (unknown, _) = (Channel("story", s)(words) for s in (KNOWN, UNKNOWN))
    assert 0 < known < unknown
    # Beyond the number of edits that tells something, all are alike.
    assert Channel("stxxx", Slips(8.0, 4.0))(words).tolist() == [0.0, 0.0]
    # An edit of a longer word tells more, for it has fewer neighbours.
    long, short = Words.of(["weather"]), Words.of(["in", "weather"])
    assert Channel("whether", KNOWN)(long)[0] > 3 > Channel("on", KNOWN)(short)[0]


def test_punctuation_is_a_candidate_for_punctuation_alone():
    words = Words.of([",", ".", "and"])
    assert Channel(".", KNOWN)(words).tolist()[1] == -np.inf
    assert np.isfinite(Channel(".", KNOWN)(words)[[0, 2]]).all()
    assert Channel("and", KNOWN)(words).tolist() == [-np.inf] * 3
