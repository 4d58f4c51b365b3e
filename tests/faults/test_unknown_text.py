"""Text without pieces is spoken of by whoever meets it."""

import random
import unicodedata

import numpy as np
import pytest
from thinc.types import Ragged
from typer.testing import CliRunner

from spacy_electra.cli.app import app
from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.accents import accents_of
from spacy_electra.tokenization.alignment import mostly_unknown, unknown_tokens
from spacy_electra.tokenization.vocabulary import train_vocabulary

KOREAN = "한국어를 공부하는 학생들이 도서관에서 책을 읽고 있습니다."
GERMAN = "Die Bäckerei öffnet früh, und über den Dächern dampft schon der süße Duft."
ENGLISH = "The chef cooked the meal and served it to the guests in a naïve way, again."
RUSSIAN = "Чай стоит на столе, а герой читает новый роман о войне."


def written(folder, texts):
    folder.mkdir(exist_ok=True)
    (folder / "corpus.txt").write_text("\n\n".join(texts), encoding="utf8")
    return folder


def run(command):
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize(
    ("text", "kept", "whole"),
    [
        (KOREAN, True, "도서관에서"),
        (GERMAN, True, "bäckerei"),
        (RUSSIAN, True, "чай"),
        (ENGLISH * 5 + ENGLISH.replace("ï", "i") * 20, False, "naive"),
    ],
    ids=["Korean", "German", "Russian", "English"],
)
def test_vocab_keeps_accents_where_text_is_full_of_them(tmp_path, text, kept, whole):
    corpus = written(tmp_path / "text", [text] * 8)
    output = run(f"vocab {corpus} {tmp_path / 'v'} --size 400 --held-out-every 4")
    tokenizer = ElectraTokenizer.from_pretrained(tmp_path / "v")
    assert tokenizer.settings["strip_accents"] is (False if kept else None)
    assert ("stay as they are" in output) == kept
    assert tokenizer.tokenize(whole) == [whole]
    assert "SW13" not in output


@pytest.mark.parametrize("option", ["--strip-accents", "--keep-accents"])
def test_vocab_does_with_accents_what_it_is_told(tmp_path, option):
    corpus = written(tmp_path / "text", [GERMAN] * 8)
    run(f"vocab {corpus} {tmp_path / 'v'} --size 400 {option} --held-out-every 4")
    tokenizer = ElectraTokenizer.from_pretrained(tmp_path / "v")
    assert tokenizer.settings["strip_accents"] is (option == "--strip-accents")


def test_vocab_warns_of_hangul_in_letters(tmp_path):
    corpus = written(tmp_path / "text", [unicodedata.normalize("NFD", KOREAN)] * 8)
    assert "SW134" in run(f"vocab {corpus} {tmp_path / 'v'} --size 200")


def protein(rng, length):
    return "".join(rng.choices("ACDEFGHIKLMNPQRSTVWY", k=length))


@pytest.mark.parametrize("held_out_every", [20, 1000])
def test_text_without_words_warns_in_vocab_and_prepare(tmp_path, held_out_every):
    rng = random.Random(0)
    texts = [protein(rng, 200) for _ in range(300)]
    corpus = written(tmp_path / "text", texts)
    options = f"--held-out-every {held_out_every}"
    output = run(f"vocab {corpus} {tmp_path / 'v'} --size 300 {options}")
    assert "[SW133] 100% of the words are unknown" in output
    output = run(f"prepare {corpus} {tmp_path / 'v'} {tmp_path / 's'} {options}")
    assert "[SW133] 100% of the pieces are unknown" in output


def test_alphabet_of_many_characters_comes_in_as_far_as_it_is_used():
    syllables = [chr(code) for code in range(0xAC00, 0xAC00 + 1800)]
    texts = [" ".join(syllables)] * 3
    options = {"vocab_size": 4000, "min_frequency": 10, "strip_accents": False}
    tokenizer = train_vocabulary(texts, **options)
    assert tokenizer.unk_token_id not in tokenizer(texts[0]).ids
    small = train_vocabulary(texts, **{**options, "vocab_size": 1500})
    known = len(set(small(texts[0])["input_ids"])) - 3
    assert known == 1000


def test_accents_are_counted():
    accents = accents_of(["Für 각, é e\u0301", "\u1100 x 12"])
    # F ü r, 각, é, e and its mark, a letter of Hangul, x.
    assert (accents.letters, accents.changed, accents.conjoining) == (9, 4, 1)
    assert accents.share == pytest.approx(4 / 9)
    assert not accents_of([]).matter


def test_text_that_is_mostly_unknown_is_found():
    texts = [np.array(ids) for ids in ([1, 5, 6], [1, 1, 5], [1, 1, 1, 1, 5], [1], [])]
    assert mostly_unknown(texts, 1) == (2, 0.8)
    assert mostly_unknown(texts[:1], 1) is None
    assert mostly_unknown([], 1) is None
    assert mostly_unknown(texts[3:], 1) is None
    assert mostly_unknown([], 1) is None


def test_tokens_of_unknown_pieces_alone():
    ids = np.array([7, 1, 1, 1, 8])
    # A word, white space, an unknown one, one of two pieces, another of one.
    alignment = Ragged(
        np.array([0, 1, 2, 3, 3, 4], dtype="i"), np.array([1, 0, 2, 1, 2], dtype="i")
    )
    found = unknown_tokens(ids, alignment, 1)
    assert found.tolist() == [False, False, True, True, False]
    empty = Ragged(np.zeros(0, dtype="i"), np.zeros(2, dtype="i"))
    assert unknown_tokens(ids[:0], empty, 1).tolist() == [False, False]
