"""Pipelines that earlier versions saved load, and give what they gave."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import spacy

SAVED = Path(__file__).parents[2] / "fixtures" / "pipelines"
sys.path.append(str(SAVED))
from make_pipelines import MAKERS, held_out, main, results  # noqa: E402

# The one word of the texts that the vocabulary of the small pipelines lacks.
UNKNOWN = "7"
VERSIONS = sorted(file.parent.name for file in SAVED.glob("*/expected.json"))


def expected(version):
    return json.loads((SAVED / version / "expected.json").read_text(encoding="utf8"))


def assert_same(found, known):
    assert set(found) == set(known)
    for name in found:
        if name in ("rtd_score", "tag_scores"):
            for a, b in zip(found[name], known[name], strict=True):
                np.testing.assert_allclose(np.ravel(a), np.ravel(b), atol=1e-5)
        else:
            assert found[name] == known[name]


def without_unknown(nlp, texts, known):
    """Known scores as they are since words that the vocabulary lacks have none."""
    docs = [nlp.make_doc(text) for text in texts]
    return [
        [
            0.0 if token.text == UNKNOWN else score
            for token, score in zip(*row, strict=True)
        ]
        for row in zip(docs, known["rtd_score"], strict=True)
    ]


@pytest.mark.parametrize("pipeline", MAKERS)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_an_earlier_version_saved_gives_the_same(version, pipeline):
    if pipeline.endswith("electra"):
        pytest.importorskip("spacy_transformers")
    known = expected(version)["expected"][pipeline]
    nlp = spacy.load(SAVED / version / pipeline)
    if "rtd_score" in known:
        known["rtd_score"] = without_unknown(nlp, expected(version)["texts"], known)
    figures, counts = known.pop("held_out", None), known.pop("piece_counts", None)
    assert_same(results(nlp), known)
    if figures:
        assert held_out(nlp) == pytest.approx(figures, abs=1e-4)
        attrs = nlp.get_pipe("electra_rtd").model.attrs
        assert np.asarray(attrs["piece_counts"]).tolist() == counts


@pytest.mark.parametrize("pipeline", MAKERS)
def test_what_an_earlier_version_saved_goes_on_learning(pipeline):
    if pipeline.endswith("electra"):
        pytest.importorskip("spacy_transformers")
    from make_pipelines import examples

    nlp = spacy.load(SAVED / VERSIONS[0] / pipeline)
    data = list(examples(nlp))
    before = results(nlp)
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 1e-4
    nlp.update(data, sgd=optimizer)
    after = results(nlp)
    name = "tag_scores" if "tag_scores" in before else "rtd_score"
    assert (
        max(
            np.abs(np.ravel(a) - np.ravel(b)).max()
            for a, b in zip(before[name], after[name], strict=True)
            if len(a)
        )
        > 1e-6
    )


def test_the_script_still_makes_them(tmp_path, monkeypatch):
    pytest.importorskip("spacy_transformers")
    monkeypatch.setattr("make_pipelines.HERE", tmp_path)
    monkeypatch.chdir(tmp_path)
    main("now")
    made = json.loads((tmp_path / "now" / "expected.json").read_text("utf8"))
    for pipeline in MAKERS:
        known = made["expected"][pipeline]
        known.pop("held_out", None), known.pop("piece_counts", None)
        assert_same(results(spacy.load(tmp_path / "now" / pipeline)), known)
