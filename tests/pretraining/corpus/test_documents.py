"""Documents come out of every format, and what is broken is named."""

import gzip
import lzma
import sys

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_electra.pretraining.corpus import documents, formats
from spacy_electra.pretraining.corpus.documents import (
    Skipped,
    cut_at_lines,
    read_documents,
)

TEXT = "one\nstill one\n\n\n two \n \nthree\n"
DOCUMENTS = ["one\nstill one", "two", "three"]


def zstandard_open(file, mode, encoding):
    zstandard = pytest.importorskip("zstandard")
    return zstandard.open(file, mode, encoding=encoding)


OPENERS = {"": open, ".gz": gzip.open, ".xz": lzma.open, ".zst": zstandard_open}


def write_parquet(file, columns):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table(columns), file, row_group_size=2)


@pytest.mark.parametrize("ending", OPENERS)
def test_text_documents_are_separated_by_blank_lines(tmp_path, ending):
    file = tmp_path / f"corpus.txt{ending}"
    with OPENERS[ending](file, "wt", encoding="utf8") as lines:
        lines.write(TEXT)
    assert list(read_documents(file)) == DOCUMENTS


def test_line_ends_and_marks_of_windows_are_no_text(tmp_path):
    content = TEXT.replace("\n", "\r\n").encode("utf-8-sig")
    (tmp_path / "a.txt").write_bytes(content)
    assert list(read_documents(tmp_path)) == DOCUMENTS


def test_jsonl_and_folders(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n\n{"text": " "}\n{"text":"2"}')
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "b.txt").write_text("three")
    (tmp_path / "notes.md").write_text("not read")
    assert list(read_documents(tmp_path)) == ["one", "2", "three"]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_parquet(tmp_path, ending):
    file = tmp_path / "a.parquet"
    write_parquet(file, {"id": [1, 2, 3, 4], "text": ["one", None, " two ", "three"]})
    if ending:
        compressed = tmp_path / f"a.parquet{ending}"
        compressed.write_bytes(gzip.compress(file.read_bytes()))
        file = compressed
    assert list(read_documents(file)) == ["one", "two", "three"]


@pytest.mark.parametrize("ending", ["", ".xz"])
def test_docs_of_spacy(tmp_path, ending):
    nlp = spacy.blank("en")
    docs = [nlp.make_doc(text) for text in ("It isn't easy.", "Two  words")]
    data = DocBin(docs=docs).to_bytes()
    file = tmp_path / f"a.spacy{ending}"
    file.write_bytes(lzma.compress(data) if ending else data)
    assert list(read_documents(file)) == [doc.text for doc in docs]


def test_glob(tmp_path):
    for name in ("a.txt", "b.txt", "c.jsonl"):
        (tmp_path / name).write_text(name)
    assert list(read_documents(f"{tmp_path}/*.txt")) == ["a.txt", "b.txt"]


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"txt": 1}\n', ["a.jsonl", "line 2"]),
        ("a.jsonl", b'{"text": 3}\n', ["a.jsonl", "line 1"]),
        ("a.jsonl", b'{"text": "half \\ud83d of it"}\n', ["a.jsonl", "line 1"]),
        ("a.jsonl", b"not json\n", ["a.jsonl", "line 1"]),
        ("a.jsonl", b'{"text": "\xff"}\n', ["a.jsonl", "line 1"]),
        ("a.txt", b"\xff\xfe\x00", ["a.txt", "UTF-8"]),
        ("a.txt", b"good\nb\xe4d\n", ["a.txt", "line 2", "UTF-8"]),
        ("a.txt", b"cut short \xe2\x82", ["a.txt", "UTF-8"]),
        ("a.txt.gz", b"not gzip", ["a.txt.gz"]),
        ("a.txt.gz", gzip.compress(b"x" * 9999, mtime=0)[:30], ["a.txt.gz"]),
        ("a.txt.xz", lzma.compress(b"x" * 9999)[:50], ["a.txt.xz"]),
        ("a.spacy", b"no Docs", ["a.spacy"]),
        ("a.parquet", b"no table", ["a.parquet"]),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, parts):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as error:
        list(read_documents(tmp_path / name))
    for part in parts:
        assert part in str(error.value)


def test_zstandard_file_that_was_cut_is_named(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    whole = zstandard.ZstdCompressor().compress(b"a word and another\n" * 50_000)
    (tmp_path / "a.txt.zst").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"a\.txt\.zst"):
        list(read_documents(tmp_path))


def test_parquet_without_text_names_its_columns(tmp_path):
    write_parquet(tmp_path / "a.parquet", {"content": ["one"], "text": [1]})
    with pytest.raises(ValueError, match="content"):
        list(read_documents(tmp_path))


def test_broken_lines_and_files_are_skipped_and_counted_where_asked(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\nbroken\n{"text": "two"}\n')
    (tmp_path / "b.txt").write_bytes(b"three\n\nb\xe4d\n\nfour\n")
    (tmp_path / "c.txt.gz").write_bytes(b"not gzip")
    (tmp_path / "d.txt").write_bytes(b"binary \x00\x01")
    (tmp_path / "e.txt").write_text("five")
    skipped = Skipped()
    found = list(read_documents(tmp_path, on_broken=skipped))
    assert found == ["one", "two", "three", "four", "five"]
    assert skipped.count == 4
    for message, name in zip(skipped.messages, "abcd", strict=True):
        assert f"{name}." in message


def test_nothing_to_read_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(read_documents(tmp_path / "nowhere"))
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(ValueError, match="jsonl"):
        list(read_documents(tmp_path))


def test_package_that_is_missing_is_named(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("pyarrow")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_text("x")
    with pytest.raises(ImportError, match=r"pyarrow.*spacy-electra\[formats\]"):
        list(read_documents(tmp_path))


def test_long_documents_come_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "LONGEST_DOCUMENT", 100)
    for name in ("LONGEST_DOCUMENT", "_BYTES_PER_READ"):
        monkeypatch.setattr(formats, name, 100)
    lines = "\n".join(f"ligne d'été {n}" for n in range(100))
    (tmp_path / "a.txt").write_text(lines)
    (tmp_path / "b.txt").write_text("é" * 1000)
    parts = list(read_documents(tmp_path))
    assert all(len(part) <= 100 for part in parts)
    assert "\n".join(parts[:-10]).startswith(lines[:300])
    assert "".join(parts).replace("\n", "") == lines.replace("\n", "") + "é" * 1000


def test_cutting_loses_nothing():
    text = "one two\nthree\n" + "x" * 50 + "\nend"
    parts = list(cut_at_lines(text, 14))
    assert "".join(parts) == text
    assert max(map(len, parts)) == 14
    assert parts[0] == "one two\nthree\n"


def test_progress_counts_what_was_read(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT * 5000)
    read = []
    list(read_documents(tmp_path, on_read=read.append))
    assert sum(read) == (tmp_path / "a.txt").stat().st_size
