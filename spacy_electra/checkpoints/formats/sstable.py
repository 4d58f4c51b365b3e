"""Tables of sorted strings, the files of LevelDB that TensorFlow keeps its index in.

A table is blocks of entries and a block that lists them, each with a checksum; the last
48 bytes of the file say where that list is. Keys that begin alike are written once. See
LevelDB, doc/table_format.md, and tensorflow/core/lib/io/format.cc.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import unpack_from

from ...extras import import_extra

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
# After a block: a byte for its compression, and a checksum.
_TRAILER = 5
# What an index of 10,000 variables has is below both of these by far.
_LARGEST_FILE = 1 << 24
_MOST_KEY_BYTES = 1 << 26


def read_table(file: Path) -> dict[str, bytes]:
    """All entries of a table.

    Raises:
        ImportError: If google-crc32c is missing.
        ValueError: If the file is no table, or damaged, or compressed.
    """
    if file.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"it is larger than {_LARGEST_FILE:,} bytes")
    content = file.read_bytes()
    if len(content) < _FOOTER or unpack_from("<Q", content, len(content) - 8)[0] != (
        _MAGIC
    ):
        raise ValueError("it does not end as a table does")
    footer = content[-_FOOTER:]
    place = _handle(footer, 0)[1]
    index = _block(content, *_handle(footer, place)[0])
    entries: dict[str, bytes] = {}
    left, keys = len(content), 0
    for _, value in _entries(index):
        offset, size = _handle(value, 0)[0]
        # No block twice: entries cost no more than the file is large.
        left -= size + _TRAILER
        if left < 0:
            raise ValueError("its blocks overlap")
        for key, entry in _entries(_block(content, offset, size)):
            keys += len(key)
            name = key.decode()
            if keys > _MOST_KEY_BYTES or name in entries:
                raise ValueError("its keys repeat or are too long")
            entries[name] = entry
    return entries


def varint(content: bytes, place: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and the place after it.

    Raises:
        ValueError: If it is cut short, or longer than 64 bits.
    """
    number = 0
    for shift in range(0, 64, 7):
        if place >= len(content):
            break
        byte = content[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
    raise ValueError("a number is cut short")


def check_crc(content: bytes, expected: int) -> bool:
    """Whether a masked CRC-32C is that of some bytes.

    Raises:
        ImportError: If google-crc32c is missing.
    """
    crc = import_extra("google_crc32c", "files of TensorFlow 1", "tf").value(content)
    # Rotated and moved, so that a checksum over checksums is no fixed point.
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF == expected


def _handle(content: bytes, place: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and the place after them."""
    offset, place = varint(content, place)
    size, place = varint(content, place)
    return (offset, size), place


def _block(content: bytes, offset: int, size: int) -> bytes:
    end = offset + size
    if end + _TRAILER > len(content):
        raise ValueError("a block is cut short")
    compression, crc = unpack_from("<BI", content, end)
    if not check_crc(content[offset : end + 1], crc):
        raise ValueError("the checksum of a block is wrong")
    # TensorFlow can read Snappy here, and no release of it writes it.
    if compression:
        raise ValueError("it is compressed")
    return content[offset:end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block."""
    if len(block) < 4:
        raise ValueError("a block is cut short")
    restarts = unpack_from("<I", block, len(block) - 4)[0]
    end = len(block) - 4 * (restarts + 1)
    place, key = 0, b""
    if end < 0:
        raise ValueError("a block is cut short")
    while place < end:
        shared, place = varint(block, place)
        unshared, place = varint(block, place)
        length, place = varint(block, place)
        if shared > len(key) or place + unshared + length > end:
            raise ValueError("an entry is cut short")
        key = key[:shared] + block[place : place + unshared]
        place += unshared
        yield key, block[place : place + length]
        place += length
