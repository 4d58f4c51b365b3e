"""What an encoder is good for: a tagger on top of it, frozen and not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import Errors
from ...models import ElectraModel, PackedBatch
from ...models.packing import split_by_tokens
from ...models.precision import autocast
from ...tokenization.wordpiece import ElectraTokenizer
from ..optimizers import warmup_then_decay
from .conllu import TaggedSentence

_WARMUP = 0.1


@dataclass(frozen=True)
class ProbeSettings:
    """How the taggers train; the two differ in their learning rate alone.

    Args:
        epochs: Times that each sentence is seen.
        batch_tokens: Pieces a batch.
        frozen_rate: Learning rate where the encoder stays as it is.
        unfrozen_rate: Learning rate where it learns too.
        seed: Of weights, order and dropout.
        precision: "auto", "fp32" or "bf16".
    """

    epochs: int = 3
    batch_tokens: int = 1024
    frozen_rate: float = 5e-3
    unfrozen_rate: float = 3e-4
    seed: int = 0
    precision: str = "auto"


@dataclass(frozen=True)
class TaggedPieces:
    """Sentences as pieces.

    Args:
        ids: With [CLS] and [SEP], int64 [n], one a sentence.
        rows: First piece of each word, int64 [words].
        tags: Of each word, int64 [words].
    """

    ids: list[Tensor]
    rows: list[Tensor]
    tags: list[Tensor]


class Tagger(nn.Module):
    """A weighted sum of an encoder's layers, and one linear layer.

    The weights are a softmax of their own parameters (Peters et al., 2018, "ELMo",
    section 3.2): which layer knows most differs between objectives, and must not decide
    the comparison.

    Args:
        encoder: Under it.
        tags: Number of tags.
        frozen: Whether the encoder stays as it is.
    """

    def __init__(self, encoder: ElectraModel, tags: int, frozen: bool) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(not frozen)
        self.frozen = frozen
        self.layer_weights = nn.Parameter(
            torch.zeros(encoder.config.num_hidden_layers + 1)
        )
        self.score = nn.Linear(encoder.config.hidden_size, tags)

    def forward(self, batch: PackedBatch, rows: Tensor) -> Tensor:
        """Scores of the tags at some rows of a batch, float32 [words, tags]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            encoded = self.encoder.forward_packed(batch, output_hidden_states=True)
        states = torch.stack([s[rows] for s in encoded.hidden_states or ()])
        shares = torch.softmax(self.layer_weights, 0)
        mixed = (shares[:, None, None] * states.float()).sum(0)
        scores: Tensor = self.score(mixed)
        return scores.float()


