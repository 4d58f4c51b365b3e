"""What can go wrong between here and the hub, each as one message with a code."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import DISK_FULL, Errors, listed
from .files import Wanted

# The hub is there, but not for now.
_LATER = (408, 429, 500, 502, 503, 504)
_NOT_WRITABLE = (
    *DISK_FULL,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
)
# Of either HTTP library that huggingface_hub is built on: requests below 1.0, httpx
# from there on. Both may be installed, or one.
_HTTP_LIBRARIES = ("requests", "urllib3", "httpx", "httpcore", "h11")
_LATER_AGAIN = "Try again later"
_TOKEN = "Set HF_TOKEN in the environment to a token that may read them"
_OWNER = "Ask its owner"
_LONGEST_REASON = 200
# In a URL: the user and password; what signs it.
_USER = re.compile(r"(https?://)[^/\s@]+@")
_QUERY = re.compile(r"(https?://[^\s?]*)\?\S*")
_MOST_REVISIONS = 12


@dataclass(frozen=True)
class Asked:
    """What somebody wants of the hub.

    Args:
        name: Of the repository, "owner/name".
        revision: Branch, tag or commit; None for the main branch.
        wanted: Which of its files.
        typed: How messages name the source: as it was typed, with its key.
    """

    name: str
    revision: str | None
    wanted: Wanted
    typed: str

    @property
    def command(self) -> str:
        """The command that fetches the files where there is a network."""
        revision = f" --revision {self.revision}" if self.revision else ""
        return f"hf download {self.name}{revision} --local-dir FOLDER"


def status_of(error: BaseException) -> int | None:
    """The status that a server answered with, if it did."""
    response = getattr(error, "response", None)
    return getattr(response, "status_code", None)


def is_of_network(error: BaseException) -> bool:
    """Whether a connection failed, rather than a server answering with an error."""
    if status_of(error) is not None or isinstance(error, ValueError):
        # Where it is a value, what was answered could not be understood.
        return False
    library = type(error).__module__.partition(".")[0]
    return library in _HTTP_LIBRARIES or isinstance(
        error, (ConnectionError, TimeoutError)
    )


def is_for_now(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later."""
    return is_of_network(error) or status_of(error) in _LATER


def cause_of(error: BaseException) -> BaseException:
    """What the hub said, where the library says that its cache lacks a file."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        return error.__cause__
    return error


def message_for(error: BaseException, asked: Asked) -> str:
    """What was asked, what happened and what to do.

    Args:
        error: Anything that came out of huggingface_hub.
        asked: What it was about.
    """
    from huggingface_hub import errors as hub

    error = cause_of(error)
    status, reason, command = status_of(error), reason_of(error), asked.command
    facts = {"source": asked.typed, "name": asked.name, "host": host()}
    if isinstance(error, hub.HFValidationError):
        return Errors.SE205(source=asked.typed, hint=reason)
    if isinstance(error, hub.OfflineModeIsEnabled):
        return offline_message(asked, ["its files"])
    if isinstance(error, hub.GatedRepoError):
        return Errors.SE039(**facts, access=_access())
    if isinstance(error, hub.RepositoryNotFoundError):
        return Errors.SE037(**facts, access=_access())
    if isinstance(error, hub.RevisionNotFoundError):
        return _no_revision(asked, _revisions(asked.name))
    if isinstance(error, hub.EntryNotFoundError):
        return Errors.SE042(**facts, reason=reason, advice=_OWNER, command=command)
    if status == 401 and has_token():
        return Errors.SE043(**facts, problem="is not accepted there")
    if status in (401, 404):
        # A server that does not say which of the two is not there.
        known = _revisions(asked.name) if asked.revision else []
        if known:
            return _no_revision(asked, known)
        return Errors.SE037(**facts, access=_access())
    if status is not None:
        advice = _LATER_AGAIN if status in _LATER else _OWNER
        advice = _TOKEN if status == 403 else advice
        return Errors.SE042(**facts, reason=reason, advice=advice, command=command)
    if isinstance(error, (KeyError, TypeError, ValueError, hub.FileMetadataError)):
        # A page of a hotel's network, for instance, in place of a JSON answer.
        return Errors.SE045(**facts, reason=reason)
    if is_of_network(error):
        return Errors.SE028(**facts, reason=reason, command=command)
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE:
        return Errors.SE046(
            source=asked.typed, path=error.filename or cache(), problem=error.strerror
        )
    return Errors.SE206(**facts, error=reason, command=command)


def _no_revision(asked: Asked, known: list[str]) -> str:
    choices = f" It has: {listed(known, _MOST_REVISIONS)}." if known else ""
    return Errors.SE038(
        source=asked.typed,
        name=asked.name,
        revision=asked.revision or "main",
        choices=choices,
    )


def offline_message(asked: Asked, missing: list[str]) -> str:
    """That the hub may not be asked, and which files the cache lacks."""
    return Errors.SE027(
        source=asked.typed,
        name=asked.name,
        cache=cache(),
        missing=listed(missing),
        command=asked.command,
    )


def reason_of(error: BaseException) -> str:
    """One line that says why, without anything secret.

    What a library says of a connection is long; what the operating system said is at
    the end of the chain of causes.
    """
    status = status_of(error)
    said = getattr(error, "server_message", None)
    if status is not None:
        text = f"HTTP {status}" + (f", {said}" if said else "")
    else:
        chain = list(_causes(error))
        of_system = [e for e in chain if isinstance(e, OSError)]
        texts = [str(e.strerror) for e in of_system if isinstance(e.errno, int)]
        texts = texts or [str(e) for e in chain]
        text = next(filter(None, reversed(texts)), "") or type(error).__name__
    return _without_secrets(" ".join(text.split()))[:_LONGEST_REASON]


def cause_to_show(error: BaseException) -> BaseException | None:
    """The error itself, to be chained; None if a traceback of it would show a token."""
    return None if any(map(_has_secret, map(str, _causes(error)))) else error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _has_secret(text: str) -> bool:
    from huggingface_hub import get_token

    token = get_token()
    return bool((token and token in text) or _USER.search(text))


def _without_secrets(text: str) -> str:
    """Without the token, names and passwords in URLs, and what signs a URL."""
    from huggingface_hub import get_token

    token = get_token()
    if token:
        text = text.replace(token, "***")
    return _QUERY.sub(r"\1", _USER.sub(r"\1", text))


def host() -> str:
    """Who is asked: the hub, or the one that HF_ENDPOINT names."""
    from huggingface_hub import constants

    return urlsplit(constants.ENDPOINT).netloc.rpartition("@")[2] or constants.ENDPOINT


def cache() -> str:
    """The folder of fetched files."""
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


def has_token() -> bool:
    """Whether the hub is asked in somebody's name."""
    from huggingface_hub import get_token

    return bool(get_token())


def _access() -> str:
    """What there is of a right to read, in words."""
    return "The token in use does not suffice" if has_token() else "No token is set"


def _revisions(name: str) -> list[str]:
    """Branches and tags of a repository, [] where they can't be had."""
    from huggingface_hub import HfApi

    try:
        refs = HfApi().list_repo_refs(name)
    except Exception:  # it is for a hint in a message about another error
        return []
    return [ref.name for ref in (*refs.branches, *refs.tags)]
