"""Checkpoints of a run: written whole or not at all, kept few, read back exactly."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import srsly
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim import Optimizer

from ...errors import DISK_FULL, Errors, listed
from ...files import PARTIAL, whole_folder
from ...models import ElectraForMaskedLM
from ...models.pretrained import PretrainedModel
from ...tokenization.wordpiece import ElectraTokenizer
from ..disentangled import TABLES, differences, is_disentangled, plain_discriminator
from ..objective import Objective
from ..pairs import (
    DISCRIMINATOR,
    GENERATOR,
    PROGRESS,
    checkpoint_of,
    checkpoints,
)
from ..settings import PretrainingSettings
from .averaging import WeightAverage
from .distributed import divided_like, whole

Network = TypeVar("Network", bound=PretrainedModel)
OPTIMIZERS_FILE = "optimizers.safetensors"
LANGUAGE_HEAD, DIFFERENCES = "language_head.safetensors", "differences.safetensors"
AVERAGE = "average.safetensors"
# What runs of before wrote in place of OPTIMIZERS_FILE.
_OLD_OPTIMIZERS = "optimizers.pt"
# Besides tensors a checkpoint has configs, a vocabulary and rounded-up blocks.
_SMALL_FILES = 4_000_000
# What must be as it was for weights and optimizers to fit.
_FIXED = (
    "model.size",
    "model.discriminator",
    "model.generator_fraction",
    "model.generator",
    "objective.name",
    "optimizer.name",
    "optimizer.layer_decay",
)
# What decides on the texts that a run sees and on what it learns of them.
_TRAINED = ("data.", "objective.", "sampler.", "training.seed")
_ACCUMULATE = "training.accumulate"
# Where a corpus lies says nothing about it.
_PLACES = ("data.shards",)


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


class BrokenCheckpoint(ValueError):
    """A checkpoint that can't be read; the one before it may be whole."""


@dataclass(frozen=True)
class Changes:
    """Settings that are not those of a checkpoint, each as "name: old -> new".

    Args:
        trained: Those that change what is trained.
        others: Such as budgets, rates, and how often something is written.
    """

    trained: list[str]
    others: list[str]


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
    facts: Mapping[str, Any] | None = None,
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
        facts: What else is to be the same when the run goes on.
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
        content = {
            **asdict(progress),
            "settings": asdict(settings),
            "tokenizer_hash": tokenizer.fingerprint,
            **(facts or {}),
        }
        try:
            with whole_folder(folder) as partial:
                save_networks(state.objective, partial, tokenizer)
                for name, tensors in _tensors_beside(state).items():
                    (partial / name).write_bytes(save(_plain(tensors)))
                srsly.write_json(partial / PROGRESS, content)
        except OSError as error:
            raise explained(error, folder) from error
    _remove_old(output, settings, progress)
    return folder


def read_progress(folder: Path) -> dict[str, Any]:
    """What a checkpoint says of itself.

    Raises:
        BrokenCheckpoint: If it can't be read.
    """
    try:
        saved: dict[str, Any] = srsly.read_json(folder / PROGRESS)
        asked = ("step", "tokens", "seconds", "settings")
        if missing := [name for name in asked if name not in saved]:
            raise ValueError(f"{PROGRESS} has no {', '.join(missing)}")
    except (OSError, ValueError, TypeError) as error:
        raise BrokenCheckpoint(str(error)) from error
    return saved


def load_checkpoint(
    folder: Path, state: RunState, saved: Mapping[str, Any]
) -> Progress:
    """Bring a run to where a checkpoint was written.

    Args:
        folder: Of the checkpoint.
        state: Is filled; after an error its weights mean nothing.
        saved: What ``read_progress`` gave.

    Raises:
        BrokenCheckpoint: If a file is missing, broken or of other sizes, or a weight is
            not finite.
    """
    try:
        _load_networks(folder, state.objective)
        _check_finite(dict(state.objective.named_parameters()))
        if (folder / OPTIMIZERS_FILE).exists():
            _load_optimizers(load_file(folder / OPTIMIZERS_FILE), state.optimizers)
        else:
            old = torch.load(
                folder / _OLD_OPTIMIZERS, map_location="cpu", weights_only=True
            )
            for optimizer, values in zip(state.optimizers, old, strict=True):
                optimizer.load_state_dict(values)
        had_average = bool(saved["settings"].get("training", {}).get("average"))
        if state.average is not None and had_average:
            averages = load_file(folder / AVERAGE)
            _check_finite(averages)
            state.average.load(averages)
        return Progress(
            step=int(saved["step"]),
            tokens=int(saved["tokens"]),
            seconds=float(saved["seconds"]),
            best=saved.get("best", {}),
        )
    except (
        OSError,
        ValueError,
        LookupError,
        RuntimeError,
        TypeError,
        SafetensorError,
        UnpicklingError,
    ) as error:
        raise BrokenCheckpoint(f"{type(error).__name__}: {error}") from error


