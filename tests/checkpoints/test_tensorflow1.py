"""Google's own checkpoints open, one network of the two as asked."""

import json
import shutil

import pytest
import torch
from frameworks import assert_close, copy_of, inputs, outputs_of

from spacy_electra.checkpoints import read_header
from spacy_electra.models import (
    ElectraForCausalLM,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    ElectraForSequenceClassification,
    ElectraModel,
)

SIZES = {
    "model_type": "electra",
    "vocab_size": 40,
    "embedding_size": 8,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "max_position_embeddings": 10,
}
# Three quarters of the width, and one head for want of 64 columns.
GENERATOR = {"hidden_size": 9, "num_attention_heads": 1, "intermediate_size": 36}
FOLDERS = ["google/tied", "google/untied"]


def folder_of(name, tmp_path, **changes):
    folder = copy_of(name, tmp_path / "there")
    (folder / "config.json").write_text(json.dumps({**SIZES, **changes}))
    return folder


def generator_of(name):
    # With embeddings of its own it has them as wide as its layers.
    return {**GENERATOR, "embedding_size": 9} if "untied" in name else GENERATOR


def given_by(model):
    with torch.no_grad():
        return model(**inputs(), output_hidden_states=True)


@pytest.mark.parametrize("name", FOLDERS)
def test_discriminator_gives_what_it_gave_in_googles_code(name, tmp_path):
    model, report = ElectraForPreTraining.from_pretrained_with_report(
        folder_of(name, tmp_path)
    )
    assert report.newly_initialized == report.left_over == ()
    found, expected = given_by(model), outputs_of(name)
    assert_close(found.hidden_states[-1], expected["discriminator/hidden_2"])
    assert_close(found.logits.sigmoid(), expected["discriminator/probs"])


@pytest.mark.parametrize("name", FOLDERS)
def test_generator_gives_what_it_gave_in_googles_code(name, tmp_path):
    model, report = ElectraForMaskedLM.from_pretrained_with_report(
        folder_of(name, tmp_path, **generator_of(name))
    )
    assert report.newly_initialized == report.left_over == ()
    found, expected = given_by(model), outputs_of(name)
    assert_close(found.hidden_states[-1], expected["generator/hidden_2"])
    assert_close(found.logits, expected["generator/logits"])


def test_generator_opens_as_a_causal_language_model(tmp_path):
    folder = folder_of("google/tied", tmp_path, **GENERATOR)
    _, report = ElectraForCausalLM.from_pretrained_with_report(folder)
    assert report.newly_initialized == report.left_over == ()


def test_sizes_may_be_given_in_place_of_the_configs(tmp_path):
    folder = folder_of("google/tied", tmp_path)
    model = ElectraForMaskedLM.from_pretrained(folder, **GENERATOR)
    assert model.config.hidden_size == 9


@pytest.mark.parametrize("kind", ["ElectraForMaskedLM", "ElectraForPreTraining"])
def test_config_says_whose_bare_encoder_is_meant(kind, tmp_path):
    changes = GENERATOR if kind == "ElectraForMaskedLM" else {}
    folder = folder_of("google/tied", tmp_path, architectures=[kind], **changes)
    model, report = ElectraModel.from_pretrained_with_report(folder)
    network = "generator" if changes else "discriminator"
    expected = outputs_of("google/tied")[f"{network}/hidden_2"]
    assert_close(given_by(model).last_hidden_state, expected)
    assert report.left_over and all(
        name.startswith(network) for name in report.left_over
    )


def test_new_head_on_it_is_listed_with_what_is_left(tmp_path):
    with pytest.warns(UserWarning, match="SW200") as caught:
        ElectraForSequenceClassification.from_pretrained(
            folder_of("google/tied", tmp_path)
        )
    message = str(caught[0].message)
    assert "head.classifier.weight" in message
    assert "discriminator_predictions.dense.weight" in message


def test_slots_of_the_optimizer_and_the_step_are_no_weights(tmp_path):
    names = read_header(folder_of("google/tied", tmp_path))
    assert b"adam_m" in (tmp_path / "there" / "electra.index").read_bytes()
    assert not [n for n in names if "adam" in n or "global_step" in n]


def test_without_config_the_message_is_one(tmp_path):
    folder = copy_of("google/tied", tmp_path / "there")
    with pytest.raises(FileNotFoundError, match="SE036") as error:
        ElectraForPreTraining.from_pretrained(folder)
    start, decoder = str(error.value).index("{"), json.JSONDecoder()
    config, end = decoder.raw_decode(str(error.value)[start:])
    # Heads of 6 columns can't be told from the weights.
    expected = {**SIZES, "num_attention_heads": 1, "type_vocab_size": 2}
    assert config == {**expected, "intermediate_size": 20}
    rest = str(error.value)[start + end :]
    generator, _ = decoder.raw_decode(rest[rest.index("{") :])
    assert generator == {**expected, **GENERATOR}
    (folder / "config.json").write_text(json.dumps(config))
    ElectraForPreTraining.from_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(generator))
    ElectraForMaskedLM.from_pretrained(folder)


def test_encoder_of_googles_bert_opens_once_a_config_says_so(tmp_path):
    folder = copy_of("google/bert", tmp_path / "there")
    with pytest.raises(FileNotFoundError, match="SE036") as error:
        ElectraModel.from_pretrained(folder)
    message = str(error.value)
    config, _ = json.JSONDecoder().raw_decode(message[message.index("{") :])
    assert config["model_type"] == "bert" and "generator" not in message
    config["num_attention_heads"] = SIZES["num_attention_heads"]
    (folder / "config.json").write_text(json.dumps(config))
    model, report = ElectraModel.from_pretrained_with_report(folder)
    assert report.newly_initialized == report.left_over == ()
    expected = outputs_of("google/bert")["hidden_2"]
    assert_close(given_by(model).last_hidden_state, expected)


def test_sizes_of_the_other_network_are_refused(tmp_path):
    with pytest.raises(ValueError, match="SE203"):
        ElectraForMaskedLM.from_pretrained(folder_of("google/tied", tmp_path))


def test_of_several_checkpoints_the_named_one_opens(tmp_path):
    folder = folder_of("google/tied", tmp_path)
    for file in folder.glob("electra.*"):
        shutil.copy(file, folder / file.name.replace("electra", "model.ckpt-7"))
    (folder / "electra.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(ValueError, match="SE212"):
        ElectraModel.from_pretrained(folder)
    # As another machine wrote it, whose folder nobody looks for.
    (folder / "checkpoint").write_text('model_checkpoint_path: "/gone/model.ckpt-7"\n')
    ElectraForPreTraining.from_pretrained(folder)
    (folder / "checkpoint").unlink()
    with pytest.raises(ValueError, match=r"SE033.*electra\.index, model\.ckpt-7"):
        ElectraModel.from_pretrained(folder)


@pytest.mark.parametrize("gone", ["electra.data-00001-of-00002", "config.json"])
def test_missing_file_is_named(gone, tmp_path):
    folder = folder_of("google/untied", tmp_path)
    (folder / gone).unlink()
    with pytest.raises(FileNotFoundError, match=gone):
        ElectraModel.from_pretrained(folder)


def test_pipeline_takes_it_as_a_source(tmp_path):
    import spacy

    folder = folder_of("google/tied", tmp_path)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += [chr(ord("a") + n) for n in range(26)]
    words += [f"##{n}" for n in range(9)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    nlp = spacy.blank("en")
    encoder = {"source": str(folder), "window": 10, "stride": 5}
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": encoder}})
    nlp.initialize()
    doc = nlp("a b c")
    assert all(0 < token._.rtd_score < 1 for token in doc)
