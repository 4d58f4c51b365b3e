"""What the cache of huggingface_hub has of a repository, and what is known of it."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..files import whole_file
from .files import (
    CONFIG_NAME,
    VOCABULARIES,
    has_weights,
    is_index,
    wanted_files,
    with_parts,
)
from .problems import Asked, cache

_BLOCK = 2**20
# Beside the folders of huggingface_hub, whose own tools pass it over.
_RECORDS = ".spacy-electra"


@dataclass
class Record:
    """What is known of a commit, which never changes.

    Args:
        files: All files of the repository by name, with their checksums: sha256 of
            large files, git's sha1 of others; "" where the hub does not tell.
        checked: Those whose content has been compared.
    """

    files: dict[str, str]
    checked: list[str] = field(default_factory=list)


def repository_folder(name: str) -> Path:
    """Where huggingface_hub keeps what it has of a repository."""
    return Path(cache()) / f"models--{name.replace('/', '--')}"


def cached_commit(asked: Asked) -> str | None:
    """The commit in the cache that the revision led to when it was last asked for."""
    from huggingface_hub import try_to_load_from_cache

    for name in (CONFIG_NAME, *VOCABULARIES):
        found = try_to_load_from_cache(asked.name, name, revision=asked.revision)
        if isinstance(found, str):
            return Path(found).parent.name
    return None


def cached_folder(asked: Asked) -> tuple[Path | None, list[str]]:
    """The folder in the cache, if there is one, and the files that it lacks."""
    commit = cached_commit(asked)
    if commit is None:
        return None, ["the repository" if asked.revision is None else "this revision"]
    folder = repository_folder(asked.name) / "snapshots" / commit
    record = read_record(asked.name, commit)
    there = {
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file()
    }
    # Without a record another program has filled it, and chosen for itself.
    names = wanted_files(record.files if record else there, asked.wanted)
    for index in [name for name in names if is_index(name) and name in there]:
        names = with_parts(names, index, (folder / index).read_bytes())
    missing = [name for name in names if name not in there]
    needs_weights = asked.wanted not in ("config", "tokenizer")
    if needs_weights and not has_weights(names):
        missing.append("the weights")
    if asked.wanted != "tokenizer" and CONFIG_NAME not in names:
        missing.append(CONFIG_NAME)
    return folder, missing


def record_file(name: str, commit: str) -> Path:
    """Where the record of a commit lies."""
    return repository_folder(name) / _RECORDS / f"{commit}.json"


def read_record(name: str, commit: str) -> Record | None:
    """The record of a commit; None where there is none that can be read."""
    try:
        values = json.loads(record_file(name, commit).read_text(encoding="utf8"))
        return Record(dict(values["files"]), list(values["checked"]))
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        # The hub is asked again.
        return None


def write_record(name: str, commit: str, record: Record) -> None:
    """Keep what is known of a commit, if the cache can be written."""
    # A cache that can be read alone is as good; its files are compared each time.
    with suppress(OSError), whole_file(record_file(name, commit)) as file:
        file.write_text(json.dumps(asdict(record)), encoding="utf8")


def checksum(file: Path, *, is_git: bool) -> str:
    """The sha1 that git has for a file's content, or its sha256."""
    if is_git:
        # No question of security: it is what git calls the file.
        digest = hashlib.sha1(usedforsecurity=False)
        digest.update(b"blob %d\0" % file.stat().st_size)
    else:
        digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
