"""What is wrong with a tokenizer's files is said; what is right keeps opening."""

import json
import os
import random
import re
import warnings

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from spacy_electra.tokenization import ElectraTokenizer
from spacy_electra.tokenization.folder import read_vocab, vocab_text

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "cat", "dog", "##s", "new", "##town", "café", "!", "[", "]"]


def write(folder, vocab=(*SPECIALS, *WORDS), **files):
    """A folder with a vocab.txt and JSON files, named without their ending."""
    folder.mkdir(exist_ok=True)
    text = "".join(f"{token}\n" for token in vocab)
    (folder / "vocab.txt").write_bytes(text.encode("utf8"))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf8")
    return folder


def opened(folder, vocab=(*SPECIALS, *WORDS), **files):
    return ElectraTokenizer.from_pretrained(write(folder, vocab, **files))


# Point 4: the lines of vocab.txt


@pytest.mark.parametrize(
    "character",
    ["\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\x1d", "\x1e", "\r", "a\rb", ""],
    ids=ascii,
)
def test_line_of_vocabulary_ends_at_line_feed_alone(tmp_path, character):
    tokenizer = opened(tmp_path, [*SPECIALS, "a", character, "dog"])
    assert tokenizer.vocab["dog"] == 7
    assert tokenizer.vocab[character] == 6
    tokenizer.save_pretrained(tmp_path / "again")
    (tmp_path / "again" / "tokenizer.json").unlink()
    again = ElectraTokenizer.from_pretrained(tmp_path / "again")
    assert again.vocab == tokenizer.vocab


def test_windows_ends_of_lines_and_mark_at_the_beginning_are_taken_off(tmp_path):
    text = "\ufeff" + "".join(f"{token}\r\n" for token in [*SPECIALS, "the", "dog"])
    (tmp_path / "vocab.txt").write_bytes(text.encode("utf8"))
    tokenizer = ElectraTokenizer.from_pretrained(tmp_path)
    assert list(tokenizer.vocab) == [*SPECIALS, "the", "dog"]
    # As someone leaves it who edits the last line elsewhere, without an end.
    (tmp_path / "vocab.txt").write_bytes(text.encode("utf8") + b"cat\nfish")
    tokenizer = ElectraTokenizer.from_pretrained(tmp_path)
    assert tokenizer("the dog cat fish").ids.tolist() == [2, 5, 6, 7, 8, 3]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), unique=True))
def test_vocabulary_comes_back_as_it_was_written(tmp_path_factory, tokens):
    tokens = [t for t in tokens if "\n" not in t and (t == "\r" or t[-1:] != "\r")]
    tokens = dict.fromkeys([*SPECIALS, *tokens])
    vocab = {token: number for number, token in enumerate(tokens)}
    file = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    file.write_bytes(vocab_text(vocab).encode("utf8"))
    assert read_vocab(file) == list(vocab)


def test_ids_stay_where_a_piece_can_not_stand_on_a_line(tmp_path):
    tokens = ["\n", "a\nb", "c\r", "dog"]
    vocab = {token: number for number, token in enumerate([*SPECIALS, *tokens])}
    file = tmp_path / "vocab.txt"
    file.write_bytes(vocab_text({**vocab, "last": 12}).encode("utf8"))
    lines = read_vocab(file)
    assert [lines.index(token) for token in ("dog", "last")] == [8, 12]
    assert len(set(lines)) == 13


# Point 5: added tokens, and ids beyond the table

ADDED = [
    {"content": "<e1>", "special": True},
    {"content": "newtown", "single_word": True, "normalized": False},
    {"content": "Covid", "normalized": True},
    {"content": "MIXED case", "normalized": False, "lstrip": True},
]
# As Transformers writes a special token with flags.
MASK = {"__type": "AddedToken", "content": "[MASK]", "lstrip": True}
ADDED_TEXT = (
    "The <e1>cat</e1>, newtown newtowns NEWTOWN, covidcat Covid COVID mixed case "
    "and  MIXED case! [MASK]s [PAD]"
)


def assert_as_transformers(ours, folder, text=ADDED_TEXT):
    theirs = transformers.ElectraTokenizerFast.from_pretrained(folder)
    options = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
    found, expected = ours(text, **options), theirs(text, **options)
    assert dict(found) == dict(expected)
    ids = expected["input_ids"]
    assert ours.decode(ids, True) == theirs.decode(
        ids, True, clean_up_tokenization_spaces=True
    )
    # Theirs leaves out special tokens that have no name.
    assert set(theirs.all_special_ids) <= set(ours.all_special_ids)
    assert len(ours) == len(theirs)


