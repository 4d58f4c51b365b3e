"""`precision = "int8"` in pipelines: close to fp32, saved, trained, or refused."""

import warnings

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry
from typer.testing import CliRunner

from spacy_electra.cli.app import app
from spacy_electra.cli.quantize import encoders_of
from spacy_electra.layers import encoder_shim
from spacy_electra.layers.encoder import Encoder
from spacy_electra.models import ElectraConfig, ElectraModel
from spacy_electra.models.int8 import Int8Encoder, can_quantize

needs_int8 = pytest.mark.skipif(
    not can_quantize(ElectraModel(ElectraConfig.preset("tiny"))),
    reason="this processor, or this build of torch, has no fast 8-bit products",
)
TEXTS = [
    "The chef cooked the meal and served it to the guests in the old garden.",
    "In 1905 Einstein published four papers; physicists still read them today.",
    "It isn't easy: the river floods the valley every spring, and nobody moves.",
    "She sat on the bank of the river and watched the boats go by until dark.",
    "Most of the letters that arrived were bills, but one was from her brother.",
]


def examples(nlp):
    return [
        Example.from_dict(doc, {"tags": [f"T{len(t) % 3}" for t in doc]})
        for doc in map(nlp.make_doc, TEXTS)
    ]


def electra(precision, **settings):
    nlp = spacy.blank("en")
    nlp.add_pipe("electra", config={"model": {"precision": precision, **settings}})
    nlp.initialize(lambda: examples(nlp))
    return nlp


def states(nlp, text=TEXTS[0]):
    return np.asarray(nlp(text)._.trf_data.tensors[0])


def relative_error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def inference_of(nlp):
    (encoder,) = encoders_of(nlp)
    made = encoder.shim._inference
    return made and made.encoder


@needs_int8
def test_states_are_close_to_fp32_alone_and_in_batches():
    nlp = electra("int8")
    exact = electra("fp32")
    for text, doc in zip(TEXTS, nlp.pipe(TEXTS), strict=True):
        found = doc._.trf_data.tensors[0]
        assert 0 < relative_error(found, states(exact, text)) < 0.06
        assert relative_error(states(nlp, text), found) < 0.03
    assert isinstance(inference_of(nlp), Int8Encoder)


@needs_int8
@pytest.mark.parametrize("factory", ["electra_rtd", "electra_mlm"])
def test_heads_work_on_it(factory):
    found = []
    for precision in ("int8", "fp32"):
        nlp = spacy.blank("en")
        encoder = {"precision": precision}
        nlp.add_pipe(factory, config={"model": {"encoder": encoder}})
        nlp.initialize(lambda nlp=nlp: examples(nlp))
        docs = list(nlp.pipe(TEXTS))
        if factory == "electra_rtd":
            found.append([t._.rtd_score for doc in docs for t in doc])
        else:
            likelihood = nlp.get_pipe(factory).log_likelihoods(docs)
            found.append([float(own.sum()) for own in likelihood])
    np.testing.assert_allclose(found[0], found[1], rtol=0.1, atol=0.1)


@needs_int8
def test_an_architecture_of_a_spacy_component_calibrates_too():
    nlp = spacy.blank("en")
    tok2vec = {
        "@architectures": "spacy-electra.Tok2Vec.v1",
        "encoder": {"@architectures": "spacy-electra.Encoder.v1", "precision": "int8"},
    }
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec}
    nlp.add_pipe("tagger", config={"model": model})
    nlp.initialize(lambda: examples(nlp))
    nlp(TEXTS[0])
    assert isinstance(inference_of(nlp), Int8Encoder)


@needs_int8
def test_a_saved_pipeline_gives_the_same(tmp_path):
    nlp = electra("int8")
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(states(loaded), states(nlp))
    assert isinstance(inference_of(loaded), Int8Encoder)


