"""Opening files that may be compressed, and knowing how much of them was read."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from ...extras import import_extra

Progress = Callable[[int], None]
COMPRESSED = (".gz", ".xz", ".zst")
_COMPRESSED_PER_READ = 1 << 15


def open_bytes(file: Path, on_read: Progress | None = None) -> BinaryIO:
    """Open a file, decompressed by the end of its name (``COMPRESSED``).

    Args:
        file: The file.
        on_read: Is told how many bytes were read from the disk, each time.

    Raises:
        ImportError: If a .zst is asked for and zstandard is not installed.
    """
    raw = file.open("rb", buffering=0)
    stream = cast(BinaryIO, io.BufferedReader(_Counted(raw, on_read)))
    if file.suffix == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=stream))
    if file.suffix == ".xz":
        return cast(BinaryIO, lzma.LZMAFile(stream))
    if file.suffix == ".zst":
        return cast(BinaryIO, io.BufferedReader(_ZstandardFile(stream)))
    return stream


def format_of(file: Path) -> str:
    """The end of a file's name, without that of its compression."""
    plain = file.with_suffix("") if file.suffix in COMPRESSED else file
    return plain.suffix


def broken_file_errors() -> tuple[type[Exception], ...]:
    """What reading a broken compressed file raises."""
    kinds: tuple[type[Exception], ...] = (
        lzma.LZMAError,
        zlib.error,
        EOFError,
        OSError,
    )
    try:
        from zstandard import ZstdError
    except ImportError:
        return kinds
    return (*kinds, ZstdError)


class _ZstandardFile(io.RawIOBase):
    """Decompresses zstandard frames; a file that ends inside one is an error.

    The library's own reader takes such a cut for the end.
    """

    def __init__(self, stream: BinaryIO) -> None:
        zstandard = import_extra("zstandard", ".zst files", "formats")
        self._stream = stream
        self._new_frame = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not len(self._output):
            self._input = self._input or self._stream.read(_COMPRESSED_PER_READ)
            if not self._input:
                if self._frame is not None:
                    raise EOFError("it ends inside a frame")
                return 0
            if self._frame is None:
                self._frame = self._new_frame()
            self._output = memoryview(self._frame.decompress(self._input))
            self._input = b""
            if self._frame.eof:
                self._input = self._frame.unused_data
                self._frame = None
        count = min(len(buffer), len(self._output))
        buffer[:count] = self._output[:count]
        self._output = self._output[count:]
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Counted(io.RawIOBase):
    """A file that tells how much of it was read."""

    def __init__(self, raw: io.FileIO, on_read: Progress | None) -> None:
        self._raw = raw
        self._on_read = on_read

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._raw.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._raw.readinto(buffer) or 0
        if self._on_read is not None and count:
            self._on_read(count)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
