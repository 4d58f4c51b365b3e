"""Models of TensorFlow and Flax give here what they gave there."""

import doctest
import json
import subprocess
import sys
import warnings

import pytest
import torch
from frameworks import assert_close, copy_of, inputs, names_in, outputs_of
from safetensors.torch import load_file, save_file

from spacy_electra import models
from spacy_electra.checkpoints import read_header, read_tensors
from spacy_electra.checkpoints.formats import renaming
from spacy_electra.models import ElectraConfig, ElectraModel
from spacy_electra.models.heads import HEADS

FOLDERS = names_in("tf") + names_in("flax")


def class_of(folder):
    (name,) = json.loads((folder / "config.json").read_text())["architectures"]
    if name == "BertForTokenClassification":
        # The head is the same, too.
        return models.ElectraForTokenClassification
    return getattr(models, name, ElectraModel)


def given_by(model, **options):
    batch = inputs()
    if isinstance(model, models.ElectraForMultipleChoice):
        batch = {name: part[None] for name, part in batch.items()}
    with torch.no_grad():
        return model(**batch, **options)


def test_every_class_of_the_two_frameworks_has_a_fixture():
    heads = set(HEADS) | {"ElectraModel"}
    there = {"tf": heads - {"ElectraForCausalLM"}, "flax": heads}
    for framework, classes in there.items():
        assert {f"{framework}/{name}" for name in classes} <= set(FOLDERS)


def test_rules_of_names_give_what_their_docstrings_say():
    found = doctest.testmod(renaming)
    assert found.attempted and not found.failed


@pytest.mark.parametrize("name", FOLDERS)
def test_states_and_logits_are_those_of_the_framework(name, tmp_path):
    folder = copy_of(name, tmp_path / "there")
    model, report = class_of(folder).from_pretrained_with_report(folder)
    assert not report.newly_initialized
    if "Bert" not in name:
        assert not report.left_over
    found = given_by(model, output_hidden_states=True)
    expected = outputs_of(name)
    for number, states in enumerate(found.hidden_states):
        assert_close(states, expected.pop(f"hidden_{number}"))
    for part, values in expected.items():
        # BERT's own objectives have no head here.
        if hasattr(found, part):
            assert_close(getattr(found, part), values)
        else:
            assert part == "prediction_logits"


@pytest.mark.parametrize("framework", ["tf", "flax"])
@pytest.mark.parametrize("kind", ["BertModel", "BertForPreTraining"])
def test_what_bert_has_beside_its_encoder_is_listed(framework, kind, tmp_path):
    folder = copy_of(f"{framework}/{kind}", tmp_path / "there")
    _, report = ElectraModel.from_pretrained_with_report(folder)
    beside = [n for n in read_header(folder) if "pooler" in n or n.startswith("cls.")]
    assert beside and sorted(beside) == list(report.left_over)


@pytest.mark.parametrize("name", FOLDERS)
def test_header_has_the_names_and_shapes_of_the_weights(name, tmp_path):
    folder = copy_of(name, tmp_path / "there")
    header, tensors = read_header(folder), read_tensors(folder)
    assert all(tensor.is_meta for tensor in header.values())
    assert {n: t.shape for n, t in header.items()} == {
        n: t.shape for n, t in tensors.items()
    }


@pytest.mark.parametrize("name", ["tf/ElectraForPreTraining", "flax/ElectraModel"])
def test_what_was_saved_here_opens_alike(name, tmp_path):
    folder = copy_of(name, tmp_path / "there")
    model = class_of(folder).from_pretrained(folder)
    model.save_pretrained(tmp_path / "ours")
    again = type(model).from_pretrained(tmp_path / "ours")
    states, same = (
        given_by(m, output_hidden_states=True).hidden_states for m in (model, again)
    )
    assert torch.equal(states[-1], same[-1])


