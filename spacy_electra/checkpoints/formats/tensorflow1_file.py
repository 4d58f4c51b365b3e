"""Checkpoints of TensorFlow 1, which Google's ELECTRA and BERT were released as.

NAME.index lists the variables, NAME.data-00000-of-00001 and so on hold their bytes. See
tensorflow/core/protobuf/tensor_bundle.proto for the entries.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...errors import Errors
from ...weight_files import TENSORFLOW_1
from .checks import check_claim, check_file, damage_named
from .renaming import from_google, renamed
from .sstable import check_crc, read_table, varint

FILES = TENSORFLOW_1
# Numbers of tensorflow/core/framework/types.proto.
_DTYPES = {
    1: torch.float32,
    2: torch.float64,
    3: torch.int32,
    4: torch.uint8,
    5: torch.int16,
    6: torch.int8,
    9: torch.int64,
    10: torch.bool,
    14: torch.bfloat16,
    19: torch.float16,
}
# What training leaves beside the weights.
_TRAINING = re.compile(r"(^|/)(adam_[mv]|global_step)$")
# Only TensorFlow 2 saves a graph of objects, under other names.
_OF_TENSORFLOW_2 = "_CHECKPOINTABLE_OBJECT_GRAPH"
GENERATOR = "generator."


@dataclass(frozen=True)
class _Entry:
    """Where a variable is."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    shard: Path
    offset: int
    size: int
    crc: int


def newest(folder: Path, found: list[Path]) -> Path:
    """Which of several checkpoints of a folder its file "checkpoint" names.

    Raises:
        ValueError: If it names none of them.
    """
    names = folder / "checkpoint"
    text = ""
    if names.is_file() and names.stat().st_size < 1 << 20:
        text = names.read_text(encoding="utf8", errors="replace")
    latest = re.search(r'^model_checkpoint_path: "(?:.*[\\/])?([^"]*)"', text)
    for file in found:
        if latest and file.name == latest.group(1) + ".index":
            return file
    listed = ", ".join(file.name for file in found)
    raise ValueError(Errors.SE033(folder=folder, files=listed))


def header(file: Path) -> dict[str, Tensor]:
    """Names and shapes, on the meta device.

    The discriminator and what else there is bear the names that Transformers gives
    them; those of the generator begin with "generator." and are a whole model, shared
    embeddings among them.

    Raises:
        ImportError: If google-crc32c is missing.
        FileNotFoundError: If a file of data is missing.
        ValueError: If a file is broken, or of TensorFlow 2.
    """
    return _networks(file, lambda _, entry: _empty(entry))


def read(file: Path) -> dict[str, Tensor]:
    """All weights, on the CPU; errors as in ``header``."""
    return _networks(file, _tensor)


def _networks(
    file: Path, tensor_of: Callable[[str, _Entry], Tensor]
) -> dict[str, Tensor]:
    with damage_named(file):
        entries = _entries(file).items()
        tensors = ((name, tensor_of(name, entry)) for name, entry in entries)
        found = renamed(tensors, from_google, file)
    if not any(name.startswith("generator.encoder.") for name in found):
        return found
    whole: dict[str, Tensor] = {}
    for name, tensor in found.items():
        if name.startswith(GENERATOR):
            whole[GENERATOR + "electra." + name.removeprefix(GENERATOR)] = tensor
        elif name.startswith(("generator_predictions.", "generator_lm_head.")):
            whole[GENERATOR + name] = tensor
        else:
            whole[name] = tensor
    for name, tensor in found.items():
        # Unless the two were trained apart, the discriminator has them for both.
        if name.startswith("electra.embeddings."):
            whole.setdefault(GENERATOR + name, tensor)
    return whole


def _entries(file: Path) -> dict[str, _Entry]:
    """The weights among the variables, all of their bytes within their files."""
    table = read_table(file)
    if _OF_TENSORFLOW_2 in table:
        raise ValueError(Errors.SE034(file=file))
    bundle = _fields(table.pop("", b""))
    shards = _number(bundle, 1)
    if not 0 < shards < 100_000 or _number(bundle, 2):
        raise ValueError("it has no header, or is of a big-endian machine")
    found: dict[str, _Entry] = {}
    claimed: dict[Path, int] = {}
    for name, value in table.items():
        if _TRAINING.search(name):
            continue
        entry = _entry(name, _fields(value), file, shards)
        found[name] = entry
        claimed[entry.shard] = claimed.get(entry.shard, 0) + entry.size
    for shard, size in claimed.items():
        check_file(shard)
        check_claim(shard, size)
    for name, entry in found.items():
        if entry.offset + entry.size > entry.shard.stat().st_size:
            raise ValueError(f"{name} lies beyond the end of {entry.shard.name}")
    return found


def _entry(
    name: str, fields: Mapping[int, list[int | bytes]], file: Path, shards: int
) -> _Entry:
    dtype = _DTYPES.get(_number(fields, 1))
    if dtype is None or 7 in fields:
        raise ValueError(Errors.SE035(file=file, name=name))
    shape = _shape(fields.get(2, [b""])[-1])
    number, size = _number(fields, 3), _number(fields, 5)
    if number >= shards or math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"{name} is of shape {shape}, but has {size} bytes")
    shard = file.with_name(f"{file.stem}.data-{number:05d}-of-{shards:05d}")
    crc = _number(fields, 6)
    return _Entry(dtype, shape, shard, _number(fields, 4), size, crc)


def _shape(content: int | bytes) -> tuple[int, ...]:
    sizes = []
    for dimension in _fields(_as_bytes(content)).get(2, []):
        sizes.append(_number(_fields(_as_bytes(dimension)), 1))
    return tuple(sizes)


def _empty(entry: _Entry) -> Tensor:
    return torch.empty(entry.shape, dtype=entry.dtype, device="meta")


def _tensor(name: str, entry: _Entry) -> Tensor:
    with entry.shard.open("rb") as opened:
        opened.seek(entry.offset)
        content = opened.read(entry.size)
    if len(content) != entry.size or not check_crc(content, entry.crc):
        error = f"the checksum of {name} is wrong"
        raise ValueError(Errors.SE202(file=entry.shard, error=error))
    if not content:
        return torch.empty(entry.shape, dtype=entry.dtype)
    flat = torch.frombuffer(bytearray(content), dtype=entry.dtype)
    return flat.reshape(entry.shape)


def _fields(content: bytes) -> dict[int, list[int | bytes]]:
    """The fields of a message of protocol buffers, by number, not yet understood."""
    fields: dict[int, list[int | bytes]] = {}
    place = 0
    while place < len(content):
        tag, place = varint(content, place)
        value: int | bytes
        if tag & 7 == 0:
            value, place = varint(content, place)
        else:
            size = {1: 8, 5: 4}.get(tag & 7)
            if tag & 7 == 2:
                size, place = varint(content, place)
            if size is None or place + size > len(content):
                raise ValueError("an entry is cut short")
            value = content[place : place + size]
            place += size
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _number(fields: Mapping[int, list[int | bytes]], number: int) -> int:
    """A field that is a number, 0 where it is absent."""
    value = fields.get(number, [0])[-1]
    return int.from_bytes(value, "little") if isinstance(value, bytes) else value


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("an entry is broken")
    return value
