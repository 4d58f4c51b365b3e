"""What a tokenizer lacks is said where it meets weights, and where it meets text."""

import json
import unicodedata
import warnings

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example

from spacy_electra.models import ElectraConfig, ElectraForPreTraining
from spacy_electra.tokenization import ElectraTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["東京", "##都", "に", "行く", "the", "cat", "sat", "한국어", "##로"]
JAPANESE = {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}


@pytest.fixture
def source(tmp_path):
    """A small discriminator; its vocabulary keeps accents and Hangul syllables."""
    vocab = {token: number for number, token in enumerate([*SPECIALS, *WORDS])}
    config = ElectraConfig(
        vocab_size=len(vocab),
        embedding_size=16,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
    )
    ElectraForPreTraining(config).eval().save_pretrained(tmp_path)
    ElectraTokenizer(vocab, strip_accents=False).save_pretrained(tmp_path)
    return tmp_path


def rtd(source, encoder=None, **config):
    nlp = spacy.blank("en")
    config["model"] = {"encoder": {"source": str(source), **(encoder or {})}}
    nlp.add_pipe("electra_rtd", config=config)
    return nlp


def electra(source, **model):
    pytest.importorskip("spacy_transformers")
    nlp = spacy.blank("en")
    nlp.add_pipe("electra", config={"model": {"name": str(source), **model}})
    return nlp


@pytest.mark.parametrize("pipeline", [rtd, electra])
@pytest.mark.parametrize("file", ["added_tokens", "vocabulary"])
def test_tokenizer_larger_than_the_table_is_refused_at_load(source, pipeline, file):
    if file == "added_tokens":
        content = json.dumps({"<e1>": len(SPECIALS) + len(WORDS)})
        (source / "added_tokens.json").write_text(content)
    else:
        (source / "tokenizer.json").unlink()
        with (source / "vocab.txt").open("a") as lines:
            lines.write("<e1>\n")
    nlp = pipeline(source)
    with pytest.raises(
        ValueError, match=r"\[SE144\].*1 pieces beyond the 14 rows.*<e1>"
    ):
        nlp.initialize()


@pytest.mark.parametrize("pipeline", [rtd, electra])
def test_text_of_unknown_pieces_warns_once_with_the_share(source, pipeline):
    nlp = pipeline(source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp("the cat sat")
        nlp("한국어로 한국어로 한국어로")
        nlp("dog")
    with pytest.warns(UserWarning, match=r"\[SW132\] 75% of the 4 pieces.*NFC") as met:
        nlp("the dogs ran home")
        nlp(unicodedata.normalize("NFD", "한국어로 한국어로 한국어로"))
    assert sum("SW132" in str(warning.message) for warning in met) == 1


def test_vocabulary_of_words_that_another_program_cuts_is_served_or_refused(source):
    (source / "tokenizer_config.json").write_text(json.dumps(JAPANESE))
    for make in (electra, rtd):
        with pytest.raises(ValueError, match=r"\[SE133\].*mecab.*words = .spacy"):
            make(source).initialize()
    nlp = electra(source, tokenizer_config={"words": "spacy"})
    doc = Doc(nlp.vocab, words=["東京都", "に", "行く"], spaces=[False] * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        doc = nlp(doc)
    assert doc._.trf_data.wordpieces.strings[0] == [
        *["[CLS]", "東京", "##都", "に", "行く", "[SEP]"]
    ]
    assert doc._.trf_data.align.lengths.tolist() == [2, 1, 1]
    again = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    other = again(Doc(again.vocab, words=["東京都", "に", "行く"], spaces=[False] * 3))
    assert other._.trf_data.wordpieces.strings == doc._.trf_data.wordpieces.strings


def test_token_that_is_unknown_has_no_score(source):
    nlp = rtd(source)
    doc = nlp("the 猫 sat dog")
    scores = [token._.rtd_score for token in doc]
    assert scores[1] == scores[3] == 0.0
    assert 0.0 < scores[0] < 1.0 and 0.0 < scores[2] < 1.0
    assert not doc[1]._.is_replaced
    # Beside an unknown piece another one of the token counts.
    beside = Doc(nlp.vocab, words=["the猫", "sat"], spaces=[False, False])
    assert nlp(beside)[0]._.rtd_score > 0.0


def test_unknown_tokens_teach_nothing_and_break_nothing(source):
    nlp = rtd(source, objective="supervised")
    reference = nlp.make_doc("the 猫 sat")
    reference.spans["rtd"] = [reference[1:2]]
    example = Example(nlp.make_doc("the 猫 sat"), reference)
    nlp.initialize(lambda: [example])
    losses = nlp.update([example], sgd=nlp.create_optimizer())
    assert np.isfinite(losses["electra_rtd"])
    alone = nlp.make_doc("猫 猫 猫")
    alone.spans["rtd"] = [alone[1:2]]
    losses = nlp.update([Example(nlp.make_doc("猫 猫 猫"), alone)])
    assert losses["electra_rtd"] == 0.0
    assert np.isfinite(nlp("the cat")[0]._.rtd_score)


def test_words_of_spacy_serve_every_encoder(source):
    (source / "tokenizer_config.json").write_text(json.dumps(JAPANESE))
    nlp = rtd(source, {"tokenizer_config": {"words": "spacy"}})
    words = ["東京都", "に", "猫", "行く"]
    doc = nlp(Doc(nlp.vocab, words=words, spaces=[False] * 4))
    scores = [token._.rtd_score for token in doc]
    assert scores[2] == 0.0 and min(scores[0], scores[1], scores[3]) > 0.0
    again = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    other = again(Doc(again.vocab, words=words, spaces=[False] * 4))
    assert [token._.rtd_score for token in other] == pytest.approx(scores)
    with pytest.raises(ValueError, match="word_cutter"):
        rtd(source, {"tokenizer_config": {"word_cutter": "spacy"}}).initialize()


def test_saved_pipeline_with_a_larger_tokenizer_is_refused(source, tmp_path):
    nlp = rtd(source)
    nlp.initialize()
    shim = nlp.get_pipe("electra_rtd").model.encoder.shim
    vocab = {**shim.tokenizer.vocab, "<e1>": shim.tokenizer.vocab_size}
    shim.tokenizer = ElectraTokenizer(vocab, strip_accents=False)
    nlp.to_disk(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"\[SE144\].*saved pipeline.*<e1>"):
        spacy.load(tmp_path / "saved")
