"""Checkpoints of Transformers open here, ours open there."""

import json
import warnings

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from spacy_electra.models import (
    ElectraForMaskedLM,
    ElectraForMultipleChoice,
    ElectraForPreTraining,
    ElectraForTokenClassification,
    ElectraModel,
)

IDS = torch.randint(1, 99, (2, 9), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def their_discriminator(small_config):
    torch.manual_seed(0)
    config = transformers.ElectraConfig(**small_config.to_dict())
    return transformers.ElectraForPreTraining(config).eval()


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


@pytest.mark.parametrize("form", ["safetensors", "bin", "sharded", "sharded bin"])
def test_directory_of_transformers_opens(their_discriminator, tmp_path, form):
    their_discriminator.save_pretrained(
        tmp_path,
        safe_serialization="bin" not in form,
        max_shard_size="20KB" if "sharded" in form else "5GB",
    )
    assert bool(list(tmp_path.glob("*.index.json"))) == ("sharded" in form)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = ElectraForPreTraining.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(ours), logits(their_discriminator))


@pytest.mark.parametrize("name", ["ElectraForPreTraining", "ElectraForMaskedLM"])
def test_ours_opens_in_transformers(small_config, tmp_path, name):
    ours = {c.__name__: c for c in (ElectraForPreTraining, ElectraForMaskedLM)}[name](
        small_config
    ).eval()
    ours.save_pretrained(tmp_path)
    theirs, info = getattr(transformers, name).from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    torch.testing.assert_close(logits(ours), logits(theirs.eval()))


def test_encoder_opens_from_either(their_discriminator, tmp_path, small_config):
    their_discriminator.save_pretrained(tmp_path)
    model, report = ElectraModel.from_pretrained_with_report(tmp_path)
    assert report.newly_initialized == ()
    assert sorted(report.left_over) == sorted(
        n for n in their_discriminator.state_dict() if n.startswith("discriminator")
    )
    with torch.no_grad():
        torch.testing.assert_close(
            model(IDS).last_hidden_state,
            their_discriminator.electra(IDS).last_hidden_state,
        )


def test_discriminator_as_generator_lists_what_is_new_and_left(
    their_discriminator, tmp_path
):
    their_discriminator.save_pretrained(tmp_path)
    with pytest.warns(UserWarning) as caught:
        ElectraForMaskedLM.from_pretrained(tmp_path)
    (message,) = {str(warning.message) for warning in caught}
    for name in ("head.dense.weight", "head.norm.bias", "head.decoder.bias"):
        assert name in message
    assert "discriminator_predictions.dense.weight" in message
    # Tied to the word embeddings, which the checkpoint has.
    assert "head.decoder.weight" not in message


def test_generator_as_discriminator_lists_what_is_new_and_left(small_config, tmp_path):
    ElectraForMaskedLM(small_config).save_pretrained(tmp_path)
    _, report = ElectraForPreTraining.from_pretrained_with_report(tmp_path)
    assert report.newly_initialized == (
        "head.dense.bias",
        "head.dense.weight",
        "head.score.bias",
        "head.score.weight",
    )
    assert "generator_predictions.dense.weight" in report.left_over


@pytest.mark.parametrize(
    "name",
    [
        "BertModel",
        "BertLMHeadModel",
        "BertForMaskedLM",
        "BertForMultipleChoice",
        "BertForNextSentencePrediction",
        "BertForPreTraining",
        "BertForQuestionAnswering",
        "BertForSequenceClassification",
        "BertForTokenClassification",
    ],
)
def test_encoder_of_a_bert_opens(small_config, tmp_path, name):
    values = small_config.to_dict()
    del values["embedding_size"], values["model_type"]
    torch.manual_seed(0)
    theirs = getattr(transformers, name)(transformers.BertConfig(**values)).eval()
    theirs.save_pretrained(tmp_path)
    ours, report = ElectraModel.from_pretrained_with_report(tmp_path)
    assert report.newly_initialized == ()
    beside = ("pooler.", "bert.pooler.", "cls.", "classifier.", "qa_outputs.")
    assert all(name.startswith(beside) for name in report.left_over)
    encoder = getattr(theirs, "bert", theirs)
    with torch.no_grad():
        torch.testing.assert_close(
            ours(IDS).last_hidden_state, encoder(IDS).last_hidden_state
        )
    ours.save_pretrained(tmp_path / "ours")
    again = transformers.ElectraModel.from_pretrained(tmp_path / "ours").eval()
    with torch.no_grad():
        torch.testing.assert_close(
            again(IDS).last_hidden_state, encoder(IDS).last_hidden_state
        )


