"""One file from the hub: tried again where that may help, and compared."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..errors import Errors
from .cache import checksum, repository_folder
from .problems import (
    Asked,
    cause_of,
    cause_to_show,
    is_for_now,
    is_of_network,
    reason_of,
    status_of,
)

Result = TypeVar("Result")
# How the error begins that a file has not come whole.
NOT_WHOLE = f"[{Errors.SE044.name}]"
_CHECKSUM = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Seconds between tries of what may succeed a moment later.
_WAITS = (0.5, 1.0)
# Tries of a download that gets no further.
_TRIES = 5
# Seconds of one try after which another would be no news, if nothing came.
_LONG = 10.0
# The status of a server that is asked for what comes after the end of a file.
_BEYOND = 416


def download(asked: Asked, name: str, commit: str) -> Path:
    """Fetch one file, going on where a connection was cut."""
    kept = tries = 0
    is_useless = False
    while True:
        began = time.monotonic()
        try:
            return hub_file(asked.name, name, commit, force_download=is_useless)
        except Exception as error:
            problem = cause_of(error)
            took = time.monotonic() - began
            had, kept = kept, _bytes_kept(asked.name)
            tries = 1 if kept > had else tries + 1
            is_cut = is_of_network(problem) or "Consistency check" in str(problem)
            is_beyond = status_of(problem) == _BEYOND
            if not is_cut and not is_beyond and not is_for_now(problem):
                raise
            # Some versions of the library have waited and asked again themselves.
            is_last = took > _LONG and kept <= had
            if is_cut and (is_last or tries >= _TRIES):
                message = Errors.SE044(
                    source=asked.typed,
                    name=asked.name,
                    file=name,
                    reason=reason_of(problem),
                )
                raise FileNotFoundError(message) from cause_to_show(error)
            if not is_cut and (is_last or tries > len(_WAITS)):
                raise
            # What came is more than the file has, so nothing can come after it.
            is_too_much = is_cut and not is_of_network(problem) and kept <= had
            is_useless = is_beyond or is_too_much
            time.sleep(_WAITS[0])


def hub_file(
    repository: str, name: str, revision: str | None, force_download: bool = False
) -> Path:
    """One file of a repository in the cache, fetched where it is not there."""
    from huggingface_hub import hf_hub_download

    return Path(
        hf_hub_download(
            repository, name, revision=revision, force_download=force_download
        )
    )


def _bytes_kept(repository: str) -> int:
    """What has come of files that are not whole yet."""
    files = (repository_folder(repository) / "blobs").glob("*.incomplete")
    return sum(file.stat().st_size for file in files)


def verify(file: Path, announced: str, name: str, asked: Asked) -> None:
    """Compare a file's content with its checksum.

    Raises:
        ValueError: If it is another; the file is no longer in the cache then.
    """
    blob = file.resolve()
    # Where links can be had, the name of the file in the cache is the checksum too.
    expected = announced or blob.name
    if not _CHECKSUM.fullmatch(expected):
        return
    found = checksum(file, is_git=len(expected) == 40)
    if found != expected:
        file.unlink(missing_ok=True)
        # A link that leads out of the cache was made by somebody else.
        if blob.is_relative_to(repository_folder(asked.name).resolve()):
            blob.unlink(missing_ok=True)
        raise ValueError(
            Errors.SE029(
                source=asked.typed,
                file=name,
                name=asked.name,
                found=found[:12],
                expected=expected[:12],
            )
        )


def patiently(ask: Callable[[], Result]) -> Result:
    """What a request gives, asked again where it may be answered a moment later."""
    for wait in _WAITS:
        began = time.monotonic()
        try:
            return ask()
        except Exception as error:
            # Who did not answer in all that time would not in as much again.
            is_long = time.monotonic() - began > _LONG / 2
            if is_long or not is_for_now(error):
                raise
        time.sleep(wait)
    return ask()
