"""Listeners that spaCy replaces by encoders of their own give the same as before."""

import gc

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam, Config

pytest.importorskip("spacy_transformers")
from language_models import add_electra, animal_texts, listener_model, small_source
from pipelines import POOLING
from transformers import ElectraForMaskedLM

TEXT = "the cat meows today . the dog barks now ."
TOK2VEC = {
    "@architectures": "spacy-electra.Tok2Vec.v1",
    "encoder": {"@architectures": "spacy-electra.EncoderListener.v1", "upstream": "*"},
    "pooling": POOLING,
}
# Of each component its model, and where that listens.
HEADS = {
    "electra_rtd": "RTD",
    "electra_mlm": "MaskedLM",
    "electra_textcat": "SequenceClassification",
    "electra_token_classifier": "TokenClassification",
    "electra_qa": "QuestionAnswering",
    "electra_multiple_choice": "MultipleChoice",
}
SETTINGS = {"electra_rtd": {"objective": "supervised"}}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "masked"
    small_source(folder, animal_texts(60), ElectraForMaskedLM)
    return folder


def examples_of(nlp):
    """Examples with what any head learns from."""
    doc = nlp.make_doc(TEXT)
    doc._.questions = ["who meows ?"]
    doc._.choices, doc._.question = ["cat", "dog"], "who barks ?"
    reference = doc.copy()
    reference._.answers = [reference[0:2]]
    reference._.choice = 1
    reference.cats = {"a": 1.0, "b": 0.0}
    reference.ents = [Span(reference, 1, 2, label="ANIMAL")]
    reference.spans["rtd"] = [reference[2:3]]
    for token in reference:
        token.tag_ = "X" if token.i % 2 else "Y"
    return [Example(doc, reference)]


@pytest.fixture
def pipeline(source):
    """A pipeline of a head, or a tagger, on an `electra`."""
    spacy.blank("en").add_pipe("electra_qa")
    spacy.blank("en").add_pipe("electra_multiple_choice")

    def pipeline(name, tok2vec=TOK2VEC):
        nlp = spacy.blank("en")
        add_electra(nlp, source)
        if name == "tagger":
            defaults = Config(nlp.get_factory_meta("tagger").default_config).copy()
            nlp.add_pipe(
                "tagger", config={"model": {**defaults["model"], "tok2vec": tok2vec}}
            )
        else:
            config = {"model": listener_model(HEADS[name]), **SETTINGS.get(name, {})}
            nlp.add_pipe(name, config=config)
        data = examples_of(nlp)
        nlp.initialize(lambda: data)
        return nlp

    return pipeline


def outputs(nlp, name):
    """What the component's model gives; with the encoder upstream, if there is one."""
    doc = examples_of(nlp)[0].predicted
    for other, component in nlp.pipeline:
        if other == name:
            if name == "electra_mlm":
                (found,) = component.log_likelihoods([doc])
                return found
            if name == "tagger":
                return component.model.predict([doc])[0]
            doc = component(doc)
            return np.concatenate([np.ravel(value) for value in numbers_on(doc)])
        doc = component(doc)
    raise KeyError(name)


def numbers_on(doc: Doc):
    yield list(doc.cats.values())
    for attribute in ("rtd_score", "electra_score"):
        if doc[0].has_extension(attribute):
            yield [token._.get(attribute) or 0.0 for token in doc]
    yield doc._.choice_scores or []
    yield doc._.no_answer_scores or []


def is_own(nlp, name, *path):
    section = nlp.config["components"][name]["model"]
    for part in path:
        section = section[part]
    return section["@architectures"] == "spacy-electra.Encoder.v1"


@pytest.mark.filterwarnings("ignore:.*SW30")
@pytest.mark.parametrize("name", HEADS)
def test_replaced_listener_of_a_head_gives_the_same(name, pipeline, tmp_path):
    nlp = pipeline(name)
    expected = outputs(nlp, name)
    assert len(expected)
    nlp.replace_listeners("electra", name, ["model.encoder"])
    nlp.remove_pipe("electra")
    np.testing.assert_allclose(outputs(nlp, name), expected, atol=1e-5)
    assert is_own(nlp, name, "encoder")
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    np.testing.assert_allclose(outputs(loaded, name), expected, atol=1e-5)


@pytest.mark.parametrize("path", ["model.tok2vec", "model.tok2vec.encoder"])
def test_listener_inside_of_another_layer_goes_by_either_path(path, pipeline, tmp_path):
    nlp = pipeline("tagger")
    expected = outputs(nlp, "tagger")
    nlp.replace_listeners("electra", "tagger", [path])
    nlp.remove_pipe("electra")
    assert is_own(nlp, "tagger", "tok2vec", "encoder")
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    np.testing.assert_allclose(outputs(loaded, "tagger"), expected, atol=1e-5)


