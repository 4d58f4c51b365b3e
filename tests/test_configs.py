"""The configs that ship: spaCy has nothing to add, and `spacy train` runs them."""

import subprocess
import sys
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import DocBin, Span
from spacy.util import load_config, load_model_from_config, registry

CONFIGS = Path(__file__).parents[1] / "configs"
SPACY_CONFIGS = [
    file for file in sorted(CONFIGS.glob("*.cfg")) if "[nlp]" in file.read_text("utf8")
]
FEW_STEPS = ("--training.max_steps", "4", "--training.eval_frequency", "2")

TRAIN = [
    "The river floods the valley every spring, and the farmers wait for it.",
    "She walked slowly down the road, thinking of her brother and his ship.",
    "In the laboratory the students measured how fast the stone was falling.",
    "The council met in March to vote on the plan for a new railway station.",
]


def train_command(config, output, **paths):
    overrides = [part for n, p in paths.items() for part in (f"--paths.{n}", str(p))]
    command = [sys.executable, "-m", "spacy", "train", str(CONFIGS / config)]
    command += ["--output", str(output), *overrides, *FEW_STEPS]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("file", SPACY_CONFIGS, ids=lambda file: file.stem)
def test_config_is_filled_and_resolves(file):
    config = load_config(file, interpolate=False)
    assert load_model_from_config(config, auto_fill=True).config == config
    training = registry.resolve(
        config.interpolate()["training"], schema=ConfigSchemaTraining
    )
    # A higher rate ruins a pretrained encoder.
    assert training["optimizer"].learn_rate <= 3e-4
    assert "electra" not in training["frozen_components"]


def test_all_configs_for_spacy_are_tested():
    assert len(SPACY_CONFIGS) >= 6


def test_pretraining_from_raw_text(tmp_path):
    (tmp_path / "train.txt").write_text("\n\n".join(TRAIN * 4), encoding="utf8")
    srsly.write_jsonl(tmp_path / "dev.jsonl", [{"text": text} for text in TRAIN])
    log = train_command(
        "pretrain_rtd.cfg",
        tmp_path / "out",
        train=tmp_path / "train.txt",
        dev=tmp_path / "dev.jsonl",
    )
    assert "RTD_AUC" in log and "RTD_MLM_AC..." in log
    nlp = spacy.load(tmp_path / "out" / "model-last")
    scores = nlp.meta["performance"]
    assert 0.0 <= scores["rtd_auc"] <= 1.0 and scores["rtd_mlm_loss"] > 0
    doc = nlp(TRAIN[0])
    assert all(0.0 <= token._.rtd_score <= 1.0 for token in doc)


@pytest.mark.parametrize("name", ["mlm", "causal_lm"])
def test_language_models_train_on_raw_text(name, tmp_path):
    (tmp_path / "train.txt").write_text("\n\n".join(TRAIN * 4), encoding="utf8")
    texts = {"train": tmp_path / "train.txt", "dev": tmp_path / "train.txt"}
    train_command(f"{name}.cfg", tmp_path / "out", **texts)
    nlp = spacy.load(tmp_path / "out" / "model-last")
    scores = nlp.meta["performance"]
    assert 0.0 <= scores[f"{name}_accuracy"] <= 1.0
    assert scores[f"{name}_perplexity"] > 1.0
    doc = nlp("The river floods the [MASK] every spring.")
    if name == "mlm":
        assert len(doc._.masks[0]["candidates"]) == 5
    else:
        assert doc[0]._.surprisal > 0 > doc._.log_likelihood


def test_fine_tuning_from_gold_spans(tmp_path):
    blank = spacy.blank("en")
    docs = DocBin()
    for number, text in enumerate(TRAIN * 4):
        doc = blank(text)
        doc.spans["rtd"] = [doc[number % 5 : number % 5 + 1]]
        docs.add(doc)
    docs.to_disk(tmp_path / "gold.spacy")
    gold = tmp_path / "gold.spacy"
    log = train_command("finetune_rtd.cfg", tmp_path / "out", train=gold, dev=gold)
    assert "RTD_F05" in log
    scores = spacy.load(tmp_path / "out" / "model-best").meta["performance"]
    assert scores["rtd_base_rate"] == pytest.approx(16 / 240, abs=0.01)


def test_training_of_categories_of_pairs(tmp_path):
    rows = [
        {"text": text, "text_pair": other, "cats": {"same": same, "other": not same}}
        for same, other in ((True, TRAIN[0]), (False, TRAIN[1]))
        for text in TRAIN
    ]
    rows = [
        {**row, "cats": {k: int(v) for k, v in row["cats"].items()}} for row in rows
    ]
    for name in ("train", "dev"):
        srsly.write_jsonl(tmp_path / f"{name}.jsonl", rows)
    paths = {name: tmp_path / f"{name}.jsonl" for name in ("train", "dev")}
    train_command("textcat.cfg", tmp_path / "out", **paths)
    nlp = spacy.load(tmp_path / "out" / "model-last")
    assert set(nlp(TRAIN[0]).cats) == {"same", "other"}


def test_training_of_entities_by_labels_of_tokens(tmp_path):
    nlp = spacy.blank("en")
    docs = list(nlp.pipe(TRAIN))
    for doc in docs:
        doc.ents = [Span(doc, 0, 2, "THING")]
    DocBin(docs=docs).to_disk(tmp_path / "data.spacy")
    paths = dict.fromkeys(("train", "dev"), tmp_path / "data.spacy")
    train_command("token_classifier.cfg", tmp_path / "out", **paths)
    nlp = spacy.load(tmp_path / "out" / "model-last")
    component = nlp.get_pipe("electra_token_classifier")
    assert component.labels == ("O", "B-THING", "I-THING")
