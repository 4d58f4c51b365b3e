"""How well generator and discriminator do on held-out text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..models import PackedBatch
from ..tokenization.wordpiece import ElectraTokenizer
from .metrics import Detection, detection
from .objective import ReplacedTokenDetection
from .sampler import Sampler

_SEQUENCES_A_PASS = 32
_CHARACTERS_A_DOCUMENT = 20_000


@dataclass(frozen=True)
class Evaluation:
    """Figures on held-out text.

    Args:
        mlm_loss: Cross-entropy of the generator at masked pieces, nats.
        mlm_accuracy: Share of masked pieces it gets right.
        same: Share of samples that equal the original.
        detection: The discriminator's, over all pieces but the special ones, by the
            name of the sampler.
    """

    mlm_loss: float
    mlm_accuracy: float
    same: dict[str, float]
    detection: dict[str, Detection]

    def flat(self) -> dict[str, float]:
        """All figures in one row, for a log."""
        row = {"mlm_loss": self.mlm_loss, "mlm_accuracy": self.mlm_accuracy}
        for name, figures in self.detection.items():
            row[f"same_{name}"] = self.same[name]
            for key, value in vars(figures).items():
                row[f"{key}_{name}"] = value
        return row


def held_out_batches(
    texts: Sequence[str], tokenizer: ElectraTokenizer, *, length: int, sequences: int
) -> list[PackedBatch]:
    """Cut held-out documents into batches, the same every time.

    Sequences are taken from all documents in turn, so that one long document does not
    fill them.

    Args:
        texts: Documents.
        tokenizer: Makes the pieces.
        length: Pieces a sequence, [CLS] and [SEP] among them.
        sequences: Most sequences to take.
    """
    room = length - 2
    by_turn: list[tuple[int, int, torch.Tensor]] = []
    clipped = [text[:_CHARACTERS_A_DOCUMENT] for text in texts[:sequences]]
    for number, encoding in enumerate(tokenizer.encode_batch(clipped)):
        ids = torch.from_numpy(np.asarray(encoding.ids, dtype=np.int64))
        for turn, part in enumerate(ids.split(room)):
            with_specials = torch.cat(
                [
                    torch.tensor([tokenizer.cls_token_id]),
                    part,
                    torch.tensor([tokenizer.sep_token_id]),
                ]
            )
            by_turn.append((turn, number, with_specials))
    by_turn.sort(key=lambda entry: entry[:2])
    chosen = [ids for _, _, ids in by_turn[:sequences]]
    chosen.sort(key=len)
    return [
        PackedBatch.from_sequences(chosen[start : start + _SEQUENCES_A_PASS])
        for start in range(0, len(chosen), _SEQUENCES_A_PASS)
    ]


@torch.no_grad()
def evaluate(
    objective: ReplacedTokenDetection,
    batches: Sequence[PackedBatch],
    samplers: dict[str, Sampler],
    *,
    seed: int = 0,
    threshold: float = 0.5,
) -> Evaluation:
    """Score generator and discriminator with each sampler, on the same masks.

    Args:
        objective: Holds the networks and the masking.
        batches: Held-out sequences.
        samplers: What fills the masked places, by name.
        seed: Of masks and samples.
        threshold: Probability from which a piece counts as marked.
    """
    was_training = objective.training
    objective.eval()
    usual = objective.sampler
    losses, correct, masked = 0.0, 0, 0
    same: dict[str, float] = {}
    figures: dict[str, Detection] = {}
    for name, sampler in samplers.items():
        objective.sampler = sampler
        random = torch.Generator().manual_seed(seed)
        probabilities, labels, equal, drawn = [], [], 0, 0
        for batch in batches:
            corrupted = objective.corrupt(batch, 1.0, random)
            scores = objective.discriminator.forward_packed(corrupted.batch)
            special = torch.isin(
                batch.input_ids, torch.tensor(objective.masking.special_ids)
            )
            probabilities.append(scores.sigmoid().cpu()[~special])
            labels.append(corrupted.labels.cpu()[~special])
            drawn += len(corrupted.rows)
            equal += len(corrupted.rows) - int(corrupted.labels.sum())
            if len(figures) == 0:
                losses += torch.nn.functional.cross_entropy(
                    corrupted.logits, corrupted.originals, reduction="sum"
                ).item()
                hits = corrupted.logits.argmax(-1) == corrupted.originals
                correct += int(hits.sum())
                masked += len(hits)
        same[name] = equal / max(drawn, 1)
        figures[name] = detection(
            torch.cat(probabilities).numpy(), torch.cat(labels).numpy(), threshold
        )
    objective.sampler = usual
    objective.train(was_training)
    return Evaluation(
        mlm_loss=losses / max(masked, 1),
        mlm_accuracy=correct / max(masked, 1),
        same=same,
        detection=figures,
    )
