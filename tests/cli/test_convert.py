"""Checkpoints in other formats, and what can't be written, by the commands."""

import os
import shutil
import sys
from pathlib import Path

import pytest
import spacy
import torch
import transformers
from safetensors.torch import load_file
from typer.testing import CliRunner

from spacy_electra.cli.app import app
from spacy_electra.exchange.writing import write_folder
from spacy_electra.models import (
    ElectraForMaskedLM,
    ElectraForPreTraining,
    ElectraForSequenceClassification,
    ElectraModel,
)

PIPELINES = Path(__file__).parents[1] / "fixtures" / "pipelines" / "0.1.0-5a1ce00"
LABELS = ("bad", "fair", "good")


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def source(tmp_path_factory, tokenizer):
    """A pair of small networks, with labels nobody needs."""
    from spacy_electra.models import ElectraConfig

    torch.manual_seed(0)
    config = ElectraConfig(
        vocab_size=tokenizer.vocab_size,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    folder = tmp_path_factory.mktemp("source")
    write_folder(
        folder,
        ElectraForPreTraining(config),
        tokenizer,
        generator=ElectraForMaskedLM(config),
    )
    (folder / "LICENSE").write_text("MIT License\n")
    return folder


def logits(folder):
    model = ElectraForPreTraining.from_pretrained(folder)
    with torch.no_grad():
        return model(torch.tensor([[2, 50, 60, 3]])).logits


def test_convert_gives_the_same_network_in_other_precisions(source, tmp_path):
    expected = logits(source)
    for dtype, tolerance in (("fp32", 0), ("bf16", 0.1), ("fp16", 0.1), ("int8", 0.1)):
        output = done("convert", source, tmp_path / dtype, "--dtype", dtype)
        assert "ElectraForPreTraining" in output and dtype in output
        torch.testing.assert_close(
            logits(tmp_path / dtype), expected, atol=tolerance, rtol=0
        )
        assert (tmp_path / dtype / "LICENSE").exists()
        assert not (tmp_path / dtype / "generator").exists()
    kinds = {t.dtype for t in load_file(tmp_path / "int8/model.safetensors").values()}
    assert kinds == {torch.int8, torch.float32}
    # And back, to what others open.
    done("convert", tmp_path / "int8", tmp_path / "again")
    theirs = transformers.ElectraForPreTraining.from_pretrained(tmp_path / "again")
    assert theirs.config.vocab_size == 8192


def test_convert_takes_the_generator_and_another_class(source, tmp_path):
    done("convert", source / "generator", tmp_path / "mlm")
    ElectraForMaskedLM.from_pretrained(tmp_path / "mlm")
    done("convert", source, tmp_path / "encoder", "--class", "ElectraModel")
    stored = load_file(tmp_path / "encoder" / "model.safetensors")
    assert not any(name.startswith("discriminator") for name in stored)


def test_export_and_convert_write_onnx(source, tmp_path):
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    onnxruntime = pytest.importorskip("onnxruntime")
    done("export", source, tmp_path / "pair", "--format", "onnx")
    files = {file.name for file in (tmp_path / "pair").iterdir()}
    assert files == {
        *("LICENSE", "config.json", "generator", "model.onnx"),
        *("tokenizer.json", "tokenizer_config.json", "vocab.txt"),
    }
    assert (tmp_path / "pair" / "generator" / "model.onnx").exists()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "pair")
    inputs = tokenizer("the cat", return_tensors="np")
    session = onnxruntime.InferenceSession(tmp_path / "pair" / "model.onnx")
    (found,) = session.run(["logits"], dict(inputs))
    model = ElectraForPreTraining.from_pretrained(source)
    with torch.no_grad():
        expected = model(torch.from_numpy(inputs["input_ids"])).logits
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def classifier(source, tmp_path_factory, tokenizer):
    """A pipeline with a text classifier of three labels, and what it says."""
    folder = tmp_path_factory.mktemp("classifier")
    model = ElectraForSequenceClassification.from_pretrained(source, num_labels=3)
    model.config = model.electra.config = model.config.with_labels(
        LABELS, "single_label_classification"
    )
    write_folder(folder / "source", model, tokenizer)
    nlp = spacy.blank("en")
    encoder = {"source": str(folder / "source"), "precision": "fp32"}
    encoder |= {"window": 64, "stride": 48}
    nlp.add_pipe("electra_textcat", config={"model": {"encoder": encoder}})
    nlp("It was good.")
    nlp.to_disk(folder / "pipeline")
    return folder / "pipeline", nlp("It was good.").cats


@pytest.mark.filterwarnings("ignore:.SW200:UserWarning")
def test_a_component_opens_in_transformers_with_its_labels(classifier, tmp_path):
    pipeline, cats = classifier
    output = done("export", pipeline, tmp_path / "out", "--dtype", "fp32")
    assert "electra_textcat" in output
    folder = tmp_path / "out"
    theirs = transformers.pipeline("text-classification", str(folder), top_k=None)
    found = {row["label"]: row["score"] for row in theirs(["It was good."])[0]}
    assert found == pytest.approx(cats, abs=1e-5)
    assert set(found) == set(LABELS)


