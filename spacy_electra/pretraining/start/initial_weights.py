"""Beginning a run with the weights of a checkpoint: ELECTRA's, ours or BERT's."""

from __future__ import annotations

import warnings
from pathlib import Path

from torch import Tensor

from ...checkpoints import resolve_source
from ...checkpoints.names import from_hugging_face
from ...checkpoints.reading import check_shapes, read_config, read_tensors
from ...errors import Errors, Warnings
from ...models import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining
from ...tokenization.wordpiece import TOKENIZER, VOCAB, ElectraTokenizer
from ..run.opening import pair_folders
from .vocabulary_exchange import exchange_rows, exchange_sources

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


def start_from(
    source: str,
    generator: ElectraForMaskedLM | None,
    discriminator: ElectraForPreTraining,
    tokenizer: ElectraTokenizer,
    generator_source: str = "",
) -> None:
    """Fill networks from a checkpoint.

    What a checkpoint lacks stays as it is: the generator where there is none, the head
    of a BERT. Where its vocabulary is another one, embeddings are exchanged; where it
    knows more positions, the first ones are taken.

    Args:
        source: Folder, name of a bundled checkpoint or hub id of a discriminator, of a
            BERT, or the folder of a run.
        generator: Changed in place; None where the objective has no generator of its
            own shape.
        discriminator: Changed in place.
        tokenizer: The vocabulary of the run.
        generator_source: The same for the generator; by default what lies beside the
            discriminator.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If its sizes are other ones; the message names the first.
    """
    folder, beside = pair_folders(resolve_source(source))
    _fill(discriminator, folder, tokenizer)
    if generator is None:
        return
    if generator_source:
        beside = pair_folders(resolve_source(generator_source))[0]
    if beside is not None:
        _fill(generator, beside, tokenizer)
    else:
        warnings.warn(Warnings.SW401(source=source), stacklevel=2)


def _fill(network: Network, folder: Path, tokenizer: ElectraTokenizer) -> None:
    _check_shape(read_config(folder), network.config, folder)
    found, _ = from_hugging_face(read_tensors(folder), type(network).__name__)
    _exchange_vocabulary(found, folder, tokenizer)
    expected = network.state_dict()
    for name, tensor in found.items():
        if name.endswith(POSITIONS):
            found[name] = tensor[: len(expected[name])]
    check_shapes(found, expected, folder)
    # The decoder is the table of words, which is there already.
    found.pop("head.decoder.weight", None)
    network.load_state_dict({k: v.float() for k, v in found.items()}, strict=False)


def _check_shape(found: ElectraConfig, expected: ElectraConfig, folder: Path) -> None:
    for name in _SHAPE:
        theirs, ours = getattr(found, name), getattr(expected, name)
        if theirs != ours:
            raise ValueError(
                Errors.SE422(folder=folder, name=name, found=theirs, expected=ours)
            )


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
