"""What a network knows before its first step."""

import numpy as np
import pytest
import torch

from spacy_electra.models import ElectraConfig, ElectraModel
from spacy_electra.pretraining.start.local_start import (
    WORD_DEVIATION,
    apply_local_start,
)
from spacy_electra.pretraining.start.word_start import word_vectors


def first_layer_attention(width, embedding, heads, offsets, length=64):
    torch.manual_seed(0)
    config = ElectraConfig(
        vocab_size=500,
        embedding_size=embedding,
        hidden_size=width,
        num_attention_heads=heads,
        num_hidden_layers=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    encoder = ElectraModel(config).eval()
    apply_local_start(encoder, offsets=offsets)
    ids = torch.randint(1, 500, (16, length))
    with torch.no_grad():
        return encoder(ids, output_attentions=True).attentions[0]


@pytest.mark.parametrize(
    ("width", "embedding", "heads"),
    [(256, 128, 4), (128, 128, 2), (96, 128, 2), (64, 128, 1)],
)
def test_heads_look_at_their_offsets(width, embedding, heads):
    offsets = (-1, 1, -2, 2)
    attention = first_layer_attention(width, embedding, heads, offsets)
    for head, offset in enumerate(offsets[:heads]):
        places = torch.arange(4, 60)
        rows = attention[:, head, places]
        # Words weigh in as well: not every place looks where most do.
        assert (rows.argmax(-1) == places + offset).float().mean() > 0.75
        assert rows[:, torch.arange(len(places)), places + offset].mean() > 0.4


def test_heads_beyond_the_offsets_stay_as_usual():
    attention = first_layer_attention(256, 128, 4, (-1,))
    assert attention[:, 1:].max() < 0.2


def test_same_seed_same_weights():
    a, b = (first_layer_attention(128, 64, 2, (-1, 1)) for _ in range(2))
    assert torch.equal(a, b)


def test_word_vectors_of_like_contexts_are_alike():
    # Pieces 1 to 10 stand between 20 and 21, pieces 11 to 19 between 30 and 31.
    random = np.random.default_rng(0)
    first = [[20, random.integers(1, 11), 21] for _ in range(3000)]
    second = [[30, random.integers(11, 20), 31] for _ in range(3000)]
    ids = np.concatenate([a + b for a, b in zip(first, second, strict=True)])
    vectors = word_vectors(ids.astype(np.uint16), 40, 8)
    assert vectors.shape == (40, 8)
    unit = torch.nn.functional.normalize(vectors, dim=1)
    alike = unit @ unit.T
    assert alike[1:11, 1:11].min() > 0.8
    assert alike[11:20, 11:20].min() > 0.8
    assert alike[1:11, 11:20].max() < 0.5
    present = vectors[1:20].square().mean(1).sqrt()
    torch.testing.assert_close(present, torch.full((19,), WORD_DEVIATION))
    assert not vectors[35:].any()


def test_word_vectors_may_be_wider_than_the_vocabulary():
    ids = np.random.default_rng(0).integers(0, 12, 500).astype(np.uint16)
    vectors = word_vectors(ids, 12, 32)
    assert vectors.shape == (12, 32)
    deviation = vectors.square().mean(1).sqrt()
    torch.testing.assert_close(deviation, torch.full((12,), WORD_DEVIATION))


def test_word_vectors_are_a_function_of_the_corpus_and_seed():
    ids = np.random.default_rng(0).integers(1, 30, 5000).astype(np.uint16)
    assert torch.equal(word_vectors(ids, 30, 6), word_vectors(ids, 30, 6))
