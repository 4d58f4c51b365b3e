"""No weight is made up without a word, and no file costs more than its size."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import warnings
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from spacy_electra.models import ElectraConfig, ElectraForPreTraining, ElectraModel

WEIGHTS = "model.safetensors"
IDS = torch.randint(1, 99, (2, 9), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(small_config, tmp_path):
    """A discriminator in fp32."""
    torch.manual_seed(0)
    ElectraForPreTraining(small_config).eval().save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def tensors(folder):
    return load_file(folder / WEIGHTS)


def change_config(folder, **values):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def logits(folder):
    with torch.no_grad():
        return ElectraForPreTraining.from_pretrained(folder)(IDS).logits


def refusal(folder, cls=ElectraForPreTraining):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        cls.from_pretrained(folder)
    return str(error.value)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "discriminator.", "module.model."]
)
def test_known_prefix_is_taken_off_and_said(folder, tensors, prefix):
    expected = logits(folder)
    save_file({prefix + name: t for name, t in tensors.items()}, folder / WEIGHTS)
    with pytest.warns(UserWarning, match=f"SW202.*{prefix}"):
        found = logits(folder)
    torch.testing.assert_close(found, expected)


def test_unknown_prefix_is_refused_with_counts_and_names(folder, tensors):
    save_file({"our_net." + name: t for name, t in tensors.items()}, folder / WEIGHTS)
    message = refusal(folder)
    total = sum(name.startswith("electra.") for name in tensors)
    assert "SE208" in message and str(folder) in message
    # Query, key and value are one weight here.
    assert f"{total - 2 * 2 * 2} of the {total - 2 * 2 * 2} weights" in message
    assert "electra.embeddings.word_embeddings.weight" in message or ", ..." in message


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_wrapped_state_dict_is_unwrapped_and_said(folder, tensors, key):
    expected = logits(folder)
    (folder / WEIGHTS).unlink()
    torch.save({key: tensors, "epoch": 3}, folder / "pytorch_model.bin")
    with pytest.warns(UserWarning, match=f"SW201.*{key}"):
        found = logits(folder)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("cls", [ElectraModel, ElectraForPreTraining])
def test_one_missing_weight_is_named(folder, tensors, cls):
    gone = "electra.encoder.layer.1.output.dense.bias"
    del tensors[gone]
    save_file(tensors, folder / WEIGHTS)
    message = refusal(folder, cls)
    assert "SE208" in message and "lacks 1 of" in message
    assert gone.removeprefix("electra.") in message


@pytest.mark.parametrize("layers", [1, 3, 2_000, 10_000_000])
def test_config_with_other_number_of_layers_is_refused(folder, layers):
    change_config(folder, num_hidden_layers=layers)
    message = refusal(folder)
    assert "SE209" in message and f"num_hidden_layers={layers}" in message
    assert "2 layers" in message


def test_missing_layer_is_refused(folder, tensors):
    kept = {name: t for name, t in tensors.items() if ".layer.1." not in name}
    save_file(kept, folder / WEIGHTS)
    assert "1 layers" in refusal(folder)


def test_fewer_layers_may_be_asked_for(folder):
    model = ElectraModel.from_pretrained(folder, num_hidden_layers=1)
    assert len(model.encoder.layers) == 1


def test_index_that_lists_one_file_of_two_is_refused(folder, tensors):
    names = sorted(tensors)
    save_file({n: tensors[n] for n in names[::2]}, folder / "a.safetensors")
    save_file({n: tensors[n] for n in names[1::2]}, folder / "b.safetensors")
    (folder / WEIGHTS).unlink()
    index = {"weight_map": dict.fromkeys(names[::2], "a.safetensors")}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    assert "SE208" in refusal(folder)


def test_relative_positions_without_their_table_are_refused(folder):
    change_config(folder, position_embedding_type="relative_key")
    message = refusal(folder)
    assert "SE208" in message and "distance_embedding" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(folder, tensors, value):
    tensors["electra.embeddings.word_embeddings.weight"][7, 3] = value
    save_file(tensors, folder / WEIGHTS)
    message = refusal(folder)
    assert "SE216" in message and "word_embeddings" in message


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool])
def test_weights_that_are_no_floats_are_refused(folder, tensors, dtype):
    save_file({n: (100 * t).to(dtype) for n, t in tensors.items()}, folder / WEIGHTS)
    message = refusal(folder)
    assert "SE217" in message and str(dtype).removeprefix("torch.") in message


@pytest.mark.parametrize(
    "changes",
    [
        {"num_attention_heads": 1_000_000_000},
        {"hidden_size": 10**15, "num_attention_heads": 1},
        {"intermediate_size": 10**9},
        {"vocab_size": 10**12},
        {"max_position_embeddings": 10**9},
        {"num_labels": 10**9, "id2label": None},
    ],
)
def test_config_that_asks_for_all_memory_costs_nothing(folder, changes):
    change_config(folder, **changes)
    assert any(code in refusal(folder) for code in ("SE203", "SE215"))


class Storage:
    """Pickled as a storage of any size; nothing of it is in the file."""


class Bomb:
    def __init__(self, count, shape, stride):
        self.arguments = (Storage(), 0, shape, stride, False, OrderedDict())
        self.count = count

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.arguments


def write_legacy(file, content, count):
    """PyTorch's form of before 1.6, whose sizes are but numbers in a pickle."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            if isinstance(obj, Storage):
                return ("storage", torch.FloatStorage, "0", "cpu", count, None)
            return None

    with open(file, "wb") as opened:
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
        for part in (0x1950A86A20F9469CFC6C, 1001, system):
            pickle.dump(part, opened, protocol=2)
        Pickler(opened, protocol=2).dump(content)
        pickle.dump(["0"], opened, protocol=2)