def probe(
    encoder: ElectraModel,
    tokenizer: ElectraTokenizer,
    train: Sequence[TaggedSentence],
    test: Sequence[TaggedSentence],
    settings: ProbeSettings = ProbeSettings(),
    on_batch: Callable[[int], None] = lambda total: None,
) -> dict[str, float]:
    """Train a frozen and an unfrozen tagger.

    Args:
        encoder: Is not changed.
        tokenizer: Its own.
        train: To learn from.
        test: To measure on.
        settings: How to train.
        on_batch: Is called after each batch with the number of all of them.

    Returns:
        Share of words that are tagged right: "majority" (each word the most frequent
        tag), "frozen" and "unfrozen".

    Raises:
        ValueError: If one of the two has no sentence.
    """
    names = sorted({tag for sentence in train for tag in sentence.tags})
    longest = encoder.config.max_position_embeddings
    known = tagged_pieces(train, tokenizer, names, longest)
    unseen = tagged_pieces(test, tokenizer, names, longest)
    if not known.ids or not unseen.ids:
        raise ValueError(Errors.SE429())
    most = int(torch.bincount(torch.cat(known.tags)).argmax())
    right = (torch.cat(unseen.tags) == most).float().mean()
    result = {"majority": float(right)}
    for name, frozen in (("frozen", True), ("unfrozen", False)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            tagger = Tagger(copy.deepcopy(encoder), len(names), frozen)
            tagger.to(encoder.device)
            _train(tagger, known, settings, on_batch)
        result[name] = accuracy(tagger, unseen, settings)
    return result


def tagged_pieces(
    sentences: Sequence[TaggedSentence],
    tokenizer: ElectraTokenizer,
    names: Sequence[str],
    longest: int,
) -> TaggedPieces:
    """Sentences as pieces; words that begin beyond ``longest`` pieces are left out.

    A tag that is not among the names is number -1, which never counts as right.
    """
    numbers = {name: number for number, name in enumerate(names)}
    pieces = TaggedPieces([], [], [])
    encodings = tokenizer.encode_batch([sentence.text for sentence in sentences])
    for sentence, encoding in zip(sentences, encodings, strict=True):
        room = longest - 2
        ids = encoding.ids[:room]
        # The first piece that ends after the word's first character is in the word.
        rows = np.searchsorted(encoding.offsets[:, 1], sentence.starts, side="right")
        kept = rows < len(ids)
        if not kept.any():
            continue
        tags = np.array([numbers.get(tag, -1) for tag in sentence.tags])
        with_specials = [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]
        pieces.ids.append(torch.tensor(with_specials))
        pieces.rows.append(torch.from_numpy(rows[kept] + 1))
        pieces.tags.append(torch.from_numpy(tags[kept]))
    return pieces


@torch.no_grad()
def accuracy(tagger: Tagger, pieces: TaggedPieces, settings: ProbeSettings) -> float:
    """Share of words that are tagged right."""
    tagger.eval()
    right = words = 0
    for batch, rows, tags in _batches(pieces, settings.batch_tokens, None):
        with autocast(tagger.encoder.device, settings.precision):
            scores = tagger(
                batch.to(tagger.encoder.device), rows.to(tagger.encoder.device)
            )
        right += int((scores.argmax(-1).cpu() == tags).sum())
        words += len(tags)
    return right / words


def _train(
    tagger: Tagger,
    pieces: TaggedPieces,
    settings: ProbeSettings,
    on_batch: Callable[[int], None],
) -> None:
    rate = settings.frozen_rate if tagger.frozen else settings.unfrozen_rate
    learning = [p for p in tagger.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=rate)
    device = tagger.encoder.device
    random = torch.Generator().manual_seed(settings.seed)
    total = settings.epochs * number_of_batches(pieces, settings.batch_tokens)
    step = 0
    # Dropout in a frozen encoder would only be noise.
    tagger.train(not tagger.frozen)
    for _ in range(settings.epochs):
        for batch, rows, tags in _batches(pieces, settings.batch_tokens, random):
            factor = warmup_then_decay(step / total, step, round(total * _WARMUP))
            optimizer.param_groups[0]["lr"] = rate * factor
            with autocast(device, settings.precision):
                scores = tagger(batch.to(device), rows.to(device))
            loss = F.cross_entropy(scores, tags.to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            step += 1
            on_batch(2 * total)


def number_of_batches(pieces: TaggedPieces, batch_tokens: int) -> int:
    """Batches of an epoch."""
    return len(split_by_tokens([len(ids) for ids in pieces.ids], batch_tokens))


def _batches(
    pieces: TaggedPieces, batch_tokens: int, random: torch.Generator | None
) -> Iterator[tuple[PackedBatch, Tensor, Tensor]]:
    """Batches of sentences of about one length, with the rows and tags of words."""
    groups = split_by_tokens([len(ids) for ids in pieces.ids], batch_tokens)
    order = torch.arange(len(groups))
    if random is not None:
        order = torch.randperm(len(groups), generator=random)
    for number in order.tolist():
        chosen = groups[number]
        lengths = torch.tensor([len(pieces.ids[index]) for index in chosen])
        starts = (lengths.cumsum(0) - lengths).tolist()
        rows = [
            pieces.rows[index] + start
            for index, start in zip(chosen, starts, strict=True)
        ]
        yield (
            PackedBatch.from_sequences([pieces.ids[index] for index in chosen]),
            torch.cat(rows),
            torch.cat([pieces.tags[index] for index in chosen]),
        )
