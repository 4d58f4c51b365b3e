"""Where a source's name leads: a directory, a bundled checkpoint, or the hub."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import Errors

ASSETS = Path(__file__).parent / "assets"
CONFIG_NAME = "config.json"
# Weights, configs and tokenizers; nothing that is code.
_HUB_FILES = ["*.json", "*.txt", "*.safetensors", "*.bin"]


def bundled_checkpoints() -> list[str]:
    """Names of the checkpoints that ship in the package."""
    return sorted(file.parent.name for file in ASSETS.glob(f"*/{CONFIG_NAME}"))


def resolve_source(source: str | os.PathLike[str], revision: str | None = None) -> Path:
    """The directory of a checkpoint.

    Tried in order: a directory; a bundled checkpoint ("en_tiny", or its generator,
    "en_tiny/generator"); an id on the Hugging Face hub, from its cache or downloaded.
    A directory that bears the name of a bundled checkpoint counts only where it has a
    config.json.

    Args:
        source: Any of these; a hub id may name its revision, "owner/name@revision".
        revision: Branch, tag or commit on the hub.

    Raises:
        FileNotFoundError: If it is none of them; the message says how to get the files
            of a hub id where the hub can't be reached.
        ValueError: If the name is empty.
    """
    name = os.fspath(source)
    if not name:
        raise ValueError(Errors.SE207(bundled=_bundled_names()))
    bundled = _bundled_folder(name)
    folder = Path(name)
    if folder.is_dir() and (bundled is None or (folder / CONFIG_NAME).exists()):
        return folder
    if bundled is not None:
        return bundled
    if revision is None:
        name, _, after = name.partition("@")
        revision = after or None
    return _from_hub(name, revision)


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


def _bundled_names() -> str:
    return ", ".join(bundled_checkpoints()) or "none"


def _from_hub(name: str, revision: str | None) -> Path:
    bundled = _bundled_names()
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError
    except ImportError as error:
        raise FileNotFoundError(Errors.SE204(source=name, bundled=bundled)) from error
    try:
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=_HUB_FILES)
        )
    except HFValidationError as error:
        raise FileNotFoundError(Errors.SE205(source=name, bundled=bundled)) from error
    except (OSError, ValueError) as error:
        # No network, offline mode without a cached copy, or no such repository.
        raise FileNotFoundError(
            Errors.SE206(source=name, bundled=bundled, error=error)
        ) from error
