"""Of several formats of the same weights one is taken, the same everywhere."""

import pytest

from spacy_electra.checkpoints.formats import FORMATS
from spacy_electra.weight_files import WEIGHT_FILES, weights_among

TENSORFLOW_1 = ["electra.data-00000-of-00001", "electra.index"]


def test_names_and_readers_have_one_order():
    assert tuple(form.FILES for form in FORMATS) == WEIGHT_FILES


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["pytorch_model.bin", "tf_model.h5"], ["pytorch_model.bin"]),
        (["flax_model.msgpack", "tf_model.h5"], ["flax_model.msgpack"]),
        (["tf_model.h5", *TENSORFLOW_1], ["tf_model.h5"]),
        (["electra.meta", *TENSORFLOW_1], TENSORFLOW_1[::-1]),
        (
            ["model.safetensors", "model-00001-of-00001.safetensors"],
            ["model.safetensors"],
        ),
        (
            ["tf_model-1.h5", "tf_model.h5.index.json", "tf_model-2.h5"],
            ["tf_model.h5.index.json", "tf_model-1.h5", "tf_model-2.h5"],
        ),
        (
            [
                "pytorch_model.bin",
                "generator/tf_model.h5",
                "generator/model.safetensors",
            ],
            ["pytorch_model.bin", "generator/model.safetensors"],
        ),
        (["config.json", "vocab.txt", "training_args.bin", "optimizer.pt"], []),
    ],
)
def test_files_of_one_format_are_needed(names, expected):
    assert weights_among(["config.json", *names]) == expected
