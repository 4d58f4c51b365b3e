"""Weights of TensorFlow 2 in HDF5, as Keras and Transformers write them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import Errors
from ...extras import import_extra
from ...weight_files import TENSORFLOW
from .checks import check_claim, damage_named
from .renaming import from_keras, renamed

FILES = TENSORFLOW
# A weight of a decoder's cross-attention lies 10 groups deep.
_DEEPEST = 32


def header(file: Path) -> dict[str, Tensor]:
    """Names and shapes, on the meta device.

    Raises:
        ImportError: If h5py is missing.
        ValueError: If the file is broken, or keeps weights elsewhere, or in another
            form than as they are.
    """
    return _tensors(file, values=False)


def read(file: Path) -> dict[str, Tensor]:
    """All weights, on the CPU; errors as in ``header``."""
    return _tensors(file, values=True)


def _tensors(file: Path, values: bool) -> dict[str, Tensor]:
    h5py = import_extra("h5py", "files of TensorFlow", "tf")
    with damage_named(file), h5py.File(file, "r") as opened:
        datasets = list(_datasets(h5py, opened, file))
        check_claim(file, sum(_bytes_of(dataset) for _, dataset in datasets))
        # Before a weight's own name a file of Keras has its layer's and the model's;
        # a part of several files has neither.
        before = 2 if "keras_version" in opened.attrs else 0
        return renamed(
            (
                ("/".join(path[before:]), _tensor(dataset, values))
                for path, dataset in datasets
            ),
            from_keras,
            file,
        )


def _datasets(h5py: Any, root: Any, file: Path) -> Iterator[tuple[list[str], Any]]:
    """All datasets, each with the names that lead to it.

    Raises:
        ValueError: If something is not in the file itself, as it is.
    """
    seen: set[int] = set()
    groups: list[tuple[list[str], Any]] = [([], root)]
    while groups:
        path, group = groups.pop()
        for name in group:
            here = [*path, name]
            # A soft or external link leads anywhere, to another file too.
            link = group.get(name, getlink=True)
            child = group[name] if isinstance(link, h5py.HardLink) else link
            if isinstance(child, h5py.Group):
                address = h5py.h5o.get_info(child.id).addr
                if address in seen or len(here) > _DEEPEST:
                    raise ValueError("groups that hold themselves, or too deep ones")
                seen.add(address)
                groups.append((here, child))
                continue
            kind = _refused_kind(h5py, child)
            if kind:
                name = "/".join(here)
                raise ValueError(Errors.SE031(file=file, name=name, kind=kind))
            yield here, child


def _refused_kind(h5py: Any, child: Any) -> str:
    """What a child of a group is, unless it is plain numbers in the file itself."""
    if not isinstance(child, h5py.Dataset):
        return type(child).__name__
    if child.dtype.kind not in "fiub" or child.shape is None:
        return f"a dataset of {child.dtype}"
    plan = child.id.get_create_plist()
    if plan.get_external_count():
        return "a dataset in another file"
    # In chunks it may be compressed, and larger than the file says; virtual ones are
    # put together from other files.
    if plan.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT):
        return "a dataset that is virtual or in chunks"
    if child.id.get_storage_size() < _bytes_of(child):
        return "a dataset without values"
    return ""


def _bytes_of(dataset: Any) -> int:
    return math.prod(dataset.shape) * int(dataset.dtype.itemsize)


def _tensor(dataset: Any, values: bool) -> Tensor:
    native = dataset.dtype.newbyteorder("=")
    if not values:
        kind = torch.from_numpy(np.empty(0, native)).dtype
        return torch.empty(dataset.shape, dtype=kind, device="meta")
    return torch.from_numpy(np.ascontiguousarray(dataset[()], dtype=native))
