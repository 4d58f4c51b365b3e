import warnings

import pytest
from typer.testing import CliRunner

from spacy_electra.cli.app import app
from spacy_electra.pretraining.run.trainer import Trainer

# Runs of seconds learn nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:.*SW40")


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


def test_pretrain_shows_lines_and_draws_curves(run, tmp_path):
    done = invoke("pretrain", run / "config.cfg", tmp_path / "out", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "AUC generator" in done.output
    assert (tmp_path / "out" / "curves.png").exists()
    refused = invoke("pretrain", run / "config.cfg", tmp_path / "out")
    assert refused.exit_code == 1
    assert "--resume" in refused.output
    more = ["--resume", "--training.max_steps", "6"]
    resumed = invoke("pretrain", run / "config.cfg", tmp_path / "out", *more)
    assert "Going on from step 4" in resumed.output


def test_misspelt_key_is_one_clear_error(run, tmp_path):
    done = invoke(
        "pretrain", run / "config.cfg", tmp_path / "out", "--training.max_stepps", "3"
    )
    assert done.exit_code == 1
    assert "max_stepps" in done.output
    assert "max_steps" in done.output
    assert "Traceback" not in done.output
