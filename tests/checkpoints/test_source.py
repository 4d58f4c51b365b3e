import pytest

from spacy_electra.checkpoints import bundled_checkpoints, resolve_source


def test_directory_goes_first(tmp_path, monkeypatch):
    (tmp_path / "en_tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_source("en_tiny").resolve() == tmp_path / "en_tiny"


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
