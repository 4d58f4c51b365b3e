import warnings

import pytest
from typer.testing import CliRunner

from spacy_electra.cli.app import app
from spacy_electra.cli.init_config import CONFIGS
from spacy_electra.pretraining.run.trainer import Trainer
from spacy_electra.pretraining.settings import PretrainingSettings

# Runs of seconds learn nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:.*SW40")


@pytest.fixture(scope="module")
def run(settings_for_module, tmp_path_factory):
    """A run of four steps and the settings that it had."""
    output = tmp_path_factory.mktemp("run")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Trainer(settings_for_module(training={"max_steps": 4}), output).train()
    return output


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_pretrain_shows_lines_and_draws_curves(run, tmp_path):
    done = invoke("pretrain", run / "config.cfg", tmp_path / "out", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "AUC generator" in done.output
    assert (tmp_path / "out" / "curves.png").exists()
    refused = invoke("pretrain", run / "config.cfg", tmp_path / "out")
    assert refused.exit_code == 1
    assert "--resume" in refused.output
    more = ["--resume", "--training.max_steps", "6"]
    resumed = invoke("pretrain", run / "config.cfg", tmp_path / "out", *more)
    assert "Going on from step 4" in resumed.output


def test_misspelt_key_is_one_clear_error(run, tmp_path):
    done = invoke(
        "pretrain", run / "config.cfg", tmp_path / "out", "--training.max_stepps", "3"
    )
    assert done.exit_code == 1
    assert "max_stepps" in done.output
    assert "max_steps" in done.output
    assert "Traceback" not in done.output


RECIPES = [
    file
    for file in sorted(CONFIGS.glob("pretrain_*.cfg"))
    if "[nlp]" not in file.read_text(encoding="utf8")
]


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_shards_are_named_in_one_way_in_all_configs(file):
    assert "--paths.shards" in file.read_text(encoding="utf8")
    for key in ("paths.shards", "data.shards"):
        settings = PretrainingSettings.from_file(file, {key: "elsewhere"})
        assert settings.data.shards == "elsewhere"


def test_a_config_without_paths_takes_the_same_option(tmp_path):
    file = tmp_path / "own.cfg"
    file.write_text('[data]\nshards = "here"\n[training]\nmax_steps = 1\n')
    settings = PretrainingSettings.from_file(file, {"paths.shards": "elsewhere"})
    assert settings.data.shards == "elsewhere"


@pytest.mark.parametrize(
    ("option", "value", "kind"),
    [
        ("training.max_steps", "abc", "a whole number"),
        ("training.max_steps", "1.5", "a whole number"),
        ("training.max_minutes", "soon", "a number"),
        ("training.compile", "7", "true or false"),
        ("training.precision", "16", "a string"),
        ("model.local_offsets", "[1, 2.5]", "a list of whole numbers"),
        ("training.trackers", "wandb", "a list of strings"),
        ("model.discriminator", "3", "a section or a JSON object"),
        ("optimizer.learn_rate", "fast", "a number"),
    ],
)
def test_a_setting_of_another_type_is_one_error(option, value, kind, tmp_path):
    file = str(CONFIGS / "pretrain_tiny.cfg")
    result = invoke("pretrain", file, tmp_path / "run", f"--{option}", value)
    assert result.exit_code == 1 and "Traceback" not in result.output
    said = " ".join(result.output.split())
    assert f"[SE003] {option} must be {kind}, but is" in said
    # The same in a file.
    section, _, key = option.partition(".")
    text = (CONFIGS / "pretrain_tiny.cfg").read_text(encoding="utf8")
    lines = [line for line in text.split("\n") if not line.startswith(f"{key} =")]
    lines.insert(lines.index(f"[{section}]") + 1, f"{key} = {value}")
    own = tmp_path / "own.cfg"
    own.write_text("\n".join(lines), encoding="utf8")
    said = " ".join(invoke("pretrain", own, tmp_path / "run").output.split())
    assert f"[SE003] {option} must be {kind}, but is" in said


def test_a_gpu_is_named_as_in_spacy(run, tmp_path):
    for number, option in enumerate(("--gpu-id", "-g", "--device")):
        out = tmp_path / str(number)
        done = invoke("pretrain", run / "config.cfg", out, option, "-1")
        assert done.exit_code == 0, done.output
