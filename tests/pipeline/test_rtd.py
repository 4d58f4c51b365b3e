"""What a user of `electra_rtd` relies on."""

import multiprocessing
import resource

import numpy as np
import pytest
import spacy
from spacy.tokens import DocBin, Token

TEXTS = [
    "The chef cooked the meal and served it to the guests.",
    "",
    "  \n ",
    "In 1905 Einstein published four banana papers; physicists still read them.",
]


@pytest.fixture
def rtd(nlp):
    nlp.add_pipe("electra_rtd")
    return nlp


def scores(doc):
    return [token._.rtd_score for token in doc]


def all_scores(docs):
    return [scores(doc) for doc in docs]


def test_attributes_spans_and_scores(rtd):
    component = rtd.get_pipe("electra_rtd")
    component.threshold = 0.2
    doc = rtd(TEXTS[3])
    assert all(0.0 <= score <= 1.0 for score in scores(doc))
    assert [t._.is_replaced for t in doc] == [score >= 0.2 for score in scores(doc)]
    group = doc.spans["rtd"]
    assert [span.start for span in group] == [t.i for t in doc if t._.is_replaced]
    assert all(len(span) == 1 and span.label_ == "REPLACED" for span in group)
    np.testing.assert_allclose(
        group.attrs["scores"], [s for s in scores(doc) if s >= 0.2], rtol=1e-6
    )


def test_score_is_the_largest_of_the_pieces(rtd):
    from spacy_electra.models import ElectraForPreTraining

    component = rtd.get_pipe("electra_rtd")
    tokenizer = component.model.encoder.load().tokenizer
    doc = rtd.make_doc(TEXTS[0])
    (probabilities,) = component.predict([doc])
    import torch

    model = ElectraForPreTraining.from_pretrained("en_small")
    encoding = tokenizer(doc.text)
    with torch.no_grad():
        logits = model(torch.from_numpy(encoding.ids)[None]).logits[0].sigmoid().numpy()
    for token in doc:
        inside = [
            logits[i]
            for i, (first, behind) in enumerate(encoding.offsets.tolist())
            if first < token.idx + len(token) and behind > token.idx
        ]
        assert probabilities[token.i] == pytest.approx(max(inside), abs=0.03)


def test_white_space_and_empty_docs(rtd):
    for text in ("", " ", "\n\n \t", "a  b"):
        doc = rtd(text)
        assert [t._.rtd_score for t in doc if t.is_space] == [0.0] * sum(
            t.is_space for t in doc
        )
        assert "rtd" in doc.spans


