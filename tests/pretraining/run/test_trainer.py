"""Runs of seconds: they learn, they resume exactly, they say what is wrong."""

import csv
import shutil

import pytest
import torch

from spacy_electra.models import ElectraForMaskedLM, ElectraForPreTraining
from spacy_electra.pretraining.pairs import checkpoints
from spacy_electra.pretraining.run.trainer import Trainer
from spacy_electra.pretraining.settings import PretrainingSettings
from spacy_electra.tokenization import ElectraTokenizer

# Runs of seconds learn nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:.*SW40")
SMALLEST = {
    "num_hidden_layers": 1,
    "hidden_size": 32,
    "embedding_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def weights(trainer):
    return {n: p.detach().clone() for n, p in trainer.objective.named_parameters()}


@pytest.mark.parametrize("name", ["adamw", "adamw_reference", "muon"])
def test_resumed_run_equals_an_unbroken_one(settings_for, tmp_path, name):
    sections = {
        "optimizer": {"name": name, "warmup_steps": 2},
        "objective": {"mlm_warmup": 0.5, "correction_weight": 1.0},
    }
    whole = Trainer(settings_for(**sections), tmp_path / "whole")
    whole.train()

    class Killed(Exception):
        pass

    def kill(row):
        if row["step"] == 8:
            raise Killed

    broken = Trainer(settings_for(**sections), tmp_path / "broken")
    with pytest.raises(Killed):
        broken.train(report=kill)
    # The checkpoint of step 4, inside the warm-up, is the last one.
    resumed = Trainer(settings_for(**sections), tmp_path / "broken")
    assert resumed.resume()
    assert resumed.step == 4
    resumed.train()
    for parameter, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[parameter]), parameter
    with (tmp_path / "broken" / "log.csv").open() as lines:
        assert [int(row["step"]) for row in csv.DictReader(lines)] == [4, 8, 12]


def test_it_learns(settings_for, tmp_path):
    settings = settings_for(
        dropout=0.0,
        model={"init": "local", "words": "cooccurrence"},
        objective={"mlm_warmup": 0.4},
        optimizer={"name": "muon", "warmup_steps": 5},
        sampler={"weak": "unigram", "start": 0.0, "end": 0.0},
        training={
            "max_steps": 400,
            "evaluate_every": 400,
            "save_every": 400,
            "report_every": 400,
        },
    )
    # Seeds end between 0.90 and 0.92, accuracies between 0.62 and 0.71.
    rows = []
    Trainer(settings, tmp_path).train(report=rows.append)
    assert rows[-1]["mlm_accuracy"] > 0.5
    assert rows[-1]["auc_unigram"] > 0.8
    assert rows[-1]["base_rate_generator"] < 0.2


def test_result_opens_everywhere(settings_for, tmp_path, shards):
    final = Trainer(settings_for(), tmp_path).train()
    ElectraForPreTraining.from_pretrained(final / "discriminator")
    ElectraForMaskedLM.from_pretrained(final / "generator")
    tokenizer = ElectraTokenizer.from_pretrained(final / "discriminator")
    assert tokenizer.vocab == shards.tokenizer.vocab


def test_old_checkpoints_go(settings_for, tmp_path):
    Trainer(settings_for(training={"keep": 1, "keep_best": False}), tmp_path).train()
    assert [folder.name for folder in checkpoints(tmp_path)] == ["step-00000012"]


def test_half_written_checkpoint_does_not_count(settings_for, tmp_path):
    trainer = Trainer(settings_for(training={"max_steps": 4}), tmp_path)
    trainer.train()
    (tmp_path / "checkpoints" / "step-00000008.part").mkdir()
    again = Trainer(settings_for(), tmp_path)
    assert again.resume()
    assert again.step == 4


