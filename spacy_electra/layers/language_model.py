"""A language model over sequences of pieces: logits where they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import Errors
from ..models.heads import HeadModel
from ..models.packing import PackedBatch, split_by_tokens
from ..tokenization import ElectraTokenizer
from ..tokenization.alignment import Integers
from ..tokenization.windows import SPECIALS, with_specials
from .encoder_shim import EncoderShim
from .encoding import AnyEncoder, last_hidden
from .head_model import Head
from .listener import EncoderListener
from .network_shim import NetworkShim

# Most logits that are computed at once: 64 MB of float32, whatever the vocabulary.
LOGITS_PER_PASS = 2**24
# Sequences are collected up to so many forward passes, to be sorted by length.
PASSES_PER_GROUP = 16


class Query(NamedTuple):
    """A sequence, and where in it a language model is asked.

    Args:
        ids: The whole sequence, [CLS] and [SEP] among its pieces, int64 [n].
        positions: Indices into ``ids``, int64 [m].
    """

    ids: Integers
    positions: Integers


@dataclass(frozen=True)
class LanguageModel:
    """A network that gives each piece of its vocabulary a probability.

    Args:
        encode: Hidden states of a packed batch, float [T, H].
        head: Logits of hidden states, float [M, H] -> float32 [M, V].
        tokenizer: That of the network.
        device: Where the network is.
        window: Most pieces of a sequence, [CLS] and [SEP] among them.
        max_tokens: Most pieces of one forward pass.

    Raises:
        ValueError: If a number is too small.
    """

    encode: Callable[[PackedBatch], Tensor]
    head: Callable[[Tensor], Tensor]
    tokenizer: ElectraTokenizer
    device: torch.device
    window: int
    max_tokens: int = 8192

    def __post_init__(self) -> None:
        for name, least in (("window", 3), ("max_tokens", 1)):
            value = getattr(self, name)
            if value < least:
                requirement = f"at least {least}"
                raise ValueError(
                    Errors.SE003(name=name, requirement=requirement, value=value)
                )

    @classmethod
    def from_network(
        cls,
        network: HeadModel,
        tokenizer: ElectraTokenizer,
        window: int | None = None,
        max_tokens: int = 8192,
    ) -> LanguageModel:
        """Over a network as it is opened from a checkpoint, in evaluation mode.

        Args:
            network: Its head gives a logit for each piece of the vocabulary.
            tokenizer: That of the network.
            window: As the class says; as many as the network has positions by default.
            max_tokens: As the class says.
        """
        return cls(
            encode=lambda batch: (
                network.electra.forward_packed(batch).last_hidden_state
            ),
            head=network.head,
            tokenizer=tokenizer,
            device=network.device,
            window=window or network.config.max_position_embeddings,
            max_tokens=max_tokens,
        )

    @classmethod
    def from_head(cls, model: Head) -> LanguageModel:
        """Over the weights of a head and its encoder, read from the source if need be.

        Args:
            model: Its head gives a logit for each piece of the vocabulary.

        Raises:
            ValueError: As ``load_language_model``.
        """
        head, encoder = load_language_model(model)
        assert encoder.tokenizer is not None
        run_encoder = encoder.ready(is_train=False)
        run_head = head.ready(is_train=False, precision=encoder.precision)
        attrs = window_attributes(model.encoder)
        most = encoder.rows_per_pass(encoder.device)
        return cls(
            encode=lambda batch: run_encoder(partial(last_hidden, batch=batch))[0],
            head=lambda hidden: run_head(lambda network: network(hidden))[0],
            tokenizer=encoder.tokenizer,
            device=encoder.device,
            window=attrs["window"],
            max_tokens=min(attrs["max_tokens"], most or np.inf),
        )

    @torch.no_grad()
    def log_probabilities(
        self, queries: Iterable[Query]
    ) -> Iterator[tuple[Integers, Tensor]]:
        """What the network gives for each piece of the vocabulary, part by part.

        A part holds at most 64 MB of float32, and is to be reduced before the next one
        is taken. Sequences that come one after the other and are equal are encoded
        once.

        Args:
            queries: Any number; they are taken a few forward passes at a time.

        Yields:
            Numbers of places, int64 [m]: the first place asked for is 0, and they count
            up through the positions of each query. And natural logarithms of
            probabilities, float32 [m, V].
        """
        begin = 0
        for group in self._groups(queries):
            places = np.array([len(query.positions) for query in group])
            begins = begin + places.cumsum() - places
            begin += int(places.sum())
            for numbers, hidden in self._encoded(group, begins):
                yield from self._in_parts(numbers, hidden)

    def _groups(self, queries: Iterable[Query]) -> Iterator[list[Query]]:
        group: list[Query] = []
        room = limit = self.max_tokens * PASSES_PER_GROUP
        for query in queries:
            if group and len(query.ids) > room:
                yield group
                group, room = [], limit
            group.append(query)
            room -= len(query.ids)
        if group:
            yield group

    def _encoded(
        self, group: list[Query], begins: Integers
    ) -> Iterator[tuple[Integers, Tensor]]:
        """Hidden states of the places of a group, [m, H], and their numbers."""
        asking: dict[bytes, list[int]] = {}
        for index, query in enumerate(group):
            asking.setdefault(query.ids.tobytes(), []).append(index)
        owners = list(asking.values())
        sequences = [torch.from_numpy(group[own[0]].ids) for own in owners]
        for batch in split_by_tokens([len(ids) for ids in sequences], self.max_tokens):
            numbers, rows = [], []
            start = 0
            for sequence in batch:
                for index in owners[sequence]:
                    positions = group[index].positions
                    rows.append(start + positions)
                    numbers.append(begins[index] + np.arange(len(positions)))
                start += len(sequences[sequence])
            packed = PackedBatch.from_sequences([sequences[n] for n in batch])
            hidden = self.encode(packed.to(self.device))
            asked = torch.from_numpy(np.concatenate(rows)).to(hidden.device)
            yield np.concatenate(numbers), hidden.index_select(0, asked)

    def _in_parts(
        self, numbers: Integers, hidden: Tensor
    ) -> Iterator[tuple[Integers, Tensor]]:
        size = max(1, LOGITS_PER_PASS // self.tokenizer.vocab_size)
        for start in range(0, len(numbers), size):
            logits = self.head(hidden[start : start + size]).float()
            yield numbers[start : start + size], logits.log_softmax(-1)


def context(
    model: LanguageModel, ids: Integers, start: int, end: int, filling: Integers
) -> Query:
    """The pieces around a place, as many as a window has room for, and what fills it.

    Of a longer text the window has the place in its middle, or as near to it as the
    text's ends allow.

    Args:
        model: Says how long a window is.
        ids: Pieces of a text, int64 [n].
        start: First piece of the place.
        end: The piece after its last.
        filling: Pieces to put there, int64 [m].

    Returns:
        [CLS] pieces [SEP], and the positions of the filling.

    Raises:
        ValueError: If the filling does not fit into a window.
    """
    room = model.window - SPECIALS - len(filling)
    if room < 0:
        raise ValueError(Errors.SE385(pieces=len(filling), window=model.window))
    after = len(ids) - end
    left = min(start, max(room // 2, room - after))
    right = min(after, room - left)
    pieces = (ids[start - left : start], filling, ids[end : end + right])
    tokenizer = model.tokenizer
    whole = with_specials(
        np.concatenate(pieces), tokenizer.cls_token_id, tokenizer.sep_token_id
    )
    return Query(whole, np.arange(len(filling), dtype=np.int64) + left + 1)


def load_language_model(model: Head) -> tuple[NetworkShim, EncoderShim]:
    """The shims of a head and of its encoder, with weights.

    Raises:
        FileNotFoundError: If the source or one of its files is missing.
        ValueError: If it is no ELECTRA; if the head predicts the next piece and the
            encoder, an ``electra`` component's, sees what follows.
    """
    # The head first: of an encoder without weights it decides which way it looks.
    return model.load(), model.encoder.load()


def window_attributes(encoder: AnyEncoder) -> dict[str, Any]:
    """The attributes of an encoder, "window" and "stride" and "max_tokens" among them.

    Args:
        encoder: One of its own, or a listener that is linked.
    """
    holder = encoder.holder if isinstance(encoder, EncoderListener) else encoder
    return holder.attrs