def test_untied_decoder_is_kept(small_config, tmp_path):
    config = transformers.ElectraConfig(
        **small_config.to_dict(), tie_word_embeddings=False
    )
    theirs = transformers.ElectraForMaskedLM(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = ElectraForMaskedLM.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(ours), logits(theirs))
    assert (
        ours.head.decoder.weight is not ours.electra.embeddings.word_embeddings.weight
    )


def test_half_precision_files_open_in_fp32(small_config, tmp_path):
    model = ElectraForPreTraining(small_config).eval()
    model.save_pretrained(tmp_path, torch.bfloat16)
    again = ElectraForPreTraining.from_pretrained(tmp_path)
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    stored = load_file(tmp_path / "model.safetensors")
    assert {t.dtype for t in stored.values()} == {torch.bfloat16}
    torch.testing.assert_close(logits(again), logits(model), rtol=0.1, atol=0.05)


def test_missing_files_are_named(tmp_path, small_config):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        ElectraModel.from_pretrained(tmp_path)
    small_config.save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        ElectraModel.from_pretrained(tmp_path)


def test_a_folder_of_checkpoints_names_them(tmp_path, small_config):
    """The folder of a run, for instance, is no checkpoint."""
    for step in ("step-1", "step-2"):
        folder = tmp_path / "checkpoints" / step / "discriminator"
        ElectraForPreTraining(small_config).save_pretrained(folder)
    with pytest.raises(
        FileNotFoundError, match=r"SE200.*no config.json.*Name one"
    ) as e:
        ElectraForPreTraining.from_pretrained(tmp_path)
    assert str(folder) in str(e.value) and "step-1" in str(e.value)


def test_missing_shard_is_named(their_discriminator, tmp_path):
    their_discriminator.save_pretrained(tmp_path, max_shard_size="20KB")
    gone = sorted(tmp_path.glob("*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(FileNotFoundError, match=gone.name):
        ElectraModel.from_pretrained(tmp_path)


def test_index_must_not_lead_out_of_the_folder(small_config, tmp_path):
    small_config.save_pretrained(tmp_path)
    index = {"weight_map": {"a": "../elsewhere.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file({"a": torch.zeros(1)}, tmp_path.parent / "elsewhere.safetensors")
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        ElectraModel.from_pretrained(tmp_path)


def test_other_shape_is_named(small_config, tmp_path):
    ElectraForPreTraining(small_config).save_pretrained(tmp_path)
    with pytest.raises(ValueError) as error:
        ElectraForPreTraining.from_pretrained(tmp_path, intermediate_size=40)
    for part in ("feed_forward", "37", "40"):
        assert part in str(error.value)


def test_other_kind_of_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(ValueError, match="'roberta'"):
        ElectraModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("form", ["model.safetensors", "pytorch_model.bin"])
def test_truncated_file_is_named(their_discriminator, tmp_path, form):
    their_discriminator.save_pretrained(tmp_path, safe_serialization="safe" in form)
    content = (tmp_path / form).read_bytes()
    (tmp_path / form).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=form):
        ElectraModel.from_pretrained(tmp_path)


class Payload:
    """What must never run."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('ran code from a checkpoint')",))


def test_code_in_a_checkpoint_does_not_run(small_config, tmp_path):
    small_config.save_pretrained(tmp_path)
    torch.save({"weight": Payload()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin"):
        ElectraModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("BertForSequenceClassification", ElectraForTokenClassification),
        ("BertForMultipleChoice", ElectraForTokenClassification),
        ("ElectraForTokenClassification", ElectraForMultipleChoice),
    ],
)
def test_other_head_with_the_same_names_is_left(small_config, tmp_path, theirs, ours):
    values = small_config.to_dict()
    model = getattr(transformers, theirs)
    if theirs.startswith("Bert"):
        del values["embedding_size"], values["model_type"]
    model(model.config_class(**values)).save_pretrained(tmp_path)
    _, report = ours.from_pretrained_with_report(tmp_path)
    assert "classifier.weight" in report.left_over
    assert all(name.startswith("head.") for name in report.newly_initialized)
    assert report.newly_initialized


def test_token_classifier_of_bert_opens(small_config, tmp_path):
    values = small_config.to_dict()
    del values["embedding_size"], values["model_type"]
    config = transformers.BertConfig(**values)
    theirs = transformers.BertForTokenClassification(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = ElectraForTokenClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(ours), logits(theirs))