def test_added_tokens_of_transformers_stay_whole(tmp_path):
    theirs = transformers.ElectraTokenizerFast.from_pretrained(write(tmp_path))
    theirs.add_tokens([transformers.AddedToken(**token) for token in ADDED])
    special = {"additional_special_tokens": ["[URL]", "[unused]"]}
    theirs.add_special_tokens(special)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = ElectraTokenizer.from_pretrained(tmp_path / "theirs")
    assert ours.vocab_size == len(SPECIALS) + len(WORDS) + 6
    text = f"{ADDED_TEXT} [URL] [url] [unused]"
    assert_as_transformers(ours, tmp_path / "theirs", text)
    ours.save_pretrained(tmp_path / "ours")
    assert_as_transformers(ours, tmp_path / "ours", text)
    for again in (
        ElectraTokenizer.from_pretrained(tmp_path / "ours"),
        ElectraTokenizer.from_bytes(ours.to_bytes()),
    ):
        assert again(text) == ours(text)
        assert again.vocab == ours.vocab
        assert again.fingerprint == ours.fingerprint
    (tmp_path / "ours" / "tokenizer.json").unlink()
    assert ElectraTokenizer.from_pretrained(tmp_path / "ours")(text) == ours(text)


@pytest.mark.parametrize(
    "files",
    [
        {"added_tokens": {"<e1>": 15, "newtown": 16}},
        {"tokenizer_config": {"additional_special_tokens": ["<e1>", "cat"]}},
        {"special_tokens_map": {"additional_special_tokens": ["<e1>"]}},
        {
            "special_tokens_map": {"additional_special_tokens": ["<e1>"]},
            "added_tokens": {"newtown": 15, "<e1>": 16},
        },
        {
            "tokenizer_config": {
                "added_tokens_decoder": {
                    "15": {"content": "<e1>", "special": True, "normalized": False},
                    "16": {"content": "newtown", "single_word": True},
                }
            }
        },
        {"tokenizer_config": {"mask_token": MASK}},
        {"special_tokens_map": {"mask_token": {"content": "[MASK]", "rstrip": True}}},
    ],
    ids=lambda files: "+".join(files),
)
def test_added_tokens_beside_a_vocabulary_stay_whole(tmp_path, files):
    ours = opened(tmp_path, **files)
    assert_as_transformers(ours, tmp_path)


def test_added_token_with_a_gap_before_its_id_keeps_it(tmp_path):
    ours = opened(tmp_path, added_tokens={"<e1>": 40})
    assert ours("cat <e1>").ids.tolist() == [2, 6, 40, 3]
    assert ours.vocab_size == 41
    ours.save_pretrained(tmp_path / "again")
    again = ElectraTokenizer.from_pretrained(tmp_path / "again")
    assert again("cat <e1>").ids.tolist() == [2, 6, 40, 3]


def test_added_token_does_not_become_a_piece_of_other_words(tmp_path):
    vocab = [*SPECIALS, "o", "##m", "##e", "##l", "##t"]
    token = {"content": "om", "single_word": True, "normalized": False}
    config = {"added_tokens_decoder": {"10": token}}
    ours = opened(tmp_path, vocab, tokenizer_config=config)
    assert ours.tokenize("om omelet") == [
        *["om", "o", "##m", "##e", "##l", "##e", "##t"],
    ]


def test_added_tokens_that_contradict_the_vocabulary_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"\[SE135\].*'cat'.* 3, .* 6"):
        opened(tmp_path, added_tokens={"cat": 3})
    with pytest.raises(ValueError, match=r"\[SE136\].*'<e1>'.* 6, .*'cat'"):
        opened(tmp_path, added_tokens={"<e1>": 6})


def test_tokenizer_larger_than_the_table_is_an_error_with_names(tmp_path):
    ours = opened(tmp_path, added_tokens={"<e1>": 15, "<e2>": 99})
    ours.check_fits(100, "somewhere")
    named = r"\[SE144\].*somewhere.*2 pieces.*15 rows.*<e1>"
    with pytest.raises(ValueError, match=named):
        ours.check_fits(15, "somewhere")


# Point 6: tokenizers of another kind

JAPANESE = {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}