@needs_int8
def test_training_computes_with_floats_and_drops_old_integers():
    # Four updates at this rate take the larger en_small far from where it was.
    nlp = electra("int8", name="en_tiny")
    listener = {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "grad_factor": 1.0,
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": listener}
    nlp.add_pipe("tagger", config={"model": model})
    optimizer = nlp.initialize(lambda: examples(nlp))
    optimizer.learn_rate = 2e-4
    before = states(nlp)
    first = inference_of(nlp)
    losses = [nlp.update(examples(nlp), sgd=optimizer)["tagger"] for _ in range(4)]
    assert losses[-1] < losses[0]
    after = states(nlp)
    assert inference_of(nlp) is not first
    # What is run now has the weights of now.
    (encoder,) = encoders_of(nlp)
    encoder.shim.quantizes = False
    assert relative_error(after, states(nlp)) < 0.06
    assert relative_error(after, before) > 0.01


def test_without_texts_it_says_so_and_computes_as_usual():
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": {"precision": "int8"}}})
    with pytest.warns(UserWarning, match="SW34[67]"):
        doc = nlp(TEXTS[0])
    usual = spacy.blank("en")
    usual.add_pipe("electra_rtd")
    expected = [token._.rtd_score for token in usual(TEXTS[0])]
    assert [token._.rtd_score for token in doc] == expected


def test_a_processor_that_can_not_says_so_once(monkeypatch):
    nlp = electra("int8")
    monkeypatch.setattr(encoder_shim, "can_quantize", lambda network: False)
    with pytest.warns(UserWarning, match="SW347"):
        found = states(nlp)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(states(nlp), found)
    assert np.array_equal(found, states(electra("auto")))


def test_a_precision_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match=r"SE002.*int4.*int8"):
        Encoder(precision="int4")
    name = "spacy-electra.TransformerModel.v1"
    with pytest.raises(ValueError, match="SE002"):
        registry.architectures.get(name)(name="en_tiny", precision="fp8")


def test_damaged_calibration_is_refused():
    encoder = Encoder(precision="int8")
    encoder.initialize(X=[Doc(spacy.blank("en").vocab, words=["a", "b"] * 40)])
    shim = encoder.shim
    assert shim.calibration
    for ids in ([-1], [10**6], [], ["a"], [5] * 10_000):
        shim.calibration = [ids]
        with pytest.raises(ValueError, match="SE340"):
            Encoder(precision="int8").shim.from_bytes(shim.to_bytes())


@needs_int8
def test_quantize_makes_a_small_pipeline_that_gives_nearly_the_same(tmp_path):
    exact = electra("fp32")
    exact.to_disk(tmp_path / "fp32")
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TEXTS), encoding="utf8")
    command = ["quantize", str(tmp_path / "fp32"), str(text), str(tmp_path / "int8")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    nlp = spacy.load(tmp_path / "int8")
    assert relative_error(states(nlp), states(exact)) < 0.08
    assert nlp.config["components"]["electra"]["model"]["precision"] == "int8"
    assert isinstance(inference_of(nlp), Int8Encoder)
    sizes = [
        (tmp_path / name / "electra" / "model").stat().st_size
        for name in ("fp32", "int8")
    ]
    assert sizes[1] < 0.35 * sizes[0]
    nlp.to_disk(tmp_path / "again")
    again = spacy.load(tmp_path / "again")
    np.testing.assert_allclose(states(again), states(nlp), atol=1e-5)
    # Trained again, its weights are no longer rows of integers.
    (encoder,) = encoders_of(nlp)
    assert encoder.shim.stores_int8
    encoder.shim.finish_update(nlp.create_optimizer())
    assert not encoder.shim.stores_int8


def test_quantize_refuses_what_it_can_not_do(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TEXTS), encoding="utf8")

    def refused(source, text=text):
        command = ["quantize", str(source), str(text), str(tmp_path / "out")]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 1
        assert not (tmp_path / "out").exists()
        return done.output

    assert "SE346" in refused("en_tiny")
    blank = spacy.blank("en")
    blank.add_pipe("sentencizer")
    blank.to_disk(tmp_path / "blank")
    assert "SE347" in refused(tmp_path / "blank")
    electra("fp32").to_disk(tmp_path / "fp32")
    few = tmp_path / "few.txt"
    few.write_text("Too few words.", encoding="utf8")
    assert "SE348" in refused(tmp_path / "fp32", few)
