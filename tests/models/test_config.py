import json
from dataclasses import fields

import pytest
import transformers

from spacy_electra.models import ElectraConfig

DOCUMENTED = [
    "vocab_size",
    "embedding_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
    "layer_norm_eps",
    "summary_type",
    "summary_use_proj",
    "summary_activation",
    "summary_last_dropout",
    "position_embedding_type",
    "use_cache",
    "classifier_dropout",
    "is_decoder",
    "add_cross_attention",
]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_field_has_the_default_of_transformers(name):
    assert getattr(ElectraConfig(), name) == getattr(transformers.ElectraConfig(), name)


def test_config_json_round_trip_keeps_unknown_keys(tmp_path):
    values = {"hidden_size": 64, "num_attention_heads": 2, "something_new": [1, 2]}
    (tmp_path / "config.json").write_text(json.dumps(values))
    config = ElectraConfig.from_pretrained(tmp_path)
    assert config.hidden_size == 64
    config.save_pretrained(tmp_path / "copy")
    written = json.loads((tmp_path / "copy" / "config.json").read_text())
    assert written["something_new"] == [1, 2]
    assert written["model_type"] == "electra"
    assert ElectraConfig.from_pretrained(tmp_path / "copy") == ElectraConfig.from_dict(
        written | {"model_type": "electra"}
    )


def test_transformers_reads_our_config_and_we_read_theirs(tmp_path, small_config):
    small_config.save_pretrained(tmp_path)
    theirs = transformers.ElectraConfig.from_pretrained(tmp_path)
    for field in fields(ElectraConfig):
        if field.name != "extra":
            assert getattr(theirs, field.name) == getattr(small_config, field.name)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = ElectraConfig.from_pretrained(tmp_path / "theirs")
    assert ours.hidden_size == small_config.hidden_size


@pytest.mark.parametrize(
    ("name", "layers", "hidden", "embedding"),
    [("small", 12, 256, 128), ("base", 12, 768, 768), ("large", 24, 1024, 1024)],
)
def test_presets_are_those_of_the_paper(name, layers, hidden, embedding):
    config = ElectraConfig.preset(name)
    assert (config.num_hidden_layers, config.hidden_size, config.embedding_size) == (
        layers,
        hidden,
        embedding,
    )


def test_generator_is_narrower_with_all_layers_and_the_same_embeddings():
    config = ElectraConfig.preset("base")
    generator = config.generator(0.25)
    assert generator.hidden_size == 192
    assert generator.num_attention_heads == 3
    assert generator.intermediate_size == 768
    assert generator.num_hidden_layers == config.num_hidden_layers
    assert generator.embedding_size == config.embedding_size


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"hidden_size": 30, "num_attention_heads": 4}, ["num_attention_heads", "30"]),
        ({"hidden_act": "swoosh"}, ["hidden_act", "swoosh", "gelu"]),
        ({"num_hidden_layers": 0}, ["num_hidden_layers", "0"]),
        ({"hidden_dropout_prob": 1.5}, ["hidden_dropout_prob", "1.5"]),
        ({"position_embedding_type": "sine"}, ["position_embedding_type", "absolute"]),
        ({"pad_token_id": 99_999}, ["pad_token_id", "vocab_size"]),
    ],
)
def test_bad_value_is_an_error_that_names_it(changes, names):
    with pytest.raises(ValueError) as error:
        ElectraConfig(**changes)
    for name in names:
        assert name in str(error.value)


def test_unknown_preset_names_the_known_ones():
    with pytest.raises(ValueError, match="base"):
        ElectraConfig.preset("huge")
