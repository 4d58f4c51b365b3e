"""A Doc and a second text run in one sequence, as Transformers pairs two texts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spacy_electra.layers import encoding
from spacy_electra.layers.encoder import Encoder
from spacy_electra.layers.types import TextPair
from spacy_electra.models import ElectraForPreTraining
from spacy_electra.tokenization import ElectraTokenizer

CONTEXT = "In 1905 Einstein published four papers; physicists still read them today."
QUESTION = "Who published papers?"


def long_encoder(**settings):
    return Encoder(window=256, stride=254, precision="fp32", **settings)


@pytest.fixture
def texts(nlp):
    context, empty = nlp.make_doc(CONTEXT), nlp.make_doc("")
    return [
        TextPair(context, before=QUESTION),
        TextPair(context, after="They are hard to read."),
        context,
        TextPair(empty, before=QUESTION),
        TextPair(context),
        TextPair(nlp.make_doc(" \n "), after=""),
        TextPair(context, before=QUESTION),
    ]


def sequence_of(text, tokenizer):
    """What the tokenizer makes of a pair, and where the Doc's pieces stand in it."""
    if not isinstance(text, TextPair):
        text = TextPair(text)
    parts = (text.doc.text, text.after)
    if text.before is not None:
        parts = (text.before, text.doc.text)
    encoding = tokenizer(*parts)
    seps = np.flatnonzero(encoding.ids == tokenizer.sep_token_id)
    bounds = (0, seps[0]) if text.before is None else seps[:2]
    return encoding, slice(bounds[0] + 1, bounds[1])


def test_states_and_gradients_are_those_of_the_network(texts, tokenizer):
    model = long_encoder(max_tokens=60)
    predicted = model.predict(texts)
    encoded, backprop = model.begin_update(texts)
    random = np.random.default_rng(0)
    of_states = random.normal(size=encoded.states.shape).astype("f")
    of_cls = random.normal(size=encoded.cls_states.shape).astype("f")
    backprop(encoded.gradient(of_states, of_cls))

    network = ElectraForPreTraining.from_pretrained("en_tiny").electra.train()
    begin, total = 0, 0.0
    for number, text in enumerate(texts):
        sequence, own = sequence_of(text, tokenizer)
        ids, types = sequence.ids[None], sequence.token_type_ids[None]
        states = network(
            torch.from_numpy(ids), token_type_ids=torch.from_numpy(types)
        ).last_hidden_state[0]
        rows = slice(begin, begin + own.stop - own.start)
        for found in (predicted, encoded):
            np.testing.assert_allclose(
                found.states[rows], states[own].detach(), rtol=1e-4, atol=1e-4
            )
            np.testing.assert_allclose(
                found.cls_states[number], states[0].detach(), rtol=1e-4, atol=1e-4
            )
        total = total + (states[own] * torch.from_numpy(of_states[rows])).sum()
        total = total + (states[0] * torch.from_numpy(of_cls[number])).sum()
        begin = rows.stop
    assert begin == len(encoded.states)
    assert encoded.windows_per_doc.tolist() == [1] * len(texts)
    total.backward()
    for (name, mine), theirs in zip(
        model.load().network.named_parameters(),
        network.parameters(),
        strict=True,
    ):
        torch.testing.assert_close(
            mine.grad, theirs.grad, rtol=1e-3, atol=1e-3, msg=name
        )


