"""`electra_token_classifier`: labels of tokens as entities, spans or themselves."""

from __future__ import annotations

import random

import numpy as np
import pytest
import spacy
import torch
import transformers
from spacy.tokens import Doc, Span, Token
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from spacy_electra.models import ElectraModel
from spacy_electra.models.heads.token_classification import (
    ElectraForTokenClassification,
)
from spacy_electra.pipeline.schemes import Scheme

KIND = ElectraForTokenClassification
NAME = "electra_token_classifier"
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
TEXTS = [
    "The chef cooked the meal for Maria Lopez.",
    "The river floods the  valley every spring.",
    "She walked slowly down the road to Paris. ",
]


def pipeline(source, **config):
    nlp = spacy.blank("en")
    encoder = {"source": source, "window": 48, "stride": 32, "precision": "fp32"}
    nlp.add_pipe(NAME, config={"model": {"encoder": encoder}, **config})
    return nlp


def their_logits(source, text):
    tokenizer = transformers.ElectraTokenizerFast.from_pretrained(source)
    model = transformers.ElectraForTokenClassification.from_pretrained(source)
    inputs = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
    offsets = inputs.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        return model.eval()(**inputs).logits[0], offsets


def test_checkpoint_of_transformers_opens_in_one_line(make_source):
    source = make_source(KIND, LABELS)
    nlp = pipeline(source, annotates="tokens")
    for doc in nlp.pipe(TEXTS):
        logits, offsets = their_logits(source, doc.text)
        for token in doc:
            if token.is_space:
                assert (token._.electra_label, token._.electra_score) == ("", 0.0)
                continue
            first = next(i for i, (_, end) in enumerate(offsets) if end > token.idx)
            expected = logits[first].softmax(-1)
            assert token._.electra_label == LABELS[int(expected.argmax())]
            assert token._.electra_score == pytest.approx(
                expected.max().item(), abs=1e-5
            )


@pytest.mark.parametrize(
    "labels, settings",
    [
        # Bare labels beside "O" are spans, runs of wrong tokens.
        (["O", "ERR"], {"annotates": "spans", "spans_key": "rtd"}),
        # Two labels of which neither is "O" are labels of tokens.
        (["c", "i"], {"annotates": "tokens"}),
    ],
)
def test_checkpoint_for_error_detection_opens_in_one_line(
    labels, settings, make_source
):
    source = make_source(KIND, labels)
    nlp = pipeline(source, **settings)
    for doc in nlp.pipe(text.strip() for text in TEXTS):
        logits, offsets = their_logits(source, doc.text)
        wrong = []
        for token in doc:
            if not token.is_space:
                first = next(i for i, (_, end) in enumerate(offsets) if end > token.idx)
                probability = logits[first].softmax(-1)[1].item()
                wrong += [token.i] if probability > 0.5 else []
                expected = max(probability, 1 - probability)
                assert token._.electra_score == pytest.approx(expected, abs=1e-5)
        found = [token.i for token in doc if token._.electra_label == labels[1]]
        spaces = [token.i for token in doc if token.is_space]
        assert sorted({*found} - {*spaces}) == wrong
        for span in doc.spans.get("rtd", ()):
            assert span.label_ == "ERR" and set(range(span.start, span.end)) <= {*found}


@pytest.mark.parametrize("scheme", ["BIO", "BILUO", "BIOES"])
@pytest.mark.parametrize("annotates", ["ents", "spans"])
def test_spans_are_those_of_the_best_legal_sequence(make_source, scheme, annotates):
    labels = Scheme.for_types(scheme, ["PER", "LOC"]).labels
    nlp = pipeline(make_source(KIND, labels), annotates=annotates)
    found = 0
    for doc in nlp.pipe(TEXTS):
        spans = doc.ents if annotates == "ents" else doc.spans["electra"]
        found += len(spans)
        tags = [token._.electra_label for token in doc]
        expected = [(s.start, s.end, s.label_) for s in spans]
        path = [labels.index(tag) for tag in tags]
        assert (
            Scheme(scheme, labels).tags_of(
                Scheme(scheme, labels).spans_of(path), len(doc)
            )
            == tags
        )
        inside = [
            (start, end, label)
            for start, end, label in Scheme(scheme, labels).spans_of(path)
            if not all(token.is_space for token in doc[start:end])
        ]
        assert [row[2] for row in inside] == [row[2] for row in expected]
        for span in spans:
            assert not span[0].is_space and not span[-1].is_space
            scores = [t._.electra_score for t in span if not t.is_space]
            mean = np.exp(np.log(scores).mean())
            assert span._.electra_score == pytest.approx(mean, rel=1e-5)
    assert found


def test_entities_of_others_stay_unless_they_are_to_be_overwritten(make_source):
    source = make_source(KIND, LABELS)
    for overwrite in (False, True):
        nlp = pipeline(source, overwrite=overwrite)
        doc = nlp.make_doc(TEXTS[0])
        doc.ents = [Span(doc, 0, len(doc) - 1, "ALL")]
        nlp(doc)
        assert ("ALL" in {ent.label_ for ent in doc.ents}) is not overwrite


NAMES = {"PER": ["Anna", "Peter", "Maria Lopez"], "LOC": ["Paris", "New York"]}


def rows_to_learn(count=48):
    rng = random.Random(0)
    for _ in range(count):
        person, place = (rng.choice(NAMES[kind]) for kind in ("PER", "LOC"))
        text = f"We met {person} in {place} today."
        start, place_start = text.index(person), text.index(place)
        yield (
            text,
            [
                (start, start + len(person), "PER"),
                (place_start, place_start + len(place), "LOC"),
            ],
        )


