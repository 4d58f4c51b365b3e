"""Windows lose nothing, and each piece is read where it has the most context."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thinc.types import Ragged

from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.alignment import Pieces
from spacy_electra.tokenization.windows import (
    FixedText,
    make_windows,
    with_specials,
)

CLS, SEP = 1001, 1002
TOKENIZER = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))
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


@settings(max_examples=100, deadline=None)
@given(size=st.integers(0, 20), shape=shapes)
def test_a_text_alone_has_what_it_has_by_the_general_way(size, shape):
    window, stride = shape
    pieces = pieces_of([size])
    own = {"window": window, "stride": stride, "cls_id": CLS, "sep_id": SEP}
    # To say that there is no fixed text is to go the way of several texts.
    alone, general = make_windows(pieces, **own), make_windows(pieces, [None], **own)
    for field in general._fields:
        found, expected = (getattr(w, field) for w in (alone, general))
        np.testing.assert_array_equal(found, expected, err_msg=field)
        assert found.dtype == expected.dtype


@settings(max_examples=200, deadline=None)
@given(sizes=counts, shape=shapes)
def test_windows_have_their_form(sizes, shape):
    window, stride = shape
    windows = cut(sizes, shape)
    assert (np.diff(windows.lengths) >= 0).all()
    assert windows.lengths.sum() == len(windows.input_ids) == len(windows.position_ids)
    assert windows.windows_per_text.sum() == len(windows.lengths)
    assert (windows.windows_per_text >= 1).all()
    assert windows.input_ids[windows.cls_rows].tolist() == [CLS] * len(windows.lengths)
    begins = np.cumsum([0, *sizes])
    start = 0
    docs = np.repeat(np.arange(len(sizes)), windows.windows_per_text)
    # The windows lie in the order of their length, those of a length in that of texts.
    docs = docs[np.argsort(windows.cls_rows)]
    for length, doc in zip(windows.lengths, docs, strict=True):
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
    number = windows.windows_per_text[0]
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
    assert windows.windows_per_text.tolist() == [1, 1, 1]
    assert windows.lengths.tolist() == [2, 7, 8]
    assert windows.cls_rows.tolist() == [2, 0, 9]
    assert windows.sep_rows.tolist() == [8, 1, 16]
    assert not windows.token_type_ids.any()


@pytest.mark.parametrize(
    ("shape", "name"), [((2, 1), "window"), ((8, 7), "stride"), ((8, 0), "stride")]
)
def test_impossible_shapes_are_named(shape, name):
    with pytest.raises(ValueError, match=name):
        cut([5], shape)


def test_specials_stand_around_ids():
    framed = with_specials(np.array([5, 6]), CLS, SEP)
    assert framed.tolist() == [CLS, 5, 6, SEP] and framed.dtype == np.int64
    assert with_specials(np.zeros(0, dtype=int), CLS, SEP).tolist() == [CLS, SEP]


@st.composite
def texts_with_fixed_ones(draw):
    window = draw(st.integers(4, 24))
    stride = draw(st.integers(1, window - 2))
    longest = window - 3 - max(window // 4, 1)
    kinds = st.sampled_from(["none", "before", "after"])
    texts = draw(
        st.lists(
            st.tuples(st.integers(0, 40), kinds, st.integers(0, longest)), max_size=6
        )
    )
    return texts, window, stride


def brute_force(pieces, fixed, window, stride):
    """The windows of one text, each as (ids, types, first piece, pieces)."""
    ids = pieces.ids.tolist()
    if fixed is None:
        before, after, types = [CLS], [SEP], (0, 0, 0)
    elif fixed.is_first:
        before, after, types = [CLS, *fixed.ids, SEP], [SEP], (0, 1, 1)
    else:
        before, after, types = [CLS], [SEP, *fixed.ids, SEP], (0, 0, 1)
    room = window - len(before) - len(after)
    stride = max(1, stride * room // (window - 2))
    start, windows = 0, []
    while True:
        part = ids[start : start + room]
        all_types = [types[0]] * len(before) + [types[1]] * len(part)
        # The [SEP] after the first text belongs to it.
        all_types += [types[1]] + [types[2]] * (len(after) - 1)
        windows.append(([*before, *part, *after], all_types, start, len(before)))
        if start + room >= len(ids):
            return windows, room
        start += stride


@settings(max_examples=300, deadline=None)
@given(case=texts_with_fixed_ones())
def test_windows_with_fixed_texts_equal_brute_force(case):
    texts, window, stride = case
    pieces = pieces_of([size for size, _, _ in texts])
    fixed = [
        None
        if kind == "none"
        else FixedText(
            "", np.arange(500 + 30 * n, 500 + 30 * n + size), kind == "before"
        )
        for n, (_, kind, size) in enumerate(texts)
    ]
    windows = make_windows(
        pieces, fixed, window=window, stride=stride, cls_id=CLS, sep_id=SEP
    )
    ends = windows.lengths.cumsum()
    sizes = dict(zip((ends - windows.lengths).tolist(), windows.lengths, strict=True))
    assert (np.diff(windows.lengths) >= 0).all()
    assert windows.lengths.max(initial=0) <= window
    assert sorted(windows.cls_rows.tolist()) == sorted(sizes)
    number = piece_number = 0
    for part, text, count in zip(pieces, fixed, windows.windows_per_text, strict=True):
        expected, room = brute_force(part, text, window, stride)
        assert count == len(expected)
        own = []
        for ids, types, start, offset in expected:
            head = windows.cls_rows[number]
            rows = slice(head, head + sizes[head])
            assert windows.input_ids[rows].tolist() == ids
            assert windows.token_type_ids[rows].tolist() == types
            assert windows.position_ids[rows].tolist() == list(range(len(ids)))
            assert windows.starts[number] == start
            held = min(room, len(part) - start)
            assert windows.sep_rows[number] == head + offset + held
            own.append((head + offset, start, held))
            number += 1
        for piece in range(len(part)):
            # The window whose middle is nearest; of two as near the later.
            nearest = [
                (abs(2 * piece - (2 * start + room - 1)), -start, head + piece - start)
                for head, start, held in own
                if start <= piece < start + held
            ]
            assert windows.piece_rows[piece_number] == min(nearest)[2]
            piece_number += 1
    assert piece_number == len(windows.piece_rows)


def pair_windows(texts, fixed, is_first, window, stride):
    encoded = [TOKENIZER.encode_batch([text])[0] for text in texts]
    nothing = Ragged(np.zeros(0, dtype="i"), np.zeros(0, dtype="i"))
    pieces = [Pieces(part.ids, part.offsets, nothing) for part in encoded]
    ids = [None if text is None else TOKENIZER.encode_ids([text])[0] for text in fixed]
    return make_windows(
        pieces,
        [
            None if part is None else FixedText(text, part, is_first)
            for text, part in zip(fixed, ids, strict=True)
        ],
        window=window,
        stride=stride,
        cls_id=TOKENIZER.cls_token_id,
        sep_id=TOKENIZER.sep_token_id,
    )


def in_order(windows):
    """Ids and types of each window, in the order of the texts."""
    sizes = windows.lengths[
        np.searchsorted(np.sort(windows.cls_rows), windows.cls_rows)
    ]
    for head, size in zip(windows.cls_rows, sizes, strict=True):
        rows = slice(head, head + size)
        yield windows.input_ids[rows].tolist(), windows.token_type_ids[rows].tolist()


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("tokenizer")
    TOKENIZER.save_pretrained(folder)
    return transformers.ElectraTokenizerFast.from_pretrained(folder)


CONTEXTS = [
    "The chef cooked the meal; it isn't easy. " * 3,
    "",
    "Unaffably floods the valley, every spring \u4eca\u65e5.",
    "yes",
]
QUESTIONS = ["Who cooked the meal?", "What floods?", "", "Is it so, in spite of all?"]


@pytest.mark.parametrize("is_first", [True, False])
def test_pairs_are_those_of_transformers(theirs, is_first):
    windows = pair_windows(CONTEXTS, QUESTIONS, is_first, 128, 96)
    pairs = (QUESTIONS, CONTEXTS) if is_first else (CONTEXTS, QUESTIONS)
    expected = theirs(*pairs)
    found = list(in_order(windows))
    assert [ids for ids, _ in found] == expected["input_ids"]
    assert [types for _, types in found] == expected["token_type_ids"]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("stride", [1, 9, 17, 30])
def test_windows_of_pairs_are_those_of_transformers(theirs, is_first, stride):
    context, question, window = CONTEXTS[0] * 4, QUESTIONS[3], 32
    windows = pair_windows([context], [question], is_first, window, stride)
    room = window - 3 - len(TOKENIZER.encode_ids([question])[0])
    pair = (question, context) if is_first else (context, question)
    expected = theirs(
        *pair,
        max_length=window,
        # Theirs is the overlap, that of ours which is in proportion to the room.
        stride=room - max(1, stride * room // (window - 2)),
        truncation="only_second" if is_first else "only_first",
        return_overflowing_tokens=True,
    )
    found = list(in_order(windows))
    assert len(found) > 3
    assert [ids for ids, _ in found] == expected["input_ids"]
    assert [types for _, types in found] == expected["token_type_ids"]


def test_empty_text_beside_a_fixed_one_is_one_window():
    windows = pair_windows(["", ""], ["who?", None], True, 16, 4)
    assert windows.windows_per_text.tolist() == [1, 1]
    (ids, types), (alone, _) = in_order(windows)
    assert ids == [*TOKENIZER("who?").ids, TOKENIZER.sep_token_id]
    assert types == [0] * (len(ids) - 1) + [1]
    assert alone == [TOKENIZER.cls_token_id, TOKENIZER.sep_token_id]
    assert len(windows.piece_rows) == 0


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("window", [4, 5, 12, 13, 14, 15, 16, 128])
def test_fixed_text_that_is_too_long_is_named_with_the_window_that_it_needs(
    window, is_first
):
    least = max(window // 4, 1)
    longest = window - 3 - least

    def cut_with(size, window):
        fixed = FixedText("who " * 40, np.zeros(size, dtype=int), is_first)
        return make_windows(
            pieces_of([50]), [fixed], window=window, stride=1, cls_id=CLS, sep_id=SEP
        )

    assert cut_with(longest, window).lengths.max() == window
    with pytest.raises(ValueError, match="SE120") as error:
        cut_with(longest + 1, window)
    message = str(error.value)
    assert f"{longest + 1} pieces" in message and f"window of {window}" in message
    assert "'who who" in message and len(message) < 400
    needed = int(message.split("window = ")[1].split()[0])
    assert needed > window
    cut_with(longest + 1, needed)
    with pytest.raises(ValueError, match="SE120"):
        cut_with(longest + 1, needed - 1)


def test_windows_of_a_long_text_take_memory_in_proportion():
    sizes = []
    for repeats in (1, 2):
        fixed = FixedText("", np.arange(40), True)
        windows = make_windows(
            pieces_of([20_000 * repeats]),
            [fixed],
            window=128,
            stride=96,
            cls_id=CLS,
            sep_id=SEP,
        )
        sizes.append(len(windows.input_ids))
    assert 1.9 < sizes[1] / sizes[0] < 2.1
    assert sizes[0] < 4 * 20_000