def test_question_goes_with_every_window_of_a_long_doc(nlp, tokenizer):
    doc = nlp.make_doc(CONTEXT * 12)
    model = Encoder(window=48, stride=32, precision="fp32")
    encoded = model.predict([doc, TextPair(doc, before=QUESTION), doc])
    pieces = encoded.pieces[1]
    assert len(encoded.states) == 3 * len(pieces)
    question = tokenizer(QUESTION).ids
    room = 48 - len(question) - 1
    stride = 32 * room // 46
    count = encoded.windows_per_doc[1]
    assert count == 1 + -(-(len(pieces) - room) // stride) > encoded.windows_per_doc[0]
    network = model.load().network
    states = encoded.states[len(pieces) : 2 * len(pieces)]
    seen = np.zeros(len(pieces), dtype=int)
    for number in range(count):
        part = pieces.ids[number * stride : number * stride + room]
        ids = np.concatenate([question, part, question[-1:]])
        types = (np.arange(len(ids)) >= len(question)).astype(int)
        with torch.no_grad():
            window = network(
                torch.from_numpy(ids)[None],
                token_type_ids=torch.from_numpy(types)[None],
            ).last_hidden_state[0]
        own = window[len(question) : -1].numpy()
        same = np.isclose(
            states[number * stride : number * stride + room], own, atol=1e-4
        ).all(axis=1)
        seen[number * stride : number * stride + room] += same
    assert (seen == 1).all()
    alone = Encoder(window=48, stride=32, precision="fp32").predict([doc])
    for rows in (slice(len(pieces)), slice(2 * len(pieces), None)):
        np.testing.assert_allclose(encoded.states[rows], alone.states, atol=1e-4)


def test_doc_of_several_pairs_and_each_question_are_tokenized_once(nlp, monkeypatch):
    model = long_encoder()
    model.initialize()
    doc, other = nlp.make_doc(CONTEXT), nlp.make_doc("No.")
    batches = []
    for name in ("_encode", "encode_ids"):
        tokenize = getattr(ElectraTokenizer, name)

        def recorded(self, texts, tokenize=tokenize):
            batches.append(list(texts))
            return tokenize(self, texts)

        monkeypatch.setattr(ElectraTokenizer, name, recorded)
    encoded = model.predict(
        [
            TextPair(doc, before=QUESTION),
            other,
            TextPair(doc, before="Why?"),
            TextPair(other, before=QUESTION),
            TextPair(doc, after=QUESTION),
        ]
    )
    (cut,), asked = batches
    assert asked == [QUESTION, "Why?"]
    assert sorted(cut.split()) == sorted({*CONTEXT.split(), "No."})
    a, b = encoded.pieces[0], encoded.pieces[1]
    assert [part is a for part in encoded.pieces] == [True, False, True, False, True]
    assert encoded.pieces[3] is b


@pytest.mark.parametrize("max_tokens", [1, 64, 100_000])
def test_batching_changes_nothing(texts, max_tokens):
    one = Encoder(window=24, stride=16, precision="fp32").predict(texts)
    other = Encoder(
        window=24, stride=16, precision="fp32", max_tokens=max_tokens
    ).predict(texts)
    np.testing.assert_allclose(one.states, other.states, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.cls_states, other.cls_states, rtol=1e-4, atol=1e-5)


def test_token_types_reach_the_network(nlp):
    # Otherwise [CLS] a [SEP] b [SEP] would be the same pair from both sides.
    model = long_encoder()
    a, b = "The chef cooked.", "The meal was good."
    first = model.predict([TextPair(nlp.make_doc(b), before=a)])
    second = model.predict([TextPair(nlp.make_doc(a), after=b)])
    np.testing.assert_allclose(first.cls_states, second.cls_states, atol=1e-4)
    network = model.load().network
    with torch.no_grad():
        network.embeddings.token_type_embeddings.weight[1, 0] += 1.0
    changed = model.predict([TextPair(nlp.make_doc(b), before=a)])
    assert np.abs(changed.cls_states - first.cls_states).max() > 0.01


def test_text_alone_has_the_states_that_it_had(nlp, monkeypatch):
    doc = nlp.make_doc(CONTEXT * 5)
    model = long_encoder()
    expected = model.predict([doc])
    made = []
    make_windows = encoding.make_windows

    def recorded(pieces, fixed, **settings):
        made.append(fixed)
        return make_windows(pieces, fixed, **settings)

    monkeypatch.setattr(encoding, "make_windows", recorded)
    for text in (doc, TextPair(doc)):
        found = model.predict([text])
        np.testing.assert_array_equal(found.states, expected.states)
    assert made == [None, None]


def test_gradient_is_zero_for_what_is_left_out(texts):
    model = long_encoder()
    encoded, _ = model.begin_update(texts)
    ones = np.ones_like(encoded.states)
    gradient = encoded.gradient(states=ones)
    assert gradient.states is ones and not gradient.cls_states.any()
    assert gradient.cls_states.shape == encoded.cls_states.shape
    assert not encoded.gradient(cls_states=encoded.cls_states).states.any()
    assert gradient.pieces is encoded.pieces


def test_two_second_texts_are_one_too_many(nlp):
    with pytest.raises(ValueError, match=r"SE330.*'who'.*'what'"):
        TextPair(nlp.make_doc(CONTEXT), before="who", after="what")


@pytest.mark.parametrize("place", ["before", "after"])
def test_second_text_longer_than_the_window_is_named(nlp, place):
    pair = TextPair(nlp.make_doc(CONTEXT), **{place: "the " * 70 + "end"})
    with pytest.raises(ValueError, match=r"SE120.*71 pieces") as error:
        Encoder(window=64, stride=48).predict([pair])
    assert "the the" in str(error.value)
    needed = int(str(error.value).split("window = ")[1].split()[0])
    Encoder(window=needed, stride=48).predict([pair])


def test_checkpoint_with_one_token_type_is_named(nlp, tmp_path, tokenizer):
    config = ElectraForPreTraining.from_pretrained("en_tiny").config
    ElectraForPreTraining(replace(config, type_vocab_size=1)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = Encoder(source=str(tmp_path))
    doc = nlp.make_doc(CONTEXT)
    model.predict([doc, TextPair(doc)])
    with pytest.raises(ValueError, match=r"SE331.*type_vocab_size=1"):
        model.predict([doc, TextPair(doc, before=QUESTION)])
