"""`spacy train` on several processes gives what it gives on one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import spacy
import torch
from spacy.cli._util import app as spacy_app
from spacy.cli.train import train as spacy_train
from spacy.tokens import Doc, DocBin, Span
from thinc.api import Config
from typer.testing import CliRunner

from spacy_electra.cli.app import app
from spacy_electra.cli.train import own_gpu
from spacy_electra.layers.network_shim import NetworkShim
from spacy_electra.models import ElectraConfig, ElectraForPreTraining

pytest.importorskip("spacy_transformers")
distributed = pytest.mark.skipif(
    not torch.distributed.is_available(),
    reason="needs a torch with torch.distributed, which this one lacks",
)
# Heads are new, and steps are large, so that something happens.
pytestmark = pytest.mark.filterwarnings("ignore:.*(SW300|SW310)")
POOLING = {"@layers": "reduce_mean.v1"}
SHARED = {"@architectures": "spacy-electra.EncoderListener.v1", "upstream": "electra"}
TRANSFORMER_LISTENER = {
    "@architectures": "spacy-transformers.TransformerListener.v1",
    "grad_factor": 1.0,
    "upstream": "electra",
    "pooling": POOLING,
}
TOK2VEC = {
    "@architectures": "spacy-electra.Tok2Vec.v1",
    "encoder": SHARED,
    "pooling": POOLING,
}
# Components that train by themselves, with how they get an encoder; what a head gives
# depends on the whole batch in each of them: counts, oracles, masks.
ON_ELECTRA = ("tagger", "parser", "ner", "electra_token_classifier", "electra_mlm")
ALONE = ("electra_textcat", "electra_rtd", "spancat")
# The second batch and those after it are larger, the first is a text of one window.
SIZES = {"@schedules": "compounding.v1", "start": 1, "stop": 6, "compound": 3.0}
CODE = """
import os, spacy
from spacy.util import registry

@registry.callbacks("fails_in_second.v1")
def make():
    def before_update(nlp, step):
        if step["step"] == 2 and os.environ.get("RANK") == "1":
            raise ValueError("[SE999] the disk of this machine is full")
    return before_update

@registry.readers("by_chance.v1")
def make_corpus(path):
    from spacy.training import Corpus
    def read(nlp):
        examples = list(Corpus(path)(nlp))
        return examples[::-1] if os.environ.get("RANK") == "1" else examples
    return read
