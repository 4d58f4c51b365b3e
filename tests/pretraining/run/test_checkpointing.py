"""A run may be killed at any moment, and nothing that was written is lost."""

import errno
import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from spacy_electra.pretraining.corpus.shards import write_shards
from spacy_electra.pretraining.pairs import checkpoints
from spacy_electra.pretraining.run import checkpointing
from spacy_electra.pretraining.run.checkpointing import PROGRESS
from spacy_electra.pretraining.run.trainer import Trainer
from spacy_electra.tokenization.vocabulary import train_vocabulary

# Runs of seconds learn nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:.*SW40")

# Trains until it kills itself: at a step, or in the middle of writing a checkpoint.
KILLED_RUN = """
import json, os, signal, sys
import torch
from spacy_electra.pretraining.run import checkpointing
from spacy_electra.pretraining.settings import PretrainingSettings
from spacy_electra.pretraining.run.trainer import Trainer

torch.set_num_threads(1)
settings, output, at_step, at_checkpoint = json.loads(sys.argv[1])

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def on_step(trainer):
    if trainer.step == at_step:
        die()

write = checkpointing.srsly.write_json
def write_json(path, content):
    if content["step"] == at_checkpoint:
        die()
    write(path, content)

checkpointing.srsly.write_json = write_json
trainer = Trainer(PretrainingSettings.from_dict(settings), output)
trainer.resume()
trainer.train(on_step=on_step)
"""
FORTY = {"max_steps": 40, "report_every": 20, "evaluate_every": 40, "save_every": 10}


def weights(trainer):
    return {n: p.detach().clone() for n, p in trainer.objective.named_parameters()}


def assert_equal_weights(one, two):
    for name, value in weights(one).items():
        assert torch.equal(value, weights(two)[name]), name


def kill_a_run(settings, output, at_step=0, at_checkpoint=0):
    arguments = json.dumps([asdict(settings), str(output), at_step, at_checkpoint])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED_RUN, arguments],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == -9, done.stderr


def test_killed_run_ends_with_the_weights_of_an_unbroken_one(settings_for, tmp_path):
    settings = settings_for(training={**FORTY, "average": 0.9})
    whole = Trainer(settings, tmp_path / "whole")
    whole.train()
    broken = tmp_path / "broken"
    kill_a_run(settings, broken, at_step=25)
    assert checkpoints(broken)[-1].name == "step-00000020"
    kill_a_run(settings, broken, at_checkpoint=30)
    assert checkpoints(broken)[-1].name == "step-00000020"
    resumed = Trainer(settings, broken)
    assert resumed.resume()
    assert resumed.step == 20
    resumed.train()
    assert_equal_weights(whole, resumed)
    for name in ("discriminator", "generator"):
        files = [
            run / "final" / name / "model.safetensors" for run in tmp_path.iterdir()
        ]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("name", ["mlm", "rtd-gdes"])
def test_every_objective_resumes_exactly(settings_for, tmp_path, name):
    sections = {
        "objective": {"name": name, "mlm_warmup": 0.5},
        "training": {"max_steps": 8, "accumulate": 2},
        "data": {"batch_tokens": 100},
    }
    whole = Trainer(settings_for(**sections), tmp_path / "whole")
    whole.train()
    shutil.copytree(tmp_path / "whole", tmp_path / "broken")
    shutil.rmtree(tmp_path / "broken" / "checkpoints" / "step-00000008")
    resumed = Trainer(settings_for(**sections), tmp_path / "broken")
    assert resumed.resume()
    assert resumed.step == 4
    resumed.train()
    assert_equal_weights(whole, resumed)


def test_checkpoints_of_the_first_version_resume(settings_for, tmp_path):
    settings = settings_for(training={"max_steps": 8})
    whole = Trainer(settings, tmp_path)
    whole.train()
    folder = checkpoints(tmp_path)[0]
    half = Trainer(settings, tmp_path)
    saved = checkpointing.read_progress(folder)
    half.reached = checkpointing.load_checkpoint(folder, half.state, saved)
    states = [optimizer.state_dict() for optimizer in half.optimizers]
    torch.save(states, folder / "optimizers.pt")
    (folder / "optimizers.safetensors").unlink()
    progress = json.loads((folder / PROGRESS).read_text())
    for new in ("best", "tokenizer_hash"):
        del progress[new]
    del progress["settings"]["training"]["accumulate"]
    (folder / PROGRESS).write_text(json.dumps(progress))
    shutil.rmtree(checkpoints(tmp_path)[-1])
    resumed = Trainer(settings, tmp_path)
    assert resumed.resume()
    resumed.train()
    assert_equal_weights(whole, resumed)


