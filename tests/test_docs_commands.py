"""Commands and configs of the documentation run as they are written, on small data."""

import re
import shlex
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.cli._util import app as spacy_app
from spacy.tokens import DocBin, Span
from spacy.training import Example
from thinc.api import Config
from typer.testing import CliRunner

from spacy_electra.cli.app import app as electra_app
from spacy_electra.tokenization import ElectraTokenizer

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/**/*.md")),
)
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What is not run here, by how it begins, and where it is run instead.
ELSEWHERE = {
    "make ": "by continuous integration",
    "pip ": "needs an index",
    "unzip ": "needs what pip fetched",
    "awk ": "needs what pip fetched",
    "export ": "sets the environment",
    "xz ": "needs the corpus",
    ".venv/bin/python -m pytest": "it is this test suite",
    "torchrun ": "tests/pretraining/run/test_distributed.py, tests/cli/test_train.py",
    "python -m spacy electra annotate --engine ray": "tests/annotation/test_ray.py",
    "python -m spacy electra prepare --engine ray": "tests/pretraining/corpus",
    "python project/scripts/": "tests/test_project.py",
    "python -m spacy project run": "`make project`",
    "python -m spacy electra convert": "tests/cli/test_convert.py",
    "python -m spacy electra quantize": "tests/layers/test_quantization.py",
    "mkdocs ": "by continuous integration",
}
# Runs of hours, on data that lies elsewhere: their files and options are checked.
BENCHMARK = "python benchmarks/"
# Recipes of the bundled checkpoints: hours on the whole corpus.
RECIPES = ("docs/checkpoints/en_small.md", "docs/checkpoints/en_tiny.md")
# A config of spacy-transformers.
THEIRS = {
    "name": "google/electra-small-discriminator",
    "tokenizer_config": {"use_fast": True},
    "transformer_config": {},
    "mixed_precision": False,
    "grad_scaler_config": {},
    "get_spans": {
        "@span_getters": "spacy-transformers.strided_spans.v1",
        "window": 128,
        "stride": 96,
    },
}
TEXT = (
    "The river floods the valley every spring, and the farmers wait for it. "
    "She walked slowly down the road, thinking of her brother and his ship."
)


def blocks(kind):
    """The blocks of a kind of each page, one after the other."""
    for page in PAGES:
        found = FENCE.findall((ROOT / page).read_text(encoding="utf8"))
        chosen = [text for name, text in found if name == kind]
        if chosen:
            yield page, chosen


def commands_of(block):
    """The commands of a shell block, without comments; lines that go on are joined."""
    for line in block.replace("\\\n", " ").split("\n"):
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            del words[0]
        if words:
            yield words


