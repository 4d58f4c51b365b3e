"""One encoder serves every component, and trains with all of them."""

import gc

import numpy as np
import pytest
import spacy
import torch
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from spacy_electra.layers.types import PieceStates
from spacy_electra.models import ElectraModel
from spacy_electra.tokenization.alignment import align

pytest.importorskip("spacy_transformers")

from pipelines import (
    ENCODER_LISTENER,
    LISTENERS,
    OWN_ENCODER,
    TEXTS,
    TRANSFORMER_LISTENER,
    add,
    add_textcat,
    electra,
    example,
    examples,
)

from spacy_electra import token_vectors


def test_a_name_is_all_it_takes():
    nlp = spacy.blank("en")
    nlp.add_pipe("electra", config={"model": {"name": "en_tiny"}})
    doc = nlp(TEXTS[0])
    assert doc._.trf_data.tensors[0].shape[:2] == (1, len(align_one(nlp, doc)) + 2)


@pytest.mark.parametrize("short", ["transformer", "encoder"])
def test_listeners_pool_by_the_mean_unless_told_otherwise(short):
    architectures = {
        "transformer": {"@architectures": "spacy-electra.TransformerListener.v1"},
        "encoder": {
            "@architectures": "spacy-electra.Tok2Vec.v1",
            "encoder": {"@architectures": "spacy-electra.EncoderListener.v1"},
        },
    }
    vectors = []
    for listener in (architectures[short], LISTENERS[short]):
        nlp = electra()
        nlp.add_pipe("tagger", config={"model": {"tok2vec": listener}})
        learned = examples(nlp)
        nlp.initialize(learned.copy)
        docs = list(nlp.get_pipe("electra").pipe([nlp.make_doc(TEXTS[0])]))
        vectors.append(nlp.get_pipe("tagger").model.get_ref("tok2vec").predict(docs))
    np.testing.assert_array_equal(vectors[0], vectors[1])


def align_one(nlp, doc):
    tokenizer = nlp.get_pipe("electra").model.tokenizer
    return align([doc], tokenizer)[0]


def test_states_are_those_of_the_network():
    nlp = electra({"window": 256, "stride": 250})
    network = ElectraModel.from_pretrained("en_tiny")
    doc = nlp(TEXTS[3])
    data = doc._.trf_data
    ids = torch.from_numpy(data.wordpieces.input_ids)
    with torch.no_grad():
        expected = network(ids).last_hidden_state
    np.testing.assert_allclose(data.tensors[0], expected, atol=1e-4)
    assert data.wordpieces.strings[0][0] == "[CLS]"
    assert data.wordpieces.strings[0][-1] == "[SEP]"


def test_nothing_is_truncated_and_docs_do_not_depend_on_their_batch():
    nlp = electra()
    together = list(nlp.pipe(TEXTS))
    for text, doc in zip(TEXTS, together, strict=True):
        data = doc._.trf_data
        pieces = align_one(nlp, doc)
        assert data.wordpieces.input_ids[0, 1:-1].tolist() == pieces.ids.tolist()
        alone = nlp(text)._.trf_data
        np.testing.assert_allclose(data.tensors[0], alone.tensors[0], atol=1e-4)
        np.testing.assert_array_equal(
            data.align.dataXd.ravel(), pieces.alignment.dataXd.ravel() + 1
        )
        np.testing.assert_array_equal(data.align.lengths, pieces.alignment.lengths)


def test_a_kept_doc_does_not_keep_its_batch():
    doc = next(iter(electra().pipe(TEXTS)))
    states = doc._.trf_data.tensors[0]
    base = states if states.base is None else states.base
    assert base.nbytes == states.nbytes


def test_token_vectors_are_means_over_pieces():
    nlp = electra(set_tensor=True)
    for doc in nlp.pipe(TEXTS):
        vectors = token_vectors(doc)
        rows = doc._.trf_data.tensors[0][0, 1:-1]
        alignment = align_one(nlp, doc).alignment
        for token in doc:
            own = rows[alignment[token.i].dataXd.ravel()]
            expected = own.mean(0) if len(own) else np.zeros(rows.shape[1])
            np.testing.assert_allclose(vectors[token.i], expected, atol=1e-4)
        np.testing.assert_array_equal(doc.tensor, vectors)
    with pytest.raises(ValueError, match="SE360"):
        token_vectors(nlp.make_doc("Hello"))


