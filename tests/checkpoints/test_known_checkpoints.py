"""Folders rebuilt from published facts open, or are refused, as the table says."""

import json
import re
import warnings

import pytest
import spacy
import torch
import transformers
from known_checkpoints import (
    BEGIN,
    LETTERS,
    PAGE,
    SPECIALS,
    config_of,
    known,
    rebuild,
    settings_of,
    table,
)

from spacy_electra.models import (
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
)
from spacy_electra.tokenization import ElectraTokenizer

ROWS = known()
OPEN = [name for name, row in ROWS.items() if row["refused"] is None]
WORDS = [name for name, row in ROWS.items() if "words" in (row["write"] or {})]
REFUSED = [name for name, row in ROWS.items() if row["refused"]]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """The rebuilt folder of a name, with thin weights."""
    folders = {}

    def make(name):
        if name not in folders:
            row = ROWS[name]
            folder = tmp_path_factory.mktemp("known") / "checkpoint"
            torch.manual_seed(0)
            config = ElectraConfig.from_dict(config_of(row))
            ElectraForPreTraining(config).save_pretrained(folder)
            folders[name] = rebuild(row, folder)
        return folders[name]

    return make


def test_the_page_has_the_table_of_the_facts():
    page = PAGE.read_text(encoding="utf8")
    told = page[page.index(BEGIN) + len(BEGIN) :]
    assert told.strip() == table(list(ROWS.values())).strip(), (
        "run `python tests/checkpoints/known_checkpoints.py`"
    )


def test_every_fact_has_a_source_or_is_said_to_have_none():
    for name, row in ROWS.items():
        assert row["models"] and row["sources"], name
        assert all(url.startswith("https://") for url in row["sources"].values()), name
        covered = " ".join([*row["sources"], *row["unconfirmed"]])
        for fact in ("vocab_size", "special_ids", "config", "tokenizer_config"):
            is_known = row[fact] is not None
            if fact == "special_ids":
                numbers = list(row[fact].values())
                assert (None in numbers) == ("ids" in " ".join(row["unconfirmed"])), (
                    name
                )
            elif fact == "vocab_size":
                assert is_known == ("vocab_size" not in row["unconfirmed"]), name
                assert not is_known or "vocab_size" in covered or row["config"], name
            elif is_known:
                assert fact in covered, (name, fact)


@pytest.mark.parametrize("name", [n for n, row in ROWS.items() if row["config"]])
def test_published_configs_give_the_sizes_of_the_table(name, tmp_path):
    row = ROWS[name]
    text = json.dumps(row["config"])
    (tmp_path / "config.json").write_text(text, encoding="utf8")
    config = ElectraConfig.from_pretrained(tmp_path)
    found = [config.embedding_size, config.hidden_size, config.num_hidden_layers]
    assert found in list(row["sizes"].values())
    assert config.vocab_size == row["vocab_size"]
    pad = row["special_ids"]["[PAD]"]
    assert config.pad_token_id == (0 if pad is None else pad)
    theirs = transformers.ElectraConfig(**row["config"])
    for key in ("hidden_dropout_prob", "hidden_act", "max_position_embeddings"):
        assert getattr(config, key) == getattr(theirs, key)


@pytest.mark.parametrize(
    ("name", "which"),
    [(n, w) for n, row in ROWS.items() for w in row["sizes"] if "generator" in w],
)
def test_generators_have_embeddings_of_another_width(name, which):
    embedding, width, layers = ROWS[name]["sizes"][which]
    config = ElectraConfig(
        vocab_size=ROWS[name]["vocab_size"],
        embedding_size=embedding,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
    )
    with torch.device("meta"):
        shapes = {
            k: tuple(v.shape)
            for k, v in ElectraForMaskedLM(config).state_dict().items()
        }
    (projection,) = (
        v for k, v in shapes.items() if k.endswith("embeddings_project.weight")
    )
    assert projection == (width, embedding)


