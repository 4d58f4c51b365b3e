"""The run of a component over a stream of Docs, and what all over a head share."""

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, Token
from spacy.training import Example
from thinc.api import Adam
from torch import nn

from spacy_electra.layers.encoder import Encoder
from spacy_electra.layers.head_model import Head
from spacy_electra.layers.units import FIRST_PIECE
from spacy_electra.models import ElectraConfig
from spacy_electra.models.heads import HeadModel
from spacy_electra.pipeline.component import (
    HeadComponent,
    annotate_in_groups,
)
from spacy_electra.pipeline.per_token import store_marks, store_per_token
from spacy_electra.pipeline.training.losses import cross_entropy, sigmoid_of_each


class Component:
    """Fails on Docs that hold "bad", and remembers the rest."""

    name = "some"

    def __init__(self):
        self.predicted, self.failed = [], []

    def predict(self, docs):
        if any("bad" in doc.text for doc in docs):
            raise ValueError("bad")
        self.predicted.append([doc.text for doc in docs])
        return [doc.text.upper() for doc in docs]

    def set_annotations(self, docs, predictions):
        for doc, prediction in zip(docs, predictions, strict=True):
            doc.user_data["seen"] = prediction

    def get_error_handler(self):
        return self.handle

    def handle(self, name, component, docs, error):
        assert name == "some" and component is self and str(error) == "bad"
        self.failed.append([doc.text for doc in docs])


TEXTS = ["a b", "c", "a bad one", "d", "one two three four", "", "e"]


def run(component, **settings):
    nlp = spacy.blank("en")
    stream = (nlp.make_doc(text) for text in TEXTS)
    return annotate_in_groups(component, stream, **settings)


def test_groups_hold_so_many_tokens_or_one_doc():
    component = Component()
    docs = list(run(component, batch_size=100, tokens=3))
    assert component.failed == [["a bad one"]]
    assert component.predicted == [
        ["a b", "c"],
        ["d"],
        ["one two three four"],
        ["", "e"],
    ]
    assert [doc.text for doc in docs] == [t for t in TEXTS if "bad" not in t]
    assert [doc.user_data["seen"] for doc in docs] == [d.text.upper() for d in docs]


def test_a_group_fails_as_one_and_the_rest_goes_on():
    component = Component()
    docs = list(run(component, batch_size=3, tokens=100))
    assert component.failed == [TEXTS[:3]]
    assert [doc.text for doc in docs] == TEXTS[3:]


def test_docs_are_taken_as_they_are_asked_for():
    component = Component()
    stream = run(component, batch_size=2, tokens=100)
    assert component.predicted == []
    next(stream)
    assert component.predicted == [["a b", "c"]]


@pytest.mark.parametrize("factory", ["electra", "electra_rtd"])
def test_components_hand_errors_to_the_handler_of_the_pipeline(factory):
    if factory == "electra":
        pytest.importorskip("spacy_transformers")
    nlp = spacy.blank("en")
    component = nlp.add_pipe(factory)
    failed = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.append((name, error)))
    predict = component.predict

    def sometimes(docs):
        if any("bad" in doc.text for doc in docs):
            raise ValueError("bad")
        return predict(docs)

    component.predict = sometimes
    docs = list(nlp.pipe(TEXTS, batch_size=1))
    assert [doc.text for doc in docs] == [t for t in TEXTS if "bad" not in t]
    assert [(name, str(error)) for name, error in failed] == [(factory, "bad")]


class TinyHead(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, hidden):
        return self.classifier(hidden)


class TinyClassifier(HeadModel):
    head_class = TinyHead
    hugging_face_names = (("classifier.", "head.classifier."),)


class Tags(HeadComponent):
    """The least that a component over a head has to say: here, it sets tags."""

    def labels_in(self, example):
        return [token.tag_ for token in example.reference]

    def get_loss(self, examples, scores):
        numbers = {label: number for number, label in enumerate(self.labels)}
        gold = [numbers[t.tag_] for example in examples for t in example.reference]
        loss, gradient = cross_entropy(np.concatenate(scores), gold)
        ends = np.cumsum([len(part) for part in scores])
        return loss, np.split(gradient, ends[:-1])

    def set_annotations(self, docs, scores):
        for doc, rows in zip(docs, scores, strict=True):
            for token, row in zip(doc, rows, strict=True):
                token.tag_ = self.labels[row.argmax()]


@pytest.fixture
def source(tmp_path, tokenizer):
    """A checkpoint whose head knows the labels "b" and "a"."""
    config = ElectraConfig(
        vocab_size=tokenizer.vocab_size,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=128,
    )
    TinyClassifier(config.with_labels(["b", "a"])).save_pretrained(tmp_path / "source")
    tokenizer.save_pretrained(tmp_path / "source")
    return str(tmp_path / "source")


def tags(source, nlp):
    encoder = Encoder(source, precision="fp32")
    model = Head("tags", encoder, TinyClassifier, FIRST_PIECE, "tagger")
    return Tags(nlp.vocab, model, "tags")


