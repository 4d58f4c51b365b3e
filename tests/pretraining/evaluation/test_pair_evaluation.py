import csv
import json
import warnings

import pytest
from typer.testing import CliRunner

from spacy_electra.cli.app import app
from spacy_electra.pretraining.run.trainer import Trainer

# Runs of seconds learn nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:.*SW40")


@pytest.fixture
def corpus(tmp_path, grammar):
    file = tmp_path / "corpus.txt"
    file.write_text("\n\n".join(grammar(20, seed=1)))
    return file


@pytest.fixture(scope="module")
def run(settings_for_module, tmp_path_factory):
    """A run of four steps and the settings that it had."""
    output = tmp_path_factory.mktemp("run")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Trainer(settings_for_module(training={"max_steps": 4}), output).train()
    return output


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_evaluate_has_the_names_of_the_log(run, corpus, tmp_path):
    done = invoke("evaluate", run, corpus, "--output", tmp_path / "figures.json")
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    with (run / "log.csv").open() as lines:
        columns = csv.DictReader(lines).fieldnames
    assert set(figures) <= set(columns)
    assert "auc_frequency" in figures
    assert "auc_generator" in done.output
    again = invoke("evaluate", run / "final", corpus, "--output", tmp_path / "b.json")
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "b.json").read_text()) == figures


def test_evaluate_without_a_generator(run, corpus, tmp_path):
    source = run / "final" / "discriminator"
    done = invoke("evaluate", source, corpus, "--output", tmp_path / "figures.json")
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert "auc_unigram" in figures
    assert not any("generator" in name or "mlm" in name for name in figures)
