"""Checkpoints of a run: written whole or not at all, kept few, read back exactly."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import srsly
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim import Optimizer

from ...errors import DISK_FULL, Errors
from ...models import ElectraForMaskedLM
from ...tokenization.wordpiece import ElectraTokenizer
from ..disentangled import TABLES, differences, is_disentangled, plain_discriminator
from ..objective import Objective
from ..pairs import (
    DISCRIMINATOR,
    GENERATOR,
    PARTIAL,
    PROGRESS,
    checkpoint_of,
    checkpoints,
)
from ..settings import PretrainingSettings
from .averaging import WeightAverage
from .distributed import divided_like, whole

OPTIMIZERS_FILE = "optimizers.safetensors"
LANGUAGE_HEAD, DIFFERENCES = "language_head.safetensors", "differences.safetensors"
AVERAGE = "average.safetensors"
# What runs of before wrote in place of OPTIMIZERS_FILE.
_OLD_OPTIMIZERS = "optimizers.pt"
# Besides tensors a checkpoint has configs, a vocabulary and rounded-up blocks.
_SMALL_FILES = 4_000_000
# What must be as it was for weights and optimizers to fit: sections, and keys of them.
_FIXED = (
    ("model", ("size", "discriminator", "generator_fraction", "generator")),
    ("objective", ("name",)),
    ("optimizer", ("name",)),
)


@dataclass
class Progress:
    """How far a run has come.

    With the seed this decides all that is random in the steps to come: order of the
    texts, masks, samples and dropout of step k depend on (seed, k) alone.

    Args:
        step: Steps taken.
        tokens: Pieces seen.
        seconds: Time spent in steps.
        best: Step and value of the best checkpoint, if any.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RunState:
    """All that changes in a run.

    Args:
        objective: Networks, and what of the objective learns, whole.
        optimizers: With their moments, which may be divided among processes.
        average: Moving average of the weights, if there is one; divided likewise.
    """

    objective: Objective
    optimizers: Sequence[Optimizer]
    average: WeightAverage | None = None


def save_checkpoint(
    output: Path,
    state: RunState,
    progress: Progress,
    settings: PretrainingSettings,
    tokenizer: ElectraTokenizer,
    *,
    writes: bool = True,
) -> Path:
    """Write a checkpoint, then remove those that are not to be kept.

    Everything goes to the disk under another name first, so a crash at any moment
    leaves the checkpoint before it whole, and so does a full disk.

    Args:
        output: Folder of the run.
        state: What changes in it.
        progress: How far it has come.
        settings: Of the run.
        tokenizer: Of its corpus.
        writes: Whether this process writes. Where tensors are divided the others have
            to be here as well, to give their parts.

    Returns:
        Its folder.

    Raises:
        OSError: If the disk is full.
    """
    folder = checkpoint_of(output, progress.step)
    if not writes:
        if not folder.exists():
            for tensors in _tensors_beside(state).values():
                _plain(tensors)
        return folder
    if not folder.exists():
        check_space(output, state, 1)
        with whole_folder(folder) as partial:
            save_networks(state.objective, partial, tokenizer)
            for name, tensors in _tensors_beside(state).items():
                (partial / name).write_bytes(save(_plain(tensors)))
            content = {
                **asdict(progress),
                "settings": asdict(settings),
                "tokenizer_hash": tokenizer.fingerprint,
            }
            srsly.write_json(partial / PROGRESS, content)
    _remove_old(output, settings, progress)
    return folder


def load_checkpoint(
    folder: Path,
    state: RunState,
    settings: PretrainingSettings,
    tokenizer: ElectraTokenizer,
) -> Progress:
    """Bring a run to where a checkpoint was written.

    Raises:
        ValueError: If it has other sizes or another vocabulary, or a file is broken.
    """
    saved = srsly.read_json(folder / PROGRESS)
    check_fits(folder, saved, settings, tokenizer)
    _load_networks(folder, state.objective)
    if (folder / OPTIMIZERS_FILE).exists():
        _load_optimizers(load_file(folder / OPTIMIZERS_FILE), state.optimizers)
    else:
        old = torch.load(
            folder / _OLD_OPTIMIZERS, map_location="cpu", weights_only=True
        )
        for optimizer, values in zip(state.optimizers, old, strict=True):
            optimizer.load_state_dict(values)
    if state.average is not None and (folder / AVERAGE).exists():
        state.average.load(load_file(folder / AVERAGE))
    return Progress(
        step=saved["step"],
        tokens=saved["tokens"],
        seconds=saved["seconds"],
        best=saved.get("best", {}),
    )


