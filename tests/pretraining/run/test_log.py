import pytest

from spacy_electra.pretraining.run import log
from spacy_electra.pretraining.run.log import is_better, open_trackers
from spacy_electra.pretraining.run.trainer import Trainer

# Runs of seconds learn nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:.*SW40")


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
