"""Every row of every format comes out once, annotated, or is told among the errors."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span, Token
from typer.testing import CliRunner

from spacy_electra.annotation import engines
from spacy_electra.annotation.form import Form
from spacy_electra.annotation.run import annotate_files
from spacy_electra.annotation.settings import AnnotationSettings
from spacy_electra.cli.app import app

TEXTS = [f"Text number {n}. It has two sentences." for n in range(10)]


@Language.component("fails_on_seven")
def fails_on_seven(doc):
    if "number 7" in doc.text:
        raise ValueError("seven is not for me")
    return doc


@Language.component("colours", assigns=["token._.colour", "doc._.mood", "doc.spans"])
def colours(doc):
    for token in doc:
        token._.colour = len(token) / 10
    group = [Span(doc, 0, 1, label="FIRST")]
    doc.spans["first"] = group
    doc.spans["first"].attrs["scores"] = [0.75]
    group[0]._.fix = ["Word"]
    doc._.mood = {"good": float("nan")}
    doc._.thing = object()
    doc.cats = {"A": 1.0}
    return doc


@pytest.fixture(autouse=True)
def extensions():
    for owner, names in (
        (Token, ["colour"]),
        (Span, ["fix"]),
        (Doc, ["mood", "thing"]),
    ):
        for name in names:
            owner.set_extension(name, default=None, force=True)


@pytest.fixture
def pipeline(tmp_path):
    """A folder with a pipeline that splits sentences."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "pipeline")
    return str(tmp_path / "pipeline")


@pytest.fixture
def lines(tmp_path):
    """A .jsonl of ten rows with ids."""
    file = tmp_path / "rows.jsonl"
    write_lines(file, [{"id": i, "text": text} for i, text in enumerate(TEXTS)])
    return file


