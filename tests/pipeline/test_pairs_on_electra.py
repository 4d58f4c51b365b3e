"""Pairs of texts on the encoder of an `electra` component upstream."""

import numpy as np
import pytest
import torch
from pipelines import LISTENERS, add_textcat, electra
from spacy import blank
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam

from spacy_electra.layers.listener import EncoderListener, skip
from spacy_electra.layers.transformer_model import replace_listener
from spacy_electra.layers.types import TextPair

pytest.importorskip("spacy_transformers")

LISTENER = {"@architectures": "spacy-electra.EncoderListener.v1", "upstream": "*"}
OWN = {"@architectures": "spacy-electra.Encoder.v1", "precision": "fp32"}
QUESTION = "Who cooked the meal?"
LEARN_RATE = 1e-4


class PairProbe(TrainablePipe):
    """Pulls the states of each Doc towards 1, those of a pair if it has a question."""

    def __init__(self, vocab, model, name):
        self.vocab, self.model, self.name, self.cfg = vocab, model, name, {}
        self.pairs_of = lambda docs: [TextPair(doc, before=QUESTION) for doc in docs]

    def predict(self, docs):
        return self.model.predict(self.pairs_of(list(docs)))

    def set_annotations(self, docs, scores):
        counts = [len(part) for part in scores.pieces]
        parts = np.split(np.asarray(scores.states), np.cumsum(counts)[:-1])
        for doc, part in zip(docs, parts, strict=True):
            doc.user_data["states"] = part

    def initialize(self, get_examples, nlp=None):
        self.model.initialize()

    def update(self, examples, *, drop=0.0, sgd=None, losses=None):
        pairs = self.pairs_of([example.predicted for example in examples])
        encoded, backprop = self.model.begin_update(pairs)
        backprop(encoded.gradient(encoded.states - 1, 0.5 * encoded.cls_states))
        if sgd not in (None, False):
            self.finish_update(sgd)
        losses[self.name] = float(np.square(encoded.states - 1).sum())
        return losses


Language.factory(
    "pair_probe",
    default_config={"model": OWN},
    func=lambda nlp, name, model: PairProbe(nlp.vocab, model, name),
)


def shared(first=(), last=(), model=None, **config):
    nlp = electra(model, **config)
    for add in first:
        add(nlp)
    nlp.add_pipe("pair_probe", config={"model": LISTENER})
    for add in last:
        add(nlp)
    return nlp


def alone():
    nlp = blank("en")
    nlp.add_pipe("pair_probe")
    return nlp


def listening_textcat(nlp):
    add_textcat(nlp, LISTENERS["encoder"])


def data_of(nlp):
    sentences = ["The chef cooked the meal .", "", "My friend read the paper ."]
    for number, sentence in enumerate(sentences):
        reference = Doc(nlp.vocab, words=sentence.split())
        reference.cats = {"A": float(number % 2), "B": float(1 - number % 2)}
        yield Example(nlp.make_doc(reference.text), reference)


def weights_of(nlp, gradients=False):
    name = "electra" if nlp.has_pipe("electra") else "pair_probe"
    network = nlp.get_pipe(name).model.shim.network
    return {
        key: (weight.grad if gradients else weight.detach()).clone()
        for key, weight in network.named_parameters()
    }


def update_once(nlp, sgd=None, **settings):
    data = list(data_of(nlp))
    nlp.initialize(lambda: data)
    if nlp.has_pipe("textcat"):
        # It begins with zeros, which give its listener no gradient.
        for node in nlp.get_pipe("textcat").model.walk():
            if node.has_param("W"):
                shape = node.get_param("W").shape
                random = np.random.default_rng(0).normal(size=shape)
                node.set_param("W", random.astype("f"))
    before = weights_of(nlp)
    losses = nlp.update(data, sgd=Adam(LEARN_RATE) if sgd is None else sgd, **settings)
    return before, losses


def assert_close(found, expected, **tolerances):
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, msg=name, **tolerances)


