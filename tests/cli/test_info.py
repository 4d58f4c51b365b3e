"""What `info` says of checkpoints, runs and pipelines, without reading a weight."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from known_checkpoints import config_of, known, rebuild
from typer.testing import CliRunner

from spacy_electra.checkpoints.formats import FORMATS
from spacy_electra.cli.app import app
from spacy_electra.exchange.facts import (
    card_facts,
    checkpoint_facts,
    flop_per_piece,
    language_of,
    network_facts,
    scripts_of,
)
from spacy_electra.models import (
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    ElectraForTokenClassification,
)

PIPELINES = Path(__file__).parents[1] / "fixtures" / "pipelines" / "0.1.0-5a1ce00"


@pytest.fixture
def no_weights(monkeypatch):
    """Fails where a weight is read."""

    def refuse(*arguments, **settings):
        raise AssertionError("a weight was read")

    for form in FORMATS:
        monkeypatch.setattr(form, "read", refuse)
    monkeypatch.setattr("safetensors.torch.load", refuse)
    monkeypatch.setattr("spacy_electra.models.pretrained.read_tensors", refuse)


def told(source):
    done = CliRunner().invoke(app, ["info", str(source)])
    assert done.exit_code == 0, done.output
    return done.output


def facts_of(source):
    done = CliRunner().invoke(app, ["info", str(source), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_a_bundled_checkpoint(no_weights):
    facts = facts_of("en_tiny")
    assert facts["kind"] == "checkpoint"
    network = facts["networks"][""]
    assert network["class"] == "ElectraForPreTraining"
    assert (network["layers"], network["hidden_size"]) == (4, 256)
    assert network["speed_class"] == "tiny"
    assert network["stored_as"] == {"BF16": 75}
    assert network["new"]["ElectraForPreTraining"] == []
    assert "head.classifier.weight" in network["new"]["ElectraForQuestionAnswering"]
    assert facts["networks"]["generator"]["class"] == "ElectraForMaskedLM"
    tokenizer = facts["tokenizer"]
    assert tokenizer["lowercases"] is True
    assert tokenizer["special_ids"]["[MASK]"] == 4
    assert max(tokenizer["scripts"], key=tokenizer["scripts"].get) == "Latin"
    text = told("en_tiny")
    for part in ("4 of width 256", "8,192 of 128", "[MASK] 4", "no file says"):
        assert part in text


def test_the_licence_file_is_read():
    facts = facts_of("en_small")
    assert facts["licence_from"] == "LICENSE.txt"
    assert facts["licence"]


def test_a_run(settings_for, tmp_path, no_weights):
    for name, cls in (
        ("discriminator", ElectraForPreTraining),
        ("generator", ElectraForMaskedLM),
    ):
        cls(ElectraConfig.preset("tiny")).save_pretrained(tmp_path / "final" / name)
    facts = facts_of(tmp_path)
    assert facts["kind"] == "pretraining run"
    assert set(facts["networks"]) == {"", "generator"}
    assert "SE" in facts["tokenizer"]["problem"]
    assert "pretraining run" in told(tmp_path)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        (
            "rtd",
            {
                "electra_rtd": "ElectraForPreTraining",
                "electra_rtd, generator": "ElectraForMaskedLM",
            },
        ),
        (
            "rtd_on_electra",
            {"electra": "ElectraModel", "electra_rtd": "ElectraForPreTraining"},
        ),
        ("tagger", {"tagger": "ElectraModel"}),
        ("tagger_on_electra", {"electra": "ElectraModel"}),
    ],
)
def test_a_pipeline(name, classes, no_weights):
    facts = facts_of(PIPELINES / name)
    assert facts["kind"] == "spaCy pipeline"
    found = {name: network["class"] for name, network in facts["networks"].items()}
    assert found == classes
    assert facts["languages"] == ["xx"]
    assert facts["tokenizer"]["special_ids"]["[CLS]"] == 2
    for component in classes:
        assert component in told(PIPELINES / name)


def test_labels_and_problem_type(small_config, tmp_path):
    config = small_config.with_labels(["B-PER", "I-PER", "O"])
    ElectraForTokenClassification(config).save_pretrained(tmp_path)
    network = checkpoint_facts(tmp_path)["new"] and checkpoint_facts(tmp_path)
    assert network["labels"] == ["B-PER", "I-PER", "O"]
    assert network["problem_type"] is None
    # Other heads with these labels' weights, or without any, are told apart.
    assert network["new"]["ElectraForTokenClassification"] == []
    assert network["new"]["ElectraForSequenceClassification"]
    assert "B-PER, I-PER, O" in told(tmp_path)


@pytest.mark.parametrize("cls", [ElectraForPreTraining, ElectraForMaskedLM])
def test_sizes_are_those_of_transformers(cls, small_config):
    theirs = getattr(transformers, cls.__name__)(
        transformers.ElectraConfig(**small_config.to_dict())
    )
    facts = network_facts(small_config, cls)
    assert facts["parameters"] == theirs.num_parameters()
    assert facts["bytes_in_memory"]["fp32"] == 4 * theirs.num_parameters()


def test_operations_are_those_that_torch_counts(small_config):
    from torch.utils.flop_counter import FlopCounterMode

    model = transformers.ElectraModel(
        transformers.ElectraConfig(
            **small_config.changed(max_position_embeddings=128).to_dict(),
            attn_implementation="eager",
        )
    )
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros((1, 128), dtype=torch.long))
    config = small_config.changed(max_position_embeddings=128)
    assert 128 * flop_per_piece(config) == counter.get_total_flops()


def test_scripts_of_pieces():
    pieces = ["[PAD]", "the", "##ing", "Ж", "한국", "7", ".", "中"]
    assert scripts_of(pieces) == {
        "Latin": 0.4,
        "Cyrillic": 0.2,
        "Hangul": 0.2,
        "CJK": 0.2,
    }


@pytest.mark.parametrize(
    ("scripts", "language"),
    [
        ({"Hangul": 0.97, "Latin": 0.03}, "ko"),
        ({"CJK": 0.6, "Katakana": 0.2, "Hiragana": 0.1, "Latin": 0.1}, "ja"),
        ({"CJK": 0.9, "Latin": 0.08, "Katakana": 0.02}, "zh"),
        ({"Thai": 1.0}, "th"),
        # Several languages are written so.
        ({"Latin": 1.0}, None),
        ({"Arabic": 0.9, "Latin": 0.1}, None),
        # A vocabulary of a hundred languages.
        ({"Latin": 0.5, "Cyrillic": 0.1, "CJK": 0.1, "Hangul": 0.03}, None),
        ({}, None),
    ],
)
def test_scripts_tell_the_language_where_only_one_has_them(scripts, language):
    assert language_of(scripts) == language


@pytest.mark.parametrize(
    ("name", "languages"),
    [("KoELECTRA v3", ["ko"]), ("Chinese-ELECTRA", ["zh"]), ("Google", None)],
)
def test_the_language_is_told_without_a_card_and_by_the_card_first(
    name, languages, tmp_path
):
    row = known()[name]
    ElectraForPreTraining(ElectraConfig.from_dict(config_of(row))).save_pretrained(
        tmp_path
    )
    rebuild(row, tmp_path)
    facts = facts_of(tmp_path)
    assert facts["languages"] == languages
    assert facts["languages_from"] == (languages and "by the script of its pieces")
    (tmp_path / "README.md").write_text("---\nlanguage: [ko, en]\n---\n")
    facts = facts_of(tmp_path)
    assert facts["languages"] == ["ko", "en"]
    assert facts["languages_from"] == "README.md"
    assert "ko, en (README.md)" in told(tmp_path)


CARDS = {
    "one language": ("---\nlanguage: ko\nlicense: mit\n---\n# A", ["ko"], "mit"),
    "several": ("---\nlanguage:\n- en\n- de\n---\n", ["en", "de"], None),
    "none": ("# A model\n\nlanguage: ko\n", None, None),
    "broken": ("---\nlanguage: [ko\n---\n", None, None),
    "Windows": ("---\r\nlanguage: ja\r\nlicense: apache-2.0\r\n---\r\n", ["ja"], ...),
}


@pytest.mark.parametrize("case", CARDS)
def test_model_cards_say_language_and_licence(case, tmp_path):
    text, languages, licence = CARDS[case]
    (tmp_path / "README.md").write_bytes(text.encode())
    facts = card_facts(tmp_path)
    assert facts["languages"] == languages
    assert facts["licence"] == ("apache-2.0" if licence is ... else licence)


def test_another_kind_of_tokenizer_is_a_fact(small_config, tmp_path):
    ElectraForPreTraining(small_config).save_pretrained(tmp_path)
    assert "SE" in facts_of(tmp_path)["tokenizer"]["problem"]
    (tmp_path / "spiece.model").write_bytes(b"x")
    assert "SE" in told(tmp_path)


def test_a_broken_checkpoint_is_one_error(tmp_path):
    shutil.copy(
        Path(__file__).parents[2] / "spacy_electra/assets/en_tiny/config.json", tmp_path
    )
    done = CliRunner().invoke(app, ["info", str(tmp_path)])
    assert done.exit_code == 1
    assert done.output.count("[SE") == 1


def test_a_graph_alone_is_described(small_config, tmp_path):
    ElectraForPreTraining(small_config).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "model.onnx")
    network = facts_of(tmp_path)["networks"][""]
    assert network["stored_as"] == ["onnx"]
    assert network["class"] == "ElectraForPreTraining"
    assert "new" not in network


def test_a_config_that_claims_many_layers_costs_nothing(small_config, tmp_path):
    ElectraForPreTraining(small_config).save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    values["num_hidden_layers"] = 2**24
    (tmp_path / "config.json").write_text(json.dumps(values))
    done = CliRunner().invoke(app, ["info", str(tmp_path)])
    assert done.exit_code == 1
    assert "SE209" in done.output


def test_damaged_pipelines_are_one_error_or_none(tmp_path):
    shutil.copytree(PIPELINES / "rtd", tmp_path / "rtd")
    file = tmp_path / "rtd" / "electra_rtd" / "model"
    whole = file.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        damaged = bytearray(whole)
        # Where the structure is, more than where the weights are.
        for place in random.integers(0, 4000, 8).tolist():
            damaged[place] = int(random.integers(256))
        file.write_bytes(bytes(damaged))
        done = CliRunner().invoke(app, ["info", str(tmp_path / "rtd"), "--json"])
        assert done.exit_code in (0, 1)
        assert done.exit_code == 0 or done.output.count("[SE") >= 1, done.exception
        refused += done.exit_code
    assert refused > 20
