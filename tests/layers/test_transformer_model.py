"""The drop-in gives what spacy-transformers gives with the same weights and spans."""

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry
from transformers import BertConfig, BertModel

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
        if not isinstance(value, list):
            ours, value = [ours], [value]
        for a, b in zip(ours, value, strict=True):
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


def test_a_bert_takes_the_same_change_of_one_line(tokenizer, tmp_path):
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    BertModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    theirs, ours = both(str(tmp_path), SPANS["strided"])
    for a, b in zip(ours.pipe(TEXTS), theirs.pipe(TEXTS), strict=True):
        # Theirs has a pooler, which no listener reads.
        expected = b._.trf_data
        states = expected.model_output.last_hidden_state
        expected.model_output = type(expected.model_output)(last_hidden_state=states)
        assert_same(a._.trf_data, expected)
    nlp = spacy.blank("en")
    nlp.add_pipe("electra", config={"model": {"name": str(tmp_path)}})
    assert nlp("Hello")._.trf_data is not None


def test_equal_on_real_text(source, shared_data):
    text = (shared_data / "ud_english_ewt").glob("*dev*.conllu")
    lines = next(iter(text)).read_text(encoding="utf8").splitlines()
    sentences = [s[len("# text = ") :] for s in lines if s.startswith("# text = ")]
    docs = [" ".join(sentences[i : i + 7]) for i in range(0, 350, 7)]
    theirs, ours = both(source, {**SPANS["strided"], "window": 64, "stride": 48})
    for a, b in zip(ours.pipe(docs), theirs.pipe(docs), strict=True):
        assert_same(a._.trf_data, b._.trf_data)


def test_batch_level_outputs_are_padded_as_there(source):
    theirs, ours = both(source, SPANS["strided"])
    docs = [ours.make_doc(text) for text in TEXTS]
    found = ours.get_pipe("transformer").predict(docs)
    expected = theirs.get_pipe("transformer").predict(docs)
    assert found.wordpieces.strings == expected.wordpieces.strings
    np.testing.assert_array_equal(found.align.dataXd, expected.align.dataXd)
    mask = expected.wordpieces.attention_mask.astype(bool)
    states, others = (
        batch.model_output.last_hidden_state.numpy() for batch in (found, expected)
    )
    assert states.shape == others.shape
    np.testing.assert_allclose(states[mask], others[mask], atol=1e-4)


def test_span_longer_than_the_positions_is_not_truncated(source):
    nlp = pipeline(OURS, source, SPANS["doc"])
    doc = nlp("1234567890 " * 100)
    data = doc._.trf_data
    assert data.wordpieces.lengths[0] > 128
    assert (data.align.lengths[::2] > 0).all()


@pytest.mark.parametrize("spans", [None, SPANS["doc"]], ids=["whole", "doc"])
def test_attention_in_several_windows_is_that_of_each_piece_in_its_own(source, spans):
    wants = {"output_attentions": True, "output_hidden_states": True}
    settings = {"window": 20, "stride": 8, "transformer_config": wants}
    nlp = pipeline(OURS, source, spans, **settings)
    short, long = nlp.pipe(["Hello", "The river floods the valley. " * 40])
    assert short._.trf_data.model_output.attentions[0].shape[1] == 4
    network = nlp.get_pipe("transformer").model.transformer
    room, stride = (18, 8) if spans is None else (126, 94)
    ids = long._.trf_data.wordpieces.input_ids[0]
    count = len(ids) - 2
    assert count > room
    starts = range(0, count - room + stride, stride)
    expected = torch.zeros((2, 4, len(ids), len(ids)))
    nearest = np.full(len(ids), np.inf)
    for start in starts:
        inside = np.arange(start, min(start + room, count)) + 1
        columns = np.concatenate([[0], inside, [len(ids) - 1]])
        with torch.no_grad():
            output = network(
                torch.from_numpy(ids[columns])[None], output_attentions=True
            )
        # The [CLS] of the first window, the [SEP] of the last, and each piece where it
        # stands nearest to the middle.
        distance = abs(columns - (start + (room + 1) / 2))
        distance[0] = start
        distance[-1] = count - start
        for row in np.flatnonzero(distance < nearest[columns]):
            nearest[columns[row]] = distance[row]
            for layer, weights in enumerate(output.attentions):
                expected[layer, :, columns[row]] = 0.0
                expected[layer, :, columns[row], columns] = weights[0, :, row]
    found = long._.trf_data.model_output.attentions
    for layer in range(2):
        np.testing.assert_allclose(found[layer][0], expected[layer], atol=1e-5)
        np.testing.assert_allclose(found[layer][0].sum(-1), 1.0, atol=1e-5)


def test_span_getter_may_leave_out_tokens(source):
    nlp = pipeline(OURS, source, SPANS["doc"])
    nlp.get_pipe("transformer").model.attrs["get_spans"] = lambda docs: [
        [doc[2:4]] if len(doc) > 4 else [] for doc in docs
    ]
    long, short = nlp.pipe([TEXTS[0], "Hello"])
    data = long._.trf_data
    # A row for every token of the Doc, so that listeners fit whatever was left out.
    assert len(data.align.lengths) == len(long)
    assert np.flatnonzero(data.align.lengths).tolist() == [2, 3]
    assert len(short._.trf_data.align.lengths) == 0


def listener(**settings):
    return {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "grad_factor": 1.0,
        "upstream": "*",
        "pooling": {"@layers": "reduce_mean.v1"},
        **settings,
    }


def add_tagger(nlp, tok2vec, name="tagger"):
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec}
    return nlp.add_pipe("tagger", name=name, config={"model": model})


def examples(nlp):
    words = TEXTS[0].split()
    tags = [word[-1] for word in words]
    doc = Doc(nlp.vocab, words=words, tags=tags)
    return [Example(Doc(nlp.vocab, words=words), doc) for _ in range(2)]