def test_small_file_that_claims_36_gigabytes_is_refused(folder):
    (folder / WEIGHTS).unlink()
    count = 9_000_000_000
    bomb = {"electra.embeddings.word_embeddings.weight": Bomb(count, (count,), (1,))}
    write_legacy(folder / "pytorch_model.bin", bomb, count)
    message = refusal(folder)
    assert "SE212" in message and "36,000,000,000" in message


def test_small_file_that_repeats_a_row_for_ever_is_refused(folder):
    (folder / WEIGHTS).unlink()
    row = torch.zeros(1, 16).expand(500_000_000, 16)
    name = "electra.embeddings.word_embeddings.weight"
    torch.save({name: row}, folder / "pytorch_model.bin")
    assert "SE212" in refusal(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_pipes_and_folders_in_place_of_files_are_refused(folder, name, kind):
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).mkdir()
    message = refusal(folder)
    assert "SE211" in message and name in message


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe{}", b'"config"', b"[" * 100_000, b"\x00"],
)
def test_config_that_is_no_json_object_is_named(folder, content):
    (folder / "config.json").write_bytes(content)
    message = refusal(folder)
    assert message.startswith("[SE210]") and "config.json" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", "256"),
        ("hidden_size", 1e300),
        ("hidden_dropout_prob", "0.1"),
        ("layer_norm_eps", float("nan")),
        ("use_cache", "false"),
        ("is_decoder", 1),
        ("id2label", ["a", "b"]),
        ("id2label", {"0": "a", "2": "b"}),
        ("id2label", {"x": "a"}),
        ("hidden_act", {"a": 1}),
        ("position_embedding_type", ["absolute"]),
        ("pad_token_id", "0"),
        ("problem_type", "poetry"),
        ("model_type", ["electra"]),
        ("model_type", "roberta"),
    ],
)
def test_value_that_does_not_fit_names_file_and_key(folder, key, value):
    change_config(folder, **{key: value})
    message = refusal(folder)
    assert message.startswith(("[SE215]", "[SE201]")), message
    assert str(folder) in message


@pytest.mark.parametrize(
    "key",
    [
        "position_embedding_type",
        "hidden_act",
        "use_cache",
        "layer_norm_eps",
        "model_type",
    ],
)
def test_null_means_the_default(folder, key):
    expected = logits(folder)
    change_config(folder, **{key: None})
    torch.testing.assert_close(logits(folder), expected)


@pytest.mark.parametrize(
    "content", [{"weight_map": {"a": 3}}, {"weight_map": []}, {}, {"weight_map": None}]
)
def test_index_that_is_no_index_is_named(folder, content):
    (folder / WEIGHTS).unlink()
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(content))
    assert "SE210" in refusal(folder)


class Payload:
    def __reduce__(self):
        return (exec, ("raise SystemExit('ran code from a checkpoint')",))


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_refusal_of_a_pickle_never_tells_how_to_run_it(folder, form):
    (folder / WEIGHTS).unlink()
    file = folder / "pytorch_model.bin"
    is_zip = form == "zip"
    torch.save({"weight": Payload()}, file, _use_new_zipfile_serialization=is_zip)
    message = refusal(folder)
    assert "SE213" in message and "pytorch_model.bin" in message
    assert "weights_only" not in message


