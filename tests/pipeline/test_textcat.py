"""`electra_textcat`: labels and numbers of texts and pairs."""

from __future__ import annotations

import random

import numpy as np
import pytest
import spacy
import srsly
import torch
import transformers
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from spacy_electra.models import ElectraModel
from spacy_electra.models.heads.sequence_classification import (
    ElectraForSequenceClassification,
)
from spacy_electra.pipeline.readers.categories import CatsCorpus
from spacy_electra.pipeline.scorers.textcat import correlation, ranks

KIND = ElectraForSequenceClassification
TEXTS = [
    "The chef cooked the meal.",
    "The river floods the valley every spring.",
    "She walked slowly down the road.",
]


def pipeline(source, **model):
    nlp = spacy.blank("en")
    encoder = {"source": source, "window": 48, "stride": 32, "precision": "fp32"}
    nlp.add_pipe("electra_textcat", config={"model": {"encoder": encoder, **model}})
    return nlp


def their_logits(source, texts, pairs=None):
    tokenizer = transformers.ElectraTokenizerFast.from_pretrained(source)
    model = transformers.ElectraForSequenceClassification.from_pretrained(source)
    inputs = tokenizer(texts, pairs, return_tensors="pt", padding=True)
    with torch.no_grad():
        return model.eval()(**inputs).logits


@pytest.mark.parametrize(
    ("problem", "activation"),
    [
        (None, lambda logits: logits.softmax(-1)),
        ("single_label_classification", lambda logits: logits.softmax(-1)),
        ("multi_label_classification", torch.sigmoid),
        ("regression", lambda logits: logits),
    ],
)
def test_checkpoint_of_transformers_opens_in_one_line(make_source, problem, activation):
    source = make_source(KIND, ["sport", "arts", "food"], problem)
    nlp = pipeline(source)
    expected = activation(their_logits(source, TEXTS)).numpy()
    for doc, row in zip(nlp.pipe(TEXTS), expected, strict=True):
        assert list(doc.cats) == ["sport", "arts", "food"]
        np.testing.assert_allclose(list(doc.cats.values()), row, atol=1e-5)


def test_pairs_are_those_of_transformers(make_source):
    source = make_source(KIND, ["same", "other"])
    nlp = pipeline(source)
    docs = [nlp.make_doc(text) for text in TEXTS]
    seconds = ["A cook made food.", "", "He ran."]
    for doc, second in zip(docs, seconds, strict=True):
        doc._.text_pair = second
    expected = their_logits(source, TEXTS, seconds).softmax(-1).numpy()
    for doc, row in zip(nlp.pipe(docs), expected, strict=True):
        np.testing.assert_allclose(list(doc.cats.values()), row, atol=1e-5)
    # One by one, and beside Docs without a second text.
    alone = nlp(TEXTS[0])
    assert alone.cats != docs[0].cats


