"""Runs: what they keep is sound, what they resume the same, what they say true."""

import json
import os
import shutil
import signal
import warnings
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file
from thinc.api import Config
from typer.testing import CliRunner

from spacy_electra.cli.app import app
from spacy_electra.pretraining.corpus.shards import write_shards
from spacy_electra.pretraining.pairs import checkpoints
from spacy_electra.pretraining.run.stop_request import RunStopped, StopRequest
from spacy_electra.pretraining.run.trainer import Trainer

# Runs of seconds learn nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:.*SW40")
FOUR, EIGHT = "step-00000004", "step-00000008"


@pytest.fixture(scope="module")
def whole(settings_for_module, tmp_path_factory):
    """A run of eight steps with checkpoints at four and eight."""
    output = tmp_path_factory.mktemp("whole")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Trainer(settings_for_module(training={"max_steps": 8}), output).train()
    return output


@pytest.fixture
def half(whole, tmp_path):
    """The same, where it has its checkpoint at four."""
    shutil.copytree(whole, tmp_path / "half")
    shutil.rmtree(tmp_path / "half" / "checkpoints" / EIGHT)
    shutil.rmtree(tmp_path / "half" / "final")
    return tmp_path / "half"


@pytest.fixture
def both(whole, tmp_path):
    """The same with both checkpoints, as when it was killed before its result."""
    shutil.copytree(whole, tmp_path / "both")
    shutil.rmtree(tmp_path / "both" / "final")
    return tmp_path / "both"


def assert_equal_results(one, two):
    files = sorted((one / "final").rglob("*.safetensors"))
    assert len(files) == 2
    for file in files:
        other = two / "final" / file.relative_to(one / "final")
        assert file.read_bytes() == other.read_bytes()


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


# Held-out text that is too short to measure anything.


def test_figures_that_can_not_be_measured_stay_empty_and_are_never_best(
    settings_for, shards, tmp_path, grammar
):
    texts = [*grammar(30)]
    texts[1::2] = ["she"] * 15
    write_shards(texts, shards.tokenizer, tmp_path / "shards", held_out_every=2)
    settings = settings_for(
        data={"shards": str(tmp_path / "shards"), "batch_size": 4},
        training={"max_steps": 8, "best_by": "auc_unigram", "evaluate_sequences": 1},
    )
    trainer = Trainer(settings, tmp_path / "run")
    rows = []
    with pytest.warns(UserWarning, match=r"SW443.*auc_unigram"):
        trainer.train(report=rows.append)
    assert "auc_unigram" not in rows[-1]
    assert rows[-1]["mlm_loss"] > 0
    assert trainer.reached.best == {}
    assert "nan" not in (tmp_path / "run" / "log.csv").read_text()
    done = invoke("curves", tmp_path / "run", tmp_path / "curves.svg")
    assert done.exit_code == 0, done.output


def test_evaluate_says_what_a_text_is_too_short_for(whole, tmp_path):
    (tmp_path / "a.txt").write_text("she")
    done = invoke(
        "evaluate", whole, tmp_path / "a.txt", "--output", tmp_path / "o.json"
    )
    assert done.exit_code == 0, done.output
    assert "not measured" in done.output
    figures = json.loads((tmp_path / "o.json").read_text())
    assert figures["auc_unigram"] is None
    assert figures["mlm_loss"] > 0


def test_column_that_no_log_has_can_not_tell_the_best(settings_for, tmp_path):
    trainer = Trainer(settings_for(training={"best_by": "auc"}), tmp_path)
    with pytest.raises(ValueError, match=r"SE002.*best_by.*auc_unigram"):
        trainer.train()


# Weights that a step ruins.


def ruin_after(step, value, monkeypatch):
    """Let the update of a step leave something in a weight that ends the run."""
    take_step = Trainer.take_step

    def take_step_and_ruin(trainer):
        result = take_step(trainer)
        if trainer.step == step - 1:
            with torch.no_grad():
                weight = trainer.objective.discriminator.head.score.weight
                weight.fill_(value)
        return result

    monkeypatch.setattr(Trainer, "take_step", take_step_and_ruin)