@pytest.mark.parametrize(
    "content", [[1, 2], torch.zeros(3), {"a": 1}, {1: torch.ones(1)}]
)
def test_file_without_named_tensors_is_refused(folder, content):
    (folder / WEIGHTS).unlink()
    torch.save(content, folder / "pytorch_model.bin")
    assert "SE214" in refusal(folder)


@pytest.mark.parametrize("form", ["legacy bin", "no model_type", "half", "extra keys"])
def test_checkpoint_that_is_right_keeps_opening(folder, tensors, form):
    expected = logits(folder)
    tolerance = 1e-5
    if form == "legacy bin":
        (folder / WEIGHTS).unlink()
        file = folder / "pytorch_model.bin"
        torch.save(tensors, file, _use_new_zipfile_serialization=False)
    elif form == "no model_type":
        config = json.loads((folder / "config.json").read_text())
        for key in ("model_type", "architectures", "torch_dtype"):
            del config[key]
        (folder / "config.json").write_text(json.dumps(config))
    elif form == "half":
        save_file({n: t.half() for n, t in tensors.items()}, folder / WEIGHTS)
        tolerance = 0.05
    else:
        change_config(folder, transformers_version="3.1", label2id={"A": 0, "B": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = logits(folder)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_electra_without_embedding_size_has_transformers_default(tmp_path):
    config = ElectraConfig(vocab_size=30, num_hidden_layers=1)
    ElectraModel(config).save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    del values["embedding_size"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert ElectraModel.from_pretrained(tmp_path).config.embedding_size == 128


def damaged(rng, config, weights, form):
    """A config and a file of weights, one of them damaged at random."""
    kind = rng.choice(
        ["truncate", "flip", "zero", "insert", "rename", "resize", "config"]
    )
    if kind in ("truncate", "flip", "zero", "insert"):
        content = bytearray(encoded(weights, form))
        place = rng.randrange(len(content))
        if kind == "truncate":
            del content[place:]
        elif kind == "insert":
            content[place:place] = rng.randbytes(rng.randint(1, 64))
        else:
            # Mostly where the header stands: what follows are but numbers.
            place = rng.randrange(min(len(content), 4096))
            for i in range(place, min(place + rng.randint(1, 8), len(content))):
                content[i] = rng.randrange(256) if kind == "flip" else 0
        return config, bytes(content)
    if kind == "config":
        key = rng.choice(sorted(config))
        values = [None, 0, -1, 1.5, "x", [], {}, True, 2**70, [[1]], {"0": 0}]
        return {**config, key: rng.choice(values)}, encoded(weights, form)
    changed = dict(weights)
    name = rng.choice(sorted(changed))
    tensor = changed.pop(name)
    if kind == "rename":
        changed[name[: rng.randrange(len(name))] + "x"] = tensor
    else:
        changed[name] = tensor.flatten()[: rng.randrange(tensor.numel())].clone()
    return config, encoded(changed, form)


def encoded(weights, form):
    if form == WEIGHTS:
        return save(weights)
    buffer = io.BytesIO()
    torch.save(weights, buffer, _use_new_zipfile_serialization="legacy" not in form)
    return buffer.getvalue()


@pytest.mark.parametrize("form", [WEIGHTS, "pytorch_model.bin", "legacy"])
def test_damaged_checkpoints_open_or_give_one_coded_error(tmp_path, form):
    count = int(os.environ.get("SPACY_ELECTRA_FUZZ", "300")) // 3
    rng = random.Random(form)
    config = ElectraConfig(
        vocab_size=20,
        embedding_size=4,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
    )
    torch.manual_seed(0)
    ElectraForPreTraining(config).save_pretrained(tmp_path)
    weights = load_file(tmp_path / WEIGHTS)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / WEIGHTS).unlink()
    file = tmp_path / (WEIGHTS if form == WEIGHTS else "pytorch_model.bin")
    refused = 0
    for number in range(count):
        changed, content = damaged(rng, values, weights, form)
        (tmp_path / "config.json").write_text(json.dumps(changed))
        file.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = ElectraForPreTraining.from_pretrained(tmp_path)
        except (ValueError, FileNotFoundError) as error:
            assert str(error).startswith("[SE"), (number, error)
            assert str(tmp_path) in str(error), (number, error)
            refused += 1
        else:
            assert all(p.isfinite().all() for p in model.parameters()), number
    assert refused > count // 3
