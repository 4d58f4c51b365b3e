"""The checkpoints that ship: they open whole, and do what their cards say."""

import warnings

import numpy as np
import pytest
import spacy
import torch

from spacy_electra.pipeline.calibration.fitting import fingerprint
from spacy_electra.pretraining.pairs import GENERATOR, open_pair
from spacy_electra.source import ASSETS, bundled_checkpoints, resolve_source

LARGEST = 30_000_000


def detector(source):
    nlp = spacy.blank("en")
    config = {"model": {"encoder": {"source": source, "precision": "fp32"}}}
    nlp.add_pipe("electra_rtd", config=config)
    return nlp


def test_both_ship():
    assert bundled_checkpoints() == ["en_small", "en_tiny"]


@pytest.mark.parametrize("name", bundled_checkpoints())
def test_a_bundled_checkpoint_opens_whole(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pair = open_pair(name)
    assert pair.tokenizer.vocab_size == pair.discriminator.config.vocab_size
    assert pair.generator.config.vocab_size == pair.tokenizer.vocab_size
    size = sum(f.stat().st_size for f in (ASSETS / name).rglob("*") if f.is_file())
    assert size < LARGEST


def test_en_small_names_the_licence_of_its_start():
    notice = (ASSETS / "en_small" / "NOTICE.txt").read_text("utf8")
    assert "all-MiniLM-L6-v2" in notice and "Apache License, Version 2.0" in notice
    licence = (ASSETS / "en_small" / "LICENSE.txt").read_text("utf8")
    assert "Apache License" in licence and "Version 2.0" in licence


def test_en_small_has_one_encoder_in_two_files():
    pair = open_pair("en_small")
    ours = pair.discriminator.electra.state_dict()
    for key, weight in pair.generator.electra.state_dict().items():
        assert torch.equal(weight, ours[key])
    file = resolve_source(f"en_small/{GENERATOR}") / "model.safetensors"
    assert file.stat().st_size < 1_000_000


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("He was salt by the United States Senate on July 27, 1982.", "salt"),
        ("The quick brown fox fake over the lazy dog.", "fake"),
        ("She went too the store to buy milk.", "too"),
        ("He go to school every day.", "go"),
        ("I have alot of tiem for this.", "tiem"),
    ],
)
def test_en_small_finds_the_word_that_does_not_belong(text, word):
    doc = detector("en_small")(text)
    scores = np.array([token._.rtd_score for token in doc])
    assert doc[int(scores.argmax())].text == word


def test_en_small_guesses_what_a_sentence_needs():
    pair = open_pair("en_small")
    tokenizer = pair.tokenizer
    text = f"the capital of france is {tokenizer.settings['mask_token']} ."
    encoding = tokenizer(text)
    ids = torch.from_numpy(encoding.ids)[None]
    with torch.no_grad():
        logits = pair.generator(ids).logits[0]
    (place,) = (ids[0] == tokenizer.mask_token_id).nonzero().tolist()
    best = logits[place[0]].topk(10).indices.tolist()
    assert "paris" in tokenizer.convert_ids_to_tokens(best)


@pytest.mark.parametrize("name", bundled_checkpoints())
def test_a_bundled_checkpoint_has_the_table_of_its_own_weights(name):
    component = detector(name).get_pipe("electra_rtd")
    assert component.calibration.weights == fingerprint(component.model), (
        "measure the new weights with benchmarks/calibration.py"
    )
    assert component.calibration.default == "all"
    domains = {"encyclopedia", "web", "stories", "reviews", "questions", "all"}
    assert set(component.calibration.domains) == domains
    component.false_marks_per_1000 = 2
    assert component.mark_threshold > component.threshold_for(20) > 0
    component.calibrated = True
    assert 0 < component.mark_threshold < 1
