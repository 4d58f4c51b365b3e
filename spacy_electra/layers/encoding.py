"""From texts to the states of their pieces through a network, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
import torch
from spacy.tokens import Doc
from spacy.util import minibatch
from thinc.api import Model
from thinc.types import Ints1d
from thinc.util import torch2xp, xp2torch
from torch import Tensor

from ..errors import Errors
from ..models import PackedBatch, split_by_tokens
from ..models.inference import ROWS_PER_PASS
from ..models.pretrained import LoadReport, PretrainedModel
from ..models.sharing import cut_evenly
from ..models.streams import (
    FEWEST_ROWS,
    on_one_thread,
    passes_for_streams,
    run_in_streams,
    thread_count,
)
from ..models.training.layers import returns_in_streams
from ..tokenization.alignment import Integers, Pieces, align
from ..tokenization.windows import FixedText, Windows, make_windows
from .division import Division, current_division, own_random_numbers
from .encoder_shim import EncoderShim, Tuning
from .types import InT, OutT, OwnClass, PieceStates, Text, TextPair

Network = TypeVar("Network", bound=PretrainedModel)
# A batch, and where its states go.
Pass = tuple[PackedBatch, Tensor]
# Fewer say nothing of what an encoder will meet.
_FEWEST_PIECES = 64


@dataclass(frozen=True)
class EncoderSettings:
    """The settings of an encoder, whatever architecture it is in, and their defaults.

    Args:
        window: Most pieces that attend to each other, [CLS] and [SEP] among them.
        stride: Pieces from the start of a window to that of the next.
        max_tokens: Most pieces of one forward pass; it bounds memory.
        precision: "auto" (bf16 where the device is fast in it), "fp32", "bf16", or
            "int8" (on a CPU, where nothing is learned; all else is as with "auto").
        layer_decay: As in ``Tuning``, like the next two.
        frozen_layers: The same.
        gradient_checkpointing: The same.

    Raises:
        ValueError: If there is no such precision, or the windows make no sense; if a
            value of ``Tuning`` can't be.
    """

    window: int = 128
    stride: int = 96
    max_tokens: int = 8192
    precision: str = "auto"
    layer_decay: float = Tuning.layer_decay
    frozen_layers: int = Tuning.frozen_layers
    gradient_checkpointing: bool = Tuning.gradient_checkpointing

    def __post_init__(self) -> None:
        make_windows([], window=self.window, stride=self.stride, cls_id=0, sep_id=0)
        self.shim()

    def shim(self) -> EncoderShim:
        """An empty shim."""
        tuning = Tuning(
            self.layer_decay, self.frozen_layers, self.gradient_checkpointing
        )
        return EncoderShim(self.precision, tuning)

    @property
    def attrs(self) -> dict[str, int]:
        """The attributes of a model that encodes."""
        return {
            "window": self.window,
            "stride": self.stride,
            "max_tokens": self.max_tokens,
        }


class WithEncoder(OwnClass[InT, OutT]):
    """A Thinc model over an encoder of its own; a listener overrides what it borrows.

    Its only shim is an ``EncoderShim``; attributes name window, stride and max_tokens.
    """

    __slots__ = ()

    @property
    def shim(self) -> EncoderShim:
        """What holds the encoder, as it is.

        Raises:
            ValueError: If the model is a listener that is not linked yet.
        """
        return cast(EncoderShim, self.shims[0])

    @property
    def source(self) -> str:
        """Where the encoder's weights come from, while it has none."""
        return str(self.attrs["source"])

    @property
    def source_key(self) -> str:
        """The key in a config that names the source."""
        return "source"

    def load(self) -> EncoderShim:
        """The shim, with weights: its own, or else those of the source.

        Raises:
            FileNotFoundError: If the source or one of its files is missing.
            ValueError: If it is no ELECTRA, or its positions are fewer than a window;
                or if the model is a listener that is not linked yet.
        """
        shim = self.shim
        if shim.is_empty:
            self.check_loaded()
            self.initialize()
        shim.move_to_default_device()
        return shim

    def open(self, cls: type[Network]) -> tuple[Network, LoadReport]:
        """Read the source as a model of some class, the encoder with or without a head.

        Where the shim is empty it takes the encoder from what was read, and nobody else
        keeps that. Errors as in ``load``.
        """
        raise NotImplementedError

    def check_loaded(self) -> None:
        """Refuse to read the source in place of weights that were saved."""
        # The width is known, and saved, since there were weights.
        lost = self.shim.is_empty and not self.shim.was_filled
        if lost and self.has_dim("nO"):
            raise ValueError(Errors.SE345(part=self.shim.part))

    def forget(self) -> None:
        """Give up the weights, so that those of the source are read again."""
        self.shim.clear()

    def calibrate(self, docs: Iterable[Doc]) -> None:
        """Choose the ranges of 8-bit integers by texts, if the precision is "int8".

        Args:
            docs: Like those that will come; as many are read as fill a forward pass.
                A few words, such as the Doc by which spaCy finds sizes, are none.
        """
        if not self.shim.quantizes:
            return
        shim = self.load()
        assert shim.tokenizer is not None
        pieces: list[Pieces] = []
        count = 0
        for batch in minibatch(docs, 16):
            pieces += align(batch, shim.tokenizer)
            count = sum(len(part.ids) for part in pieces)
            if count >= ROWS_PER_PASS:
                break
        if count < _FEWEST_PIECES:
            return
        windows = windows_of(self, shim, pieces)
        ids = np.split(windows.input_ids, windows.lengths.cumsum()[:-1])
        # They are sorted by length, so each n-th are of all lengths.
        step = 1 + len(windows.input_ids) // (2 * ROWS_PER_PASS)
        shim.calibrate([part.tolist() for part in ids[::step] if len(part)])

    @property
    def is_updated(self) -> bool:
        """Whether gradients that come back will change the encoder."""
        return True


