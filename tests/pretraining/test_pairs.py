"""A run's result becomes a source that pipelines can name."""

import pytest
import spacy
import torch
from safetensors.torch import load_file

from spacy_electra.models import ElectraForMaskedLM, ElectraForPreTraining
from spacy_electra.pretraining.pairs import export_run
from spacy_electra.pretraining.run.trainer import Trainer
from spacy_electra.tokenization import ElectraTokenizer


def test_export_makes_a_source(settings_for, tmp_path):
    final = Trainer(settings_for(), tmp_path / "run").train()
    export_run(tmp_path / "run", tmp_path / "source")
    stored = load_file(tmp_path / "source" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    ElectraForMaskedLM.from_pretrained(tmp_path / "source" / "generator")
    exported = ElectraForPreTraining.from_pretrained(tmp_path / "source")
    trained = ElectraForPreTraining.from_pretrained(final / "discriminator")
    for name, value in trained.state_dict().items():
        rounded = value.bfloat16().float()
        assert torch.equal(exported.state_dict()[name], rounded), name
    read = ElectraTokenizer.from_pretrained(tmp_path / "source")
    assert read.settings["model_max_length"] == 64
    nlp = spacy.blank("en")
    encoder = {"source": str(tmp_path / "source"), "window": 32, "stride": 24}
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": encoder}})
    assert nlp("the cat sees the dog")[0]._.rtd_score > 0


def test_unknown_dtype_is_named(tmp_path):
    with pytest.raises(ValueError, match="int4"):
        export_run("en_tiny", tmp_path, dtype="int4")