# The largest float32 is a finite weight, and ruins every score.
@pytest.mark.parametrize("value", [float("nan"), 3e38])
def test_last_step_that_ruins_the_weights_keeps_the_checkpoint_before_it(
    settings_for, tmp_path, monkeypatch, value
):
    settings = settings_for(training={"max_steps": 8})
    ruin_after(8, value, monkeypatch)
    with pytest.raises(FloatingPointError, match=rf"SE445\] Step 8 .*{FOUR}.*resume"):
        Trainer(settings, tmp_path).train()
    assert [folder.name for folder in checkpoints(tmp_path)] == [FOUR]
    assert not (tmp_path / "final").exists()
    monkeypatch.undo()
    resumed = Trainer(settings, tmp_path)
    assert resumed.resume()
    assert resumed.step == 4


def test_advice_of_an_error_is_true(settings_for, tmp_path, monkeypatch):
    ruin_after(2, float("nan"), monkeypatch)
    with pytest.raises(FloatingPointError, match=r"SE413.*no checkpoint yet"):
        Trainer(settings_for(), tmp_path / "early").train()
    monkeypatch.undo()
    ruin_after(5, float("nan"), monkeypatch)
    with pytest.raises(FloatingPointError, match=rf"SE413.*{FOUR}.*--resume"):
        Trainer(settings_for(), tmp_path / "late").train()


# Resuming.


def test_average_that_is_switched_on_begins_with_the_weights_of_the_checkpoint(
    settings_for, half
):
    settings = settings_for(training={"max_steps": 8, "average": 0.999})
    resumed = Trainer(settings, half)
    assert resumed.resume()
    loaded = dict(resumed.objective.named_parameters())
    for name, average in resumed.average.tensors().items():
        if name != "steps":
            assert torch.equal(average, loaded[name])
    assert resumed.changes.others == ["training.average: 0.0 -> 0.999"]
    assert resumed.changes.trained == []


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("training", "seed", 1),
        ("training", "accumulate", 2),
        ("data", "length", 24),
        ("data", "batch_size", 4),
        ("data", "short_share", 0.5),
        ("objective", "mask_share", 0.3),
        ("sampler", "end", 0.5),
    ],
)
def test_settings_that_change_what_is_trained_are_named(
    settings_for, half, section, name, value
):
    sections = {"training": {"max_steps": 8}}
    sections[section] = {**sections.get(section, {}), name: value}
    changed = Trainer(settings_for(**sections), half)
    told = "batches a step" if name == "accumulate" else f"{section}.{name}"
    with pytest.raises(ValueError, match=rf"SE446.*{told}.*-> {value}.*--force"):
        changed.resume()
    assert changed.resume(force=True)
    assert changed.step == 4
    assert len(changed.changes.trained) == 1


def test_another_corpus_is_named_and_a_moved_one_is_not(
    settings_for, half, shards, tmp_path, grammar
):
    shutil.copytree(shards.path, tmp_path / "moved")
    moved = {"data": {"shards": str(tmp_path / "moved")}}
    trainer = Trainer(settings_for(**moved, training={"max_steps": 8}), half)
    assert trainer.resume()
    assert trainer.changes.others == []
    write_shards(grammar(120, seed=7), shards.tokenizer, tmp_path / "moved")
    trainer = Trainer(settings_for(**moved, training={"max_steps": 8}), half)
    with pytest.raises(ValueError, match=r"SE446.*the corpus"):
        trainer.resume()


def test_budgets_and_rates_may_change_and_are_said(settings_for, half):
    sections = {"training": {"max_steps": 6}, "optimizer": {"learn_rate": 1e-4}}
    trainer = Trainer(settings_for(**sections), half)
    assert trainer.resume()
    assert trainer.changes.others == [
        "optimizer.learn_rate: 0.002 -> 0.0001",
        "training.max_steps: 8 -> 6",
    ]