@pytest.mark.parametrize("name", ["tf/ElectraForPreTraining", "flax/ElectraModel"])
def test_safetensors_are_preferred(name, tmp_path):
    folder = copy_of(name, tmp_path / "there")
    class_of(folder).from_pretrained(folder).save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    key = next(key for key in tensors if key.endswith("word_embeddings.weight"))
    tensors[key] += 1
    save_file(tensors, folder / "model.safetensors")
    assert torch.equal(read_tensors(folder)[key], tensors[key])


def test_params_around_a_tree_of_flax_are_taken_off_and_said(tmp_path):
    msgpack = pytest.importorskip("msgpack")
    folder = copy_of("flax/ElectraModel", tmp_path / "there")
    expected = given_by(ElectraModel.from_pretrained(folder)).last_hidden_state
    file = folder / "flax_model.msgpack"
    tree = msgpack.unpackb(file.read_bytes())
    file.write_bytes(msgpack.packb({"params": tree, "step": 3}))
    with pytest.warns(UserWarning, match="SW201.*params"):
        found = ElectraModel.from_pretrained(folder)
    assert torch.equal(given_by(found).last_hidden_state, expected)


@pytest.mark.parametrize("name", ["tf/sharded", "flax/sharded"])
def test_missing_part_is_named(name, tmp_path):
    folder = copy_of(name, tmp_path / "there")
    (gone,) = folder.glob("*-00002-of-*")
    gone.unlink()
    with pytest.raises(FileNotFoundError, match=gone.name):
        ElectraModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("tf/ElectraModel", "h5py", "tf"),
        ("flax/ElectraModel", "msgpack", "flax"),
        ("google/tied", "google_crc32c", "tf"),
    ],
)
def test_missing_package_is_named_with_its_extra(
    name, package, extra, tmp_path, monkeypatch
):
    folder = copy_of(name, tmp_path / "there")
    ElectraConfig().save_pretrained(folder)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"SE414.*{package}.*\[{extra}\]"):
        ElectraModel.from_pretrained(folder)


def test_neither_framework_is_imported(tmp_path):
    folders = [
        str(copy_of(name, tmp_path / name.replace("/", "_")))
        for name in ("tf/ElectraModel", "flax/ElectraModel")
    ]
    code = (
        "import sys; from spacy_electra.models import ElectraModel\n"
        f"for folder in {folders!r}: ElectraModel.from_pretrained(folder)\n"
        "assert not {'tensorflow', 'flax', 'jax', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("kind", "start"),
    [("RobertaModel", "roberta"), ("DistilBertModel", "distilbert")],
)
@pytest.mark.parametrize("known_by", ["model_type", "architectures", "names"])
def test_other_architecture_is_refused_by_name(kind, start, known_by, tmp_path):
    folder = copy_of("tf/safetensors", tmp_path / "there")
    file = folder / "config.json"
    config = json.loads(file.read_text())
    tensors = read_tensors(folder)
    del config["model_type"], config["architectures"]
    if known_by == "names":
        tensors = {n.replace("electra.", f"{start}."): t for n, t in tensors.items()}
    else:
        config[known_by] = [kind] if known_by == "architectures" else start
    save_file(
        {n: t.contiguous() for n, t in tensors.items()}, folder / "model.safetensors"
    )
    file.write_text(json.dumps(config))
    named = kind if known_by == "architectures" else start
    with pytest.raises(ValueError, match=f"SE201.*{named}"):
        ElectraModel.from_pretrained(folder)


@pytest.mark.parametrize("kind", ["BertModel", "BertLMHeadModel", "TFBertForMaskedLM"])
def test_bert_is_known_by_its_class_where_no_type_is_given(kind, tmp_path):
    folder = copy_of("tf/BertModel", tmp_path / "there")
    file = folder / "config.json"
    config = {**json.loads(file.read_text()), "architectures": [kind]}
    del config["model_type"]
    file.write_text(json.dumps(config))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ElectraModel.from_pretrained(folder)
    assert model.config.embedding_size == model.config.hidden_size
