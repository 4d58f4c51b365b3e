"""Both ways in which `electra_rtd` learns."""

import logging

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_electra.layers.heads import generator_shim
from spacy_electra.pipeline.scorers.rtd import gold_labels

SENTENCES = [
    "The chef cooked the meal .",
    "The nurse read a book .",
    "My friend cooked the soup .",
    "The child read the paper .",
]


def examples_with_gold(nlp):
    """ "banana" stands wherever a word was replaced."""
    for number, sentence in enumerate(SENTENCES * 3):
        words = sentence.split()
        place = number % len(words)
        words[place] = "banana"
        reference = Doc(nlp.vocab, words=words)
        reference.spans["rtd"] = [Span(reference, place, place + 1)]
        yield Example(Doc(nlp.vocab, words=words), reference)


def supervised(**config):
    nlp = spacy.blank("en")
    nlp.add_pipe(
        "electra_rtd",
        config={
            "objective": "supervised",
            "model": {"encoder": {"precision": "fp32"}},
            **config,
        },
    )
    return nlp


def test_supervised_learns_and_survives_the_disk(tmp_path):
    nlp = supervised()
    examples = list(examples_with_gold(nlp))
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 5e-4
    history = []
    for _ in range(15):
        losses = nlp.update(examples, sgd=optimizer)
        history.append(losses["electra_rtd"])
    assert history[-1] < history[0] / 3
    scores = nlp.evaluate(examples)
    assert scores["rtd_f05"] > 0.95 and scores["rtd_auc"] > 0.99
    assert scores["rtd_base_rate"] == pytest.approx(12 / 66, abs=0.02)
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path).evaluate(examples)
    assert again["rtd_auc"] == scores["rtd_auc"]


def test_loss_and_gradient_are_those_of_the_definition():
    nlp = supervised(positive_weight=3.0)
    component = nlp.get_pipe("electra_rtd")
    (example, *_) = examples_with_gold(nlp)
    logits = np.array([0.5, -1.0, 2.0, -np.inf, 0.0, 1.0], dtype="f")
    loss, (gradient,) = component.get_loss([example], [logits])
    p = 1 / (1 + np.exp(-logits.astype(float)))
    expected = -(3 * np.log(p[0]) + np.log(1 - p[[1, 2, 4, 5]]).sum()) / 7
    assert loss == pytest.approx(expected)
    step = 1e-3
    for i in (0, 1, 5):
        moved = logits.copy()
        moved[i] += step
        more, _ = component.get_loss([example], [moved])
        assert gradient[i] == pytest.approx((more - loss) / step, rel=0.02)
    assert gradient[3] == 0


def test_gold_labels_across_tokenizations():
    nlp = spacy.blank("en")
    reference = Doc(nlp.vocab, words=["can", "not", "go"], spaces=[False, True, False])
    reference.spans["rtd"] = [reference[1:2]]
    predicted = Doc(nlp.vocab, words=["cannot", "go"])
    assert gold_labels(Example(predicted, reference), "rtd").tolist() == [True, False]
    other = Doc(nlp.vocab, words=["cannot", "go"])
    other.spans["rtd"] = [other[0:1]]
    predicted = Doc(nlp.vocab, words=["can", "not", "go"], spaces=[False, True, False])
    assert gold_labels(Example(predicted, other), "rtd").tolist() == [True, True, False]


def test_supervised_without_gold_names_the_keys():
    nlp = supervised(spans_key="errors")
    examples = list(examples_with_gold(nlp))
    with pytest.raises(ValueError) as error:
        nlp.initialize(lambda: examples)
    assert "'errors'" in str(error.value) and "rtd" in str(error.value)


def raw_examples(nlp):
    return [
        Example(nlp.make_doc(text), nlp.make_doc(text))
        for text in (
            "The river floods the valley every spring, and the farmers wait for it.",
            "She walked slowly down the road, thinking of her brother and his ship.",
            "In the laboratory the students measured how fast the stone was falling.",
        )
        * 4
    ]


@pytest.fixture
def pretraining():
    nlp = spacy.blank("en")
    nlp.add_pipe(
        "electra_rtd",
        config={
            "model": {"encoder": {"precision": "fp32"}},
            "pretraining": {"rise_steps": 10},
        },
    )
    return nlp


