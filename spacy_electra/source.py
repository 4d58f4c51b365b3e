"""Where a source's name leads: a directory, a bundled checkpoint, or the hub."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .errors import Errors
from .hub import fetch
from .hub.files import CONFIG_NAME, GENERATOR_FOLDER, Wanted
from .hub.problems import Asked
from .nearest import folder_hint, nearest_folder, nearest_name

ASSETS = Path(__file__).parent / "assets"
# The bundled checkpoint that components and commands take where none is named, and the
# generator beside it.
DEFAULT_SOURCE = "en_small"
DEFAULT_GENERATOR = f"{DEFAULT_SOURCE}/generator"
_ID = re.compile(r"(?P<name>[\w.-]+(/[\w.-]+)?)(?P<generator>/generator)?", re.ASCII)
# What no repository is named, but files and folders often are.
_NO_ID = re.compile(
    r"^[.~-]|/[.-]|--|\.\.|[.-](/|$)|\.(git|bin|cfg|h5|json|msgpack|safetensors|txt)$"
)
# What git allows, without what leads elsewhere in a file system.
_REVISION = re.compile(r"(?![/.-])(?!.*(\.\.|//|@\{))[\w./+@-]*[\w+-]")
_PAGE = re.compile(
    r"(?:https?|hf)://(?:[^/]*\.[^/]*/)?(?P<name>[^/]+/[^/]+)"
    r"(?:/(?:tree|blob|resolve)/(?P<revision>[^/]+))?"
)


def bundled_checkpoints() -> list[str]:
    """Names of the checkpoints that ship in the package."""
    return sorted(file.parent.name for file in ASSETS.glob(f"*/{CONFIG_NAME}"))


def resolve_source(
    source: str | os.PathLike[str],
    revision: str | None = None,
    *,
    wanted: Wanted = "all",
    key: str = "",
) -> Path:
    """The directory of a checkpoint.

    Tried in order: a directory; a bundled checkpoint ("en_tiny", or its generator,
    "en_tiny/generator"); an id on the Hugging Face hub, "owner/name", from its cache or
    downloaded. A directory that bears the name of a bundled checkpoint counts only
    where it has a config.json.

    Args:
        source: Any of these; a hub id may name its revision, "owner/name@revision", and
            the generator of an exported run, "owner/name/generator".
        revision: Branch, tag or commit on the hub.
        wanted: What is fetched of a hub id: "config", "tokenizer" (that and its files),
            "model" (config and weights), "checkpoint" (both), "all" (that, the model
            card and the generator beside it). A directory is whatever it is.
        key: Under which the user has written the source, for messages.

    Raises:
        FileNotFoundError: If it is none of them, or the files of a hub id can't be had;
            the message says what to do.
        ValueError: If the name is empty, if it has a revision and is no hub id, or two
            of them, or one that can't be; if a fetched file is not what the hub
            announced.
    """
    name = os.fspath(source)
    typed = f"{key} = {name!r}" if key else repr(name)
    bundled = ", ".join(bundled_checkpoints()) or "none"
    if not name:
        typed = typed if key else "The source of the checkpoint"
        raise ValueError(Errors.SE207(source=typed, bundled=bundled))
    local = _local(name)
    if local is None:
        name, revision = _with_revision(name, revision, typed)
        local = _local(name)
    if local is not None:
        if revision:
            is_bundled = local.is_relative_to(ASSETS)
            kind = "a bundled checkpoint" if is_bundled else "a folder"
            raise ValueError(Errors.SE021(source=typed, revision=revision, kind=kind))
        return local
    _refuse_mistyped(name, typed, bundled)
    return _from_hub(name, revision, wanted, typed, bundled)


def _local(name: str) -> Path | None:
    """The directory of a path or a bundled name, if there is one."""
    bundled = _bundled_folder(name)
    folder = Path(name).expanduser() if name.startswith("~") else Path(name)
    if folder.is_dir() and (bundled is None or (folder / CONFIG_NAME).exists()):
        return folder
    return bundled


def bundled_language(folder: Path) -> str | None:
    """Code of the language of a bundled checkpoint's folder; None of any other."""
    if not folder.is_relative_to(ASSETS):
        return None
    # As spaCy's pipelines are named: en_tiny.
    return folder.relative_to(ASSETS).parts[0].partition("_")[0]


