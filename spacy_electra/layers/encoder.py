"""The encoder over lists of Docs, `spacy-electra.Encoder.v1`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model
from thinc.types import Ints1d
from thinc.util import torch2xp, xp2torch
from torch import Tensor

from ..errors import Errors
from ..models import ElectraConfig, ElectraModel, PackedBatch, split_by_tokens
from ..models.precision import resolve_precision
from ..source import resolve_source
from ..tokenization import ElectraTokenizer
from ..tokenization.alignment import Pieces, align
from ..tokenization.windows import Windows, make_windows
from .listener import EncoderListener
from .shim import ElectraShim, Tuning
from .types import PieceStates

EncoderModel = Model[list[Doc], PieceStates]


@registry.architectures("spacy-electra.Encoder.v1")
def Encoder(
    source: str = "en_tiny",
    window: int = 128,
    stride: int = 96,
    max_tokens: int = 8192,
    precision: str = "auto",
    layer_decay: float = 1.0,
    frozen_layers: int = 0,
    gradient_checkpointing: bool = False,
) -> EncoderModel:
    """An ELECTRA encoder with weights of its own.

    Args:
        source: A directory, the name of a bundled checkpoint, or an id on the Hugging
            Face hub. It is read by ``nlp.initialize()``, or at first use; a saved
            pipeline holds its own weights and never looks at it again.
        window: Most pieces that attend to each other, [CLS] and [SEP] among them.
        stride: Pieces from the start of a window to that of the next.
        max_tokens: Most pieces of one forward pass; it bounds memory.
        precision: "auto" (bf16 where the device is fast in it), "fp32" or "bf16".
        layer_decay: Learning rate of a layer over that of the layer above it.
        frozen_layers: Number of layers, from the lowest, that never change; with them
            the embeddings.
        gradient_checkpointing: Whether training saves memory and takes longer.

    Returns:
        A model from Docs to the states of their pieces. Dimension nO is the encoder's
        width, known once the weights are there.

    Raises:
        ValueError: If there is no such precision, or the windows make no sense.
    """
    resolve_precision(precision, torch.device("cpu"))
    make_windows([], window=window, stride=stride, cls_id=0, sep_id=0)
    tuning = Tuning(layer_decay, frozen_layers, gradient_checkpointing)
    return Model(
        "electra_encoder",
        _forward,
        init=_initialize,
        dims={"nO": None},
        attrs={
            "source": source,
            "window": window,
            "stride": stride,
            "max_tokens": max_tokens,
        },
        shims=[ElectraShim(_run, precision, tuning)],
    )


def load_encoder(model: EncoderModel) -> ElectraShim:
    """The shim of an encoder, with weights: its own, or else those of its source.

    Raises:
        FileNotFoundError: If the source or one of its files is missing.
        ValueError: If it is no ELECTRA, or its positions are fewer than a window; or
            if the model is a listener that is not linked yet.
    """
    shim = encoder_shim(model)
    if shim.is_empty:
        holder_of(model).initialize()
    shim.move_to_default_device()
    return shim


def encoder_shim(model: EncoderModel) -> ElectraShim:
    """The shim of an encoder, or of the one that a listener listens to, as it is.

    Raises:
        ValueError: If the model is a listener that is not linked yet.
    """
    shim = holder_of(model).shims[0]
    assert isinstance(shim, ElectraShim)
    return shim


def source_of(model: EncoderModel) -> str:
    """Where the weights of an encoder come from.

    Raises:
        ValueError: If the model is a listener that is not linked yet.
    """
    attrs = holder_of(model).attrs
    # That of a TransformerModel has the name that spacy-transformers gives it.
    return str(attrs["source"] if "source" in attrs else attrs["name"])


def holder_of(model: EncoderModel) -> Model[list[Doc], Any]:
    """The model with the weights: this one, or that which a listener listens to.

    Raises:
        ValueError: If the model is a listener that is not linked yet.
    """
    if not isinstance(model, EncoderListener):
        return model
    if model.upstream is None:
        raise ValueError(Errors.SE326(upstream=model.upstream_name))
    return model.upstream


def _run(network: ElectraModel, batch: PackedBatch) -> Tensor:
    return network.forward_packed(batch).last_hidden_state


def _initialize(model: EncoderModel, X: Any = None, Y: Any = None) -> None:
    fill_from_source(
        encoder_shim(model), model.attrs["source"], window=model.attrs["window"]
    )
    model.set_dim("nO", encoder_shim(model).network.config.hidden_size, force=True)


def fill_from_source(
    shim: ElectraShim,
    source: str,
    window: int,
    config_changes: Mapping[str, Any] | None = None,
    tokenizer_changes: Mapping[str, Any] | None = None,
) -> None:
    """Read an encoder and its tokenizer into a shim.

    Args:
        shim: Gets them.
        source: As in ``Encoder``.
        window: Most pieces that attend to each other.
        config_changes: Fields of the checkpoint's config to set otherwise.
        tokenizer_changes: Settings of its tokenizer to set otherwise.

    Raises:
        FileNotFoundError: If the source or one of its files is missing.
        ValueError: If it is no ELECTRA, or its positions are fewer than a window.
    """
    folder = resolve_source(source)
    limit = ElectraConfig.from_pretrained(folder).max_position_embeddings
    if window > limit:
        raise ValueError(Errors.SE302(window=window, limit=limit, source=source))
    tokenizer = ElectraTokenizer.from_pretrained(folder)
    if tokenizer_changes:
        settings = {**tokenizer.settings, **tokenizer_changes}
        tokenizer = ElectraTokenizer(tokenizer.vocab, **settings)
    network, _ = ElectraModel.from_pretrained_with_report(
        folder, **(config_changes or {})
    )
    shim.fill(network, network.config, tokenizer)


def _forward(
    model: EncoderModel, docs: list[Doc], is_train: bool
) -> tuple[PieceStates, Callable[[PieceStates], list[Doc]]]:
    shim = load_encoder(model)
    assert shim.tokenizer is not None
    pieces = align(docs, shim.tokenizer)
    windows = windows_of(model, shim, pieces)
    hidden, backprop_rows = encode(shim, windows, model.attrs["max_tokens"], is_train)
    piece_rows, cls_rows = (
        torch.from_numpy(rows).to(hidden.device)
        for rows in (windows.piece_rows, windows.cls_rows)
    )

    def states_of(rows: Tensor) -> Any:
        return torch2xp(hidden.index_select(0, rows).float())

    result = PieceStates(
        states=states_of(piece_rows),
        cls_states=states_of(cls_rows),
        windows_per_doc=cast(Ints1d, windows.windows_per_doc),
        pieces=pieces,
    )

    def backprop_states(gradient: PieceStates) -> list[Doc]:
        rows = torch.zeros(hidden.shape, device=hidden.device)
        rows.index_add_(0, piece_rows, xp2torch(gradient.states, device=rows.device))
        rows.index_add_(0, cls_rows, xp2torch(gradient.cls_states, device=rows.device))
        backprop_rows(rows)
        return docs

    return result, backprop_states


def windows_of(
    model: Model[Any, Any], shim: ElectraShim, pieces: Sequence[Pieces]
) -> Windows:
    """Cut pieces into the windows that a model's attributes name."""
    assert shim.tokenizer is not None
    return make_windows(
        pieces,
        window=model.attrs["window"],
        stride=model.attrs["stride"],
        cls_id=shim.tokenizer.cls_token_id,
        sep_id=shim.tokenizer.sep_token_id,
    )