"""


@pytest.fixture(scope="module")
def folder(tokenizer, grammar, tmp_path_factory):
    """A small encoder, a corpus with all kinds of gold annotation."""
    folder = tmp_path_factory.mktemp("train")
    torch.manual_seed(0)
    config = ElectraConfig(
        vocab_size=tokenizer.vocab_size,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        summary_last_dropout=0.0,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    ElectraForPreTraining(config).save_pretrained(folder / "source")
    tokenizer.save_pretrained(folder / "source")
    nlp = spacy.blank("en")
    texts = [text for n in (1, 3, 12) for text in grammar(4, sentences=n, seed=n)]
    DocBin(docs=[annotated(nlp, text) for text in texts]).to_disk(folder / "a.spacy")
    (folder / "code.py").write_text(CODE)
    return folder


def annotated(nlp, text):
    words = [token.text for token in nlp.make_doc(text)]
    count = len(words)
    doc = Doc(
        nlp.vocab,
        words=words,
        tags=[word[0] for word in words],
        heads=[max(i - 1, i // 7 * 7) for i in range(count)],
        deps=["ROOT" if i % 7 == 0 else word[-1] for i, word in enumerate(words)],
        sent_starts=[i % 7 == 0 for i in range(count)],
    )
    doc.ents = [Span(doc, i, i + 1, "THE") for i in range(count) if words[i] == "the"]
    doc.spans["sc"] = [Span(doc, 0, 2, "START"), Span(doc, 1, 2, "SECOND")]
    doc.spans["rtd"] = [Span(doc, 1, 2, "REPLACED")]
    doc.cats = {"long": float(count > 20), "short": float(count <= 20)}
    return doc


def write_config(folder, components, file, source="source", **training):
    """A config that trains components with plain gradient descent.

    Adam divides a gradient by its own size. Where the true one is 0, as of the biases
    of keys, that makes steps of rounding errors.
    """
    source = str(folder / source)
    encoder = {"source": source, "precision": "fp32", "window": 48, "stride": 32}
    nlp = spacy.blank("en")
    if "electra" in components:
        model = {"name": source, "precision": "fp32", "window": 48, "stride": 32}
        nlp.add_pipe("electra", config={"model": model})
    for name in components:
        if name in ("tagger", "parser", "ner", "spancat"):
            default = nlp.get_factory_meta(name).default_config["model"]
            listener = TRANSFORMER_LISTENER if name == "tagger" else TOK2VEC
            if name == "spancat":
                listener = {**TOK2VEC, "encoder": OWN | encoder}
            # Few words have each label.
            more = {"min_action_freq": 1} if name == "parser" else {}
            model = {**default, "tok2vec": listener}
            nlp.add_pipe(name, config={"model": model, **more})
        elif name != "electra":
            own = SHARED if name in ON_ELECTRA else encoder
            more = {"objective": "supervised"} if name == "electra_rtd" else {}
            nlp.add_pipe(name, config={"model": {"encoder": own}, **more})
    config = nlp.config.copy()
    corpus = {"@readers": "spacy.Corpus.v1", "path": str(folder / "a.spacy")}
    config["corpora"] = {"train": corpus, "dev": corpus}
    config["training"].update(
        {
            "seed": 1,
            "dropout": 0.2,
            "max_steps": 6,
            "eval_frequency": 3,
            "accumulate_gradient": 2,
            "batcher": {
                "@batchers": "spacy.batch_by_sequence.v1",
                "size": SIZES,
                "get_length": None,
            },
            "optimizer": {
                "@optimizers": "SGD.v1",
                "learn_rate": 0.05,
                "L2": 0.01,
                "grad_clip": 1.0,
                "use_averages": True,
            },
            **training,
        }
    )
    Config(config).to_disk(folder / file)
    return folder / file


OWN = {"@architectures": "spacy-electra.Encoder.v1"}


def torchrun(*arguments, processes=2, seconds=540):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += ["--nproc-per-node", str(processes)]
    return subprocess.run(
        [*launcher, "-m", "spacy", "electra", "train", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def weights(path):
    """All weights of a saved pipeline, by component and place."""
    nlp = spacy.load(path)
    found = {}
    for name, pipe in nlp.pipeline:
        for i, node in enumerate(pipe.model.walk()):
            for parameter in node.param_names:
                if node.has_param(parameter):
                    found[name, i, parameter] = node.get_param(parameter)
            for shim in node.shims:
                if isinstance(shim, NetworkShim):
                    for key, weight in shim.own_weights().items():
                        found[name, i, key] = weight.detach().numpy()
    return found


@distributed
def test_two_processes_train_what_one_trains(folder, tmp_path):
    components = ("electra", *ON_ELECTRA, *ALONE)
    config = write_config(folder, components, "all.cfg")
    done = torchrun(config, "--output", tmp_path / "two")
    assert done.returncode == 0, done.stdout + done.stderr
    # Only the first one speaks.
    assert done.stdout.count("Pipeline:") == 1
    spacy_train(config, tmp_path / "one")
    for best in ("model-best", "model-last"):
        one, two = weights(tmp_path / "one" / best), weights(tmp_path / "two" / best)
        assert one.keys() == two.keys()
        assert {name for name, *_ in one} == set(components)
        for key, values in one.items():
            np.testing.assert_allclose(two[key], values, atol=1e-5, err_msg=str(key))
    first, second = (
        json.loads((tmp_path / name / "model-last" / "meta.json").read_text())
        for name in ("one", "two")
    )
    losses = {k: v for k, v in first["performance"].items() if k.endswith("_loss")}
    assert set(losses) >= {f"{name}_loss" for name in components}
    for key, value in losses.items():
        assert second["performance"][key] == pytest.approx(value, rel=1e-4), key


def failing(done, *codes):
    """The output of a run that fails, with one message."""
    # Lines are broken anywhere.
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1, said
    for code in codes:
        assert said.count(f"[{code}]") == 1, said
    return said


@distributed
def test_a_process_that_fails_ends_all_with_its_message(folder, tmp_path):
    config = write_config(
        folder,
        ("electra", "tagger"),
        "fails.cfg",
        before_update={"@callbacks": "fails_in_second.v1"},
    )
    done = torchrun(config, "-o", tmp_path, "--code", folder / "code.py")
    said = failing(done, "SE999")
    assert "Process 1 of 2 fails" in said
    assert "the disk of this machine is full" in said


@distributed
def test_processes_that_read_other_texts_are_told(folder):
    config = write_config(folder, ("electra", "tagger"), "other.cfg")
    by_chance = ["--corpora.train.@readers", "by_chance.v1"]
    done = torchrun(config, "--code", folder / "code.py", *by_chance)
    failing(done, "SE659")


def test_one_process_does_what_spacy_train_does(folder, tmp_path):
    config = write_config(folder, ("electra", "ner"), "one.cfg")
    for command, name in ((spacy_app, "spacy"), (app, "ours")):
        arguments = ["train", config, "--output", tmp_path / name]
        done = CliRunner().invoke(command, [str(a) for a in arguments])
        assert done.exit_code == 0, done.output
    files = [f for f in (tmp_path / "spacy" / "model-last").rglob("*") if f.is_file()]
    assert files
    for file in files:
        twin = tmp_path / "ours" / file.relative_to(tmp_path / "spacy")
        if file.name != "meta.json":
            # It holds the speed of the evaluation.
            assert twin.read_bytes() == file.read_bytes(), file


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs, as far as this process can tell."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")


def test_each_process_of_a_machine_gets_a_gpu(gpus):
    assert own_gpu(-1) == (-1, "")
    assert own_gpu(0) == (1, "")
    assert "SE660" in own_gpu(1)[1]
