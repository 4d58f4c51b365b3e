"""Weights of Flax in MessagePack."""

from __future__ import annotations

import math
import mmap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import Errors, Warnings
from ...extras import import_extra
from ...weight_files import FLAX
from .checks import damage_named
from .renaming import from_flax, renamed

FILES = FLAX
# Flax writes an array as an extension of this number.
_ARRAY = 1
# An array of more than a gibibyte it cuts, under this key.
_CHUNKED = "__msgpack_chunked_array__"
# Scripts that save what ``init`` of a module gives have all under this key.
_WRAPPER = "params"
_LONGEST_NAME = 1024
_MOST_DIMENSIONS = 32
# A weight of a decoder's cross-attention lies 9 mappings deep.
_DEEPEST = 32
_DTYPES = {
    name: getattr(torch, name)
    for name in (
        *("float16", "bfloat16", "float32", "float64"),
        *("bool", "uint8", "int8", "int16", "int32", "int64"),
    )
}


def header(file: Path) -> dict[str, Tensor]:
    """Names and shapes, on the meta device.

    Raises:
        ImportError: If msgpack is missing.
        ValueError: If the file is broken, or holds more than mappings and arrays.
    """
    return _tensors(file, values=False)


def read(file: Path) -> dict[str, Tensor]:
    """All weights, on the CPU; errors as in ``header``."""
    return _tensors(file, values=True)


def _tensors(file: Path, values: bool) -> dict[str, Tensor]:
    msgpack = import_extra("msgpack", "files of Flax", "flax")
    with (
        damage_named(file),
        file.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        tree = msgpack.unpackb(
            content,
            ext_hook=partial(_array, msgpack, values),
            object_pairs_hook=_mapping,
            max_str_len=_LONGEST_NAME,
            # A list gets its memory before its values are seen; there is none.
            max_array_len=0,
        )
        if isinstance(tree, dict) and isinstance(tree.get(_WRAPPER), dict):
            warnings.warn(Warnings.SW201(file=file, key=_WRAPPER), stacklevel=2)
            tree = tree[_WRAPPER]
        return renamed(_leaves(tree, file), from_flax, file)


def _mapping(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a mapping has a key twice")
    return mapping


def _array(msgpack: Any, values: bool, code: int, content: bytes) -> Tensor:
    """What an extension of MessagePack stands for.

    Raises:
        ValueError: If it is no array, or says that it is larger than it is.
    """
    if code != _ARRAY:
        raise ValueError(f"it has an extension of type {code}, which is no array")
    shape, dtype, numbers = msgpack.unpackb(
        content, max_array_len=_MOST_DIMENSIONS, max_ext_len=0, max_map_len=0
    )
    if dtype not in _DTYPES or not isinstance(numbers, bytes):
        raise ValueError(f"it has an array of {dtype!r}")
    sizes = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    kind = _DTYPES[dtype]
    if not sizes or math.prod(shape) * kind.itemsize != len(numbers):
        raise ValueError(f"it has an array of {shape} in {len(numbers)} bytes")
    if not values or not numbers:
        return torch.empty(shape, dtype=kind, device=None if values else "meta")
    return torch.frombuffer(bytearray(numbers), dtype=kind).reshape(shape)


def _leaves(tree: Any, file: Path) -> Iterator[tuple[str, Tensor]]:
    """All arrays of a tree, with the keys that lead to them, joined by dots."""
    branches: list[tuple[list[str], Any]] = [([], tree)]
    while branches:
        path, branch = branches.pop()
        if isinstance(branch, dict) and branch.get(_CHUNKED) is True:
            branch = _joined(branch)
        if isinstance(branch, Tensor):
            yield ".".join(path), branch
        elif not isinstance(branch, dict) or len(path) > _DEEPEST:
            kind = type(branch).__name__
            name = ".".join(path)
            raise ValueError(Errors.SE032(file=file, name=name, kind=kind))
        else:
            branches += [([*path, str(key)], branch[key]) for key in branch]


def _joined(chunked: Mapping[str, Any]) -> Tensor:
    """An array that was cut into parts of one dimension."""
    sizes, chunks = chunked["shape"], chunked["chunks"]
    shape = [sizes[str(n)] for n in range(len(sizes))]
    return torch.cat([chunks[str(n)] for n in range(len(chunks))]).reshape(shape)
