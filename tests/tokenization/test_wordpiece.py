"""The tokenizer against those of Transformers."""

import json
import subprocess
import sys

import pytest
import transformers

from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.alphabet import alphabet_of
from spacy_electra.tokenization.vocabulary import train_vocabulary
from spacy_electra.tokenization.wordpiece import SPECIAL_TOKENS

HOSTILE = {
    "combining accents": "Cafe\u0301 nai\u0308ve A\u030angstro\u0308m \u0301alone",
    "emoji with joiners": "a family 👨‍👩‍👧‍👦 and a flag 🏳️‍🌈! 👍🏽",
    "control characters": "a\x00b\x07c\x1b[0m d\ufffd e\u0085f",
    "zero width": "zero\u200bwidth\u200cnon\u200djoiner\ufeff bom soft\u00adhyphen",
    "right to left": "שלום עולם \u202bمرحبا بالعالم\u202c end",
    "special tokens": "the [MASK] sat on [CLS] the [SEP] mat[MASK]s [UNK] [PAD]",
    "no space": "abcdefghij" * 1000,
    "one long word": "a" * 101 + " " + "b" * 100,
    "digits": "1" * 300,
    "empty": "",
    "white space": " \t\n\r\u00a0\u2003 ",
    "mixed": "İstanbul ǅ ﬁne ½ Ⅻ ßtraße \U0001d518nicode 𠀀 漢字kana かな",
    "punctuation": "...!?—–“quotes”‘x’ a_b c-d e/f $5.00 £3 ~`^|",
}
OPTIONS = [
    {"do_lower_case": False},
    {"strip_accents": False},
    {"strip_accents": True, "do_lower_case": False},
    {"tokenize_chinese_chars": False},
    {"do_basic_tokenize": False},
    {"never_split": ["UNaffable", "don't"], "do_lower_case": False},
]


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def theirs(folder):
    return transformers.ElectraTokenizerFast.from_pretrained(folder)


def assert_same(ours, theirs, text, pair=None):
    expected = theirs(
        text, pair, return_offsets_mapping=True, return_special_tokens_mask=True
    )
    encoding = ours(text, pair)
    assert encoding.ids.tolist() == expected["input_ids"]
    assert encoding.offsets.tolist() == [list(p) for p in expected["offset_mapping"]]
    assert encoding.token_type_ids.tolist() == expected["token_type_ids"]
    assert encoding.special_tokens_mask.tolist() == expected["special_tokens_mask"]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_equals_the_fast_tokenizer(tokenizer, theirs, text):
    assert_same(tokenizer, theirs, text)
    (alone,) = tokenizer.encode_batch([text])
    expected = theirs(text, add_special_tokens=False, return_offsets_mapping=True)
    assert alone.ids.tolist() == expected["input_ids"]
    assert alone.offsets.tolist() == [list(p) for p in expected["offset_mapping"]]


def test_pairs_equal_the_fast_tokenizer(tokenizer, theirs):
    assert_same(tokenizer, theirs, "Who cooked the meal?", "The chef cooked it.")
    assert_same(tokenizer, theirs, "", "only the second")


def conllu_texts(file):
    for line in file.read_text(encoding="utf8").splitlines():
        if line.startswith("# text = "):
            yield line.removeprefix("# text = ")


@pytest.mark.parametrize("treebank", ["ud_english_ewt", "ud_korean_kaist"])
def test_treebanks_equal_the_fast_tokenizer(tokenizer, theirs, shared_data, treebank):
    files = sorted((shared_data / treebank).glob("*.conllu"))
    texts = [text for file in files for text in conllu_texts(file)]
    assert len(texts) > 4000
    expected = theirs(texts, add_special_tokens=False, return_offsets_mapping=True)
    for number, encoding in enumerate(tokenizer.encode_batch(texts)):
        assert encoding.ids.tolist() == expected["input_ids"][number]
        offsets = [list(pair) for pair in expected["offset_mapping"][number]]
        assert encoding.offsets.tolist() == offsets


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_equal_the_slow_tokenizer(tokenizer, tmp_path, options):
    words = ["UNaffable", "don't", "Hello", "hello", "HELLO", "é", "É", "你", "you"]
    vocab = dict(tokenizer.vocab)
    for word in words:
        vocab.setdefault(word, len(vocab))
    ours = ElectraTokenizer(vocab, **options)
    ours.save_pretrained(tmp_path)
    slow = transformers.ElectraTokenizer(str(tmp_path / "vocab.txt"), **options)
    for text in (
        "Hello HELLO hello UNaffable unaffable, don't DON'T",
        "Héllo É é 你好 you好 [MASK]ed [MASK]",
        "It isn't easy: the river floods the valley.",
    ):
        assert ours.tokenize(text) == slow.tokenize(text)