@pytest.mark.parametrize("file", ["tokenizer_config", "config"])
@pytest.mark.parametrize(
    ("content", "named"),
    [
        (JAPANESE, "mecab.*words = .spacy"),
        ({"word_tokenizer_type": "sudachi"}, "sudachi.*words = .spacy"),
        ({"word_tokenizer_type": "jumanpp"}, "jumanpp.*words = .spacy"),
        ({"tokenizer_class": "ElectraSudachipyTokenizer"}, "sudachi.*words = .spacy"),
        ({**JAPANESE, "subword_tokenizer_type": "character"}, "character"),
        ({**JAPANESE, "subword_tokenizer_type": "sentencepiece"}, "sentencepiece"),
        ({"spm_file": "spiece.model"}, "sentencepiece"),
        ({"tokenizer_class": "KoCharElectraTokenizer"}, "KoCharElectraTokenizer"),
        ({"tokenizer_class": "AlbertTokenizer"}, "AlbertTokenizer"),
        ({"tokenizer_class": "RobertaTokenizerFast"}, "RobertaTokenizerFast"),
        ({"auto_map": {"AutoTokenizer": ["own.OwnTokenizer", None]}}, "OwnTokenizer"),
    ],
    ids=str,
)
def test_other_kinds_are_refused_by_what_configs_say(tmp_path, file, content, named):
    with pytest.raises(ValueError, match=rf"\[SE13[23]\].*{named}"):
        opened(tmp_path, **{file: content})


@pytest.mark.parametrize(
    "content",
    [
        {"tokenizer_class": "ElectraTokenizerFast"},
        {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
        {"tokenizer_class": None},
        {},
    ],
    ids=str,
)
def test_kinds_of_wordpiece_open(tmp_path, content):
    ours = opened(tmp_path, tokenizer_config=content, config={"model_type": "electra"})
    assert ours.tokenize("the cats") == ["the", "cat", "##s"]


def test_basic_words_of_the_japanese_class_are_those_of_transformers(tmp_path):
    config = {"tokenizer_class": "BertJapaneseTokenizer"}
    vocab = [*SPECIALS, "東京", "京", "the", "The"]
    ours = opened(tmp_path, vocab, tokenizer_config=config)
    theirs = transformers.BertJapaneseTokenizer(str(tmp_path / "vocab.txt"))
    assert ours.tokenize("The 東京") == theirs.tokenize("The 東京") == ["The", "東京"]


def test_words_of_spacy_serve_where_another_program_cuts_words(tmp_path):
    vocab = [*SPECIALS, "東京", "##都", "に", "行く", "ガ"]
    write(tmp_path, vocab, tokenizer_config=JAPANESE)
    ours = ElectraTokenizer.from_pretrained(tmp_path, words="spacy")
    # Half-width letters become usual ones, as in that class.
    (encoding,) = ours.encode_words([["東京都", "に", "行く", "猫", "\uff76\uff9e"]])
    assert encoding.ids.tolist() == [5, 6, 7, 8, 1, 9]
    assert encoding.words.tolist() == [0, 0, 1, 2, 3, 4]
    assert encoding.offsets.tolist()[:2] == [[0, 2], [2, 3]]
    for call in (ours, ours.tokenize):
        with pytest.raises(ValueError, match=r"\[SE143\]"):
            call("東京都に行く")
    for call in (ours.encode_batch, ours.encode_ids):
        with pytest.raises(ValueError, match=r"\[SE143\]"):
            call(["東京都に行く"])
    ours.save_pretrained(tmp_path / "again")
    for again in (
        ElectraTokenizer.from_pretrained(tmp_path / "again"),
        ElectraTokenizer.from_bytes(ours.to_bytes()),
    ):
        assert again.encode_words([["東京都"]])[0].ids.tolist() == [5, 6]


KERAS = {"class_name": "Tokenizer", "config": {"num_words": None}}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (KERAS, "Tokenizer"),
        ({"model": {"type": "BPE", "vocab": {}, "merges": []}}, "BPE"),
        ({"model": {"vocab": {}, "merges": []}}, "BPE"),
        ({"model": {"type": "Unigram", "vocab": [["a", 0.0]]}}, "Unigram"),
        ({"model": {"type": "WordLevel", "vocab": {}}}, "WordLevel"),
        ({"model": {"type": "WordPiece", "vocab": None}}, "without a vocabulary"),
        ({"model": None}, "without a model"),
        ({}, "without a model"),
    ],
    ids=str,
)
def test_tokenizer_json_of_another_kind_is_refused(tmp_path, content, named):
    with pytest.raises(ValueError, match=rf"\[SE104\].*tokenizer\.json.*{named}"):
        opened(tmp_path, tokenizer=content)


