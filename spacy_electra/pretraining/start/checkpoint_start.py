"""Beginning a run with the weights of a checkpoint: ELECTRA's, ours or BERT's."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...checkpoints import read_tensors
from ...errors import Errors, Warnings
from ...models import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining
from ...models.pretrained import check_shapes, checked_floats
from ...source import resolve_source
from ...tokenization.wordpiece import TOKENIZER, VOCAB, ElectraTokenizer
from ..pairs import pair_folders

Network = ElectraForMaskedLM | ElectraForPreTraining
WORDS, POSITIONS = "word_embeddings.weight", "position_embeddings.weight"
OUTPUT_BIAS = "head.decoder.bias"
_SHAPE = (
    "embedding_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "position_embedding_type",
)
_LONGEST_PIECE = 100


def start_from(
    source: str,
    generator: ElectraForMaskedLM,
    discriminator: ElectraForPreTraining,
    tokenizer: ElectraTokenizer,
    generator_source: str = "",
    *,
    one_encoder: bool = False,
) -> bool:
    """Fill networks from a checkpoint.

    What a checkpoint lacks stays as it is: the generator where there is none, the head
    of a BERT. Where its vocabulary is another one, embeddings are exchanged; where it
    knows more positions, the first ones are taken.

    Args:
        source: Folder, name of a bundled checkpoint or hub id of a discriminator, of a
            BERT, or the folder of a run.
        generator: Changed in place.
        discriminator: Changed in place.
        tokenizer: The vocabulary of the run.
        generator_source: The same for the generator; by default what lies beside the
            discriminator.
        one_encoder: Whether the run trains the discriminator's encoder under both
            heads. A generator that was smaller than the discriminator has no head for
            that one, and is left alone unless ``generator_source`` names it.

    Returns:
        Whether the generator was filled.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If its sizes are other ones; the message names the first.
    """
    folder, beside = pair_folders(resolve_source(source, key="init_from"))
    _fill(discriminator, folder, tokenizer)
    if generator_source:
        found = resolve_source(generator_source, key="generator_from")
        beside = pair_folders(found)[0]
    elif one_encoder and beside is not None:
        theirs = ElectraConfig.from_pretrained(beside)
        if _other_shape(theirs, generator.config):
            beside = None
    if beside is None:
        message = Warnings.SW405 if one_encoder else Warnings.SW401
        warnings.warn(message(source=source), stacklevel=2)
        return False
    _fill(generator, beside, tokenizer)
    return True


def _fill(network: Network, folder: Path, tokenizer: ElectraTokenizer) -> None:
    _check_shape(ElectraConfig.from_pretrained(folder), network.config, folder)
    found, _ = network.from_hugging_face(read_tensors(folder))
    _exchange_vocabulary(found, folder, tokenizer)
    expected = network.state_dict()
    for name, tensor in found.items():
        if name.endswith(POSITIONS):
            found[name] = tensor[: len(expected[name])]
    check_shapes(found, expected, folder)
    network.check_encoder(set(expected) - set(found), expected, folder)
    for name in network.tied:
        # It is the table of words, which is there already.
        found.pop(name, None)
    network.load_state_dict(checked_floats(found, folder), strict=False)


def _check_shape(found: ElectraConfig, expected: ElectraConfig, folder: Path) -> None:
    if name := _other_shape(found, expected):
        theirs, ours = getattr(found, name), getattr(expected, name)
        raise ValueError(
            Errors.SE422(folder=folder, name=name, found=theirs, expected=ours)
        )


def _other_shape(found: ElectraConfig, expected: ElectraConfig) -> str:
    """The first size that differs, or ""."""
    differing = (n for n in _SHAPE if getattr(found, n) != getattr(expected, n))
    return next(differing, "")


def _exchange_vocabulary(
    tensors: dict[str, Tensor], folder: Path, tokenizer: ElectraTokenizer
) -> None:
    """Bring embeddings and output biases to the vocabulary of the run, in place."""
    has_own = (folder / TOKENIZER).exists() or (folder / VOCAB).exists()
    of_words = [name for name in tensors if name.endswith((WORDS, OUTPUT_BIAS))]
    if not has_own:
        for name in of_words:
            if len(tensors[name]) != tokenizer.vocab_size:
                raise FileNotFoundError(Errors.SE103(path=folder))
        return
    old = ElectraTokenizer.from_pretrained(folder)
    if old.vocab == tokenizer.vocab:
        return
    sources = exchange_sources(old, tokenizer)
    for name in of_words:
        tensors[name] = exchange_rows(tensors[name], sources)


def exchange_sources(
    old: ElectraTokenizer, new: ElectraTokenizer
) -> list[Sequence[int]]:
    """The old pieces that each new piece takes its embedding from.

    A piece that both have keeps its own; special pieces are matched by their part, not
    their spelling; any other takes the mean of the old pieces that spell it, longest
    first (Gee et al., 2022, "Fast vocabulary transfer for language model compression").

    Returns:
        Old ids for each new id; none where the old pieces can't spell it.
    """
    roles = ("unk", "sep", "pad", "cls", "mask")
    special = {
        getattr(new, f"{role}_token_id"): getattr(old, f"{role}_token_id")
        for role in roles
    }
    sources: list[Sequence[int]] = [() for _ in range(new.vocab_size)]
    for piece, number in new.vocab.items():
        if number in special:
            sources[number] = (special[number],)
        else:
            continues = piece.startswith(new.wordpieces_prefix)
            text = piece.removeprefix(new.wordpieces_prefix) if continues else piece
            sources[number] = _spell(text, continues, old.vocab, old.wordpieces_prefix)
    return sources


def exchange_rows(table: Tensor, sources: list[Sequence[int]]) -> Tensor:
    """Rows for the new vocabulary.

    Args:
        table: Embeddings [V, E] or biases [V].
        sources: What ``exchange_sources`` gave.

    Returns:
        [new V, E] or [new V]; the mean of all rows for a piece without source.
    """
    rows = table.new_empty((len(sources), *table.shape[1:]))
    rows[:] = table.mean(0)
    for number, chosen in enumerate(sources):
        if chosen:
            rows[number] = table[torch.tensor(chosen)].mean(0)
    return rows


def _spell(
    text: str, continues: bool, vocab: Mapping[str, int], prefix: str
) -> tuple[int, ...]:
    found: list[int] = []
    start = 0
    while start < len(text):
        lead = prefix if continues or start else ""
        for end in range(min(len(text), start + _LONGEST_PIECE), start, -1):
            number = vocab.get(lead + text[start:end])
            if number is not None:
                found.append(number)
                start = end
                break
        else:
            return ()
    return tuple(found)
