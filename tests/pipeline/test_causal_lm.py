"""`electra_causal_lm`: surprisal, generation, and learning from text."""

import warnings

import numpy as np
import pytest
import spacy
import torch
import transformers
from language_models import (
    SOUNDS,
    add_electra,
    animal_texts,
    encoder,
    listener_model,
    small_source,
    their_tokenizer,
    weights_of,
)
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Adam

from spacy_electra.models import ElectraForCausalLM
from spacy_electra.pipeline.training.language_models import next_piece_targets


@pytest.fixture(scope="module")
def sources(tmp_path_factory, grammar):
    """Checkpoints of Transformers: a decoder, and one that sees both sides."""
    texts = list(grammar(60))
    folder = tmp_path_factory.mktemp("sources")
    small_source(folder / "generator", texts, transformers.ElectraForMaskedLM)
    decoder = small_source(
        folder / "decoder", texts, transformers.ElectraForCausalLM, is_decoder=True
    )
    return {"folder": folder, "decoder": decoder}


@pytest.fixture
def source(sources):
    return sources["folder"] / "decoder"


@pytest.fixture
def surprisal(sources):
    """Bits of each piece of a text by Transformers, given [CLS] and those before."""
    tokenizer = their_tokenizer(sources["folder"] / "decoder")

    def bits(text):
        ids = tokenizer(text, return_tensors="pt")["input_ids"][:, :-1]
        with torch.no_grad():
            scores = sources["decoder"](ids, use_cache=False).logits.log_softmax(-1)
        found = scores[0, :-1].gather(1, ids[0, 1:, None]).squeeze(1)
        return (-found / np.log(2)).tolist()

    return bits


def pipeline(source, **config):
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_causal_lm", config={"model": encoder(source), **config})
    return nlp


def examples(nlp, texts):
    return [Example(nlp.make_doc(text), nlp.make_doc(text)) for text in texts]


def bits_of(doc):
    return [token._.surprisal for token in doc]


def test_one_line_opens_what_transformers_trained(source, surprisal):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp = pipeline(source)
        doc = nlp("the cat  sees a bird .")
    assert [token.text for token in doc][2] == " "
    found = bits_of(doc)
    assert found.pop(2) == 0.0
    pieces = their_tokenizer(source).tokenize(doc.text)
    # Some words are in the vocabulary in parts only.
    assert len(pieces) > len(found)
    expected = []
    for piece, value in zip(pieces, surprisal(doc.text), strict=True):
        if piece.startswith("##"):
            expected[-1] += value
        else:
            expected.append(value)
    assert found == pytest.approx(expected, abs=1e-4)
    assert doc._.log_likelihood == pytest.approx(-sum(found) * np.log(2), abs=1e-4)


def test_long_texts_keep_their_left_context(source, surprisal):
    nlp = spacy.blank("en")
    settings = encoder(source, window=12, stride=4)
    nlp.add_pipe("electra_causal_lm", config={"model": settings})
    words = ["the", "cat", "a", ".", "she", "the", "dog", "she", "."] * 3
    doc = nlp(" ".join(words))
    assert len(their_tokenizer(source).tokenize(doc.text)) == len(doc)
    expected = surprisal(" ".join(words[:11]))
    while len(expected) < len(words):
        end = min(len(expected) + 4, len(words))
        own = surprisal(" ".join(words[end - 11 : end]))
        expected += own[len(expected) - end :]
    assert bits_of(doc) == pytest.approx(expected, abs=1e-4)


def test_a_stream_gives_what_single_texts_give(source, grammar):
    nlp = pipeline(source)
    texts = [*grammar(3), "", " \n", "she"]
    for one, doc in zip(map(nlp, texts), nlp.pipe(texts, batch_size=4), strict=True):
        assert bits_of(doc) == pytest.approx(bits_of(one), abs=1e-3)
        assert doc._.log_likelihood == pytest.approx(one._.log_likelihood, abs=1e-3)
    assert nlp("")._.log_likelihood == 0.0
    assert bits_of(nlp(" \n")) == [0.0]


def test_what_is_set_lasts_in_a_docbin(source):
    nlp = pipeline(source, surprisal_attribute="bits", likelihood_attribute="ll")
    doc = nlp("the cat sees")
    data = DocBin(docs=[doc], store_user_data=True).to_bytes()
    (read,) = DocBin().from_bytes(data).get_docs(nlp.vocab)
    assert [token._.bits for token in read] == [token._.bits for token in doc]
    assert read._.ll == doc._.ll < 0
    assert spacy.blank("en")("a")[0]._.surprisal == 0.0
    meta = nlp.get_factory_meta("electra_causal_lm")
    assert list(meta.assigns) == ["token._.surprisal", "doc._.log_likelihood"]
    assert list(meta.requires) == []