def save_networks(
    objective: Objective, folder: Path, tokenizer: ElectraTokenizer
) -> None:
    """Write both networks as directories that others open too."""
    plain_discriminator(objective.discriminator).save_pretrained(folder / DISCRIMINATOR)
    objective.generator.save_pretrained(folder / GENERATOR)
    for name in (DISCRIMINATOR, GENERATOR):
        tokenizer.save_pretrained(folder / name)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder that is there with all its content, or not at all.

    Yields:
        Where to write.

    Raises:
        OSError: If the disk is full; nothing of the folder stays.
    """
    partial = folder.with_name(folder.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        # A name that is on the disk before its content would outlive a power cut.
        for file in [*partial.rglob("*"), partial]:
            _synchronize(file)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if error.errno in DISK_FULL:
            message = Errors.SE423(path=folder, needed="more", free="nothing")
            raise OSError(error.errno, message) from error
        raise
    replaced = folder.with_name(folder.name + ".old" + PARTIAL)
    if folder.exists():
        folder.rename(replaced)
    partial.rename(folder)
    _synchronize(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def check_space(output: Path, state: RunState, count: int) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        output: Folder of the run.
        state: Gives the size of a checkpoint.
        count: Checkpoints to come.

    Raises:
        OSError: If there is less room; the message says how much is needed.
    """
    needed = count * checkpoint_bytes(state)
    free = shutil.disk_usage(output).free
    if free < needed:
        message = Errors.SE423(
            path=output, needed=f"{needed / 1e6:,.0f} MB", free=f"{free / 1e6:,.0f} MB"
        )
        raise OSError(errno.ENOSPC, message)


def checkpoint_bytes(state: RunState) -> int:
    """Size of a checkpoint, about.

    Optimizers that have not stepped yet are counted as they will be, with two moments.
    """
    weights = {id(p): p for p in state.objective.parameters()}
    of_weights = sum(p.numel() * p.element_size() for p in weights.values())
    copies = 4 if state.average is not None else 3
    return copies * of_weights + _SMALL_FILES


def check_fits(
    folder: Path,
    saved: Mapping[str, Any],
    settings: PretrainingSettings,
    tokenizer: ElectraTokenizer,
) -> None:
    """Refuse to go on from a checkpoint of other sizes.

    Raises:
        ValueError: If they differ; the message names what does.
    """
    # Tuples are lists in the file.
    ours = srsly.json_loads(srsly.json_dumps(asdict(settings)))
    for section, names in _FIXED:
        theirs = saved["settings"].get(section, {})
        for name in names:
            expected = ours[section][name]
            if theirs.get(name, expected) != expected:
                raise ValueError(
                    Errors.SE422(
                        folder=folder,
                        name=f"{section}.{name}",
                        found=theirs[name],
                        expected=expected,
                    )
                )
    if saved.get("tokenizer_hash", tokenizer.fingerprint) != tokenizer.fingerprint:
        raise ValueError(Errors.SE424(folder=folder, shards=settings.data.shards))


def _remove_old(
    output: Path, settings: PretrainingSettings, progress: Progress
) -> None:
    best = None
    if settings.training.keep_best and progress.best:
        best = checkpoint_of(output, int(progress.best["step"]))
    for old in checkpoints(output)[: -settings.training.keep]:
        if old != best:
            # Half of a folder must not look like a whole one.
            doomed = old.with_name(old.name + PARTIAL)
            old.rename(doomed)
            shutil.rmtree(doomed)


def _tensors_beside(state: RunState) -> dict[str, dict[str, Tensor]]:
    """What a checkpoint holds besides the two networks, by file."""
    objective = state.objective
    files: dict[str, dict[str, Tensor]] = {OPTIMIZERS_FILE: {}}
    for number, optimizer in enumerate(state.optimizers):
        for index, values in optimizer.state_dict()["state"].items():
            for name, value in values.items():
                key = f"{number}.{index}.{name}"
                files[OPTIMIZERS_FILE][key] = torch.as_tensor(value)
    if objective.language_head is not None:
        files[LANGUAGE_HEAD] = _untied(objective)
    if is_disentangled(objective.discriminator):
        files[DIFFERENCES] = differences(objective.discriminator)
    if state.average is not None:
        files[AVERAGE] = state.average.tensors()
    return files


def _untied(objective: Objective) -> dict[str, Tensor]:
    """The language head's weights but for a decoder that the embeddings hold."""
    head = objective.language_head
    assert head is not None
    tensors = head.state_dict()
    words = objective.discriminator.electra.embeddings.word_embeddings
    if isinstance(words, nn.Embedding) and head.decoder.weight is words.weight:
        del tensors["decoder.weight"]
    return tensors


def _load_networks(folder: Path, objective: Objective) -> None:
    generator = ElectraForMaskedLM.from_pretrained(folder / GENERATOR)
    objective.generator.load_state_dict(generator.state_dict())
    discriminator = objective.discriminator
    state = type(discriminator).from_pretrained(folder / DISCRIMINATOR).state_dict()
    if is_disentangled(discriminator):
        for name in TABLES:
            del state[f"electra.embeddings.{name}.weight"]
        for name, value in load_file(folder / DIFFERENCES).items():
            state[f"electra.embeddings.{name}.difference"] = value
    discriminator.load_state_dict(state)
    if objective.language_head is not None:
        head = load_file(folder / LANGUAGE_HEAD)
        objective.language_head.load_state_dict(head, strict=False)


def _load_optimizers(
    tensors: Mapping[str, Tensor], optimizers: Sequence[Optimizer]
) -> None:
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            owner, index, name = key.split(".", 2)
            if int(owner) == number:
                state.setdefault(int(index), {})[name] = value
        # Rates and the like come from the settings.
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        for parameter, values in optimizer.state.items():
            for name, value in values.items():
                values[name] = divided_like(parameter, value)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: whole(tensor.detach()).cpu().contiguous().clone()
        for name, tensor in tensors.items()
    }


def _synchronize(path: Path) -> None:
    """Have the disk itself hold a file, or a folder's names."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
