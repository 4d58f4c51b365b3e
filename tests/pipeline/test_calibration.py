"""What a mark is worth: thresholds for rates of false marks, and honest scores."""

import json
import math

import numpy as np
import pytest
import spacy
from sklearn.linear_model import LogisticRegression
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_electra.pipeline.calibration import component as calibrated
from spacy_electra.pipeline.calibration.file import (
    as_dict,
    read_calibration,
    write_calibration,
)
from spacy_electra.pipeline.calibration.fitting import (
    CleanScores,
    clean_scores,
    fingerprint,
    fit_scale,
)
from spacy_electra.pipeline.calibration.table import (
    Calibration,
    Domain,
    Scale,
    fewest_words,
    logit,
    lowest_rate,
    sigmoid,
)

TEXT = "The quick brown fox fake over the lazy dog near the old stone bridge."
POINTS = ((0.1, 0.99), (1.0, 0.9), (10.0, 0.5), (100.0, 0.1))


def table(**changes):
    domain = Domain("some text", 30_000, POINTS)
    values = {"weights": "0" * 16, "default": "web", "domains": {"web": domain}}
    return Calibration(**{**values, **changes})


def clean(words=100_000, seed=0):
    random = np.random.default_rng(seed)
    return CleanScores(sigmoid(random.normal(-3, 2, words)), words)


@pytest.fixture
def component(nlp):
    """One with a table of its own weights, in fp32 so that scores repeat."""
    encoder = {"source": "en_tiny", "precision": "fp32"}
    component = nlp.add_pipe("electra_rtd", config={"model": {"encoder": encoder}})
    component.calibration = table(
        weights=fingerprint(component.model),
        scores=Scale("errors", 1000, 0.1, temperature=2.0, bias=-1.0),
    )
    return component


def test_thresholds_hold_on_the_text_that_they_come_from():
    scores = clean()
    for rate in (0.05, 0.3, 1.0, 2.0, 7.5, 40.0):
        threshold = scores.threshold(rate)
        assert scores.marks(threshold) == math.floor(rate * 100 + 1e-9)
        assert scores.rate(threshold) <= rate


def test_thresholds_carry_over_to_other_text_of_the_kind():
    domain = clean(seed=1).domain("some text")
    held_out = clean(seed=2)
    for rate in (0.5, 1.2, 2.0, 4.4, 12.0, 80.0):
        # Three standard deviations of a count of so many.
        expected = rate * 100
        marks = held_out.marks(domain.threshold(rate))
        assert abs(marks - expected) < 3 * math.sqrt(2 * expected) + 1


def test_words_of_one_score_are_marked_together_or_not_at_all():
    scores = CleanScores(np.repeat([0.9, 0.8, 0.1], [2, 10, 988]), 1000)
    assert scores.marks(scores.threshold(5.0)) == 2
    assert scores.marks(scores.threshold(12.0)) == 12
    certain = CleanScores(np.repeat([1.0, 0.1], [50, 950]), 1000)
    assert certain.marks(min(certain.threshold(5.0), 1.0)) in (0, 50)


def test_between_rates_thresholds_fall_steadily():
    own = table()
    rates = np.geomspace(0.1, 100, 50)
    thresholds = [own.threshold(rate) for rate in rates]
    assert all(np.diff(thresholds) < 0)
    assert own.threshold(10.0) == pytest.approx(0.5)


def test_a_text_shows_a_rate_with_95_percent_where_it_has_enough_words():
    for rate in (0.5, 2.0, 30.0):
        words = fewest_words(rate)
        assert 1 - (1 - rate / 1000) ** words >= 0.95
        assert 1 - (1 - rate / 1000) ** (0.9 * words) < 0.95
        assert lowest_rate(words) <= rate


def test_too_few_words_for_a_rate_say_how_many_it_takes():
    with pytest.raises(ValueError, match=r"SE530.*1,000 words.*at least 1,500"):
        clean(1000).threshold(2.0)
    with pytest.raises(ValueError, match=r"SE530.*at least 30 words"):
        clean(20).domain("a line")
    with pytest.raises(ValueError, match=r"SE531.*from 0.1 to 100.*60,000 words"):
        table().threshold(0.05)