def _bundled_folder(name: str) -> Path | None:
    parts = name.split("/")
    if parts[0] not in bundled_checkpoints() or ".." in parts:
        return None
    folder = ASSETS.joinpath(*parts)
    return folder if folder.is_dir() else None


def _with_revision(
    name: str, revision: str | None, typed: str
) -> tuple[str, str | None]:
    """A name without its revision, and the revision, wherever it was given."""
    name, at, own = name.partition("@")
    if at and "://" in name:
        return f"{name}@{own}", revision
    if at and revision and own != revision:
        raise ValueError(Errors.SE022(source=typed, first=own, second=revision))
    chosen = own if at else revision
    if (at or chosen) and not _REVISION.fullmatch(chosen or ""):
        raise ValueError(Errors.SE023(source=typed, revision=chosen))
    return name, chosen or None


def _refuse_mistyped(name: str, typed: str, bundled: str) -> None:
    """Refuse what can't be a hub id, and a name that is nearly one that is here."""
    file = Path(name)
    if file.is_file():
        folder = str(file.parent)
        raise FileNotFoundError(Errors.SE024(source=typed, folder=folder))
    if page := _PAGE.match(name):
        given = page["name"] + (f"@{page['revision']}" if page["revision"] else "")
        raise FileNotFoundError(
            Errors.SE025(source=typed, suggestion=f", for instance {given!r}")
        )
    top, _, below = name.partition("/")
    names = bundled_checkpoints()
    if top in names:
        raise FileNotFoundError(
            Errors.SE026(source=typed, bundled=bundled, nearest=_near_part(top, below))
        )
    if not _ID.fullmatch(name) or _NO_ID.search(name):
        raise FileNotFoundError(Errors.SE205(source=typed, hint=_hint(name)))
    if "/" in name and below != GENERATOR_FOLDER:
        return
    near = nearest_name(top, names) or ("" if below else nearest_folder(name))
    if near:
        near = f"{near}/{below}" if below else near
        raise FileNotFoundError(
            Errors.SE026(source=typed, bundled=bundled, nearest=near)
        )


def _hint(path: str) -> str:
    """What a path may mean that leads nowhere, or what there is."""
    last = re.split(r"[/\\]", path.rstrip("/\\"))[-1]
    near = nearest_name(last, bundled_checkpoints())
    if near and not nearest_folder(path):
        return f"Did you mean the bundled checkpoint {near!r}?"
    return folder_hint(path)


def _near_part(top: str, below: str) -> str:
    """What there is of a bundled checkpoint that somebody may have meant."""
    parts = [folder.name for folder in (ASSETS / top).iterdir() if folder.is_dir()]
    near = nearest_name(below, parts)
    return f"{top}/{near}" if near else top


def _from_hub(
    name: str, revision: str | None, wanted: Wanted, typed: str, bundled: str
) -> Path:
    found = _ID.fullmatch(name)
    assert found is not None
    repository, below = found["name"], (found["generator"] or "").lstrip("/")
    asked = Asked(repository, revision, "all" if below else wanted, typed)
    try:
        folder = fetch(asked)
    except ImportError as error:
        message = Errors.SE204(source=typed, bundled=bundled)
        raise FileNotFoundError(message) from error
    except FileNotFoundError as error:
        top = Path(name).parts[0]
        if not nearest_folder(name) and not Path(top).is_dir():
            if "/" in name:
                raise
            # Most likely a name of something here.
            message = Errors.SE050(source=typed, bundled=bundled, error=error)
            raise FileNotFoundError(message) from error
        # It was asked all the same: folders may bear the names of owners.
        code = str(error).partition(" ")[0]
        hint = f"{_hint(name)} Nor did the hub give one of that name {code}."
        raise FileNotFoundError(Errors.SE205(source=typed, hint=hint)) from error
    if below and not (folder / below).is_dir():
        raise FileNotFoundError(Errors.SE049(source=typed, name=repository))
    return folder / below if below else folder
