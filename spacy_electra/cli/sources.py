"""What a command was given: a spaCy pipeline, or what checkpoints are opened from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from spacy.util import get_package_path, is_package

from ..pretraining.corpus.documents import read_documents
from ..source import bundled_checkpoints


def pipeline_folder(source: str) -> Path | None:
    """The folder of a spaCy pipeline, saved or installed as a package; else None."""
    folder = Path(source)
    if _is_pipeline(folder):
        return folder
    is_name = not folder.exists() and source not in bundled_checkpoints()
    if is_name and is_package(source):
        package = get_package_path(source)
        for place in sorted(package.glob(f"{source}-*")):
            if _is_pipeline(place):
                return place
    return None


def texts_of(path: str | None) -> Iterable[str] | None:
    """The documents that an option names, if it was given."""
    return read_documents(path) if path else None


def _is_pipeline(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("config.cfg", "meta.json"))
