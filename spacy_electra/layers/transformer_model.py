"""The encoder inside spacy-transformers, `spacy-electra.TransformerModel.v1`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from inspect import signature
from typing import Any, cast

import torch
from spacy.tokens import Doc, Span
from spacy.util import registry
from thinc.api import Model, chain
from thinc.types import Floats2d, Ragged
from torch import Tensor

from ..errors import Errors, Warnings
from ..models import ElectraConfig, ElectraModel, PackedBatch
from ..models.pretrained import LoadReport
from ..tokenization import ElectraTokenizer
from ..tokenization.alignment import align, align_spans
from ..tokenization.windows import SPECIALS, make_windows
from .adapter import FullTransformerBatch, split_trf_batch, trfs2arrays
from .division import current_division
from .encoder import Encoder, open_source
from .encoder_shim import EncoderShim
from .encoding import (
    EncoderSettings,
    Network,
    WithEncoder,
    encode,
    last_hidden,
    note_language,
)
from .listener import EncoderListener
from .transformer_batch import ElectraBatch

SpanGetter = Callable[[list[Doc]], list[list[Span]]]
Backprop = Callable[[FullTransformerBatch], list[Doc]]
# What a config for Transformers may say that goes without saying here.
_IMPLIED = ("use_fast", "return_dict")
_REVISION = "revision"
_NO_FIELDS = ("output_hidden_states", "output_attentions", _REVISION)


@registry.architectures("spacy-electra.TransformerModel.v1")
def make_transformer_model(
    name: str,
    get_spans: SpanGetter | None = None,
    tokenizer_config: dict[str, Any] = {},  # noqa: B006
    transformer_config: dict[str, Any] = {},  # noqa: B006
    mixed_precision: bool = False,
    grad_scaler_config: dict[str, Any] = {},  # noqa: B006
    window: int = EncoderSettings.window,
    stride: int = EncoderSettings.stride,
    max_tokens: int = EncoderSettings.max_tokens,
    precision: str = EncoderSettings.precision,
    layer_decay: float = EncoderSettings.layer_decay,
    frozen_layers: int = EncoderSettings.frozen_layers,
    gradient_checkpointing: bool = EncoderSettings.gradient_checkpointing,
) -> TransformerModel:
    """An ELECTRA encoder that spacy-transformers' components take for one of theirs.

    The first six arguments are those of ``spacy-transformers.TransformerModel.v3``.

    Args:
        name: A directory, the name of a bundled checkpoint, or an id on the Hugging
            Face hub, "owner/name" or "owner/name@revision". It is read by
            ``nlp.initialize()``, or at first use; a saved pipeline holds its own
            weights and never looks at it again.
        get_spans: Cuts Docs into spans, each of which is encoded alone; one with more
            pieces than the encoder has positions runs in overlapping windows. Without
            it a Doc is encoded whole, in windows of pieces.
        tokenizer_config: Settings of ``ElectraTokenizer`` to set otherwise.
        transformer_config: Fields of ``ElectraConfig`` to set otherwise;
            ``output_hidden_states``, ``output_attentions``, and ``revision`` of a hub
            id, which holds for the tokenizer too.
        mixed_precision: Asks for bf16 where ``precision`` is "auto".
        grad_scaler_config: Not used; bf16 needs no scaling of gradients.
        window: Most pieces that attend to each other, where there is no ``get_spans``.
        stride: Pieces from the start of a window to that of the next.
        max_tokens: Most pieces of one forward pass; it bounds memory.
        precision: "auto" (bf16 where the device is fast in it), "fp32", "bf16", or
            "int8" (on a CPU, where nothing is learned; all else is as with "auto").
        layer_decay: Learning rate of a layer over that of the layer above it.
        frozen_layers: Number of layers, from the lowest, that never change; with them
            the embeddings.
        gradient_checkpointing: Whether training saves memory and takes longer.

    Returns:
        A model from Docs to a FullTransformerBatch.

    Raises:
        ValueError: If there is no such precision, or the windows make no sense.
    """
    settings = EncoderSettings(
        window=window,
        stride=stride,
        max_tokens=max_tokens,
        precision=_precision(precision, mixed_precision),
        layer_decay=layer_decay,
        frozen_layers=frozen_layers,
        gradient_checkpointing=gradient_checkpointing,
    )
    return TransformerModel(
        settings.shim(),
        {
            "name": name,
            "get_spans": get_spans,
            "tokenizer_config": dict(tokenizer_config),
            "transformer_config": dict(transformer_config),
            **settings.attrs,
            "replace_listener": replace_listener,
            "replace_listener_cfg": replace_listener_cfg,
        },
    )


@registry.architectures("spacy-electra.Tok2VecTransformer.v1")
def Tok2VecTransformer(
    name: str,
    pooling: Model[Ragged, Floats2d],
    get_spans: SpanGetter | None = None,
    tokenizer_config: dict[str, Any] = {},  # noqa: B006
    grad_factor: float = 1.0,
    transformer_config: dict[str, Any] = {},  # noqa: B006
    mixed_precision: bool = False,
    grad_scaler_config: dict[str, Any] = {},  # noqa: B006
    window: int = EncoderSettings.window,
    stride: int = EncoderSettings.stride,
    max_tokens: int = EncoderSettings.max_tokens,
    precision: str = EncoderSettings.precision,
    layer_decay: float = EncoderSettings.layer_decay,
    frozen_layers: int = EncoderSettings.frozen_layers,
    gradient_checkpointing: bool = EncoderSettings.gradient_checkpointing,
) -> Model[list[Doc], list[Floats2d]]:
    """As ``spacy-transformers.Tok2VecTransformer.v3``: an encoder of one component.

    Args:
        name: As in ``spacy-electra.TransformerModel.v1``, like all but two.
        pooling: From the pieces of each token to one vector.
        grad_factor: What gradients are multiplied by on their way to the encoder.
    """
    encoder = make_transformer_model(
        name,
        get_spans,
        tokenizer_config,
        transformer_config,
        mixed_precision,
        grad_scaler_config,
        window=window,
        stride=stride,
        max_tokens=max_tokens,
        precision=precision,
        layer_decay=layer_decay,
        frozen_layers=frozen_layers,
        gradient_checkpointing=gradient_checkpointing,
    )
    # The nesting is that of a TransformerListener whose listener was replaced, so that
    # the saved weights of one open in the other.
    return chain(chain(encoder, split_trf_batch()), trfs2arrays(pooling, grad_factor))


class TransformerModel(WithEncoder[list[Doc], FullTransformerBatch]):
    """A Thinc model with the attributes that code for spacy-transformers looks for.

    Args:
        shim: Holds the network and the tokenizer.
        attrs: As ``spacy-electra.TransformerModel.v1`` sets them.
    """

    __slots__ = ()

    def __init__(self, shim: EncoderShim, attrs: dict[str, Any]) -> None:
        super().__init__(
            "transformer",
            _forward,
            init=_initialize,
            dims={"nO": None},
            attrs=attrs,
            shims=[shim],
        )

    @property
    def source(self) -> str:
        """The name that spacy-transformers gives it; see ``WithEncoder``."""
        return _with_revision(self.attrs["name"], self.attrs["transformer_config"])

    @property
    def source_key(self) -> str:
        """The key that spacy-transformers has for it; see ``WithEncoder``."""
        return "name"

    @property
    def tokenizer(self) -> ElectraTokenizer | None:
        """The tokenizer, if there is one yet."""
        return self.shim.tokenizer

    @property
    def transformer(self) -> ElectraModel | None:
        """The network, if there is one yet."""
        return None if self.shim.is_empty else cast(ElectraModel, self.shim.network)

    def open(self, cls: type[Network]) -> tuple[Network, LoadReport]:
        """Read the source as a model; see ``WithEncoder``."""
        attrs = self.attrs
        config = attrs["transformer_config"]
        tokenizer = attrs["tokenizer_config"]
        # The tokenizer comes from where the weights come from.
        revision = tokenizer.get(_REVISION)
        same = (_REVISION,) if revision == config.get(_REVISION) else ()
        return open_source(
            self,
            cls,
            attrs["window"] if attrs["get_spans"] is None else SPECIALS + 1,
            _known(config, "transformer_config", _config_fields(), _NO_FIELDS),
            _known(tokenizer, "tokenizer_config", _tokenizer_settings(), same),
        )


def _initialize(model: TransformerModel, X: Any = None, Y: Any = None) -> None:
    # As in spacy-transformers: what was loaded or trained stays.
    if model.shim.is_empty:
        model.open(ElectraModel)
    if X is not None:
        model.calibrate(X)
    assert model.shim.config is not None
    model.set_dim("nO", model.shim.config.hidden_size, force=True)


def _with_revision(name: str, transformer_config: Mapping[str, Any]) -> str:
    """A source with the revision that a config for Transformers has elsewhere."""
    revision = transformer_config.get(_REVISION)
    is_told = not revision or name.endswith(f"@{revision}")
    return name if is_told else f"{name}@{revision}"


def _config_fields() -> set[str]:
    return {f.name for f in fields(ElectraConfig)} - {"extra"}


def _tokenizer_settings() -> set[str]:
    parameters = signature(ElectraTokenizer).parameters
    return set(parameters) - {"vocab"}


def _known(
    values: Mapping[str, Any],
    section: str,
    names: set[str],
    others: Sequence[str] = (),
) -> dict[str, Any]:
    """The values that mean something; warns of the rest."""
    rest = [key for key in values if key not in {*names, *_IMPLIED, *others}]
    if rest:
        warnings.warn(
            Warnings.SW311(section=section, names=", ".join(rest)), stacklevel=2
        )
    return {key: value for key, value in values.items() if key in names}


def replace_listener(
    model: TransformerModel, listener: Model[Any, Any], component: Any
) -> Model[Any, Any]:
    """What takes a listener's place: the encoder, with the listener's output.

    Args:
        model: A copy of the encoder for the component that listened.
        listener: What it replaces.
        component: The one that was listened to.
    """
    if not isinstance(listener, EncoderListener):
        return chain(model, split_trf_batch())
    attrs = model.attrs
    encoder = Encoder(
        model.source,
        attrs["window"],
        attrs["stride"],
        attrs["max_tokens"],
        tokenizer_config=_settings(attrs["tokenizer_config"]),
    )
    shim, own = model.shim, encoder.shim
    own.precision, own.tuning = shim.precision, shim.tuning
    own.quantizes, own.stores_int8 = shim.quantizes, shim.stores_int8
    own.calibration = shim.calibration
    if not shim.is_empty:
        assert shim.config is not None
        own.fill(shim.network, shim.config, shim.tokenizer)
        encoder.set_dim("nO", shim.config.hidden_size, force=True)
    return encoder


def replace_listener_cfg(
    encoder: dict[str, Any], listener: dict[str, Any]
) -> dict[str, Any]:
    """The config that goes with ``replace_listener``.

    Args:
        encoder: Config of a TransformerModel.
        listener: Config of what listened: with a pooling; bare, for one of this
            package's components; or with that as its ``encoder``.
    """
    kind = listener["@architectures"]
    if "TransformerListener" in kind:
        return {
            **encoder,
            # The default of this package's listener.
            "pooling": listener["pooling"] or {"@layers": "reduce_mean.v1"},
            "grad_factor": listener["grad_factor"],
            "@architectures": "spacy-electra.Tok2VecTransformer.v1",
        }
    own = _own_encoder(encoder)
    return own if "EncoderListener" in kind else {**listener, "encoder": own}


def _own_encoder(config: dict[str, Any]) -> dict[str, Any]:
    """The config of an Encoder that is equal to a TransformerModel."""
    shared = set(signature(Encoder).parameters)
    own = {name: value for name, value in config.items() if name in shared}
    own["@architectures"] = "spacy-electra.Encoder.v1"
    changes = config.get("transformer_config", {})
    own["source"] = _with_revision(config["name"], changes)
    own["tokenizer_config"] = _settings(config.get("tokenizer_config", {}))
    own["precision"] = _precision(
        config.get("precision", EncoderSettings.precision),
        config.get("mixed_precision", False),
    )
    return own


def _settings(tokenizer_config: dict[str, Any]) -> dict[str, Any]:
    known = _tokenizer_settings()
    return {name: value for name, value in tokenizer_config.items() if name in known}


def _precision(precision: str, mixed_precision: bool) -> str:
    return "bf16" if mixed_precision and precision == "auto" else precision


def all_hidden(network: Any, batch: PackedBatch) -> Tensor:
    """States before the first layer and after each, [layers + 1, T, H]."""
    encoded = network.forward_packed(batch, output_hidden_states=True)
    return torch.stack(encoded.hidden_states)


def all_hidden_and_attentions(
    network: Any, batch: PackedBatch, attentions: list[list[Tensor]]
) -> Tensor:
    """As ``all_hidden``, through the padded path, which computes attention weights.

    Args:
        network: Encodes.
        batch: T pieces.
        attentions: To those of each layer the weights of each sequence are added.
    """
    lengths = torch.tensor(batch.lengths, device=batch.input_ids.device)
    longest = int(lengths.max())
    mask = torch.arange(longest, device=lengths.device)[None] < lengths[:, None]
    ids = torch.zeros(mask.shape, dtype=torch.long, device=mask.device)
    ids[mask] = batch.input_ids
    encoded = network(
        ids, mask.long(), output_attentions=True, output_hidden_states=True
    )
    for layer, weights in zip(attentions, encoded.attentions, strict=True):
        layer.extend(weights.detach())
    return torch.stack([state[mask] for state in encoded.hidden_states])


def _forward(
    model: TransformerModel, docs: list[Doc], is_train: bool
) -> tuple[ElectraBatch, Backprop]:
    shim = model.load()
    assert shim.tokenizer is not None and shim.config is not None
    get_spans = model.attrs["get_spans"]
    if get_spans is None:
        nested = None
        pieces = align(docs, shim.tokenizer)
        window, stride = model.attrs["window"], model.attrs["stride"]
    else:
        # An empty span has neither tokens nor pieces to tell of.
        nested = [[s for s in spans if len(s)] for spans in get_spans(docs)]
        flat = [span for spans in nested for span in spans]
        pieces = align_spans(flat, shim.tokenizer)
        window = shim.config.max_position_embeddings
        stride = max(1, 3 * (window - SPECIALS) // 4)
    note_language(shim, docs)
    shim.note_unknown(pieces)
    windows = make_windows(
        pieces,
        window=window,
        stride=stride,
        cls_id=shim.tokenizer.cls_token_id,
        sep_id=shim.tokenizer.sep_token_id,
    )
    wants = model.attrs["transformer_config"]
    states_of: Callable[[Any, PackedBatch], Tensor] = last_hidden
    attentions: list[list[Tensor]] | None = None
    if wants.get("output_attentions"):
        if current_division() is not None:
            raise ValueError(Errors.SE657())
        attentions = [[] for _ in range(shim.config.num_hidden_layers)]
        states_of = partial(all_hidden_and_attentions, attentions=attentions)
    elif wants.get("output_hidden_states"):
        states_of = all_hidden
    hidden, backprop = encode(
        shim, windows, model.attrs["max_tokens"], is_train, states_of
    )
    output = ElectraBatch(
        docs,
        nested,
        pieces,
        windows,
        hidden,
        shim.tokenizer,
        keep_all=bool(wants.get("output_hidden_states")),
        attentions=attentions,
    )

    def backprop_batch(gradient: FullTransformerBatch) -> list[Doc]:
        backprop(output.gradient_of_hidden(gradient))
        return docs

    return output, backprop_batch
