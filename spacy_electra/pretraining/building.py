"""The objective of a run, with its networks as they are before the first step."""

from __future__ import annotations

import torch

from ..models import ElectraForMaskedLM, ElectraForPreTraining
from .data.shards import Shards
from .disentangled import disentangle
from .electric import EnergyCloze
from .masking import Masking
from .objective import MaskedLanguageModeling, Objective, ReplacedTokenDetection
from .sampler import GeneratorSampler
from .settings import PretrainingSettings
from .start.initial_weights import start_from
from .start.local_start import apply_local_start
from .start.word_start import word_vectors


def build_objective(settings: PretrainingSettings, shards: Shards) -> Objective:
    """Networks and objective by the settings.

    Their weights depend on torch's global seed.

    Args:
        settings: What to build.
        shards: Gives vocabulary and frequencies.

    Raises:
        ValueError: If a checkpoint to begin from has other sizes.
    """
    model, chosen, tokenizer = settings.model, settings.objective, shards.tokenizer
    generator_config, config = model.configs(tokenizer.vocab_size)
    alone = chosen.name == "mlm"
    generator = ElectraForMaskedLM(config if alone else generator_config)
    discriminator = ElectraForPreTraining(config)
    if model.init == "local":
        for encoder in (generator.electra, discriminator.electra):
            apply_local_start(
                encoder,
                offsets=tuple(model.local_offsets),
                layers=model.local_layers,
            )
    if model.init_from:
        start_from(
            model.init_from,
            None if alone else generator,
            discriminator,
            tokenizer,
            generator_source=model.generator_from,
        )
    masking = Masking.from_tokenizer(
        tokenizer,
        whole_words=chosen.mask_whole_words,
        share=chosen.mask_share,
        share_masked=chosen.mask_replaced,
    )
    counts = torch.from_numpy(shards.counts).clone()
    counts[list(tokenizer.all_special_ids)] = 0
    sampler = settings.sampler.build(counts, tokenizer, shards.ids)
    if alone:
        return MaskedLanguageModeling(generator, discriminator, masking, sampler)
    electric = chosen.name == "electric"
    if electric:
        # The probability of the noise has to be known.
        sampler = GeneratorSampler()
    kind = EnergyCloze if electric else ReplacedTokenDetection
    detection = kind(
        generator,
        discriminator,
        masking,
        sampler,
        rtd_weight=chosen.rtd_weight,
        share_embeddings=chosen.name != "rtd-gdes",
        mlm_warmup=chosen.mlm_warmup,
        correction_weight=chosen.correction_weight,
    )
    if chosen.name == "rtd-gdes":
        disentangle(detection)
    return detection


def start_words(objective: Objective, shards: Shards) -> None:
    """Give embeddings and output biases what counting the corpus can tell."""
    table = objective.generator.electra.embeddings.word_embeddings.weight
    vocab_size, width = table.shape
    vectors = word_vectors(shards.ids, vocab_size, width)
    counts = torch.from_numpy(shards.counts).float() + 1.0
    known = vectors.any(dim=1).to(table.device)
    heads = [objective.generator.head, objective.language_head]
    with torch.no_grad():
        for head in heads:
            if head is not None:
                head.decoder.bias.copy_((counts / counts.sum()).log())
                # Most heads use the table itself; one with its own starts alike.
                if head.decoder.weight is not table:
                    head.decoder.weight[known] = vectors.to(table.device)[known]
        table[known] = vectors.to(table.device)[known]
