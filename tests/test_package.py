"""Imports go down only, and light ones stay light."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "spacy_electra"
# What each part may import of the others.
BELOW = {
    "checkpoints": set(),
    "tokenization": set(),
    "models": {"checkpoints"},
    "exchange": {"models", "tokenization", "checkpoints"},
    "pretraining": {"models", "tokenization", "checkpoints", "exchange"},
    "layers": {"models", "tokenization", "checkpoints"},
    "pipeline": {"models", "tokenization", "checkpoints", "pretraining", "layers"},
    "annotation": {
        "models",
        "tokenization",
        "checkpoints",
        "pretraining",
        "layers",
        "pipeline",
    },
    "cli": {
        "annotation",
        "models",
        "tokenization",
        "checkpoints",
        "exchange",
        "pretraining",
        "layers",
        "pipeline",
    },
}
FOREIGN = {
    "models": {"spacy", "thinc", "tokenizers", "transformers"},
    "tokenization": {"torch", "transformers"},
    "checkpoints": {"spacy", "thinc", "transformers"},
    "exchange": {"spacy", "thinc", "transformers"},
    "pretraining": {"spacy", "transformers", "spacy_transformers"},
    "layers": {"transformers", "spacy_transformers"},
    "pipeline": {"transformers", "spacy_transformers"},
    "annotation": {"transformers", "spacy_transformers", "thinc"},
}
# The only files that know a library which is foreign to the rest of their part:
# the adapter to spacy-transformers, the reader of .spacy files, and what makes tensors
# of lists where a tokenizer is asked for them.
ADAPTERS = {
    "tokenization/tensors.py": "torch",
    "layers/adapter.py": "spacy_transformers",
    "pretraining/corpus/formats.py": "spacy",
}
# The modules and folders inside of pretraining, from the bottom to the top: each one
# may import those before it.
PRETRAINING = (
    "corpus",
    "batches",
    "pairs",
    "masking",
    "samplers",
    "lexicon",
    "error_tables",
    "misspellings",
    "error_samplers",
    "objective",
    "electric",
    "error_detection",
    "disentangled",
    "optimizers",
    "start",
    "settings",
    "building",
    "evaluation",
    "run",
)
# Where names of the package may be imported by strings.
BY_STRING = {"__init__.py"}
# No part, but below all of them.
GROUND = {
    "errors",
    "extras",
    "files",
    "hub",
    "json_file",
    "metrics",
    "nearest",
    "ray_cluster",
    "source",
    "weight_files",
    "",
}


@cache
def nodes(file):
    return list(ast.walk(ast.parse(file.read_text(encoding="utf8"))))


def folder_of(file):
    """The package that relative imports of a file start from."""
    return ["spacy_electra", *file.relative_to(PACKAGE).parts[:-1]]


def base_of(node, file):
    """The absolute name of the module that an ``ImportFrom`` imports from."""
    inside = folder_of(file)
    base = inside[: len(inside) - node.level + 1] if node.level else []
    return ".".join([*base, node.module or ""]).strip(".")


def imports(file):
    """Absolute names of all modules that a file imports, in functions too."""
    for node in nodes(file):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield base_of(node, file)


def modules():
    """All modules of the package, by name."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = [*folder_of(file), *([] if file.stem == "__init__" else [file.stem])]
        found[".".join(parts)] = file
    return found


def imported_modules(file, known):
    """The modules of the package that a file needs; a package is its __init__.

    What only annotations need is not among them.
    """
    every = nodes(file)
    for_annotations = {
        inside
        for node in every
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inside in ast.walk(node)
    }
    for node in every:
        if node in for_annotations:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = base_of(node, file)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                if inner in known:
                    yield inner
                elif base in known:
                    yield base


def circle(graph):
    """The names along a circle of a graph, or none."""
    done, path = set(), []

    def visit(name):
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        path.append(name)
        for other in graph[name]:
            if found := visit(other):
                return found
        path.pop()
        done.add(name)
        return []

    return next(filter(None, map(visit, graph)), [])


def strings_that_import(file):
    """Names of the package that a file imports by a string, however it is called."""
    for node in nodes(file):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if called in ("import_module", "__import__"):
            first = ast.unparse(node.args[0])
            if "spacy_electra" in first or "__name__" in first or "'." in first:
                yield first


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
                assert inner in BELOW[part] | GROUND | {part}, where
            else:
                known = ADAPTERS.get(file.relative_to(PACKAGE).as_posix())
                assert top == known or top not in FOREIGN.get(part, set()), where


def test_ground_floor_stands_on_nothing():
    for name in sorted(GROUND - {""}):
        place = PACKAGE / name
        files = place.rglob("*.py") if place.is_dir() else [PACKAGE / f"{name}.py"]
        found = {module for file in files for module in imports(file)}
        inner = {m.split(".")[1] for m in found if m.startswith("spacy_electra.")}
        assert inner <= GROUND, name
        tops = {m.split(".")[0] for m in found} - {"spacy_electra"}
        assert not tops & {"torch", "spacy", "thinc"}, name


def test_imports_inside_pretraining_go_one_way():
    prefix = "spacy_electra.pretraining."
    known = modules()
    for name, file in known.items():
        if not name.startswith(prefix):
            continue
        own = PRETRAINING.index(name.removeprefix(prefix).split(".")[0])
        for other in imported_modules(file, known):
            if other.startswith(prefix):
                theirs = PRETRAINING.index(other.removeprefix(prefix).split(".")[0])
                assert theirs <= own, f"{name} imports {other}"


def test_no_module_imports_in_a_circle():
    known = modules()
    graph = {
        name: sorted(set(imported_modules(file, known)) - {name})
        for name, file in known.items()
    }
    assert len(graph["spacy_electra.pretraining.run.trainer"]) > 10
    assert circle(graph) == []


def test_circles_are_found():
    graph = {"a": ["b"], "b": ["c", "d"], "c": [], "d": ["b"]}
    assert circle(graph) == ["b", "d"]
    assert circle({**graph, "d": ["c"]}) == []


def test_no_import_hides_in_a_string():
    assert list(strings_that_import(PACKAGE / "__init__.py"))
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).as_posix()
        if name not in BY_STRING:
            assert list(strings_that_import(file)) == [], name


def test_every_part_of_the_package_is_held():
    parts = {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert parts == set(BELOW) | {"hub"}


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


def test_nothing_happens_at_import():
    # What a forked process must leave alone is said when there is something to fork.
    assert run(
        "import os\n"
        "hooks = []\n"
        "os.register_at_fork = lambda **given: hooks.extend(given.values())\n"
        "import spacy_electra.layers.heads, spacy_electra.pipeline.rtd\n"
        "from spacy_electra.layers.encoder import Encoder\n"
        "def own():\n"
        "    return sum('spacy_electra' in str(h.__module__) for h in hooks)\n"
        "print(own())\n"
        "Encoder(), Encoder()\n"
        "print(own())"
    ).split() == ["0", "3"]


def test_files_that_make_names_are_there():
    makefile = PACKAGE.parent / "Makefile"
    if not makefile.exists():
        pytest.skip("needs a checkout")
    named = re.findall(r"\btests/[\w/.]+", makefile.read_text(encoding="utf8"))
    assert len(named) > 5
    for name in named:
        assert (PACKAGE.parent / name).exists(), name
