"""Chunks of a short text are found in another way, and are the same."""

import numpy as np
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization import runs as module
from spacy_electra.tokenization.alignment import align
from spacy_electra.tokenization.bounds import bounds_of
from spacy_electra.tokenization.chunks import FEW
from spacy_electra.tokenization.runs import Runs

NLP = spacy.blank("en")
TOKENIZER = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))
TEXTS = st.text(alphabet="ab .,-'\n\u00e9", max_size=60)


@given(text=TEXTS)
def test_keys_of_a_short_text_are_those_that_it_has_among_others(text):
    doc, other = NLP.make_doc(text), NLP.make_doc("tea, " * FEW)
    alone, among = Runs(bounds_of([doc])), Runs(bounds_of([doc, other]))
    keys = alone.keys()
    assert isinstance(keys, list)
    assert keys == among.keys()[: len(keys)].tolist()
    assert len(keys) == len(alone.ends)


@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_texts_of_chunks_make_up_the_texts(texts):
    docs = [NLP.make_doc(text) for text in texts]
    runs = Runs(bounds_of(docs))
    chunks = runs.texts(docs, np.arange(len(runs.ends)))
    blanks = np.concatenate([[t.whitespace_ for t in doc] for doc in docs])
    joined = zip(chunks, blanks[runs.ends - 1], strict=True)
    assert "".join(part for pair in joined for part in pair) == "".join(texts)


@given(texts=st.lists(TEXTS, min_size=2, max_size=4))
def test_each_text_has_its_pieces(texts):
    docs = [NLP.make_doc(text) for text in texts]
    together = align(docs, TOKENIZER)
    for doc, pieces in zip(docs, together, strict=True):
        (alone,) = align([doc], TOKENIZER)
        assert pieces.ids.tolist() == alone.ids.tolist()
        assert pieces.offsets.tolist() == alone.offsets.tolist()
        assert pieces.alignment.lengths.tolist() == alone.alignment.lengths.tolist()
        assert pieces.alignment.dataXd.tolist() == alone.alignment.dataXd.tolist()


def test_a_long_text_takes_the_general_way():
    doc = NLP.make_doc("tea, " * FEW)
    keys = module.Runs(bounds_of([doc])).keys()
    assert isinstance(keys, np.ndarray)
    assert len(set(keys.tolist())) == 1
