"""Configs that ship come from a command."""

import pytest
from thinc.api import Config
from typer.testing import CliRunner

from spacy_electra.cli.app import app
from spacy_electra.cli.init_config import CONFIGS

JOBS = sorted(file.stem for file in CONFIGS.glob("*.cfg"))


def invoke(*arguments):
    return CliRunner().invoke(app, ["init-config", *map(str, arguments)])


def test_all_are_listed_with_what_they_are_for():
    listed = invoke()
    assert listed.exit_code == 0
    assert len(JOBS) > 10
    for job in JOBS:
        assert job in listed.output
    assert "SQuAD" in listed.output


@pytest.mark.parametrize("job", JOBS)
def test_a_config_is_written_as_it_ships_and_the_next_command_is_told(job, tmp_path):
    file = tmp_path / "config.cfg"
    done = invoke(job, file)
    assert done.exit_code == 0, done.output
    assert file.read_text("utf8") == (CONFIGS / f"{job}.cfg").read_text("utf8")
    assert str(file) in "".join(done.output.split("\n"))
    assert "spacy" in done.output


def test_settings_can_be_given(tmp_path):
    told = invoke("textcat", "-", "--training.max_steps", "7")
    assert (
        Config().from_str(told.output, interpolate=False)["training"]["max_steps"] == 7
    )


def test_nothing_is_overwritten_unless_asked(tmp_path):
    file = tmp_path / "config.cfg"
    file.write_text("mine")
    refused = invoke("qa", file)
    assert refused.exit_code == 1
    assert "SE680" in refused.output
    assert file.read_text() == "mine"
    assert invoke("qa", file, "--force").exit_code == 0
    assert "[nlp]" in file.read_text("utf8")


def test_an_unknown_job_names_the_others():
    refused = invoke("nerr")
    assert refused.exit_code == 1
    assert "wnut17" in refused.output


def test_settings_come_without_a_file():
    result = invoke("textcat", "--training.max_steps", "3")
    assert result.exit_code == 0
    assert "max_steps = 3\n" in result.output


@pytest.mark.parametrize(
    "arguments",
    [("--foo", "3"), ("config.cfg", "--foo", "3"), ("config.cfg", "foo")],
)
def test_a_setting_without_a_section_names_the_sections(
    arguments, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = invoke("textcat", *arguments)
    assert result.exit_code == 1
    assert "SE449" in result.output and "training" in result.output
    assert not any(tmp_path.iterdir())


def test_a_setting_of_an_unknown_section_is_named(tmp_path):
    result = invoke("textcat", tmp_path / "config.cfg", "--trainin.max_steps", "3")
    assert result.exit_code == 1
    assert "trainin" in result.output and "Traceback" not in result.output
    assert not any(tmp_path.iterdir())