def test_it_writes_as_transformers_does(source, sources):
    nlp = pipeline(source)
    (_, component) = nlp.pipeline[0]
    tokenizer = their_tokenizer(source)
    texts = ["the cat", "she follows the old man", "a"]
    found = component.generate(texts, 6)
    for text, own in zip(texts, found, strict=True):
        ids = tokenizer(text, return_tensors="pt")["input_ids"][:, :-1]
        with torch.no_grad():
            for _ in range(6):
                logits = sources["decoder"](ids, use_cache=False).logits[:, -1]
                ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], dim=1)
        expected = ids[0, -6:].tolist()
        if tokenizer.sep_token_id in expected:
            expected = expected[: expected.index(tokenizer.sep_token_id)]
        assert own == tokenizer.decode(expected, skip_special_tokens=True)
    assert len(set(found)) > 1
    assert component.generate([], 6) == []
    assert component.generate(["the cat"], 6) == [found[0]]


def test_draws_are_seeded_and_stop_strings_stop(source):
    nlp = pipeline(source)
    (_, component) = nlp.pipeline[0]
    draw = {"do_sample": True, "top_p": 0.95, "temperature": 1.5}
    first = component.generate(["the cat", ""], 8, seed=1, **draw)
    assert first == component.generate(["the cat", ""], 8, seed=1, **draw)
    assert first != component.generate(["the cat", ""], 8, seed=2, **draw)
    whole = component.generate(["the cat"], 8)[0]
    word = whole.split()[0]
    cut = component.generate(["the cat"], 8, stop=[word])[0]
    assert cut == word
    with pytest.raises(ValueError, match="SE004"):
        component.generate(["the cat " * 30], 20)
    with pytest.raises(ValueError, match="temperature"):
        component.generate(["a"], 2, temperature=0.0)


def test_a_checkpoint_that_sees_both_sides_has_one_clear_warning(sources):
    nlp = pipeline(sources["folder"] / "generator")
    with pytest.warns(UserWarning, match="SW302") as caught:
        short, long = nlp("the cat"), nlp("the cat sees a bird")
    assert len(caught) == 1
    assert bits_of(long)[:2] == pytest.approx(bits_of(short), abs=1e-4)


def test_gradients_are_those_of_the_causal_lm_loss(source, sources, grammar):
    nlp = pipeline(source)
    (_, component) = nlp.pipeline[0]
    data = examples(nlp, ["the cat sees a bird .", "", "she follows the dog"])
    nlp.initialize(lambda: data)
    theirs = their_class_copy(source)
    tokenizer = their_tokenizer(source)
    texts = [example.text for example in data if example.text]
    count, total = 0, 0.0
    for text in texts:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        loss = theirs(ids, labels=ids, use_cache=False).loss
        total = total + loss * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    (total / count).backward()
    losses = component.update(data, sgd=None)
    expected = float((total / count).detach())
    assert losses == {"electra_causal_lm": pytest.approx(expected, rel=1e-4)}
    gradients = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    ours, left_over = ElectraForCausalLM.from_hugging_face(gradients)
    assert not left_over
    networks = {
        "electra": component.model.encoder.load().network,
        "head": component.model.load().network,
    }
    compared = 0
    for name, gradient in ours.items():
        part, _, rest = name.partition(".")
        found = dict(networks[part].named_parameters())[rest].grad
        torch.testing.assert_close(found, gradient, rtol=1e-3, atol=1e-5)
        compared += 1
    assert compared > 30


def their_class_copy(source):
    return transformers.ElectraForCausalLM.from_pretrained(source).eval()


def test_texts_longer_than_a_window_are_learned_in_parts(source):
    nlp = spacy.blank("en")
    settings = encoder(source, window=6, stride=2)
    component = nlp.add_pipe("electra_causal_lm", config={"model": settings})
    doc = nlp.make_doc("the cat a . she the dog she")
    ((batch, rows, pieces),) = next_piece_targets(component.model, [doc])
    tokenizer = component.model.encoder.load().tokenizer
    assert batch.lengths == [5, 6]
    tokens = tokenizer.convert_ids_to_tokens(batch.input_ids.tolist())
    assert " ".join(tokens) == "[CLS] the dog she [SEP] [CLS] the cat a . she"
    assert rows.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert pieces.tolist() == batch.input_ids[rows + 1].tolist()


def test_spacys_tokens_may_be_the_words(source):
    nlp = spacy.blank("en")
    settings = encoder(source, tokenizer_config={"words": "spacy"})
    component = nlp.add_pipe("electra_causal_lm", config={"model": settings})
    text = "the cat sees a bird ."
    assert bits_of(nlp(text)) == pytest.approx(
        bits_of(pipeline(source)(text)), abs=1e-4
    )
    data = examples(nlp, [text])
    assert component.update(data)["electra_causal_lm"] > 0
    assert component.score(data)["causal_lm_accuracy"] >= 0.0


