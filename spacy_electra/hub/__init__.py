"""Checkpoints from the Hugging Face hub: fetched, checked, and kept in its cache.

Connections, locks, resumed downloads, the token and the layout of the cache are those
of huggingface_hub. Here is chosen which files are fetched, and their content is
compared with what the hub announces.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import Errors, Warnings, listed
from .cache import (
    Record,
    cached_commit,
    cached_folder,
    read_record,
    record_file,
    repository_folder,
    write_record,
)
from .files import CONFIG_NAME, has_weights, is_index, wanted_files, with_parts
from .problems import (
    Asked,
    cause_of,
    cause_to_show,
    host,
    message_for,
    offline_message,
    reason_of,
)
from .transfer import NOT_WHOLE, download, hub_file, patiently, verify

_COMMIT = re.compile(r"[0-9a-f]{40}")
_TOKEN = re.compile(r"[!-~]+")


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
        is_told = str(error).startswith("[SE")
        if is_told and not str(error).startswith(NOT_WHOLE):
            raise
        message = str(error) if is_told else message_for(error, asked)
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
            file = download(asked, name, commit)
            verify(file, record.files[name], name, asked)
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
        hub_file(asked.name, names[0], asked.revision)
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
        name = constants.HUGGINGFACE_HEADER_X_REPO_COMMIT
        # The storage of large files need not answer: the hub has told before that.
        for known in answer.history:
            if _COMMIT.fullmatch(known.headers.get(name, "")):
                return str(known.headers[name])
        hf_raise_for_status(answer)
        commit = str(answer.headers.get(name, ""))
        return commit if _COMMIT.fullmatch(commit) else None

    try:
        return patiently(ask)
    except Exception as error:
        from huggingface_hub.errors import EntryNotFoundError

        if isinstance(error, EntryNotFoundError):
            # The branch has moved to a commit without that file.
            return None
        raise


def _ask_for_files(asked: Asked, commit: str | None) -> tuple[str, Record]:
    """The commit of a revision, and its files."""
    from huggingface_hub import HfApi, constants

    info = patiently(
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
