import pytest

from spacy_electra.source import bundled_checkpoints, resolve_source


def test_directory_goes_first(tmp_path, monkeypatch):
    (tmp_path / "en_tiny").mkdir()
    (tmp_path / "en_tiny" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert resolve_source("en_tiny").resolve() == tmp_path / "en_tiny"


def test_folder_without_a_checkpoint_does_not_hide_a_bundled_one(tmp_path, monkeypatch):
    (tmp_path / "en_tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert (resolve_source("en_tiny") / "model.safetensors").is_file()


def test_empty_source_is_an_error():
    with pytest.raises(ValueError, match="SE207"):
        resolve_source("")


def test_revision_goes_to_the_hub(monkeypatch, tmp_path):
    asked = []

    def download(name, revision=None, **kwargs):
        asked.append((name, revision))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert resolve_source("owner/name@v2") == tmp_path
    assert resolve_source("owner/name", "v3") == tmp_path
    assert resolve_source("owner/name") == tmp_path
    assert asked == [("owner/name", "v2"), ("owner/name", "v3"), ("owner/name", None)]


def test_bundled_checkpoint_and_its_generator():
    assert "en_tiny" in bundled_checkpoints()
    assert (resolve_source("en_tiny") / "model.safetensors").is_file()
    assert (resolve_source("en_tiny/generator") / "model.safetensors").is_file()


def test_bundled_name_does_not_lead_out_of_the_assets():
    with pytest.raises(FileNotFoundError):
        resolve_source("en_tiny/../../..")


def test_hub_id_without_network_says_how_to_get_the_files(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError) as error:
        resolve_source("google/electra-small-discriminator")
    assert "hf download google/electra-small-discriminator" in str(error.value)
    assert "en_tiny" in str(error.value)


def test_hub_id_without_the_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError, match=r"spacy-electra\[hub\]"):
        resolve_source("google/electra-small-discriminator")


def test_what_is_nothing_at_all_is_named():
    with pytest.raises(FileNotFoundError, match="no/such/directory"):
        resolve_source("no/such/directory")