AnyEncoder = WithEncoder[Sequence[Text], PieceStates]


def last_hidden(network: Any, batch: PackedBatch) -> Tensor:
    """The states after the last layer, [T, H]."""
    states: Tensor = network.forward_packed(batch).last_hidden_state
    return states


def encode_texts(
    model: WithEncoder[Any, Any], texts: Sequence[Text], is_train: bool
) -> tuple[PieceStates, Callable[[PieceStates], Sequence[Text]]]:
    """Run an encoder over texts, in windows.

    Args:
        model: Its weights are read where it has none.
        texts: Docs, pairs, or both.
        is_train: Whether to keep what the backward pass needs.

    Returns:
        The states of the pieces of each Doc, and a callback that takes their gradient
        and adds those of the weights.

    Raises:
        ValueError: If the checkpoint can't tell two texts apart, or a second text
            leaves too little of a window.
    """
    shim = model.load()
    assert shim.tokenizer is not None
    docs = docs_of(texts)
    note_language(shim, docs)
    pieces = align(docs, shim.tokenizer)
    windows = windows_of(model, shim, pieces, fixed_texts(texts, shim))
    max_tokens = model.attrs["max_tokens"]
    if not is_train and current_division() is None:
        rows = np.concatenate([windows.piece_rows, windows.cls_rows])
        kept = torch2xp(infer_rows(shim, windows, max_tokens, rows))
        count = len(windows.piece_rows)
        return _piece_states(kept[:count], kept[count:], windows, pieces), _never

    hidden, backprop_rows = encode(shim, windows, max_tokens, is_train)
    piece_rows, cls_rows = (
        torch.from_numpy(rows).to(hidden.device)
        for rows in (windows.piece_rows, windows.cls_rows)
    )

    def states_of(rows: Tensor) -> Any:
        return torch2xp(hidden.index_select(0, rows).float())

    result = _piece_states(
        states_of(piece_rows), partial(states_of, cls_rows), windows, pieces
    )

    def backprop_states(gradient: PieceStates) -> Sequence[Text]:
        rows = torch.zeros(hidden.shape, device=hidden.device)
        rows.index_add_(0, piece_rows, xp2torch(gradient.states, device=rows.device))
        rows.index_add_(0, cls_rows, xp2torch(gradient.cls_states, device=rows.device))
        backprop_rows(rows)
        return texts

    return result, backprop_states