def test_text_without_words_is_an_error(nlp):
    docs = [nlp.make_doc("... !! --")]
    scores = clean_scores(docs, lambda doc: np.full(len(doc), 0.1))
    assert scores.words == 0
    with pytest.raises(ValueError, match=r"SE532.*a line of dots"):
        scores.domain("a line of dots")


@pytest.mark.parametrize("rate", [0, -1, 101, math.nan, math.inf, True, "two"])
def test_rates_that_are_none_are_errors(rate):
    with pytest.raises(ValueError, match=r"SE003.*false_marks_per_1000"):
        table().threshold(rate)


def test_a_component_refuses_such_a_rate(nlp):
    with pytest.raises(ValueError, match=r"SE003.*false_marks_per_1000.*0"):
        nlp.add_pipe("electra_rtd", config={"false_marks_per_1000": 0.0})


def test_reading_stops_when_there_are_enough_words(nlp):
    docs = (nlp.make_doc("one two three, four.") for _ in range(100))
    scores = clean_scores(docs, lambda doc: np.zeros(len(doc)), most_words=41)
    assert scores.words == 44
    assert len(scores.scores) == 66
    assert len(list(docs)) == 100 - 11


def test_the_scale_is_that_of_a_logistic_regression():
    random = np.random.default_rng(0)
    log_odds = random.normal(-2, 3, 20_000)
    labels = random.random(20_000) < sigmoid(log_odds / 1.7 - 0.8)
    own = fit_scale(sigmoid(log_odds), labels, "errors")
    other = LogisticRegression(C=1e12, tol=1e-8).fit(log_odds[:, None], labels)
    assert 1 / own.temperature == pytest.approx(other.coef_[0, 0], rel=1e-4)
    assert own.bias == pytest.approx(other.intercept_[0], abs=1e-4)
    assert own.temperature == pytest.approx(1.7, rel=0.1)
    assert own.error_rate == pytest.approx(labels.mean(), abs=1e-6)


def test_a_bias_that_is_not_needed_is_left_out():
    random = np.random.default_rng(0)
    log_odds = random.normal(-2, 3, 20_000)
    labels = random.random(20_000) < sigmoid(log_odds / 1.7)
    own = fit_scale(sigmoid(log_odds), labels)
    assert own.bias == 0.0
    assert own.temperature == pytest.approx(1.7, rel=0.1)


def test_what_tells_nothing_of_errors_gives_no_scale():
    scores = np.linspace(0.1, 0.9, 100)
    with pytest.raises(ValueError, match=r"SE535.*100 words.*, 0 are wrong"):
        fit_scale(scores, np.zeros(100, dtype=bool))
    with pytest.raises(ValueError, match="SE536"):
        fit_scale(scores, scores < 0.3)


def test_a_table_is_on_disk_as_it_was(tmp_path):
    own = table(scores=Scale("errors", 1000, 0.1, temperature=2.0, bias=-1.0))
    write_calibration(own, tmp_path / "calibration.json")
    assert read_calibration(tmp_path / "calibration.json") == own


def edited(**changes):
    data = as_dict(table())
    return {key: value for key, value in {**data, **changes}.items() if value != "-"}


