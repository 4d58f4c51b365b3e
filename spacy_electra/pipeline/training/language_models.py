"""How language models learn from raw text, and how well they know it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from spacy.tokens import Doc
from torch import Tensor, nn

from ...errors import Errors
from ...layers.division import add_up, current_division, own_random_numbers
from ...layers.encoding import last_hidden, packed_batches
from ...layers.head_model import Head, unchanged
from ...layers.language_model import (
    LOGITS_PER_PASS,
    LanguageModel,
    Query,
    load_language_model,
    window_attributes,
)
from ...layers.likelihood import causal_queries, score_targets
from ...models.packing import PackedBatch, split_by_tokens
from ...pretraining.masking import Masking
from ...tokenization import ElectraTokenizer
from ...tokenization.alignment import align
from ...tokenization.windows import SPECIALS, make_windows


class Targets(NamedTuple):
    """A batch, and the pieces that a language model is to predict from it.

    Args:
        batch: T pieces.
        rows: Rows of the batch to predict at, int64 [M].
        pieces: What is to be predicted, int64 [M].
    """

    batch: PackedBatch
    rows: Tensor
    pieces: Tensor


@dataclass(frozen=True)
class MaskingSettings:
    """Which pieces a masked language model learns to predict.

    Args:
        share: Share of the pieces, at least one of each window.
        share_masked: Share of those whose place [MASK] takes; the others stay.
        whole_words: Whether words are masked whole.
        seed: Of the choice.

    Raises:
        ValueError: If a share is none.
    """

    share: float = 0.15
    share_masked: float = 0.85
    whole_words: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("share", "share_masked"):
            value = getattr(self, name)
            if not 0.0 < value <= 1.0:
                requirement = "above 0 and at most 1"
                raise ValueError(
                    Errors.SE003(name=name, requirement=requirement, value=value)
                )

    def masking(self, tokenizer: ElectraTokenizer) -> Masking:
        """For the pieces of a tokenizer."""
        return Masking.from_tokenizer(
            tokenizer,
            whole_words=self.whole_words,
            share=self.share,
            share_masked=self.share_masked,
        )


def masked_targets(
    model: Head, docs: Sequence[Doc], settings: MaskingSettings, step: int
) -> list[Targets]:
    """Docs in windows that do not overlap, with pieces masked.

    Args:
        model: A masked language model.
        docs: Only their text is used.
        settings: How to mask.
        step: Another one masks other pieces.
    """
    tokenizer = _tokenizer(model)
    attrs = window_attributes(model.encoder)
    windows = make_windows(
        [part for part in align(docs, tokenizer) if len(part)],
        window=attrs["window"],
        stride=attrs["window"] - SPECIALS,
        cls_id=tokenizer.cls_token_id,
        sep_id=tokenizer.sep_token_id,
    )
    masking = settings.masking(tokenizer)
    random = torch.Generator().manual_seed((settings.seed << 32) + step)
    batches = packed_batches(windows, attrs["max_tokens"])
    masked = [masking(batch, random) for batch in batches]
    return [Targets(part.batch, part.rows, part.originals) for part in masked]


def next_piece_targets(model: Head, docs: Sequence[Doc]) -> list[Targets]:
    """Docs in windows that do not overlap, each piece to be predicted.

    [SEP] follows the last piece of a Doc, so that a model learns where a text ends.

    Args:
        model: A causal language model.
        docs: Only their text is used.
    """
    tokenizer = _tokenizer(model)
    attrs = window_attributes(model.encoder)
    texts = [
        np.append(part.ids, tokenizer.sep_token_id)
        for part in align(docs, tokenizer)
        if len(part)
    ]
    room = attrs["window"] - 1
    parts = [ids[i : i + room] for ids in texts for i in range(0, len(ids), room)]
    sequences = [
        torch.from_numpy(np.append(tokenizer.cls_token_id, part)) for part in parts
    ]
    targets = []
    lengths = [len(sequence) for sequence in sequences]
    for group in split_by_tokens(lengths, attrs["max_tokens"]):
        batch = PackedBatch.from_sequences([sequences[index] for index in group])
        is_first = torch.zeros(len(batch.input_ids), dtype=torch.bool)
        is_first[batch.first_rows] = True
        following = (~is_first).nonzero().squeeze(1)
        targets.append(Targets(batch, following - 1, batch.input_ids[following]))
    return targets


def learn(model: Head, targets: Sequence[Targets]) -> float:
    """Add the gradients of the cross-entropy to the weights' own.

    With a listener the upstream's network runs, and learns where it is being updated.
    Processes that train together take a share of each batch.

    Args:
        model: A language model.
        targets: A batch of texts; there may be nothing to predict.

    Returns:
        The mean over all targets, in nats; 0 where there are none.
    """
    total = sum(len(part.rows) for part in targets)
    with own_random_numbers(model.encoder.load().device):
        return add_up(_learn(model, [_share(part) for part in targets], total))


def _share(targets: Targets) -> Targets:
    """What one of several processes learns from."""
    division = current_division()
    if division is None:
        return targets
    batch, own = division.share(targets.batch)
    places = torch.full((len(targets.batch.input_ids),), -1)
    places[own] = torch.arange(len(own))
    rows = places[targets.rows]
    is_own = rows >= 0
    return Targets(batch, rows[is_own], targets.pieces[is_own])


def _learn(model: Head, targets: Sequence[Targets], total: int) -> float:
    head, encoder = load_language_model(model)
    learns, shared = model.encoder.is_updated, model.shared_weights()
    # Without a text of its own it only tells the upstream when all gradients are there.
    nothing, backprop_nothing = model.encoder([], is_train=True)
    run_encoder = encoder.ready(is_train=learns)
    run_head = head.ready(is_train=True, precision=encoder.precision)
    loss = 0.0
    for batch, rows, pieces in targets:
        if not len(rows):
            continue
        rows, pieces = rows.to(encoder.device), pieces.to(encoder.device)
        batch = batch.to(encoder.device)
        hidden, backprop_encoder = run_encoder(partial(last_hidden, batch=batch))
        states = hidden.detach().index_select(0, rows).requires_grad_()
        size = max(1, LOGITS_PER_PASS // head.network.decoder.out_features)
        with nullcontext() if learns else unchanged(shared):
            for part, wanted in zip(
                states.split(size), pieces.split(size), strict=True
            ):
                logits, backprop_head = run_head(partial(_logits, part))
                summed, gradient = _cross_entropy(logits.detach(), wanted)
                backprop_head(gradient / total)
                loss += summed / total
        if learns:
            assert states.grad is not None
            gradient = torch.zeros_like(hidden)
            backprop_encoder(gradient.index_add_(0, rows, states.grad))
    backprop_nothing(nothing.gradient())
    return loss


class Knowledge(NamedTuple):
    """How well a language model knows texts.

    Args:
        loss: Mean cross-entropy per predicted piece, in nats.
        accuracy: Share of pieces that no other is likelier than.
        bits: Sum of all losses, in bits.
    """

    loss: float
    accuracy: float
    bits: float


def masked_knowledge(
    model: Head, docs: Sequence[Doc], settings: MaskingSettings
) -> Knowledge | None:
    """Loss and accuracy at masked pieces, always the same ones; None without any."""
    targets = masked_targets(model, docs, settings, step=0)
    pieces = [part.pieces for part in targets]
    return _knowledge(LanguageModel.from_head(model), _queries_of(targets), pieces)


def _queries_of(targets: Sequence[Targets]) -> Iterator[Query]:
    for batch, rows, _ in targets:
        start = 0
        for ids in batch.input_ids.split(list(batch.lengths)):
            own = rows[(rows >= start) & (rows < start + len(ids))]
            yield Query(ids.numpy(), (own - start).numpy())
            start += len(ids)


def next_piece_knowledge(model: Head, docs: Sequence[Doc]) -> Knowledge | None:
    """Loss and accuracy at every piece, with the left context that windows keep."""
    language_model = LanguageModel.from_head(model)
    texts = [part.ids for part in align(docs, language_model.tokenizer)]
    stride = window_attributes(model.encoder)["stride"]
    pieces = [torch.from_numpy(ids) for ids in texts]
    return _knowledge(
        language_model, causal_queries(language_model, texts, stride), pieces
    )


def _knowledge(
    model: LanguageModel, queries: Iterator[Query], pieces: Sequence[Tensor]
) -> Knowledge | None:
    wanted = torch.cat([torch.zeros(0, dtype=torch.long), *pieces]).numpy()
    if not len(wanted):
        return None
    found, is_best = score_targets(model, queries, wanted)
    bits = -float(found.sum()) / np.log(2)
    return Knowledge(-float(found.mean()), float(is_best.mean()), bits)


def _logits(states: Tensor, head: nn.Module) -> Tensor:
    logits: Tensor = head(states)
    return logits


def _cross_entropy(logits: Tensor, pieces: Tensor) -> tuple[float, Tensor]:
    """The sum over rows, and its gradient; on the logits' device, float32 [M, V]."""
    logs = logits.float().log_softmax(-1)
    own = logs.gather(1, pieces[:, None])
    gradient = logs.exp_().scatter_add_(1, pieces[:, None], -torch.ones_like(own))
    return -float(own.sum()), gradient


def _tokenizer(model: Head) -> ElectraTokenizer:
    _, encoder = load_language_model(model)
    assert encoder.tokenizer is not None
    return encoder.tokenizer
