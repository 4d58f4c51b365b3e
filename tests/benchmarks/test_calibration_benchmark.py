"""What benchmarks/calibration.py fits to, and what it writes."""

from collections import Counter

import numpy as np
import pytest
import spacy

from spacy_electra.metrics import reliability
from spacy_electra.pipeline.calibration.table import Calibration, Domain, Scale

SENTENCE = "The old child walked to the store and told a story about the weather."


@pytest.fixture(scope="module")
def benchmark():
    pytest.importorskip("matplotlib")
    import calibration
    import calibration_card
    import calibration_texts

    return calibration, calibration_card, calibration_texts


def test_every_other_sentence_has_one_error(benchmark, tokenizer):
    _, _, texts = benchmark
    words = SENTENCE.lower().strip(".").split()
    counts = Counter([*words, "stories", "walks", "children", "whether"] * 9)
    text = " ".join([SENTENCE] * 40)
    (case,) = texts.with_errors([text], counts, tokenizer, seed=0, most_words=10_000)
    assert case.wrong.sum() in range(17, 21)
    assert (case.judged | ~case.wrong).all()
    ends = np.flatnonzero([token.text == "." for token in case.doc])
    per_sentence = [part.sum() for part in np.split(case.wrong, ends[:-1] + 1)]
    assert max(per_sentence[:40]) == 1
    assert not any(per_sentence[::2])
    # What is not wrong is as it was.
    clean = spacy.blank("en")(SENTENCE)
    assert case.doc[: len(clean)].text == clean.text
    few = texts.with_errors([text] * 3, counts, tokenizer, seed=0, most_words=100)
    assert len(few) == 1


def test_texts_to_choose_on_are_not_those_to_measure_on(benchmark, shared_data):
    _, _, texts = benchmark
    documents = [f"document {number}" for number in range(10)]
    chosen, measured = texts.clean_text(shared_data, documents)
    assert list(chosen) == list(measured)
    for name in chosen:
        assert chosen[name] and measured[name]
        # Single lines such as "Thanks." are anywhere.
        common = set(chosen[name]) & set(measured[name])
        assert all(len(text) < 100 for text in common), name


@pytest.fixture
def measured(benchmark):
    calibration, _, _ = benchmark
    random = np.random.default_rng(0)
    clean = calibration.CleanScores(random.random(5000) ** 3, 5000)
    labels = random.random(5000) < 0.1
    scores = np.clip(random.random(5000) * 0.5 + labels * 0.4, 0.01, 0.99)
    names = (*list(calibration.TEXT),)
    return calibration.Measured(dict.fromkeys(names, clean), scores, labels)


def test_the_card_gets_its_section_and_keeps_the_rest(
    benchmark, measured, tmp_path, monkeypatch
):
    calibration, card, _ = benchmark
    points = tuple((rate, 1 - rate / 101) for rate in (0.6, 1.0, 2.0, 5.0, 10.0, 100.0))
    domains = {name: Domain(name, 5000, points) for name in calibration.TEXT}
    scale = Scale("errors", 5000, 0.1, temperature=1.5, bias=-1.0)
    table = Calibration("0" * 16, "all", domains, scale)
    figures = measured.figures(table, Scale(temperature=1.5))
    assert figures["error rate"] == pytest.approx(measured.labels.mean())
    shown = figures["false marks"]["web"]["5"]
    assert shown["from"] < shown["per 1,000"] < shown["to"]

    monkeypatch.setattr(card, "CARDS", tmp_path)
    text = card.section("some", table, figures)
    assert text.count("temperature of\n1.500") == 1
    assert "| web | " in text and "some_reliability.png" in text
    bins = reliability(measured.scores, measured.labels)
    card.draw("some", bins, bins)
    assert (tmp_path / "some_reliability.png").read_bytes()[:4] == b"\x89PNG"
