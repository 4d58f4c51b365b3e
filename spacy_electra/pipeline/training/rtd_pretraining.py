"""Pretraining of replaced-token detection inside a spaCy pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry
from torch import Tensor

from ...errors import Errors
from ...layers.division import add_up, current_division, own_random_numbers
from ...layers.encoding import packed_batches
from ...layers.head_model import Head
from ...layers.heads import generator_shim
from ...models import ElectraForMaskedLM, ElectraForPreTraining, PackedBatch
from ...models.precision import autocast
from ...pretraining.building import build_sampler
from ...pretraining.evaluation.evaluation import Evaluation, evaluate
from ...pretraining.masking import Masking
from ...pretraining.objective import ReplacedTokenDetection
from ...pretraining.settings import SAMPLERS, SamplerSettings
from ...source import resolve_source
from ...tokenization import ElectraTokenizer
from ...tokenization.alignment import align
from ...tokenization.windows import make_windows
from ..component import is_made_up
from ..generators import folder_beside
from ..scorers.rtd import Scores, detection_scores
from .rtd import RTDObjective

if TYPE_CHECKING:
    from ..rtd import ElectraRTD

# Where the number of a process goes in a seed, above those of the seed and the step.
_RANK_BITS = 52


@registry.misc("spacy-electra.PretrainRTD.v1")
@dataclass(frozen=True)
class PretrainRTD(RTDObjective):
    """Learns from raw text, with a generator that replaces words.

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

    Raises:
        ValueError: If a value can't be; the message names it.
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
    name: ClassVar[str] = "pretrain"

    def __post_init__(self) -> None:
        for name in ("mask_share", "mask_replaced", "start", "end"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(
                    Errors.SE003(name=name, requirement="from 0 to 1", value=value)
                )
        for name in ("temperature", "generator_fraction"):
            value = getattr(self, name)
            if value <= 0:
                requirement = "a positive float"
                raise ValueError(
                    Errors.SE003(name=name, requirement=requirement, value=value)
                )
        for name in ("rtd_weight", "rise_steps"):
            value = getattr(self, name)
            if value < 0:
                raise ValueError(
                    Errors.SE003(name=name, requirement="0 or more", value=value)
                )
        for name in ("weak", "strong"):
            value = getattr(self, name)
            if value not in SAMPLERS:
                choices = ", ".join(SAMPLERS)
                raise ValueError(Errors.SE002(name=name, value=value, choices=choices))

    def begin(self, component: ElectraRTD, examples: Sequence[Example]) -> None:
        """Count the pieces of the data, and start from the first step."""
        component.pretraining = None
        component.cfg["pretraining_steps"] = 0
        component.model.attrs["piece_counts"] = None
        if not component.is_listening and not is_made_up(examples):
            texts = [example.predicted.text for example in examples]
            _count(component.model, texts)

    def learn(self, component: ElectraRTD, examples: Sequence[Example]) -> float:
        """Learn from the text of the examples.

        Raises:
            ValueError: If the encoder is another component's.
        """
        docs = [example.predicted for example in examples]
        # Saved with the component, so that the sampler's rise goes on where it was.
        step = component.cfg.get("pretraining_steps", 0)
        loss = self._on(component, docs).update(docs, step)
        component.cfg["pretraining_steps"] = step + 1
        return loss

    def score(
        self, component: ElectraRTD, examples: Sequence[Example]
    ) -> Scores | None:
        """Score both networks on the examples' text, its words replaced as in training.

        None where the encoder is another component's.
        """
        if component.is_listening:
            return None
        docs = [example.predicted for example in examples]
        figures = self._on(component, docs).evaluate(docs, component.threshold)
        if figures is None:
            return {}
        return {
            **detection_scores(figures.detection["end"]),
            "rtd_mlm_loss": figures.mlm_loss,
            "rtd_mlm_accuracy": figures.mlm_accuracy,
        }

    def _on(self, component: ElectraRTD, docs: Sequence[Doc]) -> RTDPretraining:
        if component.is_listening:
            raise ValueError(Errors.SE352())
        model, pretraining = component.model, component.pretraining
        if pretraining is None or not pretraining.is_of(model, self):
            counts = model.attrs["piece_counts"]
            if counts is None:
                # A pipeline that goes on training without nlp.initialize().
                counts = _count(model, [doc.text for doc in docs])
            pretraining = RTDPretraining(model, self, np.asarray(counts))
            component.pretraining = pretraining
        return pretraining


def _count(model: Head, texts: Sequence[str]) -> NDArray[np.int64]:
    tokenizer = model.encoder.load().tokenizer
    assert tokenizer is not None
    counts = count_pieces(texts, tokenizer)
    model.attrs["piece_counts"] = counts
    return counts


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
        settings: PretrainRTD,
        counts: NDArray[np.int64],
    ) -> None:
        self.settings = settings
        self.encoder = model.encoder
        head, shim = model.load(), self.encoder.load()
        assert shim.tokenizer is not None
        self.device, self.precision = shim.device, shim.precision
        self.tokenizer = shim.tokenizer
        # The parts are those of the model, so that what is trained here is there.
        with torch.device("meta"):
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

    def is_of(self, model: Head, settings: PretrainRTD) -> bool:
        """Whether it trains the networks that a model holds now, by these settings."""
        shims = (model.encoder.shim, model.shim, generator_shim(model))
        if self.settings != settings or any(shim.is_empty for shim in shims):
            return False
        discriminator, generator = (
            self.objective.discriminator,
            self.objective.generator,
        )
        mine = (discriminator.electra, discriminator.head, generator)
        return all(a is shim.network for a, shim in zip(mine, shims, strict=True))

    def __reduce__(self) -> Any:
        # A copy of the component, or another process, makes its own where it trains.
        return type(None), ()

    def progress(self, step: int) -> float:
        """How far the sampler's rise has come, 0 to 1."""
        if not self.settings.rise_steps:
            return 1.0
        return min(1.0, step / self.settings.rise_steps)

    def update(self, docs: Sequence[Doc], step: int) -> float:
        """Add the gradients of a batch to the weights' own.

        Processes that train together take a share each, and mask it by random numbers
        of their own.

        Args:
            docs: Only their text is used.
            step: Updates before this one.

        Returns:
            The loss, weighted as in the objective; 0 where there is no piece to mask.
        """
        self.objective.train()
        batches = self.batches(docs)
        total = sum(len(batch.input_ids) for batch in batches)
        seed, division = (self.settings.seed << 32) + step, current_division()
        if division is not None:
            batches = self._learnable(division.share(batch)[0] for batch in batches)
            seed += division.rank << _RANK_BITS
        random = torch.Generator().manual_seed(seed)
        with own_random_numbers(self.device):
            return add_up(self._learn(batches, total, step, random))

    def _learn(
        self,
        batches: Sequence[PackedBatch],
        total: int,
        step: int,
        random: torch.Generator,
    ) -> float:
        loss = 0.0
        for batch in batches:
            with autocast(self.device, self.precision):
                losses = self.objective(batch, self.progress(step), random)
            share: Tensor = losses.total * (len(batch.input_ids) / total)
            share.backward()
            loss += float(share.detach())
        return loss

    def evaluate(self, docs: Sequence[Doc], threshold: float) -> Evaluation | None:
        """Metrics on held-out text, with the sampler of the end and a fixed seed.

        None where there is no piece to mask.
        """
        batches = self.batches(docs)
        if not batches:
            return None
        with autocast(self.device, self.precision):
            return evaluate(
                self.objective,
                batches,
                {"end": self.objective.sampler},
                threshold=threshold,
            )

    def batches(self, docs: Sequence[Doc]) -> list[PackedBatch]:
        """Docs as packed windows that do not overlap.

        Those go that have no piece to mask: empty ones, and where all is unknown.
        """
        pieces = [part for part in align(docs, self.tokenizer) if len(part)]
        window = self.encoder.attrs["window"]
        windows = make_windows(
            pieces,
            window=window,
            stride=window - 2,
            cls_id=self.tokenizer.cls_token_id,
            sep_id=self.tokenizer.sep_token_id,
        )
        return self._learnable(
            packed_batches(windows, self.encoder.attrs["max_tokens"])
        )

    def _learnable(self, batches: Iterable[PackedBatch]) -> list[PackedBatch]:
        special = torch.tensor(self.tokenizer.all_special_ids)
        return [b for b in batches if not torch.isin(b.input_ids, special).all()]


def load_generator(model: Head, settings: PretrainRTD) -> ElectraForMaskedLM:
    """The generator of a model: its own, or from where the settings say, or new.

    Raises:
        ValueError: If its embeddings do not fit those of the encoder.
    """
    shim = generator_shim(model)
    encoder = model.encoder.load()
    config = encoder.network.config
    if shim.is_empty:
        folder = folder_beside(model.encoder.source)
        if settings.generator is not None:
            folder = resolve_source(settings.generator)
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


def count_pieces(
    texts: Sequence[str], tokenizer: ElectraTokenizer
) -> NDArray[np.int64]:
    """How often each piece of the vocabulary occurs in texts, int64 [V]."""
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    for encoding in tokenizer.encode_batch(texts):
        counts += np.bincount(encoding.ids, minlength=len(counts))
    return counts