@pytest.mark.parametrize("name", OPEN)
def test_tokenizers_open_as_the_table_says(name, folder_of):
    row, folder = ROWS[name], folder_of(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = ElectraTokenizer.from_pretrained(folder, **settings_of(row))
    assert ours.vocab_size == (row["vocab_size"] or ours.vocab_size)
    for piece, number in row["special_ids"].items():
        assert number is None or ours.vocab[piece] == number
    if row["lowercases"] is not None:
        assert (
            ours.normalize("É")
            == {
                (True, True): "e",
                (True, False): "é",
                (False, False): "É",
            }[row["lowercases"], row["strips_accents"]]
        )
    config = ElectraConfig.from_pretrained(folder)
    ours.check_fits(config.vocab_size, folder)
    text = LETTERS[row["language"]][1]
    assert ours.unk_token_id not in ours(text)["input_ids"]
    # Transformers finds its class by the same files.
    theirs = transformers.AutoTokenizer.from_pretrained(folder, use_fast=True)
    found, expected = (t(text, return_offsets_mapping=True) for t in (ours, theirs))
    assert found["input_ids"] == expected["input_ids"]
    assert found["offset_mapping"] == expected["offset_mapping"]
    assert [ours.vocab[piece] for piece in SPECIALS] == [
        theirs.convert_tokens_to_ids(piece) for piece in SPECIALS
    ]


@pytest.mark.parametrize("name", [n for n, row in ROWS.items() if row["example"]])
def test_published_examples_have_the_published_ids(name, folder_of):
    example = ROWS[name]["example"]
    tokenizer = ElectraTokenizer.from_pretrained(folder_of(name))
    assert tokenizer.tokenize(example["text"]) == example["pieces"]
    assert tokenizer(example["text"])["input_ids"] == [2, *example["ids"], 3]


@pytest.mark.parametrize("name", REFUSED)
def test_other_tokenizers_are_refused_with_the_code_of_the_table(name, folder_of):
    row, folder = ROWS[name], folder_of(name)
    with pytest.raises(ValueError, match=rf"\[{row['refused']}\]"):
        ElectraTokenizer.from_pretrained(folder)
    nlp = spacy.blank("xx")
    config = {"model": {"encoder": {"source": str(folder)}}}
    nlp.add_pipe("electra_rtd", config=config)
    with pytest.raises(ValueError, match=rf"\[{row['refused']}\]"):
        nlp("글")


@pytest.mark.parametrize("name", WORDS)
def test_words_of_spacy_open_what_another_program_cuts(name, folder_of):
    row, folder = ROWS[name], folder_of(name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tokenizer = ElectraTokenizer.from_pretrained(folder, **settings_of(row))
    codes = re.findall(r"SW\d+", " ".join(str(w.message) for w in caught))
    assert codes == ([row["warns"]] if row["warns"] else [])
    words = LETTERS[row["language"]][1].split()
    (encoding,) = tokenizer.encode_words([words])
    assert tokenizer.unk_token_id not in encoding.ids
    assert encoding.words.tolist() == sorted(encoding.words.tolist())


@pytest.mark.filterwarnings("ignore:.*SW148")
@pytest.mark.parametrize("name", [*OPEN, *WORDS])
def test_pipelines_run_on_what_opens(name, folder_of):
    row = ROWS[name]
    encoder = {"source": str(folder_of(name)), "precision": "fp32"}
    if settings_of(row):
        encoder["tokenizer_config"] = settings_of(row)
    nlp = spacy.blank("xx")
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": encoder}})
    doc = nlp(LETTERS[row["language"]][1])
    assert all(0.0 < token._.rtd_score < 1.0 for token in doc)


# What such folders have besides


@pytest.fixture
def korean(tmp_path):
    """The rebuilt folder of KoELECTRA v3, to be changed."""
    return rebuild(ROWS["KoELECTRA v3"], tmp_path / "korean")


TEXT = LETTERS["ko"][1]


def test_a_vocabulary_with_windows_ends_of_lines_has_the_same_ids(korean):
    before = ElectraTokenizer.from_pretrained(korean)
    file = korean / "vocab.txt"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert ElectraTokenizer.from_pretrained(korean).vocab == before.vocab


def test_pieces_that_come_twice_have_their_last_id_as_in_transformers(korean):
    file = korean / "vocab.txt"
    lines = file.read_text(encoding="utf8").split("\n")
    lines[30_000], lines[31_000] = lines[20], lines[21]
    file.write_bytes("\n".join(lines).encode("utf8"))
    ours = ElectraTokenizer.from_pretrained(korean)
    theirs = transformers.ElectraTokenizerFast.from_pretrained(korean)
    assert ours.vocab_size == 35_000
    for piece in (lines[20], lines[21]):
        assert ours.vocab[piece] == theirs.convert_tokens_to_ids(piece) >= 30_000


def test_without_tokenizer_config_case_is_ignored_as_in_transformers(korean):
    (korean / "tokenizer_config.json").unlink()
    ours = ElectraTokenizer.from_pretrained(korean)
    theirs = transformers.AutoTokenizer.from_pretrained(korean)
    assert ours(TEXT)["input_ids"] == theirs(TEXT)["input_ids"]
    # The letters of Hangul: accents go with the case.
    assert ours.normalize("É한") == "e\u1112\u1161\u11ab"
    again = ElectraTokenizer.from_pretrained(korean, do_lower_case=False)
    assert again.normalize("É한") == "É한"


@pytest.mark.parametrize(
    "kind",
    ["ElectraTokenizer", "ElectraTokenizerFast", "BertTokenizer", "BertTokenizerFast"],
)
@pytest.mark.parametrize("where", ["config", "tokenizer_config"])
def test_names_of_the_class_change_nothing(korean, kind, where):
    before = ElectraTokenizer.from_pretrained(korean)(TEXT)["input_ids"]
    file = korean / f"{where}.json"
    values = json.loads(file.read_text(encoding="utf8"))
    file.write_text(json.dumps({**values, "tokenizer_class": kind}), encoding="utf8")
    assert ElectraTokenizer.from_pretrained(korean)(TEXT)["input_ids"] == before


def test_a_class_of_files_opens_with_a_file_and_is_refused_without(korean):
    before = ElectraTokenizer.from_pretrained(korean)
    before.save_pretrained(korean)
    file = korean / "tokenizer_config.json"
    values = json.loads(file.read_text(encoding="utf8"))
    values["tokenizer_class"] = "PreTrainedTokenizerFast"
    file.write_text(json.dumps(values), encoding="utf8")
    assert ElectraTokenizer.from_pretrained(korean)(TEXT) == before(TEXT)
    (korean / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"\[SE132\].*PreTrainedTokenizerFast"):
        ElectraTokenizer.from_pretrained(korean)


def test_no_limit_of_length_is_written_as_a_huge_number(korean):
    file = korean / "tokenizer_config.json"
    text = (
        '{"do_lower_case": false, "model_max_length": 1000000000000000019884624838656}'
    )
    file.write_text(text, encoding="utf8")
    tokenizer = ElectraTokenizer.from_pretrained(korean)
    assert len(tokenizer(TEXT * 200, truncation=True)["input_ids"]) > 512


def test_a_table_of_embeddings_may_be_larger_than_the_vocabulary(korean):
    tokenizer = ElectraTokenizer.from_pretrained(korean)
    tokenizer.check_fits(35_008, korean)
    with pytest.raises(ValueError, match=r"\[SE144\].*34999 rows"):
        tokenizer.check_fits(34_999, korean)


def test_a_config_without_the_width_of_embeddings_is_one_coded_error(korean):
    torch.manual_seed(0)
    values = {**config_of(ROWS["KoELECTRA v3"]), "vocab_size": 99}
    ElectraForPreTraining(ElectraConfig.from_dict(values)).save_pretrained(korean)
    del values["embedding_size"]
    (korean / "config.json").write_text(json.dumps(values), encoding="utf8")
    with pytest.raises(ValueError, match=r"\[SE\d+\].*128"):
        ElectraForPreTraining.from_pretrained(korean)


def test_words_that_are_never_split_stay_whole(folder_of):
    tokenizer = ElectraTokenizer.from_pretrained(folder_of("AraELECTRA"))
    (word, *_) = ROWS["AraELECTRA"]["tokenizer_config"]["never_split"]
    assert tokenizer.tokenize(f"بتث {word} جحخ")[1:-1] == [word]


@pytest.mark.parametrize("name", ["Izumi lab", "Cinnamon"])
def test_japanese_words_are_refused_without_any_config_too(name, tmp_path):
    row = {**ROWS[name], "tokenizer_config": None, "config": None}
    folder = rebuild(row, tmp_path / "bare")
    with pytest.raises(ValueError, match=r"\[SE148\].*words = .spacy"):
        ElectraTokenizer.from_pretrained(folder)
    assert ElectraTokenizer.from_pretrained(folder, words="spacy").takes_words
    opened = ElectraTokenizer.from_pretrained(folder, tokenize_chinese_chars=False)
    assert "東京" in opened.tokenize("東京 東京都")


def normalizers(tmp_path, config):
    row = {**ROWS["Megagon Labs"], "tokenizer_config": config}
    folder = rebuild(row, tmp_path / "words")
    tokenizer = ElectraTokenizer.from_pretrained(folder, words="spacy")
    return [part["type"] for part in tokenizer.settings["normalizer"]["normalizers"]]


def test_words_are_normalized_as_their_own_class_does(tmp_path):
    theirs = {
        "tokenizer_class": "BertJapaneseTokenizer",
        "word_tokenizer_type": "mecab",
    }
    assert normalizers(tmp_path, theirs) == ["NFKC"]
    lower = {**theirs, "do_lower_case": True}
    assert normalizers(tmp_path, lower) == ["NFKC", "Lowercase"]
    as_is = {**theirs, "mecab_kwargs": {"normalize_text": False}}
    assert normalizers(tmp_path, as_is) == []
    # Those of SudachiTra leave text as it is, unless they are told otherwise.
    sudachi = {"tokenizer_class": "BertSudachipyTokenizer"}
    assert normalizers(tmp_path, sudachi) == []
    assert normalizers(tmp_path, {**sudachi, "do_nfkc": True}) == ["NFKC"]
    with pytest.warns(UserWarning, match=r"\[SW148\].*normalized"):
        normalizers(tmp_path, {**sudachi, "word_form_type": "normalized"})