def test_loss_that_is_not_finite_stops_the_run(settings_for, tmp_path):
    trainer = Trainer(settings_for(), tmp_path)
    with torch.no_grad():
        trainer.objective.discriminator.head.score.bias.fill_(float("inf"))
    with pytest.raises(FloatingPointError, match="step 0"):
        trainer.train()


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        ({"data": {"shards": "x", "lenght": 3}}, ["lenght", "length"]),
        ({"dta": {}}, ["dta", "data"]),
        ({"data": {}}, ["[data]", "shards"]),
        ({"data": {"shards": "x"}}, ["max_steps", "max_minutes"]),
        ({"data": {"shards": "x"}, "model": {"init": "xavier"}}, ["xavier", "local"]),
        ({"data": {"shards": "x"}, "optimizer": {"name": "sgd"}}, ["sgd", "muon"]),
    ],
)
def test_bad_settings_are_named(config, parts):
    with pytest.raises(ValueError) as error:
        PretrainingSettings.from_dict(config)
    for part in parts:
        assert part in str(error.value)


@pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))),
    reason="needs a C++ compiler, which torch.compile calls",
)
def test_compiled_layers_do_the_same(settings_for, tmp_path):
    sections = {
        "dropout": 0.0,
        "model": {"discriminator": SMALLEST, "generator_fraction": 1.0},
        "training": {"max_steps": 2},
    }
    plain = Trainer(settings_for(**sections), tmp_path / "plain")
    plain.train()
    sections["training"]["compile"] = True
    compiled = Trainer(settings_for(**sections), tmp_path / "compiled")
    layer = compiled.objective.discriminator.electra.encoder.layers[0]
    assert layer.feed_forward._compiled_call_impl is not None
    compiled.train()
    for parameter, value in weights(plain).items():
        torch.testing.assert_close(
            weights(compiled)[parameter], value, atol=1e-5, rtol=1e-4
        )


def test_run_ends_with_its_tokens(settings_for, tmp_path):
    settings = settings_for(training={"max_steps": 0, "max_tokens": 1000})
    trainer = Trainer(settings, tmp_path)
    trainer.train()
    assert 1000 <= trainer.tokens < 1000 + 8 * 32


def test_accumulated_batches_are_one_large_one(settings_for, tmp_path):
    """The gradient of a step is that of its pieces, however many batches they are."""
    sections = {
        "training": {"accumulate": 3},
        "objective": {"name": "mlm"},
        # Gradients as they are, and weights that stay.
        "optimizer": {"learn_rate": 0.0, "grad_clip": 0.0},
    }
    trainer = Trainer(settings_for(dropout=0.0, **sections), tmp_path)
    tokens, losses = trainer.take_step()
    accumulated = [p.grad.clone() for p in trainer.objective.generator.parameters()]
    trainer.objective.zero_grad()
    sizes = [trainer.batches.tokens(number) for number in range(3)]
    assert tokens == sum(sizes)
    mean = 0.0
    for number, size in enumerate(sizes):
        share = trainer._losses(number)
        (share.total * size / tokens).backward()
        mean += float(share.generator) * size / tokens
    for gradient, parameter in zip(
        accumulated, trainer.objective.generator.parameters(), strict=True
    ):
        torch.testing.assert_close(gradient, parameter.grad)
    assert float(losses.generator) == pytest.approx(mean, rel=1e-5)


def test_mlm_trains_the_encoder_that_is_kept(settings_for, tmp_path):
    trainer = Trainer(settings_for(objective={"name": "mlm"}), tmp_path)
    objective = trainer.objective
    assert objective.generator.electra is objective.discriminator.electra
    head = objective.discriminator.head.score.weight.clone()
    before = objective.discriminator.electra.encoder.layers[0].attention.qkv.weight
    before = before.detach().clone()
    trainer.train()
    after = objective.discriminator.electra.encoder.layers[0].attention.qkv.weight
    assert not torch.equal(before, after)
    assert torch.equal(head, objective.discriminator.head.score.weight)
    log = (tmp_path / "log.csv").read_text()
    assert "mlm_loss" in log
    assert "auc_" not in log


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
