"""Weights written here open in TensorFlow and Flax, by Transformers' own ``from_pt``.

TensorFlow's and JAX's releases that Transformers can use need not fit next to what the
other tests use, so this runs in an environment of its own, and is skipped elsewhere:

    pip install -e . pytest hypothesis "transformers==4.53.*" flax
    pip install tensorflow-cpu tf-keras
    python -m pytest tests/models/test_other_frameworks.py
"""

import os

import numpy as np
import pytest
import torch
import transformers
from counterparts import ids_for, without_padding

from spacy_electra.models import ElectraModel
from spacy_electra.models.heads import HEADS

# Read by Transformers when it first looks for TensorFlow: Keras 3 does not serve it.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
CLASSES = {"ElectraModel": ElectraModel, **HEADS}
TOLERANCE = 1e-4
# Transformers has no TensorFlow class of it.
WITHOUT_TENSORFLOW = {"ElectraForCausalLM"}


def written(cls, config, folder):
    """A model with random weights in a folder, and one in Transformers that reads it.

    Returns:
        Its inputs as arrays, its outputs as arrays, and where the pieces are.
    """
    torch.manual_seed(0)
    model = cls(config).eval()
    model.save_pretrained(folder)
    ids = ids_for(cls)
    mask = torch.ones_like(ids)
    mask.view(-1, ids.shape[-1])[1, 6:] = 0
    types = torch.zeros_like(ids)
    types[..., 4:] = 1
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    with torch.no_grad():
        output = model(**inputs)
    names = ("start_logits", "end_logits", "logits", "last_hidden_state")
    outputs = {n: getattr(output, n) for n in names if hasattr(output, n)}
    return {n: t.numpy() for n, t in inputs.items()}, outputs, mask


def assert_equal(outputs, theirs, mask):
    assert outputs
    for name, ours in outputs.items():
        found = torch.from_numpy(np.array(theirs[name]))
        torch.testing.assert_close(
            without_padding(found, mask),
            without_padding(ours, mask),
            rtol=TOLERANCE,
            atol=TOLERANCE,
        )


@pytest.mark.parametrize("name", [n for n in CLASSES if n not in WITHOUT_TENSORFLOW])
def test_tensorflow_opens_what_is_written_here(name, small_config, tmp_path):
    pytest.importorskip("tensorflow")
    pytest.importorskip("tf_keras")
    inputs, outputs, mask = written(CLASSES[name], small_config, tmp_path / "pt")
    cls = getattr(transformers, f"TF{name}")
    model, report = cls.from_pretrained(
        tmp_path / "pt", from_pt=True, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert_equal(outputs, model(**inputs), mask)
    model.save_pretrained(tmp_path / "tf")
    assert (tmp_path / "tf" / "tf_model.h5").exists()
    assert_equal(outputs, cls.from_pretrained(tmp_path / "tf")(**inputs), mask)


@pytest.mark.parametrize("name", CLASSES)
def test_flax_opens_what_is_written_here(name, small_config, tmp_path):
    pytest.importorskip("flax")
    inputs, outputs, mask = written(CLASSES[name], small_config, tmp_path / "pt")
    cls = getattr(transformers, f"Flax{name}")
    model = cls.from_pretrained(tmp_path / "pt", from_pt=True)
    assert_equal(outputs, model(**inputs), mask)
    model.save_pretrained(tmp_path / "flax")
    assert (tmp_path / "flax" / "flax_model.msgpack").exists()
    assert_equal(outputs, cls.from_pretrained(tmp_path / "flax")(**inputs), mask)
