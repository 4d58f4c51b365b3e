"""A head over an encoder gives what its class gives, for each way from pieces."""

import numpy as np
import pytest
import spacy
import torch
from thinc.api import SGD, Adam
from torch import nn

from spacy_electra.layers.encoder import Encoder
from spacy_electra.layers.head_model import Head
from spacy_electra.layers.types import TextPair
from spacy_electra.layers.units import (
    EVERY_PIECE,
    EVERY_PLACE,
    FIRST_PIECE,
    LARGEST_PIECE,
    MEAN,
    WINDOW_CLS,
)
from spacy_electra.models import (
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
)
from spacy_electra.models.heads import HeadModel
from spacy_electra.tokenization.alignment import align

TEXTS = [
    "The chef unaffably cooked the meal.",
    "",
    " \n ",
    "In 1905 Einstein published  four papers",
]


class TwoLayerHead(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, 8)
        self.classifier = nn.Linear(8, config.num_labels)

    def forward(self, hidden):
        return self.classifier(self.dense(hidden).tanh())


class Classifier(HeadModel):
    """Stands for any head with labels."""

    head_class = TwoLayerHead
    hugging_face_names = (
        ("dense.", "head.dense."),
        ("classifier.", "head.classifier."),
    )


@pytest.fixture
def config(tokenizer):
    return ElectraConfig(
        vocab_size=tokenizer.vocab_size,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.3,
    ).with_labels(["A", "B", "C"])


@pytest.fixture
def save(tmp_path, tokenizer, config):
    """Write a checkpoint of a class with random weights; gives its folder."""

    def write(cls, **changes):
        torch.manual_seed(0)
        cls(config.changed(**changes)).save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        return str(tmp_path)

    return write


@pytest.fixture
def docs(nlp):
    return [nlp.make_doc(text) for text in TEXTS]


def head_of(cls, units, source, **settings):
    encoder = Encoder(source, window=64, stride=62, precision="fp32", **settings)
    return Head("head", encoder, cls, units, "thing")


def expected_outputs(model, units, doc, tokenizer, second=None):
    """The definition, token by token, on the padded path."""
    pieces = align([doc], tokenizer)[0]
    ids = np.concatenate([[tokenizer.cls_token_id], pieces.ids])
    ids = torch.from_numpy(np.append(ids, tokenizer.sep_token_id))
    states = model.electra(ids[None]).last_hidden_state[0]
    own = states[1:-1]
    if units is EVERY_PIECE:
        return model.head(own)
    if units is WINDOW_CLS:
        return model.head(states[:1])
    rows = [own[pieces.alignment[token.i].dataXd.ravel()] for token in doc]
    width = model.head(own[:1] if len(own) else states[:1]).shape[1:]
    found = []
    for row in rows:
        if units is LARGEST_PIECE:
            empty = torch.tensor(-torch.inf)
            found.append(model.head(row).max() if len(row) else empty)
        elif not len(row):
            found.append(torch.zeros(width))
        else:
            found.append(model.head(row[0] if units is FIRST_PIECE else row.mean(0)))
    return torch.stack(found) if found else torch.zeros((0, *width))


WAYS = {
    "largest_piece": (ElectraForPreTraining, LARGEST_PIECE),
    "first_piece": (Classifier, FIRST_PIECE),
    "mean": (Classifier, MEAN),
    "window_cls": (Classifier, WINDOW_CLS),
    "every_piece": (Classifier, EVERY_PIECE),
}


