import gzip
import lzma

import pytest

from spacy_electra.pretraining.corpus import read_documents

TEXT = "one\nstill one\n\n\n two \n \nthree\n"
DOCUMENTS = ["one\nstill one", "two", "three"]


@pytest.mark.parametrize("opener", [None, gzip.open, lzma.open])
def test_text_documents_are_separated_by_blank_lines(tmp_path, opener):
    ending = {None: "", gzip.open: ".gz", lzma.open: ".xz"}[opener]
    file = tmp_path / f"corpus.txt{ending}"
    with (opener or open)(file, "wt", encoding="utf8") as lines:
        lines.write(TEXT)
    assert list(read_documents(file)) == DOCUMENTS


def test_jsonl_and_folders(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n\n{"text": " "}\n{"text":"2"}')
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "b.txt").write_text("three")
    (tmp_path / "notes.md").write_text("not read")
    assert list(read_documents(tmp_path)) == ["one", "2", "three"]


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"txt": 1}\n', ["a.jsonl", "line 2"]),
        ("a.jsonl", b'{"text": 3}\n', ["a.jsonl", "line 1"]),
        ("a.jsonl", b"not json\n", ["a.jsonl", "line 1"]),
        ("a.txt", b"\xff\xfe\x00", ["a.txt", "UTF-8"]),
        ("a.txt.gz", b"not gzip", ["a.txt.gz"]),
        ("a.txt.xz", lzma.compress(b"x" * 9999)[:50], ["a.txt.xz"]),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, parts):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as error:
        list(read_documents(tmp_path / name))
    for part in parts:
        assert part in str(error.value)


def test_nothing_to_read_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(read_documents(tmp_path / "nowhere"))
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(ValueError, match="jsonl"):
        list(read_documents(tmp_path))
