"""Suggestions for marked words: what they are, where they come from, what lasts."""

import shutil
import warnings

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_electra.layers.heads import generator_shim
from spacy_electra.source import resolve_source

TEXTS = [
    "Teh dog waits untill he comes home.",
    "I recieve many letters from my freinds every week.",
    "He was salt by the United States Senate on July 27, 1982.",
]


def detector(**config):
    nlp = spacy.blank("en")
    model = {"encoder": {"source": "en_small", "precision": "fp32"}}
    nlp.add_pipe("electra_rtd", config={"model": model, "threshold": 0.3, **config})
    return nlp


@pytest.fixture(scope="module")
def nlp():
    """A pipeline with three suggestions for each marked word."""
    return detector(suggestions=3)


@pytest.fixture(scope="module")
def docs(nlp):
    return list(nlp.pipe(TEXTS))


def suggested(docs):
    return {span.text: span._.suggestions for doc in docs for span in doc.spans["rtd"]}


def test_misspelled_words_get_those_that_were_meant(nlp, docs):
    assert suggested(docs)["untill"][0][0] == "until"
    written = ("Teh", "recieve", "freinds")
    tokens = [t for doc in docs[:2] for t in doc if t.text in written]
    found = nlp.get_pipe("electra_rtd").suggest(tokens)
    assert [own[0].word for own in found] == ["The", "receive", "friends"]


def test_words_from_elsewhere_get_what_the_context_says(docs):
    words = [word for word, _ in suggested(docs)["salt"]]
    assert "appointed" in words or "elected" in words
    assert not any(word.startswith("sal") for word in words)


def test_suggestions_are_pairs_by_falling_probability_without_the_word(docs):
    for written, found in suggested(docs).items():
        assert len(found) == 3
        words, shares = zip(*found, strict=True)
        assert written.lower() not in [word.lower() for word in words]
        assert list(shares) == sorted(shares, reverse=True)
        assert shares[-1] > 0 and sum(shares) <= 1 + 1e-6


def test_only_marked_words_have_suggestions(nlp, docs):
    keys = [k for doc in docs for k in doc.user_data if k[1] == "suggestions"]
    assert len(keys) == sum(len(doc.spans["rtd"]) for doc in docs)
    assert Span.get_extension("suggestions")[0] == ()
    # Any other token gets some when they are asked for.
    doc = nlp.make_doc("A dog barks.\n")
    dog, barks, space = nlp.get_pipe("electra_rtd").suggest([doc[1], doc[2], doc[4]], 5)
    assert len(dog) == len(barks) == 5 and space == []


def test_words_of_several_pieces_are_suggested():
    rtd = detector().get_pipe("electra_rtd")
    words = ["The", "archaeolgist", "dug", "up", "an", "old", "amphitheater", "."]
    doc = Doc(rtd.vocab, words)
    tokenizer = rtd.model.encoder.load().tokenizer
    studies = Doc(
        rtd.vocab, ["She", "studies", "archaeolgy", "and", "palentology", "."]
    )
    found = [word for word, _ in rtd.suggest([studies[4]], 200)[0]]
    pieces = [len(ids) for ids in tokenizer.encode_ids(found)]
    assert 2 in pieces and len(set(found)) == len(found)
    assert rtd.suggest([doc[1]], 1)[0][0].word == "archaeologist"


def test_docs_get_the_same_alone_and_in_a_batch(nlp, docs):
    for text, doc in zip(TEXTS, docs, strict=True):
        alone, together = suggested([nlp(text)]), suggested([doc])
        assert alone.keys() == together.keys()
        for written, own in alone.items():
            for (word, share), other in zip(own, together[written], strict=True):
                assert word == other[0] and share == pytest.approx(other[1], abs=1e-4)


def test_without_suggestions_there_is_no_generator():
    nlp = detector()
    doc = nlp(TEXTS[0])
    assert len(doc.spans["rtd"])
    component = nlp.get_pipe("electra_rtd")
    assert generator_shim(component.model).is_empty and component.has_generator
    assert not any(key[1] == "suggestions" for key in doc.user_data)
    # They can be switched on at any time, and off again.
    component.suggestions = 1
    assert suggested([nlp(TEXTS[0])])["untill"][0][0] == "until"
    component.suggestions = 0
    assert suggested([nlp(TEXTS[0])])["untill"] == ()


def test_suggestions_last_in_a_docbin(docs, nlp):
    data = DocBin(docs=docs, store_user_data=True).to_bytes()
    again = list(DocBin().from_bytes(data).get_docs(nlp.vocab))
    assert suggested(again) == suggested(docs)


@pytest.fixture
def source(tmp_path):
    """A copy of the bundled source, to be taken away."""
    return shutil.copytree(resolve_source("en_tiny"), tmp_path / "source")


def tiny(source, **config):
    nlp = spacy.blank("en")
    model = {"encoder": {"source": str(source), "precision": "fp32"}}
    nlp.add_pipe("electra_rtd", config={"model": model, "threshold": 0.0, **config})
    return nlp


