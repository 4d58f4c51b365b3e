"""A Ray cluster makes the shards that one process makes."""

import json
import os
import signal

import pytest
from typer.testing import CliRunner

from spacy_electra.cli.app import app
from spacy_electra.pretraining.corpus import encoding
from spacy_electra.pretraining.corpus.encoding import encode_all
from spacy_electra.pretraining.corpus.ray_encoding import encode_on_ray

pytestmark = pytest.mark.usefixtures("ray_cluster")
FILES = ("ids.bin", "offsets.npy", "held_out.jsonl", "tokenizer/vocab.txt")


@pytest.mark.filterwarnings("ignore:.*SW459")
def test_shards_are_those_of_one_process(grammar, monkeypatch, tmp_path):
    monkeypatch.setattr(encoding, "_TEXTS_PER_CALL", 300)
    texts = [f"{text}\n\n" for text in grammar(2500)]
    (tmp_path / "text.txt").write_text("".join(texts), encoding="utf8")
    for engine in ("local", "ray"):
        command = ["prepare", str(tmp_path / "text.txt"), "en_tiny"]
        command += [str(tmp_path / engine), "--engine", engine, "--workers", "2"]
        command += ["--held-out-every", "100"]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
    for name in FILES:
        content = (tmp_path / "local" / name).read_bytes()
        assert (tmp_path / "ray" / name).read_bytes() == content, name
    one, two = (
        json.loads((tmp_path / engine / "meta.json").read_text())
        for engine in ("local", "ray")
    )
    assert one == two
    assert one["documents"] == 2475


def test_text_of_a_worker_that_is_killed_is_encoded_again(
    grammar, tokenizer, monkeypatch, ray_cluster
):
    monkeypatch.setattr(encoding, "_TEXTS_PER_CALL", 20)
    texts = list(grammar(400, sentences=4))
    expected = [ids.tolist() for ids in encode_all(texts, tokenizer)]
    found, killed = [], []
    for ids in encode_on_ray(texts, tokenizer, 1):
        found.append(ids.tolist())
        if not killed:
            # At work, or waiting for the next call.
            killed = sorted(ray_cluster("_encode") | ray_cluster("IDLE"))
            for process in killed:
                os.kill(process, signal.SIGKILL)
    assert killed
    assert found == expected