@pytest.mark.parametrize("way", WAYS)
def test_outputs_and_gradients_are_those_of_the_class(way, save, docs, tokenizer):
    cls, units = WAYS[way]
    source = save(cls)
    model = head_of(cls, units, source)
    found, backprop = model.begin_update(docs)
    own = cls.from_pretrained(source).train()
    expected = [expected_outputs(own, units, doc, tokenizer) for doc in docs]
    random = np.random.default_rng(0)
    total, gradients = 0.0, []
    for ours, other in zip(found, expected, strict=True):
        assert ours.shape == other.shape and ours.dtype == np.float32
        np.testing.assert_allclose(ours, other.detach().numpy(), atol=1e-5)
        gradients.append(random.normal(size=ours.shape).astype("f"))
        finite = torch.isfinite(other)
        total = total + (other * torch.from_numpy(gradients[-1]))[finite].sum()
    backprop(gradients)
    total.backward()
    for shim, part in ((model.shim, own.head), (model.encoder.shim, own.electra)):
        for name, weight in part.named_parameters():
            ours = shim.network.get_parameter(name).grad
            torch.testing.assert_close(ours, weight.grad, rtol=1e-4, atol=1e-4)
    predicted = model.predict(docs)
    for a, b in zip(predicted, found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_no_text_and_nothing_but_empty_texts(way, save, nlp):
    cls, units = WAYS[way]
    model = head_of(cls, units, save(cls))
    assert model.predict([]) == []
    outputs, backprop = model.begin_update([nlp.make_doc(text) for text in ("", " ")])
    windows = units is WINDOW_CLS
    pieces = units is EVERY_PIECE
    lengths = [1, 1] if windows else [0, 0] if pieces else [0, 1]
    assert [len(part) for part in outputs] == lengths
    backprop([np.ones_like(part) for part in outputs])


def test_one_output_per_window_of_a_long_text(save, nlp):
    model = head_of(Classifier, WINDOW_CLS, save(Classifier))
    doc = nlp.make_doc("the " * 200)
    (outputs,) = model.predict([doc])
    assert outputs.shape == (4, 3)


def test_second_texts_change_the_outputs(save, nlp):
    model = head_of(Classifier, WINDOW_CLS, save(Classifier))
    doc = nlp.make_doc("the meal")
    alone, pair, again = model.predict([doc, TextPair(doc, after="a chef"), doc])
    np.testing.assert_allclose(alone, again, atol=1e-6)
    assert np.abs(alone - pair).max() > 1e-3


def test_checkpoint_is_read_once(save, docs, monkeypatch):
    source = save(Classifier)
    opened = []
    read = HeadModel.from_pretrained_with_report.__func__

    def counting(cls, *args, **settings):
        opened.append(cls.__name__)
        return read(cls, *args, **settings)

    for cls in (HeadModel.__mro__[1], HeadModel):
        monkeypatch.setattr(cls, "from_pretrained_with_report", classmethod(counting))
    model = head_of(Classifier, FIRST_PIECE, source)
    model.predict(docs)
    model.predict(docs)
    assert opened == ["Classifier"]
    model.initialize()
    assert opened == ["Classifier"] * 2


def test_head_that_the_source_lacks_is_new_and_said_to_be(save, docs):
    source = save(ElectraForPreTraining)
    model = head_of(Classifier, FIRST_PIECE, source)
    with pytest.warns(UserWarning, match="is no thing"):
        model.predict(docs)


def test_bytes_and_copies_hold_the_head(save, docs):
    model = head_of(Classifier, FIRST_PIECE, save(Classifier))
    expected = model.predict(docs)
    restored = head_of(Classifier, FIRST_PIECE, "gone").from_bytes(model.to_bytes())
    for other in (restored, model.copy()):
        assert type(other) is Head
        assert other.labels == ("A", "B", "C")
        for a, b in zip(other.predict(docs), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_labels_keep_their_rows_in_any_order(save, docs):
    model = head_of(Classifier, FIRST_PIECE, save(Classifier))
    before = model.predict(docs)[0]
    with pytest.warns(UserWarning, match="SW301.*weights: D"):
        model.set_labels(["C", "D", "A"])
    after = model.predict(docs)[0]
    assert model.labels == ("C", "D", "A")
    np.testing.assert_allclose(after[:, [0, 2]], before[:, [2, 0]], atol=1e-6)
    assert np.abs(after[:, 1]).max() > 0
    # A head with other rows is another one to an optimizer.
    optimizer = Adam(0.0001)
    for labels in (["C", "D", "A"], ["A"]):
        model.set_labels(labels)
        outputs, backprop = model.begin_update(docs)
        backprop([np.ones_like(part) for part in outputs])
        model.finish_update(optimizer)
    assert model.predict(docs)[0].shape[1] == 1


def test_the_same_labels_change_nothing(save, docs):
    model = head_of(Classifier, FIRST_PIECE, save(Classifier))
    before = model.predict(docs)[0]
    network, number = model.shim.network, model.shim.id
    model.set_labels(["A", "B", "C"])
    assert model.shim.network is network and model.shim.id == number
    np.testing.assert_array_equal(model.predict(docs)[0], before)


def masked(source, **settings):
    return head_of(ElectraForMaskedLM, EVERY_PIECE, source, **settings)


def words_of(model):
    return model.encoder.shim.network.embeddings.word_embeddings.weight


def test_tied_decoder_is_the_word_embeddings(save, docs):
    source = save(ElectraForMaskedLM)
    model = masked(source)
    expected = model.predict(docs)
    assert model.shim.network.decoder.weight is words_of(model)
    data = model.to_bytes()
    assert b"decoder.bias" in data and b"decoder.weight" not in data
    for other in (masked("gone").from_bytes(data), model.copy()):
        for a, b in zip(other.predict(docs), expected, strict=True):
            np.testing.assert_array_equal(a, b)
        assert other.shim.network.decoder.weight is words_of(other)
        assert words_of(other) is not words_of(model)


def test_tied_weight_is_updated_once_with_the_gradients_of_both(save, docs):
    source = save(ElectraForMaskedLM)
    model = masked(source)
    outputs, backprop = model.begin_update(docs)
    before = words_of(model).detach().clone()
    backprop([np.ones_like(part) for part in outputs])
    gradient = words_of(model).grad.clone()
    model.finish_update(SGD(0.1, grad_clip=0, L2=0))
    torch.testing.assert_close(words_of(model), before - 0.1 * gradient)
    own = ElectraForMaskedLM.from_pretrained(source).train()
    total = 0.0
    for doc in docs:
        pieces = align([doc], model.encoder.shim.tokenizer)[0].ids
        tokenizer = model.encoder.shim.tokenizer
        ids = [tokenizer.cls_token_id, *pieces, tokenizer.sep_token_id]
        total = total + own(torch.tensor([ids])).logits[0, 1:-1].sum()
    total.backward()
    expected = own.electra.embeddings.word_embeddings.weight.grad
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-3)


def test_averages_of_the_tied_weight_reach_both(save, docs):
    model = masked(save(ElectraForMaskedLM))
    optimizer = Adam(0.01, use_averages=True)
    for _ in range(2):
        outputs, backprop = model.begin_update(docs)
        backprop([np.ones_like(part) for part in outputs])
        model.finish_update(optimizer)
    trained = model.predict(docs)[0]
    with model.use_params(optimizer.averages):
        assert not np.allclose(model.predict(docs)[0], trained)
        assert model.shim.network.decoder.weight is words_of(model)
    np.testing.assert_array_equal(model.predict(docs)[0], trained)


def test_untied_decoder_keeps_its_own(save, docs):
    source = save(ElectraForMaskedLM, extra={"tie_word_embeddings": False})
    model = masked(source)
    expected = model.predict(docs)
    assert model.shim.network.decoder.weight is not words_of(model)
    data = model.to_bytes()
    assert b"decoder.weight" in data
    restored = masked("gone").from_bytes(data)
    for a, b in zip(restored.predict(docs), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_embeddings_stay_though_the_head_is_tied_to_them(save, docs):
    model = masked(save(ElectraForMaskedLM), frozen_layers=1)
    outputs, backprop = model.begin_update(docs)
    before = words_of(model).detach().clone()
    bias = model.shim.network.decoder.bias.detach().clone()
    backprop([np.ones_like(part) for part in outputs])
    model.finish_update(Adam(0.01))
    assert torch.equal(words_of(model), before)
    assert not torch.equal(model.shim.network.decoder.bias, bias)


def test_a_head_tied_to_a_frozen_component_leaves_no_gradient_there(save):
    pytest.importorskip("spacy_transformers")
    from spacy_electra.layers.listener import EncoderListener

    source = save(ElectraForMaskedLM)
    nlp = spacy.blank("en")
    model = {"name": source, "precision": "fp32", "window": 64, "stride": 62}
    electra = nlp.add_pipe("electra", config={"model": model})
    listener = EncoderListener("electra")
    electra.add_listener(listener, "head")
    head = Head("head", listener, ElectraForMaskedLM, EVERY_PIECE, "thing")
    docs = list(nlp.pipe(TEXTS))
    outputs, backprop = head.begin_update(docs)
    backprop([np.ones_like(part) for part in outputs])
    words = electra.model.shim.network.embeddings.word_embeddings.weight
    assert head.shim.network.decoder.weight is words and words.grad is None
    assert head.shim.network.dense.weight.grad is not None


def test_every_place_is_a_window_after_the_other(save, nlp, tokenizer):
    source = save(Classifier)
    model = head_of(Classifier, EVERY_PLACE, source)
    docs = [nlp.make_doc(text) for text in ("the " * 120, "", "a chef")]
    texts = [TextPair(doc, before="who?") for doc in docs]
    found, backprop = model.begin_update(texts)
    (windows,) = head_of(Classifier, WINDOW_CLS, source).predict(texts[:1])
    (pieces,) = head_of(Classifier, EVERY_PIECE, source).predict(texts[:1])
    long, empty, short = found
    assert len(long.window_sizes) == 3 and len(long.pieces) == 120
    np.testing.assert_allclose(long.values[long.cls_rows], windows, atol=1e-5)
    np.testing.assert_allclose(long.values[long.piece_rows], pieces, atol=1e-5)
    # Each piece comes after the [CLS] of the window that its state is from.
    room = 64 - 3 - len(tokenizer.encode_ids(["who?"])[0])
    middles = np.arange(3) * room + (room - 1) / 2
    nearest = np.abs(np.arange(120)[:, None] - middles).argmin(1)
    np.testing.assert_array_equal(long.window_sizes, np.bincount(nearest) + 1)
    starts, ends = long.seen.T.tolist()
    assert starts == [0, room, 2 * room] and ends == [room, 2 * room, 120]
    assert empty.values.shape == (1, 3) and len(empty.piece_rows) == 0
    assert short.values.shape == (1 + len(short.pieces), 3)
    backprop([np.ones_like(part.values) for part in found])
    places = 120 + 3 + 1 + 1 + len(short.pieces)
    assert model.shim.network.classifier.bias.grad.tolist() == [places] * 3
    assert model.predict([]) == []
