"""The two networks of a run: where they lie on disk, opening and exporting them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import srsly
import torch

from ..checkpoints import read_tensors, to_int8_rows, write_tensors
from ..checkpoints.names import PREFIX
from ..errors import Errors
from ..files import into_folder
from ..models import ElectraForMaskedLM, ElectraForPreTraining
from ..source import CONFIG_NAME, resolve_source
from ..tokenization.folder import SETTINGS, TOKENIZER, VOCAB
from ..tokenization.wordpiece import ElectraTokenizer
from .corpus.shards import TOKENIZER as SHARDS_TOKENIZER

CHECKPOINTS, FINAL = "checkpoints", "final"
DISCRIMINATOR, GENERATOR = "discriminator", "generator"
PROGRESS = "progress.json"
DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
# Rows of int8 with scales, which only this package reads.
INT8 = "int8"
# All that an export may write: of an older one, nothing else may stay.
_EXPORTED = (
    "model.safetensors",
    "model.safetensors.index.json",
    VOCAB,
    TOKENIZER,
    SETTINGS,
    GENERATOR,
    CONFIG_NAME,
)


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
    dtype: str = "bf16",
) -> None:
    """Write what a run has learned as one directory, whole or not at all.

    The discriminator and its tokenizer stand on top, the generator in a folder
    "generator" below, where the pretraining of ``electra_rtd`` looks for it. What the
    networks need only while they train is left behind.

    Args:
        run: Folder of a run: its result is taken or, where it has none yet, its last
            checkpoint; or anything else that ``open_pair`` opens.
        output: The directory, made where it is missing.
        dtype: Precision of the weights in the files, a key of ``DTYPES``, or "int8":
            rows of int8 with scales, and what the generator shares with the
            discriminator only once. To be opened by this package alone.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If there is no such dtype.
    """
    if dtype not in (*DTYPES, INT8):
        choices = ", ".join((*DTYPES, INT8))
        raise ValueError(Errors.SE002(name="dtype", value=dtype, choices=choices))
    pair = open_pair(run)
    # Other readers cut texts there: it is what the network can take.
    longest = pair.discriminator.config.max_position_embeddings
    pair.tokenizer.settings["model_max_length"] = longest
    written = DTYPES.get(dtype, torch.float32)
    with into_folder(Path(output), _EXPORTED, marker=CONFIG_NAME) as folder:
        pair.discriminator.save_pretrained(folder, written)
        pair.tokenizer.save_pretrained(folder)
        if pair.generator is not None:
            pair.generator.save_pretrained(folder / GENERATOR, written)
            pair.tokenizer.save_pretrained(folder / GENERATOR)
        if dtype == INT8:
            _round(folder)


def _round(folder: Path) -> None:
    """Bring the files of a pair, in float32, to rows of int8."""
    own = read_tensors(folder)
    if (folder / GENERATOR).is_dir():
        beside = read_tensors(folder / GENERATOR)
        encoder = [name for name in beside if name.startswith(PREFIX)]
        is_shared = all(
            name in own and torch.equal(own[name], beside[name]) for name in encoder
        )
        if is_shared:
            for name in encoder:
                del beside[name]
        write_tensors(folder / GENERATOR, to_int8_rows(beside), encoder_above=is_shared)
    write_tensors(folder, to_int8_rows(own))
