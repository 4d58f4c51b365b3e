import json

import pytest

from spacy_electra.exchange import writing
from spacy_electra.hub.files import (
    CONFIG_NAME,
    GENERATOR_FOLDER,
    TOKENIZER_FILES,
    wanted_files,
    with_parts,
)
from spacy_electra.tokenization import folder

TOKENIZER = ["tokenizer.json", "vocab.txt", "tokenizer_config.json"]
EVERYTHING = [
    "config.json",
    *TOKENIZER,
    "model.safetensors",
    "pytorch_model.bin",
    "flax_model.msgpack",
    "tf_model.h5",
    "LICENSE",
    "NOTICE.txt",
    "README.md",
    "calibration.json",
    "generation_config.json",
    "generator/config.json",
    "generator/model.safetensors",
    "generator/pytorch_model.bin",
    "generator/README.md",
    "training_args.bin",
    "optimizer.pt",
    "modeling_own.py",
    "onnx/model.onnx",
    "checkpoint-500/model.safetensors",
    ".gitattributes",
]
PAPERS = {"LICENSE", "NOTICE.txt", "calibration.json"}
WITH_PAPERS = {"config.json", *TOKENIZER, *PAPERS, "model.safetensors"}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("config", {"config.json"}),
        ("tokenizer", {"config.json", *TOKENIZER}),
        ("model", {"config.json", "model.safetensors"}),
        ("checkpoint", WITH_PAPERS),
        (
            "all",
            WITH_PAPERS
            | {"README.md", "generation_config.json"}
            | {"generator/config.json", "generator/model.safetensors"},
        ),
    ],
)
def test_what_is_asked_for_says_which_files_are_fetched(wanted, expected):
    found = wanted_files(EVERYTHING, wanted)
    assert set(found) == expected
    assert len(found) == len(expected)


def test_weights_come_last_so_that_they_tell_that_the_rest_is_there():
    found = wanted_files(EVERYTHING, "all")
    assert set(found[-2:]) == {"generator/model.safetensors", "model.safetensors"}


@pytest.mark.parametrize(
    "weights",
    [
        ["pytorch_model.bin"],
        ["flax_model.msgpack"],
        ["tf_model.h5"],
        ["model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors"],
        ["electra_small.index", "electra_small.data-00000-of-00001"],
    ],
)
def test_every_format_of_weights_is_fetched(weights):
    found = wanted_files(["config.json", "vocab.txt", *weights], "model")
    assert sorted(found) == sorted(["config.json", *weights])


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "/model.safetensors",
        "model-/../../../x.safetensors",
        "generator/../../model.safetensors",
        "..\\model-1.safetensors",
        "model-..\\..\\x.safetensors",
        "C:model-1.safetensors",
        "model-\n.safetensors",
        "model-\0.safetensors",
        ".index",
        "..index",
        "LICENSE/../../x",
    ],
)
def test_names_that_could_lead_out_of_the_folder_are_never_chosen(name):
    index = "model.safetensors.index.json"
    assert name not in wanted_files(["config.json", index, name], "all")


def test_a_sentencepiece_file_is_fetched_only_where_it_tells_the_kind():
    assert "spiece.model" in wanted_files(["config.json", "spiece.model"], "tokenizer")
    names = ["config.json", "spiece.model", "vocab.txt"]
    assert "spiece.model" not in wanted_files(names, "tokenizer")


def test_an_index_says_which_parts_are_fetched():
    index = "model.safetensors.index.json"
    names = ["config.json", index, "model-1.safetensors", "model-old.safetensors"]
    content = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "other.st"}})
    found = with_parts(names, index, content.encode())
    assert found == ["config.json", index, "model-1.safetensors", "other.st"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"weight_map": 1}', b"[" * 100_000])
def test_a_broken_index_changes_nothing(content):
    index = "model.safetensors.index.json"
    names = ["config.json", index, "model-1.safetensors"]
    assert with_parts(names, index, content) == names


def test_files_of_the_tokenizer_are_those_that_it_reads():
    assert set(TOKENIZER_FILES) == {
        folder.VOCAB,
        folder.TOKENIZER,
        folder.SETTINGS,
        folder.SPECIAL_TOKENS_MAP,
        folder.ADDED_TOKENS,
    }
    assert folder.MODEL_CONFIG == CONFIG_NAME
    assert writing.GENERATOR == GENERATOR_FOLDER
