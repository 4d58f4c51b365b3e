"""Hangul in syllables and in letters: pieces, offsets, alignment to any tokens."""

import unicodedata

import numpy as np
import pytest
import spacy
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from korean import NFC_FIRST, korean_tokenizer, set_up_mecab, texts
from spacy.tokens import Doc

from spacy_electra.tokenization.alignment import align, align_spans
from spacy_electra.tokenization.marks import is_joined, reach_marks

RULE = {"nlp": {"tokenizer": {"@tokenizers": "spacy.Tokenizer.v1"}}}
NLP = spacy.blank("ko", config=RULE)
PLAIN = korean_tokenizer()
JOINING = korean_tokenizer(normalizer=NFC_FIRST)
SETTINGS = [
    {"do_lower_case": False},
    {"do_lower_case": True},
    {"do_lower_case": True, "strip_accents": False},
    {"do_lower_case": False, "strip_accents": True},
    {"do_lower_case": False, "tokenize_chinese_chars": False, "clean_text": False},
]


def nfc(text):
    return unicodedata.normalize("NFC", text)


def nfd(text):
    return unicodedata.normalize("NFD", text)


def pieces_of(text, tokenizer):
    (pieces,) = align([NLP.make_doc(text)], tokenizer)
    return tokenizer.convert_ids_to_tokens(pieces.ids.tolist()), pieces.offsets.tolist()


def rows_of(pieces, doc):
    return [pieces.alignment[i].dataXd.ravel().tolist() for i in range(len(doc))]


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def both(request, tmp_path_factory):
    """Our tokenizer and that of Transformers, from one folder."""
    folder = tmp_path_factory.mktemp("korean")
    ours = korean_tokenizer(**request.param)
    ours.save_pretrained(folder)
    return ours, transformers.ElectraTokenizerFast.from_pretrained(folder)


@settings(max_examples=40)
@given(text=texts)
def test_ids_and_offsets_are_those_of_transformers(both, text):
    ours, theirs = both
    for form in (text, nfc(text), nfd(text)):
        found = ours(form, return_offsets_mapping=True)
        expected = theirs(form, return_offsets_mapping=True)
        assert found["input_ids"] == expected["input_ids"]
        assert found["offset_mapping"] == expected["offset_mapping"]


@settings(max_examples=100)
@given(text=texts)
def test_text_in_letters_gets_the_pieces_of_its_syllables(text):
    text = nfc(text)
    whole, places = pieces_of(text, JOINING)
    apart, others = pieces_of(nfd(text), JOINING)
    assert apart == whole
    # And each piece has the same part of the text, written the other way.
    for (start, end), (first, behind) in zip(places, others, strict=True):
        assert nfc(nfd(text)[first:behind]) == nfc(text[start:end])


@settings(max_examples=100)
@given(text=texts)
def test_offsets_spell_the_pieces(text):
    for form in (nfc(text), nfd(text)):
        for piece, (start, end) in zip(*pieces_of(form, JOINING), strict=True):
            if piece not in JOINING.all_special_tokens:
                kept = "".join(c for c in form[start:end] if c not in "\u200b\u200d")
                assert nfc(kept) == piece.removeprefix("##")


@settings(max_examples=80)
@given(text=texts, data=st.data())
def test_tokens_cut_anywhere_have_the_pieces_of_their_characters(text, data):
    """Morphemes end inside of syllables, where text is in letters."""
    for form in (nfc(text), nfd(text)):
        words, spaces = cut(form, data)
        doc = Doc(NLP.vocab, words=words, spaces=spaces)
        for tokenizer in (PLAIN, JOINING):
            (pieces,) = align([doc], tokenizer)
            offsets = pieces.offsets.tolist()
            for token, row in zip(doc, rows_of(pieces, doc), strict=True):
                start, end = token.idx, token.idx + len(token)
                overlap = [
                    n for n, (a, b) in enumerate(offsets) if a < end and b > start
                ]
                assert row == ([] if token.is_space else overlap)
                # No letter of Hangul is lost, though a mark at the start of a text is.
                if any(unicodedata.category(c) in ("Lo", "Ll") for c in token.text):
                    assert row, (form, token.text)


def cut(text, data):
    """Words of a text, ending anywhere, and whether a blank follows each."""
    words, spaces = [], []
    for part in text.split():
        while part:
            size = data.draw(st.integers(1, len(part)))
            words.append(part[:size])
            spaces.append(False)
            part = part[size:]
        spaces[-1] = True
    return words, spaces


