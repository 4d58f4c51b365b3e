"""Windows lose nothing, and each piece is read where it has the most context."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thinc.types import Ragged

from spacy_electra.tokenization.alignment import Pieces
from spacy_electra.tokenization.windows import make_windows

CLS, SEP = 1001, 1002
counts = st.lists(st.integers(0, 40), max_size=6)
shapes = st.integers(3, 14).flatmap(
    lambda window: st.tuples(st.just(window), st.integers(1, window - 2))
)


def pieces_of(sizes):
    """Docs whose ids are all different."""
    start, pieces = 0, []
    for size in sizes:
        ids = np.arange(start, start + size)
        start += size
        empty = np.zeros(0, dtype="i")
        pieces.append(Pieces(ids, np.zeros((size, 2), dtype=int), Ragged(empty, empty)))
    return pieces


def cut(sizes, shape):
    window, stride = shape
    return make_windows(
        pieces_of(sizes), window=window, stride=stride, cls_id=CLS, sep_id=SEP
    )


@settings(max_examples=200, deadline=None)
@given(sizes=counts, shape=shapes)
def test_merge_of_split_is_the_same(sizes, shape):
    windows = cut(sizes, shape)
    assert windows.input_ids[windows.piece_rows].tolist() == list(range(sum(sizes)))


@settings(max_examples=200, deadline=None)
@given(sizes=counts, shape=shapes)
def test_windows_have_their_form(sizes, shape):
    window, stride = shape
    windows = cut(sizes, shape)
    assert (np.diff(windows.lengths) >= 0).all()
    assert windows.lengths.sum() == len(windows.input_ids) == len(windows.position_ids)
    assert windows.windows_per_doc.sum() == len(windows.lengths)
    assert (windows.windows_per_doc >= 1).all()
    assert windows.input_ids[windows.cls_rows].tolist() == [CLS] * len(windows.lengths)
    begins = np.cumsum([0, *sizes])
    start = 0
    for length, doc in zip(windows.lengths, windows.docs, strict=True):
        ids = windows.input_ids[start : start + length]
        assert 2 <= length <= window
        assert (ids[0], ids[-1]) == (CLS, SEP)
        inside = ids[1:-1]
        assert (np.diff(inside) == 1).all()
        if len(inside):
            assert begins[doc] <= inside[0] and inside[-1] < begins[doc + 1]
            assert (inside[0] - begins[doc]) % stride == 0
        positions = windows.position_ids[start : start + length]
        assert positions.tolist() == list(range(length))
        start += length


@settings(max_examples=100, deadline=None)
@given(size=st.integers(1, 60), shape=shapes)
def test_each_piece_is_read_where_it_has_most_context(size, shape):
    window, stride = shape
    room = window - 2
    windows = cut([size], shape)
    number = windows.windows_per_doc[0]
    heads = windows.cls_rows
    for piece, row in enumerate(windows.piece_rows):

        def context(k, piece=piece):
            # Towards the end of a Doc no window has more than the Doc.
            return min(piece - k * stride, k * stride + room - 1 - piece)

        having = [k for k in range(number) if 0 <= piece - k * stride < room]
        chosen = [k for k in having if heads[k] + 1 + piece - k * stride == row]
        assert len(chosen) == 1
        if 0 < chosen[0] < number - 1:
            assert context(chosen[0]) == max(context(k) for k in having)


def test_doc_shorter_than_a_window_is_one_window():
    windows = cut([5, 0, 6], (8, 4))
    assert windows.windows_per_doc.tolist() == [1, 1, 1]
    assert windows.lengths.tolist() == [2, 7, 8]
    assert windows.docs.tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("shape", "name"), [((2, 1), "window"), ((8, 7), "stride"), ((8, 0), "stride")]
)
def test_impossible_shapes_are_named(shape, name):
    with pytest.raises(ValueError, match=name):
        cut([5], shape)
