"""`electra_mlm`: words for masks and tokens, likelihoods, and learning from text."""

import copy
import warnings

import numpy as np
import pytest
import spacy
import torch
import transformers
from language_models import (
    add_electra,
    animal_texts,
    encoder,
    listener_model,
    small_source,
    their_tokenizer,
    weights_of,
)
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Adam

from spacy_electra.models import ElectraForMaskedLM
from spacy_electra.pipeline.training.language_models import masked_targets


@pytest.fixture(scope="module")
def sources(tmp_path_factory, grammar):
    """Checkpoints of Transformers: tied, untied and of a discriminator."""
    texts = list(grammar(60))
    folder = tmp_path_factory.mktemp("sources")
    theirs = transformers.ElectraForMaskedLM
    return {
        "tied": (folder / "tied", small_source(folder / "tied", texts, theirs)),
        "untied": (
            folder / "untied",
            small_source(folder / "untied", texts, theirs, ties=False),
        ),
        "discriminator": (
            folder / "discriminator",
            small_source(
                folder / "discriminator", texts, transformers.ElectraForPreTraining
            ),
        ),
    }


@pytest.fixture
def source(sources):
    return sources["tied"][0]


def pipeline(source, **config):
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_mlm", config={"model": encoder(source), **config})
    return nlp


def examples(nlp, texts):
    return [Example(nlp.make_doc(text), nlp.make_doc(text)) for text in texts]


def candidates(doc):
    return [mask["candidates"] for mask in doc._.masks]


