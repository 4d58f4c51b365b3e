"""The run of a component over a stream of Docs."""

import pytest
import spacy

from spacy_electra.pipeline.batching import annotate_in_groups


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
