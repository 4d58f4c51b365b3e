"""What one sees of a run: figures, warnings, and the same names everywhere."""

import csv
import json
import warnings

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from spacy_electra.cli.app import app
from spacy_electra.pretraining.run import log
from spacy_electra.pretraining.run.averaging import WeightAverage
from spacy_electra.pretraining.run.health import Watcher
from spacy_electra.pretraining.run.log import is_better, open_trackers
from spacy_electra.pretraining.run.trainer import Trainer

# Runs of seconds learn nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:.*SW40")
ROW = {
    "step": 10,
    "progress": 0.5,
    "auc_unigram": 0.8,
    "auc_generator": 0.7,
    "mlm_accuracy": 0.4,
}


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


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (ROW, None),
        ({**ROW, "auc_unigram": 0.5}, "SW402"),
        ({**ROW, "auc_generator": 0.51}, "SW403"),
        ({**ROW, "auc_unigram": 0.5, "progress": 0.3}, None),
        ({"step": 10, "progress": 0.5}, None),
        ({**ROW, "step": 100}, "SW404"),
    ],
)
def test_warnings_that_help(settings_for, row, code):
    settings = settings_for(objective={"mlm_warmup": 0.3}, training={"most_repeats": 4})
    watcher = Watcher(settings, steps_per_epoch=10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watcher.look_at(row)
        watcher.look_at(row)
    assert [str(w.message)[1:6] for w in caught] == ([code] if code else [])


def test_planned_repeats_are_told_before_the_first_step(settings_for):
    settings = settings_for(training={"max_steps": 50, "most_repeats": 4})
    with pytest.warns(UserWarning, match=r"5\.0 times"):
        Watcher(settings, steps_per_epoch=10).begin()


def test_lower_losses_and_higher_figures_are_better():
    assert is_better("mlm_loss", 1.0, than=2.0)
    assert is_better("auc_frequency", 0.9, than=0.8)
    assert not is_better("mlm_accuracy", 0.1, than=0.8)


def test_trackers_that_are_installed_get_every_row(settings_for, tmp_path, monkeypatch):
    rows = []

    class Fake:
        def __init__(self, output):
            assert output == tmp_path

        def log(self, row):
            rows.append(row)

        def close(self):
            rows.append("closed")

    monkeypatch.setattr(log, "find_spec", lambda name: name == "tensorboard")
    monkeypatch.setattr(log, "TensorBoard", Fake)
    Trainer(settings_for(training={"max_steps": 8}), tmp_path).train()
    assert [row["step"] for row in rows[:-1]] == [4, 8]
    assert "mlm_loss" in rows[0]
    assert rows[-1] == "closed"


def test_tensorboard_shows_the_log(settings_for, tmp_path):
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    rows = []
    Trainer(settings_for(training={"max_steps": 8}), tmp_path).train(rows.append)
    events = reader.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for name in ("train_mlm", "mlm_loss", "auc_frequency"):
        scalars = events.Scalars(name)
        assert [scalar.step for scalar in scalars] == [4, 8]
        values = [scalar.value for scalar in scalars]
        assert values == pytest.approx([row[name] for row in rows], rel=1e-5)


def test_weights_and_biases_has_one_run_however_often_it_is_resumed(
    settings_for, tmp_path, monkeypatch
):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    logged = []
    write = wandb.Run.log

    def spy(run, figures, step):
        logged.append((run.id, step, set(figures)))
        return write(run, figures, step=step)

    monkeypatch.setattr(wandb.Run, "log", spy)
    for steps in (4, 8):
        training = {"max_steps": steps, "trackers": ["wandb"]}
        trainer = Trainer(settings_for(training=training), tmp_path)
        trainer.resume()
        trainer.train()
    assert [step for _, step, _ in logged] == [4, 8]
    assert len({name for name, _, _ in logged}) == 1
    assert all({"train_mlm", "mlm_loss", "auc_frequency"} <= f for _, _, f in logged)


def test_tracker_that_is_missing_is_named(settings_for, tmp_path, monkeypatch):
    monkeypatch.setattr(log, "find_spec", lambda name: None)
    assert open_trackers(["auto"], tmp_path, settings_for()) == []
    with pytest.raises(ImportError, match="wandb"):
        open_trackers(["wandb"], tmp_path, settings_for())


def test_run_without_held_out_text_trains_all_the_same(
    settings_for, tmp_path, grammar, shards
):
    from spacy_electra.pretraining.corpus.shards import write_shards

    write_shards(grammar(50), shards.tokenizer, tmp_path / "shards")
    settings = settings_for(
        data={"shards": str(tmp_path / "shards")}, training={"max_steps": 4}
    )
    rows = []
    Trainer(settings, tmp_path / "run").train(report=rows.append)
    assert "mlm_loss" not in rows[-1]


def test_average_follows_the_weights():
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(0.0)
    average = WeightAverage(module, decay=0.5)
    for _ in range(40):
        with torch.no_grad():
            module.weight += 1.0
        average.update()
    with average.applied():
        assert module.weight.item() == pytest.approx(39.0, abs=0.1)
    assert module.weight.item() == 40.0
    other = WeightAverage(module, decay=0.5)
    other.load(average.tensors())
    with other.applied():
        assert module.weight.item() == pytest.approx(39.0, abs=0.1)
