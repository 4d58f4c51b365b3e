"""What somebody sees first."""

import re

from spacy.cli._util import app as spacy_app
from typer.testing import CliRunner

import spacy_electra.cli.app  # noqa: F401 (puts its commands below spaCy's)


def test_demo_shows_a_table_and_writes_a_page(tmp_path):
    page = tmp_path / "page.html"
    command = ["electra", "demo", "--output", str(page), "--threshold", "0.3"]
    result = CliRunner().invoke(spacy_app, command)
    assert result.exit_code == 0, result.output
    assert "of 7 replaced words" in result.output
    html = page.read_text(encoding="utf8")
    assert html.startswith("<!DOCTYPE html>")
    # Scores and marks stand inside of the text.
    text = re.sub(r"<sub.*?</sub>|<[^>]+>", "", html)
    assert "Born in Victoria" in text and "schools → rivers" in text