def test_vocabularies_that_are_no_wordpiece_are_refused(tmp_path):
    characters = [chr(code) for code in range(0xAC00, 0xAC00 + 200)]
    with pytest.raises(ValueError, match=r"\[SE132\].*character"):
        opened(tmp_path, [*SPECIALS, *characters])
    marked = [f"▁{character}" for character in characters]
    with pytest.raises(ValueError, match=r"\[SE132\].*SentencePiece"):
        opened(tmp_path, [*SPECIALS, *marked])
    assert opened(tmp_path, [*SPECIALS, *characters, "##a"]).vocab_size == 206


def test_sentencepiece_alone_is_named(tmp_path):
    (tmp_path / "spiece.model").write_bytes(b"\n\x0e")
    with pytest.raises(ValueError, match=r"\[SE132\].*spiece\.model"):
        ElectraTokenizer.from_pretrained(tmp_path)


def test_other_ways_to_cut_words_are_those_of_the_file(tmp_path):
    backend = Tokenizer.from_str(opened(tmp_path / "plain").backend.to_str())
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace("new", "cat"), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path / "other"
    folder.mkdir()
    backend.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    ours = ElectraTokenizer.from_pretrained(folder)
    text = "\uff34\uff28\uff25 newtown café!! dogs"
    assert ours("newtown")["input_ids"] == [2, 6, 10, 3]
    assert_as_transformers(ours, folder, text)
    ours.save_pretrained(tmp_path / "ours")
    again = ElectraTokenizer.from_pretrained(tmp_path / "ours")
    assert again(text) == ours(text)
    assert ElectraTokenizer.from_bytes(ours.to_bytes())(text) == ours(text)


@pytest.mark.parametrize("kept", ["vocab.txt", "tokenizer.json"])
def test_settings_come_back_from_one_file(tmp_path, kept):
    folder = write(tmp_path / "all", tokenizer_config={"do_basic_tokenize": False})
    ElectraTokenizer.from_pretrained(folder).save_pretrained(folder)
    if kept == "tokenizer.json":
        (folder / "tokenizer_config.json").unlink()
    for name in {"vocab.txt", "tokenizer.json"} - {kept}:
        (folder / name).unlink()
    ours = ElectraTokenizer.from_pretrained(folder)
    assert ours.tokenize("the THE cats!") == ["the", "[UNK]", "[UNK]"]


# Point 8: nulls and truthy strings

FLAGS = [
    "do_lower_case",
    "do_basic_tokenize",
    "tokenize_chinese_chars",
    "strip_accents",
    "clean_text",
    "clean_up_tokenization_spaces",
    "split_special_tokens",
]


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", ["false", "true", "", 2, [], {}], ids=repr)
def test_truthy_strings_are_not_booleans(tmp_path, name, value):
    named = rf"\[SE131\].*tokenizer_config\.json: {name} must be true or false"
    with pytest.raises(ValueError, match=named):
        opened(tmp_path, tokenizer_config={name: value})
    with pytest.raises(ValueError, match=rf"\[SE131\].*{name} must be true or false"):
        ElectraTokenizer({t: n for n, t in enumerate(SPECIALS)}, **{name: value})