def domain(**changes):
    own = {"text": "t", "words": 100, "thresholds": [[30, 0.9], [40, 0.8]]}
    return {"web": {**own, **changes}}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "Expecting"),
        ("[]", '"format" is None'),
        (json.dumps(edited(format="v9")), "'v9'"),
        (json.dumps(edited(weights="-")), '"weights" is None'),
        (json.dumps(edited(default="news")), "'news', which"),
        (json.dumps(edited(domains=[])), "an object"),
        (json.dumps(edited(domains={"web": 3})), '"words" is None'),
        (json.dumps(edited(domains=domain(words=1.5))), "a whole number"),
        (json.dumps(edited(domains=domain(thresholds=[]))), "no pairs"),
        (json.dumps(edited(domains=domain(thresholds=[[1, "x"]]))), "no pairs"),
        (json.dumps(edited(domains=domain(thresholds=[[1], [2, 3]]))), "no pairs"),
        (json.dumps(edited(domains=domain(thresholds=[[1, math.nan]]))), "no pairs"),
        (json.dumps(edited(domains=domain(thresholds=[[0, 0.5]]))), "rise from above"),
        (json.dumps(edited(domains=domain(thresholds=[[1, 0.5], [2, 0.6]]))), "fall"),
        (json.dumps(edited(domains=domain(thresholds=[[1, 1.5]]))), "between 0 and 1"),
        (json.dumps(edited(scores={"text": "t"})), '"words"'),
        (
            json.dumps(edited(scores={**vars(Scale("t", 1)), "temperature": 0.0})),
            "above 0",
        ),
        (
            json.dumps(edited(scores={**vars(Scale("t", 1)), "bias": math.inf})),
            '"bias" is inf',
        ),
        (b"\x89PNG\xff\x00", "utf-8"),
    ],
)
def test_a_file_that_is_no_table_says_why(content, problem, tmp_path):
    file = tmp_path / "calibration.json"
    content = content if isinstance(content, bytes) else content.encode()
    file.write_bytes(content)
    with pytest.raises(ValueError, match="SE534") as caught:
        read_calibration(file)
    assert problem in str(caught.value) and str(file) in str(caught.value)


def test_a_wished_rate_takes_the_place_of_the_threshold(component, nlp):
    component.false_marks_per_1000 = 10.0
    assert component.mark_threshold == pytest.approx(0.5)
    component.false_marks_per_1000 = 100.0
    assert component.mark_threshold == pytest.approx(0.1)
    doc = nlp(TEXT)
    marked = [t for t in doc if t._.rtd_score >= 0.1]
    assert len(marked) == len(doc.spans["rtd"]) > 0
    # What was said last counts.
    component.threshold = 0.9
    assert component.false_marks_per_1000 is None
    assert component.mark_threshold == 0.9


def test_domains_are_chosen_by_name(component):
    own = component.calibration
    news = Domain("news", 30_000, tuple((rate, s / 2) for rate, s in POINTS))
    component.calibration = own.with_domain("news", news)
    assert component.threshold_for(10.0) == pytest.approx(0.25)
    assert component.threshold_for(10.0, "web") == pytest.approx(0.5)
    component.domain = "web"
    assert component.threshold_for(10.0) == pytest.approx(0.5)
    with pytest.raises(ValueError, match=r"SE002.*'fiction'.*web, news"):
        component.threshold_for(10.0, "fiction")


def test_calibrated_scores_are_those_of_the_scale_and_mark_the_same_words(
    component, nlp
):
    component.false_marks_per_1000 = 60.0
    plain = nlp(TEXT)
    raw = np.array([token._.rtd_score for token in plain])
    component.calibrated = True
    doc = nlp(TEXT)
    scores = np.array([token._.rtd_score for token in doc])
    np.testing.assert_allclose(scores, sigmoid(logit(raw) / 2 - 1), rtol=1e-5)
    marks = [span.start for span in doc.spans["rtd"]]
    assert marks == [span.start for span in plain.spans["rtd"]] != []


def test_scores_are_as_ever_where_nobody_asks(component, nlp):
    doc = nlp(TEXT)
    component.calibration = None
    again = nlp(TEXT)
    assert [t._.rtd_score for t in doc] == [t._.rtd_score for t in again]


def test_the_table_travels_with_a_saved_pipeline(component, nlp, tmp_path):
    component.false_marks_per_1000 = 10.0
    nlp.to_disk(tmp_path / "saved")
    assert (tmp_path / "saved" / "electra_rtd" / "calibration.json").is_file()
    loaded = spacy.load(tmp_path / "saved").get_pipe("electra_rtd")
    assert loaded.calibration == component.calibration
    assert loaded.false_marks_per_1000 == 10.0
    assert loaded.mark_threshold == component.mark_threshold

    other = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    assert other.get_pipe("electra_rtd").calibration == component.calibration