def test_one_update_changes_the_weights_as_with_an_encoder_of_its_own():
    nlp, other = shared(), alone()
    before, losses = update_once(nlp)
    update_once(other)
    after, expected = weights_of(nlp), weights_of(other)
    moved = {name: (after[name] - before[name]).abs().max() for name in after}
    assert all(change > 1e-5 for name, change in moved.items())
    # Of a first step the optimizer takes little but the signs of the gradients.
    assert_close(after, expected, rtol=0, atol=1e-2 * LEARN_RATE)
    # No gradient came for the states of the Docs alone.
    assert losses["electra"] == 0.0 < losses["pair_probe"]


def test_gradients_are_those_of_an_encoder_of_its_own():
    nlp, other = shared(), alone()
    for pipeline in (nlp, other):
        update_once(pipeline, sgd=False)
    assert_close(
        weights_of(nlp, gradients=True),
        weights_of(other, gradients=True),
        rtol=1e-3,
        atol=1e-4,
    )


@pytest.mark.parametrize("place", ["first", "last"])
def test_gradients_add_up_with_those_of_listeners_to_docs(place):
    nlp = shared(**{place: [listening_textcat]})
    update_once(nlp, sgd=False)
    found = weights_of(nlp, gradients=True)
    apart = []
    for excluded in ("pair_probe", "textcat"):
        nlp = electra()
        (listening_textcat if excluded == "pair_probe" else add_probe)(nlp)
        update_once(nlp, sgd=False)
        apart.append(weights_of(nlp, gradients=True))
        assert all(gradient.any() for gradient in apart[-1].values())
    sums = {name: apart[0][name] + apart[1][name] for name in found}
    assert_close(found, sums, rtol=1e-3, atol=1e-4)


def add_probe(nlp):
    nlp.add_pipe("pair_probe", config={"model": LISTENER})


@pytest.mark.parametrize("place", ["first", "last"])
def test_the_weights_change_once_all_listeners_are_done(place):
    nlp = shared(**{place: [listening_textcat]})
    before, losses = update_once(nlp)
    assert losses["electra"] > 0
    after = weights_of(nlp)
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert nlp.get_pipe("electra")._pending is None


def test_batch_without_any_pair_lets_the_others_learn():
    nlp = shared(last=[listening_textcat])
    nlp.get_pipe("pair_probe").pairs_of = lambda docs: []
    before, losses = update_once(nlp)
    assert losses["pair_probe"] == 0.0 < losses["electra"]
    after = weights_of(nlp)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_nothing_but_a_batch_without_any_pair_changes_nothing():
    nlp = shared()
    nlp.get_pipe("pair_probe").pairs_of = lambda docs: []
    before, losses = update_once(nlp)
    assert losses == {"electra": 0.0, "pair_probe": 0.0}
    assert nlp.get_pipe("electra")._pending is None
    assert_close(weights_of(nlp), before, rtol=0, atol=0)


def test_pairs_of_part_of_the_batch_train():
    nlp = shared()
    pairs_of = nlp.get_pipe("pair_probe").pairs_of
    nlp.get_pipe("pair_probe").pairs_of = lambda docs: pairs_of([docs[2], docs[2]])
    before, _ = update_once(nlp)
    after = weights_of(nlp)
    assert all(not torch.equal(before[name], after[name]) for name in before)


def test_frozen_encoder_stays_and_its_states_of_pairs_are_there():
    nlp = shared()
    before, losses = update_once(nlp, exclude=["electra"], annotates=["electra"])
    assert losses["pair_probe"] > 0
    assert_close(weights_of(nlp), before, rtol=0, atol=0)
    network = nlp.get_pipe("electra").model.shim.network
    assert all(weight.grad is None for weight in network.parameters())
    assert not network.training


