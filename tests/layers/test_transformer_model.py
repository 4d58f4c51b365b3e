"""The drop-in gives what spacy-transformers gives with the same weights and spans."""

import numpy as np
import pytest
import spacy

from spacy_electra.models import ElectraConfig, ElectraModel

spacy_transformers = pytest.importorskip("spacy_transformers")

TEXTS = [
    "The chef cooked the meal and served it to the guests.",
    "In 1905 Einstein published four papers; physicists still read them today.",
    "It isn't easy:  the river floods\n\nthe valley every spring. " * 4,
    "unaffably floccinaucinihilipilification 12345678901234567890 🙂 naïve",
    "Hello",
]
SPANS = {
    "doc": {"@span_getters": "spacy-transformers.doc_spans.v1"},
    "sent": {"@span_getters": "spacy-transformers.sent_spans.v1"},
    "strided": {
        "@span_getters": "spacy-transformers.strided_spans.v1",
        "window": 12,
        "stride": 8,
    },
}
THEIRS = "spacy-transformers.TransformerModel.v3"
OURS = "spacy-electra.TransformerModel.v1"


@pytest.fixture(scope="module")
def source(tmp_path_factory, tokenizer):
    """A random checkpoint: its weights are large, so that mistakes show."""
    folder = tmp_path_factory.mktemp("checkpoint")
    config = ElectraConfig(
        vocab_size=tokenizer.vocab_size,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=0.2,
        max_position_embeddings=128,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    ElectraModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def pipeline(architecture, source, spans, factory="transformer", **settings):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    model = {"@architectures": architecture, "name": source, "get_spans": spans}
    if architecture == OURS:
        model["precision"] = "fp32"
    nlp.add_pipe(factory, name="transformer", config={"model": {**model, **settings}})
    return nlp


def both(source, spans, **settings):
    theirs = pipeline(THEIRS, source, spans, **settings)
    theirs.initialize()
    return theirs, pipeline(OURS, source, spans, **settings)


def assert_same(found, expected, tolerance=1e-4):
    """All that TransformerData holds, but for the values at padding."""
    assert found.wordpieces.strings == expected.wordpieces.strings
    assert found.wordpieces.lengths == expected.wordpieces.lengths
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        ours, other = (getattr(d.wordpieces, name) for d in (found, expected))
        np.testing.assert_array_equal(ours, other)
        assert ours.dtype == other.dtype
    np.testing.assert_array_equal(found.align.dataXd, expected.align.dataXd)
    np.testing.assert_array_equal(found.align.lengths, expected.align.lengths)
    assert list(found.model_output) == list(expected.model_output)
    mask = expected.wordpieces.attention_mask.astype(bool)
    for name, value in expected.model_output.items():
        ours = found.model_output[name]
        alone = not isinstance(value, list)
        for a, b in zip([ours] if alone else ours, [value] if alone else value):
            assert a.shape == b.shape and a.dtype == b.dtype
            if name == "attentions":
                a, b = a.transpose(0, 2, 1, 3), b.transpose(0, 2, 1, 3)
            np.testing.assert_allclose(a[mask], b[mask], atol=tolerance)


@pytest.mark.parametrize("spans", SPANS.values(), ids=SPANS)
@pytest.mark.parametrize(
    "outputs",
    [(), ("output_hidden_states",), ("output_hidden_states", "output_attentions")],
    ids=["last", "hidden states", "attentions"],
)
def test_outputs_are_those_of_spacy_transformers(source, spans, outputs):
    wants = {name: True for name in outputs}
    theirs, ours = both(source, spans, transformer_config=wants)
    for a, b in zip(ours.pipe(TEXTS), theirs.pipe(TEXTS), strict=True):
        assert_same(a._.trf_data, b._.trf_data)