def test_a_saved_pipeline_holds_its_generator(source, tmp_path):
    nlp = tiny(source, suggestions=2)
    nlp.initialize()
    nlp.to_disk(tmp_path / "saved")
    data = nlp.to_bytes()
    expected = suggested([nlp(TEXTS[1])])
    shutil.rmtree(source)
    assert suggested([spacy.load(tmp_path / "saved")(TEXTS[1])]) == expected
    again = spacy.util.load_model_from_config(nlp.config).from_bytes(data)
    assert suggested([again(TEXTS[1])]) == expected


def test_a_generator_is_saved_that_nobody_has_needed_yet(source, tmp_path):
    nlp = tiny(source)
    nlp.initialize()
    nlp.get_pipe("electra_rtd").suggestions = 1
    nlp.to_disk(tmp_path / "saved")
    shutil.rmtree(source)
    assert all(suggested([spacy.load(tmp_path / "saved")(TEXTS[0])]).values())


def test_a_pipeline_saved_without_a_generator_says_so(source, tmp_path):
    nlp = tiny(source)
    nlp.initialize()
    nlp.to_disk(tmp_path / "saved")
    assert not spacy.load(tmp_path / "saved").get_pipe("electra_rtd").has_generator
    settings = {"suggestions": 2}
    again = spacy.load(tmp_path / "saved", config=components(settings))
    with pytest.raises(ValueError, match=r"SE500.*in the saved pipeline.*generator ="):
        again(TEXTS[0])
    # It takes one that is named.
    settings["generator"] = "en_tiny/generator"
    again = spacy.load(tmp_path / "saved", config=components(settings))
    assert all(suggested([again(TEXTS[0])]).values())


def components(settings):
    return {"components": {"electra_rtd": settings}}


def test_the_generator_of_a_run_lies_beside_its_discriminator(tmp_path):
    bundled = resolve_source("en_tiny")
    shutil.copytree(bundled, tmp_path / "final" / "discriminator")
    shutil.move(tmp_path / "final" / "discriminator" / "generator", tmp_path / "final")
    nlp = tiny(tmp_path / "final" / "discriminator", suggestions=1)
    assert all(suggested([nlp(TEXTS[0])]).values())


def test_suggestions_without_a_generator_are_one_error(source):
    shutil.rmtree(source / "generator")
    nlp = tiny(source, suggestions=2)
    with pytest.raises(ValueError, match=r"SE500.*'electra_rtd' has none.*beside"):
        nlp.initialize()
    with pytest.raises(ValueError, match="SE500"):
        nlp(TEXTS[0])


def test_a_generator_of_another_vocabulary_is_one_error(tmp_path):
    with pytest.raises(ValueError, match=r"SE501.*en_small.*30,522 pieces.*8,192"):
        tiny("en_tiny", suggestions=2, generator="en_small/generator")(TEXTS[0])
    # As many pieces are not enough.
    folder = shutil.copytree(resolve_source("en_tiny/generator"), tmp_path / "other")
    lines = (folder / "vocab.txt").read_text(encoding="utf8").splitlines()
    lines[3000], lines[3001] = lines[3001], lines[3000]
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf8")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"SE501.*number 3000"):
        tiny("en_tiny", suggestions=2, generator=str(folder))(TEXTS[0])


def test_a_checkpoint_that_cannot_guess_words_is_no_generator():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"SE502.*no generator"):
            tiny("en_tiny", suggestions=2, generator="en_tiny")(TEXTS[0])


@pytest.mark.parametrize("value", [-1, 1.5, True])
def test_numbers_of_suggestions_that_cannot_be(value):
    with pytest.raises(ValueError):
        detector(suggestions=value)


def test_an_attribute_that_somebody_computes_is_refused():
    Span.set_extension("computed", getter=lambda span: ())
    with pytest.raises(ValueError, match=r"SE503.*span\._\.computed.*suggestion_attr"):
        detector(suggestions=1, suggestion_attribute="computed")
    Span.remove_extension("computed")


def test_texts_without_words_have_no_suggestions(nlp):
    assert suggested(nlp.pipe(["", "  \n", "..."])).keys() <= {"...", "  \n"}


def test_training_goes_on_with_the_generator_that_suggests(source):
    """Fine-tuning leaves the generator alone, though it is saved with the component."""
    from spacy.training import Example

    nlp = tiny(source, suggestions=1, objective="supervised")
    doc = nlp.make_doc(TEXTS[1])
    doc.spans["rtd"] = [doc[1:2]]
    example = Example(nlp.make_doc(TEXTS[1]), doc)
    optimizer = nlp.initialize(lambda: [example])
    network = generator_shim(nlp.get_pipe("electra_rtd").model).network
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    nlp.update([example], sgd=optimizer)
    after = network.state_dict()
    assert all((after[name] == weight).all() for name, weight in before.items())
