"""One encoder that detects errors of many kinds and guesses words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models import ElectraForMaskedLM, ElectraForPreTraining, PackedBatch
from ..models.vocabulary import cross_entropy
from .error_samplers import Changed, ErrorMixture
from .masking import Masked, Masking
from .objective import Losses, Objective, share_correct
from .samplers import Sampler


class ErrorDetection(Objective):
    """Detection, correction and masked language modeling with one encoder.

    A generator of its own costs half as much as the discriminator and more, and where
    a run is short its samples teach little that errors by name do not. So the encoder
    that one keeps learns under both heads, in one pass: some sequences of a batch are
    masked, and the head of the generator guesses the pieces; the others have errors in
    them, which the discriminator's head finds, while the generator's names what stood
    there (corrective language modeling; Meng et al., 2021, "COCO-LM", section 3.2). No
    sequence has both, so each head sees texts as it will see them in use.

    Args:
        generator: Of the discriminator's shape; its encoder is replaced by that of the
            discriminator.
        discriminator: The model that one keeps.
        masking: Which pieces to mask.
        errors: Puts errors into a batch.
        rtd_weight: Weight of the detection's loss.
        correction_weight: Weight of naming what stood in the place of an error.
        masked_sequences: Share of the sequences that are masked.
        sampler: Fills their masked places for the detection; None leaves them out.
    """

    def __init__(
        self,
        generator: ElectraForMaskedLM,
        discriminator: ElectraForPreTraining,
        masking: Masking,
        errors: ErrorMixture,
        rtd_weight: float = 50.0,
        correction_weight: float = 1.0,
        masked_sequences: float = 0.25,
        sampler: Sampler | None = None,
    ) -> None:
        super().__init__(generator, discriminator, masking)
        generator.electra = discriminator.electra
        generator.tie_weights()
        self.errors = errors
        self.rtd_weight = rtd_weight
        self.correction_weight = correction_weight
        self.masked_sequences = masked_sequences
        self.sampler = sampler

    def forward(
        self, batch: PackedBatch, progress: float, random: torch.Generator
    ) -> Losses:
        """The losses of a batch."""
        device = self.discriminator.device
        draw = torch.rand(len(batch.lengths), generator=random)
        to_mask = draw < self.masked_sequences
        original = _chosen(batch, to_mask)
        masked = self.masking(original, random)
        changed = self.errors(_chosen(batch, ~to_mask), random)
        both, order = joined([masked.batch, changed.batch])
        hidden = self._encode(both)
        # Rows of the two batches, one after the other, in the joined one.
        at = order.argsort().to(device)
        size, count = len(masked.batch.input_ids), len(masked.rows)
        named = torch.cat([masked.rows.to(device), changed.rows.to(device) + size])
        logits = self.generator.head.scores(hidden.index_select(0, at[named]))
        detected, labels = [hidden.index_select(0, at[size:])], [changed.labels]
        stood = torch.cat([masked.originals, changed.originals]).to(device)
        losses = [cross_entropy(logits, stood)]
        if self.sampler is not None and count:
            guesses = logits[:count].detach()
            filled = _filled(original, masked, guesses, self.sampler, progress, random)
            hidden = self._encode(filled.batch)
            detected.append(hidden)
            labels.append(filled.labels)
            places = hidden.index_select(0, filled.rows.to(device))
            named = self.generator.head.scores(places)
            losses.append(cross_entropy(named, filled.originals.to(device)))
        is_wrong = torch.cat(labels).to(device)
        scores = self.discriminator.head(torch.cat(detected))
        rtd = _mean(
            F.binary_cross_entropy_with_logits(
                scores, is_wrong.to(scores.dtype), reduction="sum"
            ),
            len(scores),
        )
        of_all = torch.cat(losses)
        mlm = _mean(of_all[:count].sum(), count)
        correction = _mean(of_all[count:].sum(), len(of_all) - count)
        total = mlm + self.rtd_weight * rtd + self.correction_weight * correction
        return Losses(
            total=total,
            generator=mlm.detach(),
            discriminator=rtd.detach(),
            mlm_correct=share_correct(logits[:count], stood[:count]),
            replaced=_mean(is_wrong.sum(), len(is_wrong)),
            same=total.new_zeros(()),
        )

    def _encode(self, batch: PackedBatch) -> Tensor:
        """The states of a batch, float [T, H]."""
        electra = self.discriminator.electra
        return electra.forward_packed(batch.to(electra.device)).last_hidden_state


def _filled(
    original: PackedBatch,
    masked: Masked,
    logits: Tensor,
    sampler: Sampler,
    progress: float,
    random: torch.Generator,
) -> Changed:
    """The masked sequences with samples in the masked places, on the CPU."""
    samples = sampler(masked.originals.to(logits.device), logits, progress, random)
    ids = original.input_ids.index_copy(0, masked.rows, samples.cpu())
    labels = ids != original.input_ids
    differ = labels[masked.rows]
    return Changed(
        original.with_ids(ids),
        labels,
        masked.rows[differ],
        masked.originals[differ],
        torch.where(labels, 0, -1),
    )


def _mean(total: Tensor, count: int) -> Tensor:
    """Zero where a batch happens to have none."""
    return total / max(count, 1)


def _chosen(batch: PackedBatch, chosen: Tensor) -> PackedBatch:
    """The chosen sequences of a batch."""
    lengths = torch.tensor(batch.lengths, dtype=torch.long)
    rows = torch.repeat_interleave(chosen, lengths)
    return PackedBatch(
        batch.input_ids[rows],
        batch.token_type_ids[rows],
        batch.position_ids[rows],
        lengths[chosen].tolist(),
    )


def joined(batches: Sequence[PackedBatch]) -> tuple[PackedBatch, Tensor]:
    """One batch of the sequences of several, sorted by length.

    Returns:
        The batch, and for each of its rows the number that it has where the batches
        stand one after the other, int64 [T].
    """
    lengths = torch.tensor([n for b in batches for n in b.lengths], dtype=torch.long)
    order = lengths.argsort(stable=True)
    starts = (lengths.cumsum(0) - lengths)[order]
    sizes = lengths[order]
    ends = sizes.cumsum(0)
    rows = torch.arange(int(sizes.sum()))
    rows = rows + torch.repeat_interleave(starts - (ends - sizes), sizes)
    ids, types, positions = (
        torch.cat([getattr(batch, name) for batch in batches])[rows]
        for name in ("input_ids", "token_type_ids", "position_ids")
    )
    return PackedBatch(ids, types, positions, sizes.tolist()), rows
