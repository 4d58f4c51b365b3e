"""Tables of calibration stay with weights that are written in another precision."""

import json

import pytest
import spacy
import torch
from spacy.cli._util import app as spacy_app
from typer.testing import CliRunner

import spacy_electra.cli.app  # noqa: F401 (puts its commands below spaCy's)


def run(*arguments):
    result = CliRunner().invoke(spacy_app, ["electra", *map(str, arguments)])
    assert result.exit_code == 0, result.output


def marking(source):
    nlp = spacy.blank("en")
    config = {"model": {"encoder": {"source": str(source)}}}
    nlp.add_pipe("electra_rtd", config={**config, "false_marks_per_1000": 2})
    return nlp


@pytest.fixture
def trained(tmp_path):
    """A pipeline with weights that bf16 can't hold, and a table of them."""
    nlp = marking("en_tiny")
    component = nlp.get_pipe("electra_rtd")
    table = component.calibration
    with torch.no_grad():
        for weight in component.model.load().network.parameters():
            weight.add_(1e-5)
    from dataclasses import replace

    from spacy_electra.pipeline.calibration.fitting import fingerprint

    component.calibration = replace(table, weights=fingerprint(component.model))
    nlp.to_disk(tmp_path / "trained")
    return tmp_path / "trained"


def test_a_component_takes_its_table_into_any_precision(trained, tmp_path):
    expected = spacy.load(trained).get_pipe("electra_rtd").mark_threshold
    run("export", trained, tmp_path / "bf16")
    assert marking(tmp_path / "bf16").get_pipe("electra_rtd").mark_threshold == expected
    run("export", trained, tmp_path / "fp32", "--dtype", "fp32")
    run("convert", tmp_path / "fp32", tmp_path / "int8", "--dtype", "int8")
    assert marking(tmp_path / "int8").get_pipe("electra_rtd").mark_threshold == expected


def test_a_table_of_other_weights_stays_one(trained, tmp_path):
    run("export", trained, tmp_path / "fp32", "--dtype", "fp32")
    file = tmp_path / "fp32" / "calibration.json"
    table = json.loads(file.read_text(encoding="utf8"))
    file.write_text(json.dumps({**table, "weights": "0" * 16}), encoding="utf8")
    run("convert", tmp_path / "fp32", tmp_path / "bf16", "--dtype", "bf16")
    with pytest.raises(ValueError, match="SE538"):
        marking(tmp_path / "bf16").get_pipe("electra_rtd").mark_threshold  # noqa: B018
