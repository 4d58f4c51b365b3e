"""Our parameter names against Hugging Face's: the one table that translates."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# Beginnings of names, theirs first; {n} is a layer number. The first row that fits is
# taken, so the more special ones come before. Names alike on both sides need no row.
_ENCODER = (
    ("embeddings.LayerNorm.", "embeddings.norm."),
    (
        "encoder.layer.{n}.attention.output.LayerNorm.",
        "encoder.layers.{n}.attention.norm.",
    ),
    (
        "encoder.layer.{n}.attention.output.dense.",
        "encoder.layers.{n}.attention.output.",
    ),
    ("encoder.layer.{n}.attention.self.", "encoder.layers.{n}.attention."),
    ("encoder.layer.{n}.intermediate.dense.", "encoder.layers.{n}.feed_forward.up."),
    ("encoder.layer.{n}.output.dense.", "encoder.layers.{n}.feed_forward.down."),
    ("encoder.layer.{n}.output.LayerNorm.", "encoder.layers.{n}.feed_forward.norm."),
)
_HEADS: dict[str, tuple[tuple[str, str], ...]] = {
    "ElectraModel": (),
    "ElectraForPreTraining": (
        ("discriminator_predictions.dense_prediction.", "head.score."),
        ("discriminator_predictions.dense.", "head.dense."),
    ),
    "ElectraForMaskedLM": (
        ("generator_predictions.LayerNorm.", "head.norm."),
        ("generator_predictions.dense.", "head.dense."),
        ("generator_lm_head.", "head.decoder."),
    ),
}
# Query, key and value are one matrix here and three there.
_FUSED = "attention.qkv."
_PARTS = ("attention.query.", "attention.key.", "attention.value.")
# Names of before 2019, when the weights came from TensorFlow.
_OLD_SUFFIXES = ((".gamma", ".weight"), (".beta", ".bias"))
# Buffers that older versions saved; they follow from the config.
_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
PREFIX = "electra."
BERT_PREFIX = "bert."


def architecture_rows(architecture: str) -> tuple[tuple[str, str], ...]:
    """The rows of the table for a class, by the class's name."""
    return _ENCODER + _HEADS[architecture]


def from_hugging_face(
    tensors: Mapping[str, Tensor], architecture: str
) -> tuple[dict[str, Tensor], list[str]]:
    """Rename and fuse a state dict of Transformers.

    Args:
        tensors: By their names; the encoder's may or may not begin with "electra.", or
            with "bert.", whose encoder is the same.
        architecture: Name of the class that is to be filled.

    Returns:
        Tensors by our names, as the class's ``state_dict`` has them, and the names
        (theirs) that the class has no place for.
    """
    headless = not _HEADS[architecture]
    renamed: dict[str, Tensor] = {}
    left_over: list[str] = []
    for theirs, tensor in tensors.items():
        name = theirs
        for old, new in _OLD_SUFFIXES:
            if name.endswith(old):
                name = name[: -len(old)] + new
        inner = name.removeprefix(PREFIX).removeprefix(BERT_PREFIX)
        if inner in _BUFFERS:
            continue
        if inner.startswith(("embeddings.", "embeddings_project.", "encoder.")):
            ours = _translate(inner, _ENCODER)
            renamed[ours if headless else PREFIX + ours] = tensor
        elif any(name.startswith(row[0]) for row in _HEADS[architecture]):
            renamed[_translate(name, _HEADS[architecture])] = tensor
        else:
            left_over.append(theirs)
    return _fuse(renamed), left_over


def to_hugging_face(
    tensors: Mapping[str, Tensor], architecture: str
) -> dict[str, Tensor]:
    """Rename and split a state dict of ours; the opposite of ``from_hugging_face``."""
    rows = tuple((ours, theirs) for theirs, ours in architecture_rows(architecture))
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        prefix = PREFIX if name.startswith(PREFIX) else ""
        for ours, part in split_fused(name.removeprefix(PREFIX), tensor):
            renamed[prefix + _translate(ours, rows)] = part
    return renamed


def split_fused(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """Query, key and value of a tensor that holds all three; else the tensor itself.

    Args:
        name: By our table.
        tensor: [3 n, ...] or, with no query in it, of any shape.

    Returns:
        Names and views, [n, ...] each.
    """
    if _FUSED not in name:
        return [(name, tensor)]
    names = [name.replace(_FUSED, part) for part in _PARTS]
    return list(zip(names, tensor.chunk(len(_PARTS)), strict=True))


def _translate(name: str, rows: tuple[tuple[str, str], ...]) -> str:
    number = re.search(r"(?<=\.)\d+(?=\.)", name)
    layer = number.group() if number else ""
    for source, target in rows:
        start = source.replace("{n}", layer)
        if name.startswith(start):
            return target.replace("{n}", layer) + name[len(start) :]
    return name


def _fuse(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Join query, key and value where all three are there."""
    fused = dict(tensors)
    for name in tensors:
        if _PARTS[0] not in name:
            continue
        names = [name.replace(_PARTS[0], part) for part in _PARTS]
        if all(part in fused for part in names):
            joined = torch.cat([fused.pop(part) for part in names])
            fused[name.replace(_PARTS[0], _FUSED)] = joined
    return fused