def test_never_split_keeps_case_where_the_rest_is_lower_cased(tokenizer):
    vocab = {**tokenizer.vocab, "McX": tokenizer.vocab_size}
    ours = ElectraTokenizer(vocab, never_split=["McX"])
    assert ours.tokenize("The McX, not mcx") == [
        *["the", "McX", ",", "not"],
        *ours.tokenize("mcx"),
    ]


def test_saved_options_come_back(tokenizer, tmp_path):
    ours = ElectraTokenizer(
        tokenizer.vocab, do_lower_case=False, strip_accents=True, model_max_length=77
    )
    ours.save_pretrained(tmp_path)
    again = ElectraTokenizer.from_pretrained(tmp_path)
    assert again.settings == ours.settings
    assert again.vocab == ours.vocab
    assert ElectraTokenizer.from_bytes(ours.to_bytes()).settings == ours.settings


@pytest.mark.parametrize("kept", ["vocab.txt", "tokenizer.json"])
def test_one_file_is_enough(folder, tokenizer, tmp_path, kept):
    (tmp_path / kept).write_bytes((folder / kept).read_bytes())
    again = ElectraTokenizer.from_pretrained(tmp_path)
    text = "Who cooked the MEAL, café?"
    assert again(text).ids.tolist() == tokenizer(text).ids.tolist()


def test_files_of_transformers_open_here(theirs, tokenizer, tmp_path):
    theirs.save_pretrained(tmp_path)
    again = ElectraTokenizer.from_pretrained(tmp_path)
    assert again.settings["do_lower_case"] == tokenizer.settings["do_lower_case"]
    assert again("The meal").ids.tolist() == theirs("The meal")["input_ids"]


def test_decode_equals_the_fast_tokenizer(tokenizer, theirs):
    for text in (*HOSTILE.values(), "isn't it? he's ' ok ' we've, they're (a)."):
        ids = theirs(text)["input_ids"]
        for skip in (True, False):
            assert tokenizer.decode(ids, skip_special_tokens=skip) == theirs.decode(
                ids, skip_special_tokens=skip, clean_up_tokenization_spaces=True
            )


def test_decode_without_clean_up_leaves_blanks(tokenizer):
    plain = ElectraTokenizer(tokenizer.vocab, clean_up_tokenization_spaces=False)
    ids = plain.encode_batch(["easy, isn't it?"])[0].ids
    assert plain.decode(ids) == "easy , isn ' t it ?"


