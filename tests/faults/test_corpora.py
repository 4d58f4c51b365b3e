"""Corpora: whole or not at all, in nobody's way, and made of text alone."""

import os
import shutil
import warnings

import numpy as np
import pytest
from filelock import FileLock
from typer.testing import CliRunner

from spacy_electra.cli.app import app
from spacy_electra.pretraining.batches import SequenceBatches
from spacy_electra.pretraining.corpus import formats
from spacy_electra.pretraining.corpus.documents import (
    Skipped,
    corpus_files,
    read_documents,
)
from spacy_electra.pretraining.corpus.preparation import prepare_corpus
from spacy_electra.pretraining.corpus.shards import Shards, write_shards


@pytest.fixture
def vocabulary(shards):
    return shards.tokenizer


@pytest.fixture
def text(tmp_path, grammar):
    """A folder with 40 documents, of which four will be held out."""
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "a.txt").write_text("\n\n".join(grammar(40)))
    return folder


def prepare(text, vocabulary, output):
    return prepare_corpus(text, vocabulary, output, held_out_every=10)


def content(shards):
    return shards.ids.tolist(), shards.offsets.tolist(), shards.held_out


def test_two_writers_in_one_folder_are_refused(text, vocabulary, tmp_path):
    before = prepare(text, vocabulary, tmp_path / "out")
    (text / "b.txt").write_text("she sees the dog .")
    lock = FileLock(tmp_path / "out" / "prepare.lock")
    with lock, pytest.raises(RuntimeError, match=r"SE440.*out"):
        prepare(text, vocabulary, tmp_path / "out")
    assert content(Shards.open(tmp_path / "out")) == content(before.shards)
    assert prepare(text, vocabulary, tmp_path / "out").fresh


def test_corpus_that_is_mapped_stays_as_it_was(text, vocabulary, tmp_path, grammar):
    mapped = prepare(text, vocabulary, tmp_path / "out").shards
    before = content(mapped)
    (text / "a.txt").write_text("\n\n".join(grammar(11, seed=5)))
    after = prepare(text, vocabulary, tmp_path / "out").shards
    # Files that were cut short in place would end the process here (SIGBUS).
    assert content(mapped) == before
    assert len(after.ids) < len(mapped.ids)


def flip(folder):
    with (folder / "ids.bin").open("r+b") as file:
        file.seek(20)
        byte = file.read(1)[0]
        file.seek(20)
        file.write(bytes([byte ^ 1]))


def cut(name):
    def cut_short(folder):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2 // 2 * 2])

    return cut_short


def shuffle_offsets(folder):
    offsets = np.load(folder / "offsets.npy")
    offsets[1:-1] = offsets[-2:0:-1].copy()
    np.save(folder / "offsets.npy", offsets)


def swap_two_ids(folder):
    """The same pieces as often as before, in another order."""
    ids = np.fromfile(folder / "ids.bin", dtype=np.uint16)
    second = int(np.flatnonzero(ids != ids[0])[0])
    ids[[0, second]] = ids[[second, 0]]
    ids.tofile(folder / "ids.bin")


def lose_counts(folder):
    meta = (folder / "meta.json").read_text()
    (folder / "meta.json").write_text(meta.replace('"counts"', '"amounts"'))


def lose_held_out(folder):
    lines = (folder / "held_out.jsonl").read_text().splitlines(keepends=True)
    (folder / "held_out.jsonl").write_text("".join(lines[:-1]))


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        swap_two_ids,
        shuffle_offsets,
        lose_counts,
        lose_held_out,
        *map(cut, ("ids.bin", "offsets.npy", "meta.json", "held_out.jsonl")),
        lambda folder: (folder / "ids.bin").write_bytes(b""),
        lambda folder: (folder / "meta.json").write_text("[]"),
        lambda folder: shutil.rmtree(folder / "tokenizer"),
        lambda folder: (folder / "offsets.npy").unlink(),
    ],
)
def test_damaged_corpus_is_written_anew_by_the_command_that_its_error_names(
    text, vocabulary, tmp_path, damage
):
    whole = content(prepare(text, vocabulary, tmp_path / "out").shards)
    damage(tmp_path / "out")
    with pytest.raises((ValueError, OSError), match=r"SE\d{3}.*spacy electra prepare"):
        Shards.open(tmp_path / "out").check()
    with pytest.warns(UserWarning, match="SW441"):
        mended = prepare(text, vocabulary, tmp_path / "out")
    assert mended.fresh
    assert content(mended.shards) == whole
    mended.shards.check()
    assert not prepare(text, vocabulary, tmp_path / "out").fresh


def test_corpus_of_before_there_were_checksums_is_checked_by_its_counts(
    text, vocabulary, tmp_path
):
    prepare(text, vocabulary, tmp_path / "out")
    meta = tmp_path / "out" / "meta.json"
    meta.write_text(meta.read_text().replace("ids_hash", "unknown"))
    Shards.open(tmp_path / "out").check()
    assert not prepare(text, vocabulary, tmp_path / "out").fresh
    flip(tmp_path / "out")
    with pytest.raises(ValueError, match="SE443"):
        Shards.open(tmp_path / "out").check()