def encode(
    shim: ElectraShim,
    windows: Windows,
    max_tokens: int,
    is_train: bool,
    inputs_of: Callable[[PackedBatch], Any] = lambda batch: batch,
) -> tuple[Tensor, Callable[[Tensor], None]]:
    """Run a network on windows, as many at a time as ``max_tokens`` lets.

    Args:
        shim: Holds the network; its output has a row a piece in dimension -2.
        windows: T rows in all.
        max_tokens: Most rows of one forward pass.
        is_train: Whether to keep what the way back needs.
        inputs_of: Makes of a batch what the shim's network takes.

    Returns:
        The outputs end to end, [..., T, H], without a graph; and a callback that takes
        their gradient, of the same shape.
    """
    if not is_train and shim.rows_a_pass is not None:
        max_tokens = min(max_tokens, shim.rows_a_pass)
    outputs: list[Tensor] = []
    backprops = []
    device, run = shim.device, shim.ready(is_train)
    for batch in packed_batches(windows, max_tokens):
        output, backprop = run(inputs_of(batch.to(device)))
        outputs.append(output)
        backprops.append(backprop)
    if outputs:
        hidden = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-2)
    else:
        hidden = torch.zeros((0, shim.network.config.hidden_size), device=device)

    def backprop_rows(gradient: Tensor) -> None:
        start = 0
        for output, backprop in zip(outputs, backprops, strict=True):
            size = output.shape[-2]
            backprop(gradient.narrow(-2, start, size))
            start += size

    return hidden.detach(), backprop_rows


def packed_batches(windows: Windows, max_tokens: int) -> list[PackedBatch]:
    """Batches of at most ``max_tokens`` pieces, in the order of the windows' rows."""
    ids = torch.from_numpy(windows.input_ids)
    positions = torch.from_numpy(windows.position_ids)
    types = torch.zeros_like(ids)
    batches = []
    start = 0
    # The windows are sorted already, so each group is a run of them.
    lengths = windows.lengths.tolist()
    for group in split_by_tokens(lengths, max_tokens):
        sizes = [lengths[index] for index in group]
        rows = slice(start, start + sum(sizes))
        batches.append(PackedBatch(ids[rows], types[rows], positions[rows], sizes))
        start = rows.stop
    return batches
