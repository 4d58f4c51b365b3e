"""Reading a checkpoint directory of Transformers, or ours, into a model."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import Errors, Warnings
from ..models.config import CONFIG_NAME, ElectraConfig
from ..models.pretrained import PretrainedModel
from .names import from_hugging_face
from .source import resolve_source

Model = TypeVar("Model", bound=PretrainedModel)
# Looked for in this order. An index names the files that hold the parts.
_SAFE, _SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"
_TORCH, _TORCH_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
# What BERT's config means where it is silent and ELECTRA's would mean another thing.
_BERT_DEFAULTS = {
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
WEIGHT_FILES = (_SAFE, _SAFE_INDEX, _TORCH, _TORCH_INDEX)


@dataclass(frozen=True)
class LoadReport:
    """What did not come from a checkpoint, and what of it found no place.

    Args:
        newly_initialized: Parameters (our names) that the checkpoint lacks.
        left_over: Weights (its names) that the model has no place for.
    """

    newly_initialized: tuple[str, ...]
    left_over: tuple[str, ...]


def read_model(
    cls: type[Model], source: str | os.PathLike[str], **config_changes: Any
) -> Model:
    """Open a checkpoint as a model; warns of what was initialized or left over.

    Args:
        cls: Any of our model classes; a generator's checkpoint opens as a
            discriminator and the other way round, but for the head.
        source: A directory, the name of a bundled checkpoint, or a hub id.
        config_changes: Fields of the config to set otherwise.

    Returns:
        The model, in fp32 and evaluation mode.

    Raises:
        FileNotFoundError: If the source or one of its files is missing.
        ValueError: If it is no ELECTRA, or a file is broken, or a weight has another
            shape than the config says.
    """
    model, report = read_model_with_report(cls, source, **config_changes)
    if report.newly_initialized or report.left_over:
        warnings.warn(
            Warnings.SW200(
                source=source,
                architecture=cls.__name__,
                new=", ".join(report.newly_initialized) or "nothing",
                left=", ".join(report.left_over) or "nothing",
            ),
            stacklevel=2,
        )
    return model


def read_model_with_report(
    cls: type[Model], source: str | os.PathLike[str], **config_changes: Any
) -> tuple[Model, LoadReport]:
    """As ``read_model``, with the report in place of the warning."""
    folder = resolve_source(source)
    config = replace(read_config(folder), **config_changes)
    tensors, left_over = from_hugging_face(read_tensors(folder), cls.__name__)
    model = cls(config)
    expected = model.state_dict()
    for name in list(tensors):
        if name not in expected:
            left_over.append(name)
            del tensors[name]
    check_shapes(tensors, expected, folder)
    new = set(expected) - set(tensors)
    if model.config.extra.get("tie_word_embeddings", True):
        # Tied to the word embeddings: no file needs to hold it.
        new.discard("head.decoder.weight")
    tied = tensors.pop("head.decoder.weight", None) if not new else None
    floats = {name: tensor.float() for name, tensor in tensors.items()}
    if tied is not None and not model.config.extra.get("tie_word_embeddings", True):
        floats["head.decoder.weight"] = tied.float()
    model.load_state_dict(floats, strict=False)
    model.tie_weights()
    report = LoadReport(tuple(sorted(new)), tuple(sorted(left_over)))
    return model.eval(), report


def check_shapes(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], folder: Path
) -> None:
    """Refuse weights that do not fit.

    Args:
        tensors: From a checkpoint, by our names; those that are not expected pass.
        expected: What they are to replace.
        folder: Named in the message.

    Raises:
        ValueError: If one has another shape.
    """
    for name, tensor in tensors.items():
        if name in expected and tensor.shape != expected[name].shape:
            raise ValueError(
                Errors.SE203(
                    folder=folder,
                    name=name,
                    found=tuple(tensor.shape),
                    expected=tuple(expected[name].shape),
                )
            )


def read_config(folder: Path) -> ElectraConfig:
    """The config of a checkpoint directory, of an ELECTRA or a BERT.

    A BERT is an ELECTRA whose embeddings are as wide as its layers.

    Raises:
        FileNotFoundError: If there is no config.json.
        ValueError: If it describes another kind of model.
    """
    file = folder / CONFIG_NAME
    if not file.exists():
        raise FileNotFoundError(Errors.SE200(folder=folder, names=CONFIG_NAME))
    values = json.loads(file.read_text(encoding="utf8"))
    kind = values.get("model_type", "electra")
    if kind == "bert":
        values = {**_BERT_DEFAULTS, **values}
        values["embedding_size"] = values["hidden_size"]
    elif kind != "electra":
        raise ValueError(Errors.SE201(folder=folder, kind=kind))
    return ElectraConfig.from_dict(values)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All weights of a checkpoint directory, on the CPU, by the names of its files.

    Raises:
        FileNotFoundError: If there is no file of weights, or a part is missing.
        ValueError: If a file is broken.
    """
    for name in WEIGHT_FILES:
        file = folder / name
        if not file.exists():
            continue
        if name not in (_SAFE_INDEX, _TORCH_INDEX):
            return _read_file(file)
        index = json.loads(file.read_text(encoding="utf8"))
        tensors: dict[str, Tensor] = {}
        for part in sorted(set(index["weight_map"].values())):
            # The names come from a file: they must not lead out of the folder.
            if Path(part).name != part or not (folder / part).exists():
                raise FileNotFoundError(Errors.SE200(folder=folder, names=part))
            tensors.update(_read_file(folder / part))
        return tensors
    names = " or ".join(WEIGHT_FILES)
    raise FileNotFoundError(Errors.SE200(folder=folder, names=names))


def _read_file(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        # weights_only: a checkpoint must not run code.
        tensors: dict[str, Tensor] = torch.load(
            file, map_location="cpu", weights_only=True
        )
        return tensors
    except (SafetensorError, UnpicklingError, RuntimeError, OSError, EOFError) as error:
        raise ValueError(Errors.SE202(file=file, error=error)) from error
