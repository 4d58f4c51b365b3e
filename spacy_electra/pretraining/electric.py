"""The objective of Electric: energies of pieces, learned against noise."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models import PackedBatch
from ..models.vocabulary import cross_entropy
from .objective import (
    Losses,
    ReplacedTokenDetection,
    guess,
    mean_cross_entropy,
    share_correct,
)

# Share of the masked places that hold noise; the rest hold what stood there.
_NOISE = 0.5


class EnergyCloze(ReplacedTokenDetection):
    """Noise-contrastive estimation of what stands where (Clark et al., 2020b).

    "Pre-Training Transformers as Energy-Based Cloze Models", sections 2 and 3: the
    model gives an energy for each place of a text, so that p(x_t | context) is
    proportional to exp(-E(x)_t), and learns to tell data from noise whose probability
    q(x_t | context) is known. If of n places n - k hold data and k hold noise, a piece
    is noise with the odds k q(x_t) / ((n - k) exp(-E(x)_t)), hence

        logit(noise)_t = E(x)_t + log q(x_t | context) + log(k / (n - k)),

    and the loss is its mean binary cross-entropy. Where it is least the energies are
    minus the logarithms of probabilities: one pass scores every piece of a text.

    Two things are not the paper's. Its noise comes from a two-tower model that knows
    q at every place; here it is the masked language model that is the generator of
    ELECTRA, which knows q where it sees [MASK] alone. So loss and energies are those
    of the M masked places, of which about half keep what stood there (n = M, k = M/2),
    and q is conditioned on a context with all of them masked. And the energy is counted
    from a blind guess over V pieces, E(x)_t = s_t + log V with s_t the discriminator's
    score: training begins at p = 1/V, and a piece is marked as replaced, s_t > 0,
    where it is less likely than that.

    Noise that equals the original is noise. No gradient flows into q. Arguments are
    those of ``ReplacedTokenDetection``; the sampler has to draw from the generator's
    softmax, and the masking to mask every place that it chooses.
    """

    def forward(
        self, batch: PackedBatch, progress: float, random: torch.Generator
    ) -> Losses:
        """The losses of a batch."""
        if progress < self.mlm_warmup:
            return self._warm_up(batch, random)
        masked, logits = guess(batch, self.masking, self.generator, random)
        rows, originals = masked.rows, masked.originals
        mlm = mean_cross_entropy(logits, originals)
        with torch.no_grad():
            noise = torch.rand(len(rows), generator=random) < _NOISE
            noise = noise.to(rows.device)
            samples = self.sampler(originals, logits.detach(), progress, random)
            pieces = torch.where(noise, samples, originals)
            log_q = log_probabilities(logits, pieces)
        seen = batch.to(rows.device)
        seen = seen.with_ids(seen.input_ids.index_copy(0, rows, pieces))
        hidden = self.discriminator.electra.forward_packed(seen).last_hidden_state
        places = hidden.index_select(0, rows)
        energies = self.discriminator.head(places) + math.log(logits.shape[-1])
        nce = contrastive_loss(energies, log_q, noise, _NOISE)
        with torch.no_grad():
            differs = pieces != originals
            same = 1 - differs.sum() / noise.sum().clamp(min=1)
        total = mlm + self.rtd_weight * nce
        if self.correction_weight > 0:
            total = total + self.correction(places, originals)
        return Losses(
            total=total,
            generator=mlm.detach(),
            discriminator=nce.detach(),
            mlm_correct=share_correct(logits, originals),
            replaced=differs.sum() / len(batch.input_ids),
            same=same,
        )


def log_probabilities(logits: Tensor, pieces: Tensor) -> Tensor:
    """What a softmax over scores [M, V] gives to a piece of each row [M], float [M]."""
    return -cross_entropy(logits, pieces)


def contrastive_loss(
    energies: Tensor, log_q: Tensor, noise: Tensor, noise_share: float
) -> Tensor:
    """How badly energies tell noise from data, nats, a scalar.

    Args:
        energies: Of the piece at each place, float [M].
        log_q: Logarithm of its probability as noise, float [M].
        noise: Whether it is noise, bool [M].
        noise_share: Share of the places that hold noise.
    """
    if not len(energies):
        return energies.sum()
    odds = math.log(noise_share / (1 - noise_share))
    return F.binary_cross_entropy_with_logits(
        energies + log_q + odds, noise.to(energies.dtype)
    )