def test_pipe_equals_call_in_any_batch(rtd):
    one_by_one = all_scores(map(rtd, TEXTS * 3))
    for size in (1, 5, 100):
        together = all_scores(rtd.pipe(TEXTS * 3, batch_size=size))
        for a, b in zip(one_by_one, together, strict=True):
            np.testing.assert_allclose(a, b, atol=0.02)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes(rtd, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system can't {method} processes")
    expected = all_scores(rtd.pipe(TEXTS * 2))
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(method, force=True)
    try:
        found = all_scores(rtd.pipe(TEXTS * 2, n_process=2, batch_size=3))
    finally:
        multiprocessing.set_start_method(before, force=True)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(a, b, atol=0.02)


@pytest.mark.parametrize("used", [False, True], ids=["untouched", "used"])
def test_disk_and_bytes(rtd, tmp_path, used):
    if used:
        rtd(TEXTS[0])
    rtd.get_pipe("electra_rtd").threshold = 0.125
    rtd.to_disk(tmp_path / "pipeline")
    data = rtd.to_bytes()
    expected = scores(rtd(TEXTS[3]))
    loaded = spacy.load(tmp_path / "pipeline")
    restored = spacy.blank("en")
    restored.add_pipe("electra_rtd")
    restored.from_bytes(data)
    for again in (loaded, restored):
        assert scores(again(TEXTS[3])) == expected
        assert again.get_pipe("electra_rtd").threshold == 0.125
    component = tmp_path / "component"
    rtd.get_pipe("electra_rtd").to_disk(component)
    other = spacy.blank("en")
    other.add_pipe("electra_rtd").from_disk(component)
    assert scores(other(TEXTS[3])) == expected


def test_saved_pipeline_does_not_need_its_source(tmp_path, monkeypatch):
    from shutil import copytree, rmtree

    from spacy_electra.source import resolve_source

    copytree(resolve_source("en_tiny"), tmp_path / "source")
    nlp = spacy.blank("en")
    source = {"model": {"encoder": {"source": str(tmp_path / "source")}}}
    nlp.add_pipe("electra_rtd", config=source)
    expected = scores(nlp(TEXTS[0]))
    nlp.to_disk(tmp_path / "pipeline")
    rmtree(tmp_path / "source")
    assert scores(spacy.load(tmp_path / "pipeline")(TEXTS[0])) == expected


def test_doc_bin_keeps_what_was_set(rtd):
    rtd.get_pipe("electra_rtd").threshold = 0.1
    docs = list(rtd.pipe(TEXTS))
    data = DocBin(docs=docs, store_user_data=True).to_bytes()
    for doc, again in zip(
        docs, DocBin().from_bytes(data).get_docs(spacy.blank("en").vocab), strict=True
    ):
        assert scores(again) == scores(doc)
        assert [t._.is_replaced for t in again] == [t._.is_replaced for t in doc]
        assert [s.text for s in again.spans["rtd"]] == [
            s.text for s in doc.spans["rtd"]
        ]
        np.testing.assert_array_equal(
            again.spans["rtd"].attrs["scores"], doc.spans["rtd"].attrs["scores"]
        )


def test_memory_zone(rtd):
    expected = scores(rtd(TEXTS[0]))
    for _ in range(3):
        with rtd.memory_zone():
            doc = rtd("Xyzzyqua plugh zorkmids frotzed " + TEXTS[0])
            assert {span.label_ for span in doc.spans["rtd"]} <= {"REPLACED"}
    assert scores(rtd(TEXTS[0])) == expected


def test_names_are_configurable(nlp):
    nlp.add_pipe(
        "electra_rtd",
        config={
            "threshold": 0.0,
            "spans_key": "odd",
            "label": "ODD",
            "score_attribute": "oddness",
            "flag_attribute": "is_odd",
        },
    )
    doc = nlp("A chef cooked.")
    assert [span.label_ for span in doc.spans["odd"]] == ["ODD"] * 4
    assert all(t._.is_odd and 0 <= t._.oddness <= 1 for t in doc)
    assert "rtd" not in doc.spans


def test_two_components_side_by_side(nlp):
    nlp.add_pipe("electra_rtd", name="low", config={"threshold": 0.0})
    names = {"score_attribute": "high_score", "flag_attribute": "is_surely"}
    config = {"threshold": 1.0, "spans_key": "high", **names}
    nlp.add_pipe("electra_rtd", name="high", config=config)
    doc = nlp("A chef cooked.")
    assert (len(doc.spans["rtd"]), len(doc.spans["high"])) == (4, 0)


def test_attributes_of_others_are_left_alone(nlp):
    Token.set_extension("mine", getter=lambda token: "mine")
    nlp.add_pipe("electra_rtd")
    assert nlp("A chef")[0]._.mine == "mine"
    Token.remove_extension("mine")


def test_analysis_names_what_it_assigns(rtd):
    summary = rtd.analyze_pipes()
    assert summary["problems"] == {"electra_rtd": []}
    assert set(summary["summary"]["electra_rtd"]["assigns"]) == {
        "token._.rtd_score",
        "token._.is_replaced",
        "doc.spans",
        "span._.suggestions",
    }


def test_long_doc_needs_bounded_memory(rtd):
    rtd.max_length = 400_000
    rtd(TEXTS[0])
    text = (TEXTS[0] + " " + TEXTS[3] + " ") * 2400
    assert len(text) > 300_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    doc = rtd(text)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert all(score is not None for score in scores(doc))
    # ru_maxrss is in KiB on Linux. States of all its pieces alone are 80 MiB.
    assert grown < 1_000_000


def test_one_token_longer_than_a_window(rtd):
    doc = rtd("the word " + "ab1cd2" * 20 + " and " + "9" * 5000 + " is long")
    assert all(0.0 <= score <= 1.0 for score in scores(doc))


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        ({"threshold": 1.5}, ["threshold", "1.5"]),
        ({"objective": "guess"}, ["objective", "supervised"]),
        ({"positive_weight": 0}, ["positive_weight"]),
        ({"pretraining": {"maks_share": 0.1}}, ["maks_share", "mask_share"]),
    ],
)
def test_bad_config_is_named(nlp, config, parts):
    with pytest.raises(ValueError) as error:
        nlp.add_pipe("electra_rtd", config=config)
    for part in parts:
        assert part in str(error.value)


def test_unknown_source_is_named_at_first_use(nlp):
    encoder = {"source": "no/such/place"}
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": encoder}})
    with pytest.raises(FileNotFoundError, match="no/such/place"):
        nlp("A chef")