def test_null_is_the_default(tmp_path):
    plain = opened(tmp_path / "plain")
    nulls = dict.fromkeys([*plain.settings, "additional_special_tokens", "max_len"])
    found = opened(tmp_path / "nulls", tokenizer_config=nulls, special_tokens_map=nulls)
    assert found.settings == plain.settings
    plain.save_pretrained(tmp_path / "file")
    content = json.loads((tmp_path / "file" / "tokenizer.json").read_text())
    content["normalizer"].update(lowercase=None, clean_text=None, strip_accents=None)
    content["added_tokens"] = content["post_processor"] = None
    content["model"].update(max_input_chars_per_word=None, unk_token=None, type=None)
    found = opened(tmp_path / "file", tokenizer=content, tokenizer_config=nulls)
    assert found.settings == plain.settings


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"mask_token": 4}, "mask_token"),
        ({"mask_token": ""}, "mask_token"),
        ({"mask_token": "[HIDE]"}, r"\[HIDE\]"),
        ({"never_split": "the"}, "never_split"),
        ({"model_max_length": "512"}, "model_max_length"),
        ({"model_max_length": 0}, "model_max_length"),
        ({"model_max_length": float("nan")}, "model_max_length"),
        ({"padding_side": "top"}, "padding_side"),
        ({"added_tokens_decoder": ["<e1>"]}, "added_tokens_decoder"),
        ({"added_tokens_decoder": {"x": {"content": "<e1>"}}}, "added_tokens"),
        ({"added_tokens_decoder": {"15": {"special": True}}}, "added_tokens"),
        ({"additional_special_tokens": "<e1>"}, "additional_special_tokens"),
        ({"additional_special_tokens": [3]}, "added_tokens"),
        ({"words": "mine"}, "words"),
    ],
    ids=str,
)
def test_settings_that_can_not_be_are_named(tmp_path, content, named):
    with pytest.raises(ValueError, match=rf"\[SE1[03]\d\].*{tmp_path.name}.*{named}"):
        opened(tmp_path, tokenizer_config=content)


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "tokenizer.json",
        "config.json",
        "vocab.txt",
    ],
)
@pytest.mark.parametrize(
    "kind", ["cut", "bytes", "list", "deep", "pipe", "folder", "link"]
)
def test_broken_files_are_named(tmp_path, name, kind):
    write(tmp_path)
    file = tmp_path / name
    file.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "link":
        file.symlink_to(tmp_path / "nowhere")
    else:
        content = {
            "cut": b'{"a": ',
            "bytes": b'{"a": "\xff\xfe"}',
            "list": b"[1, 2]",
            "deep": b"[" * 100_000,
        }[kind]
        file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"\[SE1\d\d\].*{tmp_path.name}"):
        ElectraTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "vocab",
    [
        {"a": -1},
        {"a": 1.5},
        {"a": True},
        {"a": "7"},
        {"a": None},
        {"a": 10**12},
        {"\ud800": 7},
    ],
    ids=ascii,
)
def test_ids_that_are_none_are_named(tmp_path, vocab):
    vocab = {**{token: n for n, token in enumerate(SPECIALS)}, **vocab}
    content = {"model": {"type": "WordPiece", "vocab": vocab}}
    with pytest.raises(ValueError, match=rf"\[SE13[04]\].*{tmp_path.name}"):
        opened(tmp_path, tokenizer=content)


def test_parts_that_the_library_does_not_know_are_named(tmp_path):
    vocab = {token: n for n, token in enumerate(SPECIALS)}
    content = {
        "model": {"type": "WordPiece", "vocab": vocab},
        "normalizer": {"type": "Custom"},
    }
    with pytest.raises(ValueError, match=r"\[SE130\].*tokenizer\.json"):
        opened(tmp_path, tokenizer=content)


# Point 18: what is right keeps opening


def test_old_name_of_the_longest_length_counts(tmp_path):
    assert opened(tmp_path, tokenizer_config={"max_len": 77}).model_max_length == 77
    both = {"max_len": 77, "model_max_length": 99}
    assert opened(tmp_path, tokenizer_config=both).model_max_length == 99


@pytest.mark.parametrize("length", [1e30, 10**30, int(1e30)])
def test_endless_length_is_none(tmp_path, length):
    ours = opened(tmp_path, tokenizer_config={"model_max_length": length})
    theirs = transformers.ElectraTokenizerFast.from_pretrained(tmp_path)
    long = "the cats " * 600
    assert dict(ours(long, truncation=True)) == dict(theirs(long, truncation=True))
    ours.save_pretrained(tmp_path)
    again = transformers.ElectraTokenizerFast.from_pretrained(tmp_path)
    assert len(again(long, truncation=True)["input_ids"]) == 1802


@pytest.mark.parametrize("lower", [True, False])
def test_german_umlauts_stay_where_the_config_says_so(tmp_path, lower):
    vocab = [*SPECIALS, "grüße", "grusse", "grüsse", "Grüße", "ü"]
    config = {"strip_accents": False, "do_lower_case": lower}
    ours = opened(tmp_path, vocab, tokenizer_config=config)
    assert ours.tokenize("Grüße") == ["grüße" if lower else "Grüße"]
    assert_as_transformers(ours, tmp_path, "Grüße, ü Ü [MASK]")


