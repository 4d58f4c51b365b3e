"""Opening the pair of networks that a run, a checkpoint or a source directory holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import srsly

from ...checkpoints import read_model, resolve_source
from ...errors import Errors
from ...models import ElectraForMaskedLM, ElectraForPreTraining
from ...tokenization.wordpiece import TOKENIZER, VOCAB, ElectraTokenizer
from ..data.shards import TOKENIZER as SHARDS_TOKENIZER
from .checkpointing import PROGRESS
from .layout import DISCRIMINATOR, FINAL, GENERATOR, checkpoints


@dataclass(frozen=True)
class Pair:
    """What pretraining gives.

    Args:
        discriminator: The network that one keeps.
        generator: Its partner, if there is one.
        tokenizer: Of both.
    """

    discriminator: ElectraForPreTraining
    generator: ElectraForMaskedLM | None
    tokenizer: ElectraTokenizer


def open_pair(source: str | os.PathLike[str], generator: str = "") -> Pair:
    """Open a pair, in evaluation mode.

    Args:
        source: The folder of a run (its result or, failing that, its last checkpoint),
            one of its checkpoints, a directory with a discriminator on top and
            "generator" below it, the name of a bundled checkpoint, or a hub id.
        generator: Where the generator comes from instead.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If generator and discriminator have different vocabularies.
    """
    folder, beside = pair_folders(resolve_source(source))
    discriminator = read_model(ElectraForPreTraining, folder)
    other = pair_folders(resolve_source(generator))[0] if generator else beside
    language = read_model(ElectraForMaskedLM, other) if other else None
    if language is not None:
        found, expected = language.config.vocab_size, discriminator.config.vocab_size
        if found != expected:
            raise ValueError(
                Errors.SE422(
                    folder=other, name="vocab_size", found=found, expected=expected
                )
            )
    return Pair(discriminator, language, _tokenizer(folder))


def pair_folders(folder: Path) -> tuple[Path, Path | None]:
    """Where the discriminator is, and the generator if there is one."""
    if (folder / FINAL).is_dir():
        folder = folder / FINAL
    elif found := checkpoints(folder):
        folder = found[-1]
    if (folder / DISCRIMINATOR).is_dir():
        return folder / DISCRIMINATOR, folder / GENERATOR
    beside = folder / GENERATOR
    return folder, beside if beside.is_dir() else None


def _tokenizer(folder: Path) -> ElectraTokenizer:
    progress = folder.parent / PROGRESS
    has_own = (folder / TOKENIZER).exists() or (folder / VOCAB).exists()
    if progress.exists() and not has_own:
        # Checkpoints of the first version leave it to the shards.
        shards = srsly.read_json(progress)["settings"]["data"]["shards"]
        return ElectraTokenizer.from_pretrained(Path(shards) / SHARDS_TOKENIZER)
    return ElectraTokenizer.from_pretrained(folder)
