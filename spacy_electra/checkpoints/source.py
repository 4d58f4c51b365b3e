"""Where a checkpoint lies: a directory, a bundled name, or a hub id."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import Errors

ASSETS = Path(__file__).parent.parent / "assets"
# Weights, configs and tokenizers; nothing that is code.
_HUB_FILES = ["*.json", "*.txt", "*.safetensors", "*.bin"]


def bundled_checkpoints() -> list[str]:
    """Names of the checkpoints that ship in the package."""
    return sorted(file.parent.name for file in ASSETS.glob("*/config.json"))


def resolve_source(source: str | os.PathLike[str]) -> Path:
    """The directory of a checkpoint.

    Tried in order: a directory; a bundled checkpoint ("en_tiny", or its generator,
    "en_tiny/generator"); an id on the Hugging Face hub, from its cache or downloaded.

    Args:
        source: Any of these.

    Raises:
        FileNotFoundError: If it is none of them; the message says how to get the files
            of a hub id where the hub can't be reached.
    """
    if Path(source).is_dir():
        return Path(source)
    name = os.fspath(source)
    parts = name.split("/")
    if parts[0] in bundled_checkpoints() and ".." not in parts:
        folder = ASSETS.joinpath(*parts)
        if folder.is_dir():
            return folder
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    bundled = ", ".join(bundled_checkpoints()) or "none"
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError
    except ImportError as error:
        raise FileNotFoundError(Errors.SE204(source=name, bundled=bundled)) from error
    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except HFValidationError as error:
        raise FileNotFoundError(Errors.SE205(source=name, bundled=bundled)) from error
    except (OSError, ValueError) as error:
        # No network, offline mode without a cached copy, or no such repository.
        raise FileNotFoundError(
            Errors.SE206(source=name, bundled=bundled, error=error)
        ) from error