@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_one_line_opens_what_transformers_trained(sources, kind):
    folder, theirs = sources[kind]
    text = "the [MASK] sees a bird near the [MASK] ."
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp = pipeline(folder, k=6)
        doc = nlp(text)
    tokenizer = their_tokenizer(folder)
    encoded = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        scores = theirs(**encoded).logits[0].softmax(-1)
    places = (encoded["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten()
    assert len(doc._.masks) == 2
    for found, place in zip(doc._.masks, places.tolist(), strict=True):
        expected = [
            (tokenizer.convert_ids_to_tokens(n), float(scores[place, n]))
            for n in scores[place].argsort(descending=True).tolist()
        ]
        words = [pair for pair in expected if pair[0][0] not in "[#"]
        assert [found["start_char"], found["end_char"]] == offsets[place]
        assert [word for word, _ in found["candidates"]] == [w for w, _ in words[:6]]
        assert [p for _, p in found["candidates"]] == pytest.approx(
            [p for _, p in words[:6]], abs=1e-5
        )


def test_the_model_gives_the_logits_of_transformers(sources):
    folder, theirs = sources["tied"]
    nlp = pipeline(folder)
    texts = ["the cat sees a bird .", "", "she follows the old man every day ."]
    (_, component), tokenizer = nlp.pipeline[0], their_tokenizer(folder)
    outputs = component.model.predict([nlp.make_doc(text) for text in texts])
    for text, found in zip(texts, outputs, strict=True):
        with torch.no_grad():
            expected = theirs(**tokenizer(text, return_tensors="pt")).logits[0, 1:-1]
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_the_bundled_generator_is_the_default():
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_mlm")
    doc = nlp("He sat down in the [MASK] and opened the door.")
    (words,) = candidates(doc)
    assert {"room", "house"} <= {word for word, _ in words}


def test_masks_are_found_whatever_the_tokens_are(source):
    nlp = pipeline(source, k=2)
    texts = [
        "a [MASK] .",
        "the[MASK][MASK]!",
        "the cat",
        "",
        " \n ",
        "[MASK]",
        "[mask]",
    ]
    docs = list(nlp.pipe(texts))
    found = [
        [(mask["start_char"], mask["end_char"]) for mask in doc._.masks] for doc in docs
    ]
    assert found == [[(2, 8)], [(3, 9), (9, 15)], [], [], [], [(0, 6)], []]
    for doc in docs:
        for mask in doc._.masks:
            span = doc[mask["start"] : mask["end"]]
            assert span.start_char <= mask["start_char"]
            assert span.end_char >= mask["end_char"]
            assert "[MASK]" in span.text
            assert len(mask["candidates"]) == 2


def test_a_stream_gives_what_single_texts_give(source, grammar):
    nlp = pipeline(source, hidden="word")
    texts = [
        text.replace(word, "[MASK]", 2)
        for text, word in zip(
            grammar(6, seed=3), ("cat", "the", "she", "a", "dog", "likes"), strict=True
        )
    ]
    for one, doc in zip(map(nlp, texts), nlp.pipe(texts, batch_size=4), strict=True):
        assert doc._.pseudo_log_likelihood == pytest.approx(
            one._.pseudo_log_likelihood, rel=1e-4
        )
        assert len(doc._.masks) == len(one._.masks)
        for own, other in zip(doc._.masks, one._.masks, strict=True):
            assert own["start"] == other["start"]
            assert [p for _, p in own["candidates"]] == pytest.approx(
                [p for _, p in other["candidates"]], rel=1e-4
            )


def test_what_is_set_lasts_in_a_docbin(source):
    nlp = pipeline(source, hidden="piece")
    doc = nlp("the [MASK] sees a bird .")
    data = DocBin(docs=[doc], store_user_data=True).to_bytes()
    (read,) = DocBin().from_bytes(data).get_docs(nlp.vocab)
    assert read._.pseudo_log_likelihood == doc._.pseudo_log_likelihood
    (mask,) = read._.masks
    assert [tuple(pair) for pair in mask["candidates"]] == candidates(doc)[0]


def test_words_for_any_token(source):
    nlp = pipeline(source)
    (_, component) = nlp.pipeline[0]
    doc = nlp.make_doc("the cat \n sees a bird .")
    found = component.candidates(doc, 1, 4)
    assert len(found) == 4
    masked = nlp("the [MASK] \n sees a bird .")
    assert candidates(masked)[0][:4] == [
        (word, pytest.approx(p, rel=1e-4)) for word, p in found
    ]
    assert component.candidates(doc, -1, 3) == component.candidates(doc, 6, 3)
    assert component.candidates(doc, 2) == []
    everything = component.candidates(doc, 1, 10_000)
    assert 20 < len(everything) < 70
    assert not any(word.startswith(("[", "##")) for word, _ in everything)
    longer = component.candidates(doc, 1, 10_000, max_pieces=2)
    assert len(longer) > len(everything)
    with pytest.raises(IndexError):
        component.candidates(doc, 7)
    together = component.candidates_of_tokens([*doc, nlp.make_doc("she hears")[1]], 3)
    assert [len(words) for words in together] == [3, 3, 0, 3, 3, 3, 3, 3]


def test_likelihoods_add_up_to_that_of_the_doc(source):
    nlp = pipeline(source, hidden="rest_of_word")
    (_, component) = nlp.pipeline[0]
    docs = list(nlp.pipe(["the cat sees  a bird .", "", "the [MASK] hears"]))
    for doc, own in zip(
        docs, component.log_likelihoods(docs, "rest_of_word"), strict=True
    ):
        assert len(own) == len(doc)
        assert doc._.pseudo_log_likelihood == pytest.approx(own.sum())
    assert docs[1]._.pseudo_log_likelihood == 0.0
    assert pipeline(source)("the cat")._.pseudo_log_likelihood is None


def test_settings_that_can_not_be_are_refused(source):
    with pytest.raises(ValueError, match=r"hidden.*'pieces'"):
        pipeline(source, hidden="pieces")
    with pytest.raises(ValueError, match="k must be a positive int"):
        pipeline(source, k=0)("a [MASK]")
    with pytest.raises(ValueError, match="share"):
        pipeline(source, masking={"share": 1.5})


def test_a_discriminator_has_one_clear_warning(sources):
    folder, _ = sources["discriminator"]
    nlp = pipeline(folder)
    with pytest.warns(UserWarning, match="SW300.*no masked language model") as caught:
        nlp("the [MASK] sees")
        nlp("a [MASK]")
    assert len(caught) == 1


def test_a_decoder_has_one_clear_warning(tmp_path, grammar):
    causal = transformers.ElectraForCausalLM
    small_source(tmp_path, list(grammar(20)), causal, is_decoder=True)
    nlp = pipeline(tmp_path)
    with pytest.warns(UserWarning, match="SW303") as caught:
        nlp("the [MASK] sees")
        nlp("a [MASK]")
    assert len(caught) == 1


def test_spacys_tokens_may_be_the_words(source):
    nlp = spacy.blank("en")
    settings = encoder(source, tokenizer_config={"words": "spacy"})
    component = nlp.add_pipe("electra_mlm", config={"model": settings, "max_pieces": 2})
    nlp.tokenizer.add_special_case("[MASK]", [{"ORTH": "[MASK]"}])
    doc = nlp("the [MASK] sees a bird .")
    alone = pipeline(source, max_pieces=2)(doc.text)
    (mask,), (other,) = doc._.masks, alone._.masks
    assert (mask["start"], mask["end"]) == (1, 2)
    assert mask["candidates"] == [
        (word, pytest.approx(p, rel=1e-4)) for word, p in other["candidates"]
    ]
    assert len(component.candidates(doc, 0, 3)) == 3
    data = examples(nlp, ["the cat sees", "a bird ."])
    assert component.update(data)["electra_mlm"] > 0


def test_attributes_and_requirements_are_true(source):
    nlp = pipeline(
        source, masks_attribute="gaps", likelihood_attribute="pll", hidden="piece"
    )
    doc = nlp("the [MASK] sees")
    assert len(doc._.gaps) == 1
    assert doc._.pll < 0
    assert spacy.blank("en")("a")._.masks == []
    meta = nlp.get_factory_meta("electra_mlm")
    assert list(meta.assigns) == ["doc._.masks", "doc._.pseudo_log_likelihood"]
    assert list(meta.requires) == []
    assert not any(nlp.analyze_pipes()["problems"].values())


def test_gradients_are_those_of_the_masked_lm_loss(source, grammar):
    nlp = pipeline(source)
    (_, component) = nlp.pipeline[0]
    data = examples(nlp, grammar(3, sentences=2))
    nlp.initialize(lambda: data)
    ours = ElectraForMaskedLM.from_pretrained(source)
    docs = [example.predicted for example in data]
    ((batch, rows, pieces),) = masked_targets(
        component.model, docs, component.masking, component.step
    )
    assert len(rows) == len(pieces) > 10
    loss = torch.nn.functional.cross_entropy(ours.forward_packed(batch, rows), pieces)
    loss.backward()
    losses = component.update(data, sgd=None)
    assert losses == {"electra_mlm": pytest.approx(float(loss.detach()), rel=1e-5)}
    networks = {
        "electra": component.model.encoder.load().network,
        "head": component.model.load().network,
    }
    compared = 0
    for name, weight in ours.named_parameters():
        part, _, rest = name.partition(".")
        found = dict(networks[part].named_parameters())[rest]
        if weight.grad is not None:
            torch.testing.assert_close(found.grad, weight.grad, rtol=1e-4, atol=1e-6)
            compared += 1
    assert compared > 30
    assert networks["head"].decoder.weight is (
        networks["electra"].embeddings.word_embeddings.weight
    )


def test_nothing_to_mask_changes_nothing(source):
    nlp = pipeline(source)
    (_, component) = nlp.pipeline[0]
    data = examples(nlp, ["", " \n ", "[MASK] [MASK]"])
    before = weights_of(component.model)
    losses = component.update(data, sgd=Adam(1e-4))
    assert losses == {"electra_mlm": 0.0}
    after = weights_of(component.model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert component.score(data)["mlm_loss"] is None


def test_it_learns_from_raw_text(tmp_path):
    texts = list(animal_texts(60))
    theirs = transformers.ElectraForMaskedLM
    small_source(tmp_path / "source", texts, theirs, vocab_size=110, noise=0.0)
    nlp = pipeline(tmp_path / "source", k=6)
    data, held_out = examples(nlp, texts), examples(nlp, animal_texts(30, seed=9))
    optimizer = nlp.initialize(lambda: data)
    optimizer.learn_rate = 3e-3
    before = nlp.evaluate(held_out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(100):
            nlp.update(data, sgd=optimizer)
    after = nlp.evaluate(held_out)
    assert after["mlm_loss"] < 1.2 < 4.0 < before["mlm_loss"]
    assert after["mlm_accuracy"] > 0.4 > 0.1 > before["mlm_accuracy"]
    assert after["mlm_perplexity"] == pytest.approx(np.exp(after["mlm_loss"]))
    doc = nlp("the [MASK] barks now .")
    assert candidates(doc)[0][0][0] == "dog"

    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert candidates(loaded(doc.text)) == candidates(doc)
    again = pipeline(tmp_path / "source", k=6).from_bytes(nlp.to_bytes())
    assert candidates(again(doc.text)) == candidates(doc)
    (_, model) = loaded.pipeline[0]
    assert model.model.load().network.decoder.weight is (
        model.model.encoder.load().network.embeddings.word_embeddings.weight
    )


def test_pseudo_perplexity_is_that_of_transformers_with_each_piece_hidden(sources):
    """Per piece: white space is none, and a token may be several."""
    folder, theirs = sources["tied"]
    scorer = {"@scorers": "spacy-electra.MaskedLMScorer.v1", "hidden": "piece"}
    nlp = pipeline(folder, scorer=scorer)
    texts = ["the cat \n\n sees a birdcage .", "", "  ", "she hears 7 catbirds"]
    data = examples(nlp, texts)
    tokenizer = their_tokenizer(folder)
    found = []
    for text in texts:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        for place in range(1, ids.shape[1] - 1):
            hidden = ids.clone()
            hidden[0, place] = tokenizer.mask_token_id
            with torch.no_grad():
                logits = theirs(hidden).logits[0, place]
            found.append(float(logits.log_softmax(-1)[ids[0, place]]))
    tokens = sum(len(example.predicted) for example in data)
    assert len(found) > tokens
    scores = nlp.evaluate(data)
    expected = np.exp(-np.mean(found))
    assert scores["mlm_pseudo_perplexity"] == pytest.approx(expected, rel=1e-4)
    assert "mlm_pseudo_perplexity" not in pipeline(folder).evaluate(data)


def test_special_pieces_of_a_text_do_not_count_in_its_pseudo_perplexity(source):
    scorer = {"@scorers": "spacy-electra.MaskedLMScorer.v1", "hidden": "piece"}
    nlp = pipeline(source, scorer=scorer)
    (_, component) = nlp.pipeline[0]
    data = examples(nlp, ["the [MASK] sees a bird"])
    (own,) = component.piece_log_likelihoods([data[0].predicted])
    assert np.isnan(own).tolist() == [False, True, *[False] * (len(own) - 2)]
    (expected,) = component.log_likelihoods([data[0].predicted])
    scores = nlp.evaluate(data)
    assert scores["mlm_pseudo_perplexity"] == pytest.approx(
        np.exp(-expected.sum() / (len(own) - 1))
    )
    assert nlp.evaluate(examples(nlp, ["[MASK]"]))["mlm_pseudo_perplexity"] is None


def on_electra(source, **config):
    nlp = spacy.blank("en")
    add_electra(nlp, source)
    nlp.add_pipe("electra_mlm", config={"model": listener_model("MaskedLM"), **config})
    return nlp


def test_on_the_encoder_of_electra_it_gives_the_same(source):
    text = "the [MASK] sees a bird near the [MASK] ."
    alone, shared = pipeline(source)(text), on_electra(source)(text)
    assert candidates(alone) == [
        [(word, pytest.approx(p, rel=1e-4)) for word, p in own]
        for own in candidates(shared)
    ]


def test_states_that_were_lent_are_given_back(source):
    nlp = spacy.blank("en")
    add_electra(nlp, source, store=False)
    nlp.add_pipe("electra_mlm", config={"model": listener_model("MaskedLM")})
    docs = list(nlp.pipe(["the [MASK] sees", "she hears"]))
    assert [doc._.trf_data for doc in docs] == [None, None]
    assert len(docs[0]._.masks) == 1


def test_it_trains_the_encoder_of_electra_like_its_own(source, grammar):
    steps = []
    for nlp in (pipeline(source), on_electra(source)):
        component = nlp.get_pipe("electra_mlm")
        data = examples(nlp, grammar(4, sentences=2))
        optimizer = nlp.initialize(lambda data=data: data)
        optimizer.learn_rate = 1e-4
        before = weights_of(component.model)
        for _ in range(2):
            losses = nlp.update(data, sgd=optimizer)
        steps.append((losses["electra_mlm"], before, weights_of(component.model)))
    (own_loss, before, own), (shared_loss, _, shared) = steps
    assert shared_loss == pytest.approx(own_loss, rel=1e-4)
    changed = [name for name in own if not torch.equal(own[name], before[name])]
    assert len(changed) > 30
    for name in own:
        torch.testing.assert_close(shared[name], own[name], rtol=1e-3, atol=1e-5)


def test_a_frozen_electra_stays_as_it_is(source, grammar):
    nlp = on_electra(source)
    component = nlp.get_pipe("electra_mlm")
    data = examples(nlp, grammar(4, sentences=2))
    optimizer = nlp.initialize(lambda: data)
    before = weights_of(component.model)
    nlp.update(data, sgd=optimizer, exclude=["electra"])
    after = weights_of(component.model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {
        "head.dense.weight",
        "head.dense.bias",
        "head.norm.weight",
        "head.norm.bias",
        "head.decoder.bias",
    }
    encoder_weights = component.model.encoder.load().network.parameters()
    assert all(weight.grad is None for weight in encoder_weights)


def test_a_copy_learns_on_its_own(source, grammar):
    nlp = pipeline(source)
    (_, component) = nlp.pipeline[0]
    data = examples(nlp, grammar(2, sentences=2))
    optimizer = nlp.initialize(lambda: data)
    optimizer.learn_rate = 1e-4
    other = copy.deepcopy(component.model)
    before = weights_of(component.model)
    nlp.update(data, sgd=optimizer)
    assert all(
        torch.equal(before[name], weight) for name, weight in weights_of(other).items()
    )
    assert Doc.has_extension("masks")