@pytest.mark.parametrize(
    "outputs", [(), ("output_hidden_states",), ("output_attentions",)]
)
def test_states_are_those_of_an_encoder_of_its_own(outputs):
    wanted = {name: True for name in outputs}
    nlp = shared(model={"transformer_config": wanted})
    texts = ["The chef cooked the meal. " * 60, "", "My friend read the paper."]
    other = alone()
    for doc, expected in zip(nlp.pipe(texts), other.pipe(texts), strict=True):
        found = doc.user_data["states"]
        assert len(found) == len(doc._.trf_data.pieces)
        np.testing.assert_allclose(
            found, expected.user_data["states"], rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("outputs", ["output_hidden_states", "output_attentions"])
def test_gradients_reach_an_encoder_that_gives_more_than_its_last_states(outputs):
    nlp = shared(model={"transformer_config": {outputs: True}})
    other = alone()
    for pipeline in (nlp, other):
        update_once(pipeline, sgd=False)
    assert_close(
        weights_of(nlp, gradients=True),
        weights_of(other, gradients=True),
        rtol=1e-3,
        atol=1e-4,
    )


def test_states_leave_the_doc_once_all_have_run():
    nlp = shared(last=[listening_textcat], store=False)
    data = list(data_of(nlp))
    nlp.initialize(lambda: data)
    pairs_of = nlp.get_pipe("pair_probe").pairs_of
    # Two questions on a Doc are one reading of it.
    nlp.get_pipe("pair_probe").pairs_of = lambda docs: pairs_of([*docs, *docs])
    nlp.get_pipe("pair_probe").set_annotations = lambda docs, states: None
    for doc in nlp.pipe(["The chef cooked the meal.", "", "My friend left."]):
        assert set(doc.cats) == {"A", "B"}
        assert doc._.trf_data is None


@pytest.mark.parametrize("makes_pairs", [True, False])
def test_docs_without_pairs_are_rid_of_their_states_too(makes_pairs):
    nlp = shared(store=False)
    probe = nlp.get_pipe("pair_probe")
    probe.pairs_of = lambda docs: []
    doc = nlp.make_doc("My friend left.")
    if makes_pairs:
        probe.pairs_of = lambda docs: [TextPair(docs[0], before=QUESTION)]
    nlp.get_pipe("electra")(doc)
    skip(blank("en").add_pipe("pair_probe").model, [doc])
    probe.predict([doc])
    assert (doc._.trf_data is None) == makes_pairs
    skip(probe.model, [doc])
    assert doc._.trf_data is None


def test_pairs_of_other_docs_than_the_batch_are_named():
    nlp = shared()
    stranger = nlp.make_doc("A stranger came.")
    nlp.get_pipe("pair_probe").pairs_of = lambda docs: [
        TextPair(stranger, before=QUESTION)
    ]
    with pytest.raises(ValueError, match="SE320"):
        update_once(nlp)


def test_listener_to_nothing_and_encoder_of_spans_are_named():
    pair = TextPair(blank("en").make_doc("Hello"), before=QUESTION)
    with pytest.raises(ValueError, match="SE326"):
        EncoderListener("*").predict([pair])
    spans = {"@span_getters": "spacy-transformers.strided_spans.v1"}
    nlp = shared(model={"get_spans": {**spans, "window": 10, "stride": 8}})
    with pytest.raises(ValueError, match="SE325"):
        nlp.get_pipe("pair_probe").model.predict([pair])


def test_replaced_listener_gives_the_same_states_of_pairs():
    nlp = shared()
    pairs = [TextPair(nlp.make_doc("My friend left. " * 60), before=QUESTION)]
    upstream, listener = nlp.get_pipe("electra").model, nlp.get_pipe("pair_probe").model
    expected = listener.predict(pairs)
    encoder = replace_listener(upstream.copy(), listener, nlp.get_pipe("electra"))
    np.testing.assert_array_equal(encoder.predict(pairs).states, expected.states)


def test_pipeline_reads_the_weights_at_the_first_pair():
    nlp = electra()
    probe = nlp.add_pipe("pair_probe", config={"model": LISTENER})
    assert nlp.get_pipe("electra").model.shim.is_empty
    encoded = probe.predict([nlp.make_doc("My friend left.")])
    assert encoded.states.shape[0] == len(encoded.pieces[0]) > 0
