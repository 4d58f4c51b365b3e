"""The probe reads treebanks rightly and tells what an encoder is good for."""

import pytest
import torch

from spacy_electra.models import ElectraConfig, ElectraModel
from spacy_electra.pretraining.evaluation.conllu import TaggedSentence, read_conllu
from spacy_electra.pretraining.evaluation.probe import (
    ProbeSettings,
    probe,
    tagged_pieces,
)
from spacy_electra.tokenization.vocabulary import train_vocabulary

CONLLU = """# sent_id = 1
1\tShe\tshe\tPRON\t_\t_\t3\tnsubj\t_\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
2\tdo\tdo\tAUX\t_\t_\t3\taux\t_\t_
3\tn't\tnot\tPART\t_\t_\t3\tadvmod\t_\t_
3.1\tgo\tgo\tVERB\t_\t_\t_\t_\t_\t_
4\t.\t.\tPUNCT\t_\t_\t3\tpunct\t_\t_

1\tYes\tyes\tINTJ\t_\t_\t0\troot\t_\t_
"""
KINDS = {"the": "DET", "a": "DET", "my": "DET", ".": "PUNCT", "in": "ADP", "on": "ADP"}


def sentences(texts):
    for text in texts:
        starts, tags, position = [], [], 0
        for word in text.split():
            starts.append(position)
            tags.append(KINDS.get(word, "X"))
            position += len(word) + 1
        yield TaggedSentence(text, starts, tags)


def test_words_and_tags_of_a_treebank(tmp_path):
    (tmp_path / "a.conllu").write_text(CONLLU)
    first, second = read_conllu(tmp_path / "a.conllu")
    assert first.text == "She don't."
    assert first.starts == [0, 4, 9]
    assert first.tags == ["PRON", "AUX", "PUNCT"]
    assert (second.text, second.tags) == ("Yes", ["INTJ"])


def test_line_that_is_no_row_is_named(tmp_path):
    (tmp_path / "a.conllu").write_text(CONLLU + "\nbroken\n")
    with pytest.raises(ValueError, match="line 11"):
        list(read_conllu(tmp_path / "a.conllu"))


def test_each_word_is_its_first_piece(tokenizer):
    text = "It isn't ununderstandable, is it"
    starts = [0, 3, 5, 9, 25, 27, 30]
    sentence = TaggedSentence(text, starts, list("abcdefg"))
    pieces = tagged_pieces([sentence], tokenizer, list("abcdefg"), 40)
    offsets = tokenizer.encode_batch([text])[0].offsets
    rows = pieces.rows[0] - 1
    assert offsets[rows, 0].tolist()[:2] == [0, 3]
    assert offsets[rows, 0].tolist()[3:] == [9, 25, 27, 30]
    assert pieces.tags[0].tolist() == list(range(7))
    short = tagged_pieces([sentence], tokenizer, list("abcdefg"), 4)
    assert len(short.ids[0]) == 4
    assert len(short.rows[0]) < 7


def test_both_taggers_learn_and_the_encoder_stays(grammar):
    texts = list(grammar(60, sentences=2))
    tokenizer = train_vocabulary(texts, vocab_size=70)
    torch.manual_seed(0)
    encoder = ElectraModel(
        ElectraConfig(
            vocab_size=tokenizer.vocab_size,
            embedding_size=32,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
        )
    )
    before = [p.clone() for p in encoder.parameters()]
    data = list(sentences(texts))
    settings = ProbeSettings(
        epochs=8, batch_tokens=128, unfrozen_rate=3e-3, precision="fp32"
    )
    result = probe(encoder, tokenizer, data[:50], data[50:], settings)
    assert result["majority"] < result["frozen"]
    assert result["unfrozen"] > 0.98
    for old, new in zip(before, encoder.parameters(), strict=True):
        assert torch.equal(old, new)
    again = probe(encoder, tokenizer, data[:50], data[50:], settings)
    assert again == result


def test_nothing_to_learn_from_is_an_error(grammar):
    tokenizer = train_vocabulary(grammar(20), vocab_size=70)
    encoder = ElectraModel(ElectraConfig(vocab_size=70, num_hidden_layers=1))
    with pytest.raises(ValueError, match="treebank"):
        probe(encoder, tokenizer, [], [])
