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
from .misspellings import read_misspellings
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
from .settings import ObjectiveSettings, PretrainingSettings, SamplerSettings
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
    # One encoder under both heads. The generator's own is drawn all the same, before it
    # goes: a seed stands for the same weights with every objective.
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
    head_is_new = True
    if model.init_from:
        head_is_new = not start_from(
            model.init_from,
            generator,
            discriminator,
            tokenizer,
            generator_source=model.generator_from,
            one_encoder=alone,
        )
    if alone:
        masking = build_masking(chosen, tokenizer)
        if chosen.name == "errors":
            if model.init_from and head_is_new:
                _count_frequencies(generator, shards)
            return _error_detection(settings, shards, generator, discriminator, masking)
        return MaskedLanguageModeling(generator, discriminator, masking)
    counts = torch.from_numpy(shards.counts)
    return build_detection(
        chosen,
        settings.sampler,
        generator,
        discriminator,
        tokenizer,
        counts,
        shards.ids,
    )


def build_detection(
    objective: ObjectiveSettings,
    sampler: SamplerSettings,
    generator: ElectraForMaskedLM,
    discriminator: ElectraForPreTraining,
    tokenizer: ElectraTokenizer,
    counts: torch.Tensor,
    ids: NDArray[np.unsignedinteger] | None = None,
) -> ReplacedTokenDetection:
    """An objective that detects, over networks that are there.

    Args:
        objective: One with a generator and a discriminator.
        sampler: Where replacements come from; "electric" always takes the generator's.
        generator: Changed in place where the two share embeddings.
        discriminator: The network that is kept.
        tokenizer: Of both.
        counts: How often each piece occurs in the corpus, [V].
        ids: Pieces of the corpus, end to end [T], in which "word" counts words.

    Raises:
        ValueError: If the sampler "word" is asked for without them.
    """
    electric = objective.name == "electric"
    counts = counts.clone()
    counts[list(tokenizer.all_special_ids)] = 0
    kind = EnergyCloze if electric else ReplacedTokenDetection
    detection = kind(
        generator,
        discriminator,
        build_masking(objective, tokenizer),
        # The probability of electric's noise has to be known.
        GeneratorSampler()
        if electric
        else build_sampler(sampler, counts, tokenizer, ids),
        rtd_weight=objective.rtd_weight,
        share_embeddings=objective.name != "rtd-gdes",
        mlm_warmup=objective.mlm_warmup,
        correction_weight=objective.correction_weight,
    )
    if objective.name == "rtd-gdes":
        disentangle(detection)
    return detection


def build_masking(settings: ObjectiveSettings, tokenizer: ElectraTokenizer) -> Masking:
    """The masking of the settings."""
    return Masking.from_tokenizer(
        tokenizer,
        whole_words=settings.mask_whole_words,
        share=settings.mask_share,
        share_masked=settings.mask_replaced,
    )


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
    sampler = settings.sampler
    listed = sampler.misspellings
    errors = ErrorMixture(
        Lexicon.count(shards.ids, shards.tokenizer),
        sampler.errors,
        sampler.largest_error_share,
        None if listed is None else read_misspellings(listed),
    )
    return ErrorDetection(
        generator,
        discriminator,
        masking,
        errors,
        rtd_weight=settings.objective.rtd_weight,
        correction_weight=settings.objective.correction_weight,
        masked_sequences=settings.objective.masked_sequences,
        sampler=GeneratorSampler(settings.sampler.temperature)
        if settings.objective.generator_samples
        else None,
    )


def _count_frequencies(generator: ElectraForMaskedLM, shards: Shards) -> None:
    """Begin a new head with what counting tells: how frequent each piece is."""
    counts = torch.from_numpy(shards.counts).float() + 1.0
    with torch.no_grad():
        generator.head.decoder.bias.copy_((counts / counts.sum()).log())
