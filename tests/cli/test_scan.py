"""Files searched for suspicious words, as a command of spaCy's."""

import json
import re

import pytest
import spacy
from spacy.cli._util import app as spacy_app
from typer.testing import CliRunner

import spacy_electra.cli.app  # noqa: F401 (puts its commands below spaCy's)
from spacy_electra.cli import scan_reading
from spacy_electra.cli.scan_reading import blocks_of, files_of
from spacy_electra.cli.user_errors import plain_errors

SENTENCE = "He was salt by the United States Senate on July 27, 1982."
CLEAN = "The chef cooked the meal and served it to the guests.\n"


def scan(*arguments, stdin=None):
    command = ["electra", "scan", "--source", "en_tiny", *map(str, arguments)]
    result = CliRunner().invoke(spacy_app, command, input=stdin)
    return result.exit_code, result.stdout, result.stderr


def rows_of(*arguments, **kwargs):
    status, output, _ = scan(*arguments, "--format", "jsonl", **kwargs)
    assert status in (0, 1)
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "docs" / ".hidden").mkdir(parents=True)
    (tmp_path / "docs" / "deep").mkdir()
    files = {
        "docs/a.md": f"# Notes\n\n{CLEAN}\nBefore it all, {SENTENCE}\n",
        "docs/deep/b.txt": f"{CLEAN}{SENTENCE}\n",
        "docs/.hidden/c.txt": SENTENCE,
        "docs/picture.png": "\x89PNG",
        "clean.txt": CLEAN,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf8")
    return tmp_path


def test_suspicious_words_have_line_column_score_and_suggestions(folder):
    rows = rows_of(folder / "docs", "--threshold", 0.9)
    salt = [row for row in rows if row["word"] == "salt"]
    places = [(row["file"], row["line"], row["column"]) for row in salt]
    assert places == [
        (str(folder / "docs" / "a.md"), 5, 23),
        (str(folder / "docs" / "deep" / "b.txt"), 2, 8),
    ]
    for row in salt:
        assert row["end_column"] == row["column"] + 4 and row["score"] >= 0.9
        assert len(row["suggestions"]) == 3
        line = row["context"]
        assert line[row["column"] - 1 : row["end_column"] - 1] == "salt"


def test_the_exit_status_says_whether_something_was_found(folder):
    status, output, told = scan(folder / "clean.txt", "--threshold", 0.99)
    assert status == 0 and "0 suspicious of 11 words in 1 file" in told
    assert output == ""
    status, output, told = scan(folder / "docs", "--threshold", 0.9)
    assert status == 1 and "in 2 files" in told
    assert "salt" in output and "2:8" in output and "b.txt" in output


def test_standard_input_globs_and_a_file_named_twice(folder):
    rows = rows_of("-", "--threshold", 0.9, "--suggestions", 0, stdin=SENTENCE)
    assert [(row["file"], row["word"]) for row in rows] == [("-", "salt")]
    assert rows[0]["suggestions"] == []
    pattern = str(folder / "**" / "*.txt")
    assert files_of([pattern, str(folder / "clean.txt")]) == [
        str(folder / "clean.txt"),
        str(folder / "docs" / "deep" / "b.txt"),
    ]


def test_names_numbers_and_code_are_marked_on_demand_alone(tmp_path):
    text = (
        "We met Zorblax at the station of ZORB and saw McZorb there.\n"
        "Zorblax spoke to 17 men; see `zorb fake` and [here](https://zorb.io/fake),\n"
        "mail zorb@zorb.io, run /usr/bin/zorb or zorb_fake and <b class='zorb'>.\n\n"
        "```python\nzorb = fake\n\nsalt\n```\n\n"
        "~~~\nlentil\n~~~~\nAfter the code.\n"
    )
    file = tmp_path / "text.md"
    file.write_text(text, encoding="utf8")
    options = ("--threshold", 0, "--suggestions", 0)
    words = [row["word"] for row in rows_of(file, *options)]
    assert "We" in words and "station" in words and "After" in words
    assert not any("zorb" in word.lower() or "fake" in word for word in words)
    assert not {"17", ".", "here", "class", "salt", "lentil", "usr"} & set(words)
    everything = rows_of(file, *options, "--all")
    words = {row["word"] for row in everything}
    assert {"Zorblax", "17", ".", "zorb", "salt", "lentil"} <= words
    lines = text.splitlines()
    for row in everything:
        line = lines[row["line"] - 1]
        assert line[row["column"] - 1 : row["end_column"] - 1] == row["word"]


def test_words_of_unknown_letters_are_not_marked(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("The ꙮꙮꙮ was here again.", encoding="utf8")
    words = [r["word"] for r in rows_of(file, "--threshold", 0, "--suggestions", 0)]
    assert words == ["The", "was", "here", "again"]


def test_what_a_pipeline_takes_for_a_name_is_one(tmp_path):
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    encoder = {"source": "en_tiny"}
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": encoder}})
    nlp.initialize()
    ruler.add_patterns([{"label": "ORG", "pattern": "the senate"}])
    nlp.to_disk(tmp_path / "saved")
    options = ("--source", tmp_path / "saved", "--threshold", 0)
    rows = rows_of("-", *options, stdin="He met the senate today.")
    assert [row["word"] for row in rows] == ["He", "met", "today"]
    # It was saved without a generator, so there are no suggestions by default.
    assert all(row["suggestions"] == [] for row in rows)
    status, _, told = scan("-", *options, "--suggestions", 2, stdin=SENTENCE)
    assert status == 2 and "[SE500]" in told


def test_sarif_has_what_the_standard_requires(folder, monkeypatch):
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema")
    monkeypatch.chdir(folder)
    output = folder / "log.sarif"
    sarif = ("--format", "sarif", "--output", output)
    status, printed, _ = scan("docs", "--threshold", 0.9, *sarif)
    assert status == 1 and printed == ""
    log = json.loads(output.read_text(encoding="utf8"))
    jsonschema.validate(log, SARIF)
    (run,) = log["runs"]
    results = [r for r in run["results"] if "“salt”" in r["message"]["text"]]
    assert [uri_of(result) for result in results] == ["docs/a.md", "docs/deep/b.txt"]
    region = results[1]["locations"][0]["physicalLocation"]["region"]
    assert region["startLine"] == 2 and region["startColumn"] == 8
    assert region["endColumn"] == 12 and region["snippet"] == {"text": "salt"}
    fixes = [change(fix) for fix in results[1]["fixes"]]
    assert len(fixes) == 3 and all(fixes)
    # Without a finding it is a whole log, too.
    status, _, _ = scan("clean.txt", "--threshold", 0.99, *sarif)
    log = json.loads(output.read_text(encoding="utf8"))
    jsonschema.validate(log, SARIF)
    assert status == 0 and log["runs"][0]["results"] == []


def uri_of(result):
    return result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]


def change(fix):
    return fix["artifactChanges"][0]["replacements"][0]["insertedContent"]["text"]


def test_bad_input_is_one_message_and_status_2(folder):
    latin = folder / "latin.txt"
    latin.write_bytes("Ein Café\n".encode("latin1"))
    binary = folder / "binary.txt"
    binary.write_bytes(b"PK\x00\x00abc")
    clean = folder / "clean.txt"
    for arguments, code in (
        ((latin,), r"[SE505] {latin} is no text in UTF-8: after line 1"),
        ((binary,), "line 1 has a zero byte"),
        ((folder / "missing.txt",), "SE506"),
        ((folder / "docs" / ".hidden" / "nothing*",), "SE506"),
        ((clean, "--format", "xml"), "SE002"),
        ((clean, "--threshold", 0.5, "--false-marks", 2), "SE504"),
        ((clean, "--threshold", 5), "SE003"),
        ((clean, "--false-marks", 0), "SE003"),
        ((clean, "--suggestions", -1), "SE003"),
        ((clean, "--source", "./nothing_like_it"), "SE20"),
    ):
        status, output, told = scan(*arguments)
        expected = code.format(latin=latin)
        assert status == 2 and output == "", arguments
        assert expected in " ".join(told.split()), (arguments, told)


def test_an_unreadable_file_does_not_hide_the_others(folder):
    (folder / "docs" / "bad.txt").write_bytes(b"\xff\xfeabc")
    status, output, told = scan(
        folder / "docs", "--threshold", 0.9, "--format", "jsonl"
    )
    assert status == 2 and "SE505" in told and "1 could not be read" in told
    assert [json.loads(line)["word"] for line in output.splitlines()].count("salt") == 2


def test_mistakes_of_the_package_have_status_2_and_a_traceback(capsys):
    def wrong():
        raise KeyError("surprise")

    with pytest.raises(SystemExit) as ended:
        plain_errors(wrong, status=2)()
    assert ended.value.code == 2
    assert "KeyError: 'surprise'" in capsys.readouterr().err


def test_texts_without_words_have_nothing_suspicious(tmp_path):
    file = tmp_path / "empty.txt"
    for text in ("", "\n\n", "... --- 12\n"):
        file.write_text(text, encoding="utf8")
        assert rows_of(file) == []


def test_lines_of_any_length_keep_their_columns(tmp_path, monkeypatch):
    """Blocks are small here: they must not decide where a word is."""
    monkeypatch.setattr(scan_reading, "LONGEST_BLOCK", 20)
    long = "word " * 30 + "x" * 50
    text = f"\ufeffone two\r\nthree\n\n{long}\n  four\rfive"
    file = tmp_path / "text.txt"
    file.write_bytes(text.encode("utf8"))
    blocks = list(blocks_of(str(file), with_code=False))
    assert max(len(block.text) for block in blocks) <= 21
    found = {}
    for block in blocks:
        for match in re.finditer(r"\S+", block.text):
            found.setdefault(match[0], []).append(block.place_of(match.start()))
    assert found["one"] == [(1, 1)] and found["two"] == [(1, 5)]
    assert found["three"] == [(2, 1)]
    assert found["word"] == [(4, 1 + 5 * n) for n in range(30)]
    assert found["x" * 20] == [(4, 151), (4, 171)]
    assert found["four"] == [(5, 3)] and found["five"] == [(6, 1)]
    assert blocks[-1].position == len(text.encode("utf8"))


def test_files_are_read_a_few_paragraphs_at_a_time(tmp_path):
    """No more of a file is read than what was asked for, and some buffers."""
    file = tmp_path / "large.txt"
    file.write_text(f"{CLEAN}\n" * 50_000, encoding="utf8")
    blocks = blocks_of(str(file), with_code=False)
    for _ in range(100):
        block = next(blocks)
    assert block.position < 200_000 < file.stat().st_size
    blocks.close()


# The parts of the schema of SARIF 2.1.0 that are required, and those that are written.
_MESSAGE = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string"}},
}
_REGION = {
    "type": "object",
    "required": ["startLine"],
    "properties": {
        name: {"type": "integer", "minimum": 1}
        for name in ("startLine", "startColumn", "endLine", "endColumn")
    },
}
_ARTIFACT = {
    "type": "object",
    "properties": {"uri": {"type": "string", "pattern": r"^[^\s\\]+$"}},
}
_FIX = {
    "type": "object",
    "required": ["artifactChanges"],
    "properties": {
        "description": _MESSAGE,
        "artifactChanges": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["artifactLocation", "replacements"],
                "properties": {
                    "artifactLocation": _ARTIFACT,
                    "replacements": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["deletedRegion"],
                            "properties": {
                                "deletedRegion": _REGION,
                                "insertedContent": _MESSAGE,
                            },
                        },
                    },
                },
            },
        },
    },
}
_RESULT = {
    "type": "object",
    "required": ["message"],
    "properties": {
        "ruleId": {"type": "string"},
        "ruleIndex": {"type": "integer", "minimum": -1},
        "level": {"enum": ["none", "note", "warning", "error"]},
        "rank": {"type": "number", "minimum": -1, "maximum": 100},
        "message": _MESSAGE,
        "locations": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "physicalLocation": {
                        "type": "object",
                        "required": ["artifactLocation"],
                        "properties": {
                            "artifactLocation": _ARTIFACT,
                            "region": _REGION,
                        },
                    }
                },
            },
        },
        "partialFingerprints": {
            "type": "object",
            "additionalProperties": {"type": "string"},
        },
        "fixes": {"type": "array", "uniqueItems": True, "items": _FIX},
        "properties": {"type": "object"},
    },
    "additionalProperties": False,
}
_DRIVER = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "version": {"type": "string"},
        "shortDescription": _MESSAGE,
        "rules": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id"],
                "properties": {
                    "id": {"type": "string"},
                    "name": {"type": "string"},
                    "shortDescription": _MESSAGE,
                    "fullDescription": _MESSAGE,
                    "defaultConfiguration": {"type": "object"},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {"driver": _DRIVER},
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "results": {"type": "array", "items": _RESULT},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