def test_id_beyond_the_vocabulary_is_named_when_a_batch_holds_it(vocabulary, tmp_path):
    write_shards(["the cat sees the dog ."] * 20, vocabulary, tmp_path)
    ids = np.fromfile(tmp_path / "ids.bin", dtype=np.uint16)
    ids[:] = vocabulary.vocab_size
    ids.tofile(tmp_path / "ids.bin")
    batches = SequenceBatches.from_shards(
        Shards.open(tmp_path), length=8, batch_size=2, seed=0
    )
    with pytest.raises(ValueError, match=r"SE443.*beyond the vocabulary"):
        batches[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_what_a_killed_writer_left_goes(text, vocabulary, tmp_path):
    before = content(prepare(text, vocabulary, tmp_path / "out").shards)

    def die_half_way():
        yield "the cat sees the dog ."
        yield "x" * 2_000_000
        os._exit(9)

    child = os.fork()
    if not child:
        try:
            write_shards(die_half_way(), vocabulary, tmp_path / "out")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert (tmp_path / "out" / "new.part").exists()
    assert content(Shards.open(tmp_path / "out")) == before
    (text / "b.txt").write_text("she sees the dog .")
    prepare(text, vocabulary, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.part"))


def test_outputs_below_the_corpus_are_not_read_as_text(text, vocabulary, tmp_path):
    first = content(prepare(text, vocabulary, text / "shards").shards)
    vocabulary.save_pretrained(text / "vocab")
    shutil.copy(text / "vocab" / "vocab.txt", text / "vocab.txt")
    (text / "shards" / "new.part").mkdir()
    (text / "shards" / "new.part" / "held_out.jsonl").write_text('{"text": "half"}')
    (text / "run").mkdir()
    for name in ("log.csv", "wandb_id.txt"):
        (text / "run" / name).write_text("ab12cd34")
    with pytest.warns(UserWarning, match=r"SW440.*held_out\.jsonl"):
        again = prepare(text, vocabulary, tmp_path / "elsewhere")
    assert content(again.shards) == first
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert corpus_files(text) == [text / "a.txt"]
        assert corpus_files(f"{text}/**/*.txt") == [text / "a.txt"]


def test_file_by_its_own_path_is_read_whatever_its_name(text, vocabulary, tmp_path):
    prepare(text, vocabulary, tmp_path / "out")
    held_out = tmp_path / "out" / "held_out.jsonl"
    assert len(list(read_documents(held_out))) == 4
    # A text of that name among others is text.
    (text / "vocab.txt").write_text("Words of the week.\n")
    assert "Words of the week." in list(read_documents(text))


@pytest.mark.parametrize(
    ("every", "documents", "code"), [(1, 3, "SE441"), (0, 3, "SE003"), (5, 0, "SE407")]
)
def test_nothing_to_train_on_is_an_error(tmp_path, vocabulary, every, documents, code):
    texts = ["the cat sees the dog ."] * documents
    with pytest.raises(ValueError, match=code):
        write_shards(texts, vocabulary, tmp_path / "out", held_out_every=every)
    assert not (tmp_path / "out" / "meta.json").exists()


def test_file_that_may_not_be_read_is_named_as_such(text, monkeypatch):
    def refuse(file, on_read=None):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(formats, "open_bytes", refuse)
    with pytest.raises(ValueError, match=r"SE442.*a\.txt.*[Pp]ermission"):
        list(read_documents(text))
    skipped = Skipped()
    assert list(read_documents(text, on_broken=skipped)) == []
    assert skipped.count == 1


def test_corpora_are_known_by_their_ids_and_not_by_their_place(
    vocabulary, tmp_path, grammar
):
    texts = list(grammar(20))
    one = write_shards(texts, vocabulary, tmp_path / "one")
    two = write_shards(texts, vocabulary, tmp_path / "two")
    other = write_shards(texts[::-1], vocabulary, tmp_path / "other")
    assert one.identity == two.identity
    assert one.identity["ids"] != other.identity["ids"]


@pytest.mark.parametrize("command", ["prepare text vocab out", "vocab text out"])
@pytest.mark.parametrize(
    ("output", "says"),
    [("x" * 300, "shorter"), ("text/a.txt/below", "file"), ("/sys/out", "place")],
)
def test_places_that_can_not_be_written_to_are_named(
    text, vocabulary, tmp_path, monkeypatch, command, output, says
):
    vocabulary.save_pretrained(tmp_path / "vocab")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, command.replace("out", output).split())
    assert done.exit_code == 1, done.output
    assert "SE444" in done.output
    assert says in done.output
    assert "Traceback" not in done.output