def test_pretraining_lowers_its_loss_and_survives_the_disk(pretraining, tmp_path):
    examples = raw_examples(pretraining)
    optimizer = pretraining.initialize(lambda: examples)
    optimizer.learn_rate = 3e-4
    before = pretraining.evaluate(examples)
    history = []
    for _ in range(12):
        losses = pretraining.update(examples, sgd=optimizer)
        history.append(losses["electra_rtd"])
    after = pretraining.evaluate(examples)
    assert np.mean(history[-3:]) < np.mean(history[:3])
    assert after["rtd_mlm_loss"] < before["rtd_mlm_loss"]
    assert set(after) >= {
        *("rtd_auc", "rtd_p", "rtd_r", "rtd_f", "rtd_f05", "rtd_base_rate"),
        *("rtd_mlm_loss", "rtd_mlm_accuracy"),
    }
    assert 0.05 < after["rtd_base_rate"] < 0.2
    # The generator goes along, so that a saved run goes on where it was.
    pretraining.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert again.evaluate(examples)["rtd_mlm_loss"] == after["rtd_mlm_loss"]
    again.resume_training()
    assert again.update(examples)["electra_rtd"] > 0


def test_scoring_is_the_same_each_time(pretraining):
    examples = raw_examples(pretraining)
    pretraining.initialize(lambda: examples)
    first, second = (pretraining.evaluate(examples) for _ in range(2))
    for name in first:
        if name != "speed":
            assert first[name] == second[name]


def test_generator_is_there_only_while_pretraining(pretraining):
    component = pretraining.get_pipe("electra_rtd")
    pretraining("A chef cooked.")
    assert generator_shim(component.model).is_empty
    pretraining.initialize(lambda: raw_examples(pretraining))
    pretraining.update(raw_examples(pretraining))
    assert not generator_shim(component.model).is_empty


def test_networks_share_their_embeddings_through_updates(pretraining):
    examples = raw_examples(pretraining)
    optimizer = pretraining.initialize(lambda: examples)
    pretraining.update(examples, sgd=optimizer)
    model = pretraining.get_pipe("electra_rtd").model
    encoder = model.layers[0].shims[0].network
    generator = generator_shim(model).network
    words = encoder.embeddings.word_embeddings.weight
    assert generator.electra.embeddings.word_embeddings.weight is words


def test_new_generator_where_there_is_none(tmp_path, tokenizer):
    from spacy_electra.models import ElectraForPreTraining

    ElectraForPreTraining.from_pretrained("en_tiny").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    nlp = spacy.blank("en")
    config = {
        "model": {"encoder": {"source": str(tmp_path)}},
        "pretraining": {"generator_fraction": 0.5},
    }
    nlp.add_pipe("electra_rtd", config=config)
    nlp.initialize(lambda: raw_examples(nlp))
    nlp.update(raw_examples(nlp))
    generator = generator_shim(nlp.get_pipe("electra_rtd").model).network
    assert generator.config.hidden_size == 128


def test_generator_that_does_not_fit_is_named(tmp_path, small_config):
    from spacy_electra.models import ElectraForMaskedLM

    ElectraForMaskedLM(small_config).save_pretrained(tmp_path)
    nlp = spacy.blank("en")
    config = {"pretraining": {"generator": str(tmp_path)}}
    nlp.add_pipe("electra_rtd", config=config)
    nlp.initialize(lambda: raw_examples(nlp))
    with pytest.raises(ValueError, match="vocab_size=99"):
        nlp.update(raw_examples(nlp))


def test_gold_spans_are_scored_whatever_the_objective(pretraining):
    examples = list(examples_with_gold(pretraining))
    pretraining.initialize(lambda: raw_examples(pretraining))
    scores = pretraining.evaluate(examples)
    assert scores["rtd_base_rate"] == pytest.approx(12 / 66, abs=0.02)
    assert "rtd_mlm_loss" not in scores


@pytest.mark.parametrize("objective", ["pretrain", "supervised"])
def test_empty_docs_train(objective):
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_rtd", config={"objective": objective})
    examples = []
    for text in ("", " ", "\n\n"):
        reference = nlp.make_doc(text)
        reference.spans["rtd"] = []
        examples.append(Example(nlp.make_doc(text), reference))
    optimizer = nlp.initialize(lambda: examples)
    losses = nlp.update(examples, sgd=optimizer)
    assert losses["electra_rtd"] == 0.0
    nlp.evaluate(examples)


@pytest.fixture
def said(caplog, monkeypatch):
    """What spaCy's log is told."""
    monkeypatch.setattr(logging.getLogger("spacy"), "propagate", True)
    caplog.set_level(logging.INFO, logger="spacy")
    return caplog