def explained(error: OSError, path: Path) -> OSError:
    """The error of a full disk in words, any other as it is."""
    if error.errno not in DISK_FULL:
        return error
    message = Errors.SE423(path=path, needed="more", free="nothing")
    return OSError(error.errno, message)


def save_networks(
    objective: Objective, folder: Path, tokenizer: ElectraTokenizer
) -> None:
    """Write both networks as directories that others open too."""
    plain_discriminator(objective.discriminator).save_pretrained(folder / DISCRIMINATOR)
    objective.generator.save_pretrained(folder / GENERATOR)
    for name in (DISCRIMINATOR, GENERATOR):
        tokenizer.save_pretrained(folder / name)


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
    theirs, ours = _flat(_filled(saved["settings"])), _flat(asdict(settings))
    fixed = [*_FIXED]
    if _has_language_head(theirs) != _has_language_head(ours):
        fixed += ["objective.mlm_warmup", "objective.correction_weight"]
    for name in fixed:
        if theirs[name] != ours[name]:
            raise ValueError(
                Errors.SE422(
                    folder=folder, name=name, found=theirs[name], expected=ours[name]
                )
            )
    if saved.get("tokenizer_hash", tokenizer.fingerprint) != tokenizer.fingerprint:
        raise ValueError(Errors.SE424(folder=folder, shards=settings.data.shards))


def changes_since(
    saved: Mapping[str, Any],
    settings: PretrainingSettings,
    facts: Mapping[str, Any],
) -> Changes:
    """What is not as it was when a checkpoint was written.

    Args:
        saved: What ``read_progress`` gave.
        settings: Of now.
        facts: Of now, as ``save_checkpoint`` got them then. What is a dict of checksums
            differs where they have one in common that does.
    """
    theirs, ours = _flat(_filled(saved["settings"])), _flat(asdict(settings))
    changes = Changes([], [])
    for name, new in ours.items():
        old = theirs.get(name, new)
        if old != new and name not in _PLACES:
            trained = name.startswith(_TRAINED)
            # Checkpoints of before do not say how many batches a step had.
            trained |= name == _ACCUMULATE and "batches_a_step" not in saved
            kind = changes.trained if trained else changes.others
            kind.append(f"{name}: {old!r} -> {new!r}")
    for name, new in facts.items():
        old = saved.get(name, new)
        if isinstance(new, Mapping):
            common = set(new) & set(old)
            # The most exact one decides.
            names = common - {"counts"} or common
            if any(old[key] != new[key] for key in names):
                changes.trained.append(f"the {name}: another one")
        elif old != new:
            changes.trained.append(f"{name.replace('_', ' ')}: {old} -> {new}")
    return changes


def _filled(saved: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Saved settings, with the defaults for what did not exist when they were saved."""
    usual = asdict(PretrainingSettings.of_defaults())
    return {name: {**usual[name], **saved.get(name, {})} for name in usual}


def _flat(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Values by "section.name", as they come back from a file."""
    plain = srsly.json_loads(srsly.json_dumps(settings))
    return {
        f"{section}.{name}": value
        for section, values in plain.items()
        for name, value in values.items()
    }


def _has_language_head(settings: Mapping[str, Any]) -> bool:
    warmup, correction = "objective.mlm_warmup", "objective.correction_weight"
    return bool(settings[warmup] or settings[correction])


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
    generator = _open(ElectraForMaskedLM, folder / GENERATOR)
    objective.generator.load_state_dict(generator.state_dict())
    discriminator = objective.discriminator
    state = _open(type(discriminator), folder / DISCRIMINATOR).state_dict()
    if is_disentangled(discriminator):
        for name in TABLES:
            del state[f"electra.embeddings.{name}.weight"]
        for name, value in load_file(folder / DIFFERENCES).items():
            state[f"electra.embeddings.{name}.difference"] = value
    discriminator.load_state_dict(state)
    if objective.language_head is not None:
        head = load_file(folder / LANGUAGE_HEAD)
        if differing := set(head) ^ set(_untied(objective)):
            raise ValueError(f"{LANGUAGE_HEAD} lacks or adds {listed(differing)}")
        objective.language_head.load_state_dict(head, strict=False)


def _open(kind: type[Network], folder: Path) -> Network:
    """A network of a run, of which nothing may be missing."""
    network, report = kind.from_pretrained_with_report(folder)
    if differing := (*report.newly_initialized, *report.left_over):
        raise ValueError(f"{folder.name} lacks or adds {listed(differing)}")
    return network


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    bad = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    if bad:
        raise ValueError(f"not finite: {listed(bad)}")


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
                if value.numel() > 1 and value.shape != parameter.shape:
                    sizes = f"{tuple(value.shape)}, not {tuple(parameter.shape)}"
                    raise ValueError(f"{name} in {OPTIMIZERS_FILE} is {sizes}")
                values[name] = divided_like(parameter, value)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: whole(tensor.detach()).cpu().contiguous().clone()
        for name, tensor in tensors.items()
    }
