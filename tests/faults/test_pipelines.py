"""A pipeline on disk is complete or refused."""

import shutil
from pathlib import Path

import pytest
import safetensors.torch
import spacy
import srsly
import torch

FOLDER = Path(__file__).parents[1] / "fixtures" / "pipelines" / "0.1.0-5a1ce00"
# Where the shims of each pipeline lie: component, node, shim, and what it is called.
PARTS = [
    ("rtd", "electra_rtd", 0, 0, "head"),
    ("rtd", "electra_rtd", 0, 1, "generator"),
    ("rtd", "electra_rtd", 1, 0, "encoder"),
    ("rtd_on_electra", "electra", 0, 0, "encoder"),
    ("rtd_on_electra", "electra_rtd", 0, 0, "head"),
]
parts = pytest.mark.parametrize(
    ("pipeline", "component", "node", "shim", "part"),
    PARTS,
    ids=[f"{pipeline}-{part}" for pipeline, _, _, _, part in PARTS],
)


@pytest.fixture
def damage(tmp_path, pipeline, component, node, shim):
    """Write the pipeline with the message of a shim changed; gives its folder."""
    if "on_electra" in pipeline:
        pytest.importorskip("spacy_transformers")
    folder = tmp_path / pipeline
    shutil.copytree(FOLDER / pipeline, folder)
    file = folder / component / "model"

    def write(change):
        model = srsly.msgpack_loads(file.read_bytes())
        shims = model["shims"][node]
        message = srsly.msgpack_loads(shims[shim])
        changed = change(message)
        if not isinstance(changed, bytes):
            changed = srsly.msgpack_dumps(message)
        shims[shim] = changed
        file.write_bytes(srsly.msgpack_dumps(model))
        return folder

    return write


def weights_changed(change):
    def apply(message):
        weights = safetensors.torch.load(message["weights"])
        message["weights"] = safetensors.torch.save(change(weights))

    return apply


def without(weights, count):
    return dict(list(weights.items())[count:])


def renamed(weights):
    return {"module." + name: weight for name, weight in weights.items()}


def resized(weights):
    return {name: weight[..., :1].contiguous() for name, weight in weights.items()}


def not_finite(weights):
    (name, *_) = sorted(weights)
    weights[name] = torch.full_like(weights[name], torch.nan)
    return weights


@parts
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda weights: without(weights, 1), r"1 missing \("),
        (lambda weights: without(weights, 4), r"4 missing \(\S+, \S+, \S+"),
        (lambda weights: {}, r"missing \(\S+, \S+, \S+"),
        (renamed, r"missing \(.*unknown \(module\."),
        (resized, r"of another shape \("),
        (not_finite, r"1 not finite \("),
    ],
    ids=["one", "four", "all", "renamed", "resized", "not finite"],
)
def test_weights_that_are_not_those_are_refused(damage, part, change, told):
    folder = damage(weights_changed(change))
    with pytest.raises(ValueError, match=told) as error:
        spacy.load(folder)
    assert "[SE341]" in str(error.value) and f"saved {part} " in str(error.value)


@parts
@pytest.mark.parametrize(
    "change",
    [
        lambda message: message.update(network="Path"),
        lambda message: message.pop("network"),
        lambda message: message.update(config=[1]),
        lambda message: message["config"].update(hidden_size=-3),
        lambda message: message["config"].update(num_attention_heads="x"),
        lambda message: message.update(weights=b"not safetensors"),
        lambda message: message.update(weights=message["weights"][:-7]),
        lambda message: message.pop("weights"),
        lambda message: b"\x93\x01",
        lambda message: srsly.msgpack_dumps([1, 2]),
    ],
)
def test_damaged_parts_are_refused(damage, part, change):
    folder = damage(change)
    with pytest.raises(ValueError, match=rf"\[SE340\] The saved {part} is damaged"):
        spacy.load(folder)


@parts
def test_layers_that_are_not_there_cost_nothing(damage, part):
    folder = damage(lambda message: message["config"].update(num_hidden_layers=10**9))
    if part == "head":
        # It has no layers of its own, whatever the encoder under it has.
        assert spacy.load(folder) is not None
        return
    with pytest.raises(ValueError, match=r"SE340.*1000000000 layers"):
        spacy.load(folder)


@pytest.mark.parametrize("data", [None, b"", b"{}", b"\x93\x01"])
def test_tokenizer_that_is_none_is_refused(tmp_path, data):
    folder = tmp_path / "rtd"
    shutil.copytree(FOLDER / "rtd", folder)
    file = folder / "electra_rtd" / "model"
    model = srsly.msgpack_loads(file.read_bytes())
    message = srsly.msgpack_loads(model["shims"][1][0])
    message["tokenizer"] = data
    model["shims"][1][0] = srsly.msgpack_dumps(message)
    file.write_bytes(srsly.msgpack_dumps(model))
    with pytest.raises(ValueError, match=r"SE340.*encoder"):
        spacy.load(folder)


def test_a_refused_pipeline_changes_nothing_that_is_loaded():
    nlp = spacy.load(FOLDER / "rtd")
    model = nlp.get_pipe("electra_rtd").model
    network = model.shim.network
    message = srsly.msgpack_loads(model.shim.to_bytes())
    weights_changed(not_finite)(message)
    with pytest.raises(ValueError, match="SE341"):
        model.shim.from_bytes(srsly.msgpack_dumps(message))
    assert model.shim.network is network
