"""The encoder over Docs gives what the network alone gives on the same pieces."""

import gc
from dataclasses import replace

import numpy as np
import pytest
import spacy
import torch
from thinc.api import Adam

from spacy_electra.layers.encoder import Encoder
from spacy_electra.layers.heads import RTD
from spacy_electra.layers.types import PieceStates
from spacy_electra.layers.units import max_over_pieces
from spacy_electra.models import ElectraForMaskedLM, ElectraForPreTraining
from spacy_electra.models.training import share
from spacy_electra.tokenization.alignment import align

TEXTS = [
    "The chef cooked the meal and served it to the guests.",
    "",
    " \n ",
    "In 1905 Einstein published four papers; physicists still read them today. " * 12,
    "cannot",
]


@pytest.fixture
def docs(nlp):
    return [nlp.make_doc(text) for text in TEXTS]


def test_states_are_those_of_the_network(docs, tokenizer):
    model = Encoder(window=256, stride=254, precision="fp32")
    encoded = model.predict(docs)
    network = ElectraForPreTraining.from_pretrained("en_tiny").electra
    begin = 0
    for number, text in enumerate(TEXTS):
        encoding = tokenizer(text)
        with torch.no_grad():
            states = network(torch.from_numpy(encoding.ids)[None]).last_hidden_state[0]
        n = len(encoding.ids) - 2
        np.testing.assert_allclose(
            encoded.states[begin : begin + n], states[1:-1], rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(
            encoded.cls_states[number], states[0], rtol=1e-4, atol=1e-4
        )
        begin += n
    assert begin == len(encoded.states)
    assert model.get_dim("nO") == network.config.hidden_size


@pytest.mark.parametrize("max_tokens", [1, 64, 100_000])
def test_batching_changes_nothing(docs, max_tokens):
    one = Encoder(window=32, stride=20, precision="fp32").predict(docs)
    other = Encoder(
        window=32, stride=20, precision="fp32", max_tokens=max_tokens
    ).predict(docs)
    np.testing.assert_allclose(one.states, other.states, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.cls_states, other.cls_states, rtol=1e-4, atol=1e-5)
    assert one.windows_per_doc.tolist() == other.windows_per_doc.tolist()


def test_gradients_equal_autograd(docs, tokenizer):
    model = Encoder(window=256, stride=254, precision="fp32", max_tokens=40)
    network = model.load().network
    encoded, backprop = model.begin_update(docs)
    random = np.random.default_rng(0)
    of_states = random.normal(size=encoded.states.shape).astype("f")
    of_cls = random.normal(size=encoded.cls_states.shape).astype("f")
    backprop(PieceStates(of_states, of_cls, encoded.windows_per_doc, encoded.pieces))
    found = {name: p.grad for name, p in network.named_parameters()}
    other = ElectraForPreTraining.from_pretrained("en_tiny").electra.train()
    begin, total = 0, 0.0
    for number, text in enumerate(TEXTS):
        states = other(torch.tensor([tokenizer(text).ids])).last_hidden_state[0]
        n = len(states) - 2
        total = (
            total
            + (states[1:-1] * torch.from_numpy(of_states[begin : begin + n])).sum()
        )
        total = total + (states[0] * torch.from_numpy(of_cls[number])).sum()
        begin += n
    total.backward()
    for name, parameter in other.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-3)


def test_bytes_hold_weights_tokenizer_and_nothing_of_the_source(docs, tmp_path):
    model = Encoder(precision="fp32")
    expected = model.predict(docs).states
    data = model.to_bytes()
    again = Encoder(source=str(tmp_path / "gone"), precision="fp32").from_bytes(data)
    np.testing.assert_array_equal(again.predict(docs).states, expected)
    assert b"cpickle" not in data and b"torch._utils" not in data
    assert again.to_bytes() == data


def test_model_without_weights_survives_serialization(docs):
    model = Encoder().from_bytes(Encoder().to_bytes())
    assert model.shim.is_empty
    assert model.predict(docs).states.shape[1] == model.get_dim("nO")


def test_copies_do_not_share_weights(docs):
    model = RTD(Encoder())
    model.initialize()
    copied = model.copy()
    with torch.no_grad():
        copied.shim.network.score.bias.add_(100)
    assert model.predict(docs)[0].max() < 50 < copied.predict(docs)[0].min()


def test_update_changes_each_weight_once(docs):
    model = RTD(Encoder(precision="fp32"))
    model.initialize()
    before = [p.detach().clone() for p in model.shim.network.parameters()]
    scores, backprop = model.begin_update(docs)
    backprop([np.ones_like(part) for part in scores])
    model.finish_update(Adam(0.001))
    after = list(model.shim.network.parameters())
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(p.grad is None for p in after)


