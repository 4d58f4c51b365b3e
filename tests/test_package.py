"""Imports go down only, and light ones stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "spacy_electra"
# What each part may import of the others.
BELOW = {
    "models": set(),
    "tokenization": set(),
    "checkpoints": {"models"},
    "pretraining": {"models", "tokenization", "checkpoints"},
    "layers": {"models", "tokenization", "checkpoints"},
    "pipeline": {"models", "tokenization", "checkpoints", "pretraining", "layers"},
    "cli": {
        "models",
        "tokenization",
        "checkpoints",
        "pretraining",
        "layers",
        "pipeline",
    },
}
FOREIGN = {
    "models": {"spacy", "thinc", "tokenizers", "transformers"},
    "tokenization": {"torch", "transformers"},
    "checkpoints": {"spacy", "thinc", "transformers"},
    "pretraining": {"spacy", "transformers", "spacy_transformers"},
    "layers": {"transformers", "spacy_transformers"},
    "pipeline": {"transformers", "spacy_transformers"},
}
# The only files that know a library which is foreign to the rest of their part:
# the adapter to spacy-transformers, and the reader of .spacy files.
ADAPTERS = {
    "layers/adapter.py": "spacy_transformers",
    "pretraining/data/formats.py": "spacy",
}


def imports(file):
    """Absolute names of all modules that a file imports."""
    inside = ["spacy_electra", *file.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            yield ".".join([*base, node.module or ""]).rstrip(".")


@pytest.mark.parametrize("part", BELOW)
def test_imports_go_down_only(part):
    files = sorted((PACKAGE / part).rglob("*.py"))
    assert files
    for file in files:
        for name in imports(file):
            top, _, rest = name.partition(".")
            where = f"{file.relative_to(PACKAGE)} imports {name}"
            if top == "spacy_electra":
                inner = rest.split(".")[0]
                assert inner in BELOW[part] | {part, "errors", ""}, where
            else:
                known = ADAPTERS.get(file.relative_to(PACKAGE).as_posix())
                assert top == known or top not in FOREIGN.get(part, set()), where


def test_every_part_of_the_package_is_held():
    parts = {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert parts == set(BELOW)


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_importing_the_package_loads_neither_torch_nor_transformers():
    assert (
        run(
            "import sys, spacy_electra\n"
            "print([m for m in ('torch', 'transformers', 'spacy') if m in sys.modules])"
        ).strip()
        == "[]"
    )


def test_names_of_the_package_are_there():
    assert "ElectraConfig ElectraTokenizer" in run(
        "import spacy_electra as s\n"
        "print(s.ElectraConfig.__name__, s.ElectraTokenizer.__name__)"
    )


def test_component_needs_no_import_and_no_transformers():
    assert (
        run(
            "import sys, spacy\n"
            "nlp = spacy.blank('en'); nlp.add_pipe('electra_rtd')\n"
            "print(nlp.pipe_names, 'spacy_electra' in sys.modules)"
        )
        .strip()
        .startswith("['electra_rtd'] True")
    )


def test_only_electra_itself_needs_spacy_transformers():
    # spaCy imports every factory's module whenever it makes a pipeline.
    assert (
        run(
            "import sys\n"
            "import spacy_electra.cli.app, spacy_electra.pipeline.rtd\n"
            "import spacy_electra.pipeline.electra_factory\n"
            "heavy = ('spacy_transformers', 'matplotlib')\n"
            "print([name for name in heavy if name in sys.modules])"
        ).strip()
        == "[]"
    )
