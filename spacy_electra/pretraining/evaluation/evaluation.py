"""How well generator and discriminator do on held-out text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from ...metrics import Detection, detection
from ...models import ElectraForMaskedLM, ElectraForPreTraining, PackedBatch
from ...models.vocabulary import cross_entropy, is_best
from ...tokenization.wordpiece import ElectraTokenizer
from ..masking import Masking
from ..objective import Objective, corrupt, guess
from ..samplers import Sampler

_SEQUENCES_PER_PASS = 32
_CHARACTERS_PER_DOCUMENT = 20_000
_NOT_MEASURED = float("nan")


@dataclass(frozen=True)
class Evaluation:
    """Metrics on held-out text.

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
        """All metrics in one row, for a log."""
        row = {"mlm_loss": self.mlm_loss, "mlm_accuracy": self.mlm_accuracy}
        for name, metrics in self.detection.items():
            row[f"same_{name}"] = self.same[name]
            for key, value in vars(metrics).items():
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
    clipped = [text[:_CHARACTERS_PER_DOCUMENT] for text in texts[:sequences]]
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
        PackedBatch.from_sequences(chosen[start : start + _SEQUENCES_PER_PASS])
        for start in range(0, len(chosen), _SEQUENCES_PER_PASS)
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
    """Score an objective's networks; see ``evaluate_networks``.

    Args:
        objective: Holds the networks and the masking. Where it does not detect, there
            are only the generator's metrics.
        batches: Held-out sequences, one or more.
        samplers: What fills the masked places, by name.
        seed: Of masks and samples.
        threshold: Probability from which a piece counts as marked.
    """
    was_training = objective.training
    objective.eval()
    try:
        return evaluate_networks(
            objective.generator,
            objective.discriminator if objective.detects else None,
            objective.masking,
            batches,
            samplers,
            seed=seed,
            threshold=threshold,
        )
    finally:
        objective.train(was_training)


@torch.no_grad()
def evaluate_networks(
    generator: ElectraForMaskedLM | None,
    discriminator: ElectraForPreTraining | None,
    masking: Masking,
    batches: Sequence[PackedBatch],
    samplers: Mapping[str, Sampler],
    *,
    seed: int = 0,
    threshold: float = 0.5,
) -> Evaluation:
    """Score generator and discriminator with each sampler, on the same masks.

    What can't be measured is NaN: the generator's metrics without one or where nothing
    is masked, an AUC where nothing or everything was replaced.

    Args:
        generator: In evaluation mode, if there is one.
        discriminator: Likewise. Without one there are only the generator's metrics.
        masking: Which pieces to mask.
        batches: Held-out sequences, one or more.
        samplers: What fills the masked places, by name.
        seed: Of masks and samples.
        threshold: Probability from which a piece counts as marked.
    """
    language = (_NOT_MEASURED, _NOT_MEASURED)
    if generator is not None:
        language = _language_figures(generator, masking, batches, seed)
    same: dict[str, float] = {}
    metrics: dict[str, Detection] = {}
    for name, sampler in samplers.items() if discriminator is not None else ():
        assert discriminator is not None
        probabilities, labels, drawn = [], [], 0
        for number, batch in enumerate(batches):
            random = _random(seed, number)
            corrupted = corrupt(batch, masking, generator, sampler, 1.0, random)
            seen = corrupted.batch.to(discriminator.device)
            scores = discriminator.forward_packed(seen)
            ordinary = ~torch.isin(batch.input_ids, torch.tensor(masking.special_ids))
            probabilities.append(scores.sigmoid().cpu()[ordinary])
            labels.append(corrupted.labels.cpu()[ordinary])
            drawn += len(corrupted.rows)
        differing = torch.cat(labels).numpy()
        metrics[name] = detection(
            torch.cat(probabilities).numpy(), differing, threshold
        )
        equal = drawn - int(differing.sum())
        same[name] = equal / drawn if drawn else _NOT_MEASURED
    return Evaluation(*language, same=same, detection=metrics)


def _language_figures(
    generator: ElectraForMaskedLM,
    masking: Masking,
    batches: Sequence[PackedBatch],
    seed: int,
) -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy of the generator at masked places."""
    losses, correct, masked = 0.0, 0, 0
    for number, batch in enumerate(batches):
        chosen, logits = guess(batch, masking, generator, _random(seed, number))
        originals = chosen.originals
        losses += cross_entropy(logits, originals).sum().item()
        correct += int(is_best(logits, originals).sum())
        masked += len(originals)
    if not masked:
        return _NOT_MEASURED, _NOT_MEASURED
    return losses / masked, correct / masked


def _random(seed: int, number: int) -> torch.Generator:
    """The same for every sampler, however many numbers each of them draws."""
    return torch.Generator().manual_seed((seed << 32) + number)


def metric_names(samplers: Iterable[str], detects: bool = True) -> list[str]:
    """The names that ``Evaluation.flat`` gives its metrics."""
    nothing = Detection(*[0.0] * len(fields(Detection)))
    names = list(samplers) if detects else []
    empty = Evaluation(
        0.0, 0.0, dict.fromkeys(names, 0.0), dict.fromkeys(names, nothing)
    )
    return list(empty.flat())