def test_head_that_only_one_of_two_settings_has_is_refused(settings_for, half):
    settings = settings_for(objective={"mlm_warmup": 0.5}, training={"max_steps": 8})
    with pytest.raises(ValueError, match=r"SE422.*objective\.mlm_warmup"):
        Trainer(settings, half).resume(force=True)


def cut_optimizers(folder):
    file = folder / "optimizers.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def lose_generator(folder):
    shutil.rmtree(folder / "generator")


def cut_progress(folder):
    (folder / "progress.json").write_text('{"step": 8, "tok')


def not_finite(folder):
    file = folder / "discriminator" / "model.safetensors"
    tensors = load_file(file)
    next(iter(tensors.values())).view(-1)[0] = float("inf")
    save_file(tensors, file, metadata={"format": "pt"})


def lose_a_head(folder):
    file = folder / "discriminator" / "model.safetensors"
    tensors = load_file(file)
    kept = {name: t for name, t in tensors.items() if "dense_prediction" not in name}
    assert len(kept) < len(tensors)
    save_file(kept, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    "damage", [cut_optimizers, lose_generator, cut_progress, not_finite, lose_a_head]
)
def test_checkpoint_that_is_broken_gives_way_to_the_one_before(
    settings_for, whole, both, damage
):
    damage(both / "checkpoints" / EIGHT)
    resumed = Trainer(settings_for(training={"max_steps": 8}), both)
    with pytest.warns(UserWarning, match=rf"SW442.*{EIGHT}.*resumes from {FOUR}"):
        assert resumed.resume()
    resumed.train()
    assert_equal_results(whole, both)
    assert [folder.name for folder in checkpoints(both)] == [FOUR, EIGHT]
    assert (both / "checkpoints" / f"{EIGHT}.broken").exists()


def test_run_without_a_checkpoint_that_can_be_read_says_so(settings_for, both):
    for folder in checkpoints(both):
        cut_progress(folder)
    with pytest.raises(ValueError, match=rf"SE447.*{EIGHT}.*{FOUR}"):
        Trainer(settings_for(training={"max_steps": 8}), both).resume()


def test_result_without_checkpoints_is_not_written_over(settings_for, both, whole):
    shutil.rmtree(both / "checkpoints")
    shutil.copytree(whole / "final", both / "final")
    trainer = Trainer(settings_for(training={"max_steps": 8}), both)
    assert not trainer.resume()
    with pytest.raises(FileExistsError, match="SE451"):
        trainer.train()


# Stopping.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_that_is_asked_to_stop_saves_first_and_ends_as_if_unbroken(
    settings_for, whole, tmp_path, number
):
    settings = settings_for(training={"max_steps": 8})
    usual = signal.getsignal(number)

    def ask(trainer):
        if trainer.step == 5:
            os.kill(os.getpid(), number)

    with pytest.raises(RunStopped, match="SE452") as stopped:
        Trainer(settings, tmp_path).train(on_step=ask)
    assert stopped.value.number == number
    assert signal.getsignal(number) is usual
    # The signal came after step 5, and the step that was under way was finished.
    assert checkpoints(tmp_path)[-1].name == "step-00000006"
    resumed = Trainer(settings, tmp_path)
    assert resumed.resume()
    resumed.train()
    assert_equal_results(whole, tmp_path)


def test_second_signal_acts_as_usual():
    caught = []
    usual = signal.signal(signal.SIGTERM, lambda *_: caught.append("usual"))
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert (stop.number, caught) == (signal.SIGTERM, [])
            os.kill(os.getpid(), signal.SIGTERM)
            assert caught == ["usual"]
    finally:
        signal.signal(signal.SIGTERM, usual)


