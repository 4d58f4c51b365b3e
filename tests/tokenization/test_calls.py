"""Calls of the tokenizer against ElectraTokenizerFast of Transformers, same files."""

import copy
import pickle
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
import transformers

from spacy_electra.models import ElectraConfig, ElectraModel
from spacy_electra.tokenization import ElectraTokenizer

QUESTION = "Who cooked the meal, and where?"
CONTEXT = (
    "The chef of the unaffable Grand Hôtel cooked it in 1905; physicists still "
    "read about it today, in a language that nobody speaks any more."
)
TEXTS = [QUESTION, CONTEXT, "", "café [MASK] 東京"]
SHORT = ["one", "two of them", "three, they say, are more"]


@pytest.fixture(scope="module")
def theirs(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return transformers.ElectraTokenizerFast.from_pretrained(folder)


def assert_equal(ours, expected):
    assert list(ours) == list(expected)
    for name, value in expected.items():
        found = ours[name]
        assert type(found) is type(value), name
        if isinstance(value, list):
            assert found == value, name
        else:
            assert found.dtype == value.dtype, name
            assert np.array_equal(np.asarray(found), np.asarray(value)), name


EVERYTHING = {
    "return_offsets_mapping": True,
    "return_special_tokens_mask": True,
    "return_length": True,
}


@pytest.mark.parametrize(
    "options",
    [
        {},
        EVERYTHING,
        {"add_special_tokens": False},
        {"padding": True, **EVERYTHING},
        {"padding": "longest", "pad_to_multiple_of": 8},
        {"padding": "max_length", "max_length": 60},
        {"padding": "max_length", "truncation": True},
        {"padding": True, "truncation": True, "max_length": 16, **EVERYTHING},
        {"padding": "max_length", "truncation": "only_first", "max_length": 12},
        {"truncation": "longest_first", "max_length": 9},
        {"truncation": True, "max_length": 9, "add_special_tokens": False},
        {"return_token_type_ids": False, "return_attention_mask": False},
        {"padding": True, "return_tensors": "pt", **EVERYTHING},
        {"padding": True, "return_tensors": "np", "padding_side": "left"},
    ],
    ids=str,
)
@pytest.mark.parametrize("pairs", [None, [CONTEXT, QUESTION, "only this", ""]])
def test_lists_equal_transformers(tokenizer, theirs, options, pairs):
    if options.get("truncation") == "only_first" and pairs:
        pairs = ["it", "is", "only", "so"]
    assert_equal(tokenizer(TEXTS, pairs, **options), theirs(TEXTS, pairs, **options))


@pytest.mark.parametrize("pair", [None, CONTEXT])
@pytest.mark.parametrize(
    "options",
    [
        {},
        EVERYTHING,
        {"add_special_tokens": False, **EVERYTHING},
        {"truncation": True, "max_length": 14},
        {"return_tensors": "pt"},
        {"return_tensors": "np", "padding": "max_length", "max_length": 64},
    ],
    ids=str,
)
def test_one_text_equals_transformers(tokenizer, theirs, options, pair):
    assert_equal(
        tokenizer(QUESTION, pair, **options), theirs(QUESTION, pair, **options)
    )


def test_every_way_to_truncate_equals_transformers(tokenizer, theirs):
    rng = random.Random(0)
    words = ["the", "chef", "cooked", "a", "meal", "for", "guests"]
    for _ in range(300):
        first, second = (
            " ".join(rng.choices(words, k=rng.randrange(1, 12))) for _ in range(2)
        )
        options = {
            "truncation": rng.choice(["longest_first", "only_first", "only_second"]),
            "max_length": rng.randrange(4, 24),
            "add_special_tokens": rng.random() < 0.8,
        }
        try:
            expected = theirs(first, second, **options)
        except BaseException as error:
            # Their library panics where nothing of a text would be left.
            assert "too short" in str(error)
            with pytest.raises(ValueError, match=r"\[SE139\]"):
                tokenizer(first, second, **options)
        else:
            assert_equal(tokenizer(first, second, **options), expected)


@pytest.mark.parametrize("stride", [0, 3])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("by", ["only_second", "only_first", "longest_first"])
def test_rows_of_what_overflows_equal_transformers(tokenizer, theirs, stride, side, by):
    options = {
        "truncation": by,
        "max_length": 22,
        "stride": stride,
        "return_overflowing_tokens": True,
        "padding": True,
        **EVERYTHING,
    }
    ours, other = copy.deepcopy(tokenizer), copy.deepcopy(theirs)
    ours.settings["truncation_side"] = other.truncation_side = side
    inputs = {
        "only_second": ([QUESTION, "Why?"], [CONTEXT, CONTEXT]),
        "only_first": ([CONTEXT, CONTEXT], [QUESTION, "Why?"]),
        "longest_first": (TEXTS, None),
    }[by]
    assert_equal(ours(*inputs, **options), other(*inputs, **options))
    one = [part if part is None else part[0] for part in inputs]
    assert_equal(ours(*one, **options), other(*one, **options))


def test_words_equal_transformers(tokenizer, theirs):
    words = [["Who", "cooked", "unaffable", "don't", ""], [], ["東京", "x"]]
    options = {"is_split_into_words": True, "padding": True, **EVERYTHING}
    ours, other = tokenizer(words, **options), theirs(words, **options)
    assert_equal(ours, other)
    for row in range(len(words)):
        assert ours.word_ids(row) == other.word_ids(row)
    assert_equal(
        tokenizer(words[0], words[2], is_split_into_words=True),
        theirs(words[0], words[2], is_split_into_words=True),
    )


def test_rows_tell_their_words_texts_and_pieces(tokenizer, theirs):
    options = {"padding": True, "truncation": True, "max_length": 30}
    ours = tokenizer(TEXTS, [*SHORT, "four"], **options)
    other = theirs(TEXTS, [*SHORT, "four"], **options)
    for row in range(len(TEXTS)):
        assert ours.word_ids(row) == other.word_ids(row)
        assert ours.sequence_ids(row) == other.sequence_ids(row)
        assert ours.tokens(row) == other.tokens(row)
    assert tokenizer(QUESTION).tokens() == theirs(QUESTION).tokens()


def test_list_of_pairs_is_two_lists(tokenizer):
    pairs = [(QUESTION, CONTEXT), ("a", "b")]
    expected = tokenizer([QUESTION, "a"], [CONTEXT, "b"])
    assert tokenizer(pairs) == expected


def test_model_takes_what_a_call_gives(tokenizer):
    config = ElectraConfig.preset(
        "tiny", vocab_size=tokenizer.vocab_size, num_hidden_layers=1
    )
    model = ElectraModel(config).eval()
    with torch.no_grad():
        together = model(**tokenizer(TEXTS, return_tensors="pt", padding=True))
        for row, text in enumerate(TEXTS):
            alone = model(**tokenizer(text, return_tensors="pt"))
            length = len(tokenizer(text)["input_ids"])
            assert torch.allclose(
                together.last_hidden_state[row, :length],
                alone.last_hidden_state[0],
                atol=1e-5,
            )


def test_keys_are_attributes_and_arrays_of_one_text(tokenizer):
    one = tokenizer(QUESTION)
    assert one.input_ids == one["input_ids"] == one.ids.tolist()
    assert one.attention_mask == [1] * len(one.ids)
    assert one.offsets.shape == (len(one.ids), 2)
    assert one.token_type_ids.tolist() == one["token_type_ids"]
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert batch.input_ids is batch["input_ids"]
    with pytest.raises(AttributeError):
        batch.ids  # noqa: B018
    assert batch.to("cpu")["input_ids"].device.type == "cpu"
    batch["labels"] = torch.zeros(4)
    assert batch.pop("labels").shape == (4,)


def test_what_a_call_gives_can_be_copied_and_pickled(tokenizer):
    batch = tokenizer(TEXTS)
    for again in (pickle.loads(pickle.dumps(batch)), copy.deepcopy(batch)):
        assert again == batch
        assert again.word_ids(1) == batch.word_ids(1)


def test_encode_equals_transformers(tokenizer, theirs):
    assert tokenizer.encode(QUESTION) == theirs.encode(QUESTION)
    assert tokenizer.encode(QUESTION, CONTEXT, truncation=True, max_length=9) == (
        theirs.encode(QUESTION, CONTEXT, truncation=True, max_length=9)
    )
    plain = {"add_special_tokens": False}
    assert tokenizer.encode(QUESTION, **plain) == theirs.encode(QUESTION, **plain)
    found = tokenizer.encode(QUESTION, return_tensors="pt")
    assert torch.equal(found, theirs.encode(QUESTION, return_tensors="pt"))


def test_batch_decode_equals_transformers(tokenizer, theirs):
    ids = tokenizer(TEXTS)["input_ids"]
    for clean in (True, False):
        assert tokenizer.batch_decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=clean
        ) == theirs.batch_decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=clean
        )
    assert tokenizer.decode(ids[0][1]) == theirs.decode(ids[0][1])


