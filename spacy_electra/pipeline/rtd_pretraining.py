"""Pretraining of replaced-token detection inside a spaCy pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.tokens import Doc
from torch import Tensor

from ..errors import Errors
from ..layers.encoding import packed_batches
from ..layers.head import Head
from ..layers.heads import generator_shim
from ..models import ElectraForMaskedLM, ElectraForPreTraining, PackedBatch
from ..models.precision import autocast
from ..pretraining.building import build_sampler
from ..pretraining.evaluation.evaluation import Evaluation, evaluate
from ..pretraining.masking import Masking
from ..pretraining.objective import ReplacedTokenDetection
from ..pretraining.settings import SamplerSettings
from ..source import resolve_source
from ..tokenization import ElectraTokenizer
from ..tokenization.alignment import align
from ..tokenization.windows import make_windows

# Below the source of a discriminator.
GENERATOR_FOLDER = "generator"


@dataclass(frozen=True)
class RTDPretrainingSettings:
    """How ``objective = "pretrain"`` trains.

    Args:
        generator: Where the generator comes from, as ``source``; None takes the folder
            "generator" below the encoder's source, or a new one if there is none.
        generator_fraction: Width of a new generator over that of the encoder.
        mask_share: Share of pieces to replace.
        mask_replaced: Share of those whose place [MASK] takes for the generator.
        rtd_weight: Weight of the discriminator's loss beside the generator's.
        weak: Sampler of the beginning: "unigram", "frequency" or "generator".
        strong: Sampler of the end.
        start: Share of places that the strong one fills at first.
        end: That share in the end.
        rise_steps: Updates over which it rises; 0 begins with the end.
        temperature: Divides the generator's scores.
        seed: Of masks and samples.
    """

    generator: str | None = None
    generator_fraction: float = 0.25
    mask_share: float = 0.15
    mask_replaced: float = 0.85
    rtd_weight: float = 50.0
    weak: str = "frequency"
    strong: str = "generator"
    start: float = 0.0
    end: float = 0.5
    rise_steps: int = 1000
    temperature: float = 1.0
    seed: int = 0


class RTDPretraining:
    """The objective over the networks of an ``RTD`` model.

    Args:
        model: Its encoder and head are the discriminator.
        settings: How to train.
        counts: How often each piece of the vocabulary occurs, int64 [V].
    """

    def __init__(
        self,
        model: Head,
        settings: RTDPretrainingSettings,
        counts: NDArray[np.int64],
    ) -> None:
        self.settings = settings
        self.encoder = model.encoder
        self.step = 0
        shim = self.encoder.load()
        assert shim.tokenizer is not None
        self.device, self.precision = shim.device, shim.precision
        self.tokenizer = shim.tokenizer
        head = model.load()
        # The parts are those of the model, so that what is trained here is there.
        with torch.random.fork_rng(devices=[]):
            discriminator = ElectraForPreTraining(shim.network.config)
        discriminator.electra, discriminator.head = shim.network, head.network
        frequencies = torch.tensor(counts)
        frequencies[self.tokenizer.all_special_ids] = 0
        self.objective = ReplacedTokenDetection(
            load_generator(model, settings),
            discriminator,
            Masking.from_tokenizer(
                self.tokenizer,
                share=settings.mask_share,
                share_masked=settings.mask_replaced,
            ),
            build_sampler(
                SamplerSettings(
                    weak=settings.weak,
                    strong=settings.strong,
                    start=settings.start,
                    end=settings.end,
                    temperature=settings.temperature,
                ),
                frequencies,
                self.tokenizer,
            ),
            rtd_weight=settings.rtd_weight,
        )

    @property
    def progress(self) -> float:
        """How far the sampler's rise has come, 0 to 1."""
        if not self.settings.rise_steps:
            return 1.0
        return min(1.0, self.step / self.settings.rise_steps)

    def update(self, docs: Sequence[Doc]) -> float:
        """Add the gradients of a batch to the weights' own.

        Args:
            docs: Only their text is used.

        Returns:
            The loss, weighted as in the objective; 0 where there is no piece.
        """
        self.objective.train()
        random = torch.Generator().manual_seed((self.settings.seed << 32) + self.step)
        loss = 0.0
        batches = self.batches(docs)
        total = sum(len(batch.input_ids) for batch in batches)
        for batch in batches:
            with autocast(self.device, self.precision):
                losses = self.objective(batch, self.progress, random)
            share: Tensor = losses.total * (len(batch.input_ids) / total)
            share.backward()
            loss += float(share.detach())
        self.step += 1
        return loss

    def evaluate(self, docs: Sequence[Doc], threshold: float) -> Evaluation:
        """Figures on held-out text, with the sampler of the end and a fixed seed."""
        with autocast(self.device, self.precision):
            return evaluate(
                self.objective,
                self.batches(docs),
                {"end": self.objective.sampler},
                threshold=threshold,
            )

    def batches(self, docs: Sequence[Doc]) -> list[PackedBatch]:
        """Docs as packed windows that do not overlap, without empty ones."""
        pieces = [part for part in align(docs, self.tokenizer) if len(part)]
        window = self.encoder.attrs["window"]
        windows = make_windows(
            pieces,
            window=window,
            stride=window - 2,
            cls_id=self.tokenizer.cls_token_id,
            sep_id=self.tokenizer.sep_token_id,
        )
        return packed_batches(windows, self.encoder.attrs["max_tokens"])


def load_generator(model: Head, settings: RTDPretrainingSettings) -> ElectraForMaskedLM:
    """The generator of a model: its own, or from where the settings say, or new.

    Raises:
        ValueError: If its embeddings do not fit those of the encoder.
    """
    shim = generator_shim(model)
    encoder = model.encoder.load()
    config = encoder.network.config
    if shim.is_empty:
        folder = _generator_folder(model, settings)
        if folder is None:
            network = ElectraForMaskedLM(config.generator(settings.generator_fraction))
        else:
            network = ElectraForMaskedLM.from_pretrained(folder)
        shim.fill(network, network.config)
    network = shim.network
    for name in ("vocab_size", "embedding_size"):
        found, expected = getattr(network.config, name), getattr(config, name)
        if found != expected:
            raise ValueError(Errors.SE351(name=name, found=found, expected=expected))
    shim.move_to_default_device()
    return network


def _generator_folder(model: Head, settings: RTDPretrainingSettings) -> Path | None:
    if settings.generator is not None:
        return resolve_source(settings.generator)
    try:
        beside = resolve_source(model.encoder.source)
    except FileNotFoundError:
        # A saved pipeline may be where its source is not.
        return None
    beside = beside / GENERATOR_FOLDER
    return beside if beside.is_dir() else None


def count_pieces(
    texts: Sequence[str], tokenizer: ElectraTokenizer
) -> NDArray[np.int64]:
    """How often each piece of the vocabulary occurs in texts, int64 [V]."""
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    for encoding in tokenizer.encode_batch(texts):
        counts += np.bincount(encoding.ids, minlength=len(counts))
    return counts
