"""The encoder over lists of Docs, `spacy-electra.Encoder.v1`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model
from thinc.types import Ints1d
from thinc.util import torch2xp, xp2torch
from torch import Tensor

from ..checkpoints import read_config, read_model_with_report, resolve_source
from ..errors import Errors
from ..models import ElectraModel, PackedBatch, split_by_tokens
from ..models.precision import resolve_precision
from ..tokenization import ElectraTokenizer
from ..tokenization.alignment import align
from ..tokenization.windows import Windows, make_windows
from .shim import ElectraShim
from .types import PieceStates

EncoderModel = Model[list[Doc], PieceStates]


@registry.architectures("spacy-electra.Encoder.v1")
def Encoder(
    source: str = "en_tiny",
    window: int = 128,
    stride: int = 96,
    max_tokens: int = 8192,
    precision: str = "auto",
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

    Returns:
        A model from Docs to the states of their pieces. Dimension nO is the encoder's
        width, known once the weights are there.

    Raises:
        ValueError: If there is no such precision, or the windows make no sense.
    """
    resolve_precision(precision, torch.device("cpu"))
    make_windows([], window=window, stride=stride, cls_id=0, sep_id=0)
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
        shims=[ElectraShim(_run, precision)],
    )


def load_encoder(model: EncoderModel) -> ElectraShim:
    """The shim of an encoder, with weights: its own, or else those of its source.

    Raises:
        FileNotFoundError: If the source or one of its files is missing.
        ValueError: If it is no ELECTRA, or its positions are fewer than a window.
    """
    shim = encoder_shim(model)
    if shim.is_empty:
        _initialize(model)
    shim.move_to_default_device()
    return shim


def encoder_shim(model: EncoderModel) -> ElectraShim:
    """The shim of an encoder, as it is."""
    shim = model.shims[0]
    assert isinstance(shim, ElectraShim)
    return shim


def _run(network: ElectraModel, batch: PackedBatch) -> Tensor:
    return network.forward_packed(batch).last_hidden_state


def _initialize(model: EncoderModel, X: Any = None, Y: Any = None) -> None:
    source = model.attrs["source"]
    folder = resolve_source(source)
    limit = read_config(folder).max_position_embeddings
    if model.attrs["window"] > limit:
        raise ValueError(
            Errors.SE302(window=model.attrs["window"], limit=limit, source=source)
        )
    tokenizer = ElectraTokenizer.from_pretrained(folder)
    network, _ = read_model_with_report(ElectraModel, folder)
    encoder_shim(model).fill(network, network.config, tokenizer)
    model.set_dim("nO", network.config.hidden_size, force=True)


def _forward(
    model: EncoderModel, docs: list[Doc], is_train: bool
) -> tuple[PieceStates, Callable[[PieceStates], list[Doc]]]:
    shim = load_encoder(model)
    assert shim.tokenizer is not None
    pieces = align(docs, shim.tokenizer)
    windows = make_windows(
        pieces,
        window=model.attrs["window"],
        stride=model.attrs["stride"],
        cls_id=shim.tokenizer.cls_token_id,
        sep_id=shim.tokenizer.sep_token_id,
    )
    outputs: list[Tensor] = []
    backprops = []
    for batch in packed_batches(windows, model.attrs["max_tokens"]):
        output, backprop = shim(batch.to(shim.device), is_train)
        outputs.append(output)
        backprops.append(backprop)
    piece_rows, cls_rows = (
        torch.from_numpy(rows).to(shim.device)
        for rows in (windows.piece_rows, windows.cls_rows)
    )
    width = shim.network.config.hidden_size
    nothing = torch.zeros((0, width), device=shim.device)
    hidden = outputs[0] if len(outputs) == 1 else torch.cat([nothing, *outputs])

    def states_of(rows: Tensor) -> Any:
        return torch2xp(hidden.detach().index_select(0, rows).float())

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
        start = 0
        for output, backprop in zip(outputs, backprops, strict=True):
            backprop(rows[start : start + len(output)])
            start += len(output)
        return docs

    return result, backprop_states


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