def test_perplexity_is_that_of_transformers_per_piece(source, surprisal):
    """White space is no piece, and a token may be several."""
    nlp = pipeline(source)
    texts = ["the cat \n\n sees a birdcage .", "", "  ", "she hears 7 catbirds"]
    data = examples(nlp, texts)
    bits = [value for text in texts for value in surprisal(text)]
    assert len(bits) > sum(len(example.predicted) for example in data)
    scores = nlp.evaluate(data)
    assert scores["causal_lm_perplexity"] == pytest.approx(2 ** np.mean(bits), rel=1e-4)
    characters = sum(map(len, texts))
    assert scores["causal_lm_bits_per_character"] == pytest.approx(
        sum(bits) / characters, rel=1e-4
    )


def test_nothing_to_predict_changes_nothing(source):
    nlp = pipeline(source)
    (_, component) = nlp.pipeline[0]
    data = examples(nlp, ["", " \n "])
    before = weights_of(component.model)
    assert component.update(data, sgd=Adam(1e-4)) == {"electra_causal_lm": 0.0}
    after = weights_of(component.model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert component.score(data) == {
        "causal_lm_loss": None,
        "causal_lm_perplexity": None,
        "causal_lm_accuracy": None,
        "causal_lm_bits_per_character": None,
    }


def test_it_learns_from_raw_text(tmp_path):
    texts = list(animal_texts(60))
    small_source(
        tmp_path / "source",
        texts,
        transformers.ElectraForCausalLM,
        vocab_size=110,
        noise=0.0,
        is_decoder=True,
    )
    nlp = pipeline(tmp_path / "source")
    data, held_out = examples(nlp, texts), examples(nlp, animal_texts(30, seed=9))
    optimizer = nlp.initialize(lambda: data)
    optimizer.learn_rate = 3e-3
    before = nlp.evaluate(held_out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(60):
            nlp.update(data, sgd=optimizer)
    after = nlp.evaluate(held_out)
    # An animal of six, and one of two words: ln 12 over five pieces is the least.
    assert after["causal_lm_loss"] < 0.8 < 4.0 < before["causal_lm_loss"]
    assert after["causal_lm_accuracy"] > 0.6
    docs = list(nlp.pipe(example.text for example in held_out))
    bits = sum(sum(bits_of(doc)) for doc in docs)
    characters = sum(len(doc.text) for doc in docs)
    assert after["causal_lm_bits_per_character"] == pytest.approx(
        bits / characters, rel=1e-4
    )
    right, wrong = nlp("the dog barks"), nlp("the dog meows")
    assert right[2]._.surprisal < 1.0 < 3.0 < wrong[2]._.surprisal
    (_, component) = nlp.pipeline[0]
    (written,) = component.generate(["the dog"])
    assert written in ("barks now.", "barks today.")
    assert set(component.generate([f"the {animal}" for animal in SOUNDS], 1)) <= set(
        SOUNDS.values()
    )

    nlp.to_disk(tmp_path / "saved")
    for loaded in (
        spacy.load(tmp_path / "saved"),
        pipeline(tmp_path / "source").from_bytes(nlp.to_bytes()),
    ):
        assert bits_of(loaded("the dog barks")) == bits_of(right)
        (_, other) = loaded.pipeline[0]
        assert other.generate(["the dog"]) == [written]


def on_electra(source):
    nlp = spacy.blank("en")
    add_electra(nlp, source)
    nlp.add_pipe("electra_causal_lm", config={"model": listener_model("CausalLM")})
    return nlp


def test_on_the_encoder_of_electra_it_gives_the_same(source):
    text = "the cat sees a bird near the river ."
    alone, shared = pipeline(source)(text), on_electra(source)(text)
    assert bits_of(shared) == pytest.approx(bits_of(alone), abs=1e-4)


def test_an_electra_that_sees_both_sides_is_refused(sources):
    nlp = on_electra(sources["folder"] / "generator")
    with pytest.raises(ValueError, match=r"SE386.*generator.*is_decoder"):
        nlp("the cat")
    # Whatever is asked first, the encoder upstream stays what it is.
    nlp = on_electra(sources["folder"] / "generator")
    component = nlp.get_pipe("electra_causal_lm")
    with pytest.raises(ValueError, match="SE386"):
        component.generate(["the cat"])
    assert not component.model.encoder.load().network.config.is_decoder


def test_it_trains_the_encoder_of_electra_like_its_own(source, grammar):
    steps = []
    for nlp in (pipeline(source), on_electra(source)):
        component = nlp.get_pipe("electra_causal_lm")
        data = examples(nlp, grammar(4, sentences=2))
        optimizer = nlp.initialize(lambda data=data: data)
        optimizer.learn_rate = 1e-4
        for _ in range(2):
            losses = nlp.update(data, sgd=optimizer)
        steps.append((losses["electra_causal_lm"], weights_of(component.model)))
    (own_loss, own), (shared_loss, shared) = steps
    assert shared_loss == pytest.approx(own_loss, rel=1e-4)
    for name in own:
        torch.testing.assert_close(shared[name], own[name], rtol=1e-3, atol=1e-5)
