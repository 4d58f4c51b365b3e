"""Our parameter names against Hugging Face's; each head brings rows of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

Rows = tuple[tuple[str, str], ...]
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
    (
        "encoder.layer.{n}.crossattention.output.LayerNorm.",
        "encoder.layers.{n}.cross_attention.norm.",
    ),
    (
        "encoder.layer.{n}.crossattention.output.dense.",
        "encoder.layers.{n}.cross_attention.output.",
    ),
    ("encoder.layer.{n}.crossattention.self.", "encoder.layers.{n}.cross_attention."),
    ("encoder.layer.{n}.intermediate.dense.", "encoder.layers.{n}.feed_forward.up."),
    ("encoder.layer.{n}.output.dense.", "encoder.layers.{n}.feed_forward.down."),
    ("encoder.layer.{n}.output.LayerNorm.", "encoder.layers.{n}.feed_forward.norm."),
)
# Query, key and value are one matrix here and three there.
_FUSED = "attention.qkv."
_PARTS = ("attention.query.", "attention.key.", "attention.value.")
# Names of before 2019, when the weights came from TensorFlow.
_OLD_SUFFIXES = ((".gamma", ".weight"), (".beta", ".bias"))
# Buffers that older versions saved; they follow from the config.
_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
PREFIX = "electra."
BERT_PREFIX = "bert."
_OF_ENCODER = ("embeddings.", "embeddings_project.", "encoder.")
# Of names beside an encoder's in a file that holds two networks.
GENERATOR_PREFIX = "generator."
# How other architectures begin their names, whose layers are not these.
_OTHERS = (
    "albert",
    "deberta",
    "distilbert",
    "funnel",
    "longformer",
    "mpnet",
    "roberta",
)
# What DataParallel, torch.compile, Lightning and scripts that train a pair put before.
_WRAPPERS = ("module.", "_orig_mod.", "model.", "discriminator.", "generator.")


def from_hugging_face(
    tensors: Mapping[str, Tensor], head: Rows | None
) -> tuple[dict[str, Tensor], list[str]]:
    """Rename and fuse a state dict of Transformers.

    Args:
        tensors: By their names; the encoder's may or may not begin with "electra.", or
            with "bert.", whose encoder is the same.
        head: Beginnings of the names of the head, theirs and ours; None for the bare
            encoder.

    Returns:
        Tensors by our names, as a model's ``state_dict`` has them, and the names
        (theirs) that the model has no place for.
    """
    renamed: dict[str, Tensor] = {}
    left_over: list[str] = []
    for theirs, tensor in tensors.items():
        name = _modern(theirs)
        inner = name.removeprefix(PREFIX).removeprefix(BERT_PREFIX)
        if inner in _BUFFERS:
            continue
        if inner.startswith(_OF_ENCODER):
            ours = _translate(inner, _ENCODER)
            renamed[ours if head is None else PREFIX + ours] = tensor
        elif any(name.startswith(row[0]) for row in head or ()):
            renamed[_translate(name, head or ())] = tensor
        else:
            left_over.append(theirs)
    return _fuse(renamed), left_over


def to_hugging_face(
    tensors: Mapping[str, Tensor], head: Rows | None
) -> dict[str, Tensor]:
    """Rename and split a state dict of ours; the opposite of ``from_hugging_face``."""
    rows = tuple((ours, theirs) for theirs, ours in (*_ENCODER, *(head or ())))
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        prefix = PREFIX if name.startswith(PREFIX) else ""
        for ours, part in split_fused(name.removeprefix(PREFIX), tensor):
            renamed[prefix + _translate(ours, rows)] = part
    return renamed


def of_network(tensors: Mapping[str, Tensor], generator: bool) -> dict[str, Tensor]:
    """One network's tensors of a file that holds discriminator and generator.

    Args:
        tensors: By the names of a file; those of the generator begin with "generator."
            where the discriminator's begin with "electra.".
        generator: Whether it is the one that is asked for.

    Returns:
        The tensors of that network alone; all of them where there is but one.
    """
    prefixes = (PREFIX, GENERATOR_PREFIX + PREFIX)
    if not all(any(n.startswith(prefix) for n in tensors) for prefix in prefixes):
        return dict(tensors)
    return {
        n.removeprefix(GENERATOR_PREFIX): t
        for n, t in tensors.items()
        if n.startswith(GENERATOR_PREFIX) == generator
    }


def other_architecture(names: Iterable[str]) -> str:
    """The architecture, neither ELECTRA nor BERT, that names speak of; else ""."""
    starts = {name.split(".")[0] for name in names}
    return next((other for other in _OTHERS if other in starts), "")


def without_wrapper(
    tensors: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], str]:
    """Take off what a training script put before the names of an encoder.

    Args:
        tensors: By the names of a file.

    Returns:
        The tensors, and the prefix that was taken off; "" where the names need none, or
        where none that is known helps.
    """
    prefix = ""
    while not _has_encoder(tensors):
        longer = [w for w in _WRAPPERS if any(n.startswith(w) for n in tensors)]
        if not longer:
            break
        prefix += longer[0]
        tensors = {n.removeprefix(longer[0]): t for n, t in tensors.items()}
    return dict(tensors), prefix if _has_encoder(tensors) else ""


def layer_count(names: Iterable[str]) -> int:
    """One more than the highest layer that our names speak of; 0 if none does."""
    numbers = re.findall(r"encoder\.layers\.(\d+)\.", "\n".join(names))
    return max(map(int, numbers), default=-1) + 1


def _has_encoder(names: Iterable[str]) -> bool:
    return any(
        _modern(name)
        .removeprefix(PREFIX)
        .removeprefix(BERT_PREFIX)
        .startswith(_OF_ENCODER)
        for name in names
    )


def _modern(name: str) -> str:
    for old, new in _OLD_SUFFIXES:
        if name.endswith(old):
            name = name[: -len(old)] + new
    return name


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


def _translate(name: str, rows: Rows) -> str:
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
    for name, tensor in tensors.items():
        if _PARTS[0] not in name:
            continue
        names = [name.replace(_PARTS[0], part) for part in _PARTS]
        # Parts of other shapes stay apart: what lacks them says so.
        if all(part in fused and fused[part].shape == tensor.shape for part in names):
            joined = torch.cat([fused.pop(part) for part in names])
            fused[name.replace(_PARTS[0], _FUSED)] = joined
    return fused
