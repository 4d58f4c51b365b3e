"""Folders of every class open whole in Transformers, and theirs open here."""

import json

import pytest
import torch
import transformers
from counterparts import TOLERANCE, ids_for

from spacy_electra.exchange.classes import CLASSES, class_of
from spacy_electra.exchange.writing import write_folder
from spacy_electra.models import (
    ElectraForCausalLM,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    ElectraForSequenceClassification,
    ElectraForTokenClassification,
    ElectraModel,
)
from spacy_electra.tokenization import ElectraTokenizer

LABELLED = (ElectraForSequenceClassification, ElectraForTokenClassification)
LABELS = ("bad", "fair", "good")


def first(model, ids):
    with torch.no_grad():
        output = model(ids)
    return output[0] if isinstance(output, tuple) else output.to_tuple()[0]


@pytest.fixture
def config(small_config, tokenizer):
    return small_config.changed(vocab_size=tokenizer.vocab_size)


@pytest.mark.parametrize("name", CLASSES)
def test_a_folder_is_whole_on_both_sides(name, config, tokenizer, tmp_path):
    cls = CLASSES[name]
    if cls in LABELLED:
        config = config.with_labels(LABELS, "single_label_classification")
    torch.manual_seed(0)
    network = cls(config).eval()
    write_folder(tmp_path / "ours", network, tokenizer)
    theirs_class = getattr(transformers, name)
    theirs, report = theirs_class.from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    ids = ids_for(cls)
    torch.testing.assert_close(
        first(theirs.eval(), ids), first(network, ids), **TOLERANCE
    )
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    text = "The chef cooked the meal."
    assert auto(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert auto.model_max_length == config.max_position_embeddings
    theirs.save_pretrained(tmp_path / "theirs")
    auto.save_pretrained(tmp_path / "theirs")
    # The same files are there, but for those of tokenizers that ours does without.
    written = {file.name for file in (tmp_path / "theirs").iterdir()}
    ours = {file.name for file in (tmp_path / "ours").iterdir()}
    assert written - ours == {"special_tokens_map.json"}
    assert class_of(tmp_path / "theirs") is cls
    again, report = cls.from_pretrained_with_report(tmp_path / "theirs")
    assert report.newly_initialized == report.left_over == ()
    assert torch.equal(first(again, ids), first(network, ids))
    back = ElectraTokenizer.from_pretrained(tmp_path / "theirs")
    assert back(text)["input_ids"] == tokenizer(text)["input_ids"]
    if cls in LABELLED:
        assert theirs.config.id2label == dict(enumerate(LABELS))
        assert again.config.labels == LABELS
        assert again.config.problem_type == "single_label_classification"


def test_generate_of_transformers_knows_the_special_pieces(config, tokenizer, tmp_path):
    torch.manual_seed(0)
    network = ElectraForCausalLM(config).eval()
    write_folder(tmp_path, network, tokenizer)
    theirs = transformers.ElectraForCausalLM.from_pretrained(tmp_path)
    settings = theirs.generation_config
    assert settings.eos_token_id == tokenizer.sep_token_id
    assert settings.bos_token_id == tokenizer.cls_token_id
    assert settings.pad_token_id == tokenizer.pad_token_id
    ids = torch.tensor([[tokenizer.cls_token_id, 50, 60]])
    mask = torch.ones_like(ids)
    expected = network.generate(
        ids, max_new_tokens=8, eos_token_id=tokenizer.sep_token_id
    )
    found = theirs.generate(ids, attention_mask=mask, max_new_tokens=8, do_sample=False)
    assert found.tolist() == expected.tolist()


def test_papers_and_settings_of_the_source_go_along(config, tokenizer, tmp_path):
    source, output = tmp_path / "source", tmp_path / "output"
    network = ElectraForCausalLM(config)
    write_folder(source, network, tokenizer)
    (source / "LICENSE.txt").write_text("MIT License\n")
    (source / "calibration.json").write_text("{}")
    (source / "README.md").write_text("---\nlanguage: en\n---\n")
    (source / "training.log").write_text("...")
    (source / "generation_config.json").write_text('{"temperature": 0.5}')
    write_folder(output, network, tokenizer, source=source)
    assert (output / "LICENSE.txt").read_text() == "MIT License\n"
    assert (output / "README.md").exists()
    assert (output / "calibration.json").exists()
    assert not (output / "training.log").exists()
    settings = json.loads((output / "generation_config.json").read_text())
    assert settings == {"temperature": 0.5}


def test_an_earlier_checkpoint_is_replaced_and_other_files_stay(
    config, tokenizer, tmp_path
):
    generator = ElectraForMaskedLM(config)
    write_folder(
        tmp_path, ElectraForPreTraining(config), tokenizer, generator=generator
    )
    (tmp_path / "notes.txt").write_text("mine")
    assert (tmp_path / "generator" / "model.safetensors").exists()
    write_folder(tmp_path, ElectraModel(config), tokenizer, precision="bf16")
    assert not (tmp_path / "generator").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert class_of(tmp_path) is ElectraModel


def test_the_class_follows_from_the_weights_where_no_config_says(config, tmp_path):
    for cls in CLASSES.values():
        cls(config).save_pretrained(tmp_path)
        values = json.loads((tmp_path / "config.json").read_text())
        del values["architectures"]
        (tmp_path / "config.json").write_text(json.dumps(values))
        # The heads of a masked and of a causal language model are alike.
        expected = ElectraForMaskedLM if cls is ElectraForCausalLM else cls
        assert class_of(tmp_path) is expected


def test_a_bert_is_the_class_of_its_head(small_config, tmp_path):
    values = small_config.to_dict()
    del values["embedding_size"], values["model_type"]
    config = transformers.BertConfig(**values)
    transformers.BertForTokenClassification(config).save_pretrained(tmp_path)
    assert class_of(tmp_path) is ElectraForTokenClassification


def test_a_tokenizer_with_more_pieces_than_rows_is_refused(
    small_config, tokenizer, tmp_path
):
    with pytest.raises(ValueError, match="SE144"):
        write_folder(tmp_path / "out", ElectraModel(small_config), tokenizer)
    assert not (tmp_path / "out").exists()
