"""The configs that ship are complete: spaCy neither adds nor drops anything."""

from pathlib import Path

import pytest
from spacy.schemas import ConfigSchemaTraining
from spacy.util import load_config, load_model_from_config, registry

pytest.importorskip("spacy_transformers")

CONFIGS = Path(__file__).parents[1] / "configs"
SPACY_CONFIGS = [
    file for file in sorted(CONFIGS.glob("*.cfg")) if "[nlp]" in file.read_text("utf8")
]


@pytest.mark.parametrize("file", SPACY_CONFIGS, ids=lambda file: file.stem)
def test_config_is_filled_and_resolves(file):
    config = load_config(file, interpolate=False)
    nlp = load_model_from_config(config, auto_fill=True)
    assert nlp.config == config
    training = registry.resolve(
        config.interpolate()["training"], schema=ConfigSchemaTraining
    )
    rate = training["optimizer"].learn_rate
    assert rate <= 3e-4
    assert "electra" not in training["frozen_components"]


def test_there_are_some():
    assert len(SPACY_CONFIGS) >= 4