def test_last_ones_and_the_best_are_kept(settings_for, tmp_path):
    settings = settings_for(training={"keep": 1, "save_every": 2, "evaluate_every": 2})
    trainer = Trainer(settings, tmp_path)
    values = iter([0.5, 0.9, 0.6, 0.7, 0.8, 0.1])
    trainer.evaluate = lambda: {"auc_frequency": next(values)}
    trainer.train()
    names = [folder.name for folder in checkpoints(tmp_path)]
    assert names == ["step-00000004", "step-00000012"]
    best = json.loads((checkpoints(tmp_path)[-1] / PROGRESS).read_text())["best"]
    assert best == {"step": 4, "value": 0.9}


def test_best_of_a_loss_is_the_lowest(settings_for, tmp_path):
    settings = settings_for(
        objective={"name": "mlm"},
        training={"keep": 1, "save_every": 4, "evaluate_every": 4},
    )
    trainer = Trainer(settings, tmp_path)
    values = iter([3.0, 2.0, 2.5])
    trainer.evaluate = lambda: {"mlm_loss": next(values)}
    trainer.train()
    names = [folder.name for folder in checkpoints(tmp_path)]
    assert names == ["step-00000008", "step-00000012"]


def test_run_does_not_begin_where_its_checkpoints_have_no_room(
    settings_for, tmp_path, monkeypatch
):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(checkpointing.shutil, "disk_usage", lambda path: usage)
    trainer = Trainer(settings_for(), tmp_path)
    with pytest.raises(OSError, match="MB needed") as error:
        trainer.train()
    assert error.value.errno == errno.ENOSPC
    assert trainer.step == 0


def test_disk_that_fills_up_while_writing_loses_nothing(
    settings_for, tmp_path, monkeypatch
):
    trainer = Trainer(settings_for(), tmp_path)
    write = Path.write_bytes

    def write_bytes(path, data):
        if "step-00000008" in str(path) and "optimizers" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(OSError, match=r"disk of .* is full"):
        trainer.train()
    folders = [folder.name for folder in (tmp_path / "checkpoints").iterdir()]
    assert folders == ["step-00000004"]
    monkeypatch.undo()
    resumed = Trainer(settings_for(), tmp_path)
    assert resumed.resume()
    assert resumed.step == 4


def test_folder_of_a_run_is_not_begun_again(settings_for, tmp_path):
    settings = settings_for(training={"max_steps": 4})
    Trainer(settings, tmp_path).train()
    with pytest.raises(FileExistsError, match="--resume"):
        Trainer(settings, tmp_path).train()


def test_two_runs_do_not_share_a_folder(settings_for, tmp_path):
    with (
        FileLock(tmp_path / "run.lock"),
        pytest.raises(RuntimeError, match="Another run works"),
    ):
        Trainer(settings_for(), tmp_path).train()


def test_checkpoint_of_other_sizes_is_named(settings_for, tmp_path):
    Trainer(settings_for(training={"max_steps": 4}), tmp_path).train()
    other = Trainer(settings_for(model={"generator_fraction": 0.25}), tmp_path)
    with pytest.raises(ValueError, match=r"model\.generator_fraction=0\.5"):
        other.resume()


def test_checkpoint_of_another_vocabulary_is_named(settings_for, tmp_path, grammar):
    Trainer(settings_for(training={"max_steps": 4}), tmp_path / "run").train()
    documents = [text.replace("dog", "ox") for text in grammar(120)]
    tokenizer = train_vocabulary(documents, vocab_size=70)
    write_shards(documents, tokenizer, tmp_path / "shards", held_out_every=10)
    settings = settings_for(data={"shards": str(tmp_path / "shards")})
    with pytest.raises(ValueError, match="another vocabulary"):
        Trainer(settings, tmp_path / "run").resume()
