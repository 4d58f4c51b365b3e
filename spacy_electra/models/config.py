"""The configuration of an ELECTRA network, by the names of Hugging Face's file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..errors import Errors
from .activations import ACTIVATIONS

CONFIG_NAME = "config.json"
POSITION_EMBEDDING_TYPES = ("absolute", "relative_key", "relative_key_query")
# One attention head of every published ELECTRA, generator or discriminator, is as wide.
HEAD_WIDTH = 64

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
        summary_activation: Activation behind that projection.
        summary_last_dropout: Dropout behind that activation.
        pad_token_id: Id of the padding piece, whose embedding starts at zero.
        position_embedding_type: "absolute", "relative_key" or "relative_key_query".
        use_cache: Whether a decoder returns keys and values (causal LM).
        classifier_dropout: Dropout of a classification head; None takes
            ``hidden_dropout_prob``.
        is_decoder: Whether attention looks only to the left.
        add_cross_attention: Whether a decoder attends to another encoder's states.
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
    summary_activation: str = "gelu"
    summary_last_dropout: float = 0.1
    pad_token_id: int | None = 0
    position_embedding_type: str = "absolute"
    use_cache: bool = True
    classifier_dropout: float | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(
                    Errors.SE003(name=name, requirement="a positive int", value=value)
                )
        for name in _PROBABILITIES:
            value = getattr(self, name)
            if value is None and name == "classifier_dropout":
                continue
            if not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
                raise ValueError(
                    Errors.SE003(
                        name=name, requirement="a probability, 0 to 1", value=value
                    )
                )
        for name in ("initializer_range", "layer_norm_eps"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or value <= 0:
                raise ValueError(
                    Errors.SE003(name=name, requirement="a positive float", value=value)
                )
        if self.hidden_size % self.num_attention_heads:
            suggestion = max(
                heads
                for heads in range(1, self.num_attention_heads + 1)
                if self.hidden_size % heads == 0
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
        if self.pad_token_id is not None and not (
            0 <= self.pad_token_id < self.vocab_size
        ):
            raise ValueError(
                Errors.SE003(
                    name="pad_token_id",
                    requirement=f"an id below vocab_size={self.vocab_size}, or None",
                    value=self.pad_token_id,
                )
            )

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def preset(cls, name: str, **changes: Any) -> ElectraConfig:
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

    def generator(self, fraction: float = 0.25) -> ElectraConfig:
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
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ElectraConfig:
        """Read the mapping that a config.json holds; unknown keys go to ``extra``."""
        names = {f.name for f in fields(cls)} - {"extra"}
        known = {key: value for key, value in values.items() if key in names}
        extra = {key: value for key, value in values.items() if key not in names}
        return cls(**known, extra=extra)

    def to_dict(self) -> dict[str, Any]:
        """The mapping that goes into config.json, readable by Transformers."""
        values = asdict(self)
        extra = values.pop("extra")
        return {**extra, **values, "model_type": "electra"}

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str]) -> ElectraConfig:
        """Read config.json, or the directory that holds it."""
        file = Path(path)
        if file.is_dir():
            file = file / CONFIG_NAME
        return cls.from_dict(json.loads(file.read_text(encoding="utf8")))

    def save_pretrained(self, path: str | os.PathLike[str]) -> None:
        """Write config.json into a directory, which is made where it is missing."""
        directory = Path(path)
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_dict(), indent=2, sort_keys=True)
        (directory / CONFIG_NAME).write_text(text + "\n", encoding="utf8")


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