def test_a_config_sets_the_rate_of_a_saved_pipeline(component, nlp, tmp_path):
    nlp.to_disk(tmp_path / "saved")
    config = {"components": {"electra_rtd": {"false_marks_per_1000": 10.0}}}
    loaded = spacy.load(tmp_path / "saved", config=config).get_pipe("electra_rtd")
    assert loaded.mark_threshold == pytest.approx(0.5)


def test_a_table_is_read_from_a_file_of_ones_own(component, tmp_path):
    write_calibration(component.calibration, tmp_path / "own.json")
    nlp = spacy.blank("en")
    config = {
        "calibration": str(tmp_path / "own.json"),
        "false_marks_per_1000": 10,
        "model": {"encoder": {"source": "en_tiny"}},
    }
    own = nlp.add_pipe("electra_rtd", config=config)
    assert own.mark_threshold == pytest.approx(0.5)
    nlp.to_disk(tmp_path / "saved")
    (tmp_path / "own.json").unlink()
    loaded = spacy.load(tmp_path / "saved").get_pipe("electra_rtd")
    assert loaded.mark_threshold == pytest.approx(0.5)

    config["calibration"] = str(tmp_path / "nothing.json")
    lacking = spacy.blank("en").add_pipe("electra_rtd", config=config)
    with pytest.raises(FileNotFoundError, match=r"SE533.*nothing.json"):
        lacking.mark_threshold  # noqa: B018


def test_the_bundled_table_is_there_without_being_asked_for(nlp, tmp_path):
    nlp.add_pipe("electra_rtd", config={"false_marks_per_1000": 2.0, "domain": "web"})
    nlp.initialize()
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved").get_pipe("electra_rtd")
    assert "web" in loaded.calibration.domains
    assert loaded.mark_threshold == nlp.get_pipe("electra_rtd").mark_threshold


def test_a_source_is_asked_for_a_table_once_however_often_one_saves(
    nlp, tmp_path, monkeypatch
):
    nlp.add_pipe("electra_rtd")
    nlp.initialize()
    asked = []

    def resolve(source, **given):
        asked.append(source)
        return tmp_path

    monkeypatch.setattr(calibrated, "resolve_source", resolve)
    for number in range(3):
        nlp.to_disk(tmp_path / str(number))
        nlp.to_bytes()
    assert len(asked) == 1


def test_without_a_table_a_rate_is_an_error(component, nlp):
    component.calibration = None
    component.false_marks_per_1000 = 2.0
    with pytest.raises(ValueError, match=r"SE537.*= 2 needs.*electra_rtd.*en_tiny"):
        nlp(TEXT)
    component.threshold = 0.5
    component.calibrated = True
    with pytest.raises(ValueError, match=r"SE537.*calibrated = true"):
        nlp(TEXT)


def test_calibrated_scores_need_a_fit(component, nlp):
    own = component.calibration
    component.calibration = Calibration(own.weights, own.default, own.domains)
    component.calibrated = True
    with pytest.raises(ValueError, match=r"SE539.*--gold"):
        nlp(TEXT)


def test_the_table_of_other_weights_is_refused_and_not_saved(component, nlp, tmp_path):
    component.false_marks_per_1000 = 10.0
    assert nlp(TEXT).spans["rtd"] is not None
    reference = Doc(nlp.vocab, words=TEXT.split())
    reference.spans["rtd"] = [Span(reference, 4, 5)]
    example = Example(nlp.make_doc(TEXT), reference)
    component.cfg["objective"] = "supervised"
    optimizer = nlp.initialize(lambda: [example])
    component.calibration = table(weights=fingerprint(component.model))
    optimizer.learn_rate = 1e-4
    nlp.update([example], sgd=optimizer)
    with pytest.raises(ValueError, match=r"SE538.*other\s+weights"):
        nlp(TEXT)
    nlp.to_disk(tmp_path / "saved")
    assert not (tmp_path / "saved" / "electra_rtd" / "calibration.json").exists()
