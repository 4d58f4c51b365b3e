"""A Ray cluster annotates what one process does, and a worker may die."""

import json
import os
import signal
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import spacy

from spacy_electra.annotation import ray_engine
from spacy_electra.annotation.run import annotate_files
from spacy_electra.annotation.settings import AnnotationSettings

ray = pytest.importorskip("ray", reason="needs Ray, the extra `ray`")
ROWS = 300


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A pipeline, and two files in which every 20th row is bad."""
    folder = tmp_path_factory.mktemp("ray")
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(folder / "pipeline")
    for name, numbers in (("a", range(ROWS)), ("b", range(ROWS, ROWS + 20))):
        rows = [
            {"id": n} if n % 20 == 7 else {"id": n, "text": f"Number {n}. Its end."}
            for n in numbers
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf8")
    return folder


def run(inputs, output, **options):
    settings = AnnotationSettings(str(inputs / "pipeline"), shard_size=10)
    paths = [str(inputs / "a.jsonl"), str(inputs / "b.jsonl")]
    return annotate_files(paths, output, settings, **options)


def results(folder):
    """The files of results and errors, by name."""
    files = [*folder.glob("part-*"), *folder.glob("errors/*")]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_no_row_is_lost_or_doubled_when_a_worker_is_killed(
    inputs, ray_cluster, tmp_path
):
    killed = []

    def kill_one(report):
        workers = sorted(ray_cluster("RayAnnotator"))
        if workers and not killed:
            killed.append(workers[0])
            os.kill(killed[0], signal.SIGKILL)

    summary = run(
        inputs, tmp_path / "ray", engine="ray", processes=2, on_shard=kill_one
    )
    assert (summary.shards, summary.rows, summary.bad) == (32, 304, 16)
    assert killed and killed[0] not in ray_cluster()
    run(inputs, tmp_path / "here")
    expected = results(tmp_path / "here")
    assert len(expected) == 32 + 16
    assert results(tmp_path / "ray") == expected
    assert {f.name for f in (tmp_path / "ray").iterdir() if f.is_file()} == {
        f.name for f in (tmp_path / "here").iterdir() if f.is_file()
    }


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_goes_on_with_another_engine(inputs, tmp_path):
    run(inputs, tmp_path / "out")
    expected = results(tmp_path / "out")
    for name in ("part-00000-00003.jsonl", "part-00001-00001.jsonl"):
        (tmp_path / "out" / name).unlink()
    summary = run(inputs, tmp_path / "out", engine="ray", resume=True)
    assert (summary.shards, summary.done_before) == (32, 30)
    assert results(tmp_path / "out") == expected


class WithoutCluster:
    """As much of Ray as hands out shards, with one answer to every shard."""

    exceptions = ray.exceptions

    def __init__(self, error):
        self.error = error
        self.begun = []

    def cluster_resources(self):
        return {"CPU": 1.0}

    def remote(self, **needs):
        worker = SimpleNamespace(
            begin=SimpleNamespace(remote=object),
            annotate=SimpleNamespace(remote=self.begin),
        )
        return lambda kind: SimpleNamespace(remote=lambda *given: worker)

    def begin(self, shard):
        self.begun.append(shard.name)
        return shard.name

    def wait(self, answers, num_returns):
        return answers[:num_returns], answers[num_returns:]

    def get(self, answer):
        if isinstance(answer, str):
            raise self.error


@pytest.mark.parametrize(
    ("error", "kind", "message", "tries"),
    [
        (ray.exceptions.ActorDiedError(), RuntimeError, "SE661.*part-00000-00000", 3),
        (
            ray.exceptions.RayTaskError("annotate", "", ValueError("no such file")),
            ValueError,
            "^no such file$",
            1,
        ),
    ],
)
def test_what_no_worker_can_do_is_one_error(
    inputs, tmp_path, monkeypatch, error, kind, message, tries
):
    without = WithoutCluster(error)
    joined = nullcontext(without)
    monkeypatch.setattr(ray_engine, "joined_cluster", lambda: joined)
    with pytest.raises(kind, match=message), pytest.warns(UserWarning, match="SW656"):
        run(inputs, tmp_path / "out", engine="ray", processes=2)
    assert without.begun.count("part-00000-00000") == tries
    assert not results(tmp_path / "out")
