"""The objectives: what generator and discriminator are to learn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models import ElectraForMaskedLM, ElectraForPreTraining, PackedBatch
from ..models.heads.masked_lm import MaskedLMHead
from ..models.vocabulary import cross_entropy, is_best
from .masking import Masked, Masking
from .samplers import Sampler


@dataclass(frozen=True)
class Losses:
    """What one batch gave.

    Args:
        total: To be minimized, float32 scalar.
        generator: Mean cross-entropy of the generator at masked places, nats.
        discriminator: What the discriminator learns from, nats: mean binary
            cross-entropy over all pieces (over the masked ones with "electric"), or
            during the warm-up its cross-entropy as a masked language model.
        mlm_correct: Share of masked places that the generator gets right.
        replaced: Share of pieces that differ from the original.
        same: Share of samples that equal the original.
    """

    total: Tensor
    generator: Tensor
    discriminator: Tensor
    mlm_correct: Tensor
    replaced: Tensor
    same: Tensor

    def stacked(self) -> Tensor:
        """All metrics, detached, as one tensor [6]."""
        return torch.stack([v.detach().float() for v in vars(self).values()])

    @classmethod
    def unstacked(cls, values: Tensor) -> Losses:
        """The opposite of ``stacked``."""
        return cls(*values.unbind())


@dataclass(frozen=True)
class Corrupted:
    """A batch for the discriminator.

    Args:
        batch: With replacements in it.
        labels: Whether a piece differs from the original, bool [T].
        rows: Where a replacement was drawn, int64 [M].
        originals: What stood there, int64 [M].
        logits: The generator's scores there, float [M, V]; [M, 0] without one.
    """

    batch: PackedBatch
    labels: Tensor
    rows: Tensor
    originals: Tensor
    logits: Tensor


class Objective(nn.Module):
    """What a run trains, and how a batch gives its losses.

    Args:
        generator: A masked language model.
        discriminator: The network that is kept.
        masking: Which pieces to mask.
    """

    # Whether the discriminator learns to detect, so that metrics of it mean something.
    detects = True

    def __init__(
        self,
        generator: ElectraForMaskedLM,
        discriminator: ElectraForPreTraining,
        masking: Masking,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.masking = masking
        self.language_head: MaskedLMHead | None = None

    def forward(
        self, batch: PackedBatch, progress: float, random: torch.Generator
    ) -> Losses:
        """The losses of a batch.

        Where nothing of it can be masked they are zero, and so are the gradients.

        Args:
            batch: On the CPU.
            progress: How much of the training is over, 0 to 1.
            random: Decides on masks and samples.
        """
        raise NotImplementedError


def guess(
    batch: PackedBatch,
    masking: Masking,
    generator: ElectraForMaskedLM | None,
    random: torch.Generator,
) -> tuple[Masked, Tensor]:
    """Mask pieces of a batch, and the generator's scores there, float [M, V].

    Args:
        batch: On the CPU, where the masks are drawn; the result is where the
            generator is.
        masking: Which pieces to mask.
        generator: None gives scores of no pieces, [M, 0].
        random: Decides on the masks.
    """
    masked = masking(batch, random)
    if generator is None:
        return masked, torch.zeros(len(masked.rows), 0)
    device = generator.device
    masked = Masked(
        masked.batch.to(device), masked.rows.to(device), masked.originals.to(device)
    )
    hidden = generator.electra.forward_packed(masked.batch).last_hidden_state
    return masked, generator.head.scores(hidden.index_select(0, masked.rows))


def corrupt(
    batch: PackedBatch,
    masking: Masking,
    generator: ElectraForMaskedLM | None,
    sampler: Sampler,
    progress: float,
    random: torch.Generator,
) -> Corrupted:
    """Mask pieces of a batch and put samples in their place.

    Args:
        batch: On the CPU.
        masking: Which pieces to mask.
        generator: Its scores are what a sampler may draw from.
        sampler: What to put in their place.
        progress: How much of the training is over, 0 to 1.
        random: Decides on masks and samples.
    """
    masked, logits = guess(batch, masking, generator, random)
    rows, originals = masked.rows, masked.originals
    with torch.no_grad():
        samples = sampler(originals, logits.detach(), progress, random)
    batch = batch.to(rows.device)
    ids = batch.input_ids.index_copy(0, rows, samples)
    return Corrupted(
        batch.with_ids(ids), ids != batch.input_ids, rows, originals, logits
    )


class ReplacedTokenDetection(Objective):
    """The objective of ELECTRA (Clark et al., 2020, section 2).

    The generator is a masked language model; a sampler fills the masked places; the
    discriminator tells for every piece whether it is the original. A sample that equals
    the original counts as original. No gradient flows through the sampling.

    Args:
        generator: Shares the embeddings of the discriminator from here on.
        discriminator: The model that one keeps.
        masking: Which pieces to mask.
        sampler: What to put in their place.
        rtd_weight: Weight of the discriminator's loss beside the generator's.
        share_embeddings: Whether the two train on one set of embeddings.
        mlm_warmup: Share of the training, from its start, in which the encoder of the
            discriminator learns as a masked language model, through a head that is
            dropped at the end. Replaced tokens alone say so little at first that a run
            of minutes would never learn to tell them.
        correction_weight: After the warm-up, weight of the cross-entropy with which
            the same head names the piece that stood at a corrupted place, beside the
            detection: corrective language modeling (Meng et al., 2021, "COCO-LM",
            section 3.2). 0 for the paper's loss.
    """

    def __init__(
        self,
        generator: ElectraForMaskedLM,
        discriminator: ElectraForPreTraining,
        masking: Masking,
        sampler: Sampler,
        rtd_weight: float = 50.0,
        share_embeddings: bool = True,
        mlm_warmup: float = 0.0,
        correction_weight: float = 0.0,
    ) -> None:
        super().__init__(generator, discriminator, masking)
        self.sampler = sampler
        self.rtd_weight = rtd_weight
        if share_embeddings:
            generator.share_embeddings(discriminator.electra)
        self.mlm_warmup = mlm_warmup
        self.correction_weight = correction_weight
        if mlm_warmup > 0 or correction_weight > 0:
            words = discriminator.electra.embeddings.word_embeddings
            self.language_head = MaskedLMHead(discriminator.config)
            self.language_head.decoder.weight = words.weight

    def forward(
        self, batch: PackedBatch, progress: float, random: torch.Generator
    ) -> Losses:
        """The losses of a batch."""
        if progress < self.mlm_warmup:
            return self._warm_up(batch, random)
        corrupted = corrupt(
            batch, self.masking, self.generator, self.sampler, progress, random
        )
        mlm = mean_cross_entropy(corrupted.logits, corrupted.originals)
        discriminator = self.discriminator
        hidden = discriminator.electra.forward_packed(corrupted.batch).last_hidden_state
        scores = discriminator.head(hidden)
        labels = corrupted.labels
        rtd = F.binary_cross_entropy_with_logits(scores, labels.to(scores.dtype))
        with torch.no_grad():
            same = 1 - labels.sum() / max(len(corrupted.rows), 1)
        total = mlm + self.rtd_weight * rtd
        if self.correction_weight > 0:
            places = hidden.index_select(0, corrupted.rows)
            total = total + self.correction(places, corrupted.originals)
        return Losses(
            total=total if len(corrupted.rows) else 0.0 * total,
            generator=mlm.detach(),
            discriminator=rtd.detach(),
            mlm_correct=share_correct(corrupted.logits, corrupted.originals),
            replaced=labels.float().mean(),
            same=same,
        )

    def _warm_up(self, batch: PackedBatch, random: torch.Generator) -> Losses:
        """Both networks as masked language models, on the same masks."""
        masked, logits = guess(batch, self.masking, self.generator, random)
        seen, rows, originals = masked.batch, masked.rows, masked.originals
        hidden = self.discriminator.electra.forward_packed(seen).last_hidden_state
        mlm = mean_cross_entropy(logits, originals)
        own = mean_cross_entropy(self._named(hidden.index_select(0, rows)), originals)
        correct = share_correct(logits, originals)
        nothing = mlm.new_zeros(())
        return Losses(mlm + own, mlm.detach(), own.detach(), correct, nothing, nothing)

    def correction(self, places: Tensor, originals: Tensor) -> Tensor:
        """The weighted loss of naming what stood at corrupted places, a scalar.

        Args:
            places: Hidden states there, float [M, H].
            originals: What stood there, int64 [M].
        """
        loss = mean_cross_entropy(self._named(places), originals)
        return self.correction_weight * loss

    def _named(self, hidden: Tensor) -> Tensor:
        """Which piece the discriminator's encoder takes each place to have held."""
        assert self.language_head is not None
        return self.language_head.scores(hidden)