@pytest.mark.parametrize("kind", LISTENERS)
def test_states_leave_the_doc_once_everyone_has_read_them(kind):
    nlp = electra(store=False, set_tensor=True)
    add(nlp, "tagger", TRANSFORMER_LISTENER)
    add(nlp, "ner", LISTENERS[kind])
    nlp.initialize(lambda: examples(nlp))
    stored = electra()
    for doc, other in zip(nlp.pipe(TEXTS), stored.pipe(TEXTS), strict=True):
        assert doc._.trf_data is None
        np.testing.assert_allclose(token_vectors(doc), token_vectors(other), atol=1e-4)
    assert electra(store=False)("Hello")._.trf_data is None


def tags_and_entities(doc):
    return [(token.tag_, token.ent_iob_) for token in doc]


@pytest.mark.parametrize("kind", LISTENERS)
def test_states_do_not_wait_for_components_that_are_disabled(kind, tmp_path):
    nlp = electra(store=False)
    add(nlp, "tagger", TRANSFORMER_LISTENER)
    add(nlp, "ner", LISTENERS[kind])
    data = examples(nlp)
    optimizer = nlp.initialize(lambda: data)
    optimizer.learn_rate = 3e-4
    for _ in range(20):
        nlp.update(data, sgd=optimizer)
    text = data[0].reference.text
    expected = tags_and_entities(nlp(text))
    assert any(iob == "B" for _, iob in expected)
    nlp.to_disk(tmp_path)
    # spaCy links what listens when a pipeline is loaded, but not what is enabled later.
    late = spacy.load(tmp_path, disable=["ner"])
    for other in (nlp, late):
        with other.select_pipes(disable=["ner"]):
            doc = other(text)
            assert doc._.trf_data is None and not doc.ents
        late.enable_pipe("ner")
        doc = other(text)
        assert doc._.trf_data is None
        assert tags_and_entities(doc) == expected


@pytest.mark.parametrize("kind", LISTENERS)
def test_states_that_are_gone_are_missed_aloud(kind):
    nlp = electra(store=False)
    tagger = add(nlp, "tagger", LISTENERS[kind])
    nlp.initialize(lambda: examples(nlp))
    doc = nlp("Hello")
    with pytest.raises(ValueError, match="SE327"):
        tagger(doc)
    assert tagger(nlp.get_pipe("electra")(doc)) is doc


def test_network_of_another_package_is_named():
    nlp = spacy.blank("en")
    model = {
        "@architectures": "spacy-transformers.TransformerModel.v3",
        "name": "google/electra-small-discriminator",
        "get_spans": {"@span_getters": "spacy-transformers.doc_spans.v1"},
    }
    with pytest.raises(ValueError, match="SE361") as error:
        nlp.add_pipe("electra", config={"model": model})
    assert "spacy_transformers" in str(error.value)


@pytest.mark.parametrize("kind", LISTENERS)
def test_components_train_and_survive_the_disk(kind, tmp_path):
    tok2vec = LISTENERS[kind]
    nlp = electra()
    add(nlp, "tagger", tok2vec)
    add(nlp, "ner", tok2vec)
    add(nlp, "spancat", tok2vec)
    add_textcat(nlp, tok2vec)
    data = examples(nlp)
    optimizer = nlp.initialize(lambda: data)
    optimizer.learn_rate = 3e-4
    history = [nlp.update(data, sgd=optimizer) for _ in range(25)]
    for name in ("tagger", "ner", "textcat", "spancat"):
        assert history[-1][name] < 0.9 * history[0][name]
    assert history[0]["electra"] > 0
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    for text in TEXTS:
        one, other = nlp(text), again(text)
        assert [t.tag_ for t in one] == [t.tag_ for t in other]
        assert one.cats == other.cats


