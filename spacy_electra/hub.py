"""Checkpoints from the Hugging Face hub: fetched, checked, and kept in its cache.

Connections, locks, resumed downloads, the token and the layout of the cache are those
of huggingface_hub. Here is chosen which files are fetched, and their content is
compared with what the hub announces.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from .errors import Errors, Warnings, listed
from .hub_cache import (
    Record,
    cached_commit,
    cached_folder,
    checksum,
    read_record,
    record_file,
    repository_folder,
    write_record,
)
from .hub_files import CONFIG_NAME, has_weights, is_index, wanted_files, with_parts
from .hub_problems import (
    Asked,
    cause_of,
    cause_to_show,
    host,
    is_for_now,
    is_of_network,
    message_for,
    offline_message,
    reason_of,
    status_of,
)

Result = TypeVar("Result")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TOKEN = re.compile(r"[!-~]+")
_CHECKSUM = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Seconds between tries of what may succeed a moment later.
_WAITS = (0.5, 1.0)
# Tries of a download that gets no further.
_TRIES = 5
# Seconds of one try after which another would be no news, if nothing came.
_LONG = 10.0
# The status of a server that is asked for what comes after the end of a file.
_BEYOND = 416


def fetch(asked: Asked) -> Path:
    """The folder of a snapshot in the cache, with the files that are wanted.

    What is in the cache is not fetched again: of a branch or tag it is asked for the
    commit, by one request without content. Where the hub can't be reached, or offline
    (HF_HUB_OFFLINE=1), the cache has to do.

    Raises:
        FileNotFoundError: If the files can't be had; the message says why.
        ValueError: If what came is not what the hub announced.
    """
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        folder, missing = cached_folder(asked)
        if folder is None or missing:
            raise FileNotFoundError(offline_message(asked, missing))
        return folder
    token = get_token()
    if token and not _TOKEN.fullmatch(token):
        problem = "has characters that no token has"
        message = Errors.SE043(
            source=asked.typed, name=asked.name, host=host(), problem=problem
        )
        raise FileNotFoundError(message)
    try:
        return _fetched(asked)
    except Exception as error:  # both HTTP libraries have hierarchies of their own
        if str(error).startswith("[SE"):
            raise
        message = message_for(error, asked)
        if not _is_final(error):
            folder, missing = cached_folder(asked)
            if folder is not None and not missing:
                why = reason_of(cause_of(error))
                warnings.warn(
                    Warnings.SW021(source=asked.typed, host=host(), reason=why),
                    stacklevel=4,
                )
                return folder
        raise FileNotFoundError(message) from cause_to_show(error)


def _is_final(error: Exception) -> bool:
    """Whether the hub has said something that the cache must not gloss over."""
    from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError

    error_of_hub = cause_of(error)
    return isinstance(error_of_hub, (EntryNotFoundError, RevisionNotFoundError))


def _fetched(asked: Asked) -> Path:
    commit = _current_commit(asked)
    record = read_record(asked.name, commit) if commit else None
    if commit is None or record is None:
        commit, record = _ask_for_files(asked, commit)
    names = wanted_files(record.files, asked.wanted)
    _check_listing(names, record.files, asked)
    folder = repository_folder(asked.name) / "snapshots" / commit
    before = list(record.checked)

    def have(name: str) -> Path:
        if name not in record.files:
            raise FileNotFoundError(
                Errors.SE047(source=asked.typed, name=asked.name, part=name)
            )
        file = folder / name
        if name not in record.checked or not file.exists():
            file = _download(asked, name, commit)
            _verify(file, record.files[name], name, asked)
            record.checked = sorted({*record.checked, name})
        return file

    try:
        for index in filter(is_index, list(names)):
            names = with_parts(names, index, have(index).read_bytes())
        for name in names:
            have(name)
    finally:
        if record.checked != before or not record_file(asked.name, commit).exists():
            write_record(asked.name, commit, record)
    if asked.revision != commit and cached_commit(asked) != commit:
        # The file is there: this notes where the branch or tag leads.
        _hub_file(asked.name, names[0], asked.revision)
    return folder


def _current_commit(asked: Asked) -> str | None:
    """The commit of the revision where its files are known already, else None."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import (
        build_hf_headers,
        get_session,
        hf_raise_for_status,
    )

    if asked.revision and _COMMIT.fullmatch(asked.revision):
        return asked.revision
    cached = cached_commit(asked)
    record = read_record(asked.name, cached) if cached else None
    names = wanted_files(record.files, "tokenizer") if record else []
    if not names:
        return None
    url = hf_hub_url(asked.name, names[0], revision=asked.revision)

    def ask() -> str | None:
        # Not by `head`, which follows redirects in one of the HTTP libraries alone.
        timeout = constants.HF_HUB_ETAG_TIMEOUT
        session, headers = get_session(), build_hf_headers()
        answer = session.request("HEAD", url, headers=headers, timeout=timeout)
        hf_raise_for_status(answer)
        name = constants.HUGGINGFACE_HEADER_X_REPO_COMMIT
        commits = [a.headers.get(name, "") for a in (*answer.history, answer)]
        return next(filter(_COMMIT.fullmatch, commits), None)

    try:
        return _patiently(ask)
    except Exception as error:
        from huggingface_hub.errors import EntryNotFoundError

        if isinstance(error, EntryNotFoundError):
            # The branch has moved to a commit without that file.
            return None
        raise


def _ask_for_files(asked: Asked, commit: str | None) -> tuple[str, Record]:
    """The commit of a revision, and its files."""
    from huggingface_hub import HfApi, constants

    info = _patiently(
        lambda: HfApi().model_info(
            asked.name,
            revision=commit or asked.revision or constants.DEFAULT_REVISION,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
            files_metadata=True,
        )
    )
    if not _COMMIT.fullmatch(str(info.sha)):
        raise ValueError("the answer names no commit")
    files = {}
    for sibling in info.siblings or ():
        large = sibling.lfs.sha256 if sibling.lfs else None
        files[sibling.rfilename] = large or sibling.blob_id or ""
    return str(info.sha), Record(files)


def _check_listing(names: Sequence[str], listing: Iterable[str], asked: Asked) -> None:
    """Refuse a repository that lacks what every checkpoint has, before any download."""
    there = listed(sorted(listing), most=8) or "nothing"
    facts = {"source": asked.typed, "name": asked.name, "files": there}
    if CONFIG_NAME not in names and asked.wanted != "tokenizer":
        raise FileNotFoundError(Errors.SE040(**facts, command=asked.command))
    if asked.wanted not in ("config", "tokenizer") and not has_weights(names):
        raise FileNotFoundError(Errors.SE041(**facts))
    if not names:
        raise FileNotFoundError(Errors.SE048(**facts))


def _download(asked: Asked, name: str, commit: str) -> Path:
    """Fetch one file, going on where a connection was cut."""
    kept = tries = 0
    is_useless = False
    while True:
        began = time.monotonic()
        try:
            return _hub_file(asked.name, name, commit, force_download=is_useless)
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


def _hub_file(
    repository: str, name: str, revision: str | None, force_download: bool = False
) -> Path:
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


def _verify(file: Path, announced: str, name: str, asked: Asked) -> None:
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


def _patiently(ask: Callable[[], Result]) -> Result:
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