def with_objective_by_the_data(examples):
    """A detector as `add_pipe` makes it, after an update with its data."""
    nlp = spacy.blank("en")
    component = nlp.add_pipe("electra_rtd")
    nlp.initialize(lambda: examples)
    nlp.update(examples)
    return component


def test_gold_spans_in_the_data_are_learned_from(said):
    component = with_objective_by_the_data(list(examples_with_gold(spacy.blank("en"))))
    assert component.cfg["chosen_objective"] == "supervised"
    assert component.pretraining is None
    assert "learns from gold spans: the data has gold spans in doc.spans['rtd']" in (
        said.text
    )


def test_raw_text_is_pretrained_on(said):
    examples = list(examples_with_gold(spacy.blank("en")))
    for example in examples:
        del example.reference.spans["rtd"]
    component = with_objective_by_the_data(examples)
    assert component.cfg["chosen_objective"] == "pretrain"
    assert component.pretraining is not None
    assert "has no gold spans in doc.spans['rtd']" in said.text


def test_gold_spans_under_another_key_are_pointed_out():
    examples = list(examples_with_gold(spacy.blank("en")))
    for example in examples:
        example.reference.spans["errors"] = example.reference.spans.pop("rtd")
    with pytest.warns(UserWarning, match=r"SW457.*'rtd'.*errors"):
        with_objective_by_the_data(examples)


def test_what_was_chosen_is_saved_and_the_first_update_may_choose(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_rtd")
    # Without examples there is nothing to choose by, nor to count pieces of.
    nlp.initialize()
    component = nlp.get_pipe("electra_rtd")
    assert "chosen_objective" not in component.cfg
    assert component.model.attrs["piece_counts"] is None
    nlp.update(list(examples_with_gold(nlp)))
    assert component.cfg["chosen_objective"] == "supervised"
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path).get_pipe("electra_rtd")
    assert again.cfg["objective"] == "auto"
    assert again.cfg["chosen_objective"] == "supervised"


def test_objective_as_an_object_does_what_its_name_does(tmp_path):
    given = {"@misc": "spacy-electra.PretrainRTD.v1", "rise_steps": 10, "seed": 3}
    found = []
    for config in (
        {"objective": given},
        {"objective": "pretrain", "pretraining": {"rise_steps": 10, "seed": 3}},
    ):
        nlp = spacy.blank("en")
        model = {"encoder": {"precision": "fp32"}}
        nlp.add_pipe("electra_rtd", config={"model": model, **config})
        nlp.initialize(lambda nlp=nlp: raw_examples(nlp))
        nlp.get_pipe("electra_rtd").model.encoder.shim.network.eval()
        spacy.util.fix_random_seed(0)
        found.append(nlp.update(raw_examples(nlp), sgd=False)["electra_rtd"])
        nlp.to_disk(tmp_path / str(len(found)))
    assert found[0] == found[1] > 0
    again = spacy.load(tmp_path / "1").get_pipe("electra_rtd")
    assert again.objective.rise_steps == 10 and again.objective.seed == 3


def test_supervised_objective_as_an_object():
    objective = {"@misc": "spacy-electra.SupervisedRTD.v1", "positive_weight": 3.0}
    nlp = supervised(objective=objective)
    other = supervised(positive_weight=3.0)
    logits = [np.array([0.5, -1.0, 2.0, -np.inf, 0.0, 1.0], dtype="f")]
    losses = []
    for pipeline in (nlp, other):
        (example, *_) = examples_with_gold(pipeline)
        component = pipeline.get_pipe("electra_rtd")
        losses.append(component.get_loss([example], logits)[0])
    assert losses[0] == losses[1]


def test_defaults_of_pretraining_and_encoder_are_those_of_their_classes():
    from dataclasses import asdict

    from spacy_electra.layers.encoding import EncoderSettings
    from spacy_electra.pipeline.training.rtd_pretraining import PretrainRTD

    nlp = spacy.blank("en")
    nlp.add_pipe("electra_rtd")
    config = nlp.get_pipe_config("electra_rtd")
    assert config["pretraining"] == asdict(PretrainRTD())
    expected = asdict(EncoderSettings())
    encoder = config["model"]["encoder"]
    assert {name: encoder[name] for name in expected} == expected
    pytest.importorskip("spacy_transformers")
    nlp.add_pipe("electra", first=True)
    model = nlp.get_pipe_config("electra")["model"]
    assert {name: model[name] for name in expected} == expected
