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


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What the hub is asked for; it has everything."""
    found = []

    def fetch(asked):
        found.append((asked.name, asked.revision))
        return tmp_path

    monkeypatch.setattr("spacy_electra.source.fetch", fetch)
    return found


def test_revision_goes_to_the_hub(asked):
    resolve_source("owner/name@v2")
    resolve_source("owner/name", "v3")
    resolve_source("owner/name@v4", "v4")
    resolve_source("owner/name")
    resolve_source("owner/name@refs/pr/1")
    resolve_source("bert-base-uncased@main")
    assert asked == [
        ("owner/name", "v2"),
        ("owner/name", "v3"),
        ("owner/name", "v4"),
        ("owner/name", None),
        ("owner/name", "refs/pr/1"),
        ("bert-base-uncased", "main"),
    ]


def test_two_revisions_are_an_error(asked):
    with pytest.raises(ValueError, match=r"SE022.*'v1'.*'v2'"):
        resolve_source("owner/name@v1", "v2")


@pytest.mark.parametrize(
    "revision", ["", " ", "../../x", "/x", "a b", "-x", "v1\n", "a..b", "x/", "a:b"]
)
def test_what_can_not_be_a_revision_is_an_error(revision, asked):
    with pytest.raises(ValueError, match="SE023"):
        resolve_source(f"owner/name@{revision}")
    assert asked == []


def test_folders_and_bundled_checkpoints_have_no_revision(tmp_path, asked):
    for source in ("en_tiny", str(tmp_path)):
        for given in ((source, "v1"), (f"{source}@v1", None)):
            with pytest.raises(ValueError, match=r"SE021.*'v1'"):
                resolve_source(*given)
    assert asked == []


def test_a_folder_may_have_an_at_sign_in_its_name(tmp_path, asked):
    folder = tmp_path / "run@home"
    folder.mkdir()
    assert resolve_source(folder) == folder


def test_home_may_be_written_short(tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_source("~/runs") == tmp_path / "runs"


def test_bundled_checkpoint_and_its_generator():
    assert "en_tiny" in bundled_checkpoints()
    assert (resolve_source("en_tiny") / "model.safetensors").is_file()
    assert (resolve_source("en_tiny/generator") / "model.safetensors").is_file()


def test_bundled_name_does_not_lead_out_of_the_assets():
    with pytest.raises(FileNotFoundError):
        resolve_source("en_tiny/../../..")


def test_hub_id_without_network_says_how_to_get_the_files(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        resolve_source("google/electra-small-discriminator")
    assert "hf download google/electra-small-discriminator" in str(error.value)


def test_hub_id_without_the_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError, match=r"spacy-electra\[hub\]"):
        resolve_source("google/electra-small-discriminator")


def test_what_is_nothing_at_all_is_named():
    with pytest.raises(FileNotFoundError, match="no/such/directory"):
        resolve_source("no/such/directory")


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    for name in ("en_tiny", "foo"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "checkpoints" / "config.json").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("./checkponts/foo", "'./checkpoints/foo'"),
        ("../checkponts/foo", None),
        ("checkponts/foo/", "'checkpoints/foo'"),
        ("./checkpoints/zzz", "'checkpoints' has the folders en_tiny, foo"),
        ("checkpoints\\foo", "'checkpoints/foo'"),
        (".\\checkponts\\foo", "'checkpoints/foo'"),
        ("C:\\models\\electra", None),
        ("C:/models/electra", None),
        ("/no/such/place", None),
        ("./en_tny", "the bundled checkpoint 'en_tiny'"),
        ("C:\\models\\en_smal\\", "the bundled checkpoint 'en_small'"),
        ("~/no/such/place", None),
        ("a/b/c", None),
        ("my model", None),
        ("owner/na me", None),
        ("owner/name.safetensors", None),
        ("owner//name", None),
        ("-x/name", None),
    ],
)
def test_what_looks_like_a_path_gets_an_error_about_paths(
    typed, meant, checkpoints, asked
):
    with pytest.raises(FileNotFoundError) as error:
        resolve_source(typed)
    message = str(error.value)
    assert message.startswith(f"[SE205] {typed!r}: there is no such folder. ")
    assert meant is None or meant in message
    assert "hub" not in message
    assert asked == []


def test_a_file_is_no_folder(checkpoints):
    with pytest.raises(FileNotFoundError, match=r"SE024.*'checkpoints'"):
        resolve_source("checkpoints/config.json")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("en_smal", "en_small"),
        ("en-tiny", "en_tiny"),
        ("EN_TINY", "en_tiny"),
        ("en_smal/generator", "en_small/generator"),
        ("en_tiny/generatr", "en_tiny/generator"),
        ("en_tiny/zzz", "en_tiny"),
        ("checkpoint", "checkpoints"),
    ],
)
def test_a_mistyped_name_gets_the_right_one(typed, meant, checkpoints, asked):
    with pytest.raises(FileNotFoundError) as error:
        resolve_source(typed)
    assert str(error.value).startswith(f"[SE026] {typed!r} ")
    assert f"Did you mean {meant!r}?" in str(error.value)
    assert asked == []


@pytest.mark.parametrize("typed", ["checkpoints/en_tny", "checkponts/foo"])
def test_a_path_that_could_be_a_hub_id_is_asked_for_first(
    typed, checkpoints, monkeypatch
):
    def fetch(asked):
        raise FileNotFoundError("[SE037] not there")

    monkeypatch.setattr("spacy_electra.source.fetch", fetch)
    with pytest.raises(FileNotFoundError) as error:
        resolve_source(typed)
    meant = {"checkpoints/en_tny": "en_tiny", "checkponts/foo": "foo"}[typed]
    assert str(error.value).startswith(f"[SE205] {typed!r}: there is no such folder. ")
    assert f"Did you mean 'checkpoints/{meant}'?" in str(error.value)
    assert str(error.value).endswith("Nor did the hub give one of that name [SE037].")


def test_a_folder_in_the_place_of_an_owner_says_what_it_has(checkpoints, monkeypatch):
    def fetch(asked):
        raise FileNotFoundError("[SE028] not to be reached")

    monkeypatch.setattr("spacy_electra.source.fetch", fetch)
    with pytest.raises(FileNotFoundError, match=r"SE205.*folders en_tiny, foo\. Nor"):
        resolve_source("checkpoints/zzz")


def test_a_name_without_owner_is_most_likely_of_something_here(monkeypatch):
    def fetch(asked):
        raise FileNotFoundError("[SE028] not to be reached")

    monkeypatch.setattr("spacy_electra.source.fetch", fetch)
    with pytest.raises(FileNotFoundError, match=r"SE050.*en_small, en_tiny.*SE028"):
        resolve_source("no_such_thing")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("https://huggingface.co/owner/name", "'owner/name'"),
        ("https://huggingface.co/owner/name/tree/v1", "'owner/name@v1'"),
        ("hf://owner/name", "'owner/name'"),
    ],
)
def test_the_address_of_a_page_gets_the_id(typed, meant, asked):
    with pytest.raises(FileNotFoundError, match=f"SE025.*{meant}"):
        resolve_source(typed)
    assert asked == []


def test_the_key_that_was_typed_is_named(asked):
    with pytest.raises(FileNotFoundError, match="name = 'en_smal' is neither"):
        resolve_source("en_smal", key="name")
    with pytest.raises(ValueError, match="name = '' is empty"):
        resolve_source("", key="name")