def weights_after(nlp, steps=3, grad_clip=1.0):
    data = examples(nlp)
    spacy.util.fix_random_seed(0)
    optimizer = nlp.initialize(lambda: data)
    optimizer.learn_rate = 2e-4
    optimizer.grad_clip = grad_clip
    for _ in range(steps):
        nlp.update(data, sgd=False)
        for _, component in nlp.pipeline:
            if hasattr(component, "finish_update"):
                component.finish_update(optimizer)
    return nlp


def test_training_changes_the_weights_as_there(source):
    # Clipped hard, since an optimizer clips by the matrix and ours are fewer.
    pipelines = []
    for architecture in (THEIRS, OURS):
        nlp = pipeline(architecture, source, SPANS["strided"])
        add_tagger(nlp, listener())
        pipelines.append(weights_after(nlp, steps=8, grad_clip=0.01))
    theirs, ours = (nlp("The chef cooked it.")._.trf_data for nlp in pipelines)
    assert_same(ours, theirs, tolerance=2e-5)
    untrained = pipeline(OURS, source, SPANS["strided"])("The chef cooked it.")
    change = untrained._.trf_data.tensors[0] - ours.tensors[0]
    assert np.abs(change).max() > 0.02


def test_tok2vec_transformer_equals_a_listener_that_was_replaced(source):
    nlp = pipeline(OURS, source, SPANS["strided"])
    add_tagger(nlp, listener())
    weights_after(nlp)
    expected = nlp.get_pipe("tagger").model.predict([nlp(TEXTS[2])])[0]
    nlp.replace_listeners("transformer", "tagger", ["model.tok2vec"])
    tok2vec = nlp.config["components"]["tagger"]["model"]["tok2vec"]
    assert tok2vec["@architectures"] == "spacy-electra.Tok2VecTransformer.v1"
    nlp.remove_pipe("transformer")
    found = nlp.get_pipe("tagger").model.predict([nlp(TEXTS[2])])[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    again = spacy.blank("en").from_config(nlp.config)
    again.from_bytes(nlp.to_bytes())
    found = again.get_pipe("tagger").model.predict([again(TEXTS[2])])[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    data = examples(again)
    optimizer = again.resume_training()
    optimizer.learn_rate = 2e-4
    before = again.update(data, sgd=optimizer)["tagger"]
    for _ in range(5):
        after = again.update(data, sgd=optimizer)["tagger"]
    assert after < before


def test_disk_and_bytes_and_sourcing(source, tmp_path):
    nlp = pipeline(OURS, source, SPANS["strided"])
    expected = nlp(TEXTS[2])._.trf_data.tensors[0]
    nlp.get_pipe("transformer").model.attrs["name"] = "gone"
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    from_bytes = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    sourced = spacy.blank("en")
    sourced.add_pipe("sentencizer")
    sourced.add_pipe("transformer", source=loaded)
    for other in (loaded, from_bytes, sourced):
        found = other(TEXTS[2])._.trf_data.tensors[0]
        np.testing.assert_array_equal(found, expected)
    assert b"cpickle" not in nlp.to_bytes()


def test_a_copy_has_weights_of_its_own(source):
    nlp = pipeline(OURS, source, SPANS["strided"])
    doc = nlp(TEXTS[0])
    model = nlp.get_pipe("transformer").model
    copied = model.copy()
    model.transformer.encoder.layers[0].feed_forward.up.bias.data.add_(1.0)
    again = copied.predict([doc]).doc_data[0].tensors[0]
    np.testing.assert_array_equal(again, doc._.trf_data.tensors[0])


def test_settings_for_transformers_that_mean_nothing_warn(source):
    nlp = pipeline(
        OURS,
        source,
        SPANS["doc"],
        tokenizer_config={"use_fast": True, "add_prefix_space": True},
        transformer_config={"num_hidden_layers": 1, "torchscript": False},
    )
    with pytest.warns(UserWarning, match="SW311") as caught:
        nlp("Hello")
    told = " ".join(str(warning.message) for warning in caught)
    assert "add_prefix_space" in told and "torchscript" in told
    assert "use_fast" not in told
    assert len(nlp.get_pipe("transformer").model.transformer.encoder.layers) == 1


def test_mixed_precision_means_bf16(source):
    model = registry.resolve(
        {"m": {"@architectures": OURS, "name": source, "mixed_precision": True}}
    )["m"]
    assert model.shim.precision == "bf16"


def trained(architecture, source, factory="transformer", steps=8):
    """A pipeline after some updates, and the tagger's losses in them."""
    nlp = pipeline(architecture, source, SPANS["strided"], factory)
    add_tagger(nlp, listener())
    data = examples(nlp)
    optimizer = nlp.initialize(lambda: data)
    optimizer.learn_rate = 2e-4
    found = []
    for _ in range(steps):
        losses = nlp.update(data, sgd=optimizer, drop=0.0, losses={})
        found.append(losses["tagger"])
    return nlp, found


def test_losses_are_those_of_spacy_transformers_step_by_step(source):
    _, theirs = trained(THEIRS, source)
    _, ours = trained(OURS, source)
    assert theirs[-1] < theirs[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_electra_learns_with_its_listeners_and_transformer_a_step_later(source):
    # The tagger begins at zero, so its first gradient for the encoder is none.
    states = [
        trained(architecture, source, factory, steps)[0]("Hello")._.trf_data.tensors[0]
        for architecture, factory in ((THEIRS, "transformer"), (OURS, "electra"))
        for steps in (1, 2)
    ]
    assert np.abs(states[0] - states[1]).max() < 1e-4
    assert np.abs(states[2] - states[3]).max() > 1e-4