def small(config):
    """A shipped config with a budget of two steps and networks of two thin layers."""
    training = config["training"]
    if "nlp" in config:
        training.update(max_steps=1, eval_frequency=1, max_epochs=0)
        return config
    training.update(max_steps=2, max_minutes=0, max_tokens=0, evaluate_every=2)
    training.update(save_every=2, report_every=1, most_repeats=0.0, precision="fp32")
    training["evaluate_sequences"] = 8
    config["data"].update(length=32, batch_size=4, batch_tokens=0)
    config["model"]["discriminator"] = {
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "embedding_size": 32,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    return config


@pytest.fixture
def folder(tmp_path):
    """Where the commands run: the files that they name, and the configs, made small."""
    folder = tmp_path
    (folder / "texts").mkdir()
    ElectraTokenizer.from_pretrained("en_tiny").save_pretrained(
        folder / "corpus" / "tokenizer"
    )
    lines = [f"{TEXT} It was the year {year}.\n\n" for year in range(1700, 1900)]
    (folder / "texts" / "some.txt").write_text("".join(lines), encoding="utf8")
    (folder / "held_out.txt").write_text("".join(lines[:40]), encoding="utf8")
    nlp = spacy.blank("en")
    docs = [nlp(TEXT) for _ in range(4)]
    for doc in docs:
        doc.spans["rtd"] = [Span(doc, 2, 3, "REPLACED")]
        for token in doc:
            token.tag_ = token.text[0]
    for name in ("train", "dev"):
        DocBin(docs=docs).to_disk(folder / f"{name}.spacy")
    nlp.add_pipe("electra_rtd", config={"objective": "supervised"})
    nlp.initialize(lambda: [Example(nlp.make_doc(TEXT), doc) for doc in docs])
    nlp.to_disk(folder / "my_pipeline")
    srsly.write_jsonl(folder / "texts.jsonl", [{"text": TEXT}] * 3)
    (folder / "configs").mkdir()
    for file in (ROOT / "configs").glob("*.cfg"):
        config = Config().from_disk(file, interpolate=False)
        small(config).to_disk(folder / "configs" / file.name)
    return folder


def shell_cases():
    """A test for each page: its commands build on each other."""
    for page, found in blocks("sh"):
        commands = [words for block in found for words in commands_of(block)]
        yield pytest.param(page, commands, id=page)


def elsewhere(words):
    """Whether a command is not to be run here."""
    return any(" ".join([*words, ""]).startswith(start) for start in ELSEWHERE)


@pytest.mark.filterwarnings("ignore:.*SW")
@pytest.mark.parametrize(("page", "commands"), list(shell_cases()))
def test_commands_run(page, commands, folder, monkeypatch):
    monkeypatch.chdir(folder)
    for words in commands:
        command = " ".join(words)
        if elsewhere(words):
            continue
        if words[0] == "mkdir":
            (folder / words[-1]).mkdir(exist_ok=True)
            continue
        if command.startswith(BENCHMARK):
            check_options(words)
        elif page in RECIPES:
            assert words[:3] == ["python", "-m", "spacy"], command
        else:
            assert words[:3] == ["python", "-m", "spacy"], f"no rule for {command!r}"
            is_ours = words[3] == "electra"
            app = electra_app if is_ours else spacy_app
            result = CliRunner().invoke(app, words[4:] if is_ours else words[3:])
            # `scan` says by its status whether it found something.
            fine = (0, 1) if words[4:5] == ["scan"] else (0,)
            assert result.exit_code in fine, f"{page}: {command}\n{result.output}"


def check_options(words):
    """A benchmark is there, and knows the options that it is given."""
    script = ROOT / words[1]
    source = script.read_text(encoding="utf8")
    for word in words[2:]:
        if word.startswith("--"):
            name = word[2:].partition("=")[0].replace("-", "_")
            assert name in source or word in source, f"{words[1]} has no {word}"


def config_cases():
    for page, found in blocks("ini"):
        for number, text in enumerate(found):
            yield pytest.param(text, id=f"{page}, {number}")


def with_parents(text):
    """A part of a config, after the sections that its sections are in."""
    present = re.findall(r"^\[(.*)\]$", text, re.MULTILINE)
    above = []
    for section in present:
        parts = section.split(".")
        above += [".".join(parts[:depth]) for depth in range(1, len(parts))]
    missing = [name for name in dict.fromkeys(above) if name not in present]
    return "".join(f"[{name}]\n\n" for name in missing) + text


@pytest.mark.parametrize("text", list(config_cases()))
def test_configs_make_components(text):
    """A part of a config fits what the component has otherwise."""
    pytest.importorskip("spacy_transformers")
    config = Config().from_str(with_parents(text), interpolate=False)
    components = config.get("components", {})
    assert components or set(config) & {"training", "corpora", "nlp", "paths"}, text
    for name, given in components.items():
        nlp = spacy.blank("en")
        if name == "transformer":
            # The part stands for the lines that change in a config that works.
            given["model"] = {**THEIRS, **given["model"]}
        if "source" not in given:
            nlp.add_pipe(given.pop("factory", name), name=name, config=given)


def test_every_page_is_in_the_navigation():
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf8")
    for page in PAGES:
        if page.startswith("docs/"):
            assert re.search(rf"\s{page[5:]}$", settings, re.MULTILINE), page