def _piece_states(
    states: Any, cls_states: Any, windows: Windows, pieces: Sequence[Pieces]
) -> PieceStates:
    return PieceStates(
        states=states,
        cls=cls_states,
        windows_per_doc=cast(Ints1d, windows.windows_per_text),
        pieces=pieces,
        windows=windows,
    )


def _never(gradient: PieceStates) -> Sequence[Text]:
    """The callback of states that were not asked for in training."""
    raise ValueError(Errors.SE301())


def note_language(shim: EncoderShim, docs: Sequence[Doc]) -> None:
    """Warn where an encoder is for another language than the Docs."""
    if docs and shim.source_language is not None:
        shim.note_language(docs[0].vocab.lang)


def docs_of(texts: Iterable[Text]) -> list[Doc]:
    """The Doc of each text."""
    return [text.doc if isinstance(text, TextPair) else text for text in texts]


def fixed_texts(
    texts: Sequence[Text], shim: EncoderShim
) -> list[FixedText | None] | None:
    """The second text of each pair, as pieces; None where there is no pair at all.

    Raises:
        ValueError: If the checkpoint can't tell two texts apart.
    """
    pairs = [text if isinstance(text, TextPair) else None for text in texts]
    seconds = [None if pair is None else pair.second for pair in pairs]
    # The same question may go with many contexts.
    different = list(dict.fromkeys(text for text in seconds if text is not None))
    if not different:
        return None
    assert shim.tokenizer is not None and shim.config is not None
    types = shim.config.type_vocab_size
    if types < 2:
        raise ValueError(Errors.SE331(types=types))
    ids = dict(zip(different, shim.tokenizer.encode_ids(different), strict=True))
    return [
        None
        if pair is None or second is None
        else FixedText(second, ids[second], is_first=pair.before is not None)
        for pair, second in zip(pairs, seconds, strict=True)
    ]


def windows_of(
    model: Model[Any, Any],
    shim: EncoderShim,
    pieces: Sequence[Pieces],
    fixed: Sequence[FixedText | None] | None = None,
) -> Windows:
    """Cut pieces into the windows that a model's attributes name."""
    assert shim.tokenizer is not None
    shim.note_unknown(pieces)
    return make_windows(
        pieces,
        fixed,
        window=model.attrs["window"],
        stride=model.attrs["stride"],
        cls_id=shim.tokenizer.cls_token_id,
        sep_id=shim.tokenizer.sep_token_id,
    )


def encode(
    shim: EncoderShim,
    windows: Windows,
    max_tokens: int,
    is_train: bool,
    states_of: Callable[[Any, PackedBatch], Tensor] = last_hidden,
) -> tuple[Tensor, Callable[[Tensor], None]]:
    """Run a network on windows, as many at a time as ``max_tokens`` lets.

    Processes that train together run a share each.

    Args:
        shim: Holds the network.
        windows: T rows in all.
        max_tokens: Most rows of one forward pass.
        is_train: Whether to keep what the way back needs.
        states_of: What to compute with the network for a batch.

    Returns:
        The outputs end to end, [..., T, H], without a graph; and a callback that takes
        their gradient, of the same shape.
    """
    whole = _as_batch(windows)
    division = current_division()
    if division is not None and len(whole.input_ids):
        return _encode_share(division, shim, whole, max_tokens, is_train, states_of)
    return _encode_all(shim, whole, max_tokens, is_train, states_of)


