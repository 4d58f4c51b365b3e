"""Networks of a few thousand weights, a batch for them, and fixed randomness."""

from dataclasses import replace

import torch

from spacy_electra.models import (
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    PackedBatch,
)
from spacy_electra.pretraining.masking import Masking
from spacy_electra.pretraining.objective import corrupt
from spacy_electra.pretraining.samplers import GeneratorSampler

CONFIG = ElectraConfig(
    vocab_size=60,
    embedding_size=16,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=40,
    max_position_embeddings=64,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
MASKING = Masking(mask_id=3, special_ids=(0, 1, 2, 3))


def make_objective(kind, sampler=None, masking=None, **options):
    """An objective of a class over such networks, the same each time."""
    torch.manual_seed(0)
    return kind(
        ElectraForMaskedLM(CONFIG.generator(0.5)),
        ElectraForPreTraining(CONFIG),
        replace(MASKING, **masking or {}),
        sampler or GeneratorSampler(),
        **options,
    )


def corrupt_with(objective):
    """The batch as an objective's discriminator sees it."""
    return corrupt(
        batch(),
        objective.masking,
        objective.generator,
        objective.sampler,
        0.0,
        random(),
    )


def batch():
    """Three sequences of random pieces."""
    torch.manual_seed(1)
    return PackedBatch.from_sequences(
        [torch.randint(4, 60, (length,)) for length in (20, 30, 30)]
    )


def random():
    """A generator in the same state each time."""
    return torch.Generator().manual_seed(0)