def test_command_that_is_stopped_says_how_to_go_on(
    settings_for, whole, tmp_path, monkeypatch
):
    Config(asdict(settings_for(training={"max_steps": 8}))).to_disk(tmp_path / "a.cfg")
    take_step = Trainer.take_step

    def take_step_and_ask(trainer):
        if trainer.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return take_step(trainer)

    monkeypatch.setattr(Trainer, "take_step", take_step_and_ask)
    command = ["pretrain", tmp_path / "a.cfg", tmp_path / "run", "--device", "cpu"]
    done = invoke(*command, "--training.keep", "3")
    assert done.exit_code == 128 + signal.SIGINT
    said = " ".join(done.output.split())
    assert "after step 3" in said
    assert "--resume --gpu-id cpu --training.keep 3" in said
    monkeypatch.undo()
    done = invoke(*command, "--resume")
    assert done.exit_code == 0, done.output
    assert "training.keep: 3 -> 2" in " ".join(done.output.split())
    assert_equal_results(whole, tmp_path / "run")


def test_what_a_killed_run_left_goes_and_what_it_was_about_to_replace_comes_back(
    settings_for, half, whole
):
    (half / "checkpoints" / f"{EIGHT}.part").mkdir()
    (half / "log.12.part.csv").write_text("step")
    shutil.copytree(whole / "final", half / "final.old.part")
    (half / "final.part").mkdir()
    trainer = Trainer(settings_for(training={"max_steps": 8}), half)
    assert trainer.resume()
    trainer.train(on_step=lambda _: (half / "final").is_dir() or pytest.fail("gone"))
    assert not list(half.rglob("*.part*"))
    assert_equal_results(whole, half)


# Commands.


@pytest.mark.parametrize(
    ("option", "value", "parts"),
    [
        ("--seed", "3", ["SE449", "--seed", "training"]),
        ("--training.max_steps", "many", ["SE003", "training.max_steps", "whole"]),
        ("--training.max_steps", "-1", ["SE003", "training.max_steps", "at least 0"]),
        ("--training.average", "1.5", ["SE003", "training.average", "at most 1"]),
        ("--training.seed", str(2**40), ["SE003", "training.seed"]),
        ("--optimizer.learn_rate", "fast", ["SE003", "learn_rate", "a number"]),
        ("--training.compile", "3", ["SE003", "training.compile", "true or false"]),
        ("--training.trackers", "auto", ["SE003", "trackers", "a list of strings"]),
        ("--training.precision", "fp8", ["SE002", "training.precision", "bf16"]),
        ("--data.length", "1", ["SE003", "data.length", "at least 3"]),
        ("--device", "tpu:x", ["SE450", "tpu:x", "cpu"]),
        ("--device", "cuda:99", ["SE450", "cuda:99", "cpu"]),
    ],
)
def test_options_that_mean_nothing_are_one_clear_error(
    whole, tmp_path, option, value, parts
):
    done = invoke("pretrain", whole / "config.cfg", tmp_path / "out", option, value)
    assert done.exit_code == 1, done.output
    assert "Traceback" not in done.output
    assert done.output.count("[SE") == 1
    for part in parts:
        assert part in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "command",
    [
        "pretrain RUN/config.cfg OUT --device cpu",
        "export RUN OUT",
        "evaluate RUN a.txt --output OUT --device cpu",
        "probe RUN a.conllu a.conllu --output OUT --device cpu --epochs 1",
        "curves RUN OUT.svg",
        "demo --output OUT.html",
    ],
    ids=lambda command: command.split()[0],
)
@pytest.mark.parametrize("place", ["x" * 300, "a.txt/below", "/sys/out"])
def test_places_that_can_not_be_written_to_are_named(
    whole, tmp_path, monkeypatch, command, place
):
    (tmp_path / "a.txt").write_text("the cat sees the dog in the house .\n" * 30)
    row = "1\tcat\tcat\tNOUN\t_\t_\t0\troot\t_\t_\n"
    (tmp_path / "a.conllu").write_text(f"{row}\n" * 4)
    monkeypatch.chdir(tmp_path)
    words = command.replace("RUN", str(whole)).replace("OUT", place).split()
    done = invoke(*words)
    assert done.exit_code == 1, done.output
    assert "Traceback" not in done.output
    assert done.output.count("[SE444]") == 1


