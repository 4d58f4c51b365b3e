import pytest

from spacy_electra.nearest import folder_hint, nearest_folder, nearest_name


@pytest.fixture
def place(tmp_path, monkeypatch):
    for name in ("checkpoints/en_tiny", "checkpoints/foo", "runs/first/final", ".git"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "checkpoints.txt").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("./checkponts/foo", "./checkpoints/foo"),
        ("checkpoints/en_tny", "checkpoints/en_tiny"),
        ("Checkpoints/EN_TINY", "checkpoints/en_tiny"),
        ("checkponts/en_tny", "checkpoints/en_tiny"),
        ("checkpoints", "checkpoints"),
        (".\\checkponts\\foo", "checkpoints/foo"),
        ("checkpoints\\en_tny\\", "checkpoints/en_tiny"),
        ("runs/frst/final", "runs/first/final"),
        ("checkpoints/../runs/frst", "checkpoints/../runs/first"),
        ("something/else", ""),
        ("checkpoints/nothing-like-it", ""),
        (".gt", ""),
    ],
)
def test_every_part_of_a_path_may_be_mistyped(typed, meant, place):
    assert nearest_folder(typed) == meant


def test_absolute_paths_stay_absolute(place):
    assert nearest_folder(f"{place}/checkponts/foo") == f"{place}/checkpoints/foo"


def test_paths_from_home(place, monkeypatch):
    monkeypatch.setenv("HOME", str(place))
    assert nearest_folder("~/checkponts/foo") == f"{place}/checkpoints/foo"


def test_what_is_there_is_told_where_nothing_is_alike(place):
    hint = folder_hint("checkpoints/zzz/yyy")
    assert hint == "'checkpoints' has the folders en_tiny, foo."
    assert "checkpoints, runs" in folder_hint("./zzz")
    assert folder_hint("runs/first/final/zzz").endswith("has no folders.")


def test_the_most_alike_name_is_found():
    assert nearest_name("en_smal", ["en_tiny", "en_small"]) == "en_small"
    assert nearest_name("bert-base-uncased", ["en_tiny", "en_small"]) == ""