def test_special_ids_at_the_beginning_are_those_of_the_file(tmp_path):
    config = {"do_lower_case": False, "model_max_length": 512}
    ours = opened(tmp_path, [*SPECIALS, "한국어", "##로"], tokenizer_config=config)
    ids = [getattr(ours, f"{n}_token_id") for n in ("pad", "unk", "cls", "sep", "mask")]
    assert ids == [0, 1, 2, 3, 4]
    assert ours("한국어로 [MASK]").ids.tolist() == [2, 5, 6, 4, 3]


def test_list_of_words_never_split_may_have_others(tmp_path):
    config = {"never_split": ["cat", "UNknown"]}
    with pytest.warns(UserWarning, match=r"\[SW130\].*'UNknown'"):
        ours = opened(tmp_path, tokenizer_config=config)
    assert ours.settings["never_split"] == ["cat"]


def test_byte_order_marks_of_json_files_are_taken_off(tmp_path):
    write(tmp_path)
    config = '\ufeff{"do_lower_case": false}'
    (tmp_path / "tokenizer_config.json").write_text(config, encoding="utf8")
    assert ElectraTokenizer.from_pretrained(tmp_path).tokenize("THE") == ["[UNK]"]


def test_writing_leaves_a_whole_file_or_the_old_one(tmp_path, monkeypatch):
    ours = opened(tmp_path)
    before = (tmp_path / "vocab.txt").read_bytes()

    def fail(*arguments):
        raise OSError("the disk is full")

    monkeypatch.setattr(type(tmp_path), "replace", fail)
    with pytest.raises(OSError, match="full"):
        ours.save_pretrained(tmp_path)
    assert (tmp_path / "vocab.txt").read_bytes() == before


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"vocab": {}}',
        b'{"vocab": 3, "settings": {}}',
        b'{"vocab": {"a": "b"}, "settings": {}}',
        b'{"vocab": {"a": 1}, "settings": {"do_lower_case": "no"}}',
        b'{"vocab": {"a": 1}, "settings": {}}',
    ],
    ids=ascii,
)
def test_bytes_that_are_no_tokenizer_are_named(data):
    with pytest.raises(ValueError, match=r"\[SE1\d\d\]"):
        ElectraTokenizer.from_bytes(data)


ODD = [None, True, "", "false", "[UNK]", -1, 10**30, 1.5, [], ["a"], {}, {"a": 1}]


def places(content, path=()):
    """Ways to all values inside of a JSON object."""
    inside = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in inside:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def damaged(rng, data, is_json):
    """A file that was cut, had bytes changed or put in, or has another value in it."""
    if is_json and rng.random() < 0.7:
        content = json.loads(data)
        *path, key = rng.choice(list(places(content)))
        inner = content
        for step in path:
            inner = inner[step]
        if rng.random() < 0.3:
            del inner[key]
        else:
            inner[key] = rng.choice(ODD)
        return json.dumps(content).encode("utf8")
    place = rng.randrange(len(data))
    end = place + rng.randrange(4)
    return rng.choice(
        [
            data[:place],
            data[:place] + rng.randbytes(end - place) + data[end:],
            data[:place] + rng.randbytes(3) + data[place:],
            data[:place] + data[end:],
        ]
    )


def test_damaged_tokenizers_open_or_give_one_coded_error(tmp_path):
    rng = random.Random(7)
    tokens = {"added_tokens_decoder": {"15": ADDED[0], "16": ADDED[1]}}
    opened(tmp_path, tokenizer_config=tokens).save_pretrained(tmp_path)
    extra = {"additional_special_tokens": ["<e1>"], "mask_token": MASK}
    write(tmp_path, special_tokens_map=extra, added_tokens={"<e1>": 15})
    whole = {file: file.read_bytes() for file in sorted(tmp_path.iterdir())}
    refused = 0
    for _ in range(int(os.environ.get("SPACY_ELECTRA_FUZZ", "500"))):
        file = rng.choice(list(whole))
        file.write_bytes(damaged(rng, whole[file], file.suffix == ".json"))
        if file.name == "vocab.txt":
            (tmp_path / "tokenizer.json").unlink(missing_ok=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ours = ElectraTokenizer.from_pretrained(tmp_path)
                ours(ADDED_TEXT)
                ElectraTokenizer.from_bytes(ours.to_bytes())
        except ValueError as error:
            refused += 1
            assert re.match(r"\[SE1\d\d\]", str(error)), file.read_bytes()
            assert tmp_path.name in str(error), error
        for changed in {file, tmp_path / "tokenizer.json"}:
            changed.write_bytes(whole[changed])
    assert refused
