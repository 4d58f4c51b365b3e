"""Where commands compute, and what they say where that is not there."""

import pytest
import spacy
import torch
from typer.testing import CliRunner

from spacy_electra.cli.app import app

pytestmark = pytest.mark.skipif(
    torch.cuda.device_count() > 7, reason="there is a GPU of that number"
)
TEXT = "She walked slowly down the road, thinking of her brother and his ship."
# Commands that compute, and what else they take.
COMMANDS = {
    "demo": (TEXT,),
    "show": (TEXT,),
    "calibrate": ("{text}",),
    "evaluate": ("en_tiny", "{text}"),
    "probe": ("en_tiny", "{conllu}", "{conllu}"),
    "annotate": ("{text}", "{out}", "--pipeline", "en_nothing"),
    "pretrain": ("{config}", "{out}"),
}


@pytest.mark.parametrize("option", ["--gpu-id", "-g"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_gpu_that_is_not_there_is_one_error(command, option, tmp_path):
    files = {name: tmp_path / f"file.{name}" for name in ("conllu", "config")}
    files["text"] = tmp_path / "text.txt"
    files["text"].write_text(TEXT, encoding="utf8")
    columns = ["1", "She", "she", "PRON", "PRP", "_", "0", "root", "_", "_"]
    files["conllu"].write_text("\t".join(columns) + "\n\n", encoding="utf8")
    files["config"].write_text(
        '[data]\nshards = "here"\n[training]\nmax_steps = 1\n', encoding="utf8"
    )
    places = {**files, "out": tmp_path / "out"}
    arguments = [part.format(**places) for part in COMMANDS[command]]
    result = CliRunner().invoke(app, [command, *arguments, option, "7"])
    assert result.exit_code == 1, result.output
    assert "[SE450]" in result.output and "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("demo", (TEXT, "--source", "en_tiny", "--output", "{place}/page.html")),
        ("show", (TEXT, "--source", "en_tiny", "-o", "{place}/page.html")),
        ("prepare", ("{text}", "en_tiny", "{place}/shards")),
        ("vocab", ("{text}", "{place}/vocab", "--size", "200")),
        ("init-config", ("pretrain_tiny", "{place}/tiny.cfg")),
        ("evaluate", ("en_tiny", "{text}", "--output", "{place}/metrics.json")),
        ("export", ("en_tiny", "{place}/export")),
        ("convert", ("en_tiny", "{place}/converted", "--format", "safetensors")),
        ("annotate", ("{text}", "{place}/out", "--pipeline", "{pipeline}")),
    ],
)
def test_a_folder_that_cannot_be_written_is_one_error(command, arguments, tmp_path):
    spacy.blank("en").to_disk(tmp_path / "pipeline")
    # A file stands where a folder would be, which stops root too.
    place = tmp_path / "file"
    place.write_text("no folder", encoding="utf8")
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join([TEXT] * 8), encoding="utf8")
    places = {"place": place, "text": text, "pipeline": tmp_path / "pipeline"}
    arguments = [part.format(**places) for part in arguments]
    result = CliRunner().invoke(app, [command, *arguments])
    assert result.exit_code == 1, result.output
    assert "[SE" in result.output and "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit), result.exception
