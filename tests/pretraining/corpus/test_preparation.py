import errno
import json

import numpy as np
import pytest

from spacy_electra.pretraining.corpus.preparation import prepare_corpus
from spacy_electra.pretraining.corpus.shards import Shards
from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.vocabulary import train_vocabulary


def write_corpus(folder, documents):
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"text": text}) for text in documents]
    (folder / "a.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def vocabulary(grammar):
    return train_vocabulary(grammar(20), vocab_size=70)


def contents(shards):
    return shards.ids.tolist(), shards.offsets.tolist(), shards.held_out


def test_processes_change_nothing(tmp_path, grammar, vocabulary, monkeypatch):
    from spacy_electra.pretraining.corpus import encoding

    monkeypatch.setattr(encoding, "_CHARACTERS_PER_CALL", 2000)
    corpus = write_corpus(tmp_path / "text", grammar(60))
    one = prepare_corpus(corpus, vocabulary, tmp_path / "one", held_out_every=10)
    two = prepare_corpus(
        corpus, vocabulary, tmp_path / "two", held_out_every=10, workers=2
    )
    assert contents(one.shards) == contents(two.shards)
    assert one.shards.counts.tolist() == two.shards.counts.tolist()


def test_finished_shards_are_not_written_again(tmp_path, grammar, vocabulary):
    corpus = write_corpus(tmp_path / "text", grammar(20))
    first = prepare_corpus(corpus, vocabulary, tmp_path / "out", held_out_every=5)
    again = prepare_corpus(corpus, vocabulary, tmp_path / "out", held_out_every=5)
    assert (first.fresh, again.fresh) == (True, False)
    assert contents(first.shards) == contents(again.shards)
    other = prepare_corpus(corpus, vocabulary, tmp_path / "out", held_out_every=4)
    assert other.fresh
    write_corpus(corpus, grammar(30))
    changed = prepare_corpus(corpus, vocabulary, tmp_path / "out", held_out_every=4)
    assert changed.fresh
    assert len(changed.shards.offsets) > len(other.shards.offsets)


def test_writer_that_fails_leaves_what_was_there(tmp_path, grammar, vocabulary):
    corpus = write_corpus(tmp_path / "text", grammar(20))
    before = prepare_corpus(corpus, vocabulary, tmp_path / "out", held_out_every=5)
    (corpus / "b.jsonl").write_text("broken")
    with pytest.raises(ValueError, match="line 1"):
        prepare_corpus(corpus, vocabulary, tmp_path / "out", held_out_every=5)
    assert contents(Shards.open(tmp_path / "out")) == contents(before.shards)
    assert not list((tmp_path / "out").glob("*.part"))


def test_full_disk_is_one_clear_error(tmp_path, grammar, vocabulary, monkeypatch):
    from spacy_electra.pretraining.corpus import preparation

    def write_shards(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(preparation, "write_shards", write_shards)
    corpus = write_corpus(tmp_path / "text", grammar(10))
    with pytest.raises(OSError, match=r"disk of .* is full"):
        prepare_corpus(corpus, vocabulary, tmp_path / "out")


def test_meta_data_say_what_was_done(tmp_path, grammar, vocabulary):
    documents = list(grammar(10))
    corpus = write_corpus(tmp_path / "text", documents)
    with (corpus / "a.jsonl").open("a") as lines:
        lines.write("\nbroken\n")
    prepared = prepare_corpus(
        corpus, vocabulary, tmp_path / "out", held_out_every=5, skip_broken=True
    )
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert meta["documents"] == 8
    assert meta["held_out"] == {"every": 5, "documents": 2}
    assert meta["tokenizer_hash"] == vocabulary.fingerprint
    assert meta["tokens"] == len(prepared.shards.ids) == sum(meta["counts"])
    assert prepared.skipped == 1
    assert "line 11" in prepared.messages[0]


def test_vocabulary_that_did_not_make_the_shards_is_refused(
    tmp_path, grammar, vocabulary
):
    corpus = write_corpus(tmp_path / "text", grammar(10))
    prepare_corpus(corpus, vocabulary, tmp_path / "out", held_out_every=5)
    pieces = sorted(vocabulary.vocab, key=vocabulary.vocab.__getitem__)
    pieces[-1], pieces[-2] = pieces[-2], pieces[-1]
    other = ElectraTokenizer({piece: n for n, piece in enumerate(pieces)})
    other.save_pretrained(tmp_path / "out" / "tokenizer")
    with pytest.raises(ValueError, match="another vocabulary"):
        Shards.open(tmp_path / "out")


def test_offsets_that_were_cut_short_are_named(tmp_path, grammar, vocabulary):
    corpus = write_corpus(tmp_path / "text", grammar(10))
    prepare_corpus(corpus, vocabulary, tmp_path / "out", held_out_every=5)
    offsets = np.load(tmp_path / "out" / "offsets.npy")
    np.save(tmp_path / "out" / "offsets.npy", offsets[:-1])
    with pytest.raises(ValueError, match=r"offsets\.npy"):
        Shards.open(tmp_path / "out")


def test_corpus_too_small_to_hold_any_out_warns(tmp_path, grammar, vocabulary):
    corpus = write_corpus(tmp_path / "text", grammar(3))
    with pytest.warns(UserWarning, match="held-out-every"):
        prepare_corpus(corpus, vocabulary, tmp_path / "out")
