"""Chunks between blanks have the pieces that they have in the whole text."""

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer, chunks
from spacy_electra.tokenization.alignment import align, align_spans
from spacy_electra.tokenization.chunks import ChunkCache, cuts_at_blanks
from spacy_electra.tokenization.marks import reach_marks

NLP = spacy.blank("en")
BUNDLED = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))
KINDS = {
    "of the checkpoint": BUNDLED,
    "cased": ElectraTokenizer(BUNDLED.vocab, do_lower_case=False),
    "of words at white space": ElectraTokenizer(BUNDLED.vocab, do_basic_tokenize=False),
    "that keeps control characters": ElectraTokenizer(BUNDLED.vocab, clean_text=False),
    "with words left whole": ElectraTokenizer(BUNDLED.vocab, never_split=["the", "."]),
    "that joins marks": ElectraTokenizer(
        BUNDLED.vocab,
        normalizer={
            "type": "Sequence",
            "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}],
        },
    ),
    "with a token of its own": ElectraTokenizer(
        BUNDLED.vocab, added_tokens=[{"content": "c#", "special": False}]
    ),
}
WHITE = " \n\t\x0c\x85\xa0\u2028\u3000\u200d\u200b"
CHARACTERS = f"aZé\u0301\u0345Σσ.,'-#[]1漢한글\u1100ßİ½¨ﾞ👍{WHITE}"
WORDS = ["the.", "cannot", "[MASK]", "[mask]x", "C#", "c##", "a" * 120]
texts = st.lists(
    st.one_of(
        st.text(alphabet=CHARACTERS, max_size=20),
        st.text(max_size=12),
        st.sampled_from(
            ["the.", "cannot", "[MASK]", "[mask]x", "C#", "c##", "a" * 120]
        ),
    ),
    max_size=6,
).map(" ".join)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(parts=st.lists(texts, max_size=4))
def test_pieces_are_those_of_the_whole_text(kind, parts):
    tokenizer = KINDS[kind]
    assert tokenizer.chunks is not None
    found = align([NLP.make_doc(text) for text in parts], tokenizer)
    for text, pieces in zip(parts, found, strict=True):
        (whole,) = tokenizer.encode_batch([text])
        assert pieces.ids.tolist() == whole.ids.tolist()
        assert pieces.offsets.tolist() == reach_marks(whole.offsets, text).tolist()


@settings(max_examples=60, deadline=None)
@given(text=texts, data=st.data())
def test_a_span_has_the_pieces_of_its_text(text, data):
    doc = NLP.make_doc(text)
    places = st.integers(0, len(doc))
    bounds = [sorted((data.draw(places), data.draw(places))) for _ in range(3)]
    spans = [doc[start:end] for start, end in bounds]
    for span, pieces in zip(spans, align_spans(spans, BUNDLED), strict=True):
        (whole,) = BUNDLED.encode_batch([span.text])
        assert pieces.ids.tolist() == whole.ids.tolist()
        assert pieces.offsets.tolist() == reach_marks(whole.offsets, span.text).tolist()
        assert len(pieces.alignment.lengths) == len(span)


def test_docs_of_several_vocabularies_stand_in_one_batch():
    words = ["unaffably", "zürnte", "unaffably"]
    docs = [Doc(Vocab(), words=[word]) for word in words]
    found = align(docs, ElectraTokenizer(BUNDLED.vocab))
    for word, pieces in zip(words, found, strict=True):
        assert BUNDLED.decode(pieces.ids) == BUNDLED.normalize(word)


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": ""}},
        {"pre_tokenizer": {"type": "Split", "pattern": {"String": ". "}}},
        {"added_tokens": [{"content": "c#", "lstrip": True, "rstrip": False}]},
        {"added_tokens": [{"content": "New York", "lstrip": False, "rstrip": False}]},
        {"added_tokens": [{"content": "\u00a8", "lstrip": False, "rstrip": False}]},
        {"never_split": ["New York"]},
    ],
)
def test_what_may_look_beyond_a_blank_gets_whole_texts(change):
    assert cuts_at_blanks(BUNDLED.settings)
    assert not cuts_at_blanks({**BUNDLED.settings, **change})


def test_a_tokenizer_that_looks_beyond_blanks_aligns_whole_texts():
    added = [{"content": "new york", "special": False, "single_word": True}]
    tokenizer = ElectraTokenizer(BUNDLED.vocab, added_tokens=added)
    doc = NLP.make_doc("to new york again")
    (pieces,) = align([doc], tokenizer)
    (span,) = align_spans([doc[1:3]], tokenizer)
    assert tokenizer.chunks is None
    assert len(tokenizer) - 1 in pieces.ids
    assert span.ids.tolist() == [len(tokenizer) - 1]
    assert span.alignment.lengths.tolist() == [1, 1]


NUMBERS = {}


class Counting:
    """Tokenizes, and remembers what it was given."""

    def __init__(self):
        self.given = []

    def __call__(self, texts):
        self.given += texts
        return BUNDLED.backend.encode_batch(list(texts), add_special_tokens=False)


def ask(cache, words):
    keys = np.array([NUMBERS.setdefault(word, len(NUMBERS)) for word in words])
    rows, sizes = cache.pieces_of(keys, lambda places: [words[i] for i in places])
    return rows.tolist(), list(sizes)


def test_what_was_cut_is_not_cut_again():
    counting = Counting()
    cache = ChunkCache(counting)
    first = ask(cache, ["river", "unaffably", "river", ""])
    assert counting.given == ["river unaffably "]
    assert ask(cache, ["river", "unaffably", "river", ""]) == first
    assert ask(cache, ["tea", "river"])[1] == [1, first[1][0]]
    assert counting.given == ["river unaffably ", "tea"]


def test_memory_is_bounded_and_long_chunks_are_not_kept(monkeypatch):
    monkeypatch.setattr(chunks, "_MOST_KEPT", 20_000)
    counting = Counting()
    cache = ChunkCache(counting)
    long = "-" * chunks._MOST_OF_ONE
    for start in range(0, 2_000, 50):
        words = [f"w{number}" for number in range(start, start + 50)]
        assert ask(cache, [*words, long])[1][-1] == len(long)
        assert ask(cache, words) == ask(ChunkCache(Counting()), words)
        assert len(cache._known) < 20_000 / 150
    assert sum(long in text for text in counting.given) == 40
