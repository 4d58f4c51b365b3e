"""What somebody sees first."""

import re

from spacy.cli._util import app as spacy_app
from typer.testing import CliRunner

import spacy_electra.cli.app  # noqa: F401 (puts its commands below spaCy's)


def demo(*arguments):
    result = CliRunner().invoke(spacy_app, ["electra", "demo", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_demo_shows_a_table_and_writes_a_page(tmp_path):
    page = tmp_path / "page.html"
    output = demo("--output", page, "--threshold", "0.3", "--source", "en_tiny")
    found, mistaken = re.search(r"Marked (\d) of 7 .* and (\d+) that", output).groups()
    html = page.read_text(encoding="utf8")
    assert html.startswith("<!DOCTYPE html>")
    assert f"Marked {found} of 7 replaced words" in html
    # Each planted word is there, found or missed, with what stood in its place.
    assert html.count(", put in for “") == 7
    assert html.count(">marked, put in") + html.count(", marked, put in") == int(found)
    assert html.count('class="missed" tabindex') == 7 - int(found)
    assert html.count(", marked, belongs") == int(mistaken)
    assert "put in for “schools”" in html


def test_demo_takes_a_text_of_ones_own(tmp_path):
    page = tmp_path / "page.html"
    output = demo("The fox fake over the dog.", "--output", page, "--source", "en_tiny")
    assert "The fox fake over the dog." in output and "Replaced" not in output
    html = page.read_text(encoding="utf8")
    assert "1 text, 6 words" in html and "put in" not in html.partition("<h1>")[2]