def tagged(nlp, labels):
    words = [label * 3 for label in labels]
    reference = Doc(nlp.vocab, words=words, tags=list(labels))
    return Example(Doc(nlp.vocab, words=words), reference)


def test_labels_come_from_data_and_checkpoint(nlp, source):
    component = tags(source, nlp)
    assert component.labels == ()
    for labels, known in (("abc", "bac"), ("cd", "cd"), ("a", "ba")):
        component.initialize(lambda labels=labels: [tagged(nlp, labels)])
        assert component.labels == tuple(known) == component.label_data
        assert all(label in nlp.vocab.strings for label in known)
    component.initialize(lambda: [tagged(nlp, "abc")], labels=["c", "a"])
    assert component.labels == ("c", "a")
    assert (component.add_label("x"), component.add_label("a")) == (1, 0)
    assert component.labels == ("c", "a", "x")
    with pytest.raises(ValueError, match="E187"):
        component.add_label(3)


def test_a_component_learns_and_keeps_what_it_learned(nlp, source, tmp_path):
    component = tags(source, nlp)
    data = [tagged(nlp, labels) for labels in ("abc", "cab", "", "bbca")]
    component.initialize(lambda: data)
    optimizer = Adam(0.01)
    history = [
        component.update(data, sgd=optimizer, losses={})["tags"] for _ in range(60)
    ]
    assert history[-1] < history[0] / 5
    assert component.update([data[2]], losses={}) == {"tags": 0.0}
    docs = list(component.pipe(example.predicted for example in data))
    assert [[t.tag_ for t in doc] for doc in docs] == [
        list("abc"),
        list("cab"),
        [],
        list("bbca"),
    ]
    component.to_disk(tmp_path / "saved")
    again = tags("gone", nlp).from_disk(tmp_path / "saved")
    assert again.labels == ("b", "a", "c")
    for a, b in zip(again.predict(docs), component.predict(docs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_attributes_and_marks_of_many_docs_are_those_of_each():
    if not Token.has_extension("of_component"):
        Token.set_extension("of_component", default=None)
    nlp = spacy.blank("en")
    docs = [nlp.make_doc(text) for text in ("Two  words.", "", "é 👍🏽", "No")]
    count = sum(map(len, docs))
    values = np.arange(count) / 8
    store_per_token(docs, {"of_component": values})
    store_marks(docs, "marks", "MARK", values, values % 0.25 == 0)
    tokens = [token for doc in docs for token in doc]
    assert [token._.of_component for token in tokens] == values.tolist()
    first = 0
    for doc in docs:
        own = [i for i in range(len(doc)) if (first + i) % 2 == 0]
        group = doc.spans["marks"]
        assert [(span.start, span.end, span.label_) for span in group] == [
            (i, i + 1, "MARK") for i in own
        ]
        assert group.attrs["scores"].tolist() == [(first + i) / 8 for i in own]
        first += len(doc)
    with pytest.raises(ValueError, match="zip"):
        store_per_token(docs, {"of_component": values[:-1]})
    store_per_token([], {"of_component": values[:0]})
    store_marks([], "marks", "MARK", values[:0], values[:0] > 0)


@pytest.mark.parametrize("default", [False, None])
def test_flags_of_many_docs_are_those_of_each_whatever_was_set_before(default):
    Token.set_extension("flag", default=default, force=True)
    Doc.set_extension("flag", default=None, force=True)
    nlp = spacy.blank("en")
    docs = [nlp.make_doc(text) for text in ("Two  words.", "", "é 👍🏽", "No")]
    docs[0]._.flag = "of the Doc"
    tokens = [token for doc in docs for token in doc]
    flags = np.arange(len(tokens)) % 3 == 1
    for wanted in (flags, ~flags, np.zeros(len(tokens), dtype=bool)):
        store_per_token(docs, {}, {"flag": wanted})
        assert [token._.flag for token in tokens] == wanted.tolist()
        # Even where no token has it, one sees that it was set.
        assert all(("._.", "flag", 0, None) in doc.user_data for doc in docs if doc)
        with docs[0].retokenize() as retokenizer:
            retokenizer.merge(docs[0][:1])
    assert docs[0]._.flag == "of the Doc"
    copied = Doc.from_docs(docs)
    store_per_token(docs, {}, {"flag": flags})
    apart = docs[0][2:].as_doc(copy_user_data=True)
    store_per_token([apart], {}, {"flag": flags[2 : 2 + len(apart)]})
    assert [token._.flag for token in tokens] == flags.tolist()
    assert not any(token._.flag for token in copied)
    store_per_token([], {}, {"flag": flags[:0]})


def test_probabilities_of_many_texts_are_those_of_each():
    logits = [np.array(row, dtype="f") for row in ([0.5, -np.inf], [], [40.0])]
    found = sigmoid_of_each(logits)
    assert [len(row) for row in found] == [2, 0, 1]
    np.testing.assert_allclose(np.concatenate(found), [1 / (1 + np.exp(-0.5)), 0, 1])
    assert sigmoid_of_each([]) == []
