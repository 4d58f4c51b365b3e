"""Corpora without an example: an error where they are trained on, else a warning."""

import pytest
import spacy
from spacy.cli._util import app
from spacy.tokens import DocBin
from spacy.util import registry
from typer.testing import CliRunner

from spacy_electra.cli.init_config import CONFIGS

TEXT = "The river floods the valley every spring, and the farmers wait for it."
# What of a kind of file holds nothing.
EMPTY = {
    "TextCorpus": ("nothing.txt", b" \n\n \n"),
    "CatsCorpus": ("nothing.jsonl", b"\n"),
    "ChoiceCorpus": ("nothing.jsonl", b""),
    "SQuADCorpus": ("nothing.json", b'{"version": "1.1", "data": []}'),
    "DocCorpus": ("nothing.spacy", DocBin().to_bytes()),
}


@pytest.fixture(params=EMPTY)
def corpus(request, tmp_path):
    """The name of a reader, and a file that it finds nothing in."""
    name, content = EMPTY[request.param]
    (tmp_path / name).write_bytes(content)
    return f"spacy-electra.{request.param}.v1", tmp_path / name


def test_training_data_is_an_error_and_other_data_a_warning(corpus):
    name, file = corpus
    read = registry.readers.get(name)(file)
    nlp = spacy.blank("en")
    with pytest.warns(UserWarning, match=r"SW458.*nothing"):
        assert list(read(nlp)) == []
    config = nlp.config.copy()
    config["corpora"]["train"] = {"@readers": name, "path": str(file)}
    nlp.config = config
    with pytest.raises(ValueError, match=r"SE458.*nothing"):
        list(read(nlp))


def train(job, tmp_path, train_text, dev_text):
    for name, text in (("train", train_text), ("dev", dev_text)):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf8")
    command = ["train", str(CONFIGS / f"{job}.cfg"), "--output", str(tmp_path / "out")]
    for name in ("train", "dev"):
        command += [f"--paths.{name}", str(tmp_path / f"{name}.txt")]
    command += ["--training.max_steps", "2", "--training.eval_frequency", "1"]
    return CliRunner().invoke(app, command)


@pytest.mark.parametrize("job", ["pretrain_rtd", "mlm"])
def test_spacy_train_ends_without_text_to_train_on(job, tmp_path):
    result = train(job, tmp_path, "\n", TEXT)
    assert result.exit_code == 1 and "[SE458]" in str(result.exception)


def test_spacy_train_goes_on_without_text_to_measure_on(tmp_path):
    with pytest.warns(UserWarning, match="SW458"):
        result = train("pretrain_rtd", tmp_path, f"{TEXT}\n\n" * 8, "")
    assert result.exit_code == 0, result.output
