"""Pieces belong to the spaCy tokens that they share a character with."""

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.alignment import align, align_spans, joined
from spacy_electra.tokenization.bounds import token_starts

NLP = spacy.blank("en")
TOKENIZER = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))
CHARACTERS = "aZé\u0301 .,'-\n\t\x0c#[]1漢한글ßİ½👍\u200d\u200b"
texts = st.lists(
    st.one_of(
        st.text(alphabet=CHARACTERS, max_size=30),
        st.text(max_size=15),
        st.sampled_from(["isn't", "cannot", "[MASK]", "gimme", "1990s", "U.S.A."]),
    ),
    max_size=6,
).map(" ".join)


def expected_rows(doc, offsets):
    """For each token but white space the pieces that overlap it, pair by pair."""
    rows = []
    for token in doc:
        start, end = token.idx, token.idx + len(token)
        rows.append(
            [
                i
                for i, (first, behind) in enumerate(offsets)
                if first < end and behind > start and not token.is_space
            ]
        )
    return rows


@settings(max_examples=150, deadline=None)
@given(parts=st.lists(texts, max_size=4))
def test_alignment_equals_overlap_pair_by_pair(parts):
    docs = [NLP.make_doc(text) for text in parts]
    for doc, pieces in zip(docs, align(docs, TOKENIZER), strict=True):
        assert len(pieces.alignment.lengths) == len(doc)
        rows = [pieces.alignment[i].dataXd.ravel().tolist() for i in range(len(doc))]
        assert rows == expected_rows(doc, pieces.offsets.tolist())


@settings(max_examples=100, deadline=None)
@given(text=texts)
def test_every_kept_character_of_a_token_is_covered_in_order(text):
    doc = NLP.make_doc(text)
    (pieces,) = align([doc], TOKENIZER)
    kept = {
        c for first, behind in pieces.offsets.tolist() for c in range(first, behind)
    }
    for token in doc:
        rows = pieces.alignment[token.i].dataXd.ravel()
        assert (np.diff(rows) > 0).all()
        covered = {c for i in rows for c in range(*pieces.offsets[i].tolist())}
        inside = set(range(token.idx, token.idx + len(token)))
        if token.is_space:
            assert len(rows) == 0
        else:
            assert inside & kept <= covered


def test_ids_are_those_of_the_whole_text():
    text = "It isn't  easy:\n the river floods unaffably."
    (pieces,) = align([NLP.make_doc(text)], TOKENIZER)
    assert pieces.ids.tolist() == TOKENIZER.encode_batch([text])[0].ids.tolist()


def test_piece_across_tokens_belongs_to_both():
    doc = Doc(NLP.vocab, words=["can", "not", "go"], spaces=[False, True, False])
    (pieces,) = align([doc], TOKENIZER)
    assert TOKENIZER.tokenize("cannot") == ["cannot"]
    assert pieces.alignment[0].dataXd.ravel().tolist() == [0]
    assert pieces.alignment[1].dataXd.ravel().tolist() == [0]


def test_white_space_inside_a_piece_has_none():
    doc = NLP.make_doc("0\x0c0")
    (pieces,) = align([doc], TOKENIZER)
    assert TOKENIZER.tokenize(doc.text) == ["00"]
    assert [token.is_space for token in doc] == [False, True, False]
    assert pieces.alignment.lengths.tolist() == [1, 0, 1]


def test_empty_docs_and_no_docs():
    docs = [NLP.make_doc(text) for text in ("", "word", " \n ", "")]
    pieces = align(docs, TOKENIZER)
    assert [len(part) for part in pieces] == [0, 1, 0, 0]
    assert [len(part.alignment.lengths) for part in pieces] == [0, 1, 1, 0]
    assert list(align([], TOKENIZER)) == []


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(texts, min_size=2, max_size=4))
def test_a_doc_alone_has_what_it_has_among_others(parts):
    docs = [NLP.make_doc(text) for text in parts]
    for doc, among in zip(docs, align(docs, TOKENIZER), strict=True):
        (alone,) = align([doc], TOKENIZER)
        (of_span,) = align_spans([doc[:]], TOKENIZER)
        for found in (alone, of_span):
            np.testing.assert_array_equal(found.ids, among.ids)
            np.testing.assert_array_equal(found.offsets, among.offsets)
            for name in ("dataXd", "lengths"):
                own, expected = (getattr(p.alignment, name) for p in (found, among))
                np.testing.assert_array_equal(own, expected)
                assert own.dtype == expected.dtype


