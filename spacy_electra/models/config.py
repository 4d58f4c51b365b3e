"""The configuration of an ELECTRA network, by the names of Hugging Face's file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints import HEAD_WIDTH, read_json, refuse_without_config
from ..errors import Errors, listed
from ..source import CONFIG_NAME, resolve_source
from .activations import ACTIVATIONS

if TYPE_CHECKING:
    from typing_extensions import Self

POSITION_EMBEDDING_TYPES = ("absolute", "relative_key", "relative_key_query")
# No network is as wide, and a matrix of two such sides can still be spoken of.
LARGEST_SIZE = 2**24
PROBLEM_TYPES = (
    "regression",
    "single_label_classification",
    "multi_label_classification",
)
# What BERT's config means where it is silent and ELECTRA's would mean another thing.
_BERT_DEFAULTS = {
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
# A suggestion is looked for among so many numbers of attention heads.
_MOST_HEADS = 1024
_MOST_LABELS = 100_000

_POSITIVE = (
    "vocab_size",
    "embedding_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
_PROBABILITIES = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "summary_last_dropout",
)
_BOOLEANS = ("summary_use_proj", "use_cache", "is_decoder", "add_cross_attention")
# Fields for which null is a value of its own; elsewhere it means the default.
_NULLABLE = (
    "pad_token_id",
    "summary_activation",
    "classifier_dropout",
    "num_labels",
    "id2label",
)


@dataclass(frozen=True)
class ElectraConfig:
    """The shape of an ELECTRA network.

    Fields and defaults are those of ``transformers.ElectraConfig``; the defaults are
    the discriminator of ELECTRA-Small. Keys that are not fields stay in ``extra`` and
    go back into config.json.

    Args:
        vocab_size: Number of pieces in the vocabulary.
        embedding_size: Width of the embeddings.
        hidden_size: Width of the encoder. Where it differs from ``embedding_size`` a
            linear projection stands between the two.
        num_hidden_layers: Number of layers.
        num_attention_heads: Attention heads a layer; they divide ``hidden_size``.
        intermediate_size: Width of the feed-forward layer.
        hidden_act: Activation of the feed-forward layer, a name of ``ACTIVATIONS``.
        hidden_dropout_prob: Dropout of embeddings and of what a layer adds.
        attention_probs_dropout_prob: Dropout of the attention weights.
        max_position_embeddings: Longest sequence, in pieces.
        type_vocab_size: Number of token types (segments).
        initializer_range: Standard deviation of the initial weights.
        layer_norm_eps: Epsilon of every layer norm.
        summary_type: How a sequence becomes one vector (multiple choice).
        summary_use_proj: Whether a projection follows that summary.
        summary_activation: Activation after that projection; None for none.
        summary_last_dropout: Dropout after that activation.
        pad_token_id: Id of the padding piece, whose embedding starts at zero.
        position_embedding_type: "absolute", "relative_key" or "relative_key_query".
        use_cache: Whether a decoder returns keys and values (causal LM).
        classifier_dropout: Dropout of a classification head; None takes
            ``hidden_dropout_prob``.
        is_decoder: Whether attention looks only to the left.
        add_cross_attention: Whether a decoder attends to another encoder's states.
        num_labels: Number of labels of a classification head; by default that of
            ``id2label``, or else 2.
        id2label: Name of each label by its number, 0 and up; "LABEL_0" and so on by
            default.
        problem_type: What a head for whole texts learns, one of ``PROBLEM_TYPES``; None
            lets it follow from the labels that it is trained with.
        pruned_heads: Attention heads that are gone, by layer; both count from 0.
        extra: Any other keys of config.json.

    Raises:
        ValueError: If a value can't be; the message names it.
    """

    vocab_size: int = 30522
    embedding_size: int = 128
    hidden_size: int = 256
    num_hidden_layers: int = 12
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    summary_type: str = "first"
    summary_use_proj: bool = True
    summary_activation: str | None = "gelu"
    summary_last_dropout: float = 0.1
    pad_token_id: int | None = 0
    position_embedding_type: str = "absolute"
    use_cache: bool = True
    classifier_dropout: float | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False
    num_labels: int | None = None
    id2label: Mapping[int, str] | None = None
    problem_type: str | None = None
    pruned_heads: Mapping[int, Sequence[int]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            value = getattr(self, name)
            if not _is_int(value) or not 0 < value <= LARGEST_SIZE:
                requirement = f"an int from 1 to {LARGEST_SIZE}"
                raise ValueError(
                    Errors.SE003(name=name, requirement=requirement, value=value)
                )
        for name in _PROBABILITIES:
            value = getattr(self, name)
            if value is None and name == "classifier_dropout":
                continue
            if not _is_number(value) or not 0.0 <= value <= 1.0:
                raise ValueError(
                    Errors.SE003(
                        name=name, requirement="a probability, 0 to 1", value=value
                    )
                )
        for name in ("initializer_range", "layer_norm_eps"):
            value = getattr(self, name)
            if not _is_number(value) or not 0.0 < value < float("inf"):
                raise ValueError(
                    Errors.SE003(name=name, requirement="a positive float", value=value)
                )
        for name in _BOOLEANS:
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise ValueError(
                    Errors.SE003(name=name, requirement="true or false", value=value)
                )
        if self.hidden_size % self.num_attention_heads:
            most = min(self.num_attention_heads, _MOST_HEADS)
            suggestion = max(
                heads for heads in range(1, most + 1) if self.hidden_size % heads == 0
            )
            raise ValueError(
                Errors.SE001(
                    heads=self.num_attention_heads,
                    width=self.hidden_size,
                    suggestion=suggestion,
                )
            )
        _check_choice("hidden_act", self.hidden_act, tuple(ACTIVATIONS))
        _check_choice(
            "position_embedding_type",
            self.position_embedding_type,
            POSITION_EMBEDDING_TYPES,
        )
        if self.problem_type is not None:
            _check_choice("problem_type", self.problem_type, PROBLEM_TYPES)
        if self.pad_token_id is not None and not (
            _is_int(self.pad_token_id) and 0 <= self.pad_token_id < self.vocab_size
        ):
            raise ValueError(
                Errors.SE003(
                    name="pad_token_id",
                    requirement=f"an id below vocab_size={self.vocab_size}, or None",
                    value=self.pad_token_id,
                )
            )

        labels = _labels(self.num_labels, self.id2label)
        object.__setattr__(self, "id2label", labels)
        object.__setattr__(self, "num_labels", len(labels))
        pruned = _pruned_heads(
            self.pruned_heads, self.num_hidden_layers, self.num_attention_heads
        )
        object.__setattr__(self, "pruned_heads", pruned)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels, in the order of their numbers."""
        assert self.id2label is not None
        return tuple(self.id2label.values())

    @property
    def label2id(self) -> dict[str, int]:
        """Number of each label."""
        return {label: number for number, label in enumerate(self.labels)}

    @property
    def problem(self) -> str:
        """As ``problem_type``; where that is None, what the number of labels means."""
        if self.problem_type is not None:
            return self.problem_type
        return "regression" if len(self.labels) == 1 else "single_label_classification"

    @property
    def has_named_labels(self) -> bool:
        """Whether anybody has named the labels, or they are but "LABEL_0" and so on."""
        return self.labels != tuple(_labels(len(self.labels), None).values())

    def with_labels(
        self, labels: Sequence[str], problem_type: str | None = None
    ) -> Self:
        """The same with other labels.

        Args:
            labels: In the order of their numbers.
            problem_type: As the field; None leaves it as it is.
        """
        return replace(
            self,
            num_labels=None,
            id2label=dict(enumerate(labels)),
            problem_type=problem_type or self.problem_type,
        )

    def changed(self, **changes: Any) -> Self:
        """The same with some fields set otherwise; "num_labels" forgets the names."""
        if "num_labels" in changes:
            changes = {"id2label": None, **changes}
        elif "id2label" in changes:
            changes = {"num_labels": None, **changes}
        if "num_hidden_layers" in changes and "pruned_heads" not in changes:
            left = {
                layer: heads
                for layer, heads in self.pruned_heads.items()
                if layer < changes["num_hidden_layers"]
            }
            changes = {"pruned_heads": left, **changes}
        return replace(self, **changes)

    @property
    def architecture(self) -> str:
        """The class that config.json names first, of Transformers; "" without one."""
        return _architecture(self.extra)

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def head_dropout(self) -> float:
        """Dropout of a classification head."""
        if self.classifier_dropout is None:
            return self.hidden_dropout_prob
        return self.classifier_dropout

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """The discriminator of a known size.

        "small", "base" and "large" are those of the paper (Clark et al., 2020, table
        6); "tiny" is the shape of the checkpoint that this package bundles.

        Args:
            name: "tiny", "small", "base" or "large".
            changes: Fields to set otherwise.

        Raises:
            ValueError: If there is no such preset.
        """
        if name not in PRESETS:
            raise ValueError(Errors.SE007(name=name, choices=", ".join(PRESETS)))
        return cls(**{**PRESETS[name], **changes})

    def generator(self, fraction: float = 0.25) -> Self:
        """The generator that goes with this discriminator.

        All layers, ``fraction`` of the width, heads of the usual 64 columns and the
        same embedding size, so that the two can share their embeddings (Clark et al.,
        2020, section 3.2).

        Args:
            fraction: Width of the generator over that of the discriminator, in (0, 1].

        Raises:
            ValueError: If the fraction is outside that range.
        """
        if not 0.0 < fraction <= 1.0:
            raise ValueError(
                Errors.SE003(
                    name="fraction",
                    requirement="above 0 and at most 1",
                    value=fraction,
                )
            )
        width = round(self.hidden_size * fraction)
        heads = max(1, width // HEAD_WIDTH)
        width -= width % heads
        return replace(
            self,
            hidden_size=width,
            num_attention_heads=heads,
            intermediate_size=max(1, round(self.intermediate_size * fraction)),
            pruned_heads={},
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the mapping that a config.json holds; unknown keys go to ``extra``.

        Where a value is null the default is meant, but for fields that may be None.
        """
        names = {f.name for f in fields(cls)} - {"extra"}
        known = {
            key: value
            for key, value in values.items()
            if key in names and (value is not None or key in _NULLABLE)
        }
        extra = {key: value for key, value in values.items() if key not in names}
        # It follows from id2label; a file that has it alone names the labels by it.
        numbers = extra.pop("label2id", None)
        if known.get("id2label") is not None:
            known.pop("num_labels", None)
        elif isinstance(numbers, Mapping):
            known.pop("num_labels", None)
            known["id2label"] = {number: label for label, number in numbers.items()}
        return cls(**known, extra=extra)

    def to_dict(self) -> dict[str, Any]:
        """The mapping that goes into config.json, readable by Transformers."""
        values = asdict(self)
        extra = values.pop("extra")
        # Transformers counts them itself, and gives two of them these names.
        del values["num_labels"], values["id2label"]
        if values["problem_type"] is None:
            del values["problem_type"]
        if not values["pruned_heads"]:
            del values["pruned_heads"]
        if self.has_named_labels or self.num_labels != 2:
            values["id2label"] = {str(n): label for n, label in enumerate(self.labels)}
            values["label2id"] = self.label2id
        return {**extra, **values, "model_type": "electra"}

    @classmethod
    def from_pretrained(
        cls, source: str | os.PathLike[str], revision: str | None = None
    ) -> Self:
        """The config of a checkpoint, of an ELECTRA or a BERT.

        A BERT is an ELECTRA whose embeddings are as wide as its layers.

        Args:
            source: A directory, the name of a bundled checkpoint, a hub id, or the
                file itself.
            revision: Branch, tag or commit of a hub id, which may name it as well:
                "owner/name@revision". Nothing but config.json is fetched.

        Raises:
            FileNotFoundError: If there is no config.json.
            ValueError: If it is broken, or describes another kind of model, or a value
                can't be; the message names the file.
        """
        file = Path(source)
        if not file.is_file():
            file = resolve_source(source, revision, wanted="config") / CONFIG_NAME
            if not file.exists():
                refuse_without_config(file.parent)
        values = read_json(file)
        kind = values.get("model_type") or _kind_of(_architecture(values))
        try:
            if kind == "bert":
                values = {**_BERT_DEFAULTS, **values}
                values["embedding_size"] = values["hidden_size"]
            elif kind != "electra":
                raise ValueError(Errors.SE201(folder=file.parent, kind=kind))
            return cls.from_dict(values)
        except (TypeError, OverflowError) as error:
            raise ValueError(Errors.SE210(file=file, error=error)) from error
        except ValueError as error:
            if str(file.parent) in str(error):
                raise
            raise ValueError(Errors.SE215(file=file, error=error)) from error

    def save_pretrained(self, path: str | os.PathLike[str]) -> None:
        """Write config.json into a directory, which is made where it is missing."""
        directory = Path(path)
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_dict(), indent=2, sort_keys=True)
        (directory / CONFIG_NAME).write_text(text + "\n", encoding="utf8")


def _architecture(values: Mapping[str, Any]) -> str:
    found = values.get("architectures")
    return str(found[0]) if isinstance(found, list) and found else ""


def _kind_of(architecture: str) -> str:
    """What "model_type" would say of a class of Transformers, in small letters."""
    name = architecture.removeprefix("TF").removeprefix("Flax")
    for kind in ("Electra", "Bert"):
        if re.match(rf"{kind}(Model|LMHeadModel|For[A-Z]\w*)$", name):
            return kind.lower()
    return architecture or "electra"


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or _is_int(value)


def _labels(count: int | None, names: Mapping[int, str] | None) -> dict[int, str]:
    """The names of labels by number, in the order of their numbers.

    Args:
        count: How many there are; None for as many as there are names, or else 2.
        names: By number, which JSON writes as a string; None names them by number.

    Raises:
        ValueError: If they are not numbered from 0, or there are others than ``count``.
    """
    if count is not None and not (_is_int(count) and count >= 0):
        raise ValueError(
            Errors.SE003(name="num_labels", requirement="0 or more", value=count)
        )
    if names is None:
        # Not more than anybody has: a file must not ask for all memory.
        if count is not None and count > _MOST_LABELS:
            requirement = f"at most {_MOST_LABELS}"
            raise ValueError(
                Errors.SE003(name="num_labels", requirement=requirement, value=count)
            )
        return {n: f"LABEL_{n}" for n in range(2 if count is None else count)}
    try:
        by_number = sorted((int(n), str(label)) for n, label in names.items())
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(Errors.SE008(names=names)) from error
    numbers = [number for number, _ in by_number]
    if numbers != list(range(len(numbers))) or count not in (None, len(numbers)):
        raise ValueError(Errors.SE009(numbers=listed(numbers), count=count))
    return dict(by_number)


def _pruned_heads(
    heads: Mapping[int, Sequence[int]], layers: int, most: int
) -> dict[int, list[int]]:
    """The pruned heads of each layer that lacks some, sorted.

    Args:
        heads: By layer, whose number JSON writes as a string.
        layers: Number of layers.
        most: Heads of a whole layer.

    Raises:
        ValueError: If there is no such layer or head, or none would be left.
    """
    try:
        pruned = {int(layer): sorted(set(map(int, heads[layer]))) for layer in heads}
    except (TypeError, ValueError) as error:
        raise ValueError(Errors.SE014(value=heads)) from error
    for layer, numbers in pruned.items():
        if not 0 <= layer < layers or any(not 0 <= n < most for n in numbers):
            raise ValueError(
                Errors.SE015(layer=layer, heads=numbers, layers=layers, most=most)
            )
        if len(numbers) == most:
            raise ValueError(Errors.SE016(layer=layer, most=most))
    return {layer: pruned[layer] for layer in sorted(pruned) if pruned[layer]}


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(
            Errors.SE002(name=name, value=value, choices=", ".join(choices))
        )


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "vocab_size": 8192,
        "embedding_size": 128,
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "max_position_embeddings": 256,
    },
    "small": {},
    "base": {
        "embedding_size": 768,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
    "large": {
        "embedding_size": 1024,
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
    },
}
