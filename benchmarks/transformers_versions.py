"""Which versions of Transformers open our checkpoints, and we theirs: tests with each.

Each version goes, with what it needs, into a folder of its own that stands before the
environment's own packages, which stay as they are.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import srsly
from machine import RESULTS

ROOT = Path(__file__).parents[1]
VERSIONS = ("4.40.2", "4.45.2", "4.53.3", "4.57.6", "5.24.0")
# Checkpoints in both directions, equal outputs, losses and ids.
TESTS = (
    "tests/checkpoints/test_reading.py",
    "tests/models/test_heads.py",
    "tests/models/test_parity.py",
    "tests/tokenization/test_calls.py",
    "tests/tokenization/test_wordpiece.py",
)
# Of what pip brings along, only these differ between the versions.
OWN = ("transformers", "tokenizers", "huggingface_hub")
SAYS = "import {0}; print({0}.__version__)"


def install(version: str, folder: Path) -> None:
    """Put a version, and the versions of others that it asks for, into a folder."""
    wanted = [f"transformers=={version}"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target"]
    subprocess.run([*command, str(folder), *wanted], check=True)


def run(folder: Path, *arguments: str) -> str:
    """The output of Python with the packages of a folder before all others."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    ).stdout


def tried(version: str, folder: Path) -> dict[str, object]:
    """What came out of the tests with a version."""
    if not folder.exists():
        install(version, folder)
    row: dict[str, object] = {
        name: run(folder, "-c", SAYS.format(name)).strip() for name in OWN
    }
    assert row["transformers"] == version, row
    output = run(folder, "-m", "pytest", "-q", "--tb=line", *TESTS)
    for outcome in ("passed", "failed", "error", "skipped"):
        found = re.search(rf"(\d+) {outcome}", output.splitlines()[-1])
        row[outcome] = int(found[1]) if found else 0
    row["failures"] = re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    return row


def main() -> None:
    """Print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", type=Path, help="Folder for the versions")
    parser.add_argument("--version", action="append", help="May be repeated")
    arguments = parser.parse_args()
    rows = []
    for version in arguments.version or VERSIONS:
        rows.append(tried(version, arguments.packages.absolute() / version))
        print(rows[-1], flush=True)
    srsly.write_json(RESULTS / "transformers_versions.json", rows)


if __name__ == "__main__":
    main()
