"""ONNX and OpenVINO compute what the networks do, for every class of the table."""

from dataclasses import replace

import pytest
import torch
from counterparts import without_padding

from spacy_electra.exchange.classes import CLASSES
from spacy_electra.exchange.formats import FORMATS
from spacy_electra.models import ElectraForMultipleChoice, ElectraModel

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}
OUTPUTS = {
    "ElectraModel": ["last_hidden_state"],
    "ElectraForQuestionAnswering": ["start_logits", "end_logits"],
}
# Sequences and pieces; none is what the graphs are traced with.
SHAPES = ((3, 11), (1, 1), (1, 40))


def network_of(cls, config, **changes):
    torch.manual_seed(0)
    network = cls(replace(config, num_hidden_layers=1, **changes)).eval()
    with torch.no_grad():
        for weight in network.parameters():
            # Biases and layer norms too, so that one in the wrong place shows.
            weight.add_(torch.randn_like(weight) * 0.1)
    return network


def inputs_of(network, shape):
    """Random pieces, the last of the first sequence padding."""
    torch.manual_seed(1)
    ids = torch.randint(network.config.vocab_size, shape)
    mask = torch.ones_like(ids)
    if shape[1] > 3:
        mask[0, -3:] = 0
    inputs = {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": torch.randint(2, shape),
    }
    if isinstance(network, ElectraForMultipleChoice):
        inputs = {name: part[None] for name, part in inputs.items()}
    return inputs


def in_onnxruntime(file):
    session = onnxruntime.InferenceSession(file)
    names = [output.name for output in session.get_outputs()]
    return lambda feed: dict(zip(names, session.run(None, feed), strict=True))


def in_openvino(file):
    openvino = pytest.importorskip("openvino")
    # By itself it computes in bf16 where the processor is fast in it.
    precise = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    model = openvino.compile_model(file, "CPU", precise)
    names = [output.get_any_name() for output in model.outputs]
    return lambda feed: {name: model(feed)[name] for name in names}


def assert_equal(network, run, tolerance=TOLERANCE):
    for shape in SHAPES:
        inputs = inputs_of(network, shape)
        with torch.no_grad():
            expected = network(**inputs)
        found = run({name: part.numpy() for name, part in inputs.items()})
        names = OUTPUTS.get(type(network).__name__, ["logits"])
        assert list(found) == names
        for name in names:
            mask = inputs["attention_mask"]
            torch.testing.assert_close(
                without_padding(torch.from_numpy(found[name]), mask),
                without_padding(getattr(expected, name), mask),
                **tolerance,
            )


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_equal_in_onnx_and_openvino(name, small_config, tmp_path):
    import onnx

    network = network_of(CLASSES[name], small_config)
    FORMATS["onnx"].write(network, tmp_path, "fp32", ())
    file = tmp_path / "model.onnx"
    onnx.checker.check_model(file, full_check=True)
    graph = onnx.load(file)
    assert graph.opset_import[0].version >= 20
    for tensor in graph.graph.input:
        sides = [side.dim_param for side in tensor.type.tensor_type.shape.dim]
        assert sides[0] == "batch_size" and sides[-1] == "sequence_length"
        assert sides[1:-1] == (["num_choices"] if "Choice" in name else [])
    assert_equal(network, in_onnxruntime(file))
    assert_equal(network, in_openvino(file))


@pytest.mark.parametrize(
    "changes",
    [
        {"position_embedding_type": "relative_key_query", "summary_type": "last"},
        {"summary_type": "mean", "pruned_heads": {0: [1]}, "embedding_size": 32},
    ],
    ids=["relative, last", "pruned, mean"],
)
def test_other_shapes_of_networks_are_equal(changes, small_config, tmp_path):
    network = network_of(ElectraForMultipleChoice, small_config, **changes)
    FORMATS["onnx"].write(network, tmp_path, "fp32", ())
    assert_equal(network, in_onnxruntime(tmp_path / "model.onnx"))


def test_openvino_files_hold_the_same(small_config, tmp_path):
    pytest.importorskip("openvino")
    network = network_of(ElectraModel, small_config)
    sizes = {}
    for precision in ("fp32", "fp16"):
        folder = tmp_path / precision
        folder.mkdir()
        FORMATS["openvino"].write(network, folder, precision, ())
        assert {f.name for f in folder.iterdir()} == set(FORMATS["openvino"].FILES)
        sizes[precision] = (folder / "openvino_model.bin").stat().st_size
    assert sizes["fp16"] < 0.6 * sizes["fp32"]
    assert_equal(network, in_openvino(tmp_path / "fp32" / "openvino_model.xml"))
    file = tmp_path / "fp16" / "openvino_model.xml"
    assert_equal(network, in_openvino(file), {"rtol": 0.02, "atol": 0.02})


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_int8_is_near_and_small(format, small_config, tmp_path):
    if format == "openvino":
        pytest.importorskip("nncf")
    network = network_of(ElectraModel, small_config, vocab_size=20_000)
    batches = [
        {name: part.numpy() for name, part in inputs_of(network, (1, length)).items()}
        for length in (5, 12, 30)
    ]
    FORMATS[format].write(network, tmp_path, "int8", batches)
    file = tmp_path / FORMATS[format].FILE
    run = {"onnx": in_onnxruntime, "openvino": in_openvino}[format](file)
    inputs = inputs_of(network, (3, 11))
    with torch.no_grad():
        expected = network(**inputs).last_hidden_state
    found = run({name: part.numpy() for name, part in inputs.items()})
    mask = inputs["attention_mask"].bool()
    error = torch.from_numpy(found["last_hidden_state"])[mask] - expected[mask]
    assert 0 < error.abs().mean() < 0.2 * expected[mask].std()
    weights = sum(weight.numel() for weight in network.parameters())
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < 2 * weights
