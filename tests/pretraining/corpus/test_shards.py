import numpy as np
import pytest

from spacy_electra.pretraining.corpus.shards import Shards, write_shards


def test_ids_are_those_of_the_documents(tmp_path, tokenizer):
    documents = ["The chef cooked.", "It isn't easy.", "Held out.", "The end"]
    shards = write_shards(documents, tokenizer, tmp_path, held_out_every=3)
    assert shards.held_out == ["Held out."]
    kept = [tokenizer.encode_batch([d])[0].ids for d in documents if d != "Held out."]
    for number, ids in enumerate(kept):
        begin, end = shards.offsets[number : number + 2]
        assert shards.ids[begin:end].tolist() == ids.tolist()
    assert shards.counts.sum() == len(shards.ids)
    assert Shards.open(tmp_path).tokenizer.vocab == tokenizer.vocab


def test_cut_short_or_incomplete_is_named(tmp_path, tokenizer):
    write_shards(["The chef cooked."] * 5, tokenizer, tmp_path)
    content = (tmp_path / "ids.bin").read_bytes()
    (tmp_path / "ids.bin").write_bytes(content[:-4])
    with pytest.raises(ValueError, match="cut short"):
        Shards.open(tmp_path)
    (tmp_path / "meta.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"meta\.json"):
        Shards.open(tmp_path)


def test_empty_corpus_is_an_error(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="no text"):
        write_shards([], tokenizer, tmp_path)


def test_ids_need_no_more_than_their_width(shards):
    assert shards.ids.dtype == np.uint16
