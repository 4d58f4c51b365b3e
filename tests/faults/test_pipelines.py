"""A pipeline on disk is complete or refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import spacy
import srsly
import torch
from spacy.tokens import Token
from spacy.training import Example

FOLDER = Path(__file__).parents[1] / "fixtures" / "pipelines" / "0.1.0-5a1ce00"
TEXT = "The chef cooked the meal. A nurse read the old book."
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
    folder = damage(lambda message: message["config"].update(num_hidden_layers=10**6))
    if part == "head":
        # It has no layers of its own, whatever the encoder under it has.
        assert spacy.load(folder) is not None
        return
    with pytest.raises(ValueError, match=r"SE340.*1000000 layers"):
        spacy.load(folder)


@pytest.mark.parametrize(
    ("pipeline", "component", "node", "shim", "part"),
    [part for part in PARTS if part[-1] != "generator"],
)
def test_a_part_that_is_empty_is_refused(damage, pipeline, component, part):
    folder = damage(lambda message: srsly.msgpack_dumps({}))
    if (pipeline, part) == ("rtd_on_electra", "head"):
        # As it is saved before it has run: the encoder is another component's.
        return
    with pytest.raises(ValueError, match=rf"SE345\] The saved {part} has no weights"):
        spacy.load(folder)(TEXT)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model["shims"][0].clear(),
        lambda model: model["shims"].pop(),
        lambda model: model.pop("shims"),
        lambda model: model["nodes"].append(model["nodes"][0]),
        lambda model: model.update(params=None),
    ],
)
def test_a_model_of_another_structure_is_refused(tmp_path, change):
    folder = tmp_path / "rtd"
    shutil.copytree(FOLDER / "rtd", folder)
    file = folder / "electra_rtd" / "model"
    model = srsly.msgpack_loads(file.read_bytes())
    change(model)
    file.write_bytes(srsly.msgpack_dumps(model))
    with pytest.raises(ValueError, match=r"SE344\].*electra_rtd"):
        spacy.load(folder)


@pytest.mark.parametrize("size", [0, 1, 100, 20_000])
def test_a_model_that_is_cut_short_is_refused(tmp_path, size):
    folder = tmp_path / "rtd"
    shutil.copytree(FOLDER / "rtd", folder)
    file = folder / "electra_rtd" / "model"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"SE34[04]\].*electra_rtd"):
        spacy.load(folder)


def test_what_is_saved_is_whole_or_empty(nlp):
    component = nlp.add_pipe("electra_rtd")
    empty = nlp.to_bytes()
    component.model.encoder.load()
    half = nlp.to_bytes()
    assert not component.model.shim.is_empty
    expected = [token._.rtd_score for token in nlp(TEXT)]
    for data in (empty, half):
        nlp.from_bytes(data)
        assert [token._.rtd_score for token in nlp(TEXT)] == expected


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


def raw(nlp, text=TEXT):
    return [Example(nlp.make_doc(text), nlp.make_doc(text)) for _ in range(2)]


def weights_of(nlp):
    model = nlp.get_pipe("electra_rtd").model
    shims = [*model.shims, model.encoder.shim]
    return [p.detach().clone() for shim in shims for p in shim.network.parameters()]


@pytest.mark.parametrize("way", ["bytes", "disk"])
def test_networks_that_were_loaded_are_those_that_train(way, tmp_path):
    nlp = spacy.load(FOLDER / "rtd")
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 1e-3
    nlp.update(raw(nlp), sgd=optimizer)
    if way == "bytes":
        nlp.from_bytes(nlp.to_bytes())
    else:
        nlp.to_disk(tmp_path)
        nlp.from_disk(tmp_path)
    before = weights_of(nlp)
    assert nlp.update(raw(nlp), sgd=optimizer)["electra_rtd"] > 0
    changes = [
        (a - b).abs().max() for a, b in zip(before, weights_of(nlp), strict=True)
    ]
    assert np.mean([float(change) > 0 for change in changes]) > 0.9


def test_rise_of_the_sampler_goes_on_where_it_was(tmp_path):
    nlp = spacy.load(FOLDER / "rtd")

    def steps(nlp):
        return nlp.get_pipe("electra_rtd").cfg["pretraining_steps"]

    for _ in range(2):
        nlp.update(raw(nlp))
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    again.update(raw(again))
    nlp.update(raw(nlp))
    assert steps(again) == steps(nlp) == 3
    rises = [
        n.get_pipe("electra_rtd").pretraining.progress(steps(n)) for n in (again, nlp)
    ]
    assert rises == [0.75, 0.75]


def test_a_batch_without_anything_to_mask_contributes_nothing():
    nlp = spacy.load(FOLDER / "rtd")
    # No piece of the vocabulary begins so: all is [UNK].
    unknown = raw(nlp, "1905 1906 1907")
    assert nlp.update(unknown)["electra_rtd"] == 0.0
    component = nlp.get_pipe("electra_rtd")
    assert all(
        p.grad is None or not p.grad.any()
        for p in component.model.encoder.shim.network.parameters()
    )
    component.model.encoder.shim.network.eval()
    loss = nlp.update([*unknown, *raw(nlp)])["electra_rtd"]
    assert np.isfinite(loss) and loss > 0
    scores = nlp.evaluate(unknown)
    assert all(
        value is None or np.isfinite(value)
        for name, value in scores.items()
        if name.startswith("rtd")
    )


def test_score_and_flag_need_two_names(nlp):
    config = {"score_attribute": "odd", "flag_attribute": "odd"}
    with pytest.raises(ValueError, match=r"SE353.*'odd'"):
        nlp.add_pipe("electra_rtd", config=config)


@pytest.mark.parametrize("key", ["score_attribute", "flag_attribute"])
@pytest.mark.parametrize("ways", [{"getter": len}, {"method": len}])
def test_attribute_that_somebody_computes_is_refused(nlp, key, ways):
    Token.set_extension("computed", **ways)
    try:
        with pytest.raises(ValueError, match=rf"SE354.*computed.*{key}"):
            nlp.add_pipe("electra_rtd", config={key: "computed"})
    finally:
        Token.remove_extension("computed")


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_threshold_that_is_no_probability_is_refused_later_too(value):
    component = spacy.load(FOLDER / "rtd").get_pipe("electra_rtd")
    with pytest.raises(ValueError, match=r"SE003.*threshold"):
        component.threshold = value
    assert component.threshold == 0.13


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"mask_share": 1.5}, "mask_share"),
        ({"end": -1.0}, "end"),
        ({"temperature": 0.0}, "temperature"),
        ({"generator_fraction": 0.0}, "generator_fraction"),
        ({"rise_steps": -1}, "rise_steps"),
        ({"weak": "guess"}, "guess"),
    ],
)
def test_settings_of_pretraining_that_cannot_be_are_refused(nlp, settings, part):
    with pytest.raises(ValueError, match=part):
        nlp.add_pipe("electra_rtd", config={"pretraining": settings})
