import json
import warnings

import pytest
from typer.testing import CliRunner

from spacy_electra.cli.app import app
from spacy_electra.pretraining.corpus.preparation import usual_held_out_every
from spacy_electra.tokenization import ElectraTokenizer


def write_corpus(folder, documents):
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"text": text}) for text in documents]
    (folder / "a.jsonl").write_text("\n".join(lines))
    return folder


def test_commands(tmp_path, grammar):
    corpus = write_corpus(tmp_path / "text", grammar(40))
    run = CliRunner().invoke
    vocab = run(
        app,
        f"vocab {corpus} {tmp_path / 'v'} --size 90 --special [URL] --keep-accents "
        "--held-out-every 10",
    )
    assert vocab.exit_code == 0, vocab.output
    for name in ("Coverage", "Pieces per word", "Unknown rate"):
        assert name in vocab.output
    tokenizer = ElectraTokenizer.from_pretrained(tmp_path / "v")
    assert tokenizer.tokenize("See [URL]")[-1] == "[URL]"
    assert tokenizer.settings["strip_accents"] is False
    arguments = f"prepare {corpus} {tmp_path / 'v'} {tmp_path / 's'} --workers 1"
    arguments += " --held-out-every 10"
    prepared = run(app, arguments)
    assert prepared.exit_code == 0, prepared.output
    assert "4 documents are held out" in prepared.output
    assert "already" in run(app, arguments).output


@pytest.mark.parametrize(("size", "every"), [(9, 10), (20_000_000, 100), (9**12, 1000)])
def test_of_a_small_corpus_more_is_held_out(size, every):
    assert usual_held_out_every(size) == every


def test_a_small_corpus_holds_out_a_tenth_and_says_when_that_is_little(
    tmp_path, grammar
):
    corpus = write_corpus(tmp_path / "text", grammar(40))
    run = CliRunner().invoke
    with pytest.warns(UserWarning, match=r"SW459.*4 documents.*than 10"):
        prepared = run(app, ["prepare", str(corpus), "en_tiny", str(tmp_path / "s")])
    assert prepared.exit_code == 0, prepared.output
    assert "4 documents are held out" in prepared.output
    corpus = write_corpus(tmp_path / "more", [" ".join(grammar(40)) * 8] * 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepared = run(app, ["prepare", str(corpus), "en_tiny", str(tmp_path / "m")])
    assert prepared.exit_code == 0, prepared.output