def _encode_share(
    division: Division,
    shim: EncoderShim,
    whole: PackedBatch,
    max_tokens: int,
    is_train: bool,
    states_of: Callable[[Any, PackedBatch], Tensor],
) -> tuple[Tensor, Callable[[Tensor], None]]:
    """As ``encode``, where each of several processes runs some of the windows."""
    own, rows = division.share(whole)
    is_idle = not len(rows)
    if is_idle:
        # Any window tells the form of the states.
        own, _ = division.share(whole, rank=0)
    with own_random_numbers(shim.device):
        states, backprop = _encode_all(shim, own, max_tokens, is_train, states_of)
    if is_idle:
        states = states.narrow(-2, 0, 0)
    hidden = division.gather(states, whole)
    rows = rows.to(hidden.device)

    def backprop_share(gradient: Tensor) -> None:
        if not is_idle:
            backprop(gradient.index_select(-2, rows))

    return hidden, backprop_share


def _encode_all(
    shim: EncoderShim,
    whole: PackedBatch,
    max_tokens: int,
    is_train: bool,
    states_of: Callable[[Any, PackedBatch], Tensor],
) -> tuple[Tensor, Callable[[Tensor], None]]:
    if not is_train and states_of is last_hidden:
        return _infer_all(shim, whole, max_tokens), _no_way_back
    device, run = shim.device, shim.ready(is_train)
    most = None if is_train else shim.rows_per_pass(device)
    results = [
        run(partial(_compute, states_of, batch.to(device)))
        # Others keep what they find of each pass, in order.
        for batch in _passes(whole, max_tokens, most, can_stream=False)[0]
    ]
    outputs = [output for output, _ in results]
    backprops = [backprop for _, backprop in results]
    if outputs:
        hidden = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-2)
    else:
        assert shim.config is not None
        hidden = torch.zeros((0, shim.config.hidden_size), device=device)

    def backprop_rows(gradient: Tensor) -> None:
        start = 0
        for output, backprop in zip(outputs, backprops, strict=True):
            size = output.shape[-2]
            with on_one_thread() if returns_in_streams(output) else nullcontext():
                backprop(gradient.narrow(-2, start, size))
            start += size

    return hidden.detach(), backprop_rows


def _no_way_back(gradient: Tensor) -> None:
    raise ValueError(Errors.SE301())


def _infer_all(shim: EncoderShim, whole: PackedBatch, max_tokens: int) -> Tensor:
    """Run a network that does not learn; the last states, [T, H]."""
    device, states_of = _inference(shim)
    most = shim.rows_per_pass(device)
    batches, streams = _passes(whole, max_tokens, most, can_stream=True)
    if len(batches) == 1:
        return states_of(batches[0])
    assert shim.config is not None
    hidden = torch.empty((whole.rows, shim.config.hidden_size), device=device)
    parts = hidden.split([batch.rows for batch in batches])

    # Joined by the thread that asked, they would keep all others waiting.
    def one_pass(item: Pass) -> None:
        batch, own = item
        own.copy_(states_of(batch))

    _run_passes(one_pass, list(zip(batches, parts, strict=True)), streams)
    return hidden


def _inference(
    shim: EncoderShim,
) -> tuple[torch.device, Callable[[PackedBatch], Tensor]]:
    """Where a network is, and what gives its last states without learning."""
    device, run = shim.device, shim.ready(is_train=False)

    def states_of(batch: PackedBatch) -> Tensor:
        return run(partial(last_hidden, batch=batch.to(device)))[0]

    return device, states_of


def _run_passes(
    one_pass: Callable[[Pass], None], items: Sequence[Pass], streams: bool
) -> None:
    if streams:
        # With the largest first, all threads end at about one time.
        sizes = [-batch.rows for batch, _ in items]
        order = sorted(range(len(items)), key=sizes.__getitem__)
        run_in_streams(one_pass, [items[number] for number in order])
    else:
        for item in items:
            one_pass(item)


