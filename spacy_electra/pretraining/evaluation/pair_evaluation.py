"""The metrics of training, for a finished pair of networks on any text."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
import torch

from ...errors import Errors
from ...models.precision import autocast
from ..building import named_sampler
from ..masking import Masking
from ..pairs import Pair
from ..samplers import GeneratorSampler, Sampler
from ..settings import SamplerSettings
from .evaluation import evaluate_networks, held_out_batches

_DRAWN = ("unigram", "frequency")


def evaluate_pair(
    pair: Pair,
    texts: Sequence[str],
    *,
    length: int = 128,
    sequences: int = 256,
    mask_share: float = 0.15,
    threshold: float = 0.5,
    seed: int = 0,
    device: torch.device | str = "cpu",
    precision: str = "auto",
) -> dict[str, float]:
    """Metrics by the names of a run's log.

    Without a generator those that need one are left out. The frequencies that samplers
    go by are those of the texts.

    Args:
        pair: Networks and tokenizer.
        texts: Documents.
        length: Pieces a sequence, at most the positions that the network knows.
        sequences: Most sequences to evaluate on.
        mask_share: Share of pieces that are replaced.
        threshold: Probability from which a piece counts as marked.
        seed: Of masks and samples.
        device: Where to compute.
        precision: "auto", "fp32" or "bf16".

    Returns:
        What the texts are too short to measure is NaN.

    Raises:
        ValueError: If the texts have no word, or a number is out of its range.
    """
    for name, value, least, most in (
        ("length", length, 3, inf),
        ("sequences", sequences, 1, inf),
        ("mask_share", mask_share, 0, 1),
        ("threshold", threshold, 0, 1),
        ("seed", seed, 0, 2**31 - 1),
    ):
        if not least <= value <= most:
            limit = "" if most == inf else f" and at most {most}"
            requirement = f"at least {least}{limit}"
            raise ValueError(
                Errors.SE003(name=name, requirement=requirement, value=value)
            )
    tokenizer = pair.tokenizer
    length = min(length, pair.discriminator.config.max_position_embeddings)
    batches = held_out_batches(texts, tokenizer, length=length, sequences=sequences)
    if not batches:
        raise ValueError(Errors.SE407())
    ids = torch.cat([batch.input_ids for batch in batches]).numpy()
    counts = torch.from_numpy(np.bincount(ids, minlength=tokenizer.vocab_size))
    counts[tokenizer.all_special_ids] = 0
    settings = SamplerSettings()
    samplers: dict[str, Sampler] = {
        name: named_sampler(name, settings, counts, tokenizer) for name in _DRAWN
    }
    generator = pair.generator
    if generator is not None:
        generator.to(device)
        samplers = {"generator": GeneratorSampler(), **samplers}
    with autocast(torch.device(device), precision):
        metrics = evaluate_networks(
            generator,
            pair.discriminator.to(device),
            Masking.from_tokenizer(tokenizer, share=mask_share),
            batches,
            samplers,
            seed=seed,
            threshold=threshold,
        ).flat()
    if pair.generator is None:
        metrics = {k: v for k, v in metrics.items() if not k.startswith("mlm_")}
    return metrics