def test_special_ids_come_from_the_vocabulary():
    vocab = {"<s>": 3, "</s>": 0, "<pad>": 4, "<unk>": 1, "<mask>": 2, "word": 5}
    tokenizer = ElectraTokenizer(
        vocab,
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
    assert tokenizer("word other").ids.tolist() == [3, 5, 1, 0]
    assert tokenizer.all_special_ids == [0, 1, 2, 3, 4]


def test_missing_special_token_is_named():
    with pytest.raises(ValueError, match=r"\[MASK\]"):
        ElectraTokenizer({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3})


def test_unknown_word_of_never_split_is_named(tokenizer):
    with pytest.raises(ValueError, match="qwertyuiop"):
        ElectraTokenizer(tokenizer.vocab, never_split=["qwertyuiop"])


def test_other_tokenizers_are_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE"}}))
    with pytest.raises(ValueError, match="BPE"):
        ElectraTokenizer.from_pretrained(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"vocab\.txt"):
        ElectraTokenizer.from_pretrained(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        ElectraTokenizer.from_pretrained(tmp_path / "nowhere")


def test_names_of_bundled_checkpoints_open(tokenizer):
    for name in ("en_tiny", "en_tiny/generator"):
        assert ElectraTokenizer.from_pretrained(name).vocab == tokenizer.vocab


def test_id_on_the_hub_opens_at_a_revision(tokenizer, folder, monkeypatch):
    asked = []

    def fetch(wanted):
        asked.append((wanted.name, wanted.revision))
        return folder

    monkeypatch.setattr("spacy_electra.source.fetch", fetch)
    for name, revision in (("owner/name", "v2"), ("owner/name@v3", None)):
        again = ElectraTokenizer.from_pretrained(name, revision=revision)
        assert again.vocab == tokenizer.vocab
    assert asked == [("owner/name", "v2"), ("owner/name", "v3")]


def test_settings_go_before_the_files(folder):
    cased = ElectraTokenizer.from_pretrained(folder, do_lower_case=False)
    assert cased.tokenize("The")[0] != "the"
    with pytest.raises(ValueError, match="do_lowercase"):
        ElectraTokenizer.from_pretrained(folder, do_lowercase=False)


def test_ids_and_tokens(tokenizer):
    ids = tokenizer.convert_tokens_to_ids(["the", "no such piece"])
    assert ids == [tokenizer.vocab["the"], tokenizer.unk_token_id]
    assert tokenizer.convert_ids_to_tokens(ids) == ["the", "[UNK]"]
    with pytest.raises(ValueError, match="999999"):
        tokenizer.convert_ids_to_tokens([999_999])


def test_trained_vocabulary_covers_its_text():
    texts = ["the cat sat on the mat", "the dog sat on the log"] * 20
    tokenizer = train_vocabulary(texts, vocab_size=60)
    assert tokenizer.vocab_size <= 60
    assert "the" in tokenizer.vocab
    assert tokenizer.unk_token_id not in tokenizer(texts[0]).ids
    assert tokenizer.pad_token_id == 0


# As frequent as each other, and with letters that are normalized to several or dropped.
TIES = [
    "안녕하세요 세계",
    "नमस्ते दुनिया",
    "cafe\u0301 na\u00efve",
    "qrst uvwx yzab",
    "東京 a東b",
]
LEARN = """
import json, sys
from spacy_electra.tokenization.vocabulary import train_vocabulary
texts = iter(json.loads(sys.argv[1]))
tokenizer = train_vocabulary(texts, vocab_size=80, min_frequency=1)
print(json.dumps(sorted(tokenizer.vocab.items())))
"""


def test_same_texts_give_the_same_vocabulary_in_every_process():
    command = [sys.executable, "-c", LEARN, json.dumps(TIES)]
    learned = {subprocess.check_output(command, text=True) for _ in range(3)}
    assert len(learned) == 1


def test_alphabet_counts_normalized_characters_and_those_inside_words():
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = ElectraTokenizer({token: n for n, token in enumerate(specials)})
    found = alphabet_of(["Ab a\u0301b, b b", "b\u00adb"], tokenizer)
    characters, continuing, enough = found
    assert characters == ["b", "a", ","]
    assert continuing == ["b"]
    assert enough == 3
    assert alphabet_of(["가"], tokenizer).continuing == ["\u1161"]
    assert alphabet_of(["東京"], tokenizer).continuing == []
    assert alphabet_of([], tokenizer) == ([], [], 0)


@pytest.mark.parametrize("options", [{}, *OPTIONS[:5]])
def test_alphabet_is_that_of_the_trained_vocabulary(options):
    # Special tokens are no words.
    texts = [text for text in HOSTILE.values() if "[MASK]" not in text]
    tokenizer = train_vocabulary(texts, vocab_size=1000, min_frequency=10**6, **options)
    characters, continuing, _ = alphabet_of(texts, tokenizer)
    expected = {*characters, *(f"##{character}" for character in continuing)}
    specials = {tokenizer.settings[name] for name in SPECIAL_TOKENS}
    assert set(tokenizer.vocab) - specials == expected


def test_vocabulary_errors():
    with pytest.raises(ValueError, match="5 special"):
        train_vocabulary(["word"], vocab_size=5)
    with pytest.raises(ValueError, match="no word"):
        train_vocabulary([" ", ""], vocab_size=60)
