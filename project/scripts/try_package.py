"""Install a pipeline's wheel in a new virtual environment and run it there, offline.

The wheel alone is installed, by pip, without an index. What it requires (spaCy, torch,
this package) is not downloaded again: a .pth file of the new environment leads to the
site-packages of this one, and the versions there are checked against the wheel's
requirements. Then the pipeline runs in another folder, where opening a connection is
an error, and its result must equal that of the pipeline that was packaged.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

import spacy
import srsly
import typer
from spacy.tokens import Doc
from wasabi import msg

TEXT = "Sue don't thinks that the last train to Aberdeen fake here in July."
RUN = """
import importlib.metadata, json, socket, sys

def refuse(*arguments, **settings):
    raise OSError("This pipeline must run offline")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse

from packaging.requirements import Requirement

name, text = sys.argv[1:]
requirements = importlib.metadata.requires(name) or []
for requirement in map(Requirement, requirements):
    found = importlib.metadata.version(requirement.name)
    assert requirement.specifier.contains(found, prereleases=True), (requirement, found)

import spacy

nlp = spacy.load(name)
assert nlp.path.is_relative_to(sys.prefix), nlp.path
doc = nlp(text)
groups = doc.spans.items()
scores = {key: list(map(float, g.attrs.get("scores", ()))) for key, g in groups}
said = {"doc": doc.to_json(), "scores": scores}
print(json.dumps({"requirements": requirements, **said}))
"""


def main(
    wheel: Path = typer.Argument(..., help="What `pip wheel` made", exists=True),
    pipeline: Path = typer.Argument(..., help="What was packaged", exists=True),
    metrics: Path = typer.Argument(..., help="JSON file to write"),
) -> None:
    """Install, run, compare."""
    name = wheel.name.split("-")[0]
    expected = spacy.load(pipeline)(TEXT)
    said = {"doc": expected.to_json(), "scores": scores_of(expected)}
    with tempfile.TemporaryDirectory() as folder:
        python = make_environment(Path(folder) / "environment")
        install(python, wheel)
        done = subprocess.run(
            [python, "-c", RUN, name, TEXT],
            cwd=folder,
            env=offline_environment(),
            capture_output=True,
            text=True,
        )
    if done.returncode:
        msg.fail("The pipeline does not run", done.stderr, exits=1)
    result = json.loads(done.stdout.splitlines()[-1])
    requirements = result.pop("requirements")
    if result != json.loads(json.dumps(said)):
        msg.fail(f"{wheel} and {pipeline} do not say the same of {TEXT!r}", exits=1)
    print_marks(expected)
    megabytes = wheel.stat().st_size / 1e6
    srsly.write_json(
        metrics, {"wheel_megabytes": megabytes, "requirements": requirements}
    )
    msg.good(f"{wheel.name} ({megabytes:.1f} MB) installs and runs offline")


def make_environment(folder: Path) -> str:
    """An environment with nothing but a way to the packages of this one."""
    venv.create(folder, with_pip=False)
    scripts = "Scripts" if os.name == "nt" else "bin"
    python = folder / scripts / Path(sys.executable).name
    own = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    parents = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    lines = [f"import site; site.addsitedir({parent!r})" for parent in sorted(parents)]
    Path(own, "parent.pth").write_text("\n".join(lines) + "\n", encoding="utf8")
    return str(python)


def install(python: str, wheel: Path) -> None:
    """Install a wheel by this environment's pip, without an index."""
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*command, "--no-index", "--no-deps", str(wheel)], check=True)


def offline_environment() -> dict[str, str]:
    """Variables of this process; the hub's library is told to stay offline, too."""
    return {**os.environ, "HF_HUB_OFFLINE": "1"}


def scores_of(doc: Doc) -> dict[str, list[float]]:
    """The scores of each span group, where it has any."""
    groups = doc.spans.items()
    return {key: list(map(float, g.attrs.get("scores", ()))) for key, g in groups}


def print_marks(doc: Doc) -> None:
    """Print what the pipeline found."""
    scores = scores_of(doc)
    for key, group in doc.spans.items():
        rows = [
            (span.text, span.label_, f"{score:.3f}")
            for span, score in zip(group, scores[key], strict=False)
        ]
        msg.table(rows, header=(f"doc.spans[{key!r}]", "Label", "Score"), divider=True)


if __name__ == "__main__":
    typer.run(main)