def test_updates_leave_no_tensors_behind(docs):
    # Some hundred small ones a step would break up the heap, and it would grow by
    # megabytes each time.
    model = RTD(Encoder(precision="fp32"))
    model.initialize()
    optimizer = Adam(0.001)
    counts = []
    for _ in range(4):
        scores, backprop = model.begin_update(docs)
        backprop([np.ones_like(part) for part in scores])
        model.finish_update(optimizer)
        del scores, backprop
        gc.collect()
        # Not isinstance, which asks objects of other packages for their class.
        kinds = [type(item) for item in gc.get_objects()]
        counts.append(sum(issubclass(kind, torch.Tensor) for kind in kinds))
    assert counts[1:] == counts[1:2] * 3


def test_use_params_gives_the_weights_back(docs):
    model = RTD(Encoder(precision="fp32"))
    model.initialize()
    optimizer = Adam(0.01, use_averages=True)
    for _ in range(2):
        scores, backprop = model.begin_update(docs)
        backprop([np.ones_like(part) for part in scores])
        model.finish_update(optimizer)
    trained = model.predict(docs)[0]
    with model.use_params(optimizer.averages):
        assert not np.allclose(model.predict(docs)[0], trained)
    np.testing.assert_array_equal(model.predict(docs)[0], trained)


def test_no_docs():
    model = RTD(Encoder())
    assert model.predict([]) == []


def test_head_of_a_source_that_is_no_discriminator_warns(docs, tokenizer, tmp_path):
    generator = ElectraForMaskedLM.from_pretrained("en_tiny/generator")
    generator.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="no discriminator"):
        RTD(Encoder(source=str(tmp_path))).initialize()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"precision": "int4"}, "precision"),
        ({"window": 2}, "window"),
        ({"stride": 127}, "stride"),
        ({"stride": 0}, "stride"),
    ],
)
def test_bad_arguments_are_named_at_once(arguments, part):
    with pytest.raises(ValueError, match=part):
        Encoder(**arguments)


def test_window_longer_than_the_positions_is_named(docs):
    with pytest.raises(ValueError, match="max_position_embeddings=256"):
        Encoder(window=300, stride=200).predict(docs)


def test_max_over_pieces_takes_the_largest_and_says_where(nlp, tokenizer):
    docs = [nlp.make_doc(text) for text in ("unaffably floods", " ", "a")]
    pieces = align(docs, tokenizer)
    values = np.arange(sum(len(part) for part in pieces), dtype="f")[::-1].copy()
    largest, rows = max_over_pieces(values, pieces, empty=-1.0)
    n = len(pieces[0].alignment[0].dataXd)
    assert n > 1
    assert rows.tolist() == [0, n, -1, len(values) - 1]
    assert largest.tolist() == [values[0], values[n], -1.0, values[-1]]


def test_config_of_the_source_can_have_other_widths(tmp_path, tokenizer, docs):
    config = ElectraForPreTraining.from_pretrained("en_tiny").config
    wide = replace(config, embedding_size=256, num_hidden_layers=1)
    ElectraForPreTraining(wide).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    nlp = spacy.blank("en")
    nlp.add_pipe(
        "electra_rtd", config={"model": {"encoder": {"source": str(tmp_path)}}}
    )
    assert nlp(TEXTS[0])[1]._.rtd_score is not None


def test_inference_follows_the_weights(docs):
    model = Encoder(precision="fp32")
    before = model.predict(docs).states
    encoded, backprop = model.begin_update(docs)
    backprop(encoded)
    optimizer = Adam(1e-3)
    model.finish_update(optimizer)
    trained = model.predict(docs).states
    assert np.abs(trained - before).max() > 1e-3
    np.testing.assert_allclose(
        trained, model.begin_update(docs)[0].states, rtol=1e-3, atol=1e-4
    )
    before = trained
    network = model.load().network
    with torch.no_grad():
        network.encoder.layers[0].feed_forward.up.bias.add_(1.0)
    in_place = model.predict(docs).states
    assert np.abs(in_place - before).max() > 1e-3
    weight = network.encoder.layers[0].feed_forward.up.bias
    weight.data = weight.data - 1.0
    np.testing.assert_allclose(model.predict(docs).states, before, atol=1e-5)


# Without dropout, torch's own attention serves fp32, and shares out each operator.
@pytest.mark.parametrize(("precision", "count"), [("bf16", 1), ("fp32", 2)])
def test_embeddings_take_one_thread_on_the_way_back_from_streams(
    nlp, precision, count, threads, monkeypatch
):
    monkeypatch.setattr(share, "_FEW_VALUES", 0)
    model = Encoder(precision=precision)
    docs, counts = [nlp.make_doc(TEXTS[0])] * 200, []
    tables = model.load().network.embeddings
    tables.word_embeddings.weight.register_hook(
        lambda _: counts.append(torch.get_num_threads())
    )
    threads(2)
    encoded, backprop = model.begin_update(docs)
    backprop(replace(encoded, states=np.ones_like(encoded.states)))
    assert torch.get_num_threads() == 2
    assert counts == [count]
