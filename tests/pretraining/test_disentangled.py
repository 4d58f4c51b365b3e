import pytest
import torch

from spacy_electra.pretraining.disentangled import plain_discriminator
from spacy_electra.pretraining.run.trainer import Trainer

# Runs of seconds learn nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:.*SW40")


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
