"""Every head is complete: tests, component, config, documentation and benchmark."""

import inspect
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import spacy
from spacy.util import load_config, registry

from spacy_electra.models import ElectraModel
from spacy_electra.models.heads import HEADS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "spacy_electra"
TESTED_BY = {
    "outputs, layers and attentions equal Transformers'": (
        "tests/models/test_parity.py",
        ("test_outputs", "test_every_layer_and_all_attentions"),
    ),
    "losses and gradients equal Transformers'": (
        "tests/models/test_parity.py",
        ("test_losses_and_gradients",),
    ),
    "checkpoints go both ways": (
        "tests/models/test_heads.py",
        ("test_checkpoints_open_on_both_sides", "test_half_precision_files"),
    ),
}
# Lines of a file at most: "about 80" of a head's, "about 200" of a component's.
MODEL_LINES, COMPONENT_LINES = 85, 220


@pytest.fixture(scope="module")
def collected():
    """Names of the tests of heads with their parameters, as pytest finds them."""
    files = sorted({file for file, _ in TESTED_BY.values()})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, *files], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def factories():
    """The component of each head: name of its factory, and the component, empty."""
    nlp = spacy.blank("en")
    found = {}
    for entry in entry_points(group="spacy_factories"):
        if entry.name.startswith("electra_"):
            component = nlp.add_pipe(entry.name)
            head = component.model.kind.model_class.__name__
            assert head not in found, f"two components have {head}"
            found[head] = (entry.name, component)
    return found


@pytest.fixture(scope="module")
def tasks():
    """What ``benchmarks/heads.py`` measures."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from heads_tasks import TASKS
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return TASKS


@pytest.fixture(scope="module")
def rows():
    """The table of ``docs/heads.md``: the cells of each class."""
    text = (ROOT / "docs" / "heads.md").read_text(encoding="utf8")
    lines = re.findall(r"^\| (`Electra\w+`.*) \|$", text, re.MULTILINE)
    cells = [line.split(" | ") for line in lines]
    return {row[0].strip("`"): row for row in cells}


@pytest.fixture(params=HEADS, ids=str)
def head(request):
    return request.param


@pytest.mark.parametrize("what", TESTED_BY)
def test_each_head_has_this_test(what, head, collected):
    file, tests = TESTED_BY[what]
    for test in tests:
        name = re.compile(rf"^{file}::{test}\[.*\b{head}\b.*\]$")
        assert any(map(name.match, collected)), f"{test} leaves out {head}: {what}"


def test_each_head_has_a_component_and_an_architecture(head, factories):
    assert head in factories, f"no factory has {head}"
    factory, component = factories[head]
    config = spacy.blank("en").get_factory_meta(factory).default_config
    name = config["model"]["@architectures"]
    assert registry.has("architectures", name)
    assert name in {entry.name for entry in entry_points(group="spacy_architectures")}
    assert component.model.kind.model_class is HEADS[head]
    assert config["scorer"]["@scorers"] in {
        entry.name for entry in entry_points(group="spacy_scorers")
    }


def configs_of(factory):
    """Names of the configs that ship and use a factory."""
    found = set()
    for file in sorted((ROOT / "configs").glob("*.cfg")):
        config = load_config(file, interpolate=False)
        for component in config.get("components", {}).values():
            if component.get("factory") == factory:
                found.add(file.stem)
    return found


def test_each_head_has_a_config(head, factories):
    factory, _ = factories[head]
    assert configs_of(factory), f"no config uses {factory}"


def test_each_head_is_in_the_documentation(head, factories, rows, tasks):
    factory, _ = factories[head]
    assert head in rows, f"docs/heads.md has no row for {head}"
    _, named, architecture, _, configs, _, measured = rows[head]
    assert factory in named
    meta = spacy.blank("en").get_factory_meta(factory)
    assert meta.default_config["model"]["@architectures"] in architecture
    assert set(re.findall(r"`(\w+)`", configs)) == configs_of(factory)
    own = {name for name, task in tasks.items() if task.loop.name == head}
    assert set(re.findall(r"`(\w+)`", measured)) == own


def test_each_class_has_a_section_with_an_example():
    text = (ROOT / "docs" / "heads.md").read_text(encoding="utf8")
    for cls in (ElectraModel, *HEADS.values()):
        section = re.search(
            rf"^## {cls.__name__}\b.*?(?=^## )", text, re.MULTILINE | re.DOTALL
        )
        assert section, f"no section on {cls.__name__}"
        assert f'make_checkpoint("{cls.__name__}"' in section[0]


def test_each_head_has_a_benchmark(head, factories, tasks):
    factory, _ = factories[head]
    own = [task for task in tasks.values() if task.loop.name == head]
    assert own, f"benchmarks/heads.py does not measure {head}"
    assert all(task.factory == factory for task in own)


def test_no_file_of_a_head_is_long(head, factories):
    _, component = factories[head]
    for thing, most in (
        (HEADS[head], MODEL_LINES),
        (type(component), COMPONENT_LINES),
    ):
        file = Path(inspect.getfile(thing))
        name = file.relative_to(PACKAGE).as_posix()
        lines = len(file.read_text(encoding="utf8").splitlines())
        assert lines <= most, f"{name} has {lines} lines"
