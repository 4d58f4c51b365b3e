"""Ends of a run, what a step holds, and the objectives by name."""

from pathlib import Path

import pytest
import torch

from spacy_electra.pretraining.batches import SequenceBatches
from spacy_electra.pretraining.disentangled import plain_discriminator
from spacy_electra.pretraining.run.trainer import Trainer
from spacy_electra.pretraining.settings import PretrainingSettings, TrainingSettings

# Runs of seconds learn nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:.*SW40")
CONFIGS = Path(__file__).parents[2] / "configs"
# The others are for `spacy train`.
PRETRAINING = [
    file
    for file in sorted(CONFIGS.glob("pretrain_*.cfg"))
    if "[nlp]" not in file.read_text("utf8")
]
# Clark et al. (2020), table 6: hidden size, layers, heads, embedding size, generator
# size, pieces a step, learning rate, steps.
TABLE_6 = {
    "small": (256, 12, 4, 128, 64, 128 * 128, 5e-4, 1_000_000),
    "base": (768, 12, 12, 768, 256, 256 * 512, 2e-4, 766_000),
    "large": (1024, 24, 16, 1024, 256, 2048 * 512, 2e-4, 400_000),
}


@pytest.mark.parametrize("file", PRETRAINING, ids=lambda file: file.stem)
def test_configs_are_filled_and_right(file):
    settings = PretrainingSettings.from_file(file, {"data.shards": "somewhere"})
    generator, discriminator = settings.model.configs(30522)
    assert settings.data.length <= discriminator.max_position_embeddings
    size = file.stem.removeprefix("pretrain_")
    if size not in TABLE_6:
        return
    found = (
        discriminator.hidden_size,
        discriminator.num_hidden_layers,
        discriminator.num_attention_heads,
        discriminator.embedding_size,
        generator.hidden_size,
        settings.data.batch_tokens * settings.training.accumulate,
        settings.optimizer.learn_rate,
        settings.training.max_steps,
    )
    assert found == TABLE_6[size]
    assert settings.optimizer.name == "adamw_reference"
    assert settings.optimizer.warmup_steps == 10_000
    assert settings.objective.mask_share == (0.25 if size == "large" else 0.15)


@pytest.mark.parametrize(
    ("limits", "share"),
    [
        ({"max_steps": 100}, 0.1),
        ({"max_tokens": 4000}, 0.25),
        ({"max_minutes": 1.0}, 0.5),
        ({"max_steps": 100, "max_minutes": 1.0}, 0.5),
        ({"max_steps": 5}, 1.0),
    ],
)
def test_budget_is_used_up_by_what_ends_first(limits, share):
    progress = TrainingSettings(**limits).progress(step=10, tokens=1000, seconds=30.0)
    assert progress == pytest.approx(share)


def test_run_ends_with_its_tokens(settings_for, tmp_path):
    settings = settings_for(training={"max_steps": 0, "max_tokens": 1000})
    trainer = Trainer(settings, tmp_path)
    trainer.train()
    assert 1000 <= trainer.tokens < 1000 + 8 * 32


@pytest.mark.parametrize("batch_tokens", [64, 300])
def test_batches_by_pieces_hold_each_sequence_once(shards, batch_tokens):
    batches = SequenceBatches.from_shards(
        shards, length=32, batch_size=1, batch_tokens=batch_tokens, seed=0
    )
    seen, sizes = [], []
    for number in range(batches.batches_per_epoch):
        batch = batches[number]
        sizes.append(len(batch.input_ids))
        assert batches.tokens(number) == sizes[-1]
        start = 0
        for length in batch.lengths:
            seen.append(tuple(batch.input_ids[start + 1 : start + length - 1].tolist()))
            start += length
    assert all(abs(size - batch_tokens) < 32 for size in sizes)
    expected = [
        tuple(shards.ids[start : start + size].tolist())
        for start, size in zip(batches.starts, batches.sizes, strict=True)
    ]
    for sequence in seen:
        expected.remove(sequence)
    assert sum(map(len, expected)) < batch_tokens
    assert batches[0].input_ids.tolist() != batches[len(sizes)].input_ids.tolist()


def test_batch_larger_than_the_corpus_or_less_than_a_sequence(shards):
    with pytest.raises(ValueError, match="batch_tokens"):
        SequenceBatches.from_shards(
            shards, length=32, batch_size=1, batch_tokens=10**9, seed=0
        )
    with pytest.raises(ValueError, match="at least"):
        SequenceBatches.from_shards(
            shards, length=32, batch_size=1, batch_tokens=16, seed=0
        )


def test_accumulated_batches_are_one_large_one(settings_for, tmp_path):
    """The gradient of a step is that of its pieces, however many batches they are."""
    sections = {"training": {"accumulate": 3}, "objective": {"name": "mlm"}}
    trainer = Trainer(settings_for(dropout=0.0, **sections), tmp_path)
    tokens, losses = trainer._backward()
    accumulated = [p.grad.clone() for p in trainer.objective.generator.parameters()]
    trainer.objective.zero_grad()
    sizes = [trainer.batches.tokens(number) for number in range(3)]
    assert tokens == sum(sizes)
    mean = 0.0
    for number, size in enumerate(sizes):
        share = trainer._losses(number)
        (share.total * size / tokens).backward()
        mean += float(share.mlm) * size / tokens
    for gradient, parameter in zip(
        accumulated, trainer.objective.generator.parameters(), strict=True
    ):
        torch.testing.assert_close(gradient, parameter.grad)
    assert float(losses.mlm) == pytest.approx(mean, rel=1e-5)


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


def test_disentangled_sharing_moves_the_generators_table_by_its_own_loss_alone(
    settings_for, tmp_path
):
    settings = settings_for(dropout=0.0, objective={"name": "rtd-gdes"})
    objective = Trainer(settings, tmp_path).objective
    words = objective.generator.electra.embeddings.word_embeddings
    theirs = objective.discriminator.electra.embeddings.word_embeddings
    torch.testing.assert_close(theirs.weight, words.weight)
    batch = Trainer(settings, tmp_path).batches[0]
    objective.discriminator.forward_packed(batch).sum().backward()
    assert words.weight.grad is None
    assert theirs.difference.grad.any()
    with torch.no_grad():
        theirs.difference.normal_()
        words.weight.add_(1.0)
    plain = plain_discriminator(objective.discriminator).eval()
    torch.testing.assert_close(
        plain.electra.embeddings.word_embeddings.weight,
        words.weight + theirs.difference,
    )
    torch.testing.assert_close(
        plain.forward_packed(batch),
        objective.discriminator.eval().forward_packed(batch),
    )


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("objective", "name", "bert"),
        ("training", "accumulate", 0),
        ("training", "keep", 0),
        ("training", "parallel", "tensor"),
        ("training", "trackers", ["mlflow"]),
    ],
)
def test_bad_values_are_named(settings_for, section, key, value):
    with pytest.raises(ValueError, match=key):
        settings_for(**{section: {key: value}})