@pytest.mark.parametrize(
    ("name", "component", "kind"),
    [
        ("rtd", "", ElectraForPreTraining),
        ("rtd_on_electra", "electra_rtd", ElectraForPreTraining),
        ("rtd_on_electra", "", ElectraForPreTraining),
        ("rtd_on_electra", "electra", ElectraModel),
        ("tagger", "tagger", ElectraModel),
        ("tagger_on_electra", "", ElectraModel),
    ],
)
def test_components_of_saved_pipelines_become_checkpoints(
    name, component, kind, tmp_path
):
    pytest.importorskip("spacy_transformers")
    pipeline, output = PIPELINES / name, tmp_path / "out"
    chosen = ["--component", component] if component else []
    done("export", pipeline, output, "--dtype", "fp32", *chosen)
    network, report = kind.from_pretrained_with_report(output)
    assert report.newly_initialized == report.left_over == ()
    # A generator that an earlier training left goes along.
    assert (output / "generator").exists() == (name == "rtd")
    nlp = spacy.load(pipeline)
    text = "the chef cooked the meal"
    ids = transformers.AutoTokenizer.from_pretrained(output)(text)["input_ids"]
    with torch.no_grad():
        found = network(torch.tensor([ids]))
    doc = nlp(text)
    if kind is ElectraForPreTraining:
        scores = [token._.rtd_score for token in doc]
        probabilities = found.logits.sigmoid()[0, 1:-1].tolist()
        assert probabilities == pytest.approx(scores, abs=0.02)


def nothing(place):
    """Everything is as it should be but the command."""


def other_files(place):
    (place / "out").mkdir()
    (place / "out" / "thesis.docx").write_text("mine")


def other_weights(place):
    (place / "out").mkdir()
    for name in ("config.json", "pytorch_model.bin"):
        (place / "out" / name).write_text("{}")


def a_file(place):
    (place / "out").write_text("mine")


def parent_is_a_file(place):
    (place / "file").write_text("")


def damaged_pipeline(place):
    shutil.copytree(PIPELINES / "rtd", place / "damaged")
    file = place / "damaged" / "electra_rtd" / "model"
    file.write_bytes(file.read_bytes()[:2000])


TAGGER = PIPELINES / "tagger_on_electra"
CASES = {
    "unknown format": (nothing, "convert source out --format pmml", ["SE002", "pmml"]),
    "unknown class": (nothing, "convert source out --class Bert", ["SE002", "Bert"]),
    "dtype of another format": (
        nothing,
        "convert source out --format onnx --dtype bf16",
        ["SE060", "onnx", "bf16", "fp32, int8"],
    ),
    "unknown dtype": (nothing, "export source out --dtype int4", ["SE060", "int4"]),
    "no texts": (
        nothing,
        "convert source out --format openvino --dtype int8",
        ["SE061", "--texts"],
    ),
    "in place": (nothing, "convert source source", ["SE062"]),
    "in place, export": (nothing, "export source source/../source", ["SE062"]),
    "other files": (other_files, "convert source out", ["SE064", "thesis.docx"]),
    "other files, export": (other_files, "export source out", ["SE064"]),
    "other weights": (
        other_weights,
        "convert source out",
        ["SE064", "(pytorch_model.bin)"],
    ),
    "a file": (a_file, "convert source out", ["SE063"]),
    "not writable": (parent_is_a_file, "convert source file/out", ["SE444", "file"]),
    "no such head": (
        nothing,
        "convert source out --class ElectraForQuestionAnswering",
        ["SE065", "head.classifier.bias", "--allow-new", "info"],
    ),
    "no such source": (nothing, "convert ./nowhere/at_all out", ["SE20", "nowhere"]),
    "a pipeline": (nothing, f"convert {TAGGER} out", ["SE069", "export"]),
    "a component of none": (
        nothing,
        "export source out --component electra_qa",
        ["SE070", "electra_qa"],
    ),
    "no such component": (
        nothing,
        f"export {PIPELINES / 'rtd'} out --component qa",
        ["SE066", "'qa'", "electra_rtd"],
    ),
    "a listener": (
        nothing,
        f"export {TAGGER} out --component tagger",
        ["SE068", "electra"],
    ),
    "damaged pipeline": (damaged_pipeline, "info damaged", ["SE071", "model"]),
}


@pytest.mark.parametrize("case", CASES)
def test_one_clear_error(case, source, tmp_path, monkeypatch):
    prepare, command, parts = CASES[case]
    if "tagger" in command or "rtd" in command:
        pytest.importorskip("spacy_transformers")
    if "openvino" in command:
        pytest.importorskip("openvino")
    shutil.copytree(source, tmp_path / "source")
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = sorted(path for path in tmp_path.rglob("*"))
    result = run(*command.split())
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert result.output.count("[SE") == 1
    for part in parts:
        assert part in result.output
    assert sorted(path for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "openvino"])
def test_a_missing_package_is_named_before_anything_is_read(
    package, source, tmp_path, monkeypatch
):
    for other in ("onnx", "onnxscript") if package == "openvino" else ():
        pytest.importorskip(other)
    monkeypatch.setitem(sys.modules, package, None)
    format = "openvino" if package == "openvino" else "onnx"
    result = run("convert", "nowhere", tmp_path / "out", "--format", format)
    assert result.exit_code == 1
    assert "SE414" in result.output and package in result.output
    assert f"spacy-electra[{format}]" in result.output


def test_new_weights_are_written_where_they_are_asked_for(source, tmp_path):
    name = "ElectraForQuestionAnswering"
    output = done("convert", source, tmp_path / "out", "--class", name, "--allow-new")
    assert "SW200" in output and "head.classifier.weight" in output
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert "qa_outputs.weight" in stored


def test_export_refuses_a_source_without_a_discriminator(source, tmp_path):
    result = run("export", source / "generator", tmp_path / "out")
    assert result.exit_code == 1
    assert "SE065" in result.output and "head.score.weight" in result.output
    assert os.listdir(tmp_path) == []
