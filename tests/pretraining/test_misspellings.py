import pytest

from spacy_electra.pretraining.misspellings import read_misspellings


def test_misspellings_are_found_by_what_was_meant(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text(
        "recieve->receive\n"
        "freinds->friends\r\n"
        "clas->class, disabled because of a name in C++\n"
        "wich->which, with,\n"
        "alot->a lot\n"
        "1nd->1st\n"
        "\n"
        "frend->freinds\n",
        "utf8",
    )
    # What has a blank or a digit in it is no word, nor is what is a misspelling.
    assert read_misspellings(file) == {
        "receive": ["recieve"],
        "friends": ["freinds"],
        "class": ["clas"],
        "which": ["wich"],
        "with": ["wich"],
    }


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "SE459"),
        (b"", "SE460"),
        (b"recieve receive\n", "SE460"),
        (b"recieve->receive\nna\xefve->naive\n", "SE402.*line 2"),
    ],
)
def test_a_file_without_misspellings_is_named(tmp_path, content, code):
    file = tmp_path / "list.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=code) as caught:
        read_misspellings(file)
    assert str(file) in str(caught.value)
