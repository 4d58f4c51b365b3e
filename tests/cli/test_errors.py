"""Each mistake of a user's ends in one clear error, and not in a traceback."""

import shutil

import pytest
from typer.testing import CliRunner

from spacy_electra.cli.app import app


@pytest.fixture
def place(tmp_path, shards, settings_for):
    """A folder with a whole corpus, a vocabulary and the config of a run."""
    from dataclasses import asdict

    from thinc.api import Config

    shutil.copytree(shards.path, tmp_path / "shards")
    shards.tokenizer.save_pretrained(tmp_path / "vocab")
    config = asdict(settings_for(data={"shards": str(tmp_path / "shards")}))
    Config(config).to_disk(tmp_path / "run.cfg")
    return tmp_path


def nothing(place):
    (place / "text").mkdir()


def no_words(place):
    (place / "text").mkdir()
    (place / "text" / "a.txt").write_text(" \n\n \n")


def binary(place):
    (place / "text").mkdir()
    (place / "text" / "a.txt").write_bytes(bytes(range(256)))


def small(place):
    from spacy_electra.pretraining.corpus.shards import write_shards
    from spacy_electra.tokenization import ElectraTokenizer

    shutil.rmtree(place / "shards")
    tokenizer = ElectraTokenizer.from_pretrained(place / "vocab")
    write_shards(["the cat sees the dog"] * 3, tokenizer, place / "shards")


def truncated(place):
    file = place / "shards" / "ids.bin"
    file.write_bytes(file.read_bytes()[:-10])


def other_vocabulary(place):
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (place / "shards" / "tokenizer" / file).unlink()
    lines = (place / "vocab" / "vocab.txt").read_text().splitlines()
    swapped = [*lines[:-2], lines[-1], lines[-2], ""]
    (place / "shards" / "tokenizer" / "vocab.txt").write_text("\n".join(swapped))


def misspelt(place):
    config = (place / "run.cfg").read_text()
    (place / "run.cfg").write_text(config.replace("batch_size", "batchsize"))


@pytest.mark.parametrize(
    ("break_it", "command", "parts"),
    [
        (nothing, "vocab text out", ["SE401", "text", ".jsonl"]),
        (nothing, "prepare text vocab out", ["SE401", "text", ".jsonl"]),
        (no_words, "vocab text out", ["SE106"]),
        (no_words, "prepare text vocab out", ["SE407"]),
        (binary, "prepare text vocab out", ["SE417", "a.txt"]),
        (binary, "prepare text vocab out --skip-broken", ["SE407"]),
        (small, "pretrain run.cfg out", ["SE408", "batch_size"]),
        (truncated, "pretrain run.cfg out", ["SE406", "cut short"]),
        (other_vocabulary, "pretrain run.cfg out", ["SE419", "vocabulary"]),
        (misspelt, "pretrain run.cfg out", ["SE411", "batchsize", "batch_size"]),
    ],
)
def test_one_clear_error(place, monkeypatch, break_it, command, parts):
    break_it(place)
    monkeypatch.chdir(place)
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert done.output.count("[SE") == 1
    for part in parts:
        assert part in done.output
