"""The two networks of a run: where they lie on disk, opening and exporting them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import srsly

from ..errors import Errors
from ..exchange.writing import (
    GENERATOR,
    check_format,
    check_output,
    check_report,
    usual_precision,
    write_folder,
)
from ..models import ElectraForMaskedLM, ElectraForPreTraining
from ..source import resolve_source
from ..tokenization.folder import TOKENIZER, VOCAB
from ..tokenization.wordpiece import ElectraTokenizer
from .corpus.shards import TOKENIZER as SHARDS_TOKENIZER

CHECKPOINTS, FINAL = "checkpoints", "final"
DISCRIMINATOR = "discriminator"
PROGRESS = "progress.json"


def checkpoints(output: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    folders = (output / CHECKPOINTS).glob("step-*")
    # What is being written, or was found broken, has an ending.
    return sorted(folder for folder in folders if not folder.suffix)


def checkpoint_of(output: Path, step: int) -> Path:
    """Where the checkpoint of a step lies, or will."""
    return output / CHECKPOINTS / f"step-{step:08d}"


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
    discriminator = ElectraForPreTraining.from_pretrained(folder)
    other = pair_folders(resolve_source(generator))[0] if generator else beside
    language = ElectraForMaskedLM.from_pretrained(other) if other else None
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


def export_run(
    run: str | os.PathLike[str],
    output: str | os.PathLike[str],
    dtype: str = "",
    *,
    format: str = "safetensors",
    texts: Iterable[str] | None = None,
    allow_new: bool = False,
) -> None:
    """Write what a run has learned as one directory, whole or not at all.

    The discriminator and its tokenizer stand on top, the generator in a folder
    "generator" below, where the pretraining of ``electra_rtd`` looks for it. What the
    networks need only while they train is left behind.

    Args:
        run: Folder of a run: its result is taken or, where it has none yet, its last
            checkpoint; or anything else that ``open_pair`` opens.
        output: The directory, made where it is missing.
        dtype: Precision of the weights in the files, one that the format has; by
            default "bf16" of safetensors, and "fp32" of others. Rows of "int8" as
            safetensors are opened by this package alone, and hold what the generator
            shares with the discriminator once.
        format: As in ``exchange.writing.write_folder``, like ``texts``.
        texts: To calibrate with, where the format asks for some.
        allow_new: Whether to write weights that the source lacks, which are random.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If there is no such format or dtype; if the source lacks some
            weights; if the directory holds other files.
    """
    dtype = dtype or usual_precision(format)
    check_format(format, dtype, texts)
    folder, beside = pair_folders(resolve_source(run))
    check_output(Path(output), folder)
    for cls, part in ((ElectraForPreTraining, folder), (ElectraForMaskedLM, beside)):
        if part is not None:
            check_report(cls.report_of(part), cls, os.fspath(run), allow_new)
    pair = open_pair(run)
    write_folder(
        Path(output),
        pair.discriminator,
        pair.tokenizer,
        format=format,
        precision=dtype,
        generator=pair.generator,
        texts=texts,
        source=folder,
    )