def test_export_is_whole_or_as_it_was(whole, tmp_path, monkeypatch):
    done = invoke("export", whole, tmp_path / "source", "--dtype", "fp32")
    assert done.exit_code == 0, done.output
    (tmp_path / "source" / "README.md").write_text("mine")
    before = {f.name: f.read_bytes() for f in (tmp_path / "source").glob("*.*")}
    tokenizer = "spacy_electra.tokenization.wordpiece.ElectraTokenizer.save_pretrained"

    def fail(*arguments):
        raise OSError(28, "No space left on device", "vocab.txt")

    monkeypatch.setattr(tokenizer, fail)
    done = invoke("export", whole, tmp_path / "source", "--dtype", "bf16")
    assert done.exit_code == 1
    assert "SE444" in done.output
    assert {f.name: f.read_bytes() for f in (tmp_path / "source").glob("*.*")} == before
    monkeypatch.undo()
    # A source without a generator takes the place of one that had it.
    alone = whole / "final" / "discriminator"
    done = invoke("export", alone, tmp_path / "source", "--dtype", "bf16")
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "source" / "generator").exists()
    assert (tmp_path / "source" / "README.md").read_text() == "mine"


CONFIG = '[data]\nshards = "s"\n[training]\nmax_steps = 2\n'
HEADS = '[model]\ndiscriminator = {"heads": 3}\n'
WORD = "\ta\ta\tNOUN\t_\t_\t0\troot\t_\t_\n\n"


@pytest.mark.parametrize(
    ("name", "content", "command", "code"),
    [
        ("a.cfg", bytes(range(256)), "pretrain a.cfg out", "SE453"),
        ("a.cfg", b"hello there\n", "pretrain a.cfg out", "SE453"),
        ("a.cfg", CONFIG.replace('"s"', "${paths.s}"), "pretrain a.cfg out", "SE453"),
        ("a.cfg", CONFIG + CONFIG, "pretrain a.cfg out", "SE453"),
        ("a.cfg", CONFIG, "pretrain a.cfg out --nowhere.name 3", "SE453"),
        ("a.cfg", CONFIG, "pretrain a.cfg out stray", "SE449"),
        ("a.cfg", CONFIG + HEADS, "pretrain a.cfg out", "SE002"),
        ("a.conllu", bytes(range(256)), "probe en_tiny a.conllu a.conllu", "SE402"),
        ("a.conllu", "1-x" + WORD, "probe en_tiny a.conllu a.conllu", "SE454"),
        ("a.conllu", "1-3" + WORD, "probe en_tiny a.conllu a.conllu", "SE454"),
        ("log.csv", b"\xff\xfe", "curves log.csv a.svg", "SE455"),
        ("log.csv", b"a,b\n1,2\n", "curves log.csv a.svg", "SE455"),
        ("log.csv", b"step,tokens\n1,x\n", "curves log.csv a.xyz", "SE002"),
        ("log.csv", b"step,tokens,mlm_loss\n1,2,x\n", "curves log.csv a.svg", "SE455"),
        ("a.txt", b"the cat", "evaluate en_tiny a.txt --length 2", "SE003"),
        ("a.txt", b"the cat", "evaluate en_tiny a.txt --mask-share 2", "SE003"),
        ("a.txt", b"the cat", "evaluate en_tiny a.txt --seed -1", "SE003"),
    ],
)
def test_inputs_that_are_something_else_are_one_clear_error(
    tmp_path, monkeypatch, name, content, command, code
):
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    done = invoke(*command.split())
    assert done.exit_code == 1, done.output
    assert "Traceback" not in done.output
    assert done.output.count(f"[{code}]") == 1
    assert not (tmp_path / "out").exists()


def test_title_of_a_picture_may_have_dollars(whole, tmp_path):
    done = invoke("curves", whole, tmp_path / "a.svg", "--title", "$5 {a run")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "a.svg").read_bytes().rstrip().endswith(b"</svg>")