@pytest.mark.parametrize(
    "kinds",
    [("transformer", "transformer"), ("encoder", "transformer", "encoder")],
    ids=" and ".join,
)
def test_gradients_of_several_listeners_add_up(kinds):
    nlp = electra({"window": 16, "stride": 9, "max_tokens": 40})
    component = nlp.get_pipe("electra")
    tok2vecs = []
    for number, kind in enumerate(kinds):
        add(nlp, "tagger", LISTENERS[kind], name=f"tagger{number}")
        tok2vecs.append(nlp.get_pipe(f"tagger{number}").model.get_ref("tok2vec"))
    nlp.initialize(lambda: examples(nlp))
    docs = [nlp.make_doc(text[:120]) for text in TEXTS]
    component.update([Example(doc, doc) for doc in docs])
    random = np.random.default_rng(0)
    total = None
    for tok2vec in tok2vecs:
        vectors, backprop = tok2vec.begin_update(docs)
        factors = [random.normal(size=v.shape).astype("f") for v in vectors]
        backprop([part.copy() for part in factors])
        if total is None:
            total = factors
        else:
            total = [a + b for a, b in zip(total, factors, strict=True)]
    network = component.model.shim.network
    found = {name: p.grad for name, p in network.named_parameters()}

    # The same by autograd: vectors of an encoder of its own, from the same weights.
    other = registry_tok2vec({"window": 16, "stride": 9})
    other.initialize(X=docs)
    vectors, backprop = other.begin_update(docs)
    backprop(total)
    expected = other.layers[0].shim.network.named_parameters()
    for name, parameter in expected:
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-3)


def registry_tok2vec(encoder):
    config = {**OWN_ENCODER, "encoder": {**OWN_ENCODER["encoder"], **encoder}}
    return spacy.util.registry.resolve({"m": config})["m"]