def test_pad_equals_transformers(tokenizer, theirs):
    rows = [dict(tokenizer(text)) for text in SHORT]
    for options in (
        {},
        {"padding": "max_length", "max_length": 12, "return_tensors": "np"},
        {"pad_to_multiple_of": 8, "return_tensors": "pt"},
        {"padding_side": "left"},
        {"padding": False},
    ):
        assert_equal(tokenizer.pad(rows, **options), theirs.pad(rows, **options))
    columns = {"input_ids": [row["input_ids"] for row in rows]}
    assert_equal(tokenizer.pad(columns), theirs.pad(columns))
    arrays = [{"input_ids": np.array(row["input_ids"])} for row in rows]
    assert_equal(tokenizer.pad(arrays), theirs.pad(arrays))
    one = {"input_ids": [2, 7, 3]}
    options = {"padding": "max_length", "max_length": 5}
    assert_equal(tokenizer.pad(one, **options), theirs.pad(one, **options))


def test_collators_of_transformers_take_the_tokenizer(tokenizer, theirs):
    rows = [{**tokenizer(text), "label": n} for n, text in enumerate(SHORT)]
    ours = transformers.DataCollatorWithPadding(tokenizer)(rows)
    assert_equal(ours, transformers.DataCollatorWithPadding(theirs)(rows))


