"""`electra_rtd` on the encoder of an `electra` component upstream."""

import numpy as np
import pytest
import spacy
import torch
from pipelines import LISTENERS, add_textcat, electra
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_electra.layers.heads import RTD
from spacy_electra.layers.listener import EncoderListener

TEXTS = [
    "The chef cooked the banana and served it to the guests.",
    "",
    " \n ",
    "In 1905 Einstein published four papers; physicists still read them today. " * 12,
]
pytest.importorskip("spacy_transformers")

LISTENER = {"@architectures": "spacy-electra.EncoderListener.v1", "upstream": "*"}


def shared(component=None, **config):
    nlp = electra(**config)
    model = {"encoder": LISTENER}
    nlp.add_pipe("electra_rtd", config={"model": model, **(component or {})})
    return nlp


def alone():
    nlp = spacy.blank("en")
    encoder = {"source": "en_tiny", "precision": "fp32"}
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": encoder}})
    return nlp


def scores(doc):
    return [token._.rtd_score for token in doc]


def assert_same(nlp, other, tolerance=1e-4):
    for a, b in zip(nlp.pipe(TEXTS), other.pipe(TEXTS), strict=True):
        np.testing.assert_allclose(scores(a), scores(b), atol=tolerance)


def gold(nlp):
    """ "banana" stands wherever a word was replaced."""
    sentences = ["The chef cooked the meal .", "My friend read the paper ."]
    for number, sentence in enumerate(sentences * 3):
        words = sentence.split()
        words[number] = "banana"
        reference = Doc(nlp.vocab, words=words)
        reference.cats = {"A": float(number % 2), "B": float(1 - number % 2)}
        reference.spans["rtd"] = [Span(reference, number, number + 1)]
        yield Example(Doc(nlp.vocab, words=words), reference)


@pytest.mark.parametrize("store", [True, False])
def test_scores_are_those_of_an_encoder_of_its_own(store):
    nlp = shared(store=store)
    assert_same(nlp, alone())
    assert (nlp(TEXTS[0])._.trf_data is not None) == store


def test_head_has_the_precision_of_the_encoder():
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        nlp = shared(model={"precision": precision})
        nlp(TEXTS[0])
        head = nlp.get_pipe("electra_rtd").model.shim.network
        seen = []
        head.dense.register_forward_hook(lambda *args, to=seen: to.append(args[-1]))
        nlp(TEXTS[0])
        assert [output.dtype for output in seen] == [dtype]


def test_learns_together_with_others_and_survives_the_disk(tmp_path):
    nlp = shared({"objective": "supervised"})
    add_textcat(nlp, LISTENERS["transformer"])
    data = list(gold(nlp))
    optimizer = nlp.initialize(lambda: data)
    optimizer.learn_rate = 3e-4
    encoder = nlp.get_pipe("electra").model.shim.network
    before = encoder.encoder.layers[0].feed_forward.up.weight.detach().clone()
    history = [nlp.update(data, sgd=optimizer) for _ in range(20)]
    assert history[-1]["electra_rtd"] < history[0]["electra_rtd"] / 3
    assert history[-1]["textcat"] < history[0]["textcat"]
    assert not torch.equal(before, encoder.encoder.layers[0].feed_forward.up.weight)
    assert nlp.evaluate(data)["rtd_f05"] > 0.9
    nlp.to_disk(tmp_path)
    assert_same(spacy.load(tmp_path), nlp)


def test_gradients_are_those_of_an_encoder_of_its_own():
    nlp, other = shared({"objective": "supervised"}), alone()
    data = list(gold(nlp))
    nlp.initialize(lambda: data)
    other.get_pipe("electra_rtd").cfg["objective"] = "supervised"
    other.initialize(lambda: data)
    nlp.update(data, sgd=False)
    other.update(data, sgd=False)
    own = other.get_pipe("electra_rtd").model
    found = nlp.get_pipe("electra").model.shim.network.parameters()
    expected = own.layers[0].shim.network.parameters()
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-4)


def test_pretraining_needs_an_encoder_of_its_own():
    nlp = shared({"objective": "pretrain"})
    data = list(gold(nlp))
    nlp.initialize(lambda: data)
    # Scored by its gold spans, or not at all.
    assert nlp.evaluate(data)["rtd_auc"] is not None
    docs = [nlp.make_doc(text) for text in TEXTS]
    assert "rtd_mlm_loss" not in nlp.evaluate([Example(doc, doc) for doc in docs])
    with pytest.raises(ValueError, match="SE352"):
        nlp.update(data)


def test_listener_without_a_component_to_listen_to_is_named():
    nlp = spacy.blank("en")
    with pytest.raises(ValueError, match="SE326"):
        RTD(EncoderListener("*")).predict([nlp.make_doc("Hello")])
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": LISTENER}})
    with pytest.raises(ValueError, match="SE326"):
        nlp("Hello")


def test_nothing_but_empty_docs():
    nlp = shared({"objective": "supervised"})
    data = []
    for text in ("", " ", "\n\n"):
        reference = nlp.make_doc(text)
        reference.spans["rtd"] = []
        data.append(Example(nlp.make_doc(text), reference))
    optimizer = nlp.initialize(lambda: data)
    optimizer.learn_rate = 1e-4
    for batch in (data[:1], data):
        assert nlp.update(batch, sgd=optimizer)["electra_rtd"] == 0.0
    assert [len(doc.spans["rtd"]) for doc in nlp.pipe(["", " ", "\n\n"])] == [0, 0, 0]