def infer_rows(
    shim: EncoderShim, windows: Windows, max_tokens: int, rows: Integers
) -> Tensor:
    """Run a network that does not learn, and keep some of the last states.

    Those of each pass go to their places at once, so that beside the result there is
    never more in memory than the passes that run at the time.

    Args:
        shim: Holds the network.
        windows: T rows in all.
        max_tokens: Most rows of one forward pass.
        rows: Those to keep, each once, in the order of the result, int64 [n].

    Returns:
        float32 [n, H].
    """
    device, states_of = _inference(shim)
    most = shim.rows_per_pass(device)
    batches, streams = _passes(_as_batch(windows), max_tokens, most, can_stream=True)
    if len(batches) == 1:
        wanted = torch.from_numpy(rows).to(device)
        return states_of(batches[0]).index_select(0, wanted).float()
    # What nobody wants goes to one place more.
    places = np.full(len(windows.input_ids), len(rows))
    places[rows] = np.arange(len(rows))
    places_of_passes = (
        torch.from_numpy(places).to(device).split([batch.rows for batch in batches])
    )
    width = shim.network.config.hidden_size
    kept = torch.empty((len(rows) + 1, width), device=device)

    def one_pass(item: Pass) -> None:
        batch, own = item
        kept.index_copy_(0, own, states_of(batch).float())

    _run_passes(one_pass, list(zip(batches, places_of_passes, strict=True)), streams)
    return kept[:-1]


def _passes(
    whole: PackedBatch, max_tokens: int, most: int | None, can_stream: bool
) -> tuple[list[PackedBatch], bool]:
    """The batches of one forward pass each, and whether several run at a time.

    Args:
        whole: What they are cut from.
        max_tokens: Most rows of all that run at a time.
        most: Rows that one should have at most; None for any number.
        can_stream: Whether several may run at a time.
    """
    if most is not None:
        if can_stream and whole.rows >= 2 * FEWEST_ROWS:
            in_flight = min(max_tokens, thread_count() * most)
            passes = passes_for_streams(whole.lengths, in_flight)
            if passes is not None:
                return _batches(whole, cut_evenly(whole.lengths, passes)), True
        max_tokens = min(max_tokens, most)
    return _runs(whole, max_tokens), False


def _compute(
    states_of: Callable[[Any, PackedBatch], Tensor], batch: PackedBatch, network: Any
) -> Tensor:
    return states_of(network, batch)


def packed_batches(windows: Windows, max_tokens: int) -> list[PackedBatch]:
    """Batches of at most ``max_tokens`` pieces, in the order of the windows' rows."""
    return _runs(_as_batch(windows), max_tokens)


def _as_batch(windows: Windows) -> PackedBatch:
    return PackedBatch(
        torch.from_numpy(windows.input_ids),
        torch.from_numpy(windows.token_type_ids),
        torch.from_numpy(windows.position_ids),
        windows.lengths.tolist(),
    )


def _runs(whole: PackedBatch, max_tokens: int) -> list[PackedBatch]:
    if 0 < whole.rows <= max_tokens:
        return [whole]
    # They are sorted already, so each group is a run of them.
    return _batches(whole, split_by_tokens(whole.lengths, max_tokens))


def _batches(whole: PackedBatch, groups: Sequence[Sequence[int]]) -> list[PackedBatch]:
    """A batch a group of consecutive sequences; the groups cover all, in order."""
    batches = []
    start = 0
    for group in groups:
        sizes = [whole.lengths[index] for index in group]
        rows = slice(start, start + sum(sizes))
        batches.append(
            PackedBatch(
                whole.input_ids[rows],
                whole.token_type_ids[rows],
                whole.position_ids[rows],
                sizes,
            )
        )
        start = rows.stop
    return batches