@pytest.mark.parametrize("text", ["", "one", "Two  words,\nthree. 👍🏽 é"])
def test_token_starts_are_idx(text):
    doc = NLP.make_doc(text)
    assert token_starts(doc).tolist() == [token.idx for token in doc]


def test_treebank_with_other_tokens(shared_data):
    file = next((shared_data / "ud_korean_kaist").glob("*dev.conllu"))
    sentences = file.read_text(encoding="utf8").strip().split("\n\n")[:200]
    docs = []
    for sentence in sentences:
        rows = [line.split("\t") for line in sentence.splitlines() if line[0] != "#"]
        rows = [row for row in rows if row[0].isdigit()]
        words = [row[1] for row in rows]
        spaces = ["SpaceAfter=No" not in row[9] for row in rows]
        docs.append(Doc(NLP.vocab, words=words, spaces=spaces))
    for doc, pieces in zip(docs, align(docs, TOKENIZER), strict=True):
        rows = [pieces.alignment[i].dataXd.ravel().tolist() for i in range(len(doc))]
        assert rows == expected_rows(doc, pieces.offsets.tolist())
        assert all(rows)


JAPANESE = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "東京", "##都", "に", "行く"]


def japanese_tokenizer():
    return ElectraTokenizer(
        {piece: number for number, piece in enumerate(JAPANESE)},
        normalizer={"type": "NFKC"},
        pre_tokenizer={"type": "WhitespaceSplit"},
        words="spacy",
    )


def test_tokens_are_the_words_where_the_tokenizer_takes_words():
    words = ["東京都", "に", " ", "行く", "猫"]
    doc = Doc(NLP.vocab, words=words, spaces=[False, True, False, False, False])
    empty = Doc(NLP.vocab)
    pieces, nothing = align([doc, empty], japanese_tokenizer())
    assert [JAPANESE[number] for number in pieces.ids] == [
        *["東京", "##都", "に", "行く", "[UNK]"]
    ]
    assert pieces.offsets.tolist() == [[0, 2], [2, 3], [3, 4], [6, 8], [8, 9]]
    assert pieces.alignment.lengths.tolist() == [2, 1, 0, 1, 1]
    assert pieces.alignment[3].dataXd.ravel().tolist() == [3]
    assert (len(nothing), len(nothing.alignment.lengths)) == (0, 0)


def test_spans_are_texts_of_words_as_well():
    doc = Doc(NLP.vocab, words=["猫", "東京都", "に", "行く"], spaces=[True] * 4)
    spans = [doc[1:3], doc[2:2], doc[0:4]]
    inner, empty, whole = align_spans(spans, japanese_tokenizer())
    assert inner.offsets.tolist() == [[0, 2], [2, 3], [4, 5]]
    assert inner.alignment.lengths.tolist() == [2, 1]
    assert len(empty) == 0
    (of_doc,) = align([doc], japanese_tokenizer())
    assert whole.ids.tolist() == of_doc.ids.tolist()
    assert whole.offsets.tolist() == of_doc.offsets.tolist()


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(texts, max_size=4))
def test_texts_in_one_row_are_those_that_are_taken_from_it(parts):
    row = align([NLP.make_doc(text) for text in parts], TOKENIZER)
    again = joined(list(row))
    for name in ("ids", "offsets", "counts", "rows", "sizes", "token_counts"):
        np.testing.assert_array_equal(getattr(again, name), getattr(row, name))
    unknown = [is_unknown for part in row for is_unknown in part.unknown.tolist()]
    assert row.unknown.tolist() == np.flatnonzero(unknown).tolist()
    assert joined(row) is row
    assert len(row[1:]) == max(len(parts) - 1, 0)
    if parts:
        assert row[-1].ids.tolist() == row[len(parts) - 1].ids.tolist()
    with pytest.raises(IndexError):
        row[len(parts)]
