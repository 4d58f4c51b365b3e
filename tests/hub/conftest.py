"""A hub on this machine, an empty cache, and checkpoints to put there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_server import Hub

from spacy_electra.source import ASSETS

TINY = ASSETS / "en_tiny"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache; nobody has a token, and waiting takes no time."""
    from huggingface_hub import constants

    folder = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return folder


@pytest.fixture
def hub(cache, monkeypatch):
    """The server; huggingface_hub asks it and nobody else."""
    from huggingface_hub import constants, file_download

    server = Hub()
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    # Imported by name, depending on the version.
    name = "HUGGINGFACE_CO_URL_TEMPLATE"
    for module in (constants, file_download):
        monkeypatch.setattr(module, name, template, raising=False)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def tiny_files() -> dict[str, bytes]:
    """The bundled checkpoint, as the files of a repository."""
    return {
        file.relative_to(TINY).as_posix(): file.read_bytes()
        for file in sorted(TINY.rglob("*"))
        if file.is_file()
    }
