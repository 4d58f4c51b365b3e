"""However long a document is: passes stay small, and work grows with its length."""

import numpy as np
import pytest
import spacy
from pipelines import electra

from spacy_electra.layers.types import TextPair
from spacy_electra.models import ElectraConfig, ElectraForPreTraining, ElectraModel
from spacy_electra.models.inference import InferenceEncoder

pytest.importorskip("spacy_transformers")

LENGTH = 360_000
SENTENCE = "In 1905 Einstein published four papers; physicists still read them today. "
KINDS = {
    "words": SENTENCE,
    "numbers": "1234567890 ",
    "digits": "1 2 3 4 5 6 7 8 9 0 ",
    # A piece each, and all of them one spaCy token.
    "ideographs": "語",
}
MAX_TOKENS, WINDOW, STRIDE = 2048, 128, 96


@pytest.fixture(scope="module")
def source(tmp_path_factory, tokenizer):
    """A checkpoint that is as small as one can be."""
    folder = tmp_path_factory.mktemp("checkpoint")
    config = ElectraConfig(
        vocab_size=tokenizer.vocab_size,
        embedding_size=8,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
    )
    ElectraForPreTraining(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def passes(monkeypatch):
    """For each forward pass the number of its pieces and of its windows."""
    found = []
    for kind in (ElectraModel, InferenceEncoder):
        forward = kind.forward_packed

        def counting(network, batch, *args, forward=forward, **settings):
            found.append((sum(batch.lengths), len(batch.lengths)))
            return forward(network, batch, *args, **settings)

        monkeypatch.setattr(kind, "forward_packed", counting)
    return found


def make_electra(source):
    model = {
        "name": source,
        "max_tokens": MAX_TOKENS,
        "window": WINDOW,
        "stride": STRIDE,
    }
    return electra(model)


def make_rtd(source):
    nlp = spacy.blank("en")
    model = {
        "source": source,
        "max_tokens": MAX_TOKENS,
        "window": WINDOW,
        "stride": STRIDE,
    }
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": model}})
    return nlp


@pytest.mark.parametrize("make", [make_electra, make_rtd])
@pytest.mark.parametrize("kind", KINDS)
def test_passes_stay_small_and_their_number_grows_linearly(source, passes, make, kind):
    nlp = make(source)
    totals = []
    for length in (LENGTH // 4, LENGTH):
        text = (KINDS[kind] * (length // len(KINDS[kind]) + 1))[:length]
        passes.clear()
        doc = nlp(text)
        assert doc.text == text
        assert max(pieces for pieces, _ in passes) <= MAX_TOKENS
        totals.append([sum(column) for column in zip(*passes, strict=True)])
        pieces, windows = totals[-1]
        # Each window adds [CLS] and [SEP], and all but the last overlap.
        assert pieces <= windows * WINDOW
    (few_pieces, few_windows), (pieces, windows) = totals
    assert pieces / few_pieces == pytest.approx(4, rel=0.02)
    assert windows / few_windows == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize("make", [make_electra, make_rtd])
def test_one_word_of_digits_is_one_unknown_piece(source, passes, make):
    # As in Transformers' tokenizer, for any word of more than a hundred characters.
    doc = make(source)("0123456789" * (LENGTH // 10))
    assert len(doc) == 1
    assert passes == [(3, 1)]


@pytest.mark.parametrize("question", [None, "Who published four papers in 1905?"])
def test_passes_stay_small_in_training(source, passes, question):
    model = spacy.util.registry.resolve(
        {
            "m": {
                "@architectures": "spacy-electra.Encoder.v1",
                "source": source,
                "max_tokens": MAX_TOKENS,
                "window": WINDOW,
                "stride": STRIDE,
            }
        }
    )["m"]
    doc = spacy.blank("en").make_doc((SENTENCE * 5000)[: LENGTH // 4])
    states, backprop = model.begin_update([TextPair(doc, before=question)])
    assert len(passes) > 10
    assert max(pieces for pieces, _ in passes) <= MAX_TOKENS
    backprop(states)
    gradients = [p.grad for p in model.shim.network.parameters()]
    assert all(bool(part.isfinite().all()) for part in gradients)


def test_a_batch_of_long_docs_runs_one_by_one(source, passes):
    nlp = make_electra(source)
    nlp.get_pipe("electra").cfg["max_batch_items"] = 1000
    texts = [SENTENCE * 200] * 3
    alone = nlp(texts[0])._.trf_data.tensors[0]
    passes.clear()
    predicted = []
    component = nlp.get_pipe("electra")
    predict = component.predict
    component.predict = lambda docs: predicted.append(len(docs)) or predict(docs)
    for doc in nlp.pipe(texts):
        np.testing.assert_allclose(doc._.trf_data.tensors[0], alone, atol=1e-4)
    assert predicted == [1, 1, 1]
