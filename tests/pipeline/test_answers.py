from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_electra.layers.units import PlaceOutputs
from spacy_electra.pipeline.answers import (
    answer_loss,
    best_spans,
    find_answers,
    targets_of,
    window_cross_entropy,
)
from spacy_electra.tokenization.alignment import Pieces


def places(read, seen=None, values=None, seed=0):
    """Windows that each read so many pieces, which are two characters and a blank."""
    count = sum(read)
    ends = np.cumsum(read)
    if seen is None:
        seen = np.stack([ends - read, ends], axis=1)
    starts = 3 * np.arange(count)
    offsets = np.stack([starts, starts + 2], axis=1)
    if values is None:
        values = np.random.default_rng(seed).normal(size=(count + len(read), 2))
    pieces = Pieces(np.zeros(count, dtype=np.int64), offsets, None)
    return PlaceOutputs(
        np.asarray(values, dtype="f"), np.array(read) + 1, np.array(seen), pieces
    )


def characters(first, last):
    """Where the pieces from one to another are."""
    return [(3 * first, 3 * last + 2, 1.0)]


@given(
    st.lists(st.integers(-2, 2), min_size=1, max_size=12),
    st.integers(1, 15),
    st.randoms(use_true_random=False),
)
def test_best_spans_are_all_spans_in_their_order(starts, longest, chance):
    ends = [chance.randint(-2, 2) for _ in starts]
    found = list(best_spans(np.array(starts, float), np.array(ends, float), longest))
    size = range(len(starts))
    expected = [
        (i, j, starts[i] + ends[j]) for i in size for j in size if i <= j < i + longest
    ]
    expected.sort(key=lambda span: (-span[2], span[0], span[1]))
    assert found == expected


def test_answers_have_probabilities_and_differ_in_their_key():
    values = [[1.0, 2.0], [3.0, 0.5], [0.0, 1.5], [-1.0, 0.0]]
    outputs = places([3], values=values)
    found, margin = find_answers(outputs, 2, 10, key=lambda *span: span)
    start = np.exp([1.0, 3.0, 0.0, -1.0])
    end = np.exp([2.0, 0.5, 1.5, 0.0])
    start, end = start / start.sum(), end / end.sum()
    expected = [(1, 2), (1, 1), (2, 2), (2, 3), (3, 3)]
    assert [(s // 3 + 1, e // 3 + 1) for s, e, _ in found] == expected
    for (i, j), (_, _, probability) in zip(expected, found, strict=True):
        assert probability == pytest.approx(start[i] * end[j])
    assert margin == pytest.approx(1.0 + 2.0 - (3.0 + 1.5))
    # One of those that have the same first character.
    found, again = find_answers(outputs, 2, 10, key=lambda start, end: start)
    assert [(s // 3, e // 3) for s, e, _ in found] == [(0, 1), (1, 1), (2, 2)]
    assert again == margin
    assert len(find_answers(outputs, 2, 2, key=lambda *span: span)[0]) == 2


def test_no_answer_counts_for_as_much_as_in_the_window_where_it_is_least():
    values = [[5.0, 5.0], [0.0, 0.0], [1.0, -3.0], [0.0, 4.0]]
    found, margin = find_answers(places([1, 1], values=values), 30, 9, lambda *s: s)
    assert margin == -2.0 - 4.0
    start, end = np.exp([0.0, 0.0, 1.0]), np.exp([0.0, 4.0, -3.0])
    expected = start[0] / start.sum() * end[1] / end.sum()
    assert found[0] == (0, 5, pytest.approx(expected))


def test_text_without_pieces_has_no_answer():
    assert find_answers(places([0]), 30, 5, lambda *s: s) == ([], float("inf"))


def test_windows_learn_the_places_that_are_read_in_them():
    outputs = places([3, 2, 4])
    cls = [0, 4, 7]
    assert outputs.cls_rows.tolist() == cls
    assert targets_of(outputs, []).tolist() == [[row, row] for row in cls]
    assert targets_of(outputs, None).tolist() == [[-1, -1]] * 3
    # Pieces 1 to 2 are read in the first window.
    found = targets_of(outputs, characters(1, 2))
    assert found.tolist() == [[2, 3], [4, 4], [7, 7]]
    # Pieces 2 to 5: the second window is in the middle of it.
    found = targets_of(outputs, characters(2, 5))
    assert found.tolist() == [[3, -1], [-1, -1], [-1, 8]]
    # Only the first of several right answers counts.
    found = targets_of(outputs, [*characters(3, 3), *characters(0, 0)])
    assert found.tolist() == [[0, 0], [5, 5], [7, 7]]
    # Part of a piece is the piece, and white space is none.
    assert targets_of(outputs, [(1, 2, 1.0)]).tolist() == [[1, 1], [4, 4], [7, 7]]
    assert targets_of(outputs, [(2, 3, 1.0)]).tolist() == [[-1, -1]] * 3


def test_window_that_sees_an_answer_read_in_another_counts_for_nothing():
    outputs = places([3, 3], seen=[[0, 5], [1, 6]])
    assert targets_of(outputs, characters(1, 2)).tolist() == [[2, 3], [-1, -1]]
    # It sees only part of this one.
    assert targets_of(outputs, characters(0, 2)).tolist() == [[1, 3], [4, 4]]


def test_cross_entropy_within_windows():
    logits = np.array([0.0, 1.0, 2.0, 500.0, -500.0, 3.0])
    sizes, targets = np.array([3, 2, 1]), np.array([1, -1, 5])
    loss, gradient = window_cross_entropy(logits, sizes, targets)
    shares = np.exp([0.0, 1.0, 2.0]) / np.exp([0.0, 1.0, 2.0]).sum()
    assert loss == pytest.approx(-np.log(shares[1]) / 2)
    expected = [*(shares - [0, 1, 0]) / 2, 0.0, 0.0, 0.0]
    np.testing.assert_allclose(gradient, expected, atol=1e-12)
    loss, gradient = window_cross_entropy(logits, sizes, np.full(3, -1))
    assert loss == 0.0 and not gradient.any()


def test_gradient_of_the_loss_is_its_slope():
    outputs = [
        places([3, 2], seed=1),
        places([0], seed=2),
        places([2], seed=3),
        places([1, 2], seed=4),
    ]
    outputs = [replace(each, values=each.values.astype(float)) for each in outputs]
    gold = [characters(2, 3), [], None, characters(1, 1)]
    loss, gradients = answer_loss(outputs, gold)
    assert loss > 0 and [part.shape for part in gradients] == [
        part.values.shape for part in outputs
    ]
    for part, gradient in zip(outputs, gradients, strict=True):
        values = part.values
        slopes = np.zeros_like(values)
        for place in np.ndindex(values.shape):
            sides = []
            for step in (1e-4, -1e-4):
                values[place] += step
                sides.append(answer_loss(outputs, gold)[0])
                values[place] -= step
            slopes[place] = (sides[0] - sides[1]) / 2e-4
        np.testing.assert_allclose(gradient, slopes, atol=1e-6)
    assert answer_loss([], []) == (0.0, [])
