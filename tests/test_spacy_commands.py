"""spaCy's own commands on our configs and on pipelines that were saved."""

import json
import os
import re
import site
import subprocess
import sys
import venv
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.cli._util import app
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.util import load_config
from typer.testing import CliRunner

import spacy_electra
from spacy_electra.layers.heads import generator_shim

pytest.importorskip("spacy_transformers")

CONFIGS = Path(__file__).parents[1] / "configs"
SPACY_CONFIGS = [
    file for file in sorted(CONFIGS.glob("*.cfg")) if "[nlp]" in file.read_text("utf8")
]
TEXTS = [
    "The river floods the valley every spring, and the farmers wait for it.",
    "She walked slowly down the road, thinking of her brother and his ship.",
]
# What a person does who installed the package: no network, no source.
USE = """
import json, socket
from importlib.metadata import requires

def refuse(*arguments, **settings):
    raise OSError("this test is offline")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import en_demo, spacy
doc = spacy.load("en_demo")({text!r})
print(json.dumps({{
    "where": en_demo.__file__,
    "tags": [t.tag_ for t in doc],
    "scores": [t._.rtd_score for t in doc],
    "requires": requires("en_demo"),
}}))
"""


def spacy_command(*arguments):
    """Run `python -m spacy` in this process, which has it all imported already."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def gold(nlp):
    for text in TEXTS:
        doc = nlp.make_doc(text)
        reference = Doc(
            nlp.vocab,
            words=[token.text for token in doc],
            spaces=[bool(token.whitespace_) for token in doc],
            tags=[token.text[0] for token in doc],
        )
        reference.spans["rtd"] = [Span(reference, 1, 2)]
        yield Example(doc, reference)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with a trained pipeline, and the data it was trained on."""
    folder = tmp_path_factory.mktemp("saved")
    nlp = spacy.blank("en", meta={"name": "demo", "version": "1.2.3"})
    config = {"model": {"name": "en_tiny", "precision": "fp32"}, "store": False}
    nlp.add_pipe("electra", config=config)
    listener = {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "grad_factor": 1.0,
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    tagger = {"@architectures": "spacy.Tagger.v2", "tok2vec": listener}
    nlp.add_pipe("tagger", config={"model": tagger})
    listener = {"@architectures": "spacy-electra.EncoderListener.v1"}
    rtd = {"model": {"encoder": listener}, "objective": "supervised"}
    nlp.add_pipe("electra_rtd", config=rtd)
    data = list(gold(nlp))
    optimizer = nlp.initialize(lambda: data)
    optimizer.learn_rate = 3e-4
    for _ in range(15):
        nlp.update(data, sgd=optimizer)
    nlp.to_disk(folder / "pipeline")
    DocBin(docs=[example.reference for example in data]).to_disk(folder / "gold.spacy")
    return folder


@pytest.mark.parametrize("file", SPACY_CONFIGS, ids=lambda file: file.stem)
def test_debug_config_and_fill_config_find_nothing_to_say(file, tmp_path):
    paths = ("--paths.train", "train.spacy", "--paths.dev", "dev.spacy")
    assert "Config is valid" in spacy_command("debug", "config", file, *paths)
    filled = tmp_path / "filled.cfg"
    output = spacy_command("init", "fill-config", file, filled, "--diff")
    assert "No diff to show" in output
    # The comments are lost, and nothing else.
    lines = file.read_text(encoding="utf8").splitlines()
    kept = [line for line in lines if not line.startswith("#")]
    assert filled.read_text(encoding="utf8").split() == " ".join(kept).split()


def test_evaluate_gives_what_the_pipeline_gives(saved, tmp_path):
    scores = tmp_path / "scores.json"
    pipeline, data = saved / "pipeline", saved / "gold.spacy"
    output = spacy_command("evaluate", pipeline, data, "--output", scores)
    assert "TAG" in output
    nlp = spacy.load(pipeline)
    expected = nlp.evaluate(list(gold(nlp)))
    found = srsly.read_json(scores)
    for name in ("tag_acc", "rtd_auc", "rtd_f05"):
        assert found[name] == pytest.approx(expected[name], abs=1e-3)


def test_benchmark_speed_and_accuracy(saved):
    pipeline, data = saved / "pipeline", saved / "gold.spacy"
    few = ("--batches", 30, "--warmup", 1, "--batch-size", 2)
    output = spacy_command("benchmark", "speed", pipeline, data, *few)
    assert "words/s" in output
    assert "TAG" in spacy_command("benchmark", "accuracy", pipeline, data)


def test_package_installs_and_runs_offline_in_another_environment(saved, tmp_path):
    pytest.importorskip("setuptools")
    spacy_command("package", saved / "pipeline", tmp_path, "--build", "none")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    alone = ("--no-deps", "--no-index")
    build = ("wheel", *alone, "--no-build-isolation", "--wheel-dir", str(tmp_path))
    run([*pip, *build, str(tmp_path / "en_demo-1.2.3")])
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == "en_demo-1.2.3-py3-none-any.whl"

    # Everything else is taken from the environment of the tests.
    venv.create(tmp_path / "venv", with_pip=False)
    (python,) = tmp_path.glob("venv/*/python*3") or tmp_path.glob("venv/*/python.exe")
    (packages,) = [*tmp_path.glob("venv/lib/*/site-packages")] or [
        tmp_path / "venv/Lib/site-packages"
    ]
    lines = [f"import site; site.addsitedir({p!r})\n" for p in site.getsitepackages()]
    (packages / "others.pth").write_text("".join(lines), encoding="utf8")
    run([*pip, "--python", str(python), "install", *alone, str(wheel)])
    here = str(Path(spacy_electra.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": here, "HF_HUB_OFFLINE": "1"}
    output = run([str(python), "-c", USE.format(text=TEXTS[0])], environment, tmp_path)
    found = json.loads(output.splitlines()[-1])
    assert found["where"].startswith(str(tmp_path / "venv"))
    doc = spacy.load(saved / "pipeline")(TEXTS[0])
    assert found["tags"] == [token.tag_ for token in doc]
    scores = [token._.rtd_score for token in doc]
    assert found["scores"] == pytest.approx(scores, abs=1e-3)
    needed = {re.split("[<>=!~]", needed)[0] for needed in found["requires"]}
    assert "spacy-transformers" in needed
    if "spacy_electra" in packages_distributions():
        assert "spacy-electra" in needed


@pytest.fixture(scope="module")
def with_gold(tmp_path_factory):
    """A file with gold annotation of every kind that components learn from."""
    nlp = spacy.blank("en")
    docs = []
    for number, text in enumerate(TEXTS * 2):
        doc = nlp.make_doc(text)
        doc.spans["rtd"] = [doc[number : number + 1]]
        doc.ents = [Span(doc, 0, 2, "THING")]
        doc.cats = {"GOOD": float(number % 2), "BAD": 1.0 - number % 2}
        docs.append(doc)
    file = tmp_path_factory.mktemp("gold") / "gold.spacy"
    DocBin(docs=docs).to_disk(file)
    return file


FACTORIES = sorted(
    point.name
    for point in entry_points(group="spacy_factories")
    if point.name.startswith("electra")
)


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.filterwarnings("ignore:.*SW300")
def test_init_config_debug_and_assemble_know_every_component(
    factory, with_gold, tmp_path
):
    config = tmp_path / "own.cfg"
    spacy_command("init", "config", config, "--pipeline", factory)
    assert load_config(config)["nlp"]["pipeline"] == [factory]
    paths = ("--paths.train", with_gold, "--paths.dev", with_gold)
    output = spacy_command("debug", "model", config, factory, *paths)
    assert "model looks good" in output
    # The examples are few, which is all that there is to say.
    result = CliRunner().invoke(app, ["debug", "data", str(config), *map(str, paths)])
    assert "Corpus is loadable" in result.output
    assert "1 error" in result.output and "Low number of examples" in result.output
    spacy_command("assemble", config, tmp_path / "assembled")
    assert spacy.load(tmp_path / "assembled").pipe_names == [factory]


def test_the_command_that_init_config_prints_learns_from_gold_spans(
    with_gold, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    printed = spacy_command("init", "config", "own.cfg", "--pipeline", "electra_rtd")
    (command,) = re.findall(r"python -m spacy (train .*)", printed)
    places = {"./train.spacy": str(with_gold), "./dev.spacy": str(with_gold)}
    command = [places.get(word, word) for word in command.split()]
    few = ("--training.max_steps", 4, "--training.eval_frequency", 2)
    output = spacy_command(*command, *few, "--output", "out")
    assert "RTD_AUC" in output
    component = spacy.load("out/model-last").get_pipe("electra_rtd")
    assert component.cfg["objective"] == "auto"
    assert component.cfg["chosen_objective"] == "supervised"
    # The losses are those of gold spans: no generator was ever made.
    assert generator_shim(component.model).is_empty


def run(command, environment=None, folder=None):
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
