"""Thresholds for a rate of false marks, from clean text of one's own."""

import json

import pytest
import spacy
from spacy.cli._util import app as spacy_app
from spacy.tokens import Doc, DocBin, Span
from typer.testing import CliRunner

import spacy_electra.cli.app  # noqa: F401 (puts its commands below spaCy's)
from spacy_electra.pipeline.calibration.file import read_calibration

SENTENCE = "The river floods the valley every spring, and the farmers wait for it."
ERROR = "The river floods the valley every spring, end the farmers weight for it."


def calibrate(*arguments):
    command = ["electra", "calibrate", *map(str, arguments)]
    result = CliRunner().invoke(spacy_app, command)
    # The terminal's width must not matter.
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(scope="module")
def text(tmp_path_factory, grammar):
    """Some 2,000 words."""
    file = tmp_path_factory.mktemp("text") / "clean.txt"
    file.write_text("\n\n".join(grammar(40)), encoding="utf8")
    return file


@pytest.fixture
def pipeline(nlp, tmp_path):
    encoder = {"source": "en_tiny", "precision": "fp32"}
    nlp.add_pipe("electra_rtd", name="marks", config={"model": {"encoder": encoder}})
    nlp.add_pipe("sentencizer")
    nlp.initialize()
    nlp.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def test_a_table_in_a_file_is_what_add_pipe_takes(text, tmp_path):
    file = tmp_path / "table.json"
    options = ("--false-marks", 5, "--output", file, "--domain", "grammar")
    status, output = calibrate(text, "en_tiny", *options)
    assert status == 0, output
    assert f'"false_marks_per_1000": 5, "calibration": "{file}"' in output
    table = read_calibration(file)
    assert table.default == "grammar" and "grammar" in table.domains

    nlp = spacy.blank("en")
    encoder = {"source": "en_tiny"}
    config = {"false_marks_per_1000": 5, "calibration": str(file)}
    nlp.add_pipe("electra_rtd", config={**config, "model": {"encoder": encoder}})
    docs = list(nlp.pipe(text.read_text(encoding="utf8").split("\n\n")))
    words = table.domains["grammar"].words
    marks = sum(len(doc.spans["rtd"]) for doc in docs)
    assert 0 < marks <= 5 * words / 1000 + 1


def test_a_saved_pipeline_takes_its_own_table(text, pipeline):
    status, output = calibrate(text, pipeline, "--false-marks", 3)
    assert status == 0, output
    file = pipeline / "marks" / "calibration.json"
    before = read_calibration(file)
    nlp = spacy.load(pipeline)
    component = nlp.get_pipe("marks")
    component.false_marks_per_1000 = 3
    assert 0 < component.mark_threshold < 1
    # Another domain comes beside the first.
    status, _ = calibrate(text, pipeline, "--domain", "other", "--words", 1500)
    assert status == 0
    after = read_calibration(file)
    assert {"own", "other"} <= set(after.domains)
    assert after.default == "other"
    assert after.domains["own"] == before.domains["own"]


def test_gold_spans_make_probabilities(text, pipeline, nlp, tmp_path):
    docs = DocBin()
    for sentence in (SENTENCE, ERROR) * 5:
        doc = Doc(nlp.vocab, words=sentence.split())
        doc.spans["rtd"] = [Span(doc, 7, 8), Span(doc, 10, 11)][
            : 2 * ("end" in sentence)
        ]
        docs.add(doc)
    docs.to_disk(tmp_path / "gold.spacy")
    options = ("--gold", tmp_path / "gold.spacy", "--output", tmp_path / "table.json")
    status, output = calibrate(text, pipeline, *options)
    assert status == 0, output
    scale = read_calibration(tmp_path / "table.json").scores
    assert scale.temperature > 0
    # Of ten sentences, five have two wrong words.
    assert scale.error_rate == pytest.approx(10 / scale.words, abs=1e-6)


def test_a_table_of_other_weights_is_replaced(text, tmp_path):
    file = tmp_path / "table.json"
    calibrate(text, "en_tiny", "--output", file)
    data = json.loads(file.read_text(encoding="utf8"))
    file.write_text(json.dumps({**data, "weights": "0" * 16}), encoding="utf8")
    status, output = calibrate(text, "en_tiny", "--output", file, "--domain", "new")
    assert status == 0 and "other weights" in output
    assert list(read_calibration(file).domains) == ["new"]


def test_bad_input_is_one_coded_error(text, pipeline, tmp_path):
    short, dots = tmp_path / "short.txt", tmp_path / "dots.txt"
    picture, gold = tmp_path / "picture.txt", tmp_path / "gold.spacy"
    short.write_text(SENTENCE, encoding="utf8")
    dots.write_text("... --- ...", encoding="utf8")
    picture.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe")
    gold.write_bytes(b"no spans")
    other = tmp_path / "table.json"
    other.write_text("[]", encoding="utf8")
    out = ("--output", tmp_path / "out.json")
    for arguments, code in (
        ((short, "en_tiny", *out), r"SE530"),
        ((text, "en_tiny", "--false-marks", 0.5, *out), "SE530"),
        ((dots, "en_tiny", *out), "SE532"),
        ((picture, "en_tiny", *out), "SE4"),
        ((tmp_path / "nothing.txt", "en_tiny", *out), "SE400"),
        ((text, "en_tiny", "--false-marks", 0, *out), "SE003"),
        ((text, "en_tiny", "--false-marks", -2, *out), "SE003"),
        ((text, "./no_such_thing", *out), "SE20"),
        ((text, "en_tiny", "--gold", gold, *out), "SE403"),
        ((text, "en_tiny", "--output", other), "SE534"),
    ):
        status, output = calibrate(*arguments)
        assert status == 1 and f"[{code}" in output, (arguments, output)
    assert not (tmp_path / "out.json").exists()
    status, output = calibrate(text, "en_tiny", "--false-marks", 0.5, *out)
    assert "at least 6,000 words" in output
    status, output = calibrate(short, "en_tiny", *out)
    assert "13 words" in output and "at least 1,500 words" in output


def test_a_pipeline_without_the_component_is_an_error(text, tmp_path):
    spacy.blank("en").to_disk(tmp_path / "empty")
    status, output = calibrate(text, tmp_path / "empty")
    assert status == 1 and "[SE540]" in output


def test_a_component_on_a_shared_encoder(text, tmp_path):
    pytest.importorskip("spacy_transformers")
    nlp = spacy.blank("en")
    nlp.add_pipe("electra", config={"model": {"name": "en_tiny", "precision": "fp32"}})
    listener = {"@architectures": "spacy-electra.EncoderListener.v1"}
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": listener}})
    nlp.initialize()
    nlp.to_disk(tmp_path / "pipeline")
    status, output = calibrate(text, tmp_path / "pipeline", "--false-marks", 5)
    assert status == 0, output
    nlp = spacy.load(tmp_path / "pipeline")
    nlp.get_pipe("electra_rtd").false_marks_per_1000 = 5
    docs = list(nlp.pipe(text.read_text(encoding="utf8").split("\n\n")))
    words = nlp.get_pipe("electra_rtd").calibration.domains["own"].words
    assert 0 < sum(len(doc.spans["rtd"]) for doc in docs) <= 5 * words / 1000
