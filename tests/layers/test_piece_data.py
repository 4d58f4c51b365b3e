"""What stands on a Doc is made when it is read, and the same wherever it goes."""

import gc
import pickle
from weakref import ref

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin

pytest.importorskip("spacy_transformers")

from spacy_electra.layers.adapter import TransformerData
from spacy_electra.layers.piece_data import PieceData
from spacy_electra.layers.transformer_batch import ElectraBatch

TEXTS = ["The chef cooked unaffably.", "", " \n", "It rained. " * 80, "Tea?"]


@pytest.fixture(scope="module")
def nlp():
    nlp = spacy.blank("en")
    model = {"name": "en_tiny", "precision": "fp32"}
    nlp.add_pipe("electra", config={"model": model})
    nlp.initialize()
    return nlp


@pytest.fixture(scope="module")
def batch(nlp) -> ElectraBatch:
    return nlp.get_pipe("electra").predict([nlp.make_doc(text) for text in TEXTS])


def test_data_of_docs_are_parts_of_the_batch(batch):
    pieces, align, output = batch.wordpieces, batch.align, batch.model_output
    width = pieces.input_ids.shape[1]
    token = row = window = 0
    for number, (doc, data) in enumerate(zip(batch.docs, batch.doc_data, strict=True)):
        (size,) = data.wordpieces.lengths
        assert size == pieces.lengths[number]
        assert data.wordpieces.strings == [pieces.strings[number][:size]]
        assert data.wordpieces.input_ids.tolist() == [
            pieces.input_ids[number, :size].tolist()
        ]
        assert data.wordpieces.attention_mask.tolist() == [[1.0] * size]
        assert data.wordpieces.token_type_ids.tolist() == [[0] * size]
        states = output.last_hidden_state[number, :size]
        np.testing.assert_array_equal(data.tensors[0], states[None])
        counts = align.lengths[token : token + len(doc)]
        assert data.align.lengths.tolist() == counts.tolist()
        places = align.dataXd[row : row + counts.sum()] - number * width
        assert data.align.dataXd.tolist() == places.tolist()
        token, row = token + len(doc), row + int(counts.sum())
        windows = int(batch.windows.windows_per_text[number])
        np.testing.assert_array_equal(
            data.cls_states, batch._cls_states()[window : window + windows]
        )
        window += windows
    assert window > len(TEXTS)


def test_a_doc_that_is_kept_keeps_its_own_states_alone(batch):
    sizes = [len(data.pieces) + 2 for data in batch.doc_data]
    for data, size in zip(batch.doc_data, sizes, strict=True):
        owner = data.tensors[0]
        while owner.base is not None:
            owner = owner.base
        assert owner.shape == (size, data.width)


@pytest.mark.parametrize("way", ["pickle", "bytes", "docbin", "copy"])
def test_data_go_with_a_doc_without_the_tokenizer(nlp, way):
    doc = nlp(TEXTS[0])
    tokenizer = nlp.get_pipe("electra").model.tokenizer
    if way == "pickle":
        saved = pickle.dumps(doc)
        assert len(saved) < len(tokenizer.to_bytes()) / 2
        other = pickle.loads(saved)
        assert isinstance(other._.trf_data, PieceData)
        ids = [part._.trf_data.pieces.ids.tolist() for part in (doc, other)]
        assert ids[0] == ids[1]
        assert other._.trf_data.readers_left is None
    elif way == "bytes":
        other = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    elif way == "docbin":
        (other,) = DocBin(docs=[doc], store_user_data=True).get_docs(nlp.vocab)
    else:
        other = doc.copy()
    ours, theirs = doc._.trf_data, other._.trf_data
    assert isinstance(theirs, TransformerData)
    # A DocBin makes tuples of lists.
    assert ours.wordpieces.strings == list(map(list, theirs.wordpieces.strings))
    assert ours.align.dataXd.tolist() == theirs.align.dataXd.tolist()
    np.testing.assert_array_equal(ours.tensors[0], theirs.tensors[0])


def test_data_on_one_doc_keeps_no_doc(nlp):
    docs = list(nlp.pipe(["Tea is late.", "The chef cooked unaffably."]))
    gone = [ref(doc) for doc in docs]
    data = docs[0]._.trf_data
    del docs
    gc.collect()
    assert not any(doc() for doc in gone)
    assert data.align.lengths.tolist() == [1, 1, 1, 1]


def test_what_is_found_late_is_of_the_doc_as_it_was(nlp):
    text = "The chef cooked unaffably."
    expected = nlp(text)._.trf_data.align
    doc = nlp(text)
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:3])
    found = doc._.trf_data.align
    assert found.lengths.tolist() == expected.lengths.tolist()
    assert found.dataXd.tolist() == expected.dataXd.tolist()