class MaskedLanguageModeling(Objective):
    """The control: the encoder that one keeps learns as a masked language model.

    It is the discriminator's encoder, with all its width, under a generator's head
    (Clark et al., 2020, section 3.4, compare "BERT" so). The discriminator's own head
    learns nothing.

    Args:
        generator: Of the discriminator's shape; its encoder is replaced by that of the
            discriminator.
        discriminator: The model that one keeps.
        masking: Which pieces to mask.
    """

    detects = False

    def __init__(
        self,
        generator: ElectraForMaskedLM,
        discriminator: ElectraForPreTraining,
        masking: Masking,
    ) -> None:
        super().__init__(generator, discriminator, masking)
        generator.electra = discriminator.electra
        generator.tie_weights()
        discriminator.head.requires_grad_(False)

    def forward(
        self, batch: PackedBatch, progress: float, random: torch.Generator
    ) -> Losses:
        """The losses of a batch; those of detection are zero."""
        masked, logits = guess(batch, self.masking, self.generator, random)
        mlm = mean_cross_entropy(logits, masked.originals)
        correct = share_correct(logits, masked.originals)
        nothing = mlm.new_zeros(())
        return Losses(mlm, mlm.detach(), nothing, correct, nothing, nothing)


def mean_cross_entropy(logits: Tensor, originals: Tensor) -> Tensor:
    """Of scores [M, V] for originals [M], nats, a scalar; zero where M is."""
    if len(originals):
        return cross_entropy(logits, originals).mean()
    # A mean of nothing is NaN, which would end the run. This has gradients, all zero.
    return logits.sum().float()


def share_correct(logits: Tensor, originals: Tensor) -> Tensor:
    """Share of places [M] whose largest score [M, V] is that of the original."""
    return is_best(logits, originals).float().sum() / max(len(originals), 1)
