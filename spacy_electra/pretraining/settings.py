"""What a pretraining run is made of, as a config file says it."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import inf
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from thinc.api import Config, ConfigValidationError

from ..errors import Errors
from ..models import ElectraConfig
from .error_samplers import KINDS
from .optimizers import OPTIMIZERS
from .start.local_start import OFFSETS

Settings = TypeVar("Settings")
_KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a string",
    Mapping[str, Any]: "a section or a JSON object",
    Mapping[str, float]: "a section or a JSON object of numbers",
    tuple[int, ...]: "a list of whole numbers",
    tuple[str, ...]: "a list of strings",
}
INITS = ("local", "usual")
WORDS = ("cooccurrence", "random")
SAMPLERS = ("generator", "unigram", "frequency", "word")
OBJECTIVES = ("rtd", "mlm", "rtd-gdes", "electric", "errors")
PARALLEL = ("ddp", "fsdp")
TRACKERS = ("auto", "tensorboard", "wandb")
# Where configs have the folder of the corpus, and older ones had not.
_SHARDS = "paths.shards"
_CONFIG_ERROR = "\n\nConfig validation error\n"
PRECISIONS = ("auto", "fp32", "bf16")
# Least and largest values; whatever is not here is at least 0.
_LIMITS: dict[str, tuple[float, float]] = {
    "data.length": (3, inf),
    "data.batch_size": (1, inf),
    "data.short_share": (0, 1),
    "objective.mask_share": (0, 1),
    "objective.mask_replaced": (0, 1),
    "objective.mlm_warmup": (0, 1),
    "sampler.start": (0, 1),
    "sampler.end": (0, 1),
    "sampler.rise_from": (0, 1),
    "sampler.rise_to": (0, 1),
    "sampler.temperature": (1e-6, inf),
    # Numbers of batches stand behind it in 64 bits.
    "training.seed": (0, 2**31 - 1),
    "training.accumulate": (1, inf),
    "training.average": (0, 1),
    "training.report_every": (1, inf),
    "training.evaluate_every": (1, inf),
    "training.save_every": (1, inf),
    "training.keep": (1, inf),
}


def _check_limits(name: str, value: float) -> None:
    least, largest = _LIMITS.get(name, (0, inf))
    if not least <= value <= largest or value == inf:
        most = "" if largest == inf else f" and at most {largest:g}"
        requirement = f"at least {least:g}{most}"
        raise ValueError(Errors.SE003(name=name, requirement=requirement, value=value))


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value of a config file is of a type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple:
        many = isinstance(value, list | tuple)
        return many and all(_is_of(part, arguments[0]) for part in value)
    if origin in (Union, UnionType):
        return any(_is_of(value, choice) for choice in arguments)
    if origin is not None:
        return isinstance(value, origin)
    if hint in (int, float):
        # In Python True is a number.
        kinds = (int,) if hint is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool)
    return isinstance(value, hint)


def _check(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(
            Errors.SE002(name=name, value=value, choices=", ".join(choices))
        )


@dataclass(frozen=True)
class DataSettings:
    """Which sequences.

    Args:
        shards: Folder of the tokenized corpus.
        length: Pieces a sequence, [CLS] and [SEP] among them.
        batch_size: Sequences a batch.
        batch_tokens: Pieces a batch, in place of ``batch_size``; 0 for none.
        short_share: Share of the sequences to cut into short ones of random length,
            which begin with a sentence where they can: what texts of one sentence look
            like.
    """

    shards: str
    length: int = 128
    batch_size: int = 32
    batch_tokens: int = 0
    short_share: float = 0.0


@dataclass(frozen=True)
class ModelSettings:
    """Which networks.

    Args:
        size: Preset of the discriminator.
        init_from: Begin with the weights of a checkpoint: a folder, the name of a
            bundled one or a hub id, of a discriminator, a BERT, or a run; it must have
            the shape that the other settings say. "" for none.
        generator_from: The same for the generator; by default the one that lies beside
            the discriminator of ``init_from``, if there is one.
        discriminator: Fields of its config to set otherwise.
        generator_fraction: Width of the generator over that of the discriminator.
        generator: Fields of the generator's config to set otherwise.
        init: "local" (attention sees its neighbours from the start) or "usual".
        local_offsets: Where the first heads look, one each, with ``init = "local"``.
        local_layers: Number of layers that begin like that.
        words: "cooccurrence" (word embeddings and output biases begin with counts of
            the corpus) or "random".
    """

    size: str = "small"
    init_from: str = ""
    generator_from: str = ""
    discriminator: Mapping[str, Any] = field(default_factory=dict)
    generator_fraction: float = 0.25
    generator: Mapping[str, Any] = field(default_factory=dict)
    init: str = "local"
    local_offsets: tuple[int, ...] = OFFSETS
    local_layers: int = 1
    words: str = "cooccurrence"

    def configs(self, vocab_size: int) -> tuple[ElectraConfig, ElectraConfig]:
        """The configs of generator and discriminator."""
        discriminator = ElectraConfig.preset(
            self.size, **{**self.discriminator, "vocab_size": vocab_size}
        )
        generator = discriminator.generator(self.generator_fraction)
        return replace(generator, **self.generator), discriminator


@dataclass(frozen=True)
class ObjectiveSettings:
    """What to learn: masking and the weight of the two losses.

    Args:
        name: "rtd" (the paper's), "mlm" (the encoder alone, as a masked language
            model), "rtd-gdes" (gradient-disentangled embedding sharing), "electric"
            (energies, against the generator's samples alone) or "errors" (one encoder
            detects errors of the kinds in ``sampler.errors`` and guesses words).
        mask_share: Share of pieces to predict.
        mask_replaced: Share of those whose place [MASK] takes; the rest stay. 1 with
            "electric".
        rtd_weight: Weight of the discriminator's loss.
        mlm_warmup: Share of the training in which the discriminator's encoder learns
            as a masked language model first.
        mask_whole_words: Whether all pieces of a word are masked together.
        correction_weight: Weight, after that, of naming the piece that stood at a
            corrupted place.
        masked_sequences: With "errors", share of the sequences that are masked and
            guessed; the others are the ones with errors.
        generator_samples: With "errors", whether those sequences serve once more, for
            the detection, with samples of the generator in the masked places.
    """

    name: str = "rtd"
    mask_share: float = 0.15
    mask_replaced: float = 0.85
    mask_whole_words: bool = False
    rtd_weight: float = 50.0
    mlm_warmup: float = 0.0
    correction_weight: float = 0.0
    masked_sequences: float = 0.25
    generator_samples: bool = False

    def __post_init__(self) -> None:
        _check("objective.name", self.name, OBJECTIVES)
        if self.name == "electric" and self.mask_replaced < 1:
            raise ValueError(Errors.SE435(value=self.mask_replaced))


@dataclass(frozen=True)
class SamplerSettings:
    """Where replacements come from: a mixture that goes from weak to strong.

    Args:
        weak: Sampler of the beginning: "unigram", "frequency", "word" or
            "generator".
        strong: Sampler of the end.
        start: Share of places that the strong one fills at first.
        end: That share from ``rise_to`` on.
        rise_from: Share of the training after which it begins to rise.
        rise_to: Share of the training after which it has risen.
        temperature: Divides the generator's scores.
        errors: With the objective "errors", how often each kind of error occurs beside
            the others: keys of ``error_samplers.KINDS``.
        largest_error_share: The same: a sequence has between none and this share of
            wrong words.
        misspellings: File for the kind "misspelling", one a line: recieve->receive.
    """

    weak: str = "frequency"
    strong: str = "generator"
    start: float = 0.0
    end: float = 1.0
    rise_from: float = 0.0
    rise_to: float = 1.0
    temperature: float = 1.0
    errors: Mapping[str, float] = field(default_factory=dict)
    largest_error_share: float = 0.25
    misspellings: str | None = None

    def __post_init__(self) -> None:
        _check("sampler.weak", self.weak, SAMPLERS)
        _check("sampler.strong", self.strong, SAMPLERS)


@dataclass(frozen=True)
class OptimizerSettings:
    """How weights change.

    Args:
        name: A key of ``OPTIMIZERS``.
        learn_rate: Of AdamW.
        muon_learn_rate: Of Muon, where it is used.
        weight_decay: What a weight loses each step, times the learning rate; layer
            norms and biases lose nothing.
        warmup_steps: Steps over which both rise from zero.
        grad_clip: Largest norm of the gradient; 0 leaves it as it is.
        layer_decay: Factor of the learning rate from each layer to the one below it;
            what lies under the first layer takes one more. Below 1 it keeps what a
            checkpoint knows in its first layers.
    """

    name: str = "muon"
    learn_rate: float = 2e-3
    muon_learn_rate: float = 0.02
    weight_decay: float = 0.01
    warmup_steps: int = 100
    grad_clip: float = 1.0
    layer_decay: float = 1.0


@dataclass(frozen=True)
class TrainingSettings:
    """How long, and what is kept and reported on the way.

    Args:
        seed: Of the weights, the order, the masks and the samples.
        precision: "auto", "fp32" or "bf16".
        max_steps: End of the training in steps; 0 for none.
        max_tokens: End of the training in pieces; 0 for none.
        max_minutes: End of the training in minutes of training time; 0 for none. Where
            several ends are given, the first one counts.
        accumulate: Batches a step, over all processes; raised to a multiple of the
            number of processes.
        parallel: What several processes do with the weights: "ddp" (each holds all of
            them) or "fsdp" (each holds a part, for networks that are large beside the
            memory of a device).
        compile: Whether to compile the feed-forward layers with ``torch.compile``.
        average: Decay of a moving average of the weights, which is what is evaluated
            and kept in the end; 0 for none.
        report_every: Steps between lines of the log.
        evaluate_every: Steps between evaluations on the held-out text.
        evaluate_sequences: Sequences of held-out text to evaluate on.
        save_every: Steps between checkpoints.
        keep: Number of checkpoints to keep.
        keep_best: Whether to keep the best checkpoint besides: of those with metrics
            of their own step.
        best_by: Column of the log that tells which is best; by default "auc_frequency",
            or "mlm_loss" with the objective "mlm".
        most_repeats: Warn when a text is seen more often than this.
        trackers: Where else to log: "tensorboard", "wandb"; "auto" is TensorBoard where
            it is installed.
    """

    seed: int = 0
    precision: str = "auto"
    max_steps: int = 0
    max_tokens: int = 0
    max_minutes: float = 0.0
    accumulate: int = 1
    parallel: str = "ddp"
    compile: bool = False
    average: float = 0.0
    report_every: int = 50
    evaluate_every: int = 500
    evaluate_sequences: int = 256
    save_every: int = 500
    keep: int = 2
    keep_best: bool = True
    best_by: str = ""
    most_repeats: float = 4.0
    trackers: tuple[str, ...] = ("auto",)

    def progress(self, step: int, tokens: int, seconds: float) -> float:
        """How much of the budget is used up, 0 to 1."""
        shares = [
            used / limit
            for used, limit in (
                (step, self.max_steps),
                (tokens, self.max_tokens),
                (seconds / 60, self.max_minutes),
            )
            if limit
        ]
        return min(1.0, max(shares, default=0.0))


@dataclass(frozen=True)
class PretrainingSettings:
    """All settings of a run, one field a section of the config file."""

    data: DataSettings
    model: ModelSettings = ModelSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    sampler: SamplerSettings = SamplerSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    training: TrainingSettings = TrainingSettings()

    def __post_init__(self) -> None:
        known = tuple(field.name for field in fields(ElectraConfig))
        for name in (*self.model.discriminator, *self.model.generator):
            _check("field of a network", name, known)
        _check("model.init", self.model.init, INITS)
        _check("model.words", self.model.words, WORDS)
        self._check_errors()
        _check("optimizer.name", self.optimizer.name, tuple(OPTIMIZERS))
        decay = self.optimizer.layer_decay
        if not 0 < decay <= 1 or (decay < 1 and self.optimizer.name == "muon"):
            raise ValueError(Errors.SE470(value=decay, name=self.optimizer.name))
        _check("training.parallel", self.training.parallel, PARALLEL)
        if self.training.parallel == "fsdp" and self.optimizer.name == "muon":
            raise ValueError(Errors.SE434())
        for name in self.training.trackers:
            _check("training.trackers", name, TRACKERS)
        training = self.training
        if not (training.max_steps or training.max_tokens or training.max_minutes):
            raise ValueError(Errors.SE410())
        _check("training.precision", self.training.precision, PRECISIONS)
        for section in fields(self):
            for name, value in vars(getattr(self, section.name)).items():
                if isinstance(value, int | float):
                    _check_limits(f"{section.name}.{name}", value)

    def _check_errors(self) -> None:
        errors = self.sampler.errors
        for name in errors:
            _check("sampler.errors", name, KINDS)
        if self.objective.name != "errors":
            return
        if not sum(errors.values()) > 0 or min(errors.values()) < 0:
            raise ValueError(Errors.SE471(value=dict(errors)))
        if errors.get("misspelling") and self.sampler.misspellings is None:
            raise ValueError(Errors.SE461())
        for name, share in (
            ("sampler.largest_error_share", self.sampler.largest_error_share),
            ("objective.masked_sequences", self.objective.masked_sequences),
        ):
            if not 0 <= share <= 1:
                raise ValueError(
                    Errors.SE003(name=name, requirement="between 0 and 1", value=share)
                )

    @property
    def best_by(self) -> str:
        """The column of the log that tells which checkpoint is best."""
        usual = "mlm_loss" if self.objective.name == "mlm" else "auc_frequency"
        return self.training.best_by or usual

    @classmethod
    def of_defaults(cls) -> PretrainingSettings:
        """What is not set is like this; only the corpus and an end are made up."""
        return cls(DataSettings(""), training=TrainingSettings(max_steps=1))

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None
    ) -> PretrainingSettings:
        """Read a config file in spaCy's format.

        Args:
            path: The file.
            overrides: Values by "section.name", as on the command line.

        Raises:
            ValueError: If the file is no config, or a section or key is unknown; the
                message names it.
        """
        changes = dict(overrides or {})
        try:
            if _SHARDS in changes:
                plain = Config().from_disk(Path(path), interpolate=False)
                if "paths" not in plain:
                    changes["data.shards"] = changes.pop(_SHARDS)
            config = Config().from_disk(Path(path), overrides=changes)
        except (ConfigValidationError, configparser.Error, UnicodeDecodeError) as error:
            said = " ".join(str(error).removeprefix(_CONFIG_ERROR).split())
            raise ValueError(Errors.SE453(path=path, error=said)) from error
        return cls.from_dict(config)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> PretrainingSettings:
        """From sections of plain values."""
        sections = {
            "data": DataSettings,
            "model": ModelSettings,
            "objective": ObjectiveSettings,
            "sampler": SamplerSettings,
            "optimizer": OptimizerSettings,
            "training": TrainingSettings,
        }
        plain = {key: value for key, value in config.items() if key != "paths"}
        for name in plain:
            if name not in sections:
                choices = ", ".join(sections)
                raise ValueError(
                    Errors.SE411(kind="section", name=name, choices=choices)
                )
        return cls(
            **{
                name: settings_from(kind, name, plain.get(name, {}))
                for name, kind in sections.items()
            }
        )


def settings_from(
    kind: type[Settings], section: str, values: Mapping[str, Any]
) -> Settings:
    """Settings of a kind from the keys and values of a section.

    Raises:
        ValueError: If a key is unknown or missing; the message names it.
    """
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            raise ValueError(
                Errors.SE411(
                    kind=f"key in [{section}]", name=name, choices=", ".join(names)
                )
            )
    hints = get_type_hints(kind)
    for name, value in values.items():
        if not _is_of(value, hints[name]):
            what = _KINDS.get(hints[name], str(hints[name]))
            raise ValueError(
                Errors.SE003(name=f"{section}.{name}", requirement=what, value=value)
            )
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(Errors.SE412(section=section, error=error)) from error
