"""What several tests need: small models, a tokenizer, real data where it lies."""

from __future__ import annotations

from pathlib import Path

import pytest
import spacy
import torch
from hypothesis import settings

from spacy_electra.checkpoints import resolve_source
from spacy_electra.models import ElectraConfig
from spacy_electra.tokenization import ElectraTokenizer

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"

# How long an example takes says nothing on a machine that does other work as well.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

TEXTS = [
    "The chef cooked the meal and served it to the guests.",
    "In 1905 Einstein published four papers; physicists still read them today.",
    "It isn't easy: the river floods the valley every spring.",
    "She walked slowly down the road, thinking of her brother.",
]


@pytest.fixture(scope="session", autouse=True)
def two_threads() -> None:
    # Workers of pytest-xdist share the cores.
    torch.set_num_threads(1)


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data beside the checkout; skips where there is none."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the data sets in ../shared/data, which are not here")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tokenizer() -> ElectraTokenizer:
    """The tokenizer of the bundled checkpoint."""
    return ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))


@pytest.fixture
def small_config() -> ElectraConfig:
    """A discriminator of two layers whose embeddings are narrower than its layers."""
    return ElectraConfig(
        vocab_size=99,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=37,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=40,
        initializer_range=0.3,
    )


@pytest.fixture
def nlp() -> spacy.Language:
    return spacy.blank("en")
