"""Embeddings of which only the generator's gradient moves what both networks share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models import ElectraForPreTraining
from .objective import ReplacedTokenDetection

TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")


class DisentangledEmbedding(nn.Module):
    """The generator's table as it stands, and a difference that learns.

    Gradient-disentangled embedding sharing (He et al., 2021, "DeBERTaV3", section 3.3):
    E_D = sg(E_G) + E_delta, with E_delta zero at first.

    Args:
        shared: The generator's table. It is not a part of this module, so that its
            weight belongs to the generator alone.
    """

    def __init__(self, shared: nn.Embedding) -> None:
        super().__init__()
        self._shared = (shared,)
        self.difference = nn.Parameter(torch.zeros_like(shared.weight))

    @property
    def weight(self) -> Tensor:
        """The table that the discriminator sees, float [V, E]."""
        return self._shared[0].weight.detach() + self.difference

    def forward(self, ids: Tensor) -> Tensor:
        """int64 [...] -> float [..., E]."""
        shared = F.embedding(ids, self._shared[0].weight.detach())
        return shared + F.embedding(ids, self.difference)


def disentangle(objective: ReplacedTokenDetection) -> None:
    """Let the discriminator take its tables from the generator, both as they start.

    The two begin with the discriminator's tables and layer norm; the norms are each
    network's own.

    Args:
        objective: With networks that do not share their embeddings.
    """
    theirs = objective.generator.electra.embeddings
    ours = objective.discriminator.electra.embeddings
    theirs.load_state_dict(ours.state_dict())
    for name in TABLES:
        setattr(ours, name, DisentangledEmbedding(getattr(theirs, name)))


def is_disentangled(discriminator: ElectraForPreTraining) -> bool:
    """Whether ``disentangle`` was called on its objective."""
    words = discriminator.electra.embeddings.word_embeddings
    return isinstance(words, DisentangledEmbedding)


def plain_discriminator(discriminator: ElectraForPreTraining) -> ElectraForPreTraining:
    """The same network with tables of its own, as other programs read it."""
    if not is_disentangled(discriminator):
        return discriminator
    with torch.random.fork_rng(devices=[]):
        plain = ElectraForPreTraining(discriminator.config)
    state = discriminator.state_dict()
    for name in TABLES:
        prefix = f"electra.embeddings.{name}."
        del state[prefix + "difference"]
        table = getattr(discriminator.electra.embeddings, name)
        state[prefix + "weight"] = table.weight.detach()
    plain.load_state_dict(state)
    return plain


def differences(discriminator: ElectraForPreTraining) -> dict[str, Tensor]:
    """What the discriminator adds to the generator's tables, by name of the table."""
    if not is_disentangled(discriminator):
        return {}
    embeddings = discriminator.electra.embeddings
    return {name: getattr(embeddings, name).difference for name in TABLES}
