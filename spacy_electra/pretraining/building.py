"""The objective of a run, with its networks as they are before the first step."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Errors
from ..models import ElectraForMaskedLM, ElectraForPreTraining
from ..tokenization.wordpiece import ElectraTokenizer
from .corpus.shards import Shards
from .disentangled import disentangle
from .electric import EnergyCloze
from .error_detection import ErrorDetection
from .error_samplers import ErrorMixture
from .lexicon import Lexicon
from .masking import Masking
from .objective import MaskedLanguageModeling, Objective, ReplacedTokenDetection
from .samplers import (
    FrequencySampler,
    GeneratorSampler,
    MixtureSampler,
    Sampler,
    UnigramSampler,
    WordSampler,
    count_words,
)
from .settings import PretrainingSettings, SamplerSettings
from .start.checkpoint_start import start_from
from .start.local_start import apply_local_start


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
    # One encoder under both heads.
    alone = chosen.name in ("mlm", "errors")
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
    if chosen.name == "errors":
        return _error_detection(settings, shards, generator, discriminator, masking)
    sampler = build_sampler(settings.sampler, counts, tokenizer, shards.ids)
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


def build_sampler(
    settings: SamplerSettings,
    counts: torch.Tensor,
    tokenizer: ElectraTokenizer,
    ids: NDArray[np.unsignedinteger] | None = None,
) -> Sampler:
    """The sampler of the settings.

    Args:
        settings: Which ones, and how they mix.
        counts: How often each piece occurs in the corpus, [V].
        tokenizer: Says which pieces continue a word.
        ids: Pieces of the corpus, end to end [T], in which "word" counts words.

    Raises:
        ValueError: If "word" is asked for without them.
    """
    if settings.start == settings.end == 1.0:
        return named_sampler(settings.strong, settings, counts, tokenizer, ids)
    return MixtureSampler(
        weak=named_sampler(settings.weak, settings, counts, tokenizer, ids),
        strong=named_sampler(settings.strong, settings, counts, tokenizer, ids),
        continues=torch.from_numpy(tokenizer.continuations),
        start=settings.start,
        end=settings.end,
        rise_from=settings.rise_from,
        rise_to=settings.rise_to,
    )


def named_sampler(
    name: str,
    settings: SamplerSettings,
    counts: torch.Tensor,
    tokenizer: ElectraTokenizer,
    ids: NDArray[np.unsignedinteger] | None = None,
) -> Sampler:
    """One sampler by its name, of ``SAMPLERS``; arguments as in ``build_sampler``."""
    if name == "generator":
        return GeneratorSampler(settings.temperature)
    if name == "unigram":
        return UnigramSampler(counts)
    continues = torch.from_numpy(tokenizer.continuations)
    by_frequency = FrequencySampler(counts, continues)
    if name == "frequency":
        return by_frequency
    if ids is None:
        raise ValueError(Errors.SE431())
    words = count_words(ids, continues, tokenizer.all_special_ids)
    return WordSampler(words, continues, by_frequency)


def _error_detection(
    settings: PretrainingSettings,
    shards: Shards,
    generator: ElectraForMaskedLM,
    discriminator: ElectraForPreTraining,
    masking: Masking,
) -> ErrorDetection:
    errors = ErrorMixture(
        Lexicon.count(shards.ids, shards.tokenizer),
        settings.sampler.errors,
        settings.sampler.largest_error_share,
    )
    if settings.model.init_from:
        # A new head begins with what counting tells: how frequent each piece is.
        counts = torch.from_numpy(shards.counts).float() + 1.0
        with torch.no_grad():
            generator.head.decoder.bias.copy_((counts / counts.sum()).log())
    return ErrorDetection(
        generator,
        discriminator,
        masking,
        GeneratorSampler(),
        errors,
        rtd_weight=settings.objective.rtd_weight,
        correction_weight=settings.objective.correction_weight,
        masked_sequences=settings.objective.masked_sequences,
    )
