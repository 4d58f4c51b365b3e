"""Components that listen to an `electra` have its states, or say what is missing."""

import sys
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training.initialize import init_nlp
from spacy.training.loop import train as train_loop
from thinc.api import Adam, Config, fix_random_seed

pytest.importorskip("spacy_transformers")
sys.path.append(str(Path(__file__).parents[1] / "fixtures" / "pipelines"))
from make_pipelines import (
    ENCODER_LISTENER,
    POOLING,
    TEXTS,
    add_tagger,
    blank,
    examples,
    make_source,
)

KINDS = ("transformer", "encoder")
TEXT = TEXTS[0]


def listener(kind, upstream):
    if kind == "transformer":
        return {
            "@architectures": "spacy-transformers.TransformerListener.v1",
            "grad_factor": 1.0,
            "upstream": upstream,
            "pooling": POOLING,
        }
    return {
        "@architectures": "spacy-electra.Tok2Vec.v1",
        "encoder": {**ENCODER_LISTENER, "upstream": upstream},
        "pooling": POOLING,
    }


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_source("source")


def pipeline(kind, upstream="electra", encoders=("electra",)):
    nlp = blank()
    model = {"name": "source", "window": 16, "stride": 10, "precision": "fp32"}
    for name in encoders:
        nlp.add_pipe("electra", name=name, config={"model": model})
    add_tagger(nlp, listener(kind, upstream))
    return nlp


def trained(*args, **settings):
    fix_random_seed(0)
    nlp = pipeline(*args, **settings)
    data = list(examples(nlp))
    nlp.initialize(lambda: data)
    optimizer = Adam(0.001)
    for _ in range(3):
        nlp.update(data, sgd=optimizer)
    return nlp


def scores(nlp, text=TEXT):
    """What the tagger sees in a text that the components before it have run on."""
    doc = nlp.make_doc(text)
    for name, component in nlp.pipeline:
        if name == "tagger":
            return component.model.predict([doc])[0]
        doc = component(doc)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("annotates", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_fresh_encoder_may_be_frozen(kind, annotates, source, tmp_path):
    nlp = pipeline(kind)
    docs = DocBin(docs=[example.reference for example in examples(nlp)])
    docs.to_disk(tmp_path / "train.spacy")
    corpus = {"@readers": "spacy.Corpus.v1", "path": str(tmp_path / "train.spacy")}
    config = Config(nlp.config).merge(
        {
            "corpora": {"train": corpus, "dev": corpus},
            "training": {
                "max_steps": 4,
                "eval_frequency": 2,
                "frozen_components": ["electra"],
                "annotating_components": ["electra"] if annotates else [],
            },
        }
    )
    nlp = init_nlp(config)
    before = nlp.get_pipe("electra").to_bytes()
    train_loop(nlp)
    assert nlp.get_pipe("electra").to_bytes() == before
    assert np.abs(scores(nlp)).max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_encoder_gives_what_an_annotating_one_gives(kind, source):
    found = []
    for annotates in (["electra"], []):
        nlp = trained(kind)
        nlp.config["training"]["frozen_components"] = ["electra"]
        data = list(examples(nlp))
        for _ in range(2):
            losses = nlp.update(
                data, sgd=Adam(0.001), exclude=["electra"], annotates=annotates
            )
        found.append((losses["tagger"], scores(nlp)))
    (loss, some), (other_loss, others) = found
    assert loss == pytest.approx(other_loss, rel=1e-5)
    np.testing.assert_allclose(some, others, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "settings", [{"disable": ["electra"]}, {"enable": ["tagger"]}], ids=str
)
def test_encoder_that_does_not_run_is_missed_aloud(kind, settings, source, tmp_path):
    nlp = trained(kind)
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved", **settings)
    with pytest.raises(ValueError, match=r"SE342\] 'electra' has not run"):
        loaded(TEXT)
    with (
        nlp.select_pipes(**settings),
        pytest.raises(ValueError, match=r"SE342\] 'electra'"),
    ):
        list(nlp.pipe(TEXTS))
    assert scores(nlp).any()
    loaded.enable_pipe("electra")
    np.testing.assert_array_equal(scores(loaded), scores(nlp))


def test_listener_whose_encoder_is_left_out_is_named(source, tmp_path):
    trained("encoder").to_disk(tmp_path / "saved")
    nlp = spacy.load(tmp_path / "saved", exclude=["electra"])
    with pytest.raises(ValueError, match=r"SE326.*'electra'"):
        nlp(TEXT)


@pytest.mark.parametrize("kind", KINDS)
def test_any_of_two_encoders_warns_which(kind, source):
    with pytest.warns(UserWarning, match=r"SW340.*'tagger'.*one, two.*'two'"):
        pipeline(kind, "*", encoders=("one", "two"))


@pytest.mark.filterwarnings("error:.*SW340")
@pytest.mark.parametrize(
    ("upstream", "encoders"), [("*", ("one",)), ("two", ("one", "two"))]
)
def test_one_encoder_or_one_that_is_named_does_not_warn(upstream, encoders, source):
    pipeline("transformer", upstream, encoders)


@pytest.mark.parametrize("upstream", ["electra", "*"])
@pytest.mark.parametrize("kind", KINDS)
def test_renamed_encoder_goes_on_serving(kind, upstream, source, tmp_path):
    nlp = trained(kind, upstream)
    expected = scores(nlp)
    nlp.rename_pipe("electra", "shared")
    np.testing.assert_array_equal(scores(nlp), expected)
    data = list(examples(nlp))
    before = nlp.get_pipe("shared").to_bytes()
    assert nlp.update(data, sgd=Adam(0.001))["tagger"] > 0
    assert nlp.get_pipe("shared").to_bytes() != before
    expected = scores(nlp)
    nlp.to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    np.testing.assert_array_equal(scores(again), expected)
    if upstream == "electra":
        # The config knows the old name only.
        with pytest.raises(ValueError, match="'electra'"):
            again.update(list(examples(again)))
    nlp.replace_listeners("shared", "tagger", ["model.tok2vec"])
    nlp.remove_pipe("shared")
    np.testing.assert_allclose(scores(nlp), expected, atol=1e-5)


def test_a_new_component_takes_over_the_name_of_one_that_was_renamed(source):
    nlp = trained("transformer")
    nlp.rename_pipe("electra", "old")
    model = {"name": "source", "window": 16, "stride": 10, "precision": "fp32"}
    nlp.add_pipe("electra", config={"model": model}, after="old")
    old, new = nlp.get_pipe("old"), nlp.get_pipe("electra")
    assert not old.listener_map and list(new.listener_map) == ["tagger"]