def test_gradient_of_cls_states_reaches_the_encoder():
    nlp = electra({"window": 16, "stride": 9})
    component = nlp.get_pipe("electra")
    make = spacy.util.registry.get("architectures", "spacy-electra.EncoderListener.v1")
    listener = make()
    component.add_listener(listener, "head")
    docs = [nlp.make_doc(text[:120]) for text in TEXTS]
    component.update([Example(doc, doc) for doc in docs])
    encoded, backprop = listener.begin_update(docs)
    assert len(encoded.cls_states) == encoded.windows_per_doc.sum()
    ones = np.ones_like(encoded.cls_states)
    backprop(
        PieceStates(
            np.zeros_like(encoded.states), ones, encoded.windows_per_doc, encoded.pieces
        )
    )
    found = component.model.shim.network
    own = registry_tok2vec({"window": 16, "stride": 9}).layers[0]
    encoded, backprop = own.begin_update(docs)
    backprop(
        PieceStates(
            np.zeros_like(encoded.states), ones, encoded.windows_per_doc, encoded.pieces
        )
    )
    for a, b in zip(found.parameters(), own.shim.network.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", LISTENERS)
def test_encoder_trains_though_the_last_listener_is_frozen(kind):
    nlp = electra()
    add(nlp, "tagger", LISTENERS[kind])
    add(nlp, "tagger", LISTENERS[kind], name="frozen")
    data = examples(nlp)
    optimizer = nlp.initialize(lambda: data)
    optimizer.learn_rate = 1e-4
    network = nlp.get_pipe("electra").model.shim.network
    before = network.encoder.layers[0].feed_forward.up.weight.detach().clone()
    # As spaCy's training loop has it: first gradients, then the optimizer.
    nlp.update(data, sgd=False, exclude=["frozen"])
    for name, component in nlp.pipeline:
        if name != "frozen":
            component.finish_update(optimizer)
    after = network.encoder.layers[0].feed_forward.up.weight
    assert not torch.equal(before, after)


@pytest.mark.parametrize("kind", LISTENERS)
def test_frozen_encoder_that_annotates_trains_what_listens(kind):
    nlp = electra()
    add(nlp, "tagger", LISTENERS[kind])
    data = examples(nlp)
    optimizer = nlp.initialize(lambda: data)
    before = nlp.get_pipe("electra").to_bytes()
    losses = [
        nlp.update(data, sgd=optimizer, exclude=["electra"], annotates=["electra"])
        for _ in range(30)
    ]
    assert losses[-1]["tagger"] < losses[0]["tagger"]
    assert nlp.get_pipe("electra").to_bytes() == before


@pytest.mark.parametrize("kind", LISTENERS)
def test_replaced_listeners_give_the_same(kind):
    nlp = electra()
    add(nlp, "tagger", LISTENERS[kind])
    nlp.initialize(lambda: examples(nlp))
    tagger = nlp.get_pipe("tagger")
    expected = tagger.model.predict(list(nlp.pipe(TEXTS)))
    nlp.replace_listeners("electra", "tagger", ["model.tok2vec"])
    nlp.remove_pipe("electra")
    found = tagger.model.predict([nlp.make_doc(text) for text in TEXTS])
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    again = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    docs = [again.make_doc(text) for text in TEXTS]
    for a, b in zip(
        again.get_pipe("tagger").model.predict(docs), expected, strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("kind", [*LISTENERS, "own"])
def test_empty_docs_train_and_predict(kind):
    nlp = electra() if kind != "own" else spacy.blank("en")
    tok2vec = {**LISTENERS, "own": OWN_ENCODER}[kind]
    add(nlp, "tagger", tok2vec)
    add_textcat(nlp, tok2vec)
    optimizer = nlp.initialize(lambda: examples(nlp))
    empty = [example(nlp, []), example(nlp, [" "]), example(nlp, ["\n\n"])]
    for batch in (empty[:1], empty, [*empty, *examples(nlp)]):
        nlp.update(batch, sgd=optimizer)
    assert len(list(nlp.pipe(["", " ", "\n"]))) == 3


@pytest.mark.parametrize("kind", [*LISTENERS, "own"])
def test_nothing_but_empty_docs(kind):
    nlp = electra() if kind != "own" else spacy.blank("en")
    add_textcat(nlp, {**LISTENERS, "own": OWN_ENCODER}[kind])
    texts = [[], [" "], ["\n\n", "\t"]]
    data = [example(nlp, words, cat) for words in texts for cat in "AB"]
    optimizer = nlp.initialize(lambda: data)
    optimizer.learn_rate = 1e-4
    for batch in (data[:1], data[:2], data):
        losses = nlp.update(batch, sgd=optimizer)
        assert all(np.isfinite(value) for value in losses.values())
    for doc in nlp.pipe(["", " ", "\n\n \t"]):
        assert doc.cats["A"] + doc.cats["B"] == pytest.approx(1.0)
        if kind != "own":
            assert token_vectors(doc).shape == (len(doc), 256)
            assert not token_vectors(doc).any()


@pytest.mark.parametrize("kind", LISTENERS)
@pytest.mark.parametrize("cut", [3, 100])
def test_parser_that_learns_from_parts_of_docs(kind, cut):
    fix_random_seed(0)
    nlp = electra()
    parser = add(nlp, "parser", LISTENERS[kind], use_upper=False)
    parser.cfg.update(update_with_oracle_cut_size=cut, min_action_freq=1)
    data = examples(nlp)
    optimizer = nlp.initialize(lambda: data)
    optimizer.learn_rate = 3e-4
    network = nlp.get_pipe("electra").model.shim.network
    before = network.encoder.layers[0].feed_forward.up.weight.detach().clone()
    history = [nlp.update(data, sgd=optimizer) for _ in range(60)]
    assert history[-1]["parser"] < 0.5 * history[0]["parser"]
    assert not torch.equal(before, network.encoder.layers[0].feed_forward.up.weight)
    assert nlp.evaluate(examples(nlp))["dep_uas"] == 1.0


def test_layers_learn_at_their_own_rate():
    nlp = electra({"layer_decay": 0.5})
    add(nlp, "tagger", TRANSFORMER_LISTENER)
    data = examples(nlp)
    nlp.initialize(lambda: data)
    shim = nlp.get_pipe("electra").model.shim
    before = {name: p.detach().clone() for name, p in shim.network.named_parameters()}
    # Until its output layer has moved off zero, a tagger sends no gradient.
    nlp.update(data, sgd=False)
    nlp.get_pipe("tagger").finish_update(Adam(0.01))
    nlp.update(data, sgd=False)
    # Adam's first step is the learning rate, whatever the gradient.
    nlp.get_pipe("electra").finish_update(Adam(1e-4, grad_clip=0, L2=0))

    def step(name):
        return (shim.network.get_parameter(name) - before[name]).abs().max().item()

    layers = shim.network.config.num_hidden_layers
    for number in range(layers):
        found = step(f"encoder.layers.{number}.feed_forward.up.weight")
        assert found == pytest.approx(1e-4 * 0.5 ** (layers - number), rel=0.05)
    found = step("embeddings.position_embeddings.weight")
    assert found == pytest.approx(1e-4 * 0.5 ** (layers + 1), rel=0.05)


def test_frozen_layers_stay():
    nlp = electra({"frozen_layers": 2})
    add(nlp, "tagger", TRANSFORMER_LISTENER)
    data = examples(nlp)
    optimizer = nlp.initialize(lambda: data)
    optimizer.learn_rate = 1e-4
    network = nlp.get_pipe("electra").model.shim.network
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for _ in range(2):
        nlp.update(data, sgd=optimizer)
    changed = {
        n for n, p in network.named_parameters() if not torch.equal(p, before[n])
    }
    assert changed
    assert all(
        name.startswith(("encoder.layers.2", "encoder.layers.3")) for name in changed
    )


def test_all_layers_frozen_train_the_rest_and_too_many_are_named():
    nlp = electra({"frozen_layers": 4})
    add(nlp, "tagger", ENCODER_LISTENER)
    data = examples(nlp)
    nlp.initialize(lambda: data)
    nlp.update(data)
    with pytest.raises(ValueError, match="SE322"):
        electra({"frozen_layers": 5})("Hello")


def test_gradient_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        tok2vec = registry_tok2vec({"gradient_checkpointing": checkpointing})
        nlp = spacy.blank("en")
        docs = [nlp.make_doc(text) for text in TEXTS]
        tok2vec.initialize(X=docs)
        network = tok2vec.layers[0].shim.network
        vectors, backprop = tok2vec.begin_update(docs)
        backprop([np.ones_like(part) for part in vectors])
        gradients.append([p.grad for p in network.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_a_large_learning_rate_warns_once():
    nlp = electra()
    add(nlp, "tagger", TRANSFORMER_LISTENER)
    data = examples(nlp)
    optimizer = nlp.initialize(lambda: data)
    with pytest.warns(UserWarning, match="SW310") as caught:
        for _ in range(3):
            nlp.update(data, sgd=optimizer)
    assert len(caught) == 1


def test_listener_of_the_wrong_docs_is_named():
    nlp = electra()
    tagger = add(nlp, "tagger", ENCODER_LISTENER)
    nlp.initialize(lambda: examples(nlp))
    nlp.get_pipe("electra").update(examples(nlp)[:1])
    with pytest.raises(ValueError, match="SE320"):
        tagger.update(examples(nlp)[1:])
    other = electra()
    tagger = add(other, "tagger", ENCODER_LISTENER)
    other.initialize(lambda: examples(other))
    with pytest.raises(ValueError, match="SE321"):
        tagger.update(examples(other))


def test_span_getters_work_here_too():
    spans = {"@span_getters": "spacy-transformers.doc_spans.v1"}
    nlp = electra({"get_spans": spans})
    doc = nlp(TEXTS[0])
    whole = electra()(TEXTS[0])
    np.testing.assert_allclose(
        doc._.trf_data.tensors[0], whole._.trf_data.tensors[0], atol=1e-4
    )
    add(nlp, "tagger", ENCODER_LISTENER)
    with pytest.raises(ValueError, match="SE325"):
        nlp.initialize(lambda: examples(nlp))
        nlp("Hello")


def test_memory_of_batches_in_flight_is_freed():
    nlp = electra()
    add(nlp, "tagger", TRANSFORMER_LISTENER)
    data = examples(nlp)
    nlp.initialize(lambda: data)
    nlp.update(data)
    gc.collect()
    assert nlp.get_pipe("electra")._pending is None
