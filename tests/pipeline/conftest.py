"""What tests of several components need: small checkpoints of any class."""

import pytest
import torch

from spacy_electra.models import ElectraConfig


@pytest.fixture
def make_source(tokenizer, tmp_path):
    """A small checkpoint of some class, with the bundled tokenizer."""

    def make(cls, labels=(), problem_type=None, **changes):
        torch.manual_seed(0)
        config = ElectraConfig(
            vocab_size=tokenizer.vocab_size,
            embedding_size=16,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            max_position_embeddings=64,
            initializer_range=0.3,
            **changes,
        )
        if labels:
            config = config.with_labels(labels, problem_type)
        cls(config).save_pretrained(tmp_path / "source")
        tokenizer.save_pretrained(tmp_path / "source")
        return str(tmp_path / "source")

    return make
