"""Several processes do what one does, and one that dies takes nothing with it."""

import csv
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from thinc.api import Config

from spacy_electra.pretraining.pairs import checkpoint_of, checkpoints
from spacy_electra.pretraining.run.distributed import (
    Sharded,
    Workers,
    fresh_store,
    own_device,
)
from spacy_electra.pretraining.run.trainer import Trainer

# Runs of seconds learn nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:.*SW40")
distributed = pytest.mark.skipif(
    not torch.distributed.is_available(),
    reason="needs a torch with torch.distributed, which this one lacks",
)
# From torch 2.6 on.
DIVIDES = False
if torch.distributed.is_available():
    import torch.distributed.fsdp

    DIVIDES = hasattr(torch.distributed.fsdp, "fully_shard")

# The command `pretrain --resume`, of which a worker dies at step 6 of the first try;
# then, in the same processes, a run with divided weights that stops after step 6 and is
# taken up again.
WORKER = """
import json, os, signal, sys
import torch
from spacy_electra.cli.app import app
from spacy_electra.pretraining.run.trainer import Trainer
from spacy_electra.pretraining.run.distributed import (
    own_device,
    workers_from_environment,
)
from spacy_electra.pretraining.settings import PretrainingSettings

torch.set_num_threads(1)
config, divided = sys.argv[1:]
first_try = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
take_step = Trainer.take_step

def take_step_or_die(trainer):
    if trainer.step == 6 and trainer.workers.rank == 1 and first_try:
        os.kill(os.getpid(), signal.SIGKILL)
    return take_step(trainer)

def stop_after_six(trainer):
    if trainer.step == 6:
        raise KeyboardInterrupt

Trainer.take_step = take_step_or_die
arguments = ["pretrain", config, "ddp", "--resume", "--device", "cpu"]
app(arguments, standalone_mode=False)

if not divided:
    sys.exit()
device = own_device("cpu")
with workers_from_environment(device) as workers:
    settings = PretrainingSettings.from_dict(json.loads(divided))
    broken = Trainer(settings, "fsdp", device, workers)
    try:
        broken.train(on_step=stop_after_six)
    except KeyboardInterrupt:
        assert broken.step == 6
    resumed = Trainer(settings, "fsdp", device, workers)
    assert resumed.resume()
    assert resumed.step == 4
    resumed.train()
"""
SECTIONS = {
    "training": {"max_steps": 8, "accumulate": 2, "trackers": [], "average": 0.9},
    "objective": {"mlm_warmup": 0.5},
    "optimizer": {"name": "adamw_reference"},
}


def launch(folder, config, divided):
    """Run worker.py as two processes; what they and their launcher said."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += ["--nproc_per_node", "2", "--max_restarts", "1"]
    (folder / "worker.py").write_text(WORKER)
    done = subprocess.run(
        [*launcher, "worker.py", str(config), divided],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=540,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return done.stdout + done.stderr


def rows_of(run):
    with (run / "log.csv").open() as lines:
        return list(csv.DictReader(lines))


def assert_equal_runs(one, two):
    assert [row["step"] for row in rows_of(two)] == ["4", "8"]
    for row, other in zip(rows_of(one), rows_of(two), strict=True):
        assert row["tokens"] == other["tokens"]
        for figure in ("train_mlm", "train_rtd", "mlm_loss", "auc_frequency"):
            assert float(row[figure]) == pytest.approx(float(other[figure]), abs=2e-4)
    assert_equal_files(one / "final", two / "final")


def assert_equal_files(one, two):
    files = [file.relative_to(one) for file in one.rglob("*.safetensors")]
    assert files
    for file in files:
        value, other = load_file(one / file), load_file(two / file)
        assert value.keys() == other.keys()
        for name in value:
            torch.testing.assert_close(
                other[name], value[name], atol=1e-4, rtol=1e-3, msg=f"{file} {name}"
            )


@distributed
def test_two_processes_equal_one(settings_for, tmp_path):
    """One launch for all of it, since starting processes is most of the time."""
    one = tmp_path / "one"
    Trainer(settings_for(**SECTIONS), one).train()
    divided = {**SECTIONS, "training": {**SECTIONS["training"], "parallel": "fsdp"}}
    settings = json.dumps(asdict(settings_for(**divided))) if DIVIDES else ""
    said = launch(tmp_path, one / "config.cfg", settings)
    assert "exitcode: -9" in said
    assert "Going on from step 4" in said
    assert_equal_runs(one, tmp_path / "ddp")
    if DIVIDES:
        assert_equal_runs(one, tmp_path / "fsdp")
        for whole in checkpoints(one):
            # Optimizers and averages are in it as one process would have written them.
            assert_equal_files(whole, tmp_path / "fsdp" / "checkpoints" / whole.name)
        assert_goes_on_alone(settings_for(**SECTIONS), tmp_path / "fsdp", one)


def assert_goes_on_alone(settings, divided, one):
    shutil.rmtree(checkpoint_of(divided, 8))
    alone = Trainer(settings, divided)
    assert alone.resume()
    assert alone.step == 4
    alone.train()
    assert_equal_files(one / "final", divided / "final")


@distributed
def test_processes_meet_in_a_store_that_dead_ones_have_written_to():
    store = torch.distributed.HashStore()
    store.set_timeout(timedelta(seconds=20))
    names = []
    for _ in range(2):
        found = {}

        def meet(rank, found=found):
            found[rank] = fresh_store(store, rank, 3, patience=20.0)

        threads = [threading.Thread(target=meet, args=(rank,)) for rank in (1, 0, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found[0].set("address", "first")
        assert found[1].get("address") == found[2].get("address") == b"first"
        assert not any(other.check(["address"]) for other in names)
        found[0].delete_key("address")
        names.append(found[0])


@distributed
def test_process_that_does_not_come_is_named():
    with pytest.raises(TimeoutError, match=r"\[1\]"):
        fresh_store(torch.distributed.HashStore(), 0, 2, patience=0.0)


@distributed
def test_torch_that_cannot_divide_weights_is_named(settings_for, tmp_path, monkeypatch):
    monkeypatch.delattr("torch.distributed.fsdp.fully_shard", raising=False)
    objective = Trainer(settings_for(), tmp_path).objective
    with pytest.raises(ImportError, match=r"torch 2\.6 or later"):
        Sharded(objective, 2)


def test_muon_is_refused_where_weights_are_divided(settings_for):
    with pytest.raises(ValueError, match="Muon needs whole matrices"):
        settings_for(training={"parallel": "fsdp"}, optimizer={"name": "muon"})


def test_batches_of_a_step_are_a_multiple_of_the_processes(settings_for, tmp_path):
    settings = settings_for(training={"accumulate": 3})
    alone = Trainer(settings, tmp_path)
    assert alone.batches_per_step == 3
    assert Workers(rank=1, size=2).first is False
    assert Workers().first is True


def test_process_takes_the_device_with_its_number(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert own_device("cuda") == torch.device("cuda", 3)
    assert own_device("cuda:1") == torch.device("cuda", 1)
    assert own_device("cpu") == torch.device("cpu")


def test_config_of_a_run_is_written_filled(settings_for, tmp_path):
    Trainer(settings_for(training={"max_steps": 1}), tmp_path).train()
    config = Config().from_disk(tmp_path / "config.cfg")
    assert config["training"]["keep"] == 2
    assert json.loads(json.dumps(config["model"]["discriminator"]))["hidden_size"] == 64
