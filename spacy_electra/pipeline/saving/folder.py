"""Where a spaCy pipeline lies that was saved, or installed as a package."""

from __future__ import annotations

from pathlib import Path

from spacy.util import get_package_path, is_package

from ...source import bundled_checkpoints


def pipeline_folder(source: str) -> Path | None:
    """The folder of a pipeline, by what ``spacy.load`` takes; None if it is none."""
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


def _is_pipeline(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("config.cfg", "meta.json"))
