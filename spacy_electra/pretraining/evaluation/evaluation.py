"""How well generator and discriminator do on held-out text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F

from ...metrics import Detection, detection
from ...models import PackedBatch
from ...tokenization.wordpiece import ElectraTokenizer
from ..objective import Objective
from ..samplers import Sampler

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
    objective: Objective,
    batches: Sequence[PackedBatch],
    samplers: Mapping[str, Sampler],
    *,
    seed: int = 0,
    threshold: float = 0.5,
) -> Evaluation:
    """Score generator and discriminator with each sampler, on the same masks.

    Args:
        objective: Holds the networks and the masking. Where it does not detect, there
            are only the generator's figures.
        batches: Held-out sequences, one or more.
        samplers: What fills the masked places, by name.
        seed: Of masks and samples.
        threshold: Probability from which a piece counts as marked.
    """
    was_training = objective.training
    objective.eval()
    usual = objective.sampler
    try:
        language = _language_figures(objective, batches, seed)
        same: dict[str, float] = {}
        figures: dict[str, Detection] = {}
        for name, sampler in samplers.items() if objective.detects else ():
            objective.sampler = sampler
            same[name], figures[name] = _detection_figures(
                objective, batches, seed, threshold
            )
    finally:
        objective.sampler = usual
        objective.train(was_training)
    return Evaluation(*language, same=same, detection=figures)


def _language_figures(
    objective: Objective, batches: Sequence[PackedBatch], seed: int
) -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy of the generator at masked places."""
    losses, correct, masked = 0.0, 0, 0
    device = objective.generator.device
    for number, batch in enumerate(batches):
        chosen = objective.masking(batch, _random(seed, number))
        rows, originals = chosen.rows.to(device), chosen.originals.to(device)
        logits = objective.generator.forward_packed(chosen.batch.to(device), rows)
        losses += F.cross_entropy(logits, originals, reduction="sum").item()
        correct += int((logits.argmax(-1) == originals).sum())
        masked += len(originals)
    return losses / max(masked, 1), correct / max(masked, 1)


def _detection_figures(
    objective: Objective,
    batches: Sequence[PackedBatch],
    seed: int,
    threshold: float,
) -> tuple[float, Detection]:
    """Share of samples equal to the original, and the discriminator's figures."""
    specials = torch.tensor(objective.masking.special_ids)
    probabilities, labels, equal, drawn = [], [], 0, 0
    for number, batch in enumerate(batches):
        corrupted = objective.corrupt(batch, 1.0, _random(seed, number))
        scores = objective.discriminator.forward_packed(corrupted.batch)
        ordinary = ~torch.isin(batch.input_ids, specials)
        probabilities.append(scores.sigmoid().cpu()[ordinary])
        labels.append(corrupted.labels.cpu()[ordinary])
        drawn += len(corrupted.rows)
        equal += len(corrupted.rows) - int(corrupted.labels.sum())
    figures = detection(
        torch.cat(probabilities).numpy(), torch.cat(labels).numpy(), threshold
    )
    return equal / max(drawn, 1), figures


def _random(seed: int, number: int) -> torch.Generator:
    """The same for every sampler, however many numbers each of them draws."""
    return torch.Generator().manual_seed((seed << 32) + number)


def figure_names(samplers: Iterable[str], detects: bool = True) -> list[str]:
    """The names that ``Evaluation.flat`` gives its figures."""
    nothing = Detection(*[0.0] * len(fields(Detection)))
    names = list(samplers) if detects else []
    empty = Evaluation(
        0.0, 0.0, dict.fromkeys(names, 0.0), dict.fromkeys(names, nothing)
    )
    return list(empty.flat())