def write_lines(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")


def whole_files(folder):
    return sorted(
        file for file in folder.glob("part-*.jsonl") if ".part" not in file.name
    )


def read_lines(folder):
    return [
        json.loads(line)
        for file in whole_files(folder)
        for line in file.read_text(encoding="utf8").splitlines()
    ]


def run(paths, output, pipeline, **options):
    names = ("engine", "processes", "resume", "on_shard")
    run_options = {name: options.pop(name) for name in names if name in options}
    settings = AnnotationSettings(pipeline, **{"shard_size": 3, **options})
    return annotate_files(
        [str(path) for path in paths], output, settings, **run_options
    )


def test_rows_keep_their_fields_and_get_annotations(lines, pipeline, tmp_path):
    summary = run([lines], tmp_path / "out", pipeline)
    assert (summary.shards, summary.rows, summary.bad) == (4, 10, 0)
    assert summary.words == 90
    rows = read_lines(tmp_path / "out")
    assert [(row["id"], row["text"]) for row in rows] == list(enumerate(TEXTS))
    assert rows[0]["annotation"] == {
        "sents": [{"start": 0, "end": 14}, {"start": 15, "end": 36}]
    }
    assert not list((tmp_path / "out").glob("errors/*"))
    assert not list((tmp_path / "out").rglob("*.part*"))


def test_every_format_is_read_compressed_too(pipeline, tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "in"
    folder.mkdir()
    with gzip.open(folder / "a.txt.gz", "wt", encoding="utf8") as stream:
        stream.write("One text.\nIts end.\n\nAnother text.\n")
    write_lines(folder / "b.jsonl", [{"text": "A line."}])
    table = arrow.table({"text": ["A column."], "n": arrow.array([7], arrow.int8())})
    parquet.write_table(table, folder / "c.parquet")
    doc = spacy.blank("en")("A Doc.")
    doc.user_data["kept"] = 1
    DocBin(docs=[doc], store_user_data=True).to_disk(folder / "d.spacy")
    run([folder], tmp_path / "out", pipeline)
    rows = read_lines(tmp_path / "out")
    assert [row["text"] for row in rows] == [
        *("One text.\nIts end.", "Another text.", "A line.", "A column.", "A Doc."),
    ]
    assert rows[3]["n"] == 7
    names = sorted(file.name for file in (tmp_path / "out").glob("part-*"))
    assert names == [f"part-{n:05}-00000.jsonl" for n in range(4)]


def test_parquet_keeps_the_types_of_columns(pipeline, tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {
        "text": TEXTS,
        "n": arrow.array(range(10), arrow.int8()),
        "when": arrow.array([10**6] * 10, arrow.timestamp("ms")),
    }
    parquet.write_table(arrow.table(columns), tmp_path / "rows.parquet")
    run([tmp_path / "rows.parquet"], tmp_path / "out", pipeline, format="parquet")
    found = parquet.read_table(tmp_path / "out" / "part-00000-00003.parquet")
    assert str(found.schema.field("n").type) == "int8"
    assert str(found.schema.field("when").type) == "timestamp[ms]"
    assert found["n"].to_pylist() == [9]
    assert json.loads(found["annotation"][0].as_py())["sents"][0]["start"] == 0


def test_parquet_of_lines_whose_kinds_differ_holds_json_and_says_so(pipeline, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"text": "a", "x": 1}, {"text": "b", "x": "one"}, {"text": "c"}]
    write_lines(tmp_path / "rows.jsonl", rows)
    summary = run(
        [tmp_path / "rows.jsonl"], tmp_path / "out", pipeline, format="parquet"
    )
    found = parquet.read_table(tmp_path / "out" / "part-00000-00000.parquet")
    assert found["x"].to_pylist() == ["1", '"one"', None]
    assert any("SW641" in warning for warning in summary.warnings)


def test_docbin_holds_docs_with_the_fields_of_their_rows(lines, pipeline, tmp_path):
    run([lines], tmp_path / "out", pipeline, format="docbin")
    docs = [
        doc
        for file in sorted((tmp_path / "out").glob("*.spacy"))
        for doc in DocBin().from_disk(file).get_docs(spacy.blank("en").vocab)
    ]
    assert [doc.text for doc in docs] == TEXTS
    assert [doc.user_data["fields"]["id"] for doc in docs] == list(range(10))
    assert len(list(docs[0].sents)) == 2


BAD = [
    (b"{oops", "SE375"),
    (b'{"no": "text"}', "SE376"),
    (b'{"text": 5}', "SE376"),
    (b'["text"]', "SE376"),
    (b'{"text": "\\ud800"}', "SE376"),
    (b'{"text": " "}', "SE642"),
    (b'{"text": "\xff"}', "SE402"),
    (b'{"text": "' + b"x" * 60 + b'"}', "SE643"),
    (b'{"text": "a", "annotation": 1}', "SE641"),
    (b'{"text": "a", "other": "\\ud800"}', "SE647"),
    (b'{"text": "number 7"}', "ValueError: seven is not for me"),
]


def test_bad_rows_are_told_with_place_and_reason(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("fails_on_seven")
    nlp.to_disk(tmp_path / "pipeline")
    good = b'{"text": "good"}'
    lines = [part for line, _ in BAD for part in (line, good)]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines))
    summary = run(
        [tmp_path / "rows.jsonl"],
        tmp_path / "out",
        str(tmp_path / "pipeline"),
        max_length=50,
        shard_size=7,
    )
    assert (summary.rows, summary.bad) == (len(BAD), len(BAD))
    told = read_lines(tmp_path / "out" / "errors")
    assert [row["place"] for row in told] == [
        f"line {2 * n + 1}" for n in range(len(BAD))
    ]
    for (_, code), row in zip(BAD, told, strict=True):
        assert code in row["reason"]
        assert row["file"].endswith("rows.jsonl")
    assert len(read_lines(tmp_path / "out")) == len(BAD)


def test_file_that_is_cut_short_gives_its_first_rows(pipeline, tmp_path):
    whole = gzip.compress(b"".join(b'{"text": "row %d"}\n' % n for n in range(9_000)))
    (tmp_path / "rows.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    summary = run(
        [tmp_path / "rows.jsonl.gz"], tmp_path / "out", pipeline, shard_size=5000
    )
    assert summary.rows > 1000
    assert summary.bad == 1
    (row,) = read_lines(tmp_path / "out" / "errors")
    assert row["place"] == "the rest of the file"
    assert "SE403" in row["reason"]


def test_annotations_have_the_form_that_is_documented(nlp):
    nlp.add_pipe("colours")
    form = Form.of(nlp)
    doc = nlp.make_doc("Wrd one")
    with pytest.warns(UserWarning, match=r"doc\._\.thing"):
        assert form.annotation(nlp(doc)) == {
            "tokens": [
                {"start": 0, "end": 3, "colour": 0.3},
                {"start": 4, "end": 7, "colour": 0.3},
            ],
            "spans": {
                "first": [
                    {
                        "start": 0,
                        "end": 3,
                        "text": "Wrd",
                        "label": "FIRST",
                        "score": 0.75,
                        "fix": ["Word"],
                    }
                ]
            },
            "_": {"mood": {"good": None}},
        }


def test_what_is_written_can_be_chosen(nlp):
    nlp.add_pipe("colours")
    form = Form.of(nlp, ["doc.cats", "token.lower"])
    assert form.annotation(nlp("Wrd")) == {
        "tokens": [{"start": 0, "end": 3, "lower": "wrd"}],
        "cats": {"A": 1.0},
    }
    for name in ("token._.nothing", "doc.tensor", "colour", "token.nothing", ""):
        with pytest.raises(ValueError, match="SE645"):
            Form.of(nlp, [name])
    with pytest.raises(ValueError, match="SE646"):
        Form.of(nlp, ["doc._.thing"]).annotation(nlp("Wrd"))


def test_what_stood_on_a_doc_before_is_no_annotation(nlp):
    nlp.add_pipe("sentencizer")
    doc = nlp.make_doc("One.")
    doc._.mood = "old"
    known = set(doc.user_data)
    assert "_" not in Form.of(nlp).annotation(nlp(doc), known)


def test_marks_of_electra_rtd_are_written(lines, tmp_path):
    nlp = spacy.blank("en")
    config = {"score_attribute": "own_score", "threshold": 0.0}
    nlp.add_pipe("electra_rtd", config=config).model.initialize()
    nlp.to_disk(tmp_path / "pipeline")
    run([lines], tmp_path / "out", str(tmp_path / "pipeline"))
    annotation = read_lines(tmp_path / "out")[3]["annotation"]
    doc = spacy.load(tmp_path / "pipeline")(TEXTS[3])
    scores = [token["own_score"] for token in annotation["tokens"]]
    assert scores == pytest.approx([token._.own_score for token in doc], abs=1e-5)
    assert {span["label"] for span in annotation["spans"]["rtd"]} == {"REPLACED"}
    assert len(annotation["spans"]["rtd"]) == len(doc)
    assert all("score" in span for span in annotation["spans"]["rtd"])


def test_fields_are_given_to_components_that_ask_for_them(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "pipeline")
    row = {"text": "One.", "mood": "fine"}
    write_lines(tmp_path / "rows.jsonl", [row, {"text": "Two."}])
    run(
        [tmp_path / "rows.jsonl"],
        tmp_path / "out",
        str(tmp_path / "pipeline"),
        inputs=("mood",),
        annotations=("doc._.mood",),
    )
    found = [row["annotation"] for row in read_lines(tmp_path / "out")]
    assert found == [{"_": {"mood": "fine"}}, {"_": {"mood": None}}]


KILLED = """
import os, signal, sys
from pathlib import Path
from spacy.language import Language

@Language.component("dies_once")
def dies_once(doc):
    if "number 7" in doc.text:
        os.kill(os.getpid(), signal.SIGKILL)
    return doc

if __name__ == "__main__":
    from spacy_electra.annotation.run import annotate_files
    from spacy_electra.annotation.settings import AnnotationSettings
    lines, pipeline, output, processes = sys.argv[1:]
    settings = AnnotationSettings(pipeline, shard_size=2)
    annotate_files([lines], Path(output), settings, processes=int(processes))
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_no_row_is_lost_or_doubled_when_a_process_is_killed(lines, tmp_path, processes):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    Language.component("dies_once", func=lambda doc: doc)
    nlp = spacy.blank("en")
    nlp.add_pipe("dies_once")
    nlp.to_disk(tmp_path / "pipeline")
    pipeline, out = str(tmp_path / "pipeline"), tmp_path / "out"
    command = [sys.executable, str(script), str(lines), pipeline, str(out)]
    first = subprocess.run([*command, str(processes)], capture_output=True, text=True)
    if processes == 1:
        assert first.returncode == -signal.SIGKILL
    else:
        assert "SE650" in first.stderr
    # Shards are taken in turn: when a process dies at the 4th, each other process is at
    # one of the shards before it, or behind it, and the rest of those before is done.
    before = {row["id"] for row in read_lines(out)}
    assert before.isdisjoint({6, 7})
    assert len(before & set(range(6))) >= 6 - 2 * (processes - 1)
    kept = {file: file.stat().st_mtime_ns for file in whole_files(out)}
    run([lines], out, pipeline, shard_size=2, resume=True)
    assert [row["id"] for row in read_lines(out)] == list(range(10))
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items())
    assert not list(out.rglob("*.part*"))
    run([lines], tmp_path / "whole", pipeline, shard_size=2)
    for file in (tmp_path / "whole").glob("part-*"):
        assert (out / file.name).read_bytes() == file.read_bytes()


def test_a_finished_run_is_not_done_again(lines, pipeline, tmp_path):
    run([lines], tmp_path / "out", pipeline)
    summary = run([lines], tmp_path / "out", pipeline, resume=True)
    assert (summary.shards, summary.done_before, summary.rows) == (4, 4, 0)
    (tmp_path / "out" / "part-00000-00002.jsonl").unlink()
    reports = []
    run([lines], tmp_path / "out", pipeline, resume=True, on_shard=reports.append)
    assert [report.was_done for report in reports] == [True, True, False, True]
    assert len(read_lines(tmp_path / "out")) == 10


def test_only_the_same_run_is_resumed(lines, pipeline, tmp_path):
    out = tmp_path / "out"
    run([lines], out, pipeline)
    with pytest.raises(ValueError, match="SE653"):
        run([lines], out, pipeline)
    with pytest.raises(ValueError, match="shard_size was 3 and is 4"):
        run([lines], out, pipeline, resume=True, shard_size=4)
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer", config={"punct_chars": ["!"]})
    nlp.to_disk(tmp_path / "other")
    with pytest.raises(ValueError, match="the pipeline is not that of"):
        run([lines], out, str(tmp_path / "other"), resume=True)
    with lines.open("a") as stream:
        stream.write('{"text": "more"}\n')
    with pytest.raises(ValueError, match=r"input changed: .*rows\.jsonl"):
        run([lines], out, pipeline, resume=True)
    (out / "annotation.json").write_text("{")
    with pytest.raises(ValueError, match="SE655"):
        run([lines], out, pipeline, resume=True)
    (out / "annotation.json").unlink()
    with pytest.raises(ValueError, match="SE652"):
        run([lines], out, pipeline, resume=True)


def test_wrong_settings_are_named(lines, pipeline, tmp_path):
    out = tmp_path / "out"
    for options, code in (
        ({"format": "csv"}, "SE002"),
        ({"engine": "spark"}, "SE002"),
        ({"shard_size": 0}, "SE003"),
        ({"processes": 0}, "SE003"),
        ({"annotation_field": "text"}, "SE640"),
        ({"annotations": ("doc._.nothing",)}, "SE645"),
    ):
        with pytest.raises(ValueError, match=code):
            run([lines], out, pipeline, **options)
    with pytest.raises(ValueError, match="SE648"):
        run([lines], out, str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="SE644"):
        run([tmp_path], tmp_path / "out", pipeline)
    with pytest.raises(FileNotFoundError, match="SE400"):
        run([tmp_path / "nothing.jsonl"], out, pipeline)


def test_a_file_that_two_paths_lead_to_is_read_once(lines, pipeline, tmp_path):
    run([lines, tmp_path / "*.jsonl"], tmp_path / "out", pipeline)
    assert len(read_lines(tmp_path / "out")) == 10


def test_few_shards_wait_for_processes(tmp_path, monkeypatch):
    given, taken = [], []

    class Executor:
        def __init__(self, *args):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def submit(self, work, shard):
            given.append(shard)
            assert len(given) - len(taken) < 6
            future = engines.Future()
            future.set_result(shard)
            return future

    monkeypatch.setattr(engines, "ProcessPoolExecutor", Executor)
    for report in engines.in_processes(range(50), None, tmp_path, 2):
        taken.append(report)
    assert taken == list(range(50))


def test_the_command_says_what_came_of_it(lines, pipeline, tmp_path):
    with lines.open("a") as stream:
        stream.write("no json\n")
    command = ["annotate", str(lines), str(lines), str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*command, "--pipeline", pipeline])
    assert result.exit_code == 0, result.output
    assert "Annotated 10 rows (90 words)" in result.output
    assert "1 rows could not be annotated" in result.output
    again = CliRunner().invoke(app, [*command, "--pipeline", pipeline])
    assert again.exit_code == 1
    assert "SE653" in again.output
    assert os.listdir(tmp_path / "out" / "errors") == ["part-00000-00000.jsonl"]