def test_long_text_is_read_in_windows_whose_logits_are_averaged(make_source):
    source = make_source(KIND, ["a", "b"])
    nlp = pipeline(source)
    text = " ".join(TEXTS * 9)
    model = nlp.get_pipe("electra_textcat").model
    (logits,) = model.predict([nlp.make_doc(text)])
    encoded, _ = model.encoder([nlp.make_doc(text)], False)
    assert encoded.windows_per_doc[0] > 3
    head = model.load().network
    with torch.no_grad():
        of_windows = head(torch.from_numpy(encoded.cls_states)).numpy()
    np.testing.assert_allclose(logits, of_windows.mean(0), atol=1e-5)
    # The end of the text counts.
    assert nlp(text).cats != nlp(text[: len(text) * 2 // 3]).cats


def test_doc_without_tokens_gets_zeros(make_source):
    nlp = pipeline(make_source(KIND, ["a", "b"]))
    assert nlp("").cats == {"a": 0.0, "b": 0.0}
    mixed = list(nlp.pipe(["", TEXTS[0]]))
    assert mixed[0].cats == {"a": 0.0, "b": 0.0}
    assert sum(mixed[1].cats.values()) == pytest.approx(1.0)


def test_single_texts_alone_refuse_a_pair(make_source):
    nlp = pipeline(make_source(KIND, ["a", "b"], type_vocab_size=1))
    doc = nlp.make_doc(TEXTS[0])
    doc._.text_pair = "Another text."
    with pytest.raises(ValueError, match="SE331"):
        nlp(doc)


def examples_of(nlp, rows):
    for text, cats in rows:
        yield Example.from_dict(nlp.make_doc(text), {"cats": cats})


WORDS = {"warm": ["sun", "fire", "summer"], "cold": ["ice", "snow", "winter"]}


def rows_to_learn(problem, count=48):
    rng = random.Random(0)
    rows = []
    for _ in range(count):
        label = rng.choice(list(WORDS))
        word = rng.choice(WORDS[label])
        cats = {name: float(name == label) for name in WORDS}
        if problem == "regression":
            cats = {"degrees": 3.0 if label == "warm" else -1.0}
        rows.append((f"We saw the {word} there.", cats))
    return rows


@pytest.mark.parametrize(
    "problem",
    ["single_label_classification", "multi_label_classification", "regression"],
)
def test_it_learns(make_source, problem):
    fix_random_seed(0)
    nlp = pipeline(make_source(ElectraModel), problem_type=problem)
    rows = rows_to_learn(problem)
    with pytest.warns(UserWarning, match="SW300"):
        nlp.initialize(lambda: examples_of(nlp, rows))
    optimizer = Adam(0.003, L2_is_weight_decay=True)
    first = last = 0.0
    for _ in range(12):
        for start in range(0, len(rows), 16):
            losses = nlp.update(
                list(examples_of(nlp, rows[start : start + 16])), sgd=optimizer
            )
            last = losses["electra_textcat"]
            first = first or last
    assert last < 0.3 * first
    scores = nlp.evaluate(list(examples_of(nlp, rows)))
    assert scores["cats_score"] > 0.9
    if problem == "regression":
        assert scores["cats_mse"] < 0.5


def test_gradients_are_those_of_transformers_loss(make_source):
    source = make_source(KIND, ["warm", "cold"], "multi_label_classification")
    nlp = pipeline(source)
    component = nlp.get_pipe("electra_textcat")
    rows = [
        (TEXTS[0], {"warm": 1.0, "cold": 0.0}),
        (TEXTS[1], {"warm": 1.0, "cold": 1.0}),
    ]
    examples = list(examples_of(nlp, rows))
    logits, _ = component.model([e.predicted for e in examples], False)
    loss, gradient = component.get_loss(examples, logits)
    values = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        values, torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    )
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(gradient, values.grad.numpy(), atol=1e-6)


def test_label_that_nobody_gave_counts_for_nothing(make_source):
    nlp = pipeline(make_source(KIND, ["warm", "cold"], "multi_label_classification"))
    component = nlp.get_pipe("electra_textcat")
    examples = list(examples_of(nlp, [(TEXTS[0], {"warm": 1.0}), (TEXTS[1], {})]))
    logits, _ = component.model([e.predicted for e in examples], False)
    _, gradient = component.get_loss(examples, logits)
    assert gradient[0, 0] != 0 and not gradient[0, 1] and not gradient[1].any()


def test_label_that_the_checkpoint_lacks_is_added_with_a_warning(make_source):
    nlp = pipeline(make_source(KIND, ["warm", "cold"]))
    rows = [(TEXTS[0], {"warm": 1.0, "mild": 0.0}), (TEXTS[1], {"mild": 1.0})]
    with pytest.warns(UserWarning, match="SW301.*mild"):
        nlp.initialize(lambda: examples_of(nlp, rows))
    assert nlp.get_pipe("electra_textcat").labels == ("warm", "cold", "mild")


def test_other_problem_than_the_checkpoints_is_refused(make_source):
    nlp = pipeline(
        make_source(KIND, ["warm", "cold"], "multi_label_classification"),
        problem_type="single_label_classification",
    )
    with pytest.raises(ValueError, match="SE396"):
        nlp(TEXTS[0])


@pytest.mark.parametrize(
    "cats", [{"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 1.0}, {"a": 3.0}]
)
def test_gold_that_does_not_fit_is_refused(make_source, cats):
    nlp = pipeline(make_source(KIND, ["a", "b"]))
    with pytest.raises(ValueError, match="SE397"):
        nlp.initialize(lambda: examples_of(nlp, [(TEXTS[0], cats)]))


def test_no_labels_at_all_are_refused(make_source):
    nlp = pipeline(make_source(KIND))
    with pytest.raises(ValueError, match="SE398"):
        nlp.initialize(lambda: examples_of(nlp, [(TEXTS[0], {})]))


def test_saved_pipeline_gives_equal_cats(make_source, tmp_path):
    nlp = pipeline(make_source(KIND, ["a", "b"], "multi_label_classification"))
    expected = [doc.cats for doc in nlp.pipe(TEXTS)]
    nlp.to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    assert [doc.cats for doc in again.pipe(TEXTS)] == expected
    assert again.get_pipe("electra_textcat").labels == ("a", "b")
    assert [doc.cats for doc in map(again, TEXTS)] == [
        pytest.approx(cats, abs=1e-5) for cats in expected
    ]


@pytest.mark.parametrize("name", ["textcat", "textcat_multilabel"])
def test_architecture_is_also_that_of_spacys_own_component(make_source, name):
    fix_random_seed(0)
    problem = "multi" if "multi" in name else "single"
    nlp = spacy.blank("en")
    model = {
        "@architectures": "spacy-electra.SequenceClassification.v1",
        "problem_type": f"{problem}_label_classification",
        "encoder": {
            "@architectures": "spacy-electra.Encoder.v1",
            "source": make_source(ElectraModel),
            "window": 48,
            "stride": 32,
        },
    }
    textcat = nlp.add_pipe(name, config={"model": model})
    rows = rows_to_learn("")
    with pytest.warns(UserWarning, match="SW300"):
        nlp.initialize(lambda: examples_of(nlp, rows))
    optimizer = Adam(0.003)
    for _ in range(25):
        nlp.update(list(examples_of(nlp, rows)), sgd=optimizer)
    scores = nlp.evaluate(list(examples_of(nlp, rows)))
    assert scores["cats_score"] > 0.9
    if problem == "single":
        assert sum(nlp(TEXTS[0]).cats.values()) == pytest.approx(1.0)
    textcat.add_label("mild")
    assert set(nlp(TEXTS[0]).cats) == {"warm", "cold", "mild"}


def test_pair_lasts_in_a_doc_bin(make_source):
    nlp = pipeline(make_source(KIND, ["a", "b"]))
    doc = nlp.make_doc(TEXTS[0])
    doc._.text_pair = "Another text."
    stored = DocBin(store_user_data=True, docs=[doc]).to_bytes()
    (again,) = DocBin().from_bytes(stored).get_docs(nlp.vocab)
    assert again._.text_pair == "Another text."
    assert nlp(again).cats == nlp(doc).cats
    assert Doc.has_extension("text_pair")


def test_correlations_are_scipys():
    scipy_stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=50).round(1), rng.normal(size=50).round(1)
    assert correlation(x, y) == pytest.approx(scipy_stats.pearsonr(x, y)[0])
    spearman = scipy_stats.spearmanr(x, y)[0]
    assert correlation(ranks(x), ranks(y)) == pytest.approx(spearman)
    assert correlation(x, np.ones(50)) == 0.0


def listening_pipeline(source):
    nlp = spacy.blank("en")
    model = {"name": source, "window": 48, "stride": 32, "precision": "fp32"}
    nlp.add_pipe("electra", config={"model": model})
    listener = {"@architectures": "spacy-electra.EncoderListener.v1"}
    nlp.add_pipe("electra_textcat", config={"model": {"encoder": listener}})
    return nlp


def test_listener_gives_what_an_own_encoder_gives(make_source):
    source = make_source(KIND, ["a", "b"])
    expected = [doc.cats for doc in pipeline(source).pipe(TEXTS)]
    for doc, cats in zip(listening_pipeline(source).pipe(TEXTS), expected, strict=True):
        assert doc.cats == pytest.approx(cats, abs=1e-5)


@pytest.mark.parametrize("paired", [False, True])
def test_training_over_a_listener_changes_the_shared_encoder(make_source, paired):
    nlp = listening_pipeline(make_source(KIND, ["warm", "cold"]))
    rows = [(TEXTS[0], {"warm": 1.0, "cold": 0.0}), (TEXTS[1], {"cold": 1.0})]
    examples = list(examples_of(nlp, rows))
    if paired:
        for example in examples:
            example.predicted._.text_pair = "Another text."
    nlp.initialize(lambda: examples)
    shim = nlp.get_pipe("electra").model.shims[0]
    before = {n: w.detach().clone() for n, w in shim.network.named_parameters()}
    for _ in range(2):
        nlp.update(examples, sgd=Adam(1e-4))
    nlp.get_pipe("electra").finish_update(Adam(1e-4))
    after = dict(shim.network.named_parameters())
    assert any(not torch.equal(after[name], before[name]) for name in before)


def test_lines_of_json_are_examples(tmp_path, nlp):
    file = tmp_path / "train.jsonl"
    srsly.write_jsonl(
        file,
        [
            {"text": "One.", "text_pair": "Two.", "cats": {"same": 0, "other": 1}},
            {"text": "Three.", "cats": {"same": 1.0}},
        ],
    )
    first, second = CatsCorpus(file)(nlp)
    assert first.predicted._.text_pair == first.reference._.text_pair == "Two."
    assert first.reference.cats == {"same": 0.0, "other": 1.0}
    assert not first.predicted.cats and second.predicted._.text_pair is None
    assert len(list(CatsCorpus(file, limit=1)(nlp))) == 1


@pytest.mark.parametrize(
    "line",
    ['{"text": "a"}', '{"text": "a", "cats": {"b": "x"}}', '{"cats": {}}', "[]", "{"],
)
def test_line_that_is_no_example_is_named(tmp_path, nlp, line):
    file = tmp_path / "train.jsonl"
    file.write_text('{"text": "a", "cats": {}}\n' + line + "\n")
    with pytest.raises(ValueError, match="line 2"):
        list(CatsCorpus(file)(nlp))