def examples_of(nlp, annotates):
    for text, spans in rows_to_learn():
        predicted = nlp.make_doc(text)
        reference = predicted.copy()
        found = [reference.char_span(*span) for span in spans]
        if annotates == "ents":
            reference.ents = found
        elif annotates == "spans":
            reference.spans["electra"] = found
        else:
            for token in reference:
                inside = [s.label_ for s in found if s.start <= token.i < s.end]
                token._.electra_label = inside[0] if inside else "none"
        yield Example(predicted, reference)


@pytest.mark.parametrize("annotates", ["ents", "spans", "tokens"])
def test_it_learns(make_source, annotates):
    fix_random_seed(0)
    nlp = pipeline(make_source(ElectraModel), annotates=annotates)
    examples = list(examples_of(nlp, annotates))
    with pytest.warns(UserWarning, match="SW300"):
        nlp.initialize(lambda: examples)
    expected = ("none", "PER", "LOC") if annotates == "tokens" else LABELS
    assert set(nlp.get_pipe(NAME).labels) == set(expected)
    optimizer = Adam(0.005, L2_is_weight_decay=True)
    for _ in range(12):
        for start in range(0, len(examples), 16):
            nlp.update(examples[start : start + 16], sgd=optimizer)
    fresh = list(examples_of(nlp, annotates))
    scores = nlp.evaluate(fresh)
    assert scores["token_classifier_score"] > 0.95
    if annotates == "spans":
        assert scores["spans_electra_f"] > 0.95
    if annotates == "tokens":
        assert set(scores["token_labels_per_type"]) == {"none", "PER", "LOC"}


def test_gradient_is_that_of_torch_and_unknown_tags_count_for_nothing(make_source):
    nlp = pipeline(make_source(KIND, LABELS))
    component = nlp.get_pipe(NAME)
    predicted = nlp.make_doc(TEXTS[0])
    biluo = ["O", "O", "O", "-", "O", "O", "B-PER", "L-PER", "O"]
    example = Example.from_dict(predicted, {"entities": biluo})
    logits, _ = component.model([predicted], False)
    loss, (gradient,) = component.get_loss([example], logits)
    values = torch.tensor(logits[0], requires_grad=True)
    gold = torch.tensor([0, 0, 0, -100, 0, 0, 1, 2, 0])
    expected = torch.nn.functional.cross_entropy(values, gold)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(gradient, values.grad.numpy(), atol=1e-6)


def test_label_that_the_component_lacks_is_named(make_source):
    nlp = pipeline(make_source(KIND, LABELS))
    doc = nlp.make_doc(TEXTS[0])
    example = Example.from_dict(doc, {"entities": [(4, 8, "JOB")]})
    with pytest.raises(ValueError, match=r"SE399.*B-JOB"):
        nlp.update([example])


def test_labels_of_no_scheme_are_refused_but_as_labels_of_tokens(make_source):
    source = make_source(KIND, ["O", "B-PER", "LOC"])
    with pytest.raises(ValueError, match="SE395"):
        pipeline(source)(TEXTS[0])
    doc = pipeline(source, annotates="tokens")(TEXTS[0])
    assert {t._.electra_label for t in doc} <= {"O", "B-PER", "LOC"}


def test_checkpoint_with_another_head_warns_that_the_head_is_new(make_source):
    nlp = pipeline(make_source(ElectraModel))
    with pytest.warns(UserWarning, match="SW300.*token classifier"):
        nlp(TEXTS[0])


def test_empty_doc_and_white_space_have_no_entities(make_source):
    nlp = pipeline(make_source(KIND, ["B-PER", "I-PER", "O"]))
    for text in ("", "  ", "\n"):
        doc = nlp(text)
        assert not doc.ents
        assert all(token._.electra_score == 0.0 for token in doc)


def test_saved_pipeline_gives_equal_entities(make_source, tmp_path):
    nlp = pipeline(make_source(KIND, LABELS))
    expected = [doc.to_json()["ents"] for doc in nlp.pipe(TEXTS)]
    nlp.to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    assert [doc.to_json()["ents"] for doc in again.pipe(TEXTS)] == expected
    assert any(expected)
    assert Token.has_extension("electra_label") and not Doc.has_extension("electra")


def test_architecture_is_also_that_of_spacys_tagger(make_source):
    fix_random_seed(0)
    nlp = spacy.blank("en")
    encoder = {"source": make_source(ElectraModel), "window": 48, "stride": 32}
    encoder["@architectures"] = "spacy-electra.Encoder.v1"
    architecture = "spacy-electra.TokenClassification.v1"
    model = {"@architectures": architecture, "encoder": encoder}
    nlp.add_pipe("tagger", config={"model": model})
    tags = {"We": "PRP", "met": "VBD", "Anna": "NNP", "today": "RB", ".": "."}
    examples = [
        Example.from_dict(
            Doc(nlp.vocab, words=words), {"tags": [tags[w] for w in words]}
        )
        for words in (["We", "met", "Anna", "."], ["Anna", "met", "today", "."])
    ]
    with pytest.warns(UserWarning, match="SW300"):
        nlp.initialize(lambda: examples)
    optimizer = Adam(0.005)
    for _ in range(30):
        nlp.update(examples, sgd=optimizer)
    assert nlp.evaluate(examples)["tag_acc"] == 1.0