@settings(max_examples=40)
@given(text=texts)
def test_spans_are_aligned_as_texts_of_their_own(text):
    doc = NLP.make_doc(nfd(text))
    spans = [doc[n : n + 2] for n in range(len(doc))]
    for span, pieces in zip(spans, align_spans(spans, JOINING), strict=True):
        (alone,) = align([span.as_doc()], JOINING)
        assert pieces.ids.tolist() == alone.ids.tolist()
        assert pieces.offsets.tolist() == alone.offsets.tolist()
        assert rows_of(pieces, span) == rows_of(alone, span)


def test_a_piece_reaches_to_the_end_of_its_last_syllable():
    text = nfd("한국어는 간다")
    pieces, offsets = pieces_of(text, JOINING)
    assert pieces == ["한국", "##어", "##는", "간다"]
    assert [nfc(text[start:end]) for start, end in offsets] == [
        *["한국", "어", "는", "간다"]
    ]
    # As the library has it, and Transformers: the first letter of the last syllable.
    assert JOINING.encode_batch([text])[0].offsets.tolist()[0] == [0, 4]


def test_a_token_inside_of_a_syllable_has_its_piece():
    """An ending that is fused with a stem: 가 and ㄴ다, in letters."""
    doc = Doc(NLP.vocab, words=[nfd("가"), "\u11ab" + nfd("다")], spaces=[False] * 2)
    assert nfc(doc.text) == "간다"
    (pieces,) = align([doc], JOINING)
    assert rows_of(pieces, doc) == [[0], [0]]
    doc = Doc(NLP.vocab, words=[nfd("가"), "\u11ab"], spaces=[False] * 2)
    (pieces,) = align([doc], JOINING)
    assert rows_of(pieces, doc) == [[0], [0]]


def test_marks_belong_to_the_letter_before_them():
    offsets = np.array([[0, 1], [2, 3], [5, 6]])
    text = "e\u0301a\u0302\u0303 x\u0301"
    assert reach_marks(offsets, text).tolist() == [[0, 2], [2, 5], [5, 6]]
    assert reach_marks(offsets, "plain text") is offsets
    # White space and dropped controls are nobody's.
    assert reach_marks(np.array([[0, 1]]), "가\u200b\u0301").tolist() == [[0, 1]]
    assert all(map(is_joined, "\u0301\u1161\u11ab\ufe0f\uff9e"))
    assert not any(map(is_joined, "\u1100가ㅏa \u200d"))


def test_kana_joined_by_a_tokenizer_of_words_keep_their_mark():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ガ", "##ス"]
    tokenizer = korean_tokenizer().__class__(
        {piece: number for number, piece in enumerate(pieces)},
        normalizer={"type": "NFKC"},
        pre_tokenizer={"type": "WhitespaceSplit"},
        words="spacy",
    )
    words = ["\uff76\uff9e\uff7d", "\uff76\uff9e"]
    doc = Doc(NLP.vocab, words=words, spaces=[False, False])
    (found,) = align([doc], tokenizer)
    assert found.offsets.tolist() == [[0, 2], [2, 3], [3, 5]]


MORPHEMES = ["나는 학교에 간다.", "했다ㅋㅋㅋ 漢字 iPhone을 샀어요 👍", "두  칸\n띈 글"]


def test_morphemes_of_mecab_have_the_pieces_of_the_text(monkeypatch, tmp_path):
    set_up_mecab(monkeypatch, tmp_path)
    nlp = spacy.blank("ko")
    docs = [nlp(text) for text in MORPHEMES]
    assert [token.text for token in docs[0]] == ["나", "는", "학교", "에", "간다", "."]
    assert [token.tag_ for token in docs[0]][:3] == ["NP", "JX", "NNG"]
    # A stem and an ending that share a syllable stay one token.
    assert docs[0][4].lemma_ == "가"
    for doc, pieces in zip(docs, align(docs, PLAIN), strict=True):
        whole = PLAIN.encode_batch([doc.text])[0]
        assert pieces.ids.tolist() == whole.ids.tolist()
        assert all(rows_of(pieces, doc))


def test_letters_that_mecab_cuts_off_have_a_piece(monkeypatch, tmp_path):
    """It takes the last letter of a syllable in NFD for a word of its own."""
    set_up_mecab(monkeypatch, tmp_path)
    doc = spacy.blank("ko")("그래\u11ab다")
    assert [token.text for token in doc] == ["그래", "\u11ab다"]
    (pieces,) = align([doc], JOINING)
    assert all(rows_of(pieces, doc))