def test_size_and_names_equal_transformers(tokenizer, theirs):
    assert len(tokenizer) == len(theirs)
    assert tokenizer.get_vocab() == theirs.get_vocab()
    assert tokenizer.all_special_ids == sorted(theirs.all_special_ids)
    assert sorted(tokenizer.all_special_tokens) == sorted(theirs.all_special_tokens)
    for name in ("unk", "sep", "pad", "cls", "mask"):
        assert getattr(tokenizer, f"{name}_token") == getattr(theirs, f"{name}_token")
    assert tokenizer.model_max_length == theirs.model_max_length
    assert tokenizer.num_special_tokens_to_add() == theirs.num_special_tokens_to_add()
    assert tokenizer.num_special_tokens_to_add(pair=True) == 3
    assert tokenizer.convert_tokens_to_ids("the") == theirs.convert_tokens_to_ids("the")
    assert tokenizer.convert_ids_to_tokens(7) == theirs.convert_ids_to_tokens(7)
    ids = tokenizer(QUESTION)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids, skip_special_tokens=True) == (
        theirs.convert_ids_to_tokens(ids, skip_special_tokens=True)
    )


def test_length_alone_cuts_with_a_warning(tokenizer, theirs):
    with pytest.warns(UserWarning, match=r"\[SW131\]"):
        found = tokenizer(CONTEXT, max_length=9)
    assert found["input_ids"] == theirs(CONTEXT, max_length=9)["input_ids"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = tokenizer(CONTEXT, max_length=9, truncation=False)
    assert len(whole["input_ids"]) > 9


def test_unpadded_rows_make_no_tensor(tokenizer):
    with pytest.raises(ValueError, match=r"padding = True"):
        tokenizer(SHORT, return_tensors="pt")


@pytest.mark.parametrize(
    ("arguments", "options", "named"),
    [
        ((TEXTS, ["one"]), {}, "4 texts came with 1"),
        ((TEXTS, "one"), {}, "two lists"),
        ((None,), {}, "NoneType"),
        ((["a", 3],), {}, "int"),
        (("half \ud800",), {}, "surrogate"),
        ((["fine", "half \udfff"],), {}, "surrogate"),
        (("a",), {"return_tensors": "tf"}, "'pt', 'np'"),
        (("a",), {"padding": "left"}, "max_length"),
        (("a",), {"truncation": "first"}, "only_first"),
        (
            ([TEXTS[1]] * 2, [TEXTS[1]] * 2),
            OVERFLOW := {
                "truncation": True,
                "max_length": 20,
                "return_overflowing_tokens": True,
            },
            "only_second",
        ),
        ((TEXTS,), {**OVERFLOW, "stride": 18}, "smaller stride"),
        ((TEXTS,), {"truncation": True, "max_length": 1}, "max_length"),
    ],
)
def test_bad_calls_are_named(tokenizer, arguments, options, named):
    with pytest.raises(ValueError, match=rf"\[SE1[34]\d\].*{named}"):
        tokenizer(*arguments, **options)


def test_rows_without_pieces_are_named(tokenizer):
    with pytest.raises(ValueError, match="labels"):
        tokenizer.pad([{"labels": 1}])


def test_lists_and_arrays_need_no_torch(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    code = (
        "import sys\n"
        "from spacy_electra.tokenization.wordpiece import ElectraTokenizer\n"
        "tokenizer = ElectraTokenizer.from_pretrained(sys.argv[1])\n"
        "tokenizer(['a', 'b c'], padding=True, return_tensors='np')\n"
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.check_output(command, text=True).strip() == "False"


def test_empty_list_has_no_rows(tokenizer):
    assert tokenizer([])["input_ids"] == []
    empty = tokenizer([], return_tensors="np", padding=True)["input_ids"]
    assert empty.shape == (0,)


def test_no_limit_means_no_cut(tokenizer):
    endless = ElectraTokenizer(tokenizer.vocab, model_max_length=1e30)
    long = "the " * 2000
    assert len(endless(long, truncation=True)["input_ids"]) == 2002
    assert len(tokenizer(long, truncation=True)["input_ids"]) == 256