def test_listener_without_a_pooling_of_its_own_gets_the_default(pipeline, tmp_path):
    listener = {"@architectures": "spacy-electra.TransformerListener.v1"}
    nlp = pipeline("tagger", listener)
    expected = outputs(nlp, "tagger")
    nlp.replace_listeners("electra", "tagger", ["model.tok2vec"])
    nlp.remove_pipe("electra")
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    np.testing.assert_allclose(outputs(loaded, "tagger"), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*SW30")
def test_replaced_encoder_learns_apart_from_that_upstream(pipeline):
    nlp = pipeline("electra_mlm")
    nlp.replace_listeners("electra", "electra_mlm", ["model.encoder"])
    upstream, mlm = (nlp.get_pipe(name) for name in ("electra", "electra_mlm"))
    before = upstream.model.to_bytes()
    likelihood = outputs(nlp, "electra_mlm").sum()
    optimizer = Adam(1e-3)
    for _ in range(10):
        nlp.update(examples_of(nlp), sgd=optimizer)
    assert upstream.model.to_bytes() == before
    assert outputs(nlp, "electra_mlm").sum() > likelihood
    # Input and output embeddings are still one.
    encoder = mlm.model.encoder.load().network
    decoder = mlm.model.load().network.decoder
    assert decoder.weight is encoder.embeddings.word_embeddings.weight


@pytest.mark.filterwarnings("ignore:.*SW30")
def test_config_takes_a_component_from_another_pipeline(pipeline, tmp_path):
    nlp = pipeline("electra_textcat")
    expected = outputs(nlp, "electra_textcat")
    nlp.to_disk(tmp_path / "source")
    sourced = {"source": str(tmp_path / "source")}
    config = {
        "nlp": {"lang": "en", "pipeline": ["electra_textcat"]},
        "components": {
            "electra_textcat": {**sourced, "replace_listeners": ["model.encoder"]}
        },
    }
    taken = spacy.util.load_model_from_config(Config(config), auto_fill=True)
    np.testing.assert_allclose(outputs(taken, "electra_textcat"), expected, atol=1e-5)
    taken.to_disk(tmp_path / "taken")
    loaded = spacy.load(tmp_path / "taken")
    np.testing.assert_allclose(outputs(loaded, "electra_textcat"), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*SW30")
@pytest.mark.parametrize("replaces_before", [True, False])
def test_components_added_from_another_pipeline_are_replaced_in_either(
    replaces_before, pipeline
):
    name = "electra_textcat"
    source = pipeline(name)
    expected = outputs(source, name)
    nlp = spacy.blank("en")
    if replaces_before:
        source.replace_listeners("electra", name, ["model.encoder"])
        nlp.add_pipe(name, source=source)
    else:
        nlp.add_pipe("electra", source=source)
        nlp.add_pipe(name, source=source)
        # The component knew that pipeline only.
        del source
        gc.collect()
        nlp.replace_listeners("electra", name, ["model.encoder"])
        nlp.remove_pipe("electra")
    assert is_own(nlp, name, "encoder")
    np.testing.assert_allclose(outputs(nlp, name), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*SW30")
def test_encoder_from_another_pipeline_may_be_frozen(pipeline):
    name = "electra_textcat"
    source = pipeline(name)
    nlp = spacy.blank("en")
    nlp.add_pipe("electra", source=source)
    nlp.add_pipe(name, source=source)
    nlp.config["training"]["frozen_components"] = ["electra"]
    losses = [
        nlp.update(examples_of(nlp), sgd=Adam(1e-3), exclude=["electra"])[name]
        for _ in range(3)
    ]
    assert losses[-1] < losses[0]


def test_precision_and_tokenizer_of_the_encoder_are_kept(source):
    nlp = spacy.blank("en")
    model = {
        "name": str(source),
        "window": 64,
        "stride": 40,
        "mixed_precision": True,
        "tokenizer_config": {"use_fast": True, "do_lower_case": False},
    }
    nlp.add_pipe("electra", config={"model": model})
    nlp.add_pipe("electra_mlm", config={"model": listener_model("MaskedLM")})
    nlp.replace_listeners("electra", "electra_mlm", ["model.encoder"])
    section = nlp.config["components"]["electra_mlm"]["model"]["encoder"]
    assert section["precision"] == "bf16"
    assert section["tokenizer_config"] == {"do_lower_case": False}
    encoder = nlp.get_pipe("electra_mlm").model.encoder
    assert encoder.attrs["tokenizer_config"] == {"do_lower_case": False}
    assert encoder.shim.precision == "bf16"
